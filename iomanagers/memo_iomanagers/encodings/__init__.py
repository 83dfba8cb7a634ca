"""How values become bytes: one class for each encoding, and the choice among them by type."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memo_iomanagers.encodings.encoding import Encoding

__all__ = ["AUTO", "NAMES", "choose", "encoding_named"]

AUTO = "auto"
"""Chooses the encoding by the type of each value."""

_PLACES = {
    "pickle": "pickling:PickleEncoding",
    "arrow": "arrow:ArrowEncoding",
    "parquet": "parquet:ParquetEncoding",
    "numpy": "arrays:NumpyEncoding",
    "json": "plain:JsonEncoding",
    "text": "plain:TextEncoding",
    "bytes": "plain:BytesEncoding",
    "path": "path:PathEncoding",
}

NAMES = frozenset(_PLACES)
"""The names of the encodings, as they stand in manifests."""


@cache
def encoding_named(name: str) -> Encoding:
    """The encoding of a name; imported when it is first used.

    Raises:
        KeyError: There is none of that name.
    """
    module, _, attribute = _PLACES[name].partition(":")
    made: Encoding = getattr(import_module(f"memo_iomanagers.encodings.{module}"), attribute)()
    return made


def choose(value: Any) -> Encoding:
    """The encoding in which a value comes back as it is: of the same type, with the same content.

    Arrow's own tables and arrays go to Arrow IPC, NumPy's plain arrays to ``.npy``: formats that other programs
    read. Everything else is pickled, which loads as fast, its buffers being mapped.
    """
    package = type(value).__module__.partition(".")[0]
    if package == "numpy":
        found = encoding_named("numpy")
    elif package == "pyarrow":
        found = encoding_named("arrow")
    else:
        return encoding_named("pickle")
    return found if found.keeps(value) else encoding_named("pickle")
