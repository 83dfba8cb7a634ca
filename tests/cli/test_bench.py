"""`memo bench`: what it measures, and what it leaves alone."""

from __future__ import annotations

import json
import os
import signal
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.conftest import running
from tests.cli.test_profile import check

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.cli.conftest import Memo, Start
    from tests.conftest import Workspace


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made; empty in the end, whatever happened."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


CHAIN = """
    from memo import job, op

    @op
    def load() -> list:
        return list(range(50_000))

    @op
    def clean(rows: list) -> list:
        return [row for row in rows if row % 3]

    @op
    def count(rows: list) -> int:
        return len(rows)

    @op
    def other() -> int:
        return 3

    @job
    def daily():
        count(clean(load()))
        other()
"""


DEAF = """
    import signal
    from memo import job, op

    @op
    def deaf() -> int:
        running, says = open("running", "w"), "yes"
        while True:
            try:
                running.write(says)
                running.flush()
                signal.pause()
            except KeyboardInterrupt:
                says = "!"

    @job
    def stubborn():
        deaf()
"""

ENDS = """
    import os
    from memo import job, op

    @op
    def ends() -> int:
        {how}
        return 1

    @job
    def daily():
        ends()
"""

CHANGES = """
    import os
    from memo import job, op

    assert "CHANGED" not in os.environ
    os.environ["CHANGED"] = "yes"
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "other"))

    @op
    def load() -> int:
        return 1

    @job
    def daily():
        load()
"""


@pytest.fixture
def chain(workspace: Workspace) -> Workspace:
    """Three steps in a row, and one beside them."""
    workspace.write("chain.py", CHAIN)
    return workspace


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def counts(found: dict[str, Any], run: str) -> tuple[int, int, int]:
    return tuple(found["runs"][run][each] for each in ("steps_run", "cut_off", "reused"))


def test_what_is_measured(chain: Workspace, ok: Memo, temporary: Path) -> None:
    found = result(ok("bench", "chain.py", "--change", "clean", "--json"))
    assert counts(found, "cold") == (4, 0, 0)
    assert counts(found, "null") == (0, 0, 4)
    assert counts(found, "edit") == (1, 1, 2)
    assert [len(run["wall_seconds_each"]) for run in found["runs"].values()] == [1, 3, 3]
    for run in found["runs"].values():
        assert run["wall_seconds"] > 0
        assert run["cpu_seconds"] > 0
        assert run["peak_memory_bytes"] > 10_000_000
        assert run["where"]["start"] > 0
    assert found["runs"]["cold"]["stored_bytes"] > found["runs"]["edit"]["stored_bytes"] > 0
    assert found["runs"]["null"]["stored_bytes"] == 0
    assert found["edited"] == {"step": "clean", "op": "clean", "unsteady": {}}
    assert found["forecast"]["steps_run"] == 2
    assert found["forecast"]["wall_seconds"] > found["runs"]["edit"]["wall_seconds"]
    assert {each["step"] for each in found["steps"]} == {"load", "clean", "count", "other"}
    by_key = {each["step"]: each for each in found["steps"]}
    assert by_key["load"]["bytes"] > 100_000
    assert by_key["clean"]["load_seconds"] > 0
    for each in found["steps"]:
        assert each["load_seconds"] + each["run_seconds"] + each["store_seconds"] <= each["seconds"] + 1e-6
    assert found["always_run"] == {}
    assert {*os.listdir(chain.path)} - {"__pycache__"} == {"chain.py", "memo.toml"}
    assert os.listdir(temporary) == []


def test_the_table(chain: Workspace, ok: Memo) -> None:
    done = ok("bench", "chain.py", "-n", "4", "--cold", "2")
    told = done.stderr.splitlines()
    assert told[0].startswith("measuring daily in a home of its own, ")
    assert told[0].endswith("/home, which is removed in the end")
    assert told[1] == "cold: all 4 steps run, as long as they take; 2 times"
    assert told[2] == "null: nothing has changed, 4 times and once for the profile"
    assert told[3].startswith("edit: the op of 'count' counts as edited, what it does stays; 4 times and once")
    lines = done.stdout.splitlines()
    assert "\x1b" not in done.stdout
    assert lines[0].split() == [
        "RUN",
        "TIMES",
        "WALL",
        "RANGE",
        "CPU",
        "MEMORY",
        "STORED",
        "STEPS",
        "RUN",
        "CUT",
        "OFF",
        "REUSED",
    ]
    assert [line.split()[:2] for line in lines[1:4]] == [["cold", "2"], ["null", "4"], ["edit", "4"]]
    assert [line.split()[-3:] for line in lines[1:4]] == [["4", "0", "0"], ["0", "0", "4"], ["1", "0", "3"]]
    assert any(
        line.startswith("an edit of 'count' that changes its value, and all below: 1 step run") for line in lines
    )
    where = next(number for number, line in enumerate(lines) if line.startswith("WHERE THE TIME GOES "))
    assert [line[:8] for line in lines[lines.index("", where) - 2 :][:2]] == ["all else", "in all, "]
    assert any(line.startswith("SLOWEST STEPS") for line in lines)
    assert [line.count(" - ") for line in lines[1:4]] == [1, 1, 1]


