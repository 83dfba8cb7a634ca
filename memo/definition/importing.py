"""Importing the user's files, so that what is imported is what the file says now.

Python takes a cached ``.pyc`` for current when the file's size and the whole second of its change are the same: an edit
of the same length within a second is missed, and the old code runs. Here the nanoseconds count too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import TYPE_CHECKING, Any

from memo.ownership import OUR_FOLDERS, owner_of_file

if TYPE_CHECKING:
    from types import ModuleType


class ExactSourceLoader(SourceFileLoader):
    """Loads a module from source, or from a ``.pyc`` made of exactly that source."""

    def path_stats(self, path: str) -> Any:
        """The file's stamp as it is kept in the ``.pyc``: all of its time, folded into the 32 bits there are."""
        found = os.stat(path)
        stamp = found.st_mtime_ns
        return {"mtime": (stamp ^ stamp >> 32) & 0xFFFFFFFF, "size": found.st_size}


def _exact_finder(path: str) -> FileFinder:
    if not _may_be_edited(path) or not os.path.isdir(path or "."):
        raise ImportError("not a folder of the user's")
    return FileFinder(
        path,
        (ExtensionFileLoader, EXTENSION_SUFFIXES),
        (ExactSourceLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, [".pyc"]),
    )


def import_exactly() -> None:
    """From now on import the user's modules by their exact stamp. Doing it twice does nothing more."""
    if _exact_finder not in sys.path_hooks:
        sys.path_hooks.insert(0, _exact_finder)
        # What was found out of other folders is kept: to list them all again takes longer than the user's imports.
        for path in filter(_may_be_edited, [*sys.path_importer_cache]):
            del sys.path_importer_cache[path]


def _may_be_edited(path: str) -> bool:
    """Whether a folder is the user's own. Not that of a checkout of memo: its ``.pyc`` files serve every program."""
    folder = path + os.sep
    return owner_of_file(folder) == "user" and not folder.startswith(OUR_FOLDERS)


def module_of_file(path: str) -> ModuleType:
    """Import a file by its place: as a module of its package where it stands in one, else by its stem.

    Its root folder is put in front of the import path, so that it finds its neighbours.

    Raises:
        BaseException: Whatever the file raises when imported.
    """
    import_exactly()
    path = os.path.abspath(path)
    folder, file = os.path.split(path)
    names = [file.removesuffix(".py")]
    while os.path.isfile(os.path.join(folder, "__init__.py")):
        folder, package = os.path.split(folder)
        names.insert(0, package)
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)
    name = ".".join(names)
    loaded = sys.modules.get(name)
    if loaded is not None and _is_file(loaded, path):
        return loaded
    if loaded is None and len(names) > 1:
        return importlib.import_module(name)
    # Another module has the name already: the stem alone decides the new one, so that every process chooses the same.
    return _load(path, name if loaded is None else f"memo_target_{names[-1]}")


def _is_file(module: ModuleType, path: str) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and os.path.abspath(file) == path


def _load(path: str, name: str) -> ModuleType:
    loader = ExactSourceLoader(name, path)
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
