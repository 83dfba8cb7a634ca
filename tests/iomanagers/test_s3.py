"""Outputs in a bucket: what it costs in requests, and what happens when the server or the way to it fails."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections import Counter
from time import monotonic
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import memo
from memo.contracts.io_manager import InputContext, OutputContext, Provenance, Storage
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.s3 import S3, S3_PICKLE, S3PickleConfig, S3ResourceConfig

if TYPE_CHECKING:
    from memo_iomanagers.places import Place
    from tests.conftest import S3Server


LONG = "some text" * 1000
"""Too long to stand in a manifest."""


def output(name: str = "result", version: str | None = "ab12") -> OutputContext:
    return OutputContext("step", name, version, "run-1")


def load(io_manager: FsIOManager, context: OutputContext) -> Any:
    return io_manager.load_input(InputContext("value", context))


@pytest.fixture
def io_manager(s3_bucket: str) -> FsIOManager:
    return FsIOManager(f"s3://{s3_bucket}/outputs")


def methods(server: S3Server) -> list[str]:
    return [method for method, _ in server.requests()]


def one_line(error: BaseException) -> str:
    said = str(error)
    assert "\n" not in said
    return said


# What it costs.


def test_ten_thousand_outputs_are_asked_for_in_twelve_requests(
    s3: S3Server, s3_bucket: str, io_manager: FsIOManager
) -> None:
    there = [f"{number * 2654435761 % 2**32:08x}" for number in range(10_000)]
    s3.fill(s3_bucket, {f"outputs/versioned/{each[:2]}/{each}.result.json": "{}" for each in there})
    missing = [f"{number * 2654435761 % 2**32:08x}-" for number in range(500)]
    s3.forget()
    answers = io_manager.has_outputs([output(version=each) for each in [*there, *missing]])
    asked = s3.requests()
    assert answers == [True] * 10_000 + [False] * 500
    assert len(asked) <= 12, asked
    assert all(method == "GET" and "list-type=2" in path for method, path in asked)


def test_a_few_outputs_are_asked_for_folder_by_folder(s3: S3Server, s3_bucket: str, io_manager: FsIOManager) -> None:
    there = [f"{number:02x}{other:02x}" for number in range(256) for other in range(20)]
    s3.fill(s3_bucket, {f"outputs/versioned/{each[:2]}/{each}.result.json": "{}" for each in there})
    s3.forget()
    asked_for = ["0001", "0011", "0099", "7f01", "ff00"]
    answers = io_manager.has_outputs([output(version=each) for each in asked_for])
    assert answers == [True, True, False, True, True]
    assert len(s3.requests()) == 3


def test_what_storing_asking_and_loading_cost(s3: S3Server, io_manager: FsIOManager) -> None:
    io_manager.handle_output(output(), LONG)
    assert methods(s3) == ["PUT", "PUT"]
    s3.forget()
    assert io_manager.has_output(output())
    assert not io_manager.has_output(output("other"))
    assert methods(s3) == ["GET", "GET"]
    s3.forget()
    assert load(io_manager, output()) == LONG
    assert methods(s3) == ["GET", "GET"]
    s3.forget()
    io_manager.handle_output(output(), LONG + "two")
    assert methods(s3) == ["PUT", "PUT", "GET", "GET", "PUT", "DELETE"]
    assert load(io_manager, output()) == LONG + "two"


def test_a_small_value_costs_one_request(s3: S3Server, io_manager: FsIOManager) -> None:
    io_manager.handle_output(output(), "one")
    assert methods(s3) == ["PUT"]
    s3.forget()
    assert load(io_manager, output()) == "one"
    assert methods(s3) == ["GET"]
    s3.forget()
    io_manager.handle_output(output(), "two")
    assert methods(s3) == ["PUT", "GET", "GET", "PUT"]
    assert load(io_manager, output()) == "two"


def test_digests_are_read_of_those_that_are_asked_for(s3: S3Server, io_manager: FsIOManager) -> None:
    for number in range(6):
        context = output(version=f"{number}")
        context.provenance = Provenance(content_digest=f"digest {number}")
        io_manager.handle_output(context, number)
    s3.forget()
    assert io_manager.content_digests([output(version=each) for each in ("4", "9", "1")]) == [
        "digest 4",
        None,
        "digest 1",
    ]
    assert Counter(methods(s3)) == {"GET": 3}


@pytest.mark.parametrize("megabytes", [1, 9, 130])
def test_values_of_any_size_come_back(megabytes: int, s3_bucket: str, io_manager: FsIOManager, s3: S3Server) -> None:
    array = np.arange(megabytes * 125_000, dtype=float)
    io_manager.handle_output(output(), array)
    loaded = load(io_manager, output())
    assert np.array_equal(loaded, array)
    loaded[0] = -1.0
    assert load(io_manager, output())[0] == 0.0
    io_manager.handle_output(output(), "small")
    assert len(s3.filesystem().find(s3_bucket)) == 1


# What the server or the network does.


def test_what_is_listed_and_cannot_be_read_is_lost(s3: S3Server, io_manager: FsIOManager) -> None:
    io_manager.handle_output(output(), LONG)
    for part, what in (("versioned/ab/ab12", "is not stored"), ("/data/", "is gone")):
        s3.fail("404", method="GET", part=part, times=4)
        assert io_manager.has_outputs([output(), output("other")]) == [True, False]
        with pytest.raises(OutputLostError, match=what):
            load(io_manager, output())
        s3.forget()
        io_manager.handle_output(output(), LONG + part)
        assert io_manager.has_output(output())
        assert load(io_manager, output()) == LONG + part


def test_what_is_there_and_was_not_listed_is_replaced(s3_bucket: str, io_manager: FsIOManager, s3: S3Server) -> None:
    assert not io_manager.has_output(output())
    FsIOManager(f"s3://{s3_bucket}/outputs").handle_output(output(), "of another")
    io_manager.handle_output(output(), "own")
    assert load(io_manager, output()) == "own"
    assert len(s3.filesystem().find(s3_bucket)) == 1


def test_a_foreign_manifest_is_set_aside_when_it_is_loaded(
    s3: S3Server, s3_bucket: str, io_manager: FsIOManager
) -> None:
    manifest = f"{s3_bucket}/outputs/versioned/ab/ab12.result.json"
    s3.filesystem().pipe_file(manifest, b'{"format": 99}')
    assert io_manager.has_output(output())
    with pytest.raises(OutputLostError, match="not a whole manifest"):
        load(io_manager, output())
    assert not io_manager.has_output(output())
    assert s3.filesystem().cat_file(f"{manifest}.damaged") == b'{"format": 99}'


def test_an_upload_that_was_killed_is_not_seen(s3: S3Server, s3_bucket: str, io_manager: FsIOManager) -> None:
    script = f"""
