"""The parts of a version: named as the user finds them, each with a hash of its own content, and its text."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from memo.contracts.version_strategy import CodePart, CodeVersion

TEXT = '''
from functools import lru_cache, partial
import json

LIMIT = 10
TABLE = {"a": 1, "b": [1, 2]}


class Model:
    """A model."""

    size = 3

    def run(self, x):
        return x * self.size


def far(x):
    return x + 1  # far away


@lru_cache
def near(x, by=LIMIT):
    # near by
    return far(x) + by


def make(n):
    def scaled(x):
        return x * n

    return scaled


double, triple = make(2), make(3)
key = lambda x: -x


def op(x):
    """Do it all."""
    return Model().run(near(x)), TABLE, double(x), triple(x), sorted(x, key=key), json.dumps(x)
'''


def _by_name(found: CodeVersion) -> dict[str, CodePart]:
    return {part.name: part for part in found.parts}


@pytest.fixture
def module(load: Callable[..., ModuleType]) -> ModuleType:
    return load(TEXT, "parts_module")


def test_names_kinds_and_details(version_of: Callable[..., CodeVersion], module: ModuleType) -> None:
    found = [(part.kind, part.name, part.detail) for part in version_of(module.op).parts]
    assert found[1:] == [
        ("function", "parts_module.op", ""),
        ("class", "parts_module.Model", ""),
        ("function", "parts_module.Model.run", ""),
        ("value", "parts_module.Model.size", "3"),
        ("value", "parts_module.near", "<_lru_cache_wrapper>"),
        ("function", "parts_module.near (function)", ""),
        ("function", "parts_module.far", ""),
        ("value", "parts_module.near default by", "10"),
        ("value", "parts_module.TABLE", "{'a': 1, 'b': [1, 2]}"),
        ("function", "parts_module.make.<locals>.scaled", ""),
        ("value", "parts_module.make.<locals>.scaled closure n", "2"),
        ("value", "parts_module.make.<locals>.scaled closure n (2)", "3"),
        ("function", "parts_module.<lambda>", ""),
    ]
    assert found[0][:2] == ("package", "python")


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("x + 1  # far", "x + 2  # far", {"parts_module.far"}),
        ("LIMIT = 10", "LIMIT = 11", {"parts_module.near default by"}),
        ("size = 3", "size = 4", {"parts_module.Model.size"}),
        ("x * self.size", "x / self.size", {"parts_module.Model.run"}),
        ("[1, 2]}", "[1, 3]}", {"parts_module.TABLE"}),
        ("make(3)", "make(4)", {"parts_module.make.<locals>.scaled closure n (2)"}),
        ("lambda x: -x", "lambda x: x", {"parts_module.<lambda>"}),
        ("return Model().run(near(x))", "return Model().run(near(x, 2))", {"parts_module.op"}),
        ("near(x)), TABLE", "far(x)), TABLE", {"parts_module.op"}),
    ],
)
def test_only_what_changed_changes(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], old: str, new: str, changed: set[str]
) -> None:
    before = _by_name(version_of(load(TEXT, "parts_module").op))
    assert TEXT.count(old) == 1
    after = _by_name(version_of(load(TEXT.replace(old, new), "parts_module").op))
    assert {name for name in before.keys() & after.keys() if before[name].hash != after[name].hash} == changed


def test_texts(version_of: Callable[..., CodeVersion], module: ModuleType) -> None:
    parts = _by_name(version_of(module.op))
    texts = {name: part.source() for name, part in parts.items() if part.source is not None}
    assert texts["parts_module.far"] == "def far(x):\n    return x + 1  # far away\n"
    assert texts["parts_module.near (function)"] == (
        "@lru_cache\ndef near(x, by=LIMIT):\n    # near by\n    return far(x) + by\n"
    )
    assert texts["parts_module.<lambda>"] == "key = lambda x: -x\n"
    assert texts["parts_module.make.<locals>.scaled"] == "    def scaled(x):\n        return x * n\n"
    assert (texts["parts_module.Model"] or "").startswith('class Model:\n    """A model."""\n')
    assert parts["parts_module.far"].line == 18
    assert parts["parts_module.far"].file == module.__file__
    assert parts["parts_module.TABLE"].source is None


def _text(part: CodePart) -> str | None:
    assert part.source is not None
    return part.source()


def test_a_text_that_is_not_what_runs_is_not_given(version_of: Callable[..., CodeVersion], module: ModuleType) -> None:
    parts = _by_name(version_of(module.op))
    path = Path(str(module.__file__))
    path.write_text(path.read_text().replace("x + 1", "x + 2").replace("size = 3", "size = 4"))
    assert _text(parts["parts_module.far"]) is None
    assert _text(parts["parts_module.Model"]) is None
    assert _text(parts["parts_module.Model.run"]) == "    def run(self, x):\n        return x * self.size\n"
    path.write_text("'unfinished")
    assert _text(parts["parts_module.Model.run"]) == "    def run(self, x):\n        return x * self.size\n"
    assert _text(_by_name(version_of(module.op))["parts_module.Model.run"]) is None
    path.unlink()
    assert _text(_by_name(version_of(module.op))["parts_module.Model.run"]) is None


def test_a_text_that_moved_within_its_file_is_found(version_of: Callable[..., CodeVersion], module: ModuleType) -> None:
    parts = _by_name(version_of(module.op))
    path = Path(str(module.__file__))
    path.write_text("# moved down\n\n\n" + path.read_text())
    assert _text(parts["parts_module.far"]) == "def far(x):\n    return x + 1  # far away\n"


def test_code_without_a_file_has_no_text(version_of: Callable[..., CodeVersion]) -> None:
    namespace: dict[str, Any] = {}
    exec("def op(x):\n    return x\n", namespace)
    part = next(part for part in version_of(namespace["op"]).parts if part.kind == "function")
    assert part.name == "(no module).op"
    assert _text(part) is None


def test_no_file_is_read_while_versioning(
    version_of: Callable[..., CodeVersion], module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import builtins

    opened: list[Any] = []
    real = builtins.open

    def watching(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(file)
        return real(file, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", watching)
    found = version_of(module.op)
    assert len(list(found.parts)) > 10
    assert opened == []


def test_values_are_shown_as_they_were(version_of: Callable[..., CodeVersion], module: ModuleType) -> None:
    found = version_of(module.op)
    module.TABLE["b"].append("since then")
    assert _by_name(found)["parts_module.TABLE"].detail == "{'a': 1, 'b': [1, 2]}"


def test_long_values_are_shown_in_short(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load(
        "LONG = list(range(100_000))\nTEXT = 'x' * 10_000\nBIG = 7 ** 9999\ndef op():\n    return LONG, TEXT, BIG\n"
    )
    details = [part.detail for part in version_of(module.op).parts if part.kind == "value"]
    assert details[0] == "[0, 1, 2, 3, 4, 5, … 100000 in all]"
    assert all(len(detail) <= 80 for detail in details)


def test_parts_cross_process_borders(version_of: Callable[..., CodeVersion], module: ModuleType) -> None:
    found = version_of(module.op)
    again = pickle.loads(pickle.dumps(found.parts))
    assert [(part.name, part.hash, part.line) for part in again] == [
        (part.name, part.hash, part.line) for part in found.parts
    ]


def test_a_hardcoded_resource(stand: Any) -> None:
    from memo.contracts.version_strategy import ResourceVersionContext
    from memo_strategies.source_hash import SourceHashVersionStrategy

    versions = {
        SourceHashVersionStrategy().get_resource_version(ResourceVersionContext(stand(None, value))).version
        for value in (1, 1.0, "1", None, [1], {"a": 1})
    }
    assert len(versions) == 6
