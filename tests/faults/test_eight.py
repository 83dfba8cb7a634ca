"""Eight processes run one cold job at once, and those that are running it are killed one after another."""

from __future__ import annotations

import random
import re
import signal
import sqlite3
from collections import Counter
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from memo import execute_job
from memo.definition.reference import JobReference
from tests.faults.conftest import half_stored

if TYPE_CHECKING:
    from tests.faults.conftest import Process, Starter

PIPELINE = """
    import os
    from pathlib import Path
    from memo import job, op

    RAN = Path(__file__).parent / "ran"

    def made(index):
        def body(parts: list) -> list:
            number = os.open(RAN, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(number, f"{index}\\n".encode())
            os.close(number)
            # Every value has random bytes in it: nobody keeps what was not stored.
            return [index, sum(part[1] for part in parts) + index, os.urandom(8) * [1, 100, 250_000][index % 3]]
        return op(name=f"s{index}")(body)

    STEPS = [made(index) for index in range(20)]

    @job
    def chain():
        found = []
        for index, step in enumerate(STEPS):
            found.append(step(found[-2:] if index % 5 else []))
"""

RAN = re.compile(r"^(s\d+): ran in ", re.MULTILINE)


def start_eight(folder: Path, starter: Starter) -> list[Process]:
    (folder / "memo.toml").touch()
    (folder / "chain.py").write_text(dedent(PIPELINE).lstrip())
    return [starter.start(folder, "run", "chain.py", MEMO_HOME=str(folder / "home")) for _ in range(8)]


def bodies(folder: Path) -> Counter[int]:
    return Counter(map(int, (folder / "ran").read_text().split()))


def check_end(folder: Path, rest: list[Process]) -> None:
    """Every run that was left alone has ended well, all see one result, and nothing is left behind."""
    for process in rest:
        assert process.code() == 0, process.text()
    home = folder / "home"
    result = execute_job(JobReference(str(folder / "chain.py")), home, raise_on_error=True)
    assert result.executed == []
    for index in range(20):
        value = result.output_for_node(f"s{index}")
        assert value[0] == index
    last = RAN.findall("\n".join(process.text() for process in rest))
    assert max(Counter(last).values(), default=1) == 1, "two of them ran one step to its end"
    assert half_stored(home / "storage") == []
    with sqlite3.connect(home / "catalog.db") as connection:
        assert connection.execute("SELECT * FROM claims").fetchall() == []
    connection.close()


def test_eight_at_once_run_every_body_once(tmp_path: Path, starter: Starter) -> None:
    processes = start_eight(tmp_path, starter)

    check_end(tmp_path, processes)

    assert bodies(tmp_path) == dict.fromkeys(range(20), 1)


def holder(home: Path) -> int | None:
    """The process that is running a step now."""
    if not (home / "catalog.db").exists():
        return None
    connection = sqlite3.connect(f"file:{home}/catalog.db?mode=ro", uri=True)
    try:
        row = connection.execute("SELECT pid FROM claims").fetchone()
    except sqlite3.OperationalError:  # it is just being made
        return None
    finally:
        connection.close()
    return None if row is None else int(row[0])


@pytest.mark.parametrize("seed", range(4))
def test_when_those_that_run_are_killed_the_rest_finish(tmp_path: Path, starter: Starter, seed: int) -> None:
    chance = random.Random(seed)
    processes = start_eight(tmp_path, starter)
    by_pid = {process.pid: process for process in processes}
    killed: set[int] = set()
    after = 0
    while len(killed) < 4:
        after += chance.randrange(1, 5)
        while sum(bodies(tmp_path).values() if (tmp_path / "ran").exists() else []) < after:
            if all(process.ends_within(0) for process in processes):
                break
        if all(process.ends_within(0) for process in processes):
            break
        pid = holder(tmp_path / "home")
        if pid in by_pid and pid not in killed:
            by_pid[pid].kill()
            killed.add(pid)
    for pid in killed:
        assert by_pid[pid].code() in {0, -signal.SIGKILL}

    check_end(tmp_path, [process for process in processes if process.pid not in killed])

    found = bodies(tmp_path)
    assert set(found) == set(range(20))
    # What one was on when it was killed is run once more, and what it had stored since it last recorded anything.
    assert max(found.values()) <= 1 + len(killed)
