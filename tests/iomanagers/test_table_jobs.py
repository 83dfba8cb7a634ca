"""Tables pass through jobs: kept once, reused, made anew after an edit, and as streams however large."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb
import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from deltalake import DeltaTable

import memo
from memo import execute_job, job, op
from memo.content import content_digest
from memo.contracts.io_manager import MemoizableIOManager, OutputContext
from memo.errors import MissingExtraError
from memo_iomanagers.delta import DeltaIOManager
from memo_iomanagers.duckdb_tables import DuckDBIOManager
from memo_iomanagers.postgres import PostgresIOManager

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Workspace

PLACES = ("duckdb", "postgres", "delta")


@pytest.fixture
def schema() -> str:
    return f"j_{uuid4().hex}"


@pytest.fixture(params=PLACES)
def config(request: pytest.FixtureRequest, tmp_path: Path, schema: str) -> dict[str, Any]:
    if request.param == "postgres":
        return {"dsn": request.getfixturevalue("postgres_dsn"), "schema": schema}
    return {"database": str(tmp_path / "t.duckdb")} if request.param == "duckdb" else {"base_dir": str(tmp_path / "t")}


@pytest.fixture
def io_manager(config: dict[str, Any]) -> Any:
    """The resource that a job names."""
    of = {"dsn": memo.postgres_io_manager, "database": memo.duckdb_io_manager, "base_dir": memo.delta_io_manager}
    return of[next(iter(config))].configured(config)


@pytest.fixture
def tables(config: dict[str, Any]) -> MemoizableIOManager:
    """What looks into the same place."""
    of = {"dsn": PostgresIOManager, "database": DuckDBIOManager, "base_dir": DeltaIOManager}
    made: MemoizableIOManager = of[next(iter(config))](**config)
    return made


def started(result: Any) -> list[str]:
    return [event.step_key for event in result.all_events if event.kind == "STEP_START"]


# An edit, from process to process

PIPELINE = """
    import json, os
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from memo import delta_io_manager, duckdb_io_manager, execute_job, graph, op, postgres_io_manager

    @op
    def days() -> pd.DataFrame:
        return pd.DataFrame({"day": [1, 2, 3], "sold": [1.5, 2.0, 3.5]})

    @op
    def daily_total(days: pl.DataFrame) -> pa.Table:
        return days.select(total=pl.col("sold").sum() * 1).to_arrow()

    @op
    def report(daily_total: pd.DataFrame) -> pd.DataFrame:
        return daily_total.assign(tax=lambda frame: frame["total"] / 10)

    @graph
    def sales():
        report(daily_total(days()))

    PLACES = {
        "duckdb": duckdb_io_manager.configured({"schema": "analytics"}),
        "postgres": postgres_io_manager.configured({"dsn": {"env": "SALES_DSN"}, "schema": "SCHEMA"}),
        "delta": delta_io_manager,
    }

    if __name__ == "__main__":
        ran = {}
        for name, io_manager in PLACES.items():
            result = execute_job(sales.to_job(name=name, resource_defs={"io_manager": io_manager}))
            assert result.success
            ran[name] = sorted(result.executed)
        print(json.dumps(ran))
    """


def test_an_edit_makes_one_table_and_moves_its_view(workspace: Workspace, postgres_dsn: str, schema: str) -> None:
    workspace.write("pipeline.py", PIPELINE.replace("SCHEMA", schema))
    storage = workspace.home / "storage"

    def run() -> dict[str, list[str]]:
        said = workspace.python("pipeline.py", SALES_DSN=postgres_dsn).stdout
        ran: dict[str, list[str]] = json.loads(said.splitlines()[-1])
        return ran

    def tables() -> dict[str, set[Any]]:
        asked = "select step_key, data_table from {}_memo.outputs"
        with duckdb.connect(storage / "memo.duckdb", read_only=True) as connection:
            in_duckdb = connection.execute(asked.format("analytics")).fetchall()
        with psycopg.connect(postgres_dsn) as connection:
            in_postgres = connection.execute(asked.format(schema).encode()).fetchall()
        steps = ("days", "daily_total", "report")
        commits = {(step, n) for step in steps for n in range(DeltaTable(storage / "delta" / step).version() + 1)}
        return {"duckdb": set(in_duckdb), "postgres": set(in_postgres), "delta": commits}

    def reports() -> list[Any]:
        with duckdb.connect(storage / "memo.duckdb", read_only=True) as connection:
            in_duckdb = connection.execute("from analytics.report").fetchall()
        with psycopg.connect(postgres_dsn) as connection:
            in_postgres = connection.execute(f"select * from {schema}.report".encode()).fetchall()
        in_delta = pa.table(DeltaTable(storage / "delta/report").to_pyarrow_table()).to_pylist()
        return [in_duckdb, in_postgres, [tuple(row.values()) for row in in_delta]]

    assert run() == {place: ["daily_total", "days", "report"] for place in PLACES}
    before = tables()
    assert reports() == [[(7.0, 0.7)]] * 3
    assert run() == {place: [] for place in PLACES}
    assert tables() == before

    workspace.edit("pipeline.py", '["total"] / 10', '["total"] / 20')
    assert run() == {place: ["report"] for place in PLACES}
    assert reports() == [[(7.0, 0.35)]] * 3
    for name, after in tables().items():
        assert before[name] < after
        assert [step for step, _ in after - before[name]] == ["report"]


WIDE = """
    import pandas as pd
    from memo import duckdb_io_manager, job, op

    def made(number):
        @op(name=f"s{number}")
        def body() -> pd.DataFrame:
            return pd.DataFrame({"n": [number] * 1000})
        return body

    @op
    def total(parts: list) -> pd.DataFrame:
        return pd.DataFrame({"n": [sum(int(part["n"].sum()) for part in parts)]})

    STEPS = [made(number) for number in range(8)]

    @job(resource_defs={"io_manager": duckdb_io_manager.configured({"database": "tables.duckdb"})})
    def wide():
        total([step() for step in STEPS])
    """


def test_worker_processes_share_one_duckdb_file(workspace: Workspace) -> None:
    workspace.write("pipeline.py", WIDE)
    ran = workspace.memo("run", "pipeline.py", "-j", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with duckdb.connect(workspace.path / "tables.duckdb", read_only=True) as connection:
        assert connection.execute("from outputs.total").fetchall() == [(28_000,)]
        assert connection.execute("select count(*) from outputs_memo.outputs").fetchall() == [(9,)]
        workers = "select count(*) from duckdb_views() where schema_name = 'outputs'"
        assert connection.execute(workers).fetchall() == [(9,)]


# Content


def test_an_edit_that_gives_the_same_frame_cuts_off(tmp_path: Path, io_manager: Any) -> None:
    def made(version: str) -> Any:
        @op(name="make", version=version)
        def make() -> pd.DataFrame:
            return pd.DataFrame({"n": [1, 2]})

        @op(name="read", version="1")
        def read(value: pd.DataFrame) -> pd.DataFrame:
            return value * 2

        @job(name="cut", resource_defs={"io_manager": io_manager})
        def cut() -> None:
            read(make())

        return cut

    assert started(execute_job(made("1"), tmp_path / ".memo")) == ["make", "read"]
    assert started(execute_job(made("2"), tmp_path / ".memo")) == ["make"]


# Streams

SCHEMA = pa.schema({"a": pa.int64(), "b": pa.string()})


def batches(count: int) -> Any:
    for number in range(count):
        yield pa.record_batch({"a": range(number * 1000, number * 1000 + 1000), "b": [None, "x"] * 500}, schema=SCHEMA)


def test_each_reader_gets_what_it_asks_for(tmp_path: Path, io_manager: Any, tables: MemoizableIOManager) -> None:
    @op(out=memo.Out(io_manager_key="tables"))
    def make() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(SCHEMA, batches(5))

    @op
    def add(value: pa.RecordBatchReader) -> int:
        assert isinstance(value, pa.RecordBatchReader)
        return sum(sum(batch.column("a").to_pylist()) for batch in value)

    @op
    def count(value: pa.Table) -> int:
        assert isinstance(value, pa.Table)
        return int(value.num_rows)

    @op
    def kind(value: Any) -> str:
        return "stream" if isinstance(value, pa.RecordBatchReader) else type(value).__name__

    @job(resource_defs={"tables": io_manager})
    def passing() -> None:
        value = make()
        add(value)
        count(value)
        kind(value)

    result = execute_job(passing, tmp_path / ".memo")
    found = {name: result.output_for_node(name) for name in ("add", "count", "kind")}
    assert found == {"add": sum(range(5000)), "count": 5000, "kind": "stream"}
    (stored,) = [event for event in result.all_events if event.kind == "HANDLED_OUTPUT" and event.step_key == "make"]
    digest = content_digest(pa.Table.from_batches(batches(5)))
    assert tables.content_digests([OutputContext("make", "result", stored.data["version"])]) == [digest]
    assert started(execute_job(passing, tmp_path / ".memo")) == []


@pytest.mark.parametrize("error", [KeyError("mine"), psycopg.OperationalError("mine"), duckdb.IOException("mine")])
def test_an_op_that_fails_while_its_stream_is_read_stores_nothing(
    tmp_path: Path, config: dict[str, Any], io_manager: Any, error: Exception
) -> None:
    def failing() -> Any:
        yield from batches(3)
        raise error

    @op
    def breaks() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(SCHEMA, failing())

    @job(resource_defs={"io_manager": io_manager})
    def broken() -> None:
        breaks()

    result = execute_job(broken, tmp_path / ".memo")
    (failure,) = [event for event in result.all_events if event.kind == "STEP_FAILURE"]
    assert type(error).__name__ in str(failure.error)
    assert "could not be stored" not in str(failure.error)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in {".parquet", ".duckdb"}]
    if "dsn" in config:
        with psycopg.connect(config["dsn"]) as connection:
            made = connection.execute("select 1 from pg_namespace where nspname = %s", (config["schema"],)).fetchall()
        assert made == []


PASSING = """
import resource, sys
import pyarrow as pa
import pyarrow.compute as pc
from memo.contracts.io_manager import InputContext, OutputContext
from memo_iomanagers.delta import DeltaIOManager
from memo_iomanagers import duckdb_file
from memo_iomanagers.duckdb_tables import DuckDBIOManager
from memo_iomanagers.postgres import PostgresIOManager

