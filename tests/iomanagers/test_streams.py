"""Streams of record batches pass from op to op in bounded memory, and count by what they hold."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import memo
from memo import Out, execute_job, job, op
from memo.content import content_digest, table_digest
from memo.errors import StorageError
from memo.project.home import Home
from memo_iomanagers.filesystem import FsIOManager

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema({"a": pa.int64(), "b": pa.string()})


def batches(count: int, rows: int = 1000) -> Any:
    for number in range(count):
        first = number * rows
        yield pa.record_batch({"a": range(first, first + rows), "b": [None, "x"] * (rows // 2)}, schema=SCHEMA)


def stream(count: int) -> Any:
    return pa.RecordBatchReader.from_batches(SCHEMA, batches(count))


@op(out=Out(io_manager_key="tables"))
def make_stream() -> pa.RecordBatchReader:
    return stream(5)


@op(out=Out(io_manager_key="tables"))
def make_table() -> pa.Table:
    return pa.Table.from_batches(batches(5))


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
    return type(value).__name__


TOTAL = sum(range(5000))


@job(resource_defs={"tables": memo.fs_io_manager})
def from_stream() -> None:
    value = make_stream()
    add(value)
    count(value)
    kind(value)


@job(resource_defs={"tables": memo.fs_io_manager})
def from_table() -> None:
    value = make_table()
    add(value)
    count(value)
    kind(value)


MANAGERS = ["fs", "arrow", "parquet", "mem"]


@pytest.mark.parametrize("name", MANAGERS)
@pytest.mark.parametrize(("of", "type_name"), [(from_stream, "RecordBatchReader"), (from_table, "Table")])
def test_each_reader_gets_what_it_asks_for(tmp_path: Path, name: str, of: Any, type_name: str) -> None:
    made = of.graph.to_job(resource_defs={"tables": getattr(memo, f"{name}_io_manager")})
    result = execute_job(made, tmp_path / ".memo")
    assert result.success
    assert [result.output_for_node(each) for each in ("add", "count", "kind")] == [TOTAL, 5000, type_name]
    again = execute_job(made, tmp_path / ".memo")
    if name != "mem":
        assert again.output_for_node("add") == TOTAL
        assert not [event for event in again.all_events if event.kind == "STEP_START"]


def test_a_stream_and_a_table_of_the_same_content_have_one_digest(tmp_path: Path) -> None:
    result = execute_job(from_stream, tmp_path / ".memo")
    assert result.success
    manifest = next(path for path in (tmp_path / ".memo/storage").rglob("*.json") if b'"reader"' in path.read_bytes())
    digest = content_digest(pa.Table.from_batches(batches(5)))
    assert digest is not None
    assert f'"content_digest":"{digest}"'.encode() in manifest.read_bytes()


def test_an_edit_that_gives_the_same_stream_cuts_off(tmp_path: Path) -> None:
    def made(version: str) -> Any:
        @op(name="make", version=version)
        def make() -> pa.RecordBatchReader:
            return stream(5)

        @op(name="add", version="1")
        def add_up(value: pa.RecordBatchReader) -> int:
            return sum(batch.num_rows for batch in value)

        @job(name="cut")
        def cut() -> None:
            add_up(make())

        return cut

    execute_job(made("1"), tmp_path / ".memo")
    again = execute_job(made("2"), tmp_path / ".memo")
    started = [event.step_key for event in again.all_events if event.kind == "STEP_START"]
    assert started == ["make"]


NESTED = pa.table(
    {
        "l": pa.array([[1, None], None, []] * 50),
        "s": pa.array([{"x": 1, "y": None}, None, {"x": None, "y": "q"}] * 50),
        "m": pa.array([[("k", 1)], None, []] * 50, pa.map_(pa.string(), pa.int32())),
        "d": pa.array(["x", "y", None] * 50).dictionary_encode(),
        "n": pa.nulls(150),
        "late": pa.array([1] * 100 + [None] * 50),
    },
    metadata={"k": "v"},
)


@pytest.mark.parametrize("cut", [1, 7, 101, 150, 1000])
def test_the_digest_of_a_table_does_not_depend_on_its_batches(cut: int) -> None:
    taken = table_digest(NESTED.schema)
    for batch in NESTED.to_batches(max_chunksize=cut):
        taken.update(batch)
    assert taken.result() == content_digest(NESTED)
    assert taken.result() != content_digest(NESTED.slice(1))


def test_a_stream_whose_dictionaries_change_has_no_digest_and_comes_back(tmp_path: Path) -> None:
    schema = pa.schema({"d": pa.dictionary(pa.int32(), pa.string())})
    parts = [pa.record_batch([pa.array([each]).dictionary_encode()], schema=schema) for each in ("a", "b", "a")]
    taken = table_digest(schema)
    for batch in parts:
        taken.update(batch)
    assert taken.result() is None

    @op
    def make() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(schema, parts)

    @op
    def read(value: pa.RecordBatchReader) -> list[Any]:
        return [row for batch in value for row in batch.column(0).to_pylist()]

    @job
    def changing() -> None:
        read(make())

    assert execute_job(changing, tmp_path / ".memo").output_for_node("read") == ["a", "b", "a"]


def failing_after(error: BaseException) -> Any:
    def parts() -> Any:
        yield from batches(3)
        raise error

    return pa.RecordBatchReader.from_batches(SCHEMA, parts())


@pytest.mark.parametrize("name", MANAGERS)
def test_an_op_that_fails_while_its_stream_is_read_stores_nothing(tmp_path: Path, name: str) -> None:
    @op
    def breaks() -> pa.RecordBatchReader:
        return failing_after(KeyError("mine"))

    @job(resource_defs={"io_manager": getattr(memo, f"{name}_io_manager")})
    def broken() -> None:
        breaks()

    result = execute_job(broken, tmp_path / ".memo")
    assert not result.success
    (failure,) = [event for event in result.all_events if event.kind == "STEP_FAILURE"]
    assert "KeyError" in str(failure.error)
    assert not [path for path in (tmp_path / ".memo").glob("storage/**/*.*") if path.is_file()]


def test_a_retry_makes_the_stream_anew(tmp_path: Path) -> None:
    tries: list[int] = []

    @op(retry_policy=memo.RetryPolicy(max_retries=1))
    def wobbles() -> pa.RecordBatchReader:
        tries.append(1)
        return stream(2) if len(tries) > 1 else failing_after(ConnectionError())

    @job
    def wobbling() -> None:
        count(wobbles())

    assert execute_job(wobbling, tmp_path / ".memo").output_for_node("count") == 2000
    assert len(tries) == 2


def test_one_stream_is_not_two_outputs(tmp_path: Path) -> None:
    @op(out={"a": Out(), "b": Out()})
    def twice() -> Any:
        one = stream(1)
        return one, one

    @job
    def doubled() -> None:
        twice()

    result = execute_job(doubled, tmp_path / ".memo")
    (failure,) = [event for event in result.all_events if event.kind == "STEP_FAILURE"]
    assert "gave one stream as 'a' and 'b', and a stream can be read once only" in str(failure.error)


def test_batches_of_another_schema_are_explained(io_manager: FsIOManager) -> None:
    from memo.contracts.io_manager import OutputContext

    odd = pa.RecordBatchReader.from_batches(SCHEMA, iter([pa.record_batch({"a": [1]})]))
    with pytest.raises(StorageError, match="cannot be stored: Arrow cannot write it"):
        io_manager.handle_output(OutputContext("step", "result", "v", "run"), odd)


def test_verify_compares_streams(tmp_path: Path) -> None:
    execute_job(from_stream, tmp_path / ".memo")
    found = memo.verify_job(from_stream, instance=tmp_path / ".memo")
    assert {key: step.outcome for key, step in found.steps.items()}["make_stream"] == "SAME"


PASSING = """
import resource, sys
import numpy as np, pyarrow as pa
from memo import execute_job, job, op

