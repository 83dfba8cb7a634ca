"""Reading all that a home has stored, byte by byte, and moving aside what is not as it was."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.contracts.inventory import StoredOutput
from memo.errors import StorageError
from memo.project.holdings import home_io_manager
from memo.project.home import Home, opened_home

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.inventory import InventoryIOManager

__all__ = ["Check", "DamagedOutput", "check_storage"]

_AT_ONCE = 8
"""Files that are read at once at most: hashing and reading let other threads go on."""


class DamagedOutput(Struct, frozen=True):
    """A stored output that is not as it was stored.

    Attributes:
        what: What is wrong with it, as the end of a sentence about its manifest.
        moved_to: Where it is now; None where it was left, or could not be read.
    """

    output: StoredOutput
    what: str
    moved_to: str | None = None


class Check(Struct, frozen=True):
    """What came of reading everything.

    Attributes:
        outputs: How many were looked at.
        size: Their bytes.
    """

    outputs: int
    size: int
    damaged: tuple[DamagedOutput, ...]


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
        StorageError: The storage cannot be read, or what is damaged cannot be moved.
    """
    with opened_home(instance) as home:
        io_manager = home_io_manager(home)
        outputs = sorted(io_manager.inventory().outputs, key=lambda output: output.address)
        damaged: list[DamagedOutput] = []
        with ThreadPoolExecutor(min(_AT_ONCE, os.cpu_count() or 1)) as pool:
            try:
                answers = pool.map(partial(_examine, io_manager), outputs)
                for number, (output, what) in enumerate(zip(outputs, answers, strict=True), 1):
                    if what is not None:
                        damaged.append(_told(io_manager, output, what, quarantine=quarantine))
                    if on_output is not None:
                        on_output(number, len(outputs), len(damaged))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return Check(len(outputs), sum(output.size for output in outputs), tuple(damaged))


def _examine(io_manager: InventoryIOManager, output: StoredOutput) -> str | StorageError | None:
    try:
        return io_manager.examine(output)
    except StorageError as error:
        return error


def _told(
    io_manager: InventoryIOManager, output: StoredOutput, what: str | StorageError, *, quarantine: bool
) -> DamagedOutput:
    if isinstance(what, StorageError):
        # It may be whole: who cannot read it cannot tell.
        return DamagedOutput(output, str(what))
    return DamagedOutput(output, what, io_manager.quarantine(output) if quarantine else None)
