"""What may go from the catalog, and what comes back when it was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import convert

from memo.catalog.history import as_array
from memo.catalog.packing import storable, unpack_versions
from memo.catalog.recording import add_materializations, begin_replacing
from memo.catalog.vouching import add_adoption
from memo.contracts.run_store import RunUse
from memo.errors import HomeError
from memo.events import RunStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from sqlite3 import Connection

    from memo.catalog.recording import StepRows
    from memo.contracts.run_store import Adoption

_RUN_USES = """
SELECT
    run_id, job_name, status, started_at, pid, parent_run_id, versions,
    EXISTS (SELECT 1 FROM events WHERE events.run_id = runs.run_id AND NOT are_reads)
FROM runs ORDER BY started_at DESC, id DESC
"""

_VERSION_SETS = """
SELECT digest, version_sets.versions FROM json_each(?) AS key JOIN version_sets ON version_sets.digest = key.value
"""

_ELSEWHERE = """
SELECT io_manager_key, count(DISTINCT outputs.version) FROM outputs
JOIN materializations ON materializations.id = outputs.materialization
WHERE kind = 'value' AND outputs.version IS NOT NULL
    AND (place IS NULL OR substr(place, 1, length(:folder)) <> :folder)
    AND run_id NOT IN (SELECT run_id FROM foreign_runs)
GROUP BY io_manager_key
"""

_STORED_BY_OTHERS = """
SELECT DISTINCT outputs.version FROM outputs
JOIN materializations ON materializations.id = outputs.materialization
WHERE kind = 'value' AND outputs.version IS NOT NULL AND run_id IN (SELECT run_id FROM foreign_runs)
"""

_FORGET_EVENTS = "DELETE FROM events WHERE run_id IN (SELECT value FROM json_each(?)) AND NOT are_reads"

_ADD_REPLACED = """
INSERT OR REPLACE INTO replaced (version, since)
SELECT version, max(id) FROM materializations WHERE version IS NOT NULL GROUP BY version
"""

_WORTH_SHRINKING = 0.25
"""The share of the file that must be unused: all of the rest is copied."""


def run_uses(connection: Connection) -> list[RunUse]:
    """Answer `RunStore.run_uses`."""
    rows: list[Any] = connection.execute(_RUN_USES).fetchall()
    return [
        RunUse(run_id, job, convert(status, RunStatus), started_at, pid, parent, versions, bool(has_events))
        for run_id, job, status, started_at, pid, parent, versions, has_events in rows
    ]


def version_sets(connection: Connection, names: Collection[str]) -> dict[str, Collection[str]]:
    """Answer `RunStore.version_sets`."""
    rows = connection.execute(_VERSION_SETS, (as_array(names),)).fetchall()
    return {name: unpack_versions(packed).values() for name, packed in rows}


def stored_elsewhere(connection: Connection, folder: str) -> dict[str, int]:
    """Answer `RunStore.stored_elsewhere`."""
    return dict(connection.execute(_ELSEWHERE, {"folder": storable(f"{folder}/")}).fetchall())


def stored_by_others(connection: Connection) -> set[str]:
    """Answer `RunStore.stored_by_others`."""
    return {version for (version,) in connection.execute(_STORED_BY_OTHERS)}


def forget_events(connection: Connection, run_ids: Collection[str]) -> None:
    """Do what `RunStore.forget_events` says."""
    connection.execute(_FORGET_EVENTS, (as_array(run_ids),))


def shrink(connection: Connection) -> None:
    """Do what `Catalog.shrink` says."""
    (free,), (all_pages,) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_count")
    )
    if free > all_pages * _WORTH_SHRINKING:
        connection.execute("VACUUM")


def check(connection: Connection) -> None:
    """Do what `Catalog.check` says."""
    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise HomeError(f"the catalog is damaged: {answer}")


def add_rebuilt(
    connection: Connection, rows: StepRows, adoptions: Sequence[Adoption], unfinished: Sequence[str]
) -> None:
    """Do what `Catalog.add_rebuilt` says."""
    add_materializations(connection, rows, {})
    begin_replacing(connection, "", unfinished)
    connection.execute(_ADD_REPLACED)
    for adoption in adoptions:
        add_adoption(connection, adoption)
