"""What can be asked of a place where bytes are kept, and the place that a path or a URL names."""

# No pathlib here: it costs more than the system calls that it makes, for every output of every plan.

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from itertools import count
from typing import TYPE_CHECKING

from memo.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from io import BufferedIOBase

__all__ = ["NOT_THERE", "SMALL", "Place", "View", "WritableFile", "aside_of", "drawn", "place_at", "reason"]

NOT_THERE = (FileNotFoundError, NotADirectoryError)
"""What a place raises of a file that is not there: a folder on the way to it may be a file."""

SMALL = 64 * 1024
"""Bytes below which a file is read rather than mapped, and its digest always compared."""

_REASONS = {
    errno.ENOSPC: "no space is left there",
    errno.EDQUOT: "the quota there is used up",
    errno.EFBIG: "the file would be larger than allowed there",
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "the folder is gone",
    errno.ENOTDIR: "a file stands where a folder should be",
    errno.EEXIST: "a file stands where a folder should be",
    errno.EISDIR: "a folder stands where a file should be",
    errno.ELOOP: "a link stands where a folder should be",
}


def reason(error: Exception) -> str:
    """Say in the user's words why a place could not be used, as the end of a sentence."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _REASONS:
        return _REASONS[number]
    from memo_iomanagers.remote_errors import told_by_server

    return told_by_server(error) or f"{type(error).__name__}: {' '.join(str(error).split())}"


class View(ABC):
    """What can be asked of the files of a place. Paths are relative to it, with ``/``."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Read a small file.

        Raises:
            FileNotFoundError: It is not there.
        """

    @abstractmethod
    def size(self, path: str) -> int:
        """Say how many bytes a file has.

        Raises:
            FileNotFoundError: It is not there.
        """

    def has(self, path: str) -> bool:
        """Say whether a file is there."""
        try:
            self.size(path)
        except NOT_THERE:
            return False
        return True


class WritableFile(ABC):
    """A new file that is being written."""

    @abstractmethod
    def write(self, data: bytes | memoryview) -> None:
        """Append all of the data."""

    @abstractmethod
    def close(self) -> None:
        """End the file. It is whole once this returns."""

    @abstractmethod
    def abandon(self) -> None:
        """Give the file up, and remove what was written as far as that can be done."""


class Place(View):
    """Somewhere that files can be kept.

    Attributes:
        remote: Whether bytes travel to it, so that they are asked for together.
        shared: Whether other processes see it.
    """

    remote: bool
    shared: bool = True

    @abstractmethod
    def full_name(self, path: str) -> str:
        """Name a file so that a person finds it."""

    @abstractmethod
    def create(self, path: str) -> WritableFile:
        """Begin a file that is not there yet; its folder is made."""

    @abstractmethod
    def put(self, path: str, data: bytes, *, aside: str, replace: bool = True) -> bool:
        """Make a small file appear whole.

        Args:
            path: The file.
            data: All of it.
            aside: A name in the same folder that is free to be used on the way.
            replace: In place of one of that name, if there is one. Otherwise that one stays as it is, and of many
                that put at the same moment one succeeds, where the place can tell: local file systems, S3, Ceph, Google
                Cloud Storage and Azure can; some imitations of S3 replace all the same. The data must then be unlike
                all that anybody else puts there (hold a token): where an answer is lost, it tells whose file it is.

        Returns:
            Whether the file is there now as it was given; False where one of that name was there before.
        """

    @abstractmethod
    def open(self, path: str, size: int | None = None) -> BufferedIOBase:
        """Open a file for reading.

        Args:
            path: The file.
            size: How many bytes it should have, where that is known.

        Raises:
            FileNotFoundError: It is not there.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file as far as that can be done."""

    @abstractmethod
    def move(self, path: str, to: str) -> None:
        """Move a file to a name that is free; its folder is made.

        Raises:
            FileNotFoundError: It is not there.
        """

    @abstractmethod
    def written_at(self, path: str) -> float | None:
        """Say when a file was last written to, in seconds since 1970; None where nobody can tell."""

    @abstractmethod
    def remove_folder(self, path: str) -> None:
        """Remove a folder with all that is in it, as far as that can be done."""

    def folder(self, path: str) -> str | None:  # noqa: ARG002 - elsewhere there is none
        """Name a folder of this machine; None where the place is elsewhere."""
        return None

    def seal(self, path: str, *, mode: int | None = None) -> int | None:  # noqa: ARG002 - elsewhere it cannot be
        """Give a whole file a time of modification that nothing else has, so that writing to it shows.

        Args:
            path: The file.
            mode: Its permissions from now on.

        Returns:
            The time, in ns since 1970; None where there is no such thing.
        """
        return None

    @abstractmethod
    def list(self, prefix: str, failed: dict[str, Exception] | None = None) -> Mapping[str, int]:
        """Find every file whose path begins so, however deep it lies; nothing is remembered from an earlier time.

        Args:
            prefix: What the paths begin with: ``versioned/`` for all in that folder, nothing for all there are.
            failed: Takes the folders that could not be listed, where a place can go on with the rest; without it,
                what is raised for the first of them is.

        Returns:
            Its size by each path.
        """

    @abstractmethod
    def view(self, paths: Iterable[str]) -> View:
        """Look which of these files are there, with as few questions as can be."""

    @abstractmethod
    def fetch(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Read small files, many at once where they are far away; those that are not there are left out."""


def aside_of(path: str, token: str = "") -> str:
    """Give a name beside a file that nothing else has or had, for `Place.put`; of a token drawn for it, if given."""
    return f"{path}.{token or drawn()}.tmp"


_tokens = count(int.from_bytes(os.urandom(8)))


def drawn() -> str:
    """Draw a token that nothing else has or had, in any process: 64 bits, of which a process draws the first only."""
    return f"{next(_tokens) & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _draw_anew() -> None:
    global _tokens  # noqa: PLW0603 - a process that came over in a fork must not count on as its parent does
    _tokens = count(int.from_bytes(os.urandom(8)))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draw_anew)


def place_at(base_dir: str | os.PathLike[str], *, named: str = "base_dir") -> Place:
    """Find the place that a path or a URL names.

    Args:
        base_dir: The path or URL.
        named: What it is called where it was set, for errors.

    Raises:
        MissingExtraError: What the URL needs is not installed.
        StorageError: No such place can be used from here.
    """
    given = os.fspath(base_dir)
    if not given:
        raise StorageError(f"{named} is empty: give a folder or a URL")
    for scheme in ("file://", "local://"):
        if given.startswith(scheme):
            given = given.removeprefix(scheme)
            break
    else:
        if "://" in given:
            from memo_iomanagers.remote_place import remote_place_at

            return remote_place_at(given, named)
    from memo_iomanagers.local_place import local_place

    return local_place(given)
