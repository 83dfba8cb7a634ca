"""Reading a code object: its instructions as a hash, and what they load, assign and look at.

Constants count by type and value, attributes by name, jumps by where they lead, variables by when they are met first.
"""

from __future__ import annotations

from types import CodeType
from typing import TYPE_CHECKING
from weakref import ref

from memo.hashing import digest
from memo_strategies.body_imports import find_body_imports
from memo_strategies.code_objects import BOOKKEEPING, CodeSummary, Hole, Place, constant_token
from memo_strategies.dynamic import READING_METHODS
from memo_strategies.flags import ANNOTATIONS, DOCS, HEIRS, NAMES, REBINDS, SUBCLASSES, VARIABLES
from memo_strategies.instructions import (
    HAS_LOCAL,
    HAS_NAME,
    LOADS_CONSTANT,
    NAME_SHIFT,
    OPS,
    TAKES_MORE,
    TAKES_MORE_BY_NAME,
    Listing,
    flow,
    numbers,
    parameter_count,
    variables_of,
)
from memo_strategies.literals import literal_argument
from memo_strategies.looking import REFLECTIVE, looked_at_by, sees_locals, texts_in
from memo_strategies.made_functions import (
    ANNOTATED,
    CLOSED,
    LOADS_VARIABLE,
    MAKE_FUNCTION,
    annotating,
    closure,
    is_called_by_position,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo_strategies.body_imports import BodyImports, ImportedName
    from memo_strategies.code_cache import CodeCache

_ATTRIBUTES = numbers("LOAD_ATTR", "LOAD_METHOD")
_LOAD_GLOBAL = OPS["LOAD_GLOBAL"]
_BY_NAME = numbers("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_LOCAL_OR_FREE = numbers("LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")
_REBINDS = numbers("STORE_GLOBAL", "DELETE_GLOBAL")
_REBINDS_FREE = numbers("STORE_DEREF", "DELETE_DEREF")
_PREPARES_VARIABLES = numbers("MAKE_CELL", "COPY_FREE_VARS")
_IMPORTS = numbers("IMPORT_NAME", "IMPORT_FROM")
_STORE_NAME = OPS["STORE_NAME"]
_LOAD_CONST = OPS["LOAD_CONST"]
_PUSH_NULL = OPS["PUSH_NULL"]

_FLAGS_THAT_COUNT = TAKES_MORE | TAKES_MORE_BY_NAME | 0x20 | 0x80 | 0x100 | 0x200
"""``*args``, ``**kwargs``, and the kinds of generators and coroutines."""

_CLASSES = {"cls", "mcs", "metacls"}
"""How the first parameter of methods is called that get a class."""

_DATACLASS_MADE = "__create_fn__.<locals>."
"""Methods that `dataclasses` writes: they show the name of their own class, which counts anyway."""


class _Known(ref[CodeType]):
    """A living code object, with what was read in it."""

    __slots__ = ("key", "summary")

    key: int
    summary: CodeSummary


_summaries: dict[int, _Known] = {}
"""By the id of a living code object. Code objects never change, so this may outlive a plan; it is forgotten
with the code object. (They compare by content, in time that grows with it: not as keys.)"""

_looked_into: dict[int, dict[int, str]] = {}
"""By the id of a code object, and by what is looked at in it."""


def summarise(code: CodeType, cache: CodeCache | None = None) -> CodeSummary:
    """Read a code object, once in its life; with a cache, once for all processes that use it."""
    key = id(code)
    known = _summaries.get(key)
    if known is None:
        known = _Known(code, _forget)
        known.key = key
        known.summary = read(code) if cache is None else cache.read(code)
        _summaries[key] = known
    return known.summary


def read(code: CodeType) -> CodeSummary:
    """Read a code object."""
    return _Reader(code, 0).summary()


def looked_into(code: CodeType, looked_at: int) -> str:
    """The hash of a code object with what counts in it because something looks at it.

    Args:
        code: What to read.
        looked_at: `NAMES`, `DOCS`, `ANNOTATIONS`, `VARIABLES` of the functions and classes made within.
    """
    summarise(code)  # which forgets both in time
    known = _looked_into.setdefault(id(code), {})
    found = known.get(looked_at)
    if found is None:
        found = known[looked_at] = _Reader(code, looked_at).summary().named_hash
    return found


def _forget(known: _Known) -> None:
    _summaries.pop(known.key, None)
    _looked_into.pop(known.key, None)


class _Reader:
    """Reads one code object."""

    def __init__(
        self,
        code: CodeType,
        looked_at: int,
        path: tuple[int, ...] = (),
        given: dict[str, ImportedName] = {},  # noqa: B006 - it is only read
        *,
        by_position: bool = False,
    ) -> None:
        self.code = code
        self.path = path
        self.looked_at = looked_at
        self.by_position = by_position
        self.listing = Listing(code)
        self.dropped = [False] * len(self.listing.ops)
        self.variables = variables_of(code)
        self.imports: BodyImports | None = None
        if given or OPS["IMPORT_NAME"] in self.listing.ops:
            self.imports = find_body_imports(code, self.listing, self.variables, given)
        self.first_free = len(self.variables) - len(code.co_freevars)
        self.by_name = bool(looked_at & VARIABLES) or sees_locals(code, self.listing)
        self.numbers = {index: index for index in range(parameter_count(code))}
        self.free: dict[str, int] = {name: at for at, name in enumerate(code.co_freevars)} if self.by_name else {}
        self.closures: dict[int, list[int]] = {}
        self.slots: dict[str, int] = {}
        self.holes: list[Hole] = []
        self.rebinds: set[str] = set()
        self.rebinds_free: set[str] = set()
        self.flags = 0
        self.file_reads: list[tuple[str, Place]] = []

    def summary(self) -> CodeSummary:
        self._drop_what_does_not_count()
        chains = self._chains()
        code = self.code
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS_THAT_COUNT)
        tokens = [" ".join(map(str, counts)), *self._shown_names()]
        for index, mark in flow(self.listing, self.dropped):
            if index < 0:
                tokens.append(mark)
            elif mark:
                tokens.append(f"{self.listing.ops[index] if mark == 'spin' else 'if'} {mark}")
            else:
                tokens.append(self._token(index, chains.get(index, ())))
        own = digest("code", *tokens)
        if "__class__" in code.co_freevars:  # super() loads it without saying so
            self.free.setdefault("__class__", len(self.free))
        return CodeSummary(
            own,
            tuple(self.holes),
            tuple(self.free),
            tuple(sorted(self.rebinds)),
            tuple(sorted(self.rebinds_free)),
            self.flags & ~NAMES if code.co_qualname.startswith(_DATACLASS_MADE) else self.flags,
            tuple(self.file_reads),
        )

    def _shown_names(self) -> tuple[str, ...]:
        """The names of its own that others can see: those of parameters, where they can be given by name."""
        code = self.code
        if self.by_name:
            names = code.co_varnames + code.co_cellvars + code.co_freevars
        elif self.looked_at & ANNOTATIONS:
            names = code.co_varnames[: parameter_count(code)]
        elif self.by_position:
            names = ()
        else:
            names = code.co_varnames[code.co_posonlyargcount : code.co_argcount + code.co_kwonlyargcount]
        if self.path and self.looked_at & NAMES:
            names += (code.co_qualname,)
        if self.path and self.looked_at & DOCS and type(code.co_consts[0] if code.co_consts else None) is str:
            names += (code.co_consts[0],)
        return names

    def _drop_what_does_not_count(self) -> None:
        ops, args, names = self.listing.ops, self.listing.args, self.code.co_names
        at = 0
        while at < len(ops) and ops[at] in _PREPARES_VARIABLES:
            self.dropped[at] = True
            at += 1
        for index, op in enumerate(ops):
            if op == _STORE_NAME and index and self._is_bookkeeping(names[args[index]]):
                if ops[index - 1] == _LOAD_CONST or ops[index - 1] in _BY_NAME:
                    self.dropped[index] = self.dropped[index - 1] = True
            elif op == MAKE_FUNCTION:
                self.closures[index - 1], passing = closure(self.code, self.listing, index)
                self._drop(passing)
                if not self.looked_at & ANNOTATIONS:
                    self._drop(annotating(self.listing, index))
            elif op == _PUSH_NULL:  # part of how a call is made, which the call itself says
                self.dropped[index] = True
        if self.imports is not None:
            self._drop(self.imports.silent)

    def _drop(self, indices: Iterable[int]) -> None:
        for index in indices:
            self.dropped[index] = True

    def _is_bookkeeping(self, name: str) -> bool:
        return name in BOOKKEEPING and not (name == "__doc__" and self.looked_at & DOCS)

    def _chains(self) -> dict[int, tuple[str, ...]]:
        """The attributes loaded right after each thing from outside; their instructions are dropped."""
        ops, args, names = self.listing.ops, self.listing.args, self.code.co_names
        loads = self.imports.loads if self.imports is not None else {}
        chains: dict[int, tuple[str, ...]] = {}
        for index, op in enumerate(ops):
            if self.dropped[index] or not (op == _LOAD_GLOBAL or op in _BY_NAME or index in loads):
                continue
            after = index + 1
            chain: list[str] = []
            while after < len(ops) and ops[after] in _ATTRIBUTES and after not in self.listing.targets:
                chain.append(names[args[after] >> NAME_SHIFT.get(ops[after], 0)])
                self.dropped[after] = True
                after += 1
            chains[index] = tuple(chain)
        return chains

    def _token(self, index: int, chain: tuple[str, ...]) -> str:
        op, arg = self.listing.ops[index], self.listing.args[index]
        for at, name in enumerate(chain):
            of_class = name == "__name__" and at > 0 and chain[at - 1] == "__class__"
            if not (at == 0 and self._is_module_of(name, index)):
                self._notice_attribute(name, index, of_class=of_class, ends=at + 1 == len(chain))
        if self.imports is not None and (index in self.imports.loads or op in _IMPORTS):
            return self._imported(index, op, chain)
        if op in HAS_LOCAL:
            return self._local(op, arg)
        if op in LOADS_CONSTANT:
            return f"{op} {self._constant(index, arg)}"
        if op in HAS_NAME:
            return self._named(index, op, arg, chain)
        return f"{op} {arg & ~(ANNOTATED | CLOSED) if op == MAKE_FUNCTION else arg}"

    def _is_module_of(self, name: str, index: int) -> bool:
        """Whether it is a function called like its module: ``glob.glob`` is known by its full name."""
        op, arg = self.listing.ops[index], self.listing.args[index]
        imported = self.imports.loads.get(index) if self.imports is not None else None
        if imported is not None:
            return imported.names[-1] == name
        return op == _LOAD_GLOBAL and self.code.co_names[arg >> 1] == name

    def _imported(self, index: int, op: int, chain: tuple[str, ...]) -> str:
        assert self.imports is not None
        imported = self.imports.loads.get(index)
        if imported is not None:
            return self._hole(index, "", imported, chain)
        imported = self.imports.escapes.get(index)
        return f"{op}" if imported is None else f"{op} {self._hole(index, '', imported, ())}"

    def _local(self, op: int, arg: int) -> str:
        if op in _REBINDS_FREE and arg >= self.first_free:
            self.rebinds_free.add(self.variables[arg])
            self.flags |= REBINDS
        name = self.variables[arg] if op in _LOCAL_OR_FREE else ""  # a class body may have one of its own
        return f"{op} {name} {self._variable(arg)}"

    def _variable(self, index: int) -> str:
        """What stands for a variable: not its name, which only code that looks at it can see."""
        name = self.variables[index]
        if self.by_name:
            return name
        if index >= self.first_free:
            return f"free {self.free.setdefault(name, len(self.free))}"
        return f"{self.numbers.setdefault(index, len(self.numbers))}"

    def _named(self, index: int, op: int, arg: int, chain: tuple[str, ...]) -> str:
        shift = NAME_SHIFT.get(op, 0)
        name = self.code.co_names[arg >> shift]
        if op == _LOAD_GLOBAL:
            return self._hole(index, name, None, chain)
        if op in _BY_NAME:
            return f"{op} {name} {self._hole(index, name, None, chain, local_first=True)}"
        if op in _REBINDS:
            self.rebinds.add(name)
            self.flags |= REBINDS
        elif op in _ATTRIBUTES:
            self._notice_attribute(name, index, of_class=name == "__name__" and self._is_of_a_class(index))
            return f"attribute {name}"
        return f"{op} {arg & (1 << shift) - 1} {name}"

    def _hole(
        self,
        index: int,
        name: str,
        imported: ImportedName | None,
        chain: tuple[str, ...],
        *,
        local_first: bool = False,
    ) -> str:
        words = (name, *(imported.path if imported is not None else ()), *chain)
        argument = literal_argument(self.code, self.listing, index, words)
        key = ".".join((name, *chain))
        if imported is not None or local_first or argument is not None:
            key = f"{key} {imported} {local_first} {argument}"
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = len(self.holes)
            place = Place(self.path, self.listing.offsets[index])
            self.holes.append(Hole(name, imported, chain, local_first, argument, key, place))
        return f"hole {slot}"

    def _constant(self, index: int, arg: int) -> str:
        constant = self.code.co_consts[arg]
        if type(constant) is CodeType:
            return self._nested(constant, index, arg)
        if type(constant) is str:
            self.flags |= looked_at_by(constant)
        elif type(constant) is tuple or type(constant) is frozenset:
            for text in texts_in(constant):
                self.flags |= looked_at_by(text)
        return constant_token(constant)

    def _nested(self, code: CodeType, index: int, arg: int) -> str:
        by_position = is_called_by_position(self.code, self.listing, index + 1)
        given = self.imports.handed_down if self.imports is not None else {}
        given = {name: given[name] for name in code.co_freevars if name in given}
        found = _Reader(code, self.looked_at, (*self.path, arg), given, by_position=by_position).summary()
        first = len(self.holes)
        self.holes += found.holes
        self.rebinds.update(found.rebinds)
        self.flags |= found.flags
        self.file_reads += found.file_reads
        passed = dict(zip(code.co_freevars, self.closures.get(index, ()), strict=False))
        self.rebinds_free |= {name for name in found.rebinds_free if passed.get(name, -1) >= self.first_free}
        over = [self._variable(passed[name]) if name in passed else name for name in found.free]
        return f"code {found.hash} {first} {' '.join(over)}"

    def _notice_attribute(self, name: str, index: int, *, of_class: bool, ends: bool = False) -> None:
        if name in REFLECTIVE:
            found = REFLECTIVE[name]
            if found == SUBCLASSES and ends:  # of a class that is known by name
                found = HEIRS
            self.flags |= found & ~NAMES if of_class else found
        elif name in READING_METHODS:
            self.file_reads.append((name, Place(self.path, self.listing.offsets[index])))

    def _is_of_a_class(self, index: int) -> bool:
        """Whether the attribute is taken of ``x.__class__``, ``type(x)`` or ``cls``: a class's name counts anyway."""
        ops, args, names = self.listing.ops, self.listing.args, self.code.co_names
        before = index - 1
        if before >= 0 and ops[before] in _ATTRIBUTES:
            return names[args[before] >> NAME_SHIFT.get(ops[before], 0)] == "__class__"
        if before >= 0 and ops[before] in LOADS_VARIABLE:
            parameters = self.code.co_varnames[: self.code.co_argcount]
            return args[before] == 0 and bool(_CLASSES.intersection(parameters[:1]))
        start = self.listing.items_before(index, 1)
        if start is not None and ops[start] == _PUSH_NULL:
            start += 1
        return start is not None and ops[start] == _LOAD_GLOBAL and names[args[start] >> 1] == "type"