duckdb_file._CONFIG["memory_limit"] = "100MB"  # of which DuckDB makes use
dsn, schema = sys.argv[1:]
SCHEMA = pa.schema({"n": pa.int64(), "s": pa.string()})

def most(io_manager, count, rows, text):
    def parts():
        for number in range(count):
            columns = [pa.repeat(number, rows), pa.repeat(text, rows)]
            yield pa.record_batch(columns, schema=SCHEMA)

    output = OutputContext("step", "result", f"v{count}", "run")
    io_manager.handle_output(output, pa.RecordBatchReader.from_batches(SCHEMA, parts()))
    loaded = io_manager.load_input(InputContext("value", output, dagster_type=pa.RecordBatchReader))
    place = size = 0
    for batch in loaded:
        expected = pa.array(range(place, place + batch.num_rows)).cast("float64")
        assert batch.column("n").equals(pc.floor(pc.divide(expected, rows)).cast("int64"))
        place += batch.num_rows
        size += batch.nbytes
    assert place == count * rows
    return size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

# DuckDB waits for 122,880 rows, however wide, before it writes any.
for each, count, rows, text in (
    (DuckDBIOManager("t.duckdb"), 40, 250_000, "x" * 12),
    (PostgresIOManager(dsn, schema), 30, 1000, "x" * 8000),
    (DeltaIOManager("delta"), 30, 1000, "x" * 8000),
):
    few, many = most(each, 10, rows, text), most(each, count, rows, text)
    assert many[0] - few[0] > 150_000_000
    assert many[1] - few[1] < 75_000_000, f"{each}: {few[1]:,} bytes for {few[0]:,}, {many[1]:,} for {many[0]:,}"
"""


def test_streams_pass_in_bounded_memory(workspace: Workspace, postgres_dsn: str, schema: str) -> None:
    workspace.write("passing.py", PASSING)
    workspace.python("passing.py", postgres_dsn, schema)


# What is not installed


@pytest.mark.parametrize(
    ("package", "extra", "of"),
    [
        ("psycopg", "postgres", memo.postgres_io_manager.configured({"dsn": "dbname=d"})),
        ("deltalake", "delta", memo.delta_io_manager),
    ],
)
def test_without_the_package(tmp_path: Path, monkeypatch: Any, package: str, extra: str, of: Any) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    @op
    def make() -> pd.DataFrame:
        return pd.DataFrame({"n": [1]})

    @job(resource_defs={"io_manager": of})
    def tables() -> None:
        make()

    with pytest.raises(MissingExtraError) as caught:
        execute_job(tables, tmp_path / ".memo")
    assert str(caught.value) == (
        f"the IO manager {extra!r} needs the package {package!r}: pip install 'memo-pipelines[{extra}]'"
    )
