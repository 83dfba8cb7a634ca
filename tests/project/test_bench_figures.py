"""What the figures of a bench say, for figures that are known."""

from __future__ import annotations

import pytest

from memo import job, op
from memo.contracts.run_store import Materialization, OutputRecord
from memo.project.bench_figures import Stage, StepCost, changed_steps, forecast_of


@op
def first() -> int:
    return 1


@op
def second(n: int) -> int:
    return n


@op
def third(n: int) -> int:
    return n


@op
def other(n: int) -> int:
    return n


@job
def chain() -> None:
    read = second(first())
    third(read)
    other(read)


STEPS = [
    StepCost(key, seconds, load=0.0, run=seconds, store=0.0, imports=0.0, wait=0.0, bytes=1)
    for key, seconds in zip(chain.steps, (8.0, 4.0, 2.0, 1.0), strict=True)
]


def stage(ran: set[str], wall: float = 5.0) -> Stage:
    return Stage("edit", (wall,), (wall,), 0, 0, frozenset(ran), 0, 0, 0, {}, {})


@pytest.mark.parametrize(
    ("edited", "ran", "workers", "steps", "seconds"),
    [
        ("second", {"second"}, 0, 3, 5 + 2 + 1),
        ("second", {"second"}, 2, 3, 5 + 2),
        ("first", {"first"}, 0, 4, 5 + 4 + 2 + 1),
        ("first", {"first"}, 2, 4, 5 + 4 + 2),
        # What ran in the edit is in its seconds already.
        ("second", {"second", "third", "other"}, 0, 3, 5),
        ("third", {"third"}, 0, 1, 5),
    ],
)
def test_a_forecast_begins_with_the_measured_edit(
    edited: str, ran: set[str], workers: int, steps: int, seconds: float
) -> None:
    found = forecast_of(chain, [*chain.steps], edited, STEPS, stage(ran), workers)
    assert (found.steps, found.seconds) == (steps, seconds)


def made(key: str, digest: str | None, kind: str = "value") -> Materialization:
    return Materialization("run", "job", key, (OutputRecord("result", kind, content_digest=digest),))


def test_what_came_out_otherwise() -> None:
    before = [made("same", "1"), made("other", "1"), made("unknown", None), made("nothing", None, "nothing")]
    after = [made("same", "1"), made("other", "2"), made("unknown", None), made("nothing", None, "nothing")]
    assert changed_steps(before, after) == {"other": "other", "unknown": "unknown"}
    assert changed_steps([made("given", None, "skipped")], [made("given", "1")]) == {"given": "other"}
