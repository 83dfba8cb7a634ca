"""Which process is which, for others to know: on what machine, under what number, since when, and whether it lives."""

from __future__ import annotations

import os
from contextlib import suppress

from msgspec import Struct

_CLOCK_MARGIN = 60.0
"""Seconds by which the clock may have been set since."""


class Process(Struct, frozen=True):
    """A process, told from all others that have or will have its number.

    Attributes:
        host: The machine's name, the boot it has been up since and, where there are several, its space of process
            ids: containers on one machine each count their own.
        started: When it began, in the system's ticks; empty where the system does not say.
    """

    host: str
    pid: int
    started: str


def this_process() -> Process:
    """The process that asks."""
    pid = os.getpid()
    return Process(_this_host(), pid, _looks(pid)[0])


def is_there(process: Process) -> bool | None:
    """Whether a process still runs, even if it is stopped; None where that cannot be seen from here."""
    if os.name != "posix" or process.host != _this_host():
        return None
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # It is somebody else's; and it is.
    started, state = _looks(process.pid)
    if state in {"Z", "X"}:
        # Killed, and its parent has not asked yet.
        return False
    return not (started and process.started and started != process.started)


def may_still_run(pid: int, since: float) -> bool:
    """Whether a process of this machine may be the one that had a number at a time, in seconds since 1970.

    Numbers are given again, in containers nearly always the same: a process that began after that time is another.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # It is somebody else's; and it is.
    began = _began_at(pid)
    return began is None or began <= since + _CLOCK_MARGIN


def _began_at(pid: int) -> float | None:
    """When a process began, in seconds since 1970; None where the system does not say."""
    ticks, _ = _looks(pid)
    try:
        with open("/proc/stat", encoding="ascii") as file:
            booted = next(int(line.split()[1]) for line in file if line.startswith("btime "))
        return booted + int(ticks) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, StopIteration):
        return None


def processes_with(path: str) -> list[int]:
    """The processes of this machine that have a file open, this one left out; none where the system does not say.

    Those too that opened it before it was deleted.
    """
    try:
        looked_for = os.stat(path)
    except OSError:
        looked_for = None
    deleted = f"{os.path.realpath(path)} (deleted)"
    try:
        numbers = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    return [pid for pid in numbers if pid != os.getpid() and _has_open(pid, looked_for, deleted)]


def _has_open(pid: int, looked_for: os.stat_result | None, deleted: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(folder):
            with suppress(OSError):  # closed meanwhile
                if looked_for is not None and os.path.samestat(os.stat(f"{folder}/{name}"), looked_for):
                    return True
                if os.readlink(f"{folder}/{name}") == deleted:
                    return True
    except OSError:  # somebody else's, or gone
        pass
    return False


def _this_host() -> str:
    name = os.uname().nodename if os.name == "posix" else os.environ.get("COMPUTERNAME", "")
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{name} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return name


def _looks(pid: int) -> tuple[str, str]:
    """When a process began, and its state; empty where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The second field is the program's name in brackets, and may hold anything.
            fields = file.read().rpartition(b") ")[2].split()
        return fields[19].decode(), fields[0].decode()
    except (OSError, IndexError):
        return "", ""


__all__ = ["Process", "is_there", "may_still_run", "processes_with", "this_process"]
