"""joblib.Memory: one function, called once for each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver, graph_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

MAIN = """\
import json
from counted import count
from joblib import Memory
memory = Memory("store", verbose=0)

@memory.cache
def step(number, parents):
    count()
    return (number + sum(parents)) % 1000003

@memory.cache
def step_changed(number, parents):
    count()
    return (number + sum(parents) + 1) % 1000003

@memory.cache
def step_equal(number, parents):
    count()
    return (number + sum(parents) + 0) % 1000003

with open("graph.json") as file:
    graph = json.load(file)
values = []
for number, parents in enumerate(graph["parents"]):
    call = step if number != graph["changed"] else step_equal if graph["equal"] else step_changed
    values.append(call(number, tuple([values[parent] for parent in parents])))
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """The script and the graph as data."""
    return {"main.py": MAIN + SAY, "counted.py": COUNTED, "graph.json": graph_file(graph, change)}


def command(programs: Path) -> list[str]:
    """Run the script."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("joblib", "light", "one function", files, command, start=0.2, cold=0.0002, null=0.0001)
