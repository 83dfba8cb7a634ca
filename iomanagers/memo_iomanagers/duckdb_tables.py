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

from memo.contracts.io_manager import IOManagerSpec, MemoizableIOManager, StoredValue
from memo.errors import InvocationError, MissingExtraError, OutputLostError, StorageError
from memo_iomanagers.database_names import (
    check_schema_name,
    data_table,
    quoted,
    shown_columns,
    view_name,
)
from memo_iomanagers.duckdb_file import DuckDBFile
from memo_iomanagers.duckdb_types import duckdb_type
from memo_iomanagers.naming import address_of
from memo_iomanagers.stored_types import StoredColumns
from memo_iomanagers.table_digest import Spool, TableDigest
from memo_iomanagers.tables import READER, as_kind, kind_wanted, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memo.contracts.io_manager import InputContext, OutputContext

__all__ = ["DUCKDB", "DuckDBConfig", "DuckDBIOManager"]

_FORMAT, _DAMAGED = 1, -1
_PLACE = "DuckDB"
_REMEDY = "it counts as not stored, and is made again when it is needed"
_OUTPUTS = """
    address varchar primary key, format integer not null, data_table varchar not null, kind varchar not null,
    arrow_schema blob not null, row_count bigint not null, digest varchar not null, step_key varchar not null,
    output varchar not null, mapping_key varchar, version varchar, run_id varchar, job_name varchar,
    content_key varchar, content_digest varchar, seconds double, created_at double
"""
_EMPTY = "no_columns"
"""The one column of a table that has none: a table of a database has at least one."""


