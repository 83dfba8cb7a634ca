"""Instances of classes that are not the user's, written out as pickle does, for hashing alone.

What belongs to the user (functions, classes, modules, instances) is not written out: it is handed back, to be
followed like everything else that is reached. No code of the user's runs.
"""

from __future__ import annotations

import pickle
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

from msgspec import Struct

from memo.content import content_digest
from memo.hashing import Hasher, digest
from memo.ownership import owner_of_module
from memo_strategies.introspect import ATOMS, class_module, ids, is_class, is_module, type_label

_LIMIT = 256 * 1024 * 1024
"""Bytes written before giving up: shared parts are written out wherever they occur, which can grow without bound."""

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


def _pickled(value: Any) -> Pickled:
    sink = _Sink()
    buffers: list[pickle.PickleBuffer] = []
    pickler = _Pickler(sink, buffers)
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


class _Pickler(pickle.Pickler):
    def __init__(self, sink: _Sink, buffers: list[pickle.PickleBuffer]) -> None:
        super().__init__(sink, protocol=5, buffer_callback=buffers.append)
        self.fast = True  # without a memo: sharing and interning do not show
        self.objects: list[Any] = []

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if id(kind) in _WRITTEN_OUT:
            return None
        if kind is set or kind is frozenset:
            return self._members(obj)
        if type_label(obj) in _HARMLESS:
            return f"harmless {type_label(obj)}"
        if (
            id(kind) in _FOLLOWED
            or is_class(obj)
            or is_module(obj)
            or owner_of_module(class_module(kind)) in {"user", "memo"}
        ):
            self.objects.append(obj)
            return "@"
        return None

    def reducer_override(self, obj: Any) -> Any:
        # Chunks and slices of a table do not show in its content digest, as they would here.
        if class_module(type(obj)).startswith("pyarrow."):
            found = content_digest(obj)
            if found is not None:
                return str, (found,)
        if type_label(obj) == "pydantic._internal._decorators.Decorator":
            # It names its class by address; the class is reached by itself.
            return dict, (), None, None, iter([(name, each) for name, each in vars(obj).items() if name != "cls_ref"])
        return NotImplemented

    def _members(self, members: Any) -> str:
        """A set by its members' digests, in the order of these."""
        found = sorted((_pickled(member) for member in list(members)), key=lambda each: each.digest)
        for each in found:
            self.objects += each.objects
        return digest("members", *[each.digest for each in found])


_WRITTEN_OUT = ATOMS | ids(list, tuple, dict)
_FOLLOWED = ids(FunctionType, BuiltinFunctionType, MethodType)