def test_wishes_reach_the_runs(daily: Workspace, ok: Memo) -> None:
    daily.write("config.json", '{"ops": {"clean": {"config": {"limit": 3}}}}')
    kept = daily.path / "kept"
    options = ("-c", "config.json", "--set", "ops.clean.config.limit=2", "--tag", "who=bench", "--select", "*clean")
    done = ok("bench", "daily.py:daily", *options, "-j", "2", "--scratch", "kept", "--json")
    found = result(done)
    assert counts(found, "cold") == (2, 0, 0)
    assert found["workers"] == 1
    assert found["runs"]["cold"]["where_in_workers"]["run"] >= 0
    runs = json.loads(ok("runs", "--home", str(kept / "home"), "--json").stdout)
    assert len(runs) == 9
    for run in runs:
        assert run["tags"]["who"] == "bench"
        assert run["run_config"] == {"ops": {"clean": {"config": {"limit": 2}}}}
    assert {"cold.json", "null.json", "edit.json", "home"} <= set(os.listdir(kept))
    for name in ("cold", "null", "edit"):
        check(json.loads((kept / f"{name}.json").read_text()))
    assert not daily.home.exists()


def test_the_home_and_what_is_shared_are_left_alone(chain: Workspace, ok: Memo, tmp_path_factory: Any) -> None:
    shared = tmp_path_factory.mktemp("shared")
    (chain.path / "memo.toml").write_text(f'[storage]\nremote = "{shared}"\n')
    ok("run", "chain.py")

    def everything() -> dict[str, tuple[int, int]]:
        found = [each for root in (chain.home, shared) for each in root.rglob("*") if each.is_file()]
        return {str(each): (each.stat().st_mtime_ns, each.stat().st_size) for each in found}

    before = everything()
    done = ok("bench", "chain.py", "--json")
    assert everything() == before
    assert f"[storage] remote is left out: nothing is taken from {shared}, or put there" in done.stderr
    # What is stored there is not found either: the cold run is one.
    assert counts(result(done), "cold") == (4, 0, 0)


ELSEWHERE = """
    from memo import IOManager, MemoizableIOManager, fs_io_manager, io_manager, job, op
    import os, pickle

    class Own(MemoizableIOManager):
        def path(self, context):
            return os.path.join("own", "-".join(context.get_identifier()))
        def handle_output(self, context, obj):
            os.makedirs("own", exist_ok=True)
            with open(self.path(context), "wb") as file:
                pickle.dump(obj, file)
        def load_input(self, context):
            with open(self.path(context.upstream_output), "rb") as file:
                return pickle.load(file)
        def has_output(self, context):
            return os.path.exists(self.path(context))

    @io_manager
    def own_io_manager():
        return Own()

    class NotMemoizable(IOManager):
        def handle_output(self, context, obj): ...
        def load_input(self, context): ...

    @io_manager
    def forgetful():
        return NotMemoizable()

    @op
    def load() -> list:
        return [1, 2]

    @op
    def report(rows: list) -> str:
        return str(rows)

    def made(name, manager):
        @job(name=name, resource_defs={"io_manager": manager})
        def one():
            report(load())
        return one

    own = made("own", own_io_manager)
    files = made("files", fs_io_manager.configured({"base_dir": "files", "encoding": "pickle"}))
    forgets = made("forgets", forgetful)
"""


def test_configured_folders_are_not_written_to(workspace: Workspace, ok: Memo) -> None:
    workspace.write("jobs.py", ELSEWHERE)
    done = ok("bench", "jobs.py:files", "--json")
    assert "'io_manager': stores in that home too, and not where it is configured to" in done.stderr
    found = result(done)
    assert [counts(found, run) for run in ("cold", "null", "edit")] == [(2, 0, 0), (0, 0, 2), (1, 0, 1)]
    assert found["runs"]["cold"]["stored_bytes"] > 0
    assert not (workspace.path / "files").exists()
    done = ok("bench", "jobs.py:files", "-j", "2", "--json")
    assert not (workspace.path / "files").exists()


