"""Neutral graphs: who reads from whom, in no system's words."""

from __future__ import annotations

import math
import random
from collections import deque

from msgspec import Struct

SHAPES = ("chain", "fan", "layered")
MODULUS = 1_000_003
"""Values stay small: a step gives its number plus its parents' values, modulo this."""


class Graph(Struct, frozen=True):
    """A graph of steps that are numbered in topological order.

    Attributes:
        shape: ``chain``; ``fan``: one source, all others but the last, which reads them all; ``layered``: layers as
            wide as the square root of the count, three parents each from the layer above.
        parents: The parents of each step.
    """

    shape: str
    parents: tuple[tuple[int, ...], ...]

    @property
    def count(self) -> int:
        """How many steps there are."""
        return len(self.parents)

    def leaf(self, number: int = 0) -> int:
        """A step that nobody reads; the last, or one of those before it."""
        read = {parent for parents in self.parents for parent in parents}
        leaves = [step for step in range(self.count) if step not in read]
        return leaves[-1 - number % len(leaves)]

    def middle(self, number: int = 0) -> int:
        """A step about half way down."""
        return min(self.count // 2 + number, self.count - 1)

    def cone(self, step: int) -> int:
        """How many steps there are from this one on down, it included."""
        readers: dict[int, list[int]] = {}
        for reader, parents in enumerate(self.parents):
            for parent in parents:
                readers.setdefault(parent, []).append(reader)
        found, todo = {step}, deque([step])
        while todo:
            for reader in readers.get(todo.popleft(), ()):
                if reader not in found:
                    found.add(reader)
                    todo.append(reader)
        return len(found)


def make_graph(shape: str, count: int) -> Graph:
    """Make a graph, the same each time.

    Raises:
        ValueError: There is no such shape, or the count is too small for it.
    """
    if count < 3:
        raise ValueError(f"a graph has 3 steps or more, not {count}")
    if shape == "chain":
        return Graph(shape, tuple((step - 1,) if step else () for step in range(count)))
    if shape == "fan":
        return Graph(shape, ((), *((0,) for _ in range(count - 2)), tuple(range(1, count - 1))))
    if shape == "layered":
        return Graph(shape, _layered(count))
    raise ValueError(f"there is no shape {shape!r}; there are {', '.join(SHAPES)}")


def _layered(count: int) -> tuple[tuple[int, ...], ...]:
    draw = random.Random(7)
    width = max(3, math.isqrt(count))
    parents: list[tuple[int, ...]] = []
    for step in range(count):
        above = (step // width - 1) * width
        parents.append(tuple(sorted(draw.sample(range(above, above + width), 3))) if above >= 0 else ())
    return tuple(parents)


class Change(Struct, frozen=True):
    """One step written otherwise than at first.

    Attributes:
        step: Its number; -1 for none.
        is_equal: Whether it gives the same value all the same.
    """

    step: int = -1
    is_equal: bool = False

    def expression(self, step: int, operands: list[str]) -> str:
        """What a step computes, as Python text."""
        total = " + ".join([str(step), *operands])
        if step == self.step:
            total += " + 0" if self.is_equal else " + 1"
        return f"({total}) % {MODULUS}"

    def of(self, step: int) -> str:
        """What a step is marked with where its body is no Python: empty for what it was at first."""
        if step != self.step:
            return ""
        return "e" if self.is_equal else "s"


AS_WRITTEN = Change()
