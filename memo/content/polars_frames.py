"""What stands for polars' frames and series: their schema, and their values by way of Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

import memo.content.tables  # noqa: F401 - what stands for the Arrow tables that polars gives

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STAND_INS"]


def _frame_parts(frame: Any) -> object:
    return ([(name, repr(kind)) for name, kind in frame.schema.items()], frame.to_arrow())


def _series_parts(series: Any) -> object:
    return (series.name, repr(series.dtype), series.to_arrow())


STAND_INS: dict[type, Callable[[Any], object]] = {pl.DataFrame: _frame_parts, pl.Series: _series_parts}
