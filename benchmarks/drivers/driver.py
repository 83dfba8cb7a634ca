"""What the harness asks of a driver."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from benchmarks.graphs import Change, Graph


class Driver(Struct, frozen=True):
    """How one system is made to run a graph.

    Attributes:
        name: Of the system, as tables show it.
        environment: The environment that it is installed in; empty for what is on the machine.
        style: How a pipeline is written in it, in a few words.
        files: The files of the pipeline, by name, for a graph with one step changed.
        command: The command, given the folder of the environment's programs; run in the pipeline's folder.
        start: About how many seconds it needs before the first step; with the next two, to tell what fits the time.
        cold: About how many seconds a step takes that runs.
        null: About how many seconds a step takes that does not.
        largest: The most steps it is asked for, by shape, where its cost does not grow with their number alone.
        forgets: Whether a step that is changed back has to run again, by design: only the last state is kept.
    """

    name: str
    environment: str
    style: str
    files: Callable[[Graph, Change], dict[str, str]]
    command: Callable[[Path], list[str]]
    start: float
    cold: float
    null: float
    largest: dict[str, int] = {}
    forgets: bool = False


def graph_file(graph: Graph, change: Change) -> str:
    """The graph as data, for pipelines that call one function many times."""
    return json.dumps({"parents": graph.parents, "changed": change.step, "equal": change.is_equal})


COUNTED = """\
RAN = 0

def count():
    global RAN
    RAN += 1
"""
"""A module that counts which bodies ran; imported from outside of what a system hashes."""

SAY = """\
import counted
print("RAN", counted.RAN)
"""


def steps_that_ran(output: str, folder: Path) -> int | None:
    """How many steps ran, as a run printed it; of shell steps the lines of their log."""
    found = re.findall(r"^RAN (\d+)$", output, flags=re.MULTILINE)
    if found:
        return int(found[-1])
    found = re.findall(r"([\d,]+) steps? run", output)
    if found:
        return int(found[-1].replace(",", ""))
    log = folder / "log"
    return len(log.read_bytes().splitlines()) if log.exists() else 0
