"""Outputs in files: stored whole or not at all, and never another value than the one that was stored."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tracemalloc
from base64 import b64decode
from pathlib import Path
from threading import Event, Lock, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from xxhash import xxh3_128_hexdigest

from memo.contracts.io_manager import InputContext, OutputContext, Provenance, Storage, StoredValue
from memo.errors import InvocationError, OutputLostError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.manifest import LARGEST_VALUE, sealed
from memo_iomanagers.memory import MEM, MemIOManager
from memo_iomanagers.offered import FS, FsConfig
from memo_iomanagers.places import place_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.iomanagers.conftest import CountingFileSystem


LONG = "some text" * 1000
"""Too long to stand in a manifest."""


def output(name: str = "result", version: str | None = "ab12", run_id: str | None = "run-1") -> OutputContext:
    return OutputContext("step", name, version, run_id)


def load(io_manager: FsIOManager, context: OutputContext) -> Any:
    return io_manager.load_input(InputContext("value", context))


def files(io_manager_or_folder: Any) -> list[Path]:
    folder = io_manager_or_folder
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.parent.name != "writing")


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    caplog.set_level("WARNING", "memo.run")

    class Messages(list[str]):
        def take(self) -> list[str]:
            taken = [record.getMessage() for record in caplog.records]
            caplog.clear()
            return taken

    return Messages()  # type: ignore[return-value]


# What is stored.


def test_an_output_is_a_manifest_and_the_data_it_names(io_manager: FsIOManager, folder: Path) -> None:
    provenance = Provenance("job", "content key", "content digest", 1.5, 1_700_000_000.0)
    context = OutputContext("a.step", "result", "ab12", "run-1", "key", provenance=provenance)
    io_manager.handle_output(context, {"a": LONG})
    data, manifest = files(folder)
    assert manifest == folder / "versioned/ab/ab12.result.key.json"
    assert data.parent == folder / "data/versioned/ab"
    told = msgspec.json.decode(manifest.read_bytes())
    assert told == {
        "format": 1,
        "encoding": "pickle",
        "data": data.name,
        "size": data.stat().st_size,
        "digest": xxh3_128_hexdigest(data.read_bytes()),
        "output": "result",
        "step_key": "a.step",
        "version": "ab12",
        "run_id": "run-1",
        "mapping_key": "key",
        "provenance": {
            "job_name": "job",
            "content_key": "content key",
            "content_digest": "content digest",
            "seconds": 1.5,
            "created_at": 1_700_000_000.0,
        },
        "check": told["check"],
    }
    assert sealed(manifest.read_bytes().partition(b',"check"')[0] + b"}") == manifest.read_bytes()
    assert pickle.loads(data.read_bytes()) == {"a": LONG}
    assert context.stored is not None
    assert (context.stored.place, context.stored.size, context.stored.digest) == (
        str(data),
        told["size"],
        told["digest"],
    )


@pytest.mark.parametrize("signing_key", [None, b"0123456789abcdef"])
def test_a_small_pickle_stands_in_its_manifest(folder: Path, signing_key: bytes | None) -> None:
    io_manager = FsIOManager(folder, signing_key=signing_key)
    context = output()
    io_manager.handle_output(context, {"a": 1})
    (manifest,) = files(folder)
    told = msgspec.json.decode(manifest.read_bytes())
    value = b64decode(told["value"])
    assert pickle.loads(value) == {"a": 1}
    assert (told["size"], told["digest"]) == (len(value), xxh3_128_hexdigest(value))
    assert context.stored == StoredValue(str(manifest), told["size"], told["digest"])
    (seen,) = io_manager.inventory().outputs
    assert (seen.place, seen.size, seen.wrong) == (str(manifest), manifest.stat().st_size, None)
    assert io_manager.examine(seen) is None
    moved = Path(io_manager.quarantine(seen) or "")
    assert [path.name for path in moved.iterdir()] == ["manifest.json"]
    assert files(folder) == [moved / "manifest.json"]


def test_a_value_has_a_file_where_its_manifest_would_outgrow_a_block(io_manager: FsIOManager, folder: Path) -> None:
    empty = len(pickle.dumps("", protocol=5))
    for size, count in ((LARGEST_VALUE, 1), (LARGEST_VALUE + 1, 2), (LARGEST_VALUE, 1), (LARGEST_VALUE - 1, 1)):
        value = "x" * (size - empty)
        value = value[: len(value) - (len(pickle.dumps(value, protocol=5)) - size)]
        provenance = Provenance("a" * 40, "0" * 32, "0" * 32, 1.5, 1_700_000_000.0, "0" * 32, "0" * 32)
        context = output(version="0" * 32)
        context.provenance = provenance
        io_manager.handle_output(context, value)
        assert load(io_manager, context) == value
        (stored,) = io_manager.inventory().outputs
        assert (len(pickle.dumps(value, protocol=5)), len(files(folder))) == (size, count)
        assert stored.size <= 4096
        assert io_manager.inventory().unnamed == ()


def test_formats_that_other_programs_read_have_files_of_their_own(folder: Path) -> None:
    for encoding, value in (("json", [1]), ("text", "a"), ("bytes", b"a"), ("numpy", np.arange(2))):
        FsIOManager(folder / encoding, encoding).handle_output(output(), value)
        assert len(files(folder / encoding)) == 2
    FsIOManager(folder / "auto").handle_output(output(), np.arange(2))
    assert [path.suffix for path in files(folder / "auto")] == [".npy", ".json"]


def test_a_manifest_tells_the_content_digest(io_manager: FsIOManager) -> None:
    contexts = [output("a"), output("b"), output("c")]
    contexts[0].provenance = Provenance(content_digest="d1")
    contexts[2].provenance = Provenance(content_digest="d3")
    for context in contexts:
        io_manager.handle_output(context, 1)
    asked = [*contexts, output("d"), output("a", None, None)]
    assert io_manager.content_digests(asked) == ["d1", None, "d3", None, None]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner) | st.frozensets(st.text())
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values)
def test_any_plain_value_comes_back(io_manager: FsIOManager, value: Any) -> None:
    io_manager.handle_output(output(), value)
    loaded = load(io_manager, output())
    assert (type(loaded), loaded) == (type(value), value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1_000_000.0).reshape(1000, 1000),
        np.asfortranarray(np.arange(1_000_000.0).reshape(1000, 1000)),
        np.arange(1_000_000.0)[::2],
        np.array(["a", None, {1}], dtype=object),
        np.zeros((0, 3)),
        np.array(5),
    ],
)
def test_arrays_come_back(io_manager: FsIOManager, array: Any) -> None:
    io_manager.handle_output(output(), array)
    loaded = load(io_manager, output())
    assert loaded.dtype == array.dtype
    assert np.array_equal(loaded, array)
    assert loaded.flags.writeable


def test_frames_come_back(io_manager: FsIOManager) -> None:
    frame = pd.DataFrame({"a": range(100_000), "b": "text", "c": pd.date_range("2020", periods=100_000, tz="UTC")})
    io_manager.handle_output(output(), frame)
    pd.testing.assert_frame_equal(load(io_manager, output()), frame)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_value_is_not_copied_on_its_way_to_the_file(io_manager: FsIOManager, order: Any) -> None:
    value = {"array": np.zeros((4_000, 2_000), order=order), "bytes": bytes(64_000_000)}
    tracemalloc.start()
    io_manager.handle_output(output(), value)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000, f"{peak:,} bytes were taken to store 128,000,000"


def test_loading_takes_the_memory_of_the_value_alone(io_manager: FsIOManager) -> None:
    io_manager.handle_output(output(), np.zeros(8_000_000))
    tracemalloc.start()
    loaded = load(io_manager, output())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < loaded.nbytes * 1.05


# Replacing.


def test_replacing_leaves_one_data_file(io_manager: FsIOManager, folder: Path) -> None:
    for value in ("a", "b", LONG, LONG + "c", "d", LONG):
        io_manager.handle_output(output(), value)
        assert load(io_manager, output()) == value
        assert len(files(folder)) == (1 if len(value) == 1 else 2)


def test_a_failed_replacement_leaves_what_was(io_manager: FsIOManager, folder: Path) -> None:
    io_manager.handle_output(output(), "good")
    before = files(folder)
    with pytest.raises(StorageError):
        io_manager.handle_output(output(), [b"x" * 1_000_000, Lock()])
    assert files(folder) == before
    assert load(io_manager, output()) == "good"


def test_a_garbled_manifest_can_be_replaced(io_manager: FsIOManager, folder: Path) -> None:
    io_manager.handle_output(output(), 1)
    (folder / "versioned/ab/ab12.result.json").write_bytes(b"\x00garbage")
    io_manager.handle_output(output(), 2)
    assert load(io_manager, output()) == 2


def test_readers_never_lose_an_output_that_is_being_replaced(io_manager: FsIOManager) -> None:
    io_manager.handle_output(output(), 0)
    done = Event()

    def replace() -> None:
        try:
            for value in range(1, 400):
                io_manager.handle_output(output(), value)
        finally:
            done.set()

    writer = Thread(target=replace)
    writer.start()
    last, reads = 0, 0
    while not done.is_set():
        value = load(io_manager, output())
        assert value >= last
        assert io_manager.has_output(output())
        last, reads = value, reads + 1
    writer.join()
    assert reads > 10
    assert load(io_manager, output()) == 399


# What is not whole.


def test_what_a_killed_run_left_behind_is_not_seen(folder: Path, warnings: Any) -> None:
    script = f"""
