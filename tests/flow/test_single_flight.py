"""Several runs of one home at once: what they all need is run by one of them, and reused by the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from memo import Home
from memo.events import Event, EventType

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHAIN = """
    import os, time
    from pathlib import Path
    from memo import job, op

    RAN = Path(__file__).parent / "ran"

    def made(index):
        def body(parts: list) -> list:
            with RAN.open("a") as file:
                file.write(f"{index}\\n")
            time.sleep(0.01)
            return [index, sum(part[1] for part in parts) + index, os.urandom(8)]
        return op(name=f"s{index}")(body)

    STEPS = [made(index) for index in range(20)]

    @op
    def last(parts: list) -> list:
        with RAN.open("a") as file:
            file.write("last\\n")
        return parts

    @job
    def chain():
        found = []
        for index, step in enumerate(STEPS):
            found.append(step(found[-2:] if index % 5 else []))
        last(found)
"""

BLOCKED = """
    import os, time
    from pathlib import Path
    from memo import RetryPolicy, job, op

    HERE = Path(__file__).parent

    def wait_for(name):
        until = time.monotonic() + 60
        while not (HERE / name).exists():
            assert time.monotonic() < until, f"{name} did not come"
            time.sleep(0.005)

    @op
    def slow() -> str:
        with (HERE / "ran").open("a") as file:
            file.write(f"{os.getpid()}\\n")
        (HERE / f"in-{os.getppid() if 'MEMO_WORKER' in os.environ else os.getpid()}").touch()
        wait_for("go")
        if (HERE / "fail").exists():
            (HERE / "fail").unlink()
            raise ValueError("as it was told")
        return f"made by {os.getpid()}"

    @op
    def quick() -> int:
        (HERE / f"quick-{os.getpid()}").touch()
        return 1

    @op
    def both(one: str, other: int) -> str:
        return one

    @job
    def blocked():
        both(slow(), quick())

    @job
    def other():
        slow()
