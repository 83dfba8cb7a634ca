"""What one op reaches, out of the graph: its version, the parts of it, and what could not be followed."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from memo.contracts.version_strategy import CodePart, CodeVersion
from memo.hashing import digest
from memo_strategies.distributions import Distribution
from memo_strategies.dynamic import warning
from memo_strategies.introspect import class_dict, class_subclasses
from memo_strategies.reflection import reflected
from memo_strategies.showing import short_repr

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node
    from memo_strategies.source_text import SourceTexts

_RECIPE = 1
"""The number of this way of hashing: raised whenever the same code would get another hash."""

_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_PYTHON_PART = CodePart("package", "python", digest("python", _PYTHON), _PYTHON)


class Reach:
    """All that is reached from one object, in an order that nothing but its content decides."""

    def __init__(self, graph: Graph, start: object) -> None:
        self.graph = graph
        self.starts = [graph.settled(start)]
        self.nodes: dict[int, int] = {}
        self.order: list[tuple[str, Node]] = []
        self.also: list[tuple[str, Node]] = []
        self.extend()

    def extend(self) -> None:
        """Walk from the starts to everything that has not been reached yet."""
        nodes, order = self.nodes, self.order
        work = [("", node) for node in reversed(self.starts)]
        while work:
            name, node = work.pop()
            if id(node) in nodes:
                if name:
                    self.also.append((name, node))  # one value, known by several names
                continue
            nodes[id(node)] = len(order)
            order.append((name, node))
            if node.edges:
                work += node.edges[::-1]

    def version(self, texts: SourceTexts) -> CodeVersion:
        """Join it all."""
        subclasses = reflects = False
        identities: list[Node] = []
        noted = rebinds = False
        for _, node in self.order:
            if node.identity:
                identities.append(node)
            reflects |= node.reflects
            noted |= node.notes is not None
            if node.summary is not None:
                subclasses |= node.summary.subclasses
                rebinds |= bool(node.summary.rebinds)
        if subclasses:
            self._add_subclasses()
            identities = [node for _, node in self.order if node.identity]
            noted = True
        version = digest(
            "source",
            str(_RECIPE),
            _PYTHON,
            *[node.full for node in self.starts],
            self._sharing(identities),
            self._bindings() if rebinds else "",
            reflected([node for _, node in self.order]) if reflects else "",
        )
        return CodeVersion(version, tuple(self._parts(texts)), self._warnings() if noted else ())

    def _add_subclasses(self) -> None:
        """Code that asks classes for their subclasses reaches these too."""
        done: set[int] = set()
        while True:
            classes = [node.obj for _, node in self.order if node.kind == "class" and id(node) not in done]
            if not classes:
                return
            done |= {id(node) for _, node in self.order}
            found = [self.graph.settled(each) for cls in classes for each in class_subclasses(cls)]
            self.starts += sorted((node for node in found if id(node) not in self.nodes), key=_full)
            self.extend()

    def _sharing(self, identities: list[Node]) -> str:
        """Who shares what, where there are several equal things that only their identity tells apart."""
        if len(identities) < 2 or len({node.full for node in identities}) == len(identities):
            return ""
        seen: dict[str, int] = {}
        for node in identities:
            seen[node.full] = seen.get(node.full, 0) + 1
        doubles = {id(node) for node in identities if seen[node.full] > 1}
        return digest("sharing", *[
            f"{self.nodes[id(node)]} {at} {self.nodes[id(child)]}"
            for _, node in self.order
            for at, (_, child) in enumerate(node.edges)
            if id(child) in doubles
        ])  # fmt: skip

    def _bindings(self) -> str:
        """Which functions load a global that another one assigns: its value alone does not tell which it is."""
        functions = [(at, node) for at, (_, node) in enumerate(self.order) if node.summary is not None]
        names: dict[tuple[int, str], int] = {}
        for _, node in functions:
            assert node.summary is not None
            for name in sorted(node.summary.rebinds):
                names.setdefault((id(node.space), name), len(names))
        found: list[str] = []
        for at, node in functions:
            assert node.summary is not None
            for slot, hole in enumerate(node.summary.holes):
                binding = names.get((id(node.space), hole.name))
                if binding is not None:
                    found.append(f"{at} {slot} {binding}")
        return digest("bindings", *found)

    def _parts(self, texts: SourceTexts) -> list[CodePart]:
        found: dict[str, CodePart] = {_PYTHON_PART.name: _PYTHON_PART}
        for name, node in (*self.order, *self.also):
            part = node.part or _part(node, name, texts)
            if part is None:
                continue
            known = found.setdefault(part.name, part)
            again = 2
            while known is not part and (known.hash != part.hash or known.kind != part.kind):
                # Several closures of one function, say: each is a part.
                label = f"{part.name} ({again})"
                again += 1
                known = found.get(label, part)
                if known is part:
                    found[label] = CodePart(part.kind, label, part.hash, part.detail, part.file, part.line, part.source)
        return list(found.values())

    def _warnings(self) -> tuple[str, ...]:
        places: dict[str, list[str]] = {}
        where = ""
        for name, node in self.order:
            if node.summary is not None:
                where = _where(node, node.obj.__code__.co_firstlineno)
            for what, line in node.notes or ():
                place = where if line is None else _where(node, line)
                text = f"{name} is {what}" if name and line is None else what
                if text not in places.setdefault(place, []):
                    places[place].append(text)
        return (warning(places),) if places else ()


def _full(node: Node) -> str:
    return node.full


def _where(node: Node, line: int) -> str:
    return f"{node.obj.__code__.co_filename}:{line}"


def _part(node: Node, name: str, texts: SourceTexts) -> CodePart | None:
    """The part that a node is, under the name it was reached by where it has none of its own."""
    kind = node.kind
    if kind == "value":
        if not name:
            return None
        if node.parts is None:
            node.parts = {}
        found = node.parts.get(name)
        if found is None:
            found = node.parts[name] = CodePart("value", name, _content(node), short_repr(node.obj))
        return found
    if not kind:
        return None
    if node.part is None:
        node.part = _own_part(node, texts)
    return node.part


def _own_part(node: Node, texts: SourceTexts) -> CodePart:
    if node.kind == "function":
        assert node.summary is not None
        code = node.obj.__code__
        return CodePart(
            "function",
            node.name,
            node.summary.named_hash[:16] + node.own[:16],
            "",
            code.co_filename,
            code.co_firstlineno,
            partial(texts.of_code, code),
        )
    if node.kind == "class":
        file = None if node.space is None else node.space.file
        line = class_dict(node.obj).get("__firstlineno__")
        source = None if file is None else partial(texts.of_class, node.obj, file)
        return CodePart("class", node.name, _content(node), "", file, line if type(line) is int else None, source)
    if node.kind == "package":
        distribution: Distribution = node.obj
        return CodePart("package", node.name, node.own, distribution.version)
    return CodePart("module", node.name, _content(node), "", None if node.space is None else node.space.file)


def _content(node: Node) -> str:
    """The hash of a part's own content: what has no part of its own included, the rest by name."""
    if not node.edges:
        return node.own
    tokens: list[str] = []
    seen: dict[int, int] = {}
    work: list[tuple[str, Node]] = [("", node)]
    while work:
        name, each = work.pop()
        if each is not node and (name or each.kind not in {"value", ""}):
            tokens.append(f"part {each.name or name}")
        elif id(each) in seen:
            tokens.append(f"again {seen[id(each)]}")
        else:
            seen[id(each)] = len(seen)
            tokens.append(f"{each.own} {each.name if not each.kind else ''} {len(each.edges)}")
            work += each.edges[::-1]
    return digest("content", *tokens)
