"""What every definition has: a kind, a name, and a place in the user's files."""

from __future__ import annotations

import reprlib
from types import FunctionType

from memo.definition.names import called_at, described
from memo.errors import DefinitionError


class Definition:
    """An op, graph, job, resource or IO manager.

    Attributes:
        kind: What it is, in the user's words.
        name: Its own name.
    """

    kind: str
    name: str
    _location: str

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"

    @property
    def location(self) -> str:
        """Where its function stands, as ``file:line``; empty where that is unknown."""
        return self._location

    @property
    def where(self) -> str:
        """It and its place, for the front of an error: ``op 'clean' (flights.py:12)``."""
        return described(self.kind, self.name, self.location)


def check_function(fn: object, decorator: str) -> None:
    """Refuse what a decorator cannot make a definition of.

    Raises:
        DefinitionError: It is no function, or a definition already.
    """
    if type(fn) is FunctionType:
        return
    if isinstance(fn, Definition):
        raise DefinitionError(f"is made already; @{decorator} decorates a plain function", where=fn.where)
    if not callable(fn):
        raise DefinitionError(
            f"@{decorator} decorates a function, and got {reprlib.repr(fn)}; give all else by name", where=called_at()
        )
