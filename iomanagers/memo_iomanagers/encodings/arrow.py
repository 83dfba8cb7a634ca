"""The Arrow encoding: tables, arrays and streams of batches in Arrow IPC files, mapped when they are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo_iomanagers.encodings import tables
from memo_iomanagers.encodings.encoding import CannotEncodeError, Encoding, Written, type_name

if TYPE_CHECKING:
    from memo_iomanagers.encodings.encoding import Writable
    from memo_iomanagers.stored import Stored

__all__ = ["ArrowEncoding"]


class ArrowEncoding(Encoding):
    """Tables, arrays and streams of Arrow; frames of pandas and polars where they come back as they are.

    A stream is written batch by batch and read batch by batch: it may be larger than memory.
    """

    name = "arrow"
    suffix = "arrow"
    takes = "a pyarrow Table, RecordBatch, Array, ChunkedArray or RecordBatchReader, or a frame of pandas or polars"

    def refusal(self, value: Any) -> str | None:
        """Refuse what is of no Arrow type, and frames that would come back changed."""
        form = tables.form_of(value)
        if form is None:
            return f"it is a {type_name(value)}"
        return tables.frame_refusal(value, form, _through_file) if form in tables.FRAMES else None

    def keeps(self, value: Any) -> bool:
        """Not of dictionaries, extensions and unions, which the file format lays out anew."""
        form = tables.form_of(value)
        if form == tables.READER:
            return True
        if form in {tables.TABLE, tables.BATCH}:
            return all(tables.is_plain(field.type) for field in value.schema)
        return form in {tables.ARRAY, tables.CHUNKED} and tables.is_plain(value.type)

    def dump(self, value: Any, file: Writable) -> Written:
        """Write the batches; their buffers go to the file without being copied."""
        import pyarrow as pa

        form = tables.form_of(value)
        assert form is not None
        table = value if form == tables.READER else tables.as_table(value, form)
        begin, options = pa.ipc.new_file, pa.ipc.IpcWriteOptions(unify_dictionaries=True)
        batches: Any = [table]
        if form == tables.READER:
            batches = tables.batches_of(value)
            if not all(tables.is_plain(field.type) for field in table.schema):
                # Each batch may bring dictionaries of its own, for which the file format has no place.
                form, begin, options = tables.STREAM, pa.ipc.new_stream, None
        with pa.PythonFile(file, mode="w") as sink:
            writer = _told(begin, sink, table.schema, options=options)
            for batch in batches:
                _told(writer.write, batch)
            _told(writer.close)
        return Written(form)

    def load(self, stored: Stored, form: str, wanted: object) -> Any:
        """Give what was stored, or a stream or a table of it where the reader asks for one."""
        import pyarrow as pa

        asked = tables.wanted_form(form, wanted)
        if form == tables.STREAM:
            reader = pa.ipc.open_stream(pa.py_buffer(stored.read_only()))
            return reader if asked == tables.STREAM else tables.from_table(reader.read_all(), asked)
        if asked == tables.READER:
            data = stored.read_only()
            file = pa.ipc.open_file(pa.py_buffer(data))
            return tables.streamed(file.schema, _batches(file, data))
        file = pa.ipc.open_file(pa.py_buffer(stored.buffer()))
        return tables.from_table(file.read_all(), asked)


def _batches(file: Any, data: Any) -> Any:
    """The batches of a file, one after the other; what was mapped of one that is done with leaves memory."""
    forget = getattr(data, "madvise", None)
    for place in range(file.num_record_batches):
        yield file.get_batch(place)
        if forget is not None:
            from mmap import MADV_DONTNEED

            # Whoever still holds a batch gets its pages back from the page cache.
            forget(MADV_DONTNEED)


def _told(write: Any, *args: Any, **options: Any) -> Any:
    """Call Arrow, whose own complaints are about the value."""
    from pyarrow import ArrowException

    try:
        return write(*args, **options)
    except ArrowException as error:
        if isinstance(error, MemoryError):
            raise
        raise CannotEncodeError(f"Arrow cannot write it ({error})") from error


def _through_file(table: Any) -> Any:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_file(sink.getvalue()).read_all()
