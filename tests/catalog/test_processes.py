"""Several processes and threads at once, and processes that are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from memo.catalog import Catalog, connection
from memo.contracts.run_store import FileDigest, RunRecord
from memo.events import Event, EventType, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORDS = """
import sys
from pathlib import Path
from memo.catalog import Catalog
from memo.contracts.run_store import (
    Acceptance, Adoption, FileDigest, KnownStamp, Materialization, OutputRecord, Recipe, RecipePart, RunRecord
)
from memo.events import Event, EventType, RunStatus

def write(catalog, run_id, number):
    catalog.add_run(RunRecord(run_id, "job", RunStatus.STARTED, float(number), steps={"a": ("", "", "")}))
    catalog.add_events([Event(EventType.LOG, run_id, 1.0, message=str(number)) for number in range(3)])
    recipe = Recipe(run_id, (RecipePart("code", "a", "h", detail=run_id * 50),))
    outputs = (OutputRecord("x", content_digest="d"), OutputRecord("y", content_digest="e"))
    done = Materialization(run_id, "job", "a", outputs, run_id, recipe=recipe)
    catalog.add_materializations([done], {run_id: "text"})
    catalog.add_aliases([(run_id, "b", "alias of " + run_id, run_id, recipe)])
    catalog.keep_file_digests({"/" + run_id: FileDigest(run_id, "d"), "/shared": FileDigest("looks", "d")})
    catalog.keep_stamps({run_id: KnownStamp(run_id, run_id, (number, run_id), 1.0)})
    catalog.add_acceptance(Acceptance(0, "job", "a", "new " + run_id, run_id, "equal", 1.0))
    revoked = catalog.add_acceptance(Acceptance(0, "job", "a", "shared", run_id, "equal", 1.0))
    catalog.revoke(revoked, 2.0)
    catalog.add_adoption(Adoption(run_id, run_id, {"x": run_id}, 1.0))
    catalog.add_run(RunRecord(run_id, "job", RunStatus.SUCCESS, float(number)))
"""

WRITE_MANY = (
    RECORDS
    + """
path, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.read(1)
with Catalog.open(path) as catalog:
    for number in range(count):
        write(catalog, f"{name}-{number}", number)
"""
)

MAKE_MANY = (
    RECORDS
    + """
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
sys.stdin.read(1)
for number in range(count):
    with Catalog.open(folder / f"home-{number}" / "catalog.db") as catalog:
        write(catalog, f"{name}-{number}", number)
"""
)

WRITE_UNTIL_KILLED = (
    RECORDS
    + """
with Catalog.open(Path(sys.argv[1])) as catalog:
    number = 0
    while True:
        write(catalog, f"{sys.argv[2]}-{number}", number)
        print(number, flush=True)
        number += 1
