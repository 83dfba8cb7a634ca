"""Code that asks classes for their subclasses reaches these, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.hashing import digest
from memo_strategies.flags import HEIRS, SUBCLASSES
from memo_strategies.introspect import class_module, class_qualname, class_subclasses
from memo_strategies.walking import walk

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node

_ASKS = "__subclasses__"


def add_subclasses(graph: Graph, starts: list[Node]) -> str:
    """Add the subclasses that are asked for, theirs where they are asked in turn; gives a hash of whose they are.

    They stand in the order in which they were made, as those who ask see them.
    """
    found: dict[int, tuple[Node, list[Node]]] = {}
    while True:
        order = walk(starts)
        asked = [node for node in _asked(order) if id(node) not in found]
        if not asked:
            break
        known = {id(node) for node in order}
        for node in asked:
            below = [graph.settled(each) for each in _subclasses(node.obj)]
            found[id(node)] = node, below
            starts += [each for each in below if id(each) not in known]
            known |= {id(each) for each in below}
    number = {id(node): at for at, node in enumerate(order)}
    return digest("subclasses", *[
        f"{number[id(node)]} {number[id(each)]}" for node, below in found.values() for each in below
    ])  # fmt: skip


def _asked(order: list[Node]) -> list[Node]:
    """The classes that are asked for their subclasses: all, where the code does not say by name which."""
    asked: list[Node] = []
    for node in order:
        if node.flags & SUBCLASSES:
            return [each for each in order if each.kind == "class"]
        if not node.flags & HEIRS or node.summary is None or node.space is None:
            continue
        for hole in node.summary.holes:
            if hole.attributes[-1:] != (_ASKS,):
                continue
            filling = node.space.fillings[hole.key]
            classes = [child for _, child in filling.edges if child.kind == "class"]
            if filling.token != f" .{_ASKS}" or not classes:
                return [each for each in order if each.kind == "class"]
            asked += classes
    return list(dict.fromkeys(asked))


def _subclasses(cls: type) -> list[type]:
    """The subclasses of a class, but for those that another has taken the place of.

    So the class that a dataclass with slots was made from, which is there until the collector comes by.
    """
    found = class_subclasses(cls)
    last = {(class_module(each), class_qualname(each)): each for each in found}
    return [
        each
        for each in found
        if "<locals>" in class_qualname(each) or last[class_module(each), class_qualname(each)] is each
    ]
