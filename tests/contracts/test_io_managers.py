"""The IO managers of this repository keep the promises of the contract, and the suite can tell."""

from __future__ import annotations

import pickle
import re
from threading import Barrier
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest

from memo.contracts.io_manager import InputContext, MemoizableIOManager, OutputContext, Storage
from memo.errors import OutputLostError
from memo.hashing import digest
from memo.testing import InventoryIOManagerConformance, MemoizableIOManagerConformance
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.memory import MemIOManager
from memo_iomanagers.s3 import S3, S3_PICKLE, S3PickleConfig, S3ResourceConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from memo.contracts.inventory import InventoryIOManager

DATA = re.compile(r"\.[0-9a-f]{16}\.")
"""What only the names of data files hold, and of the folders beside them."""


class TestMemIOManager(MemoizableIOManagerConformance):
    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return MemIOManager()

    # There is no storage that could be damaged.
    test_a_damaged_output_is_never_a_value = None  # type: ignore[assignment]
    # It hands out the values themselves, as its documentation says.
    test_what_a_reader_changes_is_its_own = None  # type: ignore[assignment]


def flip(data: bytes) -> bytes:
    flipped = bytearray(data)
    if flipped:
        flipped[len(data) // 2] ^= 1
    return bytes(flipped) or b"no longer empty"


class InFolder(InventoryIOManagerConformance):
    encoding = "auto"
    key: bytes | None = None

    def make_io_manager(self, folder: Path) -> InventoryIOManager:
        return FsIOManager(folder / "outputs", self.encoding, signing_key=self.key)

    def damage(self, folder: Path) -> None:
        data = [file for file in folder.rglob("*") if DATA.search(str(file)) and file.is_file()]
        assert data
        for file in data:
            file.chmod(0o644)
            file.write_bytes(flip(file.read_bytes()))


class AtUrl(InventoryIOManagerConformance):
    encoding = "auto"
    key: bytes | None = None

    @pytest.fixture(autouse=True)
    def _empty(self) -> Iterator[None]:
        memory = fsspec.filesystem("memory")
        yield
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]

    def make_io_manager(self, folder: Path) -> InventoryIOManager:
        return FsIOManager(f"memory://{folder}/outputs", self.encoding, signing_key=self.key)

    def damage(self, folder: Path) -> None:
        memory = fsspec.filesystem("memory")
        data = [name for name in memory.find(f"{folder}/outputs") if DATA.search(name)]
        assert data
        for name in data:
            memory.pipe_file(name, memory.cat_file(name)[:-1])

    # Instances share the memory of the process, which other processes do not.
    test_another_instance_has_it = None  # type: ignore[assignment]
    test_another_instance_finds_it = None  # type: ignore[assignment]


class InBucket(MemoizableIOManagerConformance):
    encoding = "auto"

    @pytest.fixture(autouse=True)
    def _server(self, s3: Any, s3_bucket: str) -> None:
        self.server, self.bucket = s3, s3_bucket

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return FsIOManager(f"s3://{self.bucket}{folder}/outputs", self.encoding)

    def damage(self, folder: Path) -> None:
        filesystem = self.server.filesystem()
        data = [name for name in filesystem.find(f"{self.bucket}{folder}") if DATA.search(name)]
        assert data
        for name in data:
            filesystem.pipe_file(name, flip(filesystem.cat_file(name)))

    def hostile_contexts(self) -> list[OutputContext]:
        # A request takes milliseconds, and outputs have the addresses that they have in a folder, which meets all.
        return super().hostile_contexts()[::4]


class FormatInBucket(InBucket):
    """No encoding has a part in names and in races, and each request takes milliseconds."""

    test_hostile_names_are_kept_apart_within_the_storage = None  # type: ignore[assignment]
    test_two_threads_may_store_the_same_output = None  # type: ignore[assignment]


class OfJson:
    encoding = "json"
    values = ({"a": [1, 2.5, None, True], "b": {"c": "\ud800"}}, ["x"], 0, "text", None)

    def failing_value(self) -> Any:
        return {"a": float("nan")}


class OfText:
    encoding = "text"
    values = ("one\r\ntwo\n", "", "résumé\x00" * 100_000)
    test_what_a_reader_changes_is_its_own = None  # texts cannot be changed

    def failing_value(self) -> Any:
        return "x" * 2_000_000 + "\ud800"


