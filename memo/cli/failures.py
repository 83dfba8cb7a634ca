"""What goes wrong, told in one message with the way out; never memo's own traceback, unless asked for."""

from __future__ import annotations

import errno
import sys
from functools import wraps
from typing import TYPE_CHECKING, Any

from memo.cli.text import styled, tell
from memo.errors import ConfigError, MemoError, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

_HOMELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
"""What the system says when a folder cannot be written to."""


def guarded(command: Callable[..., int | None]) -> Callable[..., int]:
    """Make a command's function give its exit code, whatever happens in it; it gets the option ``--debug``."""
    import click

    @wraps(command)
    def call(*args: Any, debug: bool, **options: Any) -> int:
        passed_on = (BrokenPipeError, click.ClickException, click.exceptions.Exit, click.Abort)
        return attempted(lambda: command(*args, **options), debug=debug, passed_on=passed_on)

    return call


def attempted(
    command: Callable[[], int | None], *, debug: bool, passed_on: tuple[type[Exception], ...] = (BrokenPipeError,)
) -> int:
    """Call a command and give its exit code, whatever happens in it but what is to be told by others."""
    try:
        return command() or 0
    except passed_on:
        raise
    except KeyboardInterrupt:
        tell("interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - the last place where it can be told in the user's words
        return _told(error, debug=debug)


def _told(error: Exception, *, debug: bool) -> int:
    """Tell an error, and give the exit code for it."""
    if debug:
        from traceback import print_exception

        print_exception(error)
    if isinstance(error, MemoError):
        for line in _memo_error(error):
            tell(line)
        return 2
    if isinstance(error, RecursionError) and not _user_frames(error):
        _error("something in the config, or in a value, is nested too deeply to be read")
        return 2
    frames = _user_frames(error)
    if isinstance(error, OSError) and error.errno in _HOMELESS and not frames:
        place = f"{error.filename}: " if error.filename else ""
        _error(
            f"{place}{error.strerror}; make room or give the right to write, or use another home with --home or "
            f"MEMO_HOME"
        )
        return 2
    if frames:
        _error(f"{_kind(error)}: {error}")
        tell(frames)
        return 2
    where = _last_frame(error)
    _error(f"this is a bug in memo: {_kind(error)}: {error}{where}")
    if not debug:
        tell("run it again with --debug for the traceback, and report it with that")
    return 1


def _error(text: str) -> None:
    tell(styled("error:", "red", sys.stderr) + " " + text)


def _memo_error(error: MemoError) -> list[str]:
    head = styled("error:", "red", sys.stderr)
    if isinstance(error, ConfigError) and len(error.problems) > 1:
        front = f"{error.where}: " if error.where else ""
        return [
            f"{head} {front}{len(error.problems)} problems in the config",
            *[f"  {problem}" for problem in error.problems],
        ]
    lines = [f"{head} {error}"]
    cause = error.__cause__
    if isinstance(error, TargetError) and cause is not None:
        lines += [line for line in _cause_of_target(cause).splitlines() if line]
    return lines


def _cause_of_target(cause: BaseException) -> str:
    """The user's own frames that led to an error in their file; for a syntax error the line itself."""
    if isinstance(cause, SyntaxError):
        from traceback import TracebackException

        shown = list(TracebackException.from_exception(cause).format_exception_only())
        # The first line names the file, the last the error: both were said.
        return "".join(shown[1:-1])
    return _user_frames(cause)


def _user_frames(error: BaseException) -> str:
    """The frames of the user's own code in an error that came through memo; empty where none of it is theirs."""
    from memo.execution.failures import is_our_frame, user_traceback
    from memo.ownership import owner_of_file

    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not is_our_frame(file) and not file.startswith("<") and owner_of_file(file) == "user":
            return user_traceback(traceback).rstrip("\n")
        traceback = traceback.tb_next
    return ""


def _last_frame(error: BaseException) -> str:
    traceback = error.__traceback__
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f" ({traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno})"


def _kind(error: BaseException) -> str:
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
