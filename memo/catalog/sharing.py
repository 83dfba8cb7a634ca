"""What came from the history of other homes, and what of this one's is in the shared place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.catalog import recording
from memo.catalog.history import as_array
from memo.catalog.packing import unpack_recipe
from memo.contracts.run_store import Materialization, OutputRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from memo.contracts.run_store import ForeignHistory

_SHARED = "SELECT value FROM json_each(?) WHERE value IN (SELECT version FROM shared)"

_ADD_SHARED = "INSERT OR IGNORE INTO shared (version) VALUES (?)"

_SEEN = "SELECT value FROM json_each(?) WHERE value IN (SELECT name FROM segments)"

_ADD_SEGMENT = "INSERT OR IGNORE INTO segments (name) VALUES (?)"

_ADD_FOREIGN_RUN = "INSERT OR REPLACE INTO foreign_runs (run_id, host) VALUES (?, ?)"

_ADD_REPLACED = "INSERT OR REPLACE INTO replaced (version, since) VALUES (?, ?)"

_SETTLE = "DELETE FROM replacing WHERE version = ? AND run_id = ?"

_LATEST = """
SELECT
    materializations.id, run_id, job_name, step_key, attempt, materializations.version, local_key, content_key,
    recipes.recipe, seconds, started_at
FROM json_each(?) AS key
JOIN materializations ON materializations.id = (SELECT max(id) FROM materializations WHERE version = key.value)
LEFT JOIN recipes ON recipes.id = materializations.recipe
"""

_OUTPUTS = """
SELECT name, kind, version, content_digest, size, digest, place, io_manager_key
FROM outputs WHERE materialization = ? ORDER BY position
"""


def shared(connection: Connection, versions: Sequence[str]) -> set[str]:
    """Answer `History.shared`."""
    return {version for (version,) in connection.execute(_SHARED, (as_array(versions),))}


def add_shared(connection: Connection, versions: Iterable[str]) -> None:
    """Do what `RunStore.add_shared` says."""
    connection.executemany(_ADD_SHARED, [(version,) for version in versions])


def seen_segments(connection: Connection, names: Sequence[str]) -> set[str]:
    """Answer `RunStore.seen_segments`."""
    return {name for (name,) in connection.execute(_SEEN, (as_array(names),))}


class ForeignRows:
    """What a home takes in, laid out before the catalog is locked."""

    def __init__(self, foreign: ForeignHistory) -> None:
        self.foreign = foreign
        self.versions = recording.version_set(foreign.run)
        self.run = recording.run_row(foreign.run, self.versions)
        self.made = recording.StepRows()
        for each in foreign.materializations:
            self.made.add_materialization(each)
        self.aliases = recording.StepRows()
        for alias in foreign.aliases:
            self.aliases.add_alias(foreign.run.run_id, *alias)


def add_segments(connection: Connection, names: Sequence[str], rows: ForeignRows | None) -> None:
    """Do what `RunStore.add_segments` says."""
    connection.executemany(_ADD_SEGMENT, [(name,) for name in names])
    if rows is None:
        return
    foreign = rows.foreign
    run_id = foreign.run.run_id
    recording.add_run(connection, foreign.run, rows.run, rows.versions)
    connection.execute(_ADD_FOREIGN_RUN, (run_id, foreign.run.host or ""))
    recording.begin_replacing_elsewhere(connection, run_id, foreign.replacing)
    if rows.made.by_step:
        recording.add_materializations(connection, rows.made, foreign.sources)
        add_shared(connection, [each.version for each in foreign.materializations if each.version is not None])
    latest = recording.latest_id(connection)
    connection.executemany(_ADD_REPLACED, [(version, latest) for version in foreign.replaced])
    connection.executemany(_SETTLE, [(version, run_id) for version in foreign.settled])
    if rows.aliases.by_step:
        recording.add_aliases(connection, rows.aliases)


def latest(connection: Connection, versions: Sequence[str]) -> dict[str, Materialization]:
    """Answer `RunStore.latest`."""
    found: dict[str, Materialization] = {}
    for number, run_id, job_name, step_key, attempt, *more in connection.execute(
        _LATEST, (as_array(versions),)
    ).fetchall():
        version, local_key, content_key, recipe, seconds, started_at = more
        outputs: list[Any] = connection.execute(_OUTPUTS, (number,)).fetchall()
        found[version] = Materialization(
            run_id,
            job_name,
            step_key,
            tuple([OutputRecord(*output) for output in outputs]),
            version,
            local_key,
            content_key,
            None if recipe is None else unpack_recipe(recipe),
            seconds,
            started_at,
            attempt,
        )
    return found
