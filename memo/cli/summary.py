"""The end of a run: what came of its steps, what failed and why, and what to type next."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from memo.cli.text import many, seconds_text, styled, tell

if TYPE_CHECKING:
    from memo.contracts.run_store import RunRecord
    from memo.definition.job import JobDefinition
    from memo.events import ErrorInfo
    from memo.execution.result import RunResult

_SHOWN_FAILURES = 5
"""Failures shown in full; the others are in `memo show`."""


def summary_line(record: RunRecord) -> str:
    """Say on one line what came of a run."""
    count = record.counts.get
    not_reached = count("blocked", 0) + sum(outcome == "" for _, _, outcome in record.steps.values())
    parts = [f"{many(count('success', 0), 'step')} run", f"{count('reused', 0):,} reused"]
    parts += [
        f"{number:,} {word}"
        for number, word in (
            (count("failure", 0), "failed"),
            (count("canceled", 0), "canceled"),
            (count("skipped", 0), "skipped"),
            (not_reached, "not reached"),
            (count("unneeded", 0), "unneeded"),
        )
        if number
    ]
    taken = f" in {seconds_text(record.ended_at - record.started_at)}" if record.ended_at is not None else ""
    saved = f", {seconds_text(record.seconds_saved)} saved" if record.seconds_saved >= 0.001 else ""
    return f"{record.job_name}: {', '.join(parts)}{taken}{saved}"


def tell_result(result: RunResult, *, home: str | None) -> None:
    """Tell how a run ended; of a failed one why, and what to type next."""
    record = result.record
    failed = result.steps_with("failure")
    for key in failed[:_SHOWN_FAILURES]:
        for line in failure_lines(key, result.errors.get(key), result.job_def):
            tell(line)
    if len(failed) > _SHOWN_FAILURES:
        tell(f"and {many(len(failed) - _SHOWN_FAILURES, 'more failed step')}: memo show {record.run_id}{_home(home)}")
    tell(summary_line(record), "red" if failed else "green")
    if failed:
        tell(f"  what it printed:  memo logs {record.run_id} {failed[0]}{_home(home)}")
        tell(f"  to go on:         memo retry {record.run_id} --from-failure{_home(home)}")


def _home(home: str | None) -> str:
    if home is None:
        return ""
    from shlex import quote

    return f" --home {quote(home)}"


def failure_lines(key: str, error: ErrorInfo | None, job: JobDefinition | None) -> list[str]:
    """Tell why a step failed: where its op stands, the error, the user's own frames."""
    where = job.steps[key].where if job is not None and key in job.steps else f"step {key!r}"
    head = styled("failed:", "red", sys.stderr)
    if error is None:
        return [f"{head} {where}"]
    message = error.message.removeprefix(f"{where}: ").removeprefix(f"step {key!r}: ")
    # The names of memo's own errors say nothing that their messages do not.
    own = message != error.message or error.kind in {"ExecutionError", "StorageError", "WorkerDiedError"}
    lines = [f"{head} {where}: {message}" if own else f"{head} {where}: {error.kind}: {message}"]
    if message == error.kind:
        lines = [f"{head} {where}: {error.kind}"]
    lines += error.traceback.rstrip("\n").splitlines()
    if error.cause and error.cause not in message:
        lines.append(f"  caused by {error.cause}")
    return lines


def result_json(result: RunResult) -> dict[str, Any]:
    """A run as `memo run --json` gives it."""
    record = result.record
    return {
        **run_json(record),
        "steps": {
            key: {"verdict": verdict, "reason": reason, "outcome": outcome}
            for key, (verdict, reason, outcome) in record.steps.items()
        },
        "errors": result.errors,
        "warnings": result.plan.warnings,
    }


def run_json(record: RunRecord) -> dict[str, Any]:
    """A run as `memo runs --json` lists it."""
    from memo.cli.opening import status_of

    return {
        "run_id": record.run_id,
        "job": record.job_name,
        "status": status_of(record),
        "target": record.target,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "seconds": record.ended_at - record.started_at if record.ended_at is not None else None,
        "seconds_saved": record.seconds_saved,
        "counts": record.counts,
        "tags": record.tags,
        "run_config": record.run_config,
        "parent_run_id": record.parent_run_id,
        "root_run_id": record.root_run_id,
    }
