"""The executor that runs steps in worker processes, which are kept from step to step and watched.

A worker that dies fails the step it was running, not the run. Workers are started afresh, not forked: they import the
job's file again, check that its code is what was planned, and inherit no threads or locks. Each leads a process group
of its own, so that Ctrl-C reaches the coordinator alone, and ending a worker ends what its step has started.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import wait
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

from memo.contracts.executor import Executor, StepOutcome
from memo.errors import WorkerDiedError
from memo.events import ErrorInfo, Event, EventType
from memo.execution.environment import WORKER_VARIABLE
from memo.execution.logs import kept_at

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from memo.contracts.executor import StepTask
    from memo.execution.worker import WorkerOrders

_SECONDS_BETWEEN_LOOKS = 0.1
"""How often to show what steps print, and to look for dead workers whose channel a child of theirs holds open."""
_SECONDS_TO_END = 5.0
_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class _Worker:
    """One worker process, and the task it is on."""

    def __init__(self, orders: WorkerOrders) -> None:
        self.connection: Connection
        self.connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        # memo first, and from where it is here: a file of the user's may have the same name.
        program = (
            f"import sys; sys.path.insert(0, {_OURS!r}); from memo.execution.worker import main; "
            f"sys.path[:] = {sys.path!r}; main({theirs.fileno()}, {lifeline})"
        )
        self.process = subprocess.Popen(  # noqa: S603 - this interpreter, running memo itself
            [sys.executable, "-P", "-c", program],
            pass_fds=(theirs.fileno(), lifeline),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, WORKER_VARIABLE: "1"},
        )
        theirs.close()
        os.close(lifeline)
        self.task: StepTask | None = None
        self.began = 0.0
        """When it began the task, in seconds since 1970; until that is heard, when it was given it."""
        self.connection.send(orders)

    def interrupt(self) -> None:
        """Do what Ctrl-C would: what the op and its resources have to do at their end is done."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """End the process: let it find its channel closed; after a while kill it, with all that it has started."""
        self.connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_SECONDS_TO_END)
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._lifeline)


class _Shown:
    """Shows what a step prints, by following the files it is kept in."""

    def __init__(self, logs_dir: str, step_key: str) -> None:
        self._files: list[tuple[str, Any, list[int]]] = [
            (kept_at(logs_dir, step_key, "out"), lambda: sys.stdout, [0]),
            (kept_at(logs_dir, step_key, "err"), lambda: sys.stderr, [0]),
        ]
        for path, _, at in self._files:
            with contextlib.suppress(OSError):
                at[0] = os.path.getsize(path)

    def show(self) -> None:
        """Show what has come since the last time."""
        for path, stream, at in self._files:
            try:
                with open(path, "rb") as file:
                    file.seek(at[0])
                    found = file.read()
            except OSError:
                continue
            if found:
                at[0] += len(found)
                stream().write(found.decode("utf-8", "replace"))
                stream().flush()


class MultiprocessExecutor(Executor):
    """Runs steps in worker processes.

    Args:
        max_concurrent: How many at most.
        orders: What each worker is told at its start.
        emit: Told the events of steps as they come in.
    """

    def __init__(self, max_concurrent: int, *, orders: WorkerOrders, emit: Callable[[Event], None]) -> None:
        self._max = max_concurrent
        self._orders = orders
        self._emit = emit
        self._workers: list[_Worker] = []
        self._shown: dict[str, _Shown] = {}

    @property
    def free(self) -> int:
        """How many more workers could be busy."""
        return self._max - sum(worker.task is not None for worker in self._workers)

    def submit(self, task: StepTask) -> None:
        """Give a task to a worker that has none, or to a new one."""
        worker = self._worker_for(task)
        if self._orders.logs_dir is not None:
            self._shown[task.step_key] = _Shown(self._orders.logs_dir, task.step_key)
        with contextlib.suppress(OSError):
            # A worker that died meanwhile is found by `outcomes`, which fails this task for it.
            worker.connection.send(task)

    def _worker_for(self, task: StepTask) -> _Worker:
        idle = [each for each in self._workers if each.task is None]
        worker = next((each for each in idle if each.process.poll() is None), None)
        if worker is None:
            worker = _Worker(self._orders)
            self._workers.append(worker)
        worker.task, worker.began = task, time()
        return worker

    def outcomes(self, timeout: float | None) -> Sequence[StepOutcome]:
        """Wait for workers, and show meanwhile what their steps print; where none is on a step, sleep."""
        if self.free == self._max:
            sleep(timeout or 0)
            return []
        found: list[StepOutcome] = []
        until = None if timeout is None else monotonic() + timeout
        while not found:
            busy = {worker.connection: worker for worker in self._workers if worker.task is not None}
            left = (
                _SECONDS_BETWEEN_LOOKS if until is None else min(_SECONDS_BETWEEN_LOOKS, max(0.0, until - monotonic()))
            )
            ready = wait(list(busy), left)
            for connection in ready:
                found += self._received(busy[connection])  # type: ignore[index] # what was put in comes out
            if not ready:
                found += [self._died(worker) for worker in busy.values() if worker.process.poll() is not None]
            for shown in self._shown.values():
                shown.show()
            for outcome in found:
                self._shown.pop(outcome.step_key, None)
            if until is not None and monotonic() >= until:
                break
        return found

    def _received(self, worker: _Worker) -> list[StepOutcome]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            return [self._died(worker)]
        if isinstance(message, Event):
            if message.kind in {EventType.STEP_START, EventType.STEP_RESTARTED}:
                worker.began = message.at
            self._emit(message)
            return []
        worker.task = None
        return [message]

    def _died(self, worker: _Worker) -> StepOutcome:
        task, seconds = worker.task, max(0.0, time() - worker.began)
        assert task is not None
        self._workers.remove(worker)
        worker.end()
        code = worker.process.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        hint = " (by the system, if memory ran out)" if code == -signal.SIGKILL else ""
        error = WorkerDiedError(f"the process that was running it was {how}{hint}", where=f"step {task.step_key!r}")
        return StepOutcome(
            task.step_key,
            task.attempt,
            "died",
            error=ErrorInfo("WorkerDiedError", str(error), ""),
            seconds=seconds,
            exception=error,
        )

    def stop(self, *, kill: bool = False) -> Sequence[StepOutcome]:
        """End all workers; with `kill` interrupt what they are on, and give it a while to come to its end."""
        found: list[StepOutcome] = []
        for worker in self._workers if kill else ():
            # What a worker had finished and sent before it is ended still counts.
            while worker.task is not None and worker.connection.poll():
                try:
                    message = worker.connection.recv()
                except (EOFError, OSError):
                    break
                if isinstance(message, Event):
                    self._emit(message)
                else:
                    worker.task = None
                    found.append(message)
            worker.interrupt()
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        for shown in self._shown.values():
            shown.show()
        self._shown.clear()
        return found
