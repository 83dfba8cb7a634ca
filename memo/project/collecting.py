"""Letting stored outputs go, the cheapest to make again first, and never what somebody needs."""

from __future__ import annotations

import os
from collections import Counter
from time import monotonic, time
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.inventory import UnnamedFile, Unreadable
from memo.errors import InvocationError
from memo.events import RunStatus
from memo.project.alive import RunsAlive, with_equals
from memo.project.holdings import HeldStep, home_io_manager, stored_bytes, take_stock
from memo.project.home import Home, opened_home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memo.catalog import Catalog
    from memo.contracts.inventory import InventoryIOManager
    from memo.contracts.run_store import RunUse

__all__ = ["Collection", "Eviction", "Limits", "collect_garbage"]

_BETWEEN_LOOKS = 0.5
"""Seconds after which it is looked again whether a run has begun."""

_MARGIN = 10.0
"""Seconds by which a file must be older than anything that goes on: its time of modification is a chosen one."""

NEEDED, KEPT, VOUCHED, YOUNG = (
    "a running run needs it",
    "a latest run used it",
    "it was adopted, or accepted as another's equal",
    f"it is of no output, and younger than {_MARGIN:.0f} s or than the oldest running run",
)


class Limits(Struct, frozen=True):
    """What a home may hold.

    Attributes:
        keep_runs: What so many of the latest runs of each job used stays, whatever the other limits say. Where there
            are none, all else goes. Of a job with fewer runs in the history nothing is let go.
        max_size: Bytes that the storage may take.
        older_than: Seconds after which goes what no run has used since.
        vouched: Whether what was adopted, or stands in the place of a version that was accepted as its equal, may go:
            running the step does not bring it back.
    """

    keep_runs: int | None = None
    max_size: int | None = None
    older_than: float | None = None
    vouched: bool = False


class Eviction(Struct, frozen=True):
    """A step's outputs that are let go.

    Attributes:
        seconds: What making them again costs; 0 where nothing could reuse them, None where that is not known, or they
            cannot be made again.
    """

    step: HeldStep
    seconds: float | None


class Collection(Struct, frozen=True):
    """What was let go, or would be.

    Attributes:
        evicted: In the order in which it went.
        unnamed: Files that belonged to no output.
        runs: Those whose logs and events were removed.
        logs: Bytes of their logs.
        before: Bytes in the storage before.
        after: Bytes in the storage after.
        kept: Why what else might have gone stays -> bytes.
        is_met: Whether the storage takes no more than it may.
        shared: Of how many of the evicted the shared place has the outputs too: they are fetched when they are read.
        unreadable: What could not be read, and stays with all that may belong to it.
    """

    evicted: tuple[Eviction, ...]
    unnamed: tuple[UnnamedFile, ...]
    runs: tuple[str, ...]
    logs: int
    before: int
    after: int
    kept: dict[str, int]
    is_met: bool
    shared: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def seconds(self) -> float:
        """What making all again costs, as far as that is known."""
        return sum(each.seconds or 0.0 for each in self.evicted)


def collect_garbage(
    limits: Limits,
    *,
    instance: Home | str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    on_evict: Callable[[Eviction], None] | None = None,
) -> Collection:
    """Bring a home within limits: let stored outputs go, files that belong to none, and logs and events of old runs.

    What running runs need stays, those of other processes too. A run that begins meanwhile may find something gone that
    it was about to reuse: it makes it again. Of what is let go, the catalog still knows what it was: what only read it
    is reused, and nothing is made again that nothing needs.

    Args:
        limits: What may stay.
        instance: The home; found from the current folder where left out.
        dry_run: Only say what would go.
        on_evict: Told each eviction when it is done.

    Raises:
        InvocationError: There is no limit.
        MemoError: The home cannot be read or written.
    """
    if limits.keep_runs is None and limits.max_size is None and limits.older_than is None:
        raise InvocationError("there is no limit: give at least one of keep_runs, max_size and older_than")
    with opened_home(instance) as home:
        if not dry_run and home.path.exists():
            home.make()
        return _Collecting(home, limits, on_evict).carry_out(dry_run=dry_run)


