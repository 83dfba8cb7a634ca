"""Housekeeping among files that are none of memo's: links, pipes, what may not be read, damaged manifests."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.places import place_at
from memo_iomanagers.signing import SigningKey

if TYPE_CHECKING:
    from memo.contracts.inventory import StoredOutput


def output(version: str = "ab12", mapping_key: str = "") -> OutputContext:
    return OutputContext("step", "result", version, "run-1", mapping_key)


def one(io_manager: FsIOManager) -> StoredOutput:
    (found,) = io_manager.inventory().outputs
    return found


def below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody, whose files look like those of a storage."""
    root = tmp_path / "outside"
    (root / "ab").mkdir(parents=True)
    (root / "thesis.txt").write_text("of ten years")
    (root / "ab/ab99.result.json").write_text("{}")
    (root / "ab/ab99.result.0123456789abcdef.pkl").write_text("data")
    return root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    root.mkdir()
    (root / "weights.bin").write_bytes(b"w" * 1000)
    return root


def keep_house(io_manager: FsIOManager) -> None:
    """Do all that housekeeping does to everything there is."""
    for kept in (io_manager.inventory(), io_manager.inventory()):
        for each in kept.outputs:
            if each.wrong is not None or io_manager.examine(each) is not None:
                io_manager.quarantine(each)
        io_manager.remove_unnamed(kept.unnamed)
    for each in io_manager.inventory().outputs:
        io_manager.discard(each)
    io_manager.sweep()


def test_a_link_in_the_place_of_the_files_beside_is_moved_and_not_followed(
    folder: Path, tree: Path, outside: Path
) -> None:
    io_manager = FsIOManager(folder, "path")
    io_manager.handle_output(output(), tree)
    (side,) = folder.rglob("*.d")
    side.rename(folder.parent / "moved")
    side.symlink_to(outside)
    before = below(outside)
    found = one(io_manager)
    assert io_manager.examine(found)
    moved = Path(io_manager.quarantine(found) or "")
    assert (moved / side.name).is_symlink()
    assert not os.path.lexists(side)
    assert below(outside) == before
    assert not io_manager.inventory().unnamed


@pytest.mark.parametrize("where", ["data", "versioned", "data/versioned", "versioned/ab", "data/versioned/ab"])
@pytest.mark.parametrize("stored", [True, False])
def test_nothing_behind_a_link_is_touched(folder: Path, outside: Path, where: str, *, stored: bool) -> None:
    io_manager = FsIOManager(folder)
    if stored:
        io_manager.handle_output(output(), 1)
        if (folder / where).exists():
            (folder / where).rename(folder.parent / "moved")
    (folder / where).parent.mkdir(parents=True, exist_ok=True)
    (folder / where).symlink_to(outside)
    before = below(outside)
    keep_house(io_manager)
    assert below(outside) == before
    assert (folder / where).is_symlink()


def test_journals_behind_a_link_are_not_taken_for_ours(folder: Path, outside: Path) -> None:
    (outside / "notes").write_text("")
    folder.mkdir()
    (folder / "writing").symlink_to(outside)
    before = below(outside)
    FsIOManager(folder).sweep()
    assert below(outside) == before
    (folder / "writing").unlink()
    (folder / "writing").mkdir()
    (folder / "writing/link").symlink_to(outside / "notes")
    os.mkfifo(folder / "writing/pipe")
    FsIOManager(folder).sweep()
    assert below(outside) == before
    place = place_at(folder)
    (folder / "data").symlink_to(outside)
    place.remove("data/thesis.txt")
    place.remove_folder("data/ab")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        place.move("data/thesis.txt", "versioned/thesis.txt")
    place.remove_folder("data")
    assert below(outside) == before
    assert not (folder / "data").exists()


def test_an_output_whose_data_lies_behind_a_link_counts_as_it_did(folder: Path) -> None:
    """Somebody keeps the data on a larger disk."""
    io_manager = FsIOManager(folder)
    io_manager.handle_output(output(), b"x" * 9000)
    (folder / "data").rename(folder.parent / "disk")
    (folder / "data").symlink_to(folder.parent / "disk")
    found = one(io_manager)
    assert (found.wrong, io_manager.examine(found)) == (None, None)
    assert io_manager.load_input(InputContext("value", output())) == b"x" * 9000


def test_an_empty_folder_behind_a_link_stays(folder: Path) -> None:
    io_manager = FsIOManager(folder)
    io_manager.handle_output(OutputContext("step", "result", None, "run-1"), b"x" * 9000)
    (folder / "data").rename(folder.parent / "disk")
    (folder / "data").symlink_to(folder.parent / "disk")
    (data,) = (path for path in (folder.parent / "disk").rglob("*.pkl"))
    data.unlink()
    assert io_manager.discard(one(io_manager))
    assert data.parent.is_dir()
    assert not (folder / "runs/run-1").exists()


