"""Single flight: what this run says it is running, and which of its steps wait because another run is running them.

A step is claimed when it could start, and never while something else is waited for: so no two runs wait for each other.
The claim of a run whose process is gone from this machine is worth nothing at once; that of one that hangs, or of which
nothing can be seen from here, when its lease has run out.

Where steps take next to no time, those that could start too are claimed with the one that does: as many as will have
begun in a moment, if they go on like those before. Where they do not, they are given back.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.run_store import Claim, Made
from memo.execution.processes import Process, is_there, this_process

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from memo.contracts.run_store import RunStore
    from memo.execution.shared_claims import SharedClaims

LEASE_SECONDS = 30.0
"""How long a claim holds that is not renewed."""

_RENEWALS = 3
"""How often a claim is renewed in the time of one lease."""

GRACE_SECONDS = 2.0
"""How long a lease of a process that is there must be seen to have run out: after a machine has slept, all have."""

_FIRST_LOOK = 0.02
_LONGEST_LOOK = 0.5
_FIRST_LOOK_ELSEWHERE = 0.5
_LONGEST_LOOK_ELSEWHERE = 3.0
_SLOWER = 1.5
"""Seconds between two looks at what others run, here and in other homes, and how they grow."""

_AHEAD_SECONDS = 0.05
_MOST_AHEAD = 250
"""For how long steps are claimed before they start, and how many at most."""

_WORTH_TELLING = 0.2
"""Seconds of waiting before it is told of: what has run is recorded in batches, and nearly all waits are for that."""


def forget_the_dead(store: RunStore) -> None:
    """End the claims of processes that are gone from this machine: nobody may ever want their versions again."""
    store.forget_claims([each for each in store.all_claims() if is_there(_holder(each)) is False])


def _holder(claim: Claim) -> Process:
    return Process(claim.host, claim.pid, claim.pid_started)


class _Waiting(Struct):
    """A step that another run is running.

    Attributes:
        told: The run that has been named as the one that is waited for.
        elsewhere: Whether it is a run of another home.
    """

    version: str
    holder: Claim
    since: float
    told: str = ""
    elsewhere: bool = False


class Claims:
    """The claims of one run, and its steps that wait for those of others.

    Args:
        store: The catalog.
        run_id: Of this run.
        within: The runs by whose steps this one was started: they wait for it, and must not be waited for.
        on_wait: Told a step and whose claim it waits for, once that is worth telling.
        lease: Seconds that a claim holds.
        shared: The claims that other homes see; None where there are none.
        process: This one.
        is_there: Whether a process runs; None where it cannot be seen.
        clock: Seconds that only grow.
        now: Seconds since 1970.
    """

    _runs = 0
    """How many there have been in this process."""

    def __init__(
        self,
        store: RunStore,
        run_id: str,
        *,
        within: Collection[str] = (),
        on_wait: Callable[[str, Claim], None],
        lease: float | None = None,
        shared: SharedClaims | None = None,
        process: Process | None = None,
        is_there: Callable[[Process], bool | None] = is_there,
        clock: Callable[[], float] = monotonic,
        now: Callable[[], float] = time,
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._within = within
        self._on_wait = on_wait
        self._lease = LEASE_SECONDS if lease is None else lease
        self._shared = shared
        self._process = process
        self._is_there = is_there
        self._clock = clock
        self._now = now
        self._mine: set[str] = set()
        self._ahead: set[str] = set()
        """What is claimed and has not started."""
        self._changing_ahead = Lock()
        self._began = 0
        """How many steps have started since something was claimed last."""
        self._claimed_at = self._clock()
        Claims._runs += 1
        self._runs_known = Claims._runs
        self._renew_at = 0.0
        self._waiting: dict[str, _Waiting] = {}
        self._look_at = 0.0
        self._pause = _FIRST_LOOK
        self._run_out: dict[Claim, float] = {}
        """When claims of processes that are there were first seen to have run out."""
        self._look_elsewhere_at = 0.0
        self._pause_elsewhere = _FIRST_LOOK_ELSEWHERE

    def take(
        self,
        key: str,
        version: str,
        since: int | None,
        *,
        shares: bool = False,
        next_up: Callable[[int], Iterable[tuple[str, str]]] | None = None,
    ) -> Claim | Made | None:
        """Claim a step's version just before it starts.

        Args:
            key: The step.
            version: Its version.
            since: The mark after which it may have been made by another run; None where that is no reason not to run.
            shares: Whether runs of other homes may want it too.
            next_up: Gives so many steps at most that could start after it, with their versions: of the same `since`,
                and no other home may want them.

        Returns:
            None where the step is to run; the claim that it waits for, until `look` gives it back; or which run has
            made it meanwhile.
        """
        if self.begin(version) and not shares:
            return None
        if next_up is not None and not shares and self._take_ahead(key, version, since, next_up):
            return None
        gone: Claim | None = None
        while True:
            now = self._now()
            wanted = self._claim(key, version, now)
            answer = self._store.claim(wanted, since=since, gone=gone)
            if isinstance(answer, Made):
                return answer
            if answer is wanted:
                if not self._mine:
                    self._renew_at = now + self._lease / _RENEWALS
                self._mine.add(version)
                self._began = 1
                self._claimed_at = self._clock()
                return self._take_elsewhere(key, wanted) if shares else None
            if answer.run_id in self._within:
                return None
            if not self._is_gone(answer):
                self._wait(key, answer)
                return answer
            gone = answer

    def _claim(self, key: str, version: str, now: float) -> Claim:
        process = self._process = self._process or this_process()
        return Claim(version, self._run_id, key, process.host, process.pid, process.started, now + self._lease)

    def begin(self, version: str) -> bool:
        """Start a step that was claimed ahead; False where it was not, or may have been made by a step's own run."""
        with self._changing_ahead:
            if self._runs_known != Claims._runs:
                self._runs_known = Claims._runs
                self._give_back()
            if version not in self._ahead:
                return False
            self._ahead.discard(version)
            self._mine.add(version)
            self._began += 1
            return True

    def _take_ahead(
        self, key: str, version: str, since: int | None, next_up: Callable[[int], Iterable[tuple[str, str]]]
    ) -> bool:
        """Claim a step with those that will start in a moment; False where something speaks against it."""
        passed = self._clock() - self._claimed_at
        room = int(min(self._began * _AHEAD_SECONDS / passed, _MOST_AHEAD)) if passed > 0 else 0
        if room < 2:
            return False
        now = self._now()
        steps = {version: key}
        for other, theirs in next_up(room - 1):
            steps.setdefault(theirs, other)
        with self._changing_ahead:
            wanted = [self._claim(each, theirs, now) for theirs, each in steps.items() if theirs not in self._ahead]
            self._ahead.update(self._store.claim_free(wanted, since=since))
            self._began = 0
            self._claimed_at = self._clock()
        if not self._mine:
            self._renew_at = now + self._lease / _RENEWALS
        return self.begin(version)

    def give_back_if_due(self) -> None:
        """Give back what was claimed ahead and should have started by now."""
        if self._ahead and self._clock() - self._claimed_at >= _AHEAD_SECONDS:
            with self._changing_ahead:
                self._give_back()

    def _give_back(self) -> None:
        if self._ahead:
            self._store.release_claims(self._run_id, self._ahead)
            self._ahead.clear()

    def _take_elsewhere(self, key: str, wanted: Claim) -> Claim | None:
        """Claim for all homes what has been claimed in this one; while another home has it, this one's claim stays."""
        holder = self._shared.take(wanted) if self._shared is not None else None
        if holder is None or holder.run_id in self._within:
            return None
        self._waiting[key] = _Waiting(wanted.version, holder, self._clock(), elsewhere=True)
        self._pause_elsewhere = _FIRST_LOOK_ELSEWHERE
        self._look_elsewhere_at = self._clock() + self._pause_elsewhere
        return holder

    def is_shared(self, version: str) -> bool:
        """Whether this run has claimed a version for all homes."""
        return self._shared is not None and self._shared.is_held(version)

    def stored(self, version: str | None) -> bool:
        """Take note that a version is stored, and say whether it was claimed; the claim ends when it is recorded."""
        if version is None or version not in self._mine:
            return False
        self._mine.discard(version)
        self._release_elsewhere([version])
        return True

    def _release_elsewhere(self, versions: Iterable[str]) -> None:
        if self._shared is not None:
            for version in versions:
                self._shared.release(version)

    def release(self, version: str | None) -> None:
        """End the claim on a version that was not stored, if there is one."""
        if version is not None and version in self._mine:
            self._mine.discard(version)
            self._release_elsewhere([version])
            self._store.release_claims(self._run_id, [version])

    def close(self) -> None:
        """End all claims that are left, as after an interrupt."""
        left = self._mine | self._ahead
        self._mine, self._ahead = set(), set()
        if self._shared is not None:
            self._shared.close()
        if left:
            self._store.release_claims(self._run_id, left)

    def renew_if_due(self) -> None:
        """Renew what is claimed when a part of the lease has passed; nothing is written where nothing is claimed."""
        now = self._now()
        if self._mine and now >= self._renew_at:
            self._store.renew_claims(self._run_id, now, now + self._lease)
            self._renew_at = now + self._lease / _RENEWALS
            if self._shared is not None:
                self._shared.renew()
        if self._shared is not None:
            self._shared.flush_if_due()

    # Waiting for others

    @property
    def has_waiting(self) -> bool:
        """Whether any step waits for another run."""
        return bool(self._waiting)

    @property
    def next_look(self) -> float | None:
        """When to look again at what is waited for, on the clock; None where nothing is."""
        times = [self._look_elsewhere_at if each.elsewhere else self._look_at for each in self._waiting.values()]
        return min(times) if times else None

    def look(self) -> list[str]:
        """Look, where it is time, and give the steps that need not wait any longer; they have to be claimed again."""
        free = self._look_elsewhere()
        here = {key: each for key, each in self._waiting.items() if not each.elsewhere}
        if not here or self._clock() < self._look_at:
            return free
        claims = self._store.claims([each.version for each in here.values()])
        for key, waiting in here.items():
            holder = claims.get(waiting.version)
            if holder is None or self._is_gone(holder):
                del self._waiting[key]
                free.append(key)
                continue
            waiting.holder = holder
            self._tell(key, waiting)
        self._pause = _FIRST_LOOK if free else min(self._pause * _SLOWER, _LONGEST_LOOK)
        self._look_at = self._clock() + self._pause
        return free

    def _look_elsewhere(self) -> list[str]:
        there = {key: each for key, each in self._waiting.items() if each.elsewhere}
        if not there or self._shared is None or self._clock() < self._look_elsewhere_at:
            return []
        free = self._shared.free([each.version for each in there.values()])
        found = [key for key, each in there.items() if each.version in free]
        for key, waiting in there.items():
            if waiting.version in free:
                del self._waiting[key]
            else:
                self._tell(key, waiting)
        grown = min(self._pause_elsewhere * _SLOWER, _LONGEST_LOOK_ELSEWHERE)
        self._pause_elsewhere = _FIRST_LOOK_ELSEWHERE if found else grown
        self._look_elsewhere_at = self._clock() + self._pause_elsewhere
        return found

    def _tell(self, key: str, waiting: _Waiting) -> None:
        if waiting.told != waiting.holder.run_id and self._clock() - waiting.since >= _WORTH_TELLING:
            waiting.told = waiting.holder.run_id
            self._on_wait(key, waiting.holder)

    def _wait(self, key: str, holder: Claim) -> None:
        self._waiting[key] = _Waiting(holder.version, holder, self._clock())
        self._pause = _FIRST_LOOK
        self._look_at = self._clock() + self._pause

    def _is_gone(self, claim: Claim) -> bool:
        """Whether a claim of another is worth nothing any more."""
        there = self._is_there(_holder(claim))
        if there is False:
            return True
        if self._now() < claim.lease_until:
            return False
        if there is None:
            return True
        return self._clock() - self._run_out.setdefault(claim, self._clock()) >= GRACE_SECONDS


__all__ = ["GRACE_SECONDS", "LEASE_SECONDS", "Claims", "forget_the_dead"]
