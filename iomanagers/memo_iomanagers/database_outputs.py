"""What a SQL database knows of each output: a row in its table `outputs`, and a view of the version stored last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo_iomanagers.database_names import quoted, shown_columns
from memo_iomanagers.naming import address_of
from memo_iomanagers.stored_types import StoredColumns
from memo_iomanagers.table_io_manager import StoredTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memo.contracts.io_manager import OutputContext

__all__ = [
    "DAMAGED",
    "FORMAT",
    "OUTPUTS",
    "OUTPUT_OF",
    "VIEWS",
    "numbered_columns",
    "output_row",
    "stored_table",
    "view_query",
]

FORMAT, DAMAGED = 1, -1
"""The layout of a row of `outputs`; and what stands there once its table was found to be damaged."""
OUTPUTS = """
    address text primary key, format integer not null, data_table text not null, kind text not null,
    arrow_schema bytea not null, row_count bigint not null, digest text not null, step_key text not null,
    output text not null, mapping_key text, version text, run_id text, job_name text, content_key text,
    content_digest text, seconds double precision, created_at double precision
"""
"""The columns of the table `outputs`."""
OUTPUT_OF = "kind, data_table, arrow_schema, row_count, digest"
"""Of these, what a table is loaded by."""
VIEWS = "name text primary key, address text not null"
"""The columns of the table `views`: which output each view shows."""
_EMPTY = "no_columns"
"""The one column of a table that has none: a table and a view of a database have at least one."""


def output_row(context: OutputContext, stored: StoredTable) -> tuple[Any, ...]:
    """The row of an output in the table `outputs`."""
    provenance = context.provenance
    return (
        *(address_of(context), FORMAT, stored.name, stored.kind, stored.arrow_schema, stored.row_count, stored.digest),
        *(_text(context.step_key), _text(context.name), _text(context.mapping_key), _text(context.version)),
        *(_text(context.run_id), _text(context.job_name)),
        *(provenance.content_key, provenance.content_digest, provenance.seconds, provenance.created_at),
    )


def stored_table(row: Sequence[Any]) -> StoredTable:
    """What the columns `OUTPUT_OF` tell."""
    kind, name, arrow_schema, row_count, digest = row
    return StoredTable(kind, name, bytes(arrow_schema), row_count, digest)


def numbered_columns(schema: Any, stored_type: Callable[[Any], Any | None], *, place: str, where: str) -> StoredColumns:
    """The columns of a table in a database, `c1`, `c2`, …: people see their own names in the view."""
    names = [f"c{number}" for number in range(1, len(schema) + 1)]
    return StoredColumns(schema, stored_type, names, place=place, where=where, empty=_EMPTY)


def view_query(names: Sequence[str], table: str) -> str:
    """What a view is made of: the columns of a table, under their own names as far as a database can.

    >>> view_query(["day", "Day"], '"t"')
    'select "c1" as "day", "c2" as "Day_2" from "t"'
    """
    shown = [f"{quoted(f'c{number}')} as {quoted(name)}" for number, name in enumerate(shown_columns(names), 1)]
    return f"select {', '.join(shown) or quoted(_EMPTY)} from {table}"  # noqa: S608 - names are quoted


def _text(name: str | None) -> str | None:
    """A name as a database can hold it: any string of Python may be one, lone surrogates included."""
    return None if name is None else name.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