@pytest.mark.parametrize("length", [0, 40, 200])
@pytest.mark.parametrize("mapping_key", ["", "0123456789abcdef"])
def test_the_data_of_a_damaged_manifest_is_its_own(folder: Path, tree: Path, length: int, mapping_key: str) -> None:
    io_manager = FsIOManager(folder, "path")
    io_manager.handle_output(output(mapping_key=mapping_key), tree)
    other = output(mapping_key="" if mapping_key else "0123456789abcdef")
    io_manager.handle_output(other, tree)
    whole = {each.address: each for each in io_manager.inventory().outputs}
    (manifest,) = [
        path for path in folder.glob("versioned/*/*.json") if ("0123456789abcdef" in path.name) == bool(mapping_key)
    ]
    manifest.write_bytes(manifest.read_bytes()[:length])
    kept = io_manager.inventory()
    assert kept.unnamed == ()
    (damaged,) = [each for each in kept.outputs if each.wrong is not None]
    assert damaged.size == length + whole[damaged.address].size - _manifest_size(whole, folder, damaged, other)
    assert kept.size == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) - _journals(folder)
    moved = Path(io_manager.quarantine(damaged) or "")
    assert sorted(path.name.rpartition(".")[2] for path in moved.iterdir()) == ["d", "json", "json"]
    after = io_manager.inventory()
    assert after.unnamed == ()
    assert [io_manager.examine(each) for each in after.outputs] == [None]


def _journals(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "writing").iterdir())


def _manifest_size(whole: dict[str, StoredOutput], folder: Path, damaged: StoredOutput, other: OutputContext) -> int:
    """Bytes of the manifest as it was: that of the other one and its data are as long, but for what names them."""
    data = sum(path.stat().st_size for path in folder.rglob("data/**/*") if _is_of(path, damaged.address))
    return whole[damaged.address].size - data


def _is_of(path: Path, address: str) -> bool:
    stem = address.rpartition("/")[2]
    names = [part for part in path.parts if part.startswith(f"{stem}.")]
    return (
        path.is_file()
        and bool(names)
        and len(names[0].removeprefix(f"{stem}.").split(".")[0]) == 16
        and (names[0].removeprefix(f"{stem}.").split(".")[1] == "tree")
    )


def test_what_is_no_file_is_passed_over(folder: Path) -> None:
    io_manager = FsIOManager(folder)
    io_manager.handle_output(output(), b"x" * 9000)
    os.mkfifo(folder / "versioned/ab/ab13.result.json")
    os.mkfifo(folder / "data/versioned/ab/ab13.result.0123456789abcdef.pkl")
    (folder / "versioned/ab/ab14.result.json").symlink_to("/dev/zero")
    (folder / "versioned/ab/ab15.result.json").symlink_to(folder / "versioned/ab/ab13.result.json")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder / "versioned/ab")
        try:
            listening.bind("s.json")
        finally:
            os.chdir(here)
        kept = io_manager.inventory()
    assert len(kept.outputs) == 1
    assert (kept.unnamed, kept.unreadable) == ((), ())
    assert io_manager.examine(one(io_manager)) is None
    (data,) = [path for path in folder.rglob("*.pkl") if path.is_file()]
    data.unlink()
    os.mkfifo(data)
    assert "gone" in (io_manager.examine(one(io_manager)) or "")
    with pytest.raises(OutputLostError):
        io_manager.load_input(InputContext("value", output()))


def test_one_that_cannot_be_read_keeps_nobody_from_the_others(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    io_manager = FsIOManager(folder)
    for version in ("ab12", "cd12", "ef12"):
        io_manager.handle_output(output(version), version * 1000)
    total = io_manager.inventory().size
    scandir, open_file = os.scandir, os.open
    shut = {f"{folder}/versioned/cd", f"{folder}/data/versioned/ef", f"{folder}/versioned/ab/ab12.result.json"}

    def listed(path: str) -> os._ScandirIterator[str]:
        if path in shut:
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    def opened(path: str, flags: int, mode: int = 0o777) -> int:
        if path in shut:
            raise PermissionError(13, "Permission denied", path)
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "scandir", listed)  # root may read anything
    monkeypatch.setattr(os, "open", opened)
    kept = io_manager.inventory()
    assert {each.place for each in kept.unreadable} == shut
    assert {each.reason for each in kept.unreadable} == {"permission is denied"}
    assert (kept.outputs, kept.unnamed) == ((), ()), "what may belong to it was taken for nobody's"
    monkeypatch.undo()
    hidden = sum(path.stat().st_size for path in (folder / "versioned/cd").iterdir())
    hidden += sum(path.stat().st_size for path in (folder / "data/versioned/ef").iterdir())
    assert kept.size == total - hidden


def test_what_is_signed_with_another_key_is_no_damage(folder: Path) -> None:
    ours, theirs = (SigningKey(letter.encode() * 32) for letter in "ab")
    FsIOManager(folder, signing_key=theirs).handle_output(output(), 1)
    io_manager = FsIOManager(folder, signing_key=ours)
    found = one(io_manager)
    assert (found.untrusted, found.wrong, found.step_key) == (True, None, "step")
    with pytest.raises(StorageError, match="its signature does not fit the key"):
        io_manager.examine(found)
    (manifest,) = folder.glob("versioned/*/*.json")
    manifest.write_bytes(manifest.read_bytes().replace(b"pickle", b"pickly"))
    found = one(io_manager)
    assert not found.untrusted
    assert found.wrong
