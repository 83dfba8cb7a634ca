"""One library's own cache of a large frame, in a process of its own: run in that library's environment.

    python library_caches.py store|load redun|Hamilton ROWS FOLDER

Prints JSON, as the ways of storing beside it do. What making the value takes is taken off.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.programs.large_value_ways import frame, timed

MODULE = """\
import numpy as np
import pandas as pd

def value(rows: int) -> pd.DataFrame:
    numbers = np.random.default_rng(7).random((8, rows)).T
    return pd.DataFrame(numbers, columns=[f"c{each}" for each in range(8)], copy=False)
"""


def hamilton(rows: int, folder: Path) -> Any:
    """Hamilton's cache, in pickle."""
    from hamilton import driver

    (folder / "value_module.py").write_text(MODULE, encoding="utf-8")
    sys.path.insert(0, str(folder))
    module = importlib.import_module("value_module")
    built = driver.Builder().with_modules(module).with_cache(path=str(folder / "store")).build()
    return lambda: built.execute(["value"], inputs={"rows": rows})


def redun(rows: int, folder: Path) -> Any:
    """Redun's value store."""
    from redun import Scheduler, task
    from redun.config import Config

    @task(version="1", namespace="bench")  # type: ignore[untyped-decorator]
    def value(rows: int) -> Any:
        return frame(rows)

    backend = {
        "db_uri": f"sqlite:///{folder}/redun.db",
        "value_store_path": str(folder / "store"),
        "value_store_min_size": "1024",
    }
    scheduler = Scheduler(config=Config({"backend": backend}))
    scheduler.load()
    return lambda: scheduler.run(value(rows))


def main() -> None:
    """Store or load once."""
    what, library, rows, place = sys.argv[1:]
    folder = Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    run = {"Hamilton": hamilton, "redun": redun}[library](int(rows), folder)
    frame(20_000)  # imports are not what is measured
    making = timed(lambda: frame(int(rows))) if what == "store" else {"cpu": 0.0, "wall": 0.0}
    found = timed(run)
    found["cpu"] = max(0.0, found["cpu"] - making["cpu"])
    found["wall"] = max(0.0, found["wall"] - making["wall"])
    if what == "store":
        found["disk"] = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
    print("TAKEN " + json.dumps(found))


if __name__ == "__main__":
    main()
