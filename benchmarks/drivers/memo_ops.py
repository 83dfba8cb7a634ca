"""memo: an op a step, as its users write pipelines; and few ops placed often, as some of its peers are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import Driver
from benchmarks.drivers.python_functions import calls, functions

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

PLACED = """\
from memo import job, op
PARENTS = {parents}
CHANGED = {changed}

@op
def source(number):
    return number % 1000003

@op
def single(number, a):
    return (number + a) % 1000003

@op
def add(number, a, b, c):
    return (number + a + b + c) % 1000003

@op
def gather(number, values):
    return (number + sum(values)) % 1000003

@op
def changed_single(number, a):
    return (number + a + {delta}) % 1000003

@op
def changed_add(number, a, b, c):
    return (number + a + b + c + {delta}) % 1000003

@op
def changed_gather(number, values):
    return (number + sum(values) + {delta}) % 1000003

@job
def bench():
    values = []
    for number, above in enumerate(PARENTS):
        given = [values[each] for each in above]
        is_changed = number == CHANGED
        if not above:
            placed = source.alias(f"s{{number}}")(number)
        elif len(above) == 1:
            placed = (changed_single if is_changed else single).alias(f"s{{number}}")(number, *given)
        elif len(above) == 3:
            placed = (changed_add if is_changed else add).alias(f"s{{number}}")(number, *given)
        else:
            placed = (changed_gather if is_changed else gather).alias(f"s{{number}}")(number, given)
        values.append(placed)
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """A module of ops and a job."""
    head = "from memo import job, op\n"
    text = f"{head}{functions(graph, change, '@op', counts=False)}@job\ndef bench():\n{calls(graph)}"
    return {"memo.toml": "", "pipeline.py": text}


def placed_files(graph: Graph, change: Change) -> dict[str, str]:
    """A few ops, placed once for each step."""
    delta = 0 if change.is_equal else 1
    return {
        "memo.toml": "",
        "pipeline.py": PLACED.format(parents=list(graph.parents), changed=change.step, delta=delta),
    }


def command(programs: Path) -> list[str]:
    """Run the job."""
    return [str(programs / "python"), "-m", "memo", "run", "pipeline.py"]


OPS = Driver("memo", "memo", "an op a step", files, command, start=0.06, cold=0.0006, null=0.00004)
PLACED_OPS = Driver(
    "memo, few ops", "memo", "few ops, placed often", placed_files, command, start=0.06, cold=0.0004, null=0.000025
)
