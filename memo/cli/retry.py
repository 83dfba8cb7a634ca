"""`memo retry`."""

from __future__ import annotations

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options, concurrency_option, run_argument, verbose_option


@click.command()
@run_argument
@click.option("--from-failure", is_flag=True, help="Only what failed and what never finished.")
@concurrency_option
@verbose_option
@common_options
@guarded
def retry(
    run_id: str,
    from_failure: bool,
    max_concurrent: int | None,
    verbose: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Run a run again, all of it or from its failure.

    RUN is a run's id, the beginning of one, or `last`. Its config, its tags and its selection of steps are taken over.
    The job is read anew from the file or module that the run named; what is stored under its present code and config
    is reused, as in any run.
    """
    from memo.cli.carrying_out import carry_out
    from memo.cli.opening import find_run, load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.summary import result_json
    from memo.cli.text import out_json
    from memo.errors import InvocationError
    from memo.project.home import find_home
    from memo.project.reexecution import ReexecutionOptions

    opened = find_home(home)
    record = find_run(opened, run_id)
    if record.target is None:
        raise InvocationError(
            f"run {record.run_id} was started from Python, and nothing says where its job {record.job_name!r} is: run "
            f"it again there with execute_job(…, reexecution_options=ReexecutionOptions({record.run_id!r}))",
        )
    with kept_for_result(as_json):
        _, reference = load_job(record.target, None)
        code, result = carry_out(
            reference,
            opened,
            home_option=home,
            max_concurrent=max_concurrent,
            verbose=verbose,
            reexecution_options=ReexecutionOptions(record.run_id, is_from_failure=from_failure),
        )
    if as_json and result is not None:
        out_json(result_json(result))
    return code
