"""The IO manager that keeps outputs as files, in a folder or at any URL that fsspec can open.

An output is two files: its data, under a name that nothing else has, and its manifest, which names the data
file with its size and digest. The data is written first and hashed on the way; then the manifest appears in
one step. Only what a whole manifest names is stored: what a killed run left behind is never seen.

What loading checks: the size, always. The digest, of everything that came over a network, of every small file, and
where `verify` asks for it. Of a large file of this machine the digest is compared only where the file was written to
since it was stored, as its time of modification tells, which memo itself chose: so a value of 640 MB is ready in
milliseconds, its pages not even read. What a failing disk changes in such a file shows under `verify` alone.

A value on its way from one step to the next within a process is not kept in memory for it: the file that was just
written is mapped, its pages being those in the page cache. Every reader so gets a value of its own, to be changed
freely, whatever its type; to hand on the object itself would have its readers see each other's changes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from memo.contracts.io_manager import MemoizableIOManager, StoredValue
from memo.errors import InvocationError, OutputLostError, StorageError, did_you_mean
from memo_iomanagers import manifest as manifests
from memo_iomanagers.encodings import AUTO, NAMES, choose, encoding_named
from memo_iomanagers.encodings.encoding import CannotEncodeError, type_name
from memo_iomanagers.naming import address_of
from memo_iomanagers.places import place_at, reason
from memo_iomanagers.stored import SMALL, Stored
from memo_iomanagers.writing import SIDE, Nowhere, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from io import BufferedIOBase

    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.encodings.encoding import Encoding, Written
    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import View

__all__ = ["FsIOManager"]

_T = TypeVar("_T")
_NOT_THERE = (FileNotFoundError, NotADirectoryError)
_REMEDY = "it counts as not stored, and is made again when it is needed"


class FsIOManager(MemoizableIOManager):
    """Keeps outputs in files.

    Args:
        base_dir: A folder, or a URL such as ``s3://bucket/prefix`` or ``memory://prefix``. A relative folder
            counts from the current one.
        encoding: ``auto`` chooses by the type of each value one in which it comes back as it is; or one of
            ``pickle``, ``arrow``, ``parquet``, ``numpy``, ``json``, ``text``, ``bytes``, ``path`` for all values.
        verify: Compare the digest of everything that is loaded, however large.

    Raises:
        StorageError: The place cannot be used from here, as when fsspec does not know the URL's protocol; or there
            is no such encoding.
    """

    def __init__(self, base_dir: str | os.PathLike[str], encoding: str = AUTO, *, verify: bool = False) -> None:
        if encoding != AUTO and encoding not in NAMES:
            hint = did_you_mean(encoding, [AUTO, *sorted(NAMES)])
            raise StorageError(f"there is no encoding {encoding!r}.{hint}")
        self._place = place_at(base_dir)
        self._encoding = encoding
        self._readable = NAMES if encoding == AUTO else frozenset({encoding})
        self._verify = verify

    def shares_between_processes(self) -> bool:
        """Whether other processes can load what this one stores; not from a ``memory://`` URL."""
        return self._place.shared

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a value, in place of the one stored under the same name if there is one.

        Raises:
            StorageError: It cannot be encoded or written. What was stored before is still stored.
        """
        encoding = self._encoding_of(context, obj)
        address = address_of(context)
        token = os.urandom(8).hex()
        data = f"{address}.{token}.{encoding.suffix}"
        sink, written, seal = self._write(context, data, encoding, obj)
        if written.content_digest is not None:
            context.provenance = replace(context.provenance, content_digest=written.content_digest)
        manifest = manifests.manifest_of(
            context,
            encoding=encoding.name,
            form=written.form,
            data=_name(data),
            size=sink.hasher.size,
            digest=sink.hasher.hexdigest(),
            mtime_ns=seal,
        )
        try:
            former = self._former(context, address)
            self._place.put(f"{address}.json", manifests.encode(manifest), aside=f"{address}.{token}.tmp")
        except Exception as error:
            sink.abandon()
            raise self._not_written(context, data, error) from error
        if former is not None:
            self._remove(context, former)
        size = manifest.size + written.bytes_beside
        content = context.provenance.content_digest
        context.report_stored(StoredValue(self._place.full_name(data), size, manifest.digest, content))

    def content_digest_of(self, context: OutputContext, obj: Any) -> str | None:  # noqa: ARG002 - the value is enough
        """Of a path: the digest of the file or folder that it leads to."""
        encoding = None if self._encoding == AUTO else encoding_named(self._encoding)
        if encoding is None or not encoding.has_side_files or encoding.refusal(obj) is not None:
            return None
        return encoding.dump(obj, Nowhere()).content_digest

    def load_input(self, context: InputContext) -> Any:
        """Load the value of ``context.upstream_output``.

        Raises:
            OutputLostError: It is not there, or not whole, or needs classes that today's code does not have.
            StorageError: It could not be read, or rebuilding it raised an error.
        """
        output = context.upstream_output
        if output is None:
            raise InvocationError(f"the input {context.name!r} does not come from another step's output")
        found = self._follow(output, self._place, self._place.open)
        if found is None:
            name = self._place.full_name(f"{address_of(output)}.json")
            raise OutputLostError(f"is not stored, there is no {name}; {_REMEDY}", where=_where(output))
        manifest, file = found
        encoding = encoding_named(manifest.encoding)
        path = _beside(output, manifest)
        name = self._place.full_name(path)
        with file:
            stored = self._stored(path, manifest, file)
            try:
                wrong = self._difference(manifest, file, stored)
            except OSError as error:
                raise self._not_read(output, path, error) from error
            if wrong:
                self._set_aside(output, manifest)
                raise OutputLostError(f"{name} {wrong}; {_REMEDY}", where=_where(output))
            try:
                return encoding.load(stored, manifest.form, context.dagster_type)
            except MemoryError:
                raise
            except Exception as error:
                lost, what = encoding.explain_load(stored, error)
                if lost:
                    raise OutputLostError(f"{name} {what}; {_REMEDY}", where=_where(output)) from error
                raise StorageError(f"{name} {what}", where=_where(output)) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored: a whole manifest, and a data file of the size that it tells.

        Anything else that lies in its place is a miss, with a warning.
        """
        return self._find(context, self._place) is not None

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many; of a remote place, with one listing a folder."""
        return [manifest is not None for manifest in self._find_many(contexts)]

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content that the manifests of stored outputs tell."""
        found = self._find_many(contexts)
        return [None if manifest is None else manifest.provenance.content_digest for manifest in found]

    def _set_aside(self, context: OutputContext, manifest: Manifest) -> None:
        """Take the manifest of damaged data away, so that the next plan does not take the output for stored.

        Its text stays beside it for whoever wants to look into it.
        """
        address = address_of(context)
        path = f"{address}.json"
        with suppress(Exception):
            raw = self._place.read(path)
            if manifests.decode(raw, context, encodings=self._readable, stem=_name(address)) == manifest:
                self._place.put(f"{path}.damaged", raw, aside=f"{path}.{os.urandom(8).hex()}.tmp")
                self._place.remove(path)

    def _encoding_of(self, context: OutputContext, obj: object) -> Encoding:
        if self._encoding == AUTO:
            return choose(obj)
        encoding = encoding_named(self._encoding)
        refusal = encoding.refusal(obj)
        if refusal is not None:
            raise StorageError(
                f"cannot be stored as {encoding.name}: {refusal}; {encoding.name} takes {encoding.takes}. Convert the "
                f"{type_name(obj)}, or let fs_io_manager keep it, which takes whatever can be pickled",
                where=_where(context),
            )
        return encoding

    def _write(
        self, context: OutputContext, path: str, encoding: Encoding, obj: object
    ) -> tuple[Sink, Written, int | None]:
        """Write a data file and hash it in the same pass; nothing stays behind where that fails.

        Returns:
            The file, what is to be known of it, and its seal where it is large enough to need one.
        """
        try:
            sink = Sink(self._place, path)
        except Exception as error:
            raise self._not_written(context, path, error) from error
        try:
            written = encoding.dump(obj, sink)
            if sink.hasher.size < SMALL:
                sink.close()
                return sink, written, None
            return sink, written, sink.end()[2]
        except BaseException as error:
            sink.abandon()
            failure = sink.failure()
            if failure is not None:
                raise self._not_written(context, path, failure) from error
            if isinstance(error, CannotEncodeError):
                raise StorageError(f"cannot be stored: {error}", where=_where(context)) from error.__cause__ or error
            raise

    def _not_written(self, context: OutputContext, path: str, error: Exception) -> StorageError:
        return StorageError(
            f"could not be stored as {self._place.full_name(path)}: {reason(error)}",
            where=_where(context),
        )

    def _former(self, context: OutputContext, address: str) -> Manifest | None:
        """What the output is stored as now, whose data a new manifest will leave without a name."""
        try:
            raw = self._place.read(f"{address}.json")
            return manifests.decode(raw, context, encodings=NAMES, stem=_name(address))
        except (OSError, ValueError):
            return None

    def _remove(self, context: OutputContext, manifest: Manifest) -> None:
        path = _beside(context, manifest)
        self._place.remove(path)
        if encoding_named(manifest.encoding).has_side_files:
            self._place.remove_folder(path + SIDE)

    def _stored(self, path: str, manifest: Manifest, file: BufferedIOBase) -> Stored:
        return Stored(
            file,
            manifest.size,
            name=self._place.full_name(path),
            folder=self._place.folder(path + SIDE),
            beside=lambda name: self._place.open(f"{path}{SIDE}/{name}"),
        )

    def _difference(self, manifest: Manifest, file: BufferedIOBase, stored: Stored) -> str | None:
        """Say in what a data file is not what its manifest tells, as the end of a sentence."""
        size = file.seek(0, os.SEEK_END)
        if size != manifest.size:
            return _other_size(size, manifest)
        untouched = (
            manifest.mtime_ns is not None
            and not self._place.remote
            and os.fstat(file.fileno()).st_mtime_ns == manifest.mtime_ns
        )
        if untouched and not self._verify:
            return None
        if stored.digest() != manifest.digest:
            return "does not hold what was stored: its digest differs"
        return None

    def _lost_beside(self, context: OutputContext, manifest: Manifest) -> str | None:
        """Say what is missing of the files beside a data file, where this machine can tell at once."""
        if self._place.remote:
            return None
        path = _beside(context, manifest)
        try:
            with self._place.open(path) as file:
                return encoding_named(manifest.encoding).lost(self._stored(path, manifest, file))
        except OSError as error:
            return f"could not be read: {reason(error)}"

    def _follow(
        self,
        context: OutputContext,
        view: View,
        look: Callable[[str, int], _T],
    ) -> tuple[Manifest, _T] | None:
        """Read a manifest, and look at the data file that it names.

        Between the two the output may be replaced, and the data file removed: then its new manifest counts.

        Returns:
            The manifest and what was seen; None where there is no manifest.

        Raises:
            OutputLostError: What lies there is not whole.
            StorageError: The place could not be asked.
        """
        address = address_of(context)
        path = f"{address}.json"
        tried = None
        while True:
            try:
                raw = view.read(path)
            except _NOT_THERE:
                return None
            except Exception as error:
                raise self._not_read(context, path, error) from error
            try:
                manifest = manifests.decode(raw, context, encodings=self._readable, stem=_name(address))
            except ValueError as error:
                raise OutputLostError(
                    f"{self._place.full_name(path)} {error}; {_REMEDY}",
                    where=_where(context),
                ) from None
            data = _beside(context, manifest)
            try:
                return manifest, look(data, manifest.size)
            except _NOT_THERE:
                if raw == tried:
                    raise OutputLostError(
                        f"{self._place.full_name(data)} is gone, and its manifest is there; {_REMEDY}",
                        where=_where(context),
                    ) from None
                tried = raw
            except Exception as error:
                raise self._not_read(context, data, error) from error

    def _not_read(self, context: OutputContext, path: str, error: Exception) -> StorageError:
        return StorageError(f"{self._place.full_name(path)} could not be read: {reason(error)}", where=_where(context))

    def _sized(self, context: OutputContext, view: View) -> Manifest | None:
        """Find the manifest of an output whose data file has the size it tells, or raise as `_follow`."""
        found = self._follow(context, view, lambda path, _: view.size(path))
        if found is None:
            return None
        manifest, size = found
        if size != manifest.size:
            name = self._place.full_name(_beside(context, manifest))
            raise OutputLostError(f"{name} {_other_size(size, manifest)}; {_REMEDY}", where=_where(context))
        if manifest.encoding == "path" and (wrong := self._lost_beside(context, manifest)):
            raise OutputLostError(
                f"{self._place.full_name(_beside(context, manifest))} {wrong}; {_REMEDY}", where=_where(context)
            )
        return manifest

    def _find(self, context: OutputContext, view: View) -> Manifest | None:
        try:
            return self._sized(context, view)
        except StorageError as error:
            context.log.warning("%s", error)
            return None

    def _find_many(self, contexts: Sequence[OutputContext]) -> list[Manifest | None]:
        if not contexts:
            return []
        try:
            view = self._place.view(f"{address_of(context)}.json" for context in contexts if _is_named(context))
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            contexts[0].log.warning(
                "%s could not be asked which outputs it has: %s; none of them counts as stored",
                self._place.full_name(""),
                reason(error),
            )
            return [None] * len(contexts)
        return [self._find_in(context, view) if _is_named(context) else None for context in contexts]

    def _find_in(self, context: OutputContext, view: View) -> Manifest | None:
        if view is self._place:
            return self._find(context, view)
        try:
            return self._sized(context, view)
        except StorageError:
            # It may have been replaced while the place was listed: what is there now counts.
            return self._find(context, self._place)


def _other_size(size: int, manifest: Manifest) -> str:
    return f"has {size:,} bytes, and {manifest.size:,} were stored"


def _is_named(context: OutputContext) -> bool:
    return context.version is not None or context.run_id is not None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _beside(context: OutputContext, manifest: Manifest) -> str:
    return f"{address_of(context).rpartition('/')[0]}/{manifest.data}"


def _where(context: OutputContext) -> str:
    return f"output {context.name!r} of step {context.step_key!r}"
