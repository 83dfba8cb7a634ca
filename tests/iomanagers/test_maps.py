"""Large values are mapped: nothing is read until it is touched, and nobody's changes reach anybody else."""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from xxhash import xxh3_128_hexdigest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.manifest import sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LARGE = 100_000
CONTEXT = OutputContext("step", "result", "ab12", "run-1")
OTHER = OutputContext("step", "other", "cd34", "run-1")

MAPPED: dict[str, Callable[[float], Any]] = {
    "pickle": lambda seed: {"a": np.full(LARGE, seed), "b": [seed], "c": np.full((LARGE, 2), seed)},
    "frame": lambda seed: pd.DataFrame({"a": np.full(LARGE, seed), "b": "text"}),
    "numpy": lambda seed: np.full(LARGE, seed),
    "arrow": lambda seed: pa.table({"a": np.full(LARGE, seed)}),
    "list": lambda seed: [seed] * LARGE,
    "bytes": lambda seed: bytes([int(seed)]) * LARGE,
}


@pytest.fixture(params=MAPPED)
def made(request: pytest.FixtureRequest) -> Any:
    return MAPPED[request.param]


def load(io_manager: FsIOManager, context: OutputContext = CONTEXT) -> Any:
    return io_manager.load_input(InputContext("value", context))


def data_of(folder: Path, name: str = "ab12") -> Path:
    (found,) = [path for path in folder.rglob(f"{name}*") if path.suffix != ".json"]
    return found


def plain(value: Any) -> Any:
    """All of the content, in memory of its own."""
    return pickle.loads(pickle.dumps(value.to_pydict() if isinstance(value, pa.Table) else value))


def same(one: Any, other: Any) -> bool:
    return pickle.dumps(plain(one)) == pickle.dumps(plain(other))


def test_what_a_reader_changes_is_its_own(io_manager: FsIOManager, folder: Path) -> None:
    frame = pd.DataFrame({"a": np.zeros(LARGE), "b": np.arange(LARGE)})
    io_manager.handle_output(CONTEXT, {"array": np.zeros(LARGE), "frame": frame})
    io_manager.handle_output(OTHER, np.zeros(LARGE))
    stored = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    sibling = load(io_manager)
    for _ in range(2):
        loaded, array = load(io_manager), load(io_manager, OTHER)
        loaded["array"][:] = 7
        loaded["frame"].loc[:, "a"] = 8.0
        loaded["frame"]["b"].to_numpy(copy=False)
        loaded["frame"].iloc[5, 1] = -1
        array += 9
        assert loaded["array"].sum() == 7 * LARGE
        assert array.sum() == 9 * LARGE
    assert sibling["array"].sum() == 0
    assert sibling["frame"].equals(frame)
    assert {path: path.read_bytes() for path in stored} == stored
    verifying = FsIOManager(folder, verify=True)
    assert load(verifying)["array"].sum() == load(verifying, OTHER).sum() == 0


def test_a_value_that_is_replaced_or_removed_while_it_is_mapped_stays(
    io_manager: FsIOManager, folder: Path, made: Any
) -> None:
    io_manager.handle_output(CONTEXT, made(3.0))
    loaded = load(io_manager)
    io_manager.handle_output(CONTEXT, made(4.0))
    assert same(load(io_manager), made(4.0))
    shutil.rmtree(folder)
    gc.collect()
    assert same(loaded, made(3.0))


def test_nothing_stays_open_once_the_value_is_gone(io_manager: FsIOManager, made: Any) -> None:
    io_manager.handle_output(CONTEXT, made(3.0))
    load(io_manager)
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    held = [load(io_manager) for _ in range(3)]
    del held
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
    with open("/proc/self/maps", encoding="ascii") as maps:
        assert "ab12.result" not in maps.read()


