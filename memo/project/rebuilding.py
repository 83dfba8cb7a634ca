"""A new catalog in the place of one that was lost or damaged, made from what is kept beside the stored outputs."""

from __future__ import annotations

import os
from time import localtime, strftime, time
from typing import TYPE_CHECKING

from msgspec import Struct

from memo.catalog import Catalog
from memo.contracts.run_store import Adoption, Materialization, OutputRecord
from memo.errors import HomeError, NewerHomeError, StorageError
from memo.execution.environment import MARKERS
from memo.execution.processes import processes_with
from memo.project.alive import runs_alive
from memo.project.holdings import home_io_manager
from memo.project.home import Home, opened_home

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from memo.contracts.inventory import StoredOutput

__all__ = ["Rebuilt", "rebuild_catalog"]

_MARKER = ".marker"
_BESIDE = ("", "-wal", "-shm")
"""What SQLite keeps beside a file."""


class Rebuilt(Struct, frozen=True):
    """A catalog that was made anew.

    Attributes:
        steps: How many step versions are in it.
        outputs: How many outputs.
        unfinished: Of how many step versions the outputs are of two runs, so that they will be made again.
        left_out: How many stored outputs are not in it: damaged ones, and those of runs without memoization.
        aside: Where the old one is now; None where there was none.
    """

    steps: int
    outputs: int
    unfinished: int
    left_out: int
    aside: str | None


def rebuild_catalog(*, instance: Home | str | os.PathLike[str] | None = None, force: bool = False) -> Rebuilt:
    """Make a new catalog from the manifests of what is stored.

    Versions, content, how long steps took and what was adopted come back: plans reuse what they did, and cut off by
    content where they did. The history of runs does not, nor recipes, known sources and acceptances: until a step has
    run again, nobody can say what changed in it. The old file stays, beside the new one.

    Args:
        instance: The home; found from the current folder where left out.
        force: Also in the place of a catalog that can be read.

    Raises:
        HomeError: A run of the home goes on, the catalog can be read, or the home cannot be written to.
        StorageError: The storage cannot be read.
    """
    with opened_home(instance) as home:
        file = home.path / "catalog.db"
        if not home.path.is_dir():
            raise HomeError("there is no home here whose catalog could be made anew", where=str(home.path))
        home.make()
        is_lost = _check_replaceable(file, force=force)
        kept = home_io_manager(home).inventory()
        if kept.unreadable:
            first = kept.unreadable[0]
            raise StorageError(
                f"it could not be read: {first.reason}; a new catalog would not know what is stored there, give the "
                "right to read it or remove it",
                where=first.place,
            )
        stored = [each for each in kept.outputs if each.wrong is None and not each.untrusted]
        by_version: dict[str, list[StoredOutput]] = {}
        for each in stored:
            if each.provenance.step_version is not None:
                by_version.setdefault(each.provenance.step_version, []).append(each)
        made = sorted(
            [_materialization(version, outputs) for version, outputs in by_version.items()],
            key=lambda each: each.started_at + each.seconds,
        )
        torn = [version for version, outputs in by_version.items() if len({each.run_id for each in outputs}) > 1]
        draft = home.path / f"catalog.db.{os.urandom(4).hex()}.rebuilding"
        try:
            with Catalog.open(draft) as catalog:
                catalog.add_rebuilt(made, _adoptions(by_version), torn)
            home.close()
            aside = _put_aside(file, "damaged" if is_lost else "replaced")
            os.rename(draft, file)
        finally:
            for end in _BESIDE:
                _unlink(f"{draft}{end}")
        counted = sum(map(len, by_version.values()))
        return Rebuilt(len(made), counted, len(torn), len(stored) - counted, aside)


def _check_replaceable(file: Path, *, force: bool) -> bool:
    """See that nobody uses the catalog, and that it is no loss.

    Returns:
        Whether nothing can be read of it.

    Raises:
        HomeError: Somebody does, or it is.
    """
    where = str(file)
    users = processes_with(where)
    if users:
        raise HomeError(f"process {users[0]} has the catalog open; wait until it is done, or end it", where=where)
    if not (_has_bytes(where) or _has_bytes(f"{where}-wal")):
        return True
    try:
        with Catalog.open(file) as catalog:
            catalog.check()
            running = sorted(runs_alive(catalog).running)
    except NewerHomeError:
        raise
    except HomeError:
        return True
    if running:
        raise HomeError(f"run {running[0]} of this home goes on; wait until it is done, or end it", where=where)
    if not force:
        raise HomeError(
            "the catalog can be read: a new one would know nothing of runs, recipes and acceptances; give --force to "
            "make one all the same, the old one stays beside it",
            where=where,
        )
    return False


def _has_bytes(path: str) -> bool:
    try:
        return os.stat(path).st_size > 0
    except FileNotFoundError:
        return False


def _materialization(version: str, stored: list[StoredOutput]) -> Materialization:
    first = max(stored, key=lambda each: each.provenance.created_at or 0.0)
    told = first.provenance
    seconds = max([each.provenance.seconds or 0.0 for each in stored])
    return Materialization(
        first.run_id or "",
        told.job_name,
        first.step_key,
        tuple(_records(stored)),
        version,
        told.local_key,
        told.content_key,
        seconds=seconds,
        started_at=(told.created_at or 0.0) - seconds,
    )


def _records(stored: Iterable[StoredOutput]) -> list[OutputRecord]:
    found: dict[str, OutputRecord] = {}
    for each in sorted(stored, key=lambda each: each.address):
        marks, told = each.provenance.marks, each.provenance
        if marks is None:
            found[each.name] = OutputRecord(
                each.name, "value", each.version, told.content_digest, each.size, each.digest, each.place
            )
        elif marks != "value":
            name = each.name.removesuffix(_MARKER)
            found[name] = OutputRecord(name, marks, each.version, io_manager_key=MARKERS)
    return list(found.values())


def _adoptions(by_version: dict[str, list[StoredOutput]]) -> list[Adoption]:
    found: list[Adoption] = []
    for version, stored in by_version.items():
        files = {each.name: each.provenance.adopted_from for each in stored if each.provenance.adopted_from is not None}
        if files:
            first = stored[0]
            found.append(Adoption(version, first.run_id or "", files, first.provenance.created_at or 0.0))
    return found


def _put_aside(file: Path, ending: str) -> str | None:
    """Move the old catalog away, with what SQLite keeps beside it."""
    stamp = strftime("%Y%m%dT%H%M%S", localtime(time()))
    aside, number = f"{file}.{stamp}.{ending}", 1
    while os.path.lexists(aside):
        number += 1
        aside = f"{file}.{stamp}-{number}.{ending}"
    moved = None
    for end in reversed(_BESIDE):
        if os.path.lexists(f"{file}{end}"):
            os.rename(f"{file}{end}", f"{aside}{end}")
            moved = aside
    return moved


def _unlink(path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
