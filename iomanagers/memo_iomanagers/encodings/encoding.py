"""What an encoding is: the types it takes, how it writes them, how it reads them back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from memo_iomanagers.stored import Stored

__all__ = ["CannotEncodeError", "Encoding", "Writable", "Written", "type_name"]


class CannotEncodeError(Exception):
    """A value cannot be written in an encoding; the text says why, as the end of a sentence."""


class Written(Struct, frozen=True):
    """What is to be known of a value that was written.

    Attributes:
        form: Which of the types that the encoding takes it was, where the bytes do not tell.
        content_digest: The digest of its content, where the value itself would not tell it.
        bytes_beside: Bytes in the files beside its data file.
    """

    form: str = ""
    content_digest: str | None = None
    bytes_beside: int = 0


class Writable(Protocol):
    """What a value is written to: hashed as it is written."""

    closed: bool

    @property
    def folder(self) -> str | None:
        """Where files beside it lie, where that is a folder of this machine."""
        ...

    def write(self, data: Any, /) -> int:
        """Append anything that has the buffer protocol."""
        ...

    def beside(self, name: str) -> SideFile:
        """Begin a file that belongs to this one."""
        ...


class SideFile(Protocol):
    """A file beside a data file, while it is written."""

    def write(self, data: Any, /) -> int:
        """Append anything that has the buffer protocol."""
        ...

    def end(self, *, mode: int | None = None) -> tuple[int, str, str, int | None]:
        """End it; gives its size, its digest, its SHA-256 where it is signed, and its seal (`Place.seal`)."""
        ...


class Encoding(ABC):
    """One way of writing values.

    Attributes:
        name: As manifests and configs name it.
        suffix: Of its files, without the dot.
        takes: The types it takes, in words.
        has_side_files: Whether a value may have files beside its data file.
        is_for_memo: Whether no other program reads such files: a small value then stands in its manifest.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    takes: ClassVar[str]
    has_side_files: ClassVar[bool] = False
    is_for_memo: ClassVar[bool] = False

    @abstractmethod
    def refusal(self, value: Any) -> str | None:
        """Say why a value would not come back as it is; None where it does."""

    def keeps(self, value: Any) -> bool:
        """Whether `auto` may choose this encoding for a value."""
        return self.refusal(value) is None

    @abstractmethod
    def dump(self, value: Any, file: Writable) -> Written:
        """Write a value that is not refused.

        Raises:
            CannotEncodeError: It cannot be written after all. What the file raises is passed on, and so is what
                the value's own code raises where it makes its content as it is written.
        """

    @abstractmethod
    def load(self, stored: Stored, form: str, wanted: object) -> Any:
        """Read a value back. Only for bytes that are known to be what was stored.

        Args:
            stored: The bytes.
            form: As `dump` returned it.
            wanted: The type that the reader asks for, None where it does not say.
        """

    def lost(self, stored: Stored, *, thorough: bool = False) -> str | None:  # noqa: ARG002 - for those that write files beside
        """Say what is missing of the files beside a data file, as `explain_load` does; None where nothing is.

        Args:
            stored: The data file.
            thorough: Read all bytes of the files beside it, wherever they are.
        """
        return None

    def explain_load(self, stored: Stored, error: Exception) -> tuple[bool, str]:  # noqa: ARG002 - for those that look again
        """Say why a value could not be read.

        Returns:
            Whether storing the value afresh is the remedy; and the end of a sentence.
        """
        return True, f"cannot be read as {self.name} ({type(error).__name__}: {error})"


def type_name(value: object) -> str:
    """The name of a value's type as its user knows it."""
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
