"""Who is running which version: claims, which other runs wait for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import astuple

from memo.catalog.history import as_array
from memo.contracts.run_store import Claim, Made

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from sqlite3 import Connection

_HOLDER = "SELECT version, run_id, step_key, host, pid, pid_started, lease_until FROM claims WHERE version = ?"

_HOLDERS = """
SELECT version, run_id, step_key, host, pid, pid_started, lease_until
FROM json_each(?) AS key JOIN claims ON claims.version = key.value
"""

_ALL = "SELECT version, run_id, step_key, host, pid, pid_started, lease_until FROM claims"

# What is being replaced, or of which nobody knows whose content it has, is no reason not to run.
_MADE = """
SELECT run_id, id FROM materializations
WHERE version = ? AND id > ? AND run_id <> ?
AND NOT EXISTS (SELECT 1 FROM replacing WHERE replacing.version = materializations.version)
ORDER BY id DESC LIMIT 1
"""

_MADE_OF_MANY = """
SELECT DISTINCT key.value
FROM json_each(?) AS key JOIN materializations ON materializations.version = key.value
WHERE materializations.id > ? AND run_id <> ?
AND NOT EXISTS (SELECT 1 FROM replacing WHERE replacing.version = materializations.version)
"""

_PUT = """
INSERT OR REPLACE INTO claims (version, run_id, step_key, host, pid, pid_started, lease_until, since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

_LATEST = "SELECT coalesce(max(id), 0) FROM materializations"

_RENEW = "UPDATE claims SET lease_until = ? WHERE run_id = ?"

_FORGET = "DELETE FROM claims WHERE lease_until < ?"

_RELEASE = "DELETE FROM claims WHERE version = ? AND run_id = ?"

_FORGET_EXACTLY = """
DELETE FROM claims
WHERE (version, run_id, step_key, host, pid, pid_started, lease_until) = (?, ?, ?, ?, ?, ?, ?)
"""

_STILL_ITS_OWN = """
SELECT 1 FROM claims
WHERE version = ? AND run_id = ? AND NOT EXISTS (
    SELECT 1 FROM materializations AS made
    WHERE made.version = claims.version AND made.id > claims.since AND made.run_id <> claims.run_id
)
"""

_SECONDS_KEPT = 86400.0
"""How long after its lease a claim stays that nobody took over: of a run that was killed, whose step nobody wants."""


def claim(connection: Connection, wanted: Claim, since: int | None, gone: Claim | None) -> Claim | Made:
    """Do what `RunStore.claim` says."""
    row = connection.execute(_HOLDER, (wanted.version,)).fetchone()
    if row is not None:
        holder = Claim(*row)
        if not _of_one_run(holder, wanted) and holder != gone:
            return holder
    if since is not None:
        made = connection.execute(_MADE, (wanted.version, since, wanted.run_id)).fetchone()
        if made is not None:
            return Made(*made)
    _put(connection, [wanted])
    return wanted


def claim_free(connection: Connection, wanted: Sequence[Claim], since: int | None) -> set[str]:
    """Do what `RunStore.claim_free` says."""
    versions = as_array([each.version for each in wanted])
    taken = {version for version, *_ in connection.execute(_HOLDERS, (versions,))}
    if since is not None:
        made = connection.execute(_MADE_OF_MANY, (versions, since, wanted[0].run_id))
        taken |= {version for (version,) in made}
    free = [each for each in wanted if each.version not in taken]
    _put(connection, free)
    return {each.version for each in free}


def _put(connection: Connection, free: Sequence[Claim]) -> None:
    (latest,) = connection.execute(_LATEST).fetchone()
    connection.executemany(_PUT, [(*astuple(each), latest) for each in free])


def _of_one_run(one: Claim, other: Claim) -> bool:
    # Run ids can be chosen, and chosen again after a kill: the process tells.
    return one.run_id == other.run_id and (one.host, one.pid, one.pid_started) == (
        other.host,
        other.pid,
        other.pid_started,
    )


def claims(connection: Connection, versions: Sequence[str]) -> dict[str, Claim]:
    """Answer `RunStore.claims`."""
    rows = connection.execute(_HOLDERS, (as_array(versions),)).fetchall()
    return {row[0]: Claim(*row) for row in rows}


def all_claims(connection: Connection) -> list[Claim]:
    """Answer `RunStore.all_claims`."""
    return [Claim(*row) for row in connection.execute(_ALL)]


def forget(connection: Connection, gone: Iterable[Claim]) -> None:
    """Do what `RunStore.forget_claims` says."""
    connection.executemany(_FORGET_EXACTLY, [astuple(each) for each in gone])


def renew(connection: Connection, run_id: str, now: float, lease_until: float) -> None:
    """Do what `RunStore.renew_claims` says."""
    connection.execute(_RENEW, (lease_until, run_id))
    connection.execute(_FORGET, (now - _SECONDS_KEPT,))


def release(connection: Connection, run_id: str, versions: Iterable[str]) -> None:
    """Do what `RunStore.release_claims` says."""
    end_claims(connection, [(version, run_id) for version in versions])


def end_claims(connection: Connection, of: Sequence[tuple[str, str]]) -> None:
    """End the claims on versions, each of the run beside it; of another run they stay."""
    connection.executemany(_RELEASE, of)


def is_still_its_own(connection: Connection, run_id: str, version: str) -> bool:
    """Whether a version that a run claimed is its own yet, and no other run has stored it since."""
    return connection.execute(_STILL_ITS_OWN, (version, run_id)).fetchone() is not None
