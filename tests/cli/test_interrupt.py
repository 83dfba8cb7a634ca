"""Ctrl-C and SIGTERM: a clean stop, what has finished is kept."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import running

if TYPE_CHECKING:
    from tests.cli.conftest import Memo, Start
    from tests.conftest import Workspace


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_an_interrupted_run(
    waiting: Workspace, start: Start, memo: Memo, ok: Memo, number: signal.Signals, concurrency: str
) -> None:
    process = start("run", "waiting.py", "-j", concurrency)
    with running(waiting):
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
    waiting.edit("waiting.py", 'open("running", "w")', 'open("other", "w")')
    again = memo("run", "waiting.py")
    assert "daily: 2 steps run, 1 reused" in again.stderr


def test_interrupted_while_the_users_file_is_imported(workspace: Workspace, start: Start) -> None:
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
    process = start("run", "slow_import.py")
    with running(workspace):
        process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, "interrupted\n")
    assert not workspace.home.exists()


def test_an_op_that_does_not_listen_is_ended_at_the_third_time(workspace: Workspace, start: Start) -> None:
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
    process = start("run", "deaf.py")
    until = time.monotonic() + 60
    for asked in range(3):
        while not (workspace.path / f"asked {asked}").exists() and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)

    assert process.wait(timeout=30) == 130