import os, signal
from memo.contracts.io_manager import OutputContext
from memo_iomanagers.filesystem import FsIOManager

class Kills:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGKILL)

context = OutputContext("step", "result", "ab12", "run-1")
FsIOManager("s3://{s3_bucket}/outputs").handle_output(context, [b"x" * 60_000_000, Kills()])
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    filesystem = s3.filesystem()
    assert filesystem.call_s3("list_multipart_uploads", Bucket=s3_bucket)["Uploads"], "nothing was under way"
    assert filesystem.find(s3_bucket) == []
    assert not io_manager.has_output(output())
    io_manager.handle_output(output(), "whole")
    assert load(io_manager, output()) == "whole"


@pytest.mark.parametrize(
    ("value", "which"),
    [
        (LONG, {"part": "/data/"}),
        (LONG, {"part": "/versioned/"}),
        ("small", {"part": "/versioned/"}),
        (np.zeros(8_000_000), {"part": "partNumber"}),
        (np.zeros(16_000_000), {"part": "partNumber", "after": 1}),
    ],
)
def test_a_network_that_vanishes_in_the_middle_stores_nothing(
    value: Any, which: dict[str, Any], s3: S3Server, s3_bucket: str, io_manager: FsIOManager
) -> None:
    s3.fail("cut", method="PUT", **which)
    begun = monotonic()
    with pytest.raises(
        StorageError,
        match=r"output 'result' of step 'step': could not be stored as s3://.*(connection was cut|cannot be reached)",
    ):
        io_manager.handle_output(output(), value)
    assert monotonic() - begun < 60
    s3.forget()
    assert s3.filesystem().find(s3_bucket) == []
    assert not io_manager.has_output(output())
    io_manager.handle_output(output(), "later")
    assert load(io_manager, output()) == "later"


