"""One DuckDB file that many processes open in turn: under a lock of our own, or what they commit is lost.

DuckDB 2.0 reads the header of a file before it takes its own lock on it, and not again after: a process that waited
in between works from an old root, and its checkpoint erases what another one committed. So a lock on a file beside it
is taken before the database is opened, and given back once it is closed. Programs that open the file without memo do
not take it: let them open it while no run is writing, or a copy of it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from memo.errors import OutputLostError, StorageError
from memo_iomanagers.file_lock import file_lock
from memo_iomanagers.places import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["DuckDBFile"]

_CONFIG: dict[str, Any] = {
    # An extension that is not there would be looked for on the network, for seconds.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    # Of its own it takes four fifths of the machine's, for itself in each of several processes.
    "memory_limit": "1GB",
}

_BLOCK_SIZE = "16384"
"""Of a new file: a table takes one block at least, and DuckDB's own 256 KB made 130 MB of 500 small tables."""


class DuckDBFile:
    """A database that is opened for one piece of work at a time.

    Args:
        path: The file; it and its folder are made when something is first written.
        lock_timeout: Seconds to wait for other processes at most.
    """

    def __init__(self, path: str, lock_timeout: float) -> None:
        self.path = os.path.abspath(os.path.expanduser(path))
        self._timeout = lock_timeout

    @contextmanager
    def reading(self, on_wait: Callable[[str], None]) -> Generator[Any]:
        """Open the database for reading, together with other readers; None where there is none yet.

        Raises:
            OutputLostError: The file is no database.
            StorageError: It could not be opened.
        """
        if not os.path.exists(self.path):
            yield None
            return
        with self._locked(on_wait, shared=True):
            connection = self._connect(on_wait, read_only=True) if os.path.exists(self.path) else None
            try:
                yield connection
            finally:
                if connection is not None:
                    connection.close()

    @contextmanager
    def writing(self, on_wait: Callable[[str], None]) -> Generator[Any]:
        """Open the database alone, in a transaction that is committed where the block ends without an error.

        Raises:
            StorageError: It could not be opened.
        """
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path} cannot be made: {reason(error)}") from error
        with self._locked(on_wait, shared=False):
            self._make()
            connection = self._connect(on_wait, read_only=False)
            try:
                connection.execute("begin transaction")
                yield connection
                connection.execute("commit")
            except BaseException:
                with suppress(Exception):
                    connection.execute("rollback")
                raise
            finally:
                connection.close()

    def _locked(self, on_wait: Callable[[str], None], *, shared: bool) -> Any:
        return file_lock(f"{self.path}.lock", shared=shared, timeout=self._timeout, on_wait=on_wait)

    def _make(self) -> None:
        """Make the file whole, aside: what a process leaves that was killed while making one cannot be opened."""
        if os.path.exists(self.path):
            return
        import duckdb

        aside = f"{self.path}.new"
        try:
            for left in (aside, f"{aside}.wal"):
                with suppress(FileNotFoundError):
                    os.unlink(left)
            duckdb.connect(aside, config=_CONFIG | {"default_block_size": _BLOCK_SIZE}).close()
            os.replace(aside, self.path)
        except (OSError, duckdb.Error) as error:
            raise StorageError(f"{self.path} cannot be made: {_reason(error)}") from error

    def _connect(self, on_wait: Callable[[str], None], *, read_only: bool) -> Any:
        import duckdb

        deadline, told = monotonic() + self._timeout, False
        while True:
            try:
                return duckdb.connect(self.path, read_only=read_only, config=_CONFIG)
            except duckdb.Error as error:
                text = str(error)
                if "lock on file" not in text:
                    lost = "not a valid DuckDB" in text or type(error).__name__ in {
                        "SerializationException",
                        "InternalException",
                        "FatalException",
                    }
                    kind = OutputLostError if lost and read_only else StorageError
                    raise kind(f"{self.path} cannot be opened: {_reason(error)}{_REMEDY if lost else ''}") from error
                if monotonic() >= deadline:
                    raise StorageError(f"{self.path} is open in another program: {_reason(error)}") from error
                if not told:
                    told = True
                    on_wait(f"waiting for {self.path}, which is open in another program: {_reason(error)}")
            sleep(0.1)


_REMEDY = "; move it away, and memo makes what was in it again"


def _reason(error: Exception) -> str:
    """What DuckDB says, in one line without its links."""
    return str(error).partition("\n")[0].partition(" See also ")[0]
