"""What every definition has: a kind, a name, and a place in the user's files."""

from __future__ import annotations

from memo.definition.names import described


class Definition:
    """An op, graph, job, resource or IO manager.

    Attributes:
        kind: What it is, in the user's words.
        name: Its own name.
        location: Where its function stands, as ``file:line``; empty where that is unknown.
    """

    kind: str
    name: str
    location: str

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"

    @property
    def where(self) -> str:
        """It and its place, for the front of an error: ``op 'clean' (flights.py:12)``."""
        return described(self.kind, self.name, location=self.location)
