"""`memo rebuild-catalog`."""

from __future__ import annotations

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options


@click.command("rebuild-catalog")
@click.option("--force", is_flag=True, help="Also in the place of a catalog that can be read.")
@common_options
@guarded
def rebuild_catalog(force: bool, home: str | None, as_json: bool) -> int:
    """Make a new catalog from what is stored, where it was lost or damaged.

    Versions, content, how long steps took and what was adopted come back, so that plans reuse and cut off as before.
    The old file stays beside the new one. Refused while a run of the home goes on.
    """
    from memo.cli.text import many, out, out_json, tell
    from memo.project.home import find_home
    from memo.project.rebuilding import rebuild_catalog as rebuild

    with find_home(home) as opened:
        made = rebuild(instance=opened, force=force)
    if as_json:
        out_json(made)
        return 0
    out(f"a new catalog of {many(made.steps, 'step')} with {many(made.outputs, 'output')}")
    if made.unfinished:
        out(
            f"{many(made.unfinished, 'step')} not whole, as a run that was replacing them ended: made again when needed"
        )
    if made.left_out:
        out(f"{many(made.left_out, 'output')} left out: of runs without memoization, or stored without their step")
    if made.aside is not None:
        out(f"the old one is {made.aside}")
    tell(
        "not in it, as outputs do not tell: runs with their logs and config, what versions were made of, acceptances, "
        "what sources were, and what steps were seen to read"
    )
    return 0