def test_an_io_manager_of_the_users_is_asked_about(workspace: Workspace, memo: Memo, ok: Memo) -> None:
    workspace.write("jobs.py", ELSEWHERE)
    done = memo("bench", "jobs.py:own")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: memo bench stores nothing outside of its scratch home, and this would, or may: ")
    assert "IO manager 'own_io_manager' (jobs.py:17) of 'io_manager'" in line
    assert line.endswith("and say --as-configured")
    assert not (workspace.path / "own").exists()
    done = memo("bench", "jobs.py:own", "--as-configured", "--cold", "2")
    assert done.returncode == 2
    assert "a second run would not be cold" in done.stderr
    done = ok("bench", "jobs.py:own", "--as-configured", "--json")
    assert "'io_manager': stores where it is configured to, outside of that home; what it stores stays" in done.stderr
    assert [counts(result(done), run) for run in ("cold", "null", "edit")] == [(2, 0, 0), (0, 0, 2), (1, 0, 1)]
    assert [run["stored_bytes"] for run in result(done)["runs"].values()] == [None, 0, None]
    stored = {each: (workspace.path / "own" / each).stat().st_mtime_ns for each in os.listdir(workspace.path / "own")}
    assert len(stored) > 2
    done = memo("bench", "jobs.py:own", "--as-configured")
    assert done.returncode == 2
    assert (
        "what 'load' gives and of 1 more is stored already where its IO manager is configured to keep it" in done.stderr
    )
    assert stored == {each: (workspace.path / "own" / each).stat().st_mtime_ns for each in stored}


def test_what_always_runs_is_told(workspace: Workspace, ok: Memo) -> None:
    workspace.write("jobs.py", ELSEWHERE.replace("report(rows: list)", "report(rows)"))
    done = ok("bench", "jobs.py:forgets", "--as-configured")
    assert (
        "2 steps run though nothing has changed: load (IO manager not memoizable), report (IO manager not memoizable)"
        in done.stdout.splitlines()
    )


def test_what_is_given_otherwise_and_what_is_left_out_are_told(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "drawn.py",
        """
        import random
        from memo import Out, job, mem_io_manager, op

        @op
        def draw(number: float) -> float:
            return number + random.random()

        @op(out=Out(io_manager_key="memory"))
        def double(number: float) -> float:
            return 2 * number

        @op
        def total(number: float) -> float:
            return number

        @job(resource_defs={"memory": mem_io_manager})
        def drawn():
            total(double(draw.alias("again")(draw(1.0))))
        """,
    )
    done = ok("bench", "drawn.py", "--change", "draw")
    lines = done.stdout.splitlines()
    assert [line.split()[-4:] for line in lines[:4]] == [
        ["OFF", "REUSED", "LEFT", "OUT"],
        ["4", "0", "0", "0"],
        ["0", "0", "3", "1"],
        ["4", "0", "0", "0"],
    ]
    # `again` too gave another value, and was given another to read.
    (line,) = [line for line in lines if "gave another value" in line]
    assert line.startswith("draw: gave another value when run again, though nothing in it or above it had changed; ")


def test_an_edit_of_an_op_that_is_placed_often_and_has_a_declared_version(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "often.py",
        """
        from memo import job, op

        @op(version="1")
        def same(number: int) -> int:
            return number

        @op
        def total(numbers: list) -> int:
            return sum(numbers)

        @job
        def often():
            total([same.alias(f"same_{n}")(n) for n in range(5)])
        """,
    )
    found = result(ok("bench", "often.py", "--change", "same_2", "--json"))
    assert found["edited"] == {"step": "same_2", "op": "same", "unsteady": {}}
    assert counts(found, "edit") == (5, 1, 0)
    assert found["forecast"]["steps_run"] == 6


def test_a_package_and_its_settings(workspace: Workspace, ok: Memo) -> None:
    workspace.write("package/__init__.py", "")
    workspace.write("package/chain.py", CHAIN)
    (workspace.path / "memo.toml").write_text("max_concurrent = 2\n")
    found = result(ok("bench", "package.chain", "--json"))
    assert counts(found, "edit") == (1, 0, 3)
    assert found["workers"] == 2


