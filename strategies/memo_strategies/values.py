"""What values are made of: by type and content, with the functions and classes within them as edges."""

from __future__ import annotations

import sys
from types import (
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import TYPE_CHECKING, Any

from memo.content import content_digest
from memo.hashing import digest, value_digest
from memo_strategies.classes import expand_class, is_enum
from memo_strategies.functions import (
    Unordered,
    expand_builtin,
    expand_cell,
    expand_code,
    expand_function,
    expand_method,
    expand_unordered,
)
from memo_strategies.graph import ATOMS, Space
from memo_strategies.introspect import (
    class_dict,
    class_module,
    class_mro,
    class_name,
    class_qualname,
    instance_dict,
    is_class,
    is_heap_type,
    is_module,
    slot_descriptors,
    type_label,
)
from memo_strategies.modules import expand_module, expand_space
from memo_strategies.names import SPECIAL
from memo_strategies.paths import SourcePath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memo_strategies.graph import Expander, Graph, Node

_DEEPEST = 32
_LARGEST = 10_000_000

_SILENT = frozenset({
    "_thread.lock", "_thread.RLock", "_thread._local", "threading.Event", "threading.Condition",
    "threading.Semaphore", "threading.BoundedSemaphore", "threading.Barrier", "weakref.ReferenceType",
    "weakref.ProxyType", "weakref.WeakKeyDictionary", "weakref.WeakValueDictionary", "_weakrefset.WeakSet",
    "weakref.WeakMethod", "_contextvars.ContextVar", "logging.Logger", "logging.RootLogger", "logging.LoggerAdapter",
    "builtins.object", "typing.TypeVar", "typing.ParamSpec", "typing.TypeVarTuple", "typing.NewType",
    "builtins.weakref", "builtins.weakproxy", "weakref.weakref", "builtins.ContextVar",
})  # fmt: skip
"""Types of the standard library whose state no result should depend on: their type alone counts."""


def expander_of(obj: object) -> Expander:
    """Give the function that fills in the node of an object of this kind."""
    kind = type(obj)
    found = _BY_TYPE.get(kind)
    if found is not None:
        return found
    if issubclass(kind, type):
        return expand_class
    if is_module(obj):
        return expand_module
    if class_module(kind).partition(".")[0] == "memo":
        return _expand_ours
    return _expand_instance


def is_plain(value: Any) -> bool:
    """Whether a container holds nothing but plain data, however nested, of a size to go through at once."""
    return _count_plain(value, _DEEPEST, _LARGEST) >= 0


def _count_plain(value: Any, depth: int, left: int) -> int:
    """How many more members may be looked at after this value; negative where it is not plain."""
    kind = type(value)
    if kind in ATOMS or value is None:
        return left - 1
    if kind not in _CONTAINERS or not depth:
        return -1
    left -= len(value)
    members: Iterable[Any] = value
    if kind is dict:
        members = [*value.keys(), *value.values()]
    kinds = set(map(type, members))
    if not kinds <= _ATOMS_AND_NONE:
        for member in list(members):
            if type(member) not in _ATOMS_AND_NONE:
                left = _count_plain(member, depth - 1, left)
            if left < 0:
                return -1
    return left


_CONTAINERS = frozenset({list, tuple, dict, set, frozenset})
_ATOMS_AND_NONE = ATOMS | {type(None)}


def _expand_atom(_: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    node.own = value_digest(value)


def _expand_container(graph: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    kind = type(value)
    node.identity = kind is list or kind is dict or kind is set
    if is_plain(value):
        node.own = value_digest(value)
    elif kind is dict:
        items = list(value.items())
        node.own = digest("dict", *[graph.attach(node, part) for item in items for part in item])
    else:
        node.unordered = kind is set or kind is frozenset
        tokens = [graph.attach(node, member) for member in list(value)]
        node.own = digest(kind.__name__, *(sorted(tokens) if node.unordered else tokens))


def _expand_constant(_: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    node.own = digest("constant", repr(value))


def _expand_bytes_like(_: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    node.identity = True
    node.own = digest(type(value).__name__, value_digest(bytes(value)))


def _expand_slice(graph: Graph, node: Node, value: slice) -> None:
    node.kind = "value"
    node.own = digest("slice", *[graph.attach(node, part) for part in (value.start, value.stop, value.step)])


def _expand_proxy(graph: Graph, node: Node, value: MappingProxyType[Any, Any]) -> None:
    node.kind = "value"
    try:
        inner = dict(value)
    except Exception:  # noqa: BLE001 - it may wrap a mapping of the user's, which may raise anything
        _expand_opaque(graph, node, value)
        return
    node.own = digest("mappingproxy", graph.attach(node, inner))


def _expand_descriptor(_: Graph, node: Node, value: Any) -> None:
    """A method or attribute of compiled code: by the class it belongs to and its name."""
    owner = value.__objclass__
    node.own = digest("descriptor", class_module(owner), class_qualname(owner), value.__name__)


def _expand_method_wrapper(graph: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    node.own = digest("method wrapper", value.__name__, graph.attach(node, value.__self__))


def _expand_wrapping(*attributes: str) -> Expander:
    """For types of Python's own that hold functions of the user's under these attributes."""

    def expand(graph: Graph, node: Node, value: Any) -> None:
        node.kind = "value"
        tokens = [graph.attach(node, getattr(value, name)) for name in attributes]
        kept = {
            name: each
            for name, each in (instance_dict(value) or {}).items()
            if type(name) is str and not (name.startswith("__") and name.endswith("__")) and name not in attributes
        }
        if kept and type(value) not in _STATELESS:
            tokens.append(graph.attach(node, dict(sorted(kept.items()))))
        node.own = digest(type(value).__name__, *tokens)

    return expand


def _expand_cache(graph: Graph, node: Node, value: Any) -> None:
    """A `functools.lru_cache`: the function and the parameters, never what it holds."""
    node.kind = "value"
    kept = instance_dict(value) or {}
    parameters = kept.get("cache_parameters")
    # Called only where it is functools' own: it gives ``maxsize`` and ``typed``.
    known = type(parameters) is FunctionType and parameters.__globals__.get("__name__") == "functools"
    tokens = [graph.attach(node, each) for each in (kept.get("__wrapped__"), parameters() if known else None)]
    node.own = digest("lru_cache", *tokens)


def _expand_source_path(_: Graph, node: Node, path: SourcePath) -> None:
    node.kind = "value"
    node.own = digest("source path", type(path.value).__name__, path.relative)


def _expand_ours(graph: Graph, node: Node, value: Any) -> None:
    """An object of memo's own: a definition counts by the function it was made of, and the config given to it."""
    if hasattr(value, "compute_fn"):
        function = value.compute_fn
        counts = (value.hardcoded_value if function is None else function, getattr(value, "preset_config", None))
        node.own = digest("definition", *[graph.attach(node, each) for each in counts])
    else:
        _expand_state(graph, node, value, without=_WHERE_DEFINED)


_WHERE_DEFINED = frozenset({"location", "description", "metadata", "__doc__", "__name__"})


def _expand_opaque(_: Graph, node: Node, value: Any, why: str = "") -> None:
    """Something that cannot be looked into: its type counts, and the user is told unless it is harmless."""
    node.kind = "value"
    node.identity = True
    label = type_label(value)
    node.own = digest("opaque", label)
    if label not in _SILENT:
        node.note(why or f"a {label}, which cannot be looked into")


def _expand_instance(graph: Graph, node: Node, value: Any) -> None:
    kind = type(value)
    special = SPECIAL.get(id(value))
    if special is not None:
        node.own = digest("special", special)
        return
    if type_label(value) in _SILENT:
        _expand_opaque(graph, node, value)
        return
    if is_enum(kind):
        _expand_enum_member(graph, node, value)
    elif graph.space_of_class(kind).owner == "user" and is_heap_type(kind):
        _expand_state(graph, node, value)
    else:
        _expand_foreign(graph, node, value)


def _expand_enum_member(graph: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    kept = instance_dict(value) or {}
    name = kept.get("_name_")
    node.own = digest("member", name if type(name) is str else "", *[graph.attach(node, each) for each in (kept.get("_value_"), type(value))])


def _expand_state(graph: Graph, node: Node, value: Any, without: frozenset[str] = frozenset()) -> None:
    """An instance by its class and what it keeps, whatever methods the class may have for copying itself."""
    node.kind = "value"
    node.identity = True
    kind = type(value)
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
    cached_property = sys.modules["functools"].cached_property
    return {
        name for base in class_mro(kind) for name, found in class_dict(base).items() if type(found) is cached_property
    }


def _built_in_content(graph: Graph, node: Node, value: Any) -> list[str]:
    """What an instance holds as a child of a built-in or compiled type, read through that type itself."""
    for base in class_mro(type(value)):
        if base is object:
            return []
        read = _CONTENTS.get(base)
        if read is not None:
            return [f"{base.__name__} {graph.attach(node, read(value))}"]
        space = graph.space_of_class(base)
        if space.owner == "user" and is_heap_type(base):
            continue
        for name in ("__reduce_ex__", "__reduce__"):
            reduce = class_dict(base).get(name)
            if reduce is not None:
                try:
                    parts = reduce(value, 4) if name == "__reduce_ex__" else reduce(value)
                except Exception as error:  # noqa: BLE001 - compiled code of any distribution may raise anything
                    node.note(f"what a {type_label(value)} holds cannot be read: {type(error).__name__}")
                    return []
                inner = [list(part) if _is_iterator(part) else part for part in parts[1:]] if type(parts) is tuple else parts
                return [f"reduced {graph.attach(node, inner)}"]
    return []


def _is_iterator(part: Any) -> bool:
    return "__next__" in class_dict(type(part))


_CONTENTS: dict[type, Callable[[Any], Any]] = {
    bool: lambda value: int.__int__(value) != 0,
    int: int.__int__,
    float: float.__float__,
    complex: lambda value: (complex.real.__get__(value), complex.imag.__get__(value)),  # type: ignore[attr-defined]
    str: str.__str__,
    bytes: lambda value: bytes.__getitem__(value, slice(None)),
    bytearray: lambda value: bytearray.__getitem__(value, slice(None)),
    list: lambda value: list.__getitem__(value, slice(None)),
    tuple: lambda value: tuple.__getitem__(value, slice(None)),
    dict: lambda value: list(dict.items(value)),
    set: lambda value: frozenset_of(set.__iter__(value)),
    frozenset: lambda value: frozenset_of(frozenset.__iter__(value)),
}


def frozenset_of(members: Iterable[Any]) -> Unordered:
    """Members as pairs without an order; their hashes are never asked for."""
    return Unordered([(member, None) for member in members])


def _expand_foreign(graph: Graph, node: Node, value: Any) -> None:
    """An instance of a class that is not the user's."""
    node.kind = "value"
    node.identity = True
    found = content_digest(value)
    if found is not None:
        node.own = digest("content", type_label(value), found)
        node.edges.extend(("", package) for package in graph.space_of_class(type(value)).packages)
        return
    from memo_strategies.foreign import pickled

    held = pickled(value)
    if held is not None:
        tokens = [graph.attach(node, each) for each in held.objects]
        node.edges.extend(("", package) for package in graph.space_of_class(type(value)).packages)
        node.own = digest("foreign", type_label(value), held.digest, *tokens)
        return
    wrapped = _wrapped(value)
    if wrapped is not None:
        node.own = digest("wrapper", type_label(value), graph.attach(node, wrapped))
        node.edges.extend(("", package) for package in graph.space_of_class(type(value)).packages)
        return
    _expand_opaque(graph, node, value)


def _wrapped(value: Any) -> Any:
    try:
        found = value.__wrapped__
    except Exception:  # noqa: BLE001 - an object of any distribution may raise anything
        return None
    return found if type(found) is FunctionType or is_class(found) else None


def _table() -> dict[type, Expander]:
    import functools

    by_type: dict[type, Expander] = {
        type(None): _expand_atom,
        bytearray: _expand_bytes_like,
        memoryview: _expand_bytes_like,
        range: _expand_atom,
        slice: _expand_slice,
        type(...): _expand_constant,
        type(NotImplemented): _expand_constant,
        MappingProxyType: _expand_proxy,
        FunctionType: expand_function,
        MethodType: expand_method,
        BuiltinFunctionType: expand_builtin,
        CodeType: expand_code,
        CellType: expand_cell,
        MethodWrapperType: _expand_method_wrapper,
        functools.partial: _expand_wrapping("func", "args", "keywords"),
        functools.cached_property: _expand_wrapping("func"),
        property: _expand_wrapping("fget", "fset", "fdel"),
        classmethod: _expand_wrapping("__func__"),
        staticmethod: _expand_wrapping("__func__"),
        type(functools.lru_cache(len)): _expand_cache,
        Unordered: expand_unordered,
        Space: expand_space,
        SourcePath: _expand_source_path,
    }
    by_type |= dict.fromkeys(ATOMS, _expand_atom)
    by_type |= dict.fromkeys(_CONTAINERS, _expand_container)
    descriptors = (
        ClassMethodDescriptorType, GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType,
        WrapperDescriptorType,
    )  # fmt: skip
    by_type |= dict.fromkeys(descriptors, _expand_descriptor)
    return by_type


_BY_TYPE = _table()
_STATELESS = frozenset({sys.modules["functools"].cached_property})
"""Wrappers whose own attributes follow from where they stand."""
