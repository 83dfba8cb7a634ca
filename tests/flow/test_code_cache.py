"""What a strategy leaves in a home's cache folder: when it is asked to, and that nothing hangs on it."""

from __future__ import annotations

import shutil
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from memo import SourceHashVersionStrategy, VersionStrategy, execute_job, job, op, plan_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memo.definition.job import JobDefinition

PIPELINE = """
    from memo import job, op

    LIMIT = {limit}

    def helper(x):
        return {helper}

    @op
    def one() -> int:
        return helper(LIMIT)

    @op
    def two(x: int) -> int:
        return x + 1

    @job
    def chain():
        two(one())
"""


def made(strategy: VersionStrategy) -> JobDefinition:
    @op
    def answer() -> int:
        return 42

    @job(version_strategy=strategy)
    def answering() -> None:
        answer()

    return answering


def test_a_run_leaves_it_and_a_plan_does_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    plan_job(made(SourceHashVersionStrategy()), instance=home)
    assert not home.exists()

    @op
    def other() -> int:
        return 43

    @job
    def another() -> None:
        other()

    execute_job(another, home)
    assert [path.name.partition("-")[0] for path in (home / "cache").iterdir()] == ["code"]


def test_without_a_home_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    @op
    def answer() -> int:
        return 42

    @job
    def answering() -> None:
        answer()

    answering.execute_in_process()
    assert not list(tmp_path.iterdir())


class Unaware(VersionStrategy):
    def get_op_version(self, context) -> str:
        return context.op_def.name


class Aware(Unaware):
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def recall_from(self, folder: str) -> None:
        self.told.append(("recall", folder))

    def planning(self):
        self.told.append(("plan", ""))
        return super().planning()

    def keep_in(self, folder: str) -> None:
        self.told.append(("keep", folder))


def test_a_strategy_of_the_users_is_told_of_the_folder_where_it_asks(tmp_path: Path) -> None:
    execute_job(made(Unaware()), tmp_path)
    assert not (tmp_path / "cache").exists()
    aware = Aware()
    cache = str(tmp_path / "cache")
    plan_job(made(aware), instance=tmp_path)
    assert aware.told == [("recall", cache), ("plan", "")]
    aware.told.clear()
    execute_job(made(aware), tmp_path)
    assert aware.told == [("recall", cache), ("plan", ""), ("keep", cache)]


@pytest.mark.parametrize(
    "harm",
    [
        lambda _: None,
        shutil.rmtree,
        lambda cache: [path.write_bytes(path.read_bytes()[:-3]) for path in cache.iterdir()],
        lambda cache: [path.write_bytes(b"\x00" * 4096) for path in cache.iterdir()],
    ],
    ids=["as it is", "deleted", "cut", "zeros"],
)
def test_what_runs_does_not_hang_on_it(harm: Callable[[Path], object], workspace) -> None:
    cache = workspace.path / ".memo" / "cache"
    both = ["one", "two"]

    def ran(text: str) -> list[str]:
        workspace.write("pipeline.py", text)
        found = workspace.run().ran
        harm(cache)
        return found

    assert ran(PIPELINE.format(limit=1, helper="x + 1")) == both
    assert ran(PIPELINE.format(limit=1, helper="x + 1")) == []
    assert ran("# moved\n\n" + dedent(PIPELINE.format(limit=1, helper="x + 1"))) == []
    assert ran(PIPELINE.format(limit=3, helper="x + 1")) == both
    assert ran(PIPELINE.format(limit=3, helper="x * 5")) == both
    assert ran(PIPELINE.format(limit=3, helper="x * 5")) == []
