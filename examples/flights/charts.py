"""Charts as SVG text: bars, lines and a map. The page's style sheet gives the classes their colours."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from math import ceil, cos, floor, log10, radians, sin, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WIDTH = 960
SHADES = 6


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its value, and a remark behind the value."""

    label: str
    value: float
    remark: str = ""


@dataclass(frozen=True)
class Place:
    """One place on the map, drawn larger for a greater weight and in a stronger colour for a greater value."""

    name: str
    longitude: float
    latitude: float
    value: float
    weight: float


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers, about so many and at least two, that span a range."""
    rough = (high - low) / count or 1.0
    power = 10.0 ** floor(log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    first = floor(low / step)
    return [each * step for each in range(first, max(ceil(high / step), first + 1) + 1)]


def bar_chart(bars: Sequence[Bar], *, axis: str, form: str = "{:.1f}", mean: float | None = None) -> str:
    """Draw horizontal bars, in the order given; bars of negative value go to the left.

    Args:
        bars: At least one.
        axis: What the values are, with their unit.
        form: How a value is written.
        mean: Where to draw a line to compare with.
    """
    left = 24 + 8 * max(len(bar.label) for bar in bars)
    right, top, row = 196, 30, 30
    bottom = top + row * len(bars)
    thickness = 18
    marks = ticks(min(0.0, *(bar.value for bar in bars)), max(0.0, *(bar.value for bar in bars)))
    scale = (WIDTH - left - right) / (marks[-1] - marks[0])

    def x(value: float) -> float:
        return left + (value - marks[0]) * scale

    parts = [_line("grid", x(mark), top, x(mark), bottom) for mark in marks]
    parts += [_text("tick", x(mark), bottom + 20, f"{mark:g}", "middle") for mark in marks]
    values = []
    for index, bar in enumerate(bars):
        middle = top + row * (index + 0.5)
        start, end = sorted((x(0), x(bar.value)))
        kind = "bar rise" if bar.value >= 0 else "bar fall"
        value = form.format(bar.value)
        parts += [
            _text("label", left - 12, middle + 5, bar.label, "end"),
            _text("remark", WIDTH - 4, middle + 5, bar.remark, "end"),
        ]
        parts.append(
            f'<rect class="{kind}" x="{start:.1f}" y="{middle - thickness / 2:.1f}" width="{end - start:.1f}" '
            f'height="{thickness}" rx="3"><title>{escape(bar.label)}: {value}</title></rect>',
        )
        values.append(_text("value", max(end, x(0)) + 8, middle + 5, value))
    parts.append(_line("axis", x(0), top, x(0), bottom))
    if mean is not None:
        parts += [
            _line("mean", x(mean), top - 6, x(mean), bottom),
            _text("remark", x(mean), top - 12, f"mean {form.format(mean)}", "middle"),
        ]
    values.append(_text("axis-title", (left + WIDTH - right) / 2, bottom + 46, axis, "middle"))
    return _svg(parts + values, bottom + 58, f"Bar chart: {axis}")


def line_chart(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_axis: str,
    y_axis: str,
    x_form: str = "{:g}",
) -> str:
    """Draw lines over a common axis, each named at its right end.

    Args:
        lines: Points by the line's name, from left to right.
        x_axis: What runs to the right, with its unit.
        y_axis: What runs upward, with its unit; the axis begins at 0.
        x_form: How a mark of the x axis is written.
    """
    left, right, top, bottom = 64, 130, 34, 360
    every = [point for points in lines.values() for point in points]
    first, last = min(point[0] for point in every), max(point[0] for point in every)
    marks = ticks(0.0, max(point[1] for point in every))

    def x(value: float) -> float:
        return left + (value - first) / (last - first) * (WIDTH - left - right)

    def y(value: float) -> float:
        return bottom - value / marks[-1] * (bottom - top)

    parts = [_line("grid", left, y(mark), WIDTH - right, y(mark)) for mark in marks]
    parts += [_text("tick", left - 10, y(mark) + 5, f"{mark:g}", "end") for mark in marks]
    parts += [
        _text("tick", x(mark), bottom + 22, x_form.format(mark), "middle")
        for mark in range(ceil(first), floor(last) + 1)
        if (mark - ceil(first)) % 2 == 0
    ]
    ends = _spread([y(points[-1][1]) for points in lines.values()], 20)
    for index, (name, points) in enumerate(lines.items()):
        path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        parts.append(f'<polyline class="line line-{index}" points="{path}"/>')
        parts += [
            f'<circle class="dot line-{index}" cx="{x(at):.1f}" cy="{y(value):.1f}" r="3.5">'
            f"<title>{escape(name)}, {x_form.format(at)}: {value:.1f}</title></circle>"
            for at, value in points
        ]
        parts.append(_text(f"line-name line-{index}", x(points[-1][0]) + 12, ends[index] + 5, name))
    parts += [
        _line("axis", left, bottom, WIDTH - right, bottom),
        _text("axis-title", (left + WIDTH - right) / 2, bottom + 50, x_axis, "middle"),
        _text("axis-title", 4, 14, y_axis),
    ]
    return _svg(parts, bottom + 62, f"Line chart: {y_axis}, {x_axis}")


def us_map(places: Sequence[Place], ground: Iterable[tuple[float, float]], *, legend: str, unit: str = "%") -> str:
    """Draw places within the 48 contiguous states as discs, over points that show where the land is.

    Args:
        places: What to draw.
        ground: Longitudes and latitudes in degrees, for example of every airport.
        legend: What the colours mean.
        unit: Of the places' values.
    """
    height = 580
    drawn = [place for place in places if _is_contiguous(place.longitude, place.latitude)]
    marks = ticks(min(place.value for place in drawn), max(place.value for place in drawn), SHADES)
    classes = list(pairwise(marks))
    heaviest = max(place.weight for place in drawn)

    def shade(value: float) -> int:
        """Spread the classes, however many there are, over all the shades."""
        below = sum(high <= value for _, high in classes)
        return round(min(below, len(classes) - 1) * (SHADES - 1) / max(len(classes) - 1, 1))

    points = (_projected(*point, WIDTH, height) for point in ground if _is_contiguous(*point))
    land = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in sorted(points))
    parts = [f'<path class="land" d="{land}"/>']
    for place in sorted(drawn, key=lambda place: (-place.weight, place.name)):
        x, y = _projected(place.longitude, place.latitude, WIDTH, height)
        parts.append(
            f'<circle class="place shade-{shade(place.value)}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{3 + 13 * sqrt(place.weight / heaviest):.1f}">'
            f"<title>{escape(place.name)}: {place.value:.1f} {escape(unit)} of {place.weight:,.0f}</title></circle>",
        )
    parts.append(_text("axis-title", 20, height - 62, legend))
    for index, (low, high) in enumerate(classes):
        parts += [
            f'<circle class="place shade-{shade(low)}" cx="{28 + index * 88}" cy="{height - 36}" r="8"/>',
            _text("tick", 42 + index * 88, height - 31, f"{low:g} to {high:g}"),
        ]
    return _svg(parts, height, f"Map: {legend}")


def _is_contiguous(longitude: float, latitude: float) -> bool:
    return -125 < longitude < -66 and 24 < latitude < 50


def _projected(longitude: float, latitude: float, width: float, height: float) -> tuple[float, float]:
    """Albers' equal-area conic projection, as maps of the United States are usually drawn."""
    south, north, middle = radians(29.5), radians(45.5), radians(37.5)
    cone = (sin(south) + sin(north)) / 2
    bend = cos(south) ** 2 + 2 * cone * sin(south)
    radius = sqrt(bend - 2 * cone * sin(radians(latitude))) / cone
    angle = cone * radians(longitude + 96)
    scale = width * 1.24
    x = radius * sin(angle) * scale
    y = (radius * cos(angle) - sqrt(bend - 2 * cone * sin(middle)) / cone) * scale
    return width / 2 + x, height * 0.46 + y


def _spread(positions: Sequence[float], distance: float) -> list[float]:
    """Move labels downward until none stands closer than this to the one above it."""
    moved = list(positions)
    order = sorted(range(len(moved)), key=moved.__getitem__)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + distance)
    return moved


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(kind: str, x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def _svg(parts: Sequence[str], height: float, description: str) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img" '
        f'aria-label="{escape(description)}">\n{body}\n</svg>'
    )
