"""What every definition is checked for: legal names, tags, kinds of values; and where in the user's files it stands."""

from __future__ import annotations

import keyword
import os
import reprlib
import sys
from functools import partial
from types import CodeType, FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

CallSite = tuple[CodeType, int]
"""A call in the user's code: its code object and the offset of the instruction. The line is looked up when asked
for: that takes as long as the function is, and a graph's body may have many thousands of calls."""

T = TypeVar("T")

frame_at: Callable[[int], FrameType] = sys._getframe  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - `inspect` is built on it

NO_NAMES: frozenset[str] = frozenset()
"""The one that is shared: Python makes a new one of 200 bytes for each ``frozenset()``."""

NO_TAGS: Mapping[str, str] = MappingProxyType({})

_LEGAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def innermost(fn: Any) -> Any:
    """The function that a person wrote: behind partials, wrapping decorators, methods and callable objects."""
    for _ in range(64):  # an object that answers to every attribute would go on for ever
        if type(fn) is FunctionType and "__wrapped__" not in fn.__dict__:
            return fn
        if isinstance(fn, partial):
            fn = fn.func
        elif type(fn) is MethodType:
            fn = fn.__func__
        elif hasattr(fn, "__wrapped__"):
            fn = getattr(fn, "__wrapped__")  # noqa: B009 - functions have it only where a decorator set it
        elif type(vars(type(fn)).get("__call__")) is FunctionType:
            fn = vars(type(fn))["__call__"]
        else:
            break
    return fn


def name_of(fn: Any) -> str:
    """The name that a function gives to what is made of it; of an object without one, its class's."""
    if type(fn) is FunctionType:
        return fn.__name__
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__name__", None) or type(fn).__name__


def doc_of(fn: Any) -> str | None:
    """The docstring of a function; of a callable object, its class's."""
    if type(fn) is FunctionType:
        return fn.__doc__
    while isinstance(fn, partial):
        fn = fn.func
    return getattr(fn, "__doc__", None)


def location_of(fn: Any) -> str:
    """Say where a function is defined, as ``file:line``; an empty string where that is unknown."""
    found = innermost(fn)
    if isinstance(found, type):
        found = vars(found).get("__init__")
    code = getattr(found, "__code__", None)
    return "" if code is None else f"{_shown_path(code.co_filename)}:{code.co_firstlineno}"


def line_of(site: CallSite) -> str:
    """Say where a call stands, as ``file:line``."""
    code, offset = site
    lines = (line for start, end, line in code.co_lines() if start <= offset < end)
    return f"{_shown_path(code.co_filename)}:{next(lines, None) or code.co_firstlineno}"


def called_at() -> str:
    """Say where the user's code called into memo just now, as ``file:line``; for errors only, as it is slow."""
    return next((line_of((frame.f_code, frame.f_lasti)) for frame in _users_frames()), "")


def _users_frames() -> Iterator[FrameType]:
    frame: FrameType | None = frame_at(1)
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith("memo."):
            yield frame
        frame = frame.f_back


def _shown_path(path: str) -> str:
    try:
        here = os.getcwd()
    except OSError:  # the folder is gone
        return path
    return path.removeprefix(here + os.sep)


def described(kind: str, name: str, location: str) -> str:
    """Name a definition for the front of an error: ``op 'clean' (flights.py:12)``."""
    return f"{kind} {name!r} ({location})" if location else f"{kind} {name!r}"


class Described(Struct, frozen=True, eq=False):
    """A definition that is being made, for the front of an error: put in words only where there is one to tell."""

    kind: str
    name: str
    fn: Any

    def __str__(self) -> str:
        return described(self.kind, self.name, location_of(self.fn))


Where = str | Described


def is_plain_name(name: object) -> bool:
    """Whether a name is legal, as nearly all are: a word of ASCII that Python would take for a variable's."""
    return type(name) is str and name.isidentifier() and name.isascii() and not keyword.iskeyword(name)


def check_name(name: object, kind: str, where: Where = "") -> str:
    """Refuse a name that is not letters, digits and underscores.

    Raises:
        DefinitionError: With what is allowed.
    """
    if is_plain_name(name):
        return name  # type: ignore[return-value] # mypy does not see that it is a string
    if type(name) is not str or not name or not _LEGAL.issuperset(name):
        hint = "; give name=" if name == "<lambda>" else ""
        raise DefinitionError(
            f"{reprlib.repr(name)} is no legal name for {kind}: use letters, digits and underscores only{hint}",
            where=where or called_at(),
        )
    if keyword.iskeyword(name):
        raise DefinitionError(
            f"{name!r} is a word of Python and cannot name {kind}; choose another", where=where or called_at()
        )
    return name


def check_tags(tags: Mapping[str, object] | None, where: Where) -> dict[str, str]:
    """Take tags as strings; what is not a string is written as JSON.

    Raises:
        DefinitionError: A tag's name is not a string, or its value cannot be written as JSON.
    """
    if not tags:
        return {}
    found: dict[str, str] = {}
    for name, value in check_mapping(tags, "tags", where).items():
        if type(name) is not str:
            raise DefinitionError(f"the tag name {reprlib.repr(name)} must be a string", where=where)
        found[name] = value if type(value) is str else _tag_text(name, value, where)
    return found


def _tag_text(name: str, value: object, where: Where) -> str:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool | int | float | list | tuple | dict):
        from msgspec import json

        try:
            return json.encode(value).decode()
        except (TypeError, ValueError, OverflowError, RecursionError):
            pass
    raise DefinitionError(
        f"the tag {name!r} is {reprlib.repr(value)}; a tag's value is a string, or what JSON can write", where=where
    )


def check_instance(value: object, kind: type[T] | tuple[type[T], ...], what: str, must: str, where: Where) -> T:
    """Refuse a value of the wrong kind.

    Args:
        value: What the user gave.
        kind: What it must be an instance of.
        what: Its name in the user's words: ``retry_policy``.
        must: What is expected: ``a RetryPolicy``.
        where: For the front of the error.

    Raises:
        DefinitionError: It is something else.
    """
    if isinstance(value, kind):
        return value
    raise DefinitionError(f"{what} is {reprlib.repr(value)}; it must be {must}", where=where or called_at())


def check_mapping(value: object, what: str, where: Where, must: str = "a dict by name") -> Mapping[Any, Any]:
    """Refuse what is no dict.

    Raises:
        DefinitionError: It is something else.
    """
    found: Any = value
    if hasattr(found, "items") and hasattr(found, "keys") and not isinstance(found, type):
        return found  # type: ignore[no-any-return]
    raise DefinitionError(f"{what} is {reprlib.repr(value)}; it must be {must}", where=where or called_at())


def check_version(version: object, where: Where) -> str | None:
    """Take a declared version.

    Raises:
        DefinitionError: It is no string, or an empty one.
    """
    if version is None or (isinstance(version, str) and version):
        return version
    raise DefinitionError(f"version is {reprlib.repr(version)}; it must be a non-empty string", where=where)


def check_resource_keys(keys: object, where: Where) -> frozenset[str]:
    """Take the keys of required resources.

    Raises:
        DefinitionError: They are not a set or list of legal names.
    """
    if keys is None:
        return NO_NAMES
    if isinstance(keys, str):
        raise DefinitionError(f'required_resource_keys is {keys!r}; write a set: {{"{keys}"}}', where=where)
    try:
        found: list[Any] = list(keys)  # type: ignore[call-overload]
    except TypeError:
        raise DefinitionError(
            f"required_resource_keys is {reprlib.repr(keys)}; it must be a set of names", where=where
        ) from None
    return frozenset([check_name(key, "a resource", where) for key in found])
