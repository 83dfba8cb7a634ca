from __future__ import annotations

from datetime import date
from time import localtime, strftime
from typing import TYPE_CHECKING, Any

import pytest

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN = RunRecord(
    "r1",
    "job",
    RunStatus.FAILURE,
    1.0,
    tags={"team": "data"},
    run_config={"ops": {}},
    steps={"a": ("RUN", "never run", "success")},
    versions={"a": "v1", "c": "v2"},
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
EQUAL = Recipe("v2", DONE.recipe.parts if DONE.recipe is not None else ())
EVENT = Event(EventType.STEP_FAILURE, "r1", 1.0, "b", data={"seconds": 1}, error=ErrorInfo("ValueError", "no", "here"))
READ = Event(
    EventType.UNDECLARED_READ,
    "r1",
    2.0,
    "a",
    data={"kind": "file", "what": "/data/rates.csv", "where": "flights.py:4", "op_version": "o1"},
)
STAMP = KnownStamp("d", "monday", (date(2026, 11, 16), [1]), 3.0)
ACCEPTED = Acceptance(1, "job", "a", "v3", "v1", "only a name", 4.0)
ADOPTED = Adoption("v4", "r2", {"result": "old.parquet"}, 5.0)
CLAIM = Claim("v5", "r3", "d", "desk", 7, "9", 6.0)


QUESTIONS: dict[str, tuple[Callable[[Catalog], Any], Any]] = {
    "aliases": (lambda catalog: catalog.aliases(["v2"]), {"v2": "v1"}),
    "content_digests": (lambda catalog: catalog.content_digests(["v1"]), {"v1": {"result": "d"}}),
    "find_contents": (lambda catalog: catalog.find_contents(["c1"]), {"c1": "v1"}),
    "known_local_keys": (lambda catalog: catalog.known_local_keys(["l1"]), {"l1"}),
    "last_recipes": (lambda catalog: catalog.last_recipes("job", ["a"]), {"a": DONE.recipe}),
    "seconds": (lambda catalog: catalog.seconds("job", ["a"]), {"a": 2.0}),
    "file_digests": (lambda catalog: catalog.file_digests(["/f"]), {"/f": FileDigest("looks", "d")}),
    "known_stamps": (lambda catalog: catalog.known_stamps(["week"]), {"week": STAMP}),
    "accepted": (lambda catalog: catalog.accepted(), {"v3": "v1"}),
    "adopted": (lambda catalog: catalog.adopted(), {"v4": ADOPTED}),
    "claims": (lambda catalog: catalog.claims(["v5", "v6"]), {"v5": CLAIM}),
    "mark": (lambda catalog: catalog.mark(), 2),
    "acceptances": (lambda catalog: catalog.acceptances("job"), [ACCEPTED]),
    "undeclared_reads": (
        lambda catalog: catalog.undeclared_reads("job"),
        [UndeclaredRead("r1", "a", "o1", "file", "/data/rates.csv", "flights.py:4")],
    ),
    "get_run": (lambda catalog: catalog.get_run("r"), RUN),
    "events": (lambda catalog: catalog.events("r1"), [EVENT, READ]),
    "materializations": (lambda catalog: catalog.materializations("r1"), [DONE]),
    "standing": (lambda catalog: catalog.standing(RUN, "a"), Standing("v1", DONE.recipe, {"result": "d"})),
    "standing of an equal": (lambda catalog: catalog.standing(RUN, "c"), Standing("v2", EQUAL, {"result": "d"})),
    "last_run_of": (lambda catalog: catalog.last_run_of("job", "c"), "r1"),
    "savings": (lambda catalog: catalog.savings(), [Saving(strftime("%Y-%m", localtime(1.0)), "job", 1, 0, 0.0)]),
    "source": (lambda catalog: catalog.source("s1"), "def a(): ..."),
}


class Sample:
    """A little of everything a catalog holds, and what every question about it must answer."""

    def __init__(self) -> None:
        self.run = RUN
        self.full = {name: answer for name, (_, answer) in QUESTIONS.items()}
        self.empty = {
            name: None if isinstance(answer, str | RunRecord | Standing) else type(answer)()
            for name, answer in self.full.items()
        }

    def fill(self, catalog: Catalog) -> None:
        catalog.add_run(RUN)
        catalog.add_events([EVENT, READ])
        catalog.add_materializations([DONE], {"s1": "def a(): ..."})
        catalog.add_aliases([("r1", "c", "v2", "v1", EQUAL)])
        catalog.keep_file_digests({"/f": FileDigest("looks", "d")})
        catalog.keep_stamps({"week": STAMP})
        catalog.add_acceptance(ACCEPTED)
        catalog.add_adoption(ADOPTED)
        catalog.claim(CLAIM, since=0)

    def ask(self, name: str, catalog: Catalog) -> Any:
        return QUESTIONS[name][0](catalog)

    def answers(self, catalog: Catalog) -> dict[str, Any]:
        return {name: self.ask(name, catalog) for name in QUESTIONS}


@pytest.fixture
def sample() -> Sample:
    return Sample()


@pytest.fixture
def filled(path: Path, sample: Sample) -> Path:
    """The path of a catalog that holds the sample."""
    with Catalog.open(path) as catalog:
        sample.fill(catalog)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".memo" / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[Catalog]:
    with Catalog.open(path) as catalog:
        yield catalog
