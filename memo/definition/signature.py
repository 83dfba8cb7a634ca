"""What a decorated function's signature says: its arguments, annotations and kind.

Read from the code object, because `inspect.signature` costs ten times as much and a job may have thousands of ops.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from functools import partial
from types import CodeType, FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.names import innermost
from memo.definition.ports import NO_VALUE
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from memo.definition.names import Where

CONTEXT_NAMES = frozenset({"context", "_context", "context_", "_"})

_VARARGS, _VARKEYWORDS, _GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x04, 0x08, 0x20, 0x80, 0x200

_NOTHING: Mapping[str, Any] = MappingProxyType({})

_REFUSED_VARIADIC = "takes *args or **kwargs; name every input, so that it can be wired and versioned"
_REFUSED_POSITIONAL_ONLY = "has positional-only arguments; inputs are given by name: drop the / from its signature"


class Parameter(Struct, frozen=True, eq=False):
    """One argument: its name, its default and its annotation as written."""

    name: str
    default: Any = NO_VALUE
    annotation: Any = None


class Signature(Struct, frozen=True, eq=False):
    """What a function takes and is; one for all functions of which it says the same.

    Attributes:
        home: The function in whose module the annotations are to be read; None where there are none.
        takes_context: Whether the first argument is the context.
        names: Of the other arguments, in order.
        defaults: Of those that have one.
        annotations: As written, of the arguments and of what it returns (``return``), where present.
    """

    home: Any
    takes_context: bool
    names: tuple[str, ...]
    defaults: Mapping[str, Any]
    annotations: Mapping[str, Any]
    is_generator: bool = False
    is_async: bool = False

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The arguments but for the context, in order."""
        return tuple(
            Parameter(name, self.defaults.get(name, NO_VALUE), self.annotations.get(name)) for name in self.names
        )

    @property
    def returns(self) -> Any:
        """The annotation of what it returns, as written; NO_VALUE where absent."""
        return self.annotations.get("return", NO_VALUE)

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


def read_signature(fn: Any, where: Where) -> Signature:
    """Read a function's signature.

    Raises:
        DefinitionError: It takes ``*args`` or ``**kwargs``, arguments that have no name, or its context elsewhere than
            first.
    """
    if type(fn) is not FunctionType or fn.__dict__:
        return _inspected(fn, where)
    code, defaults, given, annotations = fn.__code__, fn.__defaults__, fn.__kwdefaults__, fn.__annotations__
    if not annotations:
        # Python has just made the dict, and would keep it with the function.
        del fn.__annotations__
        if not (defaults or given):
            # All is told by the code object, and most functions of a job take the same.
            count = code.co_argcount
            told = (code.co_varnames[: count + code.co_kwonlyargcount], count, code.co_posonlyargcount, code.co_flags)
            known = _known.get(told)
            if known is None:
                known = _read(code, None, _NOTHING, _NOTHING, where)
                if len(_known) < _MOST_KNOWN:
                    _known[told] = known
            return known
    found: dict[str, Any] = {**given} if given else {}
    if defaults:
        found |= zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    return _read(code, fn, found, annotations or _NOTHING, where)


_known: dict[tuple[tuple[str, ...], int, int, int], Signature] = {}
"""Signatures without annotations and defaults that were found to be as they must: by the names of arguments, how many
of them there are of each kind, and the flags of the code."""
_MOST_KNOWN = 1000


def _read(
    code: CodeType, home: Any, defaults: Mapping[str, Any], annotations: Mapping[str, Any], where: Where
) -> Signature:
    flags = code.co_flags
    if flags & (_VARARGS | _VARKEYWORDS):
        raise DefinitionError(_REFUSED_VARIADIC, where=where)
    if code.co_posonlyargcount:
        raise DefinitionError(_REFUSED_POSITIONAL_ONLY, where=where)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    takes_context = code.co_argcount > 0 and names[0] in CONTEXT_NAMES
    if takes_context:
        names = names[1:]
    _check_names(names, where)
    return Signature(
        home,
        takes_context,
        names,
        defaults,
        annotations,
        is_generator=flags & (_GENERATOR | _ASYNC_GENERATOR) != 0,
        is_async=flags & (_COROUTINE | _ASYNC_GENERATOR) != 0,
    )


def _check_names(names: tuple[str, ...], where: Where) -> None:
    if CONTEXT_NAMES.isdisjoint(names):
        return
    for name in names:
        if name in CONTEXT_NAMES and name != "_":
            raise DefinitionError(
                f"has the argument {name!r} elsewhere than first; the context comes first, before all inputs",
                where=where,
            )


def _inspected(fn: Any, where: Where) -> Signature:
    """Read what is no plain function: partials, callable objects, functions wrapped by a decorator."""
    import inspect

    try:
        signature = inspect.signature(fn)
    except (TypeError, ValueError):
        raise DefinitionError("has no signature that could be read; wrap it in a function", where=where) from None
    names: list[str] = []
    defaults: dict[str, Any] = {}
    annotations: dict[str, Any] = {}
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
        names.append(each.name)
        if each.default is not each.empty:
            defaults[each.name] = each.default
        if each.annotation is not each.empty:
            annotations[each.name] = each.annotation
    if signature.return_annotation is not signature.empty:
        annotations["return"] = signature.return_annotation
    _check_names(tuple(names), where)
    # A generator or async function is told by its outermost layer that is one: what calling it gives.
    flags = next((each for each in map(_flags, _layers(fn)) if each & (_GENERATOR | _COROUTINE | _ASYNC_GENERATOR)), 0)
    return Signature(
        innermost(fn),
        takes_context,
        tuple(names),
        defaults,
        annotations,
        is_generator=flags & (_GENERATOR | _ASYNC_GENERATOR) != 0,
        is_async=flags & (_COROUTINE | _ASYNC_GENERATOR) != 0,
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


def takes_context(fn: Any, where: Where) -> bool:
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


def _inspected_arguments(fn: Any, where: Where) -> tuple[bool, int]:
    import inspect

    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        raise DefinitionError("has no signature that could be read; wrap it in a function", where=where) from None
    takes = any(each.kind not in {each.KEYWORD_ONLY, each.VAR_KEYWORD} for each in parameters)
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return takes, sum(each.default is each.empty and each.kind not in variadic for each in parameters)
