"""What functions are made of and reach: code, globals, closures, defaults, attributes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo.ownership import owner_of_module
from memo_strategies.code_objects import line_of, summarise
from memo_strategies.introspect import class_module, is_class, is_module, module_dict
from memo_strategies.names import fill, qualified_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType

    from memo_strategies.code_objects import CodeSummary
    from memo_strategies.graph import Graph, Node, Space


class Unordered:
    """Pairs whose order means nothing."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[Any, Any]]) -> None:
        self.pairs = pairs


def expand_function(graph: Graph, node: Node, function: FunctionType) -> None:
    """A Python function: the user's by its code, others by their name."""
    code = function.__code__
    space = node.space = graph.space(function.__globals__)
    node.root = space.root
    if space.owner != "user" and not _made_at_run_time(code):
        _expand_foreign(graph, node, function)
        return
    summary = node.summary = summarise(code)
    node.code = code
    node.kind = "function"
    node.name = f"{space.name}.{code.co_qualname}"
    if summary.flags:
        node.flags |= summary.flags
    tokens = _names(graph, node, function, space, summary)
    if function.__closure__ or function.__defaults__ or function.__kwdefaults__ or function.__dict__:
        tokens += _surroundings(graph, node, function)
    node.own = digest("function", summary.hash, *tokens) if any(tokens) else summary.hash
    for name, place in summary.file_reads:
        node.note(f".{name}() reads a file", line_of(code, place))


def _names(graph: Graph, node: Node, function: FunctionType, space: Space, summary: CodeSummary) -> list[str]:
    """What the names that the code loads stand for."""
    tokens: list[str] = []
    known, edges = space.fillings, node.edges
    for hole in summary.holes:
        found = known.get(hole.key) or fill(graph, hole, function, space)
        tokens.append(found.token)
        edges += found.edges
        if found.special:
            line = line_of(function.__code__, hole.place)
            for what in found.notes:
                node.note(what, line)
            node.flags |= found.flags
    return tokens


def _made_at_run_time(code: CodeType) -> bool:
    """Whether the code is from no file: whoever's globals it has, the user may have had it made."""
    return code.co_filename.startswith("<") and not code.co_filename.startswith("<frozen ")


def _surroundings(graph: Graph, node: Node, function: FunctionType) -> Iterator[str]:
    """The values that a function carries with it, beside its code."""
    code = function.__code__
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        yield f"closure {name} {_cell(graph, node, cell, f'{node.name} closure {name}')}"
    defaults = function.__defaults__ or ()
    first = code.co_argcount - len(defaults)
    for index, value in enumerate(defaults):
        name = code.co_varnames[first + index]
        yield f"default {first + index} {graph.attach(node, value, f'{node.name} default {name}')}"
    for name, value in sorted(function.__kwdefaults__.items()) if function.__kwdefaults__ else ():
        yield f"default {name} {graph.attach(node, value, f'{node.name} default {name}')}"
    attributes = function.__dict__
    for name, value in sorted(item for item in attributes.items() if type(item[0]) is str) if attributes else ():
        yield f"attribute {name} {graph.attach(node, value, f'{node.name}.{name}')}"


def _cell(graph: Graph, node: Node, cell: CellType, name: str) -> str:
    try:
        value = cell.cell_contents
    except ValueError:
        return "empty"
    return graph.attach(node, value, name)


def _expand_foreign(graph: Graph, node: Node, function: FunctionType) -> None:
    """A function of the standard library or of a distribution, which may hold functions of the user's."""
    assert node.space is not None
    name = qualified_name(function)
    node.name = name
    tokens = [node.space.owner, name]
    node.edges.extend(("", package) for package in node.space.packages)
    if name == "functools.singledispatch.<locals>.wrapper":
        # Its closure holds a cache, and a token that counts the abstract classes of the whole process.
        registry = function.__dict__.get("registry") or {}
        graph.attach(node, Unordered(list(registry.items())))
    elif function.__closure__ or function.__dict__:
        tokens += _surroundings(graph, node, function)
    node.own = digest("foreign", *tokens)
    node.kind = "value" if node.edges else ""


def expand_builtin(graph: Graph, node: Node, function: BuiltinFunctionType) -> None:
    """A function of compiled code, or a method of a value bound to it."""
    holder = function.__self__
    name = qualified_name(function)
    if holder is None or is_module(holder) or is_class(holder) or _is_offered(function):
        node.own = digest("builtin", name, *compiled(graph, node, function.__module__))
    else:
        node.kind = "value"
        node.own = digest("bound builtin", function.__name__, graph.attach(node, holder))


def _is_offered(function: BuiltinFunctionType) -> bool:
    """Whether a module of the standard library offers this method of a hidden instance as a function of its own.

    So ``random.random``, whose generator moves on with every call.
    """
    home = class_module(type(function.__self__))
    module = sys.modules.get(home)
    return (
        is_module(module)
        and owner_of_module(home) == "stdlib"
        and dict.get(module_dict(module), function.__name__) is function
    )


def compiled(graph: Graph, node: Node, module: str | None) -> list[str]:
    """What counts of compiled code: of a distribution its version, of the user's own the file."""
    if module is None or owner_of_module(module) in {"stdlib", "memo"}:
        return []
    found = sys.modules.get(module)
    file = module_dict(found).get("__file__") if is_module(found) else None
    packages = graph.packages_of(file)
    node.edges.extend(("", package) for package in packages)
    return [] if packages else [graph.file_digest(file)]


def expand_method(graph: Graph, node: Node, method: MethodType) -> None:
    """A bound method."""
    node.kind = "value"
    node.own = digest("method", graph.attach(node, method.__func__), graph.attach(node, method.__self__))


def expand_code(_: Graph, node: Node, code: CodeType) -> None:
    """A code object as a value: what it would load is not known, so the names count."""
    node.kind = "value"
    node.own = digest("code object", summarise(code).named_hash)


def expand_cell(graph: Graph, node: Node, cell: CellType) -> None:
    """A closure cell as a value."""
    node.own = digest("cell", _cell(graph, node, cell, ""))


def expand_unordered(graph: Graph, node: Node, found: Unordered) -> None:
    """Pairs whose order means nothing."""
    node.unordered = True
    node.own = digest("unordered", *[graph.attach(node, pair) for pair in found.pairs])
