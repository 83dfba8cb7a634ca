"""`memo run --profile`: a trace by the rules of its format, that tells of every step, however the run ends."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest

from memo.project.bench_figures import step_costs
from memo.project.profiling import SHOWN_REUSES
from tests.cli.conftest import running

if TYPE_CHECKING:
    from tests.cli.conftest import Memo, Start
    from tests.conftest import Workspace


def trace_of(workspace: Workspace, name: str = "trace.json") -> dict[str, Any]:
    """A trace that was written, seen to keep the rules."""
    trace = json.loads((workspace.path / name).read_text())
    check(trace)
    return trace


def check(trace: dict[str, Any]) -> None:
    """See that a trace keeps the rules of the Trace Event Format, as Perfetto and speedscope read it."""
    threads: dict[tuple[int, int], list[tuple[float, float]]] = {}
    named: set[tuple[str, int, int]] = set()
    for row in trace["traceEvents"]:
        assert isinstance(row["name"], str)
        assert type(row["pid"]) is int
        assert type(row["tid"]) is int
        assert isinstance(row["args"], dict)
        if row["ph"] == "M":
            assert row["name"] in {"process_name", "thread_name"}
            assert isinstance(row["args"]["name"], str)
            named.add((row["name"], row["pid"], row["tid"]))
            continue
        assert row["cat"]
        assert row["ts"] >= 0
        if row["ph"] == "i":
            assert row["s"] == "t"
            continue
        assert row["ph"] == "X"
        assert row["dur"] >= 0
        threads.setdefault((row["pid"], row["tid"]), []).append((row["ts"], row["ts"] + row["dur"]))
    for (pid, tid), spans in threads.items():
        assert ("thread_name", pid, tid) in named
        assert any(kind == "process_name" and process == pid for kind, process, _ in named)
        above: list[float] = []
        for start, end in sorted(spans, key=lambda each: (each[0], -each[1])):
            while above and above[-1] <= start:
                above.pop()
            # A thousandth of a microsecond: what is left of nanoseconds in a float.
            assert not above or end <= above[-1] + 0.001, "two spans of one thread overlap without nesting"
            above.append(end)


def spans(trace: dict[str, Any], category: str) -> list[dict[str, Any]]:
    return [row for row in trace["traceEvents"] if row["ph"] == "X" and row["cat"] == category]


def process_of(trace: dict[str, Any], step: str) -> str:
    """What the process is called in which a step ran."""
    (pid,) = {row["pid"] for row in spans(trace, "step") if row["name"] == step}
    names = (row for row in trace["traceEvents"] if row["name"] == "process_name" and row["pid"] == pid)
    return next(names)["args"]["name"]


def told(trace: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """What the steps' spans tell: verdict, reason, outcome."""
    return {
        row["name"]: (row["args"]["verdict"], row["args"]["reason"], row["args"]["outcome"])
        for row in spans(trace, "step")
    }


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_a_run_in_which_all_runs(daily: Workspace, ok: Memo, concurrency: str) -> None:
    done = ok("run", "daily.py", "--profile", "trace.json", "-j", concurrency)
    assert done.stderr.splitlines()[-1].startswith("profile: trace.json; open it in https://ui.perfetto.dev")
    trace = trace_of(daily)
    assert told(trace) == dict.fromkeys(("load", "clean", "report"), ("RUN", "never run", "success"))
    assert all(row["args"]["bytes"] > 0 for row in spans(trace, "step"))
    assert trace["otherData"]["outcomes"] == {"run": 3}
    assert trace["otherData"]["workers"] == int(concurrency != "1")
    main, workers = trace["otherData"]["totals_ns"]["main"], trace["otherData"]["totals_ns"]["workers"]
    coordinated = {"start", "import", "definition", "config", "versions", "plan", "storage check", "catalog", "loop"}
    assert coordinated <= main.keys()
    in_steps = {"step", "load", "run", "digest", "store"}
    assert in_steps <= (main if concurrency == "1" else workers).keys()
    processes = {row["args"]["name"] for row in trace["traceEvents"] if row["name"] == "process_name"}
    assert processes == {"memo run daily.py", *(["worker 1"] if concurrency != "1" else [])}


