"""Hashes of nodes with all that they reach, cycles included, without recursion.

Nodes that reach each other make a component (Tarjan). Within one, colours are refined until no more nodes can
be told apart: two components are equal when, and only when, they behave alike as seen from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.hashing import digest
from memo_strategies.flags import united

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo_strategies.graph import Node

_NO_EDGES: list[tuple[str, Node]] = []
"""Of what reaches nothing, once that is known: shared, and never written to."""


def settle(root: Node, expand: Callable[[Node], None]) -> None:
    """Fill in ``full`` of every node that the root reaches.

    Args:
        root: Where to begin, a node that was not met yet.
        expand: Fills in a node's own hash and its edges; called once for each.
    """
    expand(root)
    root.index = root.low = 1
    if _is_hashed(root):  # as what reaches nothing is
        return
    open_nodes = [root]
    path = [root]
    ways = [iter(root.edges)]
    while ways:
        for _, node in ways[-1]:
            if node.index:
                continue
            expand(node)
            node.index = node.low = len(open_nodes) + 1
            if not _is_hashed(node):
                open_nodes.append(node)
                path.append(node)
                ways.append(iter(node.edges))
                break
        else:
            ways.pop()
            _close(path.pop(), open_nodes)


def _is_hashed(node: Node) -> bool:
    """Hash a node by itself, and say whether that could be done: all that it reaches must be hashed."""
    reached = node.flags
    edges = node.edges
    if not edges:
        node.reached, node.full, node.edges = reached, node.own, _NO_EDGES
        return True
    fulls: list[str] = []
    for _, child in edges:
        full = child.full
        if not full:
            return False
        fulls.append(full)
        if child.reached:
            reached = united(reached, child.reached)
    node.reached = reached
    node.full = joined(node, fulls)
    if node.unordered:
        edges.sort(key=_full_of_child)
    return True


def _close(node: Node, open_nodes: list[Node]) -> None:
    """Hash a node whose children have all been visited: by itself, or with the component that it is the first of."""
    if _is_hashed(node):
        open_nodes.pop()
        return
    node.low = min([child.low for _, child in node.edges if not child.full])
    if node.low == node.index:
        members = open_nodes[node.index - 1 :]
        del open_nodes[node.index - 1 :]
        _refine(members)


def joined(node: Node, reached: list[str]) -> str:
    """A node's own hash with those of what it reaches."""
    # All are of one length, so that they need nothing between them.
    if node.unordered:
        return digest("set", node.own + "".join(sorted(reached)))
    return digest("node", f"{node.own}{''.join(reached)}")


def _full_of_child(edge: tuple[str, Node]) -> str:
    return edge[1].full


def _refine(members: list[Node]) -> None:
    # None that a node from outside may have: it would be taken for one, and the members not be told apart.
    colours = {id(node): digest("open", node.own) for node in members}
    apart = 0
    while True:
        now = len(set(colours.values()))
        # One round more than needed to tell the members apart: each colour then says where its edges lead,
        # so that equal sets of colours mean equal components.
        last = now == apart
        apart = now
        colours = {
            id(node): joined(node, [child.full or colours[id(child)] for _, child in node.edges]) for node in members
        }
        if last:
            break
    whole = digest("component", *sorted(set(colours.values())))
    reached = 0
    for node in members:
        reached = united(reached, node.flags)
        for _, child in node.edges:
            reached = united(reached, child.reached)
    for node in members:
        node.reached = reached
        node.full = digest("member", whole, colours[id(node)])
    for node in members:
        if node.unordered:
            node.edges.sort(key=_full_of_child)
