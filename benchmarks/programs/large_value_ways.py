"""One way of storing and loading a large frame, in a process of its own: run in the environment of whose way it is.

    python large_value_ways.py store|load WAY ROWS FOLDER

Prints JSON: CPU and wall seconds, bytes of new memory while the value is held (a row in the middle touched), bytes on
disk. Loads are measured warm: imports are done, and a small value of the same kind was loaded before.
"""

import gc
import json
import os
import pickle
import sys
import time
from pathlib import Path
from typing import Any

COLUMNS = 8


def frame(rows: int) -> Any:
    """Random floats, which do not compress."""
    import numpy as np
    import pandas as pd

    numbers = np.random.default_rng(7).random((COLUMNS, rows)).T
    return pd.DataFrame(numbers, columns=[f"c{each}" for each in range(COLUMNS)], copy=False)


def context(way: str) -> Any:
    """The output of memo that a way is measured with."""
    from memo.contracts.io_manager import OutputContext

    return OutputContext("step", way.replace(" ", "_"), "0" * 32, "run")


def io_manager(way: str, folder: Path) -> Any:
    """memo's, of the encoding that the way ends with."""
    from memo_iomanagers.filesystem import FsIOManager

    return FsIOManager(folder / "memo", "parquet" if way.endswith("parquet") else "auto")


def converted(way: str, value: Any) -> Any:
    """The frame in the type that a way is about."""
    if way == "limit":
        import numpy as np

        return np.ascontiguousarray(value.to_numpy().T).reshape(-1).view(np.uint8).data
    if way == "memo numpy":
        return value.to_numpy()
    if way == "memo arrow":
        import pyarrow as pa

        return pa.Table.from_pandas(value)
    return value


def store(way: str, value: Any, folder: Path) -> None:
    """Store the value."""
    if way.startswith("memo"):
        io_manager(way, folder).handle_output(context(way), value)
    elif way.startswith("pickle"):
        with (folder / "value").open("wb") as file:
            pickle.dump(value, file, protocol=int(way[-1]))
    elif way.startswith("joblib"):
        import joblib

        joblib.dump(value, folder / "value")
    else:
        write_and_hash(value, folder / "value")


def write_and_hash(raw: memoryview, path: Path) -> None:
    """Do the least that storing with a digest can be: first the one, then the other."""
    import xxhash

    hasher = xxhash.xxh3_128()
    with path.open("wb", buffering=0) as file:
        for start in range(0, len(raw), 1 << 20):
            file.write(raw[start : start + (1 << 20)])
    hasher.update(raw)
    hasher.hexdigest()


def load(way: str, folder: Path) -> Any:
    """Load the value, and touch a row in the middle."""
    if way.startswith("memo"):
        from memo.contracts.io_manager import InputContext

        value = io_manager(way, folder).load_input(InputContext("value", context(way)))
    elif way.startswith("pickle"):
        with (folder / "value").open("rb") as file:
            value = pickle.load(file)  # noqa: S301 - written above
    elif way.startswith("joblib"):
        import joblib

        value = joblib.load(folder / "value", mmap_mode="c" if way.endswith("mmap") else None)
    else:
        value = bytearray((folder / "value").stat().st_size)
        with (folder / "value").open("rb", buffering=0) as file:
            file.readinto(value)
        return value, value[len(value) // 2]
    middle = len(value) // 2
    if hasattr(value, "iloc"):
        return value, float(value.iloc[middle].sum())
    if hasattr(value, "slice"):
        return value, sum(value.slice(middle, 1).to_pylist()[0].values())
    return value, float(value[middle].sum())


def memory() -> int:
    """What this process holds in memory, in bytes; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def timed(action: Any) -> dict[str, float]:
    """CPU and wall seconds, and bytes of new memory while the result is held."""
    gc.collect()
    before, wall, cpu = memory(), time.perf_counter(), time.process_time()
    result = action()
    found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "memory": memory() - before}
    del result
    return found


def main() -> None:
    """Store or load once."""
    what, way, rows, place = sys.argv[1:]
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    if what == "store":
        value = converted(way, frame(int(rows)))
        found = timed(lambda: store(way, value, folder))
        found["disk"] = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    else:
        small = folder.with_name(folder.name + "-small")
        if not small.exists():
            small.mkdir()
            store(way, converted(way, frame(20_000)), small)
        load(way, small)
        found = timed(lambda: load(way, folder))
    print("TAKEN " + json.dumps(found))


if __name__ == "__main__":
    main()
