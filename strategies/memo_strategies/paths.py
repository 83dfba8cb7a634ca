"""Paths within the user's own sources count from where these begin, so that a checkout elsewhere is the same code."""

from __future__ import annotations

import sys
from typing import Any

from memo_strategies.introspect import ATOMS


class SourcePath:
    """A text or a path under the folder that the imports of its module begin at."""

    __slots__ = ("relative", "value")

    def __init__(self, value: Any, relative: str) -> None:
        self.value = value
        self.relative = relative


def within(value: Any, root: str | None) -> Any:
    """Give the value itself, or the `SourcePath` that stands for it where it lies under ``root``."""
    kind = type(value)
    if root is None or len(root) < 2:
        return value
    if kind is str:
        text = value
    elif id(kind) in ATOMS:
        return value
    elif _is_path(kind):
        text = str(value)
    else:
        return value
    if text != root and not text.startswith(root + "/"):
        return value
    return SourcePath(value, text[len(root) :])


def _is_path(kind: type) -> bool:
    """Whether it is one of the path classes themselves: text of other classes is the user's to make."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and (kind is pathlib.PosixPath or kind is pathlib.PurePosixPath)
