"""What SQLite's complaints mean to the person whose catalog it is."""

from __future__ import annotations

from memo.errors import HomeError, NewerHomeError

_ELSEWHERE = "or use another home with --home or MEMO_HOME"
_START_AGAIN = (
    "`memo rebuild-catalog` puts it aside and makes a new one from what is stored "
    "(only the history of runs is kept in this file)"
)
_DAMAGED = f"the catalog is damaged; {_START_AGAIN}"
_FOREIGN = f"this file is not a catalog of memo, and was left as it is; {_START_AGAIN}"


def explain(error: Exception, path: str) -> HomeError | None:
    """Say in one sentence what went wrong with the catalog at this path.

    Returns:
        The error to raise, or None where the catalog is not to blame.
    """
    import sqlite3
    from zlib import error as ZlibError  # noqa: N812 - a class, whatever its name

    from msgspec import MsgspecError

    sentence: str | None = None
    if isinstance(error, sqlite3.Error):
        sentence = _meaning(error)
    elif isinstance(error, OSError):
        sentence = f"the catalog cannot be opened: {error.strerror}; check its path, {_ELSEWHERE}"
    elif isinstance(error, (MsgspecError, UnicodeDecodeError, ZlibError)):
        sentence = _DAMAGED
    return None if sentence is None else HomeError(sentence, where=path)


def _meaning(error: Exception) -> str | None:
    import sqlite3

    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        # The one such error that is not a mistake of memo's own: text that is not UTF-8.
        return _DAMAGED if isinstance(error, sqlite3.OperationalError) else None
    kind = code & 0xFF
    if kind == sqlite3.SQLITE_ERROR:
        # Every statement of memo's fits its own tables: others must be in the file.
        return f"{_DAMAGED}: {error}"
    return {
        sqlite3.SQLITE_BUSY: "another process keeps the catalog locked; wait until it is done, or end it",
        sqlite3.SQLITE_CANTOPEN: (
            f"the catalog cannot be opened; see that it and its folder can be read and written, {_ELSEWHERE}"
        ),
        sqlite3.SQLITE_CORRUPT: _DAMAGED,
        sqlite3.SQLITE_FULL: (
            f"the catalog's disk is full; make room (nothing that was in the catalog is lost), {_ELSEWHERE}"
        ),
        sqlite3.SQLITE_IOERR: f"the catalog cannot be read or written: {error}; check its disk, {_ELSEWHERE}",
        sqlite3.SQLITE_NOTADB: _FOREIGN,
        sqlite3.SQLITE_PERM: f"the catalog must not be opened; see whose file it is, {_ELSEWHERE}",
        sqlite3.SQLITE_PROTOCOL: (
            f"the catalog cannot be locked; put it on a local disk if it is on a network's, {_ELSEWHERE}"
        ),
        sqlite3.SQLITE_READONLY: (f"the catalog cannot be written; make it and its folder writable, {_ELSEWHERE}"),
    }.get(kind)


def foreign(path: str) -> HomeError:
    """A file that is something else."""
    return HomeError(_FOREIGN, where=path)


def newer(path: str, number: int, known: int) -> NewerHomeError:
    """A catalog with a schema of the future."""
    return NewerHomeError(
        f"the catalog was written by a newer memo (its schema is {number}, this memo knows {known}); "
        f"upgrade memo with `pip install -U memo-pipelines`, {_ELSEWHERE}",
        where=path,
    )


def older(path: str, number: int, known: int) -> HomeError:
    """A catalog with a schema of the past, which may not be brought up to date."""
    return HomeError(
        f"the catalog was written by an older memo (its schema is {number}, this one is {known}) and is only "
        "being read; the next run in this home brings it up to date",
        where=path,
    )


def without_wal(path: str, mode: str) -> HomeError:
    """A file system on which SQLite cannot keep a write-ahead log."""
    return HomeError(
        f"SQLite cannot keep a write-ahead log on this file system (its journal stays {mode!r}), "
        "as on most network file systems; put the home on a local disk with --home or MEMO_HOME",
        where=path,
    )
