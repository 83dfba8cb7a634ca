"""What the shell offers behind a command: the steps of a target or a run, the runs of the home.

Nothing here may speak up: whatever goes wrong, there is nothing to offer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from memo.definition.job import JobDefinition

_RUNS = 20
"""How many of the latest runs are offered."""


def complete_step(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the steps of the target's job, or of the run."""
    # Behind an option whose value is being typed, arguments are not told apart yet.
    target = ctx.params.get("target") or next(iter(ctx.args), None)
    found = _steps(ctx, target) if target else _recorded_steps(ctx)
    return [key for key in found if key.startswith(incomplete)]


def complete_run(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the latest runs."""
    try:
        from memo.cli.opening import LAST
        from memo.project.home import find_home

        found = [run.run_id for run in find_home(ctx.params.get("home")).catalog.list_runs(limit=_RUNS)]
    except Exception:  # noqa: BLE001 - see the module's docstring
        return []
    return [each for each in (LAST, *found) if each.startswith(incomplete)]


def complete_job(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the jobs of the latest runs."""
    try:
        from memo.project.home import find_home

        found = {run.job_name for run in find_home(ctx.params.get("home")).catalog.list_runs(limit=_RUNS)}
    except Exception:  # noqa: BLE001 - see the module's docstring
        return []
    return sorted(each for each in found if each.startswith(incomplete))


def _steps(ctx: click.Context, target: str) -> list[str]:
    try:
        from memo.cli.opening import load_job

        job: JobDefinition
        job, _ = load_job(target, ctx.params.get("job"))
    except Exception:  # noqa: BLE001 - see the module's docstring
        return []
    return list(job.steps)


def _recorded_steps(ctx: click.Context) -> list[str]:
    try:
        from memo.cli.opening import find_run
        from memo.project.home import find_home

        return list(find_run(find_home(ctx.params.get("home")), ctx.params["run_id"]).steps)
    except Exception:  # noqa: BLE001 - see the module's docstring
        return []
