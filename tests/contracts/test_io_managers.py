"""The IO managers of this repository keep the promises of the contract, and the suite can tell."""

from __future__ import annotations

import pickle
from threading import Barrier
from typing import TYPE_CHECKING, Any

import duckdb
import fsspec
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest

from memo.content import content_digest
from memo.contracts.io_manager import MemoizableIOManager, OutputContext
from memo.errors import OutputLostError
from memo.hashing import digest
from memo.testing import MemoizableIOManagerConformance
from memo_iomanagers.delta import DeltaIOManager
from memo_iomanagers.duckdb_tables import DuckDBIOManager
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.memory import MemIOManager
from memo_iomanagers.postgres import PostgresIOManager

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class TestMemIOManager(MemoizableIOManagerConformance):
    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return MemIOManager()

    # There is no storage that could be damaged.
    test_a_damaged_output_is_never_a_value = None  # type: ignore[assignment]


class TestFsIOManagerInAFolder(MemoizableIOManagerConformance):
    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return FsIOManager(folder / "outputs")

    def damage(self, folder: Path) -> None:
        for file in folder.rglob("*.pkl"):
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)


class TestFsIOManagerAtAUrl(MemoizableIOManagerConformance):
    @pytest.fixture(autouse=True)
    def _empty(self) -> Iterator[None]:
        memory = fsspec.filesystem("memory")
        yield
        memory.store.clear()
        memory.pseudo_dirs[:] = [""]

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return FsIOManager(f"memory://{folder}/outputs")

    def damage(self, folder: Path) -> None:
        memory = fsspec.filesystem("memory")
        for name in memory.find(f"{folder}/outputs"):
            if name.endswith(".pkl"):
                memory.pipe_file(name, memory.cat_file(name)[:-1])

    # Instances share the memory of the process, which other processes do not.
    test_another_instance_has_it = None  # type: ignore[assignment]
    test_another_instance_finds_it = None  # type: ignore[assignment]


class TableConformance(MemoizableIOManagerConformance):
    """What an IO manager of tables can store, and how such values compare."""

    values: tuple[Any, ...] = (
        pa.table({"a": [1, None, 3], "B": ["x", "", None], "c": [1.5, float("inf"), -0.0]}),
        pd.DataFrame({"a": [1.5, float("nan")], "when": pd.to_datetime(["2020-01-01", None])}),
        pl.DataFrame({"a": [1, 2, None], "text": ["x", "\U0001f600", None]}),
        pa.table({"a": pa.array([], pa.int64())}),
        pa.table({}),
        pa.table({"n": range(200_000)}),
    )

    def same(self, stored: Any, loaded: Any) -> bool:
        if isinstance(stored, pl.DataFrame) and isinstance(loaded, pl.DataFrame):
            return stored.schema == loaded.schema and stored.equals(loaded)
        return type(stored) is type(loaded) and content_digest(stored) == content_digest(loaded)

    def hostile_contexts(self) -> list[OutputContext]:
        # A database takes 50 ms for each, and knows outputs by the same addresses as files, which meet all of them.
        return super().hostile_contexts()[::4]

    def failing_value(self) -> Any:
        def batches() -> Iterator[Any]:
            yield pa.record_batch({"a": range(100_000)})
            raise OSError("the rest cannot be read")

        return pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches())


class TestDuckDBIOManager(TableConformance):
    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return DuckDBIOManager(folder / "tables.duckdb", "analytics")

    def damage(self, folder: Path) -> None:
        with duckdb.connect(folder / "tables.duckdb") as connection:
            tables = connection.execute("select table_name from duckdb_tables() where table_name like 't_%'").fetchall()
            for (name,) in tables:
                connection.execute(f'update analytics_memo."{name}" set c1 = 7 where c1 = 3')


class TestPostgresIOManager(TableConformance):
    @pytest.fixture(autouse=True)
    def _server(self, postgres_dsn: str) -> None:
        self.dsn = postgres_dsn

    def schema(self, folder: Path) -> str:
        return f"conformance_{digest('folder', str(folder))}"

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return PostgresIOManager(self.dsn, self.schema(folder))

    def damage(self, folder: Path) -> None:
        inner = f"{self.schema(folder)}_memo"
        with psycopg.connect(self.dsn) as connection:
            asked = f"select data_table from {inner}.outputs"
            for (name,) in connection.execute(asked).fetchall():
                connection.execute(f"update {inner}.{name} set c1 = 7 where c1 = 3")


class TestDeltaIOManager(TableConformance):
    values = tuple(value for value in TableConformance.values if not isinstance(value, pa.Table) or value.num_columns)

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        return DeltaIOManager(folder / "delta")

    def damage(self, folder: Path) -> None:
        for file in folder.rglob("*.parquet"):
            file.write_bytes(file.read_bytes()[:-9])


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
