"""W1 and W2 within a process that is warm, as in a notebook: what a step costs to plan, to reuse, to run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.drivers import memo_ops
from benchmarks.graphs import AS_WRITTEN, make_graph
from benchmarks.measuring import measure
from benchmarks.results import Result
from benchmarks.workloads.runs import memo_environment, write_pipeline

if TYPE_CHECKING:
    from benchmarks.session import Session

WORKLOAD = "in process"
PROGRAM = Path(__file__).parents[1] / "programs" / "in_process.py"
QUICK_STEPS, FULL_STEPS = (1_000,), (1_000, 10_000)
QUICK_ROUNDS, FULL_ROUNDS = 3, 5


def measure_in_process(session: Session) -> None:
    """Plan and run in a process for each size and each way of writing the pipeline."""
    rounds = FULL_ROUNDS if session.is_full else QUICK_ROUNDS
    for count in FULL_STEPS if session.is_full else QUICK_STEPS:
        for driver in (memo_ops.OPS, memo_ops.PLACED_OPS):
            session.say(f"in process: {count} steps, {driver.name}")
            with session.folder("in-process") as folder:
                write_pipeline(driver, make_graph("layered", count), AS_WRITTEN, folder)
                for home in ("first", "second"):  # the first process compiles
                    command = [sys.executable, str(PROGRAM), str(rounds), str(folder / home)]
                    measured = measure(command, folder, limit=600, environment=memo_environment("memo"))
            if measured.problem:
                session.add(Result(WORKLOAD, driver.name, "plan", "layered", count, problem=measured.problem))
                continue
            for phase, taken in json.loads(measured.output.splitlines()[-1]).items():
                for number, took in enumerate(taken):
                    cpu, wall = took["cpu"], took["wall"]
                    session.add(Result(WORKLOAD, driver.name, phase, "layered", count, number, cpu=cpu, wall=wall))
