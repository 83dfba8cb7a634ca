"""What happens in a run, told to listeners at once and to the catalog in batches."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memo.contracts.run_store import Materialization, Recipe, RunStore
    from memo.events import Event

_SECONDS_BETWEEN_WRITES = 0.05


class Recorder:
    """Keeps what is to be written until a batch is worth a transaction.

    What a kill loses is at most the last batch: of history, never of outputs, which the IO managers keep.

    Args:
        store: The catalog; None where the run leaves nothing behind.
        listen: Told every event as it happens.
    """

    def __init__(self, store: RunStore | None, listen: Callable[[Event], None]) -> None:
        self._store = store
        self._listen = listen
        self.events: list[Event] = []
        self._unwritten: list[Event] = []
        self._materializations: list[Materialization] = []
        self._sources: dict[str, str] = {}
        self._aliases: list[tuple[str, str, str, str, Recipe | None]] = []
        self._written_at = monotonic()

    def event(self, event: Event) -> None:
        """Tell and keep an event."""
        self.events.append(event)
        if self._store is not None:
            self._unwritten.append(event)
        self._listen(event)

    def materialization(self, materialization: Materialization, sources: dict[str, str]) -> None:
        """Keep that a step stored its outputs, with the source texts of its recipe."""
        self._materializations.append(materialization)
        self._sources.update(sources)

    def replacing(self, run_id: str, version: str) -> None:
        """Write at once, before it is done, that what is stored under a version is going to be replaced."""
        if self._store is not None:
            self._store.begin_replacing(run_id, [version])

    def aliases(self, aliases: Iterable[tuple[str, str, str, str, Recipe | None]]) -> None:
        """Keep that versions equal others by content: (run id, step key, version, stored version, recipe)."""
        self._aliases.extend(aliases)

    def write_if_due(self) -> None:
        """Write what has gathered, unless the last write was just now."""
        if monotonic() - self._written_at >= _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write what has gathered.

        Raises:
            HomeError: The catalog cannot be written to.
        """
        store = self._store
        if store is not None:
            if self._materializations:
                store.add_materializations(self._materializations, self._sources)
            if self._aliases:
                store.add_aliases(self._aliases)
            if self._unwritten:
                store.add_events(self._unwritten)
        self._materializations, self._sources, self._aliases, self._unwritten = [], {}, [], []
        self._written_at = monotonic()
