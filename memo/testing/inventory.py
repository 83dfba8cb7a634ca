"""What an IO manager promises that can say all that it keeps, as tests to inherit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.contracts.io_manager import OutputContext, Provenance
from memo.testing.io_manager import MemoizableIOManagerConformance

if TYPE_CHECKING:
    from pathlib import Path

    from memo.contracts.inventory import InventoryIOManager, StoredOutput

__all__ = ["InventoryIOManagerConformance"]

_PROVENANCE = Provenance("job", "content key", None, 1.5, 1_700_000_000.0, "step version", "local key", None, "a file")


class InventoryIOManagerConformance(MemoizableIOManagerConformance):
    """The promises of an IO manager that can list what it keeps, those of every memoizable one among them."""

    def make_io_manager(self, folder: Path) -> InventoryIOManager:
        """As for every IO manager."""
        raise NotImplementedError

    def test_nothing_is_kept_before_anything_is_stored(self, tmp_path: Path) -> None:
        """An empty place has an empty inventory."""
        size = self.make_io_manager(tmp_path).inventory().size
        assert size == 0, f"nothing was stored, and {size} bytes are said to be kept"

    def test_the_inventory_is_what_is_stored(self, tmp_path: Path) -> None:
        """Every output is listed once, with its names, its bytes and where it comes from."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = list(self.contexts().values())
        for context in contexts:
            context.provenance = _PROVENANCE
            self.store(io_manager, context, self.values[0])
        kept = io_manager.inventory()
        listed, stored = (sorted(map(_names, each), key=str) for each in (kept.outputs, contexts))
        assert listed == stored, f"stored were {stored}, and listed are {listed}"
        assert len({each.address for each in kept.outputs}) == len(contexts), "two outputs have one address"
        for each in kept.outputs:
            assert each.wrong is None, f"it is said to be damaged: {each}"
            assert each.provenance.step_version == "step version", f"it is not told where it comes from: {each}"
            assert each.provenance.adopted_from == "a file", f"something of the provenance is lost: {each}"
            assert each.size > 0, f"it is said to take no room: {each}"
        assert not kept.unnamed, f"these belong to no output: {kept.unnamed}"
        assert kept.size == sum(each.size for each in kept.outputs), f"something else takes room: {kept.size} in all"

    def test_the_inventory_holds_hostile_names(self, tmp_path: Path) -> None:
        """Whatever an output is called, it is listed, and found to be whole."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = {tuple(context.get_identifier()): context for context in self.hostile_contexts()}
        for context in contexts.values():
            self.store(io_manager, context, self.values[0])
        kept = io_manager.inventory()
        assert len(kept.outputs) == len(contexts), f"{len(contexts)} were stored, and {len(kept.outputs)} are listed"
        wrong = [each for each in kept.outputs if each.wrong or io_manager.examine(each)]
        assert not wrong, f"these are said to be damaged: {wrong}"

    def test_what_is_discarded_is_gone_and_nothing_else(self, tmp_path: Path) -> None:
        """Discarding frees what the output took; a second time there is nothing to discard."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = list(self.contexts().values())
        for context in contexts:
            self.store(io_manager, context, self.values[0])
        for count, output in enumerate(io_manager.inventory().outputs, 1):
            before = io_manager.inventory().size
            assert io_manager.discard(output) is True, f"it was there, and discard says it was not: {output}"
            assert io_manager.discard(output) is False, "it was discarded twice"
            kept = io_manager.inventory()
            assert kept.size == before - output.size, "what was freed is not what it was said to take"
            left = len(kept.outputs), sum(map(io_manager.has_output, contexts))
            assert left == (len(contexts) - count,) * 2, f"{count} were discarded; {left} are listed, and there"
        for context in contexts:
            self.check_lost(io_manager, context)
            self.store(io_manager, context, self.values[1])
            self.check_loads(io_manager, context, self.values[1])

    def test_what_was_stored_anew_is_another(self, tmp_path: Path) -> None:
        """What was seen before is neither discarded nor moved nor damaged once another stands in its place."""
        io_manager = self.make_io_manager(tmp_path)
        context = OutputContext("step", "result", "v", "run")
        self.store(io_manager, context, self.values[0])
        (seen,) = io_manager.inventory().outputs
        self.store(io_manager, context, self.values[1])
        answers = io_manager.examine(seen), io_manager.discard(seen), io_manager.quarantine(seen)
        assert answers == (None, False, None), f"it was replaced; examine, discard and quarantine said {answers}"
        self.check_loads(io_manager, context, self.values[1])

    def test_what_is_whole_is_found_whole_and_what_is_damaged_damaged(self, tmp_path: Path) -> None:
        """Examining reads every byte."""
        io_manager = self.make_io_manager(tmp_path)
        for context in self.contexts().values():
            self.store(io_manager, context, self.values[0])
        seen = io_manager.inventory().outputs
        wrong = [each for each in seen if io_manager.examine(each) is not None]
        assert not wrong, f"these are whole, and said not to be: {wrong}"
        self.damage(tmp_path)
        unseen = [each for each in seen if io_manager.examine(each) is None]
        assert not unseen, f"these are damaged, and nothing was found: {unseen}"

    def test_what_is_quarantined_is_not_stored_and_not_lost(self, tmp_path: Path) -> None:
        """It takes the room that it took, is no output any more, and can be stored anew."""
        io_manager = self.make_io_manager(tmp_path)
        contexts = list(self.contexts().values())
        for context in contexts:
            self.store(io_manager, context, self.values[0])
        before = io_manager.inventory()
        for output in before.outputs:
            assert io_manager.quarantine(output), f"it is not said where it went: {output}"
            assert io_manager.quarantine(output) is None, "it was moved twice"
        kept = io_manager.inventory()
        assert not kept.outputs, f"these are still stored: {kept.outputs}"
        assert (kept.unnamed, kept.quarantined) == ((), before.size), (
            f"{before.size} bytes were moved aside, {kept.quarantined} are there, and these are left: {kept.unnamed}"
        )
        for context in contexts:
            self.check_lost(io_manager, context)
            self.store(io_manager, context, self.values[1])
            self.check_loads(io_manager, context, self.values[1])


def _names(of: OutputContext | StoredOutput) -> tuple[Any, ...]:
    return of.name, of.step_key, of.version, of.run_id, of.mapping_key or None
