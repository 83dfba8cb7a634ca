"""Tables in a DuckDB file: behind views that people query, and none lost that several processes store in turn."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.duckdb_tables import DuckDBIOManager
from memo_iomanagers.file_lock import file_lock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tables.duckdb"


def output(version: str = "v", step: str = "daily_total", name: str = "result") -> OutputContext:
    return OutputContext(step, name, version, "run")


def load(io_manager: DuckDBIOManager, context: OutputContext) -> Any:
    return io_manager.load_input(InputContext("value", context))


def query(path: Path, question: str) -> list[Any]:
    with duckdb.connect(path, read_only=True) as connection:
        return connection.execute(question).fetchall()


def run(program: str, *args: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", dedent(program), *map(str, args)], stderr=subprocess.PIPE, text=True)


STORES = """
import sys
import pyarrow as pa
from memo.contracts.io_manager import OutputContext
from memo_iomanagers.duckdb_tables import DuckDBIOManager
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(count):
    context = OutputContext(f"step_{name}", "result", f"{name}-{number}", "run")
    DuckDBIOManager(path, "analytics").handle_output(context, pa.table({"n": [number]}))
"""


# Views


def test_a_view_shows_what_was_stored_last(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics")
    io_manager.handle_output(output("v1"), pa.table({"day": [1, 2], "Day": ["a", "b"]}))
    io_manager.handle_output(output("v2"), pa.table({"total": [2.5]}))
    assert query(path, "select * from analytics.daily_total") == [(2.5,)]
    io_manager.handle_output(output("v1"), pa.table({"day": [7], "Day": ["c"]}))
    with duckdb.connect(path, read_only=True) as connection:
        found = connection.execute("select * from analytics.daily_total")
        assert [column[0] for column in found.description] == ["day", "Day_2"]
        assert found.fetchall() == [(7, "c")]
    assert load(io_manager, output("v2")).to_pydict() == {"total": [2.5]}
    assert query(path, "select count(*) from duckdb_tables() where table_name like 't_%'") == [(2,)]
    assert query(path, "select view_name from duckdb_views() where schema_name = 'analytics'") == [("daily_total",)]


def test_small_tables_take_little_space(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics")
    for number in range(10):
        io_manager.handle_output(output(f"v{number}"), pa.table({"a": [number]}))
    assert path.stat().st_size < 1_000_000


def test_a_step_that_stores_the_version_of_another_moves_both_views(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics")
    io_manager.handle_output(output("v", "one"), pa.table({"a": [1]}))
    io_manager.handle_output(output("v", "two"), pa.table({"a": [2]}))
    assert query(path, "select * from analytics.one union all select * from analytics.two") == [(2,), (2,)]


def test_what_is_not_ours_is_not_replaced(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("create schema analytics; create table analytics.daily_total as select 1 as mine")
    io_manager = DuckDBIOManager(path, "analytics")
    with pytest.raises(StorageError, match=r'^output .*"analytics"."daily_total" in .*tables.duckdb is not memo\'s'):
        io_manager.handle_output(output(), pa.table({"a": [1]}))
    assert query(path, "select * from analytics.daily_total") == [(1,)]
    assert not io_manager.has_output(output())


def test_a_file_and_a_schema_of_one_name(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="have one name, which DuckDB cannot tell apart"):
        DuckDBIOManager(tmp_path / "Analytics.duckdb", "analytics")


@pytest.mark.parametrize("schema", ["", "a\nb", "x" * 60])
def test_a_schema_that_cannot_be_named_so(path: Path, schema: str) -> None:
    with pytest.raises(StorageError, match=r"schema .* cannot be used"):
        DuckDBIOManager(path, schema)


def test_a_schema_of_any_other_name(path: Path) -> None:
    io_manager = DuckDBIOManager(path, 'an "odd"; ñame--')
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    assert load(io_manager, output()).to_pydict() == {"a": [1]}
    assert query(path, 'select * from "an ""odd""; ñame--".daily_total') == [(1,)]


# Whole or not there


def test_a_file_that_is_no_database(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"no database" * 999)
    io_manager = DuckDBIOManager(path, "analytics")
    assert io_manager.has_outputs([output(), output("v2")]) == [False, False]
    assert "tables.duckdb could not be asked which outputs it has" in caplog.text
    with pytest.raises(OutputLostError, match=r"^output .*not a valid DuckDB database file.*move it away"):
        load(io_manager, output())
    with pytest.raises(StorageError, match=r"^output .*not a valid DuckDB database file.*move it away"):
        io_manager.handle_output(output(), pa.table({"a": [1]}))
    assert path.read_bytes() == b"no database" * 999


def test_a_table_that_was_dropped_is_not_stored(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics")
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    ((name,),) = query(path, "select data_table from analytics_memo.outputs")
    with duckdb.connect(path) as connection:
        connection.execute(f"drop table analytics_memo.{name}")
    assert not io_manager.has_output(output())
    with pytest.raises(OutputLostError, match="it counts as not stored"):
        load(io_manager, output())
    io_manager.handle_output(output(), pa.table({"a": [2]}))
    assert load(io_manager, output()).to_pydict() == {"a": [2]}


@pytest.mark.parametrize(
    "damage", ["update {} set c1 = 2", "delete from {}", "insert into {} values (1)", "alter table {} rename c1 to x"]
)
def test_rows_that_were_changed_are_not_loaded(path: Path, damage: str) -> None:
    io_manager = DuckDBIOManager(path, "analytics")
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    ((name,),) = query(path, "select data_table from analytics_memo.outputs")
    with duckdb.connect(path) as connection:
        connection.execute(damage.format(f"analytics_memo.{name}"))
    assert io_manager.has_output(output())
    if "rename" in damage:
        assert load(io_manager, output()).to_pydict() == {"a": [1]}  # columns are known by their place
        return
    with pytest.raises(OutputLostError, match="does not hold what was stored there"):
        load(io_manager, output())
    assert not io_manager.has_output(output()), "the next plan takes it for stored"


def test_a_process_killed_in_the_middle_of_a_store_leaves_nothing_that_counts(path: Path) -> None:
    DuckDBIOManager(path, "analytics").handle_output(output("before"), pa.table({"a": [1]}))
    killed = run(
        """
        import os, signal, sys
        import pyarrow as pa
        from memo.contracts.io_manager import OutputContext
        from memo_iomanagers.duckdb_tables import DuckDBIOManager

        class Killed(DuckDBIOManager):
            def _view(self, name, table, names):
                os.kill(os.getpid(), signal.SIGKILL)  # the rows are in, and what is known of them

        context = OutputContext("daily_total", "result", "killed", "run")
        Killed(sys.argv[1], "analytics").handle_output(context, pa.table({"a": range(500_000)}))
        """,
        path,
    )
    said = killed.communicate(timeout=60)[1]
    assert killed.returncode == -signal.SIGKILL, said
    io_manager = DuckDBIOManager(path, "analytics", lock_timeout=1)
    assert io_manager.has_outputs([output("before"), output("killed")]) == [True, False]
    assert query(path, "select * from analytics.daily_total") == [(1,)]
    io_manager.handle_output(output("killed"), pa.table({"a": [2]}))
    assert load(io_manager, output("killed")).to_pydict() == {"a": [2]}
    assert query(path, "select count(*) from duckdb_tables() where table_name like 't_%'") == [(2,)]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


# Several processes


def test_processes_that_store_in_turn_lose_nothing(path: Path) -> None:
    processes = [run(STORES, path, name, 12) for name in "ab"]
    failed = [text for each in processes if (text := each.communicate(timeout=120)[1]) and each.returncode]
    assert not failed, failed[0]
    io_manager = DuckDBIOManager(path, "analytics")
    contexts = [output(f"{name}-{number}", f"step_{name}") for name in "ab" for number in range(12)]
    assert all(io_manager.has_outputs(contexts))
    assert [load(io_manager, each)["n"].to_pylist() for each in contexts] == [[number] for number in range(12)] * 2


def test_the_lock_is_taken_before_the_database_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB reads the header before it takes a lock: by then, nobody else may be writing."""
    seen: list[bool] = []
    connect = duckdb.connect

    def watched(*args: Any, **options: Any) -> Any:
        lock = file_lock(f"{path}.lock", shared=False, timeout=0, on_wait=print)
        with pytest.raises(StorageError, match="was locked by"), lock:
            pass
        seen.append(bool(options.get("read_only")))
        return connect(*args, **options)

    monkeypatch.setattr(duckdb, "connect", watched)
    io_manager = DuckDBIOManager(path, "analytics")
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    io_manager.has_output(output())
    load(io_manager, output())
    assert seen == [False, False, True, True]


