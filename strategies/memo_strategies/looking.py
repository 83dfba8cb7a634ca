"""Names through which code can see what otherwise does not count: other things' names and docs, its own variables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from memo_strategies.flags import ANNOTATIONS, DOCS, MODULES, NAMES, ORDER, REFLECTS, SUBCLASSES, VARIABLES
from memo_strategies.instructions import HAS_NAME, NAME_SHIFT, OPS, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType

    from memo_strategies.instructions import Listing

REFLECTIVE = {
    "__annotations__": ANNOTATIONS,
    "__code__": REFLECTS | VARIABLES,
    "__dict__": ORDER,
    "__doc__": DOCS,
    "__module__": MODULES,
    "__name__": NAMES,
    "__orig_bases__": ANNOTATIONS,
    "__qualname__": NAMES,
    "__signature__": ANNOTATIONS,
    "__subclasses__": SUBCLASSES,
    "f_back": VARIABLES,
    "f_locals": VARIABLES,
    # Data frames name columns after the functions that made them.
    "agg": NAMES,
    "aggregate": NAMES,
    "pivot_table": NAMES,
}
"""Attributes through which code can see what otherwise does not count, with what they show."""

_DUNDERS = r"__[a-z]+(?:_[a-z]+)*__"


def looked_at_by(text: object) -> int:
    """What a text lets code look at that takes it for the name of an attribute, as ``getattr`` and formats do.

    >>> looked_at_by("{0.__name__}") == NAMES
    True
    """
    if type(text) is not str or "__" not in text:
        return 0
    flags = 0
    for name in re.findall(_DUNDERS, text):
        flags |= REFLECTIVE.get(name, 0)
    return flags


def texts_in(constant: Any) -> Iterator[str]:
    """Every text in a constant of a code object."""
    work = [constant]
    while work:
        each = work.pop()
        if type(each) is str:
            yield each
        elif type(each) is tuple or type(each) is frozenset:
            work += each


_SEES_LOCALS = frozenset({"eval", "exec", "f_locals", "locals"})
_SEES_LOCALS_ALONE = frozenset({"dir", "vars"})
_SOME_SEE_LOCALS = _SEES_LOCALS | _SEES_LOCALS_ALONE | {"query"}
_LOAD_CONST = OPS["LOAD_CONST"]
_PUSH_NULL = OPS["PUSH_NULL"]
_CALLS = numbers("PRECALL", "CALL")
_AFTER_A_LITERAL = numbers("PRECALL", "CALL", "KW_NAMES", "LOAD_CONST")
_STORES = numbers("STORE_FAST", "STORE_GLOBAL", "STORE_NAME", "STORE_DEREF", "RETURN_VALUE")


def sees_locals(code: CodeType, listing: Listing) -> bool:
    """Whether code can see the names of its local variables.

    ``vars`` and ``dir`` show them without arguments alone; ``query`` of a data frame where its text says ``@``.
    """
    if _SOME_SEE_LOCALS.isdisjoint(code.co_names):
        return False
    ops, args, names = listing.ops, listing.args, code.co_names
    for index, op in enumerate(ops[:-2]):
        if op not in HAS_NAME:
            continue
        name = names[args[index] >> NAME_SHIFT.get(op, 0)]
        given = index + 1 + (ops[index + 1] == _PUSH_NULL)
        after = ops[given]
        if name in _SEES_LOCALS:
            return True
        if name in _SEES_LOCALS_ALONE and (after in _STORES or (after in _CALLS and not args[given])):
            return True
        if name == "query" and not (after == _LOAD_CONST and ops[given + 1] in _AFTER_A_LITERAL):
            return True
        if name == "query" and any("@" in text for text in texts_in(code.co_consts)):
            return True
    return False