def test_the_buffers_of_a_pickle_lie_aligned_behind_it(io_manager: FsIOManager, folder: Path) -> None:
    array = np.arange(LARGE * 1.0)
    io_manager.handle_output(CONTEXT, {"a": array, "small": np.arange(3)})
    raw = data_of(folder).read_bytes()
    start = raw.index(array.tobytes())
    assert start % 64 == 0
    buffers = [raw[start : start + array.nbytes]]
    assert np.array_equal(pickle.loads(raw, buffers=buffers)["a"], array)
    loaded = load(io_manager)
    assert loaded["a"].ctypes.data % 64 == 0
    assert len(raw) < array.nbytes + 1000


def test_what_format_1_stored_is_still_read(io_manager: FsIOManager, folder: Path) -> None:
    value = {"a": np.arange(LARGE)}
    io_manager.handle_output(CONTEXT, value)
    data, manifest = data_of(folder), folder / "versioned/ab/ab12.result.json"
    data.write_bytes(pickle.dumps(value, protocol=5))
    told = msgspec.json.decode(manifest.read_bytes())
    del told["mtime_ns"]
    told |= {"format": 1, "size": data.stat().st_size, "digest": xxh3_128_hexdigest(data.read_bytes())}
    manifest.write_bytes(sealed(msgspec.json.encode(told)))
    assert io_manager.has_output(CONTEXT)
    assert np.array_equal(load(io_manager)["a"], value["a"])


# What is not whole.


