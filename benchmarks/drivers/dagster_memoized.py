"""Dagster 1.2.7 with its memoization: SourceHashVersionStrategy and the versioned file system IO manager."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.drivers.driver import COUNTED, SAY, Driver
from benchmarks.drivers.python_functions import calls, functions

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph

HEAD = """\
from counted import count
from dagster import SourceHashVersionStrategy, in_process_executor, job, op
from dagster._core.storage.memoizable_io_manager import versioned_filesystem_io_manager
"""

JOB = """\
@job(
    version_strategy=SourceHashVersionStrategy(),
    executor_def=in_process_executor,
    resource_defs={"io_manager": versioned_filesystem_io_manager.configured({"base_dir": "outputs"})},
)
def bench():
"""

MAIN = """\
import os, sys, warnings
warnings.simplefilter("ignore")
os.environ["DAGSTER_HOME"] = os.path.abspath("home")
os.makedirs("home", exist_ok=True)
with open("home/dagster.yaml", "w") as file:
    file.write("telemetry:\\n  enabled: false\\n")
sys.setrecursionlimit(200000)
from dagster import DagsterInstance
from pipeline import bench
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
assert bench.execute_in_process(instance=DagsterInstance.get(), run_config=quiet).success
"""


def files(graph: Graph, change: Change) -> dict[str, str]:
    """A module of ops and a job, and a script that runs it."""
    pipeline = f"{HEAD}{functions(graph, change, '@op', counts=True)}{JOB}{calls(graph)}"
    return {"pipeline.py": pipeline, "counted.py": COUNTED, "main.py": MAIN + SAY}


def command(programs: Path) -> list[str]:
    """Run the job."""
    return [str(programs / "python"), "main.py"]


DRIVER = Driver("Dagster 1.2.7", "dagster", "an op a step", files, command, start=0.8, cold=0.02, null=0.0012)
