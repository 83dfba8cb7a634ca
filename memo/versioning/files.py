"""Files as sources: which there are, what they look like from outside, and what they hold."""

from __future__ import annotations

import os
import stat
from time import time_ns
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.run_store import FileDigest
from memo.errors import SourceError, UnreachableError
from memo.hashing import Hasher, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.run_store import History
    from memo.definition.source import GlobSource, PathSource

_SETTLED_NS = 2_000_000_000
"""How long ago a file must have been changed for its times to tell of the next change: file systems keep times in
steps, of up to two seconds, and a change within one step does not show."""

_ATTEMPTS = 3
_BLOCK = 1 << 20


class FoundFile(Struct, frozen=True):
    """A file that a source is made of.

    Attributes:
        name: What tells it from the others of its source: its path within the folder.
        path: Absolute.
        shown: Its path as the source is written.
        looks: Its size, times and inode.
        size: In bytes.
        is_settled: Whether a later change is sure to show in `looks`.
        link: Where it points to, of a link to nothing or to a folder that is there under another name; None of a file.
    """

    name: str
    path: str
    shown: str
    looks: str
    size: int
    is_settled: bool
    link: str | None = None


def files_of_path(source: PathSource, folder: str = "") -> list[FoundFile]:
    """The file that a source names, or all files in its folder.

    Raises:
        SourceError: It is not there, not what is expected, or cannot be looked into.
    """
    path = os.path.abspath(os.path.join(folder, source.path))
    try:
        if not os.path.isdir(path):
            if source.expected == "folder" and os.path.exists(path):
                raise SourceError("is no folder; for a file there is Source.file()", where=source.where)
            return [_found("", path, source.name)]
        if source.expected == "file":
            raise SourceError("is a folder; for all that is in it there is Source.folder()", where=source.where)
        return _files_below(path, source.name)
    except OSError as error:
        raise _unreadable(source.where, error) from error


def matches_of(source: GlobSource, folder: str = "") -> list[str]:
    """The paths of the files that a pattern fits, as the pattern is written, sorted.

    Raises:
        SourceError: The folder that the pattern begins in is not there: `glob` would find nothing, and say nothing.
    """
    from glob import glob

    try:
        os.scandir(os.path.join(folder, os.sep.join([*_fixed_parts(source.name), ""])) or os.curdir).close()
    except OSError as error:
        raise _unreadable(source.where, error) from error
    found = glob(source.name, root_dir=folder or None, recursive=True)
    return sorted({path for path in found if not os.path.isdir(os.path.join(folder, path))})


def files_of_glob(source: GlobSource, folder: str = "") -> list[FoundFile]:
    """The files that a pattern fits.

    Raises:
        SourceError: One cannot be looked into, or the folder that the pattern begins in is not there.
    """
    above = os.sep.join(_fixed_parts(source.name)).rstrip(os.sep)
    matches = matches_of(source, folder)
    try:
        return [
            _found(path.removeprefix(above).lstrip(os.sep), os.path.abspath(os.path.join(folder, path)), path)
            for path in matches
        ]
    except OSError as error:
        raise _unreadable(source.where, error) from error


def _fixed_parts(pattern: str) -> list[str]:
    """The folders that a pattern begins with, up to the first that stands for several."""
    from glob import has_magic

    parts = pattern.split(os.sep)
    return parts[: next((number for number, part in enumerate(parts) if has_magic(part)), len(parts) - 1)]


def looks_of(files: Iterable[FoundFile]) -> str:
    """What files look like from outside: another string when one of them has been touched, came or went."""
    return digest("looks", *[part for file in files for part in (file.name, file.looks)])


