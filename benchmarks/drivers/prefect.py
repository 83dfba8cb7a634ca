"""Prefect 3: one task, called once for each step, cached by its inputs and its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver, graph_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

MAIN = """\
import json, os, sys
here = os.getcwd()
os.environ.update(
    PREFECT_HOME=f"{here}/home", PREFECT_LOCAL_STORAGE_PATH=f"{here}/store", PREFECT_LOGGING_LEVEL="ERROR",
    PREFECT_LOGGING_TO_API_ENABLED="false", PREFECT_SERVER_ANALYTICS_ENABLED="false",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="180",
)
from counted import count
from prefect import flow, task
from prefect.cache_policies import INPUTS, TASK_SOURCE

@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
def step(number, parents):
    count()
    return (number + sum(parents)) % 1000003

@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
def step_changed(number, parents):
    count()
    return (number + sum(parents) + 1) % 1000003

@task(cache_policy=INPUTS + TASK_SOURCE, persist_result=True)
def step_equal(number, parents):
    count()
    return (number + sum(parents) + 0) % 1000003

@flow
def bench():
    with open("graph.json") as file:
        graph = json.load(file)
    values = []
    for number, parents in enumerate(graph["parents"]):
        call = step if number != graph["changed"] else step_equal if graph["equal"] else step_changed
        values.append(call(number, tuple([values[parent] for parent in parents])))
    return len(values)

bench()
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """The script and the graph as data."""
    return {"main.py": MAIN + SAY, "counted.py": COUNTED, "graph.json": graph_file(graph, change)}


def command(programs: Path) -> list[str]:
    """Run the script."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("Prefect 3", "prefect", "one task", files, command, start=7.0, cold=0.006, null=0.005)
