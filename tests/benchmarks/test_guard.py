from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.guard import CASES, COUNTED_SLACK, MEASURED_AGAIN, SLACK
from benchmarks.measuring import measure
from benchmarks.programs.guard_work import ratio
from benchmarks.workloads.runs import memo_environment

ROOT = Path(__file__).parents[2]


def test_half_as_much_again_is_beyond_every_limit() -> None:
    assert COUNTED_SLACK < SLACK < 1.5
    assert {"import", "null", "plan", "cold", "load", "hash"} <= set(CASES)


def test_a_ratio_is_what_a_case_takes_more_than_its_floor() -> None:
    found = ratio(lambda: sum(range(600_000)), lambda: sum(range(200_000)), 5)
    assert 1.5 < found < 6


@pytest.mark.parametrize("case", ["hash", "load"])
def test_a_case_is_measured(case) -> None:
    command = [sys.executable, "-m", "benchmarks.guard", "--case", case, "--once", "--json"]
    found = measure(command, ROOT, environment=memo_environment("memo"))
    assert list(json.loads(found.output.splitlines()[-1])) == [case]


def test_a_limit_that_is_broken_is_told_and_measured_again(tmp_path) -> None:
    script = (
        "import sys\n"
        "from msgspec.structs import replace\n"
        "from benchmarks import guard\n"
        "guard.CASES['hash'] = replace(guard.CASES['hash'], usual=0.01)\n"
        "sys.argv = ['guard', '--case', 'hash']\n"
        "sys.exit(guard.main())\n"
    )
    found = measure([sys.executable, "-c", script], ROOT, environment=memo_environment("memo"))
    assert found.problem.startswith("exit code 1")
    assert found.output.count(" and ") == MEASURED_AGAIN
    assert "BROKEN" in found.output
