"""`memo saved`."""

from __future__ import annotations

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options


@click.command()
@common_options
@guarded
def saved(home: str | None, as_json: bool) -> int:
    """Sum up the time that reuse saved, by month and job.

    A step that is reused saves what its body usually takes: the median of its latest runs, as they are recorded.
    Months are those of local time, by when a run began.
    """
    from memo.cli.text import out, out_json, seconds_text, table, tell
    from memo.project.home import find_home

    opened = find_home(home)
    try:
        savings = opened.catalog.savings()
    finally:
        opened.close()
    total = sum(each.seconds_saved for each in savings)
    if as_json:
        out_json(
            {
                "months": [
                    {
                        "month": each.month,
                        "job": each.job_name,
                        "runs": each.runs,
                        "reused": each.reused,
                        "seconds_saved": each.seconds_saved,
                    }
                    for each in savings
                ],
                "seconds_saved": total,
            }
        )
        return 0
    if not savings:
        tell(f"no run in the home {opened.path}; `memo run TARGET` makes one")
        return 0
    rows = [
        (each.month, each.job_name, f"{each.runs:,}", f"{each.reused:,}", seconds_text(each.seconds_saved))
        for each in savings
    ]
    runs, reused = sum(each.runs for each in savings), sum(each.reused for each in savings)
    rows.append(("total", "", f"{runs:,}", f"{reused:,}", seconds_text(total)))
    styles = [*[None] * len(savings), "bold"]
    for line in table(("MONTH", "JOB", "RUNS", "REUSED", "SAVED"), rows, styles=styles, right=(2, 3, 4)):
        out(line)
    return 0
