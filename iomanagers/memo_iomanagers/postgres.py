"""The IO manager that keeps tables in PostgreSQL: one table per version, behind a view that people query.

In the schema that the config names, ``select * from analytics.daily_total`` shows the version that the step
`daily_total` stored last. Beside it, in ``analytics_memo``, lie the tables of all versions, under names that nothing
else has, and what is known of each (`outputs`). Rows go in and out through COPY. Rows, what is known of them and the
view change in one transaction: an output is there whole, or not at all.
"""

# Names in SQL are quoted, and values travel apart from it.
# ruff: noqa: S608

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct

from memo.contracts.io_manager import IOManagerSpec, MemoizableIOManager, StoredValue
from memo.errors import InvocationError, MissingExtraError, OutputLostError, StorageError
from memo_iomanagers.database_names import check_schema_name, data_table, quoted, shown_columns, view_name
from memo_iomanagers.naming import address_of
from memo_iomanagers.postgres_copy import copy_text, parsed, postgres_type, sql_type
from memo_iomanagers.postgres_server import Server
from memo_iomanagers.stored_types import StoredColumns
from memo_iomanagers.table_digest import Spool, TableDigest
from memo_iomanagers.tables import READER, as_kind, kind_wanted, take

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.tables import TakenTable

__all__ = ["POSTGRES", "PostgresConfig", "PostgresIOManager"]

_FORMAT, _DAMAGED = 1, -1
_PLACE = "PostgreSQL"
_REMEDY = "it counts as not stored, and is made again when it is needed"
_OUTPUTS = """
    address text primary key, format integer not null, data_table text not null, kind text not null,
    arrow_schema bytea not null, row_count bigint not null, digest text not null, step_key text not null,
    output text not null, mapping_key text, version text, run_id text, job_name text, content_key text,
    content_digest text, seconds double precision, created_at double precision
"""
_EMPTY = "no_columns"
"""The one column of a table that has none: a view has at least one."""
_MOST_COLUMNS = 1600
"""What PostgreSQL allows a table."""


