"""W9: eight processes on one home at once: the same job, whose steps should each run once; and a job for each."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from benchmarks.measuring import measure
from benchmarks.results import Result
from benchmarks.workloads.runs import memo_environment

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measuring import Measured
    from benchmarks.session import Session

WORKLOAD = "one home"
PROCESSES = 8
QUICK_STEPS, FULL_STEPS = 24, 200

PIPELINE = """\
import os
from memo import job, op

def ran():
    descriptor = os.open({log!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, b"x")
    os.close(descriptor)

@op(config_schema=int)
def step(context, before):
    ran()
    return (before + context.op_config + sum(range(200_000))) % 1000003

@op(config_schema=int)
def start(context):
    ran()
    return context.op_config

STEPS = range(1, {steps})

@job(config={{"ops": {{"start": {{"config": {offset}}}, **{{f"s{{n}}": {{"config": n}} for n in STEPS}}}}}})
def bench():
    first = start()
    for n in STEPS:
        step.alias(f"s{{n}}")(first)
"""


def measure_one_home(session: Session) -> None:
    """Run eight at once, twice: of one job, and of eight."""
    steps = FULL_STEPS if session.is_full else QUICK_STEPS
    for phase, jobs in (("1 process", 1), (f"{PROCESSES} processes, 1 job", 1), (f"{PROCESSES} processes, 8 jobs", 8)):
        session.say(f"one home: {phase}")
        with session.folder("home") as folder:
            count = 1 if phase == "1 process" else PROCESSES
            log = folder / "ran"
            places = [_write(folder / f"job{number % jobs}", steps, log, number % jobs) for number in range(count)]
            began = time.perf_counter()
            with ThreadPoolExecutor(count) as threads:
                found = list(threads.map(lambda place: _run(place, folder), places))
            wall = time.perf_counter() - began
            problem = next((each.problem for each in found if each.problem), "")
            session.add(
                Result(
                    WORKLOAD,
                    "memo",
                    phase,
                    size=steps,
                    cpu=sum(each.cpu for each in found),
                    wall=wall,
                    memory=max(each.memory for each in found),
                    ran=os.path.getsize(log) if log.exists() else 0,
                    expected=steps * jobs,
                    problem=problem,
                )
            )


def _write(place: Path, steps: int, log: Path, number: int) -> Path:
    place.mkdir(exist_ok=True)
    text = PIPELINE.format(log=str(log), steps=steps, offset=1000 * number)
    (place / "pipeline.py").write_text(text, encoding="utf-8")
    return place


def _run(place: Path, folder: Path) -> Measured:
    command = [sys.executable, "-m", "memo", "run", "pipeline.py", "--home", str(folder / "home")]
    return measure(command, place, limit=600, environment=memo_environment("memo"))
