"""One code object as a hash that layout, comments, docstrings and names of functions cannot change.

Constants count by type and value, attributes by name, jumps by where they lead. What the code loads from outside
(globals, imports in the body) is left open: each is a `Hole`, filled when the function is followed.
"""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 - msgspec reads the annotations of a Struct
from types import CodeType
from typing import TYPE_CHECKING, Any
from weakref import ref

from msgspec import Struct

from memo.hashing import digest, value_digest
from memo_strategies.body_imports import ImportedName, find_body_imports
from memo_strategies.flags import ANNOTATIONS, DOCS, MODULES, NAMES, REBINDS, REFLECTS, SUBCLASSES
from memo_strategies.instructions import HAS_LOCAL, HAS_NAME, LOADS_CONSTANT, NAME_SHIFT, OPS, Listing, flow, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

_ATTRIBUTES = numbers("LOAD_ATTR", "LOAD_METHOD")
_LOAD_GLOBAL = OPS["LOAD_GLOBAL"]
_BY_NAME = numbers("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_REBINDS = numbers("STORE_GLOBAL", "DELETE_GLOBAL")
_STORE_NAME = OPS["STORE_NAME"]
_LOAD_CONST = OPS["LOAD_CONST"]
_MAKE_FUNCTION = OPS["MAKE_FUNCTION"]
_SET_FUNCTION_ATTRIBUTE = OPS.get("SET_FUNCTION_ATTRIBUTE", -1)
_PRECALL = OPS.get("PRECALL", -1)
_CALL = OPS["CALL"]
_PUSH_NULL = OPS["PUSH_NULL"]

_ANNOTATIONS, _CLOSURE = 4, 8
"""Flags of MAKE_FUNCTION and SET_FUNCTION_ATTRIBUTE."""

_FLAGS_THAT_COUNT = 0x04 | 0x08 | 0x20 | 0x80 | 0x100 | 0x200
"""``*args``, ``**kwargs``, and the kinds of generators and coroutines."""

BOOKKEEPING = frozenset({"__module__", "__qualname__", "__doc__", "__firstlineno__", "__static_attributes__"})
"""What a class body stores by itself: where the class stands, and its docstring."""

REFLECTIVE = {
    "__annotations__": ANNOTATIONS,
    "__code__": REFLECTS,
    "__doc__": DOCS,
    "__module__": MODULES,
    "__name__": NAMES,
    "__qualname__": NAMES,
    "__signature__": ANNOTATIONS,
    "__subclasses__": SUBCLASSES,
}
"""Attributes through which code can see what otherwise does not count, with what they show."""

_IMPORTERS = {"import_module", "__import__"}

SEES_LOCALS = frozenset({"dir", "eval", "exec", "f_locals", "locals", "vars"})
"""Names through which code can see the names of its local variables."""

_DATACLASS_MADE = "__create_fn__.<locals>."
"""Methods that `dataclasses` writes: they show the name of their own class, which counts anyway."""

READS_FILES = frozenset({"read_text", "read_bytes", "iterdir", "rglob"})
"""Methods whose names give away that a file is read."""


class Place(Struct, frozen=True):
    """An instruction: the constants that lead to its code object from the outermost one, and its offset."""

    path: tuple[int, ...]
    offset: int


class Hole(Struct, frozen=True):
    """Something that code loads from outside, and the attributes it takes from there at once.

    Attributes:
        name: The global's name; empty for an import in the body.
        imported: What an import in the body brings.
        attributes: The chain of attributes loaded right after.
        local_first: Whether a class body may have a name of its own that comes first.
        argument: For ``import_module`` and ``__import__``: the text it is called with, where that is written out.
        key: The same for all holes that stand for the same thing in one namespace.
        place: Where it is loaded first.
    """

    name: str
    imported: ImportedName | None
    attributes: tuple[str, ...]
    local_first: bool
    argument: str | None
    key: tuple[object, ...]
    place: Place

    @property
    def label(self) -> str:
        """The names as the author wrote them."""
        start = (self.name,) if self.imported is None else (*self.imported.names, *self.imported.path)
        return ".".join((*start, *self.attributes))


class CodeSummary(Struct, frozen=True):
    """What is to be known of a code object; nothing in it depends on where the code stands.

    Attributes:
        hash: Of everything but the holes.
        named_hash: The same with the names in the holes, as the author reads them.
        holes: In the order control meets them, those of nested code included.
        rebinds: The globals that it assigns or deletes.
        flags: What is special about it, as a node has it (`memo_strategies.flags`).
        file_reads: Where it calls methods that read files, with the method's name.
    """

    hash: str
    named_hash: str
    holes: tuple[Hole, ...]
    rebinds: frozenset[str]
    flags: int
    file_reads: tuple[tuple[str, Place], ...]


_summaries: dict[int, tuple[ref[CodeType], CodeSummary]] = {}
"""By the id of a living code object. Code objects never change, so this may outlive a plan; it is forgotten
with the code object. (They compare by content, in time that grows with it: not as keys.)"""


def summarise(code: CodeType) -> CodeSummary:
    """Read a code object, once in its life."""
    key = id(code)
    known = _summaries.get(key)
    if known is None:
        found = _Reader(code, ()).summary()
        known = _summaries[key] = ref(code, _forgetting(key)), found
    return known[1]


def _forgetting(key: int) -> Callable[[object], None]:
    def forget(_: object) -> None:
        _summaries.pop(key, None)

    return forget


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


class _Reader:
    """Reads one code object."""

    def __init__(self, code: CodeType, path: tuple[int, ...]) -> None:
        self.code = code
        self.path = path
        self.listing = Listing(code)
        self.dropped = [False] * len(self.listing.ops)
        self.imports = find_body_imports(code, self.listing) if OPS["IMPORT_NAME"] in self.listing.ops else None
        # Cells that are parameters share their place in the frame.
        others = tuple(name for name in code.co_cellvars if name not in code.co_varnames)
        self.cells = code.co_varnames + others + code.co_freevars
        self.slots: dict[object, int] = {}
        self.holes: list[Hole] = []
        self.rebinds: set[str] = set()
        self.flags = 0
        self.file_reads: list[tuple[str, Place]] = []

    def summary(self) -> CodeSummary:
        self._drop_what_does_not_count()
        chains = self._chains()
        code = self.code
        parameters = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & _FLAGS_THAT_COUNT)
        tokens = [
            " ".join(map(str, counts)),
            *code.co_varnames[: None if SEES_LOCALS.intersection(code.co_names) else parameters],
        ]
        for index, mark in flow(self.listing, self.dropped):
            if index < 0:
                tokens.append(mark)
            elif mark:
                tokens.append(f"{self.listing.ops[index] if mark == 'spin' else 'if'} {mark}")
            else:
                tokens.append(self._token(index, chains.get(index, ())))
        own = digest("code", *tokens)
        names = [hole.label for hole in self.holes]
        return CodeSummary(
            own,
            digest("named code", own, *names) if names else own,
            tuple(self.holes),
            frozenset(self.rebinds),
            self.flags & ~NAMES if code.co_qualname.startswith(_DATACLASS_MADE) else self.flags,
            tuple(self.file_reads),
        )

    def _drop_what_does_not_count(self) -> None:
        ops, args, names = self.listing.ops, self.listing.args, self.code.co_names
        for index, op in enumerate(ops):
            if op == _STORE_NAME and names[args[index]] in BOOKKEEPING and index:
                if ops[index - 1] == _LOAD_CONST or ops[index - 1] in _BY_NAME:
                    self.dropped[index] = self.dropped[index - 1] = True
            elif op == _MAKE_FUNCTION:
                self._drop_annotations(index)
            elif op == _PUSH_NULL:  # part of how a call is made, which the call itself says
                self.dropped[index] = True
        if self.imports is not None:
            for index in self.imports.silent:
                self.dropped[index] = True

    def _drop_annotations(self, made: int) -> None:
        """Leave out the annotations of a function made in this body: they are values on the stack."""
        ops, args = self.listing.ops, self.listing.args
        flags, last = args[made], made + 1
        while last < len(ops) and ops[last] == _SET_FUNCTION_ATTRIBUTE:
            flags |= args[last]
            last += 1
        if not flags & _ANNOTATIONS:
            return
        end: int | None = made - 1  # the code object
        if flags & _CLOSURE:
            end = self.listing.items_before(made - 1, 1)
        begin = None if end is None else self.listing.items_before(end, 1)
        if begin is None or end is None:
            return
        self.dropped[begin:end] = [True] * (end - begin)
        args[made] &= ~_ANNOTATIONS
        for index in range(made + 1, last):
            if args[index] == _ANNOTATIONS:
                self.dropped[index] = True

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
            self._notice_attribute(name, index, of_class=at > 0 and chain[at - 1] == "__class__")
        if self.imports is not None:
            imported = self.imports.loads.get(index)
            if imported is not None:
                return self._hole(index, "", imported, chain)
            if op == OPS["IMPORT_NAME"] or op == OPS["IMPORT_FROM"]:
                imported = self.imports.escapes.get(index)
                return f"{op}" if imported is None else f"{op} {self._hole(index, '', imported, ())}"
        if op in HAS_LOCAL:
            return f"{op} {arg}" if arg < self.code.co_nlocals else f"{op} {self.cells[arg]}"
        if op in LOADS_CONSTANT:
            return f"{op} {self._constant(arg)}"
        if op in HAS_NAME:
            return self._named(index, op, arg, chain)
        return f"{op} {arg}"

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
            self._notice_attribute(name, index, of_class=REFLECTIVE.get(name) == NAMES and self._is_of_a_class(index))
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
        argument = self._literal_argument(index, name, chain)
        key = (name, imported, chain, local_first, argument)
        slot = self.slots.get(key)
        if slot is None:
            slot = self.slots[key] = len(self.holes)
            place = Place(self.path, self.listing.offsets[index])
            self.holes.append(Hole(name, imported, chain, local_first, argument, key, place))
        return f"hole {slot}"

    def _literal_argument(self, index: int, name: str, chain: tuple[str, ...]) -> str | None:
        """The one literal text that an import is called with."""
        ops, args = self.listing.ops, self.listing.args
        if not _IMPORTERS & {name, *chain}:
            return None
        index += 1
        while index < len(ops) and ops[index] in _ATTRIBUTES:
            index += 1
        if index + 1 >= len(ops) or ops[index] != _LOAD_CONST:
            return None
        constant = self.code.co_consts[args[index]]
        calls = ops[index + 1] in {_PRECALL, _CALL} and args[index + 1] == 1
        return constant if calls and type(constant) is str else None

    def _constant(self, index: int) -> str:
        constant = self.code.co_consts[index]
        if type(constant) is CodeType:
            return self._nested(constant, index)
        if type(constant) is str and constant in REFLECTIVE:
            self._notice_attribute(constant, 0, of_class=False)
        return constant_token(constant)

    def _nested(self, code: CodeType, index: int) -> str:
        found = _Reader(code, (*self.path, index)).summary()
        first = len(self.holes)
        self.holes += found.holes
        self.rebinds |= found.rebinds
        self.flags |= found.flags
        self.file_reads += found.file_reads
        return f"code {found.hash} {first}"

    def _notice_attribute(self, name: str, index: int, *, of_class: bool) -> None:
        if name in REFLECTIVE:
            self.flags |= REFLECTIVE[name] & ~NAMES if of_class else REFLECTIVE[name]
        elif name in READS_FILES:
            self.file_reads.append((name, Place(self.path, self.listing.offsets[index])))

    def _is_of_a_class(self, index: int) -> bool:
        """Whether the attribute is taken of ``x.__class__`` or ``type(x)``: a class's name counts anyway."""
        ops, args, names = self.listing.ops, self.listing.args, self.code.co_names
        before = index - 1
        if before >= 0 and ops[before] in _ATTRIBUTES:
            return names[args[before] >> NAME_SHIFT.get(ops[before], 0)] == "__class__"
        start = self.listing.items_before(index, 1)
        if start is not None and ops[start] == _PUSH_NULL:
            start += 1
        return start is not None and ops[start] == _LOAD_GLOBAL and names[args[start] >> 1] == "type"


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
