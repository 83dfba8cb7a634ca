"""What is known of files and sources, and what steps were seen to read."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memo.catalog import Catalog
from memo.contracts.run_store import FileDigest, KnownStamp, RunRecord, UndeclaredRead
from memo.events import Event, EventType, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable


def test_the_latest_digest_of_a_file_counts(catalog: Catalog) -> None:
    catalog.keep_file_digests({"/a": FileDigest("old", "1"), "/b": FileDigest("looks", "2")})
    catalog.keep_file_digests({"/a": FileDigest("new", "3")})

    assert catalog.file_digests(["/a", "/b", "/c", "/a"]) == {
        "/a": FileDigest("new", "3"),
        "/b": FileDigest("looks", "2"),
    }


def test_a_file_whose_name_is_no_text_is_known_by_it(catalog: Catalog) -> None:
    name = "/data/caf\udce9.csv"
    catalog.keep_file_digests({name: FileDigest("-> caf\udce9", "1")})

    assert catalog.file_digests([name]) == {name: FileDigest("-> caf\\udce9", "1")}


def test_a_hundred_thousand_files_are_kept_and_asked_at_once(catalog: Catalog) -> None:
    found = {f"/data/{number}.csv": FileDigest(f"{number}", f"{number:032x}") for number in range(100_000)}
    catalog.keep_file_digests(found)

    assert catalog.file_digests(list(found)) == found


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-20 09:30",
        7,
        0.5,
        None,
        b"\x00",
        datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        (date(2026, 11, 20), [1, {"a": b"x"}]),
        Path("data/flights.csv"),
        ["data/caf\udce9.csv"],
    ],
)
def test_a_stamp_comes_back_as_it_was(path: Path, value: Any) -> None:
    stamp = KnownStamp("d", "shown", value, 7.5)
    with Catalog.open(path) as catalog:
        catalog.keep_stamps({"orders": KnownStamp("c", "before", 0, 1.0), "caf\udce9": stamp})
        catalog.keep_stamps({"orders": stamp})
    with Catalog.open(path) as catalog:
        found = catalog.known_stamps(["orders", "caf\udce9", "other"])

    assert found == {"orders": stamp, "caf\udce9": stamp}
    assert type(found["orders"].value) is type(value)


def test_a_stamp_that_cannot_be_kept_is_named_and_nothing_is_kept(catalog: Catalog, path: Path) -> None:
    with pytest.raises(ValueError, match=r"the source 'orders': a value of type builtins\.set cannot be kept"):
        catalog.keep_stamps({"first": KnownStamp("d", "1", 1, 1.0), "orders": KnownStamp("d", "x", {1}, 1.0)})

    assert not path.exists()


def test_nothing_to_ask_or_keep_touches_nothing(catalog: Catalog, path: Path) -> None:
    catalog.keep_file_digests({})
    catalog.keep_stamps({})

    assert catalog.file_digests([]) == {}
    assert catalog.known_stamps([]) == {}
    assert not path.parent.exists()


def read(run_id: str, step_key: str | None, **data: object) -> Event:
    return Event(EventType.UNDECLARED_READ, run_id, 1.0, step_key, data=data)


def test_what_was_read_undeclared_is_told_of_all_runs_of_a_job(catalog: Catalog) -> None:
    for run_id, job in (("r1", "job"), ("r2", "job"), ("r3", "other")):
        catalog.add_run(RunRecord(run_id, job, RunStatus.SUCCESS, 1.0))
    catalog.add_events(
        [
            read("r2", "b", kind="file", what="/f", where="a.py:3", op_version="o"),
            Event(EventType.LOG, "r1", 1.0, "a", data={"kind": "file", "what": "/logged"}),
            read("r3", "b", kind="file", what="/other", where="a.py:3", op_version="o"),
            read("r1", "a", kind="environment", what="HOME", op_version="o"),
        ]
    )
    catalog.add_events([read("r2", None, kind="network", what="example.org:443", where=None)])

    assert catalog.undeclared_reads("job") == [
        UndeclaredRead("r2", "b", "o", "file", "/f", "a.py:3"),
        UndeclaredRead("r1", "a", "o", "environment", "HOME"),
        UndeclaredRead("r2", "", "", "network", "example.org:443"),
    ]
    assert catalog.undeclared_reads("neither") == []


def test_other_events_do_not_make_the_question_slower(catalog: Catalog) -> None:
    catalog.add_run(RunRecord("r1", "job", RunStatus.SUCCESS, 1.0))
    catalog.add_events([read("r1", "a", kind="file", what="/f")])

    def work(ask: Callable[[], object]) -> int:
        count = 0

        def counted() -> int:
            nonlocal count
            count += 1
            return 0

        catalog._database.ask(lambda database: database.set_progress_handler(counted, 1), None)
        ask()
        catalog._database.ask(lambda database: database.set_progress_handler(None, 1), None)
        return count

    before = work(lambda: catalog.undeclared_reads("job"))
    catalog.add_events([Event(EventType.LOG, "r1", 1.0, "a") for _ in range(1000)])

    assert 0 < work(lambda: catalog.undeclared_reads("job")) <= before * 1.1
