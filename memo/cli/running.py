"""What `memo run` does once its options are read; nothing here needs click."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from memo.cli.failures import attempted

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from memo.project.home import Home

ALL_STEPS = "*"
"""What ``--force`` stands for where it is given alone."""


def is_plain_run(args: Sequence[str]) -> bool:
    """Whether a command line is ``memo run TARGET`` and no more: there are no options to read.

    It is the one most often typed. Importing click would take it longer than to look through hundreds of steps.
    """
    return len(args) == 2 and args[0] == "run" and not args[1].startswith("-")


def run_plainly(args: Sequence[str]) -> int:
    """Carry out a command line of which `is_plain_run` is true, and give its exit code."""
    return attempted(lambda: run_target(args[1]), debug=False)


def run_target(
    target: str,
    *,
    job: str | None = None,
    config_files: Sequence[str] = (),
    assignments: Sequence[str] = (),
    tags: Sequence[str] = (),
    select: str | None = None,
    force: str | None = None,
    no_memo: bool = False,
    max_concurrent: int | None = None,
    verbose: bool = False,
    profile: str | None = None,
    home: str | None = None,
    as_json: bool = False,
) -> int:
    """Run a job and tell of it; each option as the command line gives it, or as it is where it is left out."""
    from memo.cli.carrying_out import carry_out
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.project.home import find_home

    run_config: dict[str, Any] | None = None
    found_tags: dict[str, object] = {}
    if config_files or assignments or tags:
        from memo.cli.config_files import read_run_config, read_tags

        run_config, found_tags = read_run_config(config_files, assignments), read_tags(tags)
    if no_memo:
        from memo.tags import MEMOIZED_RUN_TAG

        found_tags[MEMOIZED_RUN_TAG] = "false"
    # Before the target is imported, which may change the current folder.
    found_home = find_home(home)
    with _profiled(profile, target, found_home):
        with kept_for_result(as_json):
            _, reference = load_job(target, job)
            code, result = carry_out(
                reference,
                found_home,
                home_option=home,
                max_concurrent=max_concurrent,
                verbose=verbose,
                run_config=run_config,
                tags=found_tags,
                op_selection=select,
                force=forced(force),
            )
        if as_json and result is not None:
            from memo.cli.summary import result_json
            from memo.cli.text import out_json

            out_json(result_json(result))
    return code


@contextmanager
def _profiled(file: str | None, target: str, home: Home) -> Generator[None]:
    """Write a profile where one is asked for, and say how it is opened."""
    if file is None:
        yield
        return
    from memo.cli.text import tell
    from memo.project.profiling import profiled

    with profiled(file, f"memo run {target}", home):
        yield
    tell(f"profile: {file}; open it in https://ui.perfetto.dev or https://www.speedscope.app")


def forced(given: str | None) -> bool | str:
    """What ``--force`` asks for."""
    return True if given == ALL_STEPS else given or False


__all__ = ["ALL_STEPS", "forced", "is_plain_run", "run_plainly", "run_target"]
