"""`memo run`."""

from __future__ import annotations

from typing import Any

import click

from memo.cli.failures import guarded
from memo.cli.options import (
    WishCommand,
    common_options,
    concurrency_option,
    config_options,
    forced,
    target_argument,
    verbose_option,
    wish_options,
)


@click.command(cls=WishCommand)
@target_argument
@config_options
@wish_options
@concurrency_option
@verbose_option
@common_options
@guarded
def run(
    target: str,
    job: str | None,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    select: str | None,
    force: str | None,
    no_memo: bool,
    max_concurrent: int | None,
    verbose: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Run a job: what is stored is reused, what changed runs.

    TARGET is a Python file or a dotted module; behind a colon, or in --job, stands the job where it defines several.

    \b
      memo run flights.py
      memo run flights.py:daily -c config.toml --set ops.clean.config.limit=5
      memo run package.flights --select 'clean*' --force clean -j 4
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.cli.carrying_out import carry_out
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.project.home import find_home
    from memo.tags import MEMOIZED_RUN_TAG

    run_config: dict[str, Any] | None = None
    found_tags: dict[str, object] = {}
    if config_files or assignments or tags:
        from memo.cli.config_files import read_run_config, read_tags

        run_config, found_tags = read_run_config(config_files, assignments), read_tags(tags)
    if no_memo:
        found_tags[MEMOIZED_RUN_TAG] = "false"
    with kept_for_result(as_json):
        _, reference = load_job(target, job)
        code, result = carry_out(
            reference,
            find_home(home),
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
