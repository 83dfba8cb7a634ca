"""The command line: one command a file, each imported only when it is called."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave with its exit code: 0, 1 a step failed, 2 bad input, 130 interrupted."""
    import sys

    try:
        from memo.cli.program import run_program
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run_program(sys.argv[1:]))
