"""Whose code a thing is: where its file lies decides, and its name where there is none."""

from __future__ import annotations

import sys
import sysconfig
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from memo.ownership import owner_of_file, owner_of_module, owner_of_namespace

if TYPE_CHECKING:
    from pathlib import Path


def loaded(monkeypatch: pytest.MonkeyPatch, name: str, file: str | None) -> str:
    module = ModuleType(name)
    module.__file__ = file
    monkeypatch.setitem(sys.modules, name, module)
    return name


@pytest.mark.parametrize("name", ["json", "json.decoder", "collections.abc", "sys", "builtins", "_thread", "os.path"])
def test_the_interpreters_own_modules(name: str) -> None:
    __import__(name)
    assert owner_of_module(name) == "stdlib"


@pytest.mark.parametrize("name", ["numpy", "numpy._core.multiarray", "pandas", "pytest", "msgspec._core", "xxhash"])
def test_installed_distributions(name: str) -> None:
    __import__(name)
    assert owner_of_module(name) == "installed"


@pytest.mark.parametrize("name", ["memo", "memo.hashing", "memo_iomanagers.filesystem", "memo_strategies"])
def test_memo_itself(name: str) -> None:
    assert owner_of_module(name) == "memo"


@pytest.mark.parametrize("name", [None, "", "never_imported_anywhere", __name__])
def test_everything_else_is_the_users(name: str | None) -> None:
    assert owner_of_module(name) == "user"


def test_a_script_is_the_users_though_it_has_no_module() -> None:
    assert owner_of_namespace({}) == "user"
    assert owner_of_namespace({"__name__": "__main__"}) == "user"
    assert owner_of_namespace({"__name__": "__main__", "__file__": "/project/pipeline.py"}) == "user"


def test_an_editable_install_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert owner_of_module(loaded(monkeypatch, "edited", str(tmp_path / "src/edited/__init__.py"))) == "user"


def test_a_module_of_the_users_that_is_named_as_the_interpreters_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert owner_of_module(loaded(monkeypatch, "queue", "/project/queue.py")) == "user"


def test_a_module_that_is_part_of_another_is_whose_that_is(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(monkeypatch, "outer", "/venv/lib/python3/site-packages/outer/__init__.py")
    assert owner_of_module("outer.made_on_the_fly") == "installed"


def test_files() -> None:
    stdlib = sysconfig.get_paths()["stdlib"]
    assert owner_of_file(f"{stdlib}/json/__init__.py") == "stdlib"
    assert owner_of_file(f"{stdlib}/site-packages/x.py") == "installed"
    assert owner_of_file("/usr/lib/python3/dist-packages/x.py") == "installed"
    assert owner_of_file(f"{stdlib}2/json.py") == "user"
    assert owner_of_file("/project/x.py") == "user"
    assert owner_of_file(None) == owner_of_file("") == "user"


def test_what_runs_as_main_is_the_users_whoever_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for file in (pytest.__file__, sysconfig.get_paths()["stdlib"] + "/cProfile.py", None):
        loaded(monkeypatch, "__main__", file)
        assert owner_of_module("__main__") == "user"
