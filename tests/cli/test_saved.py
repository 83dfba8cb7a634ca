"""`memo saved`."""

from __future__ import annotations

import json
import re
import sqlite3
from time import localtime, strftime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def test_no_run_yet(daily: Workspace, ok: Memo) -> None:
    done = ok("saved")
    assert done.stdout == ""
    assert done.stderr == f"no run in the home {daily.home}; `memo run TARGET` makes one\n"
    assert json.loads(ok("saved", "--json").stdout) == {"months": [], "seconds_saved": 0}
    assert not daily.home.exists()


def test_time_saved_by_job_and_month_with_a_total(daily: Workspace, ok: Memo) -> None:
    daily.write("weekly.py", "from memo import job\nfrom daily import load\n\n@job\ndef weekly():\n    load()\n")
    ok("run", "daily.py")
    # What the steps took, as if it had been long enough to be worth saving.
    with sqlite3.connect(daily.home / "catalog.db") as connection:
        for step, seconds in (("load", 3600.0), ("clean", 60.0), ("report", 0.5)):
            connection.execute("UPDATE materializations SET seconds = ? WHERE step_key = ?", (seconds, step))
    connection.close()
    ok("run", "daily.py")
    ok("run", "daily.py", "--set", "ops.clean.config.limit=4")
    ok("run", "weekly.py:weekly")
    months = {strftime("%Y-%m", localtime(each["started_at"])) for each in json.loads(ok("runs", "--json").stdout)}
    lines = [re.split(r" {2,}", line) for line in ok("saved").stdout.splitlines()]
    assert lines[0] == ["MONTH", "JOB", "RUNS", "REUSED", "SAVED"]
    assert lines[-1] == ["total", "4", "5", "2 h 1 min"]
    found = json.loads(ok("saved", "--json").stdout)
    assert {each["month"] for each in found["months"]} == months
    assert found["seconds_saved"] == 3600.0 + 60.0 + 0.5 + 3600.0
    if len(months) == 1:
        (month,) = months
        assert lines[1:-1] == [[month, "daily", "3", "4", "2 h 1 min"], [month, "weekly", "1", "1", "<1 ms"]]
        assert found["months"][0] == {
            "month": month,
            "job": "daily",
            "runs": 3,
            "reused": 4,
            "seconds_saved": 7260.5,
        }
