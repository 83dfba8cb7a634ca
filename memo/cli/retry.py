"""`memo retry`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options, concurrency_option, run_argument, verbose_option

if TYPE_CHECKING:
    from memo.contracts.run_store import RunRecord
    from memo.definition.job import JobDefinition


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
    from memo.cli.opening import find_run, load_job, open_home
    from memo.cli.standard_output import kept_for_result
    from memo.cli.summary import result_json
    from memo.cli.text import out_json
    from memo.errors import InvocationError
    from memo.project.reexecution import ReexecutionOptions

    opened = open_home(home)
    record = find_run(opened, run_id)
    if record.target is None:
        raise InvocationError(
            f"run {record.run_id} was started from Python, and nothing says where its job {record.job_name!r} is: run "
            f"it again there with execute_job(…, reexecution_options=ReexecutionOptions({record.run_id!r}))",
        )
    with kept_for_result(as_json):
        job, reference = load_job(record.target, None)
        code, result = carry_out(
            reference,
            opened,
            home_option=home,
            max_concurrent=max_concurrent,
            verbose=verbose,
            tags=_own_tags(record, job),
            op_selection=_selection(record, job),
            reexecution_options=ReexecutionOptions(record.run_id, is_from_failure=from_failure),
        )
    if as_json and result is not None:
        out_json(result_json(result))
    return code


def _own_tags(record: RunRecord, job: JobDefinition) -> dict[str, str]:
    """The tags that the run was given: without the job's, and without what memo writes of a run's descent."""
    from memo.tags import PARENT_RUN_ID_TAG, RESUME_RETRY_TAG, RETRY_NUMBER_TAG, ROOT_RUN_ID_TAG, STEP_SELECTION_TAG

    descent = {PARENT_RUN_ID_TAG, RESUME_RETRY_TAG, RETRY_NUMBER_TAG, ROOT_RUN_ID_TAG, STEP_SELECTION_TAG}
    return {name: value for name, value in record.tags.items() if name not in descent and job.tags.get(name) != value}


def _selection(record: RunRecord, job: JobDefinition) -> tuple[str, ...] | None:
    """The steps of the run, where they were not all of the job's."""
    steps = tuple(key for key in record.steps if key in job.steps)
    return steps if steps and len(steps) < len(job.steps) else None
