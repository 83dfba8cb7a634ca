"""Sizes and ages as they are typed: 50GB, 30d."""

from __future__ import annotations

import math

import click

_SIZES = {
    "": 1,
    "B": 1,
    **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)},
    **{letter: 1000**power for power, letter in enumerate("KMGT", 1)},
    **{f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)},
}
_AGES = {"s": 1, "h": 3600, "d": 86400, "w": 7 * 86400}


def size_option(ctx: click.Context, parameter: click.Parameter, given: str | None) -> int | None:
    """Read a size in bytes: 500MB, 50GB, 1.5TiB, 1000."""
    if given is None:
        return None
    number, unit = _parts(given)
    factor = _SIZES.get(unit.upper())
    if number is None or factor is None:
        raise click.BadParameter(f"{given!r} is no size; write one as 500MB, 50GB or 1.5TiB", ctx, parameter)
    return int(number * factor)


def age_option(ctx: click.Context, parameter: click.Parameter, given: str | None) -> float | None:
    """Read an age in seconds: 30d, 12h, 2w, 90s."""
    if given is None:
        return None
    number, unit = _parts(given)
    factor = _AGES.get(unit)
    if number is None or factor is None:
        raise click.BadParameter(f"{given!r} is no age; write one as 30d, 12h, 2w or 90s", ctx, parameter)
    return number * factor


def _parts(given: str) -> tuple[float | None, str]:
    """The number in front, and the unit behind it."""
    text = given.strip()
    digits = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    try:
        number = float(digits) if digits.strip() else math.nan
    except ValueError:
        number = math.nan
    return (number if math.isfinite(number) and number >= 0 else None), text[len(digits) :]
