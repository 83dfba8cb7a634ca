"""`memo verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options, select_option, target_argument

if TYPE_CHECKING:
    from memo.project.verifying import StepVerification, Verification

_STYLES = {
    "SAME": "green",
    "DIFFERS": "red",
    "FAILED": "red",
    "NOT_COMPARABLE": "yellow",
    "NOT_STORED": "dim",
    "NO_VALUE": "dim",
}


def _share(ctx: click.Context, parameter: click.Parameter, given: str) -> float:
    """Read a percentage as the share that it is."""
    try:
        share = float(given.removesuffix("%")) / 100 if given.endswith("%") else 0.0
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 1.0:
        raise click.BadParameter(
            f"{given!r} is no share of the steps; write a percentage above 0% and up to 100%", ctx, parameter
        )
    return share


@click.command()
@target_argument
@config_options
@select_option
@click.option("--rerun", is_flag=True, help="Run stored steps again and compare.")
@click.option(
    "--sample",
    metavar="PERCENT",
    default="100%",
    callback=_share,
    help="Run only this share of them, as --sample 10%; at least one.",
)
@click.option("--seed", type=int, metavar="N", help="Draw the same sample again; each is told with its seed.")
@common_options
@guarded
def verify(
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    rerun: bool,
    sample: float,
    seed: int | None,
    home: str | None,
    as_json: bool,
) -> int:
    """Run stored steps again, to find ops that are not deterministic.

    Each runs with its stored inputs, and what it gives is compared with what is stored, which stays as it is. What
    differs hangs on more than code, config and inputs: on random numbers, the clock, a file or a variable that the
    version of the step does not cover. Outputs that were adopted are marked as verified where the step gives the same.
    Exit code 1 where a step gives something else or fails, 0 where none does.

    \b
      memo verify flights.py --rerun
      memo verify flights.py --rerun --select 'clean*' --sample 10% --seed 7
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    import sys

    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json, tell
    from memo.project.home import find_home
    from memo.project.verifying import verify_job

    if not rerun:
        raise click.UsageError("say how to verify: --rerun runs stored steps again and compares")
    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)

    def on_step(step: StepVerification) -> None:
        if step.seconds is not None and sys.stderr.isatty():
            tell(f"ran {step.key}", "dim")

    with find_home(home) as opened, kept_for_result():
        found, _ = load_job(target, job)
        made = verify_job(
            found,
            run_config=run_config,
            tags=found_tags,
            op_selection=select,
            sample=sample,
            seed=seed,
            instance=opened,
            on_step=on_step,
        )
    if as_json:
        out_json(_json(made))
    else:
        for line in _lines(made):
            out(line)
    return 0 if made.success else 1


def _lines(made: Verification) -> list[str]:
    from memo.cli.text import seconds_text, table

    shown = [step for step in made.steps.values() if step.outcome != "NOT_SAMPLED"]
    rows = [
        (
            step.outcome.replace("_", " "),
            step.key,
            seconds_text(step.seconds) if step.seconds is not None else "",
            _what(step),
        )
        for step in shown
    ]
    styles = [_STYLES[step.outcome] for step in shown]
    header, *lines = table(("OUTCOME", "STEP", "TOOK", "WHAT"), rows, styles=styles, right=(2,))
    found = [header]
    for step, line in zip(shown, lines, strict=True):
        found.append(line)
        found += [f"  {output}" for output in step.outputs]
    return [*found, f"{made.job_name}: {_summary(made)}"]


def _what(step: StepVerification) -> str:
    if step.outcome == "DIFFERS" and step.vouched:
        was, way_out = (
            ("adopted", "") if step.vouched == "adopted" else ("accepted as equal", ", or memo accept --revoke")
        )
        op = f"op {step.op_name!r} ({step.location})"
        return f"what was {was} is not what {op} gives: memo run --force {step.key}{way_out}"
    if step.outcome == "DIFFERS":
        return f"op {step.op_name!r} ({step.location}) is not deterministic"
    return step.detail


def _summary(made: Verification) -> str:
    from memo.cli.text import many

    count = dict.fromkeys(("NOT_SAMPLED", *_STYLES), 0)
    for step in made.steps.values():
        count[step.outcome] += 1
    ran = sum(count[each] for each in ("SAME", "DIFFERS", "FAILED", "NOT_COMPARABLE"))
    if not ran:
        return "no step is stored that could run again; `memo run` stores them"
    parts = [f"{many(ran, 'step')} ran again", f"{count['SAME']:,} gave the same"]
    words = {
        "DIFFERS": "gave something else",
        "FAILED": "failed",
        "NOT_COMPARABLE": "cannot be compared",
        "NOT_STORED": "not stored",
        "NO_VALUE": "without a value",
    }
    parts += [f"{count[outcome]:,} {text}" for outcome, text in words.items() if count[outcome]]
    if count["NOT_SAMPLED"]:
        parts.append(f"{count['NOT_SAMPLED']:,} not in the sample (--seed {made.seed} draws it again)")
    return ", ".join(parts)


def _json(made: Verification) -> dict[str, Any]:
    return {
        "job": made.job_name,
        "success": made.success,
        "sample": made.sample,
        "seed": made.seed,
        "nondeterministic_ops": [{"op": name, "location": place} for name, place in made.nondeterministic_ops],
        "steps": [
            {
                "step": step.key,
                "outcome": step.outcome.value,
                "op": step.op_name,
                "location": step.location,
                "detail": step.detail,
                "vouched": step.vouched or None,
                "seconds": step.seconds,
                "outputs": step.outputs,
            }
            for step in made.steps.values()
        ],
    }
