"""The hash of one code object: layout cannot change it, any change of meaning does."""

from __future__ import annotations

import ast
import copy
import random
import sys
import sysconfig
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import pytest

from memo_strategies.code_objects import nested_code
from memo_strategies.code_reader import summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memo.contracts.version_strategy import CodeVersion

MODULES = [
    "argparse",
    "asyncio/tasks",
    "bisect",
    "calendar",
    "configparser",
    "contextlib",
    "csv",
    "dataclasses",
    "datetime",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "http/client",
    "json/decoder",
    "logging/__init__",
    "pathlib",
    "pickle",
    "random",
    "statistics",
    "string",
    "subprocess",
    "tarfile",
    "threading",
    "typing",
    "urllib/parse",
    "zipfile",
]


def _trees() -> Iterator[tuple[str, ast.Module]]:
    for name in MODULES:
        path = Path(sysconfig.get_paths()["stdlib"], f"{name}.py")
        if path.exists():
            yield name, ast.parse(path.read_text(encoding="utf-8"))


def _reformatted(tree: ast.Module) -> ast.Module:
    return ast.parse(ast.unparse(tree))


def _on_one_line(tree: ast.Module) -> ast.Module:
    tree = _reformatted(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt | ast.expr | ast.arg | ast.excepthandler | ast.keyword | ast.alias | ast.pattern):
            node.lineno = node.end_lineno = 1
            node.col_offset = node.end_col_offset = 0
    return tree


def _without_docs_and_annotations(tree: ast.Module) -> ast.Module:
    tree = _reformatted(tree)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass(lineno=node.lineno, col_offset=0)]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
            for each in ast.walk(node.args):
                if isinstance(each, ast.arg):
                    each.annotation = None
    return tree


@pytest.mark.parametrize("change", [_reformatted, _on_one_line, _without_docs_and_annotations])
def test_layout_docs_and_annotations_do_not_show(change: Callable[[ast.Module], ast.Module]) -> None:
    count = 0
    for name, tree in _trees():
        before = list(nested_code(compile(tree, name, "exec")))
        after = list(nested_code(compile(change(tree), name, "exec")))
        if len(before) != len(after):
            continue  # code in a finally block stands twice, or once
        for one, other in zip(before, after, strict=True):
            assert summarise(one).named_hash == summarise(other).named_hash, f"{name}: {one.co_qualname}"
            count += 1
    assert count > 1_500


OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


def _mutate(node: ast.AST) -> bool:
    """Change what a node means; False where this one is left alone."""
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        node.value += 1  # type: ignore[operator]
    elif isinstance(node, ast.Constant) and type(node.value) is str:
        node.value += "x"
    elif isinstance(node, ast.Compare):
        node.ops[0] = OPPOSITES[type(node.ops[0])]()
    elif isinstance(node, ast.BinOp):
        node.op = ast.Add() if isinstance(node.op, ast.Sub) else ast.Sub()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.Attribute):
        node.attr += "_x"
    elif isinstance(node, ast.If | ast.While):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.keyword) and node.arg:
        node.arg += "_x"
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        node.id = "another_name"
    else:
        return False
    return True


def _body_nodes(function: Any) -> list[ast.AST]:
    """The nodes of a function that count: not its annotations, docstrings and decorators."""
    cosmetic: set[int] = set()
    for node in ast.walk(function):
        hidden: list[Any] = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            hidden = [node.returns, *[each.annotation for each in ast.walk(node.args) if isinstance(each, ast.arg)]]
            if node is function:
                hidden += [node.args, *node.decorator_list]
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            hidden = [node.value]
        elif isinstance(node, ast.AnnAssign):
            hidden = [node.annotation]
        cosmetic |= {id(each) for tree in hidden if tree is not None for each in ast.walk(tree)}
    return [node for node in ast.walk(function) if id(node) not in cosmetic]


def _code(function: Any) -> CodeType | None:
    module = ast.fix_missing_locations(ast.Module([function], []))
    try:
        return next(nested_code(compile(module, "mutated", "exec")))
    except SyntaxError:
        return None


def _content(code: CodeType) -> tuple[Any, ...]:
    consts = tuple(_content(each) if type(each) is CodeType else repr(each) for each in code.co_consts)
    return code.co_code, consts, code.co_names, code.co_varnames, code.co_exceptiontable


