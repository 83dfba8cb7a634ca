"""A home whose run is killed while it makes anew what others have too.

Wherever it is killed, what any home reads afterwards is of one piece, and once each home has run again, all of them
have what the shared place holds.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import pytest

from memo import Out, Output, RunResult, SourceHashVersionStrategy, execute_job, job, op
from memo.project.home import Home
from memo.project.settings import StorageSettings


@op
def draw() -> str:
    return os.urandom(8).hex()


@op
def twice(drawn: str) -> str:
    return drawn * 2


@op
def thrice(drawn: str, two: str) -> str:
    assert two == drawn * 2
    return drawn + two


@op
def check(drawn: str, two: str, three: str) -> tuple[str, str, str]:
    return drawn, two, three


@job(version_strategy=SourceHashVersionStrategy())
def draws() -> None:
    drawn = draw()
    two = twice(drawn)
    check(drawn, two, thrice(drawn, two))


@op(out={"left": Out(str), "right": Out(str), "same": Out(str), "maybe": Out(str, is_required=False)})
def split() -> Iterator[Output[str]]:
    drawn = os.urandom(8).hex()
    yield Output(drawn, "left")
    yield Output(drawn * 2, "right")
    yield Output("always this", "same")
    if int(drawn, 16) % 2:
        yield Output(drawn * 3, "maybe")


@op
def join(left: str, right: str, same: str) -> tuple[str, str, str]:
    assert same == "always this"
    return left, right, left * 3


@job(version_strategy=SourceHashVersionStrategy())
def several() -> None:
    found = split()
    join(found.left, found.right, found.same)


JOBS = {"draws": (draws, "check"), "several": (several, "join")}

KILLED = """
import os, sys
from memo import execute_job
from memo.execution.recording import Recorder
from memo.execution.sharing import SharedHistory
from memo.project.home import Home
from memo.project.settings import StorageSettings
from memo_iomanagers.link import Link
from memo_iomanagers.shared import SharedIOManager
from tests.flow.test_sharing_kill import JOBS

name, home, shared, where, count = sys.argv[1:]

def killed_at(owner, method, *, after=False):
    real, calls = getattr(owner, method), []
    def counted(self, *args, **kwargs):
        calls.append(1)
        if len(calls) < int(count):
            return real(self, *args, **kwargs)
        if after:
            real(self, *args, **kwargs)
            self.write()
        os._exit(9)
    setattr(owner, method, counted)

Recorder.write_if_due = lambda self: None
if where == "told":
    killed_at(Recorder, "replacing")
elif where == "stored here":
    killed_at(SharedIOManager, "_put")
elif where == "stored there":
    killed_at(Recorder, "materialization")
elif where == "recorded":
    SharedHistory.add = lambda *_, **__: None
    killed_at(Recorder, "materialization", after=True)
with Home(home, StorageSettings(shared)) as home:
    execute_job(JOBS[name][0], instance=home, force=True if name == "several" else ["draw"])
"""


def run(name: str, folder: Path, who: str, *, read_only: bool = False) -> tuple[str, RunResult]:
    """Run in a home; give what was drawn, once it is seen that all was made of it."""
    definition, last = JOBS[name]
    with Home(folder / who, StorageSettings(str(folder / "shared"), read_only=read_only)) as home:
        result = execute_job(definition, instance=home, raise_on_error=True)
        drawn, two, three = result.output_for_node(last)
    assert (two, three) == (drawn * 2, drawn * 3)
    return drawn, result


def kill(name: str, folder: Path, where: str, count: int) -> None:
    """Make anew in the first home, and be killed there."""
    arguments = [name, str(folder / "one"), str(folder / "shared"), where, str(count)]
    found = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 9, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("name", "where", "count"),
    [
        ("draws", "told", 1),
        ("draws", "stored here", 1),
        ("draws", "stored here", 3),
        ("draws", "stored there", 1),
        ("draws", "stored there", 4),
        ("draws", "recorded", 1),
        ("draws", "recorded", 2),
        ("draws", "recorded", 4),
        ("several", "stored here", 1),
        ("several", "stored here", 2),
        ("several", "stored here", 3),
        ("several", "stored there", 1),
        ("several", "recorded", 1),
    ],
)
@pytest.mark.parametrize("order", [("one", "other"), ("other", "one")], ids=["killed first", "killed last"])
def test_homes_come_together_on_what_is_shared(
    tmp_path: Path, name: str, where: str, count: int, order: tuple[str, str]
) -> None:
    before, _ = run(name, tmp_path, "one")
    assert run(name, tmp_path, "other")[0] == before
    kill(name, tmp_path, where, count)
    for who in ("fresh", "reader"):
        folder = tmp_path / f"apart-{who}"
        copytree(tmp_path / "shared", folder / "shared")
        run(name, folder, who, read_only=who == "reader")

    drawn = {who: run(name, tmp_path, who)[0] for who in order}
    assert drawn["one"] == drawn["other"]
    for who in ("fresh", "one", "other"):
        again, result = run(name, tmp_path, who)
        assert again == drawn["one"], who
        assert result.executed == [], who


def test_what_of_a_forced_step_came_out_equal_hides_nothing_of_what_did_not(tmp_path: Path) -> None:
    run("several", tmp_path, "one")
    before, _ = run("several", tmp_path, "other")
    with Home(tmp_path / "one", StorageSettings(str(tmp_path / "shared"))) as home:
        execute_job(several, instance=home, raise_on_error=True, force=["split"])
    after, _ = run("several", tmp_path, "one")
    assert after != before
    found, result = run("several", tmp_path, "other")
    assert (found, result.executed) == (after, [])
