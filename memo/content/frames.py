"""What stands for pandas' frames, series and masked arrays: labels and columns, however they lie in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STAND_INS"]


def _frame_parts(frame: Any) -> object:
    columns = [_column(frame.iloc[:, place]) for place in range(frame.shape[1])]
    return (frame.columns, frame.index, columns, frame.attrs, frame.flags.allows_duplicate_labels)


def _series_parts(series: Any) -> object:
    return (series.name, series.index, _column(series), series.attrs, series.flags.allows_duplicate_labels)


def _column(series: Any) -> object:
    array = series.array
    return array.to_numpy() if isinstance(array, pd.arrays.NumpyExtensionArray) else array


def _masked_parts(array: Any) -> object:
    mask = array.isna()
    values = array._data  # noqa: SLF001 - the only way to the values without a copy
    if mask.any():
        values = values.copy()
        values[mask] = 0
    return (mask, values)


STAND_INS: dict[type, Callable[[Any], object]] = {
    pd.DataFrame: _frame_parts,
    pd.Series: _series_parts,
    pd.arrays.IntegerArray: _masked_parts,
    pd.arrays.FloatingArray: _masked_parts,
    pd.arrays.BooleanArray: _masked_parts,
}
