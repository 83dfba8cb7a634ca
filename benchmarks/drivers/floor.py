"""The floor: a bare planner and runner with no features, the limit of what Python can do here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import Driver, graph_file

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

MAIN = '''\
"""A version is xxh3-128 of code and parents' versions; what is stored, one listing; a value, written and renamed."""
import json, os, pickle
from xxhash import xxh3_128_hexdigest
with open("graph.json") as file:
    graph = json.load(file)
parents, changed, equal = graph["parents"], graph["changed"], graph["equal"]
os.makedirs("store", exist_ok=True)
versions = []
for step, above in enumerate(parents):
    code = f"{step}{'' if step != changed else 'e' if equal else 's'}"
    versions.append(xxh3_128_hexdigest(f"{code}|{'|'.join([versions[each] for each in above])}".encode()))
stored = set(os.listdir("store"))
to_run = [step for step, version in enumerate(versions) if version not in stored]
values = {}
def load(step):
    if step not in values:
        with open(f"store/{versions[step]}", "rb") as file:
            values[step] = pickle.load(file)
    return values[step]
for step in to_run:
    total = step + sum([load(each) for each in parents[step]]) + (step == changed and not equal)
    value = values[step] = total % 1000003
    with open("store/.new", "wb") as file:
        pickle.dump(value, file)
    os.replace("store/.new", f"store/{versions[step]}")
print("RAN", len(to_run))
'''


def files(graph: Graph, change: Change) -> dict[str, str]:
    """The planner, and the graph as data."""
    return {"main.py": MAIN, "graph.json": graph_file(graph, change)}


def command(programs: Path) -> list[str]:
    """Run it."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("floor", "light", "no features", files, command, start=0.02, cold=0.0001, null=0.000002)
