"""The digest of a value's content: what early cutoff compares."""

from memo.content.digesting import content_digest

__all__ = ["content_digest"]
