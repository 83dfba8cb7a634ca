"""The other side of the multiprocess executor: a process that runs the steps it is sent, one after another."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.executor import StepOutcome, StepTask
from memo.contracts.io_manager import Storage
from memo.definition.importing import module_of_file
from memo.definition.reference import JobReference
from memo.errors import ExecutionError
from memo.execution.environment import make_environment
from memo.execution.failures import error_info
from memo.execution.logs import RunLog, kept_at
from memo.execution.resources import ResourceScope
from memo.execution.step import StepAttempt
from memo.execution.storage import StepStorage
from memo.versioning import op_versions, strategy_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from memo.events import ErrorInfo, Event
    from memo.execution.environment import RunEnvironment
    from memo.execution.spans import Spans


class WorkerOrders(Struct, frozen=True):
    """What a worker is told before its first task.

    Attributes:
        expected: Step key -> op version, as they were when the plan was made.
        main_is_target: Whether the coordinator's ``__main__`` is the file that holds the job.
        profiled: Whether it is to tell where its time goes.
    """

    place: str
    job: str | None
    cwd: str
    storage: Storage
    logs_dir: str | None
    run_id: str
    run_config: Any
    input_values: dict[str, Any] | None
    tags: dict[str, str]
    expected: dict[str, str]
    main_is_target: bool
    profiled: bool = False


def main(channel: int, lifeline: int) -> None:
    """Run tasks until the coordinator closes the channel; die with it.

    Args:
        channel: The file descriptor over which orders and tasks come and outcomes go.
        lifeline: One that says nothing, and ends when the coordinator does.
    """
    _leave_a_watcher(lifeline, channel)
    connection = Connection(channel)
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        orders: WorkerOrders = connection.recv()
        if not orders.profiled:
            _work(connection, orders, None)
            return
        from memo.execution.spans import WORKER_SEAMS, Spans

        spans = Spans()
        with spans.gathering(WORKER_SEAMS):
            _work(connection, orders, spans)


def _work(connection: Connection, orders: WorkerOrders, spans: Spans | None) -> None:
    environment: RunEnvironment | None = None
    broken: ErrorInfo | None = None
    stale: frozenset[str] = frozenset()
    # What the pipeline is made of stays to the end: to look for garbage in it takes longer than to make it.
    gc.disable()
    try:
        environment = _environment(orders)
        stale = _stale_steps(environment, orders.expected)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - reported as the failure of the steps that were to run here
        broken = error_info(error)
    gc.freeze()
    gc.enable()
    with contextlib.ExitStack() as stack:
        scope = stack.enter_context(ResourceScope(environment)) if environment is not None else None
        stack.enter_context(RunLog())
        while True:
            try:
                task: StepTask = connection.recv()
            except EOFError:
                return
            if environment is None or scope is None:
                outcome = StepOutcome(task.step_key, task.attempt, "failure", error=broken, allow_retries=False)
            elif task.step_key in stale:
                outcome = _refusal(environment, task)
            else:
                attempt = StepAttempt(task, environment, scope, StepStorage(environment, scope), _sender(connection))
                try:
                    with _output_kept(orders.logs_dir, task.step_key):
                        outcome = attempt.run()
                except KeyboardInterrupt:
                    with contextlib.suppress(OSError):
                        connection.send(StepOutcome(task.step_key, task.attempt, "canceled"))
                    raise
            _send(connection, outcome if spans is None else replace(outcome, gathered=spans.take()))


def _environment(orders: WorkerOrders) -> RunEnvironment:
    os.chdir(orders.cwd)
    job = JobReference(orders.place, orders.job).load()
    if orders.main_is_target:
        # What the coordinator pickled as its own is named ``__main__``.
        sys.modules["__main__"] = module_of_file(orders.place)
    return make_environment(
        job,
        run_id=orders.run_id,
        run_config=orders.run_config,
        input_values=orders.input_values,
        tags=orders.tags,
        storage=orders.storage,
        logs_dir=orders.logs_dir,
    )


def _stale_steps(environment: RunEnvironment, expected: dict[str, str]) -> frozenset[str]:
    """The steps whose code is not what it was when the plan was made; found out before any op has run here."""
    if not expected:
        return frozenset()
    found = op_versions(
        environment.job, environment.config, strategy_of(environment.job), environment.resource_defs, expected
    )
    return frozenset(key for key, version in expected.items() if found[key] != version)


def _refusal(environment: RunEnvironment, task: StepTask) -> StepOutcome:
    error = ExecutionError(
        "its code in the worker is not what it was when the run was planned: it was edited meanwhile, "
        "or it reads a global that differs from process to process. Run again; or run with -j 1, or declare "
        "@op(version=)",
        where=environment.job.steps[task.step_key].where,
    )
    return StepOutcome(
        task.step_key, task.attempt, "failure", error=error_info(error), allow_retries=False, exception=error
    )


def _sender(connection: Connection) -> Any:
    def send(event: Event) -> None:
        # A coordinator that is ending the run no longer listens.
        with contextlib.suppress(OSError):
            connection.send(event)

    return send


def _send(connection: Connection, outcome: StepOutcome) -> None:
    """Send an outcome, without the exception where that cannot be brought over."""
    import pickle

    if outcome.exception is not None:
        try:
            pickle.loads(pickle.dumps(outcome.exception))  # noqa: S301 - made here, on this line
        except BaseException:  # noqa: BLE001 - a user's exception may fail to pickle in any way
            outcome = replace(outcome, exception=None)
    connection.send(outcome)


@contextlib.contextmanager
def _output_kept(logs_dir: str | None, step_key: str) -> Generator[None]:
    """Make the step's own files the standard output and error of this process, and of all that it starts."""
    if logs_dir is None:
        yield
        return
    os.makedirs(logs_dir, exist_ok=True)
    paths = (kept_at(logs_dir, step_key, "out"), kept_at(logs_dir, step_key, "err"))
    _flush()
    saved = (os.dup(1), os.dup(2))
    for target, path in zip((1, 2), paths, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(file, target)
        os.close(file)
    try:
        yield
    finally:
        _flush()
        for target, before, path in zip((1, 2), saved, paths, strict=True):
            os.dup2(before, target)
            os.close(before)
            with contextlib.suppress(OSError):
                if not os.path.getsize(path):
                    os.unlink(path)


def _flush() -> None:
    import ctypes

    for stream in (sys.stdout, sys.stderr):
        # An op may have closed its streams, or put something else in their place.
        with contextlib.suppress(Exception):
            stream.flush()
    ctypes.CDLL(None).fflush(None)


def _leave_a_watcher(lifeline: int, channel: int) -> None:
    """Leave a process in this group that ends the group when the coordinator is gone.

    A thread of this process could not: it would wait for C code that keeps the interpreter's lock, and what the ops
    have started would live on. The watcher is nobody's child, so that an op that waits for its children does not
    meet it.
    """
    first = os.fork()
    if first:
        os.waitpid(first, 0)
        os.close(lifeline)
        return
    if os.fork():
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.close(channel)
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)
