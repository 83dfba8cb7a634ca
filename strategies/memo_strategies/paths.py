"""Paths within the user's own sources count from where these begin, so that a checkout elsewhere is the same code."""

from __future__ import annotations

import sys
from typing import Any

from memo_strategies.introspect import ATOMS


class SourcePath:
    """A text or a path that names the folder that the imports of its module begin at, or what is in it.

    Attributes:
        value: That text or path.
        around: What stands before, between and after the places where it names the folder.
    """

    __slots__ = ("around", "value")

    def __init__(self, value: Any, around: list[str]) -> None:
        self.value = value
        self.around = around


def within(value: Any, root: str | None) -> Any:
    """Give the value itself, or the `SourcePath` that stands for it where it names ``root``."""
    kind = type(value)
    if kind is str:
        text = value
    elif root is None or id(kind) in ATOMS or not _is_path(kind):
        return value
    else:
        text = str(value)
    if root is None or root not in text or len(root) < 2:
        return value
    around = _around(text, root)
    return SourcePath(value, around) if len(around) > 1 else value


def _around(text: str, root: str) -> list[str]:
    found: list[str] = []
    begin = at = 0
    while (at := text.find(root, at)) >= 0:
        end = at + len(root)
        if not (_goes_on(text[at - 1 : at]) or _goes_on(text[end : end + 1])):
            found.append(text[begin:at])
            begin = end
        at = end
    return [*found, text[begin:]]


def _goes_on(letter: str) -> bool:
    """Whether the name of a file or folder goes on with this letter, which is empty where the text ends."""
    return letter.isalnum() or letter in {"_", "-", ".", "~"}


def _is_path(kind: type) -> bool:
    """Whether it is one of the path classes themselves: text of other classes is the user's to make."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and (kind is pathlib.PosixPath or kind is pathlib.PurePosixPath)
