"""What one op reaches, out of the graph: its version, and what could not be followed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from memo.contracts.version_strategy import CodeVersion
from memo.hashing import digest
from memo_strategies.code_objects import line_of
from memo_strategies.dynamic import warning
from memo_strategies.flags import IDENTITY, NOTED, REBINDS, REFLECTS, SUBCLASSES
from memo_strategies.introspect import class_subclasses
from memo_strategies.parts import Parts
from memo_strategies.reflection import reflected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memo_strategies.graph import Graph, Node
    from memo_strategies.source_text import SourceTexts

_RECIPE = "1"
"""The number of this way of hashing: raised whenever the same code would get another hash."""

_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"


def version_of(graph: Graph, objects: Sequence[object], texts: SourceTexts) -> CodeVersion:
    """The version of all that is reached from some objects."""
    starts = [graph.settled(obj) for obj in objects]
    flags = 0
    for root in starts:
        flags |= root.reached
    if not flags:
        return _joined(starts, {}, (), texts)
    if flags & SUBCLASSES:
        _add_subclasses(graph, starts)
        for node in starts:
            flags |= node.reached
    order = walk(starts)
    extras = {
        "which things are shared": _sharing(order) if flags & IDENTITY else "",
        "which globals are assigned": _bindings(order) if flags & REBINDS else "",
        "names, docs and annotations": reflected(order, flags) if flags & REFLECTS else "",
    }
    found = {what: hashed for what, hashed in extras.items() if hashed}
    return _joined(starts, found, _warnings(order) if flags & NOTED else (), texts)


def _joined(starts: list[Node], extras: dict[str, str], warnings: tuple[str, ...], texts: SourceTexts) -> CodeVersion:
    counted = [part for extra in extras.items() for part in extra]
    version = digest("source", _RECIPE, _PYTHON, *counted, *[node.full for node in starts])
    # Made when they are asked for: a plan that finds everything stored asks for none.
    parts = Parts(starts, extras, _PYTHON, texts)
    return CodeVersion(version, parts, warnings)


def walk(starts: list[Node]) -> list[Node]:
    """All that is reached, in an order that nothing but its content decides."""
    order: list[Node] = []
    seen: set[int] = set()
    work = starts[::-1]
    while work:
        node = work.pop()
        if id(node) not in seen:
            seen.add(id(node))
            order.append(node)
            work += [child for _, child in reversed(node.edges)]
    return order


def _add_subclasses(graph: Graph, starts: list[Node]) -> None:
    """Code that asks classes for their subclasses reaches these too."""
    asked: set[int] = set()
    while True:
        order = walk(starts)
        known = {id(node) for node in order}
        classes = [node for node in order if node.kind == "class" and id(node) not in asked]
        if not classes:
            return
        asked |= {id(node) for node in classes}
        found = [graph.settled(each) for node in classes for each in class_subclasses(node.obj)]
        starts += sorted((node for node in found if id(node) not in known), key=_full)


def _full(node: Node) -> str:
    return node.full


def _sharing(order: list[Node]) -> str:
    """Who shares what, where there are several equal things that only their identity tells apart."""
    count: dict[str, int] = {}
    for node in order:
        if node.flags & IDENTITY:
            count[node.full] = count.get(node.full, 0) + 1
    if all(each == 1 for each in count.values()):
        return ""
    number = {id(node): at for at, node in enumerate(order)}
    return digest("sharing", *[
        f"{number[id(node)]} {at} {number[id(child)]}"
        for node in order
        for at, (_, child) in enumerate(node.edges)
        if child.flags & IDENTITY and count[child.full] > 1
    ])  # fmt: skip


def _bindings(order: list[Node]) -> str:
    """Which functions load a global that one of them assigns: its value alone does not tell which global it is."""
    functions = [(at, node, node.summary) for at, node in enumerate(order) if node.summary is not None]
    names: dict[tuple[int, str], int] = {}
    for _, node, summary in functions:
        for name in sorted(summary.rebinds):
            names.setdefault((id(node.space), name), len(names))
    return digest("bindings", *[
        f"{at} {slot} {names[id(node.space), hole.name]}"
        for at, node, summary in functions
        for slot, hole in enumerate(summary.holes)
        if (id(node.space), hole.name) in names
    ])  # fmt: skip


def _warnings(order: list[Node]) -> tuple[str, ...]:
    found: dict[tuple[str, str], None] = {}
    reached: dict[int, tuple[str, str]] = {}
    for node in order:
        name, where = reached.get(id(node), ("", ""))
        for what, line in node.notes or ():
            place = where if line is None or node.code is None else f"{node.code.co_filename}:{line}"
            found[place, f"{name} is {what}" if name and line is None else what] = None
        for label, child in node.edges:
            if child.reached & NOTED and id(child) not in reached:
                at = where if node.code is None else f"{node.code.co_filename}:{_line_to(node, child)}"
                reached[id(child)] = (label or name, at)
    return (warning(list(found)),) if found else ()


def _line_to(node: Node, child: Node) -> int:
    """The line where a function loads what it reaches; its first line for what it carries with it."""
    assert node.code is not None
    for hole in node.summary.holes if node.summary is not None and node.space is not None else ():
        filling = node.space.fillings.get(hole.key) if node.space is not None else None
        if filling is not None and any(each is child for _, each in filling.edges):
            return line_of(node.code, hole.place)
    return node.code.co_firstlineno
