"""Streams of record batches on their way from an op to an IO manager: what is known of them only at their end.

The op has returned by the time a stream is read: its IO manager pulls the batches, and a part of the op's own code
makes them. So what the engine does around an op's body is done here around its batches.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from memo.content import table_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["Digested", "guarded", "is_stream"]


def is_stream(value: object) -> bool:
    """Whether a value is a `pyarrow.RecordBatchReader`; nothing is imported to find out."""
    return isinstance(value, getattr(sys.modules.get("pyarrow"), "RecordBatchReader", ()))


def guarded(stream: Any, watched: AbstractContextManager[object], check: Callable[[], None]) -> Any:
    """Watch what a stream reads as the body of its op is watched, and check at its end that it may be stored.

    Args:
        stream: The op's.
        watched: Entered while the first batch is made, when a stream opens what it reads.
        check: Called after the last batch; what it raises reaches the IO manager, which then stores nothing.
    """

    def batches() -> Iterator[Any]:
        with watched:
            batch = _next(stream)
        while batch is not None:
            yield batch
            batch = _next(stream)
        check()

    return _reader(stream.schema, batches())


class Digested:
    """A stream whose content is digested as it passes.

    Attributes:
        stream: To be read instead of the one it is made of.
        content_digest: Of all that passed, the digest that a table of it has; None before the end.
        seconds: How long its batches took to be made.
    """

    def __init__(self, stream: Any, *, digested: bool, at_end: Callable[[], None]) -> None:
        self.content_digest: str | None = None
        self.seconds = 0.0
        self._source = stream
        self._digest = table_digest(stream.schema) if digested else None
        self._at_end = at_end
        self.stream = _reader(stream.schema, self._batches())

    def _batches(self) -> Iterator[Any]:
        while True:
            begun = perf_counter()
            batch = _next(self._source)
            self.seconds += perf_counter() - begun
            if batch is None:
                break
            if self._digest is not None:
                self._digest.update(batch)
            yield batch
        if self._digest is not None:
            self.content_digest = self._digest.result()
        self._at_end()


def _next(stream: Any) -> Any:
    try:
        return stream.read_next_batch()
    except StopIteration:
        return None


def _reader(schema: Any, batches: Iterator[Any]) -> Any:
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(schema, batches)
