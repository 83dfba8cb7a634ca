"""What stands for a NumPy array: its type, its shape, the order of its axes in memory, and its elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from memo.content.digesting import STAND_INS, NoDigestError
from memo.hashing import Hasher

_PLAIN = "biufcmMSUV"
"""The kinds of elements whose bytes are all of their content."""


def _parts(array: np.ndarray[Any, Any]) -> object:
    dtype = array.dtype
    writeable = array.flags.writeable  # which its pickle keeps
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    if dtype.names is not None:
        # By field: the bytes between fields are no content.
        return (dtype, array.shape, order, writeable, [array[name] for name in dtype.names])
    if dtype.kind in "OT":
        return (dtype, array.shape, order, writeable, array.ravel("C").tolist())
    if dtype.kind not in _PLAIN or dtype.char in "gG":
        raise NoDigestError  # a long double has bytes that are no content
    return (dtype, array.shape, order, writeable, _bytes_digest(array.T if order == "F" else array))


def _bytes_digest(array: np.ndarray[Any, Any]) -> str:
    hasher = Hasher()
    if array.nbytes == 0:
        return hasher.hexdigest()
    if array.flags.c_contiguous:
        hasher.write(array.reshape(-1).view(np.uint8).data)
        return hasher.hexdigest()
    pieces = np.nditer(
        array,
        flags=["external_loop", "buffered"],
        order="C",
        buffersize=max(1, (1 << 20) // array.itemsize),
    )
    for piece in pieces:
        hasher.write(np.ascontiguousarray(piece).view(np.uint8).data)
    return hasher.hexdigest()


STAND_INS[np.ndarray] = _parts
