"""Reading all that a home has stored, byte by byte, and moving aside what is not as it was."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.inventory import StoredOutput, Unreadable
from memo.errors import HomeError, StorageError
from memo.project.holdings import home_io_manager
from memo.project.home import Home, opened_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.inventory import InventoryIOManager

__all__ = ["Check", "DamagedOutput", "UnreadOutput", "check_storage"]

_AT_ONCE = 8
"""Files that are read at once at most: hashing and reading let other threads go on."""


class DamagedOutput(Struct, frozen=True):
    """A stored output that is not as it was stored.

    Attributes:
        what: What is wrong with it, as the end of a sentence about its manifest.
        moved_to: Where it is now; None where it was left.
        not_moved: Why it could not be moved, in a sentence; None where nobody tried, or it was.
    """

    output: StoredOutput
    what: str
    moved_to: str | None = None
    not_moved: str | None = None


class UnreadOutput(Struct, frozen=True):
    """A stored output of which nobody can say whether it is whole.

    Attributes:
        reason: Why it could not be read, in a sentence.
    """

    output: StoredOutput
    reason: str


class Check(Struct, frozen=True):
    """What came of reading everything.

    Attributes:
        outputs: How many were read.
        size: Their bytes.
        untrusted: Those that are not signed with the key that there is; they were neither read nor moved.
        unread: Those that could not be read.
        unreadable: Files and folders that could not be read, of which nobody knows what is stored there.
        elsewhere: How many versions of outputs were ever stored outside of the home's own files, by the key of the IO
            manager: they are not looked at. None where the catalog cannot be asked.
    """

    outputs: int
    size: int
    damaged: tuple[DamagedOutput, ...]
    untrusted: tuple[StoredOutput, ...] = ()
    unread: tuple[UnreadOutput, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    elsewhere: dict[str, int] | None = None

    @property
    def success(self) -> bool:
        """Whether all that is stored was read, and is as it was stored."""
        return not (self.damaged or self.untrusted or self.unread or self.unreadable)


def check_storage(
    *,
    instance: Home | str | os.PathLike[str] | None = None,
    quarantine: bool = True,
    on_output: Callable[[int, int, int], None] | None = None,
) -> Check:
    """Compare every stored byte of a home with the digest that it was stored with.

    Args:
        instance: The home; found from the current folder where left out.
        quarantine: Move what is damaged aside, with its manifest, so that it counts as not stored.
        on_output: Told, from this thread, how many outputs were read, how many there are, and how many are damaged.

    Returns:
        What is damaged, in the order of where it lies.

    Raises:
        StorageError: The storage cannot be read at all.
    """
    with opened_home(instance) as home:
        io_manager = home_io_manager(home)
        kept = io_manager.inventory()
        outputs = sorted([each for each in kept.outputs if not each.untrusted], key=lambda output: output.address)
        damaged: list[DamagedOutput] = []
        unread: list[UnreadOutput] = []
        with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
            try:
                answers = pool.map(partial(_examine, io_manager), outputs)
                for number, (output, what) in enumerate(zip(outputs, answers, strict=True), 1):
                    if isinstance(what, StorageError):
                        unread.append(UnreadOutput(output, str(what)))
                    elif what is not None:
                        damaged.append(_told(io_manager, output, what, quarantine=quarantine))
                    if on_output is not None:
                        on_output(number, len(outputs), len(damaged))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        unread_outputs = {each.output.address for each in unread}
        read = [output for output in outputs if output.address not in unread_outputs]
        return Check(
            len(read),
            sum(output.size for output in read),
            tuple(damaged),
            tuple([each for each in kept.outputs if each.untrusted]),
            tuple(unread),
            kept.unreadable,
            _elsewhere(home),
        )


def _examine(io_manager: InventoryIOManager, output: StoredOutput) -> str | StorageError | None:
    try:
        return io_manager.examine(output)
    except StorageError as error:
        return error


def _told(io_manager: InventoryIOManager, output: StoredOutput, what: str, *, quarantine: bool) -> DamagedOutput:
    if not quarantine:
        return DamagedOutput(output, what)
    try:
        return DamagedOutput(output, what, io_manager.quarantine(output))
    except StorageError as error:
        return DamagedOutput(output, what, not_moved=str(error))


def _elsewhere(home: Home) -> dict[str, int] | None:
    folder = home.storage.folder
    assert folder is not None
    try:
        return dict(home.catalog.stored_elsewhere(folder))
    except HomeError:  # what is stored here can be read all the same
        return None
