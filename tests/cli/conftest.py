"""Pipelines to call the command line on, each call a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.conftest import Workspace

PIPELINE = """
from memo import job, op


def half(number):
    return number // 2


@op
def load() -> int:
    print("loading")
    return 20


@op(config_schema={"limit": int})
def clean(context, number: int) -> int:
    return min(half(number), context.op_config["limit"])


@op
def report(number: int) -> str:
    return f"{number} rows"


@job(config={"ops": {"clean": {"config": {"limit": 5}}}})
def daily():
    report(clean(load()))
"""

FAILING = """
from memo import job, op


def inner(number):
    raise ValueError(f"bad row {number}")


@op
def load():
    print("loading")
    return 17


@op
def clean(number):
    print("about to fail")
    return inner(number)


@op
def report(number):
    return number


@job
def daily():
    report(clean(load()))
"""


WAITING = """
import signal
from memo import job, op


@op
def load():
    return 1


@op
def wait(number):
    # Open as long as this process lives.
    running = open("running", "w")
    running.write("yes")
    running.flush()
    while True:
        signal.pause()


@op
def report(number):
    return number


@job
def daily():
    report(wait(load()))
"""


class Memo(Protocol):
    """The command line, called in the workspace."""

    def __call__(self, *args: str, **env: str) -> CompletedProcess[str]: ...


class Start(Protocol):
    """The command line, started in the workspace and not waited for."""

    def __call__(self, *args: str) -> subprocess.Popen[str]: ...


@contextmanager
def running(workspace: Workspace) -> Iterator[TextIO]:
    """Wait until what was started says that it runs; gives what is read to its end when that process has ended."""
    with open(workspace.path / "running", encoding="utf-8") as pipe:
        assert pipe.read(3) == "yes"
        yield pipe


@pytest.fixture
def start(workspace: Workspace) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def call(*args: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "memo", *args],
            cwd=workspace.path,
            env=workspace.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield call
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def waiting(workspace: Workspace) -> Workspace:
    """Three steps in a row, of which the second says that it runs, and then waits for ever."""
    workspace.write("waiting.py", WAITING)
    os.mkfifo(workspace.path / "running")
    return workspace


@pytest.fixture
def memo(workspace: Workspace) -> Memo:
    return workspace.memo


@pytest.fixture
def ok(workspace: Workspace) -> Memo:
    """The command line where it must succeed."""

    def call(*args: str, **env: str) -> CompletedProcess[str]:
        done = workspace.memo(*args, **env)
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return call


@pytest.fixture
def daily(workspace: Workspace) -> Workspace:
    """Three steps in a row; `clean` has config and a helper."""
    workspace.write("daily.py", PIPELINE)
    return workspace


@pytest.fixture
def failing(workspace: Workspace) -> Workspace:
    """Three steps in a row, of which the second fails."""
    workspace.write("failing.py", FAILING)
    return workspace