@pytest.mark.usefixtures("failing")
def test_a_run_that_fails(memo: Memo, temporary: Path) -> None:
    done = memo("bench", "failing.py", "--json")
    assert done.returncode == 1
    failed = result(done)["failed"]
    assert (failed["run"], failed["exit_code"]) == ("cold", 1)
    assert "failed: step 'clean' (failing.py:14): ValueError: bad row 17" in failed["told"]
    told = done.stderr.splitlines()
    assert "failed: step 'clean' (failing.py:14): ValueError: bad row 17" in told
    assert told[-1] == "the cold run failed, and nothing more is measured"
    assert "memo logs" not in done.stderr
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["chain.py", "--change", "claen"], "job 'daily' has no step 'claen'. Did you mean 'clean'?"),
        (["chain.py", "--change", "other", "--select", "*clean"], "is not among those of --select"),
        (["chain.py", "--select", "claen"], "names no step of this job. Did you mean 'clean'?"),
        (["chain.py", "--set", "ops.claen.config=1"], "claen"),
        (["chain.py", "--tag", "memo/is_memoized_run=false"], "its tags turn memoization off"),
        (["chain.py", "--scratch", ".memo/scratch"], "is in the home, and --scratch works elsewhere"),
        (["chain.py", "--scratch", "."], "is not empty, and --scratch works in an empty folder"),
        (["nothere.py"], "there is no such file"),
        (["chain.py", "-n", "2"], "2 is not in the range x>=3"),
    ],
)
@pytest.mark.usefixtures("chain")
def test_bad_input(memo: Memo, temporary: Path, args: list[str], said: str) -> None:
    done = memo("bench", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert os.listdir(temporary) == []


@pytest.mark.parametrize("concurrency", ["1", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_stopping_it_stops_what_it_measures(
    waiting: Workspace, start: Start, temporary: Path, number: signal.Signals, concurrency: str
) -> None:
    process = start("bench", "waiting.py", "-j", concurrency)
    with running(waiting) as alive:
        process.send_signal(number)
        assert alive.read() == ""
    out, told = process.communicate(timeout=30)
    assert out == ""
    if number is signal.SIGKILL:
        return
    assert process.returncode == 130
    assert told.splitlines()[-1] == "interrupted"
    assert os.listdir(temporary) == []


def test_stopping_it_where_interrupts_are_ignored(waiting: Workspace, start: Start, temporary: Path) -> None:
    # As a shell does with what it starts in the background.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start("bench", "waiting.py")
    finally:
        signal.signal(signal.SIGINT, before)
    with running(waiting) as alive:
        process.terminate()
        assert alive.read() == ""
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert os.listdir(temporary) == []


def test_an_op_that_does_not_listen_leaves_nothing_either(workspace: Workspace, start: Start, temporary: Path) -> None:
    workspace.write("deaf.py", DEAF)
    os.mkfifo(workspace.path / "running")
    process = start("bench", "deaf.py")
    with running(workspace) as alive:
        told: list[str] = []
        for _ in range(3):
            process.terminate()
            told.append(alive.read(1))
    assert told == ["!", "!", ""]
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("os._exit(0)", "ended itself with exit code 0"),
        ("os._exit(7)", "ended itself with exit code 7"),
        ("os.kill(os.getpid(), 9)", "was ended by signal 9 (Killed)"),
        ("os.kill(os.getpid(), 2)", "was interrupted"),
    ],
)
def test_an_op_that_ends_its_process(workspace: Workspace, memo: Memo, temporary: Path, how: str, said: str) -> None:
    workspace.write("ends.py", ENDS.format(how=how))
    done = memo("bench", "ends.py")
    assert done.returncode == (130 if "interrupted" in said else 1)
    assert done.stderr.splitlines()[1] == "cold: its one step runs, as long as it takes"
    assert done.stderr.splitlines()[-1] == f"the cold run {said}, and nothing more is measured"
    assert "same command" not in done.stderr
    assert os.listdir(temporary) == []


def test_a_file_that_ends_the_process_that_imports_it(workspace: Workspace, memo: Memo, temporary: Path) -> None:
    workspace.write("ends.py", "import os\nos._exit(3)\n")
    assert memo("bench", "ends.py").returncode == 3
    assert os.listdir(temporary) == []


def test_a_file_that_changes_its_process_when_imported(workspace: Workspace, ok: Memo) -> None:
    # What is measured begins as this did: not in that folder, and without that variable.
    workspace.write("sub/changes.py", CHANGES)
    (workspace.path / "sub" / "other").mkdir()
    ok("run", "sub/changes.py")
    assert workspace.home.is_dir()
    assert not os.listdir(workspace.path / "sub" / "other")
    done = ok("bench", "sub/changes.py", "--scratch", "kept", "--json")
    assert counts(result(done), "null") == (0, 0, 1)
    assert (workspace.path / "kept" / "cold.json").exists()


def test_steps_are_completed(chain: Workspace) -> None:
    words = "memo bench chain.py --change c"
    done = chain.memo(_MEMO_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD="4")
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == ["clean", "count"]
