"""The IO manager that keeps tables in a DuckDB file: one table per version, behind a view that people query.

In the schema that the config names, ``select * from analytics.daily_total`` shows the version that the step
`daily_total` stored last. Beside it, in ``analytics_memo``, lie the tables of all versions, under names that nothing
else has, and what is known of each (`outputs`). Rows, what is known of them and the view change in one transaction:
an output is there whole, or not at all.
"""

# Names in SQL are quoted, and values travel apart from it.
# ruff: noqa: S608

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.io_manager import IOManagerSpec
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.database_names import check_schema_name, data_table, quoted, view_name
from memo_iomanagers.database_outputs import (
    DAMAGED,
    FORMAT,
    OUTPUT_OF,
    OUTPUTS,
    VIEWS,
    numbered_columns,
    output_row,
    stored_table,
    view_query,
)
from memo_iomanagers.duckdb_file import DuckDBFile
from memo_iomanagers.duckdb_types import duckdb_type
from memo_iomanagers.naming import address_of
from memo_iomanagers.table_io_manager import ChangedError, TableIOManager
from memo_iomanagers.telling import REMEDY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.stored_types import StoredColumns
    from memo_iomanagers.table_io_manager import Incoming, StoredTable

__all__ = ["DUCKDB", "DuckDBConfig", "DuckDBIOManager"]

_BATCH_ROWS = 1 << 14
"""Rows that are read at a time; DuckDB's own million is a gigabyte where there are 100 columns."""


