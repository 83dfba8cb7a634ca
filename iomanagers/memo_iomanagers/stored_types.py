"""Arrow's types and those of a database: what a column is stored as, and the way back, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import types

from memo.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["StoredColumns", "plain_type"]

_REMEDIES = (
    (types.is_dictionary, "cast it to its values"),
    (types.is_map, "make it a list of structs, or text (JSON)"),
    (types.is_nested, "unnest it, or make it text (JSON)"),
    (types.is_decimal, "cast it to a narrower decimal, or to text"),
)


def plain_type(kind: Any) -> Any | None:
    """Give the plainest type that holds all values of a scalar type, as many databases know it; None for others.

    Large and view strings are strings, half floats are floats, days counted in milliseconds are days.
    """
    for is_of_kind, plain in (
        (_is_text, pa.string()),
        (_is_bytes, pa.binary()),
        (types.is_float16, pa.float32()),
        (types.is_date, pa.date32()),
        (types.is_duration, pa.int64()),
    ):
        if is_of_kind(kind):
            return plain
    if types.is_decimal(kind):
        return pa.decimal128(kind.precision, kind.scale) if kind.precision <= 38 and kind.scale >= 0 else None
    if _is_number(kind) or types.is_null(kind):
        return kind
    return None


def _is_number(kind: Any) -> bool:
    return bool(types.is_boolean(kind) or types.is_integer(kind) or types.is_float32(kind) or types.is_float64(kind))


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: Any) -> bool:
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


class StoredColumns:
    """The columns of a table as a database keeps them.

    Args:
        schema: The table's own.
        stored_type: What a type is stored as; None for one that is not taken.
        names: What the columns are called there.
        place: The kind of database, for errors.
        where: The output, for the front of errors.
        empty: What a column of nulls is called that stands in for none at all.

    Attributes:
        own: The table's own schema.
        schema: As it is stored.

    Raises:
        StorageError: A column is of a type that is not taken.
    """

    def __init__(
        self,
        schema: Any,
        stored_type: Callable[[Any], Any | None],
        names: Sequence[str],
        *,
        place: str,
        where: str,
        empty: str,
    ) -> None:
        self.own = schema
        self._place = place
        self._where = where
        kinds = [self._stored(field, stored_type) for field in schema]
        fields = [pa.field(name, kind) for name, kind in zip(names, kinds, strict=True)]
        self.schema = pa.schema(fields or [pa.field(empty, pa.bool_())])

    def _stored(self, field: Any, stored_type: Callable[[Any], Any | None]) -> Any:
        found = None if isinstance(field.type, pa.BaseExtensionType) else stored_type(field.type)
        if found is None:
            remedy = next((text for is_of_kind, text in _REMEDIES if is_of_kind(field.type)), "cast it to another")
            raise StorageError(
                f"has the column {field.name!r} of type {field.type}, which {self._place} cannot keep as it is: "
                f"{remedy}",
                where=self._where,
            )
        return found

    def store(self, batch: Any) -> Any:
        """Give a batch of the table as it is stored.

        Raises:
            StorageError: A value does not fit.
        """
        if not len(self.own):
            if batch.num_rows:
                raise StorageError(
                    f"has {batch.num_rows} rows and no column, which no table can hold", where=self._where
                )
            return pa.RecordBatch.from_arrays([pa.nulls(0, pa.bool_())], schema=self.schema)
        columns = []
        for field, column, kept in zip(self.own, batch.columns, self.schema, strict=True):
            try:
                columns.append(_cast(column, kept.type))
            except pa.ArrowException as error:
                raise StorageError(
                    f"has the column {field.name!r} of type {field.type}, which {self._place} keeps as {kept.type}, "
                    f"and a value does not fit: {error}; round or cast it before",
                    where=self._where,
                ) from error
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def restore(self, batch: Any) -> Any:
        """Give a batch as it was before it was stored.

        Raises:
            pyarrow.ArrowException: It is not what was stored.
        """
        columns = [
            pa.nulls(batch.num_rows) if types.is_null(field.type) else _cast(column, field.type)
            for field, column in zip(self.own, batch.columns, strict=False)
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.own)


def _cast(column: Any, kind: Any) -> Any:
    if column.type.equals(kind):
        return column
    if (types.is_time32(column.type) and types.is_integer(kind)) or (
        types.is_time32(kind) and types.is_integer(column.type)
    ):
        column = column.cast(pa.int32())
    return column.cast(kind)
