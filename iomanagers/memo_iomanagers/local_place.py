"""A folder of this machine as a place where bytes are kept.

The folder may be reached through a link; what lies below it is a place's own. So a link that somebody puts there is
listed, moved and removed as the link that it is, and never followed to what lies behind it; values are read through it.
"""

# No pathlib here: it costs more than the system calls that it makes, for every output of every plan.

from __future__ import annotations

import errno
import os
from contextlib import suppress
from io import BytesIO
from stat import S_ISREG
from typing import TYPE_CHECKING

from memo_iomanagers.naming import SIDE
from memo_iomanagers.places import NOT_THERE, SMALL, Place, WritableFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from io import BufferedIOBase

    from memo_iomanagers.places import View

__all__ = ["local_place"]

_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def local_place(folder: str) -> Place:
    """Find the place that a folder is; a relative one counts from the current one, ``~`` is the user's own."""
    return _LocalPlace(folder)


class _LocalPlace(Place):
    """A folder of this machine, made when the first file is written. It need not be there."""

    remote = False

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(os.path.expanduser(folder))

    def full_name(self, path: str) -> str:
        return f"{self._folder}/{path}"

    def read(self, path: str) -> bytes:
        # Without waiting: a pipe that somebody put there would never end.
        descriptor = os.open(f"{self._folder}/{path}", _READ)
        try:
            data = os.read(descriptor, 8192)
            while len(data) % 8192 == 0 and (more := os.read(descriptor, 8192)):
                data += more
        finally:
            os.close(descriptor)
        return data

    def size(self, path: str) -> int:
        return os.stat(f"{self._folder}/{path}").st_size

    def has(self, path: str) -> bool:
        return os.access(f"{self._folder}/{path}", os.F_OK)  # which raises nothing where there is none: the usual case

    def create(self, path: str) -> _LocalFile:
        name = f"{self._folder}/{path}"
        return _LocalFile(_created(name), name)

    def put(self, path: str, data: bytes, *, aside: str, replace: bool = True) -> bool:
        made, name = f"{self._folder}/{aside}", f"{self._folder}/{path}"
        descriptor = _created(made)
        try:
            try:
                _write(descriptor, data)
            finally:
                os.close(descriptor)
            if replace:
                os.replace(made, name)
                return True
        except BaseException:
            _unlink(made)
            raise
        try:
            os.link(made, name)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return self._put_new(path, data)
        finally:
            _unlink(made)
        return True

    def _put_new(self, path: str, data: bytes) -> bool:
        """Put a file on a file system that has no hard links: a reader may meet it half-written."""
        try:
            file = self.create(path)
        except FileExistsError:
            return False
        try:
            file.write(data)
            file.close()
        except BaseException:
            file.abandon()
            raise
        return True

    def open(self, path: str, size: int | None = None) -> BufferedIOBase:
        name = f"{self._folder}/{path}"
        if size is None or size >= SMALL:
            return open(name, "rb", opener=_opened)
        # Read at once, one byte more than there should be: that takes four calls of the system, an open file a dozen.
        descriptor = _opened(name, _READ)
        try:
            data = b""
            while more := os.read(descriptor, size + 1 - len(data)):
                data += more
        finally:
            os.close(descriptor)
        return BytesIO(data) if len(data) <= size else open(name, "rb", opener=_opened)

    def remove(self, path: str) -> None:
        if not self._leads_away(path):
            _unlink(self.full_name(path))

    def move(self, path: str, to: str) -> None:
        for each in (path, to):
            if self._leads_away(each):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), self.full_name(each))
        os.makedirs(os.path.dirname(self.full_name(to)), exist_ok=True)
        os.rename(self.full_name(path), self.full_name(to))

    def written_at(self, path: str) -> float | None:
        try:
            return os.lstat(self.full_name(path)).st_mtime
        except OSError:
            return None

    def remove_folder(self, path: str) -> None:
        if self._leads_away(path):
            return
        name = self.full_name(path)
        if os.path.islink(name):
            _unlink(name)
            return
        from shutil import rmtree

        rmtree(name, ignore_errors=True)  # follows no link either

    def folder(self, path: str) -> str | None:
        return self.full_name(path)

    def seal(self, path: str, *, mode: int | None = None) -> int | None:
        name = self.full_name(path)
        if mode is not None:
            os.chmod(name, mode)
        written = os.stat(name)
        # Clocks tick every few milliseconds, too slowly to tell two writes apart: a random time does.
        chosen = written.st_mtime_ns - 1 - int.from_bytes(os.urandom(4))
        os.utime(name, ns=(written.st_atime_ns, chosen))
        return chosen if os.stat(name).st_mtime_ns == chosen else None

    def list(self, prefix: str, failed: dict[str, Exception] | None = None) -> Mapping[str, int]:
        if self._leads_away(prefix):
            return {}
        return dict(self._sizes(prefix.rpartition("/")[0], prefix, failed))

    def _sizes(self, folder: str, prefix: str, failed: dict[str, Exception] | None) -> Iterator[tuple[str, int]]:
        within = f"{folder}/" if folder else ""
        try:
            entries = os.scandir(f"{self._folder}/{folder}")
        except NOT_THERE:
            return
        except OSError as error:
            if failed is None:
                raise
            failed[folder] = error
            return
        with entries:
            for entry in entries:
                path = f"{within}{entry.name}"
                if not path.startswith(prefix):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    yield from self._sizes(path, prefix, failed)
                elif entry.is_file(follow_symlinks=False) or (entry.is_symlink() and _counts(path, entry.path)):
                    with suppress(FileNotFoundError):  # removed meanwhile
                        yield path, entry.stat(follow_symlinks=False).st_size

    def _leads_away(self, path: str) -> bool:
        """Whether a folder on the way to a path is a link."""
        folder = self._folder
        for name in path.split("/")[:-1]:
            folder = f"{folder}/{name}"
            if os.path.islink(folder):
                return True
        return False

    def view(self, paths: Iterable[str]) -> View:  # noqa: ARG002 - asking here costs no more later
        return self

    def fetch(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        for path in paths:
            with suppress(*NOT_THERE):
                found[path] = self.read(path)
        return found


class _LocalFile(WritableFile):
    __slots__ = ("_descriptor", "name")

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self.name = name

    def write(self, data: bytes | memoryview) -> None:
        _write(self._descriptor, data)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def abandon(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                self.close()
        _unlink(self.name)


def _write(descriptor: int, data: bytes | memoryview) -> None:
    written = os.write(descriptor, data)
    if written < len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def _created(name: str) -> int:
    # Others replace a file of ours, as we do; nobody writes to it.
    try:
        return os.open(name, _CREATE, 0o644)
    except FileNotFoundError:
        _make_folder(name.rpartition("/")[0])
        return os.open(name, _CREATE, 0o644)


def _make_folder(folder: str) -> None:
    """Make a folder; nearly always the one above it is there."""
    try:
        os.mkdir(folder)
    except OSError:
        os.makedirs(folder, exist_ok=True)


def _unlink(name: str) -> None:
    with suppress(OSError):  # what no manifest names is never seen
        os.unlink(name)


def _opened(name: str, flags: int) -> int:
    """Open a file, and nothing else: a pipe would never end.

    Raises:
        FileNotFoundError: There is none.
    """
    descriptor = os.open(name, flags | os.O_NONBLOCK)
    if S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, "there is no file of that name, but something else", name)


def _counts(path: str, name: str) -> bool:
    """Whether a link is in the place of a file, or among the files beside one, of which it may be a part."""
    return os.path.isfile(name) or f"{SIDE}/" in f"{path}/"
