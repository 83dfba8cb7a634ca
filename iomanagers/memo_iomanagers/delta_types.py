"""What Arrow's types are stored as in a Delta table."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from pyarrow import types

from memo_iomanagers.stored_types import plain_type

__all__ = ["delta_type"]

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
    pa.null(): pa.string(),
}
"""Delta has no unsigned integers: written as they are, large ones would come back negative."""


def delta_type(kind: Any) -> Any | None:  # noqa: PLR0911 - a return a family of types
    """The Arrow type that Delta takes and gives back without loss; None where there is none.

    Times of day and durations are stored as their number.
    """
    if kind in _WIDER:
        return _WIDER[kind]
    if types.is_time(kind):
        return pa.int64()
    if types.is_timestamp(kind):
        return pa.timestamp("us", None if kind.tz is None else "UTC")
    if types.is_list(kind) or types.is_large_list(kind):
        inner = _within(kind.value_type)
        return None if inner is None else pa.list_(inner)
    if types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        inner = [_within(field.type) for field in fields]
        if not fields or None in inner or len({field.name.casefold() for field in fields}) < len(fields):
            return None
        return pa.struct([pa.field(field.name, each) for field, each in zip(fields, inner, strict=True)])
    return plain_type(kind)


def _within(kind: Any) -> Any | None:
    """As `delta_type`, within a list or a struct, where Arrow casts less."""
    return None if types.is_time32(kind) or types.is_null(kind) else delta_type(kind)
