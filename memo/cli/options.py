"""The options and arguments that commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from memo.cli.completing import complete_run
from memo.cli.running import ALL_STEPS, forced

if TYPE_CHECKING:
    from collections.abc import Callable


Function = TypeVar("Function", bound="Callable[..., Any]")


def _together(*decorators: Callable[[Any], Any]) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        for each in reversed(decorators):
            function = each(function)
        return function

    return decorate


target_argument = _together(
    click.argument("target", metavar="TARGET", type=click.Path()),
    click.option("--job", metavar="NAME", help="The job, where TARGET defines several."),
)

run_argument = click.argument("run_id", metavar="RUN", shell_complete=complete_run)

config_options = _together(
    click.option(
        "-c",
        "--config",
        "config_files",
        metavar="FILE",
        multiple=True,
        type=click.Path(),
        help="Run config in TOML, YAML or JSON. Repeat it to lay one over another; the later counts.",
    ),
    click.option(
        "--set",
        "assignments",
        metavar="PATH=VALUE",
        multiple=True,
        help="One value of the run config: --set ops.clean.config.limit=5. The value is JSON, or else a string.",
    ),
    click.option("--tag", "tags", metavar="KEY=VALUE", multiple=True, help="A tag of the run. Repeat for more."),
)

select_option = click.option(
    "--select",
    metavar="STEPS",
    help="Only these steps: 'a,b', '*a' with all upstream, 'a*' with all downstream, '+a', 'a++' by levels.",
)

wish_options = _together(
    select_option,
    click.option(
        "--force",
        metavar="[STEPS]",
        is_flag=False,
        flag_value=ALL_STEPS,
        help="Run again, whatever is stored: all steps, or a selection of them.",
    ),
    click.option("--no-memo", is_flag=True, help="Reuse nothing and store nothing under a version, in this run."),
)

concurrency_option = click.option(
    "-j",
    "--max-concurrent",
    metavar="N",
    type=click.IntRange(min=1),
    help="Run so many steps at once; more than 1 in worker processes.",
)

verbose_option = click.option("-v", "--verbose", is_flag=True, help="Tell of every step, those that are reused too.")

home_option = click.option("--home", metavar="FOLDER", type=click.Path(), help="Where runs and outputs are kept.")

json_option = click.option("--json", "as_json", is_flag=True, help="Give the result as JSON on standard output.")

debug_option = click.option("--debug", is_flag=True, help="Show memo's own traceback where an error comes up.")

common_options = _together(home_option, json_option, debug_option)


class WishCommand(click.Command):
    """A command with TARGET and ``--force [STEPS]``.

    ``--force flights.py`` means all steps of flights.py: where nothing else is left to be the target, what follows
    ``--force`` is not its value.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, and again with ``--force`` alone where no target is left."""
        try:
            return super().parse_args(ctx, list(args))
        except click.MissingParameter as missing:
            is_target = missing.param is not None and missing.param.name == "target"
            if not is_target or "--force" not in args:
                raise
            ctx.params.clear()
            return super().parse_args(ctx, [f"--force={ALL_STEPS}" if arg == "--force" else arg for arg in args])


__all__ = [
    "ALL_STEPS",
    "WishCommand",
    "common_options",
    "concurrency_option",
    "config_options",
    "debug_option",
    "forced",
    "home_option",
    "json_option",
    "run_argument",
    "select_option",
    "target_argument",
    "verbose_option",
    "wish_options",
]
