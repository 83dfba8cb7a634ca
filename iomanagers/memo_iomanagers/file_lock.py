"""A lock between processes on a file: many readers, or one writer; gone with the process that held it."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING

from memo.errors import StorageError
from memo_iomanagers.places import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["file_lock"]

_FIRST_WAIT, _LONGEST_WAIT = 0.002, 0.1
_PATIENCE = 5.0
"""Seconds of waiting before it is said what is waited for."""


@contextmanager
def file_lock(
    path: str,
    *,
    shared: bool,
    timeout: float,
    on_wait: Callable[[str], None],
) -> Generator[None]:
    """Hold the lock on a file while the block runs; threads of one process exclude each other as processes do.

    Args:
        path: The lock file, made where it is not there; it is never removed, as another may be waiting for it.
        shared: Whether others may hold it shared at the same time.
        timeout: Seconds to wait for it at most.
        on_wait: Told once, after some seconds, what is waited for.

    Raises:
        StorageError: It was not free in time, or its file cannot be used.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise StorageError(f"{path}, the lock that guards it, cannot be opened: {reason(error)}") from error
    try:
        _acquire(descriptor, path, shared=shared, timeout=timeout, on_wait=on_wait)
        if not shared:
            with suppress(OSError):  # who holds it is told for people only
                os.pwrite(descriptor, f"{os.getpid():<20}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: str, *, shared: bool, timeout: float, on_wait: Callable[[str], None]) -> None:
    began = monotonic()
    pause = _FIRST_WAIT
    told = False
    while True:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        except OSError as error:
            raise StorageError(
                f"{path} cannot be locked ({reason(error)}), as on some network file systems: keep the database on a "
                "disk of this machine, or use postgres_io_manager"
            ) from error
        else:
            return
        waited = monotonic() - began
        if waited >= timeout:
            raise StorageError(
                f"{path} was locked by {_holder(descriptor)} for all of {timeout:g} seconds: see what that "
                "process does, or set lock_timeout higher"
            )
        if waited >= _PATIENCE and not told:
            told = True
            on_wait(f"waiting for {path}, which {_holder(descriptor)} holds")
        sleep(min(pause, max(timeout - waited, 0)))
        pause = min(pause * 2, _LONGEST_WAIT)


def _holder(descriptor: int) -> str:
    """Who holds the lock, as far as its file tells: the last to have written is there still, or readers are."""
    with suppress(OSError, ValueError):
        number = int(os.pread(descriptor, 20, 0))
        os.kill(number, 0)
        return f"process {number}"
    return "another process"
