"""Watching what an op reads while its body runs, to tell what its version does not cover.

Python tells its audit hooks of every file that is opened, folder listed, program started and host connected to. It
tells nothing of environment variables, so that ``os.environ`` is of a class of ours while an op runs. What libraries
written in C open by themselves, and what other processes read, nobody tells.
"""

from __future__ import annotations

import os
import sys
from _thread import get_ident
from typing import TYPE_CHECKING, Any, Self

from memo.definition.job import sources_of
from memo.definition.names import frame_at
from memo.events import EventType
from memo.execution.attribution import Reader, reader_of, shown_path
from memo.execution.audit_events import HEARD, PROBES, VARIABLE_READ, text_of
from memo.execution.coverage import (
    ENVIRONMENT,
    FILE,
    NETWORK,
    PROCESS,
    WHOLE_ENVIRONMENT,
    WORKERS,
    Coverage,
    host_of,
    said,
)
from memo.execution.surroundings import TIME_ZONES, is_surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from memo.execution.step import StepAttempt

__all__ = ["MORE", "Watch"]

MORE = "…"
"""Stands in the last read of a step for all that are not listed."""

_MOST_TOLD = 50
_MOST_NOTED = 1000
"""So many are looked at together: a step that reads a million declared files keeps no list of them."""
_watches: list[Watch] = []
"""Of the steps that run in this process, the innermost last: an op may run a job of its own."""


