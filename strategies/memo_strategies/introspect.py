"""Looking into objects of any kind without running any code of theirs.

Attributes are read through the descriptors of the built-in types themselves, so that neither ``__getattr__``,
``__class__``, nor a metaclass of the user's has a say. Kinds are asked of ``type(obj)``, never of ``isinstance``.
"""

from __future__ import annotations

import functools
from types import GetSetDescriptorType, MappingProxyType, MemberDescriptorType, ModuleType
from typing import Any

_mro: Any = type.__dict__["__mro__"].__get__
_bases: Any = type.__dict__["__bases__"].__get__
_dict: Any = type.__dict__["__dict__"].__get__
_name: Any = type.__dict__["__name__"].__get__
_qualname: Any = type.__dict__["__qualname__"].__get__
_module: Any = type.__dict__["__module__"].__get__
_flags: Any = type.__dict__["__flags__"].__get__
_base: Any = type.__dict__["__base__"].__get__
_dictoffset: Any = type.__dict__["__dictoffset__"].__get__
_basicsize: Any = type.__dict__["__basicsize__"].__get__
_module_dict: Any = vars(ModuleType)["__dict__"].__get__
_subclasses: Any = type.__dict__["__subclasses__"]

_HEAP_TYPE = 1 << 9


class Missing:
    """The type of `MISSING`: nothing is there, not even None."""


MISSING = Missing()


class Unordered:
    """Pairs whose order means nothing."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = pairs


def ids(*classes: type) -> frozenset[int]:
    """Classes by id, for asking whether a type is one of these: a metaclass of the user's may define ``__hash__``."""
    return frozenset(map(id, classes))


ATOMS = ids(bool, int, float, complex, str, bytes, type(None))
"""The types whose values hold nothing else."""

FOR_TYPE_CHECKERS = frozenset({
    "__dataclass_transform__", "__deprecated__", "__final__", "__no_type_check__", "__override__",
})  # fmt: skip
"""Attributes that decorators of `typing` put on functions and classes, for type checkers alone."""


def is_class(obj: object) -> bool:
    """Whether it is a class, whatever its ``__class__`` says."""
    return issubclass(type(obj), type)


def is_module(obj: object) -> bool:
    """Whether it is a module, whatever its ``__class__`` says."""
    return issubclass(type(obj), ModuleType)


def class_mro(cls: type) -> tuple[type, ...]:
    """The real method resolution order."""
    found: tuple[type, ...] = _mro(cls)
    return found


def class_bases(cls: type) -> tuple[type, ...]:
    """The direct bases."""
    found: tuple[type, ...] = _bases(cls)
    return found


def class_dict(cls: type) -> MappingProxyType[str, Any]:
    """The class's own attributes, as they are kept: descriptors unbound."""
    found: MappingProxyType[str, Any] = _dict(cls)
    return found


def class_name(cls: type) -> str:
    """The ``__name__``."""
    return str(_name(cls))


def class_qualname(cls: type) -> str:
    """The ``__qualname__``."""
    return str(_qualname(cls))


def class_module(cls: type) -> str:
    """The name of the module that the class says it is from; empty where it says none."""
    try:
        name = _module(cls)
    except AttributeError:
        return ""
    return name if type(name) is str else ""


def class_subclasses(cls: type) -> list[type]:
    """The direct subclasses that are alive."""
    found: list[type] = _subclasses(cls)
    return found


def is_heap_type(cls: type) -> bool:
    """Whether the class was made at run time; the others are static parts of compiled code."""
    return bool(_flags(cls) & _HEAP_TYPE)


def module_dict(module: object) -> dict[str, Any]:
    """A module's own namespace."""
    found: dict[str, Any] = _module_dict(module)
    return found


def has_attributes(cls: type) -> bool:
    """Whether instances have a ``__dict__``."""
    return bool(_dictoffset(cls))


def instance_dict(obj: object) -> dict[str, Any] | None:
    """What an instance keeps in its ``__dict__``, None where it has none that can be seen."""
    for base in _mro(type(obj)):
        getter = _dict(base).get("__dict__")
        if type(getter) is GetSetDescriptorType:
            try:
                found = getter.__get__(obj)
            except (AttributeError, TypeError):
                continue
            if issubclass(type(found), dict):
                return found  # type: ignore[no-any-return]
    return None


def slot_descriptors(cls: type) -> list[tuple[str, Any]]:
    """The slots of a class and of its parents, as (name, descriptor), nearest class first."""
    return [
        (name, found)
        for base in _mro(cls)
        for name, found in _dict(base).items()
        if type(found) is MemberDescriptorType and name != "__weakref__"
    ]


def cached_properties(cls: type) -> frozenset[str]:
    """Attributes of instances that follow from the rest, and are there only if someone asked."""
    cached_property = functools.cached_property
    return frozenset(
        [
            name
            for base in _mro(cls)
            for name, found in _dict(base).items()
            if type(found) is cached_property or cached_property in _mro(type(found))[1:-1]
        ]
    )


def hides_state(cls: type) -> bool:
    """Whether instances hold something, by this class itself, that no attribute shows: compiled classes do."""
    base = _base(cls)
    own = _dict(cls)
    seen = sum(type(found) is MemberDescriptorType for found in own.values())
    seen += ("__dict__" in own) + ("__weakref__" in own)
    return base is not None and bool(_basicsize(cls) > _basicsize(base) + 8 * seen)


def type_label(obj: object) -> str:
    """The dotted name of an object's type, for naming it in texts and hashes."""
    kind = type(obj)
    return f"{class_module(kind)}.{class_qualname(kind)}"
