"""How a step stood in a run of the past: what its version was made of, and what its readers were given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.catalog.packing import unpack_recipe
from memo.contracts.run_store import Recipe, Standing

if TYPE_CHECKING:
    from sqlite3 import Connection

    from memo.contracts.run_store import RunRecord

_GAVE_NOTHING = frozenset({"failure", "blocked", "canceled"})

_MADE_IN_RUN = """
SELECT materializations.id, recipes.recipe
FROM materializations LEFT JOIN recipes ON recipes.id = materializations.recipe
WHERE run_id = ? AND step_key = ?
"""

_MADE_BEFORE = """
SELECT id FROM materializations WHERE version = ? AND started_at <= ? ORDER BY id DESC LIMIT 1
"""

_EQUAL_BEFORE = """
SELECT aliases.id, stored_version FROM aliases JOIN runs ON runs.run_id = aliases.run_id
WHERE version = ? AND runs.started_at <= ?
ORDER BY aliases.id DESC LIMIT 1
"""

_CONTENTS = "SELECT name, content_digest FROM outputs WHERE materialization = ? ORDER BY position"

# The latest kept of a version: all of them have the same parts, and may tell of other lines.
_RECIPE = "SELECT recipe FROM recipes WHERE version = ? ORDER BY id DESC LIMIT 1"

_LAST_MADE = """
SELECT id, run_id FROM materializations
WHERE job_name = ? AND step_key = ? AND recipe IS NOT NULL
ORDER BY id DESC LIMIT 1
"""

_LAST_EQUAL = """
SELECT id, run_id FROM aliases
WHERE job_name = ? AND step_key = ? AND recipe IS NOT NULL
ORDER BY id DESC LIMIT 1
"""


def standing(connection: Connection, run: RunRecord, step_key: str) -> Standing | None:
    """Answer `RunStore.standing`."""
    version = run.versions.get(step_key)
    if version is None:
        return None
    made = connection.execute(_MADE_IN_RUN, (run.run_id, step_key)).fetchone()
    if made is not None:
        number, packed = made
        recipe = _kept(connection, version) if packed is None else unpack_recipe(packed)
        return Standing(version, recipe, _contents(connection, number))
    number, stored_version = _stored(connection, version, run.started_at if run.ended_at is None else run.ended_at)
    recipe = _kept(connection, version)
    if recipe is not None and stored_version != version:
        recipe = _with_sources(recipe, _kept(connection, stored_version))
    _, _, outcome = run.steps.get(step_key, ("", "", ""))
    gave = number is not None and outcome not in _GAVE_NOTHING
    return Standing(version, recipe, _contents(connection, number) if gave else {})


def _stored(connection: Connection, version: str, at: float) -> tuple[int | None, str]:
    """The materialization that a version stood for at a time, and the version that this one is stored under."""
    seen: set[str] = set()
    while True:
        seen.add(version)
        made = connection.execute(_MADE_BEFORE, (version, at)).fetchone()
        equal = connection.execute(_EQUAL_BEFORE, (version, at)).fetchone()
        if equal is None or equal[1] in seen or (made is not None and made[0] > equal[0]):
            return (None if made is None else made[0]), version
        version = equal[1]


def _contents(connection: Connection, number: int | None) -> dict[str, str | None]:
    return dict[str, Any](connection.execute(_CONTENTS, (number,)).fetchall())


def _kept(connection: Connection, version: str) -> Recipe | None:
    row = connection.execute(_RECIPE, (version,)).fetchone()
    return None if row is None else unpack_recipe(row[0])


def _with_sources(recipe: Recipe, stored: Recipe | None) -> Recipe:
    """Lend a recipe the source texts of the one it was found equal to: it was kept without, being made of the same."""
    digests = {part.hash: part.source_digest for part in stored.parts} if stored is not None else {}
    parts = [replace(part, source_digest=part.source_digest or digests.get(part.hash)) for part in recipe.parts]
    return Recipe(recipe.version, tuple(parts))


def last_run_of(connection: Connection, job_name: str, step_key: str) -> str | None:
    """Answer `RunStore.last_run_of`."""
    rows = [connection.execute(statement, (job_name, step_key)).fetchone() for statement in (_LAST_MADE, _LAST_EQUAL)]
    found: list[tuple[int, str]] = [row for row in rows if row is not None]
    return max(found)[1] if found else None
