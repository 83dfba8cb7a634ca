"""A catalog of many runs answers as fast as one of few: every statement goes by an index."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from memo.catalog import Catalog, recording
from memo.contracts.run_store import (
    Acceptance,
    Adoption,
    FileDigest,
    ForeignHistory,
    KnownStamp,
    Materialization,
    OutputRecord,
    Recipe,
    RunRecord,
)
from memo.errors import HomeError
from memo.events import Event, EventType, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RUN = RunRecord(
    "r1",
    "job",
    RunStatus.SUCCESS,
    1.0,
    steps={"a": ("RUN", "never run", "success")},
    versions={"a": "v1", "b": "v2"},
)
REUSED = RunRecord("run 00055", "job", RunStatus.SUCCESS, 55.0, versions={"a": "a 7", "b": "alias 7"})
DONE = Materialization("r1", "job", "a", (OutputRecord("x"),), "v1", "l1", "c1", Recipe("v1"))
ACCEPTANCE = Acceptance(0, "job", "a", "v9", "v1", "only a name", 1.0)

USES: dict[str, Callable[[Catalog], object]] = {
    "aliases": lambda catalog: catalog.aliases(["v2", "v3"]),
    "content_digests": lambda catalog: catalog.content_digests(["v1", "v2"]),
    "find_contents": lambda catalog: catalog.find_contents(["c1", "c2"]),
    "known_local_keys": lambda catalog: catalog.known_local_keys(["l1", "l2"]),
    "last_recipes": lambda catalog: catalog.last_recipes("job", ["a", "b"]),
    "seconds": lambda catalog: catalog.seconds("job", ["a", "b"]),
    "get_run": lambda catalog: catalog.get_run("r"),
    "list_runs": lambda catalog: catalog.list_runs(),
    "list_runs of a job": lambda catalog: catalog.list_runs(job_name="job"),
    "events": lambda catalog: catalog.events("r1"),
    "events of a step": lambda catalog: catalog.events("r1", step_key="a"),
    "materializations": lambda catalog: catalog.materializations("r1"),
    "source": lambda catalog: catalog.source("d1"),
    "standing": lambda catalog: catalog.standing(RUN, "a"),
    "standing of a reused step": lambda catalog: catalog.standing(RUN, "b"),
    "last_run_of": lambda catalog: catalog.last_run_of("job", "a"),
    "add_run": lambda catalog: catalog.add_run(RUN),
    "add_events": lambda catalog: catalog.add_events([Event(EventType.LOG, "r1", 1.0, "a")]),
    "add_materializations": lambda catalog: catalog.add_materializations([DONE], {"d2": "text"}),
    "add_recipes": lambda catalog: catalog.add_recipes([Recipe("v3")], {"d3": "text"}),
    "add_aliases": lambda catalog: catalog.add_aliases([("r1", "b", "v2", "v1", Recipe("v2"))]),
    "file_digests": lambda catalog: catalog.file_digests(["/a", "/b"]),
    "known_stamps": lambda catalog: catalog.known_stamps(["a", "b"]),
    "undeclared_reads": lambda catalog: catalog.undeclared_reads("job"),
    "keep_file_digests": lambda catalog: catalog.keep_file_digests({"/a": FileDigest("looks", "d")}),
    "keep_stamps": lambda catalog: catalog.keep_stamps({"a": KnownStamp("d", "1", 1, 1.0)}),
    "add_acceptance": lambda catalog: [catalog.add_acceptance(ACCEPTANCE) for _ in range(2)],
    "revoke": lambda catalog: catalog.revoke(catalog.add_acceptance(ACCEPTANCE), 2.0),
    "add_adoption": lambda catalog: catalog.add_adoption(Adoption("v9", "r1", {}, 1.0)),
    "verified": lambda catalog: catalog.verified("v9"),
    "shared": lambda catalog: catalog.shared(["v1", "v2"]),
    "add_shared": lambda catalog: catalog.add_shared(["v1"]),
    "seen_segments": lambda catalog: catalog.seen_segments(["history/job/1"]),
    "add_segments": lambda catalog: catalog.add_segments(
        ["history/job/1"],
        ForeignHistory(replace(RUN, run_id="r9", host="h"), (DONE,), replaced=("v1",), settled=("v1",)),
    ),
    "latest": lambda catalog: catalog.latest(["v1", "v2"]),
}


def statements_of(catalog: Catalog, use: Callable[[Catalog], object]) -> list[str]:
    """The statements that SQLite was really given, with their parameters in place."""
    seen: list[str] = []
    catalog._database.ask(lambda database: database.set_trace_callback(seen.append), None)
    use(catalog)
    catalog._database.ask(lambda database: database.set_trace_callback(None), None)
    return [statement for statement in seen if not statement.startswith(("BEGIN", "COMMIT", "--"))]


def looks_at_everything(line: str) -> bool:
    """Whether a line of a plan reads a whole table, however SQLite words it."""
    if line.startswith("SCAN"):
        return "VIRTUAL TABLE" not in line and line != "SCAN CONSTANT ROW"
    return line.startswith("SEARCH") and "USING" not in line


LAST_ENTRIES = {recording._LATEST_ID, recording._LATEST_RECIPE}
"""The highest ids: one step to the end of each table, which SQLite words as a search of all of it."""

IN_USE = recording._IN_USE
"""Whether there is any row: one step into each table, likewise."""


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_nothing_is_found_by_looking_at_everything(
    catalog: Catalog, path: Path, use: Callable[[Catalog], object]
) -> None:
    catalog.add_run(RUN)
    catalog.add_events([Event(EventType.LOG, "r1", 1.0, "a")])
    catalog.add_materializations([DONE], {"d1": "text"})
    catalog.add_aliases([("r0", "a", "v2", "v1", Recipe("v2"))])
    statements = statements_of(catalog, use)
    assert statements

    database = sqlite3.connect(path)
    try:
        for statement in statements:
            plan = [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {statement}")]
            if "ORDER BY started_at DESC" in statement:
                # The latest runs: read from the end of an index, and no further than the limit.
                assert not any("TEMP B-TREE" in line for line in plan), plan
                if "job_name =" not in statement:
                    assert plan[0] == "SCAN runs USING INDEX runs_by_time"
                    assert all("foreign_runs" in line for line in plan[1:])
                    continue
            if statement in {*LAST_ENTRIES, IN_USE}:
                continue
            assert [line for line in plan if looks_at_everything(line)] == [], f"{statement}\n{plan}"
    finally:
        database.close()


def grown(path: Path, runs: int) -> Catalog:
    """A catalog in which so many runs of one job materialized, aliased and told of the same two steps."""
    catalog = Catalog.open(path)
    for first in range(0, runs, 100):
        numbers = range(first, min(runs, first + 100))
        for number in numbers:
            catalog.add_run(RunRecord(f"run {number:05}", "job", RunStatus.SUCCESS, float(number)))
        catalog.add_events([Event(EventType.LOG, f"run {number:05}", 1.0, "a") for number in numbers])
        for step_key in "ab":
            catalog.add_materializations(
                [
                    Materialization(
                        f"run {number:05}",
                        "job",
                        step_key,
                        (OutputRecord("x"),),
                        f"{step_key} {number % 50}",
                        f"l{number % 50}",
                        f"c{number % 50}",
                        Recipe(f"v{number}"),
                        seconds=1.0,
                    )
                    for number in numbers
                ],
                {f"d{number}": "text" for number in numbers},
            )
        catalog.add_aliases(
            [(f"run {number:05}", "a", f"alias {number % 50}", "v1", Recipe(f"w{number}")) for number in numbers],
        )
    return catalog


GROWING: dict[str, Callable[[Catalog], object]] = {
    "aliases": lambda catalog: catalog.aliases(["alias 7", "v3"]),
    "content_digests": lambda catalog: catalog.content_digests(["a 7", "v2"]),
    "find_contents": lambda catalog: catalog.find_contents(["c7", "x"]),
    "known_local_keys": lambda catalog: catalog.known_local_keys(["l7", "x"]),
    "last_recipes": lambda catalog: catalog.last_recipes("job", ["a", "b", "x"]),
    "seconds": lambda catalog: catalog.seconds("job", ["a", "b", "x"]),
    "get_run": lambda catalog: catalog.get_run("run 00055"),
    "list_runs": lambda catalog: catalog.list_runs(limit=5),
    "list_runs of a job": lambda catalog: catalog.list_runs(job_name="job", limit=5),
    "events": lambda catalog: catalog.events("run 00055"),
    "events of a step": lambda catalog: catalog.events("run 00055", step_key="a"),
    "materializations": lambda catalog: catalog.materializations("run 00055"),
    "standing": lambda catalog: catalog.standing(REUSED, "a"),
    "standing of a reused step": lambda catalog: catalog.standing(REUSED, "b"),
    "last_run_of": lambda catalog: catalog.last_run_of("job", "a"),
    "source": lambda catalog: catalog.source("d55"),
    "add_run": lambda catalog: catalog.add_run(RUN),
    "add_events": lambda catalog: catalog.add_events([Event(EventType.LOG, "r1", 1.0, "a")]),
    "add_materializations": lambda catalog: catalog.add_materializations([DONE], {"d1": "text"}),
    "add_aliases": lambda catalog: catalog.add_aliases([("r1", "b", "v2", "v1", Recipe("v2"))]),
    "accept and revoke": lambda catalog: catalog.revoke(catalog.add_acceptance(ACCEPTANCE), 2.0),
}


def instructions_of(catalog: Catalog, use: Callable[[Catalog], object]) -> int:
    """How many instructions SQLite's machine carries out: the work itself, whatever the clock says."""
    count = 0

    def counted() -> int:
        nonlocal count
        count += 1
        return 0

    catalog._database.ask(lambda database: database.set_progress_handler(counted, 1), None)
    use(catalog)
    catalog._database.ask(lambda database: database.set_progress_handler(None, 1), None)
    return count


