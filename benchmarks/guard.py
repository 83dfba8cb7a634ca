"""The guard: what memo costs as a ratio to floors of the same run, against limits that a 1.5x regression breaks.

    python -m benchmarks.guard [--json] [--case plan] [--once] [--instructions]

Every case takes turns with its floor: work of the same kind that does not go through memo (imports of the standard
library; hashing, reading and writing of as many small files). The ratio of CPU times is the median over the turns: what
else the machine does falls on both. A case beyond its limit is measured again, twice at most, and fails where it is
beyond it each time. Limits are 1.35 times what is usual. What makes a case faster for good should lower its figure
here: the guard says so.

With ``--instructions`` it counts the instructions of whole processes under valgrind instead, which no other load on the
machine changes: limits are then 1.1 times what is usual. What the kernel does for a process is not in that count.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.drivers import memo_ops
from benchmarks.graphs import AS_WRITTEN, make_graph
from benchmarks.machine import memory_folder
from benchmarks.measuring import measure
from benchmarks.programs.guard_work import COLD_STEPS, STANDARD_MODULES
from benchmarks.workloads.runs import memo_environment, write_pipeline

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from benchmarks.measuring import Measured

    Count: TypeAlias = Callable[[list[str], dict[str, str], Path], float]

SLACK = 1.35
COUNTED_SLACK = 1.1
MEASURED_AGAIN = 2
STEPS = 400
ROUNDS = 15


class Case(Struct, frozen=True):
    """One ratio that is held.

    Attributes:
        usual: What it is, of CPU time.
        what: What is compared with what.
        instructions: What it is, of instructions; None for what is measured within a process.
    """

    usual: float
    what: str
    instructions: float | None = None


CASES = {
    "import": Case(0.48, "importing job and op from memo to importing 25 modules of the standard library", 0.505),
    "help": Case(0.41, "memo --help to the same", 0.455),
    "null": Case(0.80, f"memo run of {STEPS} steps that are all stored, to the same", 1.0),
    "plan": Case(1.15, f"plan_job of {STEPS} stored steps to hashing their versions and reading as many files"),
    "versions": Case(1.24, f"source versions of {STEPS} ops to disassembling their code"),
    "cold": Case(1.52, f"execute_job of {COLD_STEPS} new steps to writing, renaming and reading as many files"),
    "load": Case(0.87, "loading small outputs through the file IO manager to reading and unpickling their files"),
    "hash": Case(1.15, "the content digest of a table to xxh3-128 over its buffers"),
}


def main() -> int:
    """Measure, compare, tell; 1 where a limit is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guard", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the ratios as JSON")
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="one or more; all if left out")
    parser.add_argument("--once", action="store_true", help="measure once, whatever comes of it")
    parser.add_argument("--instructions", action="store_true", help="count instructions under valgrind")
    given = parser.parse_args()
    usual = {name: case.instructions if given.instructions else case.usual for name, case in CASES.items()}
    limits = {name: (COUNTED_SLACK if given.instructions else SLACK) * each for name, each in usual.items() if each}
    wanted = [name for name in given.case or CASES if name in limits]
    found: dict[str, list[float]] = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory(prefix="memo-guard-", dir=memory_folder()) as folder:
        todo = wanted
        for _ in range(1 if given.once else 1 + MEASURED_AGAIN):
            measured = ratios(todo, Path(folder), _instructions if given.instructions else _cpu_seconds)
            for name, ratio in measured.items():
                found[name].append(ratio)
            todo = [name for name in wanted if min(found[name]) > limits[name]]
            if not todo:
                break
    if given.json:
        print(json.dumps({name: [round(each, 4) for each in taken] for name, taken in found.items()}))
        return 1 if todo else 0
    print(f"{'case':10}{'ratio':>8}{'usual':>8}{'limit':>8}")
    for name, taken in found.items():
        told = " and ".join(f"{each:.2f}" for each in taken)
        verdict = f"  BROKEN: {told}: {CASES[name].what}" if name in todo else ""
        if max(taken) < limits[name] / SLACK**2:
            verdict = "  much less than usual: lower the figure in benchmarks/guard.py"
        print(f"{name:10}{min(taken):>8.2f}{usual[name]:>8.2f}{limits[name]:>8.2f}{verdict}")
    return 1 if todo else 0


def ratios(wanted: list[str], folder: Path, count: Count) -> dict[str, float]:
    """The ratio of each case to its floor; of whole processes by what is counted of them."""
    processes = [name for name in wanted if name in {"import", "help", "null"}]
    found = _process_ratios(processes, folder, count) if processes else {}
    within = [name for name in wanted if name not in processes]
    if within:
        command = [sys.executable, "-m", "benchmarks.programs.guard_work", str(STEPS), str(ROUNDS), *within]
        root = str(Path(__file__).parents[1])
        path = memo_environment("memo").get("PYTHONPATH", "")
        environment = {"PYTHONPATH": f"{root}:{path}".rstrip(":"), "TMPDIR": str(folder)}
        found |= json.loads(_run(command, environment, folder).output.splitlines()[-1])
    return {name: found[name] for name in wanted}


def _process_ratios(wanted: list[str], folder: Path, count: Count) -> dict[str, float]:
    pipeline = folder / "pipeline"
    if not pipeline.exists():
        pipeline.mkdir()
        write_pipeline(memo_ops.OPS, make_graph("layered", STEPS), AS_WRITTEN, pipeline)
    python, memo = sys.executable, memo_environment("memo")
    work = {
        "floor": partial(count, [python, "-c", f"import {', '.join(STANDARD_MODULES)}"], {}, pipeline),
        "import": partial(count, [python, "-c", "from memo import job, op"], memo, pipeline),
        "help": partial(count, [python, "-m", "memo", "--help"], memo, pipeline),
        "null": partial(count, [python, "-m", "memo", "run", "pipeline.py"], memo, pipeline),
    }
    work = {name: run for name, run in work.items() if name in {"floor", *wanted}}
    found: dict[str, list[float]] = {name: [] for name in wanted}
    for number in range(1 + (1 if count is _instructions else ROUNDS)):
        taken = {name: run() for name, run in work.items()}
        if number:  # the first one compiles, and stores what the others find
            for name in wanted:
                found[name].append(taken[name] / taken["floor"])
    return {name: statistics.median(each) for name, each in found.items()}


def _cpu_seconds(command: list[str], environment: dict[str, str], folder: Path) -> float:
    return _run(command, environment, folder).cpu


def _instructions(command: list[str], environment: dict[str, str], folder: Path) -> float:
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise SystemExit("valgrind is not on this machine: leave --instructions out")
    options = ["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    output = _run([valgrind, *options, *command], environment, folder).output
    return float(re.findall(r"I +refs: +([\d,]+)", output)[-1].replace(",", ""))


def _run(command: list[str], environment: dict[str, str], folder: Path) -> Measured:
    measured = measure(command, folder, limit=300, environment={**environment, "PYTHONHASHSEED": "0"})
    if measured.problem:
        raise SystemExit(f"{' '.join(command)}: {measured.problem}\n{measured.output}")
    return measured


if __name__ == "__main__":
    sys.exit(main())
