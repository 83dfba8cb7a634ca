"""Which process is which, for others to know: on what machine, under what number, since when, and whether it lives."""

from __future__ import annotations

import os

from msgspec import Struct


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


__all__ = ["Process", "is_there", "this_process"]
