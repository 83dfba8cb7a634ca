"""What the guard measures within one process: a case and its floor by turns, the median of their ratios.

Started by the guard: ``python -m benchmarks.programs.guard_work STEPS ROUNDS CASE...``; prints the ratios as JSON.
"""

from __future__ import annotations

import dis
import gc
import importlib
import itertools
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.graphs import AS_WRITTEN, Graph, make_graph

if TYPE_CHECKING:
    from collections.abc import Callable

STANDARD_MODULES = (
    *("argparse", "ast", "asyncio", "configparser", "csv", "dataclasses", "decimal", "difflib", "email.message"),
    *("fractions", "html", "http.client", "inspect", "json", "logging", "pathlib", "pickle", "random", "sqlite3"),
    *("statistics", "tarfile", "tomllib", "unittest", "urllib.request", "zipfile"),
)
COLD_STEPS = 60
LOADED = 200
HASHED = 128 << 20

Work: TypeAlias = "tuple[Callable[[], object], Callable[[], object]]"


def ratio(case: Callable[[], object], floor: Callable[[], object], rounds: int) -> float:
    """The median ratio of the CPU times of two that take turns."""
    found = []
    for number in range(rounds + 1):
        taken = []
        for run in (case, floor):
            gc.collect()
            gc.disable()
            began = time.process_time_ns()
            kept = run()
            taken.append(time.process_time_ns() - began)
            gc.enable()
            del kept
        if number:
            found.append(taken[0] / taken[1])
    return statistics.median(found)


def pipeline(graph: Graph, folder: Path, name: str) -> Any:
    """A job of memo with an op a step, in a module of its own."""
    from benchmarks.drivers import memo_ops

    text = memo_ops.files(graph, AS_WRITTEN)["pipeline.py"]
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return importlib.import_module(name).bench


def plan(steps: int, folder: Path) -> Work:
    """Planning what is stored; hashing versions and looking at two files each is its floor."""
    from xxhash import xxh3_128_hexdigest

    from memo import execute_job, plan_job

    graph = make_graph("layered", steps)
    job = pipeline(graph, folder, "planned")
    assert execute_job(job, folder / "planned").success
    stored = folder / "small"
    stored.mkdir()
    for step in range(steps):
        (stored / str(step)).write_bytes(b"x" * 400)

    def floor() -> None:
        for _ in range(3):
            versions: list[str] = []
            for step, parents in enumerate(graph.parents):
                joined = "|".join([versions[parent] for parent in parents])
                versions.append(xxh3_128_hexdigest(f"{step}|{joined}".encode()))
            for step in range(steps):
                path = f"{stored}/{step}"
                descriptor = os.open(path, os.O_RDONLY)
                os.read(descriptor, 8192)
                os.close(descriptor)
                os.stat(path)

    return lambda: plan_job(job, instance=folder / "planned"), floor


def versions(steps: int, folder: Path, rounds: int = 15) -> Work:
    """The versions of ops, as a fresh process takes them; disassembling the same code is the floor."""
    from memo.contracts.version_strategy import OpVersionContext
    from memo_strategies.source_hash import SourceHashVersionStrategy

    graph = make_graph("layered", steps)
    kept: list[list[Any]] = []
    for each in range(rounds + 2):
        pipeline(graph, folder, f"versioned_{each}")
        module = sys.modules[f"versioned_{each}"]
        kept.append([value for value in vars(module).values() if hasattr(value, "compute_fn")])
    unused = iter(kept[1:])

    def take() -> list[Any]:
        ops = next(unused)  # code that was looked at before is known
        strategy = SourceHashVersionStrategy()
        with strategy.planning():
            return [strategy.get_op_version(OpVersionContext(op)) for op in ops]

    def floor() -> None:
        for op in kept[0]:
            for _ in dis.get_instructions(op.compute_fn.__code__):
                pass

    return take, floor


def cold(_steps: int, folder: Path) -> Work:
    """Running new steps; the floor writes, renames and reads as many files."""
    from memo import execute_job

    graph = make_graph("layered", COLD_STEPS)
    job = pipeline(graph, folder, "cold")
    number = itertools.count()

    def run() -> Any:
        result = execute_job(job, folder / f"cold-{next(number)}")
        assert len(result.executed) == COLD_STEPS
        return result

    def floor() -> None:
        for turn in range(2):
            store = folder / f"floor-{turn}"
            store.mkdir(exist_ok=True)
            for step, parents in enumerate(graph.parents):
                value = step
                for parent in parents:
                    for kind in ("data", "manifest"):
                        with open(f"{store}/{parent}.{kind}", "rb") as file:
                            value += pickle.load(file)  # noqa: S301 - written below
                for kind in ("data", "manifest"):
                    with open(f"{store}/.new", "wb") as file:
                        pickle.dump(value % 1000003, file)
                    os.replace(f"{store}/.new", f"{store}/{step}.{kind}")

    return run, floor


def load(_steps: int, folder: Path) -> Work:
    """Loading small outputs that another run has stored; the floor reads their files and unpickles as many values."""
    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.filesystem import FsIOManager

    manager = FsIOManager(folder / "loaded")
    versions = [f"{number:032x}" for number in range(LOADED)]
    for number, version in enumerate(versions):
        manager.handle_output(OutputContext("step", "result", version, "run"), {"number": number})
    files = [path for path in sorted((folder / "loaded" / "versioned").rglob("*")) if path.is_file()]
    pickled = pickle.dumps({"number": LOADED})
    contexts = [OutputContext("step", "result", version, "another run") for version in versions]

    def floor() -> None:
        for path in files:
            with open(path, "rb") as file:
                file.read()
            pickle.loads(pickled)  # noqa: S301 - made above

    return lambda: [manager.load_input(InputContext("value", context)) for context in contexts], floor


def hashed(_steps: int, _folder: Path) -> Work:
    """Digesting a table; the floor is the hash alone."""
    import numpy as np
    import pyarrow as pa
    from xxhash import xxh3_128

    from memo.content import content_digest

    columns = np.random.default_rng(7).random((8, HASHED // 64))
    table = pa.table({f"c{place}": column for place, column in enumerate(columns)})

    def floor() -> str:
        hasher = xxh3_128()
        for column in columns:
            hasher.update(column)
        return hasher.hexdigest()

    return lambda: content_digest(table), floor


CASES: dict[str, Callable[[int, Path], Any]] = {
    "plan": plan,
    "versions": versions,
    "cold": cold,
    "load": load,
    "hash": hashed,
}


def main() -> None:
    """Measure the cases that are named."""
    steps, rounds, *wanted = sys.argv[1:]
    found = {}
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="memo-guard-") as folder:
            sys.path.insert(0, folder)
            case, floor = CASES[name](int(steps), Path(folder))
            found[name] = ratio(case, floor, int(rounds))
            sys.path.remove(folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
