"""What cannot be followed is said: one sentence an op, with the line and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from memo.contracts.version_strategy import CodeVersion

HIDDEN = [
    ("eval(x)", "eval() runs code made at run time"),
    ("exec(x)", "exec() runs code made at run time"),
    ("open(x)", "open() reads or writes a file"),
    ("__import__(x)", "__import__() finds code by a name made at run time"),
    ("importlib.import_module(x)", "import_module() finds code by a name made at run time"),
    ("import_module(x)", "import_module() finds code by a name made at run time"),
    ("sys.modules[x]", "sys.modules finds code by a name made at run time"),
    ("modules[x]", "sys.modules finds code by a name made at run time"),
    ("os.environ['HOME']", "os.environ reads the environment"),
    ("environ.get('HOME')", "os.environ reads the environment"),
    ("os.getenv('HOME')", "os.getenv() reads the environment"),
    ("sys.argv", "sys.argv reads the command line"),
    ("Path(x).read_text()", ".read_text() reads a file"),
    ("os.listdir(x)", "os.listdir() reads a folder"),
    ("generator", "generator is a builtins.generator, which cannot be looked into"),
    ("{'deep': [generator]}", "generator is a builtins.generator, which cannot be looked into"),
]

HEAD = """
import importlib, json, os, sys
from importlib import import_module
from os import environ
from pathlib import Path
from sys import modules
generator = (x for x in ())
def op(x):
    y = 1
    return {}
"""


@pytest.mark.parametrize(("text", "what"), HIDDEN)
def test_it_is_named_with_its_line_and_the_remedy(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], text: str, what: str
) -> None:
    module = load(HEAD.format(text))
    (warning,) = version_of(module.op).warnings
    assert warning.startswith(f"{module.__file__}:10: ")
    assert what in warning
    assert "declare version=" in warning


@pytest.mark.parametrize(
    "text",
    [
        "json.dumps(x)",
        "os.path.join('a', x)",
        "import_module('json').dumps(x)",
        "getattr(x, 'y')",
        "sys.version_info",
        "Path(x)",
    ],
)
def test_what_can_be_followed_is_not_warned_of(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], text: str
) -> None:
    assert version_of(load(HEAD.format(text)).op).warnings == ()


def test_in_a_helper_the_helpers_line_is_named(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load("def helper(x):\n    return [eval(y) for y in x]\ndef op(x):\n    return helper(x)\n")
    (warning,) = version_of(module.op).warnings
    assert warning.startswith(f"{module.__file__}:2: eval()")


def test_all_of_an_op_is_one_warning(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    module = load(
        """
        import os
        def op(x):
            eval(x)
            open(x), exec(x)
            os.environ, os.getenv(x)
            return eval(x)
        """
    )
    (warning,) = version_of(module.op).warnings
    assert ":4: eval()" in warning
    assert ":5: open() reads or writes a file, exec()" in warning
    assert "and 1 more" in warning


def test_a_users_own_function_may_be_called_read(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load("def read_settings(x):\n    return x\ndef op(x):\n    return read_settings(x)\n")
    assert version_of(module.op).warnings == ()


def test_a_reader_of_a_distribution(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    pytest.importorskip("pandas")
    module = load("import pandas as pd\ndef op(x):\n    return pd.read_csv(x)\n")
    assert "read_csv() may read a file" in version_of(module.op).warnings[0]


def test_a_package_that_counts_whole(
    version_of: Callable[..., CodeVersion],
    load: Callable[..., ModuleType],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which submodules are there depends on who imported them before: they cannot count."""
    (tmp_path / "whole_package").mkdir()
    (tmp_path / "whole_package" / "__init__.py").write_text("LIMIT = 1\n")
    (tmp_path / "whole_package" / "below.py").write_text("def helper(x):\n    return x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "import whole_package\n{}def op(name):\n    return getattr(whole_package, name)\n"
    alone = version_of(load(text.format("")).op)
    assert alone.warnings == ()
    found = version_of(load(text.format("import whole_package.below\n")).op)
    assert "the package whole_package as a whole, without its submodules" in found.warnings[0]
    assert found.version == alone.version
