"""The digest of a table's rows as they stream by, and a file aside for rows that must wait."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from memo.content import table_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Spool", "TableDigest"]


class TableDigest:
    """Hashes rows by type and content, however they are cut into batches.

    It is not the content digest of the engine: that one knows the release of pyarrow as well, and which NaN is which.

    Attributes:
        rows: How many there were so far.
        size: Bytes they took in memory.
    """

    def __init__(self, schema: Any) -> None:
        self._values = table_digest(schema)
        self.rows = 0
        self.size = 0

    def add(self, batch: Any) -> None:
        """Take the next rows."""
        self.rows += batch.num_rows
        self.size += batch.nbytes
        columns = [_one_nan(column) for column in batch.columns]
        self._values.update(pa.RecordBatch.from_arrays(columns, schema=batch.schema))

    def watch(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Pass batches on as they are taken."""
        for batch in batches:
            self.add(batch)
            yield batch

    def hexdigest(self) -> str:
        """The digest of all rows so far."""
        found = self._values.of_values()
        if found is None:
            raise TypeError("a column is of a type whose content cannot be compared")
        return found


def _one_nan(column: Any) -> Any:
    """Every NaN as one and the same: databases do not keep which of them it was."""
    if not types.is_float32(column.type) and not types.is_float64(column.type):
        return column
    is_nan = pc.call_function("is_nan", [column])
    if not pc.call_function("any", [is_nan]).as_py():
        return column
    return pc.call_function("if_else", [is_nan, pa.scalar(float("nan"), column.type), column])


class Spool:
    """Rows written to a file that has no name, so that nothing is left of it however the process ends.

    Args:
        folder: Where there is space for it; the system's folder for such files where it is None.
    """

    def __init__(self, schema: Any, batches: Iterable[Any], folder: str | None = None) -> None:
        from tempfile import mkstemp

        descriptor, name = mkstemp(prefix=".memo-", dir=folder)
        try:
            sink, self._source = pa.OSFile(name, "w"), pa.OSFile(name, "r")
        finally:
            os.unlink(name)
            os.close(descriptor)
        with sink, pa.ipc.new_stream(sink, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)

    def reader(self) -> Any:
        """A `pyarrow.RecordBatchReader` of the rows, once; the file goes when the reader does."""
        return pa.ipc.open_stream(self._source)
