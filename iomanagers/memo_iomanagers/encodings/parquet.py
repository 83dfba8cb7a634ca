"""The Parquet encoding: tables, streams and frames in compressed columns that every data tool reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo_iomanagers.encodings import tables
from memo_iomanagers.encodings.encoding import CannotEncodeError, Encoding, Written, type_name

if TYPE_CHECKING:
    from memo_iomanagers.encodings.encoding import Writable
    from memo_iomanagers.stored import Stored

__all__ = ["ParquetEncoding"]

_SCHEMA = b"ARROW:schema"


class ParquetEncoding(Encoding):
    """Tables and streams of Arrow, frames of pandas and polars, where they come back as they are.

    Types that Parquet does not have are kept beside the data, and restored: times in seconds, wide offsets.
    """

    name = "parquet"
    suffix = "parquet"
    takes = "a pyarrow Table or RecordBatchReader, or a frame of pandas or polars"

    def refusal(self, value: Any) -> str | None:
        """Refuse what is no table, and tables that would come back changed."""
        form = tables.form_of(value)
        if form in tables.FRAMES:
            return tables.frame_refusal(value, form, _through_file)
        if form not in {tables.TABLE, tables.READER}:
            return f"it is a {type_name(value)}"
        if len(value.schema) == 0 and (form == tables.READER or value.num_rows):
            return "it has rows and no columns"
        try:
            back = _through_file(value.schema.empty_table()).schema
        except Exception as error:  # noqa: BLE001 - Arrow raises what it likes of types that Parquet does not have
            return f"its schema cannot be written ({error})"
        return None if back.equals(value.schema, check_metadata=True) else f"its schema would come back as {back}"

    def dump(self, value: Any, file: Writable) -> Written:
        """Write the table in groups of rows; of a stream, a group for each batch."""
        import pyarrow as pa

        form = tables.form_of(value)
        assert form is not None
        table = value if form == tables.READER else tables.as_table(value, form)
        batches = tables.batches_of(value) if form == tables.READER else [table]
        with pa.PythonFile(file, mode="w") as sink:
            writer = _writer(sink, table.schema)
            try:
                for batch in batches:
                    _write(writer, batch)
            except BaseException:
                writer.is_open = False  # or it would write the end of the file when it is collected
                raise
            writer.close()
        return Written(form)

    def load(self, stored: Stored, form: str, wanted: object) -> Any:
        """Give what was stored, or a stream or a table of it where the reader asks for one."""
        import pyarrow as pa
        from pyarrow import parquet

        file = parquet.ParquetFile(pa.BufferReader(pa.py_buffer(stored.read_only())))
        schema = _schema(file)
        asked = tables.wanted_form(form, wanted)
        if asked == tables.READER:
            return tables.streamed(schema, (batch.cast(schema) for batch in file.iter_batches()))
        return tables.from_table(file.read().cast(schema), asked)


def _writer(sink: Any, schema: Any) -> Any:
    from pyarrow import parquet

    return parquet.ParquetWriter(sink, schema, compression="zstd")


def _write(writer: Any, batch: Any) -> None:
    from pyarrow import ArrowException

    try:
        writer.write(batch)
    except ArrowException as error:
        if isinstance(error, MemoryError):
            raise
        raise CannotEncodeError(f"Parquet cannot hold it ({error})") from error


def _schema(file: Any) -> Any:
    """The schema that was written, before Parquet made its own of it."""
    from base64 import b64decode

    import pyarrow as pa

    kept = (file.metadata.metadata or {}).get(_SCHEMA)
    return file.schema_arrow if kept is None else pa.ipc.read_schema(pa.py_buffer(b64decode(kept)))


def _through_file(table: Any) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    with _writer(sink, table.schema) as writer:
        writer.write(table)
    file = parquet.ParquetFile(pa.BufferReader(sink.getvalue()))
    return file.read().cast(_schema(file))