def flip(data: Path) -> None:
    with data.open("r+b") as file:
        file.seek(data.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def swap(data: Path, other: Path) -> None:
    data.rename(f"{data}.x")
    other.rename(data)
    os.rename(f"{data}.x", other)


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "truncated": lambda data, _: os.truncate(data, data.stat().st_size // 2),
    "grown": lambda data, _: data.write_bytes(data.read_bytes() + b"."),
    "emptied": lambda data, _: data.write_bytes(b""),
    "deleted": lambda data, _: data.unlink(),
    "swapped": swap,
    "overwritten": lambda data, other: data.write_bytes(other.read_bytes()),
    "copied over": lambda data, other: shutil.copy2(other, data),
    "zeros": lambda data, _: data.write_bytes(bytes(data.stat().st_size)),
    "a bit in the middle": lambda data, _: flip(data),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_large_file_that_was_touched_is_a_miss_that_names_it(
    io_manager: FsIOManager, folder: Path, made: Any, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    io_manager.handle_output(CONTEXT, made(3.0))
    io_manager.handle_output(OTHER, made(4.0))
    data = data_of(folder)
    DAMAGES[damage](data, data_of(folder, "cd34"))
    with pytest.raises(OutputLostError) as lost:
        load(io_manager)
    assert str(data) in str(lost.value)
    assert str(lost.value).endswith("it counts as not stored, and is made again when it is needed")
    caplog.clear()
    found = io_manager.has_output(CONTEXT)
    assert found is False
    if damage in {"truncated", "grown", "emptied", "deleted"} and (folder / "versioned/ab/ab12.result.json").exists():
        assert str(data) in caplog.text
    io_manager.handle_output(CONTEXT, made(5.0))
    assert same(load(io_manager), made(5.0))


def test_a_copy_of_a_storage_is_read(io_manager: FsIOManager, folder: Path, made: Any) -> None:
    io_manager.handle_output(CONTEXT, made(3.0))
    shutil.copytree(folder, folder.parent / "kept", copy_function=shutil.copy)
    shutil.copytree(folder, folder.parent / "exact")
    for name in ("kept", "exact"):
        assert same(load(FsIOManager(folder.parent / name)), made(3.0))


def test_a_failing_disk_shows_where_everything_is_verified(io_manager: FsIOManager, folder: Path, made: Any) -> None:
    io_manager.handle_output(CONTEXT, made(3.0))
    data = data_of(folder)
    times = data.stat()
    flip(data)
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(OutputLostError, match="its digest differs"):
        load(FsIOManager(folder, verify=True))


@pytest.mark.parametrize("place", [0, -1, -20, -60, -90])
def test_the_end_of_a_pickle_is_checked_though_its_buffers_are_not(
    io_manager: FsIOManager, folder: Path, place: int
) -> None:
    io_manager.handle_output(CONTEXT, MAPPED["pickle"](3.0))
    data = data_of(folder)
    times, raw = data.stat(), bytearray(data.read_bytes())
    raw[place] ^= 1
    data.write_bytes(raw)
    os.utime(data, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises((OutputLostError, StorageError)):
        load(io_manager)


def test_the_digest_of_what_came_from_elsewhere_is_always_compared(made: Any, counting: Any) -> None:
    io_manager = FsIOManager("counting://bucket")
    io_manager.handle_output(CONTEXT, made(3.0))
    (name,) = [name for name in counting.store if not name.endswith(".json")]
    raw = bytearray(counting.store[name].getvalue())
    raw[len(raw) // 2] ^= 1
    counting.store[name].seek(0)
    counting.store[name].write(bytes(raw))
    with pytest.raises(OutputLostError, match="its digest differs"):
        load(io_manager)


def test_a_large_value_from_elsewhere_is_mapped_too(counting: Any, tmp_path: Path) -> None:
    io_manager = FsIOManager("counting://bucket")
    value = np.arange(3_000_000.0)
    io_manager.handle_output(CONTEXT, value)
    counting.asked.clear()
    loaded = load(io_manager)
    assert counting.asked.count("cat_file") == 1, "the value itself was read into memory"
    loaded[0] = -1
    assert np.array_equal(load(io_manager), value)


# What it costs.


MEASURE = """
import sys, time
import numpy, pandas, pyarrow
from pathlib import Path
from memo.contracts.io_manager import InputContext, OutputContext
from memo_iomanagers.filesystem import FsIOManager

io_manager = FsIOManager(sys.argv[1])
held = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096
load = lambda name: io_manager.load_input(InputContext("value", OutputContext("step", "result", name)))
load("small" + sys.argv[2])
before, begun = held(), time.process_time()
value = load(sys.argv[2])
touch = {
    "frame": lambda: value.iloc[1000],
    "table": lambda: value.slice(1000, 1).to_pydict(),
    "array": lambda: value[1000],
}
row = touch[sys.argv[2]]()
print(held() - before, time.process_time() - begun)
"""


@pytest.mark.parametrize("kind", ["frame", "table", "array"])
def test_a_large_value_takes_no_memory_until_it_is_touched(tmp_path: Path, kind: str) -> None:
    io_manager = FsIOManager(tmp_path)
    for name, rows in ((f"small{kind}", 10_000), (kind, 2_500_000)):
        array = np.zeros((8, rows)).T
        value: Any = array
        if kind == "frame":
            value = pd.DataFrame(array)
        elif kind == "table":
            value = pa.table({str(place): array[:, place] for place in range(8)})
        io_manager.handle_output(OutputContext("step", "result", name, "run"), value)
    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path), kind], check=True, capture_output=True, text=True
    )
    memory = int(ended.stdout.split()[0])
    assert memory < 20_000_000, f"{memory:,} bytes for a row of 160,000,000"


def test_what_one_step_changes_its_sibling_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memo import execute_job, job, op

    @op
    def make() -> Any:
        return np.zeros(LARGE)

    @op
    def spoil(array: Any) -> float:
        array[:] = 5
        return float(array.sum())

    @op
    def look(array: Any, after: float) -> float:
        return float(array.sum()) + after

    @job
    def passing() -> None:
        array = make()
        look(array, spoil(array))

    monkeypatch.chdir(tmp_path)
    result = execute_job(passing, tmp_path / ".memo")
    assert result.output_for_node("look") == 5 * LARGE
    assert execute_job(passing, tmp_path / ".memo").output_for_node("make").sum() == 0