class DuckDBIOManager(TableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB in a DuckDB file.

    Two jobs with steps of one name share a view, which shows what was stored last: give each job a schema.

    Args:
        database: The file. A relative path counts from the current folder.
        schema: Where the views are.
        lock_timeout: Seconds to wait for other processes that use the file.

    Raises:
        StorageError: The schema cannot be named so.
    """

    def __init__(
        self, database: str | os.PathLike[str], schema: str = "outputs", *, lock_timeout: float = 600.0
    ) -> None:
        self._file = DuckDBFile(os.fspath(database), lock_timeout)
        self._schema = schema
        self._inner = check_schema_name(schema, self._file.path)
        stem = os.path.basename(self._file.path).partition(".")[0].casefold()
        if stem in {schema.casefold(), self._inner.casefold()}:
            raise StorageError(
                f"the file {self._file.path} and the schema {schema!r} have one name, which DuckDB cannot tell apart: "
                "rename one"
            )

    def _columns(self, schema: Any, where: str) -> StoredColumns:
        return numbered_columns(schema, duckdb_type, place="DuckDB", where=where)

    def _store(self, context: OutputContext, incoming: Incoming, where: str) -> str:
        rows = incoming.rows(self._folder())
        stored = incoming.stored_as(data_table(context))
        try:
            with self._file.writing(context.log.warning) as connection:
                self._write(connection, context, stored, incoming.taken.schema.names, rows)
        except StorageError as error:
            raise StorageError(error.what, where=where) from error
        except _duckdb_error() as error:
            raise StorageError(f"could not be stored in {self._file.path}: {_one_line(error)}", where=where) from error
        return f"{self._file.path}: {quoted(self._schema, view_name(context))}"

    def _load(self, output: OutputContext, declared: Any, where: str) -> tuple[str, Any]:
        stored = None
        try:
            with self._file.reading(output.log.warning) as connection:
                stored = self._stored(connection, output)
                if stored is None:
                    raise OutputLostError(f"is not stored in {self._file.path}; {REMEDY}", where=where)
                batches = self._read(connection, stored.name)
                return stored.kind, self._given(stored, batches, declared, where, self._folder())
        except ChangedError as error:
            raise self._lost(output, str(error), stored, where) from None
        except StorageError as error:
            raise type(error)(error.what, where=where) from error
        except (*_duckdb_error(), pa.ArrowException) as error:
            if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
                raise StorageError(f"{self._file.path} could not be read: {_one_line(error)}", where=where) from error
            raise self._lost(output, _one_line(error), stored, where) from error

    def _find(self, contexts: Sequence[OutputContext]) -> Mapping[str, str | None]:
        try:
            with self._file.reading(contexts[0].log.warning) as connection:
                answer = self._ask(
                    connection,
                    f"select o.address, o.content_digest from {self._inside('outputs')} o "
                    "join duckdb_tables() t on t.table_name = o.data_table and t.schema_name = ? "
                    "and t.database_name = current_database() where o.address = any(?) and o.format = ?",
                    [self._inner, [address_of(context) for context in contexts], FORMAT],
                )
                return dict(answer)
        except _failures() as error:
            contexts[0].log.warning(
                "%s could not be asked which outputs it has: %s; none of them counts as stored",
                self._file.path,
                _one_line(error),
            )
            return {}

    # Within a connection

    def _inside(self, name: str) -> str:
        return quoted(self._inner, name)

    def _ask(self, connection: Any, question: str, values: list[Any]) -> list[Any]:
        """Ask the table of outputs; nothing where nothing was ever stored."""
        import duckdb

        if connection is None:
            return []
        try:
            return list(connection.execute(question, values).fetchall())
        except duckdb.CatalogException:
            return []

    def _stored(self, connection: Any, context: OutputContext) -> StoredTable | None:
        answer = self._ask(
            connection,
            f"select {OUTPUT_OF} from {self._inside('outputs')} where address = ? and format = ?",
            [address_of(context), FORMAT],
        )
        return stored_table(answer[0]) if answer else None

    def _write(self, connection: Any, context: OutputContext, stored: StoredTable, names: list[str], rows: Any) -> None:
        outputs, views = self._inside("outputs"), self._inside("views")
        connection.execute(f"create schema if not exists {quoted(self._inner)}")
        connection.execute(f"create schema if not exists {quoted(self._schema)}")
        connection.execute(f"create table if not exists {outputs} ({OUTPUTS})")
        connection.execute(f"create table if not exists {views} ({VIEWS})")
        address = address_of(context)
        former = connection.execute(f"select data_table from {outputs} where address = ?", [address]).fetchall()
        connection.register("memo_incoming", rows)
        connection.execute(f"create table {self._inside(stored.name)} as select * from memo_incoming")
        connection.unregister("memo_incoming")
        row = output_row(context, stored)
        connection.execute(f"insert or replace into {outputs} values ({', '.join('?' * len(row))})", list(row))
        own = view_name(context)
        self._check_view(connection, own)
        connection.execute(f"insert or replace into {views} values (?, ?)", [own, address])
        asked = f"select name from {views} where address = ?"
        for (name,) in connection.execute(asked, [address]).fetchall():
            connection.execute(self._view(name, stored.name, names))
        for (name,) in former:
            connection.execute(f"drop table if exists {self._inside(name)}")

    def _check_view(self, connection: Any, name: str) -> None:
        """Refuse to replace what is not ours."""
        own = f"select 1 from {self._inside('views')} where name = ?"
        there = (
            not connection.execute(own, [name]).fetchall()
            and connection.execute(
                "select 1 from information_schema.tables where table_catalog = current_database() and table_schema = ? "
                "and table_name = ?",
                [self._schema, name],
            ).fetchall()
        )
        if there:
            raise StorageError(
                f"{quoted(self._schema, name)} in {self._file.path} is not memo's, and would be replaced by the view "
                "of this output: rename it, or give another schema"
            )

    def _view(self, name: str, table: str, names: list[str]) -> str:
        return f"create or replace view {quoted(self._schema, name)} as {view_query(names, self._inside(table))}"

    def _read(self, connection: Any, table: str) -> Iterator[Any]:
        yield from connection.sql(f"from {self._inside(table)}").to_arrow_reader(_BATCH_ROWS)

    def _lost(self, context: OutputContext, what: str, stored: StoredTable | None, where: str) -> OutputLostError:
        """Forget a damaged table, so that the next plan does not take the output for stored; it stays to look into."""
        if stored is not None:
            try:
                with self._file.writing(context.log.warning) as connection:
                    connection.execute(
                        f"update {self._inside('outputs')} set format = ? where data_table = ?",
                        [DAMAGED, stored.name],
                    )
            except _failures() as error:
                context.log.warning("%s could not be told so: %s", self._file.path, _one_line(error))
        return OutputLostError(f"{self._file.path}: {what}; {REMEDY}", where=where)

    def _folder(self) -> str | None:
        """The folder of the database, which is where there should be room."""
        folder = os.path.dirname(self._file.path)
        return folder if os.path.isdir(folder) else None


def _duckdb_error() -> tuple[type[Exception], ...]:
    import duckdb

    return (duckdb.Error,)


def _failures() -> tuple[type[Exception], ...]:
    return (StorageError, *_duckdb_error())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n\nStack Trace")[0].split())


class DuckDBConfig(Struct, frozen=True):
    """The config of the IO manager `duckdb`.

    Attributes:
        database: The file that holds the tables. Where it is not set: ``memo.duckdb`` in the storage of memo's own
            home.
        schema: The schema of the views that people query.
        lock_timeout: Seconds to wait for other processes that use the file.
    """

    database: str | None = None
    schema: str = "outputs"
    lock_timeout: float = 600.0


def _create(init_context: Any) -> DuckDBIOManager:
    config: DuckDBConfig = init_context.resource_config or DuckDBConfig()
    database = config.database
    if database is None:
        if init_context.storage.folder is None:
            raise StorageError(
                "the IO manager 'duckdb' has no database, and there is no home to keep one in: set database"
            )
        database = os.path.join(init_context.storage.folder, "memo.duckdb")
    return DuckDBIOManager(database, config.schema, lock_timeout=config.lock_timeout)


DUCKDB = IOManagerSpec(
    name="duckdb",
    create=_create,
    config_schema=DuckDBConfig,
    description="Keeps tables in a DuckDB file: one table per version, behind a view that people query.",
    in_home=lambda config: config and replace(config, database=None),
)
"""What the entry point `duckdb` offers."""
