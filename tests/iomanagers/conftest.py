"""What the tests of the IO managers share: outputs to store, and file systems that count or fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.places import place_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memo_iomanagers.places import Place


class CountingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """A remote place that counts what it is asked, and can be out of reach or out of space."""

    protocol = "counting"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    asked: ClassVar[list[str]] = []
    broken: ClassVar[dict[str, Exception]] = {}

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return MemoryFileSystem._strip_protocol(str(path).replace("counting://", "memory://"))

    def unstrip_protocol(self, name: str) -> str:
        return f"counting://{name}"

    def find(self, path: str, **options: Any) -> Any:
        self._ask("find")
        return super().find(path, **options)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **_: Any) -> Any:
        self._ask("cat_file")
        return super().cat_file(path, start, end)

    def info(self, path: str, **_: Any) -> Any:
        self._ask("info")
        return super().info(path)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        self._ask("pipe_file")
        super().pipe_file(path, value, mode)

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        file = super().open(path, mode, **options)
        if "write" in self.broken and mode == "wb":
            return _BrokenFile(file, self.broken["write"])
        return file

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.broken:
            raise self.broken[what]


class _BrokenFile:
    """A file that takes a megabyte, and then no more."""

    def __init__(self, file: Any, error: Exception) -> None:
        self.file = file
        self.error = error
        self.taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken > 1_000_000:
            raise self.error
        self.file.write(data)

    def close(self) -> None:
        self.file.close()


@pytest.fixture
def counting() -> Iterator[type[CountingFileSystem]]:
    fsspec.register_implementation("counting", CountingFileSystem, clobber=True)
    yield CountingFileSystem
    for kept in (CountingFileSystem.store, CountingFileSystem.asked, CountingFileSystem.broken):
        kept.clear()
    CountingFileSystem.pseudo_dirs[:] = [""]


@pytest.fixture
def io_manager(tmp_path: Path) -> FsIOManager:
    return FsIOManager(tmp_path / "outputs")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def s3_place(s3_bucket: str) -> Place:
    return place_at(f"s3://{s3_bucket}/a prefix=with/names")
