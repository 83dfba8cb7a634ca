"""The versions of 1,000 ops by `SourceHashVersionStrategy`, against what it cannot do without: looking at the code.

Writes a package of ops in 50 modules, each with three to four helpers of its own in two modules and a constant, here
and there a table or a class, and imports of the standard library and an installed package. A fresh process imports
it, then takes the versions once (cold: the strategy's own import included) and many times again (warm). Beside them,
in the same process, stand two floors: sha1 of `inspect.getsource` of the ops alone, which is what Dagster's strategy
took, and `dis.get_instructions` over every code object that is reached.

Budget: 1 ms of CPU time an op cold, 50 us warm.
"""

from __future__ import annotations

import dis
import hashlib
import importlib
import importlib.util
import inspect
import json
import os
import statistics
import sys
import time
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.measuring import measure
from benchmarks.results import Result
from benchmarks.workloads.runs import memo_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from benchmarks.session import Session

PACKAGE = "versioned"
WARM_PLANS = 15
"""Plans after the first in each process."""

OPS, MODULES = 1_000, 50
QUICK_REPEATS, FULL_REPEATS = 2, 9
WORKLOAD = "source versions"

HEAD = """\
import json
import math
from memo import op
{arrays}
from {package} import {far}

SCALE = {number}.5
"""

OP = """
LIMIT_{n} = {n}


def clean_{n}(rows, floor=LIMIT_{n}):
    \"\"\"Keep what is above the floor.\"\"\"
    kept = []
    for row in rows:
        if row is None or row < floor:
            continue
        kept.append(row)
    return kept


def scale_{n}(row):
    if row > {n}:
        return math.sqrt(row) * SCALE + {n}
    return row


{extra}
@op
def op_{n}(rows: list) -> str:
    \"\"\"Clean the rows, scale them, and write them out.\"\"\"
    kept = [scale_{n}(row) for row in clean_{n}(rows)]
    if not kept:
        return json.dumps({{"rows": 0, "limit": LIMIT_{n}}})
    spread = {far}.far_{n}(kept)
    return json.dumps({{"rows": len(kept), "spread": {call}}}, sort_keys=True)
"""

FAR = """

def far_{n}(rows):  # for an op of the module before
    low, high = min(rows), max(rows)
    return [(row - low) / (high - low or {n}) for row in rows]
"""

FUNCTION = """
def total_{n}(rows):
    return sum(row * {n} for row in rows) / len(rows)

"""

TABLE = """
BANDS_{n} = {{"low": {n}, "high": [{n}, {n}.5, "x{n}"]}}


def total_{n}(rows):
    return sum(row for row in rows if row > BANDS_{n}["low"])

"""

ARRAYS = """
def total_{n}(rows):
    values = np.asarray(rows, dtype="float64") + {n}
    return float(np.sum(values) / values.size)

"""

CLASS = """
class Model_{n}:
    \"\"\"A weighted mean.\"\"\"

    rate = {n}.25

    def __init__(self, size):
        self.size = size

    def run(self, rows):
        return sum(row * self.rate for row in rows) / self.size

"""

CALLS = {"": "spread", CLASS: "Model_{n}(3).run(spread)"}
"""How an op calls what it has of these; else ``total_{n}``."""


def write(folder: Path, ops: int, modules: int) -> None:
    """Write the package: op number ``n`` stands in module ``n % modules``, its far helper in the next."""
    has_numpy = importlib.util.find_spec("numpy") is not None
    extras = ("", FUNCTION, ARRAYS if has_numpy else FUNCTION, TABLE, CLASS)
    package = folder / PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    for module in range(modules):
        far = f"m{(module + 1) % modules}"
        arrays = "import numpy as np" if has_numpy else ""
        lines = [HEAD.format(package=PACKAGE, arrays=arrays, far=far, number=module)]
        for place, n in enumerate(range(module, ops, modules)):
            extra = extras[(place + module) % len(extras)]
            call = CALLS.get(extra, "total_{n}(spread)").format(n=n)
            lines.append(OP.format(n=n, far=far, extra=extra.format(n=n), call=call))
        lines += [FAR.format(n=n) for n in range((module - 1) % modules, ops, modules)]
        (package / f"m{module}.py").write_text("".join(lines), encoding="utf-8")


