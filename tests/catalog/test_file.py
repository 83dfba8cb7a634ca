"""The catalog's file: made late, opened cheaply, and read where it may not be written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memo.catalog import Catalog
from memo.contracts.run_store import RunRecord
from memo.errors import HomeError
from memo.events import RunStatus

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_questions_find_nothing_where_there_is_no_file_and_make_none(path: Path, sample: Any) -> None:
    for read_only in (False, True):
        with Catalog.open(path, read_only=read_only) as catalog:
            assert sample.answers(catalog) == sample.empty
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


def test_a_catalog_that_another_made_meanwhile_is_seen(catalog: Catalog, path: Path, sample: Any) -> None:
    assert catalog.list_runs() == []
    with Catalog.open(path) as other:
        other.add_run(sample.run)

    assert catalog.get_run("r1") == sample.run


def test_a_file_that_another_process_has_just_begun_holds_nothing_yet(path: Path, sample: Any) -> None:
    path.parent.mkdir()
    path.touch()
    for read_only in (False, True):
        with Catalog.open(path, read_only=read_only) as catalog:
            assert sample.answers(catalog) == sample.empty
    assert path.stat().st_size == 0

    with Catalog.open(path) as catalog:
        sample.fill(catalog)
        assert sample.answers(catalog) == sample.full


def test_a_relative_path_means_the_folder_that_was_current_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: Any
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    with Catalog.open(Path("catalog.db")) as catalog:
        monkeypatch.chdir(tmp_path / "there")
        catalog.add_run(sample.run)

    assert (tmp_path / "catalog.db").exists()


@pytest.mark.parametrize("name", ["a b?mode=memory", "100%41#x", "né", b"n\xe9".decode("utf-8", "surrogateescape")])
def test_any_path_is_a_path(tmp_path: Path, name: str, sample: Any) -> None:
    path = tmp_path / name / "catalog.db"
    for _ in range(2):
        with Catalog.open(path) as catalog:
            sample.fill(catalog)
    with Catalog.open(path, read_only=True) as catalog:
        assert catalog.get_run("r1") == sample.run
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


def test_a_closed_catalog_says_so(path: Path, sample: Any) -> None:
    catalog = Catalog.open(path)
    catalog.add_run(sample.run)
    catalog.close()
    catalog.close()

    with pytest.raises(HomeError, match="closed"):
        catalog.get_run("r1")
    with pytest.raises(HomeError, match="closed"):
        catalog.add_run(sample.run)


def test_the_last_to_leave_leaves_one_file(filled: Path) -> None:
    assert [entry.name for entry in filled.parent.iterdir()] == ["catalog.db"]


def test_deleting_the_file_loses_its_history_only(filled: Path, sample: Any) -> None:
    filled.unlink()
    with Catalog.open(filled) as catalog:
        assert sample.answers(catalog) == sample.empty
        sample.fill(catalog)
        assert sample.answers(catalog) == sample.full


def test_the_settings_that_keep_it_safe_are_in_force(catalog: Catalog, sample: Any) -> None:
    catalog.add_run(sample.run)

    def setting(name: str) -> Any:
        return catalog._database.ask(lambda database: database.execute(f"PRAGMA {name}").fetchone(), None)

    assert setting("journal_mode") == ("wal",)
    assert setting("synchronous") == (1,)
    assert setting("wal_autocheckpoint") == (16384,)
    assert setting("mmap_size") in {(0,), None}
    assert setting("busy_timeout") == (30_000,)


# Reading only


def test_a_catalog_opened_for_reading_answers_and_refuses_to_write(filled: Path, sample: Any) -> None:
    before = filled.read_bytes()
    with Catalog.open(filled, read_only=True) as catalog:
        assert sample.answers(catalog) == sample.full
        with pytest.raises(HomeError, match=r"catalog\.db: the catalog was opened for reading only"):
            catalog.add_run(sample.run)
    assert filled.read_bytes() == before


def test_a_reader_sees_what_another_writes_meanwhile(filled: Path) -> None:
    with Catalog.open(filled, read_only=True) as reader, Catalog.open(filled) as writer:
        assert len(reader.list_runs()) == 1
        writer.add_run(RunRecord("r2", "job", RunStatus.SUCCESS, 2.0))
        assert len(reader.list_runs()) == 2


def test_a_home_that_may_not_be_written_can_be_read(open_folder: Path, sample: Any) -> None:
    path = open_folder / "catalog.db"
    with Catalog.open(path) as catalog:
        sample.fill(catalog)
    path.chmod(0o444)
    open_folder.chmod(0o555)

    with someone_without_rights():
        with Catalog.open(path, read_only=True) as catalog:
            assert sample.answers(catalog) == sample.full
        with Catalog.open(path) as catalog, pytest.raises(HomeError, match="cannot be written; make it"):
            catalog.add_run(sample.run)


def test_a_log_that_is_not_in_the_file_yet_is_never_left_out(open_folder: Path, sample: Any) -> None:
    path = open_folder / "catalog.db"
    with Catalog.open(path) as catalog:
        sample.fill(catalog)
        (open_folder / "copy").mkdir()
        for name in ("catalog.db", "catalog.db-wal"):
            shutil.copy(open_folder / name, open_folder / "copy" / name)
    (open_folder / "copy").chmod(0o555)

    refused = pytest.raises(HomeError, match="cannot be opened; see that it and its folder")
    with someone_without_rights(), refused:
        Catalog.open(open_folder / "copy" / "catalog.db", read_only=True).list_runs()


def test_a_folder_that_may_not_be_written_is_refused(open_folder: Path, sample: Any) -> None:
    open_folder.chmod(0o555)
    sqlite3.connect(":memory:").close()  # so that all of it is loaded before stepping down
    for path in (open_folder / "catalog.db", open_folder / ".memo" / "catalog.db"):
        with someone_without_rights(), Catalog.open(path) as catalog:
            assert catalog.list_runs() == []
            with pytest.raises(HomeError, match=r"catalog\.db: the catalog cannot be opened.*--home or MEMO_HOME"):
                catalog.add_run(sample.run)


def test_a_folder_that_may_not_be_entered_is_not_an_empty_one(open_folder: Path, sample: Any) -> None:
    with Catalog.open(open_folder / "catalog.db") as catalog:
        sample.fill(catalog)
    open_folder.chmod(0o600)
    for read_only in (True, False):
        with someone_without_rights(), pytest.raises(HomeError, match="cannot be opened"):
            Catalog.open(open_folder / "catalog.db", read_only=read_only).list_runs()
