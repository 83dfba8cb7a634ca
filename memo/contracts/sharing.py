"""What an IO manager offers that keeps outputs in a home and in a place shared with other homes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.io_manager import MemoizableIOManager

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memo.contracts.io_manager import OutputContext

__all__ = ["Content", "SharedObjects", "SharingIOManager"]


class Content(Struct, frozen=True):
    """What is known of the content that is stored as an output.

    Attributes:
        digest: Of its bytes.
        content_digest: Of the value, None where it has none.
        content_key: Of the step that gave it, None where that is not known.
        run_id: The run that stored it.
        size: In bytes.
        marks: Of a marker, what it says of its output, as `Provenance.marks`.
        seconds: How long the step's body took.
        created_at: When it was stored, in seconds since 1970.
    """

    digest: str
    content_digest: str | None = None
    content_key: str | None = None
    run_id: str | None = None
    size: int | None = None
    marks: str | None = None
    seconds: float | None = None
    created_at: float | None = None

    def equals(self, other: Content) -> bool:
        """Whether both are the same content: by the values' digests, or where one has none by those of the bytes."""
        if self.content_digest is not None and other.content_digest is not None:
            return self.content_digest == other.content_digest
        return self.digest == other.digest


class SharedObjects(ABC):
    """Small objects in the shared place, by names with ``/``. Asked in vain once, it is not asked again in the run.

    Nothing here raises: what fails is warned about once.
    """

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether the place has answered so far."""

    @property
    @abstractmethod
    def takes(self) -> bool:
        """Whether something can be put there: not where it is read-only, or has refused."""

    @abstractmethod
    def put(self, name: str, data: bytes, *, replace: bool = False) -> bool | None:
        """Put an object; False where one of this name is there already, None where nothing could be put."""

    @abstractmethod
    def names(self, folder: str) -> Sequence[str]:
        """The names of all objects in a folder, in order."""

    @abstractmethod
    def fetch(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Read objects, many at once; those that are not there are left out, and those that are damaged or unsigned."""

    @abstractmethod
    def distrusted(self, names: Sequence[str]) -> set[str]:
        """Those of them that are there, and were left out by `fetch` because this home's key has not signed them."""

    @abstractmethod
    def remove(self, names: Sequence[str]) -> None:
        """Remove objects."""


class SharingIOManager(MemoizableIOManager):
    """Keeps outputs in the home; looks for what is not there in the shared place; puts there what is made."""

    @property
    @abstractmethod
    def objects(self) -> SharedObjects:
        """The place for small objects, the same for all IO managers of a run."""

    @abstractmethod
    def here(self, contexts: Sequence[OutputContext]) -> Sequence[Content | None]:
        """What the home itself has; nothing is asked of the shared place."""

    @abstractmethod
    def there(self, contexts: Sequence[OutputContext]) -> Sequence[Content | None]:
        """What the shared place has; a request for each."""

    @abstractmethod
    def share(self, contexts: Sequence[OutputContext]) -> bool | None:
        """Put the stored outputs of one step into the shared place.

        Returns:
            Whether it has these very contents now. False where it has others, which stay; None where it could not be
            asked, or the outputs are not here.
        """

    @abstractmethod
    def forget_here(self, contexts: Sequence[OutputContext]) -> None:
        """Let what the shared place has count in the place of what the home has."""
