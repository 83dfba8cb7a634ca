"""The IO managers of tables keep the promises of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pytest

from memo.content import content_digest
from memo.hashing import digest
from memo.testing import MemoizableIOManagerConformance
from memo_iomanagers.delta import DeltaIOManager
from memo_iomanagers.duckdb_tables import DuckDBIOManager
from memo_iomanagers.postgres import PostgresIOManager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memo.contracts.io_manager import MemoizableIOManager, OutputContext


class TableConformance(MemoizableIOManagerConformance):
    """What an IO manager of tables can store, and how such values compare."""

    values: tuple[Any, ...] = (
        pd.DataFrame({"a": [1.5, float("nan"), 3.0], "when": pd.to_datetime(["2020-01-01", None, "2020-01-03"])}),
        pa.table({"a": [1, None, 3], "B": ["x", "", None], "c": [1.5, float("inf"), -0.0]}),
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

    def change(self, value: Any) -> None:
        value.loc[0, "a"] = 7.5

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
