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

from msgspec.structs import replace

from memo.contracts.executor import Gathered, Span
from memo.definition.families import IO_MANAGERS, STRATEGIES, family_member
from memo.errors import InvocationError
from memo.events import Event, EventType
from memo.execution.spans import STEP_SEAMS, Seam, Spans, import_seams
from memo.project.profile_file import ProfileFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from memo.project.home import Home

SHOWN_REUSES = 1_000
"""So many reused steps at most are marks of their own; of more there is the number only."""

_ENDED = {EventType.STEP_SUCCESS: "run", EventType.STEP_FAILURE: "failed"}


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
    given: Callable[[tuple[Any, ...], Any], None] | None = None,
    received: Callable[[tuple[Any, ...], Any], None] | None = None,
) -> list[Seam]:
    """What is looked at in the process of the run.

    Args:
        planned: Told of every plan.
        heard: Told of the events that happen.
        given: Told of the tasks that workers are given.
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
        Seam("memo.execution.in_process:sleep", "waiting", _as("wait to retry, or for another run")),
        Seam("memo.execution.multiprocess:sleep", "waiting", _as("wait to retry, or for another run")),
        Seam("memo.execution.recording:Recorder.tell_all", "telling", taken=heard),
        Seam(f"{workers}.submit", "starting workers"),
        Seam(f"{workers}._worker_for", "starting workers", _as("start a worker"), taken=given),
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
        self.given_to: dict[str, tuple[int, int, int]] = {}
        """Steps that a worker was given and has not told of: its process, the attempt, and when it began."""
        self.outcomes: dict[str, int] = {}
        self.resting: dict[str, int] = {}
        """Steps that wait for another attempt, and since when."""
        self.rests: dict[str, list[Span]] = {}
        """How long they waited."""

    def at(self, seconds: float) -> int:
        """A time of an event on the clock of spans."""
        return int(seconds * 1e9) - self.now_ns + self.now

    def planned(self, _args: tuple[Any, ...], plan: Any) -> None:
        """Take a plan: its verdicts, with their reasons."""
        self.job = plan.job_name
        for key, step in plan.steps.items():
            reason = f"{step.reason.value}: {step.detail}" if step.detail else step.reason.value
            self.verdicts[key] = (step.verdict.value, reason)

    def given(self, args: tuple[Any, ...], worker: Any) -> None:
        """Take that a worker is going to run a task."""
        task, pid = args[1], worker.process.pid
        self.workers.setdefault(pid, [])
        self.given_to[task.step_key] = (pid, task.attempt, perf_counter_ns())

    def received(self, _args: tuple[Any, ...], outcomes: Any) -> None:
        """Take what workers have gathered, with the outcomes of their steps."""
        for outcome in outcomes:
            if outcome.gathered is None:
                self._cut_short(outcome.step_key, outcome.kind)
            else:
                self.given_to.pop(outcome.step_key, None)
                self.workers[outcome.gathered.pid].append(outcome.gathered)

    def heard(self, args: tuple[Any, ...], _result: Any) -> None:
        """Take events."""
        for event in args[1]:
            self._hear(event)

    def _hear(self, event: Event) -> None:
        kind, key = event.kind, event.step_key
        if kind is EventType.RUN_START:
            self.runs.append(event.run_id)
        if key is None:
            return
        if kind in {EventType.STEP_START, EventType.STEP_RESTARTED}:
            if key in self.given_to:
                pid, attempt, given = self.given_to[key]
                self.given_to[key] = (pid, attempt, min(max(given, self.at(event.at)), perf_counter_ns()))
            self._rested(key)
        elif kind is EventType.HANDLED_OUTPUT and "bytes" in event.data:
            self.sizes[key] = self.sizes.get(key, 0) + event.data["bytes"]
        elif kind is EventType.STEP_REUSED:
            self.outcomes["reused"] = self.outcomes.get("reused", 0) + 1
            if len(self.reused) < SHOWN_REUSES:
                self.reused.append((key, event.data.get("reason", ""), self.at(event.at)))
        elif kind is EventType.STEP_UP_FOR_RETRY:
            self.resting[key] = perf_counter_ns()
        elif (word := _ENDED.get(kind)) is not None:
            self.outcomes[word] = self.outcomes.get(word, 0) + 1

    def _cut_short(self, key: str, outcome: str) -> None:
        """Take that a step ended of which its worker can tell nothing: what is known is told in its place."""
        pid, attempt, began = self.given_to.pop(key)
        took, parts = perf_counter_ns() - began, self.workers[pid]
        thread = next((number for part in parts for number, name in part.threads.items() if name == "main"), pid)
        span = Span(key, "step", began, took, thread, key, {"attempt": attempt + 1, "outcome": outcome})
        parts.append(Gathered(pid, (span,), {"step": took}, {thread: "main"}))

    def _rested(self, key: str) -> None:
        since = self.resting.pop(key, None)
        if since is not None:
            span = Span("wait to retry", "retry", since, perf_counter_ns() - since, 0, key)
            self.rests.setdefault(key, []).append(span)

    # The trace

    def trace(self, command: str) -> bytes:
        """All of it, as the text of a file."""
        import msgspec

        from memo import __version__

        spans, pid, ended = self.spans, os.getpid(), perf_counter_ns()
        begin = min(each.start for each in spans.found)
        for key in [*self.resting]:
            self._rested(key)
        for key in [*self.given_to]:
            self._cut_short(key, "canceled")
        # Each step that waits has a row of its own: other steps run meanwhile.
        apart = dict(enumerate(self.rests, max(spans.threads) + 1))
        threads = spans.threads | {number: f"waiting to retry: {key}" for number, key in apart.items()}
        rows = [*_named_rows(pid, command, threads)]
        rows += [self._row(span, pid, begin) for span in spans.found]
        rows += [
            self._row(replace(span, thread=row), pid, begin) for row, key in apart.items() for span in self.rests[key]
        ]
        for number, (worker, parts) in enumerate(self.workers.items(), 1):
            threads = {thread: name for part in parts for thread, name in part.threads.items()}
            rows += _named_rows(worker, f"worker {number}", threads)
            rows += [self._row(span, worker, begin) for part in parts for span in part.spans]
        for key, reason, at in self.reused:
            place = {"ph": "i", "s": "t", "ts": (at - begin) / 1000, "pid": pid, "tid": spans.main}
            rows.append({"name": f"{key} reused", "cat": "reused", **place, "args": {"step": key, "reason": reason}})
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
    file = ProfileFile(path, home)
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
        seams = coordinator_seams(profile.planned, profile.heard, profile.given, profile.received)
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


__all__ = ["SHOWN_REUSES", "coordinator_seams", "profiled"]
