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
    target_argument,
    verbose_option,
    wish_options,
)
from memo.cli.running import run_target


@click.command(cls=WishCommand)
@target_argument
@config_options
@wish_options
@concurrency_option
@verbose_option
@click.option(
    "--profile",
    metavar="FILE",
    type=click.Path(),
    help="Write where the time goes to FILE: a trace that Perfetto and speedscope open.",
)
@common_options
@guarded
def run(target: str, **options: Any) -> int:
    """Run a job: what is stored is reused, what changed runs.

    TARGET is a Python file or a dotted module; behind a colon, or in --job, stands the job where it defines several.

    \b
      memo run flights.py
      memo run flights.py:daily -c config.toml --set ops.clean.config.limit=5
      memo run package.flights --select 'clean*' --force clean -j 4
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    return run_target(target, **options)
