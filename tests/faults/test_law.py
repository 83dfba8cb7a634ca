"""The first law, whatever goes wrong: a memoized run gives what a full run gives. Random edits, random faults."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from memo import MEMOIZED_RUN_TAG, execute_job
from memo.definition.reference import JobReference
from memo.errors import OutputLostError

if TYPE_CHECKING:
    from tests.faults.conftest import Starter

STEPS = 8
ROUNDS = 5


class Pipeline:
    """A pipeline of random ops, which can be edited.

    Each op adds its constant to what it reads, divides (so that many edits change no value below), and gives a value of
    a size and kind of its own.
    """

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.constants = [chance.randrange(100) for _ in range(STEPS)]
        self.divisors = [chance.choice([1, 1, 50]) for _ in range(STEPS)]
        self.sizes = [chance.choice([1, 100, 60_000, 700_000]) for _ in range(STEPS)]
        self.kinds = [chance.choice(["list", "array", "folder"]) for _ in range(STEPS)]
        self.reads = [sorted({chance.randrange(index) for _ in range(min(index, 2))}) for index in range(STEPS)]

    def edit(self) -> None:
        self.constants[self.chance.randrange(STEPS)] = self.chance.randrange(100)

    def write(self, path: Path) -> None:
        parts = [
            dedent("""\
            import os
            import numpy as np
            from pathlib import Path
            from memo import Out, job, op, path_io_manager

            def number(value):
                if isinstance(value, Path):
                    return int((value / "number").read_text())
                return int(value[0])

            def made(kind, found, size, name):
                if kind == "list":
                    return [found, b"x" * size]
                if kind == "array":
                    return np.full(size // 8 + 1, found)
                folder = Path("scratch") / f"{os.getpid()}-{os.urandom(4).hex()}" / name
                folder.mkdir(parents=True)
                (folder / "number").write_text(str(found))
                (folder / "bytes").write_bytes(b"y" * size)
                return folder
            """)
        ]
        for index in range(STEPS):
            kind = self.kinds[index]
            kept = '(out=Out(io_manager_key="folders"))' if kind == "folder" else ""
            parts.append(
                dedent(f"""
                @op{kept}
                def s{index}(parts: list):
                    found = (sum(map(number, parts)) * 3 + {self.constants[index]}) // {self.divisors[index]}
                    return made({kind!r}, found, {self.sizes[index]}, "s{index}")
                """)
            )
        parts.append('\n@job(resource_defs={"folders": path_io_manager})\ndef faulty():\n')
        parts += [
            f"    v{index} = s{index}([{', '.join(f'v{each}' for each in reads)}])\n"
            for index, reads in enumerate(self.reads)
        ]
        path.write_text("".join(parts))


def values(result: Any) -> dict[str, Any]:
    """What the steps gave that were run or reused, for comparing."""
    found = {}
    for key, outcome in result.record.steps.items():
        if outcome[2] == "unneeded":
            continue
        value = result.output_for_node(key)
        if isinstance(value, Path):
            value = sorted((path.name, path.read_bytes()) for path in value.iterdir())
        found[key] = value.tobytes() if hasattr(value, "tobytes") else value
    return found


def stored(home: Path) -> list[Path]:
    storage = home / "storage"
    return sorted(path for top in ("versioned", "data") for path in (storage / top).rglob("*") if path.is_file())


def damage(home: Path, chance: random.Random) -> None:
    """Do something to one or more of the stored files, or to the catalog."""
    for path in chance.sample(stored(home), k=min(len(stored(home)), chance.randrange(1, 4))):
        path.chmod(0o644)
        data = path.read_bytes()
        way = chance.randrange(5)
        if way == 0:
            path.unlink()
        elif way == 1:
            path.write_bytes(data[: chance.randrange(len(data) + 1)])
        elif way == 2 and data:
            at = chance.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
        elif way == 3:
            path.write_bytes(chance.choice(stored(home)).read_bytes())
        else:
            shutil.copy2(chance.choice(stored(home)), f"{path}.copy")
            os.replace(f"{path}.copy", path)
    if chance.random() < 0.3:
        for path in home.glob("catalog.db*"):
            path.unlink()


@pytest.mark.parametrize("seed", range(10))
def test_whatever_fault_a_memoized_run_gives_what_a_full_run_gives(
    tmp_path: Path, starter: Starter, seed: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "memo.run")  # of the hundreds of warnings none is looked at
    monkeypatch.chdir(tmp_path)
    chance = random.Random(f"law {seed}")
    home = tmp_path / "home"
    (tmp_path / "memo.toml").touch()
    pipeline = Pipeline(chance)
    for turn in range(ROUNDS):
        told = f"seed {seed}, round {turn}"
        # A module is imported once in a process, whatever becomes of its file.
        file = tmp_path / f"faulty_{seed}_{turn}.py"
        pipeline.write(file)
        fault = chance.choice(["killed", "damaged", "killed and damaged"])
        if "killed" in fault:
            process = starter.start(tmp_path, "run", str(file), calls=chance.randrange(1, 700), MEMO_HOME=str(home))
            assert process.code() in {0, -signal.SIGKILL}, process.text()
        if "damaged" in fault:
            damage(home, chance)
        memoized = execute_job(JobReference(str(file)), home, raise_on_error=True)
        full = execute_job(
            JobReference(str(file)), tmp_path / f"full-{turn}", tags={MEMOIZED_RUN_TAG: "false"}, raise_on_error=True
        )
        assert full.executed == [f"s{index}" for index in range(STEPS)]
        expected = values(full)
        # What was reused and read by no step shows only now that it is damaged; then the next run makes it again.
        for _ in range(STEPS + 1):
            try:
                found = values(memoized)
                break
            except OutputLostError:
                memoized = execute_job(JobReference(str(file)), home, raise_on_error=True)
        assert found == {key: expected[key] for key in found}, told
        assert len(found) >= STEPS - 6, told
        del found
        assert execute_job(JobReference(str(file)), home).executed == [], told
        pipeline.edit()
