"""Ctrl-C and SIGTERM: a clean stop, what has finished is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


@pytest.fixture
def waiting(workspace: Workspace) -> Workspace:
    """A job whose second step says that it runs, and then waits for ever."""
    workspace.write(
        "waiting.py",
        """
        import signal
        from memo import job, op

        @op
        def load():
            return 1

        @op
        def wait(number):
            with open("running", "w") as pipe:
                pipe.write("yes")
            while True:
                signal.pause()

        @op
        def report(number):
            return number

        @job
        def daily():
            report(wait(load()))
        """,
    )
    os.mkfifo(workspace.path / "running")
    return workspace


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_an_interrupted_run(waiting: Workspace, memo: Memo, ok: Memo, number: signal.Signals, concurrency: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "memo", "run", "waiting.py", "-j", concurrency],
        cwd=waiting.path,
        env=waiting.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (waiting.path / "running").read_text() == "yes"
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "wait: canceled" in told
    assert "daily: 1 step run, 0 reused, 1 canceled, 1 not reached in" in told
    assert "what has finished is kept" in told.splitlines()[-1]
    assert "Traceback" not in told
    (record,) = json.loads(ok("runs", "--json").stdout)
    assert record["status"] == "CANCELED"
    assert record["counts"] == {"success": 1, "canceled": 1}
    waiting.edit("waiting.py", "while True:\n        signal.pause()", "return number")
    waiting.edit("waiting.py", 'with open("running", "w")', 'with open("other", "w")')
    again = memo("run", "waiting.py")
    assert "daily: 2 steps run, 1 reused" in again.stderr


def test_interrupted_while_the_users_file_is_imported(workspace: Workspace) -> None:
    workspace.write(
        "slow_import.py",
        """
        import signal
        with open("running", "w") as pipe:
            pipe.write("yes")
        while True:
            signal.pause()
        """,
    )
    os.mkfifo(workspace.path / "running")
    process = subprocess.Popen(
        [sys.executable, "-m", "memo", "run", "slow_import.py"],
        cwd=workspace.path,
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert (workspace.path / "running").read_text() == "yes"
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, "interrupted\n")
    assert not workspace.home.exists()


def test_an_op_that_does_not_listen_is_ended_at_the_third_time(workspace: Workspace) -> None:
    workspace.write(
        "deaf.py",
        """
        import signal
        from pathlib import Path
        from memo import job, op

        @op
        def deaf():
            asked = 0
            while True:
                try:
                    while True:
                        try:
                            Path(f"asked {asked}").touch()
                            signal.pause()
                        except BaseException:
                            asked += 1
                except BaseException:
                    asked += 1

        @job
        def stubborn():
            deaf()
        """,
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "memo", "run", "deaf.py"],
        cwd=workspace.path,
        env=workspace.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    for asked in range(3):
        while not (workspace.path / f"asked {asked}").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)

    assert process.wait(timeout=30) == 130
