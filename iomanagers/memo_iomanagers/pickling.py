"""The pickle encoding: values to bytes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from io import BufferedIOBase
    from typing import Protocol

    class Writable(Protocol):
        """What a value is written to."""

        def write(self, data: bytes | memoryview, /) -> object: ...


__all__ = ["PickleEncoding"]


class _Flattened:
    """A file to which buffers of any shape can be written."""

    __slots__ = ("_file",)

    def __init__(self, file: Writable) -> None:
        self._file = file

    def write(self, data: Any, /) -> None:
        if not isinstance(data, bytes):
            from pickle import PickleBuffer

            data = PickleBuffer(data).raw()
        self._file.write(data)


class PickleEncoding:
    """Any picklable value, by protocol 5."""

    name = "pickle"
    suffix = "pkl"

    def dump(self, value: object, file: Writable) -> None:
        """Write a value as it is pickled; large buffers go to the file without being copied."""
        import pickle

        pickle.Pickler(_Flattened(file), protocol=5).dump(value)

    def load(self, file: BufferedIOBase) -> Any:
        """Read the value back. Only for bytes that are known to be what was stored."""
        import pickle

        return pickle.load(file)  # noqa: S301 - the caller has compared their digest

    def explain_dump(self, value: object, error: Exception) -> str:
        """Say which part of a value cannot be pickled, as the end of a sentence."""
        from memo_iomanagers.pickle_diagnosis import explain_dump

        return explain_dump(value, error)

    def explain_load(self, file: BufferedIOBase, error: Exception) -> tuple[bool, str]:
        """Say why a value could not be loaded from bytes that are what was stored.

        Returns:
            Whether storing the value afresh is the remedy, as where a class was renamed since; and the end of
            a sentence.
        """
        from memo_iomanagers.pickle_diagnosis import explain_load

        return explain_load(file, error)
