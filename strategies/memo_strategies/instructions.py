"""The instructions of a code object, read straight from its bytes, in an order that layout cannot change.

The compiler lays blocks out, threads jumps, inverts branches and fuses instructions partly by line number, so two
layouts of one text can give two different streams. Here jumps dissolve into edges, and instructions are listed
as they are met walking those edges: fall-through first, then the targets in the order they were named.

Written for CPython 3.11, 3.12 and 3.13. ``dis`` would give the same ten times slower.
"""

from __future__ import annotations

import opcode
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType

OPS = opcode.opmap
"""The number of each instruction by name, in the running interpreter."""


def numbers(*names: str) -> frozenset[int]:
    """The numbers of those of the named instructions that this Python has."""
    return frozenset(OPS[name] for name in names if name in OPS)


LOADS_CONSTANT = frozenset(opcode.hasconst) | numbers("KW_NAMES")
HAS_NAME = frozenset(opcode.hasname)
HAS_LOCAL = frozenset(opcode.haslocal) | frozenset(opcode.hasfree)
JUMPS = frozenset(opcode.hasjrel)

NAME_SHIFT = {OPS["LOAD_GLOBAL"]: 1}
"""How many low bits of an instruction's argument are flags; the rest is the index of a name."""
if sys.version_info >= (3, 12):
    NAME_SHIFT[OPS["LOAD_ATTR"]] = 1
    NAME_SHIFT[OPS["LOAD_SUPER_ATTR"]] = 2

_CACHE = 0
_EXTENDED_ARG = OPS["EXTENDED_ARG"]
_IGNORED = numbers("NOP", "RESUME")
_BACKWARD = frozenset(number for name, number in OPS.items() if "BACKWARD" in name)
_GOTO = numbers("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")
_RETURN = OPS["RETURN_VALUE"]
_ENDS = numbers("RETURN_VALUE", "RAISE_VARARGS", "RERAISE")
_COPY = OPS["COPY"]
_TO_BOOL = OPS.get("TO_BOOL", -1)
_QUIET = numbers(
    "LOAD_FAST", "STORE_FAST", "LOAD_CONST", "COPY", "SWAP", "POP_TOP", "LOAD_CLOSURE", "PUSH_NULL", "RETURN_VALUE"
)
"""Instructions that cannot raise: which handler covers them is the compiler's affair."""
_OPENS = numbers("LOAD_FAST") if sys.version_info < (3, 12) else frozenset[int]()
"""Of these what may raise all the same, where a variable is not bound: it may be all that a handler is for."""

_FUSED = {
    OPS[fused]: (OPS[first], OPS[second])
    for fused, first, second in (
        ("LOAD_FAST_LOAD_FAST", "LOAD_FAST", "LOAD_FAST"),
        ("STORE_FAST_LOAD_FAST", "STORE_FAST", "LOAD_FAST"),
        ("STORE_FAST_STORE_FAST", "STORE_FAST", "STORE_FAST"),
    )
    if fused in OPS
}
_RETURN_CONST = OPS.get("RETURN_CONST", -1)
_LOAD_CONST = OPS["LOAD_CONST"]

_HAS_ARGUMENT: frozenset[int] = (
    frozenset(opcode.hasarg)  # type: ignore[attr-defined, unused-ignore]
    if sys.version_info >= (3, 13)
    else frozenset(range(opcode.HAVE_ARGUMENT, 256))
)


_BRANCHES = {
    number: opcode.opname[number].replace("FORWARD_", "").replace("BACKWARD_", "")
    for number in JUMPS - _GOTO
    if number < 256
}
"""Conditional jumps by number, direction taken out of their names."""

_TRUTH = {
    "POP_JUMP_IF_TRUE": True,
    "POP_JUMP_IF_FALSE": False,
    "JUMP_IF_TRUE_OR_POP": True,
    "JUMP_IF_FALSE_OR_POP": False,
}
_TURNED = {"POP_JUMP_IF_TRUE": "POP_JUMP_IF_FALSE", "POP_JUMP_IF_NOT_NONE": "POP_JUMP_IF_NONE"}


TAKES_MORE, TAKES_MORE_BY_NAME = 0x04, 0x08
"""Flags of code objects: parameters that gather the rest."""


def parameter_count(code: CodeType) -> int:
    """How many parameters there are, those that gather the rest included."""
    flags = code.co_flags
    more = bool(flags & TAKES_MORE) + bool(flags & TAKES_MORE_BY_NAME)
    return code.co_argcount + code.co_kwonlyargcount + more


