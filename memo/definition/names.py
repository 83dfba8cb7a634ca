"""Legal names, and where in the user's files a definition stands."""

from __future__ import annotations

import keyword
import os
from typing import TYPE_CHECKING, Any

from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def location_of(fn: Any) -> str:
    """Say where a function is defined, as ``file:line``; an empty string where that is unknown."""
    code = getattr(fn, "__code__", None)
    if code is None:
        return ""
    path = code.co_filename
    here = os.getcwd() + os.sep  # noqa: PTH109 - pathlib would cost as much as the rest of a definition
    return f"{path.removeprefix(here)}:{code.co_firstlineno}"


def described(kind: str, name: str, fn: Any = None, location: str = "") -> str:
    """Name a definition for the front of an error: ``op 'clean' (flights.py:12)``."""
    place = location or location_of(fn)
    return f"{kind} {name!r} ({place})" if place else f"{kind} {name!r}"


def check_name(name: object, kind: str, where: str = "") -> str:
    """Refuse a name that is not letters, digits and underscores.

    Raises:
        DefinitionError: With what is allowed.
    """
    if type(name) is not str or not name or not _LEGAL.issuperset(name):
        raise DefinitionError(
            f"{name!r} is no legal name for {kind}: use letters, digits and underscores only",
            where=where,
        )
    if keyword.iskeyword(name):
        raise DefinitionError(f"{name!r} is a word of Python and cannot name {kind}", where=where)
    return name


def check_tags(tags: Mapping[str, object] | None, where: str) -> dict[str, str]:
    """Take tags as strings; booleans and numbers are written as JSON writes them.

    Raises:
        DefinitionError: A tag's name is not a string, or its value is neither string, number nor boolean.
    """
    found: dict[str, str] = {}
    for name, value in (tags or {}).items():
        if type(name) is not str:
            raise DefinitionError(f"the tag name {name!r} must be a string", where=where)
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            found[name] = str(value)
        else:
            raise DefinitionError(
                f"the tag {name!r} is {value!r}; a tag's value is a string, a number or a boolean", where=where,
            )
    return found
