"""Tables as ops return and take them (pandas, polars, pyarrow, DuckDB), to Arrow and back without loss.

What cannot go there and back as it was is refused, with what to do about it: a table that came back a little
different would be a wrong value, and nobody would know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from pyarrow import types

from memo.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PANDAS", "POLARS", "PYARROW", "READER", "RELATION", "TakenTable", "as_kind", "kind_wanted", "take"]

PANDAS, POLARS, PYARROW, READER, RELATION = "pandas", "polars", "pyarrow", "reader", "relation"
_KINDS = {
    ("pandas", "DataFrame"): PANDAS,
    ("polars", "DataFrame"): POLARS,
    ("pyarrow", "Table"): PYARROW,
    ("pyarrow", "RecordBatchReader"): READER,
    ("duckdb", "DuckDBPyRelation"): RELATION,
}
_BATCH_ROWS = 1 << 16


class TakenTable(Struct, frozen=True):
    """A table on its way into a storage.

    Attributes:
        kind: What it was: one of the constants above.
        schema: As Arrow sees it, with what pandas needs to be given the same frame back.
        source: Its content, to be read once.
        streams: Whether reading it runs code of the user's, and may take long.
    """

    kind: str
    schema: Any
    source: Any
    streams: bool = False

    def batches(self) -> Iterator[Any]:
        """Read the content, piece by piece."""
        if not self.streams:
            yield from self.source.to_batches(max_chunksize=_BATCH_ROWS)
            return
        for batch in self.source:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield batch.slice(start, _BATCH_ROWS)


def _kind_of(cls: Any) -> str | None:
    """The kind of table a class is, told by its name: a package that is not imported need not be."""
    if not isinstance(cls, type):
        return None
    for each in cls.__mro__:
        found = _KINDS.get((each.__module__.partition(".")[0].lstrip("_"), each.__name__))
        if found is not None:
            return found
    return None


def kind_wanted(declared: Any, stored: str) -> str:
    """The kind of table that an input is declared to be; the one that was stored where it says nothing of tables."""
    found = {kind for each in (declared, *get_args(declared)) if (kind := _kind_of(each)) is not None}
    return found.pop() if len(found) == 1 else stored


def take(value: Any, where: str) -> TakenTable:
    """See what kind of table a value is, and get at its content.

    Args:
        value: What an op returned.
        where: The output, for the front of errors.

    Raises:
        StorageError: It is no table, or would not come back as it is.
    """
    kind = _kind_of(type(value))
    if kind == PANDAS:
        return _take_pandas(value, where)
    if kind == POLARS:
        return _take_polars(value, where)
    if kind == PYARROW:
        return TakenTable(PYARROW, value.schema, value)
    if kind == READER:
        return TakenTable(READER, value.schema, value, streams=True)
    if kind == RELATION:
        reader = pa.RecordBatchReader.from_stream(value)
        return TakenTable(RELATION, reader.schema, reader, streams=True)
    remedy = ""
    if type(value).__name__ == "LazyFrame":
        remedy = ": collect() it"
    elif isinstance(value, pa.RecordBatch):
        remedy = ": wrap it, pyarrow.Table.from_batches([…])"
    raise StorageError(
        f"is a value of type {type(value).__module__}.{type(value).__qualname__}, which is no table{remedy}; this IO "
        "manager takes a DataFrame of pandas or polars, a pyarrow.Table or RecordBatchReader, or a DuckDB relation",
        where=where,
    )


def _take_pandas(frame: Any, where: str) -> TakenTable:
    import pandas as pd

    if type(frame) is not pd.DataFrame:
        raise StorageError(
            f"is a {type(frame).__name__}, which would come back as a plain DataFrame: return pandas.DataFrame(…) of "
            "it",
            where=where,
        )
    if not frame.index.equals(pd.RangeIndex(len(frame))) or type(frame.index) is not pd.RangeIndex:
        raise StorageError(
            "has an index of its own, which a table of a database has not: reset_index() makes it columns, "
            "reset_index(drop=True) leaves it out",
            where=where,
        )
    if frame.index.name is not None or frame.columns.names != [None]:
        raise StorageError(
            "has a name on its index or its columns, which a table of a database has not: rename_axis(None) and "
            "rename_axis(columns=None) take them off",
            where=where,
        )
    _check_pandas_columns(frame, where)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        back = table.slice(0, 0).to_pandas()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise StorageError(f"cannot be made an Arrow table: {error}", where=where) from error
    for place, name in enumerate(frame.columns):
        if (
            str(frame.dtypes.iloc[place]) in {"Float32", "Float64"}
            and pc.call_function("any", [pc.call_function("is_nan", [table.column(place)])]).as_py()
        ):
            raise StorageError(
                f"has NaN beside NA in the column {name!r}, which would come back as NA: make it one of the two",
                where=where,
            )
        if back.dtypes.iloc[place] != frame.dtypes.iloc[place]:
            raise StorageError(
                f"has the column {name!r} of dtype {frame.dtypes.iloc[place]}, which would come back as "
                f"{back.dtypes.iloc[place]}: make it that with astype()",
                where=where,
            )
    if back.attrs != frame.attrs:
        raise StorageError("has attrs that would be lost: clear them, frame.attrs = {}", where=where)
    return TakenTable(PANDAS, table.schema, table)


def _check_pandas_columns(frame: Any, where: str) -> None:
    names = list(frame.columns)
    for name in names:
        if type(name) is not str:
            raise StorageError(
                f"has a column named {name!r}, a {type(name).__name__}: the columns of a table are named by strings, "
                "as frame.columns = [str(name) for name in frame.columns] makes them",
                where=where,
            )
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise StorageError(f"has two columns named {twice!r}: rename one", where=where)
    if len(frame) and not names:
        raise StorageError(f"has {len(frame)} rows and no column, which no table can hold", where=where)
    for name in names:
        dtype = str(frame[name].dtype)
        if dtype == "object":
            raise StorageError(
                f"has the column {name!r} of dtype object, which may hold anything and would come back as something "
                "else: give it a type, as astype('string') or astype('int64') do",
                where=where,
            )
        if dtype == "category":
            raise StorageError(
                f"has the column {name!r} of categories, which would be lost: astype(frame[{name!r}].cat.categories."
                "dtype) keeps the values",
                where=where,
            )


def _take_polars(frame: Any, where: str) -> TakenTable:
    import polars as pl

    try:
        table = frame.to_arrow()
        back: Any = pl.from_arrow(table.slice(0, 0))
    except Exception as error:
        raise StorageError(f"cannot be made an Arrow table: {error}", where=where) from error
    for name, dtype in frame.schema.items():
        kind = str(dtype.base_type())
        if kind in {"Categorical", "Enum"}:
            raise StorageError(
                f"has the column {name!r} of categories, which would be lost: cast(pl.String) keeps the values",
                where=where,
            )
        if back.schema[name] != dtype:
            raise StorageError(
                f"has the column {name!r} of type {dtype}, which would come back as {back.schema[name]}: cast it",
                where=where,
            )
    return TakenTable(POLARS, table.schema, table)


def as_kind(kind: str, table: Any, *, stored: str) -> Any:
    """Make of an Arrow table what a reader wants.

    Args:
        kind: What is wanted; not `READER`.
        table: With the schema that it was stored with.
        stored: The kind that it was stored as.

    Raises:
        ImportError: The package of that kind is not installed.
    """
    if kind == PANDAS:
        return _to_pandas(table, own=stored == PANDAS)
    if kind == POLARS:
        import polars as pl

        return pl.from_arrow(table)
    if kind == RELATION:
        import duckdb

        return duckdb.connect(config={"autoinstall_known_extensions": False}).from_arrow(table)
    return table


def _to_pandas(table: Any, *, own: bool) -> Any:
    if own:
        return table.to_pandas()
    import pandas as pd

    # pandas would make floats of integers and objects of booleans where there are nulls.
    nullable = {column.type for column in table.itercolumns() if column.null_count and _needs_nullable(column.type)}
    mapper = {kind: pd.api.types.pandas_dtype(_nullable_name(kind)) for kind in nullable}
    return table.to_pandas(types_mapper=mapper.get)


def _needs_nullable(kind: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_boolean(kind))


def _nullable_name(kind: Any) -> str:
    if types.is_boolean(kind):
        return "boolean"
    return f"{'Int' if types.is_signed_integer(kind) else 'UInt'}{kind.bit_width}"
