"""Planning and running within one process that has memo imported, and the pipeline: CPU and wall seconds of each.

    python in_process.py ROUNDS HOME     in the folder of a pipeline of memo

Prints JSON: ``cold``: one run of everything; ``plan``: `plan_job` of what is stored, by round; ``null``: a run of it.
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

    found = {"cold": [timed(lambda: execute_job(bench, home))]}
    plan_job(bench, instance=home)
    found["plan"] = [timed(lambda: plan_job(bench, instance=home)) for _ in range(rounds)]
    found["null"] = [timed(lambda: execute_job(bench, home)) for _ in range(rounds)]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