import os, signal
from memo.contracts.io_manager import OutputContext
from memo_iomanagers.filesystem import FsIOManager

class Kills:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)

context = OutputContext("step", "result", "ab12", "run-1")
FsIOManager({str(folder)!r}).handle_output(context, [b"x" * 1_000_000, Kills()])
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = files(folder)
    assert left.suffix == ".pkl"
    assert left.stat().st_size >= 1_000_000
    io_manager = FsIOManager(folder)
    assert io_manager.has_output(output()) is False
    assert warnings.take() == []
    with pytest.raises(OutputLostError, match="is not stored"):
        load(io_manager, output())
    io_manager.handle_output(output(), "whole")
    assert load(io_manager, output()) == "whole"


def test_another_process_finds_it(io_manager: FsIOManager, folder: Path) -> None:
    io_manager.handle_output(output(), {"a": [1, 2]})
    script = f"""
from memo.contracts.io_manager import InputContext, OutputContext
from memo_iomanagers.filesystem import FsIOManager

io_manager = FsIOManager({str(folder)!r})
context = OutputContext("renamed", "result", "ab12")
assert io_manager.has_output(context)
print(io_manager.load_input(InputContext("value", context)))
"""
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout == "{'a': [1, 2]}\n"


def recorded(context: OutputContext) -> OutputContext:
    """An output as the run that has stored it asks for it."""
    assert context.stored is not None
    return replace(context, digest=context.stored.digest)


