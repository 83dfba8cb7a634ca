"""The command line: one command a file, each imported only when it is called."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave with its exit code: 0, 1 a step failed, 2 bad input, 130 interrupted."""
    import gc
    import sys

    # What a command makes, it needs to its end: looking for garbage in a plan of 10,000 steps is a quarter of its time.
    # Before ops run, it is looked for again.
    gc.disable()
    try:
        from memo.cli.program import run_program

        code = run_program(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
