"""The order in which attributes were made: it counts only for an op whose code looks at them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.hashing import digest
from memo_strategies.classes import own_attributes
from memo_strategies.introspect import cached_properties, instance_dict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo_strategies.graph import Node


def ordered(nodes: Iterable[Node]) -> str:
    """Hash the order of the attributes of the classes, instances and modules among these.

    Args:
        nodes: In the order they are reached.
    """
    return digest("ordered", *[digest("attributes", *names) for node in nodes if (names := _names(node))])


def _names(node: Node) -> list[str]:
    if node.kind == "class":
        return [name for name, _ in own_attributes(node.obj)]
    if node.kind == "module":
        assert node.space is not None
        kept = node.space.namespace
    elif node.kind == "value":
        kept = instance_dict(node.obj) or {}
    else:
        return []
    derived = cached_properties(type(node.obj)) if kept and node.kind == "value" else ()
    return [name for name in dict.keys(kept) if type(name) is str and name not in derived and name[:2] != "__"]
