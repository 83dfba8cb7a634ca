"""Where bytes are kept: a folder of this machine, or any URL that fsspec can open."""

# No pathlib here: it costs more than the system calls that it makes, for every output of every plan.

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memo.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from io import BufferedIOBase
    from typing import TypeVar

    _A = TypeVar("_A")

__all__ = ["Place", "View", "WritableFile", "place_at", "reason"]

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
}
_SLICE = 8 << 20
_AT_ONCE = 16


def reason(error: Exception) -> str:
    """Say in the user's words why a place could not be used, as the end of a sentence."""
    number = error.errno if isinstance(error, OSError) else None
    return _REASONS.get(number or 0) or f"{type(error).__name__}: {error}"


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
    def put(self, path: str, data: bytes, *, aside: str) -> None:
        """Make a small file appear whole, in place of one of that name if there is one.

        Args:
            path: The file.
            data: All of it.
            aside: A name in the same folder that is free to be used on the way.
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
    def view(self, paths: Iterable[str]) -> View:
        """Look at small files, and at all files beside them, with as few questions as can be."""


def place_at(base_dir: str | os.PathLike[str]) -> Place:
    """Find the place that a path or a URL names.

    Raises:
        StorageError: No such place can be used from here.
    """
    named = os.fspath(base_dir)
    if not named:
        raise StorageError("base_dir is empty: give a folder or a URL")
    for scheme in ("file://", "local://"):
        if named.startswith(scheme):
            return _LocalPlace(named.removeprefix(scheme))
    return _RemotePlace(named) if "://" in named else _LocalPlace(named)


class _LocalPlace(Place):
    """A folder of this machine, made when the first file is written. It need not be there."""

    remote = False

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(os.path.expanduser(folder))

    def full_name(self, path: str) -> str:
        return f"{self._folder}/{path}"

    def read(self, path: str) -> bytes:
        descriptor = os.open(f"{self._folder}/{path}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, 8192)
            while len(data) % 8192 == 0 and (more := os.read(descriptor, 8192)):
                data += more
        finally:
            os.close(descriptor)
        return data

    def size(self, path: str) -> int:
        return os.stat(f"{self._folder}/{path}").st_size

    def create(self, path: str) -> WritableFile:
        return _LocalFile(self._create(path), self.full_name(path))

    def put(self, path: str, data: bytes, *, aside: str) -> None:
        file = self.create(aside)
        try:
            file.write(data)
            file.close()
            os.replace(f"{self._folder}/{aside}", f"{self._folder}/{path}")
        except BaseException:
            file.abandon()
            raise

    def open(self, path: str, size: int | None = None) -> BufferedIOBase:  # noqa: ARG002 - it makes no difference here
        return open(f"{self._folder}/{path}", "rb")

    def remove(self, path: str) -> None:
        _unlink(self.full_name(path))

    def remove_folder(self, path: str) -> None:
        from shutil import rmtree

        rmtree(self.full_name(path), ignore_errors=True)

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

    def view(self, paths: Iterable[str]) -> View:  # noqa: ARG002 - asking here costs no more later
        return self

    def _create(self, path: str) -> int:
        name = f"{self._folder}/{path}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            return os.open(name, flags, 0o666)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(name), exist_ok=True)
            return os.open(name, flags, 0o666)


class _LocalFile(WritableFile):
    __slots__ = ("_descriptor", "_name")

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def write(self, data: bytes | memoryview) -> None:
        written = os.write(self._descriptor, data)
        if written < len(data):
            rest = memoryview(data)[written:]
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def abandon(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                self.close()
        _unlink(self._name)


def _unlink(name: str) -> None:
    with suppress(OSError):  # what no manifest names is never seen
        os.unlink(name)


class _RemotePlace(Place):
    """Any URL that fsspec can open: an object store, a server, or the memory of this process."""

    remote = True

    def __init__(self, url: str) -> None:
        import fsspec

        try:
            # A cached listing would hide what other processes stored since.
            self._fs, root = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise StorageError(f"base_dir {url!r} cannot be used: {error}") from error
        self._root = str(root).rstrip("/")
        protocols = self._fs.protocol
        self.shared = "memory" not in ((protocols,) if isinstance(protocols, str) else protocols)

    def full_name(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(self._full(path)))

    def read(self, path: str) -> bytes:
        return bytes(self._fs.cat_file(self._full(path)))

    def size(self, path: str) -> int:
        return int(self._fs.info(self._full(path))["size"])

    def create(self, path: str) -> WritableFile:
        name = self._full(path)
        try:
            file = self._fs.open(name, "wb")
        except FileNotFoundError:
            self._fs.makedirs(name.rpartition("/")[0], exist_ok=True)
            file = self._fs.open(name, "wb")
        return _RemoteFile(file, lambda: self.remove(path))

    def put(self, path: str, data: bytes, *, aside: str) -> None:  # noqa: ARG002 - a put is one step already
        self._fs.pipe_file(self._full(path), data)

    def open(self, path: str, size: int | None = None) -> BufferedIOBase:
        from io import BytesIO

        if not self.shared or (self.size(path) if size is None else size) <= _SLICE:
            return BytesIO(self.read(path))
        return self._fetched(path)

    def _fetched(self, path: str) -> BufferedIOBase:
        """A copy in a file of this machine that goes when it is closed: a large value is mapped from there."""
        from shutil import copyfileobj
        from tempfile import TemporaryFile

        file = TemporaryFile(prefix="memo-")  # noqa: SIM115 - the caller closes it
        try:
            with self._fs.open(self._full(path), "rb") as remote:
                copyfileobj(remote, file, _SLICE)
        except BaseException:
            file.close()
            raise
        return file

    def remove(self, path: str) -> None:
        with suppress(Exception):  # what no manifest names is never seen
            self._fs.rm_file(self._full(path))

    def remove_folder(self, path: str) -> None:
        with suppress(Exception):
            self._fs.rm(self._full(path), recursive=True)

    def view(self, paths: Iterable[str]) -> View:
        wanted = set(paths)
        sizes: dict[str, int] = {}
        for listed in self._ask(self._sizes, sorted({path.rpartition("/")[0] for path in wanted})):
            sizes |= listed
        there = sorted(wanted & sizes.keys())
        return _Listing(sizes, dict(zip(there, self._ask(self._read_if_there, there), strict=True)))

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _sizes(self, folder: str) -> dict[str, int]:
        try:
            found = self._fs.ls(self._full(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {f"{folder}/{each['name'].rpartition('/')[2]}": each["size"] for each in found}

    def _read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def _ask(self, question: Callable[[str], _A], items: Sequence[str]) -> list[_A]:
        """Ask for many at once, where the file system is made for that."""
        if not self._fs.async_impl or len(items) < 2:
            return [question(item) for item in items]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
            return list(pool.map(question, items))


class _RemoteFile(WritableFile):
    def __init__(self, file: Any, remove: Callable[[], None]) -> None:
        self._file = file
        self._remove = remove

    def write(self, data: bytes | memoryview) -> None:
        if isinstance(data, bytes) and len(data) <= _SLICE:
            self._file.write(data)
            return
        # In pieces: a buffered file keeps a copy of what it was last given.
        for start in range(0, len(data), _SLICE):
            self._file.write(bytes(data[start : start + _SLICE]))

    def close(self) -> None:
        self._file.close()

    def abandon(self) -> None:
        with suppress(Exception):
            self._file.close()
        self._remove()


class _Listing(View):
    """What a place held at one moment."""

    def __init__(self, sizes: dict[str, int], contents: dict[str, bytes | None]) -> None:
        self._sizes = sizes
        self._contents = contents

    def read(self, path: str) -> bytes:
        data = self._contents.get(path)
        if data is None:
            raise FileNotFoundError(path)
        return data

    def size(self, path: str) -> int:
        if path not in self._sizes:
            raise FileNotFoundError(path)
        return self._sizes[path]
