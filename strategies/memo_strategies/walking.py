"""All that is reached from some nodes, in an order that nothing but its content decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memo_strategies.graph import Node


def walk(starts: list[Node], flag: int = 0) -> list[Node]:
    """All that is reached, in an order that nothing but its content decides.

    Args:
        starts: Where to begin.
        flag: Keeps the walk to the ways that lead to something with this flag (`memo_strategies.flags`).
    """
    order: list[Node] = []
    seen: set[int] = set()
    work = starts[::-1]
    while work:
        node = work.pop()
        if id(node) not in seen:
            seen.add(id(node))
            order.append(node)
            work += [child for _, child in reversed(node.edges) if not flag or child.reached & flag]
    return order