class OfBytes:
    encoding = "bytes"
    values = (bytearray(b"abc"), b"", bytes(200_000))

    def failing_value(self) -> Any:
        return "text"


class OfNumpy:
    encoding = "numpy"
    values = (np.arange(50_000.0), np.zeros((3, 0), "S0"), np.asfortranarray(np.eye(200)))

    def failing_value(self) -> Any:
        return np.array([object()])

    def same(self, stored: Any, loaded: Any) -> bool:
        return bool(stored.dtype == loaded.dtype and stored.flags.fnc == loaded.flags.fnc) and np.array_equal(
            stored, loaded
        )

    def change(self, value: Any) -> None:
        value[7:] = -1


class OfTables:
    values = (
        pa.table({"a": range(20_000), "b": ["x", None] * 10_000}, metadata={"k": "v"}),
        pa.table({"a": pa.array([], pa.list_(pa.int8()))}),
        pa.table({}),
    )
    test_what_a_reader_changes_is_its_own = None  # tables cannot be changed

    def failing_value(self) -> Any:
        def batches() -> Iterator[Any]:
            yield pa.record_batch({"a": range(100_000)})
            raise ValueError("no more")

        return pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())

    def same(self, stored: Any, loaded: Any) -> bool:
        return bool(stored.equals(loaded, check_metadata=True))


