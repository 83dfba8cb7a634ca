"""What an earlier memo stored is read by this one, to the last field."""

from __future__ import annotations

import sqlite3
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

from memo.catalog import Catalog
from memo.contracts.run_store import (
    Acceptance,
    Adoption,
    Claim,
    FileDigest,
    KnownStamp,
    Materialization,
    OutputRecord,
    Recipe,
    RecipePart,
    RunRecord,
    Saving,
    Standing,
    UndeclaredRead,
)
from memo.events import ErrorInfo, Event, EventType, RunStatus

FIRST = Path(__file__).with_name("catalog_1.sql")

LIMIT = Recipe("v1", (RecipePart("config", "limit", "h1", "3"),))
LONG = Recipe(
    "v2",
    tuple(
        RecipePart("code", f"flights.step_{number}", "0" * 32, "detail", "flights.py", 10 * number, "s1")
        for number in range(20)
    ),
)


def test_a_catalog_of_the_first_schema_is_read_whole(path: Path) -> None:
    path.parent.mkdir()
    database = sqlite3.connect(path)
    database.executescript(FIRST.read_text())
    database.close()

    with Catalog.open(path) as catalog:
        assert catalog.get_run("r1") == RunRecord(
            run_id="r1",
            job_name="flights",
            status=RunStatus.FAILURE,
            started_at=1000.5,
            ended_at=1002.0,
            target="flights.py:flights",
            run_config={"ops": {"clean": {"config": {"limit": 3}}}},
            tags={"team": "data"},
            parent_run_id="r0",
            root_run_id="r0",
            steps={"clean": ("RUN", "never run", "success"), "fit": ("RUN", "never run", "failure")},
            counts={"success": 1, "failure": 1},
            seconds_saved=0.25,
            pid=4711,
            versions={"clean": "v1", "fit": "v2", "report": "v3"},
        )
        assert catalog.events("r1") == [
            Event(
                EventType.STEP_SUCCESS,
                "r1",
                1001.0,
                "clean",
                message="done",
                data={"seconds": 0.5, "output": "result"},
            ),
            Event(
                EventType.STEP_FAILURE,
                "r1",
                1002.0,
                "fit",
                attempt=1,
                error=ErrorInfo("ValueError", "no rows", "flights.py:7", "KeyError: x"),
            ),
            Event(
                EventType.UNDECLARED_READ,
                "r1",
                1001.5,
                "clean",
                message="reads rates.csv, which its version does not cover",
                data={"kind": "file", "what": "/data/rates.csv", "where": "flights.py:4", "op_version": "o1"},
            ),
        ]
        assert catalog.undeclared_reads("flights") == [
            UndeclaredRead("r1", "clean", "o1", "file", "/data/rates.csv", "flights.py:4"),
        ]
        result = OutputRecord("result", "value", "ov1", "cd1", 640, "by1", "storage/ov1", "io_manager")
        assert catalog.materializations("r1") == [
            Materialization(
                run_id="r1",
                job_name="flights",
                step_key="clean",
                outputs=(result, OutputRecord("rest", "skipped")),
                version="v1",
                local_key="l1",
                content_key="c1",
                recipe=LIMIT,
                seconds=0.5,
                started_at=1000.6,
            ),
            Materialization(
                run_id="r1",
                job_name="flights",
                step_key="fit",
                outputs=(OutputRecord("result"),),
                version="v2",
                local_key="l2",
                content_key="c2",
                recipe=LONG,
                seconds=2.5,
                started_at=1000.7,
                attempt=1,
            ),
        ]
        assert catalog.aliases(["v3"]) == {"v3": "v2"}
        assert catalog.content_digests(["v1"]) == {"v1": {"result": "cd1", "rest": None}}
        assert catalog.find_contents(["c2"]) == {"c2": "v2"}
        assert catalog.known_local_keys(["l1", "l2"]) == {"l1", "l2"}
        assert catalog.last_recipes("flights", ["clean", "fit", "report"]) == {
            "clean": LIMIT,
            "fit": LONG,
            "report": Recipe("v3"),
        }
        assert catalog.seconds("flights", ["fit"]) == {"fit": 2.5}
        run = catalog.get_run("r1")
        assert run is not None
        assert catalog.standing(run, "clean") == Standing("v1", LIMIT, {"result": "cd1", "rest": None})
        assert catalog.standing(run, "report") == Standing("v3", Recipe("v3"), {"result": None})
        assert catalog.last_run_of("flights", "report") == "r1"
        month = time.strftime("%Y-%m", time.localtime(1000.5))
        assert catalog.savings() == [Saving(month, "flights", 1, 0, 0.25)]
        assert catalog.source("s1") == "def clean(): ...\n"
        assert catalog.file_digests(["/data/flights.csv"]) == {"/data/flights.csv": FileDigest("640 1 2 3", "fd1")}
        day = datetime(2026, 11, 20, tzinfo=ZoneInfo("Europe/Berlin"))
        stamps = catalog.known_stamps(["every 1 day", "orders"])
        assert stamps == {
            "every 1 day": KnownStamp("sd1", "2026-11-20", day, 1000.0),
            "orders": KnownStamp("sd2", "7", (Decimal("7.50"), [1, b"x", {"at": date(2026, 11, 20)}]), 1000.5),
        }
        assert stamps["every 1 day"].value.tzinfo is day.tzinfo
        assert catalog.accepted() == {"v5": "v1"}
        assert catalog.acceptances("flights") == [
            Acceptance(2, "flights", "clean", "v5", "v1", "only a comma", 1005.0),
            Acceptance(1, "flights", "clean", "v4", "v1", "only a name", 1003.0, 1004.0),
        ]
        assert catalog.claims(["v6"]) == {
            "v6": Claim("v6", "r3", "fit", "desk 1c4e pid:[4026531836]", 4712, "98765", 1037.5),
        }
        assert catalog.mark() == 3
        assert catalog.shared(["v1", "v2"]) == {"v2"}
        assert catalog.seen_segments(["history/flights/1", "history/flights/2"]) == {"history/flights/1"}
        assert catalog.adopted() == {"v2": Adoption("v2", "r2", {"result": "old.parquet"}, 1006.0)}
