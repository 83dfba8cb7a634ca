"""Processes that are started warm, killed at a moment, and what they may leave behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


class Process:
    """A process that the starter started."""

    def __init__(self, starter: Starter, pid: int, log: Path) -> None:
        self._starter = starter
        self._code: int | None = None
        self.pid = pid
        self.log = log
        self._descriptor = os.pidfd_open(pid)

    def ends_within(self, seconds: float) -> bool:
        """Wait for its end, or for so long."""
        waiting = select.poll()
        waiting.register(self._descriptor, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))

    def code(self, seconds: float = 60) -> int:
        """Its exit code, once it has ended."""
        if self._code is None:
            if not self.ends_within(seconds):
                self.kill()
                raise AssertionError(f"it did not end: {self.text()}")
            self._code = self._starter.ask(reap=self.pid)
            os.close(self._descriptor)
        return self._code

    def kill(self) -> None:
        signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")

    def calls(self) -> int:
        """How many calls it made that it could have been ended before."""
        return int(Path(f"{self.log}.calls").read_text())


class Starter:
    """The warm process."""

    def __init__(self) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MEMO_", "COV_", "PYTEST_"))}
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "starter.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**kept, "NO_COLOR": "1"},
        )
        self._count = 0

    def ask(self, **order: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, cwd: Path, *args: str, code: str = "", calls: int = 0, **env: str) -> Process:
        """Start a command line of memo, or Python code.

        Args:
            cwd: Where.
            args: Behind ``memo``.
            code: Run instead.
            calls: Before which of its calls it kills itself; 0 for none.
            env: More of its environment.
        """
        self._count += 1
        log = cwd / f"log.{self._count}"
        log.touch()
        order: dict[str, Any] = {"cwd": str(cwd), "args": args, "log": str(log), "env": env, "calls": calls}
        if code:
            order["code"] = code
        return Process(self, self.ask(**order), log)

    def run(self, cwd: Path, *args: str, code: str = "", **env: str) -> Process:
        """Start one and wait for its end."""
        process = self.start(cwd, *args, code=code, calls=0, **env)
        process.code()
        return process

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    if sys.platform != "linux":
        pytest.skip("watches processes as Linux shows them")
    starter = Starter()
    yield starter
    starter.end()


def until(found: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Ask again and again until there is an answer."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, "it did not happen"
        os.sched_yield()
    return answer


def half_stored(storage: Path) -> list[str]:
    """Every file of a storage that no manifest of it names, folders of side files with all that is in them."""
    files = {path for path in storage.rglob("*") if path.is_file() or path.is_symlink()}
    manifests = {path for path in files if path.name.endswith(".json") and not path.name.endswith(".tree.json")}
    manifests = {path for path in manifests if not any(part.endswith(".d") for part in path.parts)}
    named = {json.loads(path.read_bytes())["data"] for path in manifests}
    assert len(named) == len(manifests)
    left = [
        path
        for path in files - manifests
        if not any(part in named or (part.endswith(".d") and part[:-2] in named) for part in path.parts)
    ]
    folders = [path for path in storage.rglob("*.d") if path.is_dir() and path.name[:-2] not in named]
    return sorted(str(path.relative_to(storage)) for path in [*left, *folders])


def marked(mark: str) -> list[int]:
    """The living processes that carry a mark in the environment they began with."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes() and " Z " not in (entry / "stat").read_text():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