class Watch:
    """A context manager: while it lasts, notes what the thread that entered it, and those it starts, read.

    At its end it tells what the sources of the step do not cover, as events of the attempt.

    Args:
        attempt: Of the step.
    """

    __slots__ = ("_attempt", "_coverage", "_folder", "_found", "_hearing", "_known", "_lookups", "_own", "_processes",
                 "_reads", "_strangers", "_thread")  # fmt: skip

    def __init__(self, attempt: StepAttempt) -> None:
        self._attempt = attempt
        self._folder = attempt.environment.folder
        self._coverage: Coverage | None = None
        self._reads: dict[tuple[str, str, str, int], None] = {}
        """(kind, what, file, line), paths absolute, of which it is not decided yet whether they are covered."""
        self._known: set[tuple[str, str, str, int]] = set()
        """The same with paths as they were given, to know at once what comes again."""
        self._found: dict[tuple[str, str, str], None] = {}
        """(kind, what, where) that is not covered, paths as people read them, in the order it was read."""
        self._own: set[tuple[str, str]] = set()
        """(kind, what) that the step itself made: files written, folders made, variables set."""
        self._lookups: dict[object, str] = {}
        """Port -> the host that was last looked up for it: a connection knows addresses only."""
        self._hearing: set[int] = set()

    def __enter__(self) -> Self:
        _listen()
        self._thread = get_ident()
        self._strangers = frozenset(sys._current_frames())  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - the idents of all threads, those that `threading` does not know too
        self._processes = _processes_made()
        _watch_environment()
        _watches.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        if self in _watches:
            _watches.remove(self)
        if not _watches:
            _leave_environment()
        if _processes_made() != self._processes:
            self._reads[PROCESS, WORKERS, "", 0] = None
        self._settle()
        if self._found:
            self._tell()

    def hears(self, thread: int) -> bool:
        """Whether what happens in a thread is the step's doing."""
        return thread == self._thread or thread not in self._strangers

    def hear(self, thread: int, event: str, args: tuple[Any, ...], frame: FrameType) -> None:
        """Take notice of something; whatever goes wrong with that is not the user's matter."""
        if thread in self._hearing:
            return
        self._hearing.add(thread)
        try:
            HEARD[event](self, args, frame)
        except Exception:  # noqa: BLE001, S110 - an audit hook that raises would make the user's own call fail
            pass
        finally:
            self._hearing.discard(thread)

    # What is told

    def _tell(self) -> None:
        attempt = self._attempt
        op_version = attempt.task.op_version
        reads = list(self._found)
        for kind, what, where in reads[:_MOST_TOLD]:
            place = f" ({where})" if where else ""
            data = {"kind": kind, "what": what, "where": where, "op_version": op_version}
            attempt.event(EventType.UNDECLARED_READ, said(kind, what) + place, data)
        if len(reads) > _MOST_TOLD:
            data = {"kind": reads[_MOST_TOLD][0], "what": MORE, "where": "", "op_version": op_version}
            attempt.event(EventType.UNDECLARED_READ, "reads more than is listed", data)

    def _settle(self) -> None:
        """Decide of all that was noted whether it is covered."""
        reads, self._reads = self._reads, {}
        self._known.clear()
        if not reads:
            return
        environment = self._attempt.environment
        if self._coverage is None:
            self._coverage = Coverage(sources_of(self._attempt.step, environment.resource_defs), self._folder)
        homes = tuple(each + os.sep for each in (environment.storage.folder, environment.logs_dir) if each)
        whole = {(file, line) for _, what, file, line in reads if what == WHOLE_ENVIRONMENT}
        fetched = {(host_of(what), file, line) for _, what, file, line in reads if "://" in what}
        for kind, what, file, line in reads:
            if kind == ENVIRONMENT and what != WHOLE_ENVIRONMENT and (file, line) in whole:
                continue
            if kind == NETWORK and "://" not in what and (host_of(what), file, line) in fetched:
                continue
            if (kind == FILE and what.startswith(homes)) or self._coverage.covers(kind, what):
                continue
            shown = shown_path(what, self._folder) if kind == FILE else what
            self._found[kind, shown, f"{shown_path(file, self._folder)}:{line}" if file else ""] = None

    # What is heard

    def note(self, kind: str, what: str, reader: Reader) -> None:
        """Note that something was read, unless more is known already than is told."""
        if not self._is_full:
            self._reads[kind, what, reader.file, reader.line] = None
            if len(self._reads) >= _MOST_NOTED:
                self._settle()

    @property
    def _is_full(self) -> bool:
        return len(self._found) > _MOST_TOLD

    def make(self, kind: str, what: str) -> None:
        """Note that the step itself made something, which is no input then."""
        self._own.add((kind, what))

    def made(self, kind: str, what: str) -> bool:
        """Whether the step itself made this, or a folder above it."""
        if not self._own or kind != FILE:
            return (kind, what) in self._own
        while (FILE, what) not in self._own:
            above = os.path.dirname(what)
            if above == what:
                return False
            what = above
        return True

    def read_file(self, path: str, frame: FrameType, *, is_listing: bool = False) -> None:
        """Note that a file is opened for reading, or a folder listed."""
        reader = None if self._is_full else reader_of(frame)
        if reader is None:
            return
        key = (FILE, path + os.sep if is_listing else path, reader.file, reader.line)
        if key in self._known:
            return
        place = os.path.abspath(path)
        if self.made(FILE, place) or TIME_ZONES in place:
            return
        if not reader.is_direct and is_surroundings(place, self._folder):
            return
        self._known.add(key)
        if not is_listing and os.path.isdir(place):
            return  # opened to hold on to it, as for fsync; what lists it is told by itself
        self.note(FILE, place.rstrip(os.sep) + os.sep if is_listing else place, reader)

    def connect(self, address: object, frame: FrameType) -> None:
        """Note that a connection is made."""
        reader = reader_of(frame)
        if reader is None:
            return
        if isinstance(address, tuple) and len(address) >= 2 and type(address[0]) is str:
            port: object = address[1]
            host: str = self._lookups.get(port, address[0])
            self.note(NETWORK, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", reader)
        elif (path := text_of(address)) and (reader.is_direct or not is_surroundings(path, self._folder)):
            self.note(NETWORK, path, reader)

    def look_up(self, host: str, port: object) -> None:
        """Remember for which host a port was looked up."""
        self._lookups[port] = host

    def turn(self) -> None:
        """Take notice that the current folder changes: the same path may be another file now."""
        self._known.clear()

    def run_program(self, name: str, frame: FrameType) -> None:
        """Note that a program is started."""
        reader = reader_of(frame)
        if reader is not None and name and (reader.is_direct or os.path.basename(name) not in PROBES):
            self.note(PROCESS, name, reader)

    def fork(self) -> None:
        """Note that this process is doubled."""
        self.note(PROCESS, WORKERS, Reader())


def _hear(event: str, args: tuple[Any, ...]) -> None:
    """The audit hook; there is one in a process from the first watch on, for hooks cannot be taken away."""
    if _watches and event in HEARD:
        thread = get_ident()
        for watch in reversed(_watches):
            if watch.hears(thread):
                watch.hear(thread, event, args, frame_at(1))
                return


_is_listening = False


def _listen() -> None:
    global _is_listening  # noqa: PLW0603 - one hook in a process
    if not _is_listening:
        _is_listening = True
        sys.addaudithook(_hear)
        os.register_at_fork(after_in_child=_watches.clear)


# The environment


class _WatchedEnvironment(os._Environ[Any]):  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - there is no other way to know who reads `os.environ`
    """The class of ``os.environ`` while an op runs: the object stays the one it is, and all that it holds."""

    def __getitem__(self, key: Any) -> Any:
        if _watches and isinstance(key, str | bytes):
            _hear(VARIABLE_READ, (key,))
        return super().__getitem__(key)

    def __iter__(self) -> Iterator[Any]:
        if _watches:
            _hear(VARIABLE_READ, (WHOLE_ENVIRONMENT,))
        return super().__iter__()


_plain_class: type = os._Environ  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as above
_watched_environments: list[Any] = []


def _watch_environment() -> None:
    given: tuple[Any, ...] = (os.environ, getattr(os, "environb", None))
    for each in given:
        # A user may have put something else in its place.
        if type(each) is _plain_class:
            each.__class__ = _WatchedEnvironment
            _watched_environments.append(each)


def _leave_environment() -> None:
    while _watched_environments:
        each: Any = _watched_environments.pop()
        if each.__class__ is _WatchedEnvironment:
            each.__class__ = _plain_class


def _processes_made() -> str:
    """How many processes `multiprocessing` has made so far: some ways of starting one tell no audit hook."""
    module = sys.modules.get("multiprocessing.process")
    return repr(getattr(module, "_process_counter", "")) if module is not None else ""
