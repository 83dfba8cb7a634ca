"""Tables in all their forms: Arrow's own, streams of batches, and the frames of pandas and polars."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "as_table",
    "as_wanted",
    "batches_of",
    "form_of",
    "frame_refusal",
    "from_table",
    "is_plain",
    "streamed",
    "wanted_form",
]

TABLE, BATCH, ARRAY, CHUNKED, READER = "table", "batch", "array", "chunked", "reader"
STREAM = "stream"
"""A reader whose batches are in Arrow's streaming format."""
PANDAS, POLARS = "pandas", "polars"
FRAMES = frozenset({PANDAS, POLARS})


def form_of(value: Any) -> str | None:
    """Which form of a table a value has; None where it is none."""
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if package == "pyarrow":
        return _arrow_form(value)
    if (package, kind.__name__) == ("pandas", "DataFrame"):
        return PANDAS
    return POLARS if (package, kind.__name__) == ("polars", "DataFrame") else None


def _arrow_form(value: Any) -> str | None:
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return TABLE
    if isinstance(value, pa.RecordBatch):
        return BATCH
    if isinstance(value, pa.ChunkedArray):
        return CHUNKED
    if isinstance(value, pa.Array):
        return ARRAY
    return READER if isinstance(value, pa.RecordBatchReader) else None


def wanted_form(form: str, wanted: object) -> str:
    """The form in which a reader gets a table: a stream or a table where it asks for one, else as it was stored."""
    if wanted is None or form in {ARRAY, CHUNKED}:
        return form
    arrow: Any = sys.modules.get("pyarrow")  # which whoever asks for one of its types has imported
    if wanted is getattr(arrow, "RecordBatchReader", None):
        return STREAM if form == STREAM else READER
    return TABLE if wanted is getattr(arrow, "Table", None) else form


def as_wanted(value: Any, wanted: object) -> Any:
    """A table as a stream, or a stream as a table, where the reader asks for it."""
    if wanted is None:
        return value
    form = form_of(value)
    asked = wanted_form(form or "", wanted)
    if asked == READER and form in {TABLE, BATCH}:
        return as_table(value, form).to_reader()
    return value.read_all() if asked == TABLE and form == READER else value


def as_table(value: Any, form: str) -> Any:
    """An Arrow table of a value in any form but a stream."""
    import pyarrow as pa

    if form == TABLE:
        return value
    if form == BATCH:
        return pa.Table.from_batches([value])
    if form in {ARRAY, CHUNKED}:
        return pa.Table.from_arrays([value], schema=pa.schema([pa.field("", value.type)]))
    return pa.Table.from_pandas(value) if form == PANDAS else value.to_arrow()


def from_table(table: Any, form: str) -> Any:
    """Give a table back in the form that it was stored in."""
    if form == BATCH:
        return _as_batch(table)
    if form in {ARRAY, CHUNKED}:
        return table.column(0) if form == CHUNKED else _as_array(table.column(0))
    if form == PANDAS:
        return table.to_pandas()
    if form == POLARS:
        import polars as pl

        return pl.from_arrow(table)
    return table.to_reader() if form == READER else table


def _as_batch(table: Any) -> Any:
    import pyarrow as pa

    found = table.combine_chunks().to_batches()
    return found[0] if found else pa.RecordBatch.from_pylist([], schema=table.schema)


def _as_array(column: Any) -> Any:
    import pyarrow as pa

    chunks = column.chunks
    if len(chunks) == 1:
        return chunks[0]
    return pa.concat_arrays(chunks) if chunks else pa.array([], column.type)


def batches_of(reader: Any) -> Iterator[Any]:
    """The batches of a stream."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        yield batch


def streamed(schema: Any, batches: Iterable[Any]) -> Any:
    """A stream of batches that are made as they are asked for."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(schema, batches)


def is_plain(kind: Any) -> bool:
    """Whether values of a type are laid out in a file as they are in memory."""
    from pyarrow import types

    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return is_plain(kind.value_type)
    if types.is_struct(kind):
        return kind.num_fields > 0 and all(is_plain(kind.field(place).type) for place in range(kind.num_fields))
    return bool(
        types.is_boolean(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_temporal(kind)
        or types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_null(kind)
    )


def frame_refusal(frame: Any, form: str, through: Callable[[Any], Any]) -> str | None:
    """Say what of a frame would come back changed, as the end of a sentence; None where nothing would.

    Types, labels and names are tried on the first rows. What a column's type does not tell is known of the type.

    Args:
        frame: Of pandas or polars.
        form: Which of the two.
        through: Gives a table as it is after having been written and read.
    """
    held = _object_column(frame, form)
    if held is not None:
        return f"its column {held!r} holds Python objects"
    try:
        back = from_table(through(as_table(frame.head(2), form)), form)
    except Exception as error:  # noqa: BLE001 - three libraries raise what they like of what they cannot convert
        return f"it cannot be converted ({error})"
    return _pandas_change(frame.head(2), back) if form == PANDAS else _polars_change(frame.head(2), back)


def _object_column(frame: Any, form: str) -> object:
    """The first column whose values are of any type; texts were kept in such columns before pandas 3."""
    if form == POLARS:
        return next((name for name, kind in frame.schema.items() if str(kind) == "Object"), None)
    from pandas.api.types import infer_dtype

    for place, kind in enumerate(frame.dtypes):
        if str(kind) == "object" and infer_dtype(frame.iloc[:, place], skipna=False) != "string":
            return frame.columns[place]
    return None


def _polars_change(frame: Any, back: Any) -> str | None:
    return None if back.schema == frame.schema else f"its schema would come back as {back.schema}"


def _pandas_change(frame: Any, back: Any) -> str | None:
    for name, kind, found in zip(frame.columns, frame.dtypes, back.dtypes, strict=True):
        if kind != found or repr(kind) != repr(found):
            return f"its column {name!r} of dtype {kind} would come back as {found}"
    for what, ours, theirs in (("columns", frame.columns, back.columns), ("index", frame.index, back.index)):
        if _labels(ours) != _labels(theirs) or not ours.equals(theirs):
            return f"its {what} would come back changed"
    if frame.attrs != back.attrs or type(frame) is not type(back):
        return "its attrs would come back changed"
    return None if frame.flags.allows_duplicate_labels else "its flags would come back changed"


def _labels(index: Any) -> object:
    """What is to be known of an index beside its values."""
    levels = getattr(index, "levels", None)
    within = [] if levels is None else [_labels(level) for level in levels]
    kind = index.dtype
    objects = [type(each) for each in index] if str(kind) == "object" and levels is None else []
    return (type(index), repr(kind), list(index.names), str(getattr(index, "freq", None)), objects, within)
