"""The NumPy encoding: plain arrays in ``.npy`` files, mapped when they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo_iomanagers.encodings.encoding import Encoding, Written, type_name

if TYPE_CHECKING:
    from memo_iomanagers.encodings.encoding import Writable
    from memo_iomanagers.stored import Stored

__all__ = ["NumpyEncoding"]

_READ_ONLY = "read-only"
_HEADER = 1 << 20
"""Bytes that no header of ours exceeds."""


class NumpyEncoding(Encoding):
    """An array of numbers, dates, texts of fixed width or records; not of Python objects."""

    name = "numpy"
    suffix = "npy"
    takes = "a numpy.ndarray whose dtype holds no Python objects"

    def refusal(self, value: Any) -> str | None:
        """Refuse subclasses, objects, and dtypes that the format would change."""
        kind = type(value)
        if (kind.__module__, kind.__qualname__) != ("numpy", "ndarray"):
            return f"it is a {type_name(value)}"
        if value.dtype.hasobject:
            return f"its dtype, {value.dtype}, holds Python objects"
        if not _survives(value.dtype):
            return f"its dtype, {value.dtype}, would not come back as it is"
        return None

    def dump(self, value: Any, file: Writable) -> Written:
        """Write the header and then the elements, which are not copied where they lie in order."""
        import numpy as np

        file.write(_header(value))
        if value.nbytes:
            if value.flags.c_contiguous or value.flags.f_contiguous:
                array = value if value.flags.c_contiguous else value.T
                file.write(array.reshape(-1).view(np.uint8).data)
            else:
                pieces: Any = np.nditer(
                    value,
                    flags=["external_loop", "buffered"],
                    buffersize=max(1, (1 << 22) // value.itemsize),
                    order="C",
                )
                for piece in pieces:
                    file.write(piece.tobytes("C"))
        return Written() if value.flags.writeable else Written(_READ_ONLY)

    def load(self, stored: Stored, form: str, wanted: object) -> Any:  # noqa: ARG002 - there is one type
        """Make an array upon the bytes of the file, to be changed freely."""
        from io import BytesIO

        import numpy as np
        from numpy.lib import format as npy

        data = stored.buffer()
        head = BytesIO(memoryview(data)[:_HEADER])
        version = npy.read_magic(head)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(head, max_header_size=_HEADER)
        order: Any = "F" if fortran else "C"
        if dtype.hasobject:  # whose bytes are addresses, which must never come from a file
            raise ValueError(f"its header tells of the dtype {dtype}, which holds Python objects")
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if stored.size != head.tell() + size:
            raise ValueError(f"its header tells of {size} bytes of elements")
        if size:
            array: Any = np.ndarray(shape, dtype, data, head.tell(), order=order)
        else:
            array = np.empty(shape, dtype, order=order)
        if form == _READ_ONLY:
            array.flags.writeable = False
        return array


def _header(array: Any) -> bytes:
    from io import BytesIO

    from numpy.lib import format as npy

    told = npy.header_data_from_array_1_0(array)
    header = BytesIO()
    try:
        npy.write_array_header_1_0(header, told)
    except ValueError:  # too long for the 16 bits of version 1
        header = BytesIO()
        npy.write_array_header_2_0(header, told)
    return header.getvalue()


def _survives(dtype: Any) -> bool:
    from numpy.lib import format as npy

    if dtype.isbuiltin == 1 and dtype.kind in "biufc" and dtype.metadata is None:
        return True
    if dtype.metadata is not None or dtype.kind == "T":
        return False
    try:
        told = npy.dtype_to_descr(dtype)
        repr(told).encode("latin-1")
        back = npy.descr_to_dtype(told)
    except (ValueError, TypeError, UnicodeEncodeError):
        return False
    return bool(back == dtype and back.isalignedstruct == dtype.isalignedstruct and repr(back) == repr(dtype))
