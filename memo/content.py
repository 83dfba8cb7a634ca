"""The digest of a value's content: what early cutoff compares.

Equal digests mean equal values; the other way round holds for plain data, arrays and tables. The digest is
taken over a pickle stream (protocol 5) made for hashing alone: objects are written out wherever they
occur, so that sharing and interning do not show; sets go by the digests of their members; buffers are hashed
in place and never copied.

A value has no digest where equal bytes would not mean an equal effect on what reads it: instances of the
user's own classes (their methods may change while their state does not), functions, and whatever cannot be
pickled. Such an output counts by its version: no cutoff, never a guess.
"""

from __future__ import annotations

import pickle
import sys
from types import BuiltinFunctionType, FunctionType
from typing import Any

from memo.hashing import Hasher
from memo.ownership import owner_of_module

_IN_BAND_LIMIT = 256 * 1024 * 1024
"""Bytes written into the stream before giving up: shared parts are written out at every place they
occur, which can grow without bound."""


class _NoDigestError(Exception):
    """This value's content cannot stand for it."""


class _Sink:
    """Where the pickler writes: a hasher that gives up past the limit."""

    def __init__(self) -> None:
        self.hasher = Hasher()

    def write(self, data: bytes | memoryview) -> int:
        if self.hasher.size > _IN_BAND_LIMIT:
            raise _NoDigestError
        return self.hasher.write(data)


class _ContentPickler(pickle.Pickler):
    def __init__(self, sink: _Sink, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(sink, protocol=5, buffer_callback=buffers.append)
        self.fast = True

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is set or kind is frozenset:
            return (kind.__name__, sorted(_digest(member) for member in obj))
        return None

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is FunctionType or kind is BuiltinFunctionType:
            if obj.__module__ is None or owner_of_module(obj.__module__) in {"user", "memo"}:
                raise _NoDigestError
            return NotImplemented
        if issubclass(kind, type):
            if owner_of_module(obj.__module__) == "user":
                raise _NoDigestError
            return NotImplemented
        if owner_of_module(kind.__module__) == "user":
            raise _NoDigestError
        if kind.__module__ == "pyarrow.lib":
            return _arrow_parts(obj)
        return NotImplemented


def _arrow_parts(obj: Any) -> Any:
    """Write a table as one run of chunks, so that chunking and slicing do not show."""
    pyarrow = sys.modules["pyarrow"]
    if isinstance(obj, pyarrow.RecordBatch):
        table = pyarrow.Table.from_batches([obj])
    elif isinstance(obj, pyarrow.Table):
        table = obj
    else:
        return NotImplemented
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=1 << 20)
    return (type(obj).__name__, (pickle.PickleBuffer(sink.getvalue()),))


def _digest(value: object) -> str:
    sink = _Sink()
    buffers: list[pickle.PickleBuffer] = []
    _ContentPickler(sink, buffers).dump(value)
    hasher = sink.hasher
    for buffer in buffers:
        raw = buffer.raw()
        hasher.write(b"%d:" % raw.nbytes)
        hasher.write(raw)
    return hasher.hexdigest()


def content_digest(value: object) -> str | None:
    """Take the digest of a value's content.

    Returns:
        32 hexadecimal digits, or None where the value has no digest (see the module's text).

    >>> content_digest([1, "a"]) == content_digest([1, "".join(["a"])])
    True
    """
    try:
        return _digest(value)
    except Exception:  # noqa: BLE001 - a strange object may raise anything when pickled: it has no digest then
        return None
