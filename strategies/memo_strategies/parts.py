"""The parts of a version: one for each function, class, value, module and package that is reached.

They are made whenever somebody looks at them, from what was found out when the version was taken.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, overload

from memo.contracts.version_strategy import CodePart
from memo.hashing import digest
from memo_strategies.introspect import class_dict
from memo_strategies.showing import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo_strategies.graph import Node
    from memo_strategies.source_text import SourceTexts


PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The version of Python that counts."""


class Parts(Sequence[CodePart]):
    """The parts of one version, in the order they are reached.

    Args:
        starts: Where the walk begins; of most there is one.
        extras: What else counts, by what it is: its hash.
        texts: Where source texts come from.
    """

    __slots__ = ("_extras", "_starts", "_texts")

    def __init__(self, starts: Node | tuple[Node, ...], extras: dict[str, str], texts: SourceTexts) -> None:
        self._starts = starts
        self._extras = extras
        self._texts = texts

    def __len__(self) -> int:
        return len(self._parts())

    def __iter__(self) -> Iterator[CodePart]:
        return iter(self._parts())

    @overload
    def __getitem__(self, index: int) -> CodePart: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CodePart, ...]: ...
    def __getitem__(self, index: int | slice) -> CodePart | tuple[CodePart, ...]:
        return tuple(self._parts())[index]

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders as plain parts, without the texts, which are read where the files are."""
        plain = [CodePart(p.kind, p.name, p.hash, p.detail, p.file, p.line) for p in self._parts()]
        return tuple, (plain,)

    def _parts(self) -> list[CodePart]:
        """Make them: not kept, as whoever runs steps asks once, and keeps what it makes of them."""
        starts = self._starts if isinstance(self._starts, tuple) else (self._starts,)
        found = [_python_part()]
        found += [part for name, node in _named(starts) if (part := self._part(node, name)) is not None]
        found += [CodePart("value", what, hashed) for what, hashed in self._extras.items()]
        return _renamed(found)

    def _part(self, node: Node, name: str) -> CodePart | None:
        """The part that a node is, under the name it was reached by where it has none of its own."""
        space, texts = node.space, self._texts
        if node.code is not None and node.summary is not None:
            code = node.code
            reached = [child.name or each for each, child in node.edges]
            hashed = digest("function", node.summary.named_hash, node.own, *reached)
            return CodePart(
                "function", node.name, hashed, "", code.co_filename, code.co_firstlineno, partial(texts.of_code, code)
            )
        if node.kind == "class":
            file = None if space is None else space.file
            line = class_dict(node.obj).get("__firstlineno__")
            source = None if file is None else partial(texts.of_class, node.obj, file)
            return CodePart("class", node.name, _content(node), "", file, line if type(line) is int else None, source)
        if node.kind == "package":
            return CodePart("package", node.name, node.own, node.obj.version)
        if node.kind == "module":
            return CodePart("module", node.name, _content(node), "", None if space is None else space.file)
        if node.kind == "value" and name:
            return CodePart("value", name, _content(node), node.detail or short_repr(node.obj))
        return None


@cache
def _python_part() -> CodePart:
    """The version of Python that runs, which is a part of every version."""
    return CodePart("package", "python", digest("python", PYTHON), PYTHON)


def _named(starts: tuple[Node, ...]) -> list[tuple[str, Node]]:
    """Every node with the name it is reached by; again for each other name of a value."""
    found: list[tuple[str, Node]] = []
    seen: set[Node] = set()
    work = [("", node) for node in reversed(starts)]
    while work:
        name, node = work.pop()
        known = node in seen
        if known and not name:
            continue
        found.append((name, node))
        if not known:
            seen.add(node)
            work += node.edges[::-1]
    return found


def _renamed(parts: list[CodePart]) -> list[CodePart]:
    """Give each part a name of its own: several closures of one function, say, are several parts."""
    if len({part.name for part in parts}) == len(parts):
        return parts
    found: dict[tuple[str, str, str], CodePart] = {}
    kinds: dict[str, dict[str, int]] = {}
    for part in parts:
        key = (part.name, part.kind, part.hash)
        if key in found:
            continue
        counts = kinds.setdefault(part.name, {})
        count = counts[part.kind] = counts.get(part.kind, 0) + 1
        label = " ".join([part.kind] * (len(counts) > 1) + [str(count)] * (count > 1))
        if label:
            name = f"{part.name} ({label})"
            part = CodePart(part.kind, name, part.hash, part.detail, part.file, part.line, part.source)  # noqa: PLW2901
        found[key] = part
    return list(found.values())


def _content(node: Node) -> str:
    """The hash of a part's own content: what has no part of its own included, the rest by name."""
    tokens: list[str] = []
    seen: dict[Node, int] = {}
    work: list[tuple[str, Node]] = [("", node)]
    while work:
        name, each = work.pop()
        if each is not node and (name or each.kind not in {"value", ""}):
            tokens.append(f"part {each.name or name}")
        elif each in seen:
            tokens.append(f"again {seen[each]}")
        else:
            seen[each] = len(seen)
            tokens.append(f"{each.own} {'' if each.kind else each.name} {len(each.edges)}")
            work += each.edges[::-1]
    return digest("content", *tokens)
