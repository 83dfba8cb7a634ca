"""The questions that planning and execution ask about the past, each for any number of keys in one statement.

The keys go in as one JSON array that SQLite unfolds (`json_each`): measured faster than lists of parameters
in any size, and no limit on their number. Each key then costs one descent of an index, or a few.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from msgspec.json import encode

from memo.catalog.packing import unpack_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

    from memo.contracts.run_store import Recipe

_LATEST_RUNS = 5
"""How many runs of a step its usual time is taken from."""

# An alias that is older than a materialization of its version no longer tells where that version is stored;
# nor does one whose stored version has got another content since.
_ALIASES = """
SELECT key.value, aliases.stored_version
FROM json_each(?) AS key
JOIN aliases ON aliases.id = (SELECT max(id) FROM aliases WHERE version = key.value)
WHERE NOT EXISTS (SELECT 1 FROM materializations WHERE version = key.value AND id > aliases.id)
AND NOT EXISTS (SELECT 1 FROM replaced WHERE version = aliases.stored_version AND since > aliases.id)
"""

_WITHDRAWN_ALIASES = """
SELECT key.value
FROM json_each(?) AS key
JOIN aliases ON aliases.id = (SELECT max(id) FROM aliases WHERE version = key.value)
WHERE NOT EXISTS (SELECT 1 FROM materializations WHERE version = key.value AND id > aliases.id)
AND EXISTS (SELECT 1 FROM replaced WHERE version = aliases.stored_version AND since > aliases.id)
"""

_CONTENT_DIGESTS = """
SELECT key.value, outputs.name, outputs.content_digest
FROM json_each(?) AS key
JOIN materializations ON materializations.id = (
    SELECT max(id) FROM materializations WHERE version = key.value
)
LEFT JOIN outputs ON outputs.materialization = materializations.id
"""

_CONTENTS = """
SELECT key.value, materializations.version
FROM json_each(?) AS key
JOIN materializations ON materializations.id = (
    SELECT max(id) FROM materializations AS done
    WHERE content_key = key.value AND version IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM materializations AS later
        WHERE later.version = done.version AND later.id > done.id AND later.content_key IS NOT done.content_key
    )
)
"""
# What was stored later under the same version has taken the place of what this content key gave.

_CONTENT_KEYS = """
SELECT key.value, materializations.content_key
FROM json_each(?) AS key
JOIN materializations ON materializations.id = (
    SELECT max(id) FROM materializations WHERE version = key.value
)
WHERE materializations.content_key IS NOT NULL
"""

_REPLACED = "SELECT version FROM replaced"

_UNFINISHED = "SELECT version FROM replacing"

_LOCAL_KEYS = "SELECT value FROM json_each(?) WHERE value IN (SELECT local_key FROM local_keys)"

_LATEST_RECIPES = """
SELECT latest.id, key.value, latest.recipe
FROM json_each(:step_keys) AS key
JOIN materializations AS latest ON latest.id = (
    SELECT max(id) FROM materializations WHERE job_name = :job_name AND step_key = key.value AND recipe IS NOT NULL
)
UNION ALL
SELECT latest.id, key.value, latest.recipe
FROM json_each(:step_keys) AS key
JOIN aliases AS latest ON latest.id = (
    SELECT max(id) FROM aliases WHERE job_name = :job_name AND step_key = key.value AND recipe IS NOT NULL
)
"""

_RECIPES = """
SELECT recipes.id, recipe FROM json_each(?) AS key JOIN recipes ON recipes.id = key.value
"""

_SECONDS = """
SELECT key.value, materializations.seconds
FROM json_each(?) AS key
JOIN materializations ON materializations.id IN (
    SELECT id FROM materializations
    WHERE job_name = ? AND step_key = key.value AND seconds > 0
    ORDER BY id DESC LIMIT ?
)
"""


def as_array(keys: Iterable[str | int]) -> str:
    """Write keys as the JSON array that the statements of this module take."""
    return encode(list(keys)).decode()


def aliases(connection: Connection, versions: Sequence[str]) -> dict[str, str]:
    """Answer `History.aliases`. Where a stored version has become an alias itself, follow it to the end."""
    direct = dict[str, str](connection.execute(_ALIASES, (as_array(versions),)).fetchall())
    links = direct
    asked = set(versions)
    while ahead := {stored for stored in links.values() if stored not in asked}:
        asked |= ahead
        links = links | dict(connection.execute(_ALIASES, (as_array(ahead),)).fetchall())
    return {version: _end(links, stored) if stored in links else stored for version, stored in direct.items()}


def _end(links: dict[str, str], version: str) -> str:
    seen: set[str] = set()
    while version in links and version not in seen:
        seen.add(version)
        version = links[version]
    return version


def withdrawn_aliases(connection: Connection, versions: Sequence[str]) -> set[str]:
    """Answer `History.withdrawn_aliases`."""
    return {version for (version,) in connection.execute(_WITHDRAWN_ALIASES, (as_array(versions),))}


def content_digests(connection: Connection, versions: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Answer `History.content_digests`, from the latest materialization of each version."""
    found: dict[str, dict[str, str | None]] = {}
    for version, name, digest in connection.execute(_CONTENT_DIGESTS, (as_array(versions),)).fetchall():
        outputs = found.setdefault(version, {})
        if name is not None:
            outputs[name] = digest
    return found


def find_contents(connection: Connection, content_keys: Sequence[str]) -> dict[str, str]:
    """Answer `History.find_contents`."""
    return dict(connection.execute(_CONTENTS, (as_array(content_keys),)).fetchall())


def content_keys(connection: Connection, versions: Sequence[str]) -> dict[str, str]:
    """Answer `History.content_keys`."""
    return dict(connection.execute(_CONTENT_KEYS, (as_array(versions),)).fetchall())


def replaced(connection: Connection) -> set[str]:
    """Answer `History.replaced`."""
    return {version for (version,) in connection.execute(_REPLACED).fetchall()}


def unfinished(connection: Connection) -> set[str]:
    """Answer `History.unfinished`."""
    return {version for (version,) in connection.execute(_UNFINISHED).fetchall()}


def known_local_keys(connection: Connection, local_keys: Sequence[str]) -> set[str]:
    """Answer `History.known_local_keys`."""
    return {key for (key,) in connection.execute(_LOCAL_KEYS, (as_array(local_keys),)).fetchall()}


def last_recipes(connection: Connection, job_name: str, step_keys: Sequence[str]) -> dict[str, Recipe]:
    """Answer `History.last_recipes`; runs that left no recipe (without memoization) do not count."""
    rows: list[tuple[int, str, int]] = connection.execute(
        _LATEST_RECIPES,
        {"job_name": job_name, "step_keys": as_array(step_keys)},
    ).fetchall()
    numbers = {step_key: number for _, step_key, number in sorted(rows)}
    kept: list[tuple[int, bytes]] = connection.execute(_RECIPES, (as_array(set(numbers.values())),)).fetchall()
    recipes = {number: unpack_recipe(packed) for number, packed in kept}
    return {step_key: recipes[number] for step_key, number in numbers.items() if number in recipes}


def seconds(connection: Connection, job_name: str, step_keys: Sequence[str]) -> dict[str, float]:
    """Answer `History.seconds`."""
    rows: list[tuple[str, float]] = connection.execute(
        _SECONDS,
        (as_array(step_keys), job_name, _LATEST_RUNS),
    ).fetchall()
    found = dict(rows)
    if len(found) == len(rows):  # nothing ran twice
        return found
    return {key: _median([row[1] for row in group]) for key, group in groupby(rows, key=itemgetter(0))}


def _median(values: list[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
