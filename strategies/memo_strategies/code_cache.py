"""What was read in code objects, kept in a file for later processes.

Kept is what follows from a code object alone (`CodeSummary`): never what its names stand for, which every process
looks up for itself. An entry is found by the content of the code object, so that there is nothing to keep up to date.
The file begins with the way of reading, the version of Python and a digest of the rest: one that is damaged, or was
written by other code, counts as not there.
"""

from __future__ import annotations

import marshal
import os
import sys
from contextlib import suppress
from types import CodeType
from typing import TYPE_CHECKING, Any

from msgspec import MsgspecError, Raw, msgpack
from xxhash import xxh3_128_digest

from memo_strategies import code_reader
from memo_strategies.code_objects import CodeSummary

if TYPE_CHECKING:
    from collections.abc import Iterable

_READ_BY = (
    "memo.hashing",
    "memo_strategies.body_imports",
    "memo_strategies.code_cache",
    "memo_strategies.code_objects",
    "memo_strategies.code_reader",
    "memo_strategies.dynamic",
    "memo_strategies.flags",
    "memo_strategies.instructions",
    "memo_strategies.literals",
    "memo_strategies.looking",
    "memo_strategies.made_functions",
)
"""The modules that decide what a summary says: another text of theirs may say something else."""

_MOST_UNUSED = 8 << 20
"""How many bytes of entries are kept that no function asked for when the file was written last."""

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
"""The types of constants that hold nothing else."""

_entries: Any = msgpack.Decoder(dict[bytes, Raw])
_summary: Any = msgpack.Decoder(CodeSummary)
_encode = msgpack.Encoder().encode


def way_of_reading(modules: Iterable[str] = _READ_BY) -> bytes | None:
    """The digest of the code that reads, and of the Python that it reads for; None where its text is not at hand."""
    found = [sys.version.encode()]
    for name in modules:
        try:
            with open(str(sys.modules[name].__file__), "rb") as stream:
                found.append(stream.read())
        except (OSError, KeyError):
            return None
    return xxh3_128_digest(marshal.dumps(found, 2))


_WAY = way_of_reading()
"""Taken when these modules have just been imported: their files may change while the process goes on."""


def content_key(code: CodeType) -> bytes | None:
    """The digest of all in a code object that a reader may look at; None where it has constants of no compiler's.

    Left out is where it stands: its file and its lines.
    """
    try:
        return xxh3_128_digest(marshal.dumps(_content(code), 2))
    except ValueError:
        return None


def _content(code: CodeType) -> tuple[Any, ...]:
    constants: Any = code.co_consts
    if not _PLAIN.issuperset(map(type, constants)):
        constants = [*map(_constant, constants)]
    return (
        code.co_code,
        code.co_exceptiontable,
        code.co_flags,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_name,
        code.co_qualname,
        code.co_names,
        code.co_varnames,
        code.co_cellvars,
        code.co_freevars,
        constants,
    )


def _constant(constant: Any) -> Any:
    """What stands for a constant; marshal takes a buffer for bytes, so that others are refused here."""
    kind = type(constant)
    if kind in _PLAIN:
        return constant
    if kind is CodeType:
        return [_content(constant)]  # no constant is a list
    if kind is tuple:
        return tuple(map(_constant, constant))
    if kind is frozenset:
        return frozenset(map(_constant, constant))
    raise ValueError


class CodeCache:
    """The summaries that are kept in one folder.

    Args:
        folder: Where the file is.

    Attributes:
        is_new: Whether something was read that is not in the file.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._known: dict[bytes, Any] | None = None
        self._used: dict[bytes, Any] = {}
        self.is_new = False

    def read(self, code: CodeType) -> CodeSummary:
        """The summary of a code object: what is kept of it, else what is read in it now."""
        key = content_key(code)
        if key is None:
            return code_reader.read(code)
        if self._known is None:
            self._known = _load(self._folder)
        raw = self._known.get(key)
        if raw is not None:
            try:
                kept: CodeSummary = _summary.decode(raw)
            except MsgspecError:  # nobody but a forger writes that
                pass
            else:
                self._used[key] = raw
                return kept
        found = code_reader.read(code)
        try:
            self._used[key] = Raw(_encode(found))
        except UnicodeEncodeError:  # a name with half a character
            return found
        self.is_new = True
        return found

    def write(self, folder: str) -> None:
        """Write the file anew, with what was read beside what it held; in vain where the folder takes no files."""
        if not self.is_new or _WAY is None:
            return
        body = _encode(self._kept())
        path = _path(folder)
        draft = f"{path}.{os.urandom(4).hex()}"
        try:
            os.makedirs(folder, exist_ok=True)
            _remove_drafts(path)
            with open(draft, "wb") as stream:
                stream.write(_WAY + xxh3_128_digest(body))
                stream.write(body)
            os.replace(draft, path)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)
            return
        self.is_new = False

    def _kept(self) -> dict[bytes, Any]:
        """The entries to write: what was not used for longest first, as far as there is room for it."""
        known, used = self._known or {}, self._used
        unused = [(key, raw) for key, raw in known.items() if key not in used]
        room = _MOST_UNUSED
        begin = len(unused)
        while begin and room > 0:
            begin -= 1
            room -= len(memoryview(unused[begin][1]))
        return {**dict(unused[begin:]), **used}


def _path(folder: str) -> str:
    return os.path.join(folder, f"code-{sys.implementation.cache_tag}")


def _load(folder: str) -> dict[bytes, Any]:
    """The entries of the file in a folder, none where it is not there or cannot be relied on."""
    try:
        with open(_path(folder), "rb") as stream:
            content = stream.read()
    except OSError:
        return {}
    body = memoryview(content)[32:]
    if content[:16] != _WAY or content[16:32] != xxh3_128_digest(body):
        return {}
    try:
        found: dict[bytes, Any] = _entries.decode(body)
    except MsgspecError:
        return {}
    return found


def _remove_drafts(path: str) -> None:
    """Remove what killed processes left half-written; one that is writing just now loses what it writes, no more."""
    folder, name = os.path.split(path)
    for each in os.listdir(folder):
        if each.startswith(f"{name}."):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, each))
