"""Which steps a selection names: ``a``, ``*a``, ``a*``, ``+a``, ``a++``, several of them."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING

from memo.errors import SelectionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memo.definition.step import Step


def select_steps(steps: Mapping[str, Step], selection: Iterable[str] | str) -> frozenset[str]:
    """Read a selection.

    A name stands for a step, or for all steps of a graph placed under that name; ``*`` alone for all. ``*`` before a
    name adds all that is upstream of it, behind it all that is downstream; each ``+`` adds one level.

    Args:
        steps: Of the job, in topological order.
        selection: Clauses, or one string of them with commas or spaces between.

    Raises:
        SelectionError: A clause names nothing, or cannot be read.
    """
    clauses = selection.replace(",", " ").split() if isinstance(selection, str) else list(selection)
    if not clauses:
        raise SelectionError("the selection is empty; name a step, or leave the selection out to take all")
    neighbours: tuple[Mapping[str, set[str]], Mapping[str, set[str]]] | None = None
    found: set[str] = set()
    for clause in clauses:
        if clause == "*":
            return frozenset(steps)
        name, up, down = _read(clause)
        named = _named(steps, name, clause)
        found |= named
        if up != 0 or down != 0:
            neighbours = neighbours or _neighbours(steps)
            found |= _reach(named, neighbours[0], up) | _reach(named, neighbours[1], down)
    return frozenset(found)


def _named(steps: Mapping[str, Step], name: str, clause: str) -> set[str]:
    if name in steps:
        return {name}
    within = {key for key in steps if key.startswith(f"{name}.")}
    if not within:
        known = {*steps, *(key.rpartition(".")[0] for key in steps if "." in key)}
        raise SelectionError(f"the selection {clause!r} names no step of this job.{did_you_mean(name, known)}")
    return within


def _neighbours(steps: Mapping[str, Step]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Each step's parents, and each step's children."""
    parents = {key: set(step.parents()) for key, step in steps.items()}
    children: dict[str, set[str]] = {key: set() for key in steps}
    for key, above in parents.items():
        for each in above:
            children[each].add(key)
    return parents, children


def _read(clause: object) -> tuple[str, int | None, int | None]:
    """Take a clause apart into a name and how many levels up and down; None for all."""
    if not isinstance(clause, str):
        raise SelectionError(f"a selection is made of strings, and {reprlib.repr(clause)} is in it")
    name = clause.lstrip("*+")
    before = clause[: len(clause) - len(name)]
    bare = name.rstrip("*+")
    after = name[len(bare) :]
    if not bare:
        raise SelectionError(f"the selection {clause!r} names no step; write a step's name between the signs")
    return bare, _levels(before, clause), _levels(after, clause)


def _levels(signs: str, clause: str) -> int | None:
    if "*" in signs:
        if signs != "*":
            raise SelectionError(f"the selection {clause!r} cannot be read: write * alone, or one + for each level")
        return None
    return len(signs)


def _reach(start: set[str], edges: Mapping[str, set[str]], levels: int | None) -> set[str]:
    found: set[str] = set()
    front = start
    while front and (levels is None or levels > 0):
        front = {each for key in front for each in edges[key]} - found
        found |= front
        levels = None if levels is None else levels - 1
    return found