class _Collecting:
    """One collection of one home."""

    def __init__(self, home: Home, limits: Limits, on_evict: Callable[[Eviction], None] | None) -> None:
        self._home = home
        self._catalog: Catalog = home.catalog
        self._limits = limits
        self._on_evict = on_evict
        self._now = time()
        self._uses = self._catalog.run_uses()
        self._alive = RunsAlive(self._catalog, self._uses)
        # After the runs: what a run stores that began since is newer than what was looked at.
        self._holdings = take_stock(home)
        # Signed with another key or not at all, and so of no use now: within the same limits as all else.
        self._steps = (*self._holdings.steps, *self._holdings.untrusted)
        self._status = {use.run_id: use.status for use in self._uses}
        self._runs = Counter(use.job_name for use in self._uses)

    def carry_out(self, *, dry_run: bool) -> Collection:
        reasons = self._reasons_to_stay()
        unnamed = self._unnamed()
        chosen = self._chosen(reasons, self._holdings.size - sum(each.size for each in unnamed))
        runs = self._runs_to_forget()
        logs = {run_id: _bytes_of_logs(self._home, run_id) for run_id in runs}
        io_manager = home_io_manager(self._home)
        evicted = chosen if dry_run else self._evict(io_manager, chosen)
        if not dry_run:
            io_manager.remove_unnamed(unnamed)
        has_events = {use.run_id for use in self._uses if use.has_events}
        gone = tuple([run_id for run_id in runs if logs[run_id] is not None or run_id in has_events])
        if not dry_run:
            self._forget(gone)
            after = stored_bytes(self._home)  # counted: others may store and let go meanwhile
        else:
            freed = sum(each.size for each in unnamed)
            after = self._holdings.size - freed - sum(each.step.size for each in evicted)
        return Collection(
            tuple(evicted),
            unnamed,
            gone,
            sum(logs[run_id] or 0 for run_id in gone),
            self._holdings.size,
            after,
            self._kept(reasons, unnamed),
            self._limits.max_size is None or after <= self._limits.max_size,
            shared=self._shared(evicted),
            unreadable=self._holdings.unreadable,
        )

    def _shared(self, evicted: Sequence[Eviction]) -> int:
        if self._home.storage.remote is None:
            return 0
        return len(self._catalog.shared([each.step.version for each in evicted if each.step.version is not None]))

    # What stays

    def _reasons_to_stay(self) -> dict[int, str]:
        """By the place of a step among what is held: why it stays whatever the limits say."""
        latest = self._latest_runs()
        names = {use.version_set for use in latest if use.version_set is not None}
        versions = {version for found in self._catalog.version_sets(names).values() for version in found}
        kept = with_equals(self._catalog, versions) if versions else set[str]()
        kept_ids = {use.run_id for use in latest}
        vouched = self._vouched()
        found: dict[int, str] = {}
        for place, step in enumerate(self._steps):
            if step.version in self._alive.versions or step.run_id in self._alive.ids:
                found[place] = NEEDED
            elif step.version in kept or (step.run_id in kept_ids) or self._has_few_runs(step.job_name):
                found[place] = KEPT
            elif place in vouched:
                found[place] = VOUCHED
        return found

    def _latest_runs(self) -> list[RunUse]:
        """The runs of each job that are kept."""
        seen: Counter[str] = Counter()
        latest: list[RunUse] = []
        for use in self._uses:
            seen[use.job_name] += 1
            if seen[use.job_name] <= (self._limits.keep_runs or 0):
                latest.append(use)
        return latest

    def _has_few_runs(self, job_name: str) -> bool:
        """Whether the history does not reach back as far as runs are kept: then what they used is not known."""
        return self._runs[job_name] < (self._limits.keep_runs or 0)

    def _vouched(self) -> set[int]:
        """What stands on somebody's word, and does not come back when the step runs."""
        if self._limits.vouched:
            return set()
        words = {*self._catalog.adopted(), *self._catalog.accepted().values()}
        adopted = [step.version for step in self._steps if step.adopted and step.version is not None]
        known = self._catalog.content_digests(adopted)
        words.update(version for version in adopted if version not in known)
        words = with_equals(self._catalog, words) if words else words
        return {place for place, step in enumerate(self._steps) if step.version in words}

    def _kept(self, reasons: Mapping[int, str], unnamed: Sequence[UnnamedFile]) -> dict[str, int]:
        kept: dict[str, int] = {}
        for place, reason in reasons.items():
            kept[reason] = kept.get(reason, 0) + self._steps[place].size
        young = sum(each.size for each in self._holdings.unnamed) - sum(each.size for each in unnamed)
        return {**kept, YOUNG: young} if young else kept

    # What goes

    def _chosen(self, reasons: Mapping[int, str], size: int) -> list[Eviction]:
        """What is to go, the cheapest to make again for its bytes first."""
        free = [Eviction(step, self._cost(step)) for place, step in enumerate(self._steps) if place not in reasons]
        free.sort(key=_worth)
        limits = self._limits
        if limits.max_size is None and limits.older_than is None:
            return free
        chosen: list[Eviction] = []
        rest: list[Eviction] = []
        for each in free:
            is_old = limits.older_than is not None and self._now - each.step.used_at > limits.older_than
            (chosen if is_old else rest).append(each)
        size -= sum(each.step.size for each in chosen)
        if limits.max_size is not None:
            for each in rest:
                if size <= limits.max_size:
                    break
                chosen.append(each)
                size -= each.step.size
        return chosen

    def _cost(self, step: HeldStep) -> float | None:
        if step.version is None and self._status.get(step.run_id or "") is RunStatus.SUCCESS:
            return 0.0  # no run reuses it, and there is nothing to go on with
        return None if step.adopted else step.seconds

    def _unnamed(self) -> tuple[UnnamedFile, ...]:
        """Files of no output that nobody can be writing."""
        since = min(self._now, self._alive.since or self._now) - _MARGIN
        return tuple(
            [each for each in self._holdings.unnamed if each.written_at is not None and each.written_at < since]
        )

    def _runs_to_forget(self) -> list[str]:
        limits = self._limits
        if limits.keep_runs is None and limits.older_than is None:
            return []
        latest = {use.run_id for use in self._latest_runs()}
        return [
            use.run_id
            for use in self._uses
            if use.run_id not in latest
            and use.run_id not in self._alive.ids
            and (limits.older_than is None or self._now - use.started_at > limits.older_than)
        ]

    def _evict(self, io_manager: InventoryIOManager, chosen: Sequence[Eviction]) -> list[Eviction]:
        done: list[Eviction] = []
        alive, look_at = self._alive, 0.0
        for each in chosen:
            if monotonic() >= look_at:
                alive = RunsAlive(self._catalog, self._catalog.run_uses())
                look_at = monotonic() + _BETWEEN_LOOKS
            if each.step.version in alive.versions or each.step.run_id in alive.ids:
                continue
            # All, whatever is gone already: one that stays is of no use alone.
            removed = [io_manager.discard(stored) for stored in each.step.stored]
            if any(removed):
                done.append(each)
                if self._on_evict is not None:
                    self._on_evict(each)
        return done

    def _forget(self, runs: Sequence[str]) -> None:
        from shutil import rmtree

        for run_id in runs:
            rmtree(self._home.logs_dir(run_id), ignore_errors=True)
        self._catalog.forget_events(runs)
        if runs and not self._alive.running:
            self._catalog.shrink()


def _worth(eviction: Eviction) -> tuple[float, float]:
    """How dear a byte of it is to make again; of equal ones, how long ago it was used."""
    seconds = eviction.seconds
    dear = float("inf") if seconds is None else seconds / max(1, eviction.step.size)
    return dear, eviction.step.used_at


def _bytes_of_logs(home: Home, run_id: str) -> int | None:
    """What the logs of a run take; None where there are none."""
    folder = home.logs_dir(run_id)
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except OSError:
        return None
