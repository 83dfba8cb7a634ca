"""Running and planning jobs: what the CLI, notebooks and tests call."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from time import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.contracts.io_manager import check_segment
from memo.contracts.run_store import RunRecord
from memo.definition.families import EXECUTORS, family_member
from memo.definition.names import check_tags
from memo.definition.reference import JobReference, reference_of
from memo.definition.selection import select_steps
from memo.errors import DefinitionError
from memo.events import RunStatus
from memo.execution.environment import WORKER_VARIABLE
from memo.execution.logs import KeptOutput, RunLog
from memo.execution.run import carry_out, new_run_id
from memo.execution.step import StepAttempt
from memo.execution.storage import StepStorage
from memo.planning import Plan, Reason
from memo.project.home import Home, find_root, opened_home
from memo.project.preparing import Prepared, Wish, is_memoized, prepare, selection_of, with_resources
from memo.project.reexecution import ReexecutionOptions, remainder_of
from memo.project.settings import Settings, load_settings
from memo.tags import (
    MAX_RETRIES_TAG,
    PARENT_RUN_ID_TAG,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
    ROOT_RUN_ID_TAG,
    STEP_SELECTION_TAG,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.executor import Address, Executor, StepOutcome, StepTask
    from memo.definition.job import JobDefinition
    from memo.events import Event
    from memo.execution.loop import RunLoop
    from memo.execution.result import RunResult


def plan_job(
    job: JobDefinition,
    *,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    op_selection: Iterable[str] | str | None = None,
    force: bool | Iterable[str] | str = False,
    input_values: Mapping[str, Any] | None = None,
    instance: Home | str | os.PathLike[str] | None = None,
) -> Plan:
    """Decide for every step of a job whether it would run, and why. Nothing runs.

    Args:
        job: The job.
        run_config: Config for ops and resources.
        tags: Of the run that is planned.
        op_selection: Which steps; all where left out.
        force: True, or a selection, for what is to run whatever is stored.
        input_values: Values for the job's inputs.
        instance: The home; found from the current folder where left out.

    Returns:
        The plan: ``plan.steps[key].verdict``, ``.reason``, ``.detail``, ``.seconds``.

    Raises:
        MemoError: The config, the selection, a version or an IO manager is not as it must be.
    """
    wish = Wish(
        run_config,
        check_tags(tags, job.where),
        selection_of(op_selection),
        _force(force),
        input_values,
        memoize_by_default=True,
        forecast=True,
    )
    with opened_home(instance) as home, prepare(job, wish, home=home) as prepared:
        return prepared.plan


def execute_in_process(
    job: JobDefinition,
    *,
    run_config: Any = None,
    instance: Home | str | os.PathLike[str] | None = None,
    raise_on_error: bool = True,
    op_selection: Iterable[str] | str | None = None,
    run_id: str | None = None,
    input_values: Mapping[str, Any] | None = None,
    tags: Mapping[str, object] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> RunResult:
    """Run a job in this process; see `JobDefinition.execute_in_process`."""
    job = with_resources(job, resources)
    checked = check_tags(tags, job.where)
    wish = Wish(run_config, checked, selection_of(op_selection), input_values=input_values)
    keeps = instance is not None or is_memoized(job, checked, by_default=False)
    with opened_home(instance) if keeps else nullcontext() as home:
        result, loop = _run(job, wish, home=home, run_id=run_id, workers=0, target=None, listen=_silent)
    _raise_first(loop, raise_on_error)
    return result


def execute_job(
    job: JobDefinition | JobReference,
    instance: Home | str | os.PathLike[str] | None = None,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    raise_on_error: bool = False,
    op_selection: Iterable[str] | str | None = None,
    reexecution_options: ReexecutionOptions | None = None,
    *,
    force: bool | Iterable[str] | str = False,
    max_concurrent: int | None = None,
    input_values: Mapping[str, Any] | None = None,
    listen: Callable[[Event], None] | None = None,
    on_plan: Callable[[Plan, str], None] | None = None,
) -> RunResult:
    """Run a job in a home, as ``memo run`` does: memoized, recorded, in worker processes where asked for.

    Args:
        job: The job, or where to find it.
        instance: The home; found from the current folder where left out.
        run_config: Config for ops and resources.
        tags: Of the run; they count before the job's.
        raise_on_error: Raise the exception of the first step that fails, instead of returning a result.
        op_selection: Which steps to run; all where left out.
        reexecution_options: To run a run again; see `ReexecutionOptions`.
        force: True, or a selection, for what is to run whatever is stored.
        max_concurrent: How many steps run at once: more than 1 in so many worker processes. What the executor of the
            job and
            the settings say where left out.
        input_values: Values for the job's inputs.
        listen: Told every event as it happens.
        on_plan: Told the plan and the run's id before anything runs.

    Returns:
        The result of the run; of the last one where a failed run was started again by `MAX_RETRIES_TAG` or the setting.

    Raises:
        MemoError: The run cannot be planned.
        KeyboardInterrupt: Passed on, after the run has been recorded as canceled.
    """
    if os.environ.get(WORKER_VARIABLE):
        raise DefinitionError(
            "this file runs a job when it is imported, and a worker process imports it: put that under "
            '`if __name__ == "__main__":`',
        )
    reference = job if isinstance(job, JobReference) else None
    definition = job.load() if isinstance(job, JobReference) else job
    settings = load_settings(find_root())
    wish = Wish(
        run_config,
        check_tags(tags, definition.where),
        selection_of(op_selection),
        _force(force),
        input_values,
        memoize_by_default=True,
        forecast=True,
    )
    workers = _workers(definition, run_config, max_concurrent, settings)
    if workers and reference is None:
        reference = reference_of(definition)
    with opened_home(instance, settings) as home:
        run = _Relaunching(definition, reference, home, workers, settings, listen or _silent, on_plan)
        result, loop = run.run(wish, reexecution_options)
    _raise_first(loop, raise_on_error)
    return result


class _Relaunching:
    """Runs a job, and again when it failed, as tags and settings say."""

    def __init__(
        self,
        job: JobDefinition,
        reference: JobReference | None,
        home: Home,
        workers: int,
        settings: Settings,
        listen: Callable[[Event], None],
        on_plan: Callable[[Plan, str], None] | None,
    ) -> None:
        self.job = job
        self.reference = reference
        self.home = home
        self.workers = workers
        self.settings = settings
        self.listen = listen
        self.on_plan = on_plan

    def run(self, wish: Wish, options: ReexecutionOptions | None) -> tuple[RunResult, RunLoop]:
        tags = {**self.job.tags, **wish.tags}
        allowed = whole_number(tags, MAX_RETRIES_TAG, self.settings.max_retries, where=self.job.where)
        strategy = tags.get(RETRY_STRATEGY_TAG, "FROM_FAILURE")
        if strategy not in {"FROM_FAILURE", "ALL_STEPS"}:
            raise DefinitionError(
                f"the tag {RETRY_STRATEGY_TAG!r} is {strategy!r}; it must be FROM_FAILURE or ALL_STEPS",
                where=self.job.where,
            )
        result, loop = self.once(wish, options)
        for number in range(1, allowed + 1):
            if result.record.status is not RunStatus.FAILURE:
                break
            again = ReexecutionOptions(result.run_id, is_from_failure=strategy == "FROM_FAILURE")
            result, loop = self.once(replace(wish, tags={**wish.tags, RETRY_NUMBER_TAG: str(number)}), again)
        return result, loop

    def once(self, wish: Wish, options: ReexecutionOptions | None) -> tuple[RunResult, RunLoop]:
        parent = root = None
        if options is not None:
            wish, parent, root = self.again(wish, options)
        return _run(
            self.job,
            wish,
            home=self.home,
            run_id=None,
            workers=self.workers,
            target=self.reference,
            listen=self.listen,
            on_plan=self.on_plan,
            parent=parent,
            root=root,
        )

    def again(self, wish: Wish, options: ReexecutionOptions) -> tuple[Wish, str, str]:
        """The wish for a run that is to follow another."""
        left = remainder_of(self.home, self.job, options)
        parent, root = left.record.run_id, left.record.root_run_id or left.record.run_id
        tags = {**_own_tags(left.record), **wish.tags, PARENT_RUN_ID_TAG: parent, ROOT_RUN_ID_TAG: root}
        if options.is_from_failure:
            tags[RESUME_RETRY_TAG] = "true"
        if options.step_selection:
            tags[STEP_SELECTION_TAG] = ",".join(options.step_selection)
        if wish.run_config is None:
            wish = replace(wish, run_config=left.record.run_config)
        wish = replace(wish, tags=tags)
        if options.step_selection:
            return (
                replace(wish, selected=select_steps(self.job.steps, options.step_selection), outside=left.outside),
                parent,
                root,
            )
        if wish.selection is None and left.record.steps:
            wish = replace(wish, selected=frozenset(key for key in left.record.steps if key in self.job.steps))
        if not options.is_from_failure:
            return wish, parent, root
        if is_memoized(self.job, tags, by_default=True):
            # What finished is found again by its version, which also says whether it still counts; only what cannot be
            # found so is taken from the parent, and only if it was made of what it would be made of now.
            return self._without_finished_plain_steps(wish, left), parent, root
        return (
            replace(wish, selected=left.unfinished, outside=left.outside, reason=Reason.NOT_FINISHED),
            parent,
            root,
        )

    def _without_finished_plain_steps(self, wish: Wish, left: Any) -> Wish:
        with prepare(self.job, wish, home=self.home) as prepared:
            plan = prepared.plan
        keep = {
            key
            for key, step in plan.steps.items()
            if step.reason is Reason.NOT_MEMOIZABLE
            and key not in left.unfinished
            and key in left.outside
            and left.versions.get(key) == step.version
        }
        return replace(
            wish,
            selected=frozenset(plan.steps) - keep,
            outside={key: left.outside[key] for key in keep},
        )


def _own_tags(record: RunRecord) -> dict[str, str]:
    """The tags that a run was given, without what memo writes of its descent."""
    descent = {PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG, RESUME_RETRY_TAG, RETRY_NUMBER_TAG, STEP_SELECTION_TAG}
    return {name: value for name, value in record.tags.items() if name not in descent}


def _run(
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
    started = time()
    run_id = _checked_run_id(run_id) if run_id is not None else new_run_id()
    with prepare(job, wish, home=home, run_id=run_id) as prepared:
        if home is not None:
            home.make()
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
        with RunLog():
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
            )


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

    def run_step(task: StepTask) -> StepOutcome:
        with KeptOutput(prepared.environment.logs_dir, task.step_key):
            return StepAttempt(task, prepared.environment, prepared.scope, prepared.storage, emit).run()

    in_process: Executor = family_member(EXECUTORS, "in_process")(run_step)
    return in_process


def _multiprocess(
    prepared: Prepared,
    workers: int,
    target: JobReference,
    wish: Wish,
    emit: Callable[[Event], None],
) -> Executor:
    from memo.execution.worker import WorkerOrders

    environment, versions = prepared.environment, prepared.plan.versions
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    assert environment.storage_dir is not None
    orders = WorkerOrders(
        target.place,
        target.job,
        os.getcwd(),
        environment.storage_dir,
        environment.logs_dir,
        environment.run_id,
        wish.run_config,
        dict(wish.input_values or {}),
        wish.tags,
        {key: versions.steps[key].op_version for key in prepared.plan.steps} if versions else {},
        main_is_target=main_file is not None and os.path.abspath(main_file) == os.path.abspath(target.place),
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
                    f"cannot read it: "
                    f"run in one process (-j 1), or store it in files (fs_io_manager)",
                    where=job.steps[key].where,
                )


def _workers(job: JobDefinition, run_config: Any, asked: int | None, settings: Settings) -> int:
    """How many worker processes to run steps in; 0 for none."""
    given = (run_config or {}).get("execution") if isinstance(run_config, dict) else None
    configured = ((given or {}).get("config") or {}).get("max_concurrent") if isinstance(given, dict) else None
    executor = job.executor_def
    if asked is None and executor is not None and executor.name == "in_process":
        return 0
    if asked is None and executor is not None and executor.name == "multiprocess":
        return int(configured or executor.config.get("max_concurrent") or os.cpu_count() or 1)
    count = asked if asked is not None else configured or settings.max_concurrent
    if type(count) is not int or count < 1:
        raise DefinitionError(f"max_concurrent is {count!r}; it must be a whole number from 1 on")
    return count if count > 1 else 0


def _force(force: bool | Iterable[str] | str) -> bool | tuple[str, ...]:
    return force if isinstance(force, bool) else selection_of(force) or False


def _raise_first(loop: RunLoop, raise_on_error: bool) -> None:
    if raise_on_error:
        for key, outcome in loop.outcomes.items():
            if outcome == "failure":
                error = loop.exceptions.get(key)
                if error is not None:
                    raise error
                from memo.errors import ExecutionError

                info = loop.errors.get(key)
                raise ExecutionError(info.message if info else "failed", where=loop.job.steps[key].where)


def _keepable(value: Any) -> Any:
    """The run config as the catalog can keep it; None where it holds what no file could."""
    import msgspec

    try:
        return msgspec.json.decode(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError):
        return None


def _silent(_event: Event) -> None:
    """Listen to nothing."""


__all__ = [
    "execute_in_process",
    "execute_job",
    "plan_job",
]
