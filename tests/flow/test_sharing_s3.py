"""Two homes that share a bucket, and what that costs in requests."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from memo import JobDefinition, RunResult, SourceHashVersionStrategy, execute_job, graph, job, op, plan_job
from memo.project.home import Home
from memo.project.settings import StorageSettings
from tests.conftest import S3Server

OUTPUTS = 10_000


@op
def read() -> list[int]:
    return [1, 2, 3]


@op
def total(numbers: list[int]) -> int:
    return sum(numbers)


@op(name="total")
def total_edited(numbers: list[int]) -> int:
    found = sum(numbers)
    return found  # noqa: RET504 - it is other code for the same value


@op
def say(number: int) -> str:
    return f"{number} in all"


def counted(middle: Any) -> JobDefinition:
    @graph(name="counted")
    def composed() -> None:
        say(middle(read()))

    return composed.to_job(version_strategy=SourceHashVersionStrategy())


def run(definition: JobDefinition, folder: Path, bucket: str, *, read_only: bool = False, **given: Any) -> RunResult:
    with Home(folder, StorageSettings(f"s3://{bucket}/team", read_only=read_only)) as home:
        result = execute_job(definition, instance=home, raise_on_error=True, **given)
        assert result.output_for_node("say") == "6 in all"
        return result


def test_the_second_home_runs_nothing_and_is_cut_off_after_an_edit(
    s3: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    assert len(run(counted(total), tmp_path / "one", s3_bucket).executed) == 3
    assert run(counted(total), tmp_path / "other", s3_bucket).executed == []
    assert run(counted(total_edited), tmp_path / "fresh", s3_bucket).executed == ["total"]
    assert run(counted(total_edited), tmp_path / "one", s3_bucket).executed == []
    assert s3.filesystem().find(f"{s3_bucket}/team/claims") == []


def test_a_step_that_runs_costs_four_requests_and_one_that_is_reused_none(
    s3: S3Server, s3_bucket: str, tmp_path: Path
) -> None:
    run(counted(total), tmp_path / "one", s3_bucket)
    asked = Counter(
        "claim" if "/claims/" in path else "history" if "/history/" in path else "data" if "/data/" in path else "other"
        for method, path in s3.requests()
        if method in {"PUT", "POST", "DELETE"}
    )
    assert asked["data"] == 0, "small values stand in their manifests"
    assert asked["history"] == 1
    assert asked["claim"] <= 6
    assert len(s3.requests()) <= 3 * 4 + 3 + 4

    s3.forget()
    with Home(tmp_path / "one", StorageSettings(f"s3://{s3_bucket}/team")) as home:
        assert execute_job(counted(total), instance=home).executed == []
    assert len(s3.requests()) == 1, "what is new in the history"


def test_a_read_only_home_changes_nothing(s3: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    run(counted(total), tmp_path / "one", s3_bucket)
    s3.forget()
    run(counted(total), tmp_path / "reader", s3_bucket, read_only=True)
    run(counted(total_edited), tmp_path / "reader", s3_bucket, read_only=True)
    run(counted(total_edited), tmp_path / "reader", s3_bucket, read_only=True, force=True)
    assert {method for method, _ in s3.requests()} == {"GET"}


@pytest.mark.parametrize("how", ["403", "cut"])
def test_a_bucket_that_refuses_what_is_put_is_read_all_the_same(
    s3: S3Server, s3_bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    run(counted(total), tmp_path / "one", s3_bucket)
    s3.fail(how, method="PUT")
    assert run(counted(total_edited), tmp_path / "other", s3_bucket).executed == ["total"]
    assert caplog.text.count("the shared place") == 1
    s3.forget()
    assert run(counted(total_edited), tmp_path / "other", s3_bucket).executed == []
    assert run(counted(total_edited), tmp_path / "third", s3_bucket).executed == []


def test_a_server_that_cannot_be_reached_is_told_of_once_and_the_run_goes_on(
    s3: S3Server, s3_bucket: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    s3.fail("cut")
    assert len(run(counted(total), tmp_path / "one", s3_bucket).executed) == 3
    assert caplog.text.count("the shared place") == 1
    s3.forget()
    assert run(counted(total), tmp_path / "one", s3_bucket).executed == []
    assert run(counted(total), tmp_path / "other", s3_bucket).executed == []


def test_ten_thousand_outputs_are_planned_with_few_requests(s3: S3Server, s3_bucket: str, tmp_path: Path) -> None:
    @op
    def one(number: int) -> int:
        return number

    @job(version_strategy=SourceHashVersionStrategy())
    def many() -> None:
        for number in range(OUTPUTS):
            one.alias(f"s{number}")(number)

    shared = tmp_path / "shared"
    with Home(tmp_path / "one") as home:
        assert execute_job(many, instance=home).success
    with Home(tmp_path / "one", StorageSettings(str(shared))) as home:
        assert execute_job(many, instance=home).executed == []
    manifests = {
        f"team/{path.relative_to(shared)}": path.read_text() for path in (shared / "versioned").glob("*/*.json")
    }
    assert len(manifests) == OUTPUTS
    s3.fill(s3_bucket, manifests)
    for path in (shared / "history").rglob("*"):
        if path.is_file():
            s3.filesystem().pipe_file(f"{s3_bucket}/team/{path.relative_to(shared)}", path.read_bytes())
    s3.forget()

    with Home(tmp_path / "other", StorageSettings(f"s3://{s3_bucket}/team")) as home:
        plan = plan_job(many, instance=home)
        assert {step.verdict.value for step in plan.steps.values()} == {"REUSE"}
        assert all(step.seconds is not None for step in plan.steps.values())
        assert len(s3.requests()) <= 12, s3.requests()
        s3.forget()
        assert execute_job(many, instance=home).executed == []
        assert len(s3.requests()) <= 12, s3.requests()


def test_the_environment_leads_to_the_bucket(
    s3: S3Server, s3_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMO_STORAGE_REMOTE", f"s3://{s3_bucket}/team")
    assert len(execute_job(counted(total)).executed) == 3
    monkeypatch.setenv("MEMO_HOME", os.fspath(tmp_path / "elsewhere"))
    monkeypatch.setenv("MEMO_STORAGE_READ_ONLY", "1")
    assert execute_job(counted(total)).executed == []
