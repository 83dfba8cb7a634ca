"""One `memo run` as a process of its own, as it is measured: time, memory, and what it says meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.errors import ExecutionError
from memo.project import starter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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


def measure(
    args: Sequence[str], *, path: Sequence[str], environment: Mapping[str, str], listen: Callable[[str], None]
) -> Process:
    """Run the command line as a process of its own, to its end.

    Args:
        args: Behind ``memo``.
        path: Where it finds modules.
        environment: Of the process.
        listen: Told every line that it tells, as it comes; called in another thread.

    Raises:
        ExecutionError: It could not be started.
        KeyboardInterrupt: Passed on, after it was told to stop and has.
    """
    program = f"import sys; sys.path[:] = {list(path)!r}; from memo.cli import main; main()"
    command = [sys.executable, "-P", "-c", program, *args]
    started = subprocess.Popen(  # noqa: S603 - this interpreter, running memo itself
        [sys.executable, "-I", "-S", starter.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
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
    stopped = False
    try:
        started.stdin.write(json.dumps(command) + "\n")
        started.stdin.flush()
        answer = ""
        while not answer:
            try:
                answer = started.stdout.readline() or "{}"
            except KeyboardInterrupt:
                stopped = True
                os.kill(started.pid, signal.SIGINT)
        started.wait()
    finally:
        # With its standard input goes whatever still runs.
        started.stdin.close()
        # A program that an op has left behind may keep the other end open for ever.
        listener.join(1.0)
    if stopped:
        raise KeyboardInterrupt
    found = json.loads(answer)
    if "exit_code" not in found:
        raise ExecutionError("a process to be measured could not be started: " + " ".join(told[-1:]))
    return Process(**found, told=tuple(told))


__all__ = ["Process", "measure"]