def _functions(code: CodeType, name: str) -> list[FunctionType]:
    """The function among the globals of its own module, and where none of its names stand for anything."""
    module = import_module(name.removesuffix("/__init__").replace("/", "."))
    nowhere = {"__name__": "mutated", "__file__": None}
    return [FunctionType(code, globals_) for globals_ in ({**vars(module), **nowhere}, nowhere)]


def test_every_change_of_meaning_shows(version_of: Callable[..., CodeVersion]) -> None:
    chosen = random.Random(11)
    count = 0
    for name, tree in _trees():
        functions: list[Any] = [
            node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        for function in chosen.sample(functions, min(8, len(functions))):
            function.decorator_list = []
            before = _code(function)
            if before is None or before.co_freevars:
                continue
            versions = [version_of(each).version for each in _functions(before, name)]
            for number in chosen.sample(range(len(_body_nodes(function))), min(6, len(_body_nodes(function)))):
                mutated = copy.deepcopy(function)
                if not _mutate(_body_nodes(mutated)[number]):
                    continue
                after = _code(mutated)
                # Where the compiler folds the change away, as in ``while 1``, nothing changed.
                if after is None or _content(after) == _content(before):
                    continue
                text = f"{name}: {ast.unparse(mutated)}"
                assert summarise(after).named_hash != summarise(before).named_hash, text
                for one, other in zip(versions, _functions(after, name), strict=True):
                    assert version_of(other).version != one, text
                count += 1
    assert count > 300


def _all_names(code: CodeType, attribute: str) -> set[str]:
    return {name for each in (code, *nested_code(code)) for name in getattr(each, attribute)}


def _bound_names(function: Any) -> set[str]:
    """The variables of a function and of those in it that nobody can name: no parameters, nothing shared by name."""
    found = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            found.discard(node.arg)
        elif isinstance(node, ast.alias):
            found.discard(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.Global | ast.Nonlocal):
            found -= set(node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            found.discard(node.name or "")
    return found


def test_names_of_variables_do_not_show() -> None:
    count = 0
    for name, tree in _trees():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if any(isinstance(node, ast.ClassDef) for node in ast.walk(function)):
                continue  # a class body looks its variables up by name
            function.decorator_list = []
            before = _code(function)
            if before is None or _all_names(before, "co_names") & {"eval", "exec", "locals", "vars", "dir"}:
                continue
            bound = sorted(_bound_names(function) - _all_names(before, "co_names"), reverse=True)
            renamed = copy.deepcopy(function)
            for node in ast.walk(renamed):
                if isinstance(node, ast.Name) and node.id in bound:
                    node.id = f"variable_{bound.index(node.id):03}"
            after = _code(renamed)
            assert after is not None
            assert summarise(before).named_hash == summarise(after).named_hash, f"{name}: {ast.unparse(function)}"
            count += bool(bound)
    assert count > 500


def test_which_variable_is_meant_shows() -> None:
    """One variable in the place of another, in closures above all."""
    chosen = random.Random(5)
    count = 0
    for name, tree in _trees():
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            function.decorator_list = []
            before = _code(function)
            cells = _all_names(before, "co_freevars") if before is not None else set()
            loads = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id in cells]
            if before is None or len(cells) < 2 or not loads:
                continue
            for _ in range(4):
                mutated = copy.deepcopy(function)
                loads = [node for node in ast.walk(mutated) if isinstance(node, ast.Name) and node.id in cells]
                node = chosen.choice(loads)
                node.id = chosen.choice(sorted(cells - {node.id}))
                after = _code(mutated)
                if after is not None and _content(after) != _content(before):
                    assert summarise(after).named_hash != summarise(before).named_hash, (
                        f"{name}: {ast.unparse(mutated)}"
                    )
                    count += 1
    assert count > 50


def test_constants_by_type_and_value() -> None:
    texts = [
        "1",
        "1.0",
        "True",
        "'1'",
        "b'1'",
        "None",
        "...",
        "1j",
        "0.0",
        "-0.0",
        "(1,)",
        "(1.0,)",
        "((1,),)",
        "'N'",
        "''",
        "'i1'",
    ]
    codes = [compile(f"def f(): return {text}", "constants", "exec") for text in texts]
    assert len({summarise(next(nested_code(code))).hash for code in codes}) == len(texts)


def test_an_unknown_python_is_noticed() -> None:
    """Instructions are read by hand: a new Python needs a look at `memo_strategies.instructions`."""
    assert sys.version_info[:2] in {(3, 11), (3, 12), (3, 13)}
