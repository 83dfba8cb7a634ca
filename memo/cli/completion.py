"""`memo completion`."""

from __future__ import annotations

import click

from memo.cli.failures import guarded
from memo.cli.options import debug_option

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@debug_option
@guarded
def completion(shell: str) -> int:
    """Print the shell's completion script: for commands, options, files, steps and runs.

    \b
      bash  eval "$(memo completion bash)"       in ~/.bashrc
      zsh   eval "$(memo completion zsh)"        in ~/.zshrc
      fish  memo completion fish | source        in ~/.config/fish/config.fish

    To complete a step's name, the target is imported.
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from click.shell_completion import get_completion_class

    from memo.cli.program import program
    from memo.cli.text import out

    found = get_completion_class(shell)
    assert found is not None
    out(found(program, {}, "memo", "_MEMO_COMPLETE").source())
    return 0
