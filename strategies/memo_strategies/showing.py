"""Values in a few words, for people: never more than a line, and without running code of theirs."""

from __future__ import annotations

from typing import Any

from memo_strategies.introspect import class_name
from memo_strategies.paths import SourcePath

_LONGEST = 80
_MOST = 6


def short_repr(value: Any, depth: int = 3) -> str:
    """Show a value in a few words.

    >>> short_repr({"a": [1, 2.5]})
    "{'a': [1, 2.5]}"
    """
    return _cut(_shown(value, depth))


def plain_repr(value: Any) -> str:
    """Show a container of plain data in a few words, at once where it is small."""
    if len(value) <= _MOST:
        try:
            return _cut(repr(value))
        except ValueError:  # an integer of more digits than Python writes
            pass
    return short_repr(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _shown(value: Any, depth: int) -> str:  # noqa: PLR0911 - a table of types, and they may not be hashed
    kind = type(value)
    if kind is SourcePath:
        return repr(value.value)
    if value is None or kind is bool or kind is float or kind is complex:
        return repr(value)
    if kind is int:
        return repr(value) if value.bit_length() < 256 else f"<int of {value.bit_length()} bits>"
    if kind is str or kind is bytes:
        return repr(value) if len(value) <= _LONGEST else f"{value[:_LONGEST]!r}…"
    if id(kind) in _BRACKETS and depth:
        begin, end = _BRACKETS[id(kind)]
        shown = [_shown(each, depth - 1) for _, each in zip(range(_MOST), value, strict=False)]
        return begin + ", ".join(shown) + (f", … {len(value)} in all" if len(value) > _MOST else "") + end
    if kind is dict and depth:
        items = [
            f"{_shown(key, depth - 1)}: {_shown(each, depth - 1)}"
            for _, (key, each) in zip(range(_MOST), value.items(), strict=False)
        ]
        return "{" + ", ".join(items) + (f", … {len(value)} in all" if len(value) > _MOST else "") + "}"
    return f"<{class_name(kind)}>"


_BRACKETS = {id(list): ("[", "]"), id(tuple): ("(", ")"), id(set): ("{", "}"), id(frozenset): ("{", "}")}
