"""Claims of a run: whose counts, for how long, and who waits."""

from __future__ import annotations

import os
import subprocess
import sys
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from memo.catalog import Catalog
from memo.contracts.run_store import Claim, Made, Materialization, OutputRecord
from memo.errors import HomeError
from memo.events import Event, EventType
from memo.execution.claims import GRACE_SECONDS, LEASE_SECONDS, Claims
from memo.execution.keeping import Keeper
from memo.execution.processes import Process, is_there, may_still_run, processes_with, this_process
from memo.execution.recording import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class World:
    """A clock, processes that live or do not, and a catalog."""

    def __init__(self, path: Path) -> None:
        self.catalog = Catalog.open(path)
        self.seconds = 0.0
        self.jumped = 1000.0
        self.there: dict[int, bool | None] = {}
        self.told: list[tuple[str, str, str]] = []

    def claims(self, run_id: str, pid: int, within: tuple[str, ...] = ()) -> Claims:
        self.there[pid] = True
        return Claims(
            self.catalog,
            run_id,
            within=within,
            on_wait=lambda key, claim: self.told.append((run_id, key, claim.run_id)),
            process=Process("desk", pid, "1"),
            is_there=lambda process: self.there[process.pid],
            clock=lambda: self.seconds,
            now=lambda: self.jumped + self.seconds,
        )

    def wait(self, claims: Claims, seconds: float) -> list[str]:
        """Look whenever it is time to, for so long or until something is free."""
        end = self.seconds + seconds
        while self.seconds < end:
            assert claims.next_look is not None
            self.seconds = max(self.seconds, claims.next_look)
            free = claims.look()
            if free:
                return free
        return []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "catalog.db")
    yield world
    world.catalog.close()


def made(run_id: str, version: str = "v") -> Materialization:
    return Materialization(run_id, "job", "a", (OutputRecord("result", content_digest="d"),), version)


