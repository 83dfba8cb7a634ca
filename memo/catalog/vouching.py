"""What people vouch for: versions accepted as equal to stored ones, and outputs that were adopted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.catalog.packing import pack_some, storable, unpack_files
from memo.catalog.recording import latest_id
from memo.contracts.run_store import Acceptance, Adoption

if TYPE_CHECKING:
    from sqlite3 import Connection

# Once the step has run as it is, there is nothing left that another version would have to stand for.
_ACCEPTED = """
SELECT version, stored_version FROM acceptances
WHERE revoked_at IS NULL
AND NOT EXISTS (SELECT 1 FROM materializations WHERE materializations.version = acceptances.version)
"""

_ACCEPTANCES = """
SELECT id, job_name, step_key, version, stored_version, reason, at, revoked_at FROM acceptances
"""

_LATEST = "ORDER BY id DESC"

_ADD_ACCEPTANCE = """
INSERT INTO acceptances (job_name, step_key, version, stored_version, reason, at, revoked_at, since)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""

_HOLDING = "SELECT id, stored_version, since FROM acceptances WHERE version = ? AND revoked_at IS NULL"

_HOLDS = "SELECT stored_version, since FROM acceptances WHERE id = ? AND revoked_at IS NULL"

_REVOKE = "UPDATE acceptances SET revoked_at = ? WHERE id = ?"

# What was stored there since may be what the accepted code gave: the next run makes it again.
_DISTRUST = """
INSERT OR IGNORE INTO replacing (version, run_id)
SELECT version, run_id FROM materializations WHERE version = ? AND id > ? ORDER BY id DESC LIMIT 1
"""

_ADOPTED = "SELECT version, run_id, files, at FROM adoptions"

_ADD_ADOPTION = "INSERT OR REPLACE INTO adoptions (version, run_id, files, at) VALUES (?, ?, ?, ?)"

_VERIFIED = "DELETE FROM adoptions WHERE version = ?"


def accepted(connection: Connection) -> dict[str, str]:
    """Answer `History.accepted`."""
    return dict(connection.execute(_ACCEPTED).fetchall())


def acceptances(connection: Connection, job_name: str | None) -> list[Acceptance]:
    """Answer `RunStore.acceptances`."""
    if job_name is None:
        rows = connection.execute(f"{_ACCEPTANCES} {_LATEST}").fetchall()
    else:
        rows = connection.execute(f"{_ACCEPTANCES} WHERE job_name = ? {_LATEST}", (job_name,)).fetchall()
    return [Acceptance(*row) for row in rows]


def add_acceptance(connection: Connection, acceptance: Acceptance) -> int:
    """Add an acceptance; one of the same version that holds is revoked by it."""
    since = latest_id(connection)
    holding = connection.execute(_HOLDING, (acceptance.version,)).fetchone()
    if holding is not None:
        number, stored_version, before = holding
        if stored_version == acceptance.stored_version:
            # The one word goes on where the other ends: what was stored meanwhile is no better known for it.
            since = before
            connection.execute(_REVOKE, (acceptance.at, number))
        else:
            revoke(connection, number, acceptance.at)
    row: tuple[Any, ...] = (
        acceptance.job_name,
        acceptance.step_key,
        acceptance.version,
        acceptance.stored_version,
        storable(acceptance.reason),
        acceptance.at,
        acceptance.revoked_at,
        since,
    )
    added = connection.execute(_ADD_ACCEPTANCE, row).lastrowid
    assert added is not None
    return added


def revoke(connection: Connection, acceptance_id: int, at: float) -> Acceptance | None:
    """Do what `RunStore.revoke` says."""
    # A larger number than SQLite can hold is no id.
    holding = connection.execute(_HOLDS, (acceptance_id,)).fetchone() if abs(acceptance_id) < 1 << 63 else None
    if holding is None:
        return None
    connection.execute(_REVOKE, (at, acceptance_id))
    connection.execute(_DISTRUST, holding)
    (row,) = connection.execute(f"{_ACCEPTANCES} WHERE id = ?", (acceptance_id,)).fetchall()
    return Acceptance(*row)


def adopted(connection: Connection) -> dict[str, Adoption]:
    """Answer `History.adopted`."""
    rows = connection.execute(_ADOPTED).fetchall()
    return {version: Adoption(version, run_id, unpack_files(files), at) for version, run_id, files, at in rows}


def add_adoption(connection: Connection, adoption: Adoption) -> None:
    """Do what `RunStore.add_adoption` says."""
    connection.execute(_ADD_ADOPTION, (adoption.version, adoption.run_id, pack_some(adoption.files), adoption.at))


def verified(connection: Connection, version: str) -> None:
    """Do what `RunStore.verified` says."""
    connection.execute(_VERIFIED, (version,))
