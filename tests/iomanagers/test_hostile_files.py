"""Data files that were made to do harm, by somebody who may write to the storage, where there is no key."""

from __future__ import annotations

import json
import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.lib import format as npy
from pyarrow import parquet
from xxhash import xxh3_128_hexdigest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import OutputLostError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.manifest import sealed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.iomanagers.conftest import CountingFileSystem


def output() -> OutputContext:
    return OutputContext("step", "result", "ab12", "run-1")


def load(io_manager: FsIOManager) -> Any:
    return io_manager.load_input(InputContext("value", output()))


def resealed(manifest: dict[str, Any]) -> bytes:
    """A manifest that is whole, whatever it says."""
    manifest.pop("check")
    return sealed(json.dumps(manifest).encode())


def replace_data(folder: Path, data: bytes) -> None:
    manifest = next(path for path in folder.rglob("*.json") if path.read_bytes().startswith(b'{"format"'))
    said = json.loads(manifest.read_bytes())
    said |= {"size": len(data), "digest": xxh3_128_hexdigest(data)}
    next(folder.rglob(said["data"])).write_bytes(data)
    manifest.write_bytes(resealed(said))


@pytest.mark.parametrize("dtype", ["O", [("a", "O"), ("b", "i8")]])
def test_addresses_of_objects_are_not_read_from_a_file(tmp_path: Path, dtype: Any) -> None:
    io_manager = FsIOManager(tmp_path)
    io_manager.handle_output(output(), np.arange(3))
    data = tmp_path / "hostile.npy"
    with data.open("wb") as file:
        npy.write_array_header_1_0(
            file, {"descr": npy.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": (2,)}
        )
        file.write(b"\x41" * 2 * np.dtype(dtype).itemsize)
    replace_data(tmp_path, data.read_bytes())
    with pytest.raises(OutputLostError, match="holds Python objects"):
        load(io_manager)


class Bomb:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("encoding", ["arrow", "parquet"])
def test_types_that_hold_pickles_are_not_made(tmp_path: Path, encoding: str) -> None:
    """PyArrow once unpickled the parameters of types that were defined in Python."""
    told = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Bomb(tmp_path / "canary"), 0),
    }
    hostile = pa.table([[1, 2]], schema=pa.schema([pa.field("a", pa.int64(), metadata=told)]))
    io_manager = FsIOManager(tmp_path / "outputs", encoding)
    io_manager.handle_output(output(), pa.table({"a": [1, 2]}))
    with (tmp_path / "hostile").open("wb") as file:
        if encoding == "parquet":
            parquet.write_table(hostile, file)
        else:
            with pa.ipc.new_file(file, hostile.schema) as writer:
                writer.write(hostile)
    replace_data(tmp_path / "outputs", (tmp_path / "hostile").read_bytes())
    assert load(io_manager).num_rows == 2
    assert not (tmp_path / "canary").exists()


def hostile_listing() -> tuple[list[dict[str, Any]], str]:
    """Links that each lead into the folder by their text, and together out of it."""
    deep = "model/" + "/".join("abcdefgh")
    folders = [deep[:end] for end in range(len("model"), len(deep) + 1, 2)]
    entries: list[dict[str, Any]] = [{"path": path, "kind": "folder"} for path in folders]
    entries.append({"path": f"{deep}/up", "kind": "link", "target": "../" * 7 + ".."})
    # By its text: eight folders down, eight up. In truth: at the root already, and from there up.
    entries.append({"path": "model/out", "kind": "link", "target": f"{deep.removeprefix('model/')}/up/" + "../" * 8})
    return entries, deep


def test_links_of_a_listing_cannot_lead_out_together(tmp_path: Path) -> None:
    entries, deep = hostile_listing()
    (tmp_path / "made").mkdir()
    (tmp_path / "made/file").write_text("x")
    io_manager = FsIOManager(tmp_path / "outputs", "path")
    io_manager.handle_output(output(), tmp_path / "made")
    folder = load(io_manager).parent
    (folder / "made/file").unlink()
    (folder / "made").rmdir()
    (folder / deep).mkdir(parents=True)
    for entry in entries:
        if entry["kind"] == "link":
            (folder / entry["path"]).symlink_to(entry["target"])
    assert not (folder / "model/out").resolve().is_relative_to(folder), "the links of this test are harmless"
    replace_data(tmp_path / "outputs", json.dumps(entries).encode())
    with pytest.raises(OutputLostError, match="leads out of its folder"):
        load(io_manager)


def test_nor_where_they_are_fetched(counting: type[CountingFileSystem], tmp_path: Path) -> None:
    entries, _ = hostile_listing()
    (tmp_path / "made").mkdir()
    io_manager = FsIOManager("counting://outputs", "path")
    io_manager.handle_output(output(), tmp_path / "made")
    system = counting()
    manifest = next(name for name in counting.store if system.cat_file(name).startswith(b'{"format"'))
    said = json.loads(system.cat_file(manifest))
    data = json.dumps(entries).encode()
    system.pipe_file(next(name for name in counting.store if name.endswith(said["data"])), data)
    said |= {"size": len(data), "digest": xxh3_128_hexdigest(data)}
    system.pipe_file(manifest, resealed(said))
    with pytest.raises(OutputLostError, match="leads out of its folder"):
        load(io_manager)
