"""What stands for Arrow's tables and arrays: schema and values, however they are cut into chunks.

Nothing shows of what is no content: chunks, offsets into larger buffers, what lies under nulls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from memo.content.digesting import STAND_INS, NoDigestError, StandIn, refuse_users, take_digest
from memo.hashing import Hasher, digest

if TYPE_CHECKING:
    from collections.abc import Callable

_ROWS = 1 << 20
"""Rows looked at together: what has to be copied, as where there are nulls, is copied in such pieces."""


def _table_parts(table: Any) -> object:
    return (
        _schema_bytes(table.schema),
        table.num_rows,
        [_digest(column) for column in table.itercolumns()],
    )


def _batch_parts(batch: Any) -> object:
    return _table_parts(pa.Table.from_batches([batch]))


def _array_parts(array: Any) -> object:
    column = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return (_schema_bytes(pa.schema([pa.field("", column.type)])), len(column), _digest(column))


def _schema_bytes(schema: Any) -> bytes:
    """Names, types, which may be null, and metadata."""
    return bytes(schema.serialize())


def _digest(column: Any) -> str:
    """Digest the values of a column, whose type the schema tells."""
    found = _Column(column.type)
    for chunk in column.chunks:
        found.update(chunk)
    return found.result()


class TableDigest:
    """The content digest of a table that is seen batch by batch: that of the whole table, in little memory."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._rows = 0
        self._columns: list[_Column] | None
        try:
            self._columns = [_Column(field.type, streamed=True) for field in schema]
        except NoDigestError:
            self._columns = None

    def update(self, batch: Any) -> None:
        """Take the next batch."""
        if self._columns is None:
            return
        self._rows += batch.num_rows
        try:
            for column, array in zip(self._columns, batch.columns, strict=True):
                column.update(array)
        except Exception:  # noqa: BLE001 - as of a value that is there as a whole: then it has no digest
            self._columns = None

    def result(self) -> str | None:
        """The digest of all that was taken; None where it has none."""
        columns = self._results()
        if columns is None:
            return None
        return take_digest(StandIn(pa.Table, (_schema_bytes(self._schema), self._rows, columns)))

    def of_values(self) -> str | None:
        """The digest of the values alone, under whatever names and in every release of pyarrow; None as for `result`.

        For whoever compares what was stored with what is read back, perhaps years later.
        """
        columns = self._results()
        return None if columns is None else digest("values", str(self._rows), *columns)

    def _results(self) -> list[str] | None:
        try:
            return None if self._columns is None else [column.result() for column in self._columns]
        except NoDigestError:
            return None


