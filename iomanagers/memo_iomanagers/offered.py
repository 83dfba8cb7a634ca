"""The IO managers of files that memo offers by name: one that takes everything, and one for each format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.io_manager import IOManagerSpec
from memo.errors import StorageError
from memo_iomanagers.encodings import AUTO
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.signing import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.io_manager import MemoizableIOManager

__all__ = ["ARROW", "FS", "JSON", "NUMPY", "PARQUET", "PATH", "TEXT", "FormatConfig", "FsConfig"]


class FormatConfig(Struct, frozen=True):
    """The config of an IO manager that keeps one format.

    Attributes:
        base_dir: Where outputs are kept: a folder, or any URL that fsspec can open
            (``s3://bucket/prefix``). Where it is not set: the storage of memo's own home.
        verify: Compare the digest of everything that is loaded, however large.
    """

    base_dir: str | None = None
    verify: bool = False


class FsConfig(Struct, frozen=True):
    """The config of the IO manager `fs`.

    Attributes:
        base_dir: Where outputs are kept: a folder, or any URL that fsspec can open
            (``s3://bucket/prefix``). Where it is not set: the storage of memo's own home.
        encoding: ``auto`` chooses by the type of each value one in which it comes back as it is; or one of
            ``pickle``, ``arrow``, ``parquet``, ``numpy``, ``json``, ``text``, ``bytes``, ``path``.
        verify: Compare the digest of everything that is loaded, however large.
    """

    base_dir: str | None = None
    encoding: str = AUTO
    verify: bool = False


def _created_by(name: str, encoding: str | None) -> Callable[[Any], MemoizableIOManager]:
    def create(init_context: Any) -> MemoizableIOManager:
        config: FsConfig | FormatConfig = init_context.resource_config or FsConfig()
        chosen = encoding or (config.encoding if isinstance(config, FsConfig) else AUTO)
        base_dir, storage = config.base_dir, init_context.storage
        if base_dir is None:
            base_dir = storage.folder
            if base_dir is not None and storage.remote is not None:
                from memo_iomanagers.link import link_of
                from memo_iomanagers.shared import SharedIOManager

                link = link_of(storage, init_context.run_id)
                return SharedIOManager(base_dir, link, chosen, verify=config.verify, signing_key=key_of(storage))
        if base_dir is None:
            raise StorageError(
                f"the IO manager {name!r} has no base_dir, and there is no home to keep outputs in: set base_dir"
            )
        return FsIOManager(
            base_dir, chosen, verify=config.verify, signing_key=key_of(storage), journal_dir=storage.folder
        )

    return create


def _in_home(config: FsConfig | FormatConfig | None) -> FsConfig | FormatConfig | None:
    return config and replace(config, base_dir=None)


def _of_format(encoding: str, description: str) -> IOManagerSpec:
    return IOManagerSpec(
        encoding, _created_by(encoding, encoding), FormatConfig, description=description, in_home=_in_home
    )


FS = IOManagerSpec(
    name="fs",
    create=_created_by("fs", None),
    config_schema=FsConfig,
    description="Keeps any value in files, in a folder or at any URL that fsspec can open.",
    in_home=_in_home,
)
"""What the entry point `fs` offers; the others are named as theirs are."""

ARROW = _of_format("arrow", "Keeps tables, arrays and streams of batches as Arrow IPC files.")
JSON = _of_format("json", "Keeps plain data as JSON files.")
NUMPY = _of_format("numpy", "Keeps arrays of NumPy as .npy files.")
PARQUET = _of_format("parquet", "Keeps tables, streams of batches and frames as Parquet files.")
PATH = _of_format("path", "Keeps the file or folder that an op wrote and returned the path of.")
TEXT = _of_format("text", "Keeps texts as UTF-8 files.")
