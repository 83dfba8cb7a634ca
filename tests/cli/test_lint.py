"""`memo lint`, and the line that `memo run` gives to what an op reads undeclared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace

READS = """
from memo import job, op


@op
def load():
    with open("data.csv") as file:
        return file.read()


@op
def count(text):
    return len(text)


@job
def daily():
    count(load())
"""


@pytest.fixture
def reading(workspace: Workspace) -> Workspace:
    """Two steps, of which the first reads a file that nobody declared."""
    (workspace.path / "data.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    workspace.write("daily.py", READS)
    return workspace


def warned(done: CompletedProcess[str]) -> list[str]:
    return [line for line in done.stderr.splitlines() if "does not cover" in line]


def found(done: CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_an_undeclared_file_is_reported_with_its_line_and_the_remedy(reading: Workspace, memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "load (daily.py:4)",
        "  daily.py:6: reads the file 'data.csv'",
        "    declare it: depends_on=[Source.file('data.csv')], or wire it: load(Source.file('data.csv'))",
        "daily: 1 finding",
    ]
    assert done.stderr == ""
    assert ok("lint", "daily.py").stdout == done.stdout


DECLARED = '@op(depends_on=[Source.file("data.csv")])\ndef load'


def test_declared_there_is_nothing_to_report(reading: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    reading.edit("daily.py", "@op\ndef load", DECLARED)
    reading.edit("daily.py", "import job, op", "import Source, job, op")
    # What is declared makes another version, and is known of the earlier run all the same.
    done = ok("lint", "daily.py", "--strict")
    assert done.stdout == "daily: nothing to report\n"
    assert warned(ok("run", "daily.py")) == []
    done = ok("lint", "daily.py", "--strict")
    assert (done.stdout, done.stderr) == ("daily: nothing to report\n", "")


def test_declared_an_edit_runs_its_readers_and_touch_runs_nothing(reading: Workspace, ok: Memo) -> None:
    reading.edit("daily.py", "@op\ndef load", DECLARED)
    reading.edit("daily.py", "import job, op", "import Source, job, op")
    assert reading.run("daily.py").ran == ["count", "load"]
    (reading.path / "data.csv").touch()
    assert reading.run("daily.py").ran == []
    (reading.path / "data.csv").write_text("a,b\n1,3\n", encoding="utf-8")
    assert reading.run("daily.py").ran == ["count", "load"]


def test_wired_there_is_nothing_to_report(reading: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    reading.edit("daily.py", "def load():", "def load(path):")
    reading.edit("daily.py", 'open("data.csv")', "open(path)")
    reading.edit("daily.py", "count(load())", 'count(load(Source.file("data.csv")))')
    reading.edit("daily.py", "import job, op", "import Source, job, op")
    ok("run", "daily.py")
    assert ok("lint", "daily.py", "--strict").stdout == "daily: nothing to report\n"


def test_another_file_than_the_declared_one_is_reported_once_it_was_read(reading: Workspace, memo: Memo) -> None:
    (reading.path / "other.csv").touch()
    reading.edit("daily.py", "@op\ndef load", DECLARED.replace("data", "other"))
    reading.edit("daily.py", "import job, op", "import Source, job, op")
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 0
    assert "load, count have never run to the end as now" in done.stderr
    memo("run", "daily.py")
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert "reads the file 'data.csv'" in done.stdout


def test_before_the_first_run_it_says_what_it_does_not_know(reading: Workspace, memo: Memo, ok: Memo) -> None:
    done = ok("lint", "daily.py")
    assert done.stdout.splitlines() == [
        "load (daily.py:4)",
        "  daily.py:6: open() reads or writes a file",
        "    declare it with depends_on=[Source.file(…)]; or run it, and see here what it read",
        "daily: 1 finding",
    ]
    assert done.stderr == (
        "note: load, count have never run to the end as now: nothing is known of what they read at run time\n"
    )
    assert memo("lint", "daily.py", "--strict").returncode == 1
    assert not reading.home.exists()


def test_that_a_step_never_ran_is_no_finding(daily: Workspace, ok: Memo) -> None:
    done = ok("lint", "daily.py", "--strict")
    assert done.stdout == "daily: nothing to report\n"
    assert "load, clean, report have never run" in done.stderr
    ok("run", "daily.py")
    assert ok("lint", "daily.py", "--strict").stderr == ""


def test_reads_of_code_that_is_gone_are_forgotten(reading: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    reading.edit("daily.py", 'with open("data.csv") as file:\n        return file.read()', 'return "text"')
    assert ok("lint", "daily.py", "--strict").stdout == "daily: nothing to report\n"


def test_a_renamed_op_keeps_what_is_known_of_it(reading: Workspace, memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    text = (reading.path / "daily.py").read_text(encoding="utf-8")
    (reading.path / "daily.py").write_text(text.replace("load", "fetch"), encoding="utf-8")
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert done.stdout.startswith("fetch (daily.py:4)\n  daily.py:6: reads the file 'data.csv'\n")


def test_config_counts(reading: Workspace, ok: Memo, memo: Memo) -> None:
    reading.edit("daily.py", "@op\ndef load():", '@op(config_schema={"path": str})\ndef load(context):')
    reading.edit("daily.py", 'open("data.csv")', 'open(context.op_config["path"])')
    given = ("--set", "ops.load.config.path=data.csv", "--tag", "a=b")
    ok("run", "daily.py", *given)
    assert "'data.csv'" in memo("lint", "daily.py", *given).stdout
    # With another config it is another op version, which has not run.
    done = memo("lint", "daily.py", "--set", "ops.load.config.path=other.csv")
    assert "'data.csv'" not in done.stdout
    assert "never run" in done.stderr


def test_a_line_that_only_writes_is_settled_by_a_run(workspace: Workspace, ok: Memo, memo: Memo) -> None:
    workspace.write(
        "daily.py",
        """
        from memo import job, op

        @op
        def plot():
            with open("plot.txt", "w") as file:
                file.write("x")

        @job
        def daily():
            plot()
        """,
    )
    assert memo("lint", "daily.py", "--strict").returncode == 1
    done = ok("run", "daily.py")
    assert warned(done) == []
    assert ok("lint", "daily.py", "--strict").stdout == "daily: nothing to report\n"


def test_a_line_in_an_op_with_worker_processes_is_not_settled_by_a_run(workspace: Workspace, ok: Memo) -> None:
    (workspace.path / "data.csv").touch()
    workspace.write(
        "daily.py",
        """
        import multiprocessing

        from memo import job, op

        def task():
            return open("data.csv").read()

        @op
        def load():
            process = multiprocessing.get_context("fork").Process(target=task)
            process.start()
            process.join()

        @job
        def daily():
            load()
        """,
    )
    (line,) = warned(ok("run", "daily.py"))
    assert line.startswith("load: open() reads or writes a file (daily.py:6), which its version does not cover")
    done = ok("lint", "daily.py")
    assert "  daily.py:6: open() reads or writes a file\n" in done.stdout
    assert done.stderr == "note: op 'load' starts worker processes: what is read in them is not known\n"


def test_code_that_cannot_be_followed_is_reported_whatever_has_run(workspace: Workspace, ok: Memo, memo: Memo) -> None:
    workspace.write(
        "daily.py",
        """
        from memo import job, op

        @op
        def load():
            return eval("1")

        @job
        def daily():
            load()
        """,
    )
    (line,) = warned(ok("run", "daily.py"))
    assert line == (
        "load: eval() runs code made at run time (daily.py:5), which its version does not cover: "
        "memo lint daily.py:daily"
    )
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert "  daily.py:5: eval() runs code made at run time\n    name what it reaches in depends_on=[" in done.stdout
    # It is said once, and not again when the step runs again as it is.
    assert warned(ok("run", "daily.py", "--force")) == []


def test_resources_are_looked_at_too(workspace: Workspace, ok: Memo, memo: Memo) -> None:
    workspace.write(
        "daily.py",
        """
        from memo import Source, job, op, resource

        @resource
        def table():
            return open("data.csv").read()

        @op(required_resource_keys={"table"})
        def load(context):
            return context.resources.table

        @job(resource_defs={"table": table})
        def daily():
            load()
        """,
    )
    (workspace.path / "data.csv").touch()
    ok("run", "daily.py")
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert done.stdout.startswith("table (daily.py:3)\n  daily.py:5: open() reads or writes a file\n")
    workspace.edit("daily.py", "@resource\n", '@resource(depends_on=[Source.file("data.csv")])\n')
    assert ok("lint", "daily.py", "--strict").stdout == "daily: nothing to report\n"


@pytest.mark.parametrize(
    ("body", "remedy"),
    [
        ("os.environ['HOME']", "declare it: depends_on=[Source.env('HOME')], or wire it: load(Source.env('HOME'))"),
        ("dict(os.environ)", "read the variables that it needs by name"),
        ("os.listdir('d')", "declare it: depends_on=[Source.folder('d')], or wire it: load(Source.folder('d'))"),
        ("os.path.exists('x') or glance('x')", "declare it: depends_on=[Source.glob('x')]"),
        ("subprocess.run(['true'])", "declare a @source function that tells the program's version"),
        ("socket.create_connection(('localhost', PORT))", "declare what it loads: depends_on=[Source.url(…)]"),
    ],
)
def test_the_remedy_fits(workspace: Workspace, ok: Memo, memo: Memo, body: str, remedy: str) -> None:
    import socket

    (workspace.path / "d").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = body.replace("PORT", str(server.getsockname()[1]))
        text = (
            "import os, socket, subprocess\nfrom memo import job, op\n\ndef glance(path):\n"
            "    try:\n        open(path)\n"
            f"    except OSError:\n        pass\n\n@op\ndef load():\n    {body}\n\n@job\ndef daily():\n    load()\n"
        )
        workspace.write("daily.py", text)
        ok("run", "daily.py")
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert f"    {remedy}" in done.stdout


def test_json(reading: Workspace, ok: Memo, memo: Memo) -> None:
    ok("run", "daily.py")
    done = memo("lint", "daily.py", "--strict", "--json")
    assert done.returncode == 1
    assert found(done) == {
        "job": "daily",
        "clean": False,
        "findings": [
            {
                "owner": "load",
                "location": "daily.py:4",
                "kind": "file",
                "what": "data.csv",
                "where": "daily.py:6",
                "message": "reads the file 'data.csv'",
                "remedy": "declare it: depends_on=[Source.file('data.csv')], or wire it: load(Source.file('data.csv'))",
                "steps": ["load"],
            }
        ],
        "never_run": [],
        "unwatched": [],
    }


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nowhere.py"], "nowhere.py"),
        (["daily.py", "--job", "dayly"], "Did you mean 'daily'?"),
        (["daily.py", "--set", "ops.lod.config.x=1"], "lod"),
        (["daily.py", "--tag", "memo/is_memoized_run=false"], "turn memoization off"),
        (["daily.py", "--stric"], "No such option"),
        ([], "Missing argument 'TARGET'"),
    ],
)
def test_bad_input_exits_with_2(daily: Workspace, memo: Memo, args: list[str], said: str) -> None:
    done = memo("lint", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


# `memo run`


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_run_tells_it_the_first_time(reading: Workspace, ok: Memo, workers: str) -> None:
    line = "load: reads the file 'data.csv' (daily.py:6), which its version does not cover: memo lint daily.py:daily"
    done = ok("run", "daily.py", "-j", workers)
    assert warned(done) == [line]
    assert "warning" not in done.stderr
    for args in (["run", "daily.py"], ["run", "daily.py", "--force", "-j", workers]):
        assert warned(ok(*args)) == []
    # Another home has never seen it.
    assert warned(ok("run", "daily.py", "--home", "other")) == [f"{line} --home other"]


def test_an_op_placed_several_times_gets_one_line(reading: Workspace, ok: Memo) -> None:
    reading.edit("daily.py", "count(load())", 'load.alias("a")()\n    load.alias("b")()\n    load.alias("c")()')
    assert len(warned(ok("run", "daily.py", "--force"))) == 1


def test_several_reads_make_one_line(reading: Workspace, ok: Memo) -> None:
    reading.edit("daily.py", "        return file.read()", "        open('memo.toml'); eval('1')\n        return 'x'")
    (line,) = warned(ok("run", "daily.py"))
    assert "which its version does not cover, and 1 more: memo lint" in line


def test_a_step_that_fails_gets_its_line_too(reading: Workspace, memo: Memo) -> None:
    reading.edit("daily.py", "        return file.read()", "        raise ValueError(file.read())")
    done = memo("run", "daily.py")
    assert done.returncode == 1
    assert len(warned(done)) == 1
    assert warned(memo("run", "daily.py")) == []


def test_an_op_that_is_as_good_as_its_version_gets_none(daily: Workspace, ok: Memo) -> None:
    assert warned(ok("run", "daily.py")) == []


def test_five_blind_spots_are_five_findings(workspace: Workspace, ok: Memo, memo: Memo) -> None:
    workspace.write(
        "daily.py",
        """
        import importlib
        import sys

        from memo import job, op

        @op
        def load():
            eval("1")
            exec("1")
            sys.argv[0]
            sys.modules[str("sys")]
            importlib.reload(sys.modules["sys"])

        @job
        def daily():
            load()
        """,
    )
    done = memo("lint", "daily.py", "--strict")
    assert done.returncode == 1
    assert done.stdout.endswith("daily: 5 findings\n")
    assert "    give it as config\n" in done.stdout


def test_plan_warns_of_what_lint_reports_and_of_nothing_else(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "pipe.py",
        """
        from pathlib import Path
        from memo import Out, job, op, path_io_manager

        @op(out=Out(io_manager_key="paths"))
        def write() -> Path:
            path = Path("made.txt")
            path.write_text("3")
            return path

        @op
        def evaluate(made: Path) -> int:
            return int(made.read_text())

        @job(resource_defs={"paths": path_io_manager})
        def daily():
            evaluate(write())
        """,
    )
    warning = ".read_text() reads a file"
    assert warning in ok("lint", "pipe.py").stdout
    assert warning in ok("plan", "pipe.py").stderr
    assert warning in ok("why", "pipe.py", "evaluate").stdout
    ok("run", "pipe.py")
    assert warning not in ok("lint", "pipe.py").stdout
    assert ok("plan", "pipe.py").stderr == ""
    assert warning not in ok("why", "pipe.py", "evaluate").stdout