class DuckDBIOManager(MemoizableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB in a DuckDB file.

    An input gets what it is declared to be (``pandas.DataFrame``, ``polars.DataFrame``, ``pyarrow.Table``,
    ``pyarrow.RecordBatchReader``, ``duckdb.DuckDBPyRelation``), or else the kind that was stored.

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

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a table, in place of the one stored under the same name if there is one.

        Raises:
            StorageError: It is no table, or one that would not come back as it is; or it cannot be written.
        """
        where = _where(context)
        taken = take(obj, where)
        columns = self._columns(taken.schema, where)
        digest = TableDigest(taken.schema)
        batches = map(columns.store, digest.watch(taken.batches()))
        # Everything that may take long, or run code of the user's, is done before others have to wait.
        if taken.streams:
            rows = Spool(columns.schema, batches, self._folder()).reader()
        else:
            rows = pa.Table.from_batches(list(batches), columns.schema)
        row = (
            *(address_of(context), _FORMAT, data_table(context), taken.kind, taken.schema.serialize().to_pybytes()),
            *(digest.rows, digest.hexdigest(), _text(context.step_key), _text(context.name)),
            *(_text(context.mapping_key), _text(context.version), _text(context.run_id), context.job_name),
            context.provenance.content_key,
            context.provenance.content_digest,
            context.provenance.seconds,
            context.provenance.created_at,
        )
        try:
            with self._file.writing(context.log.warning) as connection:
                self._store(connection, context, row, taken.schema.names, rows)
        except StorageError as error:
            raise StorageError(error.what, where=where) from error
        except _duckdb_error() as error:
            raise StorageError(f"could not be stored in {self._file.path}: {_one_line(error)}", where=where) from error
        view = f"{self._file.path}: {quoted(self._schema, view_name(context))}"
        context.report_stored(StoredValue(view, digest.size, digest.hexdigest()))

    def load_input(self, context: InputContext) -> Any:
        """Load the table of ``context.upstream_output``, as what the input is declared to be.

        Raises:
            OutputLostError: It is not there, or not what was stored.
            MissingExtraError: The package that the input's type belongs to is not installed.
            StorageError: It could not be read.
        """
        output = context.upstream_output
        if output is None:
            raise InvocationError(f"the input {context.name!r} does not come from another step's output")
        where = _where(output)
        found = None
        try:
            with self._file.reading(output.log.warning) as connection:
                found = self._find(connection, output)
                if found is None:
                    raise OutputLostError(f"is not stored in {self._file.path}; {_REMEDY}", where=where)
                stored, name, schema_bytes, rows, digest = found
                kind = kind_wanted(context.dagster_type, stored)
                schema = pa.ipc.read_schema(pa.py_buffer(schema_bytes))
                batches = self._read(connection, name, self._columns(schema, where), rows, digest)
                if kind == READER:
                    return Spool(schema, batches, self._folder()).reader()
                table = pa.Table.from_batches(list(batches), schema)
        except _ChangedError as error:
            return self._lost(output, str(error), found)
        except StorageError as error:
            raise type(error)(error.what, where=where) from error
        except (*_duckdb_error(), pa.ArrowException) as error:
            if isinstance(error, (MemoryError, pa.ArrowMemoryError)) or type(error).__name__ == "OutOfMemoryException":
                raise StorageError(f"{self._file.path} could not be read: {_one_line(error)}", where=where) from error
            return self._lost(output, _one_line(error), found)
        try:
            return as_kind(kind, table, stored=stored)
        except ImportError as error:
            raise MissingExtraError(error.name or kind, kind, where) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored."""
        return self.has_outputs([context])[0]

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many, with one query."""
        found = self._digests(contexts)
        return [_key(context) in found for context in contexts]

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content of stored outputs."""
        found = self._digests(contexts)
        return [found.get(_key(context)) for context in contexts]

    def _digests(self, contexts: Sequence[OutputContext]) -> dict[str | None, str | None]:
        """The addresses of those that are stored, with the digest of the content of each."""
        asked = [address for context in contexts if (address := _key(context)) is not None]
        if not asked:
            return {}
        try:
            with self._file.reading(contexts[0].log.warning) as connection:
                answer = self._ask(
                    connection,
                    f"select o.address, o.content_digest from {self._inside('outputs')} o "
                    "join duckdb_tables() t on t.table_name = o.data_table and t.schema_name = ? "
                    "and t.database_name = current_database() where o.address = any(?) and o.format = ?",
                    [self._inner, asked, _FORMAT],
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

    def _find(self, connection: Any, context: OutputContext) -> tuple[str, str, bytes, int, str] | None:
        answer = self._ask(
            connection,
            f"select kind, data_table, arrow_schema, row_count, digest from {self._inside('outputs')} "
            "where address = ? and format = ?",
            [address_of(context), _FORMAT],
        )
        return answer[0] if answer else None

    def _store(
        self, connection: Any, context: OutputContext, row: tuple[Any, ...], names: list[str], rows: Any
    ) -> None:
        connection.execute(f"create schema if not exists {quoted(self._inner)}")
        connection.execute(f"create schema if not exists {quoted(self._schema)}")
        connection.execute(f"create table if not exists {self._inside('outputs')} ({_OUTPUTS})")
        views = self._inside("views")
        connection.execute(f"create table if not exists {views} (name varchar primary key, address varchar not null)")
        address, table = row[0], row[2]
        former = connection.execute(
            f"select data_table from {self._inside('outputs')} where address = ?",
            [address],
        ).fetchall()
        connection.register("memo_incoming", rows)
        connection.execute(f"create table {self._inside(table)} as select * from memo_incoming")
        connection.unregister("memo_incoming")
        marks = ", ".join("?" * len(row))
        connection.execute(f"insert or replace into {self._inside('outputs')} values ({marks})", list(row))
        own = view_name(context)
        self._check_view(connection, own)
        connection.execute(f"insert or replace into {views} values (?, ?)", [own, address])
        asked = f"select name from {views} where address = ?"
        for (name,) in connection.execute(asked, [address]).fetchall():
            connection.execute(self._view(name, table, names))
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
        shown = [f"{quoted(f'c{place}')} as {quoted(each)}" for place, each in enumerate(shown_columns(names), 1)] or [
            quoted(_EMPTY)
        ]
        view = quoted(self._schema, name)
        return f"create or replace view {view} as select {', '.join(shown)} from {self._inside(table)}"

    def _read(self, connection: Any, table: str, columns: StoredColumns, rows: int, digest: str) -> Any:
        hasher = TableDigest(columns.own)
        reader = pa.RecordBatchReader.from_stream(connection.sql(f"from {self._inside(table)}"))
        for batch in reader:
            restored = columns.restore(batch)
            hasher.add(restored)
            yield restored
        if (hasher.rows, hasher.hexdigest()) != (rows, digest):
            raise _ChangedError(f"{self._inside(table)} does not hold what was stored there")

    def _lost(self, context: OutputContext, what: str, found: tuple[Any, ...] | None) -> Any:
        """Forget a damaged table, so that the next plan does not take the output for stored; it stays to look into."""
        if found is not None:
            try:
                with self._file.writing(context.log.warning) as connection:
                    connection.execute(
                        f"update {self._inside('outputs')} set format = ? where data_table = ?",
                        [_DAMAGED, found[1]],
                    )
            except _failures() as error:
                context.log.warning("%s could not be told so: %s", self._file.path, _one_line(error))
        raise OutputLostError(f"{self._file.path}: {what}; {_REMEDY}", where=_where(context))

    def _columns(self, schema: Any, where: str) -> StoredColumns:
        names = [f"c{place}" for place in range(1, len(schema) + 1)]
        return StoredColumns(schema, duckdb_type, names, place=_PLACE, where=where, empty=_EMPTY)

    def _folder(self) -> str | None:
        """The folder of the database, which is where there should be room."""
        folder = os.path.dirname(self._file.path)
        return folder if os.path.isdir(folder) else None


class _ChangedError(Exception):
    """What is stored is not what was stored."""


def _duckdb_error() -> tuple[type[Exception], ...]:
    import duckdb

    return (duckdb.Error,)


def _failures() -> tuple[type[Exception], ...]:
    return (StorageError, *_duckdb_error())


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split("\n\nStack Trace")[0].split())


def _key(context: OutputContext) -> str | None:
    return address_of(context) if context.version is not None or context.run_id is not None else None


def _text(name: str | None) -> str | None:
    """A name as a database can hold it: any string of Python may be one, lone surrogates included."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _where(context: OutputContext) -> str:
    return f"output {context.name!r} of step {context.step_key!r}"


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
)
"""What the entry point `duckdb` offers."""
