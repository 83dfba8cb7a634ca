"""What an IO manager may be asked of all that it keeps: to list it, to look through it, to let some of it go."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.io_manager import MemoizableIOManager, Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Inventory", "InventoryIOManager", "StoredOutput", "UnnamedFile", "Unreadable"]


class StoredOutput(Struct, frozen=True):
    """One stored output, as what is kept beside it tells.

    Attributes:
        address: Where it is, within the IO manager; no two have the same.
        stamp: What tells it from another that is stored in its place later.
        place: Where its value is, as people find it.
        size: Bytes that it takes, all of its files together.
        name: The output's name; that of a marker where it is none (`Provenance.marks`).
        version: The output's version; None where it is stored under its run.
        digest: Of the bytes of its value.
        provenance: Where it comes from.
        wrong: What is wrong with it, as the end of a sentence, as far as that shows without reading its value; then
            what else is told of it may be missing. None where nothing is.
        untrusted: Whether it is not signed with the key that there is, and nothing else is wrong with it: it counts as
            not stored as long as that is the key, and what is told of it is somebody else's word.
    """

    address: str
    stamp: str
    place: str
    size: int
    name: str = ""
    step_key: str = ""
    version: str | None = None
    run_id: str | None = None
    mapping_key: str | None = None
    digest: str | None = None
    provenance: Provenance = Provenance()
    wrong: str | None = None
    untrusted: bool = False


class UnnamedFile(Struct, frozen=True):
    """A file, or a folder of files, that belongs to no stored output: left by a kill, or about to be named.

    Attributes:
        path: Within the IO manager.
        size: In bytes.
        written_at: When it was last written to, in seconds since 1970; None where nobody can tell.
    """

    path: str
    size: int
    written_at: float | None = None


class Unreadable(Struct, frozen=True):
    """A file or folder that could not be read: what is stored there is not known.

    Attributes:
        place: Where it is, as people find it.
        reason: Why, as the end of a sentence.
        size: Bytes of the files that may belong to what is stored there, as far as they could be seen.
    """

    place: str
    reason: str
    size: int = 0


class Inventory(Struct, frozen=True):
    """All that an IO manager keeps.

    Attributes:
        outputs: What is stored.
        unnamed: What belongs to no stored output.
        quarantined: Bytes of what was found damaged and moved aside.
        unreadable: What could not be read; nothing is unnamed that may belong to it.
    """

    outputs: tuple[StoredOutput, ...] = ()
    unnamed: tuple[UnnamedFile, ...] = ()
    quarantined: int = 0
    unreadable: tuple[Unreadable, ...] = ()

    @property
    def size(self) -> int:
        """In bytes, all of it."""
        parts = (self.outputs, self.unnamed, self.unreadable)
        return sum(each.size for part in parts for each in part) + self.quarantined


class InventoryIOManager(MemoizableIOManager):
    """A memoizable IO manager that can say all that it keeps, and let go of it.

    Runs may store and load meanwhile: what is taken away under them is lost to them as any lost output is, and made
    again; it is never another value.
    """

    @abstractmethod
    def inventory(self) -> Inventory:
        """List everything that is kept, without reading values; what cannot be read is told with the rest.

        Raises:
            StorageError: The place cannot be asked at all.
        """

    @abstractmethod
    def examine(self, output: StoredOutput) -> str | None:
        """Read all the bytes of an output, and say what is wrong with them, as the end of a sentence.

        Returns:
            None where it is as it was stored, and where it is gone or another by now.

        Raises:
            StorageError: It could not be read.
        """

    @abstractmethod
    def discard(self, output: StoredOutput) -> bool:
        """Remove an output, if it is there and still this one; ending half-way leaves it not stored.

        Returns:
            Whether it was.

        Raises:
            StorageError: It could not be removed.
        """

    @abstractmethod
    def quarantine(self, output: StoredOutput) -> str | None:
        """Move an output aside with what is kept beside it, so that it is not stored any more and nothing of it lost.

        Returns:
            Where it is now, as people find it; None where it is gone or another by now.

        Raises:
            StorageError: It could not be moved.
        """

    @abstractmethod
    def remove_unnamed(self, files: Iterable[UnnamedFile]) -> int:
        """Remove files that belong to no output, as far as that can be done; says how many bytes that freed."""
