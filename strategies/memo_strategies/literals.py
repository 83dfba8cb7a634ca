"""What an import that is a call is given, where that is written out: ``import_module("x")``, ``sys.modules["x"]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo_strategies.instructions import OPS, numbers

if TYPE_CHECKING:
    from types import CodeType

    from memo_strategies.instructions import Listing

_IMPORTERS = {"import_module", "__import__"}
_OF_THE_MODULE = {"__name__", "__package__"}
_ATTRIBUTES_AND_NULL = numbers("LOAD_ATTR", "LOAD_METHOD", "PUSH_NULL")
_CALLS = numbers("PRECALL", "CALL", "CALL_KW")
_BINARY_SUBSCR = OPS["BINARY_SUBSCR"]
_LOAD_CONST = OPS["LOAD_CONST"]
_LOAD_GLOBAL = OPS["LOAD_GLOBAL"]
_KW_NAMES = OPS.get("KW_NAMES", -1)


def literal_argument(code: CodeType, listing: Listing, index: int, words: tuple[str, ...]) -> str | None:
    """What is given to what is loaded at an index.

    Args:
        code: The code object.
        listing: Its instructions.
        index: Where something from outside is loaded.
        words: The names it is loaded by.

    Returns:
        The name of a module, with dots before it where it is relative to the package of the code; ``__name__`` for
        the module of the code itself; None where it is not an import, or its argument not written out.
    """
    is_importer = not _IMPORTERS.isdisjoint(words)
    if not is_importer and words[-1] != "modules":
        return None
    ops = listing.ops
    index += 1
    while index < len(ops) and ops[index] in _ATTRIBUTES_AND_NULL:
        index += 1
    text, after = _literal(code, listing, index), index + 1
    if text is None or after >= len(ops):
        return None
    if is_importer:
        return _module_named(code, listing, text, after)
    return text if ops[after] == _BINARY_SUBSCR else None


def _module_named(code: CodeType, listing: Listing, text: str, after: int) -> str | None:
    level = len(text) - len(text.lstrip("."))
    if text in _OF_THE_MODULE or text == "." * level:
        return None
    if listing.ops[after] in _CALLS:
        return text if listing.args[after] == 1 and not level else None
    package = _literal(code, listing, after)
    if package is None or package == "__name__" or not _ends_in_two(code, listing, after + 1):
        return None
    if not level or package == "__package__":
        return text
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{text[level:]}"


def _literal(code: CodeType, listing: Listing, index: int) -> str | None:
    """The text that an instruction loads: a constant, or by its name what a module says of itself."""
    if index >= len(listing.ops):
        return None
    op, arg = listing.ops[index], listing.args[index]
    if op == _LOAD_GLOBAL:
        name = code.co_names[arg >> 1]
        return name if name in _OF_THE_MODULE else None
    constant = code.co_consts[arg] if op == _LOAD_CONST else None
    return constant if type(constant) is str and constant else None


def _ends_in_two(code: CodeType, listing: Listing, index: int) -> bool:
    """Whether what was loaded is called with two arguments, of which the second may be named ``package``."""
    ops, args = listing.ops, listing.args
    if ops[index] in {_KW_NAMES, _LOAD_CONST} and code.co_consts[args[index]] == ("package",):
        index += 1
    return index < len(ops) and ops[index] in _CALLS and args[index] == 2
