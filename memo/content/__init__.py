"""The digest of a value's content: what early cutoff compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memo.content.tables import TableDigest

__all__ = ["content_digest", "table_digest"]


def content_digest(value: object) -> str | None:
    """Take the digest of a value's content.

    Equal digests mean equal values; equal plain data, arrays and tables have equal digests, however they lie in
    memory, in every process.

    Returns:
        32 hexadecimal digits, or None where the value has no digest: where there is an instance of a class of the
        user's, or a function of theirs, anywhere within it, or something that cannot be pickled.

    >>> content_digest([1, "a"]) == content_digest([1, "".join(["a"])])
    True
    """
    from memo.content.digesting import take_digest  # which needs pickle: a run that stores nothing does not

    return take_digest(value)


def table_digest(schema: Any) -> TableDigest:
    """Begin the digest of a table that comes batch by batch; it is that of the whole table.

    Args:
        schema: The Arrow schema of the batches.
    """
    from memo.content.tables import TableDigest

    return TableDigest(schema)
