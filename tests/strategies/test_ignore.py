"""``ignore=``: what its code reaches and is not to count."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from memo.contracts.version_strategy import OpVersionContext
from memo_strategies.source_hash import SourceHashVersionStrategy

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from memo.contracts.version_strategy import CodeVersion

HELPERS = """
LEVEL = {level}
def tidy(x):
    return x + {added}
class Box:
    size = {size}
"""

OPS = """
import json
from functools import partial, wraps
import helpers
from helpers import tidy

LIMIT = {limit}
VERBOSE = {verbose}

def op(x=LIMIT):
    if VERBOSE or helpers.LEVEL:
        print(json.dumps(x))
    return tidy(x) + LIMIT + helpers.Box.size

def wrapped(fn):
    @wraps(fn)
    def inner(*args):
        return fn(*args)
    return inner

decorated = wrapped(op)
bound = partial(op, 1)
"""

NOW = {"level": 0, "added": 1, "size": 1, "limit": 10, "verbose": False}


@pytest.fixture
def version(load: Callable[..., ModuleType], stand: Any) -> Callable[..., CodeVersion]:
    def version_of(*ignore: str, of: str = "op", **changes: object) -> CodeVersion:
        facts = {**NOW, **changes}
        load(HELPERS.format(**facts), "helpers")
        module = load(OPS.format(**facts), "ops")
        definition = stand(getattr(module, of))
        definition.ignore = frozenset(ignore)
        return SourceHashVersionStrategy().get_op_version(OpVersionContext(definition))

    return version_of


@pytest.mark.parametrize(
    ("ignored", "change"),
    [
        ("VERBOSE", {"verbose": True}),
        ("ops.VERBOSE", {"verbose": True}),
        ("helpers.LEVEL", {"level": 5}),
        ("helpers.tidy", {"added": 7}),
        ("helpers.Box", {"size": 3}),
        ("helpers.Box.size", {"size": 3}),
        ("ops.op default x", {}),
    ],
)
def test_what_is_ignored_does_not_count(version: Any, ignored: str, change: dict[str, object]) -> None:
    before, after = version(ignored), version(ignored, **change)

    assert before.version == after.version
    assert before.ignored == {ignored}
    assert not change or version().version != version(**change).version


@pytest.mark.parametrize("change", [{"limit": 11}, {"level": 1}, {"added": 2}, {"size": 2}])
def test_all_else_does(version: Any, change: dict[str, object]) -> None:
    assert version("VERBOSE").version != version("VERBOSE", **change).version


def test_ignoring_is_a_change_itself(version: Any) -> None:
    assert version("VERBOSE").version != version().version


def test_a_name_without_a_dot_is_of_the_ops_own_module(version: Any) -> None:
    assert version("LEVEL").ignored == frozenset()
    assert version("LEVEL").version != version("LEVEL", level=1).version


@pytest.mark.parametrize("of", ["decorated", "bound"])
def test_the_module_is_that_of_the_function_behind_wrappers(version: Any, of: str) -> None:
    found = version("VERBOSE", of=of)
    assert found.ignored == {"VERBOSE"}
    assert found.version == version("VERBOSE", of=of, verbose=True).version


def test_an_installed_package(load: Callable[..., ModuleType], stand: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    module = load("import numpy\ndef op():\n    return numpy.zeros(3)\n")
    definition = stand(module.op)
    definition.ignore = frozenset({"numpy"})
    found = SourceHashVersionStrategy().get_op_version(OpVersionContext(definition))

    assert found.ignored == {"numpy"}
    assert "numpy" not in {part.name for part in found.parts if part.kind == "package"}


def test_what_was_ignored_is_no_part_and_gives_no_warning(load: Callable[..., ModuleType], stand: Any) -> None:
    module = load("def settings():\n    return open('x').read()\ndef op():\n    return settings()\n", "quiet")
    definition = stand(module.op)
    assert SourceHashVersionStrategy().get_op_version(OpVersionContext(definition)).blind_spots

    definition.ignore = frozenset({"settings"})
    found = SourceHashVersionStrategy().get_op_version(OpVersionContext(definition))

    assert not found.blind_spots
    assert [part.name for part in found.parts if part.kind == "function"] == ["quiet.op"]


def test_each_op_has_its_own(load: Callable[..., ModuleType], stand: Any) -> None:
    module = load("A = 1\nB = 2\ndef op():\n    return A + B\n", "each")
    first, second = stand(module.op), stand(module.op)
    first.ignore, second.ignore = frozenset({"A"}), frozenset({"B"})
    strategy = SourceHashVersionStrategy()

    def both() -> list[str]:
        with strategy.planning():
            return [strategy.get_op_version(OpVersionContext(each)).version for each in (first, second)]

    before = both()
    vars(module)["A"] = 10
    after = both()
    assert before[0] == after[0]
    assert before[1] != after[1]
    assert "each" in sys.modules