def _files_below(top: str, shown: str) -> list[FoundFile]:
    found: list[FoundFile] = []
    seen: dict[tuple[int, int], str] = {}
    for folder, inner, names in os.walk(top, followlinks=True, onerror=_raise):
        # Of several paths to one folder the first counts, so that the order must not be that of the disk. What memo
        # keeps changes with every run.
        inner[:] = sorted(name for name in inner if name != ".memo")
        inside = os.path.relpath(folder, top)
        at = os.stat(folder)
        first = seen.setdefault((at.st_dev, at.st_ino), inside)
        if first != inside and os.path.islink(folder):  # as a link to a folder further up, which has no end
            inner.clear()
            found.append(_link(inside, folder, os.path.join(shown, inside), first))
            continue
        for name in names:
            below = name if inside == "." else os.path.join(inside, name)
            found.append(_found(below, os.path.join(folder, name), os.path.join(shown, below)))
    return sorted(found, key=lambda each: each.name)


def _raise(error: OSError) -> None:
    raise error


def _found(name: str, path: str, shown: str) -> FoundFile:
    try:
        at = os.stat(path)
    except OSError as error:
        # Programs leave links to nothing in folders, as locks.
        if not name or isinstance(error, PermissionError) or not os.path.islink(path):
            raise
        return _link(name, path, shown, os.readlink(path))
    if not stat.S_ISREG(at.st_mode):
        raise OSError(0, "it is no regular file", path)
    changed = max(at.st_mtime_ns, at.st_ctime_ns)
    return FoundFile(
        name,
        path,
        shown,
        f"{at.st_size} {at.st_mtime_ns} {at.st_ctime_ns} {at.st_ino}",
        at.st_size,
        time_ns() - changed > _SETTLED_NS,
    )


def _link(name: str, path: str, shown: str, target: str) -> FoundFile:
    return FoundFile(name, path, shown, f"-> {target}", 0, True, target)


def _unreadable(where: str, error: OSError) -> UnreachableError:
    at = f" ({error.filename})" if error.filename else ""
    if isinstance(error, FileNotFoundError):
        return UnreachableError(f"is not there{at}; make it, or correct its path", where=where)
    return UnreachableError(f"cannot be read: {error.strerror}{at}", where=where)


class FileDigests:
    """What files hold, each read once, and not at all where it looks as it did when it was read last.

    Args:
        history: Asked what is known of files; None where nothing is.

    Attributes:
        read: What was read that the catalog does not know, by absolute path.
    """

    def __init__(self, history: History | None) -> None:
        self._history = history
        self.read: dict[str, FileDigest] = {}

    def of(
        self, files: list[FoundFile], again: Callable[[], list[FoundFile]], where: str
    ) -> tuple[list[FoundFile], list[str]]:
        """The digest of the content of every file.

        Args:
            files: As they were found.
            again: Finds them once more, to see that they did not change while they were read.
            where: The source, for errors.

        Returns:
            The files as they stayed, and their digests.

        Raises:
            SourceError: One cannot be read, or they change all the time.
        """
        for _ in range(_ATTEMPTS):
            known: Mapping[str, FileDigest] = {}
            if self._history is not None:
                known = self._history.file_digests([file.path for file in files])
            held = [self._held(file, known) for file in files]
            digests = [found or self._read(file, where) for file, found in zip(files, held, strict=True)]
            if None not in held:
                return files, digests
            after = again()
            if looks_of(after) == looks_of(files):
                return files, digests
            files = after
        raise SourceError("changes while it is read, again and again; wait until it is written", where=where)

    def _held(self, file: FoundFile, known: Mapping[str, FileDigest]) -> str | None:
        """What a file holds, as far as that is known without reading it."""
        if file.link is not None:
            return digest("link", file.link)
        found = self.read.get(file.path) or known.get(file.path)
        return found.digest if found is not None and found.looks == file.looks else None

    def _read(self, file: FoundFile, where: str) -> str:
        hasher = Hasher()
        try:
            with open(file.path, "rb", buffering=0) as stream:
                while block := stream.read(_BLOCK):
                    hasher.write(block)
        except OSError as error:
            raise _unreadable(where, error) from error
        found = hasher.hexdigest()
        if file.is_settled:
            self.read[file.path] = FileDigest(file.looks, found)
        return found
