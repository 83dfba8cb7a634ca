"""Any URL that fsspec can open as a place where bytes are kept: an object store, a server, this process's memory."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memo.errors import MissingExtraError, StorageError
from memo_iomanagers.places import Place, View, WritableFile
from memo_iomanagers.remote_errors import met_another, refused_since_there

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from io import BufferedIOBase
    from typing import TypeVar

    _A = TypeVar("_A")

__all__ = ["remote_place", "remote_place_at", "s3_options"]

_SLICE = 8 << 20
_AT_ONCE = 16
_FEW_FOLDERS = 12
"""As many are listed one by one, at the same time; of more, the folder that holds them all, page after page."""

_EXTRAS = {
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"),
    "gcs": ("gcsfs", "gcs"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "az": ("adlfs", "azure"),
}
"""By the scheme of a URL: the package that opens it, and memo's extra that brings it."""


def s3_options(attempts: int = 3) -> dict[str, Any]:
    """What s3fs is made with, so that it sees what others store, and gives up after seconds, not minutes."""
    retries = {"mode": "standard", "total_max_attempts": attempts}
    return {"use_listings_cache": False, "config_kwargs": {"retries": retries}}


def remote_place(filesystem: Any, root: str) -> Place:
    """Find the place that a folder within a file system is.

    Args:
        filesystem: An `fsspec.AbstractFileSystem`.
        root: The folder, as that file system names it: ``bucket/prefix``.
    """
    return _RemotePlace(filesystem, root)


def remote_place_at(url: str, named: str = "base_dir") -> Place:
    """Find the place that a URL names, with what the environment tells of how to reach it.

    Args:
        url: The URL.
        named: What it is called where it was set, for errors.

    Raises:
        MissingExtraError: What the URL needs is not installed.
        StorageError: fsspec knows no such URL.
    """
    import fsspec

    scheme = url.partition("://")[0]
    options = s3_options() if scheme in {"s3", "s3a"} else {"use_listings_cache": False}
    try:
        filesystem, root = fsspec.url_to_fs(url, **options)
    except ImportError as error:
        if scheme in _EXTRAS:
            raise MissingExtraError(*_EXTRAS[scheme], f"{named} {url!r}") from error
        raise StorageError(f"{named} {url!r} cannot be used: {error}") from error
    except Exception as error:
        raise StorageError(f"{named} {url!r} cannot be used: {error}") from error
    return _RemotePlace(filesystem, str(root))