class PostgresIOManager(MemoizableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB in PostgreSQL.

    An input gets what it is declared to be (``pandas.DataFrame``, ``polars.DataFrame``, ``pyarrow.Table``,
    ``pyarrow.RecordBatchReader``, ``duckdb.DuckDBPyRelation``), or else the kind that was stored.

    Two jobs with steps of one name share a view, which shows what was stored last: give each job a schema.

    Args:
        dsn: How the database is reached: a URL (``postgresql://user@host/database``) or ``host=… dbname=…``. It is
            kept to itself: neither errors nor what is stored tell it.
        schema: Where the views are.

    Raises:
        MissingExtraError: psycopg is not installed.
        StorageError: The dsn cannot be read, or the schema cannot be named so.
    """

    def __init__(self, dsn: str, schema: str = "outputs") -> None:
        self._server = Server(dsn)
        self._schema = schema
        self._inner = check_schema_name(schema, self._server.name)
        self._is_set_up = False

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a table, in place of the one stored under the same name if there is one.

        Raises:
            StorageError: It is no table, or one that would not come back as it is; or it cannot be written.
        """
        where = _where(context)
        taken = take(obj, where)
        columns = self._columns(taken.schema, where)
        if len(columns.schema) > _MOST_COLUMNS:
            raise StorageError(
                f"has {len(columns.schema)} columns, and a table of PostgreSQL at most {_MOST_COLUMNS}: split it, or "
                "store it elsewhere",
                where=where,
            )
        digest = TableDigest(taken.schema)
        with self._located(where, "could not be stored in"), self._server.connected() as connection:
            self._set_up(connection)
            # Two that store one output at a time wait for each other here, not in the middle.
            self._lock(connection, address_of(context))
            table = data_table(context)
            self._fill(connection, table, columns, taken, digest, where)
            self._record(connection, context, table, taken, digest)
        view = f"{self._server.name}: {quoted(self._schema, view_name(context))}"
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
        tried: Any = None
        while True:
            found = None
            try:
                with self._located(where, "could not be read from"), self._server.connected() as connection:
                    found = self._find(connection, output)
                    if found is None:
                        raise OutputLostError(f"is not stored in {self._server.name}; {_REMEDY}", where=where)
                    return self._load(connection, found, context, where)
            except _ChangedError as error:
                if found == tried:
                    self._forget(output, found)
                    raise OutputLostError(f"{self._server.name}: {error}; {_REMEDY}", where=where) from error.__cause__
                # It may have been replaced between the two questions: then what is there now counts.
                tried = found

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
            with self._server.connected() as connection:
                if not self._has_tables(connection):
                    return {}
                answer = connection.execute(
                    f"select o.address, o.content_digest from {self._inside('outputs')} o "
                    "join pg_class c on c.relname = o.data_table join pg_namespace n on n.oid = c.relnamespace "
                    "where n.nspname = %s and o.address = any(%s) and o.format = %s",
                    (self._inner, asked, _FORMAT),
                )
                return dict(answer.fetchall())
        except self._server.failures as error:
            contexts[0].log.warning(
                "%s could not be asked which outputs it has: %s; none of them counts as stored",
                self._server.name,
                self._server.explain(error),
            )
            return {}

    # Within a transaction

    def _inside(self, name: str) -> str:
        return quoted(self._inner, name)

    @contextmanager
    def _located(self, where: str, what: str) -> Generator[None]:
        try:
            yield
        except StorageError as error:
            raise type(error)(error.what, where=where) from error.__cause__
        except self._server.errors as error:
            raise StorageError(f"{what} {self._server.name}: {self._server.explain(error)}", where=where) from None

    def _has_tables(self, connection: Any) -> bool:
        asked = "select to_regclass(%s) is not null"
        return bool(connection.execute(asked, (self._inside("outputs"),)).fetchall()[0][0])

    def _set_up(self, connection: Any) -> None:
        """Make the schemas and what is in every one; of several that come first at once, one does."""
        if self._is_set_up and self._has_tables(connection):
            return
        self._lock(connection, "set up")
        for schema in (self._schema, self._inner):
            there = connection.execute("select 1 from pg_namespace where nspname = %s", (schema,)).fetchall()
            if not there:  # asked first: who may use a schema need not be one who may make it
                connection.execute(f"create schema {quoted(schema)}")
        if not self._has_tables(connection):
            connection.execute(f"create table {self._inside('outputs')} ({_OUTPUTS})")
            connection.execute(f"create table {self._inside('views')} (name text primary key, address text not null)")
        connection.commit()
        self._is_set_up = True

    def _lock(self, connection: Any, what: str) -> None:
        """Hold a lock until the end of the transaction that others take under the same name."""
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"memo {self._inner} {what}",))

    def _fill(
        self,
        connection: Any,
        table: str,
        columns: StoredColumns,
        taken: TakenTable,
        digest: TableDigest,
        where: str,
    ) -> None:
        described = ", ".join(f"{quoted(field.name)} {sql_type(field.type)}" for field in columns.schema)
        connection.execute(f"create table {self._inside(table)} ({described})")
        with connection.cursor().copy(f"copy {self._inside(table)} from stdin") as copy:
            for batch in digest.watch(taken.batches()):
                try:
                    copy.write(copy_text(columns.store(batch)))
                except ValueError as error:
                    raise StorageError(f"holds {error}: PostgreSQL cannot keep it", where=where) from error

    def _record(
        self, connection: Any, context: OutputContext, table: str, taken: TakenTable, digest: TableDigest
    ) -> None:
        address, outputs, views = address_of(context), self._inside("outputs"), self._inside("views")
        row = (
            *(address, _FORMAT, table, taken.kind, taken.schema.serialize().to_pybytes()),
            *(digest.rows, digest.hexdigest(), _text(context.step_key), _text(context.name)),
            *(_text(context.mapping_key), _text(context.version), _text(context.run_id), _text(context.job_name)),
            context.provenance.content_key,
            context.provenance.content_digest,
            context.provenance.seconds,
            context.provenance.created_at,
        )
        # Views are changed by one at a time, in all transactions last: so no two wait for each other.
        self._lock(connection, "views")
        removed = f"delete from {outputs} where address = %s returning data_table"
        former = connection.execute(removed, (address,)).fetchall()
        connection.execute(f"insert into {outputs} values ({', '.join(['%s'] * len(row))})", row)
        own = view_name(context)
        self._check_view(connection, own)
        connection.execute(
            f"insert into {views} values (%s, %s) on conflict (name) do update set address = excluded.address",
            (own, address),
        )
        asked = f"select name from {views} where address = %s order by name"
        for (name,) in connection.execute(asked, (address,)).fetchall():
            self._move_view(connection, name, table, taken.schema.names)
        for (name,) in former:
            connection.execute(f"drop table if exists {self._inside(name)}")

    def _check_view(self, connection: Any, name: str) -> None:
        """Refuse to replace what is not ours."""
        there = connection.execute(
            "select 1 from pg_class c join pg_namespace n on n.oid = c.relnamespace "
            f"where n.nspname = %s and c.relname = %s and c.relname not in (select name from {self._inside('views')})",
            (self._schema, name),
        ).fetchall()
        if there:
            raise StorageError(
                f"{quoted(self._schema, name)} in {self._server.name} is not memo's, and would be replaced by the view "
                "of this output: rename it, or give another schema"
            )

    def _move_view(self, connection: Any, name: str, table: str, names: list[str]) -> None:
        """Let a view show a table; who may read the view may read it still, where its columns are the same."""
        shown = ", ".join(
            f"{quoted(f'c{place}')} as {quoted(each)}" for place, each in enumerate(shown_columns(names), 1)
        )
        view = quoted(self._schema, name)
        query = f"view {view} as select {shown or quoted(_EMPTY)} from {self._inside(table)}"
        try:
            with connection.transaction():
                connection.execute(f"create or replace {query}")
        except self._server.psycopg.errors.InvalidTableDefinition:
            try:
                with connection.transaction():
                    connection.execute(f"drop view {view}")
                    connection.execute(f"create {query}")
            except self._server.psycopg.errors.DependentObjectsStillExist as error:
                raise StorageError(
                    f"has other columns than before, and {view} in {self._server.name} cannot change, because "
                    f"something that is not memo's is made of it: {self._server.explain(error)}; drop that first"
                ) from None

    def _find(self, connection: Any, context: OutputContext) -> tuple[str, str, bytes, int, str] | None:
        if not self._has_tables(connection):
            return None
        answer = connection.execute(
            f"select kind, data_table, arrow_schema, row_count, digest from {self._inside('outputs')} "
            "where address = %s and format = %s",
            (address_of(context), _FORMAT),
        ).fetchall()
        return answer[0] if answer else None

    def _load(self, connection: Any, found: tuple[str, str, bytes, int, str], context: InputContext, where: str) -> Any:
        stored, name, schema_bytes, rows, digest = found
        kind = kind_wanted(context.dagster_type, stored)
        try:
            schema = pa.ipc.read_schema(pa.py_buffer(schema_bytes))
            batches = self._read(connection, name, self._columns(schema, where), rows, digest)
            if kind == READER:
                return Spool(schema, batches).reader()
            table = pa.Table.from_batches(list(batches), schema)
        except (pa.ArrowInvalid, *self._server.changed) as error:
            raise _ChangedError(f"{self._inside(name)} does not hold what was stored there") from error
        try:
            return as_kind(kind, table, stored=stored)
        except ImportError as error:
            raise MissingExtraError(error.name or kind, kind, where) from error

    def _read(self, connection: Any, table: str, columns: StoredColumns, rows: int, digest: str) -> Iterator[Any]:
        hasher = TableDigest(columns.own)
        # Rows come in the order in which they were stored, unless a scan may begin where another one is.
        connection.execute("set local synchronize_seqscans = off")
        listed = ", ".join(quoted(field.name) for field in columns.schema)
        with connection.cursor().copy(f"copy {self._inside(table)} ({listed}) to stdout") as copy:
            for batch in parsed(copy, columns.schema):
                restored = columns.restore(batch)
                hasher.add(restored)
                yield restored
        if (hasher.rows, hasher.hexdigest()) != (rows, digest):
            raise _ChangedError(f"{self._inside(table)} does not hold what was stored there")

    def _forget(self, context: OutputContext, found: Any) -> None:
        """See that the next plan does not take a damaged table for stored; it stays, to be looked into."""
        try:
            with self._server.connected() as connection:
                connection.execute(
                    f"update {self._inside('outputs')} set format = %s where data_table = %s", (_DAMAGED, found[1])
                )
        except self._server.failures as error:
            context.log.warning("%s could not be told so: %s", self._server.name, self._server.explain(error))

    def _columns(self, schema: Any, where: str) -> StoredColumns:
        names = [f"c{place}" for place in range(1, len(schema) + 1)]
        return StoredColumns(schema, postgres_type, names, place=_PLACE, where=where, empty=_EMPTY)


