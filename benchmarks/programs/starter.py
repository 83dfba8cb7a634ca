"""Starts one program, waits for it and all it started, and tells what they took; it stays small itself.

A process begins with the memory of whoever started it counted as its own peak: so it is this script that starts what
is measured, and not the harness. Reads one line of JSON from standard input: command, folder, environment, limit,
output (a file). Linux has orphans come back here, so that servers that a program leaves behind are counted and ended.
"""

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress

_ORPHANS_COME_HERE = 36


def adopt_orphans() -> None:
    """Become the parent of what is left behind, where the system can do that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_ORPHANS_COME_HERE, 1, 0, 0, 0)


def end_orphans(how: int) -> None:
    """End what has been left behind to this process."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children") as file:
            left = [int(each) for each in file.read().split()]
    except OSError:
        left = []
    for each in left:
        with suppress(ProcessLookupError):
            os.kill(each, how)


def main() -> None:
    """Run, wait, tell."""
    wish = json.loads(sys.stdin.readline())
    adopt_orphans()
    descriptor = os.open(wish["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.chdir(wish["folder"])
    began = time.perf_counter()
    process = os.posix_spawn(
        wish["command"][0],
        wish["command"],
        wish["environment"],
        file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, 1), (os.POSIX_SPAWN_DUP2, descriptor, 2)],
        setpgroup=0,
    )
    is_over = False

    def end(_signal: int, _frame: object) -> None:
        nonlocal is_over
        is_over = True
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)

    # Whoever interrupts the harness wants nothing of it to go on.
    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    signal.setitimer(signal.ITIMER_REAL, wish["limit"])
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    signal.setitimer(signal.ITIMER_REAL, 0)
    # What the program left running ends now: its time counts too.
    signal.signal(signal.SIGALRM, lambda *_: end_orphans(signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, 5, 1)
    end_orphans(signal.SIGTERM)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
    whole = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {
        "cpu": whole.ru_utime + whole.ru_stime,
        "wall": wall,
        "memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "exit": os.waitstatus_to_exitcode(status),
        "over": is_over,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