class _RemotePlace(Place):
    remote = True

    def __init__(self, filesystem: Any, root: str) -> None:
        from inspect import signature

        self._fs = filesystem
        self._root = root.rstrip("/")
        protocol: Any = filesystem.protocol
        protocols = {protocol} if isinstance(protocol, str) else {*protocol}
        self.shared = "memory" not in protocols
        self._lists_by_prefix = bool(protocols & {"s3", "gs"})
        # s3fs asks for the size of a file before it reads it, unless it is told to read it in one piece.
        parameters = signature(filesystem._cat_file).parameters if filesystem.async_impl else ()  # noqa: SLF001 - as fsspec has it overridden
        self._in_one_piece = {"max_concurrency": 1} if "max_concurrency" in parameters else {}

    def full_name(self, path: str) -> str:
        return str(self._fs.unstrip_protocol(self._full(path)))

    def read(self, path: str) -> bytes:
        return bytes(self._fs.cat_file(self._full(path), **self._in_one_piece))

    def size(self, path: str) -> int:
        # Listed, not asked for: that is one request whether it is there or not, and no cache answers it.
        sizes = self.list(path)
        if path not in sizes:
            raise FileNotFoundError(path)
        return sizes[path]

    def create(self, path: str) -> WritableFile:
        name = self._full(path)
        try:
            file = self._fs.open(name, "wb")
        except FileNotFoundError:
            self._fs.makedirs(name.rpartition("/")[0], exist_ok=True)
            file = self._fs.open(name, "wb")
        return _RemoteFile(file, lambda: self.remove(path))

    def put(self, path: str, data: bytes, *, aside: str, replace: bool = True) -> bool:  # noqa: ARG002 - a put is one step
        if replace:
            self._fs.pipe_file(self._full(path), data)
            return True
        for last in (False, False, True):
            try:
                self._fs.pipe_file(self._full(path), data, mode="create")
            except Exception as error:
                if refused_since_there(error):
                    # Requests whose answer was lost are sent again on the way, and then find the file they made.
                    return self._read_if_there(path) == data
                if last or not met_another(error):
                    raise
            else:
                return True
        raise AssertionError

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

    def move(self, path: str, to: str) -> None:
        if not self._fs.async_impl:
            self._fs.makedirs(self._full(to).rpartition("/")[0], exist_ok=True)
        self._fs.cp_file(self._full(path), self._full(to))
        self._fs.rm_file(self._full(path))

    def written_at(self, path: str) -> float | None:
        try:
            written: float = self._fs.modified(self._full(path)).timestamp()
        except Exception:  # noqa: BLE001 - file systems raise what they like; many do not know
            return None
        return written

    def remove_folder(self, path: str) -> None:
        with suppress(Exception):
            self._fs.rm(self._full(path), recursive=True)

    def list(self, prefix: str, failed: dict[str, Exception] | None = None) -> Mapping[str, int]:  # noqa: ARG002 - it has no folders
        if self._lists_by_prefix:
            found = self._fs.find(self._root, prefix=prefix, detail=True)
        else:
            folder = self._full(prefix.rpartition("/")[0]).rstrip("/")
            found = self._fs.find(folder, detail=True, on_error=_raise_unless_gone)
        start = len(self._root) + 1
        sizes = {name[start:]: int(each.get("size") or 0) for name, each in found.items()}
        return {path: size for path, size in sizes.items() if path.startswith(prefix)}

    def view(self, paths: Iterable[str]) -> View:
        wanted = set(paths)
        sizes: dict[str, int] = {}
        for listed in self._ask(self.list, _prefixes(wanted)):
            sizes |= listed
        return _Listing(self, sizes)

    def fetch(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        found = zip(paths, self._ask(self._read_if_there, paths), strict=True)
        return {path: data for path, data in found if data is not None}

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def _ask(self, question: Callable[[str], _A], items: Sequence[str]) -> Sequence[_A]:
        """Ask for many at once, where the file system is made for that."""
        if not self._fs.async_impl or len(items) < 2:
            return [question(item) for item in items]
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(_AT_ONCE, len(items))) as pool:
            return list(pool.map(question, items))


def _raise_unless_gone(error: Exception) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _prefixes(paths: Iterable[str]) -> list[str]:
    """What to list, to learn which of these files are there."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(path.rpartition("/")[0], []).append(path)
    if len(by_folder) > _FEW_FOLDERS:
        return sorted({folder.rpartition("/")[0] + "/" if "/" in folder else "" for folder in by_folder})
    # The longest prefix, not the last folder: of one output that is wanted, a listing of its own.
    return sorted(os.path.commonprefix(names) for names in by_folder.values())  # noqa: RUF071 - prefixes, not folders


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
        from fsspec.spec import AbstractBufferedFile

        with suppress(Exception):
            if isinstance(self._file, AbstractBufferedFile) and not self._file.closed:
                self._file.closed = True  # to close it would send what was written, and make it whole
                self._file.discard()
            else:
                self._file.close()
        self._remove()


class _Listing(View):
    """What a place held at one moment; what is in its files is read when it is asked for."""

    def __init__(self, place: Place, sizes: dict[str, int]) -> None:
        self._place = place
        self._sizes = sizes

    def read(self, path: str) -> bytes:
        self.size(path)
        return self._place.read(path)

    def size(self, path: str) -> int:
        if path not in self._sizes:
            raise FileNotFoundError(path)
        return self._sizes[path]
