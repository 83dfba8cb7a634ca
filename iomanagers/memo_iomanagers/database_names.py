"""What outputs are called in a database: the table of a version, the view that people query, its columns."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from memo.errors import StorageError
from memo.hashing import digest
from memo_iomanagers.naming import address_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo.contracts.io_manager import OutputContext

__all__ = ["LONGEST", "check_schema_name", "data_table", "quoted", "shown_columns", "view_name"]

LONGEST = 63
"""Bytes that PostgreSQL allows a name; it cuts longer ones off without a word."""
_SUFFIX = "_memo"
_PLAIN = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def quoted(*names: str) -> str:
    """Quote a name, or several joined by dots, for use in SQL.

    >>> quoted("analytics", 'a "b" c')
    '"analytics"."a ""b"" c"'
    """
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def check_schema_name(name: str, place: str) -> str:
    """Refuse a schema's name that the database could not keep as it is.

    Returns:
        The name of the schema beside it, for what people need not see.

    Raises:
        StorageError: It is empty, too long or holds control characters.
    """
    too_long = len(name.encode("utf-8", "surrogatepass")) > LONGEST - len(_SUFFIX)
    if not name or too_long or not name.isprintable():
        raise StorageError(
            f"schema {name!r} of {place} cannot be used: a name of 1 to {LONGEST - len(_SUFFIX)} bytes without "
            "control characters is needed"
        )
    return name + _SUFFIX


def data_table(context: OutputContext) -> str:
    """Make a name for a new table of an output's rows; no two are the same."""
    return f"t_{digest('data table', address_of(context))}_{os.urandom(8).hex()}"


def view_name(context: OutputContext) -> str:
    """Name the view that shows the version of an output stored last.

    ``<step>``, or ``<step>___<output>`` where the output is not called ``result``; a step within a graph is
    ``<graph>__<step>``. Names that are not plain (lower-case letters, digits, single underscores within) and those of
    dynamic outputs end in eight digits of their digest, so that no two outputs have one view.

    >>> from memo.contracts.io_manager import OutputContext
    >>> view_name(OutputContext("report.charts", "late"))
    'report__charts___late'
    """
    parts = context.step_key.split(".")
    shown = "__".join(parts)
    if context.name != "result":
        parts.append(context.name)
        shown += f"___{context.name}"
    plain = all(_PLAIN.fullmatch(part) for part in parts) and not context.mapping_key
    if plain and len(shown) <= LONGEST:
        return shown
    key = context.mapping_key or ""
    word = re.sub(r"[^a-z0-9_]", "_", f"{shown}_{key}" if key else shown, flags=re.ASCII | re.IGNORECASE).lower()
    return f"{word[: LONGEST - 9]}_{digest('view', context.step_key, context.name, key)[:8]}"


def shown_columns(names: Iterable[str]) -> list[str]:
    """Give the columns of a view names that are all different, also where case does not count, and not too long."""
    found: list[str] = []
    taken: set[str] = set()
    for place, name in enumerate(names, 1):
        legal = name.replace("\0", "").encode("utf-8", "replace")
        shown = legal[:LONGEST].decode("utf-8", "ignore") or f"column{place}"
        while shown.casefold() in taken:
            shown = f"{legal[: LONGEST - 8].decode('utf-8', 'ignore')}_{place}"
            place += len(taken)  # noqa: PLW2901 - another number is tried
        taken.add(shown.casefold())
        found.append(shown)
    return found