def test_what_a_run_has_just_stored_it_loads_as_it_stored_it(io_manager: FsIOManager, folder: Path) -> None:
    context = output()
    io_manager.handle_output(context, ["value"])
    (manifest,) = files(folder)
    manifest.write_bytes(b"damaged")
    first, second = (load(io_manager, recorded(context)) for _ in range(2))
    assert first == second == ["value"]
    assert first is not second
    assert io_manager.has_output(output()) is False
    with pytest.raises(OutputLostError, match="not a whole manifest"):
        load(io_manager, output())


def test_what_another_has_stored_meanwhile_is_loaded_for_who_asks_for_it(io_manager: FsIOManager, folder: Path) -> None:
    first, second = output(), output()
    io_manager.handle_output(first, 1)
    FsIOManager(folder).handle_output(second, 2)
    assert load(io_manager, recorded(first)) == 1
    assert load(io_manager, recorded(second)) == load(io_manager, output()) == 2


def test_a_manifest_cut_anywhere_is_a_miss_with_one_warning(
    io_manager: FsIOManager,
    folder: Path,
    warnings: Any,
) -> None:
    io_manager.handle_output(output(), "value")
    manifest = folder / "versioned/ab/ab12.result.json"
    whole = manifest.read_bytes()
    for length in range(len(whole)):
        manifest.write_bytes(whole[:length])
        assert io_manager.has_output(output()) is False
        (said,) = warnings.take()
        assert str(manifest) in said
        assert io_manager.has_outputs([output()]) == [False]
        assert len(warnings.take()) == 1
        with pytest.raises(OutputLostError, match="not a whole manifest"):
            load(io_manager, output())


