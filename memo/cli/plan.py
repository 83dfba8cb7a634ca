"""`memo plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.failures import guarded
from memo.cli.options import (
    WishCommand,
    common_options,
    config_options,
    forced,
    target_argument,
    wish_options,
)

if TYPE_CHECKING:
    from memo.planning import Plan


@click.command(cls=WishCommand)
@target_argument
@config_options
@wish_options
@common_options
@guarded
def plan(
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    force: str | None,
    no_memo: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Show what a run would do, step by step, and why. Nothing runs.

    \b
    RUN       it runs
    MAYBE     an upstream step runs; it runs too, unless that gives the same value as before
    REUSE     its outputs are stored
    UNNEEDED  its outputs are gone, and nothing that runs reads them
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json, tell
    from memo.cli.verdicts import blind_spot_lines, plan_text, warning_lines
    from memo.project.home import find_home
    from memo.project.running import plan_job
    from memo.tags import MEMOIZED_RUN_TAG

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)
    if no_memo:
        found_tags[MEMOIZED_RUN_TAG] = "false"
    opened = find_home(home)
    try:
        with kept_for_result():
            found, reference = load_job(target, job)
            made = plan_job(
                found,
                run_config=run_config,
                tags=found_tags,
                op_selection=select,
                force=forced(force),
                instance=opened,
            )
        spots = [] if as_json else blind_spot_lines(found, made, reference, opened, home)
    finally:
        opened.close()
    if as_json:
        out_json(_json(made))
        return 0
    for line in _lines(made):
        out(line)
    out(f"{made.job_name}: {plan_text(made)}")
    for line in (*warning_lines(made), *spots):
        tell(line, "yellow")
    return 0


def _lines(made: Plan) -> list[str]:
    from memo.cli.text import seconds_text, table
    from memo.cli.verdicts import VERDICT_STYLES, reason_text

    rows: list[tuple[str, ...]] = []
    for step in made.steps.values():
        seconds = seconds_text(step.seconds) if step.seconds is not None else ""
        saves = step.verdict.value == "REUSE"
        runs = step.verdict.value in {"RUN", "MAYBE"}
        rows.append(
            (
                step.verdict.value,
                step.key,
                reason_text(step),
                seconds if runs else "",
                seconds if saves else "",
            )
        )
    styles = [VERDICT_STYLES[row[0]] for row in rows]
    return table(("VERDICT", "STEP", "WHY", "TAKES", "SAVES"), rows, styles=styles, right=(3, 4))


def _json(made: Plan) -> dict[str, Any]:
    from memo.planning import Verdict

    steps = made.steps.values()
    return {
        "job": made.job_name,
        "memoized": made.memoized,
        "steps": [
            {
                "step": step.key,
                "verdict": step.verdict,
                "reason": step.reason.value,
                "detail": step.detail,
                "seconds": step.seconds,
                "version": step.version,
                "stored_as": step.stored_as,
            }
            for step in steps
        ],
        "counts": {verdict.value: sum(step.verdict.value == verdict for step in steps) for verdict in Verdict},
        "seconds_to_run": _seconds(made, "RUN"),
        "seconds_maybe": _seconds(made, "MAYBE"),
        "seconds_saved": _seconds(made, "REUSE"),
        "warnings": made.warnings,
    }


def _seconds(made: Plan, verdict: str) -> float:
    return sum(step.seconds or 0.0 for step in made.steps.values() if step.verdict.value == verdict)
