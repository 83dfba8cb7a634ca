"""`memo adopt`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.completing import complete_step
from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options

if TYPE_CHECKING:
    from memo.definition.step import Step


@click.command()
@click.argument("target", metavar="TARGET", type=click.Path())
@click.argument("step", metavar="STEP", shell_complete=complete_step)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--job", metavar="NAME", help="The job, where TARGET defines several.")
@click.option("--force", is_flag=True, help="Replace what is stored under the step's present version.")
@click.option("--trust-pickle", is_flag=True, help="Read pickles, which may run any code: of somebody you trust.")
@config_options
@common_options
@guarded
def adopt(
    target: str,
    step: str,
    files: tuple[str, ...],
    job: str | None,
    force: bool,
    trust_pickle: bool,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> int:
    """Bring in outputs that were made elsewhere, as those of a step.

    They are stored as if the step had given them with its present code, config and inputs, and are reused from then
    on. `memo plan` and `memo why` say that they were adopted and that nothing has verified them, until
    `memo verify --rerun` finds that the step gives the same, or the step runs.

    FILE is read by its suffix: .json, .txt (a string), .parquet, .arrow, .feather (a table, or a data frame where the
    op says so), .npy, .bin (bytes), .pkl. For an op of several outputs give OUTPUT=FILE for each.

    \b
      memo adopt flights.py clean old/clean.parquet
      memo adopt flights.py split train=train.parquet test=test.parquet
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json
    from memo.cli.vouched import adoption_json
    from memo.errors import SelectionError, did_you_mean
    from memo.project.adopted_files import read_value
    from memo.project.adopting import adopt_outputs
    from memo.project.home import find_home

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)
    with find_home(home) as opened, kept_for_result():
        found, _ = load_job(target, job)
        if step not in found.steps:
            raise SelectionError(f"job {found.name!r} has no step {step!r}.{did_you_mean(step, found.steps)}")
        given = _given(found.steps[step], files)
        outs = found.steps[step].op.outs
        values: dict[str, Any] = {
            name: read_value(file, outs[name].dagster_type, trust_pickle=trust_pickle) for name, file in given.items()
        }
        adoption = adopt_outputs(
            found,
            step,
            values,
            files=given,
            force=force,
            run_config=run_config,
            tags=found_tags,
            instance=opened,
        )
    if as_json:
        out_json({"job": found.name, "step": step, **adoption_json(adoption)})
    else:
        shown = ", ".join(f"{name} from {file}" for name, file in adoption.files.items())
        out(f"step {step!r}: adopted {shown} in run {adoption.run_id}; not verified")
        out(f"  to verify:  memo verify {target} --rerun --select {step}")
    return 0


def _given(step: Step, files: tuple[str, ...]) -> dict[str, str]:
    """Which file is for which output.

    Raises:
        InvocationError: A file is for no output, or for one that has a file.
    """
    from memo.errors import InvocationError, did_you_mean

    outs = [name for name, out in step.op.outs.items() if not out.is_nothing]
    found: dict[str, str] = {}
    for each in files:
        name, sign, file = each.partition("=")
        if not sign or name not in step.op.outs:
            if len(outs) != 1:
                hint = did_you_mean(name, outs) if sign else ""
                raise InvocationError(
                    f"{each!r} names none of its outputs ({', '.join(outs)}); give OUTPUT=FILE for each.{hint}",
                    where=step.where,
                )
            name, file = outs[0], each
        if name in found:
            raise InvocationError(f"its output {name!r} is given twice: {found[name]!r} and {file!r}", where=step.where)
        found[name] = file
    return found
