"""`memo verify --rerun`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace

NOISY = """
import os
import uuid

from memo import job, op


@op
def load():
    print("loading")
    os.system("echo from a program")
    return [1, 2]


@op
def noisy(numbers):
    return {"numbers": numbers, "id": uuid.uuid4().int % 1_000_000 + 1_000_000}


@op
def report(found):
    return len(found)


@job
def draws():
    report(noisy(load()))
"""


@pytest.fixture
def noisy(workspace: Workspace, ok: Memo) -> Workspace:
    """Three steps, of which the second gives something else each time; they have run."""
    workspace.write("noisy.py", NOISY)
    ok("run", "noisy.py")
    return workspace


def settled(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of a result, less what changes: seconds, and the numbers drawn."""
    text = re.sub(r"(<1|\d+(\.\d+)?) (ms|s)\b", "T", done.stdout)
    text = re.sub(r"\b1\d{6}\b", "N", text)
    return [re.sub(r" {2,}", "  ", line) for line in text.splitlines()]


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_the_op_its_place_and_the_first_difference_are_named(noisy: Workspace, memo: Memo) -> None:
    done = memo("verify", "noisy.py", "--rerun")
    assert done.returncode == 1
    line = 1 + (noisy.path / "noisy.py").read_text().splitlines().index("def noisy(numbers):")
    header, *lines = settled(done)
    assert header.split() == ["OUTCOME", "STEP", "TOOK", "WHAT"]
    place = re.search(r"\((.*noisy\.py):(\d+)\)", lines[1])
    assert place
    assert int(place[2]) in {line, line - 1}
    assert [re.sub(r" \(.*\)", "", each) for each in lines] == [
        "SAME  load  T",
        "DIFFERS  noisy  T  op 'noisy' is not deterministic",
        "  output 'result': ['id']: N stored, N now",
        "SAME  report  T",
        "draws: 3 steps ran again, 2 gave the same, 1 gave something else",
    ]
    assert "loading" in done.stderr
    assert "from a program" in done.stderr


def test_nothing_is_stored_or_recorded(noisy: Workspace, memo: Memo, ok: Memo) -> None:
    before = ok("runs", "--json").stdout
    memo("verify", "noisy.py", "--rerun")
    assert ok("runs", "--json").stdout == before
    assert [step["verdict"] for step in result(ok("plan", "noisy.py", "--json"))["steps"]] == ["REUSE"] * 3


def test_json(noisy: Workspace, memo: Memo) -> None:
    done = memo("verify", "noisy.py", "--rerun", "--json", "--select", "noisy")
    assert done.returncode == 1
    found = result(done)
    assert found["job"] == "draws"
    assert found["success"] is False
    assert found["sample"] == 1.0
    assert [each["op"] for each in found["nondeterministic_ops"]] == ["noisy"]
    assert re.search(r"noisy\.py:\d+$", found["nondeterministic_ops"][0]["location"])
    (step,) = found["steps"]
    assert (step["step"], step["outcome"], step["op"]) == ("noisy", "DIFFERS", "noisy")
    (output,) = step["outputs"]
    assert (output["output"], output["path"], output["what"]) == ("result", "['id']", "value")
    assert output["stored"] != output["given"]
    assert output["not_comparable"] is None


