"""A warm process that forks others: what takes a cold interpreter half a second to come to, these begin with.

It reads a line of JSON for each process that it is to start, and answers with a line: its id, or how it ended. What it
starts runs a command line of memo, or a piece of Python, and ends as an interpreter does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

CALLS = frozenset(
    {
        *("open", "read", "write", "close", "replace", "rename", "unlink", "rmdir", "mkdir", "stat", "utime", "chmod"),
        *("truncate", "ftruncate", "flock", "fstat", "symlink", "scandir", "listdir"),
        *("execute", "executemany", "send", "recv"),
    }
)
"""The calls into C before any of which a process may be told to end itself: those by which it leaves traces."""


class Fuse:
    """Ends this process before one of its calls.

    Args:
        last: Which one, counted from 1; more than there will be, to count them.
        told: A file that is told how many there were, where the process came to its end.
    """

    def __init__(self, last: int, told: str) -> None:
        self.left = last
        self.last = last
        self.told = told

    def light(self) -> None:
        sys.setprofile(self._called)

    def _called(self, _frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in CALLS:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def put_out(self) -> None:
        sys.setprofile(None)
        with open(self.told, "w", encoding="ascii") as file:
            file.write(str(self.last - self.left))


def serve() -> dict[str, Any] | None:
    """Answer until there is nothing more; what is returned is to be run by this process, a new one."""
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if "reap" in order:
            _, status = os.waitpid(order["reap"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = os.fork()
            if answer == 0:
                found: dict[str, Any] = order
                return found
        print(answer, flush=True)
    return None


def become(order: dict[str, Any]) -> None:
    """Be what a new process would be."""
    os.setsid()
    os.chdir(order["cwd"])
    os.environ.update(order["env"])
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    fuse = Fuse(order["calls"], order["log"] + ".calls") if order["calls"] else None
    if fuse is not None:
        fuse.light()
    try:
        if "code" in order:
            exec(order["code"], {"__name__": "ordered"})
        else:
            from memo.cli import main

            sys.argv = ["memo", *order["args"]]
            main()
    finally:
        if fuse is not None:
            fuse.put_out()


if __name__ == "__main__":
    import sqlite3  # noqa: F401 - imported here so that it need not be by each

    import numpy as np  # noqa: F401
    import pyarrow as pa  # noqa: F401

    import memo.catalog
    import memo.cli.carrying_out
    import memo.cli.run
    import memo.cli.undeclared
    import memo.execution.multiprocess
    import memo.execution.watching
    import memo.execution.worker
    import memo.project.running  # noqa: F401
    import memo_strategies.source_hash  # noqa: F401

    ordered = serve()
    if ordered is not None:
        become(ordered)
