"""What a decorated function's signature says: its arguments, annotations and kind.

Read from the code object, because `inspect.signature` costs ten times as much and a job may have thousands of ops.
"""

from __future__ import annotations

import builtins
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.names import innermost
from memo.definition.ports import NO_VALUE
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from inspect import Signature as InspectedSignature

CONTEXT_NAMES = frozenset({"context", "_context", "context_", "_"})

_VARARGS, _VARKEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200

_REFUSED_VARIADIC = "takes *args or **kwargs; name every input, so that it can be wired and versioned"
_REFUSED_POSITIONAL_ONLY = "has positional-only arguments; inputs are given by name: drop the / from its signature"


class Parameter(Struct, frozen=True, eq=False):
    """One argument: its name, its default and its annotation as written."""

    name: str
    default: Any = NO_VALUE
    annotation: Any = None


class Signature(Struct, frozen=True, eq=False):
    """What a function takes and is.

    Attributes:
        home: The function in whose module the annotations are to be read.
        takes_context: Whether the first argument is the context.
        parameters: The others, in order.
        returns: The annotation of what it returns, as written; NO_VALUE where absent.
    """

    home: Any
    takes_context: bool
    parameters: tuple[Parameter, ...]
    returns: Any = NO_VALUE
    is_generator: bool = False
    is_async: bool = False

    def resolved(self, annotation: Any) -> Any:
        """Read an annotation that is a string in the module of the function, or else among its closure.

        Returns:
            The annotation; `typing.Any` where a name in it cannot be found at run time, as with imports made for type
            checkers only.
        """
        if type(annotation) is not str:
            return annotation
        namespace: dict[str, Any] = getattr(self.home, "__globals__", {})
        found = namespace.get(annotation, NO_VALUE)
        if found is NO_VALUE:
            found = getattr(builtins, annotation, NO_VALUE)
        if found is not NO_VALUE:
            return found
        try:
            return eval(annotation, namespace, _closure(self.home))  # noqa: S307 - the user's own annotation, in their own module
        except Exception:  # noqa: BLE001 - any failure means the same: the type cannot be known here
            return Any


def _closure(fn: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return found


def read_signature(fn: Any, where: str) -> Signature:
    """Read a function's signature.

    Raises:
        DefinitionError: It takes ``*args`` or ``**kwargs``, arguments that have no name, or its context elsewhere than
            first.
    """
    if type(fn) is not FunctionType or fn.__dict__:
        return _inspected(fn, where)
    code = fn.__code__
    flags = code.co_flags
    if flags & (_VARARGS | _VARKEYWORDS):
        raise DefinitionError(_REFUSED_VARIADIC, where=where)
    if code.co_posonlyargcount:
        raise DefinitionError(_REFUSED_POSITIONAL_ONLY, where=where)
    annotations = fn.__annotations__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    defaults = fn.__defaults__
    given = fn.__kwdefaults__ or {}
    if defaults:
        given = {**given, **dict(zip(names[code.co_argcount - len(defaults) :], defaults, strict=False))}
    takes_context = code.co_argcount > 0 and names[0] in CONTEXT_NAMES
    return Signature(
        fn,
        takes_context,
        tuple(
            [
                Parameter(_checked(name, where), given.get(name, NO_VALUE), annotations.get(name))
                for name in (names[1:] if takes_context else names)
            ]
        ),
        annotations.get("return", NO_VALUE),
        is_generator=bool(flags & (_GENERATOR | _ASYNC_GENERATOR)),
        is_async=bool(flags & (_COROUTINE | _ASYNC_GENERATOR)),
    )


def _checked(name: str, where: str) -> str:
    if name in CONTEXT_NAMES and name != "_":
        raise DefinitionError(
            f"has the argument {name!r} elsewhere than first; the context comes first, before all inputs", where=where
        )
    return name


def _inspected(fn: Any, where: str) -> Signature:
    """Read what is no plain function: partials, callable objects, functions wrapped by a decorator."""
    import inspect

    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        raise DefinitionError("has no signature that could be read; wrap it in a function", where=where) from None
    parameters: list[Parameter] = []
    takes_context = False
    for index, each in enumerate(signature.parameters.values()):
        if each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
            raise DefinitionError(
                f"{_REFUSED_VARIADIC} (a decorator around the function must use functools.wraps)", where=where
            )
        if each.kind is each.POSITIONAL_ONLY:
            raise DefinitionError(_REFUSED_POSITIONAL_ONLY, where=where)
        if index == 0 and each.name in CONTEXT_NAMES and each.kind is not each.KEYWORD_ONLY:
            takes_context = True
            continue
        parameters.append(
            Parameter(
                _checked(each.name, where),
                NO_VALUE if each.default is each.empty else each.default,
                None if each.annotation is each.empty else each.annotation,
            ),
        )
    return _with_kind(fn, signature, takes_context, tuple(parameters))


def _with_kind(
    fn: Any, signature: InspectedSignature, takes_context: bool, parameters: tuple[Parameter, ...]
) -> Signature:
    """Tell a generator or async function by its outermost layer that is one: what calling it gives."""
    flags = next((each for each in map(_flags, _layers(fn)) if each & (_GENERATOR | _COROUTINE | _ASYNC_GENERATOR)), 0)
    return Signature(
        innermost(fn),
        takes_context,
        parameters,
        NO_VALUE if signature.return_annotation is signature.empty else signature.return_annotation,
        is_generator=bool(flags & (_GENERATOR | _ASYNC_GENERATOR)),
        is_async=bool(flags & (_COROUTINE | _ASYNC_GENERATOR)),
    )


def _flags(fn: Any) -> int:
    code = getattr(fn, "__code__", None)
    return 0 if code is None else int(code.co_flags)


def _layers(fn: Any) -> list[Any]:
    """The functions that a call goes through, as far as they tell of each other."""
    found: list[Any] = []
    while len(found) < 64:
        found.append(fn)
        if isinstance(fn, partial):
            fn = fn.func
        elif type(fn) is not MethodType and hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        else:
            break
    return [*found, innermost(fn)]


def takes_context(fn: Any, where: str) -> bool:
    """Whether the function of a resource takes the context: its first argument, whatever its name.

    Raises:
        DefinitionError: It needs more arguments than that.
    """
    if type(fn) is FunctionType and not fn.__dict__:
        code = fn.__code__
        positional = code.co_argcount
        required = positional - len(fn.__defaults__ or ()) + code.co_kwonlyargcount - len(fn.__kwdefaults__ or ())
        takes = positional > 0 or bool(code.co_flags & _VARARGS)
    else:
        takes, required = _inspected_arguments(fn, where)
    if required > takes:
        raise DefinitionError(
            "takes more arguments than the context; give the others defaults, or read what it needs from the context's "
            "config and resources",
            where=where,
        )
    return takes


def _inspected_arguments(fn: Any, where: str) -> tuple[bool, int]:
    import inspect

    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        raise DefinitionError("has no signature that could be read; wrap it in a function", where=where) from None
    takes = any(each.kind not in {each.KEYWORD_ONLY, each.VAR_KEYWORD} for each in parameters)
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return takes, sum(each.default is each.empty and each.kind not in variadic for each in parameters)
