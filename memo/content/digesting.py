"""The digest of any value's content, taken over a pickle stream made for hashing alone.

Equal digests mean equal values; the other way round holds for plain data, arrays and tables. What cannot be
changed is written out wherever it occurs, so that interning does not show; what can be changed is written out once.
Digests of their own stand for sets, arrays, frames and tables (`memo.content.arrays`, `frames`, `tables`), so that
neither a set's order nor a table's layout shows, and large buffers are hashed in place, never copied.

A value has no digest where equal bytes would not mean an equal effect on what reads it: instances of the
user's own classes (their methods may change while their state does not), the user's functions, and whatever
cannot be pickled. Such an output counts by its version: no cutoff, never a guess. For the same reason the
versions of the packages whose classes occur in a value are part of its digest: a step that calls methods of
what it is given need not name the package anywhere in its code.
"""

from __future__ import annotations

import copyreg
import pickle
import sys
from functools import lru_cache
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from memo.hashing import Hasher, bytes_digest, digest
from memo.ownership import owner_of_module

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["STAND_INS", "NoDigestError", "StandIn", "refuse_users", "take_digest"]

_LIMIT = 256 * 1024 * 1024
"""Bytes of stream before giving up: shared parts are written out at every place they occur, which can grow
without bound. A payload that is hashed at the speed of memory costs a 64th of its size."""

_ROOMS = {
    "numpy": "memo.content.arrays",
    "pandas": "memo.content.frames",
    "pyarrow": "memo.content.tables",
}

STAND_INS: dict[type, Callable[[Any], object]] = {}
"""For a class: what gives, for an instance, the parts whose digest stands for it in the stream. Filled by the
rooms above as they are imported, which is when a value can be of their package."""


_SCALARS = frozenset({type(None), bool, int, float})
_CONTAINERS = frozenset({list, dict, bytearray})


class NoDigestError(Exception):
    """This value's content cannot stand for it."""


def take_digest(value: object) -> str | None:
    """Take the digest of a value's content, or None where it has none."""
    try:
        if type(value) in _SCALARS:
            return bytes_digest(pickle.dumps(value, protocol=5))  # what would come of it below, in one call
        for package, room in _ROOMS.items():
            if package in sys.modules:
                import_module(room)
        seen = _Seen()
        found = _digest(value, seen)
        return (
            digest("of packages", found, *[_packaged(name) for name in sorted(seen.packages)])
            if seen.packages
            else found
        )
    except Exception:  # noqa: BLE001 - a strange object may raise anything when pickled: it has no digest then
        return None


def refuse_users(module: str | None) -> None:
    """Refuse what is defined in a module of the user's.

    Raises:
        NoDigestError: It is.
    """
    if owner_of_module(module) == "user":
        raise NoDigestError


class StandIn:
    """Stands for a value that is never there as a whole.

    Attributes:
        kind: The class of the value.
        parts: What `STAND_INS` would give for it.
    """

    def __init__(self, kind: type, parts: object) -> None:
        self.kind = kind
        self.parts = parts


STAND_INS[StandIn] = lambda stand_in: stand_in.parts


class _Seen:
    """What has been met within one value.

    Attributes:
        packages: The top-level packages whose classes and functions occur.
        mutable: By the id of an object that can be changed, the how manieth of them it is, beside the object itself,
            which thus stays alive and keeps its id: where it occurs again, what reads the value can tell.
    """

    def __init__(self) -> None:
        self.mutable: dict[int, tuple[int, object]] = {}
        self.packages: set[str] = set()

    def note(self, module: str | None) -> None:
        """Note the package that a class or function is of."""
        root = (module or "").partition(".")[0]
        if root and root not in sys.stdlib_module_names and not root.startswith("_cython_"):
            self.packages.add(root)


@lru_cache(maxsize=256)
def _packaged(name: str) -> str:
    """A package with its version, as far as it tells one."""
    version = getattr(sys.modules.get(name), "__version__", None)
    if type(version) is not str:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as version_of

        try:
            version = version_of(name)
        except PackageNotFoundError:
            version = ""
    return f"{name}=={version}"


def _digest(value: object, seen: _Seen) -> str:
    sink = _Sink()
    buffers: list[pickle.PickleBuffer] = []
    _ContentPickler(sink, buffers, seen).dump(value)
    for buffer in buffers:
        raw = buffer.raw()
        sink.hasher.write(b"%d:" % raw.nbytes)
        sink.hasher.write(raw)
    return sink.hasher.hexdigest()


class _Sink:
    """Where the pickler writes: a hasher that gives up past the limit."""

    def __init__(self) -> None:
        self.hasher = Hasher()
        self._spent = 0

    def write(self, data: bytes | bytearray | memoryview, /) -> int:
        size = memoryview(data).nbytes
        self._spent += min(size, 65_536 + size // 64)
        if self._spent > _LIMIT:
            raise NoDigestError
        return self.hasher.write(data)


class _ContentPickler(pickle.Pickler):
    def __init__(
        self,
        sink: _Sink,
        buffers: list[pickle.PickleBuffer],
        seen: _Seen,
    ) -> None:
        super().__init__(sink, protocol=5, buffer_callback=buffers.append)
        self.fast = True  # without a memo: every object is written out wherever it occurs
        self._seen = seen
        self._allowed: set[object] = set()

    def persistent_id(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is set or kind is frozenset:
            return (kind.__name__, *self._members(obj))
        parts_of = STAND_INS.get(kind)
        if parts_of is None and kind not in _CONTAINERS and not kind.__dictoffset__:
            return None
        again = self._seen.mutable.get(id(obj))
        if again is not None:
            return ("again", again[0])
        self._seen.mutable[id(obj)] = (len(self._seen.mutable), obj)
        if parts_of is None:
            return None
        if kind is StandIn:
            kind = obj.kind
        self._seen.note(kind.__module__)
        return (f"{kind.__module__}.{kind.__qualname__}", _digest(parts_of(obj), self._seen))

    def reducer_override(self, obj: Any) -> Any:
        kind = type(obj)
        if kind is FunctionType or issubclass(kind, type):
            if obj not in self._allowed:
                refuse_users(obj.__module__)
                self._seen.note(obj.__module__)
                self._allowed.add(obj)
            return NotImplemented
        if kind not in self._allowed:
            if not kind.__module__.startswith("_cython_"):  # the class of functions that Cython compiled
                refuse_users(kind.__module__)
            self._seen.note(kind.__module__)
            self._allowed.add(kind)
        reducer = copyreg.dispatch_table.get(kind)
        reduced: Any = reducer(obj) if reducer is not None else obj.__reduce_ex__(5)
        if isinstance(reduced, str):  # pickled by name: a function that something wraps, or a constant
            refuse_users(getattr(obj, "__module__", kind.__module__))
            self._seen.note(getattr(obj, "__module__", kind.__module__))
        return reduced

    def _members(self, members: set[Any] | frozenset[Any]) -> tuple[str, list[Any]]:
        kinds = {type(member) for member in members}
        if len(kinds) == 1 and kinds <= {str, int, bytes}:
            return "members", sorted(members)
        return "digests", sorted(_digest(member, self._seen) for member in members)
