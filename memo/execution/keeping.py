"""The thread of a run that goes on while its steps do: it writes what has gathered, and renews what is claimed."""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread
from typing import TYPE_CHECKING

from memo.errors import HomeError

if TYPE_CHECKING:
    from memo.execution.claims import Claims
    from memo.execution.recording import Recorder

_TICK = 0.25
"""Seconds between two looks at what is due. Others wait so long at most to be told that a step is stored, where the
next one has begun."""


class Keeper:
    """Writes what is due, from the start of a run to its end, whatever its steps do.

    Args:
        recorder: Of the run.
        claims: Of the run.
        tick: Seconds between two looks.
    """

    def __init__(self, recorder: Recorder, claims: Claims, *, tick: float = _TICK) -> None:
        self._recorder = recorder
        self._claims = claims
        self._tick = tick
        self._ended = Event()
        self._thread = Thread(target=self._keep, name="memo keeper", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what is being written is."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _keep(self) -> None:
        while not self._ended.wait(self._tick):
            with suppress(HomeError):
                self._claims.renew_if_due()
                self._claims.give_back_if_due()
            # A strategy that is the user's may raise anything. What is not written stays gathered: the run itself finds
            # out when it writes, and ends with it.
            with suppress(Exception):
                self._recorder.write_if_due()


__all__ = ["Keeper"]
