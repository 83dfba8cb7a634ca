"""Running runs again: from failure, a part of them, automatically; memoized and plain jobs alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memo import (
    MEMOIZED_RUN_TAG,
    Home,
    IOManager,
    ReexecutionOptions,
    execute_job,
    io_manager,
    job,
    op,
)
from memo.errors import InvocationError, RunNotFoundError
from memo.tags import PARENT_RUN_ID_TAG, RETRY_NUMBER_TAG, ROOT_RUN_ID_TAG

OFF = {MEMOIZED_RUN_TAG: "false"}


class Bench:
    """A job whose second step fails as long as it is told to."""

    def __init__(self, **kwargs: Any) -> None:
        self.seen: list[str] = []
        self.failures = 1
        bench = self

        @op(version="1")
        def first() -> int:
            bench.seen.append("first")
            return 1

        @op(version="1")
        def second(x: int) -> int:
            bench.seen.append("second")
            if bench.failures > 0:
                bench.failures -= 1
                raise OSError("down")
            return x + 1

        @op(version="1")
        def third(x: int) -> int:
            bench.seen.append("third")
            return x + 1

        @op(version="1")
        def aside() -> int:
            bench.seen.append("aside")
            return 0

        @job(**kwargs)
        def bench_job() -> None:
            third(second(first()))
            aside()

        self.job = bench_job


@pytest.mark.parametrize("tags", [{}, OFF], ids=["memoized", "plain"])
def test_from_failure_runs_what_failed_and_what_never_finished(tags, tmp_path) -> None:
    bench = Bench()
    parent = execute_job(bench.job, tmp_path, tags=tags)
    assert parent.get_failed_step_keys() == {"second"}
    bench.seen.clear()

    again = execute_job(
        bench.job,
        tmp_path,
        tags=tags,
        reexecution_options=ReexecutionOptions.from_failure(parent.run_id),
    )

    assert again.success
    assert bench.seen == ["second", "third"]
    assert again.output_for_node("third") == 3
    assert again.record.parent_run_id == again.record.root_run_id == parent.run_id
    assert again.record.tags[PARENT_RUN_ID_TAG] == parent.run_id


@pytest.mark.parametrize("tags", [{}, OFF], ids=["memoized", "plain"])
def test_outputs_are_found_several_runs_up(tags, tmp_path) -> None:
    bench = Bench()
    bench.failures = 2
    first = execute_job(bench.job, tmp_path, tags=tags)
    second = execute_job(
        bench.job, tmp_path, tags=tags, reexecution_options=ReexecutionOptions.from_failure(first.run_id)
    )
    assert not second.success
    bench.seen.clear()

    third = execute_job(
        bench.job, tmp_path, tags=tags, reexecution_options=ReexecutionOptions.from_failure(second.run_id)
    )

    assert third.success
    assert bench.seen == ["second", "third"]
    assert third.record.root_run_id == first.run_id
    assert third.record.parent_run_id == second.run_id
    assert third.record.tags[ROOT_RUN_ID_TAG] == first.run_id


def test_a_part_of_a_plain_run_reads_the_parents_outputs(tmp_path) -> None:
    bench = Bench()
    bench.failures = 0
    parent = execute_job(bench.job, tmp_path, tags=OFF)
    bench.seen.clear()

    again = execute_job(
        bench.job,
        tmp_path,
        tags=OFF,
        reexecution_options=ReexecutionOptions(parent.run_id, step_selection=["third"]),
    )

    assert again.success
    assert bench.seen == ["third"]


class Plain(IOManager):
    """Stores in files and cannot say what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def handle_output(self, context: Any, obj: Any) -> None:
        (self.folder / "-".join(context.get_identifier())).write_text(str(obj))

    def load_input(self, context: Any) -> Any:
        return int((self.folder / "-".join(context.get_identifier())).read_text())


def test_from_failure_spares_finished_steps_that_are_not_memoizable(tmp_path) -> None:
    @io_manager
    def plain():
        return Plain(tmp_path)

    bench = Bench(resource_defs={"io_manager": plain})
    parent = execute_job(bench.job, tmp_path / "home")
    assert not parent.success
    bench.seen.clear()

    again = execute_job(
        bench.job, tmp_path / "home", reexecution_options=ReexecutionOptions.from_failure(parent.run_id)
    )

    assert again.success
    assert bench.seen == ["second", "third"]


def test_a_run_that_succeeded_or_does_not_exist_or_is_of_another_job_is_refused(tmp_path) -> None:
    bench = Bench()
    bench.failures = 0
    fine = execute_job(bench.job, tmp_path)

    with pytest.raises(InvocationError, match="succeeded; only a failed or canceled run"):
        execute_job(bench.job, tmp_path, reexecution_options=ReexecutionOptions.from_failure(fine.run_id))
    with pytest.raises(RunNotFoundError, match="there is no run 'nope'"):
        execute_job(bench.job, tmp_path, reexecution_options=ReexecutionOptions.from_failure("nope"))

    @job
    def other() -> None:
        """Be another job."""

    with pytest.raises(InvocationError, match="is of job 'bench_job', not of 'other'"):
        execute_job(other, tmp_path, reexecution_options=ReexecutionOptions(fine.run_id))


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ({}, ["first", "aside", "second", "second", "third"]),
        ({"memo/retry_strategy": "ALL_STEPS"}, ["first", "aside", "second", "first", "aside", "second", "third"]),
    ],
    ids=["from failure", "all steps"],
)
def test_failed_runs_are_started_again_as_the_tag_says(strategy, expected, tmp_path) -> None:
    bench = Bench(tags={"memo/max_retries": 2, **OFF, **strategy})

    result = execute_job(bench.job, tmp_path)

    assert result.success
    assert sorted(bench.seen) == sorted(expected)
    assert result.record.tags[RETRY_NUMBER_TAG] == "1"
    with Home(tmp_path) as home:
        runs = home.catalog.list_runs()
    assert [run.status for run in runs] == ["SUCCESS", "FAILURE"]
    assert runs[0].parent_run_id == runs[1].run_id


def test_runs_are_started_again_no_more_often_than_allowed(tmp_path) -> None:
    bench = Bench(tags={"memo/max_retries": 1})
    bench.failures = 5

    assert not execute_job(bench.job, tmp_path).success
    with Home(tmp_path) as home:
        assert len(home.catalog.list_runs()) == 2
