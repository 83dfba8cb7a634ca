"""W4: storing a large frame, and having it again with a row touched, in memo's encodings and in others' ways.

``limit`` is to write the bytes and hash them, and to read them into fresh memory. Stores and loads are processes of
their own and take turns.
"""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from benchmarks.measuring import measure
from benchmarks.results import Result
from benchmarks.systems import SYSTEMS
from benchmarks.workloads.runs import memo_environment

if TYPE_CHECKING:
    from benchmarks.measuring import Measured
    from benchmarks.session import Session

WORKLOAD = "large values"
BYTES_A_ROW = 64
QUICK_ROWS, FULL_ROWS = 1_000_000, 10_000_000
QUICK_ROUNDS, FULL_ROUNDS = 2, 5

WAYS = {
    "limit": "values",
    "memo": "memo",
    "memo numpy": "memo",
    "memo arrow": "memo",
    "memo parquet": "memo",
    "pickle 4": "values",
    "pickle 5": "values",
    "joblib": "values",
    "joblib mmap": "values",
    "Hamilton": "hamilton",
    "redun": "redun",
}
"""Each way, and the environment that it is measured in. ``pickle 4`` is what Dagster's file IO manager does."""

LIBRARIES = frozenset({"Hamilton", "redun"})


def measure_large_values(session: Session) -> None:
    """Store and load in every way."""
    rows = FULL_ROWS if session.is_full else QUICK_ROWS
    rounds = FULL_ROUNDS if session.is_full else QUICK_ROUNDS
    ways = []
    for way, name in WAYS.items():
        system = way.split()[0]
        if system in SYSTEMS and not session.measures(system):
            continue
        problem = session.environment(name).problem
        if problem:
            _without(session, way, rows, problem)
        else:
            ways.append(way)
    with session.folder("values") as folder:
        for number in range(rounds):
            ways = _by_turns(session, "store", ways, rows, number, folder)
        for number in range(rounds):
            ways = _by_turns(session, "load", ways, rows, number, folder)


def _by_turns(session: Session, phase: str, ways: list[str], rows: int, number: int, folder: Path) -> list[str]:
    """Have each way store or load once; gives those that could."""
    able = []
    for way in ways:
        session.say(f"{phase} {rows * BYTES_A_ROW >> 20} MiB: {way}")
        if phase == "store":
            rmtree(folder / way, ignore_errors=True)
        if _add(session, phase, way, rows, number, folder / way):
            able.append(way)
    return able


def _without(session: Session, way: str, rows: int, problem: str) -> None:
    for phase in ("store", "load"):
        session.add(Result(WORKLOAD, way, phase, size=rows * BYTES_A_ROW, problem=problem))


def _add(session: Session, phase: str, way: str, rows: int, number: int, place: Path) -> bool:
    name = WAYS[way]
    script = "library_caches.py" if way in LIBRARIES else "large_value_ways.py"
    command = [
        str(session.environment(name).programs / "python"),
        str(Path(__file__).parents[1] / "programs" / script),
        phase,
        way,
        str(rows),
        str(place),
    ]
    measured = measure(command, session.scratch, limit=300, environment=memo_environment(name))
    found = _taken(measured)
    if not found:
        problem = measured.problem or "told nothing"
        session.add(Result(WORKLOAD, way, phase, size=rows * BYTES_A_ROW, round=number, problem=problem))
        return False
    session.add(
        Result(
            WORKLOAD,
            way,
            phase,
            size=rows * BYTES_A_ROW,
            round=number,
            cpu=found["cpu"],
            wall=found["wall"],
            memory=int(found["memory"]),
            disk=int(found["disk"]) if "disk" in found else None,
        )
    )
    return True


def _taken(measured: Measured) -> dict[str, float]:
    lines = [line for line in measured.output.splitlines() if line.startswith("TAKEN ")]
    return json.loads(lines[-1].removeprefix("TAKEN ")) if lines and not measured.problem else {}
