"""The IO manager that keeps outputs as files, in a folder or at any URL that fsspec can open.

An output is two files: its data, under a name that nothing else has, and its manifest, which names the data
file with its size and digest. The data is written first and hashed on the way; then the manifest appears in
one step. Only what a whole manifest names is stored: what a killed run left behind is never seen. Data lies below
``data/``, manifests below ``versioned/`` and ``runs/``: what is stored can be listed. A pickle of up to 2,048 bytes has
no file of its own: it stands in its manifest.

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

from functools import cached_property
from typing import TYPE_CHECKING, Any

from memo.contracts.inventory import InventoryIOManager
from memo.errors import InvocationError, StorageError, did_you_mean
from memo_iomanagers.answering import Answers
from memo_iomanagers.encodings import AUTO, NAMES
from memo_iomanagers.finding import Finder
from memo_iomanagers.journal import Journal
from memo_iomanagers.places import Place, place_at
from memo_iomanagers.signing import SigningKey

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    from memo.contracts.inventory import Inventory, StoredOutput, UnnamedFile
    from memo.contracts.io_manager import InputContext, OutputContext
    from memo_iomanagers.loading import Loader
    from memo_iomanagers.storing import Storer

__all__ = ["FsIOManager"]


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
        place = base_dir if isinstance(base_dir, Place) else place_at(base_dir)
        key = SigningKey(signing_key) if isinstance(signing_key, bytes) else signing_key
        journal = Journal(place, journal_dir)
        readable = NAMES if encoding == AUTO else frozenset({encoding})
        finder = Finder(place, journal, readable=readable, key=key, verify=verify)
        self._place = place
        self._key = key
        self._journal = journal
        self._finder = finder
        self._encoding = encoding
        self._answers = Answers(place, finder)

    @cached_property
    def _storer(self) -> Storer:
        from memo_iomanagers.storing import Storer

        return Storer(self._place, self._journal, encoding=self._encoding, key=self._key, know=self._finder.know)

    @cached_property
    def _loader(self) -> Loader:
        from memo_iomanagers.loading import Loader

        return Loader(self._place, self._finder, signed=self._key is not None)

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
        self._storer.store(context, obj)

    def content_digest_of(self, context: OutputContext, obj: Any) -> str | None:  # noqa: ARG002 - the value is enough
        """Of a path: the digest of the file or folder that it leads to."""
        return self._storer.content_digest_of(obj)

    def load_input(self, context: InputContext) -> Any:
        """Load the value of ``context.upstream_output``.

        Raises:
            OutputLostError: It is not there, or not whole, or needs classes that today's code does not have.
            StorageError: It could not be read, or rebuilding it raised an error.
        """
        output = context.upstream_output
        if output is None:
            raise InvocationError(f"the input {context.name!r} does not come from another step's output")
        return self._loader.load(output, context.dagster_type)

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is stored.

        Here: a whole manifest, and a data file of the size that it tells; anything else that lies in its place is a
        miss, with a warning. Far away: its manifest is there.
        """
        return self._answers.are_stored([context])[0]

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many; of a remote place, with one listing, or one for each of a few folders."""
        return self._answers.are_stored(contexts)

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The digests of content that the manifests of stored outputs tell."""
        return self._answers.content_digests(contexts)

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
