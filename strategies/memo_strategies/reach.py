"""What one op reaches, out of the graph: its version, and what could not be followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from memo.contracts.version_strategy import BlindSpot, CodeVersion
from memo.hashing import digest, joined_digest
from memo_strategies.code_objects import line_of
from memo_strategies.dynamic import blind_spot
from memo_strategies.flags import (
    HEIRS,
    IDENTITY,
    NOTED,
    ORDER,
    REBINDS,
    REFLECTS,
    SEVERAL,
    SUBCLASSES,
    TEXTS,
    VARIABLES,
    united,
)
from memo_strategies.functions import cells_of
from memo_strategies.ordering import ordered
from memo_strategies.parts import PYTHON, Parts
from memo_strategies.reflection import reflected
from memo_strategies.subclasses import add_subclasses
from memo_strategies.walking import walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memo_strategies.code_objects import Hole
    from memo_strategies.graph import Graph, Node
    from memo_strategies.source_text import SourceTexts

_RECIPE = "1"
"""The number of this way of hashing: raised whenever the same code would get another hash."""

_SOURCE = f"source {_RECIPE} {PYTHON}"

_NO_EXTRAS: dict[str, str] = {}


def version_of(graph: Graph, objects: Sequence[object], texts: SourceTexts) -> CodeVersion:
    """The version of all that is reached from some objects."""
    if len(objects) == 1 and not graph.ignored:  # as most are, of the function of an op without config
        root = graph.settled(objects[0])
        if not root.reached & ~IDENTITY:
            version = joined_digest(_SOURCE, f"{len(root.full)}:{root.full}")
            return CodeVersion(version, Parts(root, _NO_EXTRAS, texts))
    starts = [graph.settled(obj) for obj in objects]
    found = _version_of(graph, starts, texts)
    if not graph.ignored:
        return found
    return replace(found, ignored=frozenset(node.name for node in walk(starts) if node.kind == "ignored"))


def _version_of(graph: Graph, starts: list[Node], texts: SourceTexts) -> CodeVersion:
    flags = 0
    for root in starts:
        flags = united(flags, root.reached)
    if not flags & ~IDENTITY:  # as most are
        return _joined(starts, _NO_EXTRAS, (), texts)
    extras: dict[str, str] = {}
    if flags & (SUBCLASSES | HEIRS):
        extras["which subclasses there are"] = add_subclasses(graph, starts)
        for node in starts:
            flags = united(flags, node.reached)
    if flags & SEVERAL:
        extras["which things are shared"] = _sharing(walk(starts, IDENTITY))
    if flags & REBINDS:
        extras["which globals are assigned"] = _bindings(walk(starts))
    if flags & (REFLECTS | VARIABLES | TEXTS):
        extras["names, docs and annotations"] = reflected(graph, starts, flags, texts)
    if flags & ORDER:
        extras["the order of attributes"] = ordered(walk(starts))
    found = {what: hashed for what, hashed in extras.items() if hashed}
    return _joined(starts, found, _blind_spots(walk(starts, NOTED)) if flags & NOTED else (), texts)


def _joined(
    starts: list[Node], extras: dict[str, str], blind_spots: tuple[BlindSpot, ...], texts: SourceTexts
) -> CodeVersion:
    counted = [node.full for node in starts]
    if extras:
        counted += [part for extra in extras.items() for part in extra]
    version = digest(_SOURCE, *counted)
    # Made when they are asked for: a plan that finds everything stored asks for none.
    parts = Parts(starts[0] if len(starts) == 1 else tuple(starts), extras, texts)
    return CodeVersion(version, parts, blind_spots)


def _sharing(order: list[Node]) -> str:
    """Who shares what, where there are several equal things that only their identity tells apart."""
    met: set[str] = set()
    twins: set[str] = set()
    for node in order:
        if node.flags & IDENTITY:
            (twins if node.full in met else met).add(node.full)
    number = {id(node): at for at, node in enumerate(order)}
    found = [
        f"{number[id(node)]} {at} {number[id(child)]}"
        for node in order
        for at, (_, child) in enumerate(node.edges)
        if child.flags & IDENTITY and child.full in twins
    ] if twins else []  # fmt: skip
    found += _overlaps(order)
    return digest("sharing", *found) if found else ""


def _overlaps(order: list[Node]) -> Iterator[str]:
    """Which parts of plain data are things of their own as well, or parts of other such data."""
    nested = sorted(((at, node.inner) for at, node in enumerate(order) if node.inner), key=_size)
    places = {id(node.obj): (at, -1) for at, node in enumerate(order) if node.flags & IDENTITY} if nested else {}
    for at, inner in nested:
        if not places.keys().isdisjoint(inner.keys()):
            yield from [f"{at} {place} {places[each]}" for each, place in inner.items() if each in places]
        if inner is not nested[-1][1]:
            places |= {each: (at, place) for each, place in inner.items()}


def _size(numbered: tuple[int, dict[int, int]]) -> int:
    return len(numbered[1])


def _bindings(order: list[Node]) -> str:
    """Which functions load what one of them assigns: its value alone does not tell which variable it is.

    Assigned are globals, variables that functions are over, and attributes of modules that are handed on: any of these.
    """
    functions = [(at, node, node.summary) for at, node in enumerate(order) if node.summary is not None]
    whole = {id(node.space): at for at, node in enumerate(order) if node.kind == "module"}
    assigned: set[object] = set()
    for _, node, summary in functions:
        assigned |= {(id(node.space), name) for name in summary.rebinds}
        assigned |= {id(cells_of(node.obj)[name]) for name in summary.rebinds_free}
    numbers: dict[object, int] = {}
    found: list[str] = []
    for at, node, summary in functions:
        for slot, hole in enumerate(summary.holes):
            space, name = _place(node, hole)
            if space in whole:
                found.append(f"{at} {slot} {whole[space]} {name}")
            elif (space, name) in assigned:
                found.append(f"{at} {slot} {numbers.setdefault((space, name), len(numbers))}")
        for slot, name in enumerate(summary.free):
            cell = id(cells_of(node.obj)[name])
            if cell in assigned:
                found.append(f"{at} free {slot} {numbers.setdefault(cell, len(numbers))}")
    return digest("bindings", *found)


def _place(node: Node, hole: Hole) -> tuple[int, str]:
    """The space that something loaded from outside is in, by its id, and its name there."""
    assert node.space is not None
    space, name = node.space.fillings[hole.key].place or (node.space, hole.name)
    return id(space), name


def _blind_spots(order: list[Node]) -> tuple[BlindSpot, ...]:
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
    return tuple(blind_spot(what, place) for place, what in found)


def _line_to(node: Node, child: Node) -> int:
    """The line where a function loads what it reaches; its first line for what it carries with it."""
    assert node.code is not None
    for hole in node.summary.holes if node.summary is not None and node.space is not None else ():
        filling = node.space.fillings.get(hole.key) if node.space is not None else None
        if filling is not None and any(each is child for _, each in filling.edges):
            return line_of(node.code, hole.place)
    return node.code.co_firstlineno
