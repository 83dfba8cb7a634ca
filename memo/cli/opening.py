"""Finding what the command line names: the job, a run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memo.definition.reference import JobReference

if TYPE_CHECKING:
    from memo.contracts.run_store import RunRecord
    from memo.definition.job import JobDefinition
    from memo.project.home import Home

LAST = "last"
"""Stands for the id of the latest run."""


def load_job(target: str, job: str | None) -> tuple[JobDefinition, JobReference]:
    """Import a target and find its job.

    Returns:
        The job, and a reference by which it is found again from any folder and whatever else the file will define.

    Raises:
        MemoError: There is no such file, module or job, or importing it failed.
    """
    asked = JobReference.parse(target, job)
    # Before it is imported, which may change the current folder.
    place = os.path.abspath(asked.place) if os.path.isfile(asked.place) else asked.place
    found = asked.load()
    return found, JobReference(place, asked.job or found.name)


def find_run(home: Home, run_id: str) -> RunRecord:
    """Find a run by its id, the beginning of one, or `LAST`.

    Raises:
        RunNotFoundError: There is none, or several ids begin so.
    """
    from memo.errors import RunNotFoundError
    from memo.project.reexecution import parent_run

    if run_id == LAST:
        latest = home.catalog.list_runs(limit=1)
        if not latest:
            raise RunNotFoundError(f"the home {home.path} knows no run yet; `memo run TARGET` makes one")
        run_id = latest[0].run_id
    return parent_run(home, run_id)


def is_running(record: RunRecord) -> bool:
    """Whether the process of a run that was started and has not ended is still there."""
    from memo.execution.processes import may_still_run

    return record.pid is not None and may_still_run(record.pid, record.started_at)


def status_of(record: RunRecord) -> str:
    """A run's status as people read it; a run that was killed could not write its own."""
    if record.status.value == "STARTED" and not is_running(record):
        return "KILLED"
    return "RUNNING" if record.status.value == "STARTED" else record.status.value
