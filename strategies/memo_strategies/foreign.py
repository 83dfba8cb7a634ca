"""Instances of classes that are not the user's, written out as pickle does, for hashing alone.

What belongs to the user (functions, classes, modules, instances) is not written out: it is handed back, to be
followed like everything else that is reached. No code of the user's runs.
"""

from __future__ import annotations

import os
import pickle
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.content import content_digest
from memo.hashing import Hasher, digest
from memo.ownership import owner_of_module
from memo_strategies.introspect import (
    ATOMS,
    class_module,
    class_qualname,
    has_attributes,
    ids,
    slot_descriptors,
    type_label,
)
from memo_strategies.names import SPECIAL

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT = 256 * 1024 * 1024
"""Bytes written before giving up: a tuple is written out wherever it occurs, which can grow without bound."""

OF_DATA = frozenset({"numpy", "pandas", "pyarrow"})
"""Packages whose values have a digest of their content."""

_HARMLESS = frozenset({"logging.Logger", "logging.RootLogger", "logging.LoggerAdapter"})


class Pickled(Struct, frozen=True):
    """What an object holds.

    Attributes:
        digest: Of all that was written out.
        objects: What was not, in the order it was met.
    """

    digest: str
    objects: tuple[Any, ...]


def pickled(value: Any) -> Pickled | None:
    """Write an object out, or give None where that cannot be done: it holds a lock, a connection, itself."""
    try:
        return _pickled(value)
    except Exception:  # noqa: BLE001 - an object of any distribution may raise anything when pickled
        return None


def _pickled(value: Any, outer: tuple[_Met, ...] = ()) -> Pickled:
    sink = _Sink()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(sink, buffers, outer)
    pickler.dump(value)
    for buffer in buffers:
        raw = buffer.raw()
        sink.hasher.write(b"%d:" % raw.nbytes)
        sink.hasher.write(raw)
    return Pickled(sink.hasher.hexdigest(), tuple(pickler.objects))


class _Sink:
    """Where the pickler writes: a hasher, up to a limit."""

    def __init__(self) -> None:
        self.hasher = Hasher()

    def write(self, data: bytes | memoryview, /) -> int:
        if self.hasher.size > _LIMIT:
            raise pickle.PicklingError
        return self.hasher.write(data)


_Met = dict[int, tuple[str, Any]]
"""By id: what stands for an object that is met again, and the object."""


class _Pickler(pickle.Pickler):
    """Writes the instances of classes that are not the user's; all else is followed.

    Attributes:
        objects: What is followed, each once.
    """

    def __init__(self, sink: _Sink, buffers: list[pickle.PickleBuffer], outer: tuple[_Met, ...]) -> None:
        super().__init__(sink, protocol=5, buffer_callback=buffers.append)
        self.fast = True  # without a memo of pickle's own: interning does not show
        self.objects: list[Any] = []
        self._met: _Met = {}
        self._mets = (self._met, *outer)
        self._ways: dict[int, tuple[Callable[[Any], Any], type]] = {}

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if id(kind) in _WRITTEN_OUT:
            return None
        if kind is dict or kind is list or kind is _ENVIRON:
            return f"special {SPECIAL[id(obj)]}" if id(obj) in SPECIAL else self._once(obj)
        known = self._ways.get(id(kind))
        if known is None:
            known = self._ways[id(kind)] = self._way_of(kind), kind
        return known[0](obj)

    def _way_of(self, kind: type) -> Callable[[Any], Any]:
        """What is done with instances of a class."""
        label = f"{class_module(kind)}.{class_qualname(kind)}"
        if kind is set or kind is frozenset:
            return self._members
        if label in _HARMLESS:
            return lambda _: f"harmless {label}"
        owner = owner_of_module(class_module(kind))
        if owner in {"user", "memo"} or id(kind) in _FOLLOWED or issubclass(kind, type | ModuleType):
            return self._followed
        is_data = class_module(kind).partition(".")[0] in OF_DATA
        has_slots = owner == "installed" and not is_data and bool(slot_descriptors(kind))
        return self._once if has_slots or has_attributes(kind) else _written

    def _followed(self, obj: Any) -> str:
        known = self._known(obj)
        if known is None:
            known = self._note(obj, "object")
            self.objects.append(obj)
        return known

    def _once(self, obj: Any) -> str | None:
        """What can be changed is written out once: it may occur within itself, or in very many places."""
        known = self._known(obj)
        if known is None:
            self._note(obj, "again")
        return known

    def _known(self, obj: Any) -> str | None:
        for met in self._mets:
            if id(obj) in met:
                return met[id(obj)][0]
        return None

    def _note(self, obj: Any, what: str) -> str:
        name = f"{what} {sum(map(len, self._mets))}"
        self._met[id(obj)] = name, obj  # which keeps its id its own
        return name

    def reducer_override(self, obj: Any) -> Any:
        # Chunks and slices of a table, and an array's layout, do not show in its content digest, as they would here.
        if class_module(type(obj)).partition(".")[0] in OF_DATA:
            found = content_digest(obj)
            if found is not None:
                return str, (found,)
        if class_module(type(obj)) == "argparse":
            raise pickle.PicklingError  # it holds the name of the program that runs
        if type_label(obj) == "pydantic._internal._decorators.Decorator":
            # It names its class by address; the class is reached by itself.
            return dict, (), None, None, iter([(name, each) for name, each in vars(obj).items() if name != "cls_ref"])
        return NotImplemented

    def _members(self, members: Any) -> str:
        """A set by its members' digests, in the order of these."""
        found = sorted((_pickled(member, self._mets) for member in list(members)), key=lambda each: each.digest)
        for each in found:
            self.objects += each.objects
        return digest("members", *[each.digest for each in found])


def _written(_: Any) -> None:
    """It is written as pickle would."""


_WRITTEN_OUT = ATOMS | ids(tuple)
_ENVIRON: Any = type(os.environ)
_FOLLOWED = ids(FunctionType, BuiltinFunctionType, MethodType)
