"""The catalog's file: made late, opened cheaply, never damaged, and refused in words that help."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

from memo.catalog import Catalog, connection, schema
from memo.contracts.run_store import Materialization, OutputRecord, Recipe, RecipePart, RunRecord
from memo.errors import HomeError, NewerHomeError, RunNotFoundError
from memo.events import ErrorInfo, Event, EventType, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN = RunRecord(
    "r1",
    "job",
    RunStatus.FAILURE,
    1.0,
    tags={"team": "data"},
    run_config={"ops": {}},
    steps={"a": ("RUN", "never run", "success")},
)
DONE = Materialization(
    "r1",
    "job",
    "a",
    (OutputRecord("result", content_digest="d", place="storage/v1"),),
    "v1",
    "l1",
    "c1",
    Recipe("v1", (RecipePart("code", "a", "h", source_digest="s1"),)),
    2.0,
)
EVENT = Event(EventType.STEP_FAILURE, "r1", 1.0, "b", data={"seconds": 1}, error=ErrorInfo("ValueError", "no", "here"))


def fill(catalog: Catalog) -> None:
    catalog.add_run(RUN)
    catalog.add_events([EVENT])
    catalog.add_materializations([DONE], {"s1": "def a(): ..."})
    catalog.add_aliases([("r1", "c", "v2", "v1", DONE.recipe)])


QUESTIONS: dict[str, tuple[Callable[[Catalog], Any], Any]] = {
    "aliases": (lambda catalog: catalog.aliases(["v2"]), {"v2": "v1"}),
    "content_digests": (lambda catalog: catalog.content_digests(["v1"]), {"v1": {"result": "d"}}),
    "find_contents": (lambda catalog: catalog.find_contents(["c1"]), {"c1": "v1"}),
    "known_local_keys": (lambda catalog: catalog.known_local_keys(["l1"]), {"l1"}),
    "last_recipes": (lambda catalog: catalog.last_recipes("job", ["a"]), {"a": DONE.recipe}),
    "seconds": (lambda catalog: catalog.seconds("job", ["a"]), {"a": 2.0}),
    "get_run": (lambda catalog: catalog.get_run("r"), RUN),
    "events": (lambda catalog: catalog.events("r1"), [EVENT]),
    "materializations": (lambda catalog: catalog.materializations("r1"), [DONE]),
    "source": (lambda catalog: catalog.source("s1"), "def a(): ..."),
}


def all_answers(catalog: Catalog) -> dict[str, Any]:
    return {name: ask(catalog) for name, (ask, _) in QUESTIONS.items()}


FULL = {name: answer for name, (_, answer) in QUESTIONS.items()}
EMPTY = {name: None if name in {"get_run", "source"} else type(answer)() for name, answer in FULL.items()}


@pytest.fixture
def filled(path: Path) -> Path:
    with Catalog.open(path) as catalog:
        fill(catalog)
    return path


@contextmanager
def someone_without_rights() -> Iterator[None]:
    """Root may write everything: step down for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter, as those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


# Made late, opened cheaply


