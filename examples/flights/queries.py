"""SQL over Arrow tables: DuckDB reads them where they are and gives one back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


def query(connection: Any, sql: str, *, parameters: Mapping[str, Any] | None = None, **tables: pa.Table) -> pa.Table:
    """Run one SELECT over tables given by name.

    Args:
        connection: A DuckDB connection.
        sql: The statement. With an ORDER BY over a key, because DuckDB works in threads and promises no order.
        parameters: Values for ``$name`` in it.
        tables: What it may select from.
    """
    for name, table in tables.items():
        connection.register(name, table)
    try:
        return connection.sql(sql, params=parameters).to_arrow_table()
    finally:
        for name in tables:
            connection.unregister(name)
