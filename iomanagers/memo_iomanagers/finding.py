"""Stored outputs found: a manifest read and trusted, and the data file that it names opened and compared with it."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, TypeVar

from memo.errors import OutputLostError, StorageError
from memo_iomanagers import manifest as manifests
from memo_iomanagers.encodings import encoding_named
from memo_iomanagers.manifest import data_of
from memo_iomanagers.naming import MANIFEST, address_of, data_path, manifest_path
from memo_iomanagers.places import NOT_THERE, SMALL, aside_of, reason
from memo_iomanagers.signing import SignatureError
from memo_iomanagers.telling import REMEDY, lost, where_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from io import BufferedIOBase

    from memo.contracts.io_manager import OutputContext
    from memo_iomanagers.journal import Journal
    from memo_iomanagers.manifest import Manifest
    from memo_iomanagers.places import Place
    from memo_iomanagers.signing import SigningKey
    from memo_iomanagers.stored import Stored

__all__ = ["Finder", "UntrustedError"]

_T = TypeVar("_T")


class UntrustedError(OutputLostError):
    """A manifest that the key did not sign.

    Attributes:
        name: Its full name.
        reason: What is wrong with it.
    """

    def __init__(self, name: str, reason: SignatureError, context: OutputContext) -> None:
        super().__init__(f"{name} {reason}; {REMEDY}", where=where_of(context))
        self.name = name
        self.reason = reason


_MOST_KNOWN = 2000
"""Manifests kept of what has been stored last: nearly all of it is read soon, or never."""


class Finder:
    """Finds what is stored at one place, and sets aside what is not whole.

    Args:
        place: The place.
        journal: Notes what is written there.
        readable: The encodings that can be read.
        key: What manifests must be signed with.
        verify: Compare the digest of everything that is loaded, however large.
    """

    def __init__(
        self, place: Place, journal: Journal, *, readable: Collection[str], key: SigningKey | None, verify: bool
    ) -> None:
        self._place = place
        self._journal = journal
        self._readable = readable
        self._key = key
        self._verify = verify
        self._known: dict[str, tuple[bytes, Manifest]] = {}
        """By the address of an output, its manifest as it was written and as it reads."""

    def know(self, address: str, raw: bytes, manifest: Manifest) -> None:
        """Remember a manifest that has just been written."""
        if len(self._known) >= _MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[address] = (raw, manifest)

    def written(self, context: OutputContext, address: str) -> tuple[bytes, Manifest] | None:
        """The manifest of an output that the run has stored here just now, and that holds its value, as it was written.

        Its file need not be asked: whatever became of that meanwhile, this is what the run has stored and recorded.
        """
        known = self._known.get(address)
        if known is None or known[1].value is None or known[1].digest != context.digest:
            return None
        return known

    def follow(
        self,
        context: OutputContext,
        address: str,
        look: Callable[[str, Manifest], _T],
        read: tuple[bytes, Manifest] | None = None,
        *,
        set_aside: bool = False,
    ) -> tuple[bytes, Manifest, str, _T] | None:
        """Read a manifest, and look at the data file that it names.

        Between the two the output may be replaced, and the data file removed: then its new manifest counts.

        Args:
            context: The output.
            address: Of it.
            look: Given the path of the file that holds the data, and the manifest.
            read: The manifest, as it stands there and as it reads, where that has just been done.
            set_aside: A manifest that is not whole, or whose data is gone.

        Returns:
            The manifest as it stands there and as it reads, the path of the data file, or of itself where it holds the
            data, and what was seen; None where there is no manifest.

        Raises:
            OutputLostError: What lies there is not whole.
            StorageError: The place could not be asked.
        """
        tried = None
        while True:
            found = read or self._read(context, address, set_aside=set_aside)
            if found is None:
                return None
            (raw, manifest), read = found, None
            path = address + MANIFEST if manifest.value is not None else data_path(address, manifest.data)
            try:
                return raw, manifest, path, look(path, manifest)
            except NOT_THERE:
                if raw == tried:
                    if set_aside:
                        self.set_aside(context, raw)
                    name = self._place.full_name(path)
                    raise lost(context, f"{name} is gone, and its manifest is there") from None
                tried = raw
            except Exception as error:
                raise self.not_read(context, path, error) from error

    def _read(self, context: OutputContext, address: str, *, set_aside: bool = False) -> tuple[bytes, Manifest] | None:
        """Read the manifest of an output, as it stands in its file and as it reads; see `follow`."""
        try:
            raw = self._place.read(address + MANIFEST)
        except NOT_THERE:
            return None
        except Exception as error:
            raise self.not_read(context, address + MANIFEST, error) from error
        try:
            return raw, self.decoded(context, raw, address)
        except OutputLostError as error:
            if set_aside and not isinstance(error, UntrustedError):  # our key may be the wrong one
                self.set_aside(context, raw)
            raise

    def decoded(self, context: OutputContext, raw: bytes, address: str) -> Manifest:
        """Read a manifest as it stands in its file.

        Args:
            context: The output that it must belong to.
            raw: What stands in the file.
            address: Of that output.

        Raises:
            UntrustedError: The key did not sign it.
            OutputLostError: It is not whole, or not that of this output.
        """
        known = self._known.get(address)
        if known is not None and known[0] == raw:
            return known[1]
        try:
            return manifests.decode(raw, context, address, encodings=self._readable, key=self._key)
        except SignatureError as error:
            raise UntrustedError(self._place.full_name(manifest_path(context)), error, context) from None
        except ValueError as error:
            raise lost(context, f"{self._place.full_name(manifest_path(context))} {error}") from None

    def open(self, path: str, manifest: Manifest) -> BufferedIOBase | None:
        """Open the data file, where there is one.

        Where there is a key, so that nobody can change it between its being hashed and read.
        """
        if manifest.value is not None:
            return None
        file = self._place.open(path, manifest.size)
        if self._key is None:
            return file
        from memo_iomanagers.stored import private

        return private(file)

    def differing(self, manifest: Manifest, file: BufferedIOBase, stored: Stored) -> str | None:
        """Say in what an open data file is not what its manifest tells, as the end of a sentence."""
        size = file.seek(0, os.SEEK_END)
        if size != manifest.size:
            return _other_size(size, manifest)
        if self._key is not None:
            return _other_than_signed(manifest, stored)
        untouched = (
            manifest.mtime_ns is not None
            and size >= SMALL
            and not self._place.remote
            and os.fstat(file.fileno()).st_mtime_ns == manifest.mtime_ns
        )
        if untouched and not self._verify:
            return None
        if stored.digest() != manifest.digest:
            return "does not hold what was stored: its digest differs"
        return None

    def whole(self, context: OutputContext) -> Manifest | None:
        """Find the manifest of an output whose data file has the size that it tells; None where there is none.

        Raises:
            OutputLostError: What lies there is not whole.
            StorageError: The place could not be asked.
        """
        address = address_of(context)
        read = self._read(context, address)
        if read is None:
            return None
        manifest = read[1]
        if manifest.value is not None and len(manifest.value) == manifest.size:  # there is no more to look at
            return manifest
        found = self.follow(context, address, self._size, read)
        if found is None:
            return None
        _, manifest, path, size = found
        wrong = _other_size(size, manifest) if size != manifest.size else None
        if wrong is None and manifest.encoding == "path":  # asked by name: planning imports no encoding
            wrong = self._missing_beside(context, manifest)
        if wrong:
            raise lost(context, f"{self._place.full_name(path)} {wrong}")
        return manifest

    def _size(self, path: str, manifest: Manifest) -> int:
        return self._place.size(path) if manifest.value is None else len(manifest.value)

    def _missing_beside(self, context: OutputContext, manifest: Manifest) -> str | None:
        """Say what is missing of the files beside a data file, which lists them."""
        from memo_iomanagers.stored import stored_as

        path, signed = data_of(context, manifest), self._key is not None
        try:
            with self.open(path, manifest) or nullcontext() as file:
                stored = stored_as(manifest, self._place, path, file, signed=signed)
                wrong = _other_than_signed(manifest, stored) if signed else None
                return wrong or encoding_named(manifest.encoding).lost(stored)
        except OSError as error:
            return f"could not be read: {reason(error)}"

    def set_aside(self, context: OutputContext, seen: bytes) -> None:
        """Take the manifest of a damaged output away, so that the next plan does not take the output for stored.

        Its text stays beside it for whoever wants to look into it.
        """
        path = manifest_path(context)
        with suppress(Exception):
            if self._place.read(path) == seen:
                aside = aside_of(path)
                with self._journal.storing(path) as storing:
                    storing.note(aside)
                    self._place.put(f"{path}.damaged", seen, aside=aside)
                self._place.remove(path)

    def not_read(self, context: OutputContext, path: str, error: Exception) -> StorageError:
        """Make the error of a file that could not be read."""
        return StorageError(
            f"{self._place.full_name(path)} could not be read: {reason(error)}", where=where_of(context)
        )


def _other_than_signed(manifest: Manifest, stored: Stored) -> str | None:
    return None if stored.sha256() == manifest.sha256 else "does not hold what was signed: its digest differs"


def _other_size(size: int, manifest: Manifest) -> str:
    return f"has {size:,} bytes, and {manifest.size:,} were stored"
