"""A run as it goes: a line for what runs, one for all that is reused, a live display on a terminal."""

from __future__ import annotations

import os
import sys
from time import monotonic
from typing import TYPE_CHECKING

from memo.cli.text import seconds_text, styled, tell
from memo.cli.verdicts import plan_text, reason_text, warning_lines
from memo.events import EventType
from memo.planning import Reason, Verdict

if TYPE_CHECKING:
    from memo.cli.live import LiveScreen
    from memo.cli.undeclared import Undeclared
    from memo.events import ErrorInfo, Event
    from memo.planning import Plan

_FEW = 20
"""In a job of so many steps at most, each step that is reused gets a line of its own."""


class Progress:
    """Follows a run and tells of it on standard error.

    Args:
        workers: How many steps run at once, as far as is known: the time left is told by it.
        verbose: A line for every step, when it starts and when it is reused too.
    """

    def __init__(self, *, workers: int = 1, verbose: bool = False) -> None:
        self.workers = workers
        self.stream = sys.stderr
        """As it is now: while a step runs, what it prints is kept, and what is told of it is none of that."""
        self.run_id: str | None = None
        self.plan: Plan | None = None
        self.undeclared: Undeclared | None = None
        """Gathers what steps read that their versions do not cover; None to tell nothing of that."""
        self.running: dict[str, float] = {}
        """When each running step started, on the monotonic clock."""
        self.waiting: dict[str, str] = {}
        """For each step that waits for another run: the id of that run, and its process."""
        self.to_end: dict[str, float | None] = {}
        """The steps that are still to end, with the seconds they are expected to take."""
        self._chains: dict[str, float] | None = None
        self._verbose = verbose
        self._each = verbose
        self._screen: LiveScreen | None = None
        self._tell = {
            EventType.STEP_START: self._started,
            EventType.STEP_RESTARTED: self._started,
            EventType.STEP_SUCCESS: self._succeeded,
            EventType.STEP_FAILURE: self._failed,
            EventType.STEP_UP_FOR_RETRY: self._up_for_retry,
            EventType.STEP_WAITING: self._waits,
            EventType.STEP_REUSED: self._reused,
            EventType.STEP_SKIPPED: self._skipped,
            EventType.STEP_CANCELED: self._canceled,
            EventType.OUTPUT_LOST: self._lost,
            EventType.UNDECLARED_READ: self._read,
            EventType.LOG: self._logged,
        }

    def begin(self, plan: Plan, run_id: str) -> None:
        """Take the plan of a run; of a second one where a failed run is started again."""
        again = self.run_id is not None
        if again:
            self.end()
            self.line(f"run {self.run_id} failed; it is started again as run {run_id}")
        self.plan, self.run_id = plan, run_id
        self._chains = None
        self._each = self._verbose or len(plan.steps) <= _FEW
        self.to_end = {}
        if plan.is_null:
            self._warn(plan)
            return
        may_run = {Verdict.RUN, Verdict.MAYBE}
        self.to_end = {key: step.seconds for key, step in plan.steps.items() if step.verdict in may_run}
        self.line(f"run {run_id}: {plan_text(plan)}")
        self._warn(plan)
        if self.stream.isatty() and os.environ.get("TERM") != "dumb":
            from memo.cli.live import LiveScreen

            self._screen = LiveScreen(self)

    def _warn(self, plan: Plan) -> None:
        """Warn of what is no matter of single steps; what these read is told when they end."""
        if self.undeclared is not None:
            self.undeclared.begin(plan, self.run_id or "")
        for line in warning_lines(plan):
            self.line(line, "yellow")

    def end(self) -> None:
        """Take the live display away."""
        if self._screen is not None:
            self._screen.close()
            self._screen = None
        self.running.clear()
        self.waiting.clear()

    def line(self, text: str, style: str | None = None) -> None:
        """Tell a line."""
        if self._screen is not None:
            self._screen.line(styled(text, style, self.stream))
        else:
            tell(text, style, self.stream)

    def listen(self, event: Event) -> None:
        """Take an event as it happens."""
        act = self._tell.get(event.kind)
        if act is not None and event.step_key is not None:
            act(event.step_key, event)

    def _why(self, key: str) -> str:
        assert self.plan is not None
        step = self.plan.steps.get(key)
        if step is None or not self.plan.memoized:
            return ""
        return f" ({reason_text(step)})"

    def _ended(self, key: str) -> None:
        self.running.pop(key, None)
        self.waiting.pop(key, None)
        self.to_end.pop(key, None)
        if self._screen is not None:
            self._screen.changed()

    def _started(self, key: str, event: Event) -> None:
        self.waiting.pop(key, None)
        self.running[key] = monotonic()
        if self._verbose:
            self.line(f"{key}: {'started' if event.attempt == 0 else f'attempt {event.attempt + 1}'}")

    def _succeeded(self, key: str, event: Event) -> None:
        self._ended(key)
        self.line(f"{key}: ran in {seconds_text(event.data.get('seconds', 0.0))}{self._why(key)}")
        self._tell_undeclared(key)

    def _failed(self, key: str, event: Event) -> None:
        self._ended(key)
        seconds = event.data.get("seconds")
        after = f" after {seconds_text(seconds)}" if seconds is not None else ""
        self.line(f"{key}: failed{after}: {error_text(event.error, event.message)}", "red")
        self._tell_undeclared(key)

    def _read(self, _key: str, event: Event) -> None:
        if self.undeclared is not None:
            self.undeclared.heard(event)

    def _tell_undeclared(self, key: str) -> None:
        line = self.undeclared.line(key) if self.undeclared is not None else None
        if line is not None:
            self.line(line, "yellow")

    def _up_for_retry(self, key: str, event: Event) -> None:
        self.running.pop(key, None)
        wait = seconds_text(event.data.get("seconds_to_wait", 0.0))
        error = error_text(event.error, event.message)
        self.line(f"{key}: attempt {event.attempt + 1} failed: {error}; the next one in {wait}", "yellow")

    def _waits(self, key: str, event: Event) -> None:
        self.waiting[key] = f"{event.data.get('for_run', '')} (pid {event.data.get('pid', '')})"
        self.line(f"{key}: {event.message}")

    def _reused(self, key: str, event: Event) -> None:
        has_waited = key in self.waiting
        self._ended(key)
        if self._each or has_waited:
            made_by = f": {event.data['detail']}" if event.data.get("reason") == Reason.MADE_MEANWHILE.value else ""
            self.line(f"{key}: reused ({event.data.get('reason', '')}{made_by})")

    def _skipped(self, key: str, event: Event) -> None:
        self._ended(key)
        if self._each:
            self.line(f"{key}: skipped ({event.message})")

    def _canceled(self, key: str, _event: Event) -> None:
        self._ended(key)
        self.line(f"{key}: canceled", "yellow")

    def _lost(self, key: str, event: Event) -> None:
        self.running.pop(key, None)
        lost = [each for each in event.data.get("lost", ()) if each in (self.plan.steps if self.plan else ())]
        self.to_end.update(dict.fromkeys((*lost, key)))
        self.line(f"{key}: {event.message}; {', '.join(lost) or 'what made it'} runs again", "yellow")

    def _logged(self, key: str, event: Event) -> None:
        level = event.data.get("level")
        if level is None:
            if self._verbose:
                self.line(f"{key}: {event.message}")
        elif not _shown_by_user():
            style = "red" if level in {"ERROR", "CRITICAL"} else "yellow" if level == "WARNING" else None
            self.line(f"{key}: {level}: {event.message}", style)

    @property
    def seconds_left(self) -> tuple[float, bool]:
        """How long what is still to end will take, and whether that is known of every step of it."""
        if self._chains is None:
            assert self.plan is not None
            self._chains = _chains(self.plan)
        chains, now = self._chains, monotonic()
        # Copied in one go: the display is drawn by a thread of its own.
        to_end, running = dict(self.to_end), dict(self.running)
        spent = {key: now - started for key, started in running.items()}
        work = sum(max(0.0, (seconds or 0.0) - spent.get(key, 0.0)) for key, seconds in to_end.items())
        longest = max((chains.get(key, 0.0) - spent.get(key, 0.0) for key in to_end), default=0.0)
        return max(work / max(self.workers, len(running)), longest), None not in to_end.values()


def _chains(plan: Plan) -> dict[str, float]:
    """How long each step and the longest chain of steps below it are expected to take, one after another."""
    found: dict[str, float] = {}
    below: dict[str, float] = {}
    for key in reversed(plan.steps):
        step = plan.steps[key]
        found[key] = below.get(key, 0.0) + (
            step.seconds or 0.0 if step.verdict in {Verdict.RUN, Verdict.MAYBE} else 0.0
        )
        if plan.versions is not None:
            for source in plan.versions.steps[key].step.upstream():
                below[source.step] = max(below.get(source.step, 0.0), found[key])
    return found


def _shown_by_user() -> bool:
    """Whether the user's own logging shows what is logged."""
    logging = sys.modules.get("logging")
    return logging is not None and bool(logging.root.handlers)


def error_text(error: ErrorInfo | None, message: str) -> str:
    """An error on one line, as far as a line goes."""
    text = f"{error.kind}: {error.message}" if error is not None and error.message != error.kind else message
    first, _, more = text.partition("\n")
    first = first if len(first) <= 200 else first[:199] + "…"
    return first + " …" if more else first
