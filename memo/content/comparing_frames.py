"""Where two frames, series or indexes of pandas first differ: by column and row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from memo.content.comparing import WALKS, Difference, prefixed
from memo.content.comparing_arrays import unequal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.content.comparing import Item


def _frames(stored: Any, given: Any) -> Iterator[Item]:
    yield ".columns", stored.columns, given.columns
    if len(stored) != len(given):
        yield Difference("", "row count", str(len(stored)), str(len(given)))
        return
    yield ".index", stored.index, given.index
    for at, label in enumerate(stored.columns):
        yield from prefixed(f" column {label!r}", _column(stored.iloc[:, at], given.iloc[:, at]))
    yield ".attrs", stored.attrs, given.attrs


def _series(stored: Any, given: Any) -> Iterator[Item]:
    yield ".name", stored.name, given.name
    if len(stored) != len(given):
        yield Difference("", "length", str(len(stored)), str(len(given)))
        return
    yield ".index", stored.index, given.index
    yield from _column(stored, given)
    yield ".attrs", stored.attrs, given.attrs


def _column(stored: Any, given: Any) -> Iterator[Item]:
    if stored.dtype != given.dtype:
        yield Difference("", "dtype", str(stored.dtype), str(given.dtype))
    elif stored.dtype.kind in "biufcmM" and type(stored.dtype).__module__.startswith("numpy"):
        before, after = stored.to_numpy(), given.to_numpy()
        differing = unequal(before, after)
        if differing.any():
            row = int(differing.argmax())
            yield Difference(_row(stored, row), "value", str(before[row]), str(after[row]))
    else:
        for row, (one, other) in enumerate(zip(stored.array, given.array, strict=True)):
            yield _row(stored, row), one, other


def _row(series: Any, row: int) -> str:
    label = series.index[row]
    return f" row {row}" if label == row else f" row {row} ({label!r})"


def _indexes(stored: Any, given: Any) -> Iterator[Item]:
    yield ".names", list(stored.names), list(given.names)
    if stored.dtype != given.dtype:
        yield Difference("", "dtype", str(stored.dtype), str(given.dtype))
    elif not stored.equals(given):
        yield from _members(stored, given)


def _members(stored: Any, given: Any) -> Iterator[Item]:
    for at, (one, other) in enumerate(zip(stored, given, strict=False)):
        yield f"[{at}]", one, other
    if len(stored) != len(given):
        yield Difference("", "length", str(len(stored)), str(len(given)))


def _extension_arrays(stored: Any, given: Any) -> Iterator[Item]:
    if stored.dtype != given.dtype:
        yield Difference("", "dtype", str(stored.dtype), str(given.dtype))
    else:
        yield from _members(stored, given)


WALKS.update(
    {
        pd.DataFrame: _frames,
        pd.Series: _series,
        pd.Index: _indexes,
        pd.api.extensions.ExtensionArray: _extension_arrays,
    }
)
