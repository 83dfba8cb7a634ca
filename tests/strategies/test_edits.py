"""Every edit in ``edits/*.txt``: whether it changes the version of the op, in processes with other hash seeds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent


class Edit(NamedTuple):
    """One edit: the files before and after."""

    room: str
    name: str
    verdict: str
    before: dict[str, str]
    after: dict[str, str]


def _files(text: str) -> dict[str, str]:
    files: dict[str, str] = {}
    name = "ops.py"
    for line in text.splitlines(keepends=True):
        if line.startswith("--- "):
            name = line[4:].strip()
            files[name] = ""
        else:
            files[name] = files.get(name, "") + line
    return files


def _edits() -> list[Edit]:
    found: list[Edit] = []
    for path in sorted((HERE / "edits").glob("*.txt")):
        for block in path.read_text().split("### ")[1:]:
            head, _, body = block.partition("\n")
            verdict, _, name = head.partition(" | ")
            assert verdict in {"same", "different"}, head
            before_text, arrow, after_text = body.partition(">>>\n")
            assert arrow, head
            before, changed = _files(before_text), _files(after_text)
            gone = {name.removesuffix(" (gone)") for name in changed if name.endswith(" (gone)")}
            after = {
                name: text for name, text in {**before, **changed}.items() if name not in gone and "(gone)" not in name
            }
            assert before != after or "elsewhere" in name, f"{name}: nothing is edited"
            found.append(Edit(path.stem, name, verdict, before, after))
    return found


EDITS = [
    edit
    for edit in _edits()
    if not any(
        f"# needs {package}" in edit.before["ops.py"] and find_spec(package) is None for package in ("numpy", "pandas")
    )
]


def _versions(folders: list[Path], seed: str, cwd: Path) -> dict[str, Any]:
    roots = [str(HERE.parents[1]), str(HERE.parents[1] / "strategies")]
    done = subprocess.run(
        [sys.executable, str(HERE / "versions_of_folders.py")],
        input=json.dumps([str(folder) for folder in folders]),
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(roots)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(folder).name: found for folder, found in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What every folder's op was versioned as: before, after, and before once more, elsewhere."""
    found: dict[str, dict[str, Any]] = {}
    for moment, seed in (("before", "1"), ("after", "20"), ("moved", "333")):
        root = tmp_path_factory.mktemp(moment)
        folders = []
        for number, edit in enumerate(EDITS):
            folder = root / f"{number}"
            folders.append(folder)
            for name, text in (edit.after if moment == "after" else edit.before).items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
        if moment == "moved":
            folders.reverse()
        found[moment] = _versions(folders, seed, root)
    return found


@pytest.mark.parametrize("number", range(len(EDITS)), ids=[f"{edit.room}: {edit.name}" for edit in EDITS])
def test_edit(versions: dict[str, dict[str, Any]], number: int) -> None:
    edit = EDITS[number]
    before, after, moved = (versions[moment][str(number)] for moment in ("before", "after", "moved"))
    assert before["version"] == moved["version"], "it depends on the process, the folder or the hash seed"
    assert before["version"] == before["again"], "it depends on what was versioned before"
    if edit.verdict == "same":
        assert before["version"] == after["version"]
    else:
        assert before["version"] != after["version"]
        assert sorted(map(tuple, before["parts"])) != sorted(map(tuple, after["parts"])), "no part says what changed"
        others = [found["version"] for at, found in versions["before"].items() if int(at) != number]
        assert after["version"] not in others or after["version"] != before["version"]