def variables_of(code: CodeType) -> tuple[str, ...]:
    """The variables of a code object by their places in the frame; those of functions around it are the last."""
    # Cells that are parameters share their place.
    others = tuple(name for name in code.co_cellvars if name not in code.co_varnames)
    return code.co_varnames + others + code.co_freevars


class Listing:
    """The instructions of one code object, caches, padding and prefixes taken out.

    Attributes:
        ops: Instruction numbers.
        args: Their arguments; for a jump, the index of its target.
        offsets: Where each starts in the bytes, for finding its line.
        handlers: For each instruction, (index of the handler, stack depth, whether the offset is pushed), or None.
        targets: The indices that jumps and handlers lead to.
    """

    __slots__ = ("args", "handlers", "offsets", "ops", "targets")

    def __init__(self, code: CodeType) -> None:
        self.ops: list[int] = []
        self.args: list[int] = []
        self.offsets: list[int] = []
        self.targets: set[int] = set()
        index_at = self._read(code.co_code)
        args = self.args
        for index, op in enumerate(self.ops):
            if op in JUMPS:
                args[index] = index_at[args[index]]
                self.targets.add(args[index])
        self.handlers = self._read_handlers(code.co_exceptiontable, index_at)

    def _read(self, raw: bytes) -> dict[int, int]:
        """Fill the lists; gives the index of the instruction that each offset stands for."""
        ops, args, offsets = self.ops, self.args, self.offsets
        index_at: dict[int, int] = {}
        start, prefix = -1, 0
        for offset in range(0, len(raw), 2):
            op = raw[offset]
            if op == _CACHE:
                continue
            if start < 0:
                start = offset
                index_at[offset] = len(ops)
            if op == _EXTENDED_ARG:
                prefix = (prefix | raw[offset + 1]) << 8
                continue
            arg = prefix | raw[offset + 1]
            if op in _FUSED:
                first, second = _FUSED[op]
                ops += (first, second)
                args += (arg >> 4, arg & 15)
                offsets += (start, start)
            elif op == _RETURN_CONST:
                ops += (_LOAD_CONST, _RETURN)
                args += (arg, 0)
                offsets += (start, start)
            elif op not in _IGNORED:
                if op in JUMPS:
                    after = offset + 2
                    while after < len(raw) and raw[after] == _CACHE:
                        after += 2
                    arg = after - 2 * arg if op in _BACKWARD else after + 2 * arg
                ops.append(op)
                args.append(arg)
                offsets.append(start)
            start, prefix = -1, 0
        index_at[len(raw)] = len(ops)
        return index_at

    def _read_handlers(self, table: bytes, index_at: dict[int, int]) -> list[tuple[int, int, int] | None]:
        handlers: list[tuple[int, int, int] | None] = [None] * len(self.ops)
        if table:
            for start, length, target, depth in _table_entries(table):
                handler = (index_at[2 * target], depth >> 1, depth & 1)
                self.targets.add(handler[0])
                for index in range(index_at[2 * start], index_at[2 * (start + length)]):
                    handlers[index] = handler
        return handlers

    def items_before(self, index: int, count: int) -> int | None:
        """Find where the instructions begin that leave the ``count`` stack items which ``index`` takes.

        Returns:
            The index of the first of them, None where control flow comes in between.
        """
        needed = count
        while needed:
            index -= 1
            if index < 0 or self.ops[index] in JUMPS or index + 1 in self.targets:
                return None
            op = self.ops[index]
            needed -= opcode.stack_effect(op, self.args[index] if op in _HAS_ARGUMENT else None, jump=False)
        return index


def _table_entries(table: bytes) -> list[tuple[int, int, int, int]]:
    """Read an exception table: numbers of six bits a byte, 0x40 saying that another follows, four an entry."""
    found: list[int] = []
    value = 0
    for byte in table:
        value = value << 6 | byte & 0x3F
        if not byte & 0x40:
            found.append(value)
            value = 0
    return list(zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True))


def flow(listing: Listing, dropped: list[bool]) -> list[tuple[int, str]]:
    """Order the instructions as control meets them.

    Args:
        listing: The instructions.
        dropped: For each whether it does not count.

    Returns:
        Pairs of an instruction's index and a mark of what surrounds it: the branch it takes, the handler over it.
        An index of -1 stands for going on at a place met before. Places are named by their position in the list.
    """
    walk = _Walk(listing, dropped)
    starts = walk.starts
    starts.append(walk.settle(0))
    for start in starts:  # grows while it is read
        walk.go(start)
    return [(index, mark if target is None else f"{mark}@{walk.named(target)}") for index, mark, target in walk.steps]