def test_no_changed_bit_makes_another_value(io_manager: FsIOManager, folder: Path) -> None:
    value = {"rows": [1, 2.5, "text", b"bytes"]}
    io_manager.handle_output(output(), value)
    stored = {file: file.read_bytes() for file in files(folder)}
    for file, whole in stored.items():
        for place in range(len(whole)):
            for bit in (1, 32, 128):
                damaged = bytearray(whole)
                damaged[place] ^= bit
                for each, content in stored.items():
                    each.write_bytes(content)
                file.write_bytes(damaged)
                try:
                    assert load(io_manager, output()) == value
                except OutputLostError:
                    continue
                assert file.suffix == ".json", "a changed data file was loaded"
    for file, whole in stored.items():
        file.write_bytes(whole)
    assert load(io_manager, output()) == value


@pytest.mark.parametrize(
    ("damage", "what", "seen_by_has_output"),
    [
        (lambda data: data.unlink(), "is gone", True),
        (lambda data: data.write_bytes(data.read_bytes()[:-1]), "bytes, and", True),
        (lambda data: data.write_bytes(data.read_bytes() + b"."), "bytes, and", True),
        (lambda data: data.write_bytes(b""), "has 0 bytes", True),
        (lambda data: data.write_bytes(bytes(data.stat().st_size)), "its digest differs", False),
    ],
)
def test_damaged_data_is_a_miss(
    io_manager: FsIOManager,
    folder: Path,
    warnings: Any,
    damage: Any,
    what: str,
    seen_by_has_output: bool,
) -> None:
    io_manager.handle_output(output(), ["some", LONG])
    (data,) = folder.rglob("*.pkl")
    damage(data)
    assert io_manager.has_output(output()) is not seen_by_has_output
    assert io_manager.has_outputs([output()]) == [not seen_by_has_output]
    said = warnings.take()
    assert len(said) == (2 if seen_by_has_output else 0)
    assert all(str(data) in each and what in each for each in said)
    with pytest.raises(OutputLostError, match=what) as lost:
        load(io_manager, output())
    assert str(lost.value).startswith("output 'result' of step 'step': ")
    assert str(lost.value).endswith("; it counts as not stored, and is made again when it is needed")
    io_manager.handle_output(output(), "anew")
    assert load(io_manager, output()) == "anew"


def test_a_pickle_that_memo_did_not_store_is_never_unpickled(io_manager: FsIOManager, folder: Path) -> None:
    io_manager.handle_output(output(), LONG)
    (data,) = folder.rglob("*.pkl")
    harm = pickle.dumps(SimpleNamespace(run=print)).ljust(data.stat().st_size, b".")
    touched = folder / "touched"
    harm = b"cos\nmkdir\n(V" + str(touched).encode() + b"\ntR."
    data.write_bytes(harm.ljust(data.stat().st_size, b"."))
    with pytest.raises(OutputLostError, match="its digest differs"):
        load(io_manager, output())
    assert not touched.exists()
    pickle.loads(data.read_bytes())
    assert touched.exists(), "the pickle under test does no harm: the test proves nothing"


def test_another_outputs_manifest_is_not_taken(io_manager: FsIOManager, folder: Path, warnings: Any) -> None:
    other = output("other", "ab99")
    io_manager.handle_output(other, "other")
    io_manager.handle_output(output(), "own")
    manifest = folder / "versioned/ab/ab12.result.json"
    stolen = msgspec.json.decode((folder / "versioned/ab/ab99.other.json").read_bytes())
    for data in (stolen["data"], "ab12.result.x.pkl", "../../x", "ab12.result./../../../x"):
        manifest.write_bytes(sealed(msgspec.json.encode({**stolen, "data": data})))
        assert io_manager.has_output(output()) is False
        assert len(warnings.take()) == 1


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"format": 2}, "has format 2, and this memo reads format 1"),
        ({"encoding": "cuneiform"}, "encoded as 'cuneiform'"),
        ({"size": -1}, "not a whole manifest"),
        ({"size": "5"}, "not a whole manifest"),
        ({"version": "ab13"}, "belongs to another output"),
        ({"output": "other"}, "belongs to another output"),
        ({"mapping_key": "key"}, "belongs to another output"),
        ({"data": "/etc/passwd"}, "cannot be its own"),
    ],
)
def test_a_manifest_that_does_not_fit_is_a_miss(
    io_manager: FsIOManager,
    folder: Path,
    warnings: Any,
    changed: dict[str, Any],
    what: str,
) -> None:
    io_manager.handle_output(output(), 1)
    manifest = folder / "versioned/ab/ab12.result.json"
    manifest.write_bytes(sealed(msgspec.json.encode({**msgspec.json.decode(manifest.read_bytes()), **changed})))
    assert io_manager.has_output(output()) is False
    (said,) = warnings.take()
    assert what in said
    with pytest.raises(OutputLostError, match=what):
        load(io_manager, output())


