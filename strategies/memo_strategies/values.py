"""What values are made of: by type and content, with the functions and classes within them as edges."""

from __future__ import annotations

import functools
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

from memo.hashing import digest, value_digest
from memo_strategies.annotations import Annotation, expand_annotation
from memo_strategies.classes import expand_class
from memo_strategies.dynamic import what_cannot_be_followed
from memo_strategies.flags import IDENTITY
from memo_strategies.functions import (
    expand_builtin,
    expand_cell,
    expand_code,
    expand_function,
    expand_method,
    expand_unordered,
)
from memo_strategies.graph import Space
from memo_strategies.instances import expand_instance, expand_state
from memo_strategies.introspect import (
    ATOMS,
    Unordered,
    class_module,
    class_qualname,
    ids,
    instance_dict,
    is_module,
)
from memo_strategies.looking import REFLECTIVE, looked_at_by
from memo_strategies.modules import expand_module, expand_space
from memo_strategies.names import SPECIAL
from memo_strategies.paths import SourcePath, within
from memo_strategies.showing import plain_repr, short_repr

if TYPE_CHECKING:
    from memo_strategies.graph import Expander, Graph, Node

_DEEPEST = 16
_MOST_CONTAINERS = 300_000
"""Beyond these a container is taken apart node by node, which is slower, but needs neither recursion nor patience
where parts are shared over and over."""


def expander_of(obj: object) -> Expander:
    """Give the function that fills in the node of an object of this kind."""
    if id(obj) in SPECIAL:
        return _expand_special
    kind = type(obj)
    found = _BY_TYPE.get(id(kind))
    if found is not None:
        return found
    if issubclass(kind, type):
        return expand_class
    if is_module(obj):
        return expand_module
    if class_module(kind).partition(".")[0] == "memo":
        return _expand_ours
    return expand_instance


class _Plainness:
    """Whether a container holds nothing but plain data, however nested, of a size to go through at once.

    Attributes:
        inner: The ids of the containers within it that can be changed, each with the how manieth of them it is.
        flags: What code can look at that takes the texts in it for names of attributes.
    """

    __slots__ = ("flags", "inner", "left", "root")

    def __init__(self, root: str | None) -> None:
        self.root = root
        self.inner: dict[int, int] = {}
        self.flags = 0
        self.left = _MOST_CONTAINERS

    def holds(self, value: Any, depth: int = _DEEPEST) -> bool:
        """Look into a container: it may have neither the same list twice nor paths of the sources."""
        kind = type(value)
        if id(kind) not in _CONTAINERS or not depth or not self.left:
            return False
        self.left -= 1
        members: tuple[Any, ...] = (*value, *value.values()) if kind is dict else tuple(value)
        all_atoms = ATOMS.issuperset(map(id, map(type, members)))
        texts = members if all_atoms else [each for each in members if type(each) is str]
        if not REFLECTIVE.keys().isdisjoint(texts):
            for each in texts:
                self.flags |= looked_at_by(each)
        if not all_atoms:
            for member in members:
                inner = type(member)
                if id(inner) in ATOMS:
                    continue
                if inner is list or inner is dict or inner is set:
                    if id(member) in self.inner:
                        return False
                    self.inner[id(member)] = len(self.inner)
                if not self.holds(member, depth - 1):
                    return False
        root = self.root
        return root is None or not any(
            root in each and within(each, root) is not each for each in members if type(each) is str
        )


_CONTAINERS = ids(list, tuple, dict, set, frozenset)


