"""What `memo bench` has measured, as text and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.cli.text import bytes_text, many, seconds_text, table
from memo.project.bench_figures import WHERE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memo.project.bench_figures import Bench, Stage, StepCost

_SHOWN_STEPS = 10
_SHOWN_NAMES = 5
_NOISY = 1.5
"""So many times as long as the shortest, the longest of some runs may take without a word."""

_UNSTEADY = {
    "other": "gave another value when run again, though nothing in it or above it had changed; what reads it is then "
    "not cut off",
    "unknown": "gave what cannot be compared with what it gave before; what reads it is then not cut off",
}


def bench_lines(made: Bench) -> list[str]:
    """Lay out what was measured."""
    stages = (made.cold, made.null, made.edit)
    columns = {
        "RUN": [each.name for each in stages],
        "TIMES": [f"{len(each.wall):,}" for each in stages],
        "WALL": [seconds_text(each.seconds) for each in stages],
        "RANGE": [" - ".join(map(seconds_text, _range(each.wall))) for each in stages],
        "CPU": [seconds_text(each.cpu_seconds) for each in stages],
        "MEMORY": [bytes_text(each.memory) for each in stages],
        "STORED": [bytes_text(each.stored) if each.stored is not None else "" for each in stages],
        "STEPS RUN": [f"{len(each.ran):,}" for each in stages],
        "CUT OFF": [f"{each.cut_off:,}" for each in stages],
        "REUSED": [f"{each.reused:,}" for each in stages],
    }
    if any(each.left_out for each in stages):
        columns["LEFT OUT"] = [f"{each.left_out:,}" for each in stages]
    lines = _columns(columns, styles=["bold"] * 3)
    op, below = made.op_name, made.forecast
    lines.append("")
    lines.append(
        f"cold: nothing is stored; null: nothing has changed; edit: the op {op!r} counts as edited, what it does stays"
    )
    for how, text in _UNSTEADY.items():
        if unsteady := [key for key, each in made.unsteady.items() if each == how]:
            lines.append(f"{_named(unsteady)}: {text}")
    if made.saved > 0:
        share = made.saved / made.cold.seconds
        lines.append(f"reuse saves {seconds_text(made.saved)} of {seconds_text(made.cold.seconds)} ({share:.0%})")
    else:
        lines.append(f"reuse saves nothing: with nothing to do a run takes {seconds_text(-made.saved)} longer")
    lines.append(
        f"an edit of {op!r} that changes its value, and all below: {many(below.steps, 'step')} run, about "
        f"{seconds_text(below.seconds)} (forecast)"
    )
    if made.always:
        named = _named([f"{key} ({reason})" for key, reason in made.always.items()])
        lines.append(f"{many(len(made.always), 'step')} run though nothing has changed: {named}")
    if noisy := [each.name for each in stages if len(each.wall) > 1 and max(each.wall) > _NOISY * min(each.wall)]:
        lines.append(
            f"the times of {' and '.join(noisy)} differ widely: measure when the machine is less busy, or more often"
        )
    lines += ["", *_where_lines(made), "", *_step_lines(made)]
    return lines


def _range(seconds: Sequence[float]) -> tuple[float, ...]:
    return (min(seconds), max(seconds)) if len(seconds) > 1 else ()


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES:,} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more


def _columns(columns: Mapping[str, Sequence[str]], styles: Sequence[str] | None = None) -> list[str]:
    """Lay a table out of which the first column names what the others count."""
    return table([*columns], [*zip(*columns.values(), strict=True)], styles=styles, right=range(1, len(columns)))


def _where_lines(made: Bench) -> list[str]:
    """Where the time goes: a line for each part that takes a hundredth of any run, and what it all adds up to."""
    columns = [made.cold.where, made.null.where, made.edit.where]
    heads = ["COLD", "NULL", "EDIT"]
    if made.workers:
        columns.insert(1, made.cold.in_workers)
        heads.insert(1, "ITS WORKERS")
    wholes = [sum(each.values()) for each in columns]
    rows: list[tuple[str, ...]] = []
    rest = wholes
    for part, name in WHERE.items():
        taken = [each.get(part, 0.0) for each in columns]
        if part != "rest" and any(each > 0.01 * whole for each, whole in zip(taken, wholes, strict=True)):
            rows.append(_times(name, taken))
            rest = [left - each for left, each in zip(rest, taken, strict=True)]
    rows += [_times(WHERE["rest"], rest), _times("in all, of one run with a profile", wholes)]
    return table(("WHERE THE TIME GOES", *heads), rows, right=range(1, len(heads) + 1))


def _times(name: str, seconds: Sequence[float]) -> tuple[str, ...]:
    # Below a nanosecond: what is left where nothing is.
    return (name, *[seconds_text(each) if each > 1e-9 else "" for each in seconds])


def _step_lines(made: Bench) -> list[str]:
    slowest = sorted(made.steps, key=lambda each: each.seconds, reverse=True)[:_SHOWN_STEPS]
    columns: dict[str, list[str]] = {"SLOWEST STEPS": [each.key for each in slowest]}
    for head, part in (("TAKES", "seconds"), ("LOADS", "load"), ("RUNS", "run"), ("STORES", "store")):
        columns[head] = [seconds_text(getattr(each, part)) for each in slowest]
    for head, part in (("IMPORTS", "imports"), ("WAITS", "wait")):
        if any(getattr(each, part) for each in slowest):
            columns[head] = [seconds_text(took) if (took := getattr(each, part)) else "" for each in slowest]
    columns["SIZE"] = [bytes_text(each.bytes) if each.bytes is not None else "" for each in slowest]
    return _columns(columns)


def bench_json(made: Bench) -> dict[str, Any]:
    """All that was measured, for programs."""
    return {
        "job": made.job_name,
        "workers": made.workers,
        "runs": {each.name: _stage_json(each) for each in (made.cold, made.null, made.edit)},
        "edited": {"step": made.edited, "op": made.op_name, "unsteady": made.unsteady},
        "forecast": {"steps_run": made.forecast.steps, "wall_seconds": made.forecast.seconds},
        "seconds_saved": made.saved,
        "always_run": made.always,
        "steps": [_step_json(each) for each in made.steps],
    }


def _stage_json(stage: Stage) -> dict[str, Any]:
    return {
        "wall_seconds": stage.seconds,
        "cpu_seconds": stage.cpu_seconds,
        "wall_seconds_each": stage.wall,
        "cpu_seconds_each": stage.cpu,
        "peak_memory_bytes": stage.memory,
        "stored_bytes": stage.stored,
        "steps_run": len(stage.ran),
        "cut_off": stage.cut_off,
        "reused": stage.reused,
        "left_out": stage.left_out,
        "where": stage.where,
        "where_in_workers": stage.in_workers,
    }


def _step_json(step: StepCost) -> dict[str, Any]:
    return {
        "step": step.key,
        "seconds": step.seconds,
        "load_seconds": step.load,
        "run_seconds": step.run,
        "store_seconds": step.store,
        "import_seconds": step.imports,
        "wait_seconds": step.wait,
        "bytes": step.bytes,
    }


__all__ = ["bench_json", "bench_lines"]
