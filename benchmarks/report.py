"""The report: one page of HTML that needs nothing else, with the plots and tables of a session's results."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from benchmarks import tables
from benchmarks.figures import growth, medians, seconds, sizes
from benchmarks.plots import curves, log_bars

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.results import Results

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667; --line: #d5d9de }
:root { --ours: #0a6bd6; --other: #9aa4b2; --page: #fff }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #99a; --line: #363b42 }
  :root { --ours: #58a6ff; --other: #6b7480; --page: #14171a }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page) }
body { max-width: 860px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2.2em } p.about { color: var(--soft); font-size: .87em }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: var(--ink) }
svg .tick, svg .missing { fill: var(--soft); font-size: 11px } svg .grid { stroke: var(--line) }
svg rect.ours, svg circle.ours { fill: var(--ours) } svg rect.other, svg circle.other { fill: var(--other) }
svg .curve { fill: none; stroke-width: 2 }
svg .curve.ours { stroke: var(--ours) } svg .curve.other { stroke: var(--other) }
svg text.end { font-size: 11px } svg text.end.ours { fill: var(--ours); font-weight: 600 }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .87em; margin: .8em 0 }
th, td { text-align: left; padding: .25em .7em .25em 0; border-bottom: 1px solid var(--line) }
th, td { vertical-align: top; white-space: nowrap }
td.stale { color: #d1242f; font-weight: 600 } td.spurious { color: #b07d00 } td.right { color: #2b8a3e }
"""


def write(results: Results, path: Path) -> Path:
    """Write the page; gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(results), encoding="utf-8")
    return path


def page(results: Results) -> str:
    """The page."""
    counts = sizes(results, "runs", "null", "layered")
    size = 1_000 if 1_000 in counts else max(counts, default=0)
    value_size = max(sizes(results, "large values", "load"), default=0)

    def bars(phase: str) -> str:
        return log_bars(medians(results, "runs", phase, shape="layered", size=size), seconds)

    def grown(phase: str) -> str:
        return curves(growth(results, "runs", phase, "layered"), "steps", seconds)

    sections = [
        _section(
            f"Null run: {size:,} steps, nothing to do",
            "CPU seconds of the whole process, its children included; medians of interleaved runs. Layered graph.",
            bars("null"),
            grown("null"),
            tables.null(results),
        ),
        _section(
            f"Cold run: {size:,} steps, everything to do",
            "Steps that do nothing but add: what a system itself takes to run, store and record them.",
            bars("cold"),
            grown("cold"),
            tables.cold(results),
        ),
        _section(
            "One step changed",
            "How many steps ran, and the CPU seconds of the whole run. Of steps changed back, systems that keep more "
            "than the last state run none; of a step changed to an equal value, systems that compare content run one.",
            tables.changes(results),
        ),
        _section(
            "Edits of code",
            "Stale: had to run and did not. Spurious: ran for nothing. make, ninja, doit, Snakemake and pytask follow "
            "files and commands that one declares to them, not functions: they are not in this table.",
            tables.edits(results),
        ),
        _section(
            "Large values",
            "A frame of random floats; CPU seconds, and bytes of new memory while it is held, a row of it touched.",
            log_bars(medians(results, "large values", "load", size=value_size), seconds),
            tables.large_values(results),
        ),
        _section("Hashing", "In memory, warm.", tables.hashing(results)),
        _section(
            "Starting",
            "Whole processes.",
            log_bars(medians(results, "start-up", "start"), seconds),
            tables.start_up(results),
        ),
        _section(
            "Versions of source", "What code counts as changed is found by reading it.", tables.source_versions(results)
        ),
        _section("Within a process", "That has the pipeline imported; what a step costs.", tables.in_process(results)),
        _section("Budget", "What memo has to keep to.", tables.budget(results)),
        _section("Growth", "What becomes of a null run as other things grow.", tables.grown(results)),
        _section("Other shapes", "Null runs.", tables.shapes(results)),
        _section("On disk", "After a cold run.", tables.disk(results)),
        _section("Eight processes on one home", "Every body should run once.", tables.one_home(results)),
        _section("An object store", "20 ms of latency a request, on this machine.", tables.object_store(results)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>memo: benchmarks</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
        f'<h1>memo beside its peers</h1><p class="about">{escape(tables.machine(results))}</p>'
        f"{''.join(sections)}</body></html>"
    )


def _section(title: str, says: str, *parts: str | tables.Table) -> str:
    if not any(part.rows if isinstance(part, tables.Table) else part for part in parts):
        return ""
    body = "".join(
        f'<div class="wide">{each.as_html()}</div>' if isinstance(each, tables.Table) else each for each in parts
    )
    return f"<h2>{escape(title)}</h2><p>{escape(says)}</p>{body}"
