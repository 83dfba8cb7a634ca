"""A job whose outputs are in a bucket, run as a user runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import S3Server, Workspace

PIPELINE = """
    from memo import fs_io_manager, job, multiprocess_executor, op, s3_pickle_io_manager, s3_resource

    @op
    def numbers():
        return list(range(10))

    @op
    def doubled(numbers):
        return [2 * each for each in numbers]

    @op
    def total(doubled):
        return sum(doubled)

    @job({definition})
    def pipeline():
        total(doubled(numbers()))
"""
BY_URL = """resource_defs={{"io_manager": fs_io_manager.configured({{"base_dir": "s3://{bucket}/outputs"}})}}"""
BY_RESOURCE = """
        executor_def=multiprocess_executor,
        resource_defs={{
            "io_manager": s3_pickle_io_manager.configured({{"s3_bucket": "{bucket}", "s3_prefix": "team/memo"}}),
            "s3": s3_resource.configured({{"endpoint_url": {{"env": "AWS_ENDPOINT_URL"}}, "region_name": "us-east-1"}}),
        }},
"""


@pytest.mark.parametrize("definition", [BY_URL, BY_RESOURCE], ids=["url", "resource"])
def test_a_job_in_a_bucket_runs_once_and_an_edit_runs_its_step(
    definition: str, workspace: Workspace, s3: S3Server, s3_bucket: str
) -> None:
    workspace.write("pipeline.py", PIPELINE.format(definition=definition.strip().format(bucket=s3_bucket)))
    first = workspace.run(output="total")
    assert (first.ran, first.reused, first.value) == (["doubled", "numbers", "total"], [], "90")

    s3.forget()
    second = workspace.run()
    assert (second.ran, second.reused) == ([], ["doubled", "numbers", "total"])
    assert len(s3.requests()) <= 3, s3.requests()

    workspace.edit("pipeline.py", "2 * each", "each * 2")
    s3.forget()
    third = workspace.run(output="total")
    assert (third.ran, third.reused, third.value) == (["doubled"], ["numbers", "total"], "90")
    assert len(s3.requests()) <= 14, s3.requests()

    workspace.edit("pipeline.py", "each * 2", "each * 3")
    fourth = workspace.run(output="total")
    assert (fourth.ran, fourth.reused, fourth.value) == (["doubled", "total"], ["numbers"], "135")


def test_an_output_that_is_listed_and_gone_is_made_again(workspace: Workspace, s3: S3Server, s3_bucket: str) -> None:
    workspace.write("pipeline.py", PIPELINE.format(definition=BY_URL.format(bucket=s3_bucket)))
    workspace.run()
    filesystem = s3.filesystem()
    for name in filesystem.find(f"{s3_bucket}/outputs/data"):
        if ".doubled." not in name:
            filesystem.rm_file(name)
    workspace.edit("pipeline.py", "sum(doubled)", "sum(doubled) + 1")
    found = workspace.run(output="total")
    assert (found.success, found.value) == (True, "91")


@pytest.mark.parametrize(
    ("environment", "bucket", "what"),
    [
        ({}, "memo-tests-never-made", "the bucket does not exist: create it, or correct its name"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "memo-tests", "no credentials were found"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "memo-tests", "the server cannot be reached"),
    ],
)
def test_what_is_wrong_with_the_bucket_is_one_line(
    environment: dict[str, str], bucket: str, what: str, workspace: Workspace, s3: S3Server
) -> None:
    workspace.write("pipeline.py", PIPELINE.format(definition=BY_URL.format(bucket=bucket)))
    found = workspace.memo("run", "pipeline.py", **environment)
    said = found.stdout + found.stderr
    assert found.returncode == 1
    assert what in said
    assert "Traceback" not in said