class OfPaths:
    encoding = "path"

    @pytest.fixture(autouse=True)
    def _written(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("written")
        (folder / "a/deep/empty").mkdir(parents=True)
        (folder / "a/deep/model.bin").write_bytes(bytes(100_000))
        (folder / "a/link").symlink_to("deep/model.bin")
        (folder / "b.txt").write_text("b")
        (folder / "c").write_text("")
        (folder / "d").mkdir()
        (folder / "d/1").write_text("1")
        (folder / "d/2").symlink_to("/etc/passwd")
        self.values = (folder / "a", folder / "b.txt", folder / "c")
        self.failing = folder / "d"

    def failing_value(self) -> Any:
        return self.failing

    def same(self, stored: Any, loaded: Any) -> bool:
        return type(stored) is type(loaded) and stored.name == loaded.name and seen(stored) == seen(loaded)

    # Neither the path nor what it leads to is there to be changed, and what replaces it takes its place.
    test_what_a_reader_changes_is_its_own = None
    test_a_loaded_value_stays_what_it_is = None


def seen(root: Path) -> list[Any]:
    return [
        (str(path.relative_to(root)), path.is_symlink(), path.read_bytes() if path.is_file() else None)
        for path in sorted([root, *root.rglob("*")])
    ]


class TestFsIOManagerInAFolder(InFolder): ...


class TestFsIOManagerAtAUrl(AtUrl): ...


class TestFsIOManagerInABucket(InBucket): ...


class TestJsonInAFolder(OfJson, InFolder): ...


class TestJsonAtAUrl(OfJson, AtUrl): ...


class TestJsonInABucket(OfJson, FormatInBucket): ...


class TestTextInAFolder(OfText, InFolder): ...  # type: ignore[misc]


class TestTextAtAUrl(OfText, AtUrl): ...  # type: ignore[misc]


class TestTextInABucket(OfText, FormatInBucket): ...  # type: ignore[misc]


class TestBytesInAFolder(OfBytes, InFolder): ...


class TestBytesAtAUrl(OfBytes, AtUrl): ...


class TestBytesInABucket(OfBytes, FormatInBucket): ...


class TestNumpyInAFolder(OfNumpy, InFolder): ...


class TestNumpyAtAUrl(OfNumpy, AtUrl): ...


class TestNumpyInABucket(OfNumpy, FormatInBucket): ...


class TestArrowInAFolder(OfTables, InFolder):  # type: ignore[misc]
    encoding = "arrow"


class TestArrowAtAUrl(OfTables, AtUrl):  # type: ignore[misc]
    encoding = "arrow"


class TestArrowInABucket(OfTables, FormatInBucket):  # type: ignore[misc]
    encoding = "arrow"


class TestParquetInAFolder(OfTables, InFolder):  # type: ignore[misc]
    encoding = "parquet"


class TestParquetAtAUrl(OfTables, AtUrl):  # type: ignore[misc]
    encoding = "parquet"


class TestParquetInABucket(OfTables, FormatInBucket):  # type: ignore[misc]
    encoding = "parquet"


class TestPathInAFolder(OfPaths, InFolder): ...  # type: ignore[misc]


class TestPathAtAUrl(OfPaths, AtUrl): ...  # type: ignore[misc]


class TestPathInABucket(OfPaths, FormatInBucket): ...  # type: ignore[misc]


class TestS3PickleIOManager(InBucket):
    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        made = S3_PICKLE.create(
            SimpleNamespace(
                resource_config=S3PickleConfig(self.bucket, str(folder)),
                storage=Storage(),
                resources=SimpleNamespace(s3=S3.create(SimpleNamespace(resource_config=S3ResourceConfig()))),
            )
        )
        assert isinstance(made, MemoizableIOManager)
        return made


class Signed:
    key: bytes | None = bytes(range(32))


class TestSignedInAFolder(Signed, InFolder): ...


class TestSignedAtAUrl(Signed, AtUrl): ...


class TestSignedArrowInAFolder(Signed, OfTables, InFolder):  # type: ignore[misc]
    encoding = "arrow"


class TestSignedPathInAFolder(Signed, OfPaths, InFolder): ...  # type: ignore[misc]


class TestSignedPathAtAUrl(Signed, OfPaths, AtUrl): ...  # type: ignore[misc]


class NaiveIOManager(MemoizableIOManager):
    """How IO managers are often written: straight to a file named as the output is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, context: OutputContext) -> Path:
        return self.folder / "=".join(context.get_identifier()).replace("/", "_")

    def handle_output(self, context: Any, obj: Any) -> None:
        path = self.path(context)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            pickle.dump(obj, file)

    def load_input(self, context: Any) -> Any:
        try:
            return pickle.loads(self.path(context.upstream_output).read_bytes())
        except FileNotFoundError:
            raise OutputLostError("gone") from None

    def has_output(self, context: Any) -> bool:
        return self.path(context).exists()


class ForgetsTheName(NaiveIOManager):
    def path(self, context: OutputContext) -> Path:
        return self.folder / str(context.version or context.run_id)


class LeavesTheStorage(NaiveIOManager):
    def path(self, context: OutputContext) -> Path:
        name = digest("path", *context.get_identifier())
        return self.folder / "x" / ("../.." if "../result" in context.get_identifier() else "") / name


class Truncates(NaiveIOManager):
    def path(self, context: OutputContext) -> Path:
        return self.folder / "".join(f"{ord(c):06x}" for c in "/".join(context.get_identifier()))[:240]


class RaisesItsOwnError(NaiveIOManager):
    def load_input(self, context: Any) -> Any:
        return pickle.loads(self.path(context.upstream_output).read_bytes())


class KeepsTheFirst(NaiveIOManager):
    def handle_output(self, context: Any, obj: Any) -> None:
        if not self.path(context).exists():
            super().handle_output(context, obj)


class LosesOnLoading(NaiveIOManager):
    def load_input(self, context: Any) -> Any:
        value = super().load_input(context)
        self.path(context.upstream_output).unlink()
        return value


class AnswersInAnyOrder(MemIOManager):
    def has_outputs(self, contexts: Sequence[Any]) -> list[bool]:
        return sorted(super().has_outputs(contexts))


class AlwaysThere(MemIOManager):
    def has_output(self, context: Any) -> bool:
        return True


class NeverThere(MemIOManager):
    def has_output(self, context: Any) -> bool:
        return False


class CountsTheStep(MemIOManager):
    def has_output(self, context: Any) -> bool:
        return context.step_key == "step" and super().has_output(context)


class ClaimsToShare(MemIOManager):
    def shares_between_processes(self) -> bool:
        return True


class ChangesValues(MemIOManager):
    def handle_output(self, context: Any, obj: Any) -> None:
        super().handle_output(context, str(obj))


class ForgetsDigests(MemIOManager):
    def content_digests(self, contexts: Sequence[Any]) -> list[str | None]:
        return ["0" * 32 for _ in contexts]


class ReplacesInPlace(MemIOManager):
    def handle_output(self, context: Any, obj: Any) -> None:
        if self.has_output(context) and isinstance(kept := self.load_input(InputContext("value", context)), dict):
            kept.clear()
        super().handle_output(context, obj)


class OneTemporaryFile(NaiveIOManager):
    """Writes aside, under one name for all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.met = Barrier(2)

    def handle_output(self, context: Any, obj: Any) -> None:
        aside = self.folder / "aside"
        aside.parent.mkdir(parents=True, exist_ok=True)
        # The two meet here, whatever else the machine is doing: one writes, the other finds the name taken.
        self.met.wait(timeout=30)
        try:
            file = aside.open("xb")
        except FileExistsError:
            self.met.wait(timeout=30)
            raise
        with file:
            pickle.dump(obj, file)
            self.met.wait(timeout=30)
        self.path(context).parent.mkdir(parents=True, exist_ok=True)
        aside.replace(self.path(context))


@pytest.mark.parametrize(
    ("broken", "test", "because"),
    [
        (NaiveIOManager, "test_a_failed_store_leaves_no_output", "Ran out of input"),
        (NaiveIOManager, "test_a_failed_store_is_no_other_value", "Ran out of input"),
        (NaiveIOManager, "test_a_failed_store_is_not_an_output", "a store that failed counts as stored"),
        (
            NaiveIOManager,
            "test_names_that_differ_in_case_alone_are_kept_apart_without_case",
            "2 of these are one file where case does not count",
        ),
        (NaiveIOManager, "test_hostile_names_are_kept_apart_within_the_storage", "File name too long"),
        (Truncates, "test_hostile_names_are_kept_apart_within_the_storage", "was stored as"),
        (
            LeavesTheStorage,
            "test_hostile_names_are_kept_apart_within_the_storage",
            "lie outside of the storage",
        ),
        (NaiveIOManager, "test_a_damaged_output_is_never_a_value", "DID NOT RAISE"),
        (ForgetsTheName, "test_different_outputs_are_kept_apart", "was stored as"),
        (ForgetsTheName, "test_has_output_is_false_before_and_true_after", "[True, False, True"),
        (RaisesItsOwnError, "test_what_was_never_stored_is_lost", "No such file"),
        (KeepsTheFirst, "test_storing_again_replaces", "was stored as 0 and loaded as {"),
        (LosesOnLoading, "test_it_can_be_loaded_again", "gone"),
        (AnswersInAnyOrder, "test_has_outputs_agrees_with_has_output_in_order", "has_outputs said [False"),
        (AlwaysThere, "test_has_output_is_false_before_and_true_after", "has_output said [True"),
        (NeverThere, "test_has_output_is_false_before_and_true_after", "has_output is not True"),
        (AlwaysThere, "test_it_can_be_asked_without_a_run", "has_outputs said [True, True, True]"),
        (CountsTheStep, "test_neither_step_nor_run_counts_under_a_version", "does not find it for another step"),
        (ClaimsToShare, "test_another_instance_finds_it", "not in the memory"),
        (ClaimsToShare, "test_another_instance_has_it", "it shares: True; another instance says (False, False)"),
        (MemIOManager, "test_what_a_reader_changes_is_its_own", "another one sees changed"),
        (ReplacesInPlace, "test_a_loaded_value_stays_what_it_is", "and is now {}"),
        (ChangesValues, "test_what_is_stored_can_be_loaded", "was stored as {"),
        (ForgetsDigests, "test_content_digests_come_in_order", "has no digest"),
        (OneTemporaryFile, "test_two_threads_may_store_the_same_output", "File exists"),
    ],
)
def test_the_suite_catches_a_broken_io_manager(
    broken: Any,
    test: str,
    because: str,
    tmp_path: Path,
) -> None:
    class Suite(MemoizableIOManagerConformance):
        def make_io_manager(self, folder: Path) -> MemoizableIOManager:
            made: MemoizableIOManager = broken() if issubclass(broken, MemIOManager) else broken(folder)
            return made

        def damage(self, folder: Path) -> None:
            for file in folder.rglob("*"):
                if file.is_file():
                    file.write_bytes(pickle.dumps("another value"))

    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        getattr(Suite(), test)(tmp_path)
    assert because in str(caught.value)


def test_the_suite_holds_no_test_that_no_broken_io_manager_fails() -> None:
    tests = {name for name in dir(MemoizableIOManagerConformance) if name.startswith("test_")}
    marks = vars(test_the_suite_catches_a_broken_io_manager)["pytestmark"]
    assert {test for _, test, _ in marks[0].args[1]} == tests
