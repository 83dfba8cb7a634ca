"""`memo du`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options

if TYPE_CHECKING:
    from memo.project.holdings import HeldStep

_DAY = 86400
_AGES = (
    (1, "used within a day"),
    (7, "within 7 days"),
    (30, "within 30 days"),
    (90, "within 90 days"),
)
_OLDER = "longer ago"


@click.command()
@click.option(
    "--by",
    type=click.Choice(("job", "step", "age")),
    default="job",
    show_default=True,
    help="What to sum up by.",
)
@common_options
@guarded
def du(by: str, home: str | None, as_json: bool) -> int:
    """Sum up what stored outputs take, by job, step or age.

    Age counts from the start of the latest run that used an output. The total is the bytes of all files in the home's
    storage.
    """
    from time import time

    from memo.cli.held import cost_text, rest_json, rest_lines, tell_nothing, tell_rest
    from memo.cli.text import bytes_text, out, out_json, table
    from memo.project.holdings import take_stock
    from memo.project.home import find_home

    with find_home(home) as opened:
        holdings = take_stock(opened)
    now = time()
    groups: dict[str, list[HeldStep]] = {}
    for held in holdings.steps:
        groups.setdefault(_group(held, by, now), []).append(held)
    order = {name: number for number, (_, name) in enumerate(_AGES)}
    names = sorted(
        groups,
        key=(lambda name: order.get(name, len(order)))
        if by == "age"
        else (lambda name: -sum(held.size for held in groups[name])),
    )
    if as_json:
        found = [
            {
                by: name,
                "outputs": sum(len(held.outputs) for held in groups[name]),
                "bytes": sum(held.size for held in groups[name]),
                "seconds": sum(held.seconds or 0.0 for held in groups[name]),
            }
            for name in names
        ]
        out_json({"groups": found, **rest_json(holdings)})
        return 0
    rows = [
        (
            name,
            f"{sum(len(held.outputs) for held in groups[name]):,}",
            bytes_text(sum(held.size for held in groups[name])),
            cost_text(sum(held.seconds or 0.0 for held in groups[name])),
        )
        for name in names
    ]
    rows += [
        (what, f"{count:,}" if count else "", bytes_text(taken), "") for what, count, taken in rest_lines(holdings)
    ]
    seconds = sum(held.seconds or 0.0 for held in holdings.steps)
    outputs = sum(len(held.outputs) for held in holdings.steps)
    rows.append(("total", f"{outputs:,}", bytes_text(holdings.size), cost_text(seconds)))
    styles = [*[None] * (len(rows) - 1), "bold"]
    if not holdings.size:
        tell_nothing(opened)
    else:
        for line in table((by.upper(), "OUTPUTS", "SIZE", "TO MAKE AGAIN"), rows, styles=styles, right=(1, 2, 3)):
            out(line)
    tell_rest(holdings)
    return 0


def _group(held: HeldStep, by: str, now: float) -> str:
    if by == "job":
        return held.job_name
    if by == "step":
        return held.step_key
    days = (now - held.used_at) / _DAY
    return next((name for limit, name in _AGES if days <= limit), _OLDER)
