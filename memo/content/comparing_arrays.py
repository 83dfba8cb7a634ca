"""Where two NumPy arrays first differ: by index, and by field where they have fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memo.content.comparing import WALKS, Difference, prefixed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.content.comparing import Item

__all__ = ["unequal"]


def _arrays(stored: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> Iterator[Item]:
    if stored.dtype != given.dtype:
        yield Difference("", "dtype", str(stored.dtype), str(given.dtype))
    elif stored.shape != given.shape:
        yield Difference("", "shape", str(stored.shape), str(given.shape))
    elif stored.dtype.names is not None:
        for name in stored.dtype.names:
            yield from prefixed(f"[{name!r}]", _arrays(np.asarray(stored[name]), np.asarray(given[name])))
    elif stored.dtype.kind == "O":
        for index in np.ndindex(stored.shape):
            yield _place(index), stored[index], given[index]
    else:
        yield from _elements(stored, given)
    if _order(stored) != _order(given):
        yield Difference("", "memory order", _order(stored), _order(given))


def _elements(stored: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> Iterator[Item]:
    differing = unequal(stored, given)
    if differing.any():
        index = tuple(int(each) for each in np.unravel_index(int(differing.argmax()), differing.shape))
        yield Difference(_place(index), "value", _text(stored[index]), _text(given[index]))


def _masked(stored: Any, given: Any) -> Iterator[Item]:
    """What lies under the mask is no content."""
    yield ".mask", np.ma.getmaskarray(stored), np.ma.getmaskarray(given)
    yield from _arrays(stored.filled(given.fill_value), given.filled(given.fill_value))


def _scalars(stored: Any, given: Any) -> Iterator[Item]:
    yield from _arrays(np.asarray(stored), np.asarray(given))


def unequal(stored: np.ndarray[Any, Any], given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Say of each element of two arrays of one shape and dtype whether it differs; NaN and NaT equal themselves."""
    kind = stored.dtype.kind
    if kind == "c":
        either: np.ndarray[Any, Any] = unequal(stored.real, given.real) | unequal(stored.imag, given.imag)
        return either
    differing: np.ndarray[Any, Any] = np.asarray(stored != given)
    if kind == "f":
        differing &= ~(np.isnan(stored) & np.isnan(given))
        differing |= (stored == 0) & (given == 0) & (np.signbit(stored) != np.signbit(given))
    elif kind in "mM":
        differing &= ~(np.isnat(stored) & np.isnat(given))
    return differing


def _order(array: np.ndarray[Any, Any]) -> str:
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def _place(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _text(element: Any) -> str:
    return repr(element.item()) if element.dtype.kind in "USV" else str(element)


WALKS.update({np.ndarray: _arrays, np.ma.MaskedArray: _masked, np.generic: _scalars})
