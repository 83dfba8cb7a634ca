"""What a run writes into the catalog, as rows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from memo.catalog.claiming import end_claims, is_still_its_own
from memo.catalog.history import aliases, as_array, content_digests
from memo.catalog.packing import VersionSet, pack, pack_events, pack_recipe, pack_some, pack_text, storable
from memo.events import EventType

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from sqlite3 import Connection

    from memo.contracts.run_store import Materialization, Recipe, RunRecord
    from memo.events import Event

    Row = tuple[Any, ...]
    RecipeRow = tuple[str, bytes]

_ADD_RUN = """
INSERT INTO runs (
    run_id, job_name, status, started_at, ended_at, target, parent_run_id, root_run_id, seconds_saved, pid,
    versions, tags, counts, run_config, steps
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (run_id) DO UPDATE SET
    job_name = excluded.job_name,
    status = excluded.status,
    started_at = excluded.started_at,
    ended_at = excluded.ended_at,
    target = excluded.target,
    parent_run_id = excluded.parent_run_id,
    root_run_id = excluded.root_run_id,
    seconds_saved = excluded.seconds_saved,
    pid = excluded.pid,
    versions = excluded.versions,
    tags = excluded.tags,
    counts = excluded.counts,
    run_config = excluded.run_config,
    steps = excluded.steps
"""

_KNOWN_VERSIONS = "SELECT 1 FROM version_sets WHERE digest = ?"

_ADD_VERSIONS = "INSERT INTO version_sets (digest, versions) VALUES (?, ?)"

_NAME_JOB_OF_ALIASES = "UPDATE aliases SET job_name = ? WHERE run_id = ? AND job_name IS NULL"

_ADD_EVENT = """
INSERT INTO events (run_id, are_reads, step_keys, events) VALUES (?, ?, ?, ?)
"""

_LATEST_ID = """
SELECT max(
    coalesce((SELECT max(id) FROM materializations), 0),
    coalesce((SELECT max(id) FROM aliases), 0)
)
"""

_RUN_ID, _VERSION, _LOCAL_KEY = 0, 4, 5
"""Where these stand in the row of a materialization less its id and its recipe."""

_OUTPUT_NAME, _CONTENT_DIGEST = 1, 4
"""Where these stand in the row of an output less its materialization."""

_DROP_MATERIALIZATION = "DELETE FROM materializations WHERE run_id = ? AND step_key = ?"

_ADD_MATERIALIZATION = """
INSERT INTO materializations (
    id, recipe, run_id, step_key, job_name, attempt, version, local_key, content_key, seconds, started_at
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_ADD_OUTPUT = """
INSERT INTO outputs (
    materialization, position, name, kind, version, content_digest, size, digest, place, io_manager_key
)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

_ADD_REPLACED = "INSERT OR REPLACE INTO replaced (version, since) VALUES (?, ?)"

_BEGIN_REPLACING = "INSERT OR REPLACE INTO replacing (version, run_id) VALUES (?, ?)"

_BEGIN_REPLACING_ELSEWHERE = "INSERT OR IGNORE INTO replacing (version, run_id) VALUES (?, ?)"

_END_REPLACING = "DELETE FROM replacing WHERE version = ?"

# What a run stores that was planned while a version was accepted in the place of its steps' own, and revoked since.
_KEEP_REPLACING = """
INSERT OR IGNORE INTO replacing (version, run_id)
SELECT stored_version, runs.run_id
FROM acceptances JOIN runs ON runs.run_id = ? AND runs.started_at <= acceptances.revoked_at
WHERE stored_version = ? AND revoked_at IS NOT NULL
"""

_END_ADOPTION = "DELETE FROM adoptions WHERE version = ? AND run_id <> ?"

# Tables that are nearly always empty: asked once, what would be done to each of many rows can be left out.
_IN_USE = """
SELECT
    EXISTS (SELECT 1 FROM replacing), EXISTS (SELECT 1 FROM adoptions), EXISTS (SELECT 1 FROM shared),
    EXISTS (SELECT 1 FROM acceptances WHERE revoked_at IS NOT NULL)
"""

_END_SHARED = "DELETE FROM shared WHERE version = ?"

_ADD_SHARED = "INSERT OR IGNORE INTO shared (version) VALUES (?)"

_ADD_LOCAL_KEY = "INSERT OR IGNORE INTO local_keys (local_key) VALUES (?)"

_LATEST_RECIPE = "SELECT coalesce(max(id), 0) FROM recipes"

_KNOWN_RECIPES = """
SELECT recipes.version, recipe, recipes.id FROM json_each(?) AS key JOIN recipes ON recipes.version = key.value
"""

_ADD_RECIPE = "INSERT INTO recipes (id, version, recipe) VALUES (?, ?, ?)"

_KNOWN_SOURCES = "SELECT value FROM json_each(?) WHERE value IN (SELECT digest FROM sources)"

_ADD_SOURCE = "INSERT INTO sources (digest, text) VALUES (?, ?)"

_ADD_ALIAS = """
INSERT OR REPLACE INTO aliases (id, recipe, run_id, step_key, job_name, version, stored_version)
VALUES (?, ?, ?, ?, (SELECT job_name FROM runs WHERE run_id = ?), ?, ?)
"""


def run_row(run: RunRecord, versions: VersionSet | None) -> Row:
    """Lay a run out as `_ADD_RUN` takes it."""
    return (
        run.run_id,
        run.job_name,
        run.status.value,
        run.started_at,
        run.ended_at,
        None if run.target is None else storable(run.target),
        run.parent_run_id,
        run.root_run_id,
        run.seconds_saved,
        run.pid,
        None if versions is None else versions.digest,
        pack_some(run.tags),
        pack_some(run.counts),
        None if run.run_config is None else pack(run.run_config),
        pack_some(run.steps),
    )


def version_set(run: RunRecord) -> VersionSet | None:
    """The versions of a run's steps as they are kept; None in a run without."""
    return VersionSet(run.versions) if run.versions else None


def add_run(connection: Connection, run: RunRecord, row: Row, versions: VersionSet | None) -> None:
    """Add a run, or replace it, and tell the aliases recorded before it whose job they are."""
    connection.execute(_ADD_RUN, row)
    if versions is not None and connection.execute(_KNOWN_VERSIONS, (versions.digest,)).fetchone() is None:
        connection.execute(_ADD_VERSIONS, (versions.digest, versions.packed()))
    connection.execute(_NAME_JOB_OF_ALIASES, (run.job_name, run.run_id))


def event_rows(events: Iterable[Event]) -> list[Row]:
    """Lay events out as `add_events` takes them."""
    rows: list[Row] = []
    for (run_id, are_reads), group in groupby(events, key=_row_of):
        together = list(group)
        steps = dict.fromkeys([each.step_key for each in together])
        rows.append((run_id, are_reads, "\n".join([key for key in steps if key is not None]), pack_events(together)))
    return rows


def _row_of(event: Event) -> tuple[str, bool]:
    """What the events of one row have in common."""
    return event.run_id, event.kind is EventType.UNDECLARED_READ


def add_events(connection: Connection, rows: list[Row]) -> None:
    """Append events."""
    connection.executemany(_ADD_EVENT, rows)


class StepRows:
    """The materializations or aliases of one call, laid out before the catalog is locked.

    Attributes:
        shared: The versions of which the shared place has what is told here.
        by_step: (run id, step key) -> the row less its id and its recipe, the rows of its outputs, and its recipe: one
            per step of a run, the last one given.
    """

    def __init__(self) -> None:
        self.by_step: dict[tuple[str, str], tuple[Row, list[Row], RecipeRow | None]] = {}
        self.shared: set[str] = set()

    def add_materialization(self, done: Materialization) -> None:
        """Take a materialization."""
        # What took the place of another counts as shared once others have been told of it: a run that was killed
        # before that leaves it to the next one.
        if done.version is not None and all(output.shared and not output.replaced for output in done.outputs):
            self.shared.add(done.version)
        row = (
            done.run_id,
            done.step_key,
            done.job_name,
            done.attempt,
            done.version,
            done.local_key,
            done.content_key,
            done.seconds,
            done.started_at,
        )
        outputs = [
            (
                position,
                output.name,
                output.kind,
                output.version,
                output.content_digest,
                output.size,
                output.digest,
                None if output.place is None else storable(output.place),
                output.io_manager_key,
            )
            for position, output in enumerate(done.outputs)
        ]
        self._put(done.run_id, done.step_key, row, outputs, done.recipe)

    def add_alias(self, run_id: str, step_key: str, version: str, stored_version: str, recipe: Recipe | None) -> None:
        """Take an alias."""
        self._put(run_id, step_key, (run_id, step_key, run_id, version, stored_version), [], recipe)

    def _put(self, run_id: str, step_key: str, row: Row, outputs: list[Row], recipe: Recipe | None) -> None:
        # Taken out first, so that the order is that of the rows that stay.
        self.by_step.pop((run_id, step_key), None)
        self.by_step[run_id, step_key] = (row, outputs, None if recipe is None else recipe_row(recipe))


def recipe_row(recipe: Recipe) -> RecipeRow:
    """Lay a recipe out as `add_recipes` takes it: its version, and its bytes."""
    return storable(recipe.version), pack_recipe(recipe)


def add_materializations(
    connection: Connection, rows: StepRows, sources: Mapping[str, str], claimed: Collection[str] = ()
) -> None:
    """Add materializations in the place of earlier ones of the same step in the same run, and end their claims."""
    numbered = list(enumerate(rows.by_step.values(), start=latest_id(connection) + 1))
    changed = _note_replaced(connection, numbered)
    recipes = _add_recipes(connection, [recipe for _, _, recipe in rows.by_step.values() if recipe is not None])
    any_replacing, any_adopted, any_shared, any_revoked = connection.execute(_IN_USE).fetchone()
    if any_replacing:
        connection.executemany(_END_REPLACING, {(row[_VERSION],) for row, _, _ in rows.by_step.values()} - {(None,)})
    made = {(row[_VERSION], row[_RUN_ID]) for row, _, _ in rows.by_step.values() if row[_VERSION] is not None}
    for version, run_id in made if changed else ():
        # Another run thought this one dead and ran the version too: whose outputs stand there, nobody knows.
        if version in changed and version in claimed and not is_still_its_own(connection, run_id, version):
            begin_replacing(connection, run_id, [version])
    end_claims(connection, [pair for pair in made if pair[0] in claimed])
    if any_revoked:
        connection.executemany(_KEEP_REPLACING, [(run_id, version) for version, run_id in made])
    if any_adopted:
        connection.executemany(_END_ADOPTION, made)
    if any_shared:
        connection.executemany(_END_SHARED, [(version,) for version, _ in made if version not in rows.shared])
    connection.executemany(_ADD_SHARED, [(version,) for version in rows.shared])
    steps = [(number, recipes.get(recipe), *row) for number, (row, _, recipe) in numbered]
    try:
        connection.executemany(_ADD_MATERIALIZATION, steps)
    except connection.IntegrityError:
        # Hardly ever does a run store a step again: to look for an earlier one of each takes a fifth as long again.
        connection.executemany(_DROP_MATERIALIZATION, rows.by_step)
        connection.executemany(_ADD_MATERIALIZATION, steps)
    connection.executemany(
        _ADD_OUTPUT,
        [(number, *output) for number, (_, outputs, _) in numbered for output in outputs],
    )
    local_keys = {row[_LOCAL_KEY] for row, _, _ in rows.by_step.values()} - {None}
    connection.executemany(_ADD_LOCAL_KEY, [(key,) for key in local_keys])
    _add_sources(connection, sources)


def add_recipes(connection: Connection, rows: list[RecipeRow], sources: Mapping[str, str]) -> None:
    """Keep recipes that no stored step refers to, and the source texts of theirs."""
    _add_recipes(connection, rows)
    _add_sources(connection, sources)


def _add_recipes(connection: Connection, rows: list[RecipeRow]) -> dict[RecipeRow | None, int]:
    """Keep recipes, each once however many steps refer to it, and give the number by which they do."""
    versions = {version for version, _ in rows}
    known: dict[RecipeRow | None, int] = {
        (version, packed): number
        for version, packed, number in connection.execute(_KNOWN_RECIPES, (as_array(versions),))
    }
    new = [row for row in dict.fromkeys(rows) if row not in known]
    (latest,) = connection.execute(_LATEST_RECIPE).fetchone()
    numbered = list(enumerate(new, start=latest + 1))
    connection.executemany(_ADD_RECIPE, [(number, *row) for number, row in numbered])
    return known | {row: number for number, row in numbered}


def _add_sources(connection: Connection, sources: Mapping[str, str]) -> None:
    if sources:
        known = {digest for (digest,) in connection.execute(_KNOWN_SOURCES, (as_array(sources),))}
        connection.executemany(
            _ADD_SOURCE,
            [(digest, pack_text(text)) for digest, text in sources.items() if digest not in known],
        )


def _note_replaced(
    connection: Connection, numbered: list[tuple[int, tuple[Row, list[Row], RecipeRow | None]]]
) -> set[str]:
    """Note which versions get another content than they had: what was equal to the old one no longer is."""
    versions = [row[_VERSION] for _, (row, _, _) in numbered if row[_VERSION] is not None]
    before = content_digests(connection, versions)
    # A version that was known as equal to another had that one's content.
    equal = aliases(connection, versions)
    if not before and not equal:
        return set()
    after = {
        row[_VERSION]: (number, {output[_OUTPUT_NAME]: output[_CONTENT_DIGEST] for output in outputs})
        for number, (row, outputs, _) in numbered
        if row[_VERSION] in before or row[_VERSION] in equal
    }
    contents = content_digests(connection, list(equal.values()))
    before |= {version: contents[stored] for version, stored in equal.items() if stored in contents}
    changed = {version for version, held in before.items() if held != after[version][1]}
    connection.executemany(_ADD_REPLACED, [(version, after[version][0]) for version in changed])
    return changed


def begin_replacing(connection: Connection, run_id: str, versions: Sequence[str]) -> None:
    """Note versions before what is stored under them is replaced."""
    connection.executemany(_BEGIN_REPLACING, [(version, run_id) for version in versions])


def begin_replacing_elsewhere(connection: Connection, run_id: str, versions: Sequence[str]) -> None:
    """Note versions that a run of another home is about to replace; what is noted of them already stays."""
    connection.executemany(_BEGIN_REPLACING_ELSEWHERE, [(version, run_id) for version in versions])


def add_aliases(connection: Connection, rows: StepRows) -> None:
    """Add aliases in the place of earlier ones of the same step in the same run."""
    recipes = _add_recipes(connection, [recipe for _, _, recipe in rows.by_step.values() if recipe is not None])
    numbered = enumerate(rows.by_step.values(), start=latest_id(connection) + 1)
    connection.executemany(_ADD_ALIAS, [(number, recipes.get(recipe), *row) for number, (row, _, recipe) in numbered])


def latest_id(connection: Connection) -> int:
    """The last id that a materialization or an alias has drawn; 0 where there is none."""
    (latest,) = connection.execute(_LATEST_ID).fetchone()
    return int(latest)
