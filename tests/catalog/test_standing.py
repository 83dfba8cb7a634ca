"""How a step stood in a run, whichever run stored what it stood for."""

from __future__ import annotations

import os
import time

import pytest

from memo.catalog import Catalog
from memo.contracts.run_store import Materialization, OutputRecord, Recipe, RecipePart, RunRecord, Saving, Standing
from memo.events import RunStatus

SUCCESS = RunStatus.SUCCESS


def run(number: int, outcome: str = "reused", **versions: str) -> RunRecord:
    steps = dict.fromkeys(versions, ("REUSE", "stored under this version", outcome))
    return RunRecord(f"r{number}", "job", SUCCESS, float(number), number + 0.9, steps=steps, versions=versions)


def made(number: int, key: str, version: str, content: str | None, recipe: Recipe | None = None) -> Materialization:
    output = OutputRecord("result", content_digest=content)
    kept = recipe or Recipe(version)
    return Materialization(f"r{number}", "job", key, (output,), version, recipe=kept, started_at=number + 0.5)


def test_a_reused_step_stands_as_the_run_before_it_stored_it(catalog: Catalog) -> None:
    catalog.add_run(run(1, "success", a="v1"))
    catalog.add_materializations([made(1, "a", "v1", "content")], {})
    catalog.add_run(run(2, a="v1"))
    assert catalog.standing(run(2, a="v1"), "a") == Standing("v1", Recipe("v1"), {"result": "content"})


def test_a_step_that_the_run_does_not_know(catalog: Catalog) -> None:
    assert catalog.standing(run(1, a="v1"), "b") is None
    assert catalog.standing(run(1), "a") is None


def test_a_version_of_which_nothing_is_kept(catalog: Catalog) -> None:
    catalog.add_run(run(1, a="v1"))
    assert catalog.standing(run(1, a="v1"), "a") == Standing("v1")


def test_what_is_stored_later_under_the_same_version_does_not_change_the_past(catalog: Catalog) -> None:
    for number, content in ((1, "first"), (3, "forced")):
        catalog.add_run(run(number, "success", a="v1"))
        catalog.add_materializations([made(number, "a", "v1", content)], {})
    catalog.add_run(run(2, a="v1"))
    catalog.add_run(run(4, a="v1"))
    contents = {number: catalog.standing(run(number, a="v1"), "a") for number in (1, 2, 3, 4)}
    assert {number: found and found.contents["result"] for number, found in contents.items()} == {
        1: "first",
        2: "first",
        3: "forced",
        4: "forced",
    }


def test_an_equal_step_gives_what_it_equals_as_it_was_then(catalog: Catalog) -> None:
    catalog.add_run(run(1, "success", a="v1"))
    catalog.add_materializations([made(1, "a", "v1", "content")], {})
    catalog.add_aliases([("r2", "a", "v2", "v1", Recipe("v2"))])
    catalog.add_run(run(2, a="v2"))
    catalog.add_aliases([("r3", "a", "v3", "v2", Recipe("v3"))])
    catalog.add_run(run(3, a="v3"))
    catalog.add_run(run(4, "success", a="v2"))
    catalog.add_materializations([made(4, "a", "v2", "made after all")], {})
    assert catalog.standing(run(3, a="v3"), "a") == Standing("v3", Recipe("v3"), {"result": "content"})
    assert catalog.standing(run(5, a="v3"), "a") == Standing("v3", Recipe("v3"), {"result": "made after all"})


def test_versions_that_equal_each_other_in_a_circle_end_somewhere(catalog: Catalog) -> None:
    catalog.add_run(run(1, a="v1"))
    catalog.add_aliases([("r1", "a", "v1", "v2", None), ("r1", "b", "v2", "v1", None)])
    assert catalog.standing(run(1, a="v1"), "a") == Standing("v1")


def test_an_equal_step_has_the_source_texts_of_what_it_equals(catalog: Catalog) -> None:
    code = RecipePart("code", "clean", "h", file="a.py", line=3, source_digest="text")
    catalog.add_run(run(1, "success", a="v1"))
    catalog.add_materializations([made(1, "a", "v1", "content", Recipe("v1", (code,)))], {"text": "def clean(): ..."})
    bare = RecipePart("code", "renamed", "h", file="b.py", line=5)
    other = RecipePart("input", "number", "i", "load.result")
    catalog.add_aliases([("r2", "a", "v2", "v1", Recipe("v2", (bare, other)))])
    catalog.add_run(run(2, a="v2"))
    found = catalog.standing(run(2, a="v2"), "a")
    assert found is not None
    assert found.recipe == Recipe("v2", (RecipePart("code", "renamed", "h", "", "b.py", 5, "text"), other))


@pytest.mark.parametrize("outcome", ["failure", "blocked", "canceled"])
def test_a_step_that_failed_has_a_recipe_and_gave_nothing(catalog: Catalog, outcome: str) -> None:
    catalog.add_run(run(1, "success", a="v1"))
    catalog.add_materializations([made(1, "a", "v1", "content")], {})
    part = RecipePart("code", "a", "h", source_digest="text")
    catalog.add_recipes([Recipe("v2", (part,))], {"text": "def a(): ..."})
    catalog.add_run(run(2, outcome, a="v2"))
    assert catalog.standing(run(2, outcome, a="v2"), "a") == Standing("v2", Recipe("v2", (part,)))
    assert catalog.source("text") == "def a(): ..."
    forced = catalog.standing(run(3, outcome, a="v1"), "a")
    assert forced == Standing("v1", Recipe("v1")), "what an earlier run stored under the version was not given here"


def test_nothing_to_keep_is_no_transaction(catalog: Catalog) -> None:
    catalog.add_recipes([], {})
    assert not os.path.exists(catalog._database.path)


def test_the_last_run_of_a_step_is_the_one_with_its_last_recipe(catalog: Catalog) -> None:
    assert catalog.last_run_of("job", "a") is None
    catalog.add_run(run(1, "success", a="v1"))
    catalog.add_materializations([made(1, "a", "v1", "content")], {})
    assert catalog.last_run_of("job", "a") == "r1"
    catalog.add_run(run(2, a="v2"))
    catalog.add_aliases([("r2", "a", "v2", "v1", Recipe("v2"))])
    assert catalog.last_run_of("job", "a") == "r2"
    catalog.add_run(run(3, "success", a="v3"))
    catalog.add_materializations([made(3, "a", "v3", "content")], {})
    assert catalog.last_run_of("job", "a") == "r3"
    assert catalog.last_run_of("other", "a") is None


def local(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%d %H:%M"))


def test_savings_are_summed_by_month_of_local_time_and_job(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        for number, (at, job, reused, saved) in enumerate(
            [
                ("2026-11-30 23:59", "daily", 3, 1.5),
                ("2026-12-01 00:00", "daily", 4, 2.0),
                ("2026-11-01 00:00", "daily", 0, 0.0),
                ("2026-11-15 12:00", "weekly", 7, 60.0),
            ],
        ):
            counts = {"reused": reused, "success": 9} if reused else {}
            catalog.add_run(RunRecord(f"r{number}", job, SUCCESS, local(at), counts=counts, seconds_saved=saved))
        assert catalog.savings() == [
            Saving("2026-11", "daily", 2, 3, 1.5),
            Saving("2026-11", "weekly", 1, 7, 60.0),
            Saving("2026-12", "daily", 1, 4, 2.0),
        ]
    finally:
        monkeypatch.undo()
        time.tzset()
