"""The IO manager that keeps tables as Delta tables: one for each output of a step, one commit for each version.

The Delta table of the step `daily_total` is ``<base_dir>/daily_total``: what people read there is the version stored
last, and Delta's history and time travel show the others. A commit says in its metadata which version it is
(``memo.version``, ``memo.run_id``, ``memo.digest``, …). Which commit holds which version is also told by a manifest of
its own, below ``<base_dir>/_memo``, written last: so that thousands of outputs are looked for with one listing a folder
in place of reading the history of every table; so that another step, or a renamed one, finds what was stored under its
version; and so that two runs which store different versions of one step at a time each find their own commit, whatever
their order. An output is there when its manifest is.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from random import random
from time import sleep
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from msgspec import Struct

from memo.contracts.io_manager import IOManagerSpec, MemoizableIOManager, Provenance, StoredValue
from memo.errors import InvocationError, MissingExtraError, OutputLostError, StorageError
from memo_iomanagers.database_names import view_name
from memo_iomanagers.delta_types import delta_type
from memo_iomanagers.naming import address_of
from memo_iomanagers.places import place_at, reason
from memo_iomanagers.stored_types import StoredColumns
from memo_iomanagers.table_digest import TableDigest
from memo_iomanagers.tables import READER, as_kind, kind_wanted, take

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.places import View

__all__ = ["DELTA", "DeltaConfig", "DeltaIOManager"]

_FORMAT = 1
_PLACE = "Delta"
_REMEDY = "it counts as not stored, and is made again when it is needed"
_TRIES = 200
_ONE_FILE = 1 << 50
"""Bytes of a file that are never reached: rows that lie in one file keep their order."""
_KEEP = {
    # What is no longer the latest is what memo reuses: Delta's own housekeeping is to leave it alone.
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.enableExpiredLogCleanup": "false",
}


class DeltaManifest(Struct, frozen=True, omit_defaults=True):
    """Where the table of an output is.

    Attributes:
        format: The layout of this record.
        address: The output's own: a manifest that was moved is none.
        table: The Delta table's folder, below the base.
        delta_version: The commit that holds the rows.
        kind: What the op returned: pandas, polars, pyarrow, reader or relation.
        arrow_schema: As it was before it was stored.
        row_count: How many rows there are.
        digest: Of their content.
    """

    format: int
    address: str
    table: str
    delta_version: int
    kind: str
    arrow_schema: bytes
    row_count: int
    digest: str
    provenance: Provenance = Provenance()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DeltaManifest).decode


class DeltaIOManager(MemoizableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB as Delta tables.

    An input gets what it is declared to be (``pandas.DataFrame``, ``polars.DataFrame``, ``pyarrow.Table``,
    ``pyarrow.RecordBatchReader``, ``duckdb.DuckDBPyRelation``), or else the kind that was stored. A stream is held in
    memory while it is stored: delta-rs writes batches in parallel, and would give the rows back in another order.

    Args:
        base_dir: A folder, or a URL that fsspec and delta-rs both know (``s3://bucket/prefix``). A relative folder
            counts from the current one.
        storage_options: What delta-rs needs to reach a URL, beside what the environment tells.

    Raises:
        MissingExtraError: deltalake is not installed.
        StorageError: The place cannot be used from here.
    """

    def __init__(self, base_dir: str | os.PathLike[str], *, storage_options: Mapping[str, str] | None = None) -> None:
        try:
            import deltalake
            from deltalake import exceptions
        except ImportError as error:
            raise MissingExtraError("deltalake", "delta", "the IO manager 'delta'") from error
        self._deltalake: Any = deltalake
        self._errors: Any = exceptions
        self._place = place_at(base_dir)
        if not self._place.shared:
            raise StorageError(f"base_dir {os.fspath(base_dir)!r} cannot be used: delta-rs keeps no tables in memory")
        if not self._place.remote and re.search("%[0-9a-fA-F]{2}", self._place.full_name("")):
            # delta-rs writes to the folder of that name, and reads from the one that %xx stands for.
            raise StorageError(f"base_dir {os.fspath(base_dir)!r} cannot be used: no folder of Delta's may hold %xx")
        self._options = dict(storage_options) if storage_options else None

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a table as a new commit.

        Raises:
            StorageError: It is no table, or one that would not come back as it is; or it cannot be written.
        """
        where = _where(context)
        taken = take(obj, where)
        columns = self._columns(taken.schema, where)
        digest = TableDigest(taken.schema)
        table = pa.Table.from_batches(map(columns.store, digest.watch(taken.batches())), columns.schema)
        table = table.combine_chunks()
        if any(column.num_chunks > 1 for column in table.itercolumns()):
            raise StorageError("holds more than 2 GB of text in a column, too much for a Delta table here", where=where)
        name = view_name(context)
        try:
            version = self._commit(context, name, table, digest.hexdigest())
            manifest = DeltaManifest(
                _FORMAT,
                address_of(context),
                name,
                version,
                taken.kind,
                taken.schema.serialize().to_pybytes(),
                digest.rows,
                digest.hexdigest(),
                context.provenance,
            )
            path = _path(context)
            self._place.put(path, _encode(manifest), aside=f"{path}.{os.urandom(8).hex()}.tmp")
        except OSError as error:
            raise StorageError(
                f"could not be stored in {self._place.full_name(name)}: {reason(error)}", where=where
            ) from error
        except self._errors.DeltaError as error:
            raise StorageError(
                f"could not be stored in {self._place.full_name(name)}: {_one_line(error)}", where=where
            ) from error
        context.report_stored(StoredValue(f"{self._place.full_name(name)}@v{version}", digest.size, digest.hexdigest()))

    def load_input(self, context: InputContext) -> Any:
        """Load the table of ``context.upstream_output``, as what the input is declared to be.

        Raises:
            OutputLostError: It is not there, or not what was stored.
            MissingExtraError: The package that the input's type belongs to is not installed.
            StorageError: It could not be read.
        """
        output = context.upstream_output
        if output is None:
            raise InvocationError(f"the input {context.name!r} does not come from another step's output")
        where = _where(output)
        manifest = self._read(output, self._place)
        if manifest is None:
            name = self._place.full_name(_path(output))
            raise OutputLostError(f"is not stored, there is no {name}; {_REMEDY}", where=where)
        name = f"{self._place.full_name(manifest.table)} at version {manifest.delta_version}"
        try:
            table = self._rows(manifest, where)
        except Exception as error:
            if not self._is_lost(error):
                raise StorageError(f"{name} could not be read: {_one_line(error)}", where=where) from error
            self._set_aside(output)
            raise OutputLostError(f"{name}: {_one_line(error)}; {_REMEDY}", where=where) from error
        kind = kind_wanted(context.dagster_type, manifest.kind)
        if kind == READER:
            return table.to_reader()
        try:
            return as_kind(kind, table, stored=manifest.kind)
        except ImportError as error:
            raise MissingExtraError(error.name or kind, kind, where) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored: its manifest is whole, and so is the log of its commit."""
        return self._find(context, self._place) is not None

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many; of a remote place, with one listing a folder."""
        return [manifest is not None for manifest in self._find_many(contexts)]

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content that the manifests of stored outputs tell."""
        found = self._find_many(contexts)
        return [None if manifest is None else manifest.provenance.content_digest for manifest in found]

    # Delta

    def _uri(self, name: str) -> str:
        return self._place.full_name(name)

    def _commit(self, context: OutputContext, name: str, table: Any, digest: str) -> int:
        """Make the rows the latest version of a Delta table, and say which one that is."""
        token = os.urandom(16).hex()
        told = {
            "memo.token": token,
            "memo.digest": digest,
            "memo.version": context.version,
            "memo.run_id": context.run_id,
            "memo.step_key": context.step_key,
            "memo.output": context.name,
            "memo.mapping_key": context.mapping_key,
        }
        metadata = {key: value.encode("utf-8", "backslashreplace").decode() for key, value in told.items() if value}
        if not self._place.remote:
            os.makedirs(self._place.full_name(name), exist_ok=True)
        for attempt in range(_TRIES):
            try:
                self._deltalake.write_deltalake(
                    self._uri(name),
                    table,
                    mode="overwrite",
                    schema_mode="overwrite",
                    configuration=_KEEP,
                    target_file_size=_ONE_FILE,
                    storage_options=self._options,
                    # Its own retry would keep the rows that another run committed in between beside these.
                    commit_properties=self._deltalake.CommitProperties(metadata, max_commit_retries=0),
                )
                break
            except self._errors.CommitFailedError:
                # Another run has stored the same step in between.
                if attempt == _TRIES - 1:
                    raise
                sleep(random() * min(0.01 * (attempt + 1), 0.5))  # noqa: S311 - not to meet again
        found = self._deltalake.DeltaTable(self._uri(name), storage_options=self._options)
        # Read here and not through history(), which finds nothing in folders of some names.
        for version in range(found.version(), -1, -1):
            with suppress(FileNotFoundError):
                if token.encode() in self._place.read(f"{name}/{_log(version)}"):
                    return version
        raise StorageError(f"{self._place.full_name(name)} has lost what was just stored there")

    def _rows(self, manifest: DeltaManifest, where: str) -> Any:
        schema = pa.ipc.read_schema(pa.py_buffer(manifest.arrow_schema))
        columns = self._columns(schema, where)
        stored = self._deltalake.DeltaTable(
            self._uri(manifest.table), version=manifest.delta_version, storage_options=self._options
        ).to_pyarrow_table()
        if sorted(stored.schema.names) != sorted(columns.schema.names):
            raise _ChangedError("it has other columns than what was stored")
        # A table whose columns are the same but for their order keeps the order that it had.
        stored = stored.select(columns.schema.names)
        hasher = TableDigest(schema)
        batches = list(hasher.watch(map(columns.restore, stored.to_batches())))
        if (hasher.rows, hasher.hexdigest()) != (manifest.row_count, manifest.digest):
            raise _ChangedError("it does not hold what was stored")
        return pa.Table.from_batches(batches, schema)

    def _is_lost(self, error: Exception) -> bool:
        """Whether storing the table afresh is the remedy; a place that cannot be reached may be there again later."""
        errors = self._errors
        if isinstance(error, (MemoryError, StorageError)):
            return False
        gone = (_ChangedError, FileNotFoundError, pa.ArrowInvalid, errors.TableNotFoundError)
        return isinstance(error, gone) or not self._place.remote or "LogSegment" in str(error)

    def _columns(self, schema: Any, where: str) -> StoredColumns:
        names = list(schema.names)
        if not names:
            raise StorageError("has no column, and a Delta table has at least one", where=where)
        seen: set[str] = set()
        for name in names:
            if not name or name.casefold() in seen:
                raise StorageError(
                    f"has {'two columns named' if name else 'a column named'} {name!r}, which Delta cannot keep (it "
                    "does not tell capitals from small letters): rename it",
                    where=where,
                )
            seen.add(name.casefold())
        return StoredColumns(schema, delta_type, names, place=_PLACE, where=where, empty="")

    # Manifests

    def _read(self, context: OutputContext, view: View) -> DeltaManifest | None:
        path = _path(context)
        try:
            manifest = _decode(view.read(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise OutputLostError(
                f"{self._place.full_name(path)} is not a whole manifest ({error}); {_REMEDY}", where=_where(context)
            ) from None
        except Exception as error:
            raise StorageError(
                f"{self._place.full_name(path)} could not be read: {reason(error)}", where=_where(context)
            ) from error
        if manifest.format != _FORMAT or manifest.address != address_of(context) or not manifest.table.isidentifier():
            raise OutputLostError(
                f"{self._place.full_name(path)} is of another output or of another memo; {_REMEDY}",
                where=_where(context),
            )
        return manifest

    def _find(self, context: OutputContext, view: View) -> DeltaManifest | None:
        if context.version is None and context.run_id is None:
            return None
        try:
            manifest = self._read(context, view)
            if manifest is None or self._place.remote:
                return manifest
        except StorageError as error:
            context.log.warning("%s", error)
            return None
        try:
            self._place.size(f"{manifest.table}/{_log(manifest.delta_version)}")
        except OSError:
            context.log.warning(
                "%s is gone, and its manifest is there; %s", self._place.full_name(manifest.table), _REMEDY
            )
            return None
        return manifest

    def _find_many(self, contexts: Sequence[OutputContext]) -> list[DeltaManifest | None]:
        named = [_path(context) for context in contexts if context.version is not None or context.run_id is not None]
        if not named:
            return [None] * len(contexts)
        try:
            view = self._place.view(named)
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            contexts[0].log.warning(
                "%s could not be asked which outputs it has: %s; none of them counts as stored",
                self._place.full_name(""),
                reason(error),
            )
            return [None] * len(contexts)
        return [self._find(context, view) for context in contexts]

    def _set_aside(self, context: OutputContext) -> None:
        """Take a manifest away whose rows are damaged, so that the next plan does not take the output for stored."""
        path = _path(context)
        with suppress(Exception):
            self._place.put(f"{path}.damaged", self._place.read(path), aside=f"{path}.{os.urandom(8).hex()}.tmp")
            self._place.remove(path)


class _ChangedError(Exception):
    """What is stored is not what was stored."""


def _path(context: OutputContext) -> str:
    return f"_memo/{address_of(context)}.json"


def _log(version: int) -> str:
    return f"_delta_log/{version:020}.json"


def _one_line(error: BaseException) -> str:
    """What delta-rs says, without the lines and colours of a terminal."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", "", str(error)).split()) or type(error).__name__


def _where(context: OutputContext) -> str:
    return f"output {context.name!r} of step {context.step_key!r}"


class DeltaConfig(Struct, frozen=True):
    """The config of the IO manager `delta`.

    Attributes:
        base_dir: Where the Delta tables are: a folder, or a URL (``s3://bucket/prefix``). Where it is not set:
            ``delta`` in the storage of memo's own home.
        storage_options: What delta-rs needs to reach a URL, beside what the environment tells.
    """

    base_dir: str | None = None
    storage_options: dict[str, str] | None = None

    def __repr__(self) -> str:
        return f"DeltaConfig(base_dir={self.base_dir!r}, storage_options=…)"


def _create(init_context: Any) -> DeltaIOManager:
    config: DeltaConfig = init_context.resource_config or DeltaConfig()
    base_dir = config.base_dir
    if base_dir is None:
        if init_context.storage.folder is None:
            raise StorageError("the IO manager 'delta' has no base_dir, and there is no home to keep tables in: set it")
        base_dir = os.path.join(init_context.storage.folder, "delta")
    return DeltaIOManager(base_dir, storage_options=config.storage_options)


DELTA = IOManagerSpec(
    name="delta",
    create=_create,
    config_schema=DeltaConfig,
    description="Keeps tables as Delta tables, in a folder or at a URL: one commit per version.",
)
"""What the entry point `delta` offers."""
