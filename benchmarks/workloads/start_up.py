"""W6: starting: what a process needs before it does anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measuring import measure
from benchmarks.results import Result
from benchmarks.systems import SYSTEMS
from benchmarks.workloads.runs import memo_environment

if TYPE_CHECKING:
    from benchmarks.session import Session

WORKLOAD = "start-up"
QUICK_ROUNDS, FULL_ROUNDS = 2, 15

STARTS = {
    "python -c pass": ("memo", ("python", "-c", "pass")),
    "import memo": ("memo", ("python", "-c", "import memo")),
    "from memo import job, op": ("memo", ("python", "-c", "from memo import job, op")),
    "memo --help": ("memo", ("python", "-m", "memo", "--help")),
    "import click": ("memo", ("python", "-c", "import click")),
    "import pyarrow": ("memo", ("python", "-c", "import pyarrow")),
    "import duckdb": ("memo", ("python", "-c", "import duckdb")),
    "import joblib": ("joblib", ("python", "-c", "import joblib")),
    "import doit": ("doit", ("python", "-c", "import doit.doit_cmd")),
    "import redun": ("redun", ("python", "-c", "import redun")),
    "import hamilton": ("Hamilton", ("python", "-c", "import hamilton.driver")),
    "import pytask": ("pytask", ("python", "-c", "import pytask")),
    "import dagster (1.2.7)": ("Dagster 1.2.7", ("python", "-W", "ignore", "-c", "import dagster")),
    "import prefect": ("Prefect 3", ("python", "-c", "import prefect")),
    "snakemake --help": ("Snakemake", ("snakemake", "--help")),
    "dagster --help": ("Dagster 1.2.7", ("dagster", "--help")),
}
"""The system in whose environment it starts, and the command of each."""


def measure_start_up(session: Session) -> None:
    """Start everything by turns."""
    todo = {}
    for name, (system, command) in STARTS.items():
        if not session.measures(system):
            continue
        found = session.environment(SYSTEMS[system].environment)
        if found.problem:
            session.add(Result(WORKLOAD, name, "start", problem=found.problem))
        else:
            todo[name] = [str(found.programs / command[0]), *command[1:]]
    for number in range((FULL_ROUNDS if session.is_full else QUICK_ROUNDS) + 1):
        session.say(f"start-up, round {number}")
        for name in list(todo):
            measured = measure(
                todo[name], session.scratch, environment=memo_environment(SYSTEMS[STARTS[name][0]].environment)
            )
            if measured.problem:
                session.add(Result(WORKLOAD, name, "start", problem=measured.problem))
                del todo[name]
            elif number:
                cpu, wall, memory = measured.cpu, measured.wall, measured.memory
                session.add(Result(WORKLOAD, name, "start", round=number, cpu=cpu, wall=wall, memory=memory))
