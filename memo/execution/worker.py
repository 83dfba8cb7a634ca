"""The other side of the multiprocess executor: a process that runs the steps it is sent, one after another."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.executor import StepOutcome, StepTask
from memo.definition.importing import module_of_file
from memo.definition.reference import JobReference
from memo.errors import ExecutionError
from memo.execution.environment import make_environment
from memo.execution.failures import error_info
from memo.execution.logs import RunLog
from memo.execution.resources import ResourceScope
from memo.execution.step import StepAttempt
from memo.execution.storage import StepStorage
from memo.versioning import op_versions, strategy_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from memo.events import ErrorInfo, Event
    from memo.execution.environment import RunEnvironment


class WorkerOrders(Struct, frozen=True):
    """What a worker is told before its first task.

    Attributes:
        expected: Step key -> op version, as they were when the plan was made.
        main_is_target: Whether the coordinator's ``__main__`` is the file that holds the job.
    """

    place: str
    job: str | None
    cwd: str
    parent_pid: int
    storage_dir: str
    logs_dir: str | None
    run_id: str
    run_config: Any
    input_values: dict[str, Any] | None
    tags: dict[str, str]
    expected: dict[str, str]
    main_is_target: bool


def main(channel: int, lifeline: int) -> None:
    """Run tasks until the coordinator closes the channel; die with it.

    Args:
        channel: The file descriptor over which orders and tasks come and outcomes go.
        lifeline: One that says nothing, and ends when the coordinator does.
    """
    threading.Thread(target=_die_with_coordinator, args=(lifeline,), daemon=True).start()
    connection = Connection(channel)
    orders: WorkerOrders = connection.recv()
    _die_with_parent(orders.parent_pid)
    environment: RunEnvironment | None = None
    broken: ErrorInfo | None = None
    stale: frozenset[str] = frozenset()
    try:
        environment = _environment(orders)
        stale = _stale_steps(environment, orders.expected)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - reported as the failure of the steps that were to run here
        broken = error_info(error)
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
                with _output_kept(orders.logs_dir, task.step_key):
                    outcome = StepAttempt(
                        task, environment, scope, StepStorage(environment, scope), _sender(connection)
                    ).run()
            _send(connection, outcome)


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
        storage_dir=orders.storage_dir,
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
        "or it reads a global that "
        "differs from process to process. Run again; or run with -j 1, or declare @op(version=)",
        where=environment.job.steps[task.step_key].where,
    )
    return StepOutcome(
        task.step_key, task.attempt, "failure", error=error_info(error), allow_retries=False, exception=error
    )


def _sender(connection: Connection) -> Any:
    def send(event: Event) -> None:
        connection.send(event)

    return send


def _send(connection: Connection, outcome: StepOutcome) -> None:
    """Send an outcome, without the exception where that cannot be brought over."""
    import pickle

    if outcome.exception is not None:
        try:
            pickle.loads(pickle.dumps(outcome.exception))  # noqa: S301 - made here, on this line
        except Exception:  # noqa: BLE001 - a user's exception may fail to pickle in any way
            outcome = replace(outcome, exception=None)
    connection.send(outcome)


@contextlib.contextmanager
def _output_kept(logs_dir: str | None, step_key: str) -> Generator[None]:
    """Make the step's own files the standard output and error of this process, and of all that it starts."""
    if logs_dir is None:
        yield
        return
    os.makedirs(logs_dir, exist_ok=True)
    paths = (f"{logs_dir}/{step_key}.out", f"{logs_dir}/{step_key}.err")
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
            if not os.path.getsize(path):
                os.unlink(path)


def _flush() -> None:
    import ctypes

    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


def _die_with_coordinator(lifeline: int) -> None:
    with contextlib.suppress(OSError):
        os.read(lifeline, 1)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _die_with_parent(parent_pid: int) -> None:
    """Ask Linux to end this process with its parent, at once, even in the middle of C code."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent_pid:
            os._exit(1)
