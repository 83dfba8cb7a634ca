"""What is stored in files: listed, read through to the last byte, let go, moved aside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import msgspec
import numpy as np
import pytest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.manifest import sealed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.contracts.inventory import StoredOutput


def output(version: str | None = "ab12", name: str = "result") -> OutputContext:
    return OutputContext("step", name, version, "run-1")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def one(io_manager: FsIOManager) -> StoredOutput:
    (found,) = io_manager.inventory().outputs
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def io_manager(folder: Path) -> FsIOManager:
    return FsIOManager(folder)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder to keep as an output: files, an empty one among them, and a link."""
    root = tmp_path / "model"
    (root / "deep/empty").mkdir(parents=True)
    (root / "weights.bin").write_bytes(bytes(range(256)) * 300)
    (root / "deep/notes.txt").write_text("notes")
    (root / "deep/nothing").touch()
    (root / "latest").symlink_to("weights.bin")
    return root


@pytest.fixture
def memory() -> Iterator[Any]:
    memory = fsspec.filesystem("memory")
    yield memory
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def flip(path: Path, at: int) -> None:
    """Change one bit of a file as a failing disk does: no time tells of it."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_each_byte_of_a_manifest_and_of_small_data_counts(io_manager: FsIOManager, folder: Path) -> None:
    io_manager.handle_output(output(), {"a": [1, 2.5]})
    assert io_manager.examine(one(io_manager)) is None
    flips = 0
    for path in [path for top in ("versioned", "data") for path in files(folder / top)]:
        for at in range(path.stat().st_size):
            flip(path, at)
            found = one(io_manager)
            assert io_manager.examine(found), f"byte {at} of {path.name} is another, and nothing was found"
            flip(path, at)
            flips += 1
    assert io_manager.examine(one(io_manager)) is None
    assert flips > 200


def test_one_byte_of_each_file_of_each_encoding_counts(folder: Path, tree: Path) -> None:
    values = {"pickle": {"a": b"x" * 200_000}, "numpy": np.arange(30_000.0), "json": [1, 2], "path": tree}
    for number, (encoding, value) in enumerate(values.items()):
        FsIOManager(folder, encoding).handle_output(output(f"ab{number}"), value)
    io_manager = FsIOManager(folder, "text")  # whatever it stores itself, all that lies there is listed
    stored = {each.address: each for each in io_manager.inventory().outputs}
    assert len(stored) == len(values)
    damaged = 0
    for path in files(folder):
        if not path.stat().st_size:
            continue
        for at in {0, path.stat().st_size // 2, path.stat().st_size - 1}:
            flip(path, at)
            found = [each for each in io_manager.inventory().outputs if each.wrong or io_manager.examine(each)]
            assert len(found) == 1, f"byte {at} of {path} is another; found were {found}"
            flip(path, at)
            damaged += 1
    assert damaged > 20
    assert not [each for each in io_manager.inventory().outputs if each.wrong or io_manager.examine(each)]


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda side: (side / "model/deep/notes.txt").unlink(), "which is gone"),
        (lambda side: (side / "model/more").write_text("x"), "which is there"),
        (
            lambda side: ((side / "model/latest").unlink(), (side / "model/latest").symlink_to("deep")),
            "leads elsewhere",
        ),
        (shutil.rmtree, "which is gone"),
    ],
)
def test_what_is_missing_beside_a_path_counts(folder: Path, tree: Path, harm: Any, said: str) -> None:
    io_manager = FsIOManager(folder, "path")
    io_manager.handle_output(output(), tree)
    (side,) = folder.rglob("*.d")
    harm(side)
    assert said in (io_manager.examine(one(io_manager)) or "")


def test_a_path_far_away_is_read_through(memory: Any, tree: Path) -> None:
    io_manager = FsIOManager("memory://far", "path")
    io_manager.handle_output(output(), tree)
    assert io_manager.examine(one(io_manager)) is None
    sides = [name for name in memory.find("/far/data") if ".d/" in name and memory.cat_file(name)]
    assert len(sides) == 2
    for name in sides:
        data = memory.cat_file(name)
        memory.pipe_file(name, data[:-1] + b"?")
        assert "its digest differs" in (io_manager.examine(one(io_manager)) or "")
        memory.pipe_file(name, data)
    memory.rm_file(sides[0])
    assert "which is gone" in (io_manager.examine(one(io_manager)) or "")
    place = io_manager.quarantine(one(io_manager))
    assert place is not None
    assert place.startswith("memory:///far/quarantine/")
    kept = io_manager.inventory()
    assert (kept.outputs, kept.unnamed) == ((), ())
    assert all("/quarantine/" in name for name in memory.find("/far"))


def test_a_manifest_in_the_place_of_another_is_found(io_manager: FsIOManager, folder: Path) -> None:
    io_manager.handle_output(output("ab12"), 1)
    io_manager.handle_output(output("ab13"), 2)
    first, second = sorted(folder.glob("versioned/*/*.json"))
    swapped = msgspec.json.decode(second.read_bytes())
    first.write_bytes(sealed(msgspec.json.encode({**swapped, "data": msgspec.json.decode(first.read_bytes())["data"]})))
    wrong = {each.address: each.wrong for each in io_manager.inventory().outputs}
    assert "belongs to another output" in (wrong["versioned/ab/ab12.result"] or "")
    assert wrong["versioned/ab/ab13.result"] is None


def test_what_is_quarantined_lies_together(folder: Path, tree: Path) -> None:
    io_manager = FsIOManager(folder, "path")
    io_manager.handle_output(output(), tree)
    before = {path.name: path.read_bytes() for path in files(folder)}
    moved = Path(io_manager.quarantine(one(io_manager)) or "")
    assert moved.parent == folder / "quarantine"
    names = {path.name for path in moved.iterdir()}
    assert "manifest.json" in names
    assert len(names) == 3
    after = {path.name: path.read_bytes() for path in files(folder)}
    assert sorted(after.values()) == sorted(before.values())
    with pytest.raises(OutputLostError):
        io_manager.load_input(InputContext("value", output()))


def test_a_quarantine_that_was_interrupted_goes_on(folder: Path, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io_manager = FsIOManager(folder, "path")
    io_manager.handle_output(output(), tree)
    move = io_manager._place.move
    moves = 0

    def interrupted(path: str, to: str) -> None:
        nonlocal moves
        moves += 1
        if moves == 3:
            raise KeyboardInterrupt
        move(path, to)

    monkeypatch.setattr(io_manager._place, "move", interrupted)
    with pytest.raises(KeyboardInterrupt):
        io_manager.quarantine(one(io_manager))
    assert not io_manager.has_output(output())
    assert io_manager.quarantine(one(io_manager))
    kept = io_manager.inventory()
    assert (kept.outputs, kept.unnamed) == ((), ())
    assert len(list((folder / "quarantine").iterdir())) == 1
    assert len([path for path in (folder / "quarantine").rglob("*") if path.is_file()]) == 6


def test_files_of_no_output_are_told_with_their_bytes_and_time(folder: Path, tree: Path) -> None:
    io_manager = FsIOManager(folder, "path")
    for version in ("ab12", "ab13"):
        io_manager.handle_output(output(version), tree)
    lone = folder / "versioned/ab/ab12.result.json"
    (size,) = (each.size for each in io_manager.inventory().outputs if each.address.endswith("ab12.result"))
    taken = size - lone.stat().st_size
    lone.unlink()
    torn = folder / "versioned/ab/ab12.result.0123456789abcdef.tmp"
    torn.write_bytes(b"{")
    os.utime(torn, (1000, 1000))
    kept = io_manager.inventory()
    assert len(kept.outputs) == 1
    unnamed = {each.path: each for each in kept.unnamed}
    assert (unnamed.pop("versioned/ab/ab12.result.0123456789abcdef.tmp").written_at) == 1000
    (rest,) = unnamed.values()
    assert rest.size == taken
    assert rest.written_at == pytest.approx(max(path.stat().st_mtime for path in folder.rglob("*")), abs=10)
    assert io_manager.remove_unnamed(kept.unnamed) == taken + 1
    assert io_manager.inventory() == msgspec.structs.replace(kept, unnamed=())
    assert io_manager.examine(kept.outputs[0]) is None


def test_folders_of_runs_go_with_their_last_output(io_manager: FsIOManager, folder: Path) -> None:
    for name in ("a", "b"):
        io_manager.handle_output(output(None, name), name * 9000)
    for each in io_manager.inventory().outputs:
        assert (folder / "runs/run-1").is_dir()
        io_manager.discard(each)
    assert not list((folder / "runs").iterdir())
    assert not list((folder / "data/runs").iterdir())


def test_what_cannot_be_removed_is_an_error(io_manager: FsIOManager, monkeypatch: pytest.MonkeyPatch) -> None:
    io_manager.handle_output(output(), 1)
    monkeypatch.setattr(io_manager._place, "remove", lambda path: None)  # as it is where nobody may write
    with pytest.raises(StorageError, match="could not be removed: it is there still"):
        io_manager.discard(one(io_manager))
    assert io_manager.has_output(output())


def test_to_list_what_is_kept_reads_each_manifest_once_and_no_data(
    io_manager: FsIOManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        io_manager.handle_output(output(f"{number:032x}"), "long" * 1000 if number % 2 else number)
    opened: list[str] = []

    def counting(path: Any, *rest: Any, really: Any = os.open, **more: Any) -> int:
        opened.append(os.path.basename(os.fsdecode(path)))
        return really(path, *rest, **more)

    monkeypatch.setattr(os, "open", counting)
    kept = io_manager.inventory()
    monkeypatch.undo()
    assert len(kept.outputs) == 100
    assert sorted(opened) == [f"{number:032x}.result.json" for number in range(100)]