ROWS, COUNT = 1_000_000, int(sys.argv[2])
SCHEMA = pa.schema({"a": pa.float64()})

def parts():
    for number in range(COUNT):
        yield pa.record_batch({"a": np.full(ROWS, float(number))}, schema=SCHEMA)

@op
def make() -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(SCHEMA, parts())

@op
def double(value: pa.RecordBatchReader) -> pa.RecordBatchReader:
    doubled = (pa.record_batch({"a": batch.column(0).to_numpy() * 2}, schema=SCHEMA) for batch in value)
    return pa.RecordBatchReader.from_batches(SCHEMA, doubled)

@op
def add(value: pa.RecordBatchReader) -> float:
    return sum(float(batch.column(0).to_numpy().sum()) for batch in value)

@job
def passing():
    add(double(make()))

result = execute_job(passing, sys.argv[1])
assert result.output_for_node("add") == ROWS * COUNT * (COUNT - 1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def test_a_stream_larger_than_memory_passes_in_bounded_memory(tmp_path: Path) -> None:
    script = tmp_path / "passing.py"
    script.write_text(PASSING)

    def most(batches: int) -> int:
        home = tmp_path / f"home{batches}"
        ended = subprocess.run(
            [sys.executable, str(script), str(home), str(batches)], check=True, capture_output=True, text=True
        )
        return int(ended.stdout)

    few, many = most(4), most(64)
    assert many - few < 60_000_000, f"{few:,} bytes for 32 MB, {many:,} for 512 MB"


READS = """
import pyarrow as pa
from memo import Source, job, op

SCHEMA = pa.schema({"a": pa.int64()})

def rows():
    with open("data.csv") as file:
        for line in file:
            yield pa.record_batch({"a": [int(line)]}, schema=SCHEMA)
            SPOIL

@op(ARGUMENTS)
def make() -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(SCHEMA, rows())

@op
def add(value: pa.RecordBatchReader) -> int:
    return value.read_all()["a"].to_pylist()

@job
def j():
    add(make())
"""


def test_what_a_stream_reads_is_noticed(workspace: Any) -> None:
    (workspace.path / "data.csv").write_text("1\n2\n")
    workspace.write("pipeline.py", READS.replace("ARGUMENTS", "").replace("SPOIL", "pass").replace("-> int", ""))
    ran = workspace.run()
    assert ran.success, ran.errors
    with Home(workspace.home) as home:
        reads = [(read.kind, read.what) for read in home.catalog.undeclared_reads("j") if read.kind == "file"]
    assert reads == [("file", "data.csv")]


def test_a_source_that_changes_while_a_stream_is_read_leaves_nothing_stored(workspace: Any) -> None:
    (workspace.path / "data.csv").write_text("1\n2\n")
    spoil = "open('data.csv', 'a').write('3\\n') if line == '1\\n' else None"
    text = READS.replace("ARGUMENTS", "depends_on=[Source.file('data.csv')]").replace("SPOIL", spoil)
    workspace.write("pipeline.py", text.replace("-> int", ""))
    ran = workspace.run()
    assert ran.outcomes == {"make": "failure", "add": "blocked"}
    assert "the source 'data.csv' was changed while the run went on" in ran.errors["make"]
    assert not [path for path in workspace.home.rglob("storage/**/*.*") if path.is_file()]
    assert workspace.run().outcomes["make"] == "failure"


@pytest.mark.parametrize("encoding", ["arrow", "parquet"])
def test_a_stream_passes_through_a_place_elsewhere(counting: Any, encoding: str) -> None:
    from memo.contracts.io_manager import InputContext, OutputContext

    io_manager = FsIOManager("counting://bucket", encoding)
    context = OutputContext("step", "result", "v", "run")
    io_manager.handle_output(context, stream(1200))
    loaded = io_manager.load_input(InputContext("value", context))
    assert isinstance(loaded, pa.RecordBatchReader)
    assert sum(batch.num_rows for batch in loaded) == 1_200_000
    io_manager.handle_output(context, stream(0))
    assert io_manager.load_input(InputContext("value", context)).read_all().equals(SCHEMA.empty_table())
