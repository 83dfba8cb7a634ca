"""What `memo run` and `memo retry` share: a run followed to its end, and stopped cleanly where it is asked to."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from memo.cli.progress import Progress
from memo.cli.summary import result_json, tell_result
from memo.cli.text import out_json, tell

if TYPE_CHECKING:
    from collections.abc import Generator

    from memo.definition.reference import JobReference
    from memo.project.home import Home


def carry_out(
    reference: JobReference,
    home: Home,
    *,
    home_option: str | None,
    max_concurrent: int | None,
    verbose: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Run a job and tell of it.

    Args:
        reference: Of the job.
        home: Where it runs.
        home_option: As it was given, for the commands to type next.
        max_concurrent: How many steps run at once.
        verbose: Tell of every step.
        as_json: Give the result as JSON.
        options: For `memo.project.running.execute_job`.

    Returns:
        The exit code.
    """
    from memo.project.running import execute_job

    progress = Progress(workers=max_concurrent or 1, verbose=verbose)
    with _standard_output_kept_for_json(as_json):
        try:
            with _stopped_by_sigterm():
                result = execute_job(
                    reference,
                    home,
                    max_concurrent=max_concurrent,
                    listen=progress.listen,
                    on_plan=progress.begin,
                    **options,
                )
        except KeyboardInterrupt:
            progress.end()
            tell(_canceled(progress.run_id), "yellow")
            return 130
        finally:
            progress.end()
            home.close()
        # What ops printed comes before what is said of them.
        sys.stdout.flush()
        tell_result(result, home=home_option)
    if as_json:
        out_json(result_json(result.record, result.errors, result.plan.warnings))
    return 0 if result.success else 1


def _canceled(run_id: str | None) -> str:
    if run_id is None:
        return "interrupted before anything ran"
    return f"interrupted: run {run_id} is canceled; what has finished is kept, and the same command goes on from there"


@contextmanager
def _stopped_by_sigterm() -> Generator[None]:
    """Let the signal by which systems stop a program do what Ctrl-C does."""

    def interrupt(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _standard_output_kept_for_json(wanted: bool) -> Generator[None]:
    """Send what ops print to standard error, with what the programs print that they start: the JSON stands alone."""
    if not wanted:
        yield
        return
    sys.stdout.flush()
    before, kept = sys.stdout, os.dup(1)
    sys.stdout = sys.stderr
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout = before
        os.dup2(kept, 1)
        os.close(kept)
