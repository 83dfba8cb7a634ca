from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from memo.definition import families
from memo.definition.families import EXECUTORS, IO_MANAGERS, RESOURCES, STRATEGIES, family_member
from memo.errors import DefinitionError


def test_our_own_entry_points_are_those_that_are_declared() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    declared = {
        (group, name): place
        for group, members in project["entry-points"].items()
        for name, place in members.items()
        if group in {IO_MANAGERS, RESOURCES, STRATEGIES, EXECUTORS}
    }

    assert declared == families._OURS


@pytest.mark.parametrize(("group", "name"), sorted(families._OURS))
def test_each_of_ours_can_be_imported(group: str, name: str) -> None:
    assert family_member(group, name) is not None


def test_one_that_another_distribution_offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other_strategies.py").write_text("class Other: ...\n")
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[memo.strategies]\nother = other_strategies:Other\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert family_member(STRATEGIES, "other").__name__ == "Other"
    with pytest.raises(DefinitionError, match=r"nothing installed offers 'othr' .*Did you mean 'other'\?"):
        family_member(STRATEGIES, "othr")


def test_one_that_nothing_offers() -> None:
    with pytest.raises(DefinitionError, match=r"offers 'fss' in the group 'memo.iomanagers'\. Did you mean 'fs'\?"):
        family_member(IO_MANAGERS, "fss")