"""


def until(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Ask again and again until there is an answer."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return answer


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def is_in(workspace: Any, started: Any) -> Callable[[], bool]:
    """Whether the body of `slow` has begun in the process of a run."""
    return (workspace.path / f"in-{started.process.pid}").exists


def waits(workspace: Any, besides: int = 1) -> Callable[[], list[Event]]:
    """The events of waiting of the runs in a home, once there are so many."""

    def found() -> list[Event]:
        if not (workspace.home / "catalog.db").exists():
            return []
        with Home(workspace.home) as home:
            events = [
                event
                for run in home.catalog.list_runs()
                for event in home.catalog.events(run.run_id)
                if event.kind is EventType.STEP_WAITING
            ]
        return events if len(events) >= besides else []

    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_eight_runs_of_one_cold_job_run_every_body_once(workspace, workers) -> None:
    workspace.write("pipeline.py", CHAIN)

    started = [workspace.start(output="last", max_concurrent=workers) for _ in range(8)]
    ran = [each.result() for each in started]

    assert all(each.success for each in ran)
    assert Counter(lines(workspace.path / "ran")) == {**{str(index): 1 for index in range(20)}, "last": 1}
    # Every value has random bytes in it: nobody kept what was not stored.
    assert len({each.value for each in ran}) == 1
    assert sum(len(each.ran) for each in ran) == 21
    with Home(workspace.home) as home:
        assert home.catalog.unfinished() == set()
        for each in ran:
            record = home.catalog.get_run(each.run_id)
            assert record is not None
            assert not set(home.catalog.claims(list(record.versions.values())))
    assert workspace.run().ran == []


@pytest.mark.skipif(sys.platform != "linux", reason="sees from /proc who is dead")
@pytest.mark.parametrize("workers", [1, 2])
def test_the_others_go_on_within_seconds_when_the_one_that_runs_is_killed(workspace, workers) -> None:
    workspace.write("pipeline.py", BLOCKED)
    holder = workspace.start("pipeline.py:other", max_concurrent=workers)
    until(is_in(workspace, holder))
    others = [workspace.start("pipeline.py:other", output="slow", max_concurrent=workers) for _ in range(3)]
    until(waits(workspace, 3))

    holder.process.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    until(lambda: len(lines(workspace.path / "ran")) == 2)
    taken_over = time.monotonic() - killed_at
    (workspace.path / "go").touch()
    ran = [each.result() for each in others]
    holder.kill()

    # Far below the lease: half a second between two looks, the rest is for a loaded machine.
    assert taken_over < 10
    assert len({each.value for each in ran}) == 1
    assert sorted(each.ran for each in ran) == [[], [], ["slow"]]
    assert len(lines(workspace.path / "ran")) == 2


def test_waiting_shows_who_is_waited_for_and_reuse_says_who_made_it(workspace) -> None:
    workspace.write("pipeline.py", BLOCKED)
    holder = workspace.start("pipeline.py:other")
    until(is_in(workspace, holder))
    waiter = subprocess.Popen(
        [sys.executable, "-m", "memo", "run", "pipeline.py:blocked"],
        cwd=workspace.path,
        env=workspace.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    (event,) = until(waits(workspace))
    with Home(workspace.home) as home:
        by_job = {run.job_name: run.run_id for run in home.catalog.list_runs()}
    shown = workspace.memo("show", by_job["blocked"])
    as_json = workspace.memo("show", by_job["blocked"], "--json")
    (workspace.path / "go").touch()
    _, told = waiter.communicate(timeout=60)
    made = holder.result()

    line = f"slow: waits for run {made.run_id} (pid {holder.process.pid}), which is running it"
    assert event.step_key == "slow"
    assert event.data["for_run"] == made.run_id
    assert event.data["pid"] == holder.process.pid
    assert event.data["step"] == "slow"
    assert line in shown.stdout.splitlines()
    assert [each.split()[:2] for each in shown.stdout.splitlines() if each.startswith("waiting")] == [
        ["waiting", "slow"]
    ]
    assert '"outcome":"waiting"' in as_json.stdout.replace(" ", "")
    # What another run does not hold up has run meanwhile.
    assert (workspace.path / f"quick-{waiter.pid}").exists()
    assert waiter.returncode == 0
    assert line in told.splitlines()
    assert f"slow: reused (made by another run meanwhile: run {made.run_id})" in told.splitlines()
    after = workspace.memo("show", by_job["blocked"])
    assert "waits for" not in after.stdout
    assert f"made by another run meanwhile: run {made.run_id}" in after.stdout
    assert len(lines(workspace.path / "ran")) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_a_step_that_failed_in_one_run_is_tried_by_the_next(workspace, workers) -> None:
    workspace.write("pipeline.py", BLOCKED)
    holder = workspace.start("pipeline.py:other", max_concurrent=workers)
    until(is_in(workspace, holder))
    other = workspace.start("pipeline.py:other", output="slow", max_concurrent=workers)
    until(waits(workspace))
    (workspace.path / "fail").touch()
    (workspace.path / "go").touch()

    failed, found = holder.result(), other.result()

    assert failed.errors == {"slow": "as it was told"}
    assert found.success
    assert found.ran == ["slow"]
    assert len(lines(workspace.path / "ran")) == 2


def test_a_forced_step_waits_and_runs_all_the_same(workspace) -> None:
    workspace.write("pipeline.py", BLOCKED)
    holder = workspace.start("pipeline.py:other", output="slow")
    until(is_in(workspace, holder))
    forced = workspace.start("pipeline.py:other", output="slow", force=True)
    normal = workspace.start("pipeline.py:other", output="slow")
    until(waits(workspace, 2))
    (workspace.path / "go").touch()

    first, again, reused = holder.result(), forced.result(), normal.result()

    assert first.ran == again.ran == ["slow"]
    assert reused.reused == ["slow"]
    assert len(lines(workspace.path / "ran")) == 2
    assert again.value == repr(f"made by {forced.process.pid}")
    after = workspace.run("pipeline.py:other", output="slow")
    assert after.ran == []
    assert after.value == again.value


def test_a_run_beside_a_forced_one_takes_what_that_makes(workspace) -> None:
    workspace.write("pipeline.py", BLOCKED)
    (workspace.path / "go").touch()
    workspace.run("pipeline.py:other")
    (workspace.path / "go").unlink()
    forced = workspace.start("pipeline.py:other", output="slow", force=True)
    until(is_in(workspace, forced))
    # Its plan is made while the outputs are being replaced, when nobody knows what stands there.
    normal = workspace.start("pipeline.py:other", output="slow")
    until(waits(workspace))
    (workspace.path / "go").touch()

    again, beside = forced.result(), normal.result()

    assert beside.plan["slow"][0] == "RUN"
    assert beside.reused == ["slow"]
    assert beside.value == again.value
    assert len(lines(workspace.path / "ran")) == 2


def test_two_jobs_share_a_step(workspace) -> None:
    workspace.write("pipeline.py", BLOCKED)
    one = workspace.start("pipeline.py:other", output="slow")
    until(is_in(workspace, one))
    two = workspace.start("pipeline.py:blocked", output="both")
    until(waits(workspace))
    (workspace.path / "go").touch()

    first, second = one.result(), two.result()

    assert second.reused == ["slow"]
    assert second.ran == ["both", "quick"]
    assert first.value == second.value
    assert second.plan["slow"] == ["RUN", f"made by another run meanwhile: run {first.run_id}"]


@pytest.mark.parametrize("damage", ["emptied", "spoilt"])
def test_what_another_run_made_and_was_damaged_at_once_is_made_again(workspace, damage) -> None:
    workspace.write(
        "pipeline.py",
        BLOCKED.replace(
            """(HERE / f"quick-{os.getpid()}").touch()""",
            """(HERE / f"quick-{os.getpid()}").touch()
        wait_for("go on")""",
        ).replace('{os.getpid()}"\n\n    @op\n    def quick', '{os.getpid()}".ljust(3000)\n\n    @op\n    def quick'),
    )
    one = workspace.start("pipeline.py:other")
    until(is_in(workspace, one))
    two = workspace.start("pipeline.py:blocked", output="both")
    # The step that both need is held, and the other one keeps the run from looking.
    until((workspace.path / f"quick-{two.process.pid}").exists)
    (workspace.path / "go").touch()
    one.result()
    (stored,) = [each for each in (workspace.home / "storage").rglob("*") if each.is_file() and each.suffix != ".json"]
    size = stored.stat().st_size
    stored.write_bytes(b"" if damage == "emptied" else b"\0" * size)
    (workspace.path / "go on").touch()

    found = two.result()

    assert found.success
    assert found.ran == ["both", "quick", "slow"]
    assert lines(workspace.path / "ran") == [str(one.process.pid), str(two.process.pid)]


def test_runs_that_need_two_steps_in_opposite_orders_end(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from pathlib import Path
        from memo import job, op

        RAN = Path(__file__).parent / "ran"

        def logged(name):
            with RAN.open("a") as file:
                file.write(name + "\\n")

        @op
        def x() -> int:
            logged("x")
            return 1

        @op
        def y() -> int:
            logged("y")
            return 2

        @op
        def sums(values: list) -> int:
            return sum(values)

        @job
        def a():
            sums([each.tag({"memo/priority": tag})() for each, tag in ((x, "2"), (y, "1"))])

        @job
        def b():
            sums([each.tag({"memo/priority": tag})() for each, tag in ((y, "2"), (x, "1"))])
        """,
    )

    started = [workspace.start(f"pipeline.py:{name}", output="sums", max_concurrent=2) for name in "ab" * 2]
    ran = [each.result() for each in started]

    assert [each.value for each in ran] == ["3"] * 4
    assert sorted(lines(workspace.path / "ran")) == ["x", "y"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs to stop a process")
def test_one_that_hangs_loses_its_claim_and_does_no_harm_when_it_wakes_up(workspace) -> None:
    workspace.write("pipeline.py", BLOCKED)
    short = "from memo.execution import claims; claims.LEASE_SECONDS = 1.0; claims.GRACE_SECONDS = 0.5"
    holder = workspace.start("pipeline.py:other", output="slow", before=short)
    until(is_in(workspace, holder))
    other = workspace.start("pipeline.py:other", output="slow", before=short)
    until(waits(workspace))
    # For as long as it runs, it renews its claim: nobody takes it over.
    with Home(workspace.home) as home:
        record = home.catalog.get_run(next(r.run_id for r in home.catalog.list_runs() if r.pid == holder.process.pid))
        assert record is not None
        version = record.versions["slow"]
        first = home.catalog.claims([version])[version].lease_until
        until(lambda: home.catalog.claims([version])[version].lease_until > first + 1.5)
    assert len(lines(workspace.path / "ran")) == 1

    holder.process.send_signal(signal.SIGSTOP)
    until(is_in(workspace, other))
    (workspace.path / "go").touch()
    found = other.result()
    holder.process.send_signal(signal.SIGCONT)
    woken = holder.result()

    assert found.ran == woken.ran == ["slow"]
    # Each stored another value, and nobody saw which came last: it is made again, and then it stands.
    third = workspace.run("pipeline.py:other", output="slow")
    assert third.plan["slow"] == ["RUN", "a run that was replacing its outputs did not finish"]
    after = workspace.run("pipeline.py:other", output="slow")
    assert after.ran == []
    assert after.value == third.value


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_while_waiting_ends_at_once_and_a_kill_leaves_nothing(workspace, workers) -> None:
    workspace.write("pipeline.py", BLOCKED)
    holder = workspace.start("pipeline.py:other")
    until(is_in(workspace, holder))
    asked = workspace.start("pipeline.py:other", max_concurrent=workers)
    killed = workspace.start("pipeline.py:other", max_concurrent=workers)
    until(waits(workspace, 2))

    killed.kill()
    asked.process.send_signal(signal.SIGINT)
    _, errors = asked.process.communicate(timeout=10)
    with Home(workspace.home) as home:
        pids = {run.pid: run.run_id for run in home.catalog.list_runs()}
        record = home.catalog.get_run(pids[asked.process.pid])
        assert record is not None
        held = home.catalog.claims(list(record.versions.values()))
    (workspace.path / "go").touch()
    holder.result()

    assert "KeyboardInterrupt" in errors
    assert record.status == "CANCELED"
    assert {claim.pid for claim in held.values()} == {holder.process.pid}
    assert workspace.run("pipeline.py:other").ran == []
    assert lines(workspace.path / "ran") == [str(holder.process.pid)]


def test_a_claim_ends_while_the_next_step_runs(workspace) -> None:
    workspace.write(
        "pipeline.py",
        BLOCKED
        + """
    @op
    def early() -> int:
        return 7

    @op
    def late(value: int) -> int:
        (HERE / "late").touch()
        wait_for("go")
        return value

    @job
    def two():
        late(early())

    @job
    def one():
        early()
""",
    )
    long = workspace.start("pipeline.py:two")
    until((workspace.path / "late").exists)

    found = workspace.run("pipeline.py:one", output="early")
    (workspace.path / "go").touch()

    assert found.value == "7"
    assert found.reused == ["early"]
    assert long.result().success


def test_a_run_started_by_a_step_does_not_wait_for_the_run_of_that_step(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import os
        from pathlib import Path
        from memo import execute_job, job, op

        HERE = Path(__file__).parent

        @op
        def outer() -> int:
            # The same step again, within itself: no run could wait for the other.
            if not (HERE / "nested").exists():
                (HERE / "nested").touch()
                return execute_job(nesting, str(HERE / ".memo")).output_for_node("outer") + 1
            return 1

        @job
        def nesting():
            outer()
        """,
    )

    found = workspace.start(output="outer").result(timeout=60)

    assert found.success
    assert found.value == "2"


def test_what_is_kept_in_the_memory_of_one_process_is_not_waited_for(workspace) -> None:
    workspace.write(
        "pipeline.py",
        BLOCKED.replace("import RetryPolicy, job, op", "import job, mem_io_manager, op")
        + """
    @job(resource_defs={"io_manager": mem_io_manager})
    def remembered():
        slow()
""",
    )
    one = workspace.start("pipeline.py:remembered", output="slow")
    until(is_in(workspace, one))
    two = workspace.start("pipeline.py:remembered", output="slow")
    until(is_in(workspace, two))
    (workspace.path / "go").touch()

    assert one.result().ran == two.result().ran == ["slow"]


def test_runs_without_memoization_claim_nothing(workspace) -> None:
    workspace.write("pipeline.py", BLOCKED)
    off = {"memo/is_memoized_run": "false"}
    one = workspace.start("pipeline.py:other", tags=off)
    until(is_in(workspace, one))
    two = workspace.start("pipeline.py:other", tags=off)
    until(is_in(workspace, two))
    (workspace.path / "go").touch()

    assert one.result().ran == two.result().ran == ["slow"]
    assert os.path.exists(workspace.home)
