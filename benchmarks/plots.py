"""Plots as inline SVG: bars on a log scale, and curves on two. Colours are the page's own, by class."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WIDTH = 760
_BAR, _GAP = 16, 6
_LEFT, _RIGHT, _TOP, _BOTTOM = 190, 110, 8, 26


def log_bars(values: Mapping[str, float | str], show: Callable[[float], str], ours: str = "memo") -> str:
    """Bars by name, on a log scale; what has words in place of a figure has them written there."""
    numbers = [value for value in values.values() if not isinstance(value, str) and value > 0]
    if not numbers:
        return ""
    low, high = _decades(min(numbers), max(numbers))
    inner = WIDTH - _LEFT - _RIGHT
    height = _TOP + len(values) * (_BAR + _GAP) + _BOTTOM
    parts = [_opened(height)]
    for power in range(low, high + 1):
        x = _LEFT + inner * (power - low) / (high - low)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{height - _BOTTOM}"/>')
        parts.append(_text(x, height - 8, show(10.0**power), "tick", "middle"))
    for place, (name, value) in enumerate(values.items()):
        y = _TOP + place * (_BAR + _GAP)
        parts.append(_text(_LEFT - 8, y + _BAR - 4, name, "name", "end"))
        if isinstance(value, str):
            parts.append(_text(_LEFT + 4, y + _BAR - 4, value if len(value) < 80 else value[:77] + "...", "missing"))
            continue
        length = max(2.0, inner * (math.log10(max(value, 10.0**low)) - low) / (high - low))
        kind = "ours" if name.startswith(ours) else "other"
        parts.append(f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}"/>')
        parts.append(_text(_LEFT + length + 5, y + _BAR - 4, show(value), "value"))
    return "".join(parts) + "</svg>"


def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]], across: str, show: Callable[[float], str], ours: str = "memo"
) -> str:
    """Curves by name, on two log scales, each named at its end."""
    points = [point for line in lines.values() for point in line if point[0] > 0 and point[1] > 0]
    if not points:
        return ""
    height, left, bottom = 380, 70, 44
    xs, ys = _decades(*_ends([x for x, _ in points])), _decades(*_ends([y for _, y in points]))
    inner, tall = WIDTH - left - _RIGHT - 20, height - _TOP - bottom

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + inner * (math.log10(x) - xs[0]) / (xs[1] - xs[0]),
            _TOP + tall * (1 - (math.log10(y) - ys[0]) / (ys[1] - ys[0])),
        )

    parts = [_opened(height)]
    for power in range(xs[0], xs[1] + 1):
        x, _ = at(10.0**power, 10.0 ** ys[0])
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + tall}"/>')
        parts.append(
            _text(x, _TOP + tall + 16, f"{10**power:,}" if power >= 0 else f"{10.0**power:g}", "tick", "middle")
        )
    for power in range(ys[0], ys[1] + 1):
        _, y = at(10.0 ** xs[0], 10.0**power)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + inner}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(_text(left - 6, y + 4, show(10.0**power), "tick", "end"))
    parts.append(_text(left + inner / 2, height - 6, across, "tick", "middle"))
    ends: list[tuple[float, float, str, str]] = []
    for name, line in lines.items():
        found = [at(x, y) for x, y in sorted(line) if x > 0 and y > 0]
        if not found:
            continue
        kind = "ours" if name.startswith(ours) else "other"
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in found)
        parts.append(f'<polyline class="curve {kind}" points="{path}"/>')
        parts += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in found]
        ends.append((found[-1][1], found[-1][0], name, kind))
    taken: list[tuple[float, float]] = []
    for y, x, name, kind in sorted(ends):
        while any(abs(x - other_x) < 110 and abs(y - other_y) < 12 for other_x, other_y in taken):
            y += 12  # noqa: PLW2901 - a name gives way to the one above it
        taken.append((x, y))
        parts.append(_text(x + 7, y + 4, name, f"end {kind}"))
    return "".join(parts) + "</svg>"


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _decades(low: float, high: float) -> tuple[int, int]:
    first = math.floor(math.log10(low))
    return first, max(first + 1, math.ceil(math.log10(high)))


def _opened(height: float) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
