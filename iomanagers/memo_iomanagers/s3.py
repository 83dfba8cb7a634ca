"""Dagster's names for S3: the IO manager that keeps pickles in a bucket, and the resource through which it does."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from memo.contracts.io_manager import IOManagerSpec
from memo.contracts.resource import ResourceSpec
from memo.errors import MissingExtraError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.remote_place import remote_place, s3_options
from memo_iomanagers.signing import key_of

__all__ = ["S3", "S3_PICKLE", "S3PickleConfig", "S3ResourceConfig"]


class S3ResourceConfig(Struct, frozen=True):
    """The config of the resource `s3_resource`. Credentials come from the environment or from a profile.

    Attributes:
        endpoint_url: Of a server that is not Amazon's; or ``AWS_ENDPOINT_URL``.
        region_name: Or ``AWS_DEFAULT_REGION``.
        profile_name: Of those in ``~/.aws``; or ``AWS_PROFILE``.
        use_unsigned_session: Without credentials, for public buckets.
        max_attempts: How often a request that fails is sent in all.
    """

    endpoint_url: str | None = None
    region_name: str | None = None
    profile_name: str | None = None
    use_unsigned_session: bool = False
    max_attempts: int = 3


class S3PickleConfig(Struct, frozen=True):
    """The config of the IO manager `s3_pickle_io_manager`.

    Attributes:
        s3_bucket: The bucket, which must be there.
        s3_prefix: What the keys begin with.
    """

    s3_bucket: str
    s3_prefix: str = "memo"


def _connect(init_context: Any) -> Any:
    try:
        from s3fs import S3FileSystem
    except ImportError as error:
        raise MissingExtraError("s3fs", "s3", "the resource s3_resource") from error
    config: S3ResourceConfig = init_context.resource_config or S3ResourceConfig()
    options = s3_options(config.max_attempts)
    if config.profile_name is not None:
        options["profile"] = config.profile_name
    if config.region_name is not None:
        options["client_kwargs"] = {"region_name": config.region_name}
    return S3FileSystem(anon=config.use_unsigned_session, endpoint_url=config.endpoint_url, **options)


def _create(init_context: Any) -> FsIOManager:
    config: S3PickleConfig = init_context.resource_config
    filesystem = init_context.resources.s3
    if not hasattr(filesystem, "pipe_file"):
        raise StorageError(
            f"the resource 's3' of the IO manager 's3_pickle' is a {type(filesystem).__name__}, and must be a file "
            "system of fsspec: use s3_resource, or s3fs.S3FileSystem(…)"
        )
    bucket, prefix = config.s3_bucket.strip("/"), config.s3_prefix.strip("/")
    if not bucket or "/" in bucket:
        raise StorageError(f"s3_bucket is {config.s3_bucket!r}: give the name of a bucket, without s3:// or a prefix")
    place = remote_place(filesystem, f"{bucket}/{prefix}")
    storage = init_context.storage
    return FsIOManager(place, "pickle", signing_key=key_of(storage), journal_dir=storage.folder)


S3 = ResourceSpec(
    name="s3",
    create=_connect,
    version="1",
    config_schema=S3ResourceConfig,
    description="Amazon S3, or a server that speaks its language, as an s3fs.S3FileSystem.",
)
"""What the entry point `s3` of the resources offers."""

S3_PICKLE = IOManagerSpec(
    name="s3_pickle",
    create=_create,
    config_schema=S3PickleConfig,
    required_resource_keys=frozenset({"s3"}),
    description="Keeps any value pickled in a bucket of S3, through the resource 's3'.",
)
"""What the entry point `s3_pickle` offers."""
