"""What is measured: one module a workload, each giving rows of results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.workloads.edits import measure_edits
from benchmarks.workloads.growth import measure_growth
from benchmarks.workloads.hashing import measure_hashing
from benchmarks.workloads.in_process import measure_in_process
from benchmarks.workloads.large_values import measure_large_values
from benchmarks.workloads.object_store import measure_object_store
from benchmarks.workloads.one_home import measure_one_home
from benchmarks.workloads.runs import measure_runs
from benchmarks.workloads.source_versions import measure_source_versions
from benchmarks.workloads.start_up import measure_start_up

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.session import Session

WORKLOADS: dict[str, Callable[[Session], None]] = {
    "runs": measure_runs,
    "in-process": measure_in_process,
    "large-values": measure_large_values,
    "hashing": measure_hashing,
    "start-up": measure_start_up,
    "source-versions": measure_source_versions,
    "edits": measure_edits,
    "growth": measure_growth,
    "one-home": measure_one_home,
    "object-store": measure_object_store,
}
