"""Reuse of a large frame (10M rows of 8 floats, 640 MB): what storing it costs, and having it again and touching a row.

Beside memo: `pickle`, joblib with and without maps, and the limit, which is to write the bytes and to hash them.
Loads are processes of their own, interleaved; stores take turns in one process. CPU seconds (user and system) are
medians; memory is what a process has more of when it has touched the row. Exits 1 where a goal is missed.

    python benchmarks/reuse.py [--rows N] [--rounds N] [--folder DIR] [--json FILE]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = 8
LOADS = ("memo", "memo numpy", "memo arrow", "memo parquet", "pickle", "joblib", "joblib mmap")
STORES = ("limit", "memo", "memo numpy", "memo arrow", "pickle", "pickle 4", "joblib")


def context(name: str) -> Any:
    """The output that a way of storing is measured with."""
    from memo.contracts.io_manager import OutputContext

    return OutputContext("step", name.replace(" ", "_"), "0" * 32, "run")


def io_manager(name: str, folder: Path) -> Any:
    """memo's, of the encoding that the name ends with."""
    from memo_iomanagers.filesystem import FsIOManager

    return FsIOManager(folder / "memo", "parquet" if name.endswith("parquet") else "auto")


def converted(name: str, frame: Any) -> Any:
    """The frame in the type that a way of storing is about."""
    if name == "limit":
        import numpy as np

        return np.ascontiguousarray(frame.to_numpy().T).reshape(-1).view(np.uint8).data
    if name.endswith("numpy"):
        return frame.to_numpy()
    if name.endswith("arrow"):
        import pyarrow as pa

        return pa.Table.from_pandas(frame)
    return frame


def store(name: str, value: Any, folder: Path) -> None:
    """Store the value in one of the ways."""
    if name.startswith("memo"):
        io_manager(name, folder).handle_output(context(name), value)
    elif name.startswith("pickle"):
        with (folder / f"{name}.pkl").open("wb") as file:
            pickle.dump(value, file, protocol=4 if name.endswith("4") else 5)
    elif name == "joblib":
        import joblib

        joblib.dump(value, folder / "frame.joblib")
    else:
        write_and_hash(value, folder / "raw")


def write_and_hash(raw: memoryview, path: Path) -> None:
    """Do the least that storing with a digest can be: first the one, then the other."""
    import xxhash

    hasher = xxhash.xxh3_128()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(raw), 1 << 20):
            file.write(raw[start : start + (1 << 20)])
    hasher.update(raw)
    hasher.hexdigest()


def load(name: str, folder: Path) -> Any:
    """Load in one of the ways, and touch a row in the middle."""
    if name.startswith("memo"):
        from memo.contracts.io_manager import InputContext

        value = io_manager(name, folder).load_input(InputContext("value", context(name)))
    elif name == "pickle":
        with (folder / "pickle 4.pkl").open("rb") as file:
            value = pickle.load(file)  # noqa: S301 - written above
    else:
        import joblib

        value = joblib.load(folder / "frame.joblib", mmap_mode="c" if name.endswith("mmap") else None)
    middle = len(value) // 2
    if hasattr(value, "iloc"):
        return value, float(value.iloc[middle].sum())
    if hasattr(value, "slice"):
        return value, sum(value.slice(middle, 1).to_pylist()[0].values())
    return value, float(value[middle].sum())


def memory() -> int:
    """What this process holds in memory, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measured(action: Callable[[], Any]) -> dict[str, float]:
    """CPU and wall seconds, and bytes of new memory while the result is held."""
    gc.collect()
    before, wall, cpu = memory(), time.perf_counter(), time.process_time()
    result = action()
    found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "memory": memory() - before}
    del result
    return found


def measure_load(name: str, folder: Path) -> dict[str, float]:
    """Load in this process, whose libraries are imported and warm: by a value of the same kind, but small."""
    import pandas as pd

    stored = {"pickle": "pickle 4"}.get(name, name.removesuffix(" mmap"))
    small = folder / f"small {name}"
    small.mkdir(exist_ok=True)
    frame = pd.DataFrame({f"c{each}": [0.5] * 20_000 for each in range(COLUMNS)})
    store(stored, converted(name, frame), small)
    load(name, small)
    folder = folder / stored
    return measured(lambda: load(name, folder))


def measure_stores(rows: int, rounds: int, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Store in all the ways by turns; the files of the last turn stay."""
    import numpy as np
    import pandas as pd

    numbers = np.random.default_rng(7).random((COLUMNS, rows)).T
    frame = pd.DataFrame(numbers, columns=[f"c{each}" for each in range(COLUMNS)], copy=False)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in (*STORES, "memo parquet")}
    for turn in range(rounds + 1):
        # Whoever comes first pays for memory that the machine has to find: so everyone does in turn.
        order = [*STORES[turn % len(STORES) :], *STORES[: turn % len(STORES)]]
        for name in (*order, *(["memo parquet"] if turn == rounds else [])):
            value = converted(name, frame)
            rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir()
            took = measured(lambda: store(name, value, folder / name))  # noqa: B023 - called at once
            if turn or name == "memo parquet":
                found[name].append(took)
    return found


def medians(taken: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The medians of each way."""
    return {
        name: {what: statistics.median(each[what] for each in all_of_it) for what in ("cpu", "wall", "memory")}
        for name, all_of_it in taken.items()
    }


def show(title: str, rows: dict[str, dict[str, float]], beside: str) -> None:
    """Print one table."""
    print(f"{title:<16}{'CPU s':>9}{'wall s':>9}{'new MB':>9}   CPU against {beside}")
    for name, row in rows.items():
        ratio = row["cpu"] / rows[beside]["cpu"]
        told = f"{ratio:.2f}x" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"
        print(f"{name:<16}{row['cpu']:>9.4f}{row['wall']:>9.4f}{row['memory'] / 1e6:>9.1f}   {told}")
    print()


def main() -> int:
    """Run, print, compare with the goals."""
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--folder")
    options.add_argument("--json")
    options.add_argument("--load", help=argparse.SUPPRESS)
    options.add_argument("--store", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.load:
        print(json.dumps(measure_load(given.load, Path(given.folder))))
        return 0
    if given.store:
        print(json.dumps(measure_stores(given.rows, given.rounds, Path(given.folder))))
        return 0
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:

        def run(*arguments: str) -> Any:
            command = [sys.executable, __file__, "--folder", folder, *arguments]
            return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

        stores = medians(run("--store", "--rows", str(given.rows), "--rounds", str(given.rounds)))
        loads: dict[str, list[dict[str, float]]] = {name: [] for name in LOADS}
        for _ in range(given.rounds):
            for name in LOADS:
                loads[name].append(run("--load", name))
    loaded = medians(loads)
    show("store", stores, "limit")
    show("load, touch", loaded, "pickle")
    goals = {
        "load: at most 1/14 of the CPU of pickle.load": loaded["memo"]["cpu"] * 14 <= loaded["pickle"]["cpu"],
        "load: less than 20 MB of new memory": loaded["memo"]["memory"] < 20e6,
        "store: at most 1.5x of writing and hashing": stores["memo"]["cpu"] <= 1.5 * stores["limit"]["cpu"],
    }
    for goal, met in goals.items():
        print("met   " if met else "MISSED", goal)
    if given.json:
        told = {"rows": given.rows, "rounds": given.rounds, "store": stores, "load": loaded, "goals": goals}
        Path(given.json).write_text(json.dumps(told, indent=1), encoding="utf-8")
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
