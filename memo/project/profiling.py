"""Where a whole run's time goes, as a trace that Perfetto and speedscope open.

The format is Chrome's Trace Event Format: complete events ("X") with their begin and length in microseconds, one row
for each thread, which nest as calls do.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from importlib import import_module
from time import perf_counter_ns, process_time_ns, time_ns
from typing import TYPE_CHECKING, Any

from memo.definition.families import IO_MANAGERS, STRATEGIES, family_member
from memo.errors import InvocationError
from memo.events import Event, EventType
from memo.execution.spans import STEP_SEAMS, Seam, Spans, import_seams

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from memo.contracts.executor import Gathered, Span
    from memo.project.home import Home

SHOWN_REUSES = 1_000
"""So many reused steps at most are marks of their own; of more there is the number only."""

_BEGINNING = b'{"displayTimeUnit":"ms","otherData":{"memo":'
"""What every trace begins with, so that no other file is taken for one and written over."""

_ENDED = {
    EventType.STEP_SUCCESS,
    EventType.STEP_FAILURE,
    EventType.STEP_UP_FOR_RETRY,
    EventType.OUTPUT_LOST,
}


def _catalog_seams() -> Iterable[Seam]:
    """All that the catalog is asked and told."""
    from memo.catalog import Catalog

    module = Catalog.__module__
    for name, each in vars(Catalog).items():
        if not name.startswith("_") and callable(each) and name not in {"open", "close"}:
            yield Seam(f"{module}:Catalog.{name}", "catalog")


def _of_import(reference: Any) -> tuple[str, str | None]:
    return f"import {reference.place}", None


def _of_source(_stamps: Any, source: Any) -> tuple[str, str | None]:
    return f"look at {source.name}", None


def _as(name: str) -> Callable[..., tuple[str, str | None]]:
    return lambda *_args, **_options: (name, None)


def coordinator_seams(
    planned: Callable[[tuple[Any, ...], Any], None] | None = None,
    heard: Callable[[tuple[Any, ...], Any], None] | None = None,
    received: Callable[[tuple[Any, ...], Any], None] | None = None,
) -> list[Seam]:
    """What is looked at in the process of the run.

    Args:
        planned: Told of every plan.
        heard: Told of the events that happen.
        received: Told of the outcomes of steps that ran in workers.
    """
    workers = "memo.execution.multiprocess:MultiprocessExecutor"
    return [
        Seam("memo.definition.reference:JobReference.load", "import", _of_import),
        Seam("memo.definition.op:OpDefinition.__init__", "definition", _as("define an op")),
        Seam("memo.definition.graph:GraphDefinition.__init__", "definition", _as("define a graph")),
        Seam("memo.definition.job:JobDefinition.__init__", "definition", _as("define a job")),
        Seam("memo.project.preparing:make_environment", "config", _as("resolve config")),
        Seam("memo.project.preparing:resolve_versions", "versions"),
        Seam("memo.versioning.stamps:Stamps.of", "sources", _of_source),
        Seam("memo.project.preparing:make_plan", "plan", taken=planned),
        Seam("memo.project.preparing:plan_without_memoization", "plan", taken=planned),
        Seam("memo.execution.storage:StepStorage.stored", "storage check", _as("ask what is stored")),
        Seam("memo.execution.loop:RunLoop.run", "loop", _as("walk the plan")),
        Seam("memo.execution.recording:Recorder.tell", "telling", taken=heard),
        Seam(f"{workers}.submit", "starting workers"),
        Seam(f"{workers}.outcomes", "waiting for workers", _as("wait for workers"), taken=received),
        Seam(f"{workers}.stop", "waiting for workers", _as("end workers"), taken=received),
        *STEP_SEAMS,
        *_catalog_seams(),
    ]


class _Profile:
    """What is gathered of one call of the command line, whose runs may be several."""

    def __init__(self) -> None:
        self.spans = Spans()
        self.now_ns, self.now = time_ns(), perf_counter_ns()
        self.workers: dict[int, list[Gathered]] = {}
        self.runs: list[str] = []
        self.job = ""
        self.verdicts: dict[str, tuple[str, str]] = {}
        self.sizes: dict[str, int] = {}
        self.reused: list[tuple[str, str, int]] = []
        self.open: dict[str, int] = {}
        """Steps that have started and not ended, and when; those stay here that were canceled."""
        self.unheard: list[tuple[str, int, int]] = []
        """Steps whose worker died, from when to when."""
        self.outcomes: dict[str, int] = {}

    def at(self, seconds: float) -> int:
        """A time of an event on the clock of spans."""
        return int(seconds * 1e9) - self.now_ns + self.now

    def planned(self, _args: tuple[Any, ...], plan: Any) -> None:
        """Take a plan: its verdicts, with their reasons."""
        self.job = plan.job_name
        for key, step in plan.steps.items():
            reason = f"{step.reason.value}: {step.detail}" if step.detail else step.reason.value
            self.verdicts[key] = (step.verdict.value, reason)

    def received(self, _args: tuple[Any, ...], outcomes: Any) -> None:
        """Take what workers have gathered, with the outcomes of their steps."""
        for outcome in outcomes:
            if outcome.gathered is not None:
                self.workers.setdefault(outcome.gathered.pid, []).append(outcome.gathered)
            elif outcome.step_key in self.open:
                self.unheard.append((outcome.step_key, self.open.pop(outcome.step_key), perf_counter_ns()))

    def heard(self, args: tuple[Any, ...], _result: Any) -> None:
        """Take events."""
        for event in args[1:]:
            self._hear(event)

    def _hear(self, event: Event) -> None:
        kind, key = event.kind, event.step_key
        if kind is EventType.RUN_START:
            self.runs.append(event.run_id)
        if key is None:
            return
        if kind in {EventType.STEP_START, EventType.STEP_RESTARTED}:
            self.open[key] = self.at(event.at)
        elif kind is EventType.HANDLED_OUTPUT and "bytes" in event.data:
            self.sizes[key] = self.sizes.get(key, 0) + event.data["bytes"]
        elif kind is EventType.STEP_REUSED:
            self.outcomes["reused"] = self.outcomes.get("reused", 0) + 1
            if len(self.reused) < SHOWN_REUSES:
                self.reused.append((key, event.data.get("reason", ""), self.at(event.at)))
        elif kind in _ENDED:
            self.open.pop(key, None)
            word = {EventType.STEP_SUCCESS: "run", EventType.STEP_FAILURE: "failed"}.get(kind)
            if word is not None:
                self.outcomes[word] = self.outcomes.get(word, 0) + 1

    # The trace

    def trace(self, command: str) -> bytes:
        """All of it, as the text of a file."""
        import msgspec

        from memo import __version__

        spans, pid, ended = self.spans, os.getpid(), perf_counter_ns()
        begin = min(each.start for each in spans.found)
        rows = [*_named_rows(pid, command, spans.threads)]
        rows += [self._row(span, pid, begin) for span in spans.found]
        for number, (worker, parts) in enumerate(self.workers.items(), 1):
            threads = {thread: name for part in parts for thread, name in part.threads.items()}
            rows += _named_rows(worker, f"worker {number}", threads)
            rows += [self._row(span, worker, begin) for part in parts for span in part.spans]
        for key, reason, at in self.reused:
            place = {"ph": "i", "s": "t", "ts": (at - begin) / 1000, "pid": pid, "tid": spans.main}
            rows.append({"name": f"{key} reused", "cat": "reused", **place, "args": {"step": key, "reason": reason}})
        told_here = {each.step for each in spans.found if each.category == "step"}
        canceled = [(key, at, ended) for key, at in self.open.items() if key not in told_here]
        for number, (key, at, until) in enumerate([*self.unheard, *canceled], 1):
            # What ran in a worker that was ended could not be told by it. Each has a row of its own: they may overlap.
            name = {"name": "thread_name", "ph": "M", "pid": pid, "tid": number, "args": {"name": f"ended: {key}"}}
            took = {"ph": "X", "ts": (at - begin) / 1000, "dur": (until - at) / 1000, "pid": pid, "tid": number}
            rows += [name, {"name": key, "cat": "step", **took, "args": self._facts(key, {"outcome": "ended"})}]
        told = {
            "memo": __version__,
            "job": self.job,
            "runs": self.runs,
            "workers": len(self.workers),
            "outcomes": self.outcomes,
            "reused_not_shown": self.outcomes.get("reused", 0) - len(self.reused),
            "began_ns": begin,
            "ended_ns": ended,
            "totals_ns": self._totals(),
        }
        found = {"displayTimeUnit": "ms", "otherData": told, "traceEvents": rows}
        try:
            return msgspec.json.encode(found)
        except UnicodeEncodeError:
            # A file whose name is no text, as the system may have it.
            return msgspec.json.encode(_as_text(found))

    def _row(self, span: Span, pid: int, begin: int) -> dict[str, Any]:
        facts: dict[str, Any] = span.facts
        if span.step is not None:
            facts = self._facts(span.step, facts) if span.category == "step" else {"step": span.step, **facts}
        return {
            "name": span.name,
            "cat": span.category,
            "ph": "X",
            "ts": (span.start - begin) / 1000,
            "dur": span.duration / 1000,
            "pid": pid,
            "tid": span.thread,
            "args": facts,
        }

    def _facts(self, key: str, facts: dict[str, Any]) -> dict[str, Any]:
        verdict, reason = self.verdicts.get(key, ("", ""))
        size = {"bytes": self.sizes[key]} if key in self.sizes else {}
        return {"step": key, "verdict": verdict, "reason": reason, **size, **facts}

    def _totals(self) -> dict[str, dict[str, int]]:
        """Nanoseconds by category: of the run's own thread, of other threads of its process, of workers."""
        found: dict[str, dict[str, int]] = {"main": {}, "other": {}, "workers": {}}
        for (thread, category), own in self.spans.totals.items():
            row = found["main" if thread == self.spans.main else "other"]
            row[category] = row.get(category, 0) + own
        for parts in self.workers.values():
            for part in parts:
                for category, own in part.totals.items():
                    found["workers"][category] = found["workers"].get(category, 0) + own
        return found


