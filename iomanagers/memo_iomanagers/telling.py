"""How errors speak of an output: where it is in the user's words, and what becomes of it where it is not whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.errors import OutputLostError

if TYPE_CHECKING:
    from memo.contracts.io_manager import OutputContext

__all__ = ["REMEDY", "lost", "where_of"]

REMEDY = "it counts as not stored, and is made again when it is needed"


def where_of(context: OutputContext) -> str:
    """An output, for the front of errors."""
    return f"output {context.name!r} of step {context.step_key!r}"


def lost(context: OutputContext, what: str) -> OutputLostError:
    """Make the error of an output that is not there, or not whole."""
    return OutputLostError(f"{what}; {REMEDY}", where=where_of(context))