def test_readers_share_the_lock_and_exclude_a_writer(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics", lock_timeout=0.05)
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    with io_manager._file.reading(print):
        assert load(io_manager, output()).num_rows == 1
        with pytest.raises(
            StorageError, match=r"^output .*tables.duckdb.lock was locked by .* for all of 0.05 seconds"
        ):
            io_manager.handle_output(output("v2"), pa.table({"a": [1]}))
    with io_manager._file.writing(print):
        assert io_manager.has_outputs([output()]) == [False]
        with pytest.raises(StorageError, match=f"was locked by process {os.getpid()} for all of"):
            load(io_manager, output())


def test_who_waits_for_long_is_told_for_whom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memo_iomanagers.file_lock._PATIENCE", 0.0)
    told: list[str] = []
    lock = str(tmp_path / "lock")
    with file_lock(lock, shared=False, timeout=1, on_wait=told.append):
        again = file_lock(lock, shared=True, timeout=0.02, on_wait=told.append)
        with pytest.raises(StorageError, match="was locked by process"), again:
            pass
    assert told == [f"waiting for {lock}, which process {os.getpid()} holds"]


def test_a_stream_is_read_before_others_have_to_wait(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics", lock_timeout=1)
    io_manager.handle_output(output("v1"), pa.table({"a": [1, 2]}))

    def batches() -> Any:
        yield from load(io_manager, output("v1")).to_batches()

    io_manager.handle_output(output("v2"), pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches()))
    assert load(io_manager, output("v2")).read_all().to_pydict() == {"a": [1, 2]}


def test_a_file_that_another_program_has_open(path: Path) -> None:
    io_manager = DuckDBIOManager(path, "analytics", lock_timeout=0.3)
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()",
            path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match=r"is open in another program: .*PID"):
            io_manager.handle_output(output("v2"), pa.table({"a": [1]}))
        other.communicate("\n")
    assert io_manager.has_output(output())
