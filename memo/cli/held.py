"""What a home holds, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.cli.text import bytes_text, many, seconds_text, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.project.holdings import HeldStep, Holdings

_SHORT = 12
"""Characters of a version that are shown."""


def version_text(step: HeldStep) -> str:
    """The step's version, shortened; of a run without memoization, the run."""
    return f"run {step.run_id}" if step.version is None else step.version[:_SHORT]


def cost_text(seconds: float | None) -> str:
    """What making something again costs."""
    return "?" if seconds is None else seconds_text(seconds) if seconds else "nothing"


def step_json(step: HeldStep) -> dict[str, Any]:
    """What programs read of what a step stored."""
    return {
        "job": step.job_name,
        "step": step.step_key,
        "version": step.version,
        "run_id": step.run_id,
        "bytes": step.size,
        "seconds": step.seconds,
        "created_at": step.created_at,
        "used_at": step.used_at,
        "adopted": step.adopted,
    }


def rest_lines(holdings: Holdings) -> Iterator[tuple[str, int, int]]:
    """What takes room besides whole outputs: in words, how many, their bytes; left out where there is nothing."""
    if holdings.damaged:
        yield (
            "damaged: `memo verify` moves them aside",
            len(holdings.damaged),
            sum(each.size for each in holdings.damaged),
        )
    if holdings.unnamed:
        yield "of no output: `memo gc` removes them", len(holdings.unnamed), sum(each.size for each in holdings.unnamed)
    if holdings.quarantined:
        yield "in quarantine", 0, holdings.quarantined
    if holdings.other:
        yield "databases and tables, not counted by step", 0, holdings.other


def rest_json(holdings: Holdings) -> dict[str, Any]:
    """The same for programs."""
    return {
        "damaged_bytes": sum(each.size for each in holdings.damaged),
        "unnamed_bytes": sum(each.size for each in holdings.unnamed),
        "quarantined_bytes": holdings.quarantined,
        "other_bytes": holdings.other,
        "total_bytes": holdings.size,
        "not_counted": holdings.elsewhere,
    }


def tell_elsewhere(holdings: Holdings) -> None:
    """Say of what was stored elsewhere that it is not counted."""
    for key, count in sorted(holdings.elsewhere.items()):
        tell(f"not counted: {many(count, 'output')} stored by {key!r} outside of the home's own files")


def total_text(holdings: Holdings) -> str:
    """What all takes."""
    return f"{bytes_text(holdings.size)} in all"
