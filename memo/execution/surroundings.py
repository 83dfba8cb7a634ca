"""The files around every program: Python's own, its packages' and the machine's."""

from __future__ import annotations

import os
import sys

__all__ = ["TIME_ZONES", "is_surroundings"]


def is_surroundings(path: str, folder: str) -> bool:
    """Whether a file belongs to Python, its packages or the machine, where libraries look for reasons of their own."""
    if path.startswith(_PYTHONS_OWN) or "/site-packages/" in path or "/dist-packages/" in path:
        return True
    if path.startswith(folder.rstrip(os.sep) + os.sep):
        return False
    return path.startswith(_MACHINES_OWN) or path.endswith((".py", ".pyc", ".so", ".dylib", ".pyd"))


def _pythons_own() -> tuple[str, ...]:
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix} - {"/", "/usr", "/usr/local"}
    return tuple(each.rstrip(os.sep) + os.sep for each in (*sorted(prefixes), os.path.dirname(os.__file__)))


TIME_ZONES = "/zoneinfo/"
"""In the path of a file with a time zone, which code written in C opens as if the user's own line did."""

_PYTHONS_OWN = _pythons_own()
_MACHINES_OWN = (
    "/proc/", "/sys/", "/dev/", "/usr/", "/etc/", "/lib/", "/lib64/", "/run/", "/var/run/", "/var/lib/",
    *(
        os.path.expanduser(f"~/{each}")
        for each in (".aws", ".azure", ".boto", ".cache/", ".config/", ".docker", ".fonts", ".gitconfig", ".kube",
                     ".local/", ".matplotlib", ".netrc", ".pgpass", ".ssh")
    ),
)  # fmt: skip