def _named_rows(pid: int, process: str, threads: dict[int, str]) -> list[dict[str, Any]]:
    rows = [{"name": "process_name", "ph": "M", "pid": pid, "tid": pid, "args": {"name": process}}]
    for thread, name in threads.items():
        rows.append({"name": "thread_name", "ph": "M", "pid": pid, "tid": thread, "args": {"name": name}})
    return rows


def _as_text(value: Any) -> Any:
    """What is no text in a text, as escapes."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_as_text(key): _as_text(each) for key, each in value.items()}
    return [_as_text(each) for each in value] if isinstance(value, list) else value


@contextmanager
def profiled(path: str, command: str, home: Home) -> Generator[None]:
    """Gather where the time of this process and of its workers goes; write it when the block ends, however it does.

    Args:
        path: The file to write; written over where it is a trace of memo's.
        command: What the process is called in the trace.
        home: In which it must not be.

    Raises:
        InvocationError: The file cannot be written, or is another.
    """
    file = _File(path, home)
    file.check()
    profile = _Profile()
    spans, entered = profile.spans, perf_counter_ns()
    # What Python did before this module could look at a clock, as far as it computed: it waits for little then.
    spans.add("start Python", "start", entered - process_time_ns(), entered)
    with spans.span("import memo", "start"):
        # What every run imports by and by, so that it does not count as what happens to need it first.
        import_module("memo.catalog")
        import_module("memo.project.running")
        family_member(IO_MANAGERS, "fs")
        family_member(IO_MANAGERS, "text")
        family_member(STRATEGIES, "source_hash")
    with spans.span("prepare the profile", "profile"):
        seams = coordinator_seams(profile.planned, profile.heard, profile.received)
        import_seams(seams)
    try:
        with profile.spans.gathering(seams):
            yield
    except BaseException:
        # What ended the run is what is told, not that there was no room for its profile.
        with suppress(InvocationError):
            file.write(profile.trace(command))
        raise
    file.write(profile.trace(command))


class _File:
    """The file to write.

    Args:
        given: Its name, as it was given.
        home: In which it must not be.
    """

    def __init__(self, given: str, home: Home) -> None:
        self._given = given
        # An op may change the current folder.
        self._path = os.path.abspath(given)
        self._home = home

    def check(self) -> None:
        """See that it can be written, and that nothing is lost by it.

        Raises:
            InvocationError: It cannot, or is another file than a profile.
        """
        path = self._path
        if self._home.holds(path):
            raise InvocationError(
                "is in the home, where only what memo stores is kept: write the profile elsewhere", where=self._given
            )
        try:
            is_special = os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
            if is_special:
                return
            with open(path, "ab+") as file:
                file.seek(0)
                beginning = file.read(len(_BEGINNING))
        except OSError as error:
            raise self._unwritable(error) from error
        if beginning and beginning != _BEGINNING:
            raise InvocationError(
                "is there already and is no profile of memo's, so it is not written over: give --profile another name",
                where=self._given,
            )

    def write(self, text: bytes) -> None:
        """Write it.

        Raises:
            InvocationError: It cannot be, or an op of the run has written another file there.
        """
        assert text.startswith(_BEGINNING)
        self.check()
        try:
            with open(self._path, "wb") as file:
                file.write(text)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> InvocationError:
        return InvocationError(f"the profile cannot be written there: {error.strerror}", where=self._given)


__all__ = ["SHOWN_REUSES", "coordinator_seams", "profiled"]
