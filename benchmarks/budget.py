"""The budget of the design against what was measured: each line with its goal, its figure, and whether it is met."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from benchmarks.figures import bytes_, medians, seconds, sizes, times
from benchmarks.results import Results

FEW = "memo, few ops"
"""memo's pipeline that is written as a build tool's: few rules, each for many steps."""


class Goal(Struct, frozen=True):
    """One line of the budget: a figure that must not be more.

    Attributes:
        name: What is measured.
        most: What it must not be more than.
        stretch: What it should not be more than.
        show: How figures are written.
        value: Takes it from results; None where it was not measured.
    """

    name: str
    most: float
    stretch: float
    show: Callable[[float], str]
    value: Callable[[Results], float | None]


def judged(results: Results) -> list[tuple[str, str, str, str, str]]:
    """Each goal: its name, must, stretch, the figure, and what became of it."""
    found = []
    for goal in GOALS:
        value = goal.value(results)
        told = "not measured"
        if value is not None:
            told = "stretch" if value <= goal.stretch else "met" if value <= goal.most else "MISSED"
        shown = "" if value is None else goal.show(value)
        found.append((goal.name, goal.show(goal.most), goal.show(goal.stretch), shown, told))
    return found


def _start(name: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        found = medians(results, "start-up", "start")
        return _difference(found.get(name), found.get("python -c pass"))

    return value


def _null(size: int, system: str, of: str = "cpu", *, ours: str = "memo") -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        found = medians(results, "runs", "null", shape="layered", size=size, of=of)
        return _number(found.get(ours)) if not system else _ratio(found.get(ours), found.get(system))

    return value


def _a_step(phase: str, ours: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        found = _number(medians(results, "in process", phase, shape="layered", size=1_000).get(ours))
        return None if found is None else found / 1_000

    return value


def _linear(ours: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        many, few = (_null(size, "", ours=ours)(results) for size in (100_000, 10_000))
        return _ratio(many, few)

    return value


def _load(of: str, beside: str) -> Callable[[Results], float | None]:
    def value(results: Results) -> float | None:
        size = max(sizes(results, "large values", "load"), default=0)
        found = medians(results, "large values", "load", size=size, of=of)
        return _ratio(found.get("memo"), found.get(beside)) if beside else _number(found.get("memo"))

    return value


def _hash(results: Results) -> float | None:
    found = medians(results, "hashing", "hash")
    return _ratio(found.get("memo, Arrow table"), found.get("xxh3-128"))


def _versions(phase: str) -> Callable[[Results], float | None]:
    return lambda results: _number(medians(results, "source versions", phase).get("memo"))


def _number(value: float | str | None) -> float | None:
    return value if isinstance(value, float) else None


def _ratio(one: float | str | None, other: float | str | None) -> float | None:
    return one / other if isinstance(one, float) and isinstance(other, float) and other else None


def _difference(one: float | str | None, other: float | str | None) -> float | None:
    return max(0.0, one - other) if isinstance(one, float) and isinstance(other, float) else None


GOALS = (
    Goal("import memo, over bare Python", 0.040, 0.025, seconds, _start("import memo")),
    Goal("importing job and op, over bare Python", 0.040, 0.025, seconds, _start("from memo import job, op")),
    Goal("memo --help, over bare Python", 0.080, 0.060, seconds, _start("memo --help")),
    Goal("null run of 1,000, to Dagster", 1 / 15, 1 / 35, times, _null(1_000, "Dagster 1.2.7")),
    Goal("null run of 1,000, to joblib", 0.5, 0.25, times, _null(1_000, "joblib")),
    Goal("null run of 1,000, to doit", 2.0, 1.0, times, _null(1_000, "doit")),
    *(
        goal
        for ours, told in ((FEW, "steps of few ops"), ("memo", "steps, an op each"))
        for goal in (
            Goal(f"null run of 10,000 {told}, to ninja", 10.0, 5.0, times, _null(10_000, "ninja", ours=ours)),
            Goal(f"null run of 100,000 {told}", 3.0, 1.5, seconds, _null(100_000, "", ours=ours)),
            Goal("its memory", 400e6, 200e6, bytes_, _null(100_000, "", "memory", ours=ours)),
            Goal("to that of 10,000", 11.0, 10.0, times, _linear(ours)),
        )
    ),
    *(
        goal
        for ours, told in ((FEW, "of few ops"), ("memo", "with an op of its own"))
        for goal in (
            Goal(f"planning, in process, a step {told}", 25e-6, 8e-6, seconds, _a_step("plan", ours)),
            Goal(f"cold no-op step {told}, in process", 200e-6, 100e-6, seconds, _a_step("cold", ours)),
        )
    ),
    Goal("reuse of a large frame, to pickle", 1 / 14, 1 / 35, times, _load("cpu", "pickle 4")),
    Goal("its new memory", 20e6, 2e6, bytes_, _load("memory", "")),
    Goal("content hash, to xxh3-128 alone", 1 / 0.8, 1.05, times, _hash),
    Goal("source versions of 1,000 ops, cold", 1.0, 0.5, seconds, _versions("cold")),
    Goal("source versions of 1,000 ops, warm", 0.050, 0.025, seconds, _versions("warm")),
)
"""Section 8 of the design; where it names no stretch, one that is worth having."""
