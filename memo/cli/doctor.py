"""`memo doctor`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal

import click
from msgspec import Struct

from memo.cli.failures import guarded
from memo.cli.options import common_options

if TYPE_CHECKING:
    from collections.abc import Iterator

_DISTRIBUTION = "memo-pipelines"
_NEWEST_PYTHON = (3, 13)
_FLAWED_SQLITE = ((3, 7, 0), (3, 51, 3))
"""From the first on, two processes that write at one instant can damage a write-ahead log; in the second no more."""


class Finding(Struct, frozen=True):
    """What one check found."""

    state: Literal["ok", "note", "fail"]
    what: str
    found: str
    advice: str = ""


@click.command()
@common_options
@guarded
def doctor(home: str | None, as_json: bool) -> int:
    """Check the installation and the home.

    Leaves with 1 where something must be mended, with 0 where there are at most notes.
    """
    from memo.cli.text import out, out_json, styled

    findings = [*_python(), *_memo(), *_sqlite(), *_home(home), *_dependencies()]
    failed = any(finding.state == "fail" for finding in findings)
    if as_json:
        out_json(findings)
        return int(failed)
    width = max(len(finding.what) for finding in findings)
    styles = {"ok": "green", "note": "yellow", "fail": "red"}
    for finding in findings:
        state = styled(finding.state.ljust(4), styles[finding.state], sys.stdout)
        out(f"{state}  {finding.what.ljust(width)}  {finding.found}")
        if finding.advice:
            out(f"      {' ' * width}  {finding.advice}")
    return int(failed)


def _python() -> Iterator[Finding]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    found = f"{version} ({sys.executable})"
    if sys.version_info[:2] > _NEWEST_PYTHON:
        newest = ".".join(str(part) for part in _NEWEST_PYTHON)
        yield Finding("note", "python", found, f"memo is tested up to {newest}")
    else:
        yield Finding("ok", "python", found)


def _memo() -> Iterator[Finding]:
    """Whether the package `memo` that is imported is this one, and alone under its name."""
    from importlib.metadata import PackageNotFoundError, version

    import memo

    place = os.path.dirname(os.path.abspath(memo.__file__ or ""))
    yield Finding("ok", "memo", f"{memo.__version__} ({place})")
    try:
        installed = version(_DISTRIBUTION)
    except PackageNotFoundError:
        yield Finding("note", "distribution", f"{_DISTRIBUTION} is not installed", f"memo runs from {place}")
    else:
        differs = installed != memo.__version__
        advice = f"memo {memo.__version__} is imported from {place}; install one of them only" if differs else ""
        yield Finding("fail" if differs else "ok", "distribution", f"{_DISTRIBUTION} {installed}", advice)
    try:
        other = version("memo")
    except PackageNotFoundError:
        return
    yield Finding(
        "fail",
        "conflict",
        f"another distribution, memo {other}, has the same import name",
        f"pip uninstall memo, then pip install --force-reinstall {_DISTRIBUTION}",
    )


def _sqlite() -> Iterator[Finding]:
    from sqlite3 import sqlite_version

    numbers = tuple(int(part) for part in sqlite_version.split(".")[:3])
    first, fixed = _FLAWED_SQLITE
    if first <= numbers < fixed:
        yield Finding(
            "note",
            "sqlite",
            sqlite_version,
            "versions before 3.51.3 can, rarely, damage a catalog that several processes write; memo keeps the chance "
            "small, and outputs do not depend on it",
        )
    else:
        yield Finding("ok", "sqlite", sqlite_version)


def _home(given: str | None) -> Iterator[Finding]:
    from memo.errors import MemoError
    from memo.project.home import find_home

    try:
        home = find_home(given)
    except MemoError as error:
        yield Finding("fail", "home", str(error))
        return
    path = home.path
    above = path
    while not above.exists() and above != above.parent:
        above = above.parent
    there = "" if path.exists() else " (not made yet)"
    if not os.access(above, os.W_OK):
        yield Finding("fail", "home", f"{path}{there}: cannot be written to", "choose another with --home or MEMO_HOME")
    else:
        yield Finding("ok", "home", f"{path}{there}")
    yield from _catalog(str(path))


def _catalog(home: str) -> Iterator[Finding]:
    from pathlib import Path

    from memo.catalog import Catalog, schema
    from memo.errors import MemoError

    file = Path(home) / "catalog.db"
    if not file.exists():
        yield Finding("ok", "catalog", "none yet")
        return
    try:
        with Catalog.open(file, read_only=True) as catalog:
            latest = catalog.list_runs(limit=1)
    except MemoError as error:
        yield Finding("fail", "catalog", str(error))
        return
    from memo.cli.text import bytes_text, time_text

    last = f", last run {time_text(latest[0].started_at)}" if latest else ", no run"
    yield Finding("ok", "catalog", f"schema {schema.CURRENT}, {bytes_text(file.stat().st_size)}{last}")


def _dependencies() -> Iterator[Finding]:
    """The packages that memo requires, as its own metadata names them, and those of its extras that are there."""
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        required = requires(_DISTRIBUTION) or []
    except PackageNotFoundError:
        return
    for requirement in required:
        name = _name_of(requirement)
        optional = "extra ==" in requirement
        try:
            found = version(name)
        except PackageNotFoundError:
            if not optional:
                yield Finding("fail", name, "not installed", f"pip install '{requirement}'")
            continue
        yield Finding("ok", name, found)


def _name_of(requirement: str) -> str:
    """The package's name in a requirement such as ``click>=8.1; extra == "x"``."""
    length = next(
        (at for at, sign in enumerate(requirement) if not (sign.isalnum() or sign in "-_.")), len(requirement)
    )
    return requirement[:length]
