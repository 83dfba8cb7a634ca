"""Claims in the shared place: who runs a version, who waits, and who takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Barrier, Thread

import pytest

from memo.contracts.run_store import Claim
from memo.contracts.sharing import SharedObjects
from memo.execution.shared_claims import SharedClaims
from memo_iomanagers.link import Link
from memo_iomanagers.places import place_at

LEASE = 30.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def objects(tmp_path: Path) -> Link:
    return Link(place_at(str(tmp_path / "shared")), read_only=False)


def claims(objects: SharedObjects, clock: Clock) -> SharedClaims:
    return SharedClaims(objects, lease=LEASE, is_there=lambda _: None, clock=clock)


def wanted(run: str, version: str = "v") -> Claim:
    return Claim(version, run, "step", f"host of {run}", 7, "1", 0.0)


def test_one_has_it_and_the_other_is_told_who(objects: Link, clock: Clock) -> None:
    one, other = claims(objects, clock), claims(objects, clock)
    assert one.take(wanted("one")) is None
    assert one.is_held("v")
    assert other.take(wanted("other")) == wanted("one")
    assert not other.is_held("v")
    assert one.take(wanted("one")) is None, "a run may claim again what it has claimed"


def test_what_is_released_is_free(objects: Link, clock: Clock) -> None:
    one, other = claims(objects, clock), claims(objects, clock)
    one.take(wanted("one"))
    other.take(wanted("other"))
    assert other.free(["v"]) == set()
    one.release("v")
    one.close()
    assert other.free(["v"]) == {"v"}
    assert other.take(wanted("other")) is None


def test_one_that_is_renewed_is_waited_for_however_long(objects: Link, clock: Clock) -> None:
    one, other = claims(objects, clock), claims(objects, clock)
    one.take(wanted("one"))
    for _ in range(10):
        assert other.take(wanted("other")) == wanted("one")
        clock.now += LEASE - 1
        one.renew()


def test_one_that_stands_still_for_a_lease_is_taken_over(objects: Link, clock: Clock) -> None:
    one, other = claims(objects, clock), claims(objects, clock)
    one.take(wanted("one"))
    assert other.take(wanted("other")) == wanted("one")
    clock.now += LEASE - 1
    assert other.free(["v"]) == set()
    clock.now += 1
    assert other.free(["v"]) == {"v"}
    assert other.take(wanted("other")) is None
    assert claims(objects, clock).take(wanted("third")) == wanted("other")
    assert objects.names("claims") == ["claims/v"], "nothing else is left there"


def test_one_whose_process_is_gone_from_this_machine_is_taken_over_at_once(objects: Link, clock: Clock) -> None:
    claims(objects, clock).take(wanted("one"))
    other = SharedClaims(objects, lease=LEASE, is_there=lambda process: process.host != "host of one", clock=clock)
    assert other.take(wanted("other")) is None


def test_clocks_that_differ_do_not_matter(objects: Link, clock: Clock) -> None:
    ahead = Clock()
    ahead.now += 1e9
    claims(objects, clock).take(wanted("one"))
    assert claims(objects, ahead).take(wanted("other")) == wanted("one")


def test_of_many_that_take_over_one_succeeds(objects: Link, clock: Clock) -> None:
    claims(objects, clock).take(wanted("dead"))
    many = [claims(objects, clock) for _ in range(8)]
    for number, each in enumerate(many):
        assert each.take(wanted(f"r{number}")) == wanted("dead")
    clock.now += LEASE
    barrier = Barrier(len(many))

    def take(number: int) -> None:
        barrier.wait()
        many[number].take(wanted(f"r{number}"))

    threads = [Thread(target=take, args=(number,)) for number in range(len(many))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each.is_held("v") for each in many) == 1


def test_one_who_died_while_taking_over_is_followed_by_another(objects: Link, clock: Clock) -> None:
    claims(objects, clock).take(wanted("dead"))

    class Dies(Link):
        def fetch(self, names: Sequence[str]) -> Mapping[str, bytes]:
            found = super().fetch(names)
            if self.names("claims") != ["claims/v"]:
                raise KeyboardInterrupt
            return found

    other = claims(Dies(objects._place, read_only=False), clock)
    third = claims(objects, clock)
    other.take(wanted("other"))
    third.take(wanted("third"))
    clock.now += LEASE
    with pytest.raises(KeyboardInterrupt):
        other.take(wanted("other"))
    assert third.take(wanted("third")) is None or not third.is_held("v")
    clock.now += LEASE
    third.take(wanted("third"))
    assert third.is_held("v")


def test_who_has_slept_does_not_remove_the_claim_of_who_took_over(objects: Link, clock: Clock) -> None:
    one, other = claims(objects, clock), claims(objects, clock)
    one.take(wanted("one"))
    other.take(wanted("other"))
    clock.now += LEASE + 1
    other.take(wanted("other"))
    assert other.is_held("v")
    one.release("v")
    one.close()
    assert claims(objects, clock).take(wanted("third")) == wanted("other")


def test_a_place_that_takes_nothing_holds_nobody_up(tmp_path: Path, clock: Clock) -> None:
    read_only = claims(Link(place_at(str(tmp_path / "shared")), read_only=True), clock)
    assert read_only.take(wanted("one")) is None
    assert not read_only.is_held("v")


def test_a_damaged_claim_is_nobodys(objects: Link, clock: Clock, tmp_path: Path) -> None:
    claims(objects, clock).take(wanted("one"))
    (tmp_path / "shared" / "claims" / "v").write_bytes(b"garbage")
    other = claims(objects, clock)
    other.take(wanted("other"))
    assert other.is_held("v")
