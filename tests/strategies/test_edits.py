"""Every edit in ``edits/*.txt``: whether it changes the version of the op, and whether a job runs the op again.

Both in processes with other hash seeds: before, after, and before once more in another folder.
"""

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


MOMENTS = (("before", "1"), ("moved", "333"), ("after", "20"))
"""When the ops are looked at, with the hash seed of that process."""


def _write(root: Path, moment: str) -> dict[int, Path]:
    """Write the files of every edit to a folder of its own; by the edit's number."""
    folders = {number: root / f"{number}" for number in range(len(EDITS))}
    for number, folder in folders.items():
        edit = EDITS[number]
        for name, text in (edit.after if moment == "after" else edit.before).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folders


def _told(program: str, given: Any, seed: str, cwd: Path) -> dict[str, Any]:
    """What a program beside this file says of folders."""
    roots = [str(HERE.parents[1]), str(HERE.parents[1] / "strategies")]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MEMO_")}
    done = subprocess.run(
        [sys.executable, str(HERE / program)],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(roots)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {Path(folder).name: found for folder, found in json.loads(done.stdout).items()}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, Path]]:
    """The folders of every edit, by moment."""
    return {moment: _write(tmp_path_factory.mktemp(moment), moment) for moment, _ in MOMENTS}


@pytest.fixture(scope="module")
def versions(folders: dict[str, dict[int, Path]]) -> dict[str, dict[str, Any]]:
    """What every folder's op was versioned as."""
    found: dict[str, dict[str, Any]] = {}
    for moment, seed in MOMENTS:
        given = [str(folder) for folder in folders[moment].values()]
        if moment == "moved":
            given.reverse()
        found[moment] = _told("versions_of_folders.py", given, seed, folders[moment][0].parent)
    return found


@pytest.mark.parametrize("number", range(len(EDITS)), ids=[f"{edit.room}: {edit.name}" for edit in EDITS])
def test_edit(versions: dict[str, dict[str, Any]], number: int) -> None:
    edit = EDITS[number]
    before, after, moved = (versions[moment][str(number)] for moment in ("before", "after", "moved"))
    assert before["version"] == moved["version"], "it depends on the process, the folder or the hash seed"
    assert before["version"] == before["again"], "it depends on what was versioned before"
    raised = [spot for spot in before["blind_spots"] if "(NameError" in spot or "(TypeError" in spot]
    assert not raised, "the walk itself failed, and went on"
    if edit.verdict == "same":
        assert before["version"] == after["version"]
    else:
        assert before["version"] != after["version"]
        assert sorted(map(tuple, before["parts"])) != sorted(map(tuple, after["parts"])), "no part says what changed"
        others = [found["version"] for at, found in versions["before"].items() if int(at) != number]
        assert after["version"] not in others or after["version"] != before["version"]


@pytest.mark.parametrize("room", sorted({edit.room for edit in EDITS}))
def test_runs(folders: dict[str, dict[int, Path]], tmp_path: Path, room: str) -> None:
    """Through the whole engine: an edit that counts runs the op, none runs the steps above and beside it."""
    edits = {number: edit for number, edit in enumerate(EDITS) if edit.room == room}
    found = {
        moment: _told(
            "runs_of_folders.py",
            {str(folders[moment][number]): str(tmp_path / f"{number}") for number in edits},
            seed,
            folders[moment][0].parent,
        )
        for moment, seed in MOMENTS
    }
    wrong: list[str] = []
    for number, edit in edits.items():
        edited = ["around"] if edit.verdict == "different" else []
        for moment, expected in (("before", ["above", "around", "beside"]), ("moved", []), ("after", edited)):
            answer = found[moment][str(number)]
            planned = sorted(step for step, verdict in answer.get("verdicts", {}).items() if verdict != "REUSE")
            if not planned == answer.get("ran") == expected:
                wrong.append(f"{moment}: {edit.name} ({edit.verdict}): {answer.get('error') or answer}")
    assert not wrong, f"{len(wrong)} of {len(edits)}:\n" + "\n".join(wrong)
