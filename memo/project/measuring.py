"""One `memo run` as a process of its own, as it is measured: time, memory, and what it says meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.errors import ExecutionError
from memo.project import starter
from memo.project.home import current_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Start(Struct, frozen=True):
    """How a process is to begin.

    Attributes:
        path: Where it finds modules.
        folder: Its current folder.
        environment: Its environment.
    """

    path: tuple[str, ...]
    folder: str
    environment: dict[str, str]

    @staticmethod
    def here() -> Start:
        """As this process stands now, which may be different when the user's code has been imported.

        Raises:
            HomeError: The current folder has been deleted.
        """
        return Start(tuple([each for each in sys.path if each]), current_folder(), dict(os.environ))


class Process(Struct, frozen=True):
    """What a process took.

    Attributes:
        began_ns: When it was started, on the clock of spans.
        ended_ns: When it was gone.
        cpu: Seconds, user and system, of it and of all that it waited for.
        memory: Peak of the largest of these processes, in bytes.
        exit_code: Its own; negative where a signal ended it.
        told: The last lines that it told.
    """

    began_ns: int
    ended_ns: int
    cpu: float
    memory: int
    exit_code: int
    told: tuple[str, ...]

    @property
    def wall(self) -> float:
        """Seconds from its start to its end."""
        return (self.ended_ns - self.began_ns) / 1e9


_KEPT_LINES = 200


def measure(args: Sequence[str], start: Start, listen: Callable[[str], None]) -> Process:
    """Run the command line as a process of its own, to its end.

    Args:
        args: Behind ``memo``.
        start: How it begins.
        listen: Told every line that it tells, as it comes; called in another thread.

    Raises:
        ExecutionError: It could not be started.
        KeyboardInterrupt: Passed on, after it was told to stop and has.
    """
    program = f"import sys; sys.path[:] = {list(start.path)!r}; from memo.cli import main; main()"
    command = [sys.executable, "-P", "-c", program, *args]
    started = subprocess.Popen(  # noqa: S603 - this interpreter, running memo itself
        [sys.executable, "-I", "-S", starter.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=start.folder,
        env=start.environment,
        start_new_session=True,
        text=True,
        errors="replace",
    )
    assert started.stdin is not None
    assert started.stdout is not None
    told: list[str] = []

    def hear() -> None:
        assert started.stderr is not None
        for line in started.stderr:
            told.append(line.rstrip("\n"))
            del told[:-_KEPT_LINES]
            listen(told[-1])

    listener = Thread(target=hear, daemon=True)
    listener.start()
    stopped = is_to_stop = False
    try:
        # One that is gone at once answers nothing.
        with suppress(BrokenPipeError):
            started.stdin.write(json.dumps(command) + "\n")
            started.stdin.flush()
        answer = ""
        while not answer:
            try:
                if is_to_stop:
                    # Here, where the next one is caught too, which may come as soon as this one is answered.
                    is_to_stop = False
                    os.kill(started.pid, signal.SIGINT)
                answer = started.stdout.readline() or "{}"
            except KeyboardInterrupt:
                stopped = is_to_stop = True
        started.wait()
    finally:
        # With its standard input goes whatever still runs.
        with suppress(BrokenPipeError):
            started.stdin.close()
        started.wait()
        # A program that an op has left behind may keep the other end open for ever.
        listener.join(1.0)
    if stopped:
        raise KeyboardInterrupt
    found = json.loads(answer)
    if "exit_code" not in found:
        raise ExecutionError("a process to be measured could not be started: " + " ".join(told[-1:]))
    return Process(**found, told=tuple(told))


__all__ = ["Process", "Start", "measure"]
