"""An exception as a run keeps it: in the user's words, with the user's own frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.errors import MemoError
from memo.events import ErrorInfo
from memo.ownership import OUR_FOLDERS

if TYPE_CHECKING:
    from types import TracebackType


def is_our_frame(filename: str) -> bool:
    """Whether a frame of this file is memo's own."""
    return filename.startswith(OUR_FOLDERS)


def error_info(error: BaseException) -> ErrorInfo:
    """Describe an exception: its class, its message, and the frames of the user's code that led to it."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return ErrorInfo(
        _kind(error),
        message_of(error) or _kind(error),
        user_traceback(error.__traceback__),
        f"{_kind(cause)}: {message_of(cause)}" if cause is not None else None,
    )


def message_of(error: BaseException) -> str:
    """What an exception says of itself; one of the user's may fail even at that."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - as above
        return f"(a {_kind(error)} that cannot say what it is)"


def _kind(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__ in {"builtins", "__main__"} or isinstance(error, MemoError):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def user_traceback(traceback: TracebackType | None) -> str:
    """Format the frames of a traceback that are not memo's own."""
    from traceback import StackSummary, walk_tb

    frames = StackSummary.extract(walk_tb(traceback))
    kept = [frame for frame in frames if not is_our_frame(frame.filename) and not frame.filename.startswith("<frozen")]
    return "".join(StackSummary.from_list(kept).format())
