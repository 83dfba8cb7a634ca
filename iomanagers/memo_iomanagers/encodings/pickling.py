"""The pickle encoding: any picklable value, its large buffers behind the pickle, ready to be mapped.

A value without large buffers is a plain pickle file. Otherwise the pickle stands at the beginning, the buffers that
it leaves out follow, each on a multiple of 64 bytes, and the end tells where they are::

    pickle | padding | buffer | padding | buffer … | (offset, length) of each | length of the pickle | count |
    digest of the pickle and of the numbers before | 16 bytes that no pickle ends with

The digest lets a reader see that a file is whole where it does not hash gigabytes to know it.
"""

from __future__ import annotations

import pickle
import struct
from typing import TYPE_CHECKING, Any

from memo.hashing import Hasher
from memo_iomanagers.encodings.encoding import CannotEncodeError, Encoding, Written
from memo_iomanagers.encodings.tables import as_wanted

if TYPE_CHECKING:
    from memo_iomanagers.encodings.encoding import Writable
    from memo_iomanagers.stored import Stored

__all__ = ["PickleEncoding"]

_ALIGNED = 64
_IN_BAND = 4096
"""Bytes of a buffer below which it stays within the pickle."""
_MARK = b"\x00memo-pickle-5+\x00"
_ATOMS = frozenset({bool, float, int, str, type(None)})
_END = struct.Struct("<QQ32s16s")


class PickleEncoding(Encoding):
    """Any picklable value, by protocol 5."""

    name = "pickle"
    suffix = "pkl"
    takes = "anything that can be pickled"
    is_for_memo = True

    def refusal(self, value: Any) -> str | None:  # noqa: ARG002 - only writing it tells
        """Whatever cannot be pickled says so itself."""
        return None

    def dump(self, value: Any, file: Writable) -> Written:
        """Write a value as it is pickled; large buffers go to the file without being copied."""
        if type(value) in _ATOMS:  # of which no buffer stands apart
            file.write(pickle.dumps(value, protocol=5))
            return Written()
        head = _Head(file)
        buffers: list[pickle.PickleBuffer] = []

        def keep(buffer: pickle.PickleBuffer) -> bool:
            if buffer.raw().nbytes < _IN_BAND:
                return True
            buffers.append(buffer)
            return False

        try:
            pickle.Pickler(head, protocol=5, buffer_callback=keep).dump(value)
        except MemoryError:
            raise
        except Exception as error:
            from memo_iomanagers.pickle_diagnosis import explain_dump

            raise CannotEncodeError(
                f"{explain_dump(value, error)}; return something that can be pickled, or name an IO manager that can "
                "store it with Out(io_manager_key=…)"
            ) from error
        if buffers:
            _append(head, buffers, file)
        return Written()

    def load(self, stored: Stored, form: str, wanted: object) -> Any:  # noqa: ARG002 - a pickle tells its type
        """Read the value back: its large buffers are those of the file, until they are changed."""
        data = stored.buffer()
        if type(data) is bytearray and not data.endswith(_MARK):
            value = pickle.loads(data)  # noqa: S301 - the caller knows that they are what was stored
        else:
            head, buffers = _parts(memoryview(data))
            value = pickle.loads(head, buffers=buffers)  # noqa: S301 - as above
        return value if wanted is None else as_wanted(value, wanted)

    def explain_load(self, stored: Stored, error: Exception) -> tuple[bool, str]:
        """Say why a value could not be loaded from bytes that are what was stored."""
        from memo_iomanagers.pickle_diagnosis import explain_load

        try:
            head, buffers = _parts(memoryview(stored.buffer()))
        except Exception:  # noqa: BLE001 - the error that is at hand tells it
            head, buffers = memoryview(b""), []
        return explain_load(head, buffers, error)


class _Head:
    """The file while the pickle itself is written to it."""

    __slots__ = ("_file", "hasher")

    def __init__(self, file: Writable) -> None:
        self._file = file
        self.hasher = Hasher()

    def write(self, data: Any, /) -> None:
        if not isinstance(data, bytes):
            data = pickle.PickleBuffer(data).raw()
        self._file.write(data)
        self.hasher.write(data)


def _append(head: _Head, buffers: list[pickle.PickleBuffer], file: Writable) -> None:
    length = end = head.hasher.size
    numbers = bytearray()
    for buffer in buffers:
        raw = buffer.raw()
        padding = -end % _ALIGNED
        file.write(bytes(padding))
        file.write(raw)
        numbers += struct.pack("<QQ", end + padding, raw.nbytes)
        end += padding + raw.nbytes
    file.write(bytes(numbers))
    head.hasher.write(bytes(numbers))
    file.write(_END.pack(length, len(buffers), head.hasher.hexdigest().encode(), _MARK))


def _parts(data: memoryview) -> tuple[memoryview, list[memoryview]]:
    """The pickle and its buffers.

    Raises:
        pickle.UnpicklingError: They are not those that were written.
    """
    if bytes(data[-len(_MARK) :]) != _MARK:
        return data, []
    length, count, digest, _ = _END.unpack(data[-_END.size :])
    table = data[: -_END.size][-16 * count :]
    hasher = Hasher()
    hasher.write(data[:length])
    hasher.write(table)
    if len(table) != 16 * count or hasher.hexdigest().encode() != digest:
        raise pickle.UnpicklingError("its end does not belong to its beginning")
    return data[:length], [data[start : start + size] for start, size in struct.iter_unpack("<QQ", table)]
