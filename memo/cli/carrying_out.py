"""What `memo run` and `memo retry` share: a run followed to its end, and stopped cleanly where it is asked to."""

from __future__ import annotations

import gc
import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from memo.cli.progress import Progress
from memo.cli.summary import summary_line, tell_result
from memo.cli.text import tell

if TYPE_CHECKING:
    from collections.abc import Generator

    from memo.definition.reference import JobReference
    from memo.execution.result import RunResult
    from memo.planning import Plan
    from memo.project.home import Home


def carry_out(
    reference: JobReference,
    home: Home,
    *,
    home_option: str | None,
    max_concurrent: int | None,
    verbose: bool,
    **options: Any,
) -> tuple[int, RunResult | None]:
    """Run a job and tell of it.

    Args:
        reference: Of the job.
        home: Where it runs.
        home_option: As it was given, for the commands to type next.
        max_concurrent: How many steps run at once.
        verbose: Tell of every step.
        options: For `memo.project.running.execute_job`.

    Returns:
        The exit code, and the result where the run came to its end.
    """
    from memo.project.running import execute_job

    progress = Progress(workers=max_concurrent or 1, verbose=verbose)

    def begin(plan: Plan, run_id: str) -> None:
        if not plan.is_null:
            from memo.cli.undeclared import Undeclared, lint_hint

            # What the plan is made of stays to the end, and need not be walked again and again.
            gc.freeze()
            gc.enable()
            progress.undeclared = progress.undeclared or Undeclared(home, lint_hint(reference, home_option))
        progress.begin(plan, run_id)

    try:
        with _stopped_by_signals():
            result = execute_job(
                reference,
                home,
                max_concurrent=max_concurrent,
                listen=progress.listen,
                on_plan=begin,
                **options,
            )
    except KeyboardInterrupt:
        progress.end()
        _tell_canceled(home, progress.run_id)
        return 130, None
    finally:
        progress.end()
        home.close()
    # What ops printed comes before what is said of them.
    with suppress(BrokenPipeError):
        sys.stdout.flush()
    tell_result(result, home=home_option)
    return 0 if result.success else 1, result


def _tell_canceled(home: Home, run_id: str | None) -> None:
    record = home.catalog.get_run(run_id) if run_id is not None else None
    if record is None:
        tell("interrupted before anything ran", "yellow")
        return
    tell(summary_line(record), "yellow")
    tell(f"interrupted: run {run_id} is canceled; what has finished is kept, and the same command goes on from there")


_PATIENCE = 3
"""How often one has to ask before what does not listen is ended as it stands."""


@contextmanager
def _stopped_by_signals() -> Generator[None]:
    """Let Ctrl-C, and the signal by which systems stop a program, end the run; at the third time whatever it does."""
    asked = 0

    def interrupt(_number: int, _frame: object) -> NoReturn:
        nonlocal asked
        asked += 1
        if asked >= _PATIENCE:
            # An op that catches everything would go on for ever.
            os._exit(130)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
