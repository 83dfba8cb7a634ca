"""Whether a value fits the type that an input or output was declared with."""

from __future__ import annotations

import types
import typing
from typing import Any

from memo.definition.ports import Nothing

_UNIONS = {typing.Union, types.UnionType}


def fits(value: Any, expected: Any) -> bool:
    """Say whether a value fits a type: a class, or a `typing` form as deep as its outermost layer.

    As in type checkers an int fits float. What cannot be checked cheaply (the members of containers, type
    variables, protocols that are not runtime-checkable) fits.
    """
    if expected is None or expected is Any or expected is object or expected is Nothing:
        return True
    if isinstance(expected, type) and not hasattr(expected, "__origin__"):
        if expected is float:
            return isinstance(value, float | int) and not isinstance(value, bool)
        if expected is int and isinstance(value, bool):
            return False
        try:
            return isinstance(value, expected)
        except TypeError:
            return True
    origin = typing.get_origin(expected)
    if origin in _UNIONS:
        return any(value is None if member is type(None) else fits(value, member) for member in typing.get_args(expected))
    if origin is typing.Literal:
        return value in typing.get_args(expected)
    if origin is typing.Annotated:
        return fits(value, typing.get_args(expected)[0])
    if origin is not None:
        return fits(value, origin)
    return True


def type_name(expected: Any) -> str:
    """A type as people write it."""
    return getattr(expected, "__name__", None) or str(expected).replace("typing.", "")
