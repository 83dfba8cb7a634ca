"""Instances: the user's by their class and what they keep, others by what pickling them would write."""

from __future__ import annotations

import functools
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from memo.content import content_digest
from memo.hashing import digest
from memo_strategies.classes import is_enum
from memo_strategies.flags import IDENTITY
from memo_strategies.functions import Unordered, compiled
from memo_strategies.introspect import (
    class_dict,
    class_mro,
    hides_state,
    ids,
    instance_dict,
    is_class,
    is_heap_type,
    slot_descriptors,
    type_label,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo_strategies.graph import Graph, Node

_SILENT = frozenset({
    "_thread.lock", "_thread.RLock", "_thread._local", "threading.Event", "threading.Condition",
    "threading.Semaphore", "threading.BoundedSemaphore", "threading.Barrier", "weakref.ReferenceType",
    "weakref.ProxyType", "weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "_weakrefset.WeakSet",
    "weakref.WeakMethod", "_contextvars.ContextVar", "logging.Logger", "logging.RootLogger", "logging.LoggerAdapter",
    "builtins.object", "typing.TypeVar", "typing.ParamSpec", "typing.TypeVarTuple", "typing.NewType",
    "typing.TypeAliasType", "builtins.weakref", "builtins.weakproxy", "weakref.weakref", "builtins.ContextVar",
})  # fmt: skip
"""Types of the standard library whose state no result should depend on: their type alone counts."""


def _expand_silent(_: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    node.flags |= IDENTITY
    node.own = digest("silent", type_label(value))


def expand_instance(graph: Graph, node: Node, value: Any) -> None:
    """Any object that no other room knows."""
    kind = type(value)
    if type_label(value) in _SILENT:
        _expand_silent(graph, node, value)
        return
    if is_enum(kind):
        _expand_enum_member(graph, node, value)
    elif graph.space_of_class(kind).owner == "user" and is_heap_type(kind):
        expand_state(graph, node, value)
    else:
        _expand_foreign(graph, node, value)


def _expand_enum_member(graph: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    kept = instance_dict(value) or {}
    name = kept.get("_name_")
    tokens = [graph.attach(node, each) for each in (kept.get("_value_"), type(value))]
    node.own = digest("member", name if type(name) is str else "", *tokens)


def expand_state(graph: Graph, node: Node, value: Any, without: frozenset[str] = frozenset()) -> None:
    """An instance by its class and what it keeps, whatever methods the class may have for copying itself."""
    node.kind = "value"
    node.flags |= IDENTITY
    kind = type(value)
    if node.root is None:
        node.root = graph.space_of_class(kind).root
    tokens = [graph.attach(node, kind)]
    kept = instance_dict(value)
    if kept:
        derived = _cached_properties(kind) | without
        for name, each in sorted((item for item in list(dict.items(kept)) if type(item[0]) is str), key=_first):
            if name not in derived:
                tokens.append(f"{name} {graph.attach(node, each)}")
    for name, slot in _slots(graph, kind):
        try:
            each = slot.__get__(value)
        except AttributeError:
            continue
        tokens.append(f"slot {name} {graph.attach(node, each)}")
    tokens += _built_in_content(graph, node, value)
    node.own = digest("instance", *tokens)


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def _slots(graph: Graph, kind: type) -> list[tuple[str, Any]]:
    found = graph.slots.get(id(kind))
    if found is None:
        found = graph.slots[id(kind)] = sorted(slot_descriptors(kind), key=_first)
    return found


def _cached_properties(kind: type) -> set[str]:
    """Attributes that follow from the rest, and are there only if someone asked."""
    cached_property = functools.cached_property
    attributes = [item for base in class_mro(kind) for item in class_dict(base).items()]
    return {name for name, found in attributes if type(found) is cached_property}


def _built_in_content(graph: Graph, node: Node, value: Any) -> list[str]:
    """What an instance holds as a child of a built-in or compiled type, read through that type itself."""
    for base in class_mro(type(value)):
        if base is object:
            return []
        read = _CONTENTS.get(id(base))
        if read is not None:
            return [f"{base.__name__} {graph.attach(node, read(value))}"]
        if is_heap_type(base) and not hides_state(base) and graph.space_of_class(base).owner == "user":
            continue
        for name in ("__reduce_ex__", "__reduce__"):
            reduce = class_dict(base).get(name)
            if reduce is not None:
                return _reduced(graph, node, value, reduce)
        if hides_state(base):
            return _wrapped(graph, node, value)
    return []


def _reduced(graph: Graph, node: Node, value: Any, reduce: Any) -> list[str]:
    try:
        parts = reduce(value, 4) if reduce.__name__ == "__reduce_ex__" else reduce(value)
        if type(parts) is str:  # it is known by its name, as compiled functions are
            module = getattr(value, "__module__", None)
            return [f"named {parts}", *compiled(graph, node, module if type(module) is str else None)]
        inner = [list(part) if _is_iterator(part) else part for part in parts[1:]]
    except Exception:  # noqa: BLE001 - compiled code of any distribution may raise anything
        return _wrapped(graph, node, value)
    return [f"reduced {graph.attach(node, inner)}"]


def _wrapped(graph: Graph, node: Node, value: Any) -> list[str]:
    """The functions behind a wrapper that shows nothing else, as those of ``wrapt`` do."""
    found: list[str] = []
    for name in ("__wrapped__", "_self_wrapper"):
        try:
            inner = getattr(value, name)
        except Exception:  # noqa: BLE001, S112 - an object of any distribution may raise anything
            continue
        if id(type(inner)) in _FUNCTIONS or is_class(inner):
            found.append(f"{name} {graph.attach(node, inner)}")
    if not found:
        node.note(f"a {type_label(value)}, which cannot be looked into")
    return found


_FUNCTIONS = ids(FunctionType, BuiltinFunctionType, MethodType)


def _is_iterator(part: Any) -> bool:
    return "__next__" in class_dict(type(part))


def _unordered(members: Any) -> Unordered:
    """The members of a set, whose hashes are never asked for."""
    return Unordered([(member, None) for member in members])


def _sliced(kind: Any) -> Callable[[Any], Any]:
    return lambda value: kind.__getitem__(value, slice(None))


def _contents() -> dict[int, Callable[[Any], Any]]:
    """By the id of a built-in type: what reads, through this type, what an instance of a child of it holds."""
    read: dict[type, Any] = {
        int: int.__int__,
        float: float.__float__,
        complex: lambda value: (_REAL(value), _IMAGINARY(value)),  # pyright: ignore[reportUnknownLambdaType]
        str: str.__str__,
        bytes: _sliced(bytes),
        bytearray: _sliced(bytearray),
        list: _sliced(list),
        tuple: _sliced(tuple),
        dict: lambda value: list(_ITEMS(value)),  # pyright: ignore[reportUnknownLambdaType]
        set: lambda value: _unordered(_MEMBERS(value)),  # pyright: ignore[reportUnknownLambdaType]
        frozenset: lambda value: _unordered(_FROZEN_MEMBERS(value)),  # pyright: ignore[reportUnknownLambdaType]
    }
    return {id(kind): reader for kind, reader in read.items()}


_REAL: Any = complex.__dict__["real"].__get__
_IMAGINARY: Any = complex.__dict__["imag"].__get__
_ITEMS: Any = dict.items
_MEMBERS: Any = set.__iter__
_FROZEN_MEMBERS: Any = frozenset.__iter__
_CONTENTS = _contents()


def _expand_foreign(graph: Graph, node: Node, value: Any) -> None:
    """An instance of a class that is not the user's."""
    node.kind = "value"
    node.flags |= IDENTITY
    label = type_label(value)
    node.edges.extend(("", package) for package in graph.space_of_class(type(value)).packages)
    if label in _COMPILED_FROM:
        tokens = [f"{name} {graph.attach(node, getattr(value, name))}" for name in _COMPILED_FROM[label]]
    else:
        tokens = _written_out(graph, node, value)
    node.own = digest("foreign", label, *tokens)


_COMPILED_FROM = {"numba.core.registry.CPUDispatcher": ("py_func", "targetoptions")}
"""Functions compiled at run time: what they were made from. Their pickles hold a number made anew each time."""


def _written_out(graph: Graph, node: Node, value: Any) -> list[str]:
    found = content_digest(value)
    if found is not None:
        return [found]
    from memo_strategies.foreign import pickled

    held = pickled(value)
    if held is not None:
        return [held.digest, *[graph.attach(node, each) for each in held.objects]]
    return _wrapped(graph, node, value)
