"""What is outside, as it was when it was last looked at: files, and sources; and what steps read of it undeclared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.catalog.history import as_array
from memo.catalog.packing import storable, unpack_events
from memo.catalog.values import pack_value, unpack_value
from memo.contracts.run_store import FileDigest, KnownStamp, UndeclaredRead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from sqlite3 import Connection

    Row = tuple[Any, ...]

_FILE_DIGESTS = """
SELECT file_digests.path, looks, digest FROM json_each(?) AS key JOIN file_digests ON file_digests.path = key.value
"""

_KEEP_FILE_DIGEST = "INSERT OR REPLACE INTO file_digests (path, looks, digest) VALUES (?, ?, ?)"

_STAMPS = """
SELECT source, digest, shown, stamps.value, at FROM json_each(?) AS key JOIN stamps ON stamps.source = key.value
"""

_KEEP_STAMP = "INSERT OR REPLACE INTO stamps (source, digest, shown, value, at) VALUES (?, ?, ?, ?, ?)"

_UNDECLARED_READS = """
SELECT events
FROM runs JOIN events ON events.run_id = runs.run_id
WHERE job_name = ? AND are_reads
ORDER BY events.id
"""


def file_digests(connection: Connection, paths: Sequence[str]) -> dict[str, FileDigest]:
    """Answer `History.file_digests`."""
    rows: list[tuple[str, str, str]] = connection.execute(_FILE_DIGESTS, (as_array(map(storable, paths)),)).fetchall()
    kept = {path: FileDigest(looks, digest) for path, looks, digest in rows}
    return {path: kept[name] for path in paths if (name := storable(path)) in kept}


def file_rows(digests: Mapping[str, FileDigest]) -> list[Row]:
    """Lay out what files hold as `keep_file_digests` takes it."""
    return [(storable(path), storable(found.looks), found.digest) for path, found in digests.items()]


def keep_file_digests(connection: Connection, rows: list[Row]) -> None:
    """Keep what files hold."""
    connection.executemany(_KEEP_FILE_DIGEST, rows)


def known_stamps(connection: Connection, sources: Sequence[str]) -> dict[str, KnownStamp]:
    """Answer `History.known_stamps`."""
    rows: list[Row] = connection.execute(_STAMPS, (as_array(map(storable, sources)),)).fetchall()
    kept = {name: KnownStamp(digest, shown, unpack_value(value), at) for name, digest, shown, value, at in rows}
    return {source: kept[name] for source in sources if (name := storable(source)) in kept}


def stamp_rows(stamps: Mapping[str, KnownStamp]) -> list[Row]:
    """Lay out stamps as `keep_stamps` takes them.

    Raises:
        ValueError: The value of one cannot be kept so that it comes back as it is.
    """
    rows: list[Row] = []
    for source, stamp in stamps.items():
        try:
            value = pack_value(stamp.value)
        except ValueError as error:
            raise ValueError(f"the source {source!r}: {error}") from None
        rows.append((storable(source), stamp.digest, storable(stamp.shown), value, stamp.at))
    return rows


def keep_stamps(connection: Connection, rows: list[Row]) -> None:
    """Keep what sources were found to be."""
    connection.executemany(_KEEP_STAMP, rows)


def undeclared_reads(connection: Connection, job_name: str) -> list[UndeclaredRead]:
    """Answer `RunStore.undeclared_reads`."""
    found: list[UndeclaredRead] = []
    for (packed,) in connection.execute(_UNDECLARED_READS, (job_name,)).fetchall():
        for event in unpack_events(packed):
            told = [str(event.data.get(name) or "") for name in ("op_version", "kind", "what", "where")]
            found.append(UndeclaredRead(event.run_id, event.step_key or "", *told))
    return found
