"""Starts one program, waits for it and tells what it took; run as a script of its own, which stays small.

A process begins with the memory of whoever started it counted as its own peak: so it is this script that starts what
is measured. Its standard input holds the command, as JSON, and stays open as long as the program is wanted: when it
ends, so does the program. A signal to stop is handed on once for each time it comes, and meets a program that listens
to it, even where it was ignored when this script was started.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from time import perf_counter_ns


def main() -> None:
    """Run, wait, tell."""
    command = json.loads(sys.stdin.readline())
    # One that comes in between waits until there is somebody to hand it to.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    began = perf_counter_ns()
    process = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)],
        setpgroup=0,
        setsigmask=(),
        setsigdef=(signal.SIGINT,),
    )

    asked = False

    def hand_on(number: int, _frame: object) -> None:
        nonlocal asked
        asked = True
        os.kill(process, number)

    def end_with_who_asked() -> None:
        sys.stdin.read()
        os.killpg(process, signal.SIGKILL)

    signal.signal(signal.SIGINT, hand_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    Thread(target=end_with_who_asked, daemon=True).start()
    _, status, usage = os.wait4(process, 0)
    ended = perf_counter_ns()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if asked:
        # One that did not listen has left as it stood, and what an op had started may still be there.
        with suppress(ProcessLookupError):
            os.killpg(process, signal.SIGKILL)
    told = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "began_ns": began,
        "ended_ns": ended,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
