"""A run that is killed at any moment: nothing half-done counts, nothing done is lost, no worker is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PIPELINE = """
    import os, time
    from pathlib import Path
    from memo import job, op

    RAN = Path(__file__).parent / "ran"

    def made(index):
        def body(parts: list) -> list:
            with (RAN / f"{index}.{os.getpid()}.{time.time_ns()}").open("w"):
                pass
            time.sleep(0.02)
            return [index, sum(part[1] for part in parts) + index, "x" * 20000]
        return op(name=f"s{index}")(body)

    STEPS = [made(index) for index in range(12)]

    @job
    def killable():
        found = []
        for index, step in enumerate(STEPS):
            found.append(step(found[-2:]))
"""


def expected() -> list[int]:
    values: list[int] = []
    for index in range(12):
        values.append(sum(values[-2:]) + index)
    return values


def workers_of(group: str) -> list[int]:
    """The processes that carry this mark in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_text().rpartition(") ")[2][0]
            except OSError:
                continue
            if f"KILL_TEST={group}".encode() in environment and state != "Z":
                found.append(int(entry.name))
    return found


def gone(group: str) -> bool:
    """Wait, as long as a loaded machine may need, until no process carries the mark."""
    until = time.monotonic() + 20
    while workers_of(group):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")
@pytest.mark.parametrize("moment", range(int(os.environ.get("MEMO_KILLS", "6"))))
def test_killed_at_any_moment_and_run_again_at_once(workspace, moment) -> None:
    workspace.write("pipeline.py", PIPELINE)
    (workspace.path / "ran").mkdir()
    group = f"{os.getpid()}-{moment}-{time.time_ns()}"
    program = (
        "from memo import execute_job; from memo.definition.reference import JobReference; "
        "execute_job(JobReference('pipeline.py'), max_concurrent=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=workspace.path,
        env=workspace.environment(KILL_TEST=group),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wanted = random.Random(moment).randint(0, 12)
    until = time.monotonic() + 60
    while (
        len(list((workspace.path / "ran").iterdir())) < wanted and process.poll() is None and time.monotonic() < until
    ):
        time.sleep(0.002)
    time.sleep(random.Random(moment).random() * 0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()

    again = workspace.run(max_concurrent=2, output="s11")

    assert again.success
    value = eval(again.value)
    assert value[:2] == [11, expected()[11]]
    assert gone(group)
    counts = [len(list((workspace.path / "ran").glob(f"{index}.*"))) for index in range(12)]
    assert all(1 <= count <= 2 for count in counts)
    # At most two were running, and one may have been between its last line and its being stored.
    assert counts.count(2) <= 3
    assert workspace.run(max_concurrent=2).ran == []


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_keeps_what_is_finished_and_marks_the_run(workspace, workers) -> None:
    workspace.write("pipeline.py", PIPELINE)
    (workspace.path / "ran").mkdir()
    program = (
        "from memo import execute_job; from memo.definition.reference import JobReference; "
        f"execute_job(JobReference('pipeline.py'), max_concurrent={workers})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=workspace.path,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    until = time.monotonic() + 60
    while len(list((workspace.path / "ran").iterdir())) < 4 and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)

    assert b"KeyboardInterrupt" in errors
    from memo import Home

    with Home(workspace.home) as home:
        record = home.catalog.list_runs()[0]
        found = home.catalog.get_run(record.run_id)
    assert record.status == "CANCELED"
    assert found is not None
    outcomes = [outcome for _, _, outcome in found.steps.values()]
    assert {"canceled", ""} & {*outcomes}  # what ran when it was interrupted, or else what was still to come
    finished = [key for key, (_, _, outcome) in found.steps.items() if outcome == "success"]
    assert len(finished) >= 2
    again = workspace.run(max_concurrent=workers)
    assert set(finished) <= set(again.reused)


def test_ctrl_c_lets_ops_and_resources_in_workers_come_to_their_end(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        import time
        from pathlib import Path
        from memo import job, op, resource

        HERE = Path(__file__).parent

        @resource
        def connection():
            yield 1
            (HERE / "closed").touch()

        @op(required_resource_keys={"connection"})
        def waits(context) -> int:
            try:
                (HERE / "started").touch()
                time.sleep(60)
            finally:
                (HERE / "ended").touch()
            return 1

        @job(resource_defs={"connection": connection})
        def waiting():
            waits()
        """,
    )
    program = (
        "from memo import execute_job; from memo.definition.reference import JobReference; "
        "execute_job(JobReference('pipeline.py'), max_concurrent=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=workspace.path, env=workspace.environment(), stderr=subprocess.PIPE
    )
    until = time.monotonic() + 60
    while not (workspace.path / "started").exists() and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)

    assert (workspace.path / "ended").exists()
    assert (workspace.path / "closed").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for left-over processes in /proc")
@pytest.mark.parametrize("moment", range(3))
def test_what_a_step_has_started_dies_with_the_coordinator(workspace, moment) -> None:
    workspace.write(
        "pipeline.py",
        """
        import subprocess
        from pathlib import Path
        from memo import job, op

        @op
        def starts() -> int:
            (Path(__file__).parent / "started").touch()
            subprocess.run(["sleep", "60"], check=True)
            return 1

        @job
        def starting():
            starts()
        """,
    )
    group = f"{os.getpid()}-started-{moment}-{time.time_ns()}"
    program = (
        "from memo import execute_job; from memo.definition.reference import JobReference; "
        "execute_job(JobReference('pipeline.py'), max_concurrent=2)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=workspace.path, env=workspace.environment(KILL_TEST=group)
    )
    until = time.monotonic() + 60
    while not (workspace.path / "started").exists() and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert gone(group)
