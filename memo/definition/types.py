"""Whether a value fits the type that an input or output was declared with."""

from __future__ import annotations

import types
import typing
from typing import Any

from memo.definition.ports import Nothing

_UNIONS = {typing.Union, types.UnionType}
_NUMBERS: dict[type, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}


def fits(value: Any, expected: Any) -> bool:
    """Say whether a value fits a type: a class, or a `typing` form as deep as its outermost layer.

    As in type checkers an int fits float, and a bool int. What cannot be checked cheaply (the members of containers,
    type variables, protocols that are not runtime-checkable) fits.
    """
    if expected is None or expected is Any or expected is object or expected is Nothing:
        return True
    origin = None if type(expected) is type else typing.get_origin(expected)
    if origin is None:
        return not isinstance(expected, type) or _is_instance(value, expected)
    if origin in _UNIONS:
        return any(fits(value, member) for member in typing.get_args(expected))
    if origin is typing.Literal:
        # Not by == alone: a value of any type may be compared here, an array among them.
        return any(type(value) is type(word) and value == word for word in typing.get_args(expected))
    if origin is typing.Annotated:
        return fits(value, typing.get_args(expected)[0])
    return fits(value, origin)


def _is_instance(value: Any, expected: type) -> bool:
    try:
        return isinstance(value, _NUMBERS.get(expected, expected))
    except TypeError:  # a typed dict, a protocol that is not runtime-checkable
        return True


def type_name(expected: Any) -> str:
    """A type as people write it."""
    if typing.get_origin(expected) is None and isinstance(expected, type):
        return expected.__name__
    return str(expected).replace("typing.", "")
