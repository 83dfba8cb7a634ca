"""Tables in PostgreSQL: behind views that people query, whole or not there, and no password told to anyone."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from threading import Barrier, Thread
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pyarrow as pa
import pytest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import MissingExtraError, OutputLostError, StorageError
from memo_iomanagers.postgres import POSTGRES, PostgresConfig, PostgresIOManager


@pytest.fixture
def schema() -> str:
    return f"s_{uuid4().hex}"


@pytest.fixture
def io_manager(postgres_dsn: str, schema: str) -> PostgresIOManager:
    return PostgresIOManager(postgres_dsn, schema)


def output(version: str = "v", step: str = "daily_total") -> OutputContext:
    return OutputContext(step, "result", version, "run")


def load(io_manager: PostgresIOManager, context: OutputContext) -> Any:
    return io_manager.load_input(InputContext("value", context))


def query(dsn: str, *statements: str) -> list[Any]:
    with psycopg.connect(dsn) as connection:
        for statement in statements:
            found = connection.execute(statement.encode())
        return found.fetchall() if found.description else []


def tables_of(dsn: str, schema: str) -> list[str]:
    asked = f"select tablename from pg_tables where schemaname = '{schema}_memo' and tablename like 't\\_%'"
    return [name for (name,) in query(dsn, asked)]


# Views


def test_a_view_shows_what_was_stored_last(io_manager: PostgresIOManager, postgres_dsn: str, schema: str) -> None:
    io_manager.handle_output(output("v1"), pa.table({"day": [1, 2], "total": [0.5, None]}))
    query(postgres_dsn, f"grant usage on schema {schema} to public", f"grant select on {schema}.daily_total to public")
    io_manager.handle_output(output("v2"), pa.table({"day": [3], "total": [1.5]}))
    view = f"{schema}.daily_total"
    assert query(postgres_dsn, f"select day, total from {view}") == [(3, 1.5)]
    granted = f"select has_table_privilege('public', '{view}', 'select')"
    assert query(postgres_dsn, granted) == [(True,)], "who could read the view no longer can"
    io_manager.handle_output(output("v3"), pa.table({"text": ["a"]}))
    assert query(postgres_dsn, f"select * from {view}") == [("a",)]
    io_manager.handle_output(output("v1"), pa.table({"day": [7]}))
    assert query(postgres_dsn, f"select * from {view}") == [(7,)]
    assert load(io_manager, output("v2")).to_pydict() == {"day": [3], "total": [1.5]}
    assert len(tables_of(postgres_dsn, schema)) == 3


def test_a_view_that_something_is_made_of(io_manager: PostgresIOManager, postgres_dsn: str, schema: str) -> None:
    io_manager.handle_output(output("v1"), pa.table({"day": [1]}))
    query(postgres_dsn, f"create view {schema}.mine as select * from {schema}.daily_total")
    io_manager.handle_output(output("v2"), pa.table({"day": [2]}))
    assert query(postgres_dsn, f"select * from {schema}.mine") == [(2,)]
    with pytest.raises(StorageError, match=rf"cannot change.*{schema}\.mine depends on .*drop that first"):
        io_manager.handle_output(output("v3"), pa.table({"text": ["a"]}))
    assert io_manager.has_outputs([output("v2"), output("v3")]) == [True, False]
    assert len(tables_of(postgres_dsn, schema)) == 2


def test_what_is_not_ours_is_not_replaced(io_manager: PostgresIOManager, postgres_dsn: str, schema: str) -> None:
    query(postgres_dsn, f"create schema {schema}", f"create table {schema}.daily_total (mine int)")
    with pytest.raises(StorageError, match=r"daily_total\" in PostgreSQL at .* is not memo's"):
        io_manager.handle_output(output(), pa.table({"a": [1]}))
    assert not io_manager.has_output(output())
    assert tables_of(postgres_dsn, schema) == []


# Values


def test_a_string_with_a_nul_is_refused(io_manager: PostgresIOManager, postgres_dsn: str, schema: str) -> None:
    with pytest.raises(StorageError, match=r"^output .*holds a string with a NUL character.*PostgreSQL cannot keep it"):
        io_manager.handle_output(output(), pa.table({"a": ["x", "a\0b"]}))
    assert not io_manager.has_output(output())
    assert tables_of(postgres_dsn, schema) == []


def test_a_date_out_of_range_is_refused(io_manager: PostgresIOManager) -> None:
    with pytest.raises(StorageError, match="holds a date outside of the years 1 to 9999"):
        io_manager.handle_output(output(), pa.table({"a": pa.array([2**40 * 10**6], pa.timestamp("us"))}))


def test_rows_that_are_too_wide_for_a_page_are_refused(io_manager: PostgresIOManager) -> None:
    with pytest.raises(StorageError, match=r"could not be stored in PostgreSQL at .*row is too big"):
        io_manager.handle_output(output(), pa.table({f"c{place}": [0.5] for place in range(1600)}))


def test_what_the_server_has_set_does_not_matter(io_manager: PostgresIOManager, postgres_dsn: str, schema: str) -> None:
    table = pa.table({"t": pa.array([0], pa.timestamp("us", "UTC")), "x": [0.1 + 0.2], "b": [b"\xff"]})
    role = f"r_{uuid4().hex}"
    query(
        postgres_dsn,
        f"create role {role} superuser login",
        *(
            f"alter role {role} set {setting}"
            for setting in ("timezone to 'Asia/Tokyo'", "datestyle to 'German'", "bytea_output to 'escape'")
        ),
        f"alter role {role} set extra_float_digits to 0",
    )
    other = PostgresIOManager(postgres_dsn.replace("postgres:@", f"{role}:@"), schema)
    other.handle_output(output(), table)
    assert load(other, output()).equals(table)
    assert load(io_manager, output()).equals(table)


# Whole or not there


@pytest.mark.parametrize(
    "damage", ["update {} set c1 = 2", "delete from {}", "insert into {} values (1)", "drop table {} cascade"]
)
def test_rows_that_were_changed_are_not_loaded(
    io_manager: PostgresIOManager, postgres_dsn: str, schema: str, damage: str
) -> None:
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    (name,) = tables_of(postgres_dsn, schema)
    query(postgres_dsn, damage.format(f"{schema}_memo.{name}"))
    assert io_manager.has_output(output()) is not damage.startswith("drop")
    with pytest.raises(OutputLostError, match="does not hold what was stored there"):
        load(io_manager, output())
    assert not io_manager.has_output(output()), "the next plan takes it for stored"
    io_manager.handle_output(output(), pa.table({"a": [3]}))
    assert load(io_manager, output()).to_pydict() == {"a": [3]}
    assert len(tables_of(postgres_dsn, schema)) == 1


def test_a_process_killed_in_the_middle_of_a_store_leaves_nothing(
    io_manager: PostgresIOManager, postgres_dsn: str, schema: str
) -> None:
    io_manager.handle_output(output("before"), pa.table({"a": [1]}))
    program = """
        import os, signal, sys
        import pyarrow as pa
        from memo.contracts.io_manager import OutputContext
        from memo_iomanagers.postgres import PostgresIOManager

        class Killed(PostgresIOManager):
            def _move_view(self, connection, name, table, names):
                os.kill(os.getpid(), signal.SIGKILL)  # the rows are in, and what is known of them

        context = OutputContext("daily_total", "result", "killed", "run")
        Killed(*sys.argv[1:]).handle_output(context, pa.table({"a": range(100_000)}))
        """
    killed = subprocess.run(
        [sys.executable, "-c", dedent(program), postgres_dsn, schema], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert io_manager.has_outputs([output("before"), output("killed")]) == [True, False]
    assert query(postgres_dsn, f"select * from {schema}.daily_total") == [(1,)]
    io_manager.handle_output(output("killed"), pa.table({"a": [2]}))
    assert load(io_manager, output("killed")).to_pydict() == {"a": [2]}
    assert len(tables_of(postgres_dsn, schema)) == 2


def test_a_stream_that_fails_leaves_nothing(io_manager: PostgresIOManager, postgres_dsn: str, schema: str) -> None:
    def batches() -> Any:
        yield pa.record_batch({"a": range(100_000)})
        raise OSError("dry")

    with pytest.raises(OSError, match="dry"):
        io_manager.handle_output(output(), pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches()))
    assert tables_of(postgres_dsn, schema) == []


# Several at once


def test_many_that_come_first_at_once(postgres_dsn: str, schema: str) -> None:
    ready, raised = Barrier(6), []

    def run(number: int) -> None:
        io_manager = PostgresIOManager(postgres_dsn, schema)
        ready.wait(60)
        try:
            for version in ("same", f"own {number}"):
                io_manager.handle_output(output(version, f"step{number % 2}"), pa.table({"n": [number]}))
        except Exception as error:  # noqa: BLE001 - shown by the test, not by the thread
            raised.append(error)

    threads = [Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
    io_manager = PostgresIOManager(postgres_dsn, schema)
    assert all(io_manager.has_outputs([output("same"), *(output(f"own {number}") for number in range(6))]))
    assert load(io_manager, output("same"))["n"].to_pylist()[0] in range(6)
    assert len(tables_of(postgres_dsn, schema)) == 7


def test_two_processes_at_once(postgres_dsn: str, schema: str) -> None:
    program = """
        import sys
        import pyarrow as pa
        from memo.contracts.io_manager import OutputContext
        from memo_iomanagers.postgres import PostgresIOManager
        for number in range(20):
            context = OutputContext(f"step_{sys.argv[3]}", "result", f"{sys.argv[3]}-{number}", "run")
            PostgresIOManager(*sys.argv[1:3]).handle_output(context, pa.table({"n": [number]}))
        """
    arguments = [sys.executable, "-c", dedent(program), postgres_dsn, schema]
    processes = [subprocess.Popen([*arguments, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    failed = [said for each in processes if (said := each.communicate(timeout=120)[1]) and each.returncode]
    assert not failed, failed[0]
    contexts = [output(f"{name}-{number}", f"step_{name}") for name in "ab" for number in range(20)]
    io_manager = PostgresIOManager(postgres_dsn, schema)
    assert all(io_manager.has_outputs(contexts))
    assert [load(io_manager, each)["n"].to_pylist() for each in contexts] == [[number] for number in range(20)] * 2


# What goes wrong

SECRET = "s3cr3t-pässwörd"


@pytest.mark.parametrize(
    ("dsn", "because"),
    [
        (f"postgresql://memo:{SECRET}@127.0.0.1:1/sales", "PostgreSQL at 127.0.0.1:1, sales: .*refused"),
        (f"host=/nowhere/at/all dbname=sales password={SECRET}", "PostgreSQL at /nowhere/at/all, sales: .*"),
    ],
)
def test_a_server_that_is_not_there(dsn: str, because: str, caplog: pytest.LogCaptureFixture) -> None:
    io_manager = PostgresIOManager(dsn)
    assert io_manager.has_outputs([output()]) == [False]
    assert "could not be asked which outputs it has" in caplog.text
    for act in (lambda: io_manager.handle_output(output(), pa.table({"a": [1]})), lambda: load(io_manager, output())):
        with pytest.raises(
            StorageError, match=f"^output 'result' of step 'daily_total': could not be .*{because}"
        ) as caught:
            act()
        assert not isinstance(caught.value, OutputLostError)
        assert "\n" not in str(caught.value)
        assert SECRET not in str(caught.value)
        assert caught.value.__suppress_context__, "what the driver said is shown as well"
    assert SECRET not in caplog.text


def test_a_password_that_is_wrong(postgres_dsn: str) -> None:
    role = f"teller_{uuid4().hex}"
    query(postgres_dsn, f"create role {role} login password 'right'")
    ((rules,),) = query(postgres_dsn, "show hba_file")
    path = Path(rules)
    path.write_text(f"local all {role} scram-sha-256\n{path.read_text()}")
    query(postgres_dsn, "select pg_reload_conf()")
    dsn = postgres_dsn.replace("postgres:@", f"{role}:{SECRET}@")
    with pytest.raises(
        StorageError, match=r"could not be stored in PostgreSQL at .*password authentication failed"
    ) as caught:
        PostgresIOManager(dsn).handle_output(output(), pa.table({"a": [1]}))
    assert SECRET not in str(caught.value)


def test_a_role_that_may_not(postgres_dsn: str) -> None:
    role = f"guest_{uuid4().hex}"
    query(postgres_dsn, f"create role {role} login")
    io_manager = PostgresIOManager(postgres_dsn.replace("postgres:@", f"{role}:@"), f"s_{uuid4().hex}")
    with pytest.raises(StorageError, match="permission denied for database"):
        io_manager.handle_output(output(), pa.table({"a": [1]}))
    assert not io_manager.has_output(output())


@pytest.mark.parametrize("dsn", [f"password={SECRET} nonsense", f"postgresql://{SECRET}@[", f"pasword={SECRET}"])
def test_a_dsn_that_cannot_be_read(dsn: str) -> None:
    with pytest.raises(StorageError, match="the dsn of the IO manager 'postgres' cannot be read") as caught:
        PostgresIOManager(dsn)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


def test_nothing_shows_the_dsn(postgres_dsn: str) -> None:
    dsn = f"postgresql://u:{SECRET}@h/d"
    config = PostgresConfig(dsn)
    io_manager = POSTGRES.create(SimpleNamespace(resource_config=config))
    for shown in (repr(config), str(config), repr(io_manager), repr(vars(io_manager))):
        assert SECRET not in shown


def test_without_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"'psycopg': pip install 'memo-pipelines\[postgres\]'"):
        PostgresIOManager("dbname=d")
