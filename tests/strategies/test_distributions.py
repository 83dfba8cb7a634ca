"""Whose a file is, and what is installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from memo.ownership import owner_of_file, owner_of_module, owner_of_namespace
from memo_strategies.distributions import Distributions, normalised

if TYPE_CHECKING:
    from pathlib import Path


def _install(
    folder: Path, name: str, version: str, modules: str, requires: tuple[str, ...] = (), kind: str = "dist-info"
) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.{kind}"
    info.mkdir(parents=True)
    lines = [
        f"Name: {name}",
        f"Version: {version}",
        *[f"Requires-Dist: {each}" for each in requires],
        "",
        "Requires-Dist: no",
    ]
    (info / ("METADATA" if kind == "dist-info" else "PKG-INFO")).write_text("\n".join(lines))
    if kind == "dist-info":
        (info / "RECORD").write_text("".join(f"{module},,\n" for module in modules.split()))
    else:
        (info / "top_level.txt").write_text("\n".join(modules.split()))


def test_a_file_is_found_in_its_distribution(tmp_path: Path) -> None:
    folder = tmp_path / "lib" / "site-packages"
    _install(
        folder,
        "Py-Thing",
        "1.2",
        "thing/__init__.py thing/deep.py ../../bin/thing",
        ("Other>=1", "maybe; extra == 'fast'"),
    )
    _install(folder, "old.style", "3", "oldie single", kind="egg-info")
    _install(folder, "space-one", "1", "space/one/__init__.py")
    _install(folder, "space-two", "2", "space/two/__init__.py")
    installed = Distributions([str(folder)])

    (thing,) = installed.of_file(f"{folder}/thing/deep.py")
    assert (thing.name, thing.version, thing.requires) == ("Py-Thing", "1.2", ("maybe", "other"))
    assert [each.version for each in installed.of_file(f"{folder}/single.py")] == ["3"]
    assert [each.name for each in installed.of_file(f"{folder}/space/one/__init__.py")] == ["space-one", "space-two"]
    assert installed.of_file(f"{folder}/nobodys.py") == ()
    assert installed.of_file(f"{tmp_path}/project/thing/deep.py") == ()
    assert installed.of_file(None) == ()
    assert installed.named("py-thing") is thing
    assert installed.named("not-there") is None


def test_requirements_for_developers_do_not_count(tmp_path: Path) -> None:
    kept = ("a", "b[x] (>=1)", "c; python_version < '4'", 'g; extra == "parquet"')
    left_out = (
        'd; extra == "test"',
        "e; extra == 'dev-tools'",
        'f; extra == "docs"',
        'h ; extra == "all"',
        "memo-pipelines",
    )
    _install(tmp_path, "thing", "1", "thing.py", (*kept, *left_out))
    thing = Distributions([str(tmp_path)]).named("thing")
    assert thing is not None
    assert thing.requires == ("a", "b", "c", "g")


def test_names_compare_as_the_index_compares_them() -> None:
    assert normalised("Zope.Interface_x") == normalised("zope-interface-x") == "zope-interface-x"


def test_what_is_installed_here() -> None:
    (found,) = Distributions().of_file(msgspec.__file__)
    assert found.name == "msgspec"
    assert found.version == msgspec.__version__


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        ("stdlib", "json math sys os importlib._bootstrap"),
        ("installed", "msgspec msgspec.json"),
        ("memo", "memo.hashing memo_strategies.graph"),
        ("user", "nowhere nowhere.at.all"),
    ],
)
def test_owners_of_modules(owner: str, names: str) -> None:
    assert {owner_of_module(name) for name in names.split()} == {owner}
    assert owner_of_module(None) == "user"


def test_the_file_says_more_than_the_name() -> None:
    assert owner_of_namespace({"__name__": "__main__", "__file__": "/home/me/pipeline.py"}) == "user"
    assert owner_of_namespace({"__name__": "queue", "__file__": "/home/me/project/queue.py"}) == "user"
    assert (
        owner_of_namespace({"__name__": "mine", "__file__": "/venv/lib/python3.11/site-packages/mine.py"})
        == "installed"
    )
    assert owner_of_namespace({"__name__": "queue"}) == "stdlib"
    assert owner_of_namespace({}) == "user"
    assert owner_of_namespace({"__name__": 3, "__file__": b"x"}) == "user"
    assert owner_of_file(sys.modules["json"].__file__) == "stdlib"
