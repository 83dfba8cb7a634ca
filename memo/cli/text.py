"""Numbers, times, tables and colours as people read them, and JSON as programs do."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}


def coloured(stream: TextIO) -> bool:
    """Whether colours are wanted there: on a terminal that has them, unless ``NO_COLOR`` is set."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def styled(text: str, style: str | None, stream: TextIO) -> str:
    """Put a style around a text, where the stream shows it."""
    if style is None or not text or not coloured(stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def out(text: str = "") -> None:
    """Write a line of a result."""
    _write(sys.stdout, text)


def tell(text: str, style: str | None = None, stream: TextIO | None = None) -> None:
    """Write a line of talk: of progress, a warning, a hint; on standard error where no stream is given."""
    to = stream or sys.stderr
    # Who was listening has gone, or the disk is full: no reason to stop what is told of.
    with suppress(OSError):
        _write(to, styled(text, style, to))


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def out_json(value: Any) -> None:
    """Write a result as JSON."""
    import msgspec

    out(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def seconds_text(seconds: float) -> str:
    """Say how long something takes.

    >>> [seconds_text(each) for each in (0.0002, 0.035, 0.142, 4.21, 61, 7300)]
    ['<1 ms', '35 ms', '0.14 s', '4.2 s', '1 min 1 s', '2 h 1 min']
    """
    if seconds < 0.001:
        return "<1 ms"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.{2 if seconds < 0.995 else 1}f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def age_text(seconds: float) -> str:
    """Say how old something is, in one unit.

    >>> [age_text(each) for each in (0.3, 40, 200, 9_000, 200_000, 90_000_000)]
    ['<1 s', '40 s', '3 min', '2 h', '2 d', '1041 d']
    """
    if seconds < 1:
        return "<1 s"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"


def bytes_text(size: int) -> str:
    """Say how large something is, in powers of ten.

    >>> [bytes_text(each) for each in (12, 4_200, 640_000_000)]
    ['12 B', '4.2 kB', '640 MB']
    """
    number = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 99.5 else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def time_text(at: float) -> str:
    """Say when something was, in local time."""
    from time import localtime, strftime

    return strftime("%Y-%m-%d %H:%M:%S", localtime(at))


def many(count: int, noun: str) -> str:
    """Count something.

    >>> many(1, "step"), many(3, "step")
    ('1 step', '3 steps')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    styles: Sequence[str | None] | None = None,
    right: Sequence[int] = (),
) -> list[str]:
    """Lay rows out in columns.

    Args:
        header: The name of each column.
        rows: The cells.
        styles: The style of each row's first cell.
        right: The columns that stand to the right, as numbers do.
    """
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines: list[str] = []
    for number, row in enumerate(cells):
        padded = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        if number == 0:
            lines.append(styled("  ".join(padded).rstrip(), "dim", sys.stdout))
            continue
        text = "  ".join(padded).rstrip()
        style = styles[number - 1] if styles else None
        first = len(row[0])
        lines.append(styled(text[:first], style, sys.stdout) + text[first:])
    return lines
