"""Data files and those beside them, written and removed: hashed on the way, and gone again where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.hashing import Hasher
from memo_iomanagers.encodings import encoding_named
from memo_iomanagers.naming import SIDE
from memo_iomanagers.stored import new_sha256

if TYPE_CHECKING:
    from memo_iomanagers.places import Place

__all__ = ["Nowhere", "Sink", "remove_data"]

_SLICE = 1 << 20
"""Bytes hashed and then written together, while they are in the processor's cache."""


class Sink:
    """A new file whose content is hashed as it is written.

    Attributes:
        hasher: Of what was written.
        error: What the place raised, which is no fault of the value.
        sha256: Of what was written, where it is to be signed; None otherwise.
        kept: What was written, as long as it is few enough bytes to need no file; None where there is one.
    """

    __slots__ = (
        "_at_most",
        "_file",
        "_path",
        "_place",
        "_sides",
        "closed",
        "error",
        "hasher",
        "kept",
        "sha256",
    )

    def __init__(self, place: Place, path: str, *, signed: bool = False, at_most: int = -1) -> None:
        """Begin it.

        Args:
            place: Where it is to lie.
            path: Its name there.
            signed: Whether it is to be signed.
            at_most: Bytes up to which no file is made.
        """
        self._place = place
        self._path = path
        self._at_most = at_most
        self.kept: bytearray | None = None if at_most < 0 else bytearray()
        self._file = place.create(path) if self.kept is None else None
        self._sides: list[Sink] = []
        self.hasher = Hasher()
        self.error: Exception | None = None
        self.closed = False
        self.sha256 = new_sha256() if signed else None

    @property
    def folder(self) -> str | None:
        """Where files beside this one lie, where that is a folder of this machine."""
        return self._place.folder(self._path + SIDE)

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
        if self.sha256 is not None:
            self.sha256.update(data)
        if self.kept is not None and self.hasher.size <= self._at_most:
            self.kept += data
            return
        try:
            if self._file is None:
                self._file = self._place.create(self._path)
                self._file.write(bytes(self.kept or b""))
                self.kept = None
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
        if self._file is None:
            return
        try:
            self._file.close()
        except Exception as error:
            self.error = error
            raise

    def end(self, *, mode: int | None = None) -> tuple[int, str, str, int | None]:
        """End the file and seal it; gives its size, its digest, its SHA-256 where it is signed, and its seal."""
        self.close()
        try:
            seal = self._place.seal(self._path, mode=mode)
        except Exception as error:
            self.error = error
            raise
        sha256 = "" if self.sha256 is None else self.sha256.hexdigest()
        return self.hasher.size, self.hasher.hexdigest(), sha256, seal

    def beside(self, name: str) -> Sink:
        """Begin a file that belongs to this one."""
        try:
            side = Sink(self._place, f"{self._path}{SIDE}/{name}", signed=self.sha256 is not None)
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
        for each in (*self._sides, self):
            if each._file is not None:  # noqa: SLF001 - one of its own
                each._file.abandon()  # noqa: SLF001
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

    def end(self, *, mode: int | None = None) -> tuple[int, str, str, int | None]:  # noqa: ARG002 - there is no file
        """Give the size and the digest."""
        return self._hasher.size, self._hasher.hexdigest(), "", None

    def beside(self, name: str) -> Nowhere:  # noqa: ARG002 - nothing is found again
        """Begin another one."""
        return Nowhere()


def remove_data(place: Place, path: str, encoding: str | None = None) -> None:
    """Remove a data file with those beside it, as far as that can be done.

    Args:
        place: Where it lies.
        path: The data file.
        encoding: What is in it, where that is known: most write nothing beside it, and far away it takes a question
            to find nothing there.
    """
    place.remove(path)
    if encoding is None or encoding_named(encoding).has_side_files:
        place.remove_folder(path + SIDE)
