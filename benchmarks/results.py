"""Results: one row a run, kept as Parquet with the machine and the versions, written and read by DuckDB."""

from __future__ import annotations

import json
import tempfile
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NOT_RUN = "not run:"
"""How the problem of a system begins that was left out because it takes too long."""

_COLUMNS = """
    workload VARCHAR, system VARCHAR, phase VARCHAR, shape VARCHAR, size BIGINT, round INTEGER, cpu DOUBLE,
    wall DOUBLE, memory BIGINT, disk BIGINT, files BIGINT, ran BIGINT, expected BIGINT, problem VARCHAR
"""


class Result(Struct, frozen=True):
    """One run, or what stands in place of one that could not be.

    Attributes:
        workload: ``runs``, ``large values``, ``edits`` and so on.
        system: Whose run it is.
        phase: What was run: ``null``, ``cold``, an encoding, an edit.
        shape: Of the graph; empty where there is none.
        size: Steps, bytes or what the workload counts.
        round: Which of the interleaved rounds.
        cpu: Seconds, children included.
        wall: Seconds.
        memory: Peak, or what is new, in bytes.
        disk: Bytes on disk.
        files: How many of them.
        ran: How many steps ran.
        expected: How many should have.
        problem: Why there are no figures; empty where there are.
    """

    workload: str
    system: str
    phase: str
    shape: str = ""
    size: int = 0
    round: int = 0
    cpu: float | None = None
    wall: float | None = None
    memory: int | None = None
    disk: int | None = None
    files: int | None = None
    ran: int | None = None
    expected: int | None = None
    problem: str = ""


class Results(Struct, frozen=True):
    """All rows of one session of the harness.

    Attributes:
        rows: The results.
        about: The machine, the versions of the systems, when and what was measured.
    """

    rows: tuple[Result, ...]
    about: dict[str, Any]

    def query(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask DuckDB of the table ``results``."""
        return _ask(self.rows, sql, parameters)


def write(results: Results, path: Path) -> None:
    """Write a file of Parquet, with what is known of the machine in its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps(results.about).replace("'", "''")
    told = str(path).replace("'", "''")
    _ask(results.rows, f"COPY results TO '{told}' (FORMAT parquet, KV_METADATA {{about: '{about}'}})", ())


def read(path: Path) -> Results:
    """Read what `write` wrote.

    Raises:
        ValueError: There is no such file, or something else is in it.
    """
    import duckdb

    if not path.is_file():
        # DuckDB would take a folder, or a pattern, for all files in it.
        raise ValueError(f"{path}: there is no such file")
    names = ", ".join(Result.__struct_fields__)
    try:
        with duckdb.connect() as connection:
            rows = connection.execute(f"SELECT {names} FROM read_parquet(?)", [str(path)]).fetchall()  # noqa: S608 - ours
            metadata = connection.execute(
                "SELECT decode(value) FROM parquet_kv_metadata(?) WHERE decode(key) = 'about'", [str(path)]
            ).fetchall()
        about = json.loads(metadata[0][0])
    except (duckdb.Error, IndexError, ValueError) as error:
        raise ValueError(f"{path}: holds no results of a session: {str(error).partition(chr(10))[0]}") from error
    return Results(tuple(Result(*row) for row in rows), about)


def ours_failed(results: Results) -> list[Result]:
    """Rows of memo itself without figures, but for those that were never run; tables would silently lack them."""
    return [
        row
        for row in results.rows
        if row.system.startswith("memo") and row.problem and not row.problem.startswith(NOT_RUN)
    ]


def _ask(rows: Sequence[Result], sql: str, parameters: Iterable[object]) -> list[tuple[Any, ...]]:
    import duckdb

    with tempfile.NamedTemporaryFile(prefix="bench-", suffix=".json") as lines:
        lines.write(b"\n".join(msgspec.json.encode(row) for row in rows))
        lines.flush()
        with duckdb.connect() as connection:
            connection.execute(f"CREATE TABLE results ({_COLUMNS})")
            if rows:
                told = lines.name.replace("'", "''")
                connection.execute(f"COPY results FROM '{told}' (FORMAT json)")
            return connection.execute(sql, list(parameters)).fetchall()
