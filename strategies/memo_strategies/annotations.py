"""Annotations by what they mean: whether they are text, and how a union is spelt, does not show.

Those that are text are read as Python would, but not evaluated: that would run code. The names in them are looked up
where they stand.
"""

from __future__ import annotations

import builtins
import sys
from _ast import AST, Attribute, BinOp, BitOr, Constant, List, Name, PyCF_ONLY_AST, Subscript, Tuple
from types import FunctionType, GenericAlias
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.introspect import (
    MISSING,
    class_dict,
    class_module,
    class_mro,
    class_qualname,
    instance_dict,
    is_class,
    is_module,
    module_dict,
    type_label,
)
from memo_strategies.showing import short_repr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo_strategies.graph import Graph, Node, Space

_MOST_STEPS = 8
"""From a text to what it names, which may be a text again."""


class Annotation:
    """An annotation, or what stands within one.

    Attributes:
        value: A text, a syntax tree of a text, or the thing itself.
        space: Where it stands.
        names: The names that come before those of the space: a class's own.
        is_type: Whether text in it stands for a type, rather than for itself.
    """

    __slots__ = ("is_type", "names", "space", "value")

    def __init__(self, value: Any, space: Space, names: Mapping[str, Any], *, is_type: bool = True) -> None:
        self.value = value
        self.space = space
        self.names = names
        self.is_type = is_type

    def within(self, value: Any, *, is_type: bool = True) -> Annotation:
        """What stands within this one."""
        return Annotation(value, self.space, self.names, is_type=is_type)


def expand_annotation(graph: Graph, node: Node, found: Annotation) -> None:
    """One level of an annotation: what it is made of are annotations again."""
    node.kind = "value"
    value = _meant(found, found.value)
    node.detail = found.value if type(found.value) is str else _shown(value)
    members = _members(found, value)
    if members is not None:
        node.own = digest("union", *[graph.attach(node, found.within(each)) for each in members])
        return
    head, parts = _of_tree(found, value) if issubclass(type(value), AST) else _of_thing(found, value)
    node.own = digest("annotation", head, *[graph.attach(node, part) for part in parts])


def _shown(value: Any) -> str:
    return class_qualname(value) if is_class(value) else short_repr(value)


def _meant(found: Annotation, value: Any) -> Any:
    """The thing that an annotation names; the tree of what is no name; the text of what Python cannot read."""
    for _ in range(_MOST_STEPS):
        if found.is_type and type_label(value) == "typing.ForwardRef":
            value = value.__forward_arg__
        if found.is_type and type(value) is str:
            try:
                value = compile(value.strip(), "<annotation>", "eval", PyCF_ONLY_AST).body  # type: ignore[attr-defined]
            except Exception:  # noqa: BLE001 - text of the user's, however strange
                return value
        if type(value) is Constant:
            value = value.value
        elif type(value) is Name or type(value) is Attribute:
            thing = _thing(found, value)
            if thing is MISSING:
                return value
            value = thing
        else:
            return value
    return value


def _thing(found: Annotation, tree: Any) -> Any:
    """What a dotted name stands for, MISSING where it cannot be found by looking alone."""
    steps: list[str] = []
    while type(tree) is Attribute:
        steps.append(tree.attr)
        tree = tree.value
    if type(tree) is not Name:
        return MISSING
    spaces = (found.names, found.space.namespace, vars(builtins))
    thing: Any = next((space[tree.id] for space in map(dict, spaces) if tree.id in space), MISSING)
    for step in reversed(steps):
        if is_module(thing):
            thing = dict.get(module_dict(thing), step, MISSING)
        elif is_class(thing):
            thing = next((class_dict(each)[step] for each in class_mro(thing) if step in class_dict(each)), MISSING)
        else:
            return MISSING
    return thing


def _members(found: Annotation, value: Any) -> list[Any] | None:
    """The members of a union, those of unions in it included, None last of all; None for what is no union."""
    work = _united(found, value)
    if work is None:
        return None
    members: list[Any] = []
    work.reverse()
    while work:
        each = _meant(found, work.pop())
        inner = _united(found, each)
        if inner is None:
            members.append(each)
        else:
            work += reversed(inner)
    nothing = [each for each in members if each is None or each is type(None)]
    return [each for each in members if each is not None and each is not type(None)] + nothing[:1]


