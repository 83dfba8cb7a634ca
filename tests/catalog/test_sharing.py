"""History of other homes: what is taken in counts as if it had happened here, and is not listed."""

from __future__ import annotations

from msgspec.structs import replace

from memo.catalog import Catalog
from memo.contracts.run_store import ForeignHistory, Materialization, OutputRecord, Recipe, RecipePart, RunRecord
from memo.events import RunStatus

RUN = RunRecord("theirs", "job", RunStatus.SUCCESS, 5.0, 6.0, versions={"a": "v1", "b": "v2"}, host="build-7")
RECIPE = Recipe("v1", (RecipePart("code", "f", "h", "", "f.py", 1, "s1"),))


def made(run_id: str, digest: str, *, content_key: str = "c1", shared: bool = True) -> Materialization:
    output = OutputRecord("result", "value", "o1", digest, shared=shared)
    return Materialization(run_id, "job", "a", (output,), "v1", "l1", content_key, RECIPE, 2.0, 5.5)


def test_what_is_taken_in_answers_every_question(catalog: Catalog) -> None:
    foreign = ForeignHistory(RUN, (made("theirs", "d1"),), (("b", "v2", "v1", Recipe("v2")),), {"s1": "def f(): ..."})
    catalog.add_segments(["history/job/1"], foreign)

    assert catalog.seen_segments(["history/job/1", "history/job/2"]) == {"history/job/1"}
    assert catalog.find_contents(["c1"]) == {"c1": "v1"}
    assert catalog.content_digests(["v1"]) == {"v1": {"result": "d1"}}
    assert catalog.aliases(["v2"]) == {"v2": "v1"}
    assert catalog.last_recipes("job", ["a"]) == {"a": RECIPE}
    assert catalog.last_run_of("job", "b") == "theirs"
    assert catalog.seconds("job", ["a"]) == {"a": 2.0}
    assert catalog.known_local_keys(["l1"]) == {"l1"}
    assert catalog.source("s1") == "def f(): ..."
    assert catalog.shared(["v1", "v2"]) == {"v1"}
    run = catalog.get_run("theirs")
    assert run == RUN
    standing = catalog.standing(run, "a")
    assert standing is not None
    assert (standing.recipe, standing.contents) == (RECIPE, {"result": "d1"})


def test_runs_of_others_are_not_listed(catalog: Catalog) -> None:
    catalog.add_run(replace(RUN, run_id="mine", host=None))
    catalog.add_segments(["history/job/1"], ForeignHistory(RUN))
    assert [run.run_id for run in catalog.list_runs()] == ["mine"]
    assert [run.run_id for run in catalog.list_runs(job_name="job")] == ["mine"]
    assert sum(saving.runs for saving in catalog.savings()) == 1


def test_another_content_counts_as_replaced(catalog: Catalog) -> None:
    catalog.add_materializations([made("mine", "d1", shared=False)], {})
    assert catalog.shared(["v1"]) == set()
    catalog.add_segments(["1"], ForeignHistory(RUN, (made("theirs", "d2"),)))
    assert catalog.replaced() == {"v1"}
    assert catalog.content_digests(["v1"]) == {"v1": {"result": "d2"}}
    assert catalog.shared(["v1"]) == {"v1"}


def test_what_is_made_here_and_not_shared_is_no_longer_what_is_there(catalog: Catalog) -> None:
    catalog.add_segments(["1"], ForeignHistory(RUN, (made("theirs", "d1"),)))
    catalog.add_materializations([made("mine", "d2", shared=False)], {})
    assert catalog.shared(["v1"]) == set()
    catalog.add_shared(["v1"])
    assert catalog.shared(["v1"]) == {"v1"}


def test_what_is_being_replaced_is_unfinished_until_it_is_told(catalog: Catalog) -> None:
    catalog.add_segments(["1"], ForeignHistory(RUN, replacing=("v1", "v2")))
    assert catalog.unfinished() == {"v1", "v2"}
    catalog.add_segments(["2"], ForeignHistory(RUN, (made("theirs", "d1"),), replaced=("v1",), settled=("v2",)))
    assert catalog.unfinished() == set()
    assert catalog.replaced() == {"v1"}


def test_what_another_run_is_replacing_is_not_settled_by_this_one(catalog: Catalog) -> None:
    catalog.begin_replacing("mine", ["v1"])
    catalog.add_segments(["1"], ForeignHistory(RUN, settled=("v1",)))
    assert catalog.unfinished() == {"v1"}


def test_the_latest_of_a_version_is_given_whole(catalog: Catalog) -> None:
    catalog.add_materializations([made("mine", "d1", shared=False)], {})
    assert catalog.latest(["v1", "v9"]) == {"v1": made("mine", "d1", shared=False)}