class _Column:
    """The digest of the values of one column, taken chunk by chunk.

    Args:
        kind: The type of the column.
        streamed: Chunks may not be kept: then a column whose dictionary changes has no digest.
    """

    def __init__(self, kind: Any, *, streamed: bool = False) -> None:
        self._changes: list[Callable[[Any], Any]] = []
        while (plain := _plain_type(kind)) is not None:
            kind, change = plain
            self._changes.append(change)
        self._kind = kind
        self._streamed = streamed
        self._rows = 0
        self._validity: Hasher | None = None
        self._lengths, self._content = Hasher(), Hasher()
        self._words: list[Any] = []
        self._within: list[_Column] = []
        if types.is_union(kind):
            raise NoDigestError
        if types.is_dictionary(kind):
            self._within = [_Column(kind.index_type)]
        elif types.is_struct(kind):
            self._within = [_Column(kind.field(place).type, streamed=streamed) for place in range(kind.num_fields)]
        elif types.is_nested(kind):
            self._within = [_Column(kind.value_type, streamed=streamed)]

    def update(self, chunk: Any) -> None:
        """Take the next chunk."""
        for change in self._changes:
            chunk = change(chunk)
        if types.is_dictionary(self._kind):
            self._take_words(chunk)
            return
        for start in range(0, len(chunk), _ROWS):
            piece = chunk.slice(start, _ROWS)
            if not types.is_null(self._kind):
                self._take_validity(piece)
                self._take_values(piece)
            self._rows += len(piece)

    def result(self) -> str:
        """The digest of all that was taken."""
        kind = self._kind
        if types.is_dictionary(kind):
            return self._dictionary()
        if types.is_null(kind):
            return digest("null", str(self._rows))
        within = [each.result() for each in self._within]
        if types.is_struct(kind):
            values = within
        else:
            values = [self._lengths.hexdigest(), *(within or [self._content.hexdigest()])]
        validity = self._validity.hexdigest() if self._validity is not None else ""
        return digest("column", str(self._rows), validity, *values)

    def _take_words(self, chunk: Any) -> None:
        if not self._streamed:
            self._words.append(chunk)
            return
        if not self._words:
            self._words.append(chunk.dictionary)
        elif not self._words[0].equals(chunk.dictionary):
            raise NoDigestError
        self._within[0].update(chunk.indices)

    def _dictionary(self) -> str:
        words = self._words
        if not self._streamed:
            column = pa.chunked_array(words, self._kind).unify_dictionaries()
            words = [column.chunk(0).dictionary] if column.num_chunks else []
            for chunk in column.chunks:
                self._within[0].update(chunk.indices)
        return digest("dictionary", _digest(pa.chunked_array(words, self._kind.value_type)), self._within[0].result())

    def _take_validity(self, piece: Any) -> None:
        """Digest which rows are not null; nothing where all are."""
        if self._validity is None:
            if piece.null_count == 0:
                return
            self._validity = Hasher()
            for start in range(0, self._rows, _ROWS):
                self._validity.write(b"\x01" * min(_ROWS, self._rows - start))
        self._validity.write(_fixed_width_bytes(piece.is_valid().cast(pa.uint8()), 1))

    def _take_values(self, piece: Any) -> None:
        """Digest the values that are not null; flattening leaves out what lies under nulls."""
        kind = self._kind
        if types.is_struct(kind):
            for column, values in zip(self._within, piece.flatten(), strict=True):
                column.update(values)
        elif self._within:
            if not types.is_fixed_size_list(kind):
                self._lengths.write(_lengths(piece, "list_value_length"))
            self._within[0].update(piece.flatten())
        else:
            values = piece.drop_null() if piece.null_count else piece
            if _is_text(kind):
                self._lengths.write(_lengths(values, "binary_length"))
                self._content.write(_text_bytes(values))
            else:
                plain = values.cast(pa.uint8()) if types.is_boolean(kind) else values
                self._content.write(_fixed_width_bytes(plain, plain.type.bit_width // 8))


def _plain_type(kind: Any) -> tuple[Any, Callable[[Any], Any]] | None:
    """A type that the rest of this module knows, and what gives the same values in it; None for such a type."""
    if isinstance(kind, pa.BaseExtensionType):
        refuse_users(type(kind).__module__)
        return kind.storage_type, lambda chunk: chunk.storage
    if types.is_run_end_encoded(kind):
        return kind.value_type, _decoded
    if types.is_map(kind):
        return pa.list_(pa.struct([kind.key_field, kind.item_field])), _as_list
    if types.is_string_view(kind) or types.is_binary_view(kind):
        plain = pa.large_string() if types.is_string_view(kind) else pa.large_binary()
        return plain, lambda chunk: chunk.cast(plain)
    return None


def _as_list(maps: Any) -> Any:
    """Give an array of maps as one of lists; a cast fails where there are slices and nulls within."""
    entries = maps.values
    if entries.offset:
        raise NoDigestError  # Arrow itself is not of one mind about what such a map holds
    kind = pa.list_(entries.type)
    return pa.Array.from_buffers(kind, len(maps), maps.buffers()[:2], offset=maps.offset, children=[entries])


def _decoded(runs: Any) -> Any:
    return pc.call_function("run_end_decode", [runs])


def _is_text(kind: Any) -> bool:
    return types.is_string(kind) or types.is_binary(kind) or _is_large_text(kind)


def _is_large_text(kind: Any) -> bool:
    return bool(types.is_large_string(kind) or types.is_large_binary(kind))


def _lengths(array: Any, function: str) -> memoryview:
    return _fixed_width_bytes(pc.call_function(function, [array]).drop_null().cast(pa.int64()), 8)


def _fixed_width_bytes(array: Any, width: int) -> memoryview:
    """The bytes of an array without nulls whose values all have the same width."""
    if len(array) == 0 or width == 0:
        return memoryview(b"")
    start = array.offset * width
    return memoryview(array.buffers()[1])[start : start + len(array) * width]


def _text_bytes(array: Any) -> memoryview:
    """The bytes of all the values of an array of strings or binaries without nulls."""
    _, offsets, data = array.buffers()
    if len(array) == 0 or data is None:
        return memoryview(b"")
    places = memoryview(offsets).cast("B").cast("q" if _is_large_text(array.type) else "i")
    return memoryview(data)[places[array.offset] : places[array.offset + len(array)]]


STAND_INS.update({pa.Table: _table_parts, pa.RecordBatch: _batch_parts, pa.ChunkedArray: _array_parts})
STAND_INS.update(
    {kind: _array_parts for kind in vars(pa).values() if isinstance(kind, type) and issubclass(kind, pa.Array)},
)
