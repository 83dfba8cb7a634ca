"""`memo why`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memo.cli.completing import complete_run, complete_step
from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from memo.cli.reasons import Between, Present
    from memo.contracts.run_store import RunRecord
    from memo.project.home import Home

_LATEST_RUNS = 1000
"""How many of a job's latest runs are looked through for the one before."""


def _complete_first(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer files to be the target, or the steps of the run that was named."""
    from click.shell_completion import CompletionItem

    if not ctx.params.get("run_ids"):
        return parameter.type.shell_complete(ctx, parameter, incomplete)
    try:
        from memo.cli.opening import find_run
        from memo.project.home import find_home

        found = find_run(find_home(ctx.params.get("home")), ctx.params["run_ids"][0]).versions
    except Exception:  # noqa: BLE001 - nothing may speak up while the user types
        return []
    return [CompletionItem(key) for key in found if key.startswith(incomplete)]


@click.command()
@click.argument("target", metavar="[TARGET]", type=click.Path(), shell_complete=_complete_first)
@click.argument("step", metavar="STEP", required=False, shell_complete=complete_step)
@click.option("--job", metavar="NAME", help="The job, where TARGET defines several.")
@click.option(
    "--run",
    "run_ids",
    metavar="RUN",
    multiple=True,
    shell_complete=complete_run,
    help="Compare with the step in this run; given twice, compare the second run with the first.",
)
@config_options
@common_options
@guarded
def why(
    target: str,
    step: str | None,
    job: str | None,
    run_ids: tuple[str, ...],
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> int:
    """Explain one step's verdict, or what changed in it between two runs, with a diff.

    `memo why TARGET STEP` says what a run would do with the step now. The step is compared with the last time: code
    with a diff of its text, config by its path, packages by their versions, inputs up through the steps that they come
    from to those whose own code, config or resources changed. For a step that is reused it tells when it ran last, and
    why it did. With --run it is compared with that run instead.

    `memo why STEP --run A --run B` compares two runs of the past, and `memo why STEP --run B` a run with the one before
    it, from the history alone: nothing is loaded, and nothing runs.
    """
    from memo.cli.text import out, out_json
    from memo.project.home import find_home

    if len(run_ids) > 2:
        raise click.UsageError(f"--run is given {len(run_ids)} times; two runs are compared at most")
    loads = step is not None and len(run_ids) < 2
    if not loads and not run_ids:
        raise click.UsageError("STEP is missing: memo why TARGET STEP, or memo why STEP --run A --run B")
    if not loads and (job or config_files or assignments or tags):
        raise click.UsageError(
            "--job, --config, --set and --tag are for TARGET as it is now, and two runs are compared"
        )
    opened = find_home(home)
    try:
        if loads:
            assert step is not None
            answer: Present | Between = _present(opened, target, job, step, run_ids, config_files, assignments, tags)
        else:
            answer = _between(opened, step or target, run_ids)
        if as_json:
            out_json(answer.json())
        else:
            for line in answer.lines():
                out(line)
    finally:
        opened.close()
    return 0


def _present(
    opened: Home,
    target: str,
    job: str | None,
    step: str,
    run_ids: tuple[str, ...],
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
) -> Present:
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import find_run, load_job
    from memo.cli.reasons import Present
    from memo.cli.standard_output import kept_for_result
    from memo.errors import SelectionError, did_you_mean
    from memo.project.running import plan_job

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)
    with kept_for_result():
        found, _ = load_job(target, job)
        made = plan_job(found, run_config=run_config, tags=found_tags, instance=opened)
    if step not in made.steps:
        raise SelectionError(f"job {found.name!r} has no step {step!r}.{did_you_mean(step, made.steps)}")
    return Present(found, made, step, opened.catalog, find_run(opened, run_ids[0]) if run_ids else None)


def _between(opened: Home, step: str, run_ids: tuple[str, ...]) -> Between:
    from memo.cli.opening import find_run
    from memo.cli.reasons import Between

    runs = [find_run(opened, each) for each in run_ids]
    if len(runs) == 1:
        runs.insert(0, _run_before(opened, runs[0], step))
    return Between(step, runs[0], runs[1], opened.catalog)


def _run_before(opened: Home, run: RunRecord, step: str) -> RunRecord:
    """The run of the same job before a run, in which the step stood as well."""
    from memo.cli.reasons import step_in
    from memo.errors import RunNotFoundError

    step_in(run, step)
    latest = opened.catalog.list_runs(job_name=run.job_name, limit=_LATEST_RUNS)
    earlier = [each for each in latest if (each.started_at, each.run_id) < (run.started_at, run.run_id)]
    for each in earlier:
        whole = opened.catalog.get_run(each.run_id)
        if whole is not None and step in whole.versions:
            return whole
    raise RunNotFoundError(
        f"among the latest {_LATEST_RUNS} runs of job {run.job_name!r} none before run {run.run_id} has a step "
        f"{step!r}; name the run to compare with as well: --run A --run B",
    )
