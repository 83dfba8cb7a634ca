"""`memo runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options

if TYPE_CHECKING:
    from memo.contracts.run_store import RunRecord

STATUS_STYLES = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "CANCELED": "yellow",
    "KILLED": "red",
    "RUNNING": "cyan",
}


@click.command()
@click.option("--job", "job_name", metavar="NAME", help="Only the runs of this job.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=20, show_default=True, help="So many, the latest."
)
@common_options
@guarded
def runs(job_name: str | None, limit: int, home: str | None, as_json: bool) -> int:
    """List the latest runs.

    A run that was killed, and could not write how it ended, is shown as KILLED.
    """
    from memo.cli.summary import run_json
    from memo.cli.text import out, out_json, table, tell
    from memo.project.home import find_home

    opened = find_home(home)
    try:
        found = opened.catalog.list_runs(job_name=job_name, limit=limit)
    finally:
        opened.close()
    if as_json:
        out_json([run_json(record) for record in found])
        return 0
    if not found:
        of_job = f" of job {job_name!r}" if job_name else ""
        tell(f"no run{of_job} in the home {opened.path}; `memo run TARGET` makes one")
        return 0
    rows = [_row(record) for record in found]
    header = ("STATUS", "RUN", "JOB", "STARTED", "TOOK", "RAN", "REUSED", "FAILED", "SAVED")
    for line in table(header, rows, styles=[STATUS_STYLES[row[0]] for row in rows], right=(4, 5, 6, 7, 8)):
        out(line)
    return 0


def _row(record: RunRecord) -> tuple[str, ...]:
    from memo.cli.opening import status_of
    from memo.cli.text import seconds_text, time_text

    ended = record.ended_at is not None
    count = record.counts.get
    return (
        status_of(record),
        record.run_id,
        record.job_name,
        time_text(record.started_at),
        seconds_text(record.ended_at - record.started_at) if record.ended_at is not None else "",
        *(str(count(outcome, 0)) if ended else "" for outcome in ("success", "reused", "failure")),
        seconds_text(record.seconds_saved) if record.seconds_saved >= 0.001 else "",
    )
