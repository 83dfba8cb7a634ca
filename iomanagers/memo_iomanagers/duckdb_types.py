"""What Arrow's types are stored as in DuckDB."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import types

from memo_iomanagers.stored_types import plain_type

__all__ = ["duckdb_type"]


def duckdb_type(kind: Any) -> Any | None:  # noqa: PLR0911 - a return a family of types
    """The Arrow type that DuckDB takes and gives back without loss; None where there is none.

    A duration is stored as its number: DuckDB's intervals count months, days and microseconds apart.
    """
    if types.is_time(kind):
        return kind if kind == pa.time64("ns") else pa.time64("us")
    if types.is_timestamp(kind):
        if kind.tz is None:
            return kind
        return pa.timestamp("ns" if kind.unit == "ns" else "us", "UTC")
    if types.is_list(kind) or types.is_large_list(kind):
        return _list(kind)
    if types.is_fixed_size_list(kind):
        inner = duckdb_type(kind.value_type)
        # DuckDB knows no array of length 0.
        return pa.list_(inner, kind.list_size) if inner is not None and kind.list_size else None
    if types.is_struct(kind):
        return _struct(kind)
    return plain_type(kind)


def _list(kind: Any) -> Any | None:
    inner = duckdb_type(kind.value_type)
    return None if inner is None else pa.list_(inner)


def _struct(kind: Any) -> Any | None:
    fields = [kind.field(place) for place in range(kind.num_fields)]
    inner = [duckdb_type(field.type) for field in fields]
    # The names of its fields are all that a value is told by, and DuckDB does not tell "a" from "A".
    if not fields or None in inner or len({field.name.casefold() for field in fields}) < len(fields):
        return None
    return pa.struct([pa.field(field.name, each) for field, each in zip(fields, inner, strict=True)])
