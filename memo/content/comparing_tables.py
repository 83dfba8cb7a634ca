"""Where two Arrow tables or arrays first differ: by column and row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from memo.content.comparing import WALKS, Difference, prefixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.content.comparing import Item

_ROWS = 1 << 16
"""Rows of a column compared at once, before any is looked at by itself."""


def _tables(stored: Any, given: Any) -> Iterator[Item]:
    yield from _schemas(stored.schema, given.schema)
    if stored.num_rows != given.num_rows:
        yield Difference("", "row count", str(stored.num_rows), str(given.num_rows))
        return
    for at, name in enumerate(stored.schema.names):
        for row, one, other in _unequal_scalars(stored.column(at), given.column(at)):
            yield from prefixed(f" column {name!r} row {row}", _scalar(one, other))


def _schemas(stored: Any, given: Any) -> Iterator[Item]:
    if stored.equals(given, check_metadata=True):
        return
    yield ".schema.names", stored.names, given.names
    for name, one, other in zip(stored.names, stored, given, strict=True):
        if not one.equals(other):
            yield Difference(f" column {name!r}", "field", str(one.type), str(other.type) + _null(one, other))
        yield f" column {name!r} metadata", one.metadata, other.metadata
    yield ".schema.metadata", stored.metadata, given.metadata


def _null(stored: Any, given: Any) -> str:
    return "" if stored.nullable == given.nullable else " (nullable)" if given.nullable else " (not nullable)"


def _columns(stored: Any, given: Any) -> Iterator[Item]:
    if stored.type != given.type:
        yield Difference("", "dtype", str(stored.type), str(given.type))
    elif len(stored) != len(given):
        yield Difference("", "length", str(len(stored)), str(len(given)))
    else:
        for at, one, other in _unequal_scalars(stored, given):
            yield from prefixed(f"[{at}]", _scalar(one, other))


def _unequal_scalars(stored: Any, given: Any) -> Iterator[tuple[int, Any, Any]]:
    """The elements for which Arrow's own comparison, to which NaN differs from NaN, says that they differ."""
    for start in range(0, len(stored), _ROWS):
        before, after = stored.slice(start, _ROWS), given.slice(start, _ROWS)
        if not before.equals(after):
            for at, (one, other) in enumerate(zip(before, after, strict=True), start=start):
                if not one.equals(other):
                    yield at, one, other


def _scalar(stored: Any, given: Any) -> Iterator[Item]:
    try:
        yield "", stored.as_py(), given.as_py()
    except ValueError:  # what Python cannot hold, as nanoseconds
        yield Difference("", "value", str(stored), str(given))


WALKS.update({pa.Table: _tables, pa.RecordBatch: _tables, pa.Array: _columns, pa.ChunkedArray: _columns})