def test_a_deterministic_job_exits_with_0(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py", "--set", "ops.clean.config.limit=3", "--tag", "a=b")
    done = ok("verify", "daily.py", "--rerun", "--set", "ops.clean.config.limit=3", "--tag", "a=b")
    assert settled(done)[-1] == "daily: 3 steps ran again, 3 gave the same"
    # With the job's own config two of the steps have never run.
    done = ok("verify", "daily.py", "--rerun")
    assert settled(done)[1:] == [
        "SAME  load  T",
        "NOT STORED  clean  config changed: limit",
        "NOT STORED  report  its input from 'clean' is not known before that has run",
        "daily: 1 step ran again, 1 gave the same, 2 not stored",
    ]


def test_a_job_that_never_ran_is_no_error_and_leaves_nothing(daily: Workspace, ok: Memo) -> None:
    done = ok("verify", "daily.py", "--rerun")
    assert settled(done)[1:] == [
        *[f"NOT STORED  {key}  never run" for key in ("load", "clean", "report")],
        "daily: no step is stored that could run again; `memo run` stores them",
    ]
    assert not daily.home.exists()


def test_a_sample_is_told_with_its_seed_and_drawn_again_by_it(noisy: Workspace, memo: Memo) -> None:
    first = result(memo("verify", "noisy.py", "--rerun", "--sample", "34%", "--json"))
    ran = [step["step"] for step in first["steps"] if step["outcome"] != "NOT_SAMPLED"]
    assert len(ran) == 1
    again = memo("verify", "noisy.py", "--rerun", "--sample", "34%", "--seed", str(first["seed"]))
    rows = again.stdout.splitlines()[1:]
    assert rows[0].split()[1] == ran[0]
    assert rows[-1].endswith(f"2 not in the sample (--seed {first['seed']} draws it again)")
    drawn = {
        tuple(
            step["step"]
            for step in result(memo("verify", "noisy.py", "--rerun", "--sample", "1%", "--seed", str(seed), "--json"))[
                "steps"
            ]
            if step["outcome"] != "NOT_SAMPLED"
        )
        for seed in range(4)
    }
    assert {len(each) for each in drawn} == {1}


@pytest.mark.parametrize("share", ["0%", "101%", "-5%", "10", "0.1", "some%", "nan%", "%", ""])
def test_a_sample_that_is_no_percentage_is_refused(daily: Workspace, memo: Memo, share: str) -> None:
    done = memo("verify", "daily.py", "--rerun", "--sample", share)
    assert done.returncode == 2
    assert "write a percentage above 0% and up to 100%" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["daily.py"], "say how to verify: --rerun"),
        (["nowhere.py", "--rerun"], "nowhere.py"),
        (["daily.py", "--rerun", "--select", "cleen"], "Did you mean 'clean'?"),
        (["daily.py", "--rerun", "--seed", "x"], "'x' is not a valid integer"),
        (["daily.py", "--rerun", "--set", "ops.clean.config.limit=many"], "limit"),
        (["daily.py", "--rerun", "--tag", "memo/is_memoized_run=false"], "turn memoization off"),
        (["daily.py", "--rerun", "--job", "dayly"], "Did you mean 'daily'?"),
    ],
)
def test_bad_input_exits_with_2(daily: Workspace, memo: Memo, args: list[str], said: str) -> None:
    done = memo("verify", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_step_that_fails_now_exits_with_1(workspace: Workspace, ok: Memo, memo: Memo) -> None:
    workspace.write(
        "brittle.py",
        """
        import os
        from memo import job, op

        def gone():
            return "GONE" in os.environ

        @op
        def fetch():
            if gone():
                raise OSError("no such host")
            return 1

        @job
        def brittle():
            fetch()
        """,
    )
    ok("run", "brittle.py")
    done = memo("verify", "brittle.py", "--rerun", GONE="1")
    assert done.returncode == 1
    assert settled(done)[1:] == [
        "FAILED  fetch  T  OSError: no such host",
        "brittle: 1 step ran again, 0 gave the same, 1 failed",
    ]


def test_what_cannot_be_compared_is_said_to_be_so(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "odd.py",
        """
        from memo import job, op

        class Sealed:
            '''Can be pickled once; the copy cannot, and says nothing of equality.'''

            def __init__(self, fresh):
                self.fresh = fresh

            def __reduce_ex__(self, protocol):
                if not self.fresh:
                    raise TypeError("sealed")
                return Sealed, (False,)

        @op
        def seal():
            return {"a": Sealed(True)}

        @job
        def odd():
            seal()
        """,
    )
    ok("run", "odd.py")
    done = ok("verify", "odd.py", "--rerun")
    assert settled(done)[1:] == [
        "NOT COMPARABLE  seal  T",
        "  output 'result': ['a']: odd.Sealed defines no == and cannot be pickled (TypeError: sealed)",
        "odd: 1 step ran again, 0 gave the same, 1 cannot be compared",
    ]


def test_heavy_packages_stay_out_where_no_value_is_of_theirs(noisy: Workspace) -> None:
    program = "import sys; from memo.cli.program import run_program; run_program(sys.argv[1:]); print(*sys.modules)"
    done = noisy.python("-c", program, "verify", "noisy.py", "--rerun")
    assert not {"numpy", "pandas", "pyarrow", "duckdb", "fsspec", "rich"} & set(done.stdout.splitlines()[-1].split())
