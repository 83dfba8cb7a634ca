"""Types that pickling cannot write, and whose content there is a way to read: most are Python's own."""

from __future__ import annotations

import gc
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any
from weakref import ref

from memo_strategies.introspect import (
    Unordered,
    class_dict,
    class_module,
    class_mro,
    class_qualname,
    is_class,
    module_dict,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def accessor_of(kind: type) -> Callable[[Any], Any] | None:
    """Give what reads the content of instances of a class, None where none is known here."""
    module, name = class_module(kind), class_qualname(kind)
    if module in _HASHES:
        return _hash_state
    found = _BY_LABEL.get(f"{module}.{name}")
    if found is not None and dict.get(module_dict(sys.modules[module]), name) is not kind:
        return None  # it only says so
    return found


def _attributes(*names: str) -> Callable[[Any], Any]:
    return lambda value: [getattr(value, name) for name in names]


def _attribute_names(value: Any) -> Any:
    return [text.split(".") for text in value.__reduce__()[1]]


def _context_variable(value: Any) -> Any:
    try:
        return [value.get()]
    except LookupError:
        return []


def _thread_namespace(value: Any) -> Any:
    """What a `threading.local` holds in this thread.

    Where asking for that would run the user's ``__init__``: what this is given, and what the only thread has that
    asked before.
    """
    kind = type(value)
    if not any("__init__" in class_dict(base) for base in class_mro(kind)[:-2]):
        return dict(class_dict(class_mro(kind)[-2])["__getattribute__"](value, "__dict__"))
    found = gc.get_referents(value)
    given = [each for each in found if type(each) is tuple or (type(each) is dict and all(map(_is_text, each)))]
    threads = [each for kept in found if type(kept) is dict for each in kept.values() if type(each) is dict]
    return [*given, *(threads if len(threads) == 1 else [])]


def _is_text(value: object) -> bool:
    return type(value) is str


def _alias_value(value: Any) -> Any:
    """What a type alias stands for: the function that makes it, where it is made when it is asked for."""
    makers = [each for each in gc.get_referents(value) if type(each) is FunctionType]
    return makers[0] if makers else value.__value__


def dereferenced(value: Any) -> Any:
    """What a weak reference points at; None where that is gone."""
    return _DEREFERENCE(value)


def _method(value: Any) -> Any:
    return dereferenced(value), dereferenced(value._func_ref)  # noqa: SLF001 - there is no other way


def _weak_set(value: Any) -> Any:
    return Unordered([(each, None) for each in map(dereferenced, list(value.data)) if _lasts(each)])


def _weak_values(value: Any) -> Any:
    found = [(key, dereferenced(each)) for key, each in list(value.data.items())]
    return [item for item in found if _lasts(item[1])]


def _weak_keys(value: Any) -> Any:
    found = [(dereferenced(key), each) for key, each in list(value.data.items())]
    return [item for item in found if _lasts(item[0])]


def _lasts(value: object) -> bool:
    """Whether it is code, as registries have it; what else is held weakly is there or not as memory has it."""
    return type(value) is FunctionType or is_class(value)


def _hash_state(value: Any) -> Any:
    copied = value.copy()
    try:
        return value.name, copied.digest()
    except TypeError:  # of those that give as many bytes as are asked for
        return value.name, copied.digest(32)


_HASHES = frozenset({"_hashlib", "_md5", "_sha1", "_sha2", "_sha256", "_sha512", "_sha3", "_blake2"})

_DEREFERENCE: Any = class_dict(ref)["__call__"]

_BY_LABEL: dict[str, Callable[[Any], Any]] = {
    "_contextvars.ContextVar": _context_variable,
    "_csv.Dialect": _attributes(
        "delimiter", "doublequote", "escapechar", "lineterminator", "quotechar", "quoting", "skipinitialspace", "strict"
    ),
    "_struct.Struct": _attributes("format"),
    "_thread._local": _thread_namespace,
    "_weakrefset.WeakSet": _weak_set,
    "numba.core.registry.CPUDispatcher": _attributes("py_func", "targetoptions"),
    "operator.attrgetter": _attribute_names,
    "typing.NewType": _attributes("__name__", "__supertype__"),
    "typing.TypeAliasType": _alias_value,
    "weakref.KeyedRef": dereferenced,
    "weakref.ReferenceType": dereferenced,
    "weakref.WeakKeyDictionary": _weak_keys,
    "weakref.WeakMethod": _method,
    "weakref.WeakValueDictionary": _weak_values,
}
"""By the name of the type. (What numba compiles has a number in its pickle that is made anew each time.)"""


def _unordered(members: Any) -> Unordered:
    """The members of a set, whose hashes are never asked for."""
    return Unordered([(member, None) for member in members])


def _sliced(kind: Any) -> Callable[[Any], Any]:
    return lambda value: kind.__getitem__(value, slice(None))


def _contents() -> dict[int, Callable[[Any], Any]]:
    read: dict[type, Any] = {
        int: int.__int__,
        float: float.__float__,
        complex: lambda value: (_REAL(value), _IMAGINARY(value)),  # pyright: ignore[reportUnknownLambdaType]
        str: str.__str__,
        bytes: _sliced(bytes),
        bytearray: _sliced(bytearray),
        list: _sliced(list),
        tuple: _sliced(tuple),
        dict: lambda value: list(_ITEMS(value)),  # pyright: ignore[reportUnknownLambdaType]
        set: lambda value: _unordered(_MEMBERS(value)),  # pyright: ignore[reportUnknownLambdaType]
        frozenset: lambda value: _unordered(_FROZEN_MEMBERS(value)),  # pyright: ignore[reportUnknownLambdaType]
    }
    return {id(kind): reader for kind, reader in read.items()}


_REAL: Any = complex.__dict__["real"].__get__
_IMAGINARY: Any = complex.__dict__["imag"].__get__
_ITEMS: Any = dict.items
_MEMBERS: Any = set.__iter__
_FROZEN_MEMBERS: Any = frozenset.__iter__
BUILT_IN = _contents()
"""By the id of a built-in type: what reads, through this type, what an instance of a child of it holds."""
