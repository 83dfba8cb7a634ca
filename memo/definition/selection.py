"""Which steps a selection names: ``a``, ``*a``, ``a*``, ``+a``, ``a++``, several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.errors import SelectionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from memo.definition.step import Step


def select_steps(steps: Mapping[str, Step], selection: Iterable[str] | str) -> frozenset[str]:
    """Read a selection.

    A name stands for a step, or for all steps of a graph placed under that name. ``*`` before a name adds all that
    is upstream of it, behind it all that is downstream; each ``+`` adds one level.

    Args:
        steps: Of the job, in topological order.
        selection: Clauses, or one string of them with commas or spaces between.

    Raises:
        SelectionError: A clause names nothing, or cannot be read.
    """
    clauses = selection.replace(",", " ").split() if isinstance(selection, str) else list(selection)
    if not clauses:
        raise SelectionError("the selection is empty; name a step, or leave the selection out to take all")
    parents = {key: {source.step for source in step.upstream()} for key, step in steps.items()}
    children: dict[str, set[str]] = {key: set() for key in steps}
    for key, above in parents.items():
        for each in above:
            children[each].add(key)
    found: set[str] = set()
    for clause in clauses:
        name, up, down = _read(clause)
        named = {key for key in steps if key == name or key.startswith(f"{name}.")}
        if not named:
            raise SelectionError(f"the selection {clause!r} names no step of this job.{did_you_mean(name, steps)}")
        found |= named | _reach(named, parents, up) | _reach(named, children, down)
    return frozenset(found)


def _read(clause: str) -> tuple[str, int | None, int | None]:
    """Take a clause apart into a name and how many levels up and down; None for all."""
    name = clause.lstrip("*+")
    before = clause[: len(clause) - len(name)]
    bare = name.rstrip("*+")
    after = name[len(bare) :]
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