def test_the_work_for_a_question_does_not_grow_with_the_catalog(tmp_path: Path) -> None:
    with (
        grown(tmp_path / "few" / "catalog.db", 100) as few,
        grown(tmp_path / "many" / "catalog.db", 3000) as many,
    ):
        for name, use in GROWING.items():
            before, after = instructions_of(few, use), instructions_of(many, use)
            assert before > 0
            assert after <= before * 1.1, name


def test_adding_a_run_does_not_look_through_its_aliases(catalog: Catalog) -> None:
    catalog.add_run(RUN)
    before = instructions_of(catalog, lambda catalog: catalog.add_run(RUN))
    catalog.add_aliases([("r1", f"s{number}", f"v{number}", "v", None) for number in range(1000)])

    assert instructions_of(catalog, lambda catalog: catalog.add_run(RUN)) <= before * 1.1


def test_listing_runs_does_not_read_their_steps(catalog: Catalog, path: Path) -> None:
    catalog.add_run(RUN)
    database = sqlite3.connect(path)
    database.execute("UPDATE runs SET steps = x'ff'")
    database.commit()
    database.close()

    assert [run.run_id for run in catalog.list_runs()] == ["r1"]
    with pytest.raises(HomeError, match="damaged"):
        catalog.get_run("r1")


