"""A run of 20 steps, killed at 100 moments of its life: the next one is right, and what is left behind goes."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from memo import execute_job
from memo.definition.reference import JobReference
from tests.faults.conftest import half_stored, marked, until

if TYPE_CHECKING:
    from tests.faults.conftest import Starter

PIPELINE = """
    import os
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from memo import Out, job, op, path_io_manager

    SIZES = [1, 30, 5_000_000, 200, 70_000]

    def total(parts: list) -> int:
        found = 0
        for part in parts:
            if isinstance(part, pa.Table):
                found += int(part.column("x")[-1].as_py())
            elif isinstance(part, np.ndarray):
                found += int(part[-1])
            elif isinstance(part, Path):
                found += int((part / "total").read_text())
            else:
                found += part[0]
        return found % 1_000_003

    def value(index, parts, folder):
        size, number = SIZES[index % 5], total(parts) * 31 + index
        if index % 4 == 0:
            return [number, bytes([number % 251]) * size]
        if index % 4 == 1:
            return np.full(size // 8 + 1, number)
        if index % 4 == 2:
            numbers = pa.py_buffer(np.full(size // 8 + 1, number))  # made from an array, it would import pandas
            return pa.table({"x": pa.Array.from_buffers(pa.int64(), size // 8 + 1, [None, numbers])})
        folder.mkdir(parents=True)
        (folder / "total").write_text(str(number))
        (folder / "more").mkdir()
        (folder / "more" / "bytes").write_bytes(bytes([number % 251]) * size)
        return folder

    def made(index):
        def body(parts: list):
            return value(index, parts, Path("scratch") / f"{index}-{os.getpid()}")
        kept = Out(io_manager_key="folders") if index % 4 == 3 else Out()
        return op(name=f"s{index}", out=kept)(body)

    STEPS = [made(index) for index in range(20)]

    @job(resource_defs={"folders": path_io_manager})
    def killable():
        found = []
        for index, step in enumerate(STEPS):
            found.append(step(found[-2:] if index % 5 else found[-1:]))
"""

KEYS = [f"s{index}" for index in range(20)]
FINISHED = re.compile(r"^(s\d+): ran in ", re.MULTILINE)


class Killable:
    """The pipeline, what it gives, and how long it takes."""

    def __init__(self, folder: Path, starter: Starter) -> None:
        self.folder = folder
        self.starter = starter
        self.file = folder / "pipeline.py"
        self.file.write_text(dedent(PIPELINE).lstrip())
        self.expected = self._expected()
        self.args = ("run", str(self.file))
        self.seconds: dict[str, float] = {}
        self.calls = 0
        for way, how in (("fork", ()), ("workers", ("-j", "2")), ("cold", ())):
            cwd = self.new_folder(f"whole-{way}")
            began = time.monotonic()
            if way == "cold":
                subprocess.run(self.command(), cwd=cwd, env=self.environment(cwd), check=True, capture_output=True)
            else:
                process = starter.run(cwd, *self.args, *how, MEMO_HOME=str(cwd / "home"))
                assert process.code() == 0, process.text()
                assert set(FINISHED.findall(process.text())) == set(KEYS), process.text()
            self.seconds[way] = time.monotonic() - began
        cwd = self.new_folder("counted")
        counted = starter.start(cwd, *self.args, calls=10**9, MEMO_HOME=str(cwd / "home"))
        assert counted.code() == 0, counted.text()
        self.calls = counted.calls()

    def new_folder(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        (folder / "memo.toml").touch()
        return folder

    def command(self) -> list[str]:
        return [sys.executable, "-m", "memo", *self.args]

    def environment(self, cwd: Path, **more: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MEMO_", "PYTEST_"))}
        return {**kept, "NO_COLOR": "1", "MEMO_HOME": str(cwd / "home"), **more}

    def _expected(self) -> list[Any]:
        names: dict[str, Any] = {}
        exec(dedent(PIPELINE), names)
        found: list[Any] = []
        for index in range(20):
            parts = found[-2:] if index % 5 else found[-1:]
            found.append(names["value"](index, parts, self.folder / "expected" / str(index)))
        return [plain(each) for each in found]


def plain(value: Any) -> Any:
    """A value as it can be compared."""
    if isinstance(value, Path):
        return sorted((str(path.relative_to(value)), path.read_bytes()) for path in value.rglob("*") if path.is_file())
    if hasattr(value, "to_pydict"):
        return value.schema, value.column("x").to_numpy().tobytes()
    return (value.dtype, value.tobytes()) if hasattr(value, "tobytes") else value


@pytest.fixture(scope="session")
def killable(tmp_path_factory: pytest.TempPathFactory, starter: Starter) -> Killable:
    return Killable(tmp_path_factory.mktemp("killable"), starter)


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def check(killable: Killable, cwd: Path, finished: set[str], told: str, mark: str = "") -> None:
    """See that the next run is right, and that nothing is left after two."""
    home = cwd / "home"
    again = killable.starter.run(cwd, *killable.args, MEMO_HOME=str(home))
    assert again.code() == 0, f"{told}: {again.text()}"
    ran = set(FINISHED.findall(again.text()))
    assert not ran & finished, f"{told}: {sorted(ran & finished)} were reported finished, and ran again"
    if mark:
        until(lambda: not marked(mark))
    third = killable.starter.run(cwd, *killable.args, MEMO_HOME=str(home))
    assert third.code() == 0, f"{told}: {third.text()}"
    assert not FINISHED.findall(third.text()), f"{told}: {third.text()}"

    assert half_stored(home / "storage") == [], told
    with sqlite3.connect(home / "catalog.db") as connection:
        assert connection.execute("SELECT * FROM claims").fetchall() == [], told
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], told
    connection.close()
    result = execute_job(JobReference(str(killable.file)), home)
    assert result.executed == [], told
    for key, expected in zip(KEYS, killable.expected, strict=True):
        assert plain(result.output_for_node(key)) == expected, f"{told}: {key}"


@pytest.mark.parametrize("seed", range(35))
def test_killed_before_one_of_its_calls(killable: Killable, seed: int) -> None:
    call = random.Random(f"call {seed}").randint(1, killable.calls)
    cwd = killable.new_folder(f"call-{seed}")
    process = killable.starter.start(cwd, *killable.args, calls=call, MEMO_HOME=str(cwd / "home"))
    code = process.code()

    assert code in {0, -signal.SIGKILL}, process.text()
    check(killable, cwd, set(FINISHED.findall(process.text())), f"before call {call} of {killable.calls}")


@pytest.mark.parametrize("seed", range(30))
def test_killed_at_a_moment(killable: Killable, seed: int) -> None:
    moment = random.Random(f"moment {seed}").random() * killable.seconds["fork"]
    cwd = killable.new_folder(f"moment-{seed}")
    process = killable.starter.start(cwd, *killable.args, MEMO_HOME=str(cwd / "home"))
    if not process.ends_within(moment):
        process.kill()
    assert process.code() in {0, -signal.SIGKILL}

    check(killable, cwd, set(FINISHED.findall(process.text())), f"after {moment:.4f} s")


@pytest.mark.parametrize("whom", ["coordinator", "worker", "all"])
@pytest.mark.parametrize("seed", range(9))
def test_killed_with_workers(killable: Killable, seed: int, whom: str) -> None:
    moment = random.Random(f"{whom} {seed}").random() * killable.seconds["workers"]
    cwd = killable.new_folder(f"{whom}-{seed}")
    mark = f"FAULT_MARK={os.getpid()}-{whom}-{seed}-"
    process = killable.starter.start(
        cwd, *killable.args, "-j", "2", MEMO_HOME=str(cwd / "home"), FAULT_MARK=mark.partition("=")[2]
    )
    if not process.ends_within(moment):
        workers = children(process.pid)
        if whom == "worker":
            for pid in workers[:1]:
                kill(pid)
        else:
            process.kill()
            for pid in marked(mark) if whom == "all" else ():
                kill(pid)
    code = process.code()

    assert code in ({0, 1} if whom == "worker" else {0, -signal.SIGKILL}), process.text()
    check(killable, cwd, set(FINISHED.findall(process.text())), f"{whom} after {moment:.4f} s", mark)


@pytest.mark.parametrize("seed", range(8))
def test_a_command_line_killed_at_a_moment(killable: Killable, seed: int) -> None:
    moment = random.Random(f"cold {seed}").random() * killable.seconds["cold"]
    cwd = killable.new_folder(f"cold-{seed}")
    process = subprocess.Popen(
        killable.command(), cwd=cwd, env=killable.environment(cwd), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    try:
        _, told = process.communicate(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        _, told = process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}

    check(killable, cwd, set(FINISHED.findall(told.decode())), f"after {moment:.4f} s")
