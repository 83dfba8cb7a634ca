"""The off tag, from every entry point and under every executor."""

from __future__ import annotations

import pytest

from memo import MEMOIZED_RUN_TAG, SourceHashVersionStrategy, execute_job, job, op, plan_job
from memo.errors import DefinitionError

PIPELINE = """
    from memo import SourceHashVersionStrategy, job, op

    @op
    def one() -> int:
        return 1

    @op
    def two(x: int) -> int:
        return x + 1

    @job(version_strategy=SourceHashVersionStrategy())
    def memoized():
        two(one())

    @job(tags={"memo/is_memoized_run": "false"}, version_strategy=SourceHashVersionStrategy())
    def never():
        two(one())
"""


def counted(tags=None):
    seen = []

    @op(version="1")
    def one() -> int:
        seen.append("one")
        return 1

    @job(version_strategy=SourceHashVersionStrategy(), tags=tags)
    def counting():
        one()

    return counting, seen


@pytest.mark.parametrize("word", ["false", "False", "FALSE", False])
def test_execute_in_process(word, tmp_path) -> None:
    counting, seen = counted()
    counting.execute_in_process(instance=tmp_path)
    result = counting.execute_in_process(instance=tmp_path, tags={MEMOIZED_RUN_TAG: word})

    assert seen == ["one", "one"]
    assert result.output_for_node("one") == 1
    assert not counting.execute_in_process(instance=tmp_path).executed


def test_execute_job_and_job_tags(tmp_path) -> None:
    counting, seen = counted({MEMOIZED_RUN_TAG: "false"})
    execute_job(counting, tmp_path)
    execute_job(counting, tmp_path)
    assert seen == ["one", "one"]

    execute_job(counting, tmp_path, tags={MEMOIZED_RUN_TAG: True})
    execute_job(counting, tmp_path, tags={MEMOIZED_RUN_TAG: "true"})
    assert seen == ["one"] * 3, "the run's tag counts before the job's"


def test_nothing_versioned_is_written(tmp_path) -> None:
    counting, _ = counted({MEMOIZED_RUN_TAG: "false"})
    execute_job(counting, tmp_path)

    assert (tmp_path / "storage" / "runs").is_dir()
    assert not (tmp_path / "storage" / "versioned").exists()


@pytest.mark.parametrize("word", ["off", "", 0, "yes"])
def test_another_word_is_an_error(word, tmp_path) -> None:
    counting, _ = counted()
    with pytest.raises(DefinitionError, match=r"the run's tag 'memo/is_memoized_run' is .*; it must be true or false"):
        execute_job(counting, tmp_path, tags={MEMOIZED_RUN_TAG: word})


def test_the_plan_says_so(tmp_path) -> None:
    counting, _ = counted()
    plan = plan_job(counting, instance=tmp_path, tags={MEMOIZED_RUN_TAG: "false"})

    assert [(step.verdict, step.reason, step.version) for step in plan.steps.values()] == [
        ("RUN", "memoization off", None)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_executor(workspace, workers) -> None:
    workspace.write("pipeline.py", PIPELINE)
    assert workspace.run("pipeline.py:memoized", max_concurrent=workers).ran == ["one", "two"]
    assert workspace.run("pipeline.py:memoized", max_concurrent=workers).ran == []

    off = workspace.run("pipeline.py:memoized", max_concurrent=workers, tags={MEMOIZED_RUN_TAG: "false"}, output="two")

    assert off.ran == ["one", "two"]
    assert off.value == "2"
    assert workspace.run("pipeline.py:never", max_concurrent=workers).ran == ["one", "two"]
    assert workspace.run("pipeline.py:memoized", max_concurrent=workers).ran == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_line(workspace, workers) -> None:
    workspace.write("pipeline.py", PIPELINE)
    workspace.memo("run", "pipeline.py:memoized", "-j", workers)

    for off in (["--tag", f"{MEMOIZED_RUN_TAG}=false"], ["--no-memo"]):
        found = workspace.memo("run", "pipeline.py:memoized", "-j", workers, "--json", *off)
        assert found.returncode == 0, found.stderr
        assert '"success":2' in found.stdout.replace(" ", "").replace("\n", "")