def test_a_run_is_one_row_however_many_steps_it_has(catalog: Catalog) -> None:
    steps = {f"layer.op_{number}": ("REUSE", "all outputs are stored", "reused") for number in range(1000)}
    run = RunRecord("r1", "job", RunStatus.SUCCESS, 1.0, steps=steps)
    catalog.add_run(RUN)

    statements = statements_of(catalog, lambda catalog: catalog.add_run(run))

    assert len([statement for statement in statements if "INSERT" in statement]) == 1
    kept = catalog._database.ask(lambda db: db.execute("SELECT length(steps) FROM runs").fetchone(), None)
    assert kept is not None
    assert kept[0] < 10_000


def test_a_run_whose_steps_have_the_versions_of_another_keeps_none_of_them(catalog: Catalog) -> None:
    versions = {f"layer.op_{number}": f"{number:032x}" for number in range(1000)}
    catalog.add_run(replace(RUN, versions=versions))

    statements = statements_of(catalog, lambda catalog: catalog.add_run(replace(RUN, run_id="r2", versions=versions)))

    assert len([statement for statement in statements if "INSERT" in statement]) == 1
    size = "SELECT length(versions) FROM runs WHERE run_id = 'r2'"
    kept = catalog._database.ask(lambda db: db.execute(size).fetchone(), None)
    assert kept == (32,)
    catalog.add_run(replace(RUN, run_id="r3", versions=versions | {"layer.op_7": "other"}))
    sets = catalog._database.ask(lambda db: db.execute("SELECT count(*) FROM version_sets").fetchone(), None)
    assert sets == (2,)


def test_a_question_is_one_statement_however_many_keys_it_has(catalog: Catalog) -> None:
    catalog.add_materializations([DONE], {})
    keys = [f"key {number}" for number in range(10_000)]

    for ask in (catalog.aliases, catalog.content_digests, catalog.find_contents, catalog.known_local_keys):
        assert len(statements_of(catalog, lambda _, ask=ask: ask(keys))) == 1  # type: ignore[misc]
