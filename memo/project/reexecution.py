"""Running a run again: from its failure, or some of its steps, with what it has already done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.executor import Address
from memo.contracts.run_store import RunRecord
from memo.errors import InvocationError, RunNotFoundError
from memo.events import RunStatus

if TYPE_CHECKING:
    from memo.contracts.run_store import Materialization
    from memo.definition.job import JobDefinition
    from memo.project.home import Home

_DONE = frozenset({"success", "reused", "skipped", "unneeded"})


class ReexecutionOptions(Struct, frozen=True):
    """Which run to run again, and how.

    Attributes:
        parent_run_id: The run.
        step_selection: Which of its steps; empty for all.
        is_from_failure: Only those that failed or never finished.

    >>> ReexecutionOptions.from_failure("0192f").is_from_failure
    True
    """

    parent_run_id: str
    step_selection: Sequence[str] = ()
    is_from_failure: bool = False

    @staticmethod
    def from_failure(run_id: str, instance: object = None) -> ReexecutionOptions:  # noqa: ARG004 - Dagster's signature
        """Run again what failed in a run and what never finished downstream, with the outputs of what did."""
        return ReexecutionOptions(run_id, is_from_failure=True)


class Remainder(Struct, frozen=True):
    """What is left of a parent run.

    Attributes:
        record: The parent run.
        unfinished: Its steps that failed or never finished.
        outside: Where the outputs of its finished steps are: step key -> {output: address}.
        versions: Under which version each of them was made; None for a run without memoization.
    """

    record: RunRecord
    unfinished: frozenset[str]
    outside: dict[str, dict[str, Address]]
    versions: dict[str, str | None]


def parent_run(home: Home, run_id: str) -> RunRecord:
    """Find a run.

    Raises:
        RunNotFoundError: The home knows none of that id.
    """
    found = home.catalog.get_run(run_id)
    if found is None:
        raise RunNotFoundError(f"there is no run {run_id!r} in the home {home.path}; `memo runs` lists them")
    return found


def remainder_of(home: Home, job: JobDefinition, options: ReexecutionOptions) -> Remainder:
    """Find out what a run has done and what is left of it, its own parents' outputs included.

    Raises:
        RunNotFoundError: The home knows no such run.
        InvocationError: It is of another job, or it did not fail and is to be run from its failure.
    """
    record = parent_run(home, options.parent_run_id)
    if record.job_name != job.name:
        raise InvocationError(f"run {record.run_id} is of job {record.job_name!r}, not of {job.name!r}")
    if options.is_from_failure and record.status is RunStatus.SUCCESS:
        raise InvocationError(
            f"run {record.run_id} succeeded; only a failed or canceled run can be run again from its failure"
        )
    done: dict[str, Materialization] = {}
    ancestor: RunRecord | None = record
    while ancestor is not None:
        for each in home.catalog.materializations(ancestor.run_id):
            done.setdefault(each.step_key, each)
        ancestor = home.catalog.get_run(ancestor.parent_run_id) if ancestor.parent_run_id else None
    outside = {
        key: {
            output.name: Address(key, output.name, output.version, None if output.version else each.run_id, output.kind)
            for output in each.outputs
        }
        for key, each in done.items()
        if key in job.steps
    }
    finished = {key for key, (_, _, outcome) in record.steps.items() if outcome in _DONE}
    if record.status is RunStatus.STARTED:
        # It was killed, and could not say what became of its steps: what it stored does.
        finished |= {key for key, each in done.items() if each.run_id == record.run_id}
    steps = record.steps or job.steps
    unfinished = frozenset(key for key in steps if key not in finished and key in job.steps)
    versions = {key: each.recipe.version if each.recipe else each.version for key, each in done.items()}
    return Remainder(record, unfinished, outside, versions)


__all__ = ["ReexecutionOptions", "Remainder", "parent_run", "remainder_of"]
