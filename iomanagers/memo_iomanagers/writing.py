"""Data files and those beside them, written and removed: hashed on the way, and gone again where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.hashing import Hasher, bytes_digest
from memo_iomanagers.encodings import encoding_named
from memo_iomanagers.naming import SIDE
from memo_iomanagers.stored import new_sha256

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo_iomanagers.places import Place, WritableFile

__all__ = ["Nowhere", "Sink", "remove_data"]

_SLICE = 1 << 20
"""Bytes hashed and then written together, while they are in the processor's cache."""


class Sink:
    """A new file whose content is hashed as it is written.

    Attributes:
        error: What the place raised, which is no fault of the value.
        kept: What was written, as long as it is few enough bytes to need no file; None where there is one.
    """

    __slots__ = (
        "_at_most",
        "_begin",
        "_file",
        "_hasher",
        "_path",
        "_place",
        "_sha256",
        "_sides",
        "closed",
        "error",
        "kept",
    )

    def __init__(
        self,
        place: Place,
        path: str,
        *,
        signed: bool = False,
        at_most: int = -1,
        begin: Callable[[], object] | None = None,
    ) -> None:
        """Begin it.

        Args:
            place: Where it is to lie.
            path: Its name there.
            signed: Whether it is to be signed.
            at_most: Bytes up to which no file is made.
            begin: Called before a file is made.
        """
        self._place = place
        self._path = path
        self._at_most = at_most
        self._begin = begin
        self._hasher: Hasher
        self._sha256 = new_sha256() if signed else None
        self._file: WritableFile | None = None
        self._sides: list[Sink] = []
        self.kept: bytes | None = None
        self.error: Exception | None = None
        self.closed = False
        if at_most < 0:
            self._hasher = Hasher()
            self._file = self._created()
        else:
            self.kept = b""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._hasher.size if self.kept is None else len(self.kept)

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
        if self.kept is not None:
            if len(self.kept) + len(data) <= self._at_most:
                self.kept += data  # hashed when it is known to be all
                return
            kept, self.kept = self.kept, None
            self._hasher = Hasher()
            if kept:
                self._append(kept)
        self._hasher.write(data)
        if self._sha256 is not None:
            self._sha256.update(data)
        try:
            if self._file is None:
                self._file = self._created()
            self._file.write(data)
        except Exception as error:
            self.error = error
            raise

    def _created(self) -> WritableFile:
        if self._begin is not None:
            self._begin()
        return self._place.create(self._path)

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

    def end(self, *, mode: int | None = None, smallest: int = 0) -> tuple[int, str, str, int | None]:
        """End the file and seal it.

        Args:
            mode: Its permissions from now on.
            smallest: Bytes from which on it is sealed.

        Returns:
            Its size, its digest, its SHA-256 where it is signed, and its seal.
        """
        kept = self.kept
        if kept is not None:
            sha256 = "" if self._sha256 is None else new_sha256(kept).hexdigest()
            return len(kept), bytes_digest(kept), sha256, None
        self.close()
        size = self._hasher.size
        try:
            seal = self._place.seal(self._path, mode=mode) if size >= smallest else None
        except Exception as error:
            self.error = error
            raise
        sha256 = "" if self._sha256 is None else self._sha256.hexdigest()
        return size, self._hasher.hexdigest(), sha256, seal

    def beside(self, name: str) -> Sink:
        """Begin a file that belongs to this one."""
        try:
            side = Sink(self._place, f"{self._path}{SIDE}/{name}", signed=self._sha256 is not None)
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
