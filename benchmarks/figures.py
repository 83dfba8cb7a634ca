"""From rows of results to the figures that are shown: medians by system, or why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.systems import SYSTEMS

if TYPE_CHECKING:
    from benchmarks.results import Results

Figure = float | str
"""A median, or in words why there is none."""


def medians(
    results: Results, workload: str, phase: str, *, shape: str = "", size: int | None = None, of: str = "cpu"
) -> dict[str, Figure]:
    """The median of a column by system, in the order of the systems."""
    assert of in {"cpu", "wall", "memory", "disk", "files", "ran"}, of
    rows = results.query(
        f"SELECT system, median({of}), max(problem), min(rowid) FROM results "  # noqa: S608 - a column's name, checked
        "WHERE workload = ? AND phase = ? AND shape = ? AND (? IS NULL OR size = ?) GROUP BY system",
        workload,
        phase,
        shape,
        size,
        size,
    )
    order = {name: place for place, name in enumerate(SYSTEMS)} if workload == "runs" else {}
    rows = sorted(rows, key=lambda row: (order.get(row[0], 0), row[3]))
    return {system: value if value is not None else problem or "not measured" for system, value, problem, _ in rows}


def sizes(results: Results, workload: str, phase: str, shape: str = "") -> list[int]:
    """The sizes that were measured."""
    found = results.query(
        "SELECT DISTINCT size FROM results WHERE workload = ? AND phase = ? AND shape = ? ORDER BY size",
        workload,
        phase,
        shape,
    )
    return [size for (size,) in found]


def growth(
    results: Results, workload: str, phase: str, shape: str = "", of: str = "cpu"
) -> dict[str, list[tuple[float, float]]]:
    """The medians of a column by system and size, as points."""
    found: dict[str, list[tuple[float, float]]] = {}
    for size in sizes(results, workload, phase, shape):
        for system, value in medians(results, workload, phase, shape=shape, size=size, of=of).items():
            if not isinstance(value, str):
                found.setdefault(system, []).append((size, value))
    return found


def seconds(value: float) -> str:
    """A duration, in the unit that suits it."""
    if value >= 100:
        return f"{value:,.0f} s"
    if value >= 1:
        return f"{value:.1f} s"
    if value >= 0.001:
        return f"{value * 1e3:.3g} ms"
    return f"{value * 1e6:.3g} us"


def bytes_(value: float) -> str:
    """A number of bytes, in the unit that suits it."""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"


def times(value: float) -> str:
    """A ratio."""
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2g}x"
