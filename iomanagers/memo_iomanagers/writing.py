"""Data files while they are written: hashed on the way, and gone again where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.hashing import Hasher

if TYPE_CHECKING:
    from memo_iomanagers.places import Place

__all__ = ["SIDE", "Nowhere", "Sink"]

SIDE = ".d"
"""What the name of the folder of a data file's side files ends with."""

_SLICE = 1 << 20
"""Bytes hashed and then written together, while they are in the processor's cache."""


class Sink:
    """A new file whose content is hashed as it is written.

    Attributes:
        hasher: Of what was written.
        error: What the place raised, which is no fault of the value.
        folder: Where files beside this one lie, where that is a folder of this machine.
    """

    __slots__ = ("_file", "_path", "_place", "_sides", "closed", "error", "folder", "hasher")

    def __init__(self, place: Place, path: str) -> None:
        self._place = place
        self._path = path
        self._file = place.create(path)
        self._sides: list[Sink] = []
        self.hasher = Hasher()
        self.error: Exception | None = None
        self.folder = place.folder(path + SIDE)
        self.closed = False

    def write(self, data: Any, /) -> int:
        """Append anything that has the buffer protocol; returns how many bytes it was."""
        if type(data) is bytes and len(data) <= _SLICE:
            self._append(data)
            return len(data)
        view = memoryview(data)
        if view.format != "B" or view.ndim != 1:
            view = view.cast("B")
        for start in range(0, len(view), _SLICE):
            self._append(view[start : start + _SLICE])
        return len(view)

    def _append(self, data: bytes | memoryview) -> None:
        self.hasher.write(data)
        try:
            self._file.write(data)
        except Exception as error:
            self.error = error
            raise

    def flush(self) -> None:
        """There is nothing that waits to be written."""

    def close(self) -> None:
        """End the file. It is whole once this returns."""
        if self.closed:
            return
        self.closed = True
        try:
            self._file.close()
        except Exception as error:
            self.error = error
            raise

    def end(self, *, mode: int | None = None) -> tuple[int, str, int | None]:
        """End the file and seal it; gives its size, its digest and its seal."""
        self.close()
        try:
            seal = self._place.seal(self._path, mode=mode)
        except Exception as error:
            self.error = error
            raise
        return self.hasher.size, self.hasher.hexdigest(), seal

    def beside(self, name: str) -> Sink:
        """Begin a file that belongs to this one."""
        try:
            side = Sink(self._place, f"{self._path}{SIDE}/{name}")
        except Exception as error:
            self.error = error
            raise
        self._sides.append(side)
        return side

    def failure(self) -> Exception | None:
        """What the place raised of this file or of one beside it."""
        return self.error or next((side.error for side in self._sides if side.error is not None), None)

    def abandon(self) -> None:
        """Give the file up with those beside it, and remove what was written as far as that can be done."""
        for side in self._sides:
            side._file.abandon()  # noqa: SLF001 - one of its own
        self._file.abandon()
        if self.folder is not None or self._sides:
            self._place.remove_folder(self._path + SIDE)


class Nowhere:
    """Takes what a `Sink` takes, and keeps nothing but the digest."""

    __slots__ = ("_hasher",)
    closed = False
    folder: str | None = None

    def __init__(self) -> None:
        self._hasher = Hasher()

    def write(self, data: Any, /) -> int:
        """Hash it."""
        return self._hasher.write(data)

    def end(self, *, mode: int | None = None) -> tuple[int, str, int | None]:  # noqa: ARG002 - there is no file
        """Give the size and the digest."""
        return self._hasher.size, self._hasher.hexdigest(), None

    def beside(self, name: str) -> Nowhere:  # noqa: ARG002 - nothing is found again
        """Begin another one."""
        return Nowhere()
