"""`memo ls`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.completing import complete_job
from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options

if TYPE_CHECKING:
    from memo.project.holdings import HeldOutput, HeldStep
    from memo.project.home import Home

_STYLES = {"current": "green", "outdated": "dim"}


@click.command()
@click.argument("target", metavar="[TARGET]", type=click.Path(), required=False)
@click.option(
    "--job", metavar="NAME", shell_complete=complete_job, help="Only what this job stored; or the job of TARGET."
)
@click.option("--step", metavar="STEP", help="Only what this step stored.")
@click.option(
    "--sort",
    type=click.Choice(("size", "age")),
    default="size",
    show_default=True,
    help="What comes first: the largest, or the oldest.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="So many, the first.")
@config_options
@common_options
@guarded
def ls(
    target: str | None,
    job: str | None,
    step: str | None,
    sort: str,
    limit: int | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> int:
    """List what is stored: each output with its size, its age, and what it costs to make again.

    Age counts from the start of the latest run that used it. With a TARGET, only what its job made or needs now, and
    whether it does: `current` is what a run would reuse, `outdated` all else.
    """
    from time import time

    from memo.cli.held import (
        cost_text,
        rest_json,
        rest_lines,
        step_json,
        tell_nothing,
        tell_rest,
        total_text,
        version_text,
    )
    from memo.cli.text import age_text, bytes_text, many, out, out_json, table, tell
    from memo.project.holdings import take_stock
    from memo.project.home import find_home

    if target is None and (config_files or assignments or tags):
        raise click.UsageError("--config, --set and --tag are for the plan of a TARGET, and there is none")
    with find_home(home) as opened:
        current = None
        if target is not None:
            job, current = _needed_now(opened, target, job, config_files, assignments, tags)
        holdings = take_stock(opened)
    wanted = [
        (held, output)
        for held in holdings.steps
        if (job is None or held.job_name == job or (current is not None and held.version in current))
        and (step is None or held.step_key == step)
        for output in held.outputs
    ]
    wanted.sort(key=(lambda pair: -pair[1].size) if sort == "size" else (lambda pair: pair[0].used_at))
    shown = wanted[:limit]
    if as_json:
        outputs = [
            {**step_json(held), "output": output.name, **_output_json(output), "current": _is_current(held, current)}
            for held, output in shown
        ]
        out_json({"outputs": outputs, "count": len(wanted), **rest_json(holdings)})
        return 0
    if not wanted:
        which = " of this kind" if job is not None or step is not None else ""
        tell_nothing(opened, which)
        tell_rest(holdings)
        return 0
    now = time()
    header = ["STEP", "OUTPUT", "VERSION", "SIZE", "AGE", "TO MAKE AGAIN", "JOB"]
    rows = [
        [
            held.step_key,
            output.name if output.mapping_key is None else f"{output.name}[{output.mapping_key}]",
            version_text(held),
            bytes_text(output.size),
            age_text(now - held.used_at),
            "adopted" if held.adopted else cost_text(held.seconds),
            held.job_name,
        ]
        for held, output in shown
    ]
    styles: list[str | None] | None = None
    if current is not None:
        states = ["current" if _is_current(held, current) else "outdated" for held, _ in shown]
        header, rows = ["STATE", *header], [[state, *row] for state, row in zip(states, rows, strict=True)]
        styles = [_STYLES[state] for state in states]
    right = (3, 4, 5) if current is None else (4, 5, 6)
    for line in table(header, rows, styles=styles, right=right):
        out(line)
    size = sum(output.size for _, output in wanted)
    more = f", {len(shown):,} of them shown" if len(shown) < len(wanted) else ""
    out(f"{many(len(wanted), 'output')}, {bytes_text(size)}{more}; {total_text(holdings)}")
    for what, count, taken in rest_lines(holdings):
        tell(f"{many(count, 'file')} {what}: {bytes_text(taken)}" if count else f"{what}: {bytes_text(taken)}")
    tell_rest(holdings)
    return 0


def _needed_now(
    home: Home,
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
) -> tuple[str, frozenset[str]]:
    """The name of a target's job, and the versions that a run of it would stand on."""
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.project.running import plan_job

    with kept_for_result():
        found, _ = load_job(target, job)
        plan = plan_job(
            found, run_config=read_run_config(config_files, assignments), tags=read_tags(tags), instance=home
        )
    versions = {each.stored_as or each.version for each in plan.steps.values()}
    return found.name, frozenset(version for version in versions if version is not None)


def _is_current(held: HeldStep, current: frozenset[str] | None) -> bool | None:
    return None if current is None else held.version in current


def _output_json(output: HeldOutput) -> dict[str, Any]:
    return {"mapping_key": output.mapping_key, "kind": output.kind, "output_bytes": output.size}
