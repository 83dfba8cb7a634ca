"""Rows to and from PostgreSQL's COPY text format, a column at a time.

The text format is exact for every type taken here: floats are written with the digits that give them back, and what
is special in a string is escaped with a backslash, one character for one. Each column is turned into text at once, so
that no row is ever a tuple of Python objects.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, types

from memo_iomanagers.stored_types import plain_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["copy_text", "parsed", "postgres_type", "sql_type"]

_compute: Any = pc
"""Its functions are made when it is imported: a type checker sees none of them."""
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ("\b", "\\b"), ("\f", "\\f"), ("\v", "\\v"))
"""Those that PostgreSQL writes; the backslash first."""
_NUL = "\0"
"""Stands for a backslash while a text is read: PostgreSQL cannot hold it."""
_CHUNK = 16 << 20
_SQL = {
    "bool": "boolean",
    "int16": "smallint",
    "int32": "integer",
    "int64": "bigint",
    "float": "real",
    "double": "double precision",
    "string": "text",
    "binary": "bytea",
    "date32[day]": "date",
    "time64[us]": "time",
    "timestamp[us]": "timestamp",
    "timestamp[us, tz=UTC]": "timestamptz",
}


def postgres_type(kind: Any) -> Any | None:
    """The Arrow type that PostgreSQL takes and gives back without loss; None where there is none.

    Unsigned integers are stored in the next wider type, the widest as ``numeric(20, 0)``; durations as their number.
    """
    for own, wider in (
        (pa.int8(), pa.int16()),
        (pa.uint8(), pa.int16()),
        (pa.uint16(), pa.int32()),
        (pa.uint32(), pa.int64()),
        (pa.uint64(), pa.decimal128(20, 0)),
        (pa.null(), pa.string()),
    ):
        if kind.equals(own):
            return wider
    if types.is_decimal(kind):
        if kind.scale < 0:
            return None
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 else kind
    if types.is_time(kind):
        return pa.time64("us")
    if types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    return plain_type(kind)


def sql_type(kind: Any) -> str:
    """The name of a type in SQL."""
    return f"numeric({kind.precision}, {kind.scale})" if types.is_decimal(kind) else _SQL[str(kind)]


def copy_text(batch: Any) -> memoryview:
    """Write rows as COPY takes them.

    Args:
        batch: With columns of the types that `postgres_type` gives.

    Raises:
        ValueError: A value that PostgreSQL cannot hold, as the end of a sentence.
    """
    if not batch.num_rows:
        return memoryview(b"")
    columns = []
    for column in batch.columns:
        text = _as_text(column)
        columns.append(text.fill_null("\\N") if column.null_count else text)
    last = pc.call_function("binary_join_element_wise", [columns[-1], pa.scalar("\n", pa.large_string()), _EMPTY])
    rows = pc.call_function("binary_join_element_wise", [*columns[:-1], last, pa.scalar("\t", pa.large_string())])
    _, offsets, data = rows.buffers()
    places = memoryview(offsets).cast("B").cast("q")
    return memoryview(data)[places[rows.offset] : places[rows.offset + len(rows)]]


_EMPTY = pa.scalar("", pa.large_string())


def _as_text(column: Any) -> Any:
    kind = column.type
    large = pa.large_string()
    if types.is_string(kind):
        return _escaped(column.cast(large))
    if types.is_binary(kind):
        return pa.array([None if each is None else "\\\\x" + each.hex() for each in column.to_pylist()], large)
    if types.is_date32(kind) or types.is_timestamp(kind):
        years = pc.call_function("year", [column])
        outside = pc.call_function("or", [_compute.less(years, 1), _compute.greater(years, 9999)])
        if pc.call_function("any", [outside]).as_py():
            raise ValueError("a date outside of the years 1 to 9999")
    return column.cast(large)


def _escaped(column: Any) -> Any:
    if pc.call_function("any", [_compute.match_substring(column, _NUL)]).as_py():
        raise ValueError("a string with a NUL character, which no text of PostgreSQL can hold")
    for character, escape in _ESCAPES:
        column = _compute.replace_substring(column, character, escape)
    return column


def parsed(chunks: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Read what COPY gives, as batches of some 16 MB.

    Args:
        chunks: Bytes, each of whole rows.
        schema: The types that `postgres_type` gave.
    """
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        if len(waiting) >= _CHUNK:
            yield from _parsed(bytes(waiting), schema)
            waiting.clear()
    if waiting:
        yield from _parsed(bytes(waiting), schema)


def _parsed(text: bytes, schema: Any) -> Iterator[Any]:
    table = csv.read_csv(
        BytesIO(text),
        csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=schema.names),
        csv.ParseOptions(
            delimiter="\t", quote_char=False, double_quote=False, escape_char=False, ignore_empty_lines=False
        ),
        csv.ConvertOptions(
            check_utf8=False,
            column_types={field.name: pa.string() if _is_read_as_text(field.type) else field.type for field in schema},
            null_values=["\\N"],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
        ),
    )
    for batch in table.to_batches():
        columns = [_restored(column, field.type) for field, column in zip(schema, batch.columns, strict=True)]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _is_read_as_text(kind: Any) -> bool:
    return bool(types.is_binary(kind) or types.is_decimal256(kind))


def _restored(column: Any, kind: Any) -> Any:
    if types.is_binary(kind):
        # A backslash, escaped, an x and the digits.
        return pa.array([None if each is None else bytes.fromhex(each[3:]) for each in column.to_pylist()], kind)
    if types.is_decimal256(kind):
        return column.cast(kind)
    if not types.is_string(kind) or not pc.call_function("any", [_compute.match_substring(column, "\\")]).as_py():
        return column
    column = _compute.replace_substring(column, "\\\\", _NUL)
    for character, escape in _ESCAPES[1:]:
        column = _compute.replace_substring(column, escape, character)
    return _compute.replace_substring(column, _NUL, "\\")
