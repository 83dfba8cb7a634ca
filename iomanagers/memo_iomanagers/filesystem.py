"""The IO manager that keeps outputs as files, in a folder or at any URL that fsspec can open.

An output is two files: its data, under a name that nothing else has, and its manifest, which names the data
file with its size and digest. The data is written first and hashed on the way; then the manifest appears in
one step. Only what a whole manifest names is stored: what a killed run left behind is never seen. Data lies below
``data/``, manifests below ``versioned/`` and ``runs/``: what is stored can be listed.

What planning checks: here, that the manifest is whole and its data file has the size that it tells. Far away, that the
manifest is there, as one listing says of all; what is wrong with it shows when the output is loaded.

What loading checks: the size, always. The digest, of everything that came over a network, of every small file, and
where `verify` asks for it. Of a large file of this machine the digest is compared only where the file was written to
since it was stored, as its time of modification tells, which memo itself chose: so a value of 640 MB is ready in
milliseconds, its pages not even read. What a failing disk changes in such a file shows under `verify` alone.

With a signing key, a time of modification proves nothing, as whoever writes to a file may set it: of everything that is
loaded the SHA-256 is compared with the one in its manifest, which the key has signed, before any of it is opened.

A value on its way from one step to the next within a process is not kept in memory for it: the file that was just
written is mapped, its pages being those in the page cache. Every reader so gets a value of its own, to be changed
freely, whatever its type; to hand on the object itself would have its readers see each other's changes.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from memo.contracts.inventory import InventoryIOManager
from memo.contracts.io_manager import StoredValue
from memo.errors import InvocationError, OutputLostError, StorageError, did_you_mean
from memo_iomanagers import manifest as manifests
from memo_iomanagers.encodings import AUTO, NAMES, choose, encoding_named
from memo_iomanagers.encodings.encoding import CannotEncodeError, type_name
from memo_iomanagers.journal import Journal
from memo_iomanagers.naming import address_of, data_path
from memo_iomanagers.places import Place, place_at, reason
from memo_iomanagers.signing import SignatureError, SigningKey, Untrusted
from memo_iomanagers.stored import SMALL, Stored, private
from memo_iomanagers.writing import SIDE, Nowhere, Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from io import BufferedIOBase

    from memo.contracts.inventory import Inventory, StoredOutput, UnnamedFile
    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.encodings.encoding import Encoding, Written
    from memo_iomanagers.manifest import Manifest

__all__ = ["FsIOManager"]

_T = TypeVar("_T")
_NOT_THERE = (FileNotFoundError, NotADirectoryError)
_REMEDY = "it counts as not stored, and is made again when it is needed"


class FsIOManager(InventoryIOManager):
    """Keeps outputs in files.

    Args:
        base_dir: A folder, or a URL such as ``s3://bucket/prefix`` or ``memory://prefix``, or a place. A relative
            folder counts from the current one.
        encoding: ``auto`` chooses by the type of each value one in which it comes back as it is; or one of
            ``pickle``, ``arrow``, ``parquet``, ``numpy``, ``json``, ``text``, ``bytes``, ``path`` for all values.
        verify: Compare the digest of everything that is loaded, however large.
        signing_key: Signs every manifest; what it did not sign does not count, with a warning.
        journal_dir: A folder of this machine where it is noted what is being stored at a URL, so that what a kill
            leaves there is removed by the next run; a folder keeps its own notes.

    Raises:
        StorageError: The place cannot be used from here, as when fsspec does not know the URL's protocol; there
            is no such encoding; or the key is too short.
    """

    def __init__(
        self,
        base_dir: str | os.PathLike[str] | Place,
        encoding: str = AUTO,
        *,
        verify: bool = False,
        signing_key: bytes | SigningKey | None = None,
        journal_dir: str | None = None,
    ) -> None:
        if encoding != AUTO and encoding not in NAMES:
            hint = did_you_mean(encoding, [AUTO, *sorted(NAMES)])
            raise StorageError(f"there is no encoding {encoding!r}.{hint}")
        self._place = base_dir if isinstance(base_dir, Place) else place_at(base_dir)
        self._encoding = encoding
        self._readable = NAMES if encoding == AUTO else frozenset({encoding})
        self._verify = verify
        self._key = SigningKey(signing_key) if isinstance(signing_key, bytes) else signing_key
        self._untrusted = Untrusted(self._place.full_name(""))
        self._journal = Journal(self._place, journal_dir)

    def shares_between_processes(self) -> bool:
        """Whether other processes can load what this one stores; not from a ``memory://`` URL."""
        return self._place.shared

    def sweep(self) -> None:
        """Remove what processes that are gone were storing and did not finish."""
        self._journal.sweep()

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Store a value, in place of the one stored under the same name if there is one.

        Raises:
            StorageError: It cannot be encoded or written. What was stored before is still stored.
        """
        encoding = self._encoding_of(context, obj)
        address = address_of(context)
        token = os.urandom(8).hex()
        data = data_path(address, f"{_name(address)}.{token}.{encoding.suffix}")
        aside = f"{address}.{token}.tmp"
        try:
            noted = self._journal.storing(_path(context), data, aside)
        except Exception as error:
            raise self._not_written(context, data, error) from error
        with noted:
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
                sha256=None if sink.sha256 is None else sink.sha256.hexdigest(),
            )
            try:
                former = self._put(context, manifest, aside=aside)
            except Exception as error:
                raise self._not_written(context, data, error) from error
            if former is not None and former.data != manifest.data:
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
        found = self._follow(output, self._open, set_aside=self._place.remote)
        if found is None:
            name = self._place.full_name(_path(output))
            raise OutputLostError(f"is not stored, there is no {name}; {_REMEDY}", where=_where(output))
        raw, manifest, file = found
        encoding = encoding_named(manifest.encoding)
        path = _data(output, manifest)
        name = self._place.full_name(path)
        with file:
            stored = self._stored(path, manifest, file)
            try:
                wrong = self._difference(manifest, file, stored)
            except OSError as error:
                raise self._not_read(output, path, error) from error
            if wrong:
                self._set_aside(output, raw)
                raise OutputLostError(f"{name} {wrong}; {_REMEDY}", where=_where(output))
            try:
                return encoding.load(stored, manifest.form, context.dagster_type)
            except MemoryError:
                raise
            except Exception as error:
                lost, what = encoding.explain_load(stored, error)
                if lost:
                    if encoding.has_side_files:
                        self._set_aside(output, raw)  # what is wrong is in a file beside it
                    raise OutputLostError(f"{name} {what}; {_REMEDY}", where=_where(output)) from error
                raise StorageError(f"{name} {what}", where=_where(output)) from error

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored.

        Here: a whole manifest, and a data file of the size that it tells; anything else that lies in its place is a
        miss, with a warning. Far away: its manifest is there.
        """
        if self._place.remote:
            return self.has_outputs([context])[0]
        with self._untrusted.together():
            return self._find(context) is not None

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many; of a remote place, with one listing, or one for each of a few folders."""
        if not self._place.remote:
            with self._untrusted.together():
                return [_is_named(context) and self._find(context) is not None for context in contexts]
        try:
            view = self._place.view(_path(context) for context in contexts if _is_named(context))
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            self._warn_not_asked(contexts[0], error)
            return [False] * len(contexts)
        return [_is_named(context) and view.has(_path(context)) for context in contexts]

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content that the manifests of stored outputs tell."""
        with self._untrusted.together():
            if self._place.remote:
                found = self._fetch_many(contexts)
            else:
                found = [self._find(context) if _is_named(context) else None for context in contexts]
        return [None if manifest is None else manifest.provenance.content_digest for manifest in found]

    def inventory(self) -> Inventory:
        """List all outputs of the place, whatever they are encoded as, and the files that no manifest names."""
        from memo_iomanagers.stocktaking import take_inventory

        return take_inventory(self._place, self._key)

    def examine(self, output: StoredOutput) -> str | None:
        """Compare the digests of all files of an output."""
        from memo_iomanagers.stocktaking import examine

        return examine(self._place, output, self._key)

    def discard(self, output: StoredOutput) -> bool:
        """Remove the manifest of an output, then its data."""
        from memo_iomanagers.stocktaking import discard

        return discard(self._place, output)

    def quarantine(self, output: StoredOutput) -> str | None:
        """Move the files of an output below ``quarantine/``."""
        from memo_iomanagers.stocktaking import quarantine

        return quarantine(self._place, output)

    def remove_unnamed(self, files: Iterable[UnnamedFile]) -> int:
        """Remove files that no manifest names."""
        from memo_iomanagers.stocktaking import remove_unnamed

        return remove_unnamed(self._place, files)

    def _fetch_many(self, contexts: Sequence[OutputContext]) -> list[Manifest | None]:
        try:
            stored = self._place.fetch([_path(context) for context in contexts if _is_named(context)])
        except Exception as error:  # noqa: BLE001 - file systems raise what they like
            self._warn_not_asked(contexts[0], error)
            return [None] * len(contexts)
        found: list[Manifest | None] = []
        for context in contexts:
            raw = stored.get(_path(context)) if _is_named(context) else None
            try:
                found.append(None if raw is None else self._decoded(context, raw))
            except _UntrustedError as error:
                self._untrusted.add(error.name, error.reason)
                found.append(None)
            except OutputLostError as error:
                context.log.warning("%s", error)
                found.append(None)
        return found

    def _warn_not_asked(self, context: OutputContext, error: Exception) -> None:
        context.log.warning(
            "%s could not be asked which outputs it has: %s; none of them counts as stored",
            self._place.full_name(""),
            reason(error),
        )

    def _set_aside(self, context: OutputContext, seen: bytes) -> None:
        """Take the manifest of a damaged output away, so that the next plan does not take the output for stored.

        Its text stays beside it for whoever wants to look into it.
        """
        path = _path(context)
        with suppress(Exception):
            if self._place.read(path) == seen:
                aside = f"{path}.{os.urandom(8).hex()}.tmp"
                with self._journal.storing(path, aside):
                    self._place.put(f"{path}.damaged", seen, aside=aside)
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
            sink = Sink(self._place, path, signed=self._key is not None)
        except Exception as error:
            raise self._not_written(context, path, error) from error
        try:
            written = encoding.dump(obj, sink)
            if sink.hasher.size < SMALL:
                sink.close()
                return sink, written, None
            return sink, written, sink.end()[3]
        except BaseException as error:
            sink.abandon()
            failure = sink.failure()
            if failure is not None:
                raise self._not_written(context, path, failure) from failure
            if isinstance(error, CannotEncodeError):
                raise StorageError(f"cannot be stored: {error}", where=_where(context)) from error.__cause__ or error
            raise

    def _not_written(self, context: OutputContext, path: str, error: Exception) -> StorageError:
        return StorageError(
            f"could not be stored as {self._place.full_name(path)}: {reason(error)}",
            where=_where(context),
        )

    def _put(self, context: OutputContext, manifest: Manifest, *, aside: str) -> Manifest | None:
        """Make a manifest appear.

        Returns:
            The one in whose place it is now, whose data it leaves without a name.
        """
        path, raw = _path(context), manifests.encode(manifest, self._key)
        # Nearly always there is none: far away that is not worth a question of its own.
        if self._place.remote and self._place.put(path, raw, aside=aside, replace=False):
            return None
        former = self._former(context)
        if former is not None:
            self._journal.replacing(path, _data(context, former))
        self._place.put(path, raw, aside=aside)
        return former

    def _former(self, context: OutputContext) -> Manifest | None:
        """What the output is stored as now, whose data a new manifest will leave without a name.

        Signed or not: nothing is taken from it but what to remove, which whoever could write it could have removed.
        """
        address = address_of(context)
        try:
            raw = self._place.read(f"{address}.json")
            return manifests.decode(raw, context, encodings=NAMES, stem=_name(address))
        except (*_NOT_THERE, ValueError):
            return None

    def _remove(self, context: OutputContext, manifest: Manifest) -> None:
        path = _data(context, manifest)
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
            signed=self._key is not None,
        )

    def _open(self, path: str, size: int) -> BufferedIOBase:
        file = self._place.open(path, size)
        return file if self._key is None else private(file)

    def _difference(self, manifest: Manifest, file: BufferedIOBase, stored: Stored) -> str | None:
        """Say in what a data file is not what its manifest tells, as the end of a sentence."""
        size = file.seek(0, os.SEEK_END)
        if size != manifest.size:
            return _other_size(size, manifest)
        if self._key is not None:
            return _other_than_signed(manifest, stored)
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
        """Say what is missing of the files beside a data file."""
        path = _data(context, manifest)
        try:
            with self._open(path, manifest.size) as file:
                stored = self._stored(path, manifest, file)
                wrong = None if self._key is None else _other_than_signed(manifest, stored)
                return wrong or encoding_named(manifest.encoding).lost(stored)
        except OSError as error:
            return f"could not be read: {reason(error)}"

    def _follow(
        self,
        context: OutputContext,
        look: Callable[[str, int], _T],
        *,
        set_aside: bool = False,
    ) -> tuple[bytes, Manifest, _T] | None:
        """Read a manifest, and look at the data file that it names.

        Between the two the output may be replaced, and the data file removed: then its new manifest counts.

        Args:
            context: The output.
            look: Given the path of the data file, and the size it should have.
            set_aside: A manifest that is not whole, or whose data is gone.

        Returns:
            The manifest as it stands there and as it reads, and what was seen; None where there is no manifest.

        Raises:
            OutputLostError: What lies there is not whole.
            StorageError: The place could not be asked.
        """
        path = _path(context)
        tried = None
        while True:
            try:
                raw = self._place.read(path)
            except _NOT_THERE:
                return None
            except Exception as error:
                raise self._not_read(context, path, error) from error
            try:
                manifest = self._decoded(context, raw)
            except OutputLostError as error:
                if set_aside and not isinstance(error, _UntrustedError):  # our key may be the wrong one
                    self._set_aside(context, raw)
                raise
            data = _data(context, manifest)
            try:
                return raw, manifest, look(data, manifest.size)
            except _NOT_THERE:
                if raw == tried:
                    if set_aside:
                        self._set_aside(context, raw)
                    raise OutputLostError(
                        f"{self._place.full_name(data)} is gone, and its manifest is there; {_REMEDY}",
                        where=_where(context),
                    ) from None
                tried = raw
            except Exception as error:
                raise self._not_read(context, data, error) from error

    def _decoded(self, context: OutputContext, raw: bytes) -> Manifest:
        address = address_of(context)
        try:
            return manifests.decode(raw, context, encodings=self._readable, stem=_name(address), key=self._key)
        except SignatureError as error:
            raise _UntrustedError(self._place.full_name(_path(context)), error, context) from None
        except ValueError as error:
            raise OutputLostError(
                f"{self._place.full_name(_path(context))} {error}; {_REMEDY}", where=_where(context)
            ) from None

    def _not_read(self, context: OutputContext, path: str, error: Exception) -> StorageError:
        return StorageError(f"{self._place.full_name(path)} could not be read: {reason(error)}", where=_where(context))

    def _find(self, context: OutputContext) -> Manifest | None:
        """Find the manifest of an output of this machine; None with a warning where what lies there is not whole."""
        try:
            return self._sized(context)
        except _UntrustedError as error:
            self._untrusted.add(error.name, error.reason)
            return None
        except StorageError as error:
            context.log.warning("%s", error)
            return None

    def _sized(self, context: OutputContext) -> Manifest | None:
        """Find the manifest of an output whose data file has the size it tells, or raise as `_follow`."""
        found = self._follow(context, lambda path, _: self._place.size(path))
        if found is None:
            return None
        _, manifest, size = found
        wrong = _other_size(size, manifest) if size != manifest.size else None
        if wrong is None and manifest.encoding == "path":
            wrong = self._lost_beside(context, manifest)
        if wrong:
            raise OutputLostError(
                f"{self._place.full_name(_data(context, manifest))} {wrong}; {_REMEDY}", where=_where(context)
            )
        return manifest


class _UntrustedError(OutputLostError):
    """A manifest that the key did not sign."""

    def __init__(self, name: str, reason: SignatureError, context: OutputContext) -> None:
        super().__init__(f"{name} {reason}; {_REMEDY}", where=_where(context))
        self.name = name
        self.reason = reason


def _other_than_signed(manifest: Manifest, stored: Stored) -> str | None:
    return None if stored.sha256() == manifest.sha256 else "does not hold what was signed: its digest differs"


def _other_size(size: int, manifest: Manifest) -> str:
    return f"has {size:,} bytes, and {manifest.size:,} were stored"


def _is_named(context: OutputContext) -> bool:
    return context.version is not None or context.run_id is not None


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _path(context: OutputContext) -> str:
    return f"{address_of(context)}.json"


def _data(context: OutputContext, manifest: Manifest) -> str:
    return data_path(address_of(context), manifest.data)


def _where(context: OutputContext) -> str:
    return f"output {context.name!r} of step {context.step_key!r}"
