"""Hashes of nodes with all that they reach, cycles included, without recursion.

Nodes that reach each other make a component (Tarjan). Within one, colours are refined until no more nodes can
be told apart: two components are equal when, and only when, they behave alike as seen from outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.hashing import digest

if TYPE_CHECKING:
    from memo_strategies.graph import Node


def settle(root: Node) -> None:
    """Fill in ``full`` of every node that the root reaches."""
    count = root.index = root.low = 1
    open_nodes = [root]
    work = [(root, 0)]
    while work:
        node, at = work[-1]
        edges = node.edges
        while at < len(edges):
            child = edges[at][1]
            at += 1
            if child.full:
                continue
            if not child.index:
                count += 1
                child.index = child.low = count
                open_nodes.append(child)
                work[-1] = (node, at)
                work.append((child, 0))
                break
            node.low = min(node.low, child.index)
        else:
            work.pop()
            if work:
                parent = work[-1][0]
                parent.low = min(parent.low, node.low)
            if node.low == node.index:
                _close(node, open_nodes)


def _close(head: Node, open_nodes: list[Node]) -> None:
    """Hash the component whose first node is ``head``: it is the end of the open ones."""
    if open_nodes[-1] is head:
        reached = head.flags
        fulls: list[str] = []
        for _, child in head.edges:
            reached |= child.reached
            fulls.append(child.full)
        if all(fulls):  # else it reaches itself
            open_nodes.pop()
            head.reached = reached
            head.full = joined(head, fulls)
            if head.unordered:
                head.edges.sort(key=_full_of_child)
            return
    members: list[Node] = []
    while not members or members[-1] is not head:
        members.append(open_nodes.pop())
    _refine(members)


def joined(node: Node, reached: list[str]) -> str:
    """A node's own hash with those of what it reaches."""
    return digest("set" if node.unordered else "node", node.own, *(sorted(reached) if node.unordered else reached))


def _full_of_child(edge: tuple[str, Node]) -> str:
    return edge[1].full


def _refine(members: list[Node]) -> None:
    colours = {id(node): node.own for node in members}
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
        reached |= node.flags
        for _, child in node.edges:
            reached |= child.reached
    for node in members:
        node.reached = reached
        node.full = digest("member", whole, colours[id(node)])
    for node in members:
        if node.unordered:
            node.edges.sort(key=_full_of_child)