def test_an_answer_that_is_lost_loses_nothing(s3: S3Server, s3_bucket: str, io_manager: FsIOManager) -> None:
    for part in ("/versioned/", "/data/"):
        s3.fail("lose", method="PUT", part=part, times=1)
        io_manager.handle_output(output(), LONG + part)
        assert load(io_manager, output()) == LONG + part
        assert len(s3.filesystem().find(s3_bucket)) == 2


def test_a_busy_server_is_asked_again(s3: S3Server, io_manager: FsIOManager) -> None:
    s3.fail("503", times=1)
    io_manager.handle_output(output(), 1)
    s3.fail("503", times=1)
    assert io_manager.has_output(output())
    s3.fail("503", times=1)
    assert load(io_manager, output()) == 1


def test_two_that_create_a_file_at_one_moment_are_told_apart(s3: S3Server, s3_place: Place) -> None:
    conflict = {"how": "409:ConditionalRequestConflict", "method": "PUT"}
    s3.fail(**conflict, times=2)
    assert s3_place.put("claims/a", b"one", aside="", replace=False)
    s3.fail(**conflict)
    with pytest.raises(OSError, match="As told"):
        s3_place.put("claims/b", b"one", aside="", replace=False)
    s3.forget()
    assert dict(s3_place.list("")) == {"claims/a": 3}


def test_a_file_is_its_creators_though_the_answer_was_lost(s3: S3Server, s3_place: Place) -> None:
    s3.fail("lose", method="PUT", times=1)
    assert s3_place.put("claims/a", b"one", aside="", replace=False)
    s3.fail("cut", method="PUT", times=1)
    assert not s3_place.put("claims/a", b"two", aside="", replace=False)
    assert s3_place.read("claims/a") == b"one"


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("403:InvalidAccessKeyId", "the server does not know the access key that was used (InvalidAccessKeyId)"),
        ("403:SignatureDoesNotMatch", "the server does not accept the secret key that was used"),
        ("400:ExpiredToken", "the credentials have expired"),
        ("507:EntityTooLarge", "the server answered EntityTooLarge: As told"),
        ("500:InternalError", "the server failed (InternalError)"),
    ],
)
def test_what_a_server_answers_is_said_in_other_words(
    how: str, what: str, s3: S3Server, io_manager: FsIOManager
) -> None:
    s3.fail(how)
    with pytest.raises(StorageError) as raised:
        io_manager.handle_output(output(), 1)
    assert what in one_line(raised.value)


def test_a_server_that_fails_is_explained(s3: S3Server, io_manager: FsIOManager, caplog: Any) -> None:
    io_manager.handle_output(output(), 1)
    s3.fail("403")
    assert io_manager.has_outputs([output(), output("b")]) == [False, False]
    (record,) = caplog.records
    assert "could not be asked which outputs it has: access is denied to the credentials" in record.getMessage()
    with pytest.raises(StorageError, match="could not be read: access is denied") as raised:
        load(io_manager, output())
    assert not isinstance(raised.value, OutputLostError), "the output is not known to be lost"
    with pytest.raises(StorageError, match=r"could not be stored as s3://.*: access is denied") as raised:
        io_manager.handle_output(output("b"), 2)
    one_line(raised.value)
    s3.forget()
    assert load(io_manager, output()) == 1