def _united(found: Annotation, value: Any) -> list[Any] | None:
    if type(value) is BinOp and type(value.op) is BitOr and found.is_type:
        return [value.left, value.right]
    if type_label(value) in {"types.UnionType", "typing._UnionGenericAlias", "typing.Union"}:
        return list(getattr(value, "__args__"))  # noqa: B009 - its type is known by its name alone
    typing = sys.modules.get("typing")
    if type(value) is Subscript and typing is not None:
        origin = _thing(found, value.value)
        if origin is typing.Optional:
            return [*_arguments(value), None]
        if origin is typing.Union:
            return _arguments(value)
    return None


def _arguments(tree: Subscript) -> list[Any]:
    """What stands in the brackets; that in brackets within them, as a Callable has, beside it."""
    given = tree.slice.elts if type(tree.slice) is Tuple else [tree.slice]
    return [part for each in given for part in (each.elts if type(each) is List else [each])]


def _of_thing(found: Annotation, value: Any) -> tuple[str, list[Any]]:
    if type(value) is GenericAlias:
        return "alias", [found.within(each) for each in (value.__origin__, *value.__args__)]
    if class_module(type(value)) in {"typing", "collections.abc"}:
        kept = instance_dict(value) or {}
        origin, arguments = kept.get("__origin__"), kept.get("__args__")
        if type(arguments) is tuple:
            if "__metadata__" in kept:
                return _annotated(found, [origin, *kept["__metadata__"]])
            return _subscripted(found, origin, list(arguments))
        if origin is not None:
            return "", [origin]  # `typing.List` is the list
    if value is None or value is type(None):
        return "none", []
    return "", [value]


def _of_tree(found: Annotation, tree: Any) -> tuple[str, list[Any]]:
    if type(tree) is Subscript:
        typing = sys.modules.get("typing")
        origin = _thing(found, tree.value)
        if typing is not None and origin is typing.Annotated:
            return _annotated(found, _arguments(tree))
        return _subscripted(found, tree.value if origin is MISSING else origin, _arguments(tree))
    head = [type(tree).__name__]
    parts: list[Any] = []
    for name in tree._fields:
        each = getattr(tree, name, None)
        for part in each if type(each) is list else [each]:
            if not issubclass(type(part), AST):
                head.append(f"{name} {part!r}")
            elif getattr(part, "_fields", ()):
                parts.append(found.within(part, is_type=False))
            else:
                head.append(type(part).__name__)
    return " ".join(head), parts


def _annotated(found: Annotation, parts: list[Any]) -> tuple[str, list[Any]]:
    return "annotated", [found.within(parts[0]), *[found.within(each, is_type=False) for each in parts[1:]]]


def _subscripted(found: Annotation, origin: Any, arguments: list[Any]) -> tuple[str, list[Any]]:
    """What stands before the brackets and in them; in those of a Literal, text is text."""
    typing = sys.modules.get("typing")
    is_type = typing is None or origin is not typing.Literal
    return "alias", [found.within(origin), *[found.within(each, is_type=is_type) for each in arguments]]


def annotations_of(graph: Graph, node: Node) -> list[str]:
    """Attach the annotations of the user's functions that something of a distribution's holds: it may go by them."""
    functions = [child.obj for _, child in node.edges if type(child.obj) is FunctionType]
    return [
        f"annotation {name} {_attached(graph, node, function, name, each)}"
        for function in functions
        if graph.space(function.__globals__).owner == "user"
        for name, each in function.__annotations__.items()
    ]


def _attached(graph: Graph, node: Node, function: FunctionType, name: str, value: Any) -> str:
    space = graph.space(function.__globals__)
    label = f"{space.name}.{function.__code__.co_qualname} annotation {name}"
    return graph.attach(node, Annotation(value, space, {}), label)
