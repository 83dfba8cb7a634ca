"""What stands for Arrow's tables and arrays: schema and values, however they are cut into chunks.

Nothing shows of what is no content: chunks, offsets into larger buffers, what lies under nulls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from memo.content.digesting import STAND_INS, NoDigestError, refuse_users
from memo.hashing import Hasher, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
    plain = _in_plain_type(column)
    if plain is not column:
        return _digest(plain)
    kind = column.type
    if types.is_dictionary(kind):
        column = column.unify_dictionaries()
        words = [column.chunk(0).dictionary] if column.num_chunks else []
        indices = _each(column, kind.index_type, lambda chunk: chunk.indices)
        return digest("dictionary", _digest(pa.chunked_array(words, kind.value_type)), _digest(indices))
    if types.is_null(kind):
        return digest("null", str(len(column)))
    return digest("column", str(len(column)), _validity(column), *_values(column))


def _in_plain_type(column: Any) -> Any:
    """Give the same values in a type that the rest of this module knows; a column of such a type as it is."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        refuse_users(type(kind).__module__)
        return _each(column, kind.storage_type, lambda chunk: chunk.storage)
    if types.is_run_end_encoded(kind):
        return _each(column, kind.value_type, _decoded)
    if types.is_map(kind):
        return _each(column, pa.list_(pa.struct([kind.key_field, kind.item_field])), _as_list)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return column.cast(pa.large_string() if types.is_string_view(kind) else pa.large_binary())
    return column


def _each(column: Any, kind: Any, change: Callable[[Any], Any]) -> Any:
    return pa.chunked_array([change(chunk) for chunk in column.chunks], kind)


def _as_list(maps: Any) -> Any:
    """Give an array of maps as one of lists; a cast fails where there are slices and nulls within."""
    entries = maps.values
    if entries.offset:
        raise NoDigestError  # Arrow itself is not of one mind about what such a map holds
    kind = pa.list_(entries.type)
    return pa.Array.from_buffers(kind, len(maps), maps.buffers()[:2], offset=maps.offset, children=[entries])


def _decoded(runs: Any) -> Any:
    return pc.call_function("run_end_decode", [runs])


def _pieces(column: Any) -> Iterator[Any]:
    for chunk in column.chunks:
        for start in range(0, len(chunk), _ROWS):
            yield chunk.slice(start, _ROWS)


def _validity(column: Any) -> str:
    """Digest which rows are not null; nothing where all are."""
    if column.null_count == 0:
        return ""
    hasher = Hasher()
    for piece in _pieces(column):
        hasher.write(_fixed_width_bytes(piece.is_valid().cast(pa.uint8()), 1))
    return hasher.hexdigest()


def _values(column: Any) -> list[str]:
    """Digest the values that are not null."""
    kind = column.type
    if types.is_nested(kind):
        return _nested_values(column)
    lengths, content = Hasher(), Hasher()
    for piece in _pieces(column):
        values = piece.drop_null() if piece.null_count else piece
        if _is_text(kind):
            lengths.write(_lengths(values, "binary_length"))
            content.write(_text_bytes(values))
        else:
            plain = values.cast(pa.uint8()) if types.is_boolean(kind) else values
            content.write(_fixed_width_bytes(plain, plain.type.bit_width // 8))
    return [lengths.hexdigest(), content.hexdigest()]


def _nested_values(column: Any) -> list[str]:
    """Digest what is within the values; flattening leaves out what lies under nulls."""
    kind = column.type
    pieces = list(_pieces(column))
    if types.is_struct(kind):
        rows = [piece.flatten() for piece in pieces]
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return [
            _digest(pa.chunked_array([row[place] for row in rows], field.type)) for place, field in enumerate(fields)
        ]
    if types.is_union(kind):
        raise NoDigestError
    lengths = Hasher()
    if not types.is_fixed_size_list(kind):
        for piece in pieces:
            lengths.write(_lengths(piece, "list_value_length"))
    within = pa.chunked_array([piece.flatten() for piece in pieces], kind.value_type)
    return [lengths.hexdigest(), _digest(within)]


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
