"""What an IO manager may be asked of all that it keeps: to list it, to look through it, to let some of it go."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.io_manager import MemoizableIOManager, Provenance

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Inventory", "InventoryIOManager", "StoredOutput", "UnnamedFile"]


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


class Inventory(Struct, frozen=True):
    """All that an IO manager keeps.

    Attributes:
        outputs: What is stored.
        unnamed: What belongs to no stored output.
        quarantined: Bytes of what was found damaged and moved aside.
    """

    outputs: tuple[StoredOutput, ...] = ()
    unnamed: tuple[UnnamedFile, ...] = ()
    quarantined: int = 0

    @property
    def size(self) -> int:
        """In bytes, all of it."""
        named, unnamed = sum(each.size for each in self.outputs), sum(each.size for each in self.unnamed)
        return named + unnamed + self.quarantined


class InventoryIOManager(MemoizableIOManager):
    """A memoizable IO manager that can say all that it keeps, and let go of it.

    Runs may store and load meanwhile: what is taken away under them is lost to them as any lost output is, and made
    again; it is never another value.
    """

    @abstractmethod
    def inventory(self) -> Inventory:
        """List everything that is kept, without reading values.

        Raises:
            StorageError: The place cannot be asked.
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
