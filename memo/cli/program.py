"""The program `memo`: the table of its commands, and how it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS", "program", "run_program"]

COMMANDS = {
    "run": "Run a job: what is stored is reused, what changed runs.",
    "plan": "Show what a run would do, step by step, and why. Nothing runs.",
    "why": "Explain one step's verdict, or what changed in it between two runs, with a diff.",
    "saved": "Sum up the time that reuse saved, by month and job.",
    "bench": "Measure a job: cold, with nothing to do, after an edit; what reuse saves, and where the time goes.",
    "graph": "Draw a job's steps, as text, Mermaid or DOT.",
    "runs": "List the latest runs.",
    "show": "Show one run: its steps, their reasons, its errors.",
    "logs": "Print what the steps of a run printed and logged, and their errors.",
    "lint": "Report what steps read that their versions do not cover, with the line and the remedy.",
    "ls": "List what is stored: each output with its size, its age, and what it costs to make again.",
    "du": "Sum up what stored outputs take, by job, step or age.",
    "gc": "Let stored outputs go, the cheapest to make again first, and never what somebody needs.",
    "verify": "Read every stored byte for damage; or run stored steps again, and compare their values.",
    "rebuild-catalog": "Make a new catalog from what is stored, where it was lost or damaged.",
    "accept": "Declare the present version of a step equal to a stored one.",
    "adopt": "Bring in outputs that were made elsewhere, as those of a step.",
    "retry": "Run a run again, all of it or from its failure.",
    "doctor": "Check the installation and the home.",
    "completion": "Print the shell's completion script: for commands, options, files, steps and runs.",
}
"""Every command with its short help. `memo --help` shows this table and imports no command (a test compares)."""

_EPILOG = """\
TARGET is a Python file or a dotted module, with the job behind a colon where it defines several: flights.py:daily.
RUN is a run's id, the beginning of one, or `last`.

Runs, outputs and logs are kept in the home: --home, else the variable MEMO_HOME, else the setting, else .memo at the
project's root. NO_COLOR turns colours off.

Exit codes: 0 all is well; 1 a step failed; 2 bad input; 130 interrupted.
"""


class _Program(click.Group):
    """The group of commands, none of which is imported before it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        from importlib import import_module

        # `retry` is in memo.cli.retry, under its own name.
        name = cmd_name.replace("-", "_")
        found: click.Command = getattr(import_module(f"memo.cli.{name}"), name)
        return found

    def resolve_command(
        self,
        ctx: click.Context,
        args: list[str],
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            hint = f" To run it: memo run {name}" if name.endswith(".py") else did_you_mean(name, COMMANDS)
            raise click.UsageError(f"there is no command {name!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from memo import __version__

        click.echo(f"memo {__version__}")
        ctx.exit()


program = _Program(
    "memo",
    help="make for data, in Python: run what changed, reuse the rest, and say why.",
    epilog=_EPILOG,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_version,
            help="Show the version and leave.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run_program(args: Sequence[str]) -> int:
    """Run the command line.

    Args:
        args: What stands behind ``memo``.

    Returns:
        The exit code.
    """
    code: Any = 0
    try:
        code = program.main(list(args), prog_name="memo", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    return int(code or 0)
