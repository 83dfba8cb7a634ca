"""Families by name: what entry points offer, imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from memo.errors import DefinitionError, did_you_mean

IO_MANAGERS = "memo.iomanagers"
RESOURCES = "memo.resources"
STRATEGIES = "memo.strategies"
EXECUTORS = "memo.executors"

_OURS = {
    (IO_MANAGERS, "arrow"): "memo_iomanagers.offered:ARROW",
    (IO_MANAGERS, "delta"): "memo_iomanagers.delta:DELTA",
    (IO_MANAGERS, "duckdb"): "memo_iomanagers.duckdb_tables:DUCKDB",
    (IO_MANAGERS, "fs"): "memo_iomanagers.offered:FS",
    (IO_MANAGERS, "json"): "memo_iomanagers.offered:JSON",
    (IO_MANAGERS, "mem"): "memo_iomanagers.memory:MEM",
    (IO_MANAGERS, "numpy"): "memo_iomanagers.offered:NUMPY",
    (IO_MANAGERS, "parquet"): "memo_iomanagers.offered:PARQUET",
    (IO_MANAGERS, "path"): "memo_iomanagers.offered:PATH",
    (IO_MANAGERS, "postgres"): "memo_iomanagers.postgres:POSTGRES",
    (IO_MANAGERS, "s3_pickle"): "memo_iomanagers.s3:S3_PICKLE",
    (IO_MANAGERS, "text"): "memo_iomanagers.offered:TEXT",
    (RESOURCES, "s3"): "memo_iomanagers.s3:S3",
    (STRATEGIES, "declared"): "memo_strategies.declared:DeclaredVersionStrategy",
    (STRATEGIES, "source_hash"): "memo_strategies.source_hash:SourceHashVersionStrategy",
    (EXECUTORS, "in_process"): "memo.execution.in_process:InProcessExecutor",
    (EXECUTORS, "multiprocess"): "memo.execution.multiprocess:MultiprocessExecutor",
}
"""Our own entry points, as pyproject.toml declares them (a test compares): looking through the installed packages for
them would cost 30 ms, a third of a whole null run."""


def family_member(group: str, name: str) -> Any:
    """Import what a family offers under a name.

    Args:
        group: A group of entry points.
        name: Within the group.

    Raises:
        DefinitionError: Nothing installed offers it.
    """
    place = _OURS.get((group, name))
    if place is None:
        from importlib.metadata import entry_points

        found = {each.name: each.value for each in entry_points(group=group)}
        if name not in found:
            known = {*found, *(ours for ours_group, ours in _OURS if ours_group == group)}
            raise DefinitionError(
                f"nothing installed offers {name!r} in the group {group!r}.{did_you_mean(name, known)}"
            )
        place = found[name]
    module, _, attribute = place.partition(":")
    return getattr(import_module(module), attribute)
