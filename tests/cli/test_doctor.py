"""`memo doctor`."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

import pytest

from memo.cli import doctor

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def findings(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    return {each["what"]: each for each in json.loads(done.stdout)}


def test_all_is_well(daily: Workspace, ok: Memo) -> None:
    assert findings(ok("doctor", "--json"))["catalog"]["found"] == "none yet"
    assert not daily.home.exists()
    ok("run", "daily.py")
    found = findings(ok("doctor", "--json"))
    assert found["python"]["found"].startswith(".".join(str(part) for part in sys.version_info[:3]))
    assert found["sqlite"]["found"] == sqlite3.sqlite_version
    assert found["home"]["found"] == str(daily.home)
    assert re.fullmatch(r"schema \d+, .+ kB, last run .+", found["catalog"]["found"])
    assert {"click", "duckdb", "fsspec", "msgspec", "pyarrow", "rich", "xxhash"} <= set(found)
    text = ok("doctor").stdout
    assert all(line.startswith(("ok  ", "note", "    ")) for line in text.splitlines())


def test_another_distribution_of_the_same_import_name(workspace: Workspace, memo: Memo) -> None:
    workspace.write("site/memo-0.9.dist-info/METADATA", "Metadata-Version: 2.1\nName: memo\nVersion: 0.9\n")
    path = os.pathsep.join([str(workspace.path / "site"), os.environ.get("PYTHONPATH", "")])
    done = memo("doctor", PYTHONPATH=path)
    assert done.returncode == 1
    assert re.search(
        r"^fail  conflict +another distribution, memo 0.9, has the same import name$", done.stdout, re.MULTILINE
    )
    assert "pip uninstall memo" in done.stdout


@pytest.mark.parametrize(
    ("version", "state"),
    [("3.6.23", "ok"), ("3.7.0", "note"), ("3.40.1", "note"), ("3.51.2", "note"), ("3.51.3", "ok"), ("3.52.0", "ok")],
)
def test_which_sqlite_has_the_flaw(monkeypatch: pytest.MonkeyPatch, version: str, state: str) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version", version)
    (finding,) = doctor._sqlite()
    assert finding.state == state
    assert bool(finding.advice) == (state == "note")


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("click>=8.1", "click"),
        ('pyyaml>=6; extra == "yaml"', "pyyaml"),
        ("types-pyyaml", "types-pyyaml"),
        ("a.b_c [x]", "a.b_c"),
    ],
)
def test_the_name_in_a_requirement(requirement: str, name: str) -> None:
    assert doctor._name_of(requirement) == name


def test_a_catalog_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"no database at all, whatever it is called" * 100)
    (finding,) = doctor._catalog(str(tmp_path))
    assert finding.state == "fail"
    assert "catalog.db" in finding.found


def test_a_home_that_is_a_file(workspace: Workspace, memo: Memo) -> None:
    workspace.write("a_file", "")
    done = memo("doctor", "--home", "a_file")
    assert done.returncode == 1
    assert "the home is a file; it must be a folder" in done.stdout
