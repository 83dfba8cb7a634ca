"""Planning and running within one process that has memo imported, and the pipeline: CPU and wall seconds of each.

    python in_process.py ROUNDS HOME     in the folder of a pipeline of memo

Prints JSON, by round: ``cold``: a run of everything, each in a home of its own beside HOME; ``plan``: `plan_job` of
what is stored; ``null``: a run of it. The first of each, which imports modules and reads code, is not counted.
"""

import json
import os
import sys
import time
from typing import Any


def timed(action: Any) -> dict[str, float]:
    """CPU and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    kept = action()
    found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    del kept
    return found


def main() -> None:
    """Measure."""
    rounds, home = int(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, os.getcwd())
    from pipeline import bench  # type: ignore[import-not-found]

    from memo import execute_job, plan_job

    homes = iter([f"{home}-{number}" for number in range(rounds)])
    work: dict[str, Any] = {
        "cold": lambda: execute_job(bench, next(homes, home)),
        "plan": lambda: plan_job(bench, instance=home),
        "null": lambda: execute_job(bench, home),
    }
    print(json.dumps({phase: [timed(run) for _ in range(rounds + 1)][1:] for phase, run in work.items()}))


if __name__ == "__main__":
    main()
