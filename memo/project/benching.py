"""What a job costs cold, with nothing to do and after an edit, each measured as a process of its own."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.contracts.io_manager import Storage
from memo.definition.names import check_tags
from memo.definition.resource import IOManagerDefinition
from memo.definition.selection import select_steps
from memo.errors import DefinitionError, InvocationError, SelectionError, did_you_mean
from memo.execution.environment import make_environment
from memo.execution.run import new_run_id
from memo.planning import Verdict
from memo.project.bench_figures import Bench, forecast_of
from memo.project.bench_runs import Runner
from memo.project.home import Home, find_root
from memo.project.preparing import Wish, is_memoized, prepare, selection_of
from memo.project.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from memo.definition.job import JobDefinition
    from memo.definition.reference import JobReference
    from memo.project.bench_figures import Comparison
    from memo.project.measuring import Start

LONG = 10.0
"""Seconds. What takes longer is not repeated unasked."""


class Surroundings(Struct, frozen=True):
    """Where the outputs of a job would land.

    Attributes:
        moved: The keys of IO managers that can keep in the scratch home what they are configured to keep elsewhere.
        outside: Those that store where memo does not know, or cannot but elsewhere: key -> the definition.
        remote: Where the project shares its outputs; None where it does not.
    """

    moved: tuple[str, ...]
    outside: dict[str, str]
    remote: str | None


def surroundings(
    job: JobDefinition,
    scratch: Path,
    start: Start,
    *,
    run_config: Any,
    selection: str | None,
    as_configured: bool,
) -> Surroundings:
    """Find out where the selected steps of a job would store.

    Raises:
        InvocationError: It is not to be stored where they are configured to, and nobody knows where that is.
        MemoError: The config, the settings or the selection is not as it must be.
    """
    storage = Storage(str(scratch / "home" / "storage"))
    environment = make_environment(job, run_id=new_run_id(), run_config=run_config, storage=storage)
    selected = _selected(job, selection)
    keys = {
        out.io_manager_key: None for key in selected for out in job.steps[key].op.outs.values() if not out.is_nothing
    }
    moved: list[str] = []
    outside: dict[str, str] = {}
    for key in keys:
        definition = environment.resource_defs[key]
        spec = definition.spec if isinstance(definition, IOManagerDefinition) else None
        if spec is None or spec.in_home is None:
            outside[key] = f"{definition.where} of {key!r}" if definition.name != key else definition.where
        elif spec.in_home(config := environment.config.resources.get(key)) != config:
            moved.append(key)
    if outside and not as_configured:
        raise InvocationError(_refusal(outside))
    return Surroundings(tuple(moved), outside, load_settings(find_root(start.folder)).storage.remote)


def _selected(job: JobDefinition, selection: str | None) -> list[str]:
    chosen = selection_of(selection)
    selected = frozenset(job.steps) if chosen is None else select_steps(job.steps, chosen)
    return [key for key in job.steps if key in selected]


def bench(
    job: JobDefinition,
    reference: JobReference,
    scratch: Path,
    options: Sequence[str],
    start: Start,
    *,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    selection: str | None = None,
    repeats: int = 3,
    colds: int = 1,
    change: str | None = None,
    as_configured: bool = False,
    tell: Callable[[str], None],
    listen: Callable[[str, str], None],
) -> Bench:
    """Measure a job.

    Args:
        job: The job.
        reference: By which other processes find it.
        scratch: An empty folder to work in.
        options: Of ``memo run``, as they were given: they must mean `run_config`, `tags` and `selection`.
        start: How the runs begin.
        run_config: Config for ops and resources.
        tags: Of the runs.
        selection: Which steps.
        repeats: How often to run with nothing to do.
        colds: How often to run cold.
        change: The step whose op is to count as edited; the one in the middle where left out.
        as_configured: Let IO managers store outside of the scratch folder, where they are configured to.
        tell: Told what is about to be done.
        listen: Told the stage, and every line that its process tells; called in another thread.

    Raises:
        BenchFailedError: A run failed.
        MemoError: The job cannot be measured so.
    """
    if not is_memoized(job, check_tags(tags, job.where), by_default=True):
        raise DefinitionError(
            "its tags turn memoization off, so that nothing of it is ever reused; leave the tag out to measure it",
            where=job.where,
        )
    selected = _selected(job, selection)
    edited = _edited(job, selected, change)
    found = surroundings(job, scratch, start, run_config=run_config, selection=selection, as_configured=as_configured)
    if as_configured:
        _check_empty(job, scratch, run_config, tags, selection)
        if colds > 1 and (found.moved or found.outside):
            raise InvocationError(
                "a second run would not be cold: what the first stores outside of the scratch home is still there; "
                "with --as-configured, leave --cold out"
            )
    moved = () if as_configured else found.moved
    runner = Runner(reference, scratch, options, start, moved, listen)
    all_run = f"all {len(selected):,} steps run, as long as they take"
    all_run = "its one step runs, as long as it takes" if len(selected) == 1 else all_run
    tell(f"cold: {all_run}" + (f"; {colds} times" if colds > 1 else ""))
    cold, steps = runner.cold(colds)
    tell(f"null: nothing has changed, {repeats} times and once for the profile")
    null, always = runner.null(repeats)
    cost = next((each.seconds for each in steps if each.key == edited), 0.0)
    times = 1 if cost > LONG else repeats
    tell(f"edit: the op of {edited!r} counts as edited, what it does stays; {times} times and once for the profile")
    edit, others = runner.edit(edited, times)
    op = job.steps[edited].op
    unsteady: dict[str, Comparison] = {
        key: how
        for key, how in others.items()
        if job.steps[key].op is op and others.keys().isdisjoint(job.steps[key].parents())
    }
    return Bench(
        job.name,
        cold,
        null,
        edit,
        steps,
        always,
        edited,
        op.name,
        unsteady,
        forecast_of(job, selected, edited, steps, edit, runner.workers),
        runner.workers,
    )


def _edited(job: JobDefinition, selected: Sequence[str], change: str | None) -> str:
    if not selected:
        raise DefinitionError("has no step that could be measured", where=job.where)
    if change is None:
        return selected[len(selected) // 2]
    if change not in job.steps:
        raise SelectionError(f"job {job.name!r} has no step {change!r}.{did_you_mean(change, job.steps)}")
    if change not in selected:
        raise SelectionError(f"the step {change!r}, which is to change, is not among those of --select")
    return change


def _check_empty(
    job: JobDefinition, scratch: Path, run_config: Any, tags: Mapping[str, object] | None, selection: str | None
) -> None:
    """Refuse to call a run cold that would find outputs where the IO managers are configured to keep them.

    Raises:
        InvocationError: There are some.
    """
    wish = Wish(run_config, check_tags(tags, job.where), selection_of(selection), memoize_by_default=True)
    with Home(scratch / "home") as home, prepare(job, wish, home=home) as prepared:
        there = [key for key, step in prepared.plan.steps.items() if step.verdict is Verdict.REUSE]
    if there:
        more = f" and of {len(there) - 1:,} more" if len(there) > 1 else ""
        raise InvocationError(
            f"what {there[0]!r} gives{more} is stored already where its IO manager is configured to keep it: no run "
            f"would be cold, and memo bench replaces nothing. Configure an empty place (-c, or --set resources.…)"
        )


def _refusal(outside: Mapping[str, str]) -> str:
    which = "this would" if len(outside) == 1 else "these would"
    return (
        f"memo bench stores nothing outside of its scratch home, and {which}, or may: {', '.join(outside.values())}. "
        f"Configure an empty place to try it in (-c, or --set resources.{next(iter(outside))}.config.…), and say "
        f"--as-configured"
    )


@contextmanager
def scratch_folder(given: str | None, start: Start, home: Home) -> Generator[Path]:
    """Make the folder to work in; one that nobody asked for is removed in the end.

    Args:
        given: Its name; None for one of its own.
        start: Where its name counts from.
        home: In which it must not be.

    Raises:
        InvocationError: It holds something, or is in the home, or cannot be made.
    """
    if given is None:
        from tempfile import TemporaryDirectory

        try:
            temporary = TemporaryDirectory(prefix="memo-bench-", ignore_cleanup_errors=True)
        except OSError as error:
            raise InvocationError(
                f"there is no folder for temporary files ({error.strerror}): name one with --scratch or TMPDIR"
            ) from error
        with temporary as made:
            yield Path(made)
        return
    folder = Path(os.path.abspath(os.path.join(start.folder, os.path.expanduser(given))))
    if home.holds(folder):
        raise InvocationError("is in the home, and --scratch works elsewhere", where=str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise InvocationError("is not empty, and --scratch works in an empty folder", where=str(folder))
    except OSError as error:
        raise InvocationError(f"cannot be made or read: {error.strerror}", where=str(folder)) from error
    yield folder


__all__ = [
    "Surroundings",
    "bench",
    "scratch_folder",
    "surroundings",
]