def test_where_a_step_spends_its_time(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "slow.py",
        """
        from time import perf_counter
        from memo import job, op

        @op
        def load() -> bytes:
            return bytes(3_000_000)

        @op
        def spin(data: bytes) -> bytes:
            until = perf_counter() + 0.05
            while perf_counter() < until:
                pass
            return data

        @job
        def slow():
            spin(load())
        """,
    )
    ok("run", "slow.py", "--profile", "trace.json")
    trace = trace_of(workspace)
    (step,) = [row for row in spans(trace, "step") if row["name"] == "spin"]
    within = [
        row
        for row in trace["traceEvents"]
        if row["ph"] == "X" and row["args"].get("step") == "spin" and row["cat"] != "step"
    ]
    (run,) = [row for row in within if row["cat"] == "run"]
    (store,) = [row for row in within if row["cat"] == "store"]
    assert 50_000 <= run["dur"] <= step["dur"]
    assert step["ts"] <= run["ts"] <= run["ts"] + run["dur"] <= store["ts"]
    assert store["args"]["bytes"] >= 3_000_000
    assert {row["name"] for row in within if row["cat"] == "load"} <= {"load data from load"}


@pytest.mark.usefixtures("daily")
def test_what_is_reused_is_marked(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    ok("run", "daily.py", "--profile", "trace.json")
    trace = trace_of(daily)
    assert spans(trace, "step") == []
    marks = {row["name"]: row["args"]["reason"] for row in trace["traceEvents"] if row["ph"] == "i"}
    assert marks == {f"{key} reused": "stored under this version" for key in ("load", "clean", "report")}
    assert trace["otherData"]["outcomes"] == {"reused": 3}


def test_of_many_reused_steps_there_is_a_number(workspace: Workspace, ok: Memo) -> None:
    many = SHOWN_REUSES + 10
    workspace.write(
        "wide.py",
        f"""
        from memo import job, op

        @op
        def each(number):
            return number

        @job
        def wide():
            for number in range({many}):
                each.alias(f"each_{{number}}")(number)
        """,
    )
    ok("run", "wide.py")
    ok("run", "wide.py", "--profile", "trace.json")
    trace = trace_of(workspace)
    assert sum(row["ph"] == "i" for row in trace["traceEvents"]) == SHOWN_REUSES
    assert trace["otherData"]["reused_not_shown"] == 10
    assert len((workspace.path / "trace.json").read_bytes()) < 400_000


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_a_run_that_fails(failing: Workspace, memo: Memo, concurrency: str) -> None:
    done = memo("run", "failing.py", "--profile", "trace.json", "-j", concurrency)
    assert done.returncode == 1
    assert "inner" in done.stderr
    assert "spans.py" not in done.stderr
    trace = trace_of(failing)
    assert told(trace) == {"load": ("RUN", "never run", "success"), "clean": ("RUN", "never run", "failure")}
    assert trace["otherData"]["outcomes"] == {"run": 1, "failed": 1}


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_a_run_that_is_interrupted(waiting: Workspace, start: Start, concurrency: str) -> None:
    process = start("run", "waiting.py", "--profile", "trace.json", "-j", concurrency)
    with running(waiting):
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    trace = trace_of(waiting)
    never = "never run"
    assert told(trace) == {"load": ("RUN", never, "success"), "wait": ("RUN", never, "canceled")}
    assert {row["args"]["attempt"] for row in spans(trace, "step")} == {1}
    assert len({(row["pid"], row["tid"]) for row in spans(trace, "step")}) == 1
    assert process_of(trace, "wait") == ("worker 1" if concurrency == "2" else "memo run waiting.py")


def test_a_worker_that_dies_is_seen(workspace: Workspace, memo: Memo) -> None:
    workspace.write(
        "dying.py",
        """
        import os
        from memo import job, op

        @op
        def die() -> int:
            os._exit(7)

        @job
        def daily():
            die()
        """,
    )
    assert memo("run", "dying.py", "--profile", "trace.json", "-j", "2").returncode == 1
    trace = trace_of(workspace)
    assert told(trace) == {"die": ("RUN", "never run", "died")}
    assert [row["args"]["attempt"] for row in spans(trace, "step")] == [1]
    assert process_of(trace, "die") == "worker 1"


def test_attempts_and_streams(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "rows.py",
        """
        import pyarrow as pa
        from memo import RetryPolicy, job, op

        @op(retry_policy=RetryPolicy(max_retries=1))
        def once(context) -> int:
            if context.retry_number == 0:
                raise ValueError("not yet")
            return 3

        @op
        def rows(count: int) -> pa.RecordBatchReader:
            schema = pa.schema([("n", pa.int64())])
            batches = (pa.record_batch([pa.array(range(1000))], schema) for _ in range(count))
            return pa.RecordBatchReader.from_batches(schema, batches)

        @op
        def total(rows: pa.RecordBatchReader) -> int:
            return sum(batch.num_rows for batch in rows)

        @job
        def daily():
            total(rows(once()))
        """,
    )
    ok("run", "rows.py", "--profile", "trace.json")
    attempts = [row["args"]["attempt"] for row in spans(trace_of(workspace), "step") if row["name"] == "once"]
    assert attempts == [1, 2]


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_what_is_imported_on_the_way_is_told_apart(workspace: Workspace, memo: Memo, concurrency: str) -> None:
    workspace.write(
        "slowly.py",
        """
        from time import perf_counter
        until = perf_counter() + 0.05
        while perf_counter() < until:
            pass
        """,
    )
    workspace.write(
        "importing.py",
        """
        from memo import job, op

        @op(version="1")  # its code is not looked at before
        def first() -> int:
            import slowly
            return 1

        @op
        def second(number: int) -> int:
            import nowhere
            return number

        @job
        def daily():
            second(first())
        """,
    )
    done = memo("run", "importing.py", "--profile", "trace.json", "-j", concurrency)
    assert "ModuleNotFoundError: No module named 'nowhere'" in done.stderr
    assert "import nowhere" in done.stderr
    assert "spans.py" not in done.stderr
    assert "importlib" not in done.stderr
    trace = trace_of(workspace)
    (span,) = [row for row in spans(trace, "import") if row["name"] == "import slowly"]
    assert span["dur"] >= 50_000
    cost = next(each for each in step_costs(trace) if each.key == "first")
    assert cost.imports >= 0.05
    assert cost.run + cost.imports <= cost.seconds + 1e-6


@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_waiting_for_another_attempt(workspace: Workspace, ok: Memo, concurrency: str) -> None:
    workspace.write(
        "twice.py",
        """
        from memo import RetryPolicy, job, op

        @op(retry_policy=RetryPolicy(max_retries=2, delay=0.2))
        def thrice(context) -> int:
            if context.retry_number < 2:
                raise ValueError("not yet")
            return 3

        @job
        def daily():
            thrice()
        """,
    )
    ok("run", "twice.py", "--profile", "trace.json", "-j", concurrency)
    trace = trace_of(workspace)
    first, second = spans(trace, "retry")
    assert first["args"]["step"] == second["args"]["step"] == "thrice"
    assert min(first["dur"], second["dur"]) >= 199_000
    assert trace["otherData"]["totals_ns"]["main"]["waiting"] >= 2 * 199_000_000
    (cost,) = step_costs(trace)
    assert cost.wait == pytest.approx((first["dur"] + second["dur"]) / 1e6)
    assert cost.wait < cost.seconds
    assert cost.bytes == spans(trace, "step")[-1]["args"]["bytes"]


@pytest.mark.usefixtures("daily")
def test_a_file_that_is_no_profile_is_not_written_over(daily: Workspace, memo: Memo, ok: Memo) -> None:
    before = (daily.path / "daily.py").read_text()
    done = memo("run", "daily.py", "--profile", "daily.py")
    assert done.returncode == 2
    assert "error: daily.py: is there already and is no profile of memo's" in done.stderr
    assert (daily.path / "daily.py").read_text() == before
    assert not daily.home.exists()
    done = memo("run", "daily.py", "--profile", "nothere/trace.json")
    assert done.returncode == 2
    assert "error: nothere/trace.json: the profile cannot be written there: No such file" in done.stderr
    ok("run", "daily.py", "--profile", "trace.json")
    first = trace_of(daily)
    ok("run", "daily.py", "--profile", "trace.json")
    assert trace_of(daily)["otherData"]["runs"] != first["otherData"]["runs"]
    ok("run", "daily.py", "--profile", os.devnull)


@pytest.mark.usefixtures("daily")
def test_the_home_is_no_place_for_it(daily: Workspace, memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    empty = daily.home / "storage" / "empty"
    empty.touch()
    for name in (str(empty), ".memo/new.json"):
        done = memo("run", "daily.py", "--profile", name)
        assert done.returncode == 2
        said = "is in the home, where only what memo stores is kept: write the profile elsewhere"
        assert done.stderr == f"error: {name}: {said}\n"
    assert empty.read_bytes() == b""
    assert not (daily.home / "new.json").exists()


def test_an_op_that_goes_elsewhere_and_one_that_writes_there(workspace: Workspace, memo: Memo) -> None:
    workspace.write(
        "goes.py",
        """
        import os
        from memo import job, op

        @op
        def go() -> int:
            with open("own.json", "w") as file:
                file.write("[]")
            os.makedirs("other")
            os.chdir("other")
            return 1

        @job
        def goes():
            go()
        """,
    )
    done = memo("run", "goes.py", "--profile", "own.json")
    assert done.returncode == 2
    assert "error: own.json: is there already and is no profile of memo's" in done.stderr
    assert (workspace.path / "own.json").read_text() == "[]"
    (workspace.path / "other").rmdir()
    assert memo("run", "goes.py", "--force", "--profile", "trace.json").returncode == 0
    assert told(trace_of(workspace)) == {"go": ("RUN", "forced", "success")}
    assert os.listdir(workspace.path / "other") == []


@pytest.mark.usefixtures("daily")
def test_what_the_run_gave_is_told_where_there_is_no_room_for_the_profile(memo: Memo) -> None:
    done = memo("run", "daily.py", "--json", "--profile", "/dev/full")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: /dev/full: the profile cannot be written there: " + (
        os.strerror(errno.ENOSPC)
    )
    assert json.loads(done.stdout)["status"] == "SUCCESS"
    done = memo("run", "nothere.py", "--profile", "/dev/full")
    assert done.returncode == 2
    assert done.stderr.startswith("error: nothere.py: there is no such file")


def test_a_name_that_is_no_text(daily: Workspace, ok: Memo) -> None:
    name = os.fsdecode(b"\xff.py")
    os.rename(daily.path / "daily.py", daily.path / name)
    ok("run", name, "--profile", "trace.json")
    names = {row["args"]["name"] for row in trace_of(daily)["traceEvents"] if row["name"] == "process_name"}
    assert names == {r"memo run \udcff.py"}


@pytest.mark.usefixtures("daily")
def test_nothing_else_is_different(daily: Workspace, ok: Memo) -> None:
    plain = ok("run", "daily.py", "--json", "--home", "one")
    profiled = ok("run", "daily.py", "--json", "--home", "two", "--profile", "trace.json")
    steps = [json.loads(done.stdout)["steps"] for done in (plain, profiled)]
    assert steps[0] == steps[1]

    def settled(text: str) -> list[str]:
        return [re.sub(r"(<1|\d+(\.\d+)?) m?s\b|[0-9a-f]{19}", "…", line) for line in text.splitlines()]

    assert settled(profiled.stderr)[:-1] == settled(plain.stderr)
    # The versions are the same too: what the one stored, the other reuses.
    assert "0 steps run, 3 reused" in ok("run", "daily.py", "--home", "one", "--profile", "trace.json").stderr
