"""What stands for pandas' frames, series and arrays: labels and elements, not their place in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from memo.content.digesting import STAND_INS


def _frame_parts(frame: Any) -> object:
    columns = [_column(frame.iloc[:, place]) for place in range(frame.shape[1])]
    return (frame.columns, frame.index, columns, frame.attrs, frame.flags.allows_duplicate_labels)


def _series_parts(series: Any) -> object:
    return (series.name, series.index, _column(series), series.attrs, series.flags.allows_duplicate_labels)


def _column(series: Any) -> object:
    return series.to_numpy() if isinstance(series.dtype, np.dtype) else series.array


def _masked_parts(array: Any) -> object:
    mask = array.isna()
    values = array._data  # noqa: SLF001 - the only way to the values without a copy
    if mask.any():
        values = values.copy()
        values[mask] = 0
    return (mask, values)


def _arrow_parts(array: Any) -> object:
    return (array.dtype, array.__arrow_array__())


def _arrow_dtype_parts(dtype: Any) -> object:
    return dtype.pyarrow_dtype


STAND_INS.update(
    {
        pd.DataFrame: _frame_parts,
        pd.Series: _series_parts,
        pd.arrays.IntegerArray: _masked_parts,
        pd.arrays.FloatingArray: _masked_parts,
        pd.arrays.BooleanArray: _masked_parts,
        pd.arrays.ArrowExtensionArray: _arrow_parts,
        pd.arrays.ArrowStringArray: _arrow_parts,
        pd.ArrowDtype: _arrow_dtype_parts,
    }
)
