"""What classes are made of and reach: bases, metaclass, and every attribute of their own."""

from __future__ import annotations

import re
import sys
from abc import ABCMeta
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.code_objects import BOOKKEEPING
from memo_strategies.flags import IDENTITY
from memo_strategies.functions import compiled
from memo_strategies.introspect import (
    MISSING,
    class_bases,
    class_dict,
    class_module,
    class_mro,
    class_name,
    class_qualname,
    instance_dict,
    is_class,
    is_heap_type,
    is_module,
    module_dict,
    type_label,
)

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node, Space

_SKIPPED = BOOKKEEPING | {
    "__abstractmethods__", "__annotations__", "__dict__", "__non_callable_proto_members__", "__orig_bases__",
    "__parameters__", "__signature__", "__slotnames__", "__weakref__", "_abc_impl",
    "__pydantic_complete__", "__pydantic_core_schema__", "__pydantic_serializer__", "__pydantic_setattr_handlers__",
    "__pydantic_validator__",
}  # fmt: skip
"""What Python and pydantic keep in a class by themselves: it follows from the rest, or from what happened to be
asked of the class, and some of it holds addresses."""

_FIELD_FACTS = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")
_ENUM_FACTS = frozenset({"_missing_", "_generate_next_value_", "_ignore_", "_boundary_"})


def expand_class(graph: Graph, node: Node, cls: type) -> None:
    """A class: the user's by what it is made of, others by their name."""
    space = node.space = graph.space_of_class(cls)
    node.name = f"{space.name}.{class_qualname(cls)}"
    if _counts_by_name(graph, cls, space):
        name = f"{class_module(cls)}.{class_qualname(cls)}"
        node.edges.extend(("", package) for package in space.packages)
        extra = compiled(graph, node, class_module(cls)) if space.owner == "user" else []
        node.own = digest("foreign class", space.owner, name, *extra)
        return
    node.kind = "class"
    node.flags |= IDENTITY
    node.root = space.root
    attach = graph.attach
    tokens = [class_name(cls)]
    tokens += [f"base {attach(node, base)}" for base in class_bases(cls)]
    if type(cls) is not type:
        tokens.append(f"metaclass {attach(node, type(cls))}")
    for name, value in sorted(_own_attributes(cls), key=_by_name):
        if type(value) is MemberDescriptorType or type(value) is GetSetDescriptorType:
            tokens.append(f"slot {name}")
        else:
            tokens.append(f"attribute {name} {attach(node, value, f'{node.name}.{name}')}")
    if "__struct_config__" in class_dict(type(cls)):
        tokens.append(f"struct {attach(node, _struct_facts(cls))}")
    if _annotations_count(graph, cls):
        annotations = class_dict(cls).get("__annotations__")
        if type(annotations) is dict and annotations:
            tokens += _annotated(graph, node, annotations, space)
    node.own = digest("class", *tokens)


def _counts_by_name(graph: Graph, cls: type, space: Space) -> bool:
    """Whether a class is well known by its name: it is not the user's, and the name leads to it."""
    if not is_heap_type(cls):
        return True
    return space.owner != "user" and _leads_to(cls, space) and not _holds_code_of_user(graph, cls)


def _leads_to(cls: type, space: Space) -> bool:
    found: Any = MISSING
    namespace: Any = space.namespace
    for step in class_qualname(cls).split("."):
        found = namespace.get(step, MISSING)
        if is_class(found):
            namespace = class_dict(found)
        elif is_module(found):
            namespace = module_dict(found)
        else:
            return False
    return found is cls


def _holds_code_of_user(graph: Graph, cls: type) -> bool:
    """Whether a method is from a file of the user's, whatever the class says of itself."""
    return any(
        "__file__" in value.__globals__ and graph.space(value.__globals__).owner == "user"
        for value in class_dict(cls).values()
        if type(value) is FunctionType
    )


def _by_name(item: tuple[str, Any]) -> str:
    return item[0]


def _own_attributes(cls: type) -> list[tuple[str, Any]]:
    found = [(name, value) for name, value in class_dict(cls).items() if name not in _SKIPPED]
    if is_enum(cls):
        members = class_dict(cls).get("_member_map_") or {}
        found = [item for item in found if item[0] not in members and _counts_in_an_enum(item[0])]
        values = [(name, (instance_dict(member) or {}).get("_value_")) for name, member in members.items()]
        return [*found, ("_member_map_", values)]
    return [(name, _field_facts(value) if name == "__dataclass_fields__" else value) for name, value in found]


def _counts_in_an_enum(name: str) -> bool:
    """Whether an enum's attribute is the author's: ``__new__`` is put there by Python, over the author's own."""
    is_bookkeeping = name.startswith("_") and name.endswith("_") and not name.startswith("__")
    return name in _ENUM_FACTS or (not is_bookkeeping and name != "__new__")


def _field_facts(fields: Any) -> Any:
    """The fields of a dataclass without their annotations."""
    if type(fields) is not dict:
        return fields
    found = {name: field for name, field in fields.items() if class_module(type(field)) == "dataclasses"}
    return {
        name: [
            getattr(getattr(field, "_field_type", None), "name", None),
            *[getattr(field, f, None) for f in _FIELD_FACTS],
        ]
        for name, field in found.items()
    }


def _struct_facts(cls: Any) -> list[Any]:
    """What `msgspec.Struct` keeps of a class out of its dictionary."""
    made = "msgspec._core.Factory"
    defaults = [(made, each.factory) if type_label(each) == made else each for each in cls.__struct_defaults__]
    config = cls.__struct_config__
    facts = [(name, getattr(config, name)) for name in sorted(class_dict(type(config))) if not name.startswith("__")]
    return [cls.__struct_encode_fields__, defaults, facts]


def is_enum(cls: type) -> bool:
    """Whether it is an enum, in whatever way derived."""
    module = sys.modules.get("enum")
    return module is not None and any(base is module.EnumMeta for base in class_mro(type(cls)))


_WORDS = re.compile(r"[^\W\d][\w.]*")


def _annotated(graph: Graph, node: Node, annotations: dict[Any, Any], space: Space) -> list[str]:
    """What the annotations of a class say, and the things of the user's that they name.

    Those that are text are not evaluated: that would run code. The names in them are looked up where they stand.
    """
    tokens: list[str] = []
    for name, found in dict.items(annotations):
        text = found if type(found) is str else getattr(found, "__forward_arg__", None)
        if type(text) is not str:
            tokens.append(f"annotation {name} {graph.attach(node, found)}")
            continue
        tokens.append(f"annotation {name} {text}")
        for word in _WORDS.findall(text):
            named = _named(word, space)
            if named is not MISSING:
                tokens.append(f"names {word} {graph.attach(node, named, f'{space.name}.{word}')}")
    return tokens


def _named(word: str, space: Space) -> Any:
    first, *rest = word.split(".")
    found: Any = dict.get(space.namespace, first, MISSING)
    for step in rest:
        if not is_module(found):
            return MISSING
        found = dict.get(module_dict(found), step, MISSING)
    return found if is_class(found) else MISSING


def _annotations_count(graph: Graph, cls: type) -> bool:
    """Whether something may read the annotations of this class.

    It may where the class is a record, which decoders make from its fields' types; where its metaclass or a base is
    not Python's own.
    """
    meta = type(cls)
    if meta is not type and meta is not ABCMeta and not is_enum(cls):
        return True
    if "__dataclass_fields__" in class_dict(cls) or ("_fields" in class_dict(cls) and tuple in class_bases(cls)):
        return True
    return any(graph.space_of_class(base).owner == "installed" for base in class_mro(cls)[1:])
