"""Values stored: encoded into a data file, which counts once its manifest appears; what it replaced is then removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.contracts.io_manager import StoredValue
from memo.errors import StorageError
from memo_iomanagers import manifest as manifests
from memo_iomanagers.encodings import AUTO, NAMES, choose, encoding_named
from memo_iomanagers.encodings.encoding import CannotEncodeError, type_name
from memo_iomanagers.manifest import LARGEST_VALUE, data_of
from memo_iomanagers.naming import MANIFEST, address_of, data_path
from memo_iomanagers.places import NOT_THERE, SMALL, aside_of, drawn, reason
from memo_iomanagers.telling import where_of
from memo_iomanagers.writing import Nowhere, Sink, remove_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.encodings.encoding import Encoding, Written
    from memo_iomanagers.journal import Journal
    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place
    from memo_iomanagers.signing import SigningKey

__all__ = ["Storer"]


class Storer:
    """Stores values at one place.

    Args:
        place: The place.
        journal: Notes what is written there.
        encoding: The name of the one for all values, or `AUTO`.
        key: Signs all manifests.
        know: Told the address of every output that is stored, and its manifest as it was written and as it reads.
    """

    def __init__(
        self,
        place: Place,
        journal: Journal,
        *,
        encoding: str,
        key: SigningKey | None,
        know: Callable[[str, bytes, Manifest], None],
    ) -> None:
        self._place = place
        self._journal = journal
        self._encoding = encoding
        self._key = key
        self._know = know

    def store(self, context: OutputContext, obj: Any) -> None:
        """Store a value, in place of the one stored under the same name if there is one.

        Raises:
            StorageError: It cannot be encoded or written. What was stored before is still stored.
        """
        encoding = self._encoding_of(context, obj)
        address = address_of(context)
        path = address + MANIFEST
        token = drawn()
        name = f"{address.rpartition('/')[2]}.{token}.{encoding.suffix}"
        data, aside = data_path(address, name), aside_of(path, token)
        try:
            storing = self._journal.storing(path)
        except Exception as error:
            raise self._not_written(context, data, error) from error
        with storing:
            sink, written, summed = self._write(context, data, encoding, obj, lambda: storing.note(data, aside))
            size, digest, sha256, seal = summed
            if written.content_digest is not None:
                context.provenance = replace(context.provenance, content_digest=written.content_digest)
            manifest = manifests.manifest_of(
                context,
                encoding=encoding.name,
                form=written.form,
                data=name,
                size=size,
                digest=digest,
                mtime_ns=seal,
                sha256=sha256 or None,
                value=sink.kept,
            )
            try:
                if sink.kept is not None:
                    storing.note(aside)
                former = self._put(context, address, manifest, aside=aside)
            except Exception as error:
                raise self._not_written(context, data, error) from error
            if former is not None and former.value is None and former.data != manifest.data:
                remove_data(self._place, data_of(context, former), former.encoding)
        content = context.provenance.content_digest
        name = self._place.full_name(data if manifest.value is None else path)
        context.report_stored(StoredValue(name, size + written.bytes_beside, digest, content))

    def content_digest_of(self, obj: Any) -> str | None:
        """The digest of the content that `store` would find; None where the encoding has none to tell of its own."""
        encoding = None if self._encoding == AUTO else encoding_named(self._encoding)
        if encoding is None or not encoding.has_side_files or encoding.refusal(obj) is not None:
            return None
        return encoding.dump(obj, Nowhere()).content_digest

    def _encoding_of(self, context: OutputContext, obj: object) -> Encoding:
        if self._encoding == AUTO:
            return choose(obj)
        encoding = encoding_named(self._encoding)
        refusal = encoding.refusal(obj)
        if refusal is not None:
            raise StorageError(
                f"cannot be stored as {encoding.name}: {refusal}; {encoding.name} takes {encoding.takes}. Convert the "
                f"{type_name(obj)}, or let fs_io_manager keep it, which takes whatever can be pickled",
                where=where_of(context),
            )
        return encoding

    def _write(
        self, context: OutputContext, path: str, encoding: Encoding, obj: object, begin: Callable[[], None]
    ) -> tuple[Sink, Written, tuple[int, str, str, int | None]]:
        """Write the data and hash it in the same pass; nothing stays behind where that fails.

        Returns:
            The file, or what is kept in its place; what is to be known of it; what `Sink.end` gives, with a seal
            where it is large.
        """
        try:
            at_most = LARGEST_VALUE if encoding.is_for_memo else -1
            sink = Sink(self._place, path, signed=self._key is not None, at_most=at_most, begin=begin)
        except Exception as error:
            raise self._not_written(context, path, error) from error
        try:
            written = encoding.dump(obj, sink)
            return sink, written, sink.end(smallest=SMALL)
        except BaseException as error:
            sink.abandon()
            failure = sink.failure()
            if failure is not None:
                raise self._not_written(context, path, failure) from failure
            if isinstance(error, CannotEncodeError):
                raise StorageError(f"cannot be stored: {error}", where=where_of(context)) from error.__cause__ or error
            raise

    def _not_written(self, context: OutputContext, path: str, error: Exception) -> StorageError:
        return StorageError(
            f"could not be stored as {self._place.full_name(path)}: {reason(error)}",
            where=where_of(context),
        )

    def _put(self, context: OutputContext, address: str, manifest: Manifest, *, aside: str) -> Manifest | None:
        """Make a manifest appear.

        Returns:
            The one in whose place it is now, whose data it leaves without a name.
        """
        path, raw = address + MANIFEST, manifests.encode(manifest, self._key)
        # Nearly always there is none: far away that is not worth a question of its own.
        if self._place.remote and self._place.put(path, raw, aside=aside, replace=False):
            former = None
        else:
            former = self._former(context, address)
            if former is not None and former.value is None:
                self._journal.replacing(path, data_of(context, former))
            self._place.put(path, raw, aside=aside)
        self._know(address, raw, manifest)
        return former

    def _former(self, context: OutputContext, address: str) -> Manifest | None:
        """What the output is stored as now, whose data a new manifest will leave without a name.

        Signed or not: nothing is taken from it but what to remove, which whoever could write it could have removed.
        """
        path = address + MANIFEST
        if not (self._place.remote or self._place.has(path)):  # asked far away, it costs as much as read
            return None
        try:
            return manifests.decode(self._place.read(path), context, address, encodings=NAMES)
        except (*NOT_THERE, ValueError):
            return None
