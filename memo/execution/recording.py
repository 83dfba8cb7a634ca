"""What happens in a run, told to listeners at once and to the catalog in batches."""

from __future__ import annotations

from itertools import chain
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.events import Event, EventType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from memo.contracts.run_store import Materialization, Recipe, RunStore
    from memo.execution.sharing import SharedHistory
    from memo.planning import Reason, StepPlan
    from memo.versioning import Recipes

_SECONDS_BETWEEN_WRITES = 0.1


class _Batch:
    """What has gathered since the last write, but for events."""

    def __init__(self) -> None:
        self.materializations: list[Materialization] = []
        self.claimed: set[str] = set()
        self.aliases: list[tuple[str, str, str, str, Recipe | None]] = []

    def write(self, store: RunStore, shared: SharedHistory | None, recipes: Recipes | None) -> None:
        """Write it; what has been written is not written again if a later part fails."""
        if self.materializations:
            # Taken apart here and not when each step ends: one after another, they take two thirds of the time.
            sources: dict[str, str] = {}
            made = self.materializations
            if recipes is not None:
                made = [replace(each, recipe=recipes.of(each.step_key, sources)) for each in made]
            store.add_materializations(made, sources, claimed=self.claimed)
            if shared is not None:
                shared.add(made, sources)
            self.materializations = []
        if self.aliases:
            store.add_aliases(self.aliases)
            if shared is not None:
                shared.add(aliases=[alias for _, *alias in self.aliases])
            self.aliases = []


def told_of_reuse(reason: Reason, stored_as: str | None, version: str | None) -> dict[str, Any]:
    """What the event of a step that is reused tells of it."""
    return {"reason": reason._value_, "stored_as": stored_as, "version": version}  # `value` is a function of Python


class PlannedReuse:
    """The events of the steps that a plan reuses, all of one moment.

    They are made each time somebody goes through them: the plan has all that they tell, they are nearly all events of
    a run with little to do, and then nobody may ask for them.
    """

    def __init__(self, run_id: str, at: float, steps: Sequence[StepPlan]) -> None:
        self._run_id = run_id
        self._at = at
        self._steps = steps

    def __iter__(self) -> Iterator[Event]:
        kind, run_id, at = EventType.STEP_REUSED, self._run_id, self._at
        for step in self._steps:
            yield Event(kind, run_id, at, step.key, 0, "", told_of_reuse(step.reason, step.stored_as, step.version))


class Recorder:
    """Keeps what is to be written until a batch is worth a transaction.

    What a kill loses is at most the last batch: of history, never of outputs, which the IO managers keep. Any thread
    may tell and write.

    Args:
        store: The catalog; None where the run leaves nothing behind.
        listen: Told every event as it happens.
        shared: Told what has been recorded, where it is shared with other homes.
        recipes: Of the plan's versions; None without memoization.
    """

    def __init__(
        self,
        store: RunStore | None,
        listen: Callable[[Event], None],
        shared: SharedHistory | None = None,
        recipes: Recipes | None = None,
    ) -> None:
        self._store = store
        self._listen = listen
        self._shared = shared
        self._recipes = recipes
        self._told: list[Iterable[Event]] = []
        """As they were told: what was told together is one entry."""
        self._written = 0
        """How many of these entries have been."""
        self._batch = _Batch()
        self._gathering = Lock()
        self._writing = Lock()
        self._written_at = monotonic()

    def tell(self, *events: Event) -> None:
        """Tell and keep events, in order."""
        self.tell_all(events)

    def tell_all(self, events: Iterable[Event]) -> None:
        """Tell and keep events that can be gone through again, in order."""
        self._told.append(events)
        for event in events:
            self._listen(event)

    @property
    def events(self) -> Iterator[Event]:
        """All events so far, in order."""
        return chain.from_iterable(self._told)

    def materialization(self, materialization: Materialization, *, claimed: bool = False) -> None:
        """Keep that a step stored its outputs; it is written with its recipe, and its claim ends with it."""
        with self._gathering:
            self._batch.materializations.append(materialization)
            if claimed and materialization.version is not None:
                self._batch.claimed.add(materialization.version)

    def replacing(self, run_id: str, version: str, *, shares: bool = False) -> None:
        """Write at once, before it is done, that what is stored under a version is going to be replaced.

        Args:
            run_id: Of the run.
            version: Of the step.
            shares: Whether it is going to be replaced in the shared place too.
        """
        if self._store is not None:
            self._store.begin_replacing(run_id, [version])
        if self._shared is not None and shares:
            self._shared.replacing([version])

    def aliases(self, aliases: Iterable[tuple[str, str, str, str, Recipe | None]]) -> None:
        """Keep that versions equal others by content: (run id, step key, version, stored version, recipe)."""
        with self._gathering:
            self._batch.aliases.extend(aliases)

    def write_if_due(self) -> None:
        """Write what has gathered, unless the last write was just now."""
        if monotonic() - self._written_at >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write what has gathered.

        Raises:
            HomeError: The catalog cannot be written to. What was to be written is kept for the next time.
        """
        with self._writing:
            with self._gathering:
                batch, self._batch = self._batch, _Batch()
            try:
                if self._store is not None:
                    batch.write(self._store, self._shared, self._recipes)
                    self._write_events(self._store)
            except BaseException:
                self._put_back(batch)
                raise
            finally:
                self._written_at = monotonic()

    def _write_events(self, store: RunStore) -> None:
        told = self._told[self._written :]
        if told:
            store.add_events(chain.from_iterable(told))
            self._written += len(told)

    def _put_back(self, batch: _Batch) -> None:
        with self._gathering:
            later, self._batch = self._batch, batch
            batch.materializations += later.materializations
            batch.claimed |= later.claimed
            batch.aliases += later.aliases
