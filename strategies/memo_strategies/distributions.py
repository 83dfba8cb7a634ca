"""Installed distributions: which one a file belongs to, its version, and what it requires.

Read from the ``*.dist-info`` and ``*.egg-info`` folders by hand: ``importlib.metadata`` costs 30 ms to import, and
a millisecond a distribution.
"""

from __future__ import annotations

import os
import re
import sys

from msgspec import Struct

_FOLDER = re.compile(r"^(.*/(?:site|dist)-packages)/([^/]+)")
_NOT_ALNUM = re.compile(r"[-_.]+")
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")

_FOR_DEVELOPERS = re.compile(
    r"(^|[-_.])(all|complete|full|tests?|testing|docs?|dev|develop|development|lint|typing|ci)($|[-_.])"
)
"""Extras that say nothing of how the distribution runs, or repeat what others say."""

_OURS = {"memo-pipelines"}


class Distribution(Struct, frozen=True):
    """One installed distribution.

    Attributes:
        name: As the distribution writes it.
        requires: The normalised names of what it requires, the extras included that change how it runs.
        modules: The files and folders it puts into its folder.
    """

    name: str
    version: str
    requires: tuple[str, ...]
    modules: frozenset[str]


class Distributions:
    """What is installed, read where it is asked for and no further.

    Args:
        path: The folders to look in, by default those on ``sys.path``.
    """

    def __init__(self, path: list[str] | None = None) -> None:
        self._path = path
        self._listings: dict[str, dict[str, list[str]]] = {}
        self._read: dict[str, Distribution] = {}
        self._owners: dict[tuple[str, str], tuple[Distribution, ...]] = {}

    def of_file(self, file: str | None) -> tuple[Distribution, ...]:
        """The distributions that this file may come from: several where they share a namespace package."""
        match = _FOLDER.match(file or "")
        if match is None:
            return ()
        folder, entry = match.groups()
        found = self._owners.get((folder, entry))
        if found is None:
            found = self._owners[folder, entry] = self._owners_of(folder, entry)
        return found

    def named(self, name: str) -> Distribution | None:
        """The distribution of this normalised name; None where it is not installed."""
        for folder in self._path if self._path is not None else sys.path:
            for path in self._listing(folder).get(name, ()):
                return self._distribution(path)
        return None

    def _owners_of(self, folder: str, entry: str) -> tuple[Distribution, ...]:
        listing = self._listing(folder)
        # The likeliest first: most distributions are named after the one module they bring.
        likely = listing.get(normalised(entry.partition(".")[0]), [])
        everything = [path for paths in listing.values() for path in paths]
        for candidates in (likely, everything):
            found = [each for each in map(self._distribution, candidates) if entry in each.modules]
            if found:
                return tuple(sorted(found, key=lambda each: each.name))
        return ()

    def _listing(self, folder: str) -> dict[str, list[str]]:
        found = self._listings.get(folder)
        if found is None:
            found = self._listings[folder] = {}
            try:
                entries = sorted(os.listdir(folder or "."))
            except OSError:
                entries = []
            for entry in entries:
                if entry.endswith((".dist-info", ".egg-info")):
                    name = normalised(entry.rpartition(".")[0].partition("-")[0])
                    found.setdefault(name, []).append(f"{folder}/{entry}")
        return found

    def _distribution(self, path: str) -> Distribution:
        found = self._read.get(path)
        if found is None:
            found = self._read[path] = _read_distribution(path)
        return found


INSTALLED = Distributions()
"""What the process found installed when it first asked: the code that it loaded is of those versions, whatever
is put in their place while it lives."""


def normalised(name: str) -> str:
    """The form in which names of distributions are compared."""
    return _NOT_ALNUM.sub("-", name).lower()


def _read_distribution(path: str) -> Distribution:
    """Read one metadata folder; an old ``.egg-info`` may be a single file."""
    text = _text(path, "METADATA") or _text(path, "PKG-INFO") or _text(path, "")
    headers = text.partition("\n\n")[0].splitlines()
    fields: dict[str, list[str]] = {}
    for line in headers:
        key, _, value = line.partition(":")
        fields.setdefault(key.lower(), []).append(value.strip())
    entry = os.path.basename(path)
    stem = entry.rpartition(".")[0].split("-")
    name = (fields.get("name") or [stem[0]])[0]
    version = (fields.get("version") or [stem[1] if len(stem) > 1 else ""])[0]
    return Distribution(name, version, _requirements(fields.get("requires-dist", [])), _modules(path, name))


def _text(folder: str, file: str) -> str:
    try:
        with open(f"{folder}/{file}" if file else folder, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _requirements(lines: list[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for line in lines:
        match = _REQUIREMENT.match(line)
        extras = _EXTRA.findall(line)
        if match and not (extras and all(_FOR_DEVELOPERS.search(extra) for extra in extras)):
            found.add(normalised(match.group(1)))
    return tuple(sorted(found - _OURS))


def _modules(path: str, name: str) -> frozenset[str]:
    found = {line.strip() for line in _text(path, "top_level.txt").splitlines()}
    for line in _text(path, "RECORD").splitlines() or _text(path, "SOURCES.txt").splitlines():
        found.add(line.partition(",")[0].partition("/")[0])
    found |= {f"{module}.py" for module in found if module.isidentifier()}
    return frozenset(found - {"", "..", "__pycache__"}) or frozenset({name, f"{name}.py"})
