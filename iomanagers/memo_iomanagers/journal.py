"""What a process is storing at a place, noted so that the next run finds what a kill leaves behind, and removes it.

Each process that stores notes the names of the files it is about to write in a journal of its own, below ``writing/``,
and holds a lock on it, which ends with the process however that ends. So a journal that can be locked is a dead
process's: what it names and no manifest does is nobody's. Nothing else is ever looked at, whatever a place holds; and
the files of those that live are safe, because every name is drawn once.
"""

from __future__ import annotations

import os
from contextlib import suppress
from stat import S_ISREG
from threading import Lock
from typing import TYPE_CHECKING, Self

from msgspec import DecodeError
from msgspec.json import Decoder, Encoder

from memo.hashing import digest
from memo_iomanagers.places import NOT_THERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memo_iomanagers.places import Place

__all__ = ["Journal", "Storing"]

_FOLDER = "writing"
_LONGEST = 64 * 1024
"""Bytes after which a journal is begun anew where nothing is being stored: each line costs the next run a look."""

_Line = tuple[str, tuple[str, ...]]
"""A manifest, and files that are to go unless it names them."""

_encode = Encoder().encode
_decoder = Decoder(_Line)


class Journal:
    """What one IO manager stores at one place.

    Args:
        place: The place. Where it is a folder of this machine, its journals lie in it.
        elsewhere: A folder of this machine for the journals of any other place; None to keep none of those.
    """

    def __init__(self, place: Place, elsewhere: str | None = None) -> None:
        here = place.folder(_FOLDER)
        self._place = place
        self._folder = here or (f"{elsewhere}/{_FOLDER}" if elsewhere is not None else None)
        self._prefix = "" if here else f"{digest('place', place.full_name(''))}."
        self._own: dict[int, _Own] = {}
        """By process: one that came over in a fork is the parent's."""

    def storing(self, manifest: str) -> Storing:
        """Begin to store an output.

        Args:
            manifest: That makes its files count: those that it names in the end stay.

        Raises:
            OSError: The journal cannot be made.
        """
        return Storing(self._place, self._journal_of_this_process(), manifest)

    def replacing(self, manifest: str, former: str) -> None:
        """Note the file that a manifest names, and will no longer; only while its output is being stored."""
        own = self._journal_of_this_process()
        if own is not None:
            own.write((manifest, (former,)))

    def sweep(self) -> None:
        """Remove what processes that are gone were storing here and did not finish."""
        if self._folder is None or os.path.islink(self._folder):
            return  # behind a link, files may be anybody's
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            if name.startswith(self._prefix) and name.count(".") == self._prefix.count("."):
                with suppress(OSError):  # one that cannot be read or removed now is the next run's
                    self._sweep(f"{self._folder}/{name}")

    def _sweep(self, path: str) -> None:
        import fcntl

        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not S_ISREG(os.fstat(descriptor).st_mode):
                return
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with open(descriptor, "rb", closefd=False) as file:
                lines = file.read().split(b"\n")
            for line in lines:
                try:
                    manifest, files = _decoder.decode(line)
                except DecodeError:
                    continue  # its process was killed while it wrote it, and so before it wrote what it names
                if all(map(_is_within, [manifest, *files])):
                    _settle(self._place, manifest, files)
            os.unlink(path)
        finally:
            os.close(descriptor)

    def _journal_of_this_process(self) -> _Own | None:
        if self._folder is None:
            return None
        own = self._own.get(os.getpid())
        if own is None:
            self.sweep()
            began = _Own(f"{self._folder}/{self._prefix}")
            own = self._own.setdefault(began.pid, began)  # another thread may have been first
            if own is not began:
                began.end()
            else:
                from weakref import finalize

                finalize(self, own.end)
        return own


class Storing:
    """A block in which files are noted and then written: they go where it is left by an exception."""

    __slots__ = ("_files", "_manifest", "_own", "_place")

    def __init__(self, place: Place, own: _Own | None, manifest: str) -> None:
        self._place = place
        self._own = own
        self._manifest = manifest
        self._files: tuple[str, ...] = ()

    def note(self, *files: str) -> None:
        """Note files before they are written.

        Args:
            files: Names that nothing else has or had, relative to the place. What lies in the folder of a file's
                side files goes with it.

        Raises:
            OSError: The journal cannot be written.
        """
        if self._own is not None:
            self._own.begin((self._manifest, files), is_first=not self._files)
        self._files += files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exc: object) -> None:
        if kind is None:
            self._end()
            return
        with suppress(Exception):  # then they stay noted, for the next run
            _settle(self._place, self._manifest, self._files)
            self._end()

    def _end(self) -> None:
        if self._own is not None and self._files:
            self._own.finish(self._manifest)


class _Own:
    """The journal that this process writes."""

    __slots__ = ("_descriptor", "_lock", "_path", "_size", "_unfinished", "pid")

    def __init__(self, beginning: str) -> None:
        import fcntl

        self.pid = os.getpid()
        self._unfinished: list[str] = []
        self._size = 0
        self._lock = Lock()
        while True:
            self._path = f"{beginning}{os.urandom(8).hex()}"
            self._descriptor = _created(self._path)
            try:
                with suppress(OSError):  # where files cannot be locked, no run can take it for a dead process's
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX)
                # Before it was locked, a run that sweeps may have taken it for one.
                if os.fstat(self._descriptor).st_nlink:
                    return
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)

    def begin(self, line: _Line, *, is_first: bool) -> None:
        with self._lock:
            if not self._unfinished and self._size > _LONGEST:
                os.ftruncate(self._descriptor, 0)
                self._size = 0
            self.write(line)
            if is_first:
                self._unfinished.append(line[0])

    def write(self, line: _Line) -> None:
        rest = b"\n%b\n" % _encode(line)  # set off from one before it that a full disk cut short
        self._size += len(rest)
        while (written := os.write(self._descriptor, rest)) < len(rest):
            rest = rest[written:]

    def finish(self, manifest: str) -> None:
        self._unfinished.remove(manifest)

    def end(self) -> None:
        if os.getpid() != self.pid:
            return
        with suppress(OSError):
            if not self._unfinished:
                os.unlink(self._path)
        with suppress(OSError):
            os.close(self._descriptor)


def _created(path: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o644)


def _is_within(path: str) -> bool:
    """Whether a path cannot lead out of the place: whoever may write to it may have written the journal."""
    return not {"", ".", ".."} & {*path.split("/")}


def _settle(place: Place, manifest: str, files: Sequence[str]) -> None:
    """Remove what a manifest does not name."""
    from memo_iomanagers.writing import remove_data

    try:
        named = place.read(manifest)
    except NOT_THERE:
        named = b""
    for file in files:
        if file.rpartition("/")[2].encode() not in named:
            remove_data(place, file)
