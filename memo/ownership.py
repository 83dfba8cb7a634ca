"""Whose code a thing is: the user's own, an installed distribution's, or the standard library's."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Owner = Literal["user", "installed", "stdlib", "memo"]

_OURS = {"memo", "memo_iomanagers", "memo_strategies"}


OUR_FOLDERS = tuple(
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name) + os.sep
    for name in ("memo", "iomanagers", "strategies", "memo_iomanagers", "memo_strategies")
)
"""Where memo's own modules are, installed or in a checkout."""

_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_STDLIB = (
    os.path.dirname(os.__file__) + os.sep,
    os.path.join(sys.base_exec_prefix, sys.platlibdir, _VERSION) + os.sep,
)


def owner_of_module(name: str | None) -> Owner:
    """Say whose the module of this name is; where it is loaded, as `owner_of_namespace` does."""
    if not name:
        return "user"
    root = name.partition(".")[0]
    module = sys.modules.get(name) or sys.modules.get(root)
    return owner_of_namespace({"__name__": name, "__file__": getattr(module, "__file__", None)})


def owner_of_namespace(namespace: Mapping[str, object]) -> Owner:
    """Say whose the code with these globals is.

    A file under ``site-packages`` or ``dist-packages`` is installed; one of the interpreter's own is
    ``stdlib``; everything else, editable installs and notebooks included, is the user's. The name decides
    only where there is no file: a user's ``queue.py`` is the user's.
    """
    name, file = namespace.get("__name__"), namespace.get("__file__")
    root = name.partition(".")[0] if type(name) is str else ""
    if root in _OURS:
        return "memo"
    if root == "__main__":
        # Whatever started it (a profiler, a test runner) and whose file that is: what is defined there is the user's.
        return "user"
    if type(file) is str:
        return owner_of_file(file)
    if root in sys.stdlib_module_names or root in sys.builtin_module_names:
        return "stdlib"
    return "user"


def owner_of_file(path: str | None) -> Owner:
    """Say whose the file at this path is."""
    if not path:
        return "user"
    if "/site-packages/" in path or "/dist-packages/" in path:
        return "installed"
    if path.startswith(_STDLIB):
        return "stdlib"
    return "user"
