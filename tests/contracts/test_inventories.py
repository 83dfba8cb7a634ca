"""The suite for IO managers that list what they keep can tell a broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from memo.contracts.inventory import Inventory, UnnamedFile
from memo.contracts.io_manager import Provenance
from memo.testing import InventoryIOManagerConformance, MemoizableIOManagerConformance
from memo_iomanagers.filesystem import FsIOManager

if TYPE_CHECKING:
    from pathlib import Path

    from memo.contracts.inventory import InventoryIOManager, StoredOutput


class CountsItsOwnFiles(FsIOManager):
    def inventory(self) -> Inventory:
        return replace(super().inventory(), unnamed=(UnnamedFile("lock", 1),))


class MissesOne(FsIOManager):
    def inventory(self) -> Inventory:
        kept = super().inventory()
        return replace(kept, outputs=kept.outputs[1:])


class ForgetsWhereFrom(FsIOManager):
    def inventory(self) -> Inventory:
        kept = super().inventory()
        return replace(kept, outputs=tuple(replace(each, provenance=Provenance()) for each in kept.outputs))


class TakesNoRoom(FsIOManager):
    def inventory(self) -> Inventory:
        kept = super().inventory()
        return replace(kept, outputs=tuple(replace(each, size=0) for each in kept.outputs))


class TrustsPlainNamesOnly(FsIOManager):
    def examine(self, output: StoredOutput) -> str | None:
        return super().examine(output) if output.name.isidentifier() else "has a strange name"


class LeavesTheData(FsIOManager):
    def discard(self, output: StoredOutput) -> bool:
        path = f"{output.address}.json"
        was_there = path in self._place.list(path)
        self._place.remove(path)
        return was_there


class DiscardsTwice(FsIOManager):
    def discard(self, output: StoredOutput) -> bool:
        super().discard(output)
        return True


class GoesByAddress(FsIOManager):
    def discard(self, output: StoredOutput) -> bool:
        (now,) = (each for each in self.inventory().outputs if each.address == output.address)
        return super().discard(now)


class ReadsNothing(FsIOManager):
    def examine(self, output: StoredOutput) -> str | None:
        return output.wrong


class DeletesInstead(FsIOManager):
    def quarantine(self, output: StoredOutput) -> str | None:
        return output.place if self.discard(output) else None


@pytest.mark.parametrize(
    ("broken", "test", "because"),
    [
        (
            CountsItsOwnFiles,
            "test_nothing_is_kept_before_anything_is_stored",
            "nothing was stored, and 1 bytes are said to be kept",
        ),
        (CountsItsOwnFiles, "test_the_inventory_is_what_is_stored", "these belong to no output"),
        (MissesOne, "test_the_inventory_is_what_is_stored", "and listed are ["),
        (ForgetsWhereFrom, "test_the_inventory_is_what_is_stored", "it is not told where it comes from"),
        (TakesNoRoom, "test_the_inventory_is_what_is_stored", "it is said to take no room"),
        (TrustsPlainNamesOnly, "test_the_inventory_holds_hostile_names", "these are said to be damaged"),
        (LeavesTheData, "test_what_is_discarded_is_gone_and_nothing_else", "what was freed is not what"),
        (DiscardsTwice, "test_what_is_discarded_is_gone_and_nothing_else", "it was discarded twice"),
        (GoesByAddress, "test_what_was_stored_anew_is_another", "quarantine said (None, True, None)"),
        (
            ReadsNothing,
            "test_what_is_whole_is_found_whole_and_what_is_damaged_damaged",
            "these are damaged, and nothing was found",
        ),
        (DeletesInstead, "test_what_is_quarantined_is_not_stored_and_not_lost", "bytes were moved aside, 0 are there"),
    ],
)
def test_the_suite_catches_a_broken_inventory(broken: Any, test: str, because: str, tmp_path: Path) -> None:
    class Suite(InventoryIOManagerConformance):
        def make_io_manager(self, folder: Path) -> InventoryIOManager:
            made: InventoryIOManager = broken(folder / "outputs")
            return made

        def damage(self, folder: Path) -> None:
            for file in (folder / "outputs/data").rglob("*.pkl"):
                file.write_bytes(file.read_bytes()[:-1] + b"?")

    with pytest.raises((Exception, pytest.fail.Exception)) as caught:
        getattr(Suite(), test)(tmp_path)
    assert because in str(caught.value)


def test_the_suite_holds_no_test_that_no_broken_inventory_fails() -> None:
    inherited = set(dir(MemoizableIOManagerConformance))
    tests = {name for name in dir(InventoryIOManagerConformance) if name.startswith("test_") and name not in inherited}
    marks = vars(test_the_suite_catches_a_broken_inventory)["pytestmark"]
    assert {test for _, test, _ in marks[0].args[1]} == tests
