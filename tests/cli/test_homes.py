"""Homes that cannot be used: one clear message, exit code 2, and nothing in them is changed."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace

# A program that gives up the superuser's right to write everywhere, where it has it, and then calls the command line.
UNPRIVILEGED = """
import ctypes, os, sys
if os.geteuid() == 0:
    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
    class Data(ctypes.Structure):
        _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]
    header, data = Header(0x20080522, 0), (Data * 2)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capset(ctypes.byref(header), data) == 0, ctypes.get_errno()
from memo.cli.program import run_program
sys.exit(run_program(sys.argv[1:]))
"""


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def refused(done: subprocess.CompletedProcess[str], *said: str) -> None:
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for each in said:
        assert each in error
    assert "Traceback" not in done.stderr
    assert "bug in memo" not in done.stderr


@pytest.mark.usefixtures("daily")
@pytest.mark.parametrize("command", [["run", "daily.py"], ["plan", "daily.py"], ["runs"]])
def test_a_file(workspace: Workspace, memo: Memo, command: list[str]) -> None:
    workspace.write("a_file", "mine\n")
    refused(memo(*command, "--home", "a_file"), "a_file: the home is a file; it must be a folder")
    assert (workspace.path / "a_file").read_text() == "mine\n"


@pytest.mark.usefixtures("daily")
def test_below_a_file(workspace: Workspace, memo: Memo) -> None:
    workspace.write("a_file", "mine\n")
    refused(memo("run", "daily.py", "--home", "a_file/home"), "a_file/home", "--home or MEMO_HOME")


@pytest.fixture
def read_only(daily: Workspace, ok: Memo) -> Workspace:
    """A home with a run in it, all of it read-only."""
    ok("run", "daily.py")
    daily.edit("daily.py", "number // 2", "number // 4")
    for folder, _, files in os.walk(daily.home):
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)
    return daily


def test_read_only(read_only: Workspace) -> None:
    before = snapshot(read_only.home)
    done = read_only.python("-c", UNPRIVILEGED, "run", "daily.py", check=False)
    refused(done, str(read_only.home), "--home or MEMO_HOME")
    assert snapshot(read_only.home) == before


def test_a_folder_that_may_not_hold_a_home(daily: Workspace) -> None:
    (daily.path / "locked").mkdir(mode=0o555)
    done = daily.python("-c", UNPRIVILEGED, "run", "daily.py", "--home", "locked/home", check=False)
    refused(done, "locked/home", "Permission denied", "--home or MEMO_HOME")


def test_a_home_that_says_so_itself_to_the_doctor(read_only: Workspace) -> None:
    done = read_only.python("-c", UNPRIVILEGED, "doctor", check=False)
    assert done.returncode == 1
    assert "fail  home" in done.stdout
    assert "cannot be written to" in done.stdout


@pytest.mark.parametrize(
    "command", [["run", "daily.py"], ["plan", "daily.py"], ["why", "daily.py", "load"], ["runs"], ["show", "last"]]
)
def test_made_by_a_newer_memo(daily: Workspace, ok: Memo, memo: Memo, command: list[str]) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "number // 2", "number // 4")
    with sqlite3.connect(daily.home / "catalog.db") as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = snapshot(daily.home)
    refused(memo(*command), "catalog.db", "newer memo")
    assert snapshot(daily.home) == before


@pytest.mark.parametrize(
    "content", [b"not a database, but a text that is long enough to be read as one" * 20, b"\0" * 8192]
)
def test_a_catalog_that_is_none(daily: Workspace, memo: Memo, content: bytes) -> None:
    daily.home.mkdir()
    catalog = daily.home / "catalog.db"
    catalog.write_bytes(content)
    refused(memo("run", "daily.py"), "catalog.db", "memo rebuild-catalog")
    assert catalog.read_bytes() == content


def test_the_database_of_another_program(daily: Workspace, memo: Memo) -> None:
    daily.home.mkdir()
    with sqlite3.connect(daily.home / "catalog.db") as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = snapshot(daily.home)
    refused(memo("run", "daily.py"), "not a catalog of memo, and was left as it is")
    assert snapshot(daily.home) == before


@pytest.mark.usefixtures("daily")
def test_a_lost_catalog_loses_history_and_no_outputs(workspace: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    for path in workspace.home.glob("catalog.db*"):
        path.unlink()
    assert "daily: 0 steps run, 3 reused" in ok("run", "daily.py").stderr


def in_full_home(workspace: Workspace, *args: str, kilobytes: int) -> subprocess.CompletedProcess[str]:
    """Call the command line where the home is a file system of its own, of so many kilobytes."""
    home = workspace.path / "small"
    home.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={kilobytes}k memo-test "$0" && exec "$@"'
    return subprocess.run(
        [
            "unshare",
            "--map-root-user",
            "--mount",
            "/bin/sh",
            "-c",
            script,
            str(home),
            sys.executable,
            "-m",
            "memo",
            *args,
        ],
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def can_mount() -> bool:
    try:
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "memo-test", "/mnt"],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(not can_mount(), reason="this system lets no test make a file system of its own")
def test_full_when_the_run_begins(daily: Workspace) -> None:
    done = in_full_home(daily, "run", "daily.py", "--home", "small", kilobytes=16)
    refused(done, "small/catalog.db: the catalog cannot be read or written", "--home or MEMO_HOME")


@pytest.mark.skipif(not can_mount(), reason="this system lets no test make a file system of its own")
@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_full_when_an_output_is_stored(workspace: Workspace, concurrency: str) -> None:
    workspace.write(
        "large.py",
        """
        from memo import job, op

        @op
        def small():
            return 1

        @op
        def large(number):
            return b"x" * 5_000_000

        @job
        def daily():
            large(small())
        """,
    )
    done = in_full_home(workspace, "run", "large.py", "--home", "small", "-j", concurrency, kilobytes=2000)
    assert done.returncode == 1, done.stderr
    assert "failed: step 'large' (large.py:7): " in done.stderr
    assert "No space left on device" in done.stderr
    assert "daily: 1 step run, 0 reused, 1 failed" in done.stderr
    assert "Traceback" not in done.stderr
