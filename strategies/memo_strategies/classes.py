"""What classes are made of and reach: bases, metaclass, and every attribute of their own."""

from __future__ import annotations

import abc
from types import GetSetDescriptorType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.accessors import dereferenced
from memo_strategies.annotations import Annotation
from memo_strategies.code_objects import BOOKKEEPING
from memo_strategies.enums import is_enum, of_the_author
from memo_strategies.flags import IDENTITY
from memo_strategies.functions import compiled
from memo_strategies.introspect import (
    FOR_TYPE_CHECKERS,
    Unordered,
    class_bases,
    class_dict,
    class_module,
    class_mro,
    class_name,
    class_qualname,
    type_label,
)
from memo_strategies.known import counts_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo_strategies.graph import Graph, Node, Space

_SKIPPED = BOOKKEEPING | FOR_TYPE_CHECKERS | {
    "__abstractmethods__", "__annotations__", "__dict__", "__non_callable_proto_members__", "__orig_bases__",
    "__parameters__", "__signature__", "__slotnames__", "__weakref__", "_abc_impl",
    "__pydantic_complete__", "__pydantic_core_schema__", "__pydantic_serializer__", "__pydantic_setattr_handlers__",
    "__pydantic_validator__",
}  # fmt: skip
"""What Python and pydantic keep in a class by themselves: it follows from the rest, or from what happened to be
asked of the class, and some of it holds addresses."""

_registry_and_caches: Any = vars(abc)["_get_dump"]

_FIELD_FACTS = ("default", "default_factory", "init", "repr", "hash", "compare", "metadata", "kw_only")


def expand_class(graph: Graph, node: Node, cls: type) -> None:
    """A class: the user's by what it is made of, others by their name."""
    space = node.space = graph.space_of_class(cls)
    node.given_name = f"{space.name}.{class_qualname(cls)}"
    if counts_by_name(graph, cls, space):
        name = f"{class_module(cls)}.{class_qualname(cls)}"
        node.edges.extend(("", package) for package in space.packages)
        extra = compiled(graph, node, class_module(cls)) if space.owner == "user" else []
        node.own = digest("foreign class", space.owner, name, *extra)
        return
    node.kind = "class"
    node.flags |= IDENTITY
    node.root = space.root
    attach = graph.attach
    # The text of a dataclass's instance shows what is around it.
    tokens = [class_qualname(cls) if "__dataclass_fields__" in class_dict(cls) else class_name(cls)]
    tokens += [f"base {attach(node, base)}" for base in class_bases(cls)]
    if type(cls) is not type:
        tokens.append(f"metaclass {attach(node, type(cls))}")
    for name, value in sorted(own_attributes(cls), key=_by_name):
        if type(value) is MemberDescriptorType or type(value) is GetSetDescriptorType:
            tokens.append(f"slot {name}")
        else:
            tokens.append(f"attribute {name} {attach(node, value, f'{node.name}.{name}')}")
    registered = _registered(cls)
    if registered:
        tokens.append(f"registered {attach(node, Unordered([(each, None) for each in registered]))}")
    if "__struct_config__" in class_dict(type(cls)):
        tokens.append(f"struct {attach(node, _struct_facts(cls))}")
    tokens += _annotated(graph, node, cls, space)
    node.own = digest("class", *tokens)


def _by_name(item: tuple[str, Any]) -> str:
    return item[0]


def own_attributes(cls: type) -> list[tuple[str, Any]]:
    """The attributes of a class that count, in the order in which they were made."""
    found = [(name, value) for name, value in class_dict(cls).items() if name not in _SKIPPED]
    if is_enum(cls):
        return of_the_author(cls, found)
    return [(name, _field_facts(value) if name == "__dataclass_fields__" else value) for name, value in found]


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


def _registered(cls: type) -> list[type]:
    """The classes that were registered with an abstract base."""
    if "_abc_impl" not in class_dict(cls):
        return []
    asked = next(base for base in class_mro(type(cls)) if "__getattribute__" in class_dict(base))
    if asked is not type:  # asking would run code of the user's
        return []
    return [found for each in _registry_and_caches(cls)[0] if (found := dereferenced(each)) is not None]


def _annotated(graph: Graph, node: Node, cls: type, space: Space) -> Iterator[str]:
    """What the annotations of a class say, and the parameters of its bases, where something may read them."""
    own = class_dict(cls)
    annotations, bases = own.get("__annotations__"), own.get("__orig_bases__")
    if _annotations_count(graph, cls):
        for name, each in annotations.items() if type(annotations) is dict else ():
            yield f"annotation {name} {graph.attach(node, Annotation(each, space, own))}"
        for each in bases if type(bases) is tuple else ():
            yield f"of {graph.attach(node, Annotation(each, space, own))}"
    elif own.get("_is_protocol") is True and type(annotations) is dict:
        yield from [f"annotated {name}" for name in annotations]


def _annotations_count(graph: Graph, cls: type) -> bool:
    """Whether something may read the annotations of this class.

    It may where the class is a record, which decoders make from its fields' types; where its metaclass or a base is
    not Python's own.
    """
    meta = type(cls)
    if meta is not type and meta is not abc.ABCMeta and not is_enum(cls) and not _is_protocols(meta):
        return True
    if "__dataclass_fields__" in class_dict(cls) or ("_fields" in class_dict(cls) and tuple in class_bases(cls)):
        return True
    return any(graph.space_of_class(base).owner == "installed" for base in class_mro(cls)[1:])


def _is_protocols(meta: type) -> bool:
    """Whether it is the metaclass of protocols: it asks for the names alone."""
    return class_name(meta) == "_ProtocolMeta" and class_module(meta) in {"typing", "typing_extensions"}
