"""Imports inside function bodies: which local name stands for what was imported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from memo_strategies.instructions import OPS, numbers

if TYPE_CHECKING:
    from types import CodeType

    from memo_strategies.instructions import Listing

_IMPORT_NAME = OPS["IMPORT_NAME"]
_IMPORT_FROM = OPS["IMPORT_FROM"]
_STORE_FAST = OPS["STORE_FAST"]
_LOAD_CONST = OPS["LOAD_CONST"]
_SWAP = OPS["SWAP"]
_LOADS = numbers("LOAD_FAST", "LOAD_FAST_CHECK")
_OTHER_USES = numbers("STORE_FAST", "DELETE_FAST", "LOAD_FAST_AND_CLEAR", "LOAD_CLOSURE", "MAKE_CELL")


class ImportedName(Struct, frozen=True):
    """What an import statement in a body binds.

    Attributes:
        level: How many leading dots.
        names: The modules to import, as written: several for ``import a.b; import a.c``, which bind one ``a``.
        whole: Whether the module named is meant itself; else the first part of its name.
        path: The attributes taken from there.
    """

    level: int
    names: tuple[str, ...]
    whole: bool
    path: tuple[str, ...] = ()


class BodyImports(Struct, frozen=True):
    """The imports of one code object, by instruction index.

    Attributes:
        loads: Loads of a local name that always stands for one import.
        escapes: Imports that are bound in another way: what they bring counts where it is imported.
        silent: Instructions that only carry the names of the imported.
    """

    loads: dict[int, ImportedName]
    escapes: dict[int, ImportedName]
    silent: set[int]


def find_body_imports(code: CodeType, listing: Listing) -> BodyImports:
    """Find what the import statements of a body bind, and where it is loaded."""
    ops, args = listing.ops, listing.args
    bound: dict[int, list[tuple[int, ImportedName]]] = {}
    escapes: dict[int, ImportedName] = {}
    silent: set[int] = set()
    stores: set[int] = set()
    for index, op in enumerate(ops):
        if op != _IMPORT_NAME:
            continue
        level, fromlist = (code.co_consts[args[index - back]] for back in (2, 1))
        silent |= {index - 1, index - 2}
        found = ImportedName(level, (code.co_names[args[index]],), whole=bool(fromlist))
        for at, store, name in _bindings(code, listing, index, found):
            if store is None or args[store] >= code.co_nlocals:
                escapes[at] = name
            else:
                stores.add(store)
                bound.setdefault(args[store], []).append((at, name))
    names = {
        local: joined
        for local, found_here in bound.items()
        if (joined := _joined([name for _, name in found_here]))
        and not any(op in _OTHER_USES and args[index] == local and index not in stores for index, op in enumerate(ops))
    }
    for local, found_here in bound.items():
        if local not in names:
            escapes.update(found_here)
    loads = {index: names[args[index]] for index, op in enumerate(ops) if op in _LOADS and args[index] in names}
    return BodyImports(loads, escapes, silent)


def _bindings(
    code: CodeType,
    listing: Listing,
    index: int,
    found: ImportedName,
) -> list[tuple[int, int | None, ImportedName]]:
    """What one IMPORT_NAME binds, as (where, the instruction that stores it in a local, what)."""
    ops, args = listing.ops, listing.args
    if ops[index + 1] == _STORE_FAST:
        return [(index, index + 1, found)]
    if ops[index + 1] != _IMPORT_FROM:
        return [(index, None, found)]
    bindings: list[tuple[int, int | None, ImportedName]] = []
    index += 1
    while ops[index] == _IMPORT_FROM:
        taken = ImportedName(found.level, found.names, found.whole, (*found.path, code.co_names[args[index]]))
        if ops[index + 1] == _SWAP:  # import a.b.c as x: one step along the dotted name
            found = taken
            index += 3
        else:
            bindings.append((index, index + 1 if ops[index + 1] == _STORE_FAST else None, taken))
            index += 2
    return bindings


def _joined(found: list[ImportedName]) -> ImportedName | None:
    """One name for all that a local is bound to; None where it may stand for different things."""
    first = found[0]
    if all(other == first for other in found):
        return first
    tops = {other.names[0].partition(".")[0] for other in found}
    if len(tops) == 1 and not any(other.whole or other.path or other.level for other in found):
        return ImportedName(0, tuple(dict.fromkeys(other.names[0] for other in found)), whole=False)
    return None