"""
)


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run_together(code: str, path: Path, count: int) -> None:
    processes = [start(code, path, name, count) for name in "abcd"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0


def assert_whole(path: Path, run_ids: set[str]) -> None:
    with Catalog.open(path) as catalog:
        assert {run.run_id for run in catalog.list_runs(limit=-1)} >= run_ids
        ids = sorted(run_ids)
        assert catalog.content_digests(ids) == {run_id: {"x": "d", "y": "e"} for run_id in ids}
        assert catalog.file_digests([f"/{each}" for each in ids]) == {f"/{each}": FileDigest(each, "d") for each in ids}
        stamps = catalog.known_stamps(ids)
        assert {source: stamp.value[1] for source, stamp in stamps.items()} == {each: each for each in ids}
        accepted = catalog.accepted()
        assert {f"new {each}": each for each in ids}.items() <= accepted.items()
        assert "shared" not in accepted
        assert len({each.id for each in catalog.acceptances()}) == len(catalog.acceptances()) >= 2 * len(ids)
        assert catalog.unfinished() == set()
        assert set(ids) <= catalog.adopted().keys()
        assert catalog.aliases([f"alias of {run_id}" for run_id in ids]) == {f"alias of {r}": r for r in ids}
        for run_id in ids:
            assert [event.message for event in catalog.events(run_id)] == ["0", "1", "2"]
            (stored,) = catalog.materializations(run_id)
            assert stored.recipe is not None
            assert stored.recipe.version == run_id
            assert catalog.source(run_id) == "text"
            run = catalog.get_run(run_id)
            assert run is not None
            assert run.status is RunStatus.SUCCESS
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_four_processes_write_at_once_and_nothing_is_lost(path: Path) -> None:
    run_together(WRITE_MANY, path, 60)

    assert_whole(path, {f"{name}-{number}" for name in "abcd" for number in range(60)})


def test_four_processes_make_the_same_catalogs_at_once(tmp_path: Path) -> None:
    run_together(MAKE_MANY, tmp_path, 100)

    for number in range(100):
        assert_whole(tmp_path / f"home-{number}" / "catalog.db", {f"{name}-{number}" for name in "abcd"})


def test_a_killed_process_loses_nothing_it_had_committed(path: Path) -> None:
    committed: set[str] = set()
    for round_number, lines in enumerate((1, 7, 30, 90)):
        process = start(WRITE_UNTIL_KILLED, path, round_number)
        assert process.stdout is not None
        for _ in range(lines):
            committed.add(f"{round_number}-{process.stdout.readline().strip()}")
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL
        # A line that was cut off is the start of a number that was committed whole.
        committed |= {
            f"{round_number}-{line.strip()}" for line in rest.splitlines(keepends=True) if line.endswith("\n")
        }

    assert len(committed) >= 128
    assert_whole(path, committed)


def test_threads_share_a_catalog(catalog: Catalog) -> None:
    failures: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(50):
                catalog.add_run(RunRecord(f"{name}-{number}", name, RunStatus.SUCCESS, float(number)))
                catalog.add_events([Event(EventType.LOG, name, 1.0, message=str(number))])
                assert len(catalog.list_runs(job_name=name, limit=1000)) == number + 1
                assert len(catalog.events(name)) == number + 1
        except BaseException as error:
            failures.append(error)
            raise

    threads = [Thread(target=work, args=(name,)) for name in "abcdef"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(catalog.list_runs(limit=1000)) == 300


def test_no_thread_sees_what_another_has_not_committed(catalog: Catalog) -> None:
    catalog.add_run(RunRecord("r1", "job", RunStatus.SUCCESS, 1.0))
    answers: list[int] = []
    asking = Thread(target=lambda: answers.append(len(catalog.list_runs())))

    def give_up(database: sqlite3.Connection) -> None:
        database.execute("DELETE FROM runs")
        asking.start()
        asking.join(0.2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catalog._database.write(give_up)
    asking.join()

    assert answers == [1]


def in_a_fork(work: Callable[[], object]) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_process_leaves_the_connection_to_its_parent(catalog: Catalog) -> None:
    catalog.add_run(RunRecord("parent", "job", RunStatus.SUCCESS, 1.0))

    def leave() -> None:
        address = id(catalog._database._connection)
        catalog.close()
        (inherited,) = connection._LEFT_TO_PARENT
        assert id(inherited) == address
        assert inherited.total_changes == 1, "asking a closed connection raises"

    in_a_fork(leave)


def test_a_forked_process_opens_the_catalog_anew(catalog: Catalog, path: Path) -> None:
    catalog.add_run(RunRecord("parent-1", "job", RunStatus.SUCCESS, 1.0))
    inherited = catalog._database._connection

    def write() -> None:
        catalog.add_run(RunRecord("child", "job", RunStatus.SUCCESS, 2.0))
        assert catalog._database._connection is not inherited
        catalog.close()

    in_a_fork(write)
    catalog.add_run(RunRecord("parent-2", "job", RunStatus.SUCCESS, 3.0))

    assert [run.run_id for run in catalog.list_runs()] == ["parent-2", "child", "parent-1"]
    assert path.with_name("catalog.db-wal").exists(), "the child must not take the parent's log away"
    catalog.close()
    with Catalog.open(path) as again:
        assert len(again.list_runs()) == 3
