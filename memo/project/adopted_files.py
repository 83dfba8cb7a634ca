"""Files that are adopted as outputs: the value that one holds, by its suffix and by what the op says that it gives."""

from __future__ import annotations

import os
import typing
from typing import TYPE_CHECKING, Any

from memo.errors import InvocationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUFFIXES", "read_value"]

_FROM_PYTHON = "or give the value from Python: memo.adopt_outputs()"


def read_value(path: str, expected: Any = None, *, trust_pickle: bool = False) -> Any:
    """Read the value that a file holds.

    Args:
        path: Of the file.
        expected: The type that the op's output is declared with: a table becomes a data frame where it says so.
        trust_pickle: Read pickles, which run whatever code whoever wrote them put in.

    Raises:
        InvocationError: There is no such file, it does not hold what its suffix says, the suffix does not say enough,
            or the package that reads it is not installed.
    """
    suffix = os.path.splitext(path)[1].lower()
    read = _READERS.get(suffix)
    if suffix in {".csv", ".tsv"}:
        raise InvocationError(
            f"a {suffix} file does not say what types its columns have; convert it to Parquet, {_FROM_PYTHON}",
            where=path,
        )
    if suffix in _PICKLES:
        if not trust_pickle:
            raise InvocationError(
                "a pickle runs whatever code its writer put in when it is read; say --trust-pickle if you trust "
                "whoever wrote it",
                where=path,
            )
        read = _pickle
    if read is None:
        shown = f"the suffix {suffix!r}" if suffix else "a file without a suffix"
        raise InvocationError(
            f"{shown} says nothing of what is in it; known are {SUFFIXES}, {_FROM_PYTHON}", where=path
        )
    if not os.path.isfile(path):
        is_folder = os.path.isdir(path)
        raise InvocationError("it is a folder; give a file" if is_folder else "there is no such file", where=path)
    try:
        return _as_declared(read(path), expected)
    except MemoryError:
        raise
    except ImportError as error:
        name = error.name or "one that is not installed"
        raise InvocationError(f"reading {suffix} needs the package {name!r}", where=path) from error
    except OSError as error:
        raise InvocationError(f"it cannot be read: {error.strerror or error}", where=path) from error
    except Exception as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise InvocationError(f"it does not hold what {suffix} says ({what})", where=path) from error


def _json(path: str) -> Any:
    import json

    with open(path, encoding="utf-8") as file:
        return json.load(file)


def _text(path: str) -> str:
    # As it is: no line ending is made another.
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _pickle(path: str) -> Any:
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)  # noqa: S301 - the user said that it may be trusted


def _array(path: str) -> Any:
    import numpy as np

    return np.load(path, allow_pickle=False)


def _parquet(path: str) -> Any:
    import pyarrow.parquet as pq

    # This file alone, whatever its folders are called.
    with pq.ParquetFile(path) as file:
        return file.read()


def _arrow(path: str) -> Any:
    import pyarrow as pa
    from pyarrow import feather

    try:
        return feather.read_table(path)
    except pa.ArrowInvalid:
        with pa.OSFile(path) as file, pa.ipc.open_stream(file) as stream:
            return stream.read_all()


_READERS: dict[str, Callable[[str], Any]] = {
    ".json": _json,
    ".txt": _text,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".npy": _array,
    ".bin": _bytes,
}
_PICKLES = frozenset({".pkl", ".pickle"})

SUFFIXES = ", ".join([*_READERS, *sorted(_PICKLES)])
"""What files can be adopted, for people."""


def _as_declared(value: Any, expected: Any) -> Any:
    """Make a table the kind of table that the output is declared to be."""
    if type(value).__module__.partition(".")[0] != "pyarrow":
        return value
    for kind in (expected, *typing.get_args(expected)):
        at = (getattr(kind, "__module__", "").partition(".")[0], getattr(kind, "__name__", ""))
        if at == ("pandas", "DataFrame"):
            return value.to_pandas()
        if at == ("polars", "DataFrame"):
            return _polars(value)
        if at == ("polars", "LazyFrame"):
            return _polars(value).lazy()
    return value


def _polars(table: Any) -> Any:
    from importlib import import_module

    return import_module("polars").from_arrow(table)
