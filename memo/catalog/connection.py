"""The catalog's file: opened when first needed, brought up to date, asked and written under one lock."""

from __future__ import annotations

import os
import time
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

from memo.catalog import schema
from memo.errors import HomeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

Answer = TypeVar("Answer")

LOCK_WAIT = 30.0
"""Seconds to wait for another process that is writing."""

_RETRY = 0.005
"""Seconds between two tries of what SQLite does not wait for by itself."""

_LEFT_TO_PARENT: list[Connection] = []
"""Connections that came over in a fork: they must be neither used nor closed here, nor collected."""

_AS_THEY_ARE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-~")

_SETTINGS = (
    # The log is flushed at checkpoints only: a killed process loses nothing, a power cut the last commits.
    "PRAGMA synchronous = NORMAL",
    # Before 3.51.3, SQLite can damage a file when two processes checkpoint and write at one instant. Letting
    # the log grow to 64 MiB makes checkpoints rare; the last process to leave makes one when it is alone.
    "PRAGMA wal_autocheckpoint = 16384",
    # The same flaw is worse on a mapped file.
    "PRAGMA mmap_size = 0",
    # KiB. The questions of a plan jump about in the indexes: with 2 MiB they take half as long again.
    "PRAGMA cache_size = -16384",
)


class Database:
    """One catalog file and at most one connection to it, usable from any thread.

    Args:
        path: Of the file. It need not exist: asking does not create it, writing does.
        read_only: Refuse writes, and leave the file as it is.
    """

    def __init__(self, path: str | os.PathLike[str], *, read_only: bool) -> None:
        self.path = os.path.join(os.getcwd(), path)
        self._read_only = read_only
        self._lock = RLock()
        self._connection: Connection | None = None
        self._pid = 0
        self._closed = False

    def ask(self, question: Callable[[Connection], Answer], nothing: Answer) -> Answer:
        """Put a question to the catalog; the answer is `nothing` where there is no catalog yet."""
        with self._lock:
            try:
                connection = self._opened(create=False)
                return nothing if connection is None else question(connection)
            except Exception as error:
                self._raise_explained(error)
                raise

    def write(self, work: Callable[[Connection], Answer]) -> Answer:
        """Do some work in one transaction: it is kept whole, or not at all."""
        if self._read_only:
            raise HomeError("the catalog was opened for reading only", where=self.path)
        with self._lock:
            try:
                connection = self._opened(create=True)
                assert connection is not None
                return _in_transaction(connection, work)
            except Exception as error:
                self._raise_explained(error)
                raise

    def close(self) -> None:
        """Leave the file. Closing twice is nothing."""
        with self._lock:
            self._closed = True
            connection = self._own()
            self._connection = None
            if connection is not None:
                connection.close()

    def _raise_explained(self, error: Exception) -> None:
        if isinstance(error, HomeError):
            return
        from memo.catalog import failures

        explained = failures.explain(error, self.path)
        if explained is not None:
            raise explained from error

    def _opened(self, *, create: bool) -> Connection | None:
        if self._closed:
            raise HomeError("the catalog was closed", where=self.path)
        connection = self._own()
        if connection is not None:
            return connection
        if create:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
        elif not self._exists():
            return None
        if self._read_only:
            self._connection = self._for_reading()
        else:
            self._connection = self._connected("mode=rwc" if create else "mode=rw", create=create)
        self._pid = os.getpid()
        return self._connection

    def _own(self) -> Connection | None:
        """The connection, where this process made it."""
        if self._connection is not None and self._pid != os.getpid():
            _LEFT_TO_PARENT.append(self._connection)
            self._connection = None
        return self._connection

    def _exists(self) -> bool:
        try:
            os.stat(self.path)
        except FileNotFoundError:
            return False
        return True

    def _for_reading(self) -> Connection | None:
        import sqlite3

        try:
            return self._connected("mode=ro", create=False)
        except sqlite3.OperationalError as error:
            # Where the folder may not be written, SQLite cannot set up what the readers of a log share. With
            # no log beside it the file is complete, and can be read as it stands.
            refused = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
            if not refused or os.path.lexists(f"{self.path}-wal"):
                raise
            return self._connected("mode=ro&immutable=1", create=False)

    def _connected(self, options: str, *, create: bool) -> Connection | None:
        """Connect; None where the file is there and still empty, as another process has just begun it."""
        import sqlite3

        # Escaped byte by byte, so that no path is ever read as options.
        escaped = "".join([chr(byte) if byte in _AS_THEY_ARE else f"%{byte:02x}" for byte in os.fsencode(self.path)])
        connection = sqlite3.connect(
            f"file://{escaped}?{options}",
            uri=True,
            timeout=LOCK_WAIT,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if self._made_ready(connection, create=create):
                return connection
        except BaseException:
            connection.close()
            raise
        connection.close()
        return None

    def _made_ready(self, connection: Connection, *, create: bool) -> bool:
        """Settle how the file is used, once it is known to be ours."""
        number = self._checked_number(connection)
        if number == 0 and not create:
            return False
        for setting in _SETTINGS:
            connection.execute(setting)
        if not self._read_only:
            self._keep_a_log(connection)
        if number < schema.CURRENT:
            if self._read_only:
                from memo.catalog.failures import older

                raise older(self.path, number, schema.CURRENT)
            for step, statements in schema.MIGRATIONS:
                _in_transaction(connection, partial(_migrate, number=step, statements=statements))
        return True

    def _checked_number(self, connection: Connection) -> int:
        """The number of the file's schema, 0 where it is empty; nothing is changed to find out."""
        # In one view of the file: another process may be making the catalog at this moment.
        connection.execute("BEGIN")
        number = _number(connection)
        if number == 0:
            ours = connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        else:
            ours = connection.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID
        connection.execute("COMMIT")
        if not ours:
            from memo.catalog.failures import foreign

            raise foreign(self.path)
        if number > schema.CURRENT:
            from memo.catalog.failures import newer

            raise newer(self.path, number, schema.CURRENT)
        return number

    def _keep_a_log(self, connection: Connection) -> None:
        """Switch the file to a write-ahead log, where it is not: the file remembers."""
        import sqlite3

        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            except sqlite3.OperationalError as error:
                # SQLite does not wait for others here, whatever its timeout.
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY)
                continue
            if mode != "wal":
                from memo.catalog.failures import without_wal

                raise without_wal(self.path, mode)
            return


def _number(connection: Connection) -> int:
    """The number of the schema in the file; 0 in an empty one, and in most databases of others."""
    (number,) = connection.execute("PRAGMA user_version").fetchone()
    return int(number)


def _migrate(connection: Connection, *, number: int, statements: tuple[str, ...]) -> None:
    # Asked again now that no one else can write: another process may have been first.
    if _number(connection) < number:
        for statement in statements:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number}")


def _in_transaction(connection: Connection, work: Callable[[Connection], Answer]) -> Answer:
    # IMMEDIATE: a transaction that begins by reading could not wait for another writer, and would fail.
    connection.execute("BEGIN IMMEDIATE")
    try:
        answer = work(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return answer