class _ChangedError(Exception):
    """What is stored is not what was stored."""


def _key(context: OutputContext) -> str | None:
    return address_of(context) if context.version is not None or context.run_id is not None else None


def _text(name: str | None) -> str | None:
    """A name as a database can hold it: any string of Python may be one, lone surrogates included."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _where(context: OutputContext) -> str:
    return f"output {context.name!r} of step {context.step_key!r}"


class PostgresConfig(Struct, frozen=True):
    """The config of the IO manager `postgres`.

    Attributes:
        dsn: How the database is reached. Where it holds a password, take it from the environment:
            ``{"env": "ANALYTICS_DSN"}``; or leave the password to ``~/.pgpass`` or ``PGPASSWORD``.
        schema: The schema of the views that people query.
    """

    dsn: str
    schema: str = "outputs"

    def __repr__(self) -> str:
        return f"PostgresConfig(dsn=…, schema={self.schema!r})"


def _create(init_context: Any) -> PostgresIOManager:
    config: PostgresConfig = init_context.resource_config
    return PostgresIOManager(config.dsn, config.schema)


POSTGRES = IOManagerSpec(
    name="postgres",
    create=_create,
    config_schema=PostgresConfig,
    description="Keeps tables in PostgreSQL: one table per version, behind a view that people query.",
)
"""What the entry point `postgres` offers."""
