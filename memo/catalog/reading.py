"""What is read back of the runs in the catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import convert

from memo.catalog.packing import (
    unpack,
    unpack_counts,
    unpack_events,
    unpack_recipe,
    unpack_steps,
    unpack_text,
    unpack_versions,
)
from memo.contracts.run_store import Materialization, OutputRecord, RunRecord, Saving
from memo.errors import RunNotFoundError
from memo.events import RunStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

    from memo.events import Event

_SHOWN_CANDIDATES = 5

_AFTER_EVERY_CHARACTER = "\U0010ffff"

_RUN_IDS = "SELECT run_id FROM runs WHERE run_id >= ? AND run_id < ? ORDER BY run_id LIMIT ?"

_GET_RUN = """
SELECT
    run_id, job_name, status, started_at, ended_at, target, parent_run_id, root_run_id, seconds_saved, pid,
    tags, counts, run_config, steps, version_sets.versions, foreign_runs.host
FROM runs LEFT JOIN version_sets ON version_sets.digest = runs.versions
LEFT JOIN foreign_runs USING (run_id)
WHERE run_id = ?
"""

_LIST_RUNS = """
SELECT
    run_id, job_name, status, started_at, ended_at, target, parent_run_id, root_run_id, seconds_saved, pid,
    tags, counts, run_config
FROM runs
WHERE run_id NOT IN (SELECT run_id FROM foreign_runs)
"""

_SAVED = """
SELECT job_name, started_at, seconds_saved, counts FROM runs WHERE run_id NOT IN (SELECT run_id FROM foreign_runs)
"""

_LATEST = "ORDER BY started_at DESC, id DESC LIMIT ?"

_EVENTS = "SELECT events FROM events WHERE run_id = ?"

_OF_STEP = "AND instr(step_keys, ?)"

_MATERIALIZATIONS = """
SELECT
    materializations.id, job_name, step_key, attempt, materializations.version, local_key, content_key, recipes.recipe,
    seconds, started_at
FROM materializations LEFT JOIN recipes ON recipes.id = materializations.recipe
WHERE run_id = ?
ORDER BY materializations.id
"""

_OUTPUTS = """
SELECT materialization, name, kind, version, content_digest, size, digest, place, io_manager_key
FROM outputs
WHERE materialization IN (SELECT id FROM materializations WHERE run_id = ?)
ORDER BY materialization, position
"""

_SOURCE = "SELECT text FROM sources WHERE digest = ?"


def get_run(connection: Connection, run_id: str) -> RunRecord | None:
    """Answer `RunStore.get_run`."""
    limit = _SHOWN_CANDIDATES + 1
    found = [
        found for (found,) in connection.execute(_RUN_IDS, (run_id, run_id + _AFTER_EVERY_CHARACTER, limit)).fetchall()
    ]
    if not found:
        return None
    # An id sorts before all that begin with it.
    if len(found) > 1 and found[0] != run_id:
        shown = ", ".join(found[:_SHOWN_CANDIDATES]) + (", …" if len(found) == limit else "")
        raise RunNotFoundError(f"more than one run begins with {run_id!r}: {shown}; give more of the id")
    (row,) = connection.execute(_GET_RUN, (found[0],)).fetchall()
    *fields, steps, versions, host = row
    return _run(fields, unpack_steps(steps), unpack_versions(versions), host)


def list_runs(connection: Connection, job_name: str | None, limit: int) -> list[RunRecord]:
    """Answer `RunStore.list_runs`, without the steps of each."""
    if job_name is None:
        rows = connection.execute(f"{_LIST_RUNS} {_LATEST}", (limit,)).fetchall()
    else:
        rows = connection.execute(f"{_LIST_RUNS} AND job_name = ? {_LATEST}", (job_name, limit)).fetchall()
    return [_run(row, {}, {}) for row in rows]


def _run(
    row: Sequence[Any], steps: dict[str, tuple[str, str, str]], versions: dict[str, str], host: str | None = None
) -> RunRecord:
    return RunRecord(
        run_id=row[0],
        job_name=row[1],
        status=convert(row[2], RunStatus),
        started_at=row[3],
        ended_at=row[4],
        target=row[5],
        parent_run_id=row[6],
        root_run_id=row[7],
        seconds_saved=row[8],
        pid=row[9],
        tags=unpack(row[10]) or {},
        counts=unpack_counts(row[11]),
        run_config=unpack(row[12]),
        steps=steps,
        versions=versions,
        host=host,
    )


def savings(connection: Connection) -> list[Saving]:
    """Answer `RunStore.savings`."""
    from time import localtime, strftime

    found: dict[tuple[str, str], tuple[int, int, float]] = {}
    for job_name, started_at, seconds, counts in connection.execute(_SAVED):
        at = (strftime("%Y-%m", localtime(started_at)), job_name)
        runs, reused, saved = found.get(at, (0, 0, 0.0))
        found[at] = (runs + 1, reused + unpack_counts(counts).get("reused", 0), saved + seconds)
    return [
        Saving(month, job_name, runs, reused, saved)
        for (month, job_name), (runs, reused, saved) in sorted(found.items())
    ]


def events(connection: Connection, run_id: str, step_key: str | None) -> list[Event]:
    """Answer `RunStore.events`."""
    if step_key is None:
        rows = connection.execute(f"{_EVENTS} ORDER BY id", (run_id,)).fetchall()
        return [event for (packed,) in rows for event in unpack_events(packed)]
    rows = connection.execute(f"{_EVENTS} {_OF_STEP} ORDER BY id", (run_id, step_key)).fetchall()
    return [event for (packed,) in rows for event in unpack_events(packed) if event.step_key == step_key]


def materializations(connection: Connection, run_id: str) -> list[Materialization]:
    """Answer `RunStore.materializations`."""
    outputs: dict[int, list[OutputRecord]] = {}
    for owner, *fields in connection.execute(_OUTPUTS, (run_id,)).fetchall():
        outputs.setdefault(owner, []).append(OutputRecord(*fields))
    return [
        Materialization(
            run_id=run_id,
            job_name=job_name,
            step_key=step_key,
            outputs=tuple(outputs.get(number, ())),
            version=version,
            local_key=local_key,
            content_key=content_key,
            recipe=None if recipe is None else unpack_recipe(recipe),
            seconds=seconds,
            started_at=started_at,
            attempt=attempt,
        )
        for (
            number,
            job_name,
            step_key,
            attempt,
            version,
            local_key,
            content_key,
            recipe,
            seconds,
            started_at,
        ) in connection.execute(_MATERIALIZATIONS, (run_id,)).fetchall()
    ]


def source(connection: Connection, digest: str) -> str | None:
    """Answer `RunStore.source`."""
    row = connection.execute(_SOURCE, (digest,)).fetchone()
    return None if row is None else unpack_text(row[0])