def test_an_output_of_a_run_belongs_to_its_step(io_manager: FsIOManager, folder: Path, warnings: Any) -> None:
    context = output(version=None)
    io_manager.handle_output(context, 1)
    manifest = folder / "runs/run-1/step.result.json"
    told = msgspec.json.decode(manifest.read_bytes())
    manifest.write_bytes(sealed(msgspec.json.encode({**told, "run_id": "run-2"})))
    assert io_manager.has_output(context) is False
    assert "belongs to another output" in warnings.take()[0]


# Values that cannot be stored.


class Model:
    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)


class Slotted:
    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Picky:
    def __getstate__(self) -> Any:
        raise RuntimeError("not today")


class SparesItsLock:
    """Its lock is not pickled; its function is what cannot be."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.function = lambda: 1

    def __getstate__(self) -> Any:
        return {"function": self.function}


def endless() -> list[Any]:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    return value


class Child(list[Any]):
    pass


class Fickle:
    """Its parts cannot even be asked for."""

    def __reduce__(self) -> Any:
        def parts() -> Any:
            yield 1
            raise ValueError("no more")

        return list, (), None, parts()


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (Lock(), "a _thread.lock cannot be pickled"),
        ({"lock": Lock()}, "value['lock'], a _thread.lock, cannot be pickled"),
        (Model(lock=Lock()), "value.lock, a _thread.lock,"),
        ([1, (2, {"model": Model(parts={"lock": Lock()})})], "value[1][1]['model'].parts['lock'], a _thread.lock,"),
        ({Slotted: 1, "s": [Slotted(Lock())]}, "value['s'][0].inner, a _thread.lock,"),
        ([lambda: 1], "value[0], a function,"),
        ((each for each in "ab"), "a generator cannot be pickled"),
        ([Picky()], "value[0], a "),
        (SparesItsLock(), "value.function, a function,"),
        (Child([1, Lock()]), "value[1], a _thread.lock,"),
        ({"a": {Model}, "b": np.array([Lock()], dtype=object)}, "value['b']"),
        ({"big": np.zeros(100_000), "f": sys}, "value['f'], a module,"),
        (endless(), "RecursionError"),
        (Fickle(), "cannot be pickled (ValueError: no more)"),
    ],
)
def test_what_cannot_be_pickled_is_named(io_manager: FsIOManager, folder: Path, value: Any, part: str) -> None:
    with pytest.raises(StorageError) as raised:
        io_manager.handle_output(output(), value)
    said = str(raised.value)
    assert said.startswith("output 'result' of step 'step': cannot be stored: ")
    assert part in said
    assert "\n" not in said
    assert not isinstance(raised.value, OutputLostError)
    assert files(folder) == [], "something half-stored stays behind"
    assert not io_manager.has_output(output())


def test_an_error_of_the_values_own_code_is_not_the_disks(io_manager: FsIOManager) -> None:
    class Reads:
        def __reduce__(self) -> Any:
            raise FileNotFoundError(2, "No such file", "model.bin")

    with pytest.raises(StorageError, match=r"cannot be pickled \(FileNotFoundError: .*model.bin"):
        io_manager.handle_output(output(), Reads())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit])
def test_an_interrupted_store_leaves_nothing_and_stays_interrupted(
    io_manager: FsIOManager,
    folder: Path,
    error: type[BaseException],
) -> None:
    class Interrupts:
        def __reduce__(self) -> Any:
            raise error

    with pytest.raises(error):
        io_manager.handle_output(output(), [b"x" * 100_000, Interrupts()])
    assert files(folder) == []


# Places that cannot be written.


def test_a_file_that_grows_too_large_is_explained(io_manager: FsIOManager, folder: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StorageError, match=r"could not be stored as .*the file would be larger than allowed"):
            io_manager.handle_output(output(), b"x" * 2_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files(folder) == []
    assert not io_manager.has_output(output())


def test_a_full_disk_is_explained(counting: type[CountingFileSystem]) -> None:
    io_manager = FsIOManager("counting://full")
    io_manager.handle_output(output(), "small")
    counting.broken["write"] = OSError(28, "No space left on device")
    with pytest.raises(StorageError, match=r"could not be stored as counting:.*: no space is left there"):
        io_manager.handle_output(output(), b"x" * 2_000_000)
    assert load(io_manager, output()) == "small"
    assert len(counting.store) == 1, "something half-stored stays behind"


def test_a_file_in_the_way_is_explained(io_manager: FsIOManager, folder: Path, warnings: Any) -> None:
    folder.write_text("in the way")
    assert io_manager.has_output(output()) is False
    assert warnings.take() == []
    with pytest.raises(StorageError, match="a file stands where a folder should be"):
        io_manager.handle_output(output(), 1)


def test_a_place_without_permission_is_explained(
    io_manager: FsIOManager,
    folder: Path,
    warnings: Any,
) -> None:
    io_manager.handle_output(output(), 1)
    (manifest,) = folder.rglob("*.json")
    manifest.chmod(0)
    manifest.parent.chmod(0o500)
    user = os.geteuid()
    if user == 0:
        os.chown(manifest.parent, 65534, -1)
        for parent in manifest.parents:
            if parent.stat().st_mode & 0o001 == 0 and parent != manifest.parent:
                parent.chmod(parent.stat().st_mode | 0o001)
        os.seteuid(65534)
    try:
        with pytest.raises(StorageError, match="permission is denied"):
            io_manager.handle_output(output("other"), 1)
        assert io_manager.has_output(output()) is False
        assert "could not be read: permission is denied" in warnings.take()[0]
        with pytest.raises(StorageError, match="permission is denied") as raised:
            load(io_manager, output())
        assert not isinstance(raised.value, OutputLostError), "a rerun would not help"
    finally:
        os.seteuid(user)
        manifest.parent.chmod(0o700)


def test_a_folder_that_vanished_is_made_again(io_manager: FsIOManager, folder: Path) -> None:
    import shutil

    io_manager.handle_output(output(), 1)
    shutil.rmtree(folder)
    assert io_manager.has_output(output()) is False
    io_manager.handle_output(output(), 2)
    assert load(io_manager, output()) == 2


# Values that cannot be loaded, though they are whole.


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "memo_test_models.py"
    sys.modules.pop("memo_test_models", None)


def stored_from(module: Path, io_manager: FsIOManager, text: str, then: str | None) -> None:
    import importlib

    def import_text(source: str) -> Any:
        sys.modules.pop("memo_test_models", None)
        module.write_text(source)
        importlib.invalidate_caches()
        code = compile(source, str(module), "exec")
        made = type(sys)("memo_test_models")
        sys.modules["memo_test_models"] = made
        exec(code, made.__dict__)
        return made

    io_manager.handle_output(output(), [1, import_text(text).VALUE])
    if then is None:
        module.unlink()
        del sys.modules["memo_test_models"]
        importlib.invalidate_caches()
    else:
        import_text(then)


@pytest.mark.parametrize("then", ["", None])
def test_a_class_that_was_renamed_since_has_its_step_run_again(
    module: Path,
    io_manager: FsIOManager,
    then: str | None,
) -> None:
    stored_from(module, io_manager, "class Fit: pass\nVALUE = Fit()\n", then)
    with pytest.raises(OutputLostError, match=r"needs memo_test_models.Fit, which today's code does not have"):
        load(io_manager, output())


def test_a_class_that_refuses_its_old_state_is_named(module: Path, io_manager: FsIOManager) -> None:
    text = "class Fit:\n    def __init__(self): self.a = 1\n"
    newer = text + "    def __setstate__(self, state):\n        raise KeyError('slope')\n"
    stored_from(module, io_manager, text + "VALUE = Fit()\n", newer)
    with pytest.raises(
        StorageError, match=r"Fit.__setstate__ \(.*memo_test_models.py:4\) raised KeyError: 'slope'"
    ) as raised:
        load(io_manager, output())
    assert not isinstance(raised.value, OutputLostError), "a rerun might store the same again"


def test_a_class_that_cannot_be_made_again_is_named(module: Path, io_manager: FsIOManager) -> None:
    text = "class Wrong(Exception):\n    def __init__(self, a, b): super().__init__(a)\nVALUE = Wrong(1, 2)\n"
    stored_from(module, io_manager, text, text)
    with pytest.raises(StorageError, match=r"memo_test_models.Wrong raised TypeError"):
        load(io_manager, output())


# Places.


def test_a_remote_place_is_listed_and_nothing_is_read(counting: type[CountingFileSystem], warnings: Any) -> None:
    io_manager = FsIOManager("counting://bucket/prefix")
    contexts = [output("result", f"{number % 4}0{number}") for number in range(100)]
    for context in contexts[:30]:
        io_manager.handle_output(context, 1)
    counting.asked.clear()
    assert io_manager.has_outputs(contexts) == [True] * 30 + [False] * 70
    assert counting.asked == ["find"] * 4
    assert io_manager.has_outputs([]) == []
    assert io_manager.has_outputs([output(version=None, run_id=None)]) == [False]
    assert counting.asked == ["find"] * 4
    assert warnings.take() == []


def test_content_digests_read_only_the_manifests_that_are_asked_for(counting: type[CountingFileSystem]) -> None:
    io_manager = FsIOManager("counting://bucket/prefix")
    for number in range(20):
        context = output("result", f"{number}")
        context.provenance = Provenance(content_digest=f"digest {number}")
        io_manager.handle_output(context, number)
    counting.asked.clear()
    wanted = [output("result", "3"), output("result", "99"), output(version=None, run_id=None), output("result", "7")]
    assert io_manager.content_digests(wanted) == ["digest 3", None, None, "digest 7"]
    assert counting.asked == ["cat_file"] * 3


def test_what_is_torn_at_a_remote_place_is_set_aside_when_it_is_loaded(
    counting: type[CountingFileSystem],
    warnings: Any,
) -> None:
    io_manager = FsIOManager("counting://bucket")
    contexts = [output(name) for name in ("a", "b", "c", "d")]
    for context in contexts:
        io_manager.handle_output(context, LONG)
    torn, gone = (name for name in counting.store if ".a." in name or ".b." in name if name.endswith("pkl"))
    counting.store[torn].truncate(1)
    del counting.store[gone]
    counting.store["/bucket/versioned/ab/ab12.c.json"].truncate(5)
    assert io_manager.has_outputs(contexts) == [True] * 4
    for context, what in zip(contexts, ("1 bytes", "is gone", "whole manifest"), strict=False):
        with pytest.raises(OutputLostError, match=what):
            load(io_manager, context)
    assert load(io_manager, contexts[3]) == LONG
    assert io_manager.has_outputs(contexts) == [False, False, False, True]
    assert sorted(name for name in counting.store if name.endswith(".damaged")) == [
        f"/bucket/versioned/ab/ab12.{name}.json.damaged" for name in "abc"
    ]
    assert warnings.take() == []
    for context in contexts:
        io_manager.handle_output(context, "anew")
        assert load(io_manager, context) == "anew"


def test_a_garbled_manifest_at_a_remote_place_tells_no_digest_and_is_named(
    counting: type[CountingFileSystem], warnings: Any
) -> None:
    io_manager = FsIOManager("counting://bucket")
    io_manager.handle_output(output(), 1)
    counting.store["/bucket/versioned/ab/ab12.result.json"].truncate(5)
    assert io_manager.content_digests([output()]) == [None]
    (said,) = warnings.take()
    assert "counting:///bucket/versioned/ab/ab12.result.json is not a whole manifest" in said


def test_an_output_that_is_replaced_between_listing_and_loading_is_loaded(counting: type[CountingFileSystem]) -> None:
    io_manager, other = FsIOManager("counting://bucket"), FsIOManager("counting://bucket")
    io_manager.handle_output(output(), 1)
    assert io_manager.has_outputs([output()]) == [True]
    other.handle_output(output(), 2)
    assert load(io_manager, output()) == 2


def test_a_remote_place_out_of_reach_has_nothing_and_says_so_once(
    counting: type[CountingFileSystem],
    warnings: Any,
) -> None:
    io_manager = FsIOManager("counting://bucket")
    io_manager.handle_output(output(), 1)
    counting.broken.update(find=ConnectionError("unreachable"), cat_file=ConnectionError("unreachable"))
    assert io_manager.has_outputs([output(), output("b")]) == [False, False]
    assert len(warnings.take()) == 1
    assert io_manager.has_output(output()) is False
    assert "the server cannot be reached (unreachable)" in warnings.take()[0]
    with pytest.raises(StorageError, match=r"the server cannot be reached \(unreachable\)") as raised:
        load(io_manager, output())
    assert not isinstance(raised.value, OutputLostError), "the output is not known to be lost"


def test_a_manifest_that_cannot_be_put_leaves_no_data(counting: type[CountingFileSystem]) -> None:
    io_manager = FsIOManager("counting://bucket")
    counting.broken["pipe_file"] = PermissionError(13, "denied")
    with pytest.raises(StorageError, match="permission is denied"):
        io_manager.handle_output(output(), 1)
    assert counting.store == {}


def test_a_replaced_output_leaves_one_data_file_at_a_remote_place(counting: type[CountingFileSystem]) -> None:
    io_manager = FsIOManager("counting://bucket")
    for value in range(3):
        io_manager.handle_output(output(), np.full(2_000_000, value))
    assert len(counting.store) == 2
    assert load(io_manager, output())[0] == 2


def test_memory_is_not_shared_between_processes(tmp_path: Path) -> None:
    assert FsIOManager(tmp_path).shares_between_processes()
    assert not FsIOManager("memory://x").shares_between_processes()
    assert not MemIOManager().shares_between_processes()


@pytest.mark.parametrize("write", ["{folder}", "file://{folder}", "local://{folder}"])
def test_a_folder_can_be_named_in_several_ways(folder: Path, write: str) -> None:
    FsIOManager(write.format(folder=folder)).handle_output(output(), 1)
    assert load(FsIOManager(folder), output()) == 1


def test_a_place_can_be_given_as_it_is(folder: Path) -> None:
    FsIOManager(place_at(folder), "json").handle_output(output(), {"a": 1})
    assert load(FsIOManager(folder), output()) == {"a": 1}


def test_a_relative_folder_and_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    FsIOManager("relative").handle_output(output(), 1)
    FsIOManager("~/outputs").handle_output(output(), 1)
    assert len(files(tmp_path / "relative")) == len(files(tmp_path / "home/outputs")) == 1


@pytest.mark.parametrize(
    ("base_dir", "what"),
    [("", "base_dir is empty"), ("nowhere://x", "'nowhere://x' cannot be used: Protocol not known")],
)
def test_a_place_that_cannot_be_is_refused(base_dir: str, what: str) -> None:
    with pytest.raises(StorageError, match=what):
        FsIOManager(base_dir)


# What the engine is offered.


def test_the_specs_make_what_they_say(tmp_path: Path) -> None:
    made = FS.create(SimpleNamespace(resource_config=FsConfig(), storage=Storage(str(tmp_path / "home"))))
    made.handle_output(output(), 1)
    assert files(tmp_path / "home")
    made = FS.create(SimpleNamespace(resource_config=FsConfig(str(tmp_path / "own")), storage=Storage("/nowhere")))
    made.handle_output(output(), 1)
    assert files(tmp_path / "own")
    with pytest.raises(StorageError, match="has no base_dir, and there is no home"):
        FS.create(SimpleNamespace(resource_config=None, storage=Storage()))
    assert isinstance(MEM.create(None), MemIOManager)
    assert MEM.create(None) is not MEM.create(None)


@pytest.mark.parametrize("io_manager", [MemIOManager(), FsIOManager("memory://none")])
def test_an_input_from_nowhere_is_refused(io_manager: Any) -> None:
    with pytest.raises(InvocationError, match="the input 'value' does not come from another step's output"):
        io_manager.load_input(InputContext("value"))


def test_planning_with_files_imports_nothing_heavy() -> None:
    script = """
import sys
from memo.contracts.io_manager import OutputContext
from memo_iomanagers.filesystem import FsIOManager
assert not FsIOManager("/nowhere/at/all").has_outputs([OutputContext("step", "result", "version")])[0]
print({"pickle", "fsspec", "numpy", "pyarrow", "pathlib", "tempfile"} & set(sys.modules))
"""
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout == "set()\n"
