"""One run of a job, from a wish to its result: prepared, given an executor, carried out, recorded."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from functools import cached_property
from time import time
from typing import TYPE_CHECKING, Any

from memo.contracts.io_manager import check_segment
from memo.contracts.run_store import RunRecord
from memo.definition.families import EXECUTORS, family_member
from memo.errors import DefinitionError
from memo.events import RunStatus
from memo.execution.run import carry_out, new_run_id
from memo.execution.storage import StepStorage
from memo.project.preparing import prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from memo.catalog import Catalog
    from memo.contracts.executor import Address, Executor, StepOutcome, StepTask
    from memo.definition.job import JobDefinition
    from memo.definition.reference import JobReference
    from memo.events import Event
    from memo.execution.logs import KeptOutput
    from memo.execution.loop import RunLoop
    from memo.execution.result import RunResult
    from memo.execution.sharing import Shared
    from memo.execution.step import StepAttempt
    from memo.planning import Plan
    from memo.project.home import Home
    from memo.project.preparing import Prepared, Wish


def launch(
    job: JobDefinition,
    wish: Wish,
    *,
    home: Home | None,
    run_id: str | None,
    workers: int,
    target: JobReference | None,
    listen: Callable[[Event], None],
    on_plan: Callable[[Plan, str], None] | None = None,
    parent: str | None = None,
    root: str | None = None,
) -> tuple[RunResult, RunLoop]:
    """Run a job once.

    Args:
        job: The job.
        wish: What the run is asked to be.
        home: Where it is kept; None for a run that leaves nothing behind.
        run_id: Made up where left out.
        workers: In how many processes its steps run; 0 for this one.
        target: How another process finds the job; needed for workers.
        listen: Told every event as it happens.
        on_plan: Told the plan and the run's id before anything runs.
        parent: The run that this one follows.
        root: The first of the runs that follow one another.

    Raises:
        MemoError: The run cannot be planned.
        KeyboardInterrupt: Passed on, after the run has been recorded as canceled.
    """
    started = time()
    run_id = _checked_run_id(run_id) if run_id is not None else new_run_id()
    prepared, shared = _prepare(job, wish, home, run_id)
    with prepared:
        if home is not None:
            home.make()
            prepared.stamps.keep(home.catalog)
            if prepared.strategy is not None:
                prepared.strategy.keep_in(home.cache_dir)
            prepared.storage.sweep()
            _forget_the_dead(home.catalog)
        if on_plan is not None:
            on_plan(prepared.plan, run_id)
        if workers:
            _check_shared(job, prepared)
        record = RunRecord(
            run_id,
            job.name,
            RunStatus.STARTED,
            started,
            target=str(target) if target else None,
            run_config=_keepable(wish.run_config),
            tags=wish.tags,
            parent_run_id=parent,
            root_run_id=root,
            pid=os.getpid(),
        )
        with _log(prepared.plan):
            return carry_out(
                prepared.plan,
                prepared.environment,
                executor=lambda emit: _executor(prepared, workers, target, wish, emit),
                storage=prepared.storage,
                history=prepared.history,
                store=home.catalog if home else None,
                record=record,
                listen=listen,
                load=_loader(prepared),
                shared=shared,
            )


def _prepare(job: JobDefinition, wish: Wish, home: Home | None, run_id: str) -> tuple[Prepared, Shared | None]:
    """Make the plan, once what it reuses is in the shared place.

    Where another content is there than here, the step is settled by the run as one that was not finished: by what is
    there, or else by making it anew.
    """
    while True:
        prepared = prepare(job, wish, home=home, run_id=run_id)
        try:
            manager = prepared.storage.sharing if home is not None and prepared.plan.versions is not None else None
            if home is None or manager is None or not manager.objects.takes:
                return prepared, None
            from memo.execution.sharing import share_stored

            home.make()
            shared = share_stored(prepared.plan, job, prepared.storage, home.catalog)
            if not shared.differing:
                return prepared, shared
            home.catalog.begin_replacing(run_id, shared.differing)
        except BaseException:
            prepared.scope.close()
            raise
        prepared.scope.close()


def _forget_the_dead(catalog: Catalog) -> None:
    if catalog.all_claims():
        from memo.execution.claims import forget_the_dead

        forget_the_dead(catalog)


def _log(plan: Plan) -> AbstractContextManager[object]:
    """Keeps what the steps of a plan log; nothing where there are none to run."""
    if plan.is_null:
        return nullcontext()
    from memo.execution.logs import RunLog

    return RunLog()


def _checked_run_id(run_id: str) -> str:
    """Refuse an id that could not be told from a path, or from the place of versioned outputs."""
    if check_segment(run_id) == "versioned_outputs":
        raise DefinitionError(f"the run id {run_id!r} is where versioned outputs are kept; choose another")
    return run_id


def _executor(
    prepared: Prepared,
    workers: int,
    target: JobReference | None,
    wish: Wish,
    emit: Callable[[Event], None],
) -> Executor:
    if workers and not prepared.plan.is_null:
        assert target is not None
        return _multiprocess(prepared, workers, target, wish, emit)

    in_process: Executor = family_member(EXECUTORS, "in_process")(_StepRunner(prepared, emit))
    return in_process


class _StepRunner:
    """Runs steps in this process; what that takes is imported when the first one runs."""

    def __init__(self, prepared: Prepared, emit: Callable[[Event], None]) -> None:
        self._prepared = prepared
        self._emit = emit

    def __call__(self, task: StepTask) -> StepOutcome:
        logs_dir, prepared = self._prepared.environment.logs_dir, self._prepared
        with self._output(logs_dir, task.step_key):
            return self._attempt(task, prepared.environment, prepared.scope, prepared.storage, self._emit).run()

    @cached_property
    def _output(self) -> type[KeptOutput]:
        from memo.execution.logs import KeptOutput

        return KeptOutput

    @cached_property
    def _attempt(self) -> type[StepAttempt]:
        from memo.execution.step import StepAttempt

        return StepAttempt


def _multiprocess(
    prepared: Prepared,
    workers: int,
    target: JobReference,
    wish: Wish,
    emit: Callable[[Event], None],
) -> Executor:
    from memo.execution.spans import is_gathering
    from memo.execution.worker import WorkerOrders

    environment, versions = prepared.environment, prepared.plan.versions
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    orders = WorkerOrders(
        target.place,
        target.job,
        os.getcwd(),
        environment.storage,
        environment.logs_dir,
        environment.run_id,
        wish.run_config,
        dict(wish.input_values or {}),
        wish.tags,
        {key: versions.steps[key].op.version for key in prepared.plan.steps} if versions else {},
        main_is_target=main_file is not None and os.path.abspath(main_file) == os.path.abspath(target.place),
        profiled=is_gathering(),
    )
    made: Executor = family_member(EXECUTORS, "multiprocess")(workers, orders=orders, emit=emit)
    return made


def _loader(prepared: Prepared) -> Callable[[Address], Any]:
    """Load outputs after the run, through IO managers that are still alive or made again."""

    def load(address: Address) -> Any:
        with prepared.scope.reopened() as scope:
            storage = StepStorage(prepared.environment, scope)
            return storage.load(prepared.environment.job.steps[address.step_key], address, None, address.output)

    return load


def _check_shared(job: JobDefinition, prepared: Prepared) -> None:
    """Refuse to run in several processes what is kept in the memory of one."""
    for key in prepared.plan.steps:
        for name, out in job.steps[key].op.outs.items():
            if not out.is_nothing and not prepared.scope.get(out.io_manager_key).shares_between_processes():
                raise DefinitionError(
                    f"its output {name!r} is kept in memory by {out.io_manager_key!r}, where other processes "
                    f"cannot read it: run in one process (-j 1), or store it in files (fs_io_manager)",
                    where=job.steps[key].where,
                )


def _keepable(value: Any) -> Any:
    """The run config as the catalog can keep it; None where it holds what no file could."""
    import msgspec

    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return None
