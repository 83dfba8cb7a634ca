"""Acceptances and adoptions: added, listed, ended, and what ends them by itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from memo.catalog import Catalog
from memo.contracts.run_store import Acceptance, Adoption, Materialization, OutputRecord, RunRecord
from memo.errors import HomeError
from memo.events import RunStatus

if TYPE_CHECKING:
    from collections.abc import Sequence


def accepting(version: str, stored_version: str = "v1", *, job: str = "job", at: float = 1.0) -> Acceptance:
    return Acceptance(0, job, "a", version, stored_version, f"{version} is {stored_version}", at)


def stored(run_id: str, version: str | None = "v1", digest: str = "d") -> Materialization:
    return Materialization(run_id, "job", "a", (OutputRecord("x", content_digest=digest),), version)


# Acceptances


def test_an_acceptance_holds_until_it_is_revoked(catalog: Catalog) -> None:
    first = catalog.add_acceptance(accepting("v2"))
    second = catalog.add_acceptance(accepting("v3", job="other"))
    assert catalog.accepted() == {"v2": "v1", "v3": "v1"}

    assert catalog.revoke(first, 5.0) == replace(accepting("v2"), id=first, revoked_at=5.0)

    assert catalog.accepted() == {"v3": "v1"}
    assert catalog.acceptances() == [
        replace(accepting("v3", job="other"), id=second),
        replace(accepting("v2"), id=first, revoked_at=5.0),
    ]
    assert [each.version for each in catalog.acceptances("job")] == ["v2"]
    assert catalog.acceptances("neither") == []


@pytest.mark.parametrize("number", [0, 2, -1, 1 << 63, -(1 << 63), 1 << 200])
def test_what_is_not_accepted_cannot_be_revoked(catalog: Catalog, number: int) -> None:
    assert catalog.revoke(number, 1.0) is None
    assert catalog.add_acceptance(accepting("v2")) == 1
    assert catalog.revoke(number, 1.0) is None
    assert catalog.accepted() == {"v2": "v1"}


def test_an_acceptance_is_revoked_once(catalog: Catalog) -> None:
    number = catalog.add_acceptance(accepting("v2"))
    assert catalog.revoke(number, 5.0) is not None

    assert catalog.revoke(number, 6.0) is None
    assert [each.revoked_at for each in catalog.acceptances()] == [5.0]


def test_ids_are_never_given_twice(catalog: Catalog) -> None:
    first = catalog.add_acceptance(accepting("v2"))
    catalog._database.write(lambda database: database.execute("DELETE FROM acceptances"))

    assert catalog.add_acceptance(accepting("v2")) > first


def test_one_of_the_same_version_takes_the_place_of_an_older_one(catalog: Catalog) -> None:
    first = catalog.add_acceptance(accepting("v2", "v1", at=1.0))
    second = catalog.add_acceptance(accepting("v2", "v0", at=2.0))

    assert catalog.accepted() == {"v2": "v0"}
    assert [(each.id, each.revoked_at) for each in catalog.acceptances()] == [(second, None), (first, 2.0)]
    assert catalog.revoke(first, 3.0) is None


def test_a_reason_in_any_letters_is_kept(catalog: Catalog) -> None:
    reason = "größer, 'so' \"viel\"; \udce9"
    catalog.add_acceptance(replace(accepting("v2"), reason=reason))

    assert catalog.acceptances()[0].reason == reason.replace("\udce9", "\\udce9")


def test_what_was_stored_since_it_was_accepted_is_not_trusted_once_it_is_revoked(catalog: Catalog) -> None:
    catalog.add_materializations(
        [
            stored("r1", "v1"),
        ],
        {},
    )
    number = catalog.add_acceptance(accepting("v2"))
    catalog.add_materializations([stored("r2", "v1", "e")], {})
    assert catalog.unfinished() == set()

    catalog.revoke(number, 5.0)
    assert catalog.unfinished() == {"v1"}

    catalog.add_materializations([stored("r3", "v1")], {})
    assert catalog.unfinished() == set()


def test_what_was_stored_before_it_was_accepted_stays_trusted(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", "v1")], {})
    number = catalog.add_acceptance(accepting("v2"))
    catalog.add_materializations([stored("r2", "v0"), Materialization("r2", "job", "b", (), "w")], {})
    catalog.add_aliases([("r3", "a", "v3", "v1", None)])

    catalog.revoke(number, 5.0)

    assert catalog.unfinished() == set()


def test_accepting_the_same_again_does_not_hide_what_was_stored_meanwhile(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", "v1")], {})
    catalog.add_acceptance(accepting("v2"))
    catalog.add_materializations([stored("r2", "v1", "e")], {})
    number = catalog.add_acceptance(accepting("v2"))
    assert catalog.unfinished() == set()

    catalog.revoke(number, 5.0)

    assert catalog.unfinished() == {"v1"}


def test_accepting_another_instead_revokes_the_first_with_all_that_follows(catalog: Catalog) -> None:
    catalog.add_materializations([stored("r1", "v1")], {})
    catalog.add_acceptance(accepting("v2", "v1"))
    catalog.add_materializations([stored("r2", "v1", "e")], {})

    catalog.add_acceptance(accepting("v2", "v0"))

    assert catalog.unfinished() == {"v1"}


acts = st.lists(
    st.one_of(
        st.tuples(st.just("accept"), st.sampled_from(["v2", "v3"]), st.sampled_from(["s1", "s2"])),
        st.tuples(st.just("revoke"), st.integers(1, 6), st.none()),
        st.tuples(st.just("store"), st.sampled_from(["s1", "s2"]), st.sampled_from(["not", "before", "after"])),
        st.tuples(st.just("verify"), st.sampled_from(["s1", "s2"]), st.none()),
    ),
    max_size=15,
)


def test_what_a_run_stores_that_began_before_it_was_revoked_is_not_trusted(catalog: Catalog) -> None:
    def began(run_id: str, at: float) -> None:
        catalog.add_run(RunRecord(run_id, "job", RunStatus.STARTED, at))

    number = catalog.add_acceptance(accepting("v2"))
    began("r1", 2.0)
    catalog.begin_replacing("r1", ["v1"])
    catalog.revoke(number, 5.0)
    assert catalog.unfinished() == {"v1"}

    catalog.add_materializations([stored("r1", "v1")], {})
    assert catalog.unfinished() == {"v1"}, "it may be what the accepted code gave"

    began("r2", 6.0)
    catalog.add_materializations([stored("r2", "v1")], {})
    assert catalog.unfinished() == set()


class Remembered:
    """The same as plain dicts, told the slow and obvious way."""

    def __init__(self) -> None:
        self.count = 0
        self.holding: dict[int, tuple[str, str]] = {}
        self.remade: set[int] = set()
        """The acceptances whose stored version was stored again since."""
        self.unfinished: set[str] = set()
        self.adopted: set[str] = set()

    def accept(self, version: str, stored_version: str) -> int:
        self.count += 1
        older = next((number for number, (each, _) in self.holding.items() if each == version), None)
        if older is not None and self.holding[older][1] != stored_version:
            self.revoke(older)
        elif older is not None:
            del self.holding[older]
            if older in self.remade:
                self.remade.add(self.count)
        self.holding[self.count] = (version, stored_version)
        return self.count

    def revoke(self, number: int) -> None:
        if number in self.holding:
            _, version = self.holding.pop(number)
            if number in self.remade:
                self.unfinished.add(version)

    def store(self, version: str, *, adopting: bool) -> None:
        self.adopted.discard(version)
        if adopting:
            self.adopted.add(version)
        self.unfinished.discard(version)
        self.remade |= {number for number, (_, each) in self.holding.items() if each == version}


def store(catalog: Catalog, run_id: str, version: str, adopt: str) -> None:
    """Store a version, and say before it, after it, or not at all that it is adopted."""
    adoption = Adoption(version, run_id, {}, 1.0)
    if adopt == "before":
        catalog.add_adoption(adoption)
    catalog.add_materializations([stored(run_id, version, run_id)], {})
    if adopt == "after":
        catalog.add_adoption(adoption)


@settings(deadline=None, max_examples=150)
@given(acts)
def test_the_answers_are_those_of_plain_dicts(taken: Sequence[tuple[str, Any, Any]]) -> None:
    remembered = Remembered()
    with tempfile.TemporaryDirectory() as folder, Catalog.open(Path(folder) / "catalog.db") as catalog:
        for number, (act, what, more) in enumerate(taken):
            if act == "accept":
                assert catalog.add_acceptance(accepting(what, more)) == remembered.accept(what, more)
            elif act == "revoke":
                assert (catalog.revoke(what, 9.0) is not None) == (what in remembered.holding)
                remembered.revoke(what)
            elif act == "verify":
                catalog.verified(what)
                remembered.adopted.discard(what)
            else:
                store(catalog, f"r{number}", what, more)
                remembered.store(what, adopting=more != "not")
        assert catalog.accepted() == dict(remembered.holding.values())
        assert catalog.unfinished() == remembered.unfinished
        assert set(catalog.adopted()) == remembered.adopted
        assert len(catalog.acceptances()) == remembered.count


# Adoptions


def test_an_adoption_is_told_with_where_it_came_from(catalog: Catalog) -> None:
    one = Adoption("v1", "r1", {"x": "old.parquet", "caf\udce9": "caf\udce9.csv"}, 1.0)
    two = Adoption("v2", "r1", {}, 2.0)
    catalog.add_adoption(one)
    catalog.add_adoption(two)

    kept = {"x": "old.parquet", "caf\\udce9": "caf\\udce9.csv"}
    assert catalog.adopted() == {"v1": replace(one, files=kept), "v2": two}


def test_another_adoption_of_a_version_counts_instead(catalog: Catalog) -> None:
    catalog.add_adoption(Adoption("v1", "r1", {"x": "old"}, 1.0))
    catalog.add_adoption(Adoption("v1", "r2", {"x": "new"}, 2.0))

    assert catalog.adopted() == {"v1": Adoption("v1", "r2", {"x": "new"}, 2.0)}


@pytest.mark.parametrize("adopted_first", [True, False])
def test_the_materialization_that_adopting_records_leaves_the_mark(catalog: Catalog, adopted_first: bool) -> None:
    adoption = Adoption("v1", "r1", {}, 1.0)
    if adopted_first:
        catalog.add_adoption(adoption)
    catalog.add_materializations([stored("r1", "v1")], {})
    if not adopted_first:
        catalog.add_adoption(adoption)

    assert catalog.adopted() == {"v1": adoption}


def test_a_run_that_makes_the_outputs_takes_the_mark_away(catalog: Catalog) -> None:
    for version in ("v1", "v2"):
        catalog.add_adoption(Adoption(version, "r1", {}, 1.0))

    catalog.add_materializations([stored("r2", "v1"), Materialization("r2", "job", "b", ())], {})

    assert set(catalog.adopted()) == {"v2"}


def test_what_was_verified_is_an_adoption_no_more(catalog: Catalog) -> None:
    catalog.add_adoption(Adoption("v1", "r1", {}, 1.0))

    catalog.verified("v0")
    assert set(catalog.adopted()) == {"v1"}
    catalog.verified("v1")
    assert catalog.adopted() == {}


def test_nothing_of_this_is_written_where_only_reading_is_allowed(filled: Path) -> None:
    with Catalog.open(filled, read_only=True) as catalog:
        for write in (
            lambda: catalog.add_acceptance(accepting("v9")),
            lambda: catalog.revoke(1, 1.0),
            lambda: catalog.add_adoption(Adoption("v9", "r1", {}, 1.0)),
            lambda: catalog.verified("v4"),
        ):
            with pytest.raises(HomeError, match="reading only"):
                write()
        assert catalog.accepted() == {"v3": "v1"}
        assert set(catalog.adopted()) == {"v4"}
