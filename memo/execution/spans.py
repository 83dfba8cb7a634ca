"""Where the time of a process goes, looked at only where somebody asks: spans around the functions that are named.

Asked for, each of these functions is replaced by itself with a look at the clock before and after; otherwise nothing
is different at all, and costs nothing. The clock is the same in all processes of a machine, so that what workers
gather stands beside what the coordinator does.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from importlib import import_module
from threading import get_native_id, main_thread
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.contracts.executor import Gathered, Span

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

SHORTEST = 100_000
"""Nanoseconds. What takes less is summed up, and no span of its own: a step that does nothing would have ten."""


class Seam(Struct, frozen=True):
    """A function whose time is looked at.

    Attributes:
        place: The module, and the function in it: ``memo.execution.storage:StepStorage.load``.
        category: What its time is spent on: its own, less that of the seams that it comes through.
        named: What to call a call of it, and its step, by its arguments.
        shortest: Nanoseconds from which a call is a span of its own.
        facts: What to tell of a call by its arguments and what it returned, None where it raised.
        taken: Told the arguments and the result of every call that returned.
        around: Whether it returns a context manager, whose block is looked at instead.
    """

    place: str
    category: str
    named: Callable[..., tuple[str, str | None]] | None = None
    shortest: int = SHORTEST
    facts: Callable[[tuple[Any, ...], Any], dict[str, Any]] | None = None
    taken: Callable[[tuple[Any, ...], Any], None] | None = None
    around: bool = False


def _of_step(attempt: Any) -> tuple[str, str | None]:
    return attempt.task.step_key, attempt.task.step_key


def _of_body(attempt: Any) -> tuple[str, str | None]:
    return "run", attempt.task.step_key


def _of_load(_storage: Any, _producer: Any, address: Any, reader: Any, input_name: str) -> tuple[str, str | None]:
    return f"load {input_name} from {address.step_key}", reader.key if reader is not None else None


def _of_store(_storage: Any, step: Any, name: str, *_more: Any, **_named: Any) -> tuple[str, str | None]:
    return f"store {name}", step.key


def _of_resource(_scope: Any, key: str, _definition: Any) -> tuple[str, str | None]:
    return f"make {key}", None


def _of_module(name: str, *_more: Any) -> tuple[str, str | None]:
    return f"import {name}", None


def _of_environment(orders: Any) -> tuple[str, str | None]:
    return f"import {orders.place}", None


def _of_check(*_args: Any) -> tuple[str, str | None]:
    return "see that the code is what was planned", None


def _attempt_facts(args: tuple[Any, ...], outcome: Any) -> dict[str, Any]:
    # Only an interrupt leaves an attempt as an exception.
    return {"attempt": args[0].task.attempt + 1, "outcome": outcome.kind if outcome is not None else "canceled"}


def _stored_facts(_args: tuple[Any, ...], record: Any) -> dict[str, Any]:
    return {} if record is None or record.size is None else {"bytes": record.size}


STEP_SEAMS = (
    # What is imported on the way costs whoever comes first: no step, IO manager or catalog is slower for it.
    Seam("importlib._bootstrap:_find_and_load", "import", _of_module, 5_000_000),
    Seam("memo.execution.step:StepAttempt.run", "step", _of_step, 0, _attempt_facts),
    Seam("memo.execution.step:StepAttempt._watch", "run", _of_body, around=True),
    Seam("memo.execution.streams:_next", "run"),
    Seam("memo.execution.storage:StepStorage.load", "load", _of_load),
    Seam("memo.execution.storage:StepStorage.load_from_elsewhere", "load"),
    Seam("memo.execution.storage:StepStorage.store", "store", _of_store, facts=_stored_facts),
    Seam("memo.execution.storage:StepStorage.skip", "store"),
    Seam("memo.content.digesting:take_digest", "digest"),
    Seam("memo.execution.resources:ResourceScope._make", "resources", _of_resource),
)
"""What is looked at in every process that runs steps."""

WORKER_SEAMS = (
    Seam("memo.execution.worker:_environment", "import", _of_environment),
    Seam("memo.execution.worker:_stale_steps", "versions", _of_check),
    *STEP_SEAMS,
)
"""What is looked at in a worker process."""


class Spans:
    """What has been gathered in this process, by all its threads.

    Attributes:
        found: Spans, in the order in which they ended.
        totals: Nanoseconds by (thread, category): of what is spent there itself, and not in what it calls.
        threads: The name of each thread.
        main: The thread that the run is in.
    """

    def __init__(self) -> None:
        self.found: list[Span] = []
        self.totals: dict[tuple[int, str], int] = {}
        self.threads: dict[int, str] = {}
        self.main = get_native_id()
        self._stacks: dict[int, list[int]] = {}

    @contextmanager
    def span(self, name: str, category: str, *, step: str | None = None, shortest: int = SHORTEST) -> Generator[None]:
        """Look at the clock before and after a block."""
        thread, stack = self._thread()
        stack.append(0)
        began = perf_counter_ns()
        try:
            yield
        finally:
            took = self._ended(thread, stack, category, began)
            if took >= shortest:
                self.found.append(Span(name, category, began, took, thread, step))

    def add(self, name: str, category: str, began: int, ended: int) -> None:
        """Add what went before anybody could look."""
        at = (self.main, category)
        self.totals[at] = self.totals.get(at, 0) + ended - began
        self.found.append(Span(name, category, began, ended - began, self.main))

    def _thread(self) -> tuple[int, list[int]]:
        thread = get_native_id()
        stack = self._stacks.get(thread)
        if stack is None:
            from threading import current_thread

            stack = self._stacks[thread] = []
            current = current_thread()
            self.threads[thread] = "main" if current is main_thread() else current.name
        return thread, stack

    def _ended(self, thread: int, stack: list[int], category: str, began: int) -> int:
        """Count what has just ended: what took place within it is not its own. Gives the nanoseconds that it took."""
        took = perf_counter_ns() - began
        within = stack.pop()
        if stack:
            stack[-1] += took
        at = (thread, category)
        self.totals[at] = self.totals.get(at, 0) + took - within
        return took

    def take(self) -> Gathered:
        """Take what has been gathered so far, to be sent to another process."""
        found, self.found = self.found, []
        totals, self.totals = self.totals, {}
        summed: dict[str, int] = {}
        for (_, category), own in totals.items():
            summed[category] = summed.get(category, 0) + own
        return Gathered(os.getpid(), tuple(found), summed, dict(self.threads))

    @contextmanager
    def gathering(self, seams: Iterable[Seam]) -> Generator[None]:
        """Look at some functions as long as a block lasts."""
        global _gathering  # noqa: PLW0603 - functions are replaced for the whole process
        before: list[tuple[Any, str, Any]] = []
        _gathering, outer = self, _gathering
        try:
            for seam in seams:
                owner, name = _owner(seam.place)
                plain = vars(owner)[name]
                before.append((owner, name, plain))
                setattr(owner, name, self._looked_at(plain, seam))
            yield
        finally:
            _gathering = outer
            for owner, name, plain in reversed(before):
                setattr(owner, name, plain)

    def _looked_at(self, function: Callable[..., Any], seam: Seam) -> Callable[..., Any]:
        plain = function.__name__.strip("_").replace("_", " ")
        category, named, shortest, facts_of, taken = seam.category, seam.named, seam.shortest, seam.facts, seam.taken

        @wraps(function)
        def around(*args: Any, **options: Any) -> Any:
            name, step = named(*args, **options) if named is not None else (plain, None)
            return self._around(function(*args, **options), name, category, step)

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            # Not through `span`: it is called many times for every step, and what it takes is measured too.
            thread, stack = self._thread()
            stack.append(0)
            began = perf_counter_ns()
            result: Any = None
            try:
                result = function(*args, **options)
            finally:
                took = self._ended(thread, stack, category, began)
                if took >= shortest:
                    name, step = named(*args, **options) if named is not None else (plain, None)
                    facts = facts_of(args, result) if facts_of is not None else {}
                    self.found.append(Span(name, category, began, took, thread, step, facts))
            if taken is not None:
                taken(args, result)
            return result

        return around if seam.around else call

    @contextmanager
    def _around(self, block: Any, name: str, category: str, step: str | None) -> Generator[Any]:
        with self.span(name, category, step=step), block as entered:
            yield entered


def _owner(place: str) -> tuple[Any, str]:
    module, _, path = place.partition(":")
    *classes, name = path.split(".")
    owner: Any = import_module(module)
    for each in classes:
        owner = getattr(owner, each)
    return owner, name


def import_seams(seams: Iterable[Seam]) -> None:
    """Import the modules of some seams, so that doing it does not count as anything else."""
    for seam in seams:
        import_module(seam.place.partition(":")[0])


_gathering: Spans | None = None


def is_gathering() -> bool:
    """Whether anybody looks at where the time of this process goes."""
    return _gathering is not None


__all__ = ["STEP_SEAMS", "WORKER_SEAMS", "Seam", "Spans", "import_seams", "is_gathering"]
