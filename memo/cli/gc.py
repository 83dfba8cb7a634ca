"""`memo gc`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.amounts import age_option, size_option
from memo.cli.failures import guarded
from memo.cli.options import common_options, verbose_option

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.project.collecting import Collection, Eviction

_SHOWN = 20
"""How many evictions are shown where not all are asked for."""


@click.command()
@click.option(
    "--keep-runs",
    metavar="N",
    type=click.IntRange(min=1),
    help="Keep what so many of the latest runs of each job used, whatever the other limits say.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    callback=size_option,
    help="Let go until the storage takes no more than this: 50GB, 500MB.",
)
@click.option(
    "--older-than",
    metavar="AGE",
    callback=age_option,
    help="Let go what no run has used for so long: 30d, 12h, 2w, 90s.",
)
@click.option(
    "--vouched",
    is_flag=True,
    help="Also what was adopted, or stands in for a version accepted as its equal: no run brings it back.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@verbose_option
@common_options
@guarded
def gc(
    keep_runs: int | None,
    max_size: int | None,
    older_than: float | None,
    vouched: bool,
    dry_run: bool,
    verbose: bool,
    home: str | None,
    as_json: bool,
) -> int:
    """Let stored outputs go, the cheapest to make again first, and never what somebody needs.

    At least one limit must be given. With --max-size, what costs the least seconds for each of its bytes goes first,
    and no more than has to; with --older-than, all that no run has used for so long; with --keep-runs alone, all that
    those runs did not use. What a running run needs always stays. Files that belong to no output go too, and with
    --keep-runs or --older-than the logs and events of the runs beyond.

    \b
      memo gc --keep-runs 5 --dry-run
      memo gc --max-size 50GB --keep-runs 1
    """  # noqa: D301 - the backspace is click's sign for lines that are not to be wrapped
    from memo.cli.held import tell_unreadable
    from memo.cli.text import out, out_json
    from memo.project.collecting import Limits, collect_garbage
    from memo.project.home import find_home

    if keep_runs is None and max_size is None and older_than is None:
        raise click.UsageError("say what may stay: --keep-runs N, --max-size 50GB or --older-than 30d, or several")
    with find_home(home) as opened:
        done = collect_garbage(Limits(keep_runs, max_size, older_than, vouched), instance=opened, dry_run=dry_run)
    tell_unreadable(done.unreadable)
    if as_json:
        out_json(_json(done, dry_run=dry_run))
        return 0
    for line in _lines(done, dry_run=dry_run, verbose=verbose, max_size=max_size):
        out(line)
    return 0


def _lines(done: Collection, *, dry_run: bool, verbose: bool, max_size: int | None) -> Iterator[str]:
    from time import time

    from memo.cli.held import cost_text, version_text
    from memo.cli.text import age_text, bytes_text, many, table

    now = time()
    shown = done.evicted if verbose else done.evicted[:_SHOWN]
    if shown:
        header = ("STEP", "VERSION", "SIZE", "AGE", "TO MAKE AGAIN", "JOB")
        rows = [
            (
                each.step.step_key,
                version_text(each.step),
                bytes_text(each.step.size),
                age_text(now - each.step.used_at),
                cost_text(each.seconds),
                each.step.job_name,
            )
            for each in shown
        ]
        yield from table(header, rows, right=(2, 3, 4))
    if len(shown) < len(done.evicted):
        yield f"… and {len(done.evicted) - len(shown):,} more (-v shows all)"
    would = "would go" if dry_run else "gone"
    freed = sum(each.step.size for each in done.evicted)
    unknown = sum(each.seconds is None for each in done.evicted)
    cost = f"; making them all again takes {cost_text(done.seconds)}" if done.evicted else ""
    more = f", and {unknown:,} of which that is not known" if unknown else ""
    yield f"{would}: the outputs of {many(len(done.evicted), 'step')}, {bytes_text(freed)}{cost}{more}"
    if done.shared:
        yield f"of them in the shared place: {many(done.shared, 'step')}; what is read again is fetched from there"
    if done.unnamed:
        size = sum(each.size for each in done.unnamed)
        yield f"{would}: {many(len(done.unnamed), 'file')} of no output, {bytes_text(size)}"
    if done.runs:
        yield f"{would}: logs and events of {many(len(done.runs), 'run')}, {bytes_text(done.logs)} of logs"
    for reason, size in sorted(done.kept.items()):
        yield f"kept: {bytes_text(size)}, as {reason}"
    met = "" if done.is_met or max_size is None else f", more than {bytes_text(max_size)}: no more may go"
    yield f"{bytes_text(done.after)} {'would be' if dry_run else 'are'} left of {bytes_text(done.before)}{met}"


def _json(done: Collection, *, dry_run: bool) -> dict[str, Any]:
    from memo.cli.held import unreadable_json

    return {
        "dry_run": dry_run,
        "evicted": [_eviction_json(each) for each in done.evicted],
        "seconds": done.seconds,
        "shared": done.shared,
        "unnamed": [{"path": each.path, "bytes": each.size} for each in done.unnamed],
        "runs": done.runs,
        "logs_bytes": done.logs,
        "kept_bytes": done.kept,
        "bytes_before": done.before,
        "bytes_after": done.after,
        "is_met": done.is_met,
        "unreadable": unreadable_json(done.unreadable),
    }


def _eviction_json(eviction: Eviction) -> dict[str, Any]:
    from memo.cli.held import step_json

    return {**step_json(eviction.step), "seconds": eviction.seconds}
