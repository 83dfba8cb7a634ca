"""Hamilton with its cache: a function a step, wired by the names of arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

MAIN = """\
import logging, sys
sys.setrecursionlimit(200000)
from hamilton import driver
import pipeline
builder = driver.Builder().with_modules(pipeline).with_cache(path="store")
builder.build().execute(pipeline_leaves.LEAVES)
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """A module of functions, and a script that asks for what nobody reads."""
    lines = ["from counted import count"]
    for step, parents in enumerate(graph.parents):
        names = [f"s{parent}" for parent in parents]
        arguments = ", ".join(f"{name}: int" for name in names)
        lines += [f"def s{step}({arguments}) -> int:", "    count()"]
        lines.append(f"    return {change.expression(step, names)}")
    read = {parent for parents in graph.parents for parent in parents}
    leaves = [f"s{step}" for step in range(graph.count) if step not in read]
    return {
        "pipeline.py": "\n".join(lines) + "\n",
        "pipeline_leaves.py": f"LEAVES = {leaves}\n",
        "counted.py": COUNTED,
        "main.py": f"import pipeline_leaves\n{MAIN}{SAY}",
    }


def command(programs: Path) -> list[str]:
    """Run the script."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("Hamilton", "hamilton", "a function a step", files, command, start=0.8, cold=0.0015, null=0.0004)
