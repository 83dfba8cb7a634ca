"""Functions made in a body: which variables they are over, what only annotates them, and who calls them."""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING

from memo_strategies.instructions import OPS, numbers

if TYPE_CHECKING:
    from memo_strategies.instructions import Listing

MAKE_FUNCTION = OPS["MAKE_FUNCTION"]
LOADS_VARIABLE = numbers("LOAD_FAST", "LOAD_DEREF", "LOAD_CLOSURE")
ANNOTATED, CLOSED = 4, 8
"""Flags of MAKE_FUNCTION and SET_FUNCTION_ATTRIBUTE."""

_MOST_AFTER = 4
"""How many arguments may follow a key."""

_NAMES_ARGUMENTS = numbers("KW_NAMES", "LOAD_CONST")
_LOADS = LOADS_VARIABLE | numbers("LOAD_CONST", "LOAD_GLOBAL")
_LOAD_GLOBAL = OPS["LOAD_GLOBAL"]
_PUSH_NULL = OPS["PUSH_NULL"]
_SET_FUNCTION_ATTRIBUTE = OPS.get("SET_FUNCTION_ATTRIBUTE", -1)
_BUILD_TUPLE = OPS["BUILD_TUPLE"]
_LOAD_CONST = OPS["LOAD_CONST"]


def closure(code: CodeType, listing: Listing, made: int) -> tuple[list[int], list[int]]:
    """Find the variables that a function is over.

    Args:
        code: The code object.
        listing: Its instructions.
        made: Where the function is made.

    Returns:
        The variables, by their places in the frame, in the order of the function's ``co_freevars``; and the
        instructions that do nothing but pass them. The order they are passed in is that of their names.
    """
    ops, args = listing.ops, listing.args
    inner = code.co_consts[args[made - 1]] if ops[made - 1] == _LOAD_CONST else None
    count = len(inner.co_freevars) if type(inner) is CodeType else 0
    begin = made - 2 - count
    if not count or begin < 0 or ops[made - 2] != _BUILD_TUPLE or args[made - 2] != count:
        return [], []
    if not LOADS_VARIABLE.issuperset(ops[begin : made - 2]):
        return [], []
    passing = [*range(begin, made - 1), *[index for index in _attributes_set(listing, made) if args[index] == CLOSED]]
    return args[begin : made - 2], passing


def annotating(listing: Listing, made: int) -> list[int]:
    """The instructions that only annotate a function: annotations are values on the stack."""
    args, after = listing.args, _attributes_set(listing, made)
    flags = args[made]
    for index in after:
        flags |= args[index]
    if not flags & ANNOTATED:
        return []
    end: int | None = made - 1  # the code object
    if flags & CLOSED:
        end = listing.items_before(made - 1, 1)
    begin = None if end is None else listing.items_before(end, 1)
    if begin is None or end is None:
        return []
    return [*range(begin, end), *[index for index in after if args[index] == ANNOTATED]]


def is_called_by_position(code: CodeType, listing: Listing, made: int) -> bool:
    """Whether a lambda is given to ``map`` or ``filter``, or as a ``key=``: none knows its parameters by name."""
    ops, args = listing.ops, listing.args
    inner = code.co_consts[args[made - 1]] if ops[made - 1] == _LOAD_CONST else None
    if type(inner) is not CodeType or inner.co_name != "<lambda>":
        return False
    before = made - 2 - (len(inner.co_freevars) + 1 if inner.co_freevars else 0)
    before -= before > 0 and ops[before] == _PUSH_NULL
    if before >= 0 and ops[before] == _LOAD_GLOBAL:
        return code.co_names[args[before] >> 1] in {"map", "filter"}
    after = _attributes_set(listing, made).stop
    for following in range(after, min(len(ops), after + _MOST_AFTER)):
        names = code.co_consts[args[following]] if ops[following] in _NAMES_ARGUMENTS else None
        if type(names) is tuple:
            return len(names) > following - after and names[after - following - 1] == "key"
        if ops[following] not in _LOADS:
            break
    return False


def _attributes_set(listing: Listing, made: int) -> range:
    """The instructions after a function is made that hang something onto it (3.13)."""
    ops, last = listing.ops, made + 1
    while last < len(ops) and ops[last] == _SET_FUNCTION_ATTRIBUTE:
        last += 1
    return range(made + 1, last)