# What the user did wrong.


def test_a_bucket_that_does_not_exist(s3: S3Server, caplog: Any) -> None:
    io_manager = FsIOManager("s3://memo-tests-never-made/outputs")
    assert not io_manager.has_output(output())
    assert "the bucket does not exist: create it, or correct its name" in caplog.records[0].getMessage()
    with pytest.raises(
        StorageError, match=r"could not be stored as s3://memo-tests-never-made/.*the bucket does not exist"
    ):
        io_manager.handle_output(output(), 1)


@pytest.mark.usefixtures("s3")
def test_no_credentials(monkeypatch: pytest.MonkeyPatch, s3_bucket: str) -> None:
    from s3fs import S3FileSystem

    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(StorageError, match="no credentials were found: set AWS_ACCESS_KEY_ID and") as raised:
            FsIOManager(f"s3://{s3_bucket}/outputs").handle_output(output(), 1)
        one_line(raised.value)
    finally:
        S3FileSystem.clear_instance_cache()


@pytest.mark.usefixtures("s3")
def test_a_server_that_is_not_there_costs_seconds() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        filesystem = S3.create(SimpleNamespace(resource_config=S3ResourceConfig(endpoint_url=url)))
        io_manager = S3_PICKLE.create(
            SimpleNamespace(
                resource_config=S3PickleConfig("bucket"), resources=SimpleNamespace(s3=filesystem), storage=Storage()
            )
        )
        begun = monotonic()
        with pytest.raises(
            StorageError, match=f"could not be stored as s3://bucket/memo/.*cannot be reached.*{url}"
        ) as raised:
            io_manager.handle_output(output(), 1)
        one_line(raised.value)
        assert monotonic() - begun < 30


def test_an_extra_that_is_not_installed() -> None:
    script = """
import sys
from types import SimpleNamespace
from memo.errors import MissingExtraError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.s3 import S3

for package in ("s3fs", "gcsfs", "adlfs"):
    sys.modules[package] = None
for attempt in (
    lambda: FsIOManager("s3://bucket/x"),
    lambda: FsIOManager("gs://bucket/x"),
    lambda: FsIOManager("abfs://container/x"),
    lambda: S3.create(SimpleNamespace(resource_config=None)),
):
    try:
        attempt()
    except MissingExtraError as error:
        print(error)
"""
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == [
        "base_dir 's3://bucket/x' needs the package 's3fs': pip install 'memo-pipelines[s3]'",
        "base_dir 'gs://bucket/x' needs the package 'gcsfs': pip install 'memo-pipelines[gcs]'",
        "base_dir 'abfs://container/x' needs the package 'adlfs': pip install 'memo-pipelines[azure]'",
        "the resource s3_resource needs the package 's3fs': pip install 'memo-pipelines[s3]'",
    ]


def test_a_resource_that_is_no_file_system() -> None:
    with pytest.raises(
        StorageError, match="the resource 's3' of the IO manager 's3_pickle' is a dict, and must be a file system"
    ):
        S3_PICKLE.create(SimpleNamespace(resource_config=S3PickleConfig("b"), resources=SimpleNamespace(s3={})))


@pytest.mark.parametrize("bucket", ["", "s3://bucket", "bucket/prefix"])
def test_a_bucket_that_is_no_name(bucket: str) -> None:
    with pytest.raises(StorageError, match="give the name of a bucket"):
        S3_PICKLE.create(
            SimpleNamespace(
                resource_config=S3PickleConfig(bucket),
                resources=SimpleNamespace(s3=S3.create(SimpleNamespace(resource_config=None))),
            )
        )


def test_the_ready_ones_are_what_they_say() -> None:
    assert memo.s3_pickle_io_manager.required_resource_keys == {"s3"}
    assert memo.s3_resource.version == "1"