def timed(work: Callable[[], Any]) -> dict[str, float]:
    """Wall and CPU milliseconds of one call."""
    wall, cpu = time.perf_counter_ns(), time.process_time_ns()
    kept = work()  # as a plan keeps its versions: letting go of them is not counted
    found = {"wall": (time.perf_counter_ns() - wall) / 1e6, "cpu": (time.process_time_ns() - cpu) / 1e6}
    del kept
    return found


def middle(found: Iterable[dict[str, float]]) -> dict[str, float]:
    """The median of each of the two times."""
    found = list(found)
    return {clock: statistics.median(each[clock] for each in found) for clock in ("wall", "cpu")}


def code_of(functions: Iterable[Callable[..., Any]]) -> list[CodeType]:
    """The code objects of the ops, of the functions and methods beside them, and those nested in these."""
    modules = {function.__module__: sys.modules[function.__module__] for function in functions}
    values = [value for module in modules.values() for value in vars(module).values()]
    members = [member for value in values if isinstance(value, type) for member in vars(value).values()]
    found = [getattr(value, "compute_fn", value) for value in values + members]
    work = {function.__code__: None for function in found if inspect.isfunction(function)}
    work = {code: None for code in work if f"/{PACKAGE}/" in code.co_filename}
    codes: list[CodeType] = []
    todo = list(work)
    while todo:
        code = todo.pop()
        codes.append(code)
        todo += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return codes


def measure_here(modules: int) -> dict[str, Any]:
    """Measure in this process, which must be fresh, with the package on its path."""
    loaded = [importlib.import_module(f"{PACKAGE}.m{number}") for number in range(modules)]
    ops = [value for module in loaded for name, value in vars(module).items() if name.startswith("op_")]
    functions = [op.compute_fn for op in ops]

    def plan() -> list[Any]:
        from memo.contracts.version_strategy import OpVersionContext
        from memo_strategies.source_hash import SourceHashVersionStrategy

        strategy = SourceHashVersionStrategy()
        with strategy.planning():
            return [strategy.get_op_version(OpVersionContext(op)) for op in ops]

    def get_sources() -> None:
        for function in functions:
            hashlib.sha1(inspect.getsource(function).encode(), usedforsecurity=False).hexdigest()

    def disassemble() -> None:
        for code in codes:
            list(dis.get_instructions(code))

    codes = code_of(functions)
    cold = timed(plan)
    assert len({found.version for found in plan()}) == len(ops), "ops that differ have the same version"
    return {
        "cold": cold,
        "warm": middle(timed(plan) for _ in range(WARM_PLANS)),
        "getsource cold": timed(get_sources),
        "getsource warm": middle(timed(get_sources) for _ in range(5)),
        "dis": middle(timed(disassemble) for _ in range(3)),
    }


def measure_source_versions(session: Session) -> None:
    """Measure in fresh processes."""
    repeats = FULL_REPEATS if session.is_full else QUICK_REPEATS
    with session.folder("versions") as folder:
        write(folder, OPS, MODULES)
        command = [sys.executable, str(Path(__file__)), str(MODULES)]
        for number in range(repeats + 1):
            session.say(f"source versions, round {number}")
            measured = measure(command, folder, limit=300, environment=memo_environment("memo"))
            if measured.problem:
                session.add(Result(WORKLOAD, "memo", "cold", size=OPS, problem=measured.problem))
                return
            if number:  # the first one compiled the package
                for what, took in json.loads(measured.output.splitlines()[-1]).items():
                    cpu, wall = took["cpu"] / 1000, took["wall"] / 1000
                    session.add(Result(WORKLOAD, "memo", what, size=OPS, round=number, cpu=cpu, wall=wall))


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    print(json.dumps(measure_here(int(sys.argv[1]))))
