"""What a home holds: its stored outputs by the steps that made them, and what else takes room in its storage."""

from __future__ import annotations

import os
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.inventory import InventoryIOManager, StoredOutput, UnnamedFile, Unreadable
from memo.definition.families import IO_MANAGERS, family_member
from memo.execution.context import InitResourceContext

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo.catalog import Catalog
    from memo.project.home import Home

__all__ = ["HeldOutput", "HeldStep", "Holdings", "home_io_manager", "last_uses", "stored_bytes", "take_stock"]

_MARKER = ".marker"


class HeldOutput(Struct, frozen=True):
    """A stored output.

    Attributes:
        size: In bytes, with the marker that says that it was yielded.
        kind: `value`; `nothing` and `skipped` for those of which there is a marker only.
    """

    name: str
    mapping_key: str | None
    size: int
    kind: str


class HeldStep(Struct, frozen=True):
    """What a step stored under one version, or in one run that was not memoized: its outputs, of use together only.

    Attributes:
        version: The step's; None in a run without memoization.
        run_id: The run that stored it.
        seconds: How long the step's body took; None where that is not known.
        created_at: In seconds since 1970.
        used_at: When the latest run began that stands on it, or it was stored.
        adopted: Whether it was given to memo.
        stored: What the IO manager knows it as.
    """

    job_name: str
    step_key: str
    version: str | None
    run_id: str | None
    outputs: tuple[HeldOutput, ...]
    size: int
    seconds: float | None
    created_at: float
    used_at: float
    adopted: bool
    stored: tuple[StoredOutput, ...]


class Holdings(Struct, frozen=True):
    """All that a home holds.

    Attributes:
        damaged: What is not whole, as far as that shows without reading it.
        untrusted: What is not signed with the key that there is, and so counts as not stored.
        unnamed: Files that belong to no output.
        quarantined: Bytes of what was found damaged and moved aside.
        other: Bytes of all else in the storage: databases and tables, whose IO managers keep no inventory.
        elsewhere: How many versions of outputs were ever stored outside of it, by the key of the IO manager.
        unreadable: What could not be read, so that nobody knows what is stored there.
        shared: How many outputs of other homes are in the shared place and not here, as far as this home has seen.
    """

    steps: tuple[HeldStep, ...]
    damaged: tuple[StoredOutput, ...]
    unnamed: tuple[UnnamedFile, ...]
    quarantined: int
    other: int
    elsewhere: dict[str, int]
    untrusted: tuple[HeldStep, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    shared: int = 0

    @property
    def size(self) -> int:
        """Bytes of all files in the storage."""
        parts = (self.steps, self.damaged, self.untrusted, self.unnamed, self.unreadable)
        return sum(each.size for part in parts for each in part) + self.quarantined + self.other


def home_io_manager(home: Home) -> InventoryIOManager:
    """The IO manager of the home's own storage, whoever it is shared with."""
    spec = family_member(IO_MANAGERS, "fs")
    made = spec.create(InitResourceContext(storage=replace(home.storage, remote=None)))
    assert isinstance(made, InventoryIOManager)
    return made


def take_stock(home: Home) -> Holdings:
    """List what a home holds; no value is read.

    Raises:
        StorageError: The storage cannot be read.
        HomeError: The catalog cannot.
    """
    kept = home_io_manager(home).inventory()
    folder = home.storage.folder
    assert folder is not None
    whole = [each for each in kept.outputs if each.wrong is None]
    uses = last_uses(home.catalog)
    return Holdings(
        _by_step((each for each in whole if not each.untrusted), uses),
        tuple([each for each in kept.outputs if each.wrong is not None]),
        kept.unnamed,
        kept.quarantined,
        max(0, stored_bytes(home) - kept.size),
        dict(home.catalog.stored_elsewhere(folder)),
        _by_step((each for each in whole if each.untrusted), uses),
        kept.unreadable,
        len({*home.catalog.stored_by_others()} - {each.version for each in kept.outputs}),
    )


def stored_bytes(home: Home) -> int:
    """Bytes of all files in a home's storage."""
    folder = home.storage.folder
    assert folder is not None
    return _bytes_below(folder)


def last_uses(catalog: Catalog) -> dict[str, float]:
    """When the latest run began that stands on each step version, or on one that is stored as it."""
    latest: dict[str, float] = {}
    for use in catalog.run_uses():
        if use.version_set is not None:
            latest.setdefault(use.version_set, use.started_at)
    found: dict[str, float] = {}
    sets = catalog.version_sets(latest)
    for name, at in sorted(latest.items(), key=lambda item: item[1]):
        found.update(dict.fromkeys(sets.get(name, ()), at))
    for version, stored in catalog.aliases(list(found)).items():
        found[stored] = max(found.get(stored, 0.0), found[version])
    return found


def _by_step(outputs: Iterable[StoredOutput], uses: dict[str, float]) -> tuple[HeldStep, ...]:
    together = groupby(sorted(outputs, key=_made_together), key=_made_together)
    return tuple([_held(list(group), uses) for _, group in together])


def _made_together(output: StoredOutput) -> tuple[str, str]:
    told = output.provenance.step_version
    if told is not None:
        return "", told
    return output.run_id or "", f"{output.step_key}\0{output.version is None}"


def _held(stored: list[StoredOutput], uses: dict[str, float]) -> HeldStep:
    first = max(stored, key=lambda each: each.provenance.created_at or 0.0)
    told = first.provenance
    seconds = [each.provenance.seconds for each in stored if each.provenance.seconds is not None]
    created_at = told.created_at or 0.0
    version = told.step_version
    return HeldStep(
        told.job_name,
        first.step_key,
        version,
        first.run_id,
        _outputs(stored),
        sum(each.size for each in stored),
        max(seconds, default=None),
        created_at,
        max(created_at, uses.get(version, 0.0)) if version is not None else created_at,
        any(each.provenance.adopted_from is not None for each in stored),
        tuple(stored),
    )


def _outputs(stored: Iterable[StoredOutput]) -> tuple[HeldOutput, ...]:
    """The outputs, each with its marker."""
    sizes: dict[tuple[str, str | None], int] = {}
    kinds: dict[tuple[str, str | None], str] = {}
    for each in stored:
        marks = each.provenance.marks
        key = (each.name.removesuffix(_MARKER) if marks else each.name, each.mapping_key)
        sizes[key] = sizes.get(key, 0) + each.size
        if marks in {None, "value"}:
            kinds[key] = "value"
        else:
            kinds.setdefault(key, marks or "value")
    return tuple([HeldOutput(*key, sizes[key], kinds[key]) for key in sorted(sizes, key=str)])


def _bytes_below(folder: str) -> int:
    """Bytes of all files below a folder."""
    total = 0
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, PermissionError):  # whoever lists outputs tells of what cannot be read
        return 0
    with entries:
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    total += _bytes_below(entry.path)
                else:
                    total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:  # removed meanwhile
                continue
    return total
