"""The questions that planning and execution ask about the past."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memo.catalog import Catalog
from memo.contracts.run_store import Materialization, OutputRecord, Recipe, RecipePart, RunRecord
from memo.events import RunStatus

if TYPE_CHECKING:
    from collections.abc import Mapping


def stored(
    run_id: str,
    step_key: str = "a",
    version: str | None = "v1",
    *,
    job: str = "job",
    seconds: float = 1.0,
    recipe: str | None = None,
    digests: Mapping[str, str | None] | None = None,
    local_key: str | None = None,
    content_key: str | None = None,
) -> Materialization:
    return Materialization(
        run_id,
        job,
        step_key,
        tuple(OutputRecord(name, content_digest=digest) for name, digest in (digests or {}).items()),
        version,
        local_key,
        content_key,
        None if recipe is None else made_of(recipe),
        seconds,
    )


def made_of(word: str) -> Recipe:
    return Recipe(word, (RecipePart("code", "a", word),))


def started(run_id: str, job: str = "job") -> RunRecord:
    return RunRecord(run_id, job, RunStatus.STARTED, 1.0)


def test_an_alias_tells_where_a_version_is_stored(catalog: Catalog) -> None:
    catalog.add_aliases([("r1", "a", "v2", "v1", None), ("r1", "b", "w2", "w1", None)])

    assert catalog.aliases(["v2", "v1", "w2", "unknown"]) == {"v2": "v1", "w2": "w1"}


def test_the_latest_alias_of_a_version_counts(catalog: Catalog) -> None:
    catalog.add_aliases([("r1", "a", "v3", "v1", None)])
    catalog.add_aliases([("r2", "a", "v3", "v2", None)])

    assert catalog.aliases(["v3"]) == {"v3": "v2"}


def test_a_version_materialized_after_it_was_aliased_is_stored_under_itself(catalog: Catalog) -> None:
    catalog.add_aliases([("r1", "a", "v2", "v1", None)])
    catalog.add_materializations([stored("r2", version="v2")], {})
    assert catalog.aliases(["v2"]) == {}

    catalog.add_aliases([("r3", "a", "v2", "v1", None)])
    assert catalog.aliases(["v2"]) == {"v2": "v1"}


def test_an_alias_of_an_alias_leads_to_where_the_output_is(catalog: Catalog) -> None:
    catalog.add_aliases([("r1", "a", "v3", "v2", None), ("r2", "a", "v2", "v1", None)])

    assert catalog.aliases(["v3"]) == {"v3": "v1"}
    assert catalog.aliases(["v3", "v2", "v1"]) == {"v3": "v1", "v2": "v1"}


def test_aliases_in_a_circle_are_answered_all_the_same(catalog: Catalog) -> None:
    catalog.add_aliases([("r1", "a", "v1", "v2", None), ("r2", "a", "v2", "v1", None), ("r3", "a", "v3", "v3", None)])

    answered = catalog.aliases(["v1", "v2", "v3"])

    assert answered.keys() == {"v1", "v2", "v3"}
    assert set(answered.values()) <= {"v1", "v2", "v3"}


def test_content_digests_are_those_of_the_latest_materialization(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", digests={"x": "1", "y": "2"}), stored("r1", "b", "w1")], {})
    catalog.add_materializations([stored("r2", digests={"x": "3", "z": None})], {})

    assert catalog.content_digests(["v1", "w1", "v2"]) == {"v1": {"x": "3", "z": None}, "w1": {}}


def test_contents_are_found_under_the_latest_version(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", version="v1", content_key="c")], {})
    catalog.add_materializations([stored("r2", version="v2", content_key="c")], {})
    catalog.add_materializations([stored("r3", version=None, content_key="c")], {})

    assert catalog.find_contents(["c", "d"]) == {"c": "v2"}


def test_local_keys_are_known_once_materialized(catalog: Catalog) -> None:
    catalog.add_materializations(
        [stored("r1", local_key="l1"), stored("r1", "b", local_key="l2"), stored("r1", "c")], {}
    )
    catalog.add_materializations([stored("r2", local_key="l1")], {})

    assert catalog.known_local_keys(["l1", "l2", "l3"]) == {"l1", "l2"}


def test_the_last_recipe_is_that_of_the_latest_run_of_the_step_in_the_job(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", recipe="one"), stored("r1", "b", recipe="b")], {})
    catalog.add_materializations([stored("r2", recipe="two")], {})
    catalog.add_materializations([stored("r3", job="other", recipe="three")], {})

    assert catalog.last_recipes("job", ["a", "b", "c"]) == {"a": made_of("two"), "b": made_of("b")}
    assert catalog.last_recipes("other", ["a", "b"]) == {"a": made_of("three")}


def test_reuse_by_content_counts_as_the_last_recipe_where_it_is_later(catalog: Catalog) -> None:
    catalog.add_run(started("r1"))
    catalog.add_run(started("r2", "other"))
    catalog.add_materializations([stored("r0", recipe="one")], {})

    catalog.add_aliases([("r1", "a", "v2", "v1", made_of("two")), ("r2", "a", "v3", "v1", made_of("three"))])
    assert catalog.last_recipes("job", ["a"]) == {"a": made_of("two")}
    assert catalog.last_recipes("other", ["a"]) == {"a": made_of("three")}

    catalog.add_materializations([stored("r4", recipe="four")], {})
    assert catalog.last_recipes("job", ["a"]) == {"a": made_of("four")}


def test_an_alias_recorded_before_its_run_belongs_to_the_job_all_the_same(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r0", recipe="one")], {})
    catalog.add_aliases([("r1", "a", "v2", "v1", made_of("two"))])
    catalog.add_run(started("r1"))
    assert catalog.last_recipes("job", ["a"]) == {"a": made_of("two")}

    catalog.add_materializations([stored("r2", recipe="three")], {})
    assert catalog.last_recipes("job", ["a"]) == {"a": made_of("three")}


def test_a_run_without_memoization_does_not_hide_the_last_recipe(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", recipe="one")], {})
    catalog.add_materializations([stored("r2", version=None)], {})

    assert catalog.last_recipes("job", ["a"]) == {"a": made_of("one")}


@pytest.mark.parametrize(
    ("taken", "usual"),
    [
        ([4.0], 4.0),
        ([1.0, 2.0], 1.5),
        ([9.0, 1.0, 2.0], 2.0),
        ([50.0, 60.0, 70.0, 9.0, 1.0, 2.0, 3.0, 4.0], 3.0),
    ],
)
def test_seconds_are_the_median_of_the_latest_five(catalog: Catalog, taken: list[float], usual: float) -> None:
    for number, seconds in enumerate(taken):
        catalog.add_materializations([stored(f"r{number}", seconds=seconds)], {})
        catalog.add_materializations([stored(f"s{number}", job="other", seconds=77.0)], {})

    assert catalog.seconds("job", ["a", "b"]) == {"a": usual}


def test_what_was_adopted_says_nothing_of_how_long_a_step_takes(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", seconds=4.0), stored("r1", "b", seconds=0.0)], {})
    for number in range(9):
        catalog.add_materializations([stored(f"adopting {number}", seconds=0.0)], {})

    assert catalog.seconds("job", ["a", "b"]) == {"a": 4.0}


def test_a_key_asked_twice_is_answered_once(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", digests={"x": "1"}, content_key="c", local_key="l", seconds=3.0)], {})
    catalog.add_materializations([stored("r2", content_key="c", seconds=5.0)], {})

    assert catalog.content_digests(["v1", "v1"]) == {"v1": {}}
    assert catalog.find_contents(["c", "c"]) == {"c": "v1"}
    assert catalog.known_local_keys(["l", "l"]) == {"l"}
    assert catalog.seconds("job", ["a", "b", "a"]) == {"a": 4.0}


def test_a_hundred_thousand_keys_are_asked_at_once(catalog: Catalog) -> None:
    count = 100_000
    versions = [f"v{number}" for number in range(count)]
    catalog.add_aliases([(f"r{number}", "a", f"v{number}", "stored", None) for number in range(0, count, 1000)])
    catalog.add_materializations(
        [stored("r", f"s{number}", f"v{number}", digests={"x": "1"}) for number in range(1, count, 1000)],
        {},
    )

    assert len(catalog.aliases(versions)) == 100
    assert len(catalog.content_digests(tuple(versions))) == 100
    assert len(catalog.seconds("job", [f"s{number}" for number in range(count)])) == 100


@pytest.mark.parametrize("key", ["", "a'b", 'a"b', "a\\b", "é", "\U0001f600", "a\nb", "1", "null", "%", "v\x1f"])
def test_any_string_is_a_version(catalog: Catalog, key: str) -> None:
    catalog.add_materializations(
        [stored("r1", key, key, job=key, digests={key: key}, local_key=key, content_key=key, recipe=key)],
        {},
    )
    catalog.add_aliases([("r1", "other", f"alias of {key}", key, None)])

    assert catalog.content_digests([key]) == {key: {key: key}}
    assert catalog.find_contents([key]) == {key: key}
    assert catalog.known_local_keys([key]) == {key}
    assert catalog.last_recipes(key, [key]) == {key: made_of(key)}
    assert catalog.seconds(key, [key]) == {key: 1.0}
    assert catalog.aliases([f"alias of {key}"]) == {f"alias of {key}": key}


class Remembered:
    """The same history as plain lists, asked the slow and obvious way."""

    def __init__(self) -> None:
        self.rows: list[Materialization | tuple[str, str, str, str, Recipe | None]] = []
        self.jobs: dict[str, str] = {}
        self.added: list[Any] = []
        self.replaced: dict[str, int] = {}
        """Version -> how many rows had been added when its content was last replaced."""

    def add(self, row: Any) -> None:
        def owner(row: Any) -> tuple[object, ...]:
            return (type(row), row.run_id, row.step_key) if isinstance(row, Materialization) else (tuple, *row[:2])

        if isinstance(row, Materialization) and row.version is not None:
            before = self.content(self.stored_as(row.version)) or self.content(row.version)
            if before is not None and before != row.outputs[0].content_digest:
                self.replaced[row.version] = len(self.added)
        self.rows = [kept for kept in self.rows if owner(kept) != owner(row)]
        self.rows.append(row)
        self.added.append(row)

    def content(self, version: str) -> str | None:
        same = [row for row in self.materializations() if row.version == version]
        return same[-1].outputs[0].content_digest if same else None

    def stored_as(self, version: str) -> str:
        """Where a chain of links ends; in a circle, where it is met again."""
        seen = {version} if self.aliases(version) is None else set[str]()
        version = self.aliases(version) or version
        while version not in seen and (link := self.aliases(version)) is not None:
            seen.add(version)
            version = link
        return version

    def aliases(self, version: str) -> str | None:
        """One link, of the latest row about this version."""
        latest = None
        for row in self.rows:
            if isinstance(row, Materialization):
                latest = None if row.version == version else latest
            elif row[2] == version:
                added = max(number for number, each in enumerate(self.added) if each is row)
                latest = row[3] if self.replaced.get(row[3], -1) < added else None
        return latest

    def contents(self) -> dict[str, str]:
        """Content key -> version, where nothing else was stored under that version since."""
        done = self.materializations()
        return {
            row.content_key: row.version
            for number, row in enumerate(done)
            if row.content_key
            and row.version
            and all(later.content_key == row.content_key for later in done[number:] if later.version == row.version)
        }

    def last_recipe(self, job: str, step_key: str) -> Recipe | None:
        latest = None
        for row in self.rows:
            if isinstance(row, Materialization):
                if (row.job_name, row.step_key) == (job, step_key) and row.recipe is not None:
                    latest = row.recipe
            elif (self.jobs.get(row[0]), row[1]) == (job, step_key) and row[4] is not None:
                latest = row[4]
        return latest

    def materializations(self) -> list[Materialization]:
        return [row for row in self.rows if isinstance(row, Materialization)]


run_ids = st.sampled_from(["r1", "r2", "r3"])
step_keys = st.sampled_from(["a", "b"])
few = st.sampled_from(["v1", "v2", "v3", "v4"])
maybe_recipes = st.none() | few.map(made_of)
jobs = {"r1": "job", "r2": "job", "r3": "other"}
actions = st.lists(
    st.one_of(
        st.builds(
            lambda run_id, step_key, version, digest, **more: Materialization(
                run_id, jobs[run_id], step_key, (OutputRecord("x", content_digest=digest),), version, **more
            ),
            run_ids,
            step_keys,
            st.none() | few,
            few,
            local_key=st.none() | few,
            content_key=st.none() | few,
            recipe=maybe_recipes,
            seconds=st.integers(1, 9).map(float),
        ),
        st.tuples(run_ids, step_keys, few, few, maybe_recipes),
        run_ids.map(lambda run_id: started(run_id, jobs[run_id])),
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=150)
@given(actions)
def test_the_answers_are_those_of_plain_lists(taken: list[Any]) -> None:
    remembered = Remembered()
    versions = ["v1", "v2", "v3", "v4"]
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "catalog.db") as catalog:
        for row in taken:
            if isinstance(row, RunRecord):
                catalog.add_run(row)
                remembered.jobs[row.run_id] = row.job_name
            else:
                if isinstance(row, Materialization):
                    catalog.add_materializations([row], {})
                else:
                    catalog.add_aliases([row])
                remembered.add(row)

        done = remembered.materializations()
        asked = catalog.aliases(versions)
        for version in versions:
            link = remembered.aliases(version)
            assert (version in asked) == (link is not None)
            if link is not None and remembered.aliases(link) is None:
                assert asked[version] == link
        assert catalog.content_digests(versions) == {
            row.version: {"x": row.outputs[0].content_digest} for row in done if row.version
        }
        assert catalog.find_contents(versions) == remembered.contents()
        assert catalog.replaced() == set(remembered.replaced)
        latest = {row.version: row.content_key for row in done}
        assert catalog.content_keys(versions) == {version: key for version, key in latest.items() if version and key}
        ever = {row.local_key for row in taken if isinstance(row, Materialization)} - {None}
        assert catalog.known_local_keys(versions) == ever
        for job in ("job", "other"):
            assert catalog.last_recipes(job, ["a", "b"]) == {
                step_key: recipe for step_key in ("a", "b") if (recipe := remembered.last_recipe(job, step_key))
            }
            assert catalog.seconds(job, ["a", "b"]) == {
                step_key: median(times[-5:])
                for step_key in ("a", "b")
                if (times := [r.seconds for r in done if (r.job_name, r.step_key) == (job, step_key)])
            }
