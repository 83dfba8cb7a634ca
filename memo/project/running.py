"""Running and planning jobs: what the CLI, notebooks and tests call."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from memo.definition.names import check_tags
from memo.definition.reference import JobReference, reference_of
from memo.errors import DefinitionError
from memo.execution.environment import WORKER_VARIABLE
from memo.project.home import Home, find_root, opened_home
from memo.project.launching import launch
from memo.project.preparing import Wish, is_memoized, prepare, selection_of, with_resources
from memo.project.relaunching import Relaunching
from memo.project.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.definition.job import JobDefinition
    from memo.events import Event
    from memo.execution.loop import RunLoop
    from memo.execution.result import RunResult
    from memo.planning import Plan
    from memo.project.reexecution import ReexecutionOptions


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
        result, loop = launch(job, wish, home=home, run_id=run_id, workers=0, target=None, listen=_silent)
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
        run = Relaunching(definition, reference, home, workers, settings, listen or _silent, on_plan)
        result, loop = run.run(wish, reexecution_options)
    _raise_first(loop, raise_on_error)
    return result


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


def _silent(_event: Event) -> None:
    """Listen to nothing."""


__all__ = [
    "execute_in_process",
    "execute_job",
    "plan_job",
]
