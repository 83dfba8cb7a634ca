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
from time import sleep, time
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.io_manager import IOManagerSpec, Provenance
from memo.errors import MissingExtraError, OutputLostError, StorageError
from memo_iomanagers.database_names import view_name
from memo_iomanagers.delta_types import delta_type
from memo_iomanagers.encodings.parquet import ParquetEncoding
from memo_iomanagers.naming import address_of
from memo_iomanagers.places import NOT_THERE, aside_of, place_at, reason
from memo_iomanagers.stored_types import StoredColumns
from memo_iomanagers.table_io_manager import ChangedError, StoredTable, TableIOManager
from memo_iomanagers.telling import REMEDY, lost, where_of
from memo_iomanagers.writing import Sink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.places import View
    from memo_iomanagers.table_io_manager import Incoming

__all__ = ["DELTA", "DeltaConfig", "DeltaIOManager"]

_FORMAT = 1
_OURS = "kept by memo"
"""What the description of a table of ours begins with."""
_TRIES = 200
_GROUP_ROWS, _GROUP_BYTES = 1 << 18, 32 << 20
"""Of a row group; whichever is reached first."""
_KEEP: dict[str, str | None] = {
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
        delta_version: The commit that holds the rows.
        table: Its name is the Delta table's folder, below the base.
    """

    format: int
    address: str
    delta_version: int
    table: StoredTable
    provenance: Provenance = Provenance()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(DeltaManifest).decode


class DeltaIOManager(TableIOManager):
    """Keeps tables of pandas, polars, pyarrow and DuckDB as Delta tables.

    Args:
        base_dir: A folder, or a URL that fsspec and delta-rs both know (``s3://bucket/prefix``). A relative folder
            counts from the current one.
        storage_options: What delta-rs needs to reach a URL, beside what the environment tells. Files are written
            through fsspec, which goes by the environment alone.

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
        return StoredColumns(schema, delta_type, names, place="Delta", where=where, empty="")

    def _store(self, context: OutputContext, incoming: Incoming, where: str) -> str:
        name = view_name(context)
        folder = self._place.full_name(name)
        data = f"{os.urandom(16).hex()}.parquet"
        sink = self._write(f"{name}/{data}", incoming, where)
        try:
            stored = incoming.stored_as(name)
            added = (data, sink.size, stored.row_count)
            version = self._commit(context, folder, incoming.columns.schema, added, stored.digest)
        except StorageError:
            sink.abandon()
            raise
        except (self._errors.DeltaError, OSError) as error:
            # The file stays: a commit whose answer was lost may have been made all the same, and names it.
            raise StorageError(f"could not be stored in {folder}: {_one_line(error)}", where=where) from error
        path = _path(context)
        manifest = DeltaManifest(_FORMAT, address_of(context), version, stored, context.provenance)
        try:
            self._place.put(path, _encode(manifest), aside=aside_of(path))
        except OSError as error:
            raise StorageError(f"could not be stored in {folder}: {reason(error)}", where=where) from error
        return f"{folder}@v{version}"

    def _load(self, output: OutputContext, declared: Any, where: str) -> tuple[str, Any]:
        manifest = self._read(output, self._place)
        if manifest is None:
            name = self._place.full_name(_path(output))
            raise OutputLostError(f"is not stored, there is no {name}; {REMEDY}", where=where)
        stored = manifest.table
        name = f"{self._place.full_name(stored.name)} at version {manifest.delta_version}"
        try:
            columns = self._columns(stored.schema(), where)
            batches = self._rows(stored.name, manifest.delta_version, columns.schema)
            return stored.kind, self._given(stored, batches, declared, where, None)
        except Exception as error:
            if not self._is_lost(error):
                raise StorageError(f"{name} could not be read: {_one_line(error)}", where=where) from error
            self._set_aside(output)
            raise OutputLostError(f"{name}: {_one_line(error)}; {REMEDY}", where=where) from error

    def _find(self, contexts: Sequence[OutputContext]) -> Mapping[str, str | None]:
        try:
            view = self._place.view([_path(context) for context in contexts])
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            contexts[0].log.warning(
                "%s could not be asked which outputs it has: %s; none of them counts as stored",
                self._place.full_name(""),
                reason(error),
            )
            return {}
        found = [(address_of(context), self._manifest(context, view)) for context in contexts]
        return {address: each.provenance.content_digest for address, each in found if each is not None}

    # Delta

    def _write(self, path: str, incoming: Incoming, where: str) -> Sink:
        """Write the rows into one Parquet file, in their order; nothing stays behind where that fails.

        delta-rs itself would write batches in parallel, and give the rows back in another order.
        """
        schema = incoming.columns.schema
        try:
            sink = Sink(self._place, path)
        except OSError as error:
            raise self._not_written(path, error, where) from error
        try:
            groups = pa.RecordBatchReader.from_batches(schema, _groups(incoming.batches(), schema))
            ParquetEncoding().dump(groups, sink)
            sink.close()
        except BaseException as error:
            sink.abandon()
            if sink.error is not None:
                raise self._not_written(path, sink.error, where) from error
            raise
        return sink

    def _not_written(self, path: str, error: Exception, where: str) -> StorageError:
        return StorageError(f"could not be stored in {self._place.full_name(path)}: {reason(error)}", where=where)

    def _commit(
        self, context: OutputContext, folder: str, schema: Any, added: tuple[str, int, int], digest: str
    ) -> int:
        """Make a data file the latest version of a Delta table, in place of all others; says which version that is."""
        from deltalake import transaction

        told = {
            "memo.digest": digest,
            "memo.version": context.version,
            "memo.run_id": context.run_id,
            "memo.step_key": context.step_key,
            "memo.output": context.name,
            "memo.mapping_key": context.mapping_key,
        }
        # A retry of delta-rs's own would keep the rows that another run committed in between beside these.
        told = {key: value.encode("utf-8", "backslashreplace").decode() for key, value in told.items() if value}
        properties = self._deltalake.CommitProperties(told, max_commit_retries=0)
        name, size, rows = added
        action = transaction.AddAction(name, size, {}, int(time() * 1000), True, f'{{"numRecords":{rows}}}')
        kinds = self._deltalake.Schema.from_arrow(schema)
        for attempt in range(_TRIES):
            table = self._table(folder)
            try:
                if table is None:
                    transaction.create_table_with_add_actions(
                        folder,
                        kinds,
                        [action],
                        description=f"{_OURS}: output {context.name!r} of step {context.step_key!r}",
                        configuration=_KEEP,
                        storage_options=self._options,
                        commit_properties=properties,
                    )
                    version = 0
                else:
                    self._prepare(table, kinds, folder, where_of(context))
                    version = int(table.version()) + 1  # or the commit fails, as there are no retries
                    table.create_write_transaction([action], "overwrite", kinds, commit_properties=properties)
            except self._errors.DeltaError as error:
                # Another run has stored the same step in between.
                between = isinstance(error, self._errors.CommitFailedError) or "already exists" in str(error)
                if not between or attempt == _TRIES - 1:
                    raise
                sleep(random() * min(0.01 * (attempt + 1), 0.5))  # noqa: S311 - not to meet again
            else:
                return version
        raise AssertionError

    def _table(self, folder: str) -> Any | None:
        try:
            return self._deltalake.DeltaTable(folder, storage_options=self._options)
        except self._errors.TableNotFoundError:
            return None

    def _prepare(self, table: Any, kinds: Any, folder: str, where: str) -> None:
        """Refuse a table that is not ours; let it have times without a zone, a feature of Delta's, where they come."""
        if not (table.metadata().description or "").startswith(_OURS):
            raise StorageError(
                f"{folder} is a Delta table that is not memo's, and would be replaced by this output: move it, or give "
                "another base_dir",
                where=where,
            )
        if "timestamp_ntz" in kinds.to_json() and "timestampNtz" not in (table.protocol().writer_features or ()):
            feature = self._deltalake.TableFeatures.TimestampWithoutTimezone
            table.alter.add_feature(feature, allow_protocol_versions_increase=True)

    def _rows(self, name: str, version: int, schema: Any) -> Iterator[Any]:
        folder = self._place.full_name(name)
        stored = self._deltalake.DeltaTable(folder, version=version, storage_options=self._options).to_pyarrow_dataset()
        if sorted(stored.schema.names) != sorted(schema.names):
            raise ChangedError("it has other columns than what was stored")
        # A scan of the whole would fetch ahead without bound.
        for fragment in stored.get_fragments():
            for group in fragment.split_by_row_group():
                yield from group.to_table(schema=stored.schema, columns=schema.names).to_batches()

    def _is_lost(self, error: Exception) -> bool:
        """Whether storing the table afresh is the remedy; a place that cannot be reached may be there again later."""
        if isinstance(error, (MemoryError, StorageError)):
            return False
        gone = (ChangedError, FileNotFoundError, pa.ArrowInvalid, self._errors.TableNotFoundError)
        return isinstance(error, gone) or not self._place.remote or "LogSegment" in str(error)

    # Manifests

    def _read(self, context: OutputContext, view: View) -> DeltaManifest | None:
        path = _path(context)
        try:
            manifest = _decode(view.read(path))
        except NOT_THERE:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise lost(context, f"{self._place.full_name(path)} is not a whole manifest ({error})") from None
        except Exception as error:
            raise StorageError(
                f"{self._place.full_name(path)} could not be read: {reason(error)}", where=where_of(context)
            ) from error
        if (
            manifest.format != _FORMAT
            or manifest.address != address_of(context)
            or not manifest.table.name.isidentifier()
        ):
            raise lost(context, f"{self._place.full_name(path)} is of another output or of another memo")
        return manifest

    def _manifest(self, context: OutputContext, view: View) -> DeltaManifest | None:
        """The manifest of an output, where the log of its commit is there as well."""
        try:
            manifest = self._read(context, view)
            if manifest is None or self._place.remote:
                return manifest
        except StorageError as error:
            context.log.warning("%s", error)
            return None
        name = manifest.table.name
        try:
            self._place.size(f"{name}/{_log(manifest.delta_version)}")
        except OSError:
            context.log.warning("%s is gone, and its manifest is there; %s", self._place.full_name(name), REMEDY)
            return None
        return manifest

    def _set_aside(self, context: OutputContext) -> None:
        """Take a manifest away whose rows are damaged, so that the next plan does not take the output for stored."""
        path = _path(context)
        with suppress(Exception):
            self._place.put(f"{path}.damaged", self._place.read(path), aside=aside_of(path))
            self._place.remove(path)


def _path(context: OutputContext) -> str:
    return f"_memo/{address_of(context)}.json"


def _log(version: int) -> str:
    return f"_delta_log/{version:020}.json"


def _one_line(error: BaseException) -> str:
    """What delta-rs says, without the lines and colours of a terminal."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|↳", "", str(error)).split()) or type(error).__name__


def _groups(batches: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Put batches together until there are enough rows for a row group."""
    waiting: list[Any] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield from pa.Table.from_batches(waiting, schema).combine_chunks().to_batches()
            waiting, rows, size = [], 0, 0
    if rows:
        yield from pa.Table.from_batches(waiting, schema).combine_chunks().to_batches()


class DeltaConfig(Struct, frozen=True):
    """The config of the IO manager `delta`.

    Attributes:
        base_dir: Where the Delta tables are: a folder, or a URL (``s3://bucket/prefix``). Where it is not set:
            ``delta`` in the storage of memo's own home.
        storage_options: What delta-rs needs to reach a URL, beside what the environment tells. Files are written
            through fsspec, which goes by the environment alone.
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
    in_home=lambda config: config and replace(config, base_dir=None, storage_options=None),
)
"""What the entry point `delta` offers."""
