"""`memo run`: what it tells, where it tells it, and what it gives to programs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {key: step["outcome"] for key, step in result(done)["steps"].items()}


@pytest.mark.usefixtures("daily")
def test_the_first_run_runs_all_and_the_second_nothing(ok: Memo) -> None:
    first = ok("run", "daily.py")
    told = first.stderr.splitlines()
    assert re.fullmatch(r"run [0-9a-f]{19}: 3 steps to run, 0 to reuse", told[0])
    assert [line.split(" ran in ")[0] for line in told[1:4]] == ["load:", "clean:", "report:"]
    assert told[1].endswith("(never run)")
    assert re.fullmatch(r"daily: 3 steps run, 0 reused in .+", told[4])
    assert len(told) == 5
    assert first.stdout == "loading\n"
    second = ok("run", "daily.py")
    assert second.stdout == ""
    told = second.stderr.splitlines()
    assert told[:3] == [f"{key}: reused (stored under this version)" for key in ("load", "clean", "report")]
    assert re.fullmatch(r"daily: 0 steps run, 3 reused in .+", told[3])


def test_only_what_changed_runs_and_says_why(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "number // 2", "number // 4 + 3")
    told = ok("run", "daily.py").stderr.splitlines()
    assert told[0].endswith(": 1 step to run, 1 maybe, 1 to reuse")
    assert told[1] == "load: reused (stored under this version)"
    assert re.fullmatch(r"clean: ran in .+ \(code changed: daily.half\)", told[2])
    # half(20) is 8 now, and the limit still makes 5 of it: the same value, so nothing below runs.
    assert told[3] == "report: reused (stored; its inputs have the same content as before)"


@pytest.fixture
def wide(workspace: Workspace) -> Workspace:
    """A job of 30 steps."""
    workspace.write(
        "wide.py",
        """
        from memo import job, op

        @op
        def start():
            return 1

        @op
        def each(number):
            return number

        @job
        def wide():
            number = start()
            for index in range(29):
                number = each.alias(f"each_{index}")(number)
        """,
    )
    return workspace


@pytest.mark.usefixtures("wide")
def test_many_reused_steps_are_one_line(ok: Memo) -> None:
    ok("run", "wide.py")
    (line,) = ok("run", "wide.py").stderr.splitlines()
    assert re.fullmatch(r"wide: 0 steps run, 30 reused in .+", line)
    assert len(ok("run", "wide.py", "--verbose").stderr.splitlines()) == 31


@pytest.mark.usefixtures("daily")
def test_verbose_tells_when_steps_start(ok: Memo) -> None:
    told = ok("run", "daily.py", "-v").stderr.splitlines()
    assert told.index("clean: started") < next(i for i, line in enumerate(told) if line.startswith("clean: ran"))


CONFIGS = {
    "config.toml": "[ops.clean.config]\nlimit = 3\n",
    "config.yaml": "ops:\n  clean:\n    config: {limit: 3}\n",
    "config.yml": "ops: {clean: {config: {limit: 3}}}\n",
    "config.json": '{"ops": {"clean": {"config": {"limit": 3}}}}',
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config_files(daily: Workspace, ok: Memo, name: str) -> None:
    daily.write(name, CONFIGS[name])
    done = ok("run", "daily.py", "-c", name, "--json")
    assert result(done)["run_config"] == {"ops": {"clean": {"config": {"limit": 3}}}}


def test_later_config_counts_and_single_values_count_most(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "show.py",
        """
        from memo import job, op

        @op(config_schema={"a": int, "b": int, "c": int, "d": [str], "e": str})
        def show(context):
            print(dict(sorted(context.op_config.items())))

        @job(config={"ops": {"show": {"config": {"a": 0, "b": 0, "c": 0, "d": ["x"], "e": "job"}}}})
        def shown():
            show()
        """,
    )
    workspace.write("one.toml", "[ops.show.config]\na = 1\nb = 1\nc = 1\n")
    workspace.write("two.json", '{"ops": {"show": {"config": {"b": 2, "c": 2}}}}')
    given = ["--set", "ops.show.config.c=3", "--set", 'ops.show.config.d=["y","z"]', "--set", "ops.show.config.e=a=b"]
    done = ok("run", "show.py", "-c", "one.toml", "-c", "two.json", *given)
    assert done.stdout == "{'a': 1, 'b': 2, 'c': 3, 'd': ['y', 'z'], 'e': 'a=b'}\n"


@pytest.mark.parametrize("off", [["--no-memo"], ["--tag", "memo/is_memoized_run=false"]])
@pytest.mark.usefixtures("daily")
def test_memoization_off(ok: Memo, off: list[str]) -> None:
    ok("run", "daily.py")
    done = ok("run", "daily.py", *off)
    assert "3 steps to run, memoization off" in done.stderr
    assert "daily: 3 steps run, 0 reused" in done.stderr
    assert "daily: 0 steps run, 3 reused" in ok("run", "daily.py").stderr


@pytest.mark.usefixtures("daily")
def test_tags_are_kept_with_the_run(ok: Memo) -> None:
    done = ok("run", "daily.py", "--tag", "team=data", "--tag", "note=a=b", "--json")
    assert result(done)["tags"] == {"team": "data", "note": "a=b"}


@pytest.mark.usefixtures("daily")
def test_a_selection(ok: Memo) -> None:
    assert set(outcomes(ok("run", "daily.py", "--select", "*clean", "--json"))) == {"load", "clean"}


@pytest.mark.parametrize(
    ("args", "ran"),
    [
        (["daily.py", "--force"], ["load", "clean", "report"]),
        (["--force", "daily.py"], ["load", "clean", "report"]),
        (["--force", "daily.py", "--tag", "a=b"], ["load", "clean", "report"]),
        (["--force", "clean", "daily.py"], ["clean"]),
        (["daily.py", "--force", "clean"], ["clean"]),
        (["daily.py", "--force=load,report"], ["load", "report"]),
        (["daily.py"], []),
    ],
)
@pytest.mark.usefixtures("daily")
def test_force(ok: Memo, args: list[str], ran: list[str]) -> None:
    ok("run", "daily.py")
    found = outcomes(ok("run", *args, "--json"))
    assert [key for key, outcome in found.items() if outcome == "success"] == ran


def test_json_stands_alone_whatever_the_ops_print(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "loud.py",
        """
        import os, subprocess, sys
        from memo import job, op

        print("imported")

        @op
        def shout(context):
            print("printed")
            sys.stdout.flush()
            os.write(1, b"written\\n")
            subprocess.run(["echo", "echoed"], check=True)
            context.log.info("logged")

        @job
        def loud():
            shout()
        """,
    )
    for concurrency in (["-j", "1"], ["-j", "2"]):
        done = ok("run", "loud.py", "--json", "--force", *concurrency)
        found = result(done)
        assert found["status"] == "SUCCESS"
        assert found["counts"] == {"success": 1}
        assert found["steps"] == {"shout": {"verdict": "RUN", "reason": "forced", "outcome": "success"}}
        for word in ("imported", "printed", "written", "echoed"):
            assert word in done.stderr, word
        assert "shout: INFO: logged" in done.stderr


def test_what_is_told_is_not_kept_as_the_steps_own_output(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    kept = {path.name: path.read_text() for path in daily.home.glob("logs/*/*")}
    assert kept == {"load.out": "loading\n"}


@pytest.mark.usefixtures("daily")
def test_worker_processes(ok: Memo) -> None:
    done = ok("run", "daily.py", "-j", "2")
    assert done.stdout == "loading\n"
    assert "daily: 3 steps run, 0 reused" in done.stderr


@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_home_may_be_elsewhere(daily: Workspace, ok: Memo, how: str) -> None:
    place = str(daily.path / "kept elsewhere")
    if how == "option":
        ok("run", "daily.py", "--home", place)
        assert "daily" in ok("runs", "--home", place).stdout
    else:
        ok("run", "daily.py", MEMO_HOME=place)
        assert "daily" in ok("runs", MEMO_HOME=place).stdout
    assert not daily.home.exists()


def test_a_module_of_a_package_and_a_job_by_name(workspace: Workspace, ok: Memo) -> None:
    workspace.write("flights/__init__.py", "")
    workspace.write("flights/rows.py", "ROWS = 3\n")
    workspace.write(
        "flights/jobs.py",
        """
        from memo import graph, job, op
        from .rows import ROWS

        @op
        def load():
            print(ROWS)

        @job
        def small():
            load()

        @job
        def large():
            load()

        @graph
        def drawn():
            load()
        """,
    )
    assert ok("run", "flights.jobs:small").stdout == "3\n"
    assert ok("run", "flights/jobs.py", "--job", "large").stderr.startswith("load: reused")
    assert result(ok("run", "flights.jobs", "--job", "drawn", "--json"))["job"] == "drawn"


def test_a_failure_names_step_file_error_and_what_to_type(failing: Workspace, memo: Memo) -> None:
    done = memo("run", "failing.py")
    assert done.returncode == 1
    assert done.stdout == "loading\nabout to fail\n"
    told = done.stderr.splitlines()
    assert re.fullmatch(r"clean: failed after .+: ValueError: bad row 17", told[2])
    file = failing.path / "failing.py"
    assert told[3:8] == [
        "failed: step 'clean' (failing.py:14): ValueError: bad row 17",
        f'  File "{file}", line 17, in clean',
        "    return inner(number)",
        f'  File "{file}", line 5, in inner',
        '    raise ValueError(f"bad row {number}")',
    ]
    assert re.fullmatch(r"daily: 1 step run, 0 reused, 1 failed, 1 not reached in .+", told[8])
    hints = [line.partition(":  ")[2].strip() for line in told[9:]]
    assert len(hints) == 2
    logs = memo(*shlex.split(hints[0])[1:])
    assert logs.returncode == 0
    assert "about to fail" in logs.stdout
    assert "ValueError: bad row 17" in logs.stdout
    failing.edit("failing.py", "return inner(number)", "return number")
    again = memo(*shlex.split(hints[1])[1:])
    assert again.returncode == 0
    assert "daily: 2 steps run, 1 reused" in again.stderr


@pytest.mark.usefixtures("failing")
def test_hints_name_the_home_where_it_was_given(memo: Memo) -> None:
    done = memo("run", "failing.py", "--home", "my home")
    hints = [line.partition("memo ")[2] for line in done.stderr.splitlines()[-2:]]
    assert all(hint.endswith("--home 'my home'") for hint in hints)
    assert "about to fail" in memo(*shlex.split(hints[0])).stdout


@pytest.mark.usefixtures("failing")
def test_a_failed_run_as_json(memo: Memo) -> None:
    done = memo("run", "failing.py", "--json")
    assert done.returncode == 1
    found = result(done)
    assert found["status"] == "FAILURE"
    assert found["errors"]["clean"]["kind"] == "ValueError"
    assert found["errors"]["clean"]["message"] == "bad row 17"
    assert "memo/" not in found["errors"]["clean"]["traceback"]
    assert {key: step["outcome"] for key, step in found["steps"].items()} == {
        "load": "success",
        "clean": "failure",
        "report": "blocked",
    }


def test_of_many_failures_the_first_are_told_in_full(workspace: Workspace, memo: Memo) -> None:
    workspace.write(
        "many.py",
        """
        from memo import job, op

        @op
        def fail():
            raise RuntimeError

        @job
        def many():
            for index in range(8):
                fail.alias(f"fail_{index}")()
        """,
    )
    done = memo("run", "many.py")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    full = [line for line in lines if line.startswith("failed: ")]
    assert len(full) == 5
    assert full[0] == "failed: step 'fail_0' (op 'fail', many.py:3): RuntimeError"
    assert any(line.startswith("and 3 more failed steps: memo show ") for line in lines)


def test_attempts_and_what_is_logged_are_told(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "flaky.py",
        """
        from memo import RetryPolicy, job, op

        @op(retry_policy=RetryPolicy(max_retries=2))
        def flaky(context):
            context.log.info("attempt %d", context.retry_number)
            if context.retry_number < 1:
                raise OSError("not yet\\nsecond line")
            context.log.warning("at last")

        @job
        def trying():
            flaky()
        """,
    )
    told = ok("run", "flaky.py").stderr.splitlines()
    assert told[1:5] == [
        "flaky: INFO: attempt 0",
        "flaky: attempt 1 failed: OSError: not yet …; the next one in <1 ms",
        "flaky: INFO: attempt 1",
        "flaky: WARNING: at last",
    ]


def test_what_the_users_own_logging_shows_is_not_told_twice(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "logging_itself.py",
        """
        import logging
        from memo import job, op

        logging.basicConfig(level=logging.INFO, format="OWN %(message)s")

        @op
        def log(context):
            context.log.info("once")

        @job
        def logs():
            log()
        """,
    )
    told = ok("run", "logging_itself.py").stderr.splitlines()
    assert [line for line in told if "once" in line] == ["OWN once"]


def test_a_failed_run_that_is_started_again_says_so(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "again.py",
        """
        from pathlib import Path
        from memo import job, op

        @op
        def once():
            mark = Path("mark")
            if not mark.exists():
                mark.touch()
                raise RuntimeError("the first time")

        @job(tags={"memo/max_retries": "1"})
        def again():
            once()
        """,
    )
    done = ok("run", "again.py")
    assert re.search(r"^run [0-9a-f]{19} failed; it is started again as run [0-9a-f]{19}$", done.stderr, re.MULTILINE)


def test_what_versions_cannot_follow_is_one_line_an_op(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "dynamic.py",
        """
        import importlib
        from memo import job, op

        @op
        def reads():
            for name in ("a", "b"):
                return getattr(importlib.import_module(name + "_part"), "value")

        @job
        def dynamic():
            reads()
        """,
    )
    workspace.write("a_part.py", "value = 1\n")
    told = ok("run", "dynamic.py").stderr.splitlines()
    hint = "which its version does not cover: memo lint dynamic.py:dynamic"
    what = "import_module() finds code by a name made at run time (dynamic.py:7)"
    assert [line for line in told if "does not cover" in line] == [f"reads: {what}, {hint}"]
    warned = ok("plan", "dynamic.py").stderr.splitlines()
    assert warned == [f"reads: {what}: memo lint dynamic.py:dynamic"]
    assert f"  not seen: what is behind {what}; " in ok("why", "dynamic.py", "reads").stdout


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_garbage_is_collected_while_ops_run(workspace: Workspace, ok: Memo, concurrency: str) -> None:
    workspace.write(
        "collects.py",
        """
        import gc
        from memo import job, op

        @op
        def ask():
            print(gc.isenabled())

        @job
        def daily():
            ask()
        """,
    )
    assert ok("run", "collects.py", "-j", concurrency).stdout == "True\n"


def in_terminal(workspace: Workspace, *args: str, **env: str) -> tuple[int, str]:
    """Call the command line with a terminal for standard output and error, and give all that the terminal was sent."""
    import pty

    program = (
        "import sys; from memo.cli.program import run_program; code = run_program(sys.argv[1:]); "
        "sys.stdout.write('RICH\\n' if 'rich' in sys.modules else 'PLAIN\\n'); sys.exit(code)"
    )
    ours, theirs = pty.openpty()
    variables = {**workspace.environment(), "TERM": "xterm-256color", "COLUMNS": "100", "NO_COLOR": "", **env}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *args],
        cwd=workspace.path,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(ours)
    return process.wait(), shown.decode()


def test_the_live_display(daily: Workspace) -> None:
    code, shown = in_terminal(daily, "run", "daily.py")
    assert code == 0
    assert "━" in shown
    assert "loading" in shown
    assert re.search(r"clean: ran in .+ \(never run\)", shown)
    assert "3/3" in shown
    assert "\x1b[32mdaily: 3 steps run, 0 reused" in shown
    assert "RICH" in shown


def test_a_run_with_nothing_to_do_has_no_live_display(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    code, shown = in_terminal(daily, "run", "daily.py")
    assert code == 0
    assert "PLAIN" in shown
    assert "\x1b[32mdaily: 0 steps run, 3 reused" in shown


def test_no_colour_where_none_is_wanted(failing: Workspace) -> None:
    code, shown = in_terminal(failing, "run", "failing.py", NO_COLOR="1")
    assert code == 1
    # The display moves the cursor and clears lines; it sets no colour.
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", shown)


def test_the_time_left_comes_from_earlier_runs() -> None:
    from memo import op
    from memo.cli.progress import Progress
    from memo.contracts.version_strategy import CodeVersion
    from memo.definition.step import FromOutput, Step
    from memo.events import Event, EventType
    from memo.planning import Plan, Reason, StepPlan, Verdict
    from memo.versioning import OpVersion, StepVersion, Versions

    @op
    def made() -> None: ...

    def step(key: str, seconds: float | None) -> StepPlan:
        return StepPlan(key, Verdict.RUN, Reason.NEVER_RUN, seconds=seconds)

    def version(*reads: str) -> StepVersion:
        placed = Step("s", made, tuple(FromOutput(key, "result") for key in reads), {}, None, ())
        return StepVersion("v", "l", OpVersion("o", "l", CodeVersion("c")), placed)

    # `a` and `b` one after the other take longer than half of all, which two workers would need otherwise.
    steps = {"a": step("a", 40.0), "b": step("b", 30.0), "c": step("c", 20.0)}
    versions = Versions({"a": version(), "b": version("a"), "c": version()}, {}, {}, {}, False)
    progress = Progress(workers=2)
    progress.begin(Plan("j", True, steps, versions), "run")
    assert progress.seconds_left == (70.0, True)
    progress.listen(Event(EventType.STEP_SUCCESS, "run", 0.0, "a", data={"seconds": 1.0}))
    assert progress.seconds_left == (30.0, True)
    progress.listen(Event(EventType.STEP_SUCCESS, "run", 0.0, "b", data={"seconds": 1.0}))
    assert progress.seconds_left == (20.0, True)
    alone = Versions({key: version() for key in "abcd"}, {}, {}, {}, False)
    progress.begin(Plan("j", True, {**steps, "d": step("d", None)}, alone), "run")
    assert progress.seconds_left == (45.0, False)
