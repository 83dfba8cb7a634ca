"""What a home holds, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.cli.text import bytes_text, many, seconds_text, tell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memo.contracts.inventory import Unreadable
    from memo.project.holdings import HeldStep, Holdings
    from memo.project.home import Home

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
    if holdings.untrusted:
        yield (
            "not signed with this key",
            sum(len(each.stored) for each in holdings.untrusted),
            sum(each.size for each in holdings.untrusted),
        )
    if holdings.unnamed:
        yield (
            "of no output: `memo gc` removes them once they are older than 10 s, and than any running run",
            len(holdings.unnamed),
            sum(each.size for each in holdings.unnamed),
        )
    if holdings.unreadable:
        yield "could not be read", 0, sum(each.size for each in holdings.unreadable)
    if holdings.quarantined:
        yield "in quarantine", 0, holdings.quarantined
    if holdings.other:
        yield "databases and tables, not counted by step", 0, holdings.other


def rest_json(holdings: Holdings) -> dict[str, Any]:
    """The same for programs."""
    return {
        "damaged_bytes": sum(each.size for each in holdings.damaged),
        "untrusted_bytes": sum(each.size for each in holdings.untrusted),
        "unreadable_bytes": sum(each.size for each in holdings.unreadable),
        "unreadable": unreadable_json(holdings.unreadable),
        "unnamed_bytes": sum(each.size for each in holdings.unnamed),
        "quarantined_bytes": holdings.quarantined,
        "other_bytes": holdings.other,
        "total_bytes": holdings.size,
        "not_counted": holdings.elsewhere,
        "in_shared_place": holdings.shared,
    }


def tell_nothing(home: Home, which: str = "") -> None:
    """Say that nothing is stored, and how that changes."""
    remote = home.storage.remote
    shared = f"; what other homes put into {remote} is fetched when something reads it" if remote is not None else ""
    tell(f"nothing{which} is stored in the home {home.path}; `memo run TARGET` stores what its steps give{shared}")


def tell_rest(holdings: Holdings) -> None:
    """Say what is not counted: what could not be read, and what was stored elsewhere."""
    tell_unreadable(holdings.unreadable)
    if holdings.shared:
        tell(f"not counted: {many(holdings.shared, 'output')} in the shared place, fetched when something reads them")
    for key, count in sorted(holdings.elsewhere.items()):
        tell(f"not counted: {elsewhere_text(key, count)}")


def tell_unreadable(unreadable: Iterable[Unreadable]) -> None:
    """Name what could not be read."""
    for each in unreadable:
        tell(f"{each.place} could not be read: {each.reason}; what is stored there is not known", "yellow")


def unreadable_json(unreadable: Iterable[Unreadable]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"place": each.place, "reason": each.reason, "bytes": each.size} for each in unreadable]


def elsewhere_text(key: str, count: int) -> str:
    """What an IO manager keeps elsewhere."""
    return f"{many(count, 'output')} stored by {key!r} outside of the home's own files"


def total_text(holdings: Holdings) -> str:
    """What all takes."""
    return f"{bytes_text(holdings.size)} in all"
