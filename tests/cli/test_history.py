"""`memo runs`, `memo show`, `memo logs` and `memo retry`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def rows(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    return [re.split(r" {2,}", line) for line in done.stdout.splitlines()[1:]]


def last(ok: Memo) -> Any:
    return result(ok("show", "last", "--json"))


def outcomes(ok: Memo) -> dict[str, str]:
    return {key: step["outcome"] for key, step in last(ok)["steps"].items()}


# runs


def test_no_run_yet(daily: Workspace, ok: Memo) -> None:
    done = ok("runs")
    assert done.stdout == ""
    assert done.stderr == f"no run in the home {daily.home}; `memo run TARGET` makes one\n"
    assert result(ok("runs", "--json")) == []
    assert not daily.home.exists()


@pytest.mark.usefixtures("daily", "failing")
def test_runs_are_listed_the_latest_first(memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    memo("run", "failing.py")
    ok("run", "daily.py")
    done = ok("runs")
    assert done.stdout.split()[:9] == ["STATUS", "RUN", "JOB", "STARTED", "TOOK", "RAN", "REUSED", "FAILED", "SAVED"]
    found = rows(done)
    assert [(row[0], row[2], *row[5:8]) for row in found] == [
        ("SUCCESS", "daily", "0", "3", "0"),
        ("FAILURE", "daily", "1", "0", "1"),
        ("SUCCESS", "daily", "3", "0", "0"),
    ]
    assert [row[1] for row in rows(ok("runs", "--limit", "1"))] == [found[0][1]]
    as_json = result(ok("runs", "--json"))
    assert [each["run_id"] for each in as_json] == [row[1] for row in found]
    assert as_json[1]["counts"] == {"success": 1, "failure": 1, "blocked": 1}


@pytest.mark.usefixtures("daily")
def test_runs_of_one_job(workspace: Workspace, ok: Memo) -> None:
    workspace.write("weekly.py", "from memo import job\nfrom daily import load\n\n@job\ndef weekly():\n    load()\n")
    ok("run", "daily.py")
    ok("run", "weekly.py:weekly")
    assert [row[2] for row in rows(ok("runs", "--job", "weekly"))] == ["weekly"]
    assert "no run of job 'monthly'" in ok("runs", "--job", "monthly").stderr


@pytest.mark.usefixtures("workspace")
def test_a_killed_run_is_shown_as_killed(workspace: Workspace, memo: Memo, ok: Memo) -> None:
    workspace.write(
        "killed.py",
        """
        import os, signal
        from memo import job, op

        @op
        def load():
            print("loaded", flush=True)
            return 1

        @op
        def die(number):
            print("dying", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

        @job
        def daily():
            die(load())
        """,
    )
    assert memo("run", "killed.py").returncode == -9
    assert rows(ok("runs"))[0][0] == "KILLED"
    shown = ok("show", "last").stdout
    assert ": KILLED" in shown.splitlines()[0]
    assert "dying" in ok("logs", "last", "die").stdout
    # What has finished is kept, and there is nothing to wait for.
    workspace.edit("killed.py", "os.kill(os.getpid(), signal.SIGKILL)", "return number")
    assert "daily: 1 step run, 1 reused" in ok("retry", "last", "--from-failure").stderr


# show


@pytest.mark.usefixtures("failing")
def test_show(memo: Memo, ok: Memo) -> None:
    memo("run", "failing.py", "--tag", "team=data")
    run_id = last(ok)["run_id"]
    shown = ok("show", "last").stdout
    assert shown == ok("show", run_id).stdout == ok("show", run_id[:15]).stdout
    lines = shown.splitlines()
    assert lines[0] == f"run {run_id} of job daily: FAILURE"
    assert "  tags     team=data" in lines
    assert any(re.fullmatch(r"  target   .*/failing.py:daily", line) for line in lines)
    table = {cells[1]: cells for line in lines if len(cells := re.split(r" {2,}", line)) >= 4}
    assert table["load"][0] == "success"
    assert table["load"][5].endswith(" B")
    assert table["clean"][:4] == ["failure", "clean", "RUN", "never run"]
    assert table["report"][:4] == ["blocked", "report", "RUN", "never run"]
    assert "failed: step 'clean': ValueError: bad row 17" in lines
    assert '    raise ValueError(f"bad row {number}")' in lines


@pytest.mark.usefixtures("workspace")
def test_show_has_the_facts_that_steps_added(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "facts.py",
        """
        from memo import job, op

        @op
        def load(context):
            context.add_output_metadata({"rows": 3, "source": "here"})
            return 1

        @job(config={"execution": {"config": {"max_concurrent": 1}}})
        def daily():
            load()
        """,
    )
    ok("run", "facts.py", "--set", "execution.config.max_concurrent=1")
    shown = ok("show", "last").stdout
    assert "load: rows = 3, source = here" in shown
    assert '  config   {"execution":{"config":{"max_concurrent":1}}}' in shown
    found = last(ok)["steps"]["load"]
    assert found["metadata"] == {"rows": 3, "source": "here"}
    assert found["bytes"] > 0
    assert found["seconds"] > 0


# logs


@pytest.fixture
def printing(workspace: Workspace) -> Workspace:
    workspace.write(
        "printing.py",
        """
        import os, sys
        from memo import job, op

        @op
        def first(context):
            print("to output")
            print("to error", file=sys.stderr)
            context.log.info("logged %d", 1)
            context.log_event("counted", rows=3)
            return 1

        @op
        def second(number):
            sys.stdout.write("no newline")
            sys.stdout.flush()
            return number

        @op
        def silent(number):
            print("", end="")
            return number

        @job
        def daily():
            silent(second(first()))
        """,
    )
    return workspace


@pytest.mark.parametrize("concurrency", ["1", "2"])
@pytest.mark.usefixtures("printing")
def test_logs(ok: Memo, concurrency: str) -> None:
    ok("run", "printing.py", "-j", concurrency)
    lines = ok("logs", "last").stdout.splitlines()
    assert lines[:4] == [
        "== first, standard output ==",
        "to output",
        "== first, standard error ==",
        "to error",
    ]
    assert lines[4] == "== first, logged =="
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO logged 1", lines[5])
    assert lines[6].endswith(" EVENT counted (rows=3)")
    assert lines[7:] == ["== second, standard output ==", "no newline"]
    assert ok("logs", "last", "second").stdout == "== second, standard output ==\nno newline\n"
    nothing = ok("logs", "last", "silent")
    assert nothing.stdout == ""
    assert re.fullmatch(r"step 'silent' printed nothing in run \w+\n", nothing.stderr)


@pytest.mark.usefixtures("printing")
def test_logs_as_json(ok: Memo) -> None:
    ok("run", "printing.py")
    found = result(ok("logs", "last", "--json"))
    assert found["first"]["stdout"] == "to output\n"
    assert found["first"]["stderr"] == "to error\n"
    assert [each["message"] for each in found["first"]["log"]] == ["logged 1", "counted"]
    assert found["second"]["stdout"] == "no newline"


def test_bytes_that_are_no_text_go_out_as_they_are(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "binary.py",
        """
        import os
        from memo import job, op

        @op
        def load():
            os.write(1, bytes([0xFF, 0x00, 0x0A]))

        @op
        def other():
            return 1

        @job
        def daily():
            load()
            other()
        """,
    )
    ok("run", "binary.py", "-j", "2")
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "memo", "logs", "last", "load"],
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"== load, standard output ==\n\xff\x00\n"
    assert result(ok("logs", "last", "--json"))["load"]["stdout"] == "\\xff\x00\n"


# retry


def test_retry_from_failure_takes_what_has_finished(failing: Workspace, memo: Memo, ok: Memo) -> None:
    memo("run", "failing.py")
    parent = last(ok)["run_id"]
    failing.edit("failing.py", "return inner(number)", "return number")
    done = ok("retry", "last", "--from-failure")
    assert "daily: 2 steps run, 1 reused" in done.stderr
    found = last(ok)
    assert (found["parent_run_id"], found["root_run_id"]) == (parent, parent)
    assert f"  parent   {parent}\n" in ok("show", "last").stdout


def test_retry_from_failure_without_memoization(failing: Workspace, memo: Memo, ok: Memo) -> None:
    memo("run", "failing.py", "--no-memo")
    failing.edit("failing.py", "return inner(number)", "return number")
    done = ok("retry", "last", "--from-failure", "--json")
    found = result(done)
    # The run's tag is taken over: what was not memoized is not memoized now.
    assert found["tags"]["memo/is_memoized_run"] == "false"
    assert {key: step["outcome"] for key, step in found["steps"].items()} == {"clean": "success", "report": "success"}


def test_retry_of_all_takes_config_tags_and_selection_over(daily: Workspace, ok: Memo) -> None:
    given = ["--set", "ops.clean.config.limit=3", "--tag", "team=data", "--select", "load,clean", "--no-memo"]
    ok("run", "daily.py", *given)
    daily.edit("daily.py", "number // 2", "number // 4")
    ok("retry", "last")
    found = last(ok)
    assert found["run_config"] == {"ops": {"clean": {"config": {"limit": 3}}}}
    assert found["tags"]["team"] == "data"
    assert outcomes(ok) == {"load": "success", "clean": "success"}


def test_retry_finds_the_file_from_any_folder(failing: Workspace, memo: Memo, ok: Memo) -> None:
    memo("run", "failing.py")
    failing.edit("failing.py", "return inner(number)", "return number")
    below = failing.path / "below"
    below.mkdir()
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "memo", "retry", "last", "--from-failure"],
        cwd=below,
        env=failing.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert outcomes(ok) == {"load": "reused", "clean": "success", "report": "success"}


@pytest.mark.usefixtures("daily")
def test_a_run_that_succeeded_has_no_failure_to_go_on_from(memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    done = memo("retry", "last", "--from-failure")
    assert done.returncode == 2
    assert "succeeded; only a failed or canceled run can be run again from its failure" in done.stderr


def test_a_run_started_from_python_cannot_be_found_by_the_command_line(daily: Workspace, memo: Memo) -> None:
    daily.python("-c", "from memo import execute_job; from daily import daily; execute_job(daily)")
    done = memo("retry", "last")
    assert done.returncode == 2
    assert "was started from Python, and nothing says where its job 'daily' is" in done.stderr


@pytest.mark.usefixtures("failing")
def test_a_retry_that_fails_again(memo: Memo) -> None:
    memo("run", "failing.py")
    done = memo("retry", "last", "--from-failure")
    assert done.returncode == 1
    assert "failed: step 'clean' (failing.py:14): ValueError: bad row 17" in done.stderr
