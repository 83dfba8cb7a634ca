"""What is no catalog, a damaged one, or one that cannot be written: refused in words that help, never harmed."""

from __future__ import annotations

import random
import sqlite3
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

from memo.catalog import Catalog, connection, schema
from memo.contracts.run_store import RunRecord
from memo.errors import HomeError, NewerHomeError, RunNotFoundError
from memo.events import Event, EventType, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What is no catalog, or not one of ours


def other_database(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE runs (x)")
    database.execute("INSERT INTO runs VALUES (1)")
    database.commit()
    database.close()


def other_numbered_database(path: Path) -> None:
    other_database(path)
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {schema.CURRENT}")
    database.close()


STRANGERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("a note to myself\n" * 100),
    "a few bytes": lambda path: path.write_bytes(b"hello"),
    "zeros": lambda path: path.write_bytes(bytes(8192)),
    "another database": other_database,
    "another database of the same number": other_numbered_database,
}


@pytest.mark.parametrize("make", STRANGERS.values(), ids=STRANGERS)
@pytest.mark.parametrize("read_only", [False, True])
def test_what_is_no_catalog_is_refused_and_left_as_it_was(
    path: Path, make: Callable[[Path], object], read_only: bool, sample: Any
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()

    with Catalog.open(path, read_only=read_only) as catalog:
        for _ in range(2):
            with pytest.raises(
                HomeError, match=r"catalog\.db: this file is not a catalog of memo.*memo rebuild-catalog"
            ):
                catalog.list_runs()
        if not read_only:
            with pytest.raises(HomeError, match="not a catalog"):
                catalog.add_run(sample.run)

    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["catalog.db"]


def test_a_folder_in_the_place_of_the_file_is_refused(path: Path, sample: Any) -> None:
    path.mkdir(parents=True)
    with Catalog.open(path) as catalog:
        with pytest.raises(HomeError, match="cannot be opened"):
            catalog.list_runs()
        with pytest.raises(HomeError, match="cannot be opened"):
            catalog.add_run(sample.run)


def test_a_file_in_the_place_of_the_folder_is_refused(path: Path, sample: Any) -> None:
    path.parent.write_text("")
    with Catalog.open(path) as catalog:
        with pytest.raises(HomeError, match="cannot be opened"):
            catalog.list_runs()
        with pytest.raises(HomeError, match="cannot be opened: File exists"):
            catalog.add_run(sample.run)


def test_a_catalog_of_a_newer_memo_is_refused_with_the_ways_out(filled: Path) -> None:
    database = sqlite3.connect(filled)
    database.execute(f"PRAGMA user_version = {schema.CURRENT + 1}")
    database.close()
    before = filled.read_bytes()

    for read_only in (False, True):
        with Catalog.open(filled, read_only=read_only) as catalog, pytest.raises(NewerHomeError) as caught:
            catalog.list_runs()
        message = str(caught.value)
        assert message.startswith(f"{filled}: the catalog was written by a newer memo")
        assert "pip install -U memo-pipelines" in message
        assert "--home or MEMO_HOME" in message
    assert filled.read_bytes() == before


def test_a_damaged_catalog_is_refused_and_left_as_it_was(filled: Path, sample: Any) -> None:
    whole = filled.read_bytes()
    chance = random.Random(0)
    refusals: list[str] = []
    for _ in range(150):
        damaged = bytearray(whole)
        if chance.random() < 0.2:
            del damaged[chance.randrange(200, len(damaged)) :]
        else:
            for _ in range(chance.choice([1, 5, 500])):
                damaged[chance.randrange(100, len(damaged))] = chance.randrange(256)
        filled.write_bytes(damaged)
        with Catalog.open(filled) as catalog:
            for name in sample.full:
                try:
                    sample.ask(name, catalog)
                except HomeError as error:
                    refusals.append(str(error))
                except RunNotFoundError:
                    pass
        assert filled.read_bytes() == damaged

    assert len(refusals) > 100
    assert all(refusal.startswith(f"{filled}: the catalog ") for refusal in refusals)


@pytest.mark.parametrize(
    ("change", "question"),
    [
        ("UPDATE runs SET steps = x'7a00'", "get_run"),
        ("UPDATE runs SET steps = x'6dc1'", "get_run"),
        ("UPDATE version_sets SET versions = x'6dc1'", "get_run"),
        ("UPDATE runs SET counts = x'6d90'", "savings"),
        ("UPDATE recipes SET recipe = x'6d90'", "standing"),
        ("UPDATE runs SET status = 'SUCCES'", "get_run"),
        ("UPDATE runs SET job_name = CAST(x'ff' AS TEXT)", "get_run"),
        ("UPDATE events SET events = x'6d9192a453544550cb3ff0000000000000'", "events"),
        ("UPDATE recipes SET recipe = x'6d90'", "last_recipes"),
        ("UPDATE sources SET text = x'00'", "source"),
        ("UPDATE stamps SET value = x'6d90'", "known_stamps"),
        ("UPDATE stamps SET value = x'6d92a464617465a0'", "known_stamps"),
        ("UPDATE adoptions SET files = x'6d90'", "adopted"),
        ("UPDATE acceptances SET reason = CAST(x'ff' AS TEXT)", "acceptances"),
        ("UPDATE events SET events = x'6d80' WHERE are_reads", "undeclared_reads"),
        ("DROP TABLE file_digests", "file_digests"),
        ("DROP TABLE aliases", "aliases"),
    ],
)
def test_a_damaged_row_is_told_as_damage(filled: Path, change: str, question: str, sample: Any) -> None:
    database = sqlite3.connect(filled)
    database.execute(change)
    database.commit()
    database.close()

    with (
        Catalog.open(filled) as catalog,
        pytest.raises(HomeError, match=r"the catalog is damaged; `memo rebuild-catalog"),
    ):
        sample.ask(question, catalog)


# Trouble while writing


def test_a_full_disk_loses_nothing_that_was_stored(filled: Path, sample: Any) -> None:
    def limit(database: sqlite3.Connection, pages: int) -> None:
        database.execute(f"PRAGMA max_page_count = {pages}")

    with Catalog.open(filled) as catalog:
        catalog._database.ask(lambda database: limit(database, 1), None)  # raised to what it has
        big = [Event(EventType.LOG, "r1", 1.0, message=str(number) * 5000) for number in range(100)]
        with pytest.raises(HomeError, match=r"disk is full; make room \(nothing that was in the catalog is lost\)"):
            catalog.add_events(big)
        assert sample.answers(catalog) == sample.full

        catalog._database.ask(lambda database: limit(database, 1 << 30), None)
        catalog.add_events(big)
        assert len(catalog.events("r1")) == 102


def test_a_catalog_that_stays_locked_is_told_so(filled: Path, monkeypatch: pytest.MonkeyPatch, sample: Any) -> None:
    monkeypatch.setattr(connection, "LOCK_WAIT", 0.05)
    other = sqlite3.connect(filled, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Catalog.open(filled) as catalog:
        assert sample.answers(catalog) == sample.full, "a writer does not keep others from reading"
        with pytest.raises(HomeError, match=r"catalog\.db: another process keeps the catalog locked; wait"):
            catalog.add_run(sample.run)
        other.execute("COMMIT")
        other.close()
        catalog.add_run(RunRecord("r2", "job", RunStatus.SUCCESS, 2.0))
        assert len(catalog.list_runs()) == 2


def test_a_catalog_that_stays_locked_while_it_is_made_is_told_so(
    path: Path, monkeypatch: pytest.MonkeyPatch, sample: Any
) -> None:
    monkeypatch.setattr(connection, "LOCK_WAIT", 0.05)
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with Catalog.open(path) as catalog:
        with pytest.raises(HomeError, match="another process keeps the catalog locked"):
            catalog.add_run(sample.run)
        other.execute("COMMIT")
        other.close()
        sample.fill(catalog)
        assert sample.answers(catalog) == sample.full


def test_switching_to_a_log_waits_where_sqlite_itself_does_not(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.parent.mkdir()
    path.touch()
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM sqlite_master").fetchall()
    impatient = sqlite3.connect(path, isolation_level=None, timeout=0)
    database = connection.Database(path, read_only=False)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(connection, "LOCK_WAIT", 0.05)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            database._keep_a_log(impatient)

    leaving = Timer(0.1, reader.execute, ["COMMIT"])
    leaving.start()
    database._keep_a_log(impatient)

    assert impatient.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    leaving.join()
    reader.close()
    impatient.close()


def test_a_file_system_without_shared_memory_is_refused(path: Path) -> None:
    # SQLite itself refuses the log here: its lock files in the manner of old network file systems share none.
    path.parent.mkdir()
    database = connection.Database(path, read_only=False)

    with pytest.raises(HomeError, match=r"write-ahead log .* \(its journal stays 'delete'\).*local disk"):
        database._connected("mode=rwc&vfs=unix-dotfile", create=True)


# Migrations

SECOND = (2, ("ALTER TABLE runs ADD COLUMN host TEXT", "UPDATE runs SET host = 'here'"))
BROKEN = (2, ("ALTER TABLE runs ADD COLUMN host TEXT", "UPDATE runs SET hosst = 'here'"))


def test_an_older_catalog_is_brought_up_to_date_and_keeps_everything(
    filled: Path, monkeypatch: pytest.MonkeyPatch, sample: Any
) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, SECOND))
        later.setattr(schema, "CURRENT", 2)
        with pytest.raises(HomeError, match=r"written by an older memo .* next run in this home"):
            Catalog.open(filled, read_only=True).list_runs()
        with Catalog.open(filled) as catalog:
            assert sample.answers(catalog) == sample.full
        with Catalog.open(filled, read_only=True) as catalog:
            assert sample.answers(catalog) == sample.full
        database = sqlite3.connect(filled)
        assert database.execute("SELECT host FROM runs").fetchall() == [("here",)]
        database.close()

    with Catalog.open(filled) as catalog, pytest.raises(NewerHomeError):
        catalog.list_runs()


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(
    filled: Path, monkeypatch: pytest.MonkeyPatch, sample: Any
) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, BROKEN))
        later.setattr(schema, "CURRENT", 2)
        with Catalog.open(filled) as catalog, pytest.raises(HomeError):
            catalog.list_runs()

    with Catalog.open(filled) as catalog:
        assert sample.answers(catalog) == sample.full


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in schema.MIGRATIONS] == list(range(1, schema.CURRENT + 1))
