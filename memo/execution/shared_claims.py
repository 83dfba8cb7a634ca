"""Single flight between homes: claims as objects in the shared place.

A claim is an object that can be created once. Its holder renews it by writing it anew, and removes it when what it
claimed is stored there, or is not going to be. Whether a claim is worth anything yet is judged by the clock of whoever
waits, and by no other: it is given up when it has been seen unchanged for a lease, or when its process is gone from
this machine.

Several may come to give up one claim at the same moment. Who may take it over is settled by another object, created
once, that is named after the content of the claim that was given up.
"""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from msgspec import DecodeError, Struct, ValidationError

from memo.contracts.run_store import Claim
from memo.execution.processes import Process, is_there
from memo.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memo.contracts.sharing import SharedObjects

__all__ = ["SharedClaims"]

_TRIES = 3
_SECONDS_BETWEEN_REMOVALS = 0.2
_UNKNOWN = Claim("", "", "", "", 0, "", 0.0)


class _Held(Struct):
    """A claim of this run.

    Attributes:
        data: What stands in the object.
        renewed_at: When it was last written, on the clock.
    """

    data: bytes
    beat: int
    renewed_at: float


class _Seen(Struct):
    """A claim of another run.

    Attributes:
        data: What stood in the object when it was last seen.
        since: Since when, on the clock.
    """

    data: bytes
    since: float


class _Object(Struct, frozen=True):
    """What stands in the object: who holds the claim, and how often it has been renewed."""

    claim: Claim
    beat: int = 0


class SharedClaims:
    """The claims of one run in the shared place.

    Args:
        objects: The place.
        lease: Seconds that a claim must be seen unchanged before it is given up.
        is_there: Whether a process runs; None where it cannot be seen.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        objects: SharedObjects,
        *,
        lease: float,
        is_there: Callable[[Process], bool | None] = is_there,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._objects = objects
        self._lease = lease
        self._is_there = is_there
        self._clock = clock
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, _Seen] = {}
        self._to_remove: list[str] = []
        self._removed_at = clock()
        self._lock = Lock()

    def take(self, wanted: Claim) -> Claim | None:
        """Claim a version; gives the claim of another, or None where there is none or the place cannot be asked."""
        from msgspec.json import encode

        data = encode(_Object(wanted))
        name = _name(wanted.version)
        self._flush([name])
        for number in range(_TRIES):
            if not self._objects.takes:
                return None
            if self._objects.put(name, data):
                with self._lock:
                    self._held[wanted.version] = _Held(data, 0, self._clock())
                self._seen.pop(wanted.version, None)
                return None
            found = self._objects.fetch([name]).get(name)
            if found is None:
                if self._objects.distrusted([name]):
                    return None  # It may be a good one, of homes with another key: it is neither kept nor removed.
                if number == _TRIES - 2:  # It is there and cannot be read: nobody holds it.
                    self._objects.remove([name])
                continue
            holder = _holder(found)
            if (holder.run_id, holder.host, holder.pid) == (wanted.run_id, wanted.host, wanted.pid):
                return None
            if not self._is_gone(wanted.version, found, holder):
                return holder
            self._remove_gone(wanted.version, found)
        return None

    def is_held(self, version: str) -> bool:
        """Whether this run holds the claim on a version."""
        return version in self._held

    def free(self, versions: Iterable[str]) -> set[str]:
        """Those of these versions that are no longer claimed by another, as far as can be seen; they can be tried."""
        wanted = {_name(version): version for version in versions}
        found = self._objects.fetch(list(wanted))
        if not self._objects.is_up:
            return set(wanted.values())
        free = {version for name, version in wanted.items() if name not in found}
        for name, data in found.items():
            if self._is_gone(wanted[name], data, _holder(data)):
                free.add(wanted[name])
        return free

    def renew(self) -> None:
        """Write all claims anew."""
        from msgspec.json import encode

        with self._lock:
            held = list(self._held.items())
        for version, each in held:
            beat = each.beat + 1
            data = encode(_Object(_holder(each.data), beat))
            if version in self._held and self._objects.put(_name(version), data, replace=True):
                with self._lock:
                    if version in self._held:
                        self._held[version] = _Held(data, beat, self._clock())
                    else:  # It was released meanwhile, and has just been written again.
                        self._to_remove.append(_name(version))

    def release(self, version: str) -> None:
        """End the claim on a version; several are removed at a time."""
        with self._lock:
            held = self._held.pop(version, None)
        if held is None:
            return
        name = _name(version)
        if self._clock() - held.renewed_at > self._lease and self._objects.fetch([name]).get(name) != held.data:
            return  # This run has slept, and another has taken it over.
        with self._lock:
            self._to_remove.append(name)

    def flush_if_due(self) -> None:
        """Remove what has been released, unless something was removed just now."""
        if self._clock() - self._removed_at >= _SECONDS_BETWEEN_REMOVALS:
            self._flush()

    def close(self) -> None:
        """End all claims."""
        for version in list(self._held):
            self.release(version)
        self._flush()

    def _flush(self, of: list[str] | None = None) -> None:
        with self._lock:
            if of is not None and not set(of) & set(self._to_remove):
                return
            names, self._to_remove = self._to_remove, []
            self._removed_at = self._clock()
        if names:
            self._objects.remove(names)

    def _is_gone(self, version: str, data: bytes, holder: Claim) -> bool:
        seen = self._seen.get(version)
        if seen is None or seen.data != data:
            seen = self._seen[version] = _Seen(data, self._clock())
        if holder.pid and self._is_there(Process(holder.host, holder.pid, holder.pid_started)) is False:
            return True
        return self._clock() - seen.since >= self._lease

    def _remove_gone(self, version: str, data: bytes) -> None:
        """Remove a claim that has been given up, where this run is the one to do so."""
        name = _name(version)
        # Who was to remove it may have ended before: after another lease, another may.
        turn = int((self._clock() - self._seen[version].since) / self._lease)
        mine = f"{name}.gone-{digest('claim', data.decode('latin-1'))}-{turn}"
        if not self._objects.put(mine, data):
            return
        if self._objects.fetch([name]).get(name) == data:
            self._objects.remove([name])
        self._objects.remove([mine])


def _holder(data: bytes) -> Claim:
    from msgspec.json import decode

    try:
        return decode(data, type=_Object).claim
    except (DecodeError, ValidationError):
        return _UNKNOWN


def _name(version: str) -> str:
    return f"claims/{version}"
