"""What functions are made of and reach: code, globals, closures, defaults, attributes."""

from __future__ import annotations

import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo.ownership import owner_of_module
from memo_strategies.annotations import annotations_of
from memo_strategies.code_objects import line_of
from memo_strategies.code_reader import summarise
from memo_strategies.dynamic import READING_METHODS, is_chance
from memo_strategies.flags import NOTED
from memo_strategies.introspect import (
    FOR_TYPE_CHECKERS,
    Unordered,
    is_class,
    is_heap_type,
    is_module,
    module_dict,
)
from memo_strategies.known import made_at_run_time, offering, qualified_name
from memo_strategies.names import fill

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import BuiltinFunctionType, CellType, CodeType, MethodType

    from memo_strategies.code_objects import CodeSummary
    from memo_strategies.graph import Graph, Node, Space


def expand_function(graph: Graph, node: Node, function: FunctionType) -> None:
    """A Python function: the user's by its code, others by their name."""
    code = function.__code__
    around = function.__globals__
    space = node.space = graph.spaces.get(id(around)) or graph.space(around)
    node.root = space.root
    if space.owner != "user" and not made_at_run_time(code):
        _expand_foreign(graph, node, function)
        return
    summary = node.summary = summarise(code, graph.cache)
    node.code = code
    node.kind = "function"
    node.flags |= summary.flags
    tokens = _names(graph, node, function, space, summary) if summary.holes else []
    if function.__closure__ or function.__defaults__ or function.__kwdefaults__ or function.__dict__:
        tokens += _surroundings(graph, node, function, summary.free)
    node.own = digest("function", summary.hash, *tokens) if tokens else summary.hash
    for name, place in summary.file_reads:
        node.note(READING_METHODS[name], line_of(code, place))


def _names(graph: Graph, node: Node, function: FunctionType, space: Space, summary: CodeSummary) -> list[str]:
    """What the names that the code loads stand for, beside the one edge that stands for most."""
    tokens: list[str] = []
    known, edges = space.fillings, node.edges
    for at, hole in enumerate(summary.holes):
        key = hole.key
        if key in known:
            found = known[key]
        else:
            found = known[key] = fill(graph, hole, function, space)
        edges += found.edges
        if found.token:
            tokens.append(f"{at} {found.token}")
        if found.flags:
            line = line_of(function.__code__, hole.place)
            for what in found.notes:
                if not (is_chance(what) and _is_seeded(summary)):
                    node.note(what, line)
            node.flags |= found.flags & ~NOTED
    return tokens


def _is_seeded(summary: CodeSummary) -> bool:
    return any(hole.label.rpartition(".")[2] == "seed" for hole in summary.holes)


def cells_of(function: FunctionType) -> dict[str, CellType]:
    """The variables of functions around it that a function is over, by name."""
    return dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))


def _surroundings(graph: Graph, node: Node, function: FunctionType, free: tuple[str, ...]) -> Iterator[str]:
    """The values that a function carries with it, beside its code.

    Args:
        graph: Where they are looked up.
        node: Of the function.
        function: The function.
        free: The variables of functions around it that count, in the order they do.
    """
    code = function.__code__
    if free:
        cells = cells_of(function)
        for at, name in enumerate(free):
            yield f"closure {at} {_cell(graph, node, cells[name], f'{node.name} closure {name}')}"
    defaults = function.__defaults__ or ()
    first = code.co_argcount - len(defaults)
    for index, value in enumerate(defaults):
        name = code.co_varnames[first + index]
        yield f"default {first + index} {graph.attach(node, value, f'{node.name} default {name}')}"
    for name, value in sorted(function.__kwdefaults__.items()) if function.__kwdefaults__ else ():
        yield f"default {name} {graph.attach(node, value, f'{node.name} default {name}')}"
    if function.__dict__:
        yield from _attributes(graph, node, function)


def _attributes(
    graph: Graph, node: Node, function: FunctionType, without: frozenset[str] = FOR_TYPE_CHECKERS
) -> Iterator[str]:
    """What was hung onto a function."""
    for name, value in sorted(item for item in function.__dict__.items() if type(item[0]) is str):
        if name not in without:
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
    name = node.given_name = qualified_name(function)
    tokens = [node.space.owner, name]
    node.edges.extend(("", package) for package in node.space.packages)
    if name == "functools.singledispatch.<locals>.wrapper":
        # Its closure holds a cache, and a token that counts the abstract classes of the whole process.
        registry = function.__dict__.get("registry") or {}
        graph.attach(node, Unordered(list(registry.items())))
        tokens += _attributes(graph, node, function, _OF_SINGLEDISPATCH)
    else:
        carried = function.__closure__ or function.__dict__ or _holds_things_of_user(graph, function)
        tokens += _surroundings(graph, node, function, function.__code__.co_freevars) if carried else ()
    if node.space.owner == "installed":
        tokens += annotations_of(graph, node)
    node.own = digest("foreign", *tokens)
    node.kind = "value" if node.edges else ""


_OF_SINGLEDISPATCH = FOR_TYPE_CHECKERS | {"__wrapped__", "_clear_cache", "dispatch", "register", "registry"}


def _holds_things_of_user(graph: Graph, function: FunctionType) -> bool:
    """Whether a default is the user's function, class or instance: decorators bind what they wrap in this way, too."""
    for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
        if type(value) is FunctionType:
            space = graph.space(value.__globals__)
        else:
            space = graph.space_of_class(value if is_class(value) else type(value))
        if space.owner == "user":
            return True
    return False


def expand_builtin(graph: Graph, node: Node, function: BuiltinFunctionType) -> None:
    """A function of compiled code, or a method of a value bound to it."""
    holder: Any = function.__self__
    name = node.given_name = qualified_name(function)
    if is_class(holder) and is_heap_type(holder):
        node.own = digest("of a class", function.__name__, graph.attach(node, holder))
    elif holder is None or is_module(holder) or is_class(holder):
        node.own = digest("builtin", name, *compiled(graph, node, function.__module__))
    elif home := offering(function):
        node.own = digest("offered", name, *compiled(graph, node, home))
    else:
        node.kind = "value"
        node.own = digest("bound builtin", function.__name__, graph.attach(node, holder))


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
    home = offering(method)
    if home:
        node.own = digest("offered", method.__func__.__qualname__, *compiled(graph, node, home))
        return
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
