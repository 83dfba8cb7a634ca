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
from memo_iomanagers.naming import address_of
from memo_iomanagers.postgres_copy import copy_text, parsed, postgres_type, sql_type
from memo_iomanagers.postgres_server import Server
from memo_iomanagers.table_io_manager import ChangedError, TableIOManager
from memo_iomanagers.telling import REMEDY

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.stored_types import StoredColumns
    from memo_iomanagers.table_io_manager import Incoming, StoredTable

__all__ = ["POSTGRES", "PostgresConfig", "PostgresIOManager"]

_MOST_COLUMNS = 1600
"""What PostgreSQL allows a table."""


class PostgresIOManager(TableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB in PostgreSQL.

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

    def _columns(self, schema: Any, where: str) -> StoredColumns:
        if len(schema) > _MOST_COLUMNS:
            raise StorageError(
                f"has {len(schema)} columns, and a table of PostgreSQL at most {_MOST_COLUMNS}: split it, or store it "
                "elsewhere",
                where=where,
            )
        return numbered_columns(schema, postgres_type, place="PostgreSQL", where=where)

    def _store(self, context: OutputContext, incoming: Incoming, where: str) -> str:
        rows = incoming.rows(None)
        with self._located(where, "could not be stored in"), self._server.connected() as connection:
            self._set_up(connection)
            # Two that store one output at a time wait for each other here, not in the middle.
            self._lock(connection, address_of(context))
            table = data_table(context)
            self._fill(connection, table, rows, where)
            self._record(connection, context, incoming.stored_as(table), incoming.taken.schema.names)
        return f"{self._server.name}: {quoted(self._schema, view_name(context))}"

    def _load(self, output: OutputContext, declared: Any, where: str) -> tuple[str, Any]:
        tried: StoredTable | None = None
        while True:
            stored = None
            try:
                with self._located(where, "could not be read from"), self._server.connected() as connection:
                    stored = self._stored(connection, output)
                    if stored is None:
                        raise OutputLostError(f"is not stored in {self._server.name}; {REMEDY}", where=where)
                    return stored.kind, self._loaded(connection, stored, declared, where)
            except ChangedError as error:
                if stored is not None and stored == tried:
                    self._forget(output, stored)
                    raise OutputLostError(f"{self._server.name}: {error}; {REMEDY}", where=where) from error.__cause__
                # It may have been replaced between the two questions: then what is there now counts.
                tried = stored

    def _find(self, contexts: Sequence[OutputContext]) -> Mapping[str, str | None]:
        try:
            with self._server.connected() as connection:
                if not self._has_tables(connection):
                    return {}
                answer = connection.execute(
                    f"select o.address, o.content_digest from {self._inside('outputs')} o "
                    "join pg_class c on c.relname = o.data_table join pg_namespace n on n.oid = c.relnamespace "
                    "where n.nspname = %s and o.address = any(%s) and o.format = %s",
                    (self._inner, [address_of(context) for context in contexts], FORMAT),
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
            connection.execute(f"create table {self._inside('outputs')} ({OUTPUTS})")
            connection.execute(f"create table {self._inside('views')} ({VIEWS})")
        connection.commit()
        self._is_set_up = True

    def _lock(self, connection: Any, what: str) -> None:
        """Hold a lock until the end of the transaction that others take under the same name."""
        connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"memo {self._inner} {what}",))

    def _fill(self, connection: Any, table: str, rows: Any, where: str) -> None:
        described = ", ".join(f"{quoted(field.name)} {sql_type(field.type)}" for field in rows.schema)
        connection.execute(f"create table {self._inside(table)} ({described})")
        with connection.cursor().copy(f"copy {self._inside(table)} from stdin") as copy:
            for batch in rows:
                try:
                    copy.write(copy_text(batch))
                except ValueError as error:
                    raise StorageError(f"holds {error}: PostgreSQL cannot keep it", where=where) from error

    def _record(self, connection: Any, context: OutputContext, stored: StoredTable, names: list[str]) -> None:
        address, outputs, views = address_of(context), self._inside("outputs"), self._inside("views")
        row = output_row(context, stored)
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
            self._move_view(connection, name, stored.name, names)
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
        view = quoted(self._schema, name)
        query = f"view {view} as {view_query(names, self._inside(table))}"
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

    def _stored(self, connection: Any, context: OutputContext) -> StoredTable | None:
        if not self._has_tables(connection):
            return None
        answer = connection.execute(
            f"select {OUTPUT_OF} from {self._inside('outputs')} where address = %s and format = %s",
            (address_of(context), FORMAT),
        ).fetchall()
        return stored_table(answer[0]) if answer else None

    def _loaded(self, connection: Any, stored: StoredTable, declared: Any, where: str) -> Any:
        try:
            columns = self._columns(stored.schema(), where)
            batches = self._read(connection, stored.name, columns.schema)
            return self._given(stored, batches, declared, where, None)
        except (pa.ArrowInvalid, *self._server.changed) as error:
            raise ChangedError(f"{self._inside(stored.name)} does not hold what was stored there") from error

    def _read(self, connection: Any, table: str, schema: Any) -> Iterator[Any]:
        # Rows come in the order in which they were stored, unless a scan may begin where another one is.
        connection.execute("set local synchronize_seqscans = off")
        listed = ", ".join(map(quoted, schema.names))
        with connection.cursor().copy(f"copy {self._inside(table)} ({listed}) to stdout") as copy:
            yield from parsed(copy, schema)

    def _forget(self, context: OutputContext, stored: StoredTable) -> None:
        """See that the next plan does not take a damaged table for stored; it stays, to be looked into."""
        try:
            with self._server.connected() as connection:
                connection.execute(
                    f"update {self._inside('outputs')} set format = %s where data_table = %s", (DAMAGED, stored.name)
                )
        except self._server.failures as error:
            context.log.warning("%s could not be told so: %s", self._server.name, self._server.explain(error))


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
