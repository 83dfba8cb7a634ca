"""Whose line it was: from something that happens while an op runs to the user's line that asked for it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.ownership import owner_of_module, owner_of_namespace

if TYPE_CHECKING:
    from types import FrameType

_BOUNDARY = frozenset({"memo.execution.step", "memo.execution.asynchronous"})
"""The modules that call an op: above them there is nothing of the op's."""

_MACHINERY = frozenset({
    "ctypes.util", "gettext", "inspect", "linecache", "locale", "pkgutil", "platform", "pydoc", "site", "sysconfig",
    "tokenize", "traceback", "uuid", "warnings", "zipimport",
})  # fmt: skip
"""Modules that look around for reasons of their own: at the text of a line, at the machine, at what is installed."""

_PASSES_ON = frozenset({
    "_io", "bz2", "codecs", "fileinput", "genericpath", "glob", "gzip", "io", "lzma", "os",
    "pathlib", "pathlib._abc", "pathlib._local", "posixpath", "shutil", "socket", "sqlite3", "sqlite3.dbapi2",
    "subprocess", "tarfile", "tempfile", "urllib.request", "zipfile",
})  # fmt: skip
"""Modules that open what they are told to: what goes through them is opened by their caller."""


_PASS_ON_VARIABLES = frozenset({"_collections_abc", "collections.abc", "memo.execution.watching", "os"})
"""The modules that ``os.environ`` itself is made of."""


class Reader(Struct, frozen=True):
    """Who asked for something.

    Attributes:
        file: Of the user's line; empty where none is known, as in a thread that a library started.
        line: In the file.
        is_direct: Whether the user's code itself asked for it, and no library for reasons of its own.
    """

    file: str = ""
    line: int = 0
    is_direct: bool = False


def reader_of(frame: FrameType | None) -> Reader | None:
    """Find the user's line behind what happens in a frame.

    Args:
        frame: The innermost frame in which it happens.

    Returns:
        Who asked for it; None where nobody did, because Python was importing, or it is memo's own doing.
    """
    is_direct = True
    unnamed: Reader | None = None
    while frame is not None:
        name = frame.f_globals.get("__name__")
        name = name if type(name) is str else ""
        if name in _BOUNDARY:
            break
        owner = owner_of_namespace(frame.f_globals)
        if owner == "user":
            code = frame.f_code
            found = Reader(code.co_filename, frame.f_lineno, is_direct)
            if not code.co_filename.startswith("<"):
                return found
            # Made by exec() or a decorator: who called it stands in a file.
            unnamed = unnamed or found
        elif unnamed is None and (owner == "memo" or _is_machinery(name, frame.f_code.co_filename)):
            return None
        elif name not in _PASSES_ON:
            is_direct = False
        frame = frame.f_back
    return unnamed or Reader()


def variable_reader_of(frame: FrameType | None, variable: str) -> Reader | None:
    """Find the user's line that read an environment variable; None where a library read it, for its own settings.

    A library written in C leaves no frame behind: a variable that begins with the name of a loaded package, and that
    the line above names nowhere, is that package's.
    """
    while frame is not None and frame.f_globals.get("__name__") in _PASS_ON_VARIABLES:
        frame = frame.f_back
    if frame is None or owner_of_namespace(frame.f_globals) != "user":
        return None
    package = variable.partition("_")[0].lower()
    if package in sys.modules and owner_of_module(package) == "installed" and variable not in frame.f_code.co_consts:
        return None
    return reader_of(frame)


def _is_machinery(name: str, file: str) -> bool:
    if file.startswith(("<frozen importlib", "<frozen zipimport")) or name in _MACHINERY:
        return True
    if name.startswith("importlib."):
        return not name.startswith("importlib.resources")
    return name.startswith("multiprocessing.") and name not in {"multiprocessing.pool", "multiprocessing.dummy"}


def shown_path(path: str, folder: str) -> str:
    """A path as people read it: relative to a folder where it is below it.

    >>> shown_path("/a/data.csv", "/a"), shown_path("/data.csv", "/a"), shown_path("/a/", "/a")
    ('data.csv', '/data.csv', './')
    """
    if folder and path.rstrip(os.sep) == folder:
        return "." + path[len(folder) :]
    return path.removeprefix(folder.rstrip(os.sep) + os.sep) if folder else path