class _Walk:
    """One walk over the edges of a code object."""

    def __init__(self, listing: Listing, dropped: list[bool]) -> None:
        self.ops, self.args, self.handlers = listing.ops, listing.args, listing.handlers
        self.dropped = dropped
        self.starts: list[int] = []
        self.steps: list[tuple[int, str, int | None]] = []
        self.place: dict[int, int] = {}

    def settle(self, index: int) -> int:
        """The instruction that control really reaches at ``index``: past what is dropped, along jumps."""
        ops, args, dropped = self.ops, self.args, self.dropped
        seen: set[int] = set()
        while index < len(ops) and index not in seen:
            if dropped[index]:
                index += 1
            elif ops[index] in _GOTO:
                seen.add(index)
                index = args[index]
            else:
                break
        return index

    def named(self, index: int) -> str:
        """What stands for a place that control goes to."""
        if index < len(self.ops) and self.ops[index] == _RETURN:  # it may stand once, or at the end of every way
            return "return"
        return f"{self.place.get(index, -1)}"

    def begin_at(self, index: int) -> None:
        """Go on here later."""
        if index < len(self.ops) and self.ops[index] != _RETURN:
            self.starts.append(index)

    def copied(self, index: int) -> int:
        """Past a copy that is made for asking whether a value is true; the index itself where there is none."""
        after = index
        if after < len(self.ops) and self.ops[after] == _COPY and self.args[after] == 1:
            after += 1
            if after < len(self.ops) and self.ops[after] == _TO_BOOL:
                after += 1
        return after

    def branch(self, index: int) -> tuple[str, int, int]:
        """A conditional jump as (what it asks, where it goes, where it goes on)."""
        ops, args = self.ops, self.args
        name, target, onward = _BRANCHES[ops[index]], self.settle(args[index]), index + 1
        while name.endswith("_OR_POP") and target < len(ops):
            # 3.11 alone. Where one such jump leads to another branch on the same value, the compiler joins the
            # two only if they stand on one line.
            second = _BRANCHES.get(ops[target], "")
            if second not in _TRUTH:
                break
            taken = _TRUTH[second] is _TRUTH[name]
            if second.startswith("POP") or not taken:
                name = "POP_JUMP_IF_TRUE" if _TRUTH[name] else "POP_JUMP_IF_FALSE"
            target = self.settle(args[target] if taken else target + 1)
        before = index - 1 - (ops[index - 1] == _TO_BOOL)
        while name in _TRUTH and before >= 0 and self.copied(before) == index:
            # 3.12 and later: the value stays, and where another branch asks the same of it, the way is clear. The
            # compiler goes it at once only if the two stand in a certain order.
            asked = self.copied(target)
            if asked in {target, len(ops)} or _BRANCHES.get(ops[asked], "") not in _TRUTH:
                break
            taken = _TRUTH[_BRANCHES[ops[asked]]] is _TRUTH[name]
            target = self.settle(args[asked] if taken else asked + 1)
        if name in _TURNED:
            return _TURNED[name], self.settle(onward), target
        return name, target, onward

    def go(self, index: int) -> None:  # noqa: C901 - one step of the walk, at its speed
        """List instructions from here until control ends, or comes to a place met before."""
        ops, place, steps = self.ops, self.place, self.steps
        handler: tuple[int, int, int] | None = None
        begun = False
        while True:
            index = self.settle(index)
            if index >= len(ops):
                return
            if index in place and ops[index] != _RETURN:
                if begun:
                    steps.append((-1, "goto", index))
                return
            op = ops[index]
            over = self.handlers[index]
            counts = op not in _QUIET or (op in _OPENS and over is not None)
            if counts and (over != handler or not begun):
                handler = over
                if over is not None:
                    target = self.settle(over[0])
                    self.begin_at(target)
                    steps.append((-1, f"try {over[1]} {over[2]}", target))
                elif begun:
                    steps.append((-1, "end try", None))
            begun = True
            place[index] = len(steps)
            if op in _BRANCHES:
                name, target, onward = self.branch(index)
                self.begin_at(target)
                steps.append((index, name, target))
                index = onward
            elif op in _GOTO:  # an empty loop without an end
                steps.append((index, "spin", None))
                return
            else:
                steps.append((index, "", None))
                if op in _ENDS:
                    return
                index += 1
