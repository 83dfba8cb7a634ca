"""What all IO managers of tables do alike: values into rows and back, checked, and in one line where that fails."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec import Struct

from memo.contracts.io_manager import MemoizableIOManager, StoredValue
from memo.errors import InvocationError, MissingExtraError
from memo_iomanagers.naming import address_of, is_named
from memo_iomanagers.table_digest import Spool, TableDigest
from memo_iomanagers.tables import READER, as_kind, kind_wanted, take
from memo_iomanagers.telling import where_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.stored_types import StoredColumns
    from memo_iomanagers.tables import TakenTable

__all__ = ["ChangedError", "Incoming", "StoredTable", "TableIOManager"]


class ChangedError(Exception):
    """What is stored is not what was stored."""


class StoredTable(Struct, frozen=True):
    """What is to be known of a stored table to load it.

    Attributes:
        kind: What the op returned: one of the constants of `memo_iomanagers.tables`.
        name: The table, where it is kept.
        arrow_schema: As it was before it was stored.
        row_count: How many rows there are.
        digest: Of their content.
    """

    kind: str
    name: str
    arrow_schema: bytes
    row_count: int
    digest: str

    def schema(self) -> Any:
        """The Arrow schema."""
        return pa.ipc.read_schema(pa.py_buffer(self.arrow_schema))


class Incoming:
    """A table on its way into a storage, hashed as it passes.

    Attributes:
        taken: What the op returned.
        columns: As they are stored.
        digest: Of the rows that have passed.
    """

    def __init__(self, taken: TakenTable, columns: StoredColumns) -> None:
        self.taken = taken
        self.columns = columns
        self.digest = TableDigest(taken.schema)

    def batches(self) -> Iterator[Any]:
        """The rows as they are stored, once."""
        return map(self.columns.store, self.digest.watch(self.taken.batches()))

    def rows(self, folder: str | None) -> Any:
        """All rows as they are stored, as a `pyarrow.RecordBatchReader`, once no code of the user's is left to run.

        Nobody has to wait then for what may take long, and what goes wrong from here on is no fault of the op.

        Args:
            folder: Where rows of a stream wait until they are stored; the system's folder where it is None.
        """
        schema = self.columns.schema
        if self.taken.streams:
            return Spool(schema, self.batches(), folder).reader()
        return pa.Table.from_batches(list(self.batches()), schema).to_reader()

    def stored_as(self, name: str) -> StoredTable:
        """What is to be known of the table, once all rows have passed."""
        taken, digest = self.taken, self.digest
        return StoredTable(taken.kind, name, taken.schema.serialize().to_pybytes(), digest.rows, digest.hexdigest())


class TableIOManager(MemoizableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB.

    An input gets what it is declared to be (``pandas.DataFrame``, ``polars.DataFrame``, ``pyarrow.Table``,
    ``pyarrow.RecordBatchReader``, ``duckdb.DuckDBPyRelation``), or else the kind that was stored. Streams of batches
    are stored and loaded in bounded memory; what is loaded as a stream waits in a file until it is read.
    """

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a table, in place of the one stored under the same name if there is one.

        Raises:
            StorageError: It is no table, or one that would not come back as it is; or it cannot be written.
        """
        where = where_of(context)
        taken = take(obj, where)
        incoming = Incoming(taken, self._columns(taken.schema, where))
        place = self._store(context, incoming, where)
        digest = incoming.digest
        content = context.provenance.content_digest
        context.report_stored(StoredValue(place, digest.size, digest.hexdigest(), content))

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
        where = where_of(output)
        stored, rows = self._load(output, context.dagster_type, where)
        kind = kind_wanted(context.dagster_type, stored)
        try:
            return rows if kind == READER else as_kind(kind, rows, stored=stored)
        except ImportError as error:
            raise MissingExtraError(error.name or kind, kind, where) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored."""
        return self.has_outputs([context])[0]

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many at once."""
        found = self._find_many(contexts)
        return [is_named(context) and address_of(context) in found for context in contexts]

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content that stored outputs were stored with."""
        found = self._find_many(contexts)
        return [found.get(address_of(context)) if is_named(context) else None for context in contexts]

    def _find_many(self, contexts: Sequence[OutputContext]) -> Mapping[str, str | None]:
        named = [context for context in contexts if is_named(context)]
        return self._find(named) if named else {}

    def _given(self, stored: StoredTable, batches: Iterable[Any], declared: Any, where: str, folder: str | None) -> Any:
        """Read all rows of a stored table: into memory, or into a file aside where a stream is asked for.

        Raises:
            ChangedError: They are not what was stored.
        """
        schema = stored.schema()
        checked = self._checked(stored, batches, self._columns(schema, where))
        if kind_wanted(declared, stored.kind) == READER:
            return Spool(schema, checked, folder).reader()
        return pa.Table.from_batches(list(checked), schema)

    def _checked(self, stored: StoredTable, batches: Iterable[Any], columns: StoredColumns) -> Iterator[Any]:
        digest = TableDigest(columns.own)
        yield from digest.watch(map(columns.restore, batches))
        if (digest.rows, digest.hexdigest()) != (stored.row_count, stored.digest):
            raise ChangedError(f"{stored.name} does not hold what was stored there")

    # What each of them does its own way

    @abstractmethod
    def _columns(self, schema: Any, where: str) -> StoredColumns:
        """Say how a table is kept here, or refuse it."""

    @abstractmethod
    def _store(self, context: OutputContext, incoming: Incoming, where: str) -> str:
        """Store a table, and say where people find it."""

    @abstractmethod
    def _load(self, output: OutputContext, declared: Any, where: str) -> tuple[str, Any]:
        """Give the kind of table that was stored, and what `_given` makes of its rows."""

    @abstractmethod
    def _find(self, contexts: Sequence[OutputContext]) -> Mapping[str, str | None]:
        """Give the addresses of those outputs that are stored, each with the digest of its content if that is known."""