def test_importing_the_catalog_does_not_import_sqlite() -> None:
    code = "import sys, memo.catalog; assert not {'sqlite3', '_sqlite3', 'zlib'} & sys.modules.keys()"

    subprocess.run([sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"], check=True)


def test_questions_find_nothing_where_there_is_no_file_and_make_none(path: Path) -> None:
    for read_only in (False, True):
        with Catalog.open(path, read_only=read_only) as catalog:
            assert all_answers(catalog) == EMPTY
            assert catalog.list_runs() == []
    assert not path.parent.exists()


def test_writing_nothing_makes_no_file(catalog: Catalog, path: Path) -> None:
    catalog.add_events([])
    catalog.add_materializations([], {})
    catalog.add_aliases(iter(()))

    assert not path.parent.exists()


def test_questions_about_nothing_do_not_open_the_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("not a catalog, which opening would find out")
    with Catalog.open(path) as catalog:
        assert catalog.aliases([]) == {}
        assert catalog.content_digests([]) == {}
        assert catalog.find_contents([]) == {}
        assert catalog.known_local_keys([]) == set()
        assert catalog.last_recipes("job", []) == {}
        assert catalog.seconds("job", []) == {}


def test_a_catalog_that_another_made_meanwhile_is_seen(catalog: Catalog, path: Path) -> None:
    assert catalog.list_runs() == []
    with Catalog.open(path) as other:
        other.add_run(RUN)

    assert catalog.get_run("r1") == RUN


def test_a_file_that_another_process_has_just_begun_holds_nothing_yet(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    for read_only in (False, True):
        with Catalog.open(path, read_only=read_only) as catalog:
            assert all_answers(catalog) == EMPTY
    assert path.stat().st_size == 0

    with Catalog.open(path) as catalog:
        fill(catalog)
        assert all_answers(catalog) == FULL


def test_a_relative_path_means_the_folder_that_was_current_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    with Catalog.open(Path("catalog.db")) as catalog:
        monkeypatch.chdir(tmp_path / "there")
        catalog.add_run(RUN)

    assert (tmp_path / "catalog.db").exists()


@pytest.mark.parametrize("name", ["a b?mode=memory", "100%41#x", "né", b"n\xe9".decode("utf-8", "surrogateescape")])
def test_any_path_is_a_path(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "catalog.db"
    for _ in range(2):
        with Catalog.open(path) as catalog:
            fill(catalog)
    with Catalog.open(path, read_only=True) as catalog:
        assert catalog.get_run("r1") == RUN
    assert path.exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_opening_costs_little_more_than_sqlite_itself(filled: Path) -> None:
    def with_catalog() -> None:
        with Catalog.open(filled) as catalog:
            catalog.aliases(["v2"])

    def bare() -> None:
        database = sqlite3.connect(filled)
        database.execute("SELECT * FROM aliases WHERE version = 'v2'").fetchall()
        database.close()

    taken: dict[Any, list[float]] = {with_catalog: [], bare: []}
    for _ in range(30):
        for way, times in taken.items():
            before = time.perf_counter()
            way()
            times.append(time.perf_counter() - before)

    assert statistics.median(taken[with_catalog]) < 3 * statistics.median(taken[bare])


def test_a_closed_catalog_says_so(path: Path) -> None:
    catalog = Catalog.open(path)
    catalog.add_run(RUN)
    catalog.close()
    catalog.close()

    with pytest.raises(HomeError, match="closed"):
        catalog.get_run("r1")
    with pytest.raises(HomeError, match="closed"):
        catalog.add_run(RUN)


def test_the_last_to_leave_leaves_one_file(filled: Path) -> None:
    assert [entry.name for entry in filled.parent.iterdir()] == ["catalog.db"]


def test_deleting_the_file_loses_its_history_only(filled: Path) -> None:
    filled.unlink()
    with Catalog.open(filled) as catalog:
        assert all_answers(catalog) == EMPTY
        fill(catalog)
        assert all_answers(catalog) == FULL


def test_the_settings_that_keep_it_safe_are_in_force(catalog: Catalog) -> None:
    catalog.add_run(RUN)

    def setting(name: str) -> Any:
        return catalog._database.ask(lambda database: database.execute(f"PRAGMA {name}").fetchone(), None)

    assert setting("journal_mode") == ("wal",)
    assert setting("synchronous") == (1,)
    assert setting("wal_autocheckpoint") == (16384,)
    assert setting("mmap_size") in {(0,), None}
    assert setting("busy_timeout") == (30_000,)


# Reading only


def test_a_catalog_opened_for_reading_answers_and_refuses_to_write(filled: Path) -> None:
    before = filled.read_bytes()
    with Catalog.open(filled, read_only=True) as catalog:
        assert all_answers(catalog) == FULL
        with pytest.raises(HomeError, match=r"catalog\.db: the catalog was opened for reading only"):
            catalog.add_run(RUN)
    assert filled.read_bytes() == before


def test_a_reader_sees_what_another_writes_meanwhile(filled: Path) -> None:
    with Catalog.open(filled, read_only=True) as reader, Catalog.open(filled) as writer:
        assert len(reader.list_runs()) == 1
        writer.add_run(RunRecord("r2", "job", RunStatus.SUCCESS, 2.0))
        assert len(reader.list_runs()) == 2


def test_a_home_that_may_not_be_written_can_be_read(open_folder: Path) -> None:
    path = open_folder / "catalog.db"
    with Catalog.open(path) as catalog:
        fill(catalog)
    path.chmod(0o444)
    open_folder.chmod(0o555)

    with someone_without_rights():
        with Catalog.open(path, read_only=True) as catalog:
            assert all_answers(catalog) == FULL
        with Catalog.open(path) as catalog, pytest.raises(HomeError, match="cannot be written; make it"):
            catalog.add_run(RUN)


def test_a_log_that_is_not_in_the_file_yet_is_never_left_out(open_folder: Path) -> None:
    path = open_folder / "catalog.db"
    with Catalog.open(path) as catalog:
        fill(catalog)
        (open_folder / "copy").mkdir()
        for name in ("catalog.db", "catalog.db-wal"):
            shutil.copy(open_folder / name, open_folder / "copy" / name)
    (open_folder / "copy").chmod(0o555)

    refused = pytest.raises(HomeError, match="cannot be opened; see that it and its folder")
    with someone_without_rights(), refused:
        Catalog.open(open_folder / "copy" / "catalog.db", read_only=True).list_runs()


def test_a_folder_that_may_not_be_written_is_refused(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    sqlite3.connect(":memory:").close()  # so that all of it is loaded before stepping down
    for path in (open_folder / "catalog.db", open_folder / ".memo" / "catalog.db"):
        with someone_without_rights(), Catalog.open(path) as catalog:
            assert catalog.list_runs() == []
            with pytest.raises(HomeError, match=r"catalog\.db: the catalog cannot be opened.*--home or MEMO_HOME"):
                catalog.add_run(RUN)


def test_a_folder_that_may_not_be_entered_is_not_an_empty_one(open_folder: Path) -> None:
    with Catalog.open(open_folder / "catalog.db") as catalog:
        fill(catalog)
    open_folder.chmod(0o600)
    for read_only in (True, False):
        with someone_without_rights(), pytest.raises(HomeError, match="cannot be opened"):
            Catalog.open(open_folder / "catalog.db", read_only=read_only).list_runs()


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
    path: Path, make: Callable[[Path], object], read_only: bool
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()

    with Catalog.open(path, read_only=read_only) as catalog:
        for _ in range(2):
            with pytest.raises(HomeError, match=r"catalog\.db: this file is not a catalog of memo.*move it away"):
                catalog.list_runs()
        if not read_only:
            with pytest.raises(HomeError, match="not a catalog"):
                catalog.add_run(RUN)

    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["catalog.db"]


def test_a_folder_in_the_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir(parents=True)
    with Catalog.open(path) as catalog:
        with pytest.raises(HomeError, match="cannot be opened"):
            catalog.list_runs()
        with pytest.raises(HomeError, match="cannot be opened"):
            catalog.add_run(RUN)


def test_a_file_in_the_place_of_the_folder_is_refused(path: Path) -> None:
    path.parent.write_text("")
    with Catalog.open(path) as catalog:
        with pytest.raises(HomeError, match="cannot be opened"):
            catalog.list_runs()
        with pytest.raises(HomeError, match="cannot be opened: File exists"):
            catalog.add_run(RUN)


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


def test_a_damaged_catalog_is_refused_and_left_as_it_was(filled: Path) -> None:
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
            for ask, _ in QUESTIONS.values():
                try:
                    ask(catalog)
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
        ("UPDATE runs SET status = 'SUCCES'", "get_run"),
        ("UPDATE runs SET job_name = CAST(x'ff' AS TEXT)", "get_run"),
        ("UPDATE events SET kind = 'STEP'", "events"),
        ("UPDATE recipes SET recipe = x'6d90'", "last_recipes"),
        ("UPDATE sources SET text = x'00'", "source"),
        ("DROP TABLE aliases", "aliases"),
    ],
)
def test_a_damaged_row_is_told_as_damage(filled: Path, change: str, question: str) -> None:
    database = sqlite3.connect(filled)
    database.execute(change)
    database.commit()
    database.close()

    with (
        Catalog.open(filled) as catalog,
        pytest.raises(HomeError, match=r"the catalog is damaged; move it away"),
    ):
        QUESTIONS[question][0](catalog)


# Trouble while writing


def test_a_full_disk_loses_nothing_that_was_stored(filled: Path) -> None:
    def limit(database: sqlite3.Connection, pages: int) -> None:
        database.execute(f"PRAGMA max_page_count = {pages}")

    with Catalog.open(filled) as catalog:
        catalog._database.ask(lambda database: limit(database, 1), None)  # raised to what it has
        big = [Event(EventType.LOG, "r1", 1.0, message=str(number) * 5000) for number in range(100)]
        with pytest.raises(HomeError, match=r"disk is full; make room \(nothing that was in the catalog is lost\)"):
            catalog.add_events(big)
        assert all_answers(catalog) == FULL

        catalog._database.ask(lambda database: limit(database, 1 << 30), None)
        catalog.add_events(big)
        assert len(catalog.events("r1")) == 101


def test_a_catalog_that_stays_locked_is_told_so(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_WAIT", 0.05)
    other = sqlite3.connect(filled, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Catalog.open(filled) as catalog:
        assert all_answers(catalog) == FULL, "a writer does not keep others from reading"
        with pytest.raises(HomeError, match=r"catalog\.db: another process keeps the catalog locked; wait"):
            catalog.add_run(RUN)
        other.execute("COMMIT")
        other.close()
        catalog.add_run(RunRecord("r2", "job", RunStatus.SUCCESS, 2.0))
        assert len(catalog.list_runs()) == 2


def test_a_catalog_that_stays_locked_while_it_is_made_is_told_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "LOCK_WAIT", 0.05)
    path.parent.mkdir()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with Catalog.open(path) as catalog:
        with pytest.raises(HomeError, match="another process keeps the catalog locked"):
            catalog.add_run(RUN)
        other.execute("COMMIT")
        other.close()
        fill(catalog)
        assert all_answers(catalog) == FULL


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
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, SECOND))
        later.setattr(schema, "CURRENT", 2)
        with pytest.raises(HomeError, match=r"written by an older memo .* next run in this home"):
            Catalog.open(filled, read_only=True).list_runs()
        with Catalog.open(filled) as catalog:
            assert all_answers(catalog) == FULL
        with Catalog.open(filled, read_only=True) as catalog:
            assert all_answers(catalog) == FULL
        database = sqlite3.connect(filled)
        assert database.execute("SELECT host FROM runs").fetchall() == [("here",)]
        database.close()

    with Catalog.open(filled) as catalog, pytest.raises(NewerHomeError):
        catalog.list_runs()


def test_a_migration_that_fails_leaves_the_catalog_as_it_was(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as later:
        later.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, BROKEN))
        later.setattr(schema, "CURRENT", 2)
        with Catalog.open(filled) as catalog, pytest.raises(HomeError):
            catalog.list_runs()

    with Catalog.open(filled) as catalog:
        assert all_answers(catalog) == FULL


def test_migrations_are_numbered_without_gaps() -> None:
    assert [number for number, _ in schema.MIGRATIONS] == list(range(1, schema.CURRENT + 1))
