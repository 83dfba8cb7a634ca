"""doit: a task a step, with files between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver, graph_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

MAIN = """\
import json, os, sys
from counted import count
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.tools import config_changed
sys.setrecursionlimit(200000)
os.makedirs("outputs", exist_ok=True)
with open("graph.json") as file:
    graph = json.load(file)

def action(number, parents, target, added):
    def run():
        count()
        values = []
        for parent in parents:
            with open(f"outputs/{parent}") as file:
                values.append(int(file.read()))
        with open(target, "w") as file:
            file.write(str((number + sum(values) + added) % 1000003))
    return run

def task_step():
    for number, parents in enumerate(graph["parents"]):
        mark = "" if number != graph["changed"] else "e" if graph["equal"] else "s"
        target = f"outputs/{number}"
        yield {
            "name": str(number),
            "actions": [action(number, parents, target, mark == "s")],
            "file_dep": [f"outputs/{parent}" for parent in parents],
            "targets": [target],
            "uptodate": [config_changed("v" + mark)],
            "verbosity": 0,
        }

loader = ModuleTaskLoader({"task_step": task_step, "DOIT_CONFIG": {"dep_file": "state.db", "reporter": "zero"}})
assert not DoitMain(loader).run(["run"])
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """The script and the graph as data."""
    return {"main.py": MAIN + SAY, "counted.py": COUNTED, "graph.json": graph_file(graph, change)}


def command(programs: Path) -> list[str]:
    """Run the script."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("doit", "light", "a task a step", files, command, start=0.1, cold=0.0003, null=0.0001, forgets=True)
