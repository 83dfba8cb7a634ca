"""What is to be known of a code object: a hash that layout, comments, docstrings and names of functions cannot change.

What the code loads from outside (globals, imports in the body) is left open: each is a `Hole`, filled when the
function is followed. How a code object is read is told in `code_reader`.
"""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.hashing import digest, value_digest
from memo_strategies.body_imports import ImportedName

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOKKEEPING = frozenset({"__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"})
"""What a class body stores by itself: where the class stands, and its docstring."""


class Place(Struct, frozen=True, array_like=True, gc=False):
    """An instruction: the constants that lead to its code object from the outermost one, and its offset."""

    path: tuple[int, ...]
    offset: int


class Hole(Struct, frozen=True, array_like=True, gc=False):
    """Something that code loads from outside, and the attributes it takes from there at once.

    Attributes:
        name: The global's name; empty for an import in the body.
        imported: What an import in the body brings.
        attributes: The chain of attributes loaded right after.
        local_first: Whether a class body may have a name of its own that comes first.
        argument: What it is called or asked with, where that is written out: for ``import_module`` and ``__import__``
            the module's name, for ``sys.modules`` the key.
        key: The same for all holes that stand for the same thing in one namespace.
        place: Where it is loaded first.
    """

    name: str
    imported: ImportedName | None
    attributes: tuple[str, ...]
    local_first: bool
    argument: str | None
    key: str
    place: Place

    @property
    def label(self) -> str:
        """The names as the author wrote them."""
        start = (self.name,) if self.imported is None else (*self.imported.names, *self.imported.path)
        return ".".join((*start, *self.attributes))


class CodeSummary(Struct, frozen=True, array_like=True, gc=False):
    """What is to be known of a code object; nothing in it depends on where the code stands.

    Attributes:
        hash: Of everything but the holes.
        holes: In the order control meets them, those of nested code included.
        free: The variables of functions around it, in the order it meets them.
        rebinds: The globals that it assigns or deletes.
        rebinds_free: Those of `free` that it does.
        flags: What is special about it, as a node has it (`memo_strategies.flags`).
        file_reads: Where it calls methods that read files, with the method's name.
    """

    hash: str
    holes: tuple[Hole, ...] = ()
    free: tuple[str, ...] = ()
    rebinds: tuple[str, ...] = ()
    rebinds_free: tuple[str, ...] = ()
    flags: int = 0
    file_reads: tuple[tuple[str, Place], ...] = ()

    @property
    def named_hash(self) -> str:
        """The hash with the names in the holes, as the author reads them."""
        return digest("named code", self.hash, *[hole.label for hole in self.holes]) if self.holes else self.hash


def line_of(code: CodeType, place: Place) -> int:
    """The line of an instruction of ``code`` or of the code nested in it."""
    for index in place.path:
        code = code.co_consts[index]
    for start, end, line in code.co_lines():
        if start <= place.offset < end and line is not None:
            return int(line)
    return code.co_firstlineno


def nested_code(code: CodeType) -> Iterator[CodeType]:
    """Every code object within another, outer ones first."""
    for constant in code.co_consts:
        if type(constant) is CodeType:
            yield constant
            yield from nested_code(constant)


def constant_token(constant: Any) -> str:  # noqa: PLR0911 - a table of types, and they may not be hashed
    """Write a constant of a code object by type and value: 1, 1.0, True and -0.0 all differ."""
    kind = type(constant)
    if kind is str:
        return f"s{constant}"
    if constant is None:
        return "N"
    if kind is int:
        return f"i{constant:x}"
    if kind is tuple:
        return "t" + digest("tuple", *map(constant_token, constant))
    if kind is frozenset:
        # Its own order follows the hash seed.
        return "z" + digest("frozenset", *sorted(map(constant_token, constant)))
    if constant is ...:
        return "E"
    return "v" + value_digest(constant)
