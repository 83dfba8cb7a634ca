"""What a run writes is what is read back."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memo.catalog import Catalog
from memo.contracts.run_store import Materialization, OutputRecord, Recipe, RecipePart, RunRecord
from memo.errors import RunNotFoundError
from memo.events import ErrorInfo, Event, EventType, RunStatus

if TYPE_CHECKING:
    from memo.contracts.run_store import RunStore

words = st.text(max_size=20)
times = st.floats(min_value=0, max_value=4e9)
maybe_words = st.none() | words
counts = st.integers(min_value=0, max_value=1 << 62)
details = st.dictionaries(words, st.none() | st.booleans() | counts | words | st.lists(words), max_size=4)

parts = st.builds(
    RecipePart,
    words,
    words,
    words,
    detail=words,
    file=maybe_words,
    line=st.none() | counts,
    source_digest=maybe_words,
)
recipes = st.builds(Recipe, words, st.lists(parts, max_size=4).map(tuple))
outputs = st.builds(
    OutputRecord,
    words,
    kind=words,
    version=maybe_words,
    content_digest=maybe_words,
    size=st.none() | counts,
    digest=maybe_words,
    place=maybe_words,
    io_manager_key=words,
)
materializations = st.builds(
    Materialization,
    run_id=st.just("r1"),
    job_name=words,
    step_key=words,
    outputs=st.lists(outputs, max_size=3).map(tuple),
    version=maybe_words,
    local_key=maybe_words,
    content_key=maybe_words,
    recipe=st.none() | recipes,
    seconds=times,
    started_at=times,
    attempt=st.integers(0, 9),
)
errors = st.builds(ErrorInfo, words, words, words, cause=maybe_words)
events = st.builds(
    Event,
    kind=st.sampled_from(EventType),
    run_id=st.just("r1"),
    at=times,
    step_key=maybe_words,
    attempt=st.integers(0, 9),
    message=words,
    data=details,
    error=st.none() | errors,
)
runs = st.builds(
    RunRecord, run_id=st.just("r1"), job_name=words, status=st.sampled_from(RunStatus), started_at=times,
    ended_at=st.none() | times, target=maybe_words, run_config=st.none() | details,
    tags=st.dictionaries(words, words, max_size=3), parent_run_id=maybe_words, root_run_id=maybe_words,
    steps=st.dictionaries(words, st.tuples(words, words, words), max_size=5),
    counts=st.dictionaries(words, counts, max_size=3), seconds_saved=times, pid=st.none() | counts,
    versions=st.dictionaries(words, words, max_size=5),
)  # fmt: skip

SUCCESS = RunStatus.SUCCESS


def test_the_catalog_is_a_run_store(path: Path) -> None:
    store: RunStore = Catalog.open(path)

    assert store.list_runs() == []


@settings(deadline=None, max_examples=50)
@given(
    st.lists(runs, min_size=1, max_size=3),
    st.lists(events, max_size=5),
    st.lists(materializations, max_size=5, unique_by=lambda done: done.step_key),
)
def test_everything_comes_back_as_it_was(
    versions_of_run: list[RunRecord],
    happened: list[Event],
    stored: list[Materialization],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.db"
        with Catalog.open(path) as catalog:
            for run in versions_of_run:
                catalog.add_run(run)
            catalog.add_events(iter(happened))
            catalog.add_materializations(iter(stored), {})
        with Catalog.open(path) as catalog:
            assert catalog.get_run("r1") == versions_of_run[-1]
            assert len(catalog.list_runs()) == 1
            assert catalog.events("r1") == happened
            for step_key in {event.step_key for event in happened} - {None}:
                assert catalog.events("r1", step_key=step_key) == [e for e in happened if e.step_key == step_key]
            assert catalog.materializations("r1") == stored


def test_a_hundred_thousand_steps_of_a_run_come_back(catalog: Catalog) -> None:
    steps = {f"layer.op_{number}": ("REUSE", "all outputs are stored", "reused") for number in range(100_000)}

    versions = {key: f"{number:032x}" for number, key in enumerate(steps)}

    catalog.add_run(RunRecord("r1", "job", SUCCESS, 1.0, steps=steps, versions=versions))

    run = catalog.get_run("r1")
    assert run is not None
    assert run.steps == steps
    assert run.versions == versions


def test_runs_are_listed_latest_first_and_without_their_steps(catalog: Catalog) -> None:
    for number, started in enumerate([3.0, 1.0, 2.0, 2.0]):
        steps, versions = {"a": ("RUN", "never run", "success")}, {"a": "v"}
        job_name = "even" if number % 2 == 0 else "odd"
        catalog.add_run(RunRecord(f"r{number}", job_name, SUCCESS, started, steps=steps, versions=versions))

    assert [run.run_id for run in catalog.list_runs()] == ["r0", "r3", "r2", "r1"]
    assert [run.run_id for run in catalog.list_runs(limit=2)] == ["r0", "r3"]
    assert [run.run_id for run in catalog.list_runs(job_name="even")] == ["r0", "r2"]
    assert catalog.list_runs(job_name="neither") == []
    assert not any(run.steps or run.versions for run in catalog.list_runs())


def test_a_run_written_again_keeps_its_place_among_runs_of_the_same_time(catalog: Catalog) -> None:
    for run_id in ("r1", "r2"):
        catalog.add_run(RunRecord(run_id, "job", RunStatus.STARTED, 1.0))

    catalog.add_run(RunRecord("r1", "job", SUCCESS, 1.0, ended_at=2.0))

    assert [(run.run_id, run.status) for run in catalog.list_runs()] == [
        ("r2", RunStatus.STARTED),
        ("r1", SUCCESS),
    ]


def test_a_run_is_found_by_the_beginning_of_its_id(catalog: Catalog) -> None:
    for run_id in ("ab12", "ab34", "ab345", "b%_", "\U0010fffd"):
        catalog.add_run(RunRecord(run_id, "job", SUCCESS, 1.0))

    def found(run_id: str) -> str | None:
        run = catalog.get_run(run_id)
        return None if run is None else run.run_id

    assert found("ab1") == "ab12"
    assert found("ab345") == "ab345"
    assert found("ab34") == "ab34", "a whole id wins over one that begins with it"
    assert found("b") == "b%_"
    assert found("b%") == "b%_"
    assert found("\U0010fffd") == "\U0010fffd"
    assert found("AB1") is None
    assert found("%") is None
    assert found("ab123") is None


def test_a_beginning_that_several_runs_share_is_refused_with_their_ids(catalog: Catalog) -> None:
    for number in range(7):
        catalog.add_run(RunRecord(f"ab{number}", "job", SUCCESS, 1.0))
    catalog.add_run(RunRecord("c1", "job", SUCCESS, 1.0))
    catalog.add_run(RunRecord("c2", "job", SUCCESS, 1.0))

    with pytest.raises(RunNotFoundError, match=r"begins with 'ab': ab0, ab1, ab2, ab3, ab4, …; give more"):
        catalog.get_run("ab")
    with pytest.raises(RunNotFoundError, match=r"begins with 'c': c1, c2; give more"):
        catalog.get_run("c")


def test_events_are_appended_in_the_order_they_were_given(catalog: Catalog) -> None:
    def event(run_id: str, message: str) -> Event:
        return Event(EventType.LOG, run_id, 5.0, "step", message=message)

    catalog.add_events([event("r1", "a"), event("r2", "other"), event("r1", "b")])
    catalog.add_events([event("r1", "c")])

    assert [event.message for event in catalog.events("r1")] == ["a", "b", "c"]
    assert [event.message for event in catalog.events("r1", step_key="step")] == ["a", "b", "c"]
    assert catalog.events("r1", step_key="other") == []
    assert catalog.events("r3") == []


def test_a_message_or_place_that_is_no_text_does_not_cost_the_record(catalog: Catalog) -> None:
    catalog.add_events([Event(EventType.LOG, "r1", 1.0, message="read caf\udce9.csv", data={"file": "caf\udce9"})])
    output = OutputRecord("result", place="caf\udce9")
    catalog.add_materializations([Materialization("r1", "job", "step", (output,))], {})
    catalog.add_run(RunRecord("r1", "caf", SUCCESS, 1.0, target="caf\udce9.py:job"))

    (event,) = catalog.events("r1")
    (stored,) = catalog.materializations("r1")
    run = catalog.get_run("r1")
    assert event.message == "read caf\\udce9.csv"
    assert event.data == {"file": "caf\\udce9"}
    assert stored.outputs[0].place == "caf\\udce9"
    assert run is not None
    assert run.target == "caf\\udce9.py:job"


def test_a_step_materialized_twice_in_a_run_is_kept_once_as_it_was_last(catalog: Catalog) -> None:
    def stored(step_key: str, seconds: float, *names: str) -> Materialization:
        return Materialization("r1", "job", step_key, tuple(map(OutputRecord, names)), "v1", seconds=seconds)

    catalog.add_materializations([stored("a", 1.0, "x", "y", "z"), stored("b", 1.0, "x")], {})
    catalog.add_materializations([stored("a", 2.0, "x")], {})
    assert catalog.materializations("r1") == [stored("b", 1.0, "x"), stored("a", 2.0, "x")]
    kept = catalog._database.ask(lambda database: database.execute("SELECT count(*) FROM outputs").fetchone(), None)
    assert kept == (2,), "outputs go with their materialization"

    catalog.add_materializations([stored("b", 3.0, "x"), stored("a", 3.0, "x"), stored("b", 4.0, "y")], {})
    assert catalog.materializations("r1") == [stored("a", 3.0, "x"), stored("b", 4.0, "y")]


def test_source_texts_are_kept_by_digest(catalog: Catalog) -> None:
    catalog.add_materializations([], {"d1": "def a(): ...\n", "d2": ""})
    catalog.add_materializations([], {"d1": "def a(): ...\n", "d3": "é\udce9\n" * 1000})

    assert catalog.source("d1") == "def a(): ...\n"
    assert catalog.source("d2") == ""
    assert catalog.source("d3") == "é\udce9\n" * 1000
    assert catalog.source("d4") is None


def test_equal_recipes_and_sources_are_stored_once(path: Path) -> None:
    part = RecipePart("code", "clean", "hash", detail="x" * 300, source_digest="d1")
    text = "\n".join(f"line {number * number}" for number in range(2000))

    def run(number: int) -> Materialization:
        return Materialization(
            f"r{number}", "job", "step", (OutputRecord("result"),), "v1", "l1", recipe=Recipe("v1", (part,)),
        )  # fmt: skip

    sizes = []
    for number in range(1, 102):
        with Catalog.open(path) as catalog:
            catalog.add_materializations([run(number)], {"d1": text})
        sizes.append(path.stat().st_size)

    growth = sizes[-1] - sizes[0]
    assert growth < 100 * 500, "a further run must cost neither the recipe nor the source"
    assert all(before <= after for before, after in pairwise(sizes))


def test_what_fails_half_way_leaves_nothing(catalog: Catalog, path: Path) -> None:
    catalog.add_run(RunRecord("r1", "job", SUCCESS, 1.0))

    def torn() -> object:
        yield Materialization("r1", "job", "a", ())
        raise RuntimeError("the step's outcome could not be read")

    with pytest.raises(RuntimeError, match="could not be read"):
        catalog.add_materializations(torn(), {"d1": "text"})  # type: ignore[arg-type]
    bad = Materialization("r1", "job", "b", (OutputRecord("result", size=object()),))  # type: ignore[arg-type]
    with pytest.raises(Exception, match="not supported"):
        catalog.add_materializations([Materialization("r1", "job", "a", ()), bad], {"d1": "text"})

    assert catalog.materializations("r1") == []
    assert catalog.source("d1") is None
    with Catalog.open(path) as other:
        other.add_run(RunRecord("r2", "job", SUCCESS, 2.0))
    assert len(catalog.list_runs()) == 2


def test_events_are_told_apart_by_their_step_and_an_odd_one_changes_no_other(catalog: Catalog) -> None:
    plain = Event(EventType.LOG, "r1", 1.0, "load", data={"counts": {1: 2}})
    odd = Event(EventType.LOG, "r1", 2.0, "load_all", data={"path": "caf\udce9"})
    run = Event(EventType.RUN_START, "r1", 0.0)

    catalog.add_events([run, plain, odd])

    assert catalog.events("r1", step_key="load") == [plain]
    assert catalog.events("r1")[:2] == [run, plain]
    assert [event.data for event in catalog.events("r1", step_key="load_all")] == [{"path": "caf\\udce9"}]


def test_a_step_that_is_stored_again_in_a_run_is_kept_once_as_it_was_last(catalog: Catalog) -> None:
    recipe = Recipe("v1", (RecipePart("code", "a", "h"),))
    first, second, other = (
        Materialization("r1", "job", step_key, (OutputRecord(name),), "v1", recipe=recipe)
        for step_key, name in (("a", "old"), ("a", "new"), ("b", "new"))
    )

    catalog.add_materializations([first], {})
    catalog.add_materializations([other, second], {})

    assert catalog.materializations("r1") == [other, second]
