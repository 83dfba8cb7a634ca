"""Claims: one holder a version, until what it ran is recorded."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from memo.catalog import Catalog
from memo.contracts.run_store import Claim, Made, Materialization, OutputRecord

if TYPE_CHECKING:
    from pathlib import Path

OURS = Claim("v1", "r1", "a", "desk", 11, "100", 50.0)
THEIRS = Claim("v1", "r2", "b", "desk", 12, "200", 60.0)


def made(run_id: str, digest: str = "d", version: str = "v1") -> Materialization:
    return Materialization(run_id, "job", "a", (OutputRecord("result", content_digest=digest),), version)


def test_the_first_holds_it_and_the_second_is_told_who(catalog: Catalog) -> None:
    assert catalog.claim(OURS, since=0) == OURS
    assert catalog.claim(THEIRS, since=0) == OURS
    assert catalog.claim(THEIRS, since=None) == OURS
    assert catalog.claims(["v1", "v2"]) == {"v1": OURS}


def test_of_many_those_are_claimed_that_nothing_speaks_against(catalog: Catalog) -> None:
    catalog.add_materializations([made("r2", version="made"), made("r1", version="ours")], {})
    catalog.add_materializations([replace(made("r2", version="torn"), step_key="b")], {})
    catalog.begin_replacing("r2", ["torn"])
    catalog.claim(replace(THEIRS, version="theirs"), since=0)
    wanted = [replace(OURS, version=each) for each in ("free", "made", "ours", "theirs", "torn")]

    assert set(catalog.claim_free(wanted, since=0)) == {"free", "ours", "torn"}
    assert {version: each.run_id for version, each in catalog.claims([each.version for each in wanted]).items()} == {
        "free": "r1",
        "ours": "r1",
        "theirs": "r2",
        "torn": "r1",
    }
    # Planned after it was made, or told to run whatever there is.
    assert set(catalog.claim_free(wanted[1:2], since=catalog.mark())) == {"made"}
    catalog.release_claims("r1", ["made"])
    assert set(catalog.claim_free(wanted[1:2], since=None)) == {"made"}


def test_asking_for_claims_makes_no_catalog(path: Path, catalog: Catalog) -> None:
    assert catalog.claims(["v1"]) == {}
    assert catalog.mark() == 0
    assert not path.exists()


def test_a_run_may_claim_again_what_it_has_but_not_another_of_the_same_id(catalog: Catalog) -> None:
    catalog.claim(OURS, since=0)
    later = replace(OURS, lease_until=70.0)

    assert catalog.claim(later, since=0) == later
    for other in (replace(OURS, pid=13), replace(OURS, pid_started="300"), replace(OURS, host="other")):
        assert catalog.claim(other, since=0) == later


def test_what_ran_is_made_and_free_at_one_moment(catalog: Catalog) -> None:
    catalog.claim(OURS, since=0)
    before = catalog.mark()
    catalog.add_materializations([made("r1")], {}, claimed=["v1"])

    assert catalog.claims(["v1"]) == {}
    assert catalog.mark() == before + 1
    assert catalog.claim(THEIRS, since=before) == Made("r1", before + 1)
    assert catalog.claims(["v1"]) == {}
    # Planned after it was made, or told to run whatever there is.
    assert catalog.claim(THEIRS, since=before + 1) == THEIRS
    assert catalog.claim(replace(THEIRS, lease_until=61.0), since=None) == replace(THEIRS, lease_until=61.0)


def test_what_the_run_made_itself_is_no_reason_not_to_make_it_again(catalog: Catalog) -> None:
    catalog.add_materializations([made("r1")], {}, claimed=["v1"])

    assert catalog.claim(OURS, since=0) == OURS


def test_what_is_being_replaced_counts_as_not_made(catalog: Catalog) -> None:
    catalog.add_materializations([made("r2")], {}, claimed=["v1"])
    catalog.begin_replacing("r3", ["v1"])

    assert catalog.claim(OURS, since=0) == OURS


def test_recording_and_releasing_end_only_the_claim_of_their_run(catalog: Catalog) -> None:
    catalog.claim(OURS, since=0)
    catalog.release_claims("r2", ["v1"])
    catalog.add_materializations([made("r2")], {}, claimed=["v1"])
    catalog.add_materializations([made("r3")], {})
    assert catalog.claims(["v1"]) == {"v1": OURS}

    catalog.release_claims("r1", ["v2"])
    assert catalog.claims(["v1"]) == {"v1": OURS}
    catalog.release_claims("r1", ["v1"])
    assert catalog.claims(["v1"]) == {}


def test_a_claim_that_is_gone_is_taken_over_only_as_it_was_then(catalog: Catalog) -> None:
    catalog.claim(OURS, since=0)
    catalog.renew_claims("r1", 55.0, 80.0)

    assert catalog.claim(THEIRS, since=0, gone=OURS) == replace(OURS, lease_until=80.0)
    assert catalog.claim(THEIRS, since=0, gone=replace(OURS, lease_until=80.0)) == THEIRS
    # Two found it dead, and this one came second.
    third = Claim("v1", "r3", "c", "desk", 13, "300", 90.0)
    assert catalog.claim(third, since=0, gone=replace(OURS, lease_until=80.0)) == THEIRS


def test_all_claims_of_a_run_are_renewed_and_old_ones_forgotten(catalog: Catalog) -> None:
    other, old = replace(OURS, version="v2"), replace(THEIRS, version="v3")
    for each in (OURS, other, old):
        catalog.claim(each, since=0)
    catalog.renew_claims("r1", 60.0 + 86400.0, 1e6)
    assert catalog.claims(["v1", "v2", "v3"]) == {
        "v1": replace(OURS, lease_until=1e6),
        "v2": replace(other, lease_until=1e6),
        "v3": old,
    }

    catalog.renew_claims("r1", 60.1 + 86400.0, 1e6)
    assert set(catalog.claims(["v1", "v2", "v3"])) == {"v1", "v2"}


@pytest.mark.parametrize(("digest", "unfinished"), [("d", set()), ("e", {"v1"})])
@pytest.mark.parametrize("first", ["holder", "taker"])
def test_two_that_stored_different_contents_leave_it_unfinished(
    catalog: Catalog, digest: str, unfinished: set[str], first: str
) -> None:
    catalog.claim(OURS, since=0)
    catalog.claim(THEIRS, since=0, gone=OURS)
    both = [made("r1"), made("r2", digest)]
    for each in both if first == "holder" else reversed(both):
        catalog.add_materializations([each], {}, claimed=["v1"])

    assert catalog.unfinished() == unfinished
    assert catalog.claims(["v1"]) == {}
    catalog.claim(OURS, since=None)
    catalog.add_materializations([made("r1", "f")], {}, claimed=["v1"])
    assert catalog.unfinished() == set()


def test_replacing_under_a_claim_of_its_own_is_finished(catalog: Catalog) -> None:
    catalog.add_materializations([made("r2")], {}, claimed=["v1"])
    catalog.claim(OURS, since=None)
    catalog.begin_replacing("r1", ["v1"])
    catalog.add_materializations([made("r1", "e")], {}, claimed=["v1"])

    assert catalog.unfinished() == set()
    assert catalog.replaced() == {"v1"}


CLAIM_ALL = """
import sys
from pathlib import Path
from memo.catalog import Catalog
from memo.contracts.run_store import Claim
path, name = Path(sys.argv[1]), sys.argv[2]
sys.stdin.read(1)
with Catalog.open(path) as catalog:
    for number in range(200):
        wanted = Claim(str(number), name, "a", "desk", 1, "1", 50.0)
        print(catalog.claim(wanted, since=0).run_id)
"""


def test_of_four_processes_that_claim_at_once_one_gets_each(path: Path) -> None:
    processes = {
        name: subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, str(path), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abcd"
    }
    for process in processes.values():
        assert process.stdin is not None
        process.stdin.write("!")
        process.stdin.flush()
    told = {name: process.communicate()[0].split() for name, process in processes.items()}

    # All were told the same holder of each.
    assert len({tuple(each) for each in told.values()}) == 1
    assert len(told["a"]) == 200
    with Catalog.open(path) as catalog:
        held = catalog.claims([str(number) for number in range(200)])
    assert [held[str(number)].run_id for number in range(200)] == told["a"]