def test_a_held_step_waits_until_it_is_made(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    assert one.take("a", "v", 0) is None
    held = two.take("b", "v", 0)

    assert isinstance(held, Claim)
    assert (held.run_id, held.pid, held.step_key) == ("r1", 1, "a")
    assert two.has_waiting
    assert not one.has_waiting
    assert world.wait(two, 5) == []
    assert one.stored("v")
    world.catalog.add_materializations([made("r1")], {}, claimed=["v"])
    assert world.wait(two, 1) == ["b"]
    assert not two.has_waiting
    assert two.next_look is None
    assert two.take("b", "v", 0) == Made("r1", 1)
    assert two.take("b", "v", 1) is None


def quick(world: World, claims: Claims, steps: int) -> list[str]:
    """Take one step, and then another a moment later, with so many that could start after it; gives what is claimed."""
    versions = [f"v{number}" for number in range(steps)]
    assert claims.take("first", "first", 0) is None
    world.seconds += 0.001
    assert claims.take("v0", "v0", 0, next_up=lambda most: [(each, each) for each in versions[1:][:most]]) is None
    return sorted(world.catalog.claims(versions))


def test_quick_steps_are_claimed_many_at_a_time(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    two.take("theirs", "v3", 0)
    claimed = quick(world, one, 6)

    assert claimed == ["v0", "v1", "v2", "v3", "v4", "v5"]
    writes = world.catalog.release_claims
    world.catalog.release_claims = lambda *_: pytest.fail("nothing is to be written")  # type: ignore[method-assign]
    assert [one.take(each, each, 0) for each in ("v1", "v2", "v4", "v5")] == [None] * 4
    world.catalog.release_claims = writes  # type: ignore[method-assign]
    held = one.take("v3", "v3", 0)
    assert isinstance(held, Claim)
    assert held.run_id == "r2"
    assert all(one.stored(each) for each in ("first", "v0", "v1", "v2", "v4", "v5"))


def test_steps_that_take_their_time_are_claimed_one_by_one(world: World) -> None:
    claims = world.claims("r1", 1)
    claims.take("first", "first", 0)
    world.seconds += 1.0

    claims.take("v0", "v0", 0, next_up=lambda _: pytest.fail("no other is to be claimed"))
    assert sorted(world.catalog.claims(["v0", "v1"])) == ["v0"]


def test_what_did_not_start_as_soon_as_was_thought_is_given_back(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    quick(world, one, 3)
    one.give_back_if_due()
    assert isinstance(two.take("v1", "v1", 0), Claim)
    world.seconds += 1.0
    one.give_back_if_due()

    assert world.wait(two, 1.0) == ["v1"]
    assert two.take("v1", "v1", 0) is None
    assert isinstance(one.take("v1", "v1", 0), Claim)
    assert one.take("v2", "v2", 0) is None


def test_a_run_that_a_step_starts_may_make_what_was_claimed_ahead(world: World) -> None:
    outer = world.claims("r1", 1)
    quick(world, outer, 3)
    inner = world.claims("r2", 1, within=("r1",))
    assert inner.take("a", "v1", 0) is None
    world.catalog.add_materializations([made("r2", "v1")], {})

    assert outer.take("v1", "v1", 0) == Made("r2", 1)
    assert outer.take("v2", "v2", 0) is None


def test_what_was_claimed_ahead_is_free_when_the_run_ends(world: World) -> None:
    claims = world.claims("r1", 1)
    claimed = quick(world, claims, 3)
    claims.close()

    assert claimed == ["v0", "v1", "v2"]
    assert world.catalog.claims(claimed) == {}


def test_waiting_is_told_once_a_holder_and_only_when_it_lasts(world: World) -> None:
    one, two, three = world.claims("r1", 1), world.claims("r2", 2), world.claims("r3", 3)
    one.take("a", "v", 0)
    two.take("b", "v", 0)

    world.wait(two, 0.1)
    assert world.told == []
    world.wait(two, 5)
    assert world.told == [("r2", "b", "r1")]
    one.release("v")
    three.take("c", "v", 0)
    world.wait(two, 2)
    assert world.told == [("r2", "b", "r1"), ("r2", "b", "r3")]


def test_looks_grow_rarer_up_to_half_a_second(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    one.take("a", "v", 0)
    two.take("b", "v", 0)
    pauses = []
    for _ in range(20):
        assert two.next_look is not None
        pauses.append(two.next_look - world.seconds)
        world.seconds = two.next_look
        two.look()

    assert pauses[0] < 0.05
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(0.5)
    # Before it is time, nothing is asked.
    world.catalog.close()
    assert two.look() == []


def test_a_dead_holder_is_found_at_once(world: World) -> None:
    one, two, three = world.claims("r1", 1), world.claims("r2", 2), world.claims("r3", 3)
    one.take("a", "v", 0)
    two.take("b", "v", 0)
    world.there[1] = False

    begun = world.seconds
    assert world.wait(two, 5) == ["b"]
    assert world.seconds - begun <= 0.5
    assert two.take("b", "v", 0) is None
    # The next does not wait for the dead one either, but for who took over.
    held = three.take("c", "v", 0)
    assert isinstance(held, Claim)
    assert held.run_id == "r2"


def test_what_a_killed_run_left_is_taken_over_without_waiting(world: World) -> None:
    world.claims("r1", 1).take("a", "v", 0)
    world.there[1] = False

    assert world.claims("r2", 2).take("b", "v", 0) is None
    assert world.catalog.claims(["v"])["v"].run_id == "r2"


def test_one_that_hangs_is_waited_for_until_its_lease_has_run_out(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    one.take("a", "v", 0)
    two.take("b", "v", 0)

    assert world.wait(two, LEASE_SECONDS + GRACE_SECONDS - 1) == []
    assert world.wait(two, 2.5) == ["b"]
    assert two.take("b", "v", 0) is None


def test_of_one_that_cannot_be_seen_the_lease_counts(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    one.take("a", "v", 0)
    world.there[1] = None
    two.take("b", "v", 0)

    assert world.wait(two, LEASE_SECONDS - 1) == []
    assert world.wait(two, 1.6) == ["b"]


def test_after_a_sleep_of_the_machine_nobody_is_robbed(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    one.take("a", "v", 0)
    two.take("b", "v", 0)
    # The clock on the wall went on, the other stood still; all leases have run out, all processes are there.
    world.jumped += 8 * 3600

    assert world.wait(two, GRACE_SECONDS / 2) == []
    one.renew_if_due()
    assert world.wait(two, LEASE_SECONDS - 1) == []


def test_claims_are_renewed_while_there_are_any_and_nothing_is_written_else(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    one.take("a", "v", 0)
    one.take("b", "w", 0)
    two.take("c", "v", 0)
    for _ in range(50):
        world.seconds += 5
        one.renew_if_due()
        two.look()
    assert two.has_waiting
    leases = {each.lease_until for each in world.catalog.claims(["v", "w"]).values()}
    assert len(leases) == 1
    assert leases.pop() > world.jumped + world.seconds

    one.stored("v")
    one.release("w")
    world.catalog.close()
    world.seconds += 1000
    one.renew_if_due()
    two.renew_if_due()


def test_a_claim_that_was_lost_is_not_renewed_for_the_one_that_has_it(world: World) -> None:
    one, two = world.claims("r1", 1), world.claims("r2", 2)
    one.take("a", "v", 0)
    world.seconds += LEASE_SECONDS + 1
    world.there[1] = None
    two.take("b", "v", 0)
    before = world.catalog.claims(["v"])

    one.renew_if_due()

    assert world.catalog.claims(["v"]) == before
    assert before["v"].run_id == "r2"
    one.close()
    assert world.catalog.claims(["v"]) == before


def test_closing_ends_what_is_left(world: World) -> None:
    one = world.claims("r1", 1)
    for version in "uvw":
        one.take("a", version, 0)
    one.stored("u")
    one.close()
    one.close()

    assert set(world.catalog.claims(list("uvw"))) == {"u"}
    assert not one.stored("v")


def test_the_run_that_this_one_was_started_by_is_not_waited_for(world: World) -> None:
    world.claims("outer", 1).take("a", "v", 0)
    inner = world.claims("inner", 2, within=("outer",))

    assert inner.take("a", "v", 0) is None
    assert not inner.has_waiting
    assert not inner.stored("v")
    assert world.catalog.claims(["v"])["v"].run_id == "outer"


# Processes


def test_this_process_is_there() -> None:
    here = this_process()

    assert here == this_process()
    assert here.pid == os.getpid()
    assert is_there(here) is True


@pytest.mark.skipif(sys.platform != "linux", reason="the state of processes is read from /proc")
def test_a_killed_process_is_gone_even_before_its_parent_has_asked() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    there = replace(this_process(), pid=process.pid, started="")
    assert is_there(there) is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert is_there(there) is False
    process.communicate()
    assert is_there(there) is False


@pytest.mark.skipif(sys.platform != "linux", reason="the start of processes is read from /proc")
def test_another_process_under_the_same_number_is_another() -> None:
    here = this_process()

    assert here.started
    assert is_there(replace(here, started=str(int(here.started) + 1))) is False
    assert is_there(replace(here, started="")) is True


def test_of_another_machine_nothing_is_known() -> None:
    assert is_there(replace(this_process(), host="another")) is None


# The thread


class Refusing(Catalog):
    """A catalog that takes no materializations while its disk is full."""

    is_full = True
    was_asked = False

    def add_materializations(self, *given: Any, **more: Any) -> None:
        if self.is_full:
            self.was_asked = True
            raise HomeError("the catalog's disk is full")
        super().add_materializations(*given, **more)


def until(found: Callable[[], object]) -> None:
    end = monotonic() + 30
    while not found():
        assert monotonic() < end, "it did not happen"
        sleep(0.002)


def test_what_has_gathered_is_written_and_claims_renewed_while_a_step_runs(world: World) -> None:
    recorder = Recorder(world.catalog, lambda _event: None)
    claims = world.claims("r1", 1)
    claims.take("a", "v", 0)
    claims.take("b", "w", 0)
    first = world.catalog.claims(["w"])["w"].lease_until
    keeper = Keeper(recorder, claims, tick=0.01)
    keeper.start()
    try:
        claims.stored("v")
        recorder.materialization(made("r1"), claimed=True)
        recorder.tell(Event(EventType.LOG, "r1", 1.0, "a", message="on the way"))
        world.seconds = LEASE_SECONDS / 2
        until(lambda: world.catalog.content_digests(["v"]))
        until(lambda: world.catalog.events("r1"))
        until(lambda: world.catalog.claims(["w"])["w"].lease_until > first)
    finally:
        keeper.stop()

    assert set(world.catalog.claims(["v", "w"])) == {"w"}


def test_what_cannot_be_written_is_kept_and_the_run_finds_out(world: World, tmp_path: Path) -> None:
    heard: list[Event] = []
    catalog = Refusing.open(tmp_path / "catalog.db")
    recorder = Recorder(catalog, heard.append)
    keeper = Keeper(recorder, world.claims("r1", 1), tick=0.001)
    recorder.tell(Event(EventType.LOG, "r1", 1.0, "a"))
    recorder.materialization(made("r1"), claimed=True)
    keeper.start()
    until(lambda: catalog.was_asked)
    keeper.stop()

    with pytest.raises(HomeError, match="disk is full"):
        recorder.write()
    catalog.is_full = False
    recorder.write()
    recorder.write()
    catalog.close()
    assert world.catalog.content_digests(["v"]) == {"v": {"result": "d"}}
    assert len(world.catalog.events("r1")) == len(heard) == 1


# Which process is which


def test_a_number_that_was_given_again_is_another_process() -> None:
    pid, now = os.getpid(), time()
    assert may_still_run(pid, now)
    assert not may_still_run(pid, now - 30 * 86400)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not may_still_run(ended.pid, now)


def test_who_has_a_file_open_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with path.open() as mine:
        assert mine.readable()
        assert processes_with(str(path)) == []
        with subprocess.Popen(
            [sys.executable, "-c", f"file = open({str(path)!r}); print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout is not None
            other.stdout.readline()
            assert processes_with(str(path)) == [other.pid]
            other.communicate(b"\n")
    assert processes_with(str(path)) == processes_with(str(tmp_path / "none")) == []
