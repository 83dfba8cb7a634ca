"""The command line: one command a file, each imported only when it is called."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave with its exit code: 0, 1 a step failed, 2 bad input, 130 interrupted."""
    import gc

    _open_what_is_closed()
    # What a command makes, it needs to its end: looking for garbage in a plan of 10,000 steps is a quarter of its time.
    # Before ops run, it is looked for again.
    gc.disable()
    code = 0
    try:
        code = _code_of(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # Who was reading has seen enough. What is left in the buffer must not be complained about at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if gc.isenabled():
        # What ops left in cycles is ended when Python leaves, as in any program.
        gc.unfreeze()
    else:
        # No op has run: there is nothing for which Python need walk everything once more when it leaves.
        gc.freeze()
    sys.exit(code)


def _open_what_is_closed() -> None:
    """Open a standard stream that the shell closed, onto nothing.

    Otherwise the next file that is opened takes its number, such as the catalog's, and gets what is written there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free is the one that was closed.
            opened = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(opened, True)
            setattr(sys, name, open(opened, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - it stays open


def _code_of(args: Sequence[str]) -> int:
    if os.name == "posix" and "_MEMO_COMPLETE" not in os.environ:
        from memo.cli.running import is_plain_run, run_plainly

        if is_plain_run(args):
            return run_plainly(args)
    from memo.cli.program import run_program

    return run_program(args)
