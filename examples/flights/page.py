"""The report as one HTML page that asks nothing of any other place."""

from __future__ import annotations

from html import escape
from string import Template
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Figure(TypedDict):
    """One section of the report: what the reader should take from it, and the chart or table that shows it."""

    title: str
    takeaway: str
    body: str


def percent(share: float, digits: int = 0) -> str:
    """Write a share of 1 as a percentage that no line break cuts in two."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write an HTML table whose first column holds words and whose others hold numbers."""
    heads = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead>\n<tbody>{lines}</tbody></table>"


def page(title: str, lead: str, facts: Mapping[str, str], figures: Sequence[Figure], source: str) -> str:
    """Write the page.

    Args:
        title: Of the report.
        lead: Its first paragraph.
        facts: A few numbers by what they are, shown large.
        figures: The sections, in order.
        source: Where the data comes from.
    """
    return _PAGE.substitute(
        title=escape(title),
        lead=escape(lead),
        facts="\n".join(f"<div><dt>{escape(what)}</dt><dd>{escape(value)}</dd></div>" for what, value in facts.items()),
        figures="\n".join(
            f"<section><h2>{escape(figure['title'])}</h2>\n<p>{escape(figure['takeaway'])}</p>\n"
            f"<figure>{figure['body']}</figure></section>"
            for figure in figures
        ),
        source=escape(source),
        style=_STYLE,
    )


_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<header>
<h1>$title</h1>
<p>$lead</p>
<dl>
$facts
</dl>
</header>
$figures
<footer>$source</footer>
</main>
</body>
</html>
""")

_STYLE = """
:root {
  color-scheme: light dark;
  --paper: #f6f5f1; --card: #ffffff; --ink: #1d2733; --quiet: #66717e; --rule: #e3e3de;
  --rise: #d1603d; --fall: #3f7cac; --mean: #1d2733; --land: #cfd2d1;
  --line-0: #3f7cac; --line-1: #d1603d; --line-2: #5f8f4e;
  --shade-0: #fae0c8; --shade-1: #f5be98; --shade-2: #ec966b; --shade-3: #d96b4a; --shade-4: #b53f3b;
  --shade-5: #7d1f33;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181d; --card: #1d232a; --ink: #e8eaec; --quiet: #9aa5b1; --rule: #323a43;
    --rise: #e37c58; --fall: #6aa5d4; --mean: #e8eaec; --land: #4a535d;
    --line-0: #6aa5d4; --line-1: #e37c58; --line-2: #8dbb7c;
    --shade-0: #4d3b38; --shade-1: #754840; --shade-2: #a3573f; --shade-3: #cd6d4c; --shade-4: #ee946b;
    --shade-5: #ffd0ac;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 1040px; margin: 0 auto; padding: 56px 20px 40px; }
h1 { font-size: clamp(30px, 5vw, 46px); line-height: 1.12; letter-spacing: -0.02em; margin: 0 0 14px; }
header > p { font-size: 20px; max-width: 44em; color: var(--quiet); margin: 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px; margin: 34px 0 40px; }
dl div { background: var(--card); border: 1px solid var(--rule); border-radius: 12px; padding: 16px 20px; }
dt { color: var(--quiet); font-size: 14px; }
dd { margin: 2px 0 0; font-size: 30px; font-weight: 650; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
section {
  background: var(--card); border: 1px solid var(--rule); border-radius: 14px;
  padding: 28px 32px 24px; margin: 0 0 26px;
}
h2 { font-size: 24px; letter-spacing: -0.01em; margin: 0 0 4px; }
section > p { margin: 0 0 20px; color: var(--quiet); max-width: 46em; }
figure { margin: 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 640px; height: auto; font-size: 15px; }
svg text { fill: var(--ink); font-family: inherit; }
svg .tick, svg .remark { fill: var(--quiet); font-size: 13.5px; }
svg .axis-title { fill: var(--quiet); font-size: 14px; }
svg .value { font-weight: 600; font-variant-numeric: tabular-nums; }
svg .value { paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round; }
.grid { stroke: var(--rule); }
.axis { stroke: var(--quiet); }
.mean { stroke: var(--mean); stroke-dasharray: 3 4; }
.rise { fill: var(--rise); }
.fall { fill: var(--fall); }
.line { fill: none; stroke-width: 3; stroke-linejoin: round; stroke-linecap: round; }
.dot { stroke: var(--card); stroke-width: 1.5; }
polyline.line-0 { stroke: var(--line-0); } polyline.line-1 { stroke: var(--line-1); }
polyline.line-2 { stroke: var(--line-2); }
circle.line-0, svg text.line-0 { fill: var(--line-0); } circle.line-1, svg text.line-1 { fill: var(--line-1); }
circle.line-2, svg text.line-2 { fill: var(--line-2); }
svg .line-name { font-weight: 650; }
.land { fill: none; stroke: var(--land); stroke-width: 3; stroke-linecap: round; }
.place { stroke: var(--card); stroke-width: 1.2; fill-opacity: 0.94; }
.shade-0 { fill: var(--shade-0); } .shade-1 { fill: var(--shade-1); } .shade-2 { fill: var(--shade-2); }
.shade-3 { fill: var(--shade-3); } .shade-4 { fill: var(--shade-4); } .shade-5 { fill: var(--shade-5); }
table { border-collapse: collapse; width: 100%; margin-top: 22px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 12px; border-bottom: 1px solid var(--rule); }
th { color: var(--quiet); font-weight: 500; font-size: 14px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
footer { color: var(--quiet); font-size: 14px; padding: 8px 4px; }
"""
