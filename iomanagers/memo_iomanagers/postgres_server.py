"""A PostgreSQL server and database: reached by a dsn that is told to nobody, its errors in one line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memo.errors import MissingExtraError, StorageError

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["Server"]

_CONNECT_SECONDS = 10
_OPTIONS = (
    "set timezone = 'UTC'",
    "set datestyle = 'ISO, YMD'",
    "set bytea_output = 'hex'",
    "set extra_float_digits = 1",
    "set client_encoding = 'UTF8'",
    "set lock_timeout = '10min'",
)
"""What a database or a role may have set otherwise, and the text of values depends on."""


class Server:
    """Where a dsn leads.

    Args:
        dsn: As libpq takes it. What it leaves out comes from the environment (``PGHOST``, ``PGPASSWORD``, …).

    Attributes:
        name: The host and the database, without user and password, for people.
        psycopg: The driver.
        errors: What the driver raises.
        failures: The same, and what this raises itself.
        changed: What it raises where a table is gone or is another.

    Raises:
        MissingExtraError: psycopg is not installed.
        StorageError: The dsn cannot be read.
    """

    def __init__(self, dsn: str) -> None:
        try:
            import psycopg
            import psycopg.conninfo
            import psycopg.errors
        except ImportError as error:
            raise MissingExtraError("psycopg", "postgres", "the IO manager 'postgres'") from error
        try:
            told = psycopg.conninfo.conninfo_to_dict(dsn)
        except psycopg.Error:
            # What the driver says of it quotes parts of it, which may be the password.
            raise StorageError(
                "the dsn of the IO manager 'postgres' cannot be read: write postgresql://user@host:5432/database, with "
                "special characters as %xx, or host=… dbname=… user=…"
            ) from None
        self._dsn = dsn
        self._secret = str(told.get("password") or "")
        database = told.get("dbname") or told.get("user") or "its default database"
        self.name = f"PostgreSQL at {told.get('host') or told.get('hostaddr') or 'its default host'}"
        self.name += f"{':' + str(told['port']) if told.get('port') else ''}, {database}"
        self.psycopg: Any = psycopg
        self.errors: tuple[type[Exception], ...] = (psycopg.Error,)
        self.failures: tuple[type[Exception], ...] = (StorageError, *self.errors)
        self.changed: tuple[type[Exception], ...] = (
            psycopg.errors.UndefinedTable,
            psycopg.errors.UndefinedColumn,
            psycopg.errors.DataCorrupted,
            psycopg.errors.IndexCorrupted,
        )

    def __repr__(self) -> str:
        return f"Server({self.name})"

    @contextmanager
    def connected(self) -> Generator[Any]:
        """Be connected, in a transaction that is committed where the block ends without an error."""
        connection = self.psycopg.connect(
            self._dsn, connect_timeout=_CONNECT_SECONDS, application_name="memo", autocommit=True
        )
        try:
            connection.execute("; ".join(_OPTIONS))
            connection.autocommit = False
            with connection:
                yield connection
        finally:
            connection.close()

    def explain(self, error: BaseException) -> str:
        """Say in one line what went wrong, and never the password."""
        if isinstance(error, self.psycopg.errors.LockNotAvailable):
            return "another program has kept a lock on it for 10 minutes"
        said = " ".join(str(error).split())
        detail = getattr(getattr(error, "diag", None), "message_detail", None)
        if detail and detail not in said:
            said += f" ({' '.join(detail.split())})"
        return said.replace(self._secret, "***") if self._secret else said
