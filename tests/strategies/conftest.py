"""Ops to version without an engine: functions, and modules written to scratch folders."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from memo.contracts.version_strategy import CodeVersion, OpVersionContext
from memo_strategies.source_hash import SourceHashVersionStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType


class Stand:
    """What a strategy may rely on in a definition."""

    name = "op"
    version = None
    where = "op"
    ignore: frozenset[str] = frozenset()

    def __init__(self, compute_fn: Any = None, hardcoded_value: Any = None) -> None:
        self.compute_fn = compute_fn
        self.hardcoded_value = hardcoded_value


@pytest.fixture
def stand() -> type[Stand]:
    return Stand


@pytest.fixture
def version_of() -> Callable[..., CodeVersion]:
    def version(function: Any, strategy: SourceHashVersionStrategy | None = None) -> CodeVersion:
        return (strategy or SourceHashVersionStrategy()).get_op_version(OpVersionContext(Stand(function)))

    return version


_numbers = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """Write a text to a file and load it as a module."""
    # Two texts of one second and one length would have one bytecode.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loaded: list[str] = []

    def load_text(text: str, name: str | None = None) -> ModuleType:
        name = name or f"written_{next(_numbers)}"
        path = tmp_path / f"{name}.py"
        path.write_text(dedent(text), encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loaded.append(name)
        spec.loader.exec_module(module)
        return module

    yield load_text
    for name in loaded:
        sys.modules.pop(name, None)
