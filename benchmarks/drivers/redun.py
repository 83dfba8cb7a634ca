"""redun: one task, called once for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver, graph_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

MAIN = """\
import json, logging, sys
sys.setrecursionlimit(200000)
from counted import count
from redun import Scheduler, task
from redun.config import Config
redun_namespace = "bench"

@task(version="1")
def step(number, *parents):
    count()
    return (number + sum(parents)) % 1000003

@task(version="1")
def step_changed(number, *parents):
    count()
    return (number + sum(parents) + 1) % 1000003

@task(version="1")
def step_equal(number, *parents):
    count()
    return (number + sum(parents) + 0) % 1000003

@task(version="1")
def collect(values):
    return len(values)

with open("graph.json") as file:
    graph = json.load(file)
backend = {"db_uri": "sqlite:///redun.db"}
local = {"type": "local", "max_workers": "1"}
scheduler = Scheduler(config=Config({"backend": backend, "executors.default": local}))
scheduler.load()
values = []
for number, parents in enumerate(graph["parents"]):
    call = step if number != graph["changed"] else step_equal if graph["equal"] else step_changed
    values.append(call(number, *[values[parent] for parent in parents]))
scheduler.run(collect(values))
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """The script and the graph as data."""
    return {"main.py": MAIN + SAY, "counted.py": COUNTED, "graph.json": graph_file(graph, change)}


def command(programs: Path) -> list[str]:
    """Run the script."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver(
    "redun",
    "redun",
    "one task",
    files,
    command,
    start=1.1,
    cold=0.006,
    null=0.0025,
    largest={"layered": 50},  # its cost grows with the paths through a graph
)
