"""Disks that are full, files that may not grow, folders that refuse or vanish: a clear error, then a clean rerun."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_homes import UNPRIVILEGED, can_mount
from tests.faults.conftest import half_stored

if TYPE_CHECKING:
    from tests.conftest import Workspace

PIPELINE = """
    from pathlib import Path
    from memo import Out, job, op, path_io_manager

    def ran(name):
        with open("ran", "a") as file:
            file.write(name + "\\n")

    @op
    def first():
        ran("first")
        return 1

    @op
    def large(number):
        ran("large")
        return [number, b"x" * 3_000_000]

    @op(out=Out(io_manager_key="folders"))
    def folder(number):
        ran("folder")
        made = Path("made")
        made.mkdir(exist_ok=True)
        (made / "few").write_text("few")
        (made / "many").write_bytes(b"x" * 3_000_000)
        return made

    @op
    def last(large, folder):
        ran("last")
        return len(large[1]) + len((folder / "many").read_bytes())

    @job(resource_defs={"folders": path_io_manager})
    def limited():
        number = first()
        last(large(number), folder(number))
"""

IN_WORDS = re.compile(
    r"^failed: step '(large|folder)' \(pipeline\.py:\d+\): output 'result' of step '\1': could not be stored as "
    r"\S+: (the file would be larger than allowed there|no space is left there)$",
    re.MULTILINE,
)


LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
    "from memo.cli import main; sys.argv[0] = 'memo'; main()"
)


@pytest.fixture
def limited(workspace: Workspace) -> Workspace:
    workspace.write("pipeline.py", PIPELINE)
    return workspace


def ran(workspace: Workspace) -> list[str]:
    path = workspace.path / "ran"
    found = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(found)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_limit_in_the_middle_of_a_value(limited: Workspace, workers: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            LIMITED,
            "run",
            "pipeline.py",
            "-j",
            workers,
        ],
        cwd=limited.path,
        env=limited.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1, done.stderr
    # The op that writes a file of its own may not either.
    assert "failed: step 'large'" in done.stderr
    assert "the file would be larger than allowed there" in done.stderr
    assert "cannot be pickled" not in done.stderr
    assert "Traceback" not in done.stderr
    assert half_stored(limited.home / "storage") == []
    assert ran(limited) == ["first", "folder", "large"]
    again = limited.memo("run", "pipeline.py")
    assert again.returncode == 0, again.stderr
    assert ran(limited) == ["folder", "large", "last"]
    assert half_stored(limited.home / "storage") == []


@pytest.mark.skipif(not can_mount(), reason="this system lets no test make a file system of its own")
@pytest.mark.parametrize("kilobytes", [400, 700, 1500, 3300, 3700, 5900])
def test_a_full_disk_and_then_room(limited: Workspace, kilobytes: int) -> None:
    (limited.path / "small").mkdir()
    script = f"""
        mount -t tmpfs -o size={kilobytes}k memo-test small || exit 99
        "$@" --home small/home; echo "code $?" >&2
        cp -r small/home after-first; cp ran ran-first; rm ran
        mount -o remount,size=64m small || exit 98
        "$@" --home small/home; echo "code $?" >&2
        cp -r small/home after-second
    """
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, "sh"),
            *(sys.executable, "-m", "memo", "run", "pipeline.py"),
        ],
        cwd=limited.path,
        env=limited.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    first, _, second = done.stderr.partition("code ")

    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert second[0] in "12", done.stderr
    assert second.endswith("code 0\n"), done.stderr
    if second[0] == "1":
        assert IN_WORDS.search(first), first
    else:
        assert "catalog.db: the catalog" in first
    assert half_stored(limited.path / "after-first" / "storage") == []
    assert half_stored(limited.path / "after-second" / "storage") == []
    finished = re.findall(r"^(\w+): ran in", first, re.MULTILINE)
    assert not set(finished) & set(ran(limited)), done.stderr


def test_no_permission_to_store(limited: Workspace) -> None:
    assert limited.memo("run", "pipeline.py", "--select", "first").returncode == 0
    locked = limited.home / "storage" / "versioned"
    locked.chmod(0o555)
    before = sorted(locked.rglob("*"))

    done = limited.python("-c", UNPRIVILEGED, "run", "pipeline.py", check=False)

    assert done.returncode == 1, done.stderr
    assert re.search(
        r"failed: step 'large' .*could not be stored as \S+: permission is denied$", done.stderr, re.MULTILINE
    )
    assert "Traceback" not in done.stderr
    assert sorted(locked.rglob("*")) == before
    locked.chmod(0o755)
    assert limited.python("-c", UNPRIVILEGED, "run", "pipeline.py", check=False).returncode == 0
    assert half_stored(limited.home / "storage") == []


def test_no_permission_to_read_what_is_stored(limited: Workspace) -> None:
    assert limited.memo("run", "pipeline.py").returncode == 0
    ran(limited)
    for path in (limited.home / "storage").rglob("*.pkl"):
        path.chmod(0)

    done = limited.python("-c", UNPRIVILEGED, "run", "pipeline.py", "--force", "last", check=False)

    # Whether it is whole nobody can tell: that it cannot be read is for a person to mend, not for a rerun.
    assert done.returncode == 1, done.stderr
    assert re.search(r"failed: step 'last' .*\.pkl could not be read: permission is denied$", done.stderr, re.MULTILINE)
    assert ran(limited) == []


def test_a_storage_that_vanishes_while_the_run_goes_on(limited: Workspace) -> None:
    limited.edit(
        "pipeline.py",
        'ran("large")',
        'ran("large"); import shutil; shutil.rmtree(".memo/storage") if not Path("gone").exists() else 0; '
        'Path("gone").touch()',
    )
    done = limited.memo("run", "pipeline.py")

    assert done.returncode == 0, done.stderr
    again = limited.memo("run", "pipeline.py", "--force", "last")
    assert again.returncode == 0, again.stderr
    assert half_stored(limited.home / "storage") == []


def test_a_home_that_vanishes_while_the_run_goes_on(limited: Workspace) -> None:
    limited.edit("pipeline.py", 'ran("large")', 'ran("large"); import shutil; shutil.rmtree(".memo")')
    done = limited.memo("run", "pipeline.py")

    assert "Traceback" not in done.stderr
    assert done.returncode in {0, 2}, done.stderr
    if done.returncode:
        assert re.search(r"^error: \S+catalog\.db: the catalog ", done.stderr, re.MULTILINE), done.stderr
    shutil.rmtree(limited.home, ignore_errors=True)
    limited.edit("pipeline.py", 'ran("large"); import shutil; shutil.rmtree(".memo")', 'ran("large")')
    assert limited.memo("run", "pipeline.py").returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this system lets no test make a file system of its own")
@pytest.mark.parametrize("command", [["run", "pipeline.py"], ["plan", "pipeline.py"], ["runs"]])
def test_a_home_on_a_read_only_file_system(limited: Workspace, command: list[str]) -> None:
    assert limited.memo("run", "pipeline.py", "--home", "small/home").returncode == 0
    limited.edit("pipeline.py", "3_000_000]", "2_000_000]")
    script = 'mount --bind small small && mount -o remount,ro,bind small && exec "$@"'
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--mount", "/bin/sh", "-c", script, "sh"),
            *(sys.executable, "-m", "memo", *command, "--home", "small/home"),
        ],
        cwd=limited.path,
        env=limited.environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" not in done.stderr
    if command[0] == "run":
        assert done.returncode == 2, done.stderr
        assert re.fullmatch(r"error: \S+small/home: the home is read-only: .*--home or MEMO_HOME\n", done.stderr)
    else:
        assert done.returncode == 0, done.stderr


def test_a_file_system_without_a_log(limited: Workspace) -> None:
    """As network file systems are: SQLite can set up no memory there that processes share."""
    program = (
        "import sys, os; from memo.catalog import connection; import sqlite3; real = sqlite3.connect; "
        "sqlite3.connect = lambda name, **given: real(name + '&vfs=unix-none', **given); "
        "from memo.cli import main; sys.argv[0] = 'memo'; main()"
    )
    done = limited.python("-c", program, "run", "pipeline.py", check=False)

    assert done.returncode == 2, done.stderr
    assert "SQLite cannot keep a write-ahead log on this file system" in done.stderr
    assert "as on most network file systems; put the home on a local disk with --home or MEMO_HOME" in done.stderr
    assert ran(limited) == []
