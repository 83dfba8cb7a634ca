"""Imports inside function bodies: which local name stands for what was imported."""

from __future__ import annotations

import sys
from types import CodeType

from msgspec import Struct

from memo_strategies.instructions import JUMPS, OPS, Listing, numbers, parameter_count, variables_of

_IMPORT_NAME = OPS["IMPORT_NAME"]
_IMPORT_FROM = OPS["IMPORT_FROM"]
_STORES = numbers("STORE_FAST", "STORE_DEREF")
_LOAD_DEREF = OPS["LOAD_DEREF"]
_POP_TOP = OPS["POP_TOP"]
_SWAP = OPS["SWAP"]
_LOADS = numbers("LOAD_FAST", "LOAD_FAST_CHECK")
_OTHER_USES = numbers(
    "STORE_FAST", "DELETE_FAST", "LOAD_FAST_AND_CLEAR", "STORE_DEREF", "DELETE_DEREF", "LOAD_CLASSDEREF",
    "LOAD_FROM_DICT_OR_DEREF",
)  # fmt: skip


class ImportedName(Struct, frozen=True, array_like=True, gc=False):
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
        escapes: Imports that are bound in another way, or not loaded: what they bring counts where it is imported.
        silent: Instructions that only carry the names of the imported, or nothing but what `loads` says.
        handed_down: What variables stand for that functions within load as well.
    """

    loads: dict[int, ImportedName]
    escapes: dict[int, ImportedName]
    silent: set[int]
    handed_down: dict[str, ImportedName]


class _Statement(Struct):
    """One import statement: where it begins and ends, and what it binds, as (where, store or None, what)."""

    index: int
    end: int
    module: ImportedName
    bindings: list[tuple[int, int | None, ImportedName]]


def find_body_imports(
    code: CodeType, listing: Listing, variables: tuple[str, ...], given: dict[str, ImportedName]
) -> BodyImports:
    """Find what the import statements of a body bind, and where it is loaded.

    Args:
        code: The code object.
        listing: Its instructions.
        variables: Its variables, by their places in the frame: those of functions around it are the last.
        given: What variables of functions around it stand for.
    """
    ops, args = listing.ops, listing.args
    first_free = len(variables) - len(code.co_freevars)
    statements = [_statement(code, listing, index) for index, op in enumerate(ops) if op == _IMPORT_NAME]
    bound: dict[int, list[tuple[int, ImportedName]]] = {}
    escapes: dict[int, ImportedName] = {}
    stores: set[int] = set()
    for statement in statements:
        for at, store, name in statement.bindings:
            if store is None or not parameter_count(code) <= args[store] < first_free:
                escapes[at] = name
            else:
                stores.add(store)
                bound.setdefault(args[store], []).append((at, name))
    names = {
        local: joined
        for local, found_here in bound.items()
        if (joined := _joined([name for _, name in found_here]))
        and not any(op in _OTHER_USES and args[index] == local and index not in stores for index, op in enumerate(ops))
        and _only_loaded_within(code, variables[local])
    }
    for local, found_here in bound.items():
        if local not in names:
            escapes.update(found_here)
    cells = {local for local in names if variables[local] in code.co_cellvars}
    names |= {place: given[name] for place, name in enumerate(variables) if place >= first_free and name in given}
    loads = {
        index: names[args[index]]
        for index, op in enumerate(ops)
        if args[index] in names
        and (op == _LOAD_DEREF if args[index] in cells or args[index] >= first_free else op in _LOADS)
    }
    silent = {at for statement in statements for at in (statement.index - 1, statement.index - 2)}
    loaded = {args[index] for index in loads} | cells
    straight = _straight(listing)
    for statement in statements:
        locals_of = {args[store] for _, store, _ in statement.bindings if store in stores}
        if any(at in escapes for at, _, _ in statement.bindings) or not locals_of:
            continue
        is_used = not locals_of.isdisjoint(loaded)
        if statement.end <= straight and (is_used or _is_standard(statement.module)):
            silent.update(range(statement.index, statement.end))
        elif not is_used:  # it is there for what the module does when it is imported
            escapes[statement.index] = statement.module
            escapes.update({at: name for at, _, name in statement.bindings if name.path})
    handed_down = {variables[place]: found for place, found in names.items() if place in cells or place >= first_free}
    return BodyImports(loads, escapes, silent, handed_down)


def _only_loaded_within(code: CodeType, name: str) -> bool:
    """Whether the functions within, if they use a variable at all, do nothing but load it."""
    work = [each for each in code.co_consts if type(each) is CodeType and name in each.co_freevars]
    while work:
        inner = work.pop()
        listing = Listing(inner)
        place = len(variables_of(inner)) - len(inner.co_freevars) + inner.co_freevars.index(name)
        if any(op in _OTHER_USES and listing.args[index] == place for index, op in enumerate(listing.ops)):
            return False
        work += [each for each in inner.co_consts if type(each) is CodeType and name in each.co_freevars]
    return True


def _straight(listing: Listing) -> int:
    """How far control comes in any case, and no handler is over it."""
    for index, op in enumerate(listing.ops):
        if op in JUMPS or index in listing.targets or listing.handlers[index] is not None:
            return index
    return len(listing.ops)


def _is_standard(module: ImportedName) -> bool:
    return not module.level and module.names[0].partition(".")[0] in sys.stdlib_module_names


def _statement(code: CodeType, listing: Listing, index: int) -> _Statement:
    ops, args = listing.ops, listing.args
    level, fromlist = (code.co_consts[args[index - back]] for back in (2, 1))
    name = code.co_names[args[index]]
    found = ImportedName(level, (name,), whole=bool(fromlist))
    module = ImportedName(level, (name,), whole=True)
    if ops[index + 1] in _STORES:
        return _Statement(index, index + 2, module, [(index, index + 1, found)])
    if ops[index + 1] != _IMPORT_FROM:
        return _Statement(index, index + 1, module, [(index, None, found)])
    bindings: list[tuple[int, int | None, ImportedName]] = []
    at = index + 1
    while ops[at] == _IMPORT_FROM:
        taken = ImportedName(found.level, found.names, found.whole, (*found.path, code.co_names[args[at]]))
        if ops[at + 1] == _SWAP:  # import a.b.c as x: one step along the dotted name
            found = taken
            at += 3
        else:
            bindings.append((at, at + 1 if ops[at + 1] in _STORES else None, taken))
            at += 2
    return _Statement(index, at + (ops[at] == _POP_TOP), module, bindings)


def _joined(found: list[ImportedName]) -> ImportedName | None:
    """One name for all that a local is bound to; None where it may stand for different things."""
    first = found[0]
    if all(other == first for other in found):
        return first
    tops = {other.names[0].partition(".")[0] for other in found}
    if len(tops) == 1 and not any(other.whole or other.path or other.level for other in found):
        return ImportedName(0, tuple(dict.fromkeys(other.names[0] for other in found)), whole=False)
    return None
