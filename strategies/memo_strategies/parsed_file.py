"""One file of source, taken apart: which of its lines compile to which code object."""

from __future__ import annotations

import ast
from functools import cached_property
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

from memo_strategies.code_objects import constant_token, nested_code
from memo_strategies.code_reader import summarise
from memo_strategies.introspect import ATOMS, class_dict, class_qualname

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""The fields of statements, and of what they consist of, that hold statements: definitions are found nowhere else."""


def parse_file(text: str, path: str) -> ParsedFile | None:
    """Take a file apart; None where it holds no Python that compiles."""
    if not text:
        return None
    try:
        tree = ast.parse(text)
        return ParsedFile(text, tree, compile(tree, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError):
        return None


class ParsedFile:
    """One file's text, with the code objects it compiles to."""

    def __init__(self, text: str, tree: ast.Module, code: CodeType) -> None:
        self._lines = [f"{line}\n" for line in text.split("\n")]  # a form feed ends no line
        self._codes: dict[str, list[CodeType]] = {}
        for each in nested_code(code):
            self._codes.setdefault(each.co_qualname, []).append(each)
        self._ends: dict[tuple[int, str], int] = {}
        """The last line of every function and class, by its first one and its qualified name."""
        self._classes: dict[str, list[ast.ClassDef]] = {}
        for name, node in _definitions(tree.body, ""):
            self._ends[_first_line(node), name] = node.end_lineno or node.lineno
            if isinstance(node, ast.ClassDef):
                self._classes.setdefault(name, []).append(node)

    @cached_property
    def _statements(self) -> list[tuple[int, int]]:
        """The first and the last line of every statement: few files are ever asked, and the tree is not kept."""
        found = (node for node in ast.walk(ast.parse("".join(self._lines))) if isinstance(node, ast.stmt))
        return sorted((node.lineno, node.end_lineno or node.lineno) for node in found)

    def text_of(self, code: CodeType) -> str | None:
        """The lines that compile to this code."""
        found = self._same(code)
        if not found:
            return None
        nearest = found[0]
        if len(found) > 1:
            nearest = min(found, key=lambda each: abs(each.co_firstlineno - code.co_firstlineno))
        end = self._ends.get((nearest.co_firstlineno, nearest.co_qualname))
        if end is not None:
            return self._between(nearest.co_firstlineno, end)
        # A lambda or a comprehension: the innermost statement around it.
        around = [each for each in self._statements if each[0] <= nearest.co_firstlineno <= each[1]]
        return self._between(*max(around)) if around else None

    def text_of_class(self, cls: type) -> str | None:
        """The lines of a class, where nothing in them is known to differ from the class that lives."""
        name = class_qualname(cls)
        nodes = self._classes.get(name, [])
        line = class_dict(cls).get("__firstlineno__")
        if len(nodes) > 1 and type(line) is int:
            nodes = [node for node in nodes if _first_line(node) == line]
        if len(nodes) != 1 or not self._agrees(cls, name, nodes[0]):
            return None
        return self._between(_first_line(nodes[0]), nodes[0].end_lineno)

    def _agrees(self, cls: type, name: str, node: ast.ClassDef) -> bool:
        """Whether the methods of a class, and its attributes that are written out, are those in the text."""
        own = class_dict(cls)
        for statement in node.body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            value = getattr(statement, "value", None)
            if len(targets) == 1 and isinstance(targets[0], ast.Name) and isinstance(value, ast.Constant):
                held = own.get(targets[0].id)
                if id(type(held)) in ATOMS and constant_token(held) != constant_token(value.value):
                    return False
        return all(self._same(code) for code in _methods(cls, name))

    def _same(self, code: CodeType) -> list[CodeType]:
        """The code objects of the file that are this one, wherever they stand."""
        named = self._codes.get(code.co_qualname, [])
        # Nearly always it is the same to the last line; what was moved or laid out anew since is told by what it does.
        found = [each for each in named if each == code]
        if found:
            return found
        wanted = summarise(code).named_hash
        return [each for each in named if summarise(each).named_hash == wanted]

    def _between(self, first: int, last: int | None) -> str:
        return "".join(self._lines[first - 1 : last])


def _methods(cls: type, name: str) -> Iterator[CodeType]:
    for value in class_dict(cls).values():
        if type(value) is FunctionType and value.__code__.co_qualname.startswith(f"{name}."):
            yield value.__code__


def _first_line(node: Any) -> int:
    return int(min([node.lineno, *[each.lineno for each in getattr(node, "decorator_list", ())]]))


def _definitions(statements: Iterable[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    """Every function and class within statements, with its qualified name."""
    for node in statements:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
            yield from _definitions(node.body, f"{prefix}{node.name}.<locals>.")
        elif isinstance(node, ast.ClassDef):
            yield prefix + node.name, node
            yield from _definitions(node.body, f"{prefix}{node.name}.")
        else:
            for within in _BLOCKS:
                yield from _definitions(getattr(node, within, ()), prefix)