def _expand_atom(_: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    if type(value) is str:
        node.flags |= looked_at_by(value)
    node.own = value_digest(value)


def _expand_container(graph: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    kind = type(value)
    looked = _Plainness(node.root)
    plain = looked.holds(value)
    node.flags |= looked.flags
    if plain and looked.inner:
        node.inner = looked.inner
    if kind is list or kind is dict or kind is set or node.inner:
        node.flags |= IDENTITY
        node.detail = plain_repr(value) if plain else short_repr(value)
    if plain:
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
    node.flags |= IDENTITY
    layout = (value.format, value.shape) if type(value) is memoryview else ()
    node.own = digest(type(value).__name__, value_digest(bytes(value)), value_digest(layout))


def _expand_slice(graph: Graph, node: Node, value: slice) -> None:
    node.kind = "value"
    node.own = digest("slice", *[graph.attach(node, part) for part in (value.start, value.stop, value.step)])


def _expand_proxy(graph: Graph, node: Node, value: MappingProxyType[Any, Any]) -> None:
    node.kind = "value"
    try:
        inner = dict(value)
    except Exception:  # noqa: BLE001 - it may wrap a mapping of the user's, which may raise anything
        node.own = digest("mappingproxy")
        node.note("a mappingproxy, which cannot be looked into")
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
        kept = _put_on(value, attributes)
        if kept and id(type(value)) not in _STATELESS:
            tokens.append(graph.attach(node, kept))
        node.own = digest(type(value).__name__, *tokens)

    return expand


def _put_on(value: Any, known: tuple[str, ...] = ()) -> dict[str, Any]:
    """What somebody put onto a thing of Python's own, by name."""
    kept = instance_dict(value) or {}
    names = [name for name in kept if type(name) is str and not (name.startswith("__") and name.endswith("__"))]
    return {name: kept[name] for name in sorted(names) if name not in known}


def _expand_cache(graph: Graph, node: Node, value: Any) -> None:
    """A `functools.lru_cache`: the function and the parameters, never what it holds."""
    node.kind = "value"
    kept = instance_dict(value) or {}
    parameters = kept.get("cache_parameters")
    # Called only where it is functools' own: it gives ``maxsize`` and ``typed``.
    if type(parameters) is not FunctionType or dict.get(parameters.__globals__, "__name__") != "functools":
        parameters = None
    known = None if parameters is None else parameters()
    put_on = _put_on(value, ("cache_parameters",))
    counts = (kept.get("__wrapped__"), known, *([put_on] if put_on else []))
    node.own = digest("lru_cache", *[graph.attach(node, each) for each in counts])


def _expand_source_path(_: Graph, node: Node, path: SourcePath) -> None:
    node.kind = "value"
    node.own = digest("source path", type(path.value).__name__, *path.around)


def _expand_ours(graph: Graph, node: Node, value: Any) -> None:
    """An object of memo's own: a definition counts by the function it was made of, and the config set on it."""
    if hasattr(value, "compute_fn"):
        function = value.compute_fn
        counts = (value.hardcoded_value if function is None else function, getattr(value, "preset_config", None))
        node.own = digest("definition", *[graph.attach(node, each) for each in counts])
    else:
        expand_state(graph, node, value, without=_WHERE_DEFINED)


_WHERE_DEFINED = frozenset({"location", "description", "metadata", "__doc__", "__name__"})


def _expand_special(_: Graph, node: Node, value: Any) -> None:
    """A value of the interpreter's own, such as ``sys.modules``: its name counts, what it holds is another matter."""
    name = SPECIAL[id(value)]
    node.own = digest("special", name)
    hidden = what_cannot_be_followed(name)
    if hidden is not None:
        node.note(hidden)


def _table() -> dict[int, Expander]:
    by_type: dict[type, Expander] = {
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
        Annotation: expand_annotation,
        Space: expand_space,
        SourcePath: _expand_source_path,
    }
    descriptors = (
        ClassMethodDescriptorType, GetSetDescriptorType, MemberDescriptorType, MethodDescriptorType,
        WrapperDescriptorType,
    )  # fmt: skip
    by_type |= dict.fromkeys(descriptors, _expand_descriptor)
    by_id = {id(kind): expander for kind, expander in by_type.items()}
    return by_id | dict.fromkeys(ATOMS, _expand_atom) | dict.fromkeys(_CONTAINERS, _expand_container)


_BY_TYPE = _table()
_STATELESS = ids(functools.cached_property)
"""Wrappers whose own attributes follow from where they stand."""
