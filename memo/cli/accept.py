"""`memo accept`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memo.cli.completing import complete_run, complete_step
from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options

if TYPE_CHECKING:
    from memo.project.home import Home


@click.command()
@click.argument("target", metavar="[TARGET]", required=False, type=click.Path())
@click.argument("step", metavar="[STEP]", required=False, shell_complete=complete_step)
@click.option("--reason", metavar="TEXT", help="Why the step gives the same as before; it is shown with the step.")
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    shell_complete=complete_run,
    help="The run whose version is meant; the latest in which the step had its present config and inputs where left "
    "out, or else the latest in which it had outputs.",
)
@click.option("--list", "is_list", is_flag=True, help="List what was accepted, and what was revoked since.")
@click.option("--revoke", "number", metavar="ID", type=click.IntRange(min=1), help="Take an acceptance back.")
@click.option("--job", metavar="NAME", help="The job, where TARGET defines several; with --list, only of this job.")
@config_options
@common_options
@guarded
def accept(
    target: str | None,
    step: str | None,
    reason: str | None,
    run_id: str | None,
    is_list: bool,
    number: int | None,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> int:
    """Declare the present version of a step equal to a stored one.

    For a change that memo must take for one, and that you know changes nothing: the step is reused as it was, and so
    are the steps that read it. What changed is shown, and by `memo why` again. It holds for exactly the code, config
    and inputs of now: a later edit is not covered, and runs the step. Nothing is checked; `memo verify --rerun` does.

    \b
      memo accept flights.py clean --reason "only faster"
      memo accept --list
      memo accept --revoke 1
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.project.home import find_home

    others = (target, step, reason, run_id, *config_files, *assignments, *tags)
    if is_list or number is not None:
        if any(each is not None for each in others) or (is_list and number is not None) or (job and not is_list):
            raise click.UsageError("--list and --revoke ID stand alone: memo accept --list, memo accept --revoke 1")
        with find_home(home) as opened:
            return _revoke(opened, number, as_json) if number is not None else _list(opened, job, as_json)
    if target is None or step is None:
        raise click.UsageError("TARGET and STEP are missing: memo accept TARGET STEP --reason TEXT")
    if reason is None:
        raise click.UsageError('say why the step gives the same as before: --reason "only a rename"')
    with find_home(home) as opened:
        return _accept(opened, target, step, reason, run_id, job, config_files, assignments, tags, as_json)


def _accept(
    opened: Home,
    target: str,
    step: str,
    reason: str,
    run_id: str | None,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    as_json: bool,
) -> int:
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import find_run, load_job
    from memo.cli.reasons import Present
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json
    from memo.cli.vouched import acceptance_json
    from memo.project.accepting import accept_version
    from memo.project.running import plan_job

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)
    with kept_for_result():
        found, _ = load_job(target, job)
        run = None if run_id is None else find_run(opened, run_id).run_id
        made = accept_version(found, step, reason, run_config=run_config, tags=found_tags, run=run, instance=opened)
        plan = plan_job(found, run_config=run_config, tags=found_tags, instance=opened)
    present = Present(found, plan, step, opened.catalog, None)
    if as_json:
        out_json({**acceptance_json(made), "changes": present.json()["changes"]})
    else:
        for line in present.lines():
            out(line)
    return 0


def _revoke(opened: Home, number: int, as_json: bool) -> int:
    from memo.cli.text import out, out_json
    from memo.cli.vouched import acceptance_json
    from memo.project.accepting import revoke_acceptance

    revoked = revoke_acceptance(number, instance=opened)
    if as_json:
        out_json(acceptance_json(revoked))
    else:
        out(
            f"acceptance {number} of step {revoked.step_key!r} in job {revoked.job_name!r} is revoked: {revoked.reason}"
        )
    return 0


def _list(opened: Home, job: str | None, as_json: bool) -> int:
    from memo.cli.text import out, out_json, table, tell, time_text
    from memo.cli.vouched import acceptance_json

    found = opened.catalog.acceptances(job)
    if as_json:
        out_json([acceptance_json(each) for each in found])
        return 0
    if not found:
        of_job = f" of job {job!r}" if job else ""
        tell(f"nothing{of_job} was accepted in the home {opened.path}")
        return 0
    rows = [
        (
            str(each.id),
            each.job_name,
            each.step_key,
            time_text(each.at),
            "holds" if each.revoked_at is None else f"revoked {time_text(each.revoked_at)}",
            each.reason,
        )
        for each in found
    ]
    styles = ["green" if each.revoked_at is None else "dim" for each in found]
    for line in table(("ID", "JOB", "STEP", "ACCEPTED", "STATE", "REASON"), rows, styles=styles):
        out(line)
    return 0
