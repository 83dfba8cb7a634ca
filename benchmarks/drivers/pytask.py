"""pytask: a file a task, as it hashes the whole file that a task stands in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

TASK = """\
from pathlib import Path
from typing import Annotated
from counted import count
from pytask import Product
FOLDER = Path(__file__).parents[1] / "outputs"
def task_s{step}(
    given: list[Path] = [FOLDER / str(each) for each in {parents}], made: Annotated[Path, Product] = FOLDER / "{step}"
):
    count()
    made.write_text(str(({step} + sum([int(each.read_text()) for each in given]) + {added}) % 1000003){mark})
"""

MAIN = """\
import os, sys
sys.setrecursionlimit(200000)
sys.path.insert(0, os.getcwd())
os.makedirs("outputs", exist_ok=True)
import pytask
assert pytask.build(paths=["tasks"], verbose=0).exit_code == 0
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """A file a task, and a script that builds them."""
    found = {"main.py": MAIN + SAY, "counted.py": COUNTED, "pyproject.toml": "[tool.pytask.ini_options]\n"}
    for step, parents in enumerate(graph.parents):
        mark = change.of(step)
        text = TASK.format(
            step=step, parents=list(parents), added=int(mark == "s"), mark=" + ''" if mark == "e" else ""
        )
        found[f"tasks/task_{step}.py"] = text
    return found


def command(programs: Path) -> list[str]:
    """Run the script."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("pytask", "pytask", "a file a task", files, command, start=0.7, cold=0.009, null=0.0055, forgets=True)
