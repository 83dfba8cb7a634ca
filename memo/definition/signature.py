"""What a decorated function's signature says: its arguments, annotations and kind.

Read from the code object, because `inspect.signature` costs ten times as much and a job may have thousands of ops.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

from msgspec import Struct

from memo.definition.ports import NO_VALUE
from memo.errors import DefinitionError

CONTEXT_NAMES = frozenset({"context", "_context", "context_", "_"})

_VARARGS, _VARKEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200


class Parameter(Struct, frozen=True):
    """One argument: its name, its default and its annotation as written."""

    name: str
    default: Any = NO_VALUE
    annotation: Any = None
    keyword_only: bool = False


class Signature(Struct, frozen=True):
    """What a function takes and is.

    Attributes:
        takes_context: Whether the first argument is the context.
        parameters: The others, in order.
        returns: The annotation of what it returns, resolved where it was a string; NO_VALUE where absent.
    """

    takes_context: bool
    parameters: tuple[Parameter, ...]
    returns: Any = NO_VALUE
    is_generator: bool = False
    is_async: bool = False


def resolved(annotation: Any, fn: Any) -> Any:
    """Evaluate an annotation that is a string, in the module of the function.

    Returns:
        The annotation; None, for "any type", where a name in it cannot be found at run time (as with imports
        made for type checkers only).
    """
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, getattr(fn, "__globals__", {}))  # noqa: S307 - the user's own annotation, in their own module
    except Exception:  # noqa: BLE001 - any failure means the same: the type cannot be known here
        return None


def read_signature(fn: Any, where: str) -> Signature:
    """Read a function's signature.

    Raises:
        DefinitionError: It takes ``*args`` or ``**kwargs``, or arguments that have no name.
    """
    if type(fn) is not FunctionType or hasattr(fn, "__wrapped__"):
        return _inspected(fn, where)
    code = fn.__code__
    flags = code.co_flags
    if flags & (_VARARGS | _VARKEYWORDS):
        raise DefinitionError(
            "takes *args or **kwargs; name every input, so that it can be wired and versioned", where=where,
        )
    if code.co_posonlyargcount:
        raise DefinitionError("has positional-only arguments; inputs are given by name", where=where)
    annotations = fn.__annotations__
    positional = code.co_varnames[: code.co_argcount]
    keyword_only = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    defaults = fn.__defaults__ or ()
    first_default = len(positional) - len(defaults)
    keyword_defaults = fn.__kwdefaults__ or {}
    takes_context = bool(positional) and positional[0] in CONTEXT_NAMES
    parameters = [
        Parameter(
            name,
            defaults[index - first_default] if index >= first_default else NO_VALUE,
            annotations.get(name),
        )
        for index, name in enumerate(positional)
        if not (takes_context and index == 0)
    ]
    parameters += [
        Parameter(name, keyword_defaults.get(name, NO_VALUE), annotations.get(name), keyword_only=True)
        for name in keyword_only
    ]
    return Signature(
        takes_context,
        tuple(parameters),
        resolved(annotations["return"], fn) if "return" in annotations else NO_VALUE,
        is_generator=bool(flags & (_GENERATOR | _ASYNC_GENERATOR)),
        is_async=bool(flags & (_COROUTINE | _ASYNC_GENERATOR)),
    )


def _inspected(fn: Any, where: str) -> Signature:
    """Read what is no plain function: partials, callable objects, functions wrapped by a decorator."""
    import inspect

    if not callable(fn):
        raise DefinitionError(f"{fn!r} is not a function", where=where)
    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        raise DefinitionError("has no signature that could be read; wrap it in a function", where=where) from None
    parameters: list[Parameter] = []
    for each in signature.parameters.values():
        if each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
            raise DefinitionError(
                "takes *args or **kwargs; name every input, so that it can be wired and versioned "
                "(a decorator around the function must use functools.wraps)",
                where=where,
            )
        if each.kind is each.POSITIONAL_ONLY:
            raise DefinitionError("has positional-only arguments; inputs are given by name", where=where)
        parameters.append(
            Parameter(
                each.name,
                NO_VALUE if each.default is each.empty else each.default,
                None if each.annotation is each.empty else each.annotation,
                keyword_only=each.kind is each.KEYWORD_ONLY,
            ),
        )
    takes_context = bool(parameters) and parameters[0].name in CONTEXT_NAMES
    inner = inspect.unwrap(fn)
    while hasattr(inner, "func"):
        inner = inner.func
    returns = signature.return_annotation
    return Signature(
        takes_context,
        tuple(parameters[1:] if takes_context else parameters),
        NO_VALUE if returns is signature.empty else resolved(returns, inner),
        is_generator=inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner),
        is_async=inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner),
    )
