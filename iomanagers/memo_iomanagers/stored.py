"""The bytes of a stored value, opened: read where they are few, mapped where they are many.

A map is private: its pages are those of the page cache until somebody writes to one, and then that page is copied.
So a value that is built upon a map can be changed, and neither the stored file nor what another step loads of it is.
The map lives as long as a buffer of it does; the file may be removed meanwhile. Cutting the file short while it is
mapped is the one thing that must not be done to it: no program survives that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from memo.hashing import Hasher, bytes_digest
from memo_iomanagers.naming import SIDE
from memo_iomanagers.places import SMALL

if TYPE_CHECKING:
    from io import BufferedIOBase

    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place

__all__ = ["Stored", "digest_of", "new_sha256", "private", "sha256_of", "stored_as"]

_CHUNK = 512 * 1024
"""Bytes hashed at a time: little enough to stay in the processor's cache."""


class Stored:
    """An open data file.

    Args:
        place: Where it lies.
        path: Its path there.
        file: It, open. Whoever opened it closes it.

    Attributes:
        size: In bytes.
        signed: Whether it is what a key has signed, and so must be the files beside it.
    """

    __slots__ = ("_few", "_file", "_path", "_place", "signed", "size")

    def __init__(self, place: Place, path: str, file: BufferedIOBase, size: int, *, signed: bool = False) -> None:
        self._place = place
        self._path = path
        self._file = file
        self._few: bytearray | None = None
        self.size = size
        self.signed = signed

    @property
    def name(self) -> str:
        """Its full name, by which people find it."""
        return self._place.full_name(self._path)

    @property
    def folder(self) -> str | None:
        """The folder of the files beside it, where it is one of this machine."""
        return self._place.folder(self._path + SIDE)

    def digest(self) -> str:
        """The digest of all of the bytes, in little memory. Few bytes are kept: what was hashed is what is loaded."""
        if self.size >= SMALL:
            return digest_of(self._file, self.size)[1]
        hasher = Hasher()
        hasher.write(self._kept())
        return hasher.hexdigest()

    def sha256(self) -> str:
        """The SHA-256 of all of the bytes, as `digest`."""
        if self.size >= SMALL:
            return sha256_of(self._file)
        hasher = new_sha256()
        hasher.update(self._kept())
        return str(hasher.hexdigest())

    def _kept(self) -> bytearray:
        few: bytearray = self.buffer()
        self._few = few
        return few

    def buffer(self) -> Any:
        """All of the bytes, to be changed by whoever gets them and by nobody else."""
        if self._few is not None:
            return self._few
        mapped = self._map(private=True) if self.size >= SMALL else None
        if mapped is not None:
            return mapped
        self._file.seek(0)
        data = bytearray(self.size)
        view = memoryview(data)
        while view and (count := self._file.readinto(view)):
            view = view[count:]
        if view:
            raise OSError(f"the file ended {len(view)} bytes early")
        return data

    def read_only(self) -> Any:
        """All of the bytes, not to be changed: a shared map, of which no page need stay in memory."""
        mapped = self._map(private=False) if self.size >= SMALL else None
        return self.buffer() if mapped is None else mapped

    def read(self) -> bytes:
        """All of the bytes, as an object of their own."""
        if self._few is not None:
            return bytes(self._few)
        self._file.seek(0)
        return self._file.read()

    def beside(self, name: str) -> BufferedIOBase:
        """Open a file that was written beside this one."""
        return self._place.open(f"{self._path}{SIDE}/{name}")

    def _map(self, *, private: bool) -> Any:
        from io import UnsupportedOperation
        from mmap import ACCESS_COPY, ACCESS_READ, mmap

        try:
            descriptor = self._file.fileno()
        except UnsupportedOperation:  # bytes that came over a network are in memory already
            return None
        try:
            return mmap(descriptor, self.size, access=ACCESS_COPY if private else ACCESS_READ)
        except OSError:  # some file systems have no maps, and some machines no address space to promise
            return None


class _Held(Stored):
    """What takes the place of a data file: a value that stands in its manifest.

    Args:
        place: Where it lies.
        path: The manifest's path there.
        value: The bytes.
        signed: Whether they are what a key has signed.
    """

    __slots__ = ("_value",)

    def __init__(self, place: Place, path: str, value: bytes, *, signed: bool) -> None:
        self._place = place
        self._path = path
        self._value = value
        self.size = len(value)
        self.signed = signed

    def digest(self) -> str:
        """The digest of the bytes."""
        return bytes_digest(self._value)

    def sha256(self) -> str:
        """The SHA-256 of the bytes."""
        return str(new_sha256(self._value).hexdigest())

    def buffer(self) -> Any:
        """The bytes, to be changed by whoever gets them and by nobody else."""
        return bytearray(self._value)

    def read_only(self) -> Any:
        """The bytes, not to be changed."""
        return self._value

    def read(self) -> bytes:
        """The bytes."""
        return self._value


def stored_as(manifest: Manifest, place: Place, path: str, file: BufferedIOBase | None, *, signed: bool) -> Stored:
    """Give what encodings read of an output.

    Args:
        manifest: Of the output.
        place: Where it lies.
        path: The path there of the file that holds the data.
        file: That file, open; None where it is the manifest.
        signed: Whether it is what a key has signed.
    """
    if manifest.value is not None:
        return _Held(place, path, manifest.value, signed=signed)
    assert file is not None
    return Stored(place, path, file, manifest.size, signed=signed)


def digest_of(file: BufferedIOBase, size: int) -> tuple[int, str]:
    """Read a file to its end, in little memory, and give its size and digest."""
    hasher = Hasher()
    buffer = memoryview(bytearray(min(size, _CHUNK) + 1))
    file.seek(0)
    while count := file.readinto(buffer):
        hasher.write(buffer[:count])
    return hasher.size, hasher.hexdigest()


def new_sha256(data: bytes = b"") -> Any:
    """A hasher for what is signed: of those that no adversary can cheat, the one that processors know."""
    from hashlib import sha256

    return sha256(data)


def sha256_of(file: BufferedIOBase) -> str:
    """Read a file to its end, in little memory, and give its SHA-256."""
    from hashlib import file_digest

    file.seek(0)
    return file_digest(file, "sha256").hexdigest()


def private(file: BufferedIOBase) -> BufferedIOBase:
    """Give a file that no other user can change between its being hashed and its being read.

    It is the file itself, where it belongs to this user and nobody else may write to it, or its bytes are in memory;
    otherwise a copy that goes when it is closed.
    """
    from io import UnsupportedOperation

    try:
        status = os.fstat(file.fileno())
    except UnsupportedOperation:
        return file
    if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
        return file
    from shutil import copyfileobj
    from tempfile import TemporaryFile

    copy = TemporaryFile(prefix="memo-")  # noqa: SIM115 - the caller closes it
    try:
        with file:
            copyfileobj(file, copy, _CHUNK)
    except BaseException:
        copy.close()
        raise
    return copy
