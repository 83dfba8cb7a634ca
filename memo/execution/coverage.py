"""What the sources that a step declares cover of what it reads."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memo.definition.source import EnvironmentSource, FunctionSource, GlobSource, PathSource, TimeSource, UrlSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo.definition.source import Source

FILE, ENVIRONMENT, NETWORK, PROCESS, TIME = "file", "environment", "network", "process", "time"
"""The kinds of things that a step can read; the last one is known of its code alone."""

WHOLE_ENVIRONMENT = "*"
"""Stands for all environment variables."""

WORKERS = "worker processes"
"""Stands for processes that run the user's own code, and in which nobody watches."""

_SCHEMES_WITH_HOST = frozenset({"ftp", "ftps", "hdfs", "http", "https", "sftp", "smb", "ssh", "webhdfs"})
_DATABASES = (".db", ".db3", ".duckdb", ".sqlite", ".sqlite3")
_SQLITE = b"SQLite format 3\0"


def said(kind: str, what: str) -> str:
    """Say what is read.

    >>> said("file", "data.csv"), said("file", "data/")
    ("reads the file 'data.csv'", "lists the folder 'data'")
    """
    if kind == FILE:
        is_folder = what.endswith(os.sep)
        return f"lists the folder {what.rstrip(os.sep) or os.sep!r}" if is_folder else f"reads the file {what!r}"
    if kind == ENVIRONMENT:
        whole = what == WHOLE_ENVIRONMENT
        return "reads all environment variables" if whole else f"reads the environment variable {what!r}"
    if kind == NETWORK:
        return f"reaches {what!r} over the network"
    return "starts worker processes, in which nobody watches" if what == WORKERS else f"runs the program {what!r}"


class Coverage:
    """What is covered by the sources of a step: those wired to it or named in ``depends_on``, and its resources'.

    - A file is covered by a source of that very file, behind whatever links; of a folder above it; or of a pattern
      that it fits.
    - That a folder was listed is covered by a source of it or of one above it; and by a pattern that looks into it,
      which says itself which of the names there count.
    - An environment variable is covered by its own source, and by nothing else.
    - The network is covered by the source of a URL on the same host, whatever the path: one file is often behind
      several requests. Of URLs that name no host (``s3://bucket/key``) the driver chooses it, so that they cover all.
    - What a `source` function stamps nobody can look into: it stands for a table, a query, a service. It covers the
      network, programs, and files that are databases. Other files it does not: their content is easily told.
    - The time covers nothing: that a day is over says nothing of what a file holds.

    Args:
        sources: Of one step.
        folder: Where relative paths begin.
    """

    def __init__(self, sources: Iterable[Source], folder: str) -> None:
        self.sources = tuple(sources)
        self._folder = folder
        self._real_folders: dict[str, str] = {}

    def covers(self, kind: str, what: str) -> bool:
        """Whether something that was read is covered.

        Args:
            kind: `file`, `environment`, `network`, `process`.
            what: The path, variable, host, URL or program; of a folder that was listed, with a slash at its end.
        """
        return any(self._covered_by(source, kind, what) for source in self.sources)

    def has_kind(self, kind: str) -> bool:
        """Whether there is any source of this kind, so that somebody thought of it."""
        kinds = {
            FILE: (PathSource, GlobSource, UrlSource, FunctionSource),
            ENVIRONMENT: (EnvironmentSource,),
            NETWORK: (UrlSource, FunctionSource),
            PROCESS: (FunctionSource,),
            TIME: (TimeSource, FunctionSource),
        }
        return any(isinstance(source, kinds.get(kind, ())) for source in self.sources)

    def _covered_by(self, source: Source, kind: str, what: str) -> bool:
        if kind == FILE:
            return self._file_covered(source, what)
        if kind == ENVIRONMENT:
            return isinstance(source, EnvironmentSource) and source.variable == what
        if isinstance(source, FunctionSource):
            return True
        return kind == NETWORK and isinstance(source, UrlSource) and _same_host(source.name, what)

    def _file_covered(self, source: Source, what: str) -> bool:
        is_listing = what.endswith(os.sep)
        path = os.path.normpath(os.path.join(self._folder, what))
        if isinstance(source, GlobSource):
            pattern = os.path.normpath(os.path.join(self._folder, source.name))
            return self._in_pattern(path, pattern, is_listing=is_listing)
        if isinstance(source, FunctionSource):
            return not is_listing and _is_database(path)
        if isinstance(source, PathSource):
            place, below = source.name, source.expected != "file"
        elif isinstance(source, UrlSource) and source.name.startswith("file://"):
            place, below = source.name.removeprefix("file://"), True
        else:
            return False
        found, declared = self._real(path), self._real(os.path.normpath(os.path.join(self._folder, place)))
        return found == declared or (below and found.startswith(declared.rstrip(os.sep) + os.sep))

    def _in_pattern(self, path: str, pattern: str, *, is_listing: bool) -> bool:
        from glob import has_magic

        parts = pattern.split(os.sep)
        fixed = next((number for number, part in enumerate(parts) if has_magic(part)), len(parts))
        base, rest = os.sep.join(parts[:fixed]) or os.sep, parts[fixed:]
        for top, place in ((base, path), (self._real(base), self._real(path))):
            if place != top and not place.startswith(top.rstrip(os.sep) + os.sep):
                continue
            names = [name for name in place[len(top) :].split(os.sep) if name]
            if any(_fits(names, rest[:many]) for many in range(len(rest))) if is_listing else _fits(names, rest):
                return True
        return False

    def _real(self, path: str) -> str:
        """The path behind all links. The folder that many files are in is looked through once."""
        folder, name = os.path.split(path)
        if not name:
            return path
        try:
            if os.path.islink(path):
                return os.path.realpath(path)
            if folder not in self._real_folders:
                self._real_folders[folder] = os.path.realpath(folder)
        except (OSError, ValueError):  # as of a path with a null byte, which nobody could open
            return path
        return os.path.join(self._real_folders[folder], name)


def host_of(what: str) -> str:
    """The host of a URL, or of ``host:port``.

    >>> host_of("https://example.org:8080/a"), host_of("example.org:443"), host_of("[::1]:80")
    ('example.org', 'example.org', '::1')
    """
    from urllib.parse import urlsplit

    try:
        return urlsplit(what if "://" in what else f"//{what}").hostname or ""
    except ValueError:
        return ""


def _same_host(url: str, what: str) -> bool:
    scheme = url.partition("://")[0].lower()
    return scheme not in _SCHEMES_WITH_HOST or host_of(url) == host_of(what)


def _fits(names: list[str], parts: list[str]) -> bool:
    """Whether the names of a path fit the parts of a pattern, as `glob` takes them."""
    if not parts:
        return not names
    if parts[0] == "**":
        return _fits(names, parts[1:]) or (bool(names) and not names[0].startswith(".") and _fits(names[1:], parts))
    from fnmatch import fnmatchcase

    return (
        bool(names)
        and fnmatchcase(names[0], parts[0])
        and (parts[0].startswith(".") or not names[0].startswith("."))
        and _fits(names[1:], parts[1:])
    )


def _is_database(path: str) -> bool:
    if path.endswith(_DATABASES):
        return True
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except (OSError, ValueError):
        return False
