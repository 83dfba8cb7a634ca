"""What steps log and print: shown as it comes, and kept with the run."""

from __future__ import annotations

import logging
import os
import sys
from typing import IO, Any, Self

from memo.events import EventType
from memo.execution.step import CURRENT
from memo.hashing import digest

_LONGEST_NAME = 200


class _RunLogHandler(logging.Handler):
    """Keeps what is logged through ``context.log`` as events of the step that is running; shows what concerns none."""

    def emit(self, record: logging.LogRecord) -> None:
        attempt = CURRENT.get()
        if attempt is not None:
            attempt.event(EventType.LOG, record.getMessage(), {"level": record.levelname})
        elif record.levelno >= logging.WARNING and logging.lastResort and not logging.getLogger().handlers:
            # As it would have been without this handler.
            logging.lastResort.handle(record)


class RunLog:
    """A context manager: while it lasts, what is logged through ``memo.run`` is kept with the run."""

    def __enter__(self) -> Self:
        logger = logging.getLogger("memo.run")
        self._level = logger.level
        self._handler = _RunLogHandler()
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        logger.addHandler(self._handler)
        return self

    def __exit__(self, *exc: object) -> None:
        logger = logging.getLogger("memo.run")
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)


def kept_at(logs_dir: str, step_key: str, kind: str) -> str:
    """Where what a step prints is kept: ``<step>.out`` and ``<step>.err``, by its digest where its key is too long."""
    name = step_key if len(step_key) <= _LONGEST_NAME else f"{step_key[:_LONGEST_NAME]}-{digest('step', step_key)[:16]}"
    return f"{logs_dir}/{name}.{kind}"


class _Tee:
    """A stream that also writes to a file, which is made at the first write."""

    __slots__ = ("_file", "_place", "_stream")

    def __init__(self, stream: Any, logs_dir: str, step_key: str, kind: str) -> None:
        self._stream = stream
        self._place = (logs_dir, step_key, kind)
        self._file: IO[str] | None = None

    def write(self, text: str) -> int:
        if self._file is None:
            path = kept_at(*self._place)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file = open(path, "a", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed in `end`
        self._file.write(text)
        self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()
        self._stream.flush()

    def end(self) -> None:
        if self._file is not None:
            self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class KeptOutput:
    """A context manager: while it lasts, what is printed is shown and also kept in ``<step>.out`` and ``<step>.err``.

    It keeps what goes through ``sys.stdout`` and ``sys.stderr`` of this process. What a program started by the op
    writes is kept by the workers of the multiprocess executor, whose file descriptors are the files themselves.
    """

    __slots__ = ("_before", "_logs_dir", "_step_key", "_tees")

    def __init__(self, logs_dir: str | None, step_key: str) -> None:
        self._logs_dir = logs_dir
        self._step_key = step_key

    def __enter__(self) -> Self:
        if self._logs_dir is not None:
            self._before = (sys.stdout, sys.stderr)
            self._tees = (
                _Tee(sys.stdout, self._logs_dir, self._step_key, "out"),
                _Tee(sys.stderr, self._logs_dir, self._step_key, "err"),
            )
            sys.stdout, sys.stderr = self._tees
        return self

    def __exit__(self, *exc: object) -> None:
        if self._logs_dir is not None:
            sys.stdout, sys.stderr = self._before
            for tee in self._tees:
                tee.end()
