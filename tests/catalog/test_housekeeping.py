"""What may go from the catalog and what stays, and a catalog that was made from manifests."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from memo.catalog import Catalog
from memo.contracts.run_store import (
    Adoption,
    Claim,
    Materialization,
    OutputRecord,
    RunRecord,
    RunUse,
    UndeclaredRead,
)
from memo.errors import HomeError
from memo.events import Event, EventType, RunStatus

READ = {"kind": "file", "what": "/data/rates.csv", "where": "flights.py:4", "op_version": "o1"}


def run(run_id: str, at: float, versions: dict[str, str], job: str = "job") -> RunRecord:
    return RunRecord(run_id, job, RunStatus.SUCCESS, at, pid=7, parent_run_id="r0", versions=versions)


def stored(
    version: str, run_id: str = "r1", place: str | None = "/home/storage/x", digest: str = "d"
) -> Materialization:
    output = OutputRecord("result", "value", f"{version}.result", digest, place=place, io_manager_key="warehouse")
    return Materialization(run_id, "job", f"step {version}", (output,), version, "l1", "c1", seconds=2.0)


def test_uses_of_runs_come_with_their_versions(catalog: Catalog) -> None:
    assert (catalog.run_uses(), catalog.version_sets({"x"})) == ([], {})
    catalog.add_run(run("r1", 1.0, {"a": "v1", "b": "v2"}))
    catalog.add_run(run("r3", 3.0, {"a": "v3"}))
    catalog.add_run(run("r2", 2.0, {"a": "v1", "b": "v2"}, "other"))
    catalog.add_events(
        [Event(EventType.LOG, "r3", 1.0, "a"), Event(EventType.UNDECLARED_READ, "r2", 1.0, "a", data=READ)]
    )
    uses = catalog.run_uses()
    assert [(use.run_id, use.job_name, use.has_events) for use in uses] == [
        ("r3", "job", True),
        ("r2", "other", False),
        ("r1", "job", False),
    ]
    assert uses[2] == RunUse("r1", "job", RunStatus.SUCCESS, 1.0, 7, "r0", uses[1].version_set)
    names = {use.version_set for use in uses if use.version_set is not None}
    assert sorted(sorted(found) for found in catalog.version_sets(names).values()) == [["v1", "v2"], ["v3"]]


def test_events_go_and_what_was_read_undeclared_stays(catalog: Catalog) -> None:
    for run_id in ("r1", "r2"):
        catalog.add_run(run(run_id, 1.0, {}))
        catalog.add_events(
            [
                Event(EventType.LOG, run_id, 1.0, "a"),
                Event(EventType.UNDECLARED_READ, run_id, 1.0, "a", data=READ),
            ]
        )
    catalog.forget_events(["r1", "never"])
    catalog.forget_events([])
    assert [event.kind for event in catalog.events("r1")] == [EventType.UNDECLARED_READ]
    assert len(catalog.events("r2")) == 2
    assert [read.run_id for read in catalog.undeclared_reads("job")] == ["r1", "r2"]
    assert type(catalog.undeclared_reads("job")[0]) is UndeclaredRead
    assert catalog.get_run("r1") is not None


def test_what_was_stored_elsewhere_is_counted_by_version(catalog: Catalog) -> None:
    assert catalog.stored_elsewhere("/home/storage") == {}
    catalog.add_materializations([stored("v1"), stored("v2", place=None), stored("v3", place="/home/storage2/x")], {})
    catalog.add_materializations([stored("v3", "r2", place="s3://bucket/x")], {})
    assert catalog.stored_elsewhere("/home/storage") == {"warehouse": 2}


def test_all_claims_are_told(catalog: Catalog) -> None:
    claims = [Claim(version, "r1", "a", "host", 1, "0", 9e9) for version in ("v1", "v2")]
    for claim in claims:
        catalog.claim(claim, since=None)
    assert sorted(catalog.all_claims(), key=lambda claim: claim.version) == claims


def test_a_rebuilt_catalog_answers_as_the_one_that_was_lost(catalog: Catalog) -> None:
    catalog.add_rebuilt([stored("v1"), stored("v2")], [Adoption("v2", "r1", {"result": "a.csv"}, 1.0)], ["v1"])
    assert catalog.content_digests(["v1"]) == {"v1": {"result": "d"}}
    assert catalog.find_contents(["c1"]) == {"c1": "v2"}
    assert catalog.known_local_keys(["l1", "l2"]) == {"l1"}
    assert catalog.seconds("job", ["step v1"]) == {"step v1": 2.0}
    assert catalog.replaced() == {"v1", "v2"}
    assert catalog.unfinished() == {"v1"}
    assert list(catalog.adopted()) == ["v2"]
    # A run that makes one anew ends the doubt.
    catalog.add_materializations([stored("v1", "r2"), stored("v2", "r2")], {})
    assert catalog.unfinished() == set()
    assert catalog.adopted() == {}


def test_what_stands_under_a_rebuilt_version_can_be_equal_to_another(catalog: Catalog) -> None:
    catalog.add_rebuilt([stored("v1")], [], [])
    catalog.add_aliases([("r2", "a", "v9", "v1", None)])
    assert catalog.aliases(["v9"]) == {"v9": "v1"}


def test_a_whole_file_passes_and_a_damaged_one_does_not(catalog: Catalog, tmp_path: Path) -> None:
    for number in range(200):
        catalog.add_materializations([stored(f"v{number}", f"r{number}", place="x" * 500)], {})
    catalog.check()
    path = Path(catalog._database.path)
    catalog.close()
    data = bytearray(path.read_bytes())
    data[8 * 4096 : 24 * 4096] = bytes(16 * 4096)
    path.write_bytes(bytes(data))
    with Catalog.open(path) as damaged, pytest.raises(HomeError, match="the catalog is damaged"):
        damaged.check()


def test_room_is_given_back_where_it_is_worth_it(catalog: Catalog) -> None:
    catalog.add_run(run("r1", 1.0, {}))
    lines = Random(1)  # what cannot be compressed
    catalog.add_events([Event(EventType.LOG, "r1", 1.0, message=lines.randbytes(450).hex()) for _ in range(2000)])
    catalog.forget_events(["r1"])

    def pages() -> int:
        return int(catalog._database.ask(lambda database: database.execute("PRAGMA page_count").fetchone()[0], 0))

    before = pages()
    catalog.shrink()
    assert pages() < before / 4
    catalog.shrink()
    assert catalog.get_run("r1") is not None
