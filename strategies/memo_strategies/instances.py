"""Instances: the user's by their class and what they keep, others by what pickling them would write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.content import content_digest
from memo.hashing import digest, value_digest
from memo_strategies.accessors import BUILT_IN, accessor_of
from memo_strategies.annotations import annotations_of
from memo_strategies.enums import expand_member, is_enum
from memo_strategies.flags import IDENTITY
from memo_strategies.functions import compiled
from memo_strategies.introspect import (
    cached_properties,
    class_dict,
    class_module,
    class_mro,
    hides_state,
    instance_dict,
    is_heap_type,
    type_label,
)
from memo_strategies.opaque import UNTOUCHABLE, content_of, hidden_content, is_program, is_silent, users_things

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node


def _expand_silent(_: Graph, node: Node, value: Any) -> None:
    node.kind = "value"
    node.flags |= IDENTITY
    node.own = digest("silent", type_label(value))


def expand_instance(graph: Graph, node: Node, value: Any) -> None:
    """Any object that no other room knows."""
    kind = type(value)
    if is_silent(value):
        _expand_silent(graph, node, value)
        return
    if is_enum(kind):
        expand_member(graph, node, value)
    elif graph.space_of_class(kind).owner == "user" and is_heap_type(kind):
        expand_state(graph, node, value)
    else:
        _expand_foreign(graph, node, value)


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
        derived = cached_properties(kind) | without
        for name, each in sorted((item for item in list(dict.items(kept)) if type(item[0]) is str), key=_first):
            if name not in derived and not is_program(name, each):
                tokens.append(f"{name} {graph.attach(node, each)}")
    for name, slot in graph.slots_of(kind):
        try:
            each = slot.__get__(value)
        except AttributeError:
            continue
        tokens.append(f"slot {name} {graph.attach(node, each)}")
    tokens += _built_in_content(graph, node, value)
    node.own = digest("instance", *tokens)


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def _built_in_content(graph: Graph, node: Node, value: Any) -> list[str]:
    """What an instance holds as a child of a built-in or compiled type, read through that type itself."""
    for base in class_mro(type(value)):
        if base is object:
            return []
        read = BUILT_IN.get(id(base))
        if read is not None:
            return [f"{base.__name__} {graph.attach(node, read(value))}"]
        if is_heap_type(base) and not hides_state(base) and graph.space_of_class(base).owner == "user":
            continue
        for name in ("__reduce_ex__", "__reduce__"):
            reduce = class_dict(base).get(name)
            if reduce is not None:
                return _reduced(graph, node, value, reduce)
        if hides_state(base):
            return hidden_content(graph, node, value)
    return []


def _reduced(graph: Graph, node: Node, value: Any, reduce: Any) -> list[str]:
    try:
        parts = reduce(value, 4) if reduce.__name__ == "__reduce_ex__" else reduce(value)
        if type(parts) is str:  # it is known by its name, as compiled functions are
            module = getattr(value, "__module__", None)
            return [f"named {parts}", *compiled(graph, node, module if type(module) is str else None)]
        inner = [list(part) if _is_iterator(part) else part for part in parts[1:]]
    except Exception:  # noqa: BLE001 - compiled code of any distribution may raise anything
        return hidden_content(graph, node, value)
    return [f"reduced {graph.attach(node, inner)}"]


def _is_iterator(part: Any) -> bool:
    return "__next__" in class_dict(type(part))


def _expand_foreign(graph: Graph, node: Node, value: Any) -> None:
    """An instance of a class that is not the user's."""
    node.kind = "value"
    node.flags |= IDENTITY
    label = type_label(value)
    space = graph.space_of_class(type(value))
    node.edges.extend(("", package) for package in space.packages)
    read = accessor_of(type(value))
    if class_module(type(value)) in _EXACT and getattr(value, "tzinfo", None) is None:
        tokens = [value_digest(value)]
    elif read is not None:
        tokens = [graph.attach(node, read(value))]
    elif label in UNTOUCHABLE:
        tokens = content_of(graph, node, value)
    else:
        tokens = _written_out(graph, node, value)
    if space.owner == "installed":
        tokens += annotations_of(graph, node)
    node.own = digest("foreign", label, *tokens)


_EXACT = frozenset({"datetime", "decimal", "fractions", "uuid"})
"""Modules of Python's whose values have a text that says it all."""


def _written_out(graph: Graph, node: Node, value: Any) -> list[str]:
    """An instance as pickling writes it, and what of the user's it has that pickling does not show."""
    from memo_strategies.foreign import OF_DATA, pickled

    users = users_things(graph, value)
    is_data = class_module(type(value)).partition(".")[0] in OF_DATA
    found = content_digest(value) if is_data and not users else None
    if found is not None:
        return [found]
    held = pickled(value)
    if held is None:
        return content_of(graph, node, value)
    known = {id(each) for each in held.objects}
    hidden = [each for each in users if id(each) not in known]
    return [held.digest, *[graph.attach(node, each) for each in held.objects + tuple(hidden)]]
