"""Which runs of a home are going on, in whatever process, and what they stand on."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

from memo.events import RunStatus
from memo.execution.processes import Process, is_there, may_still_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memo.catalog import Catalog
    from memo.contracts.run_store import Claim, RunUse

__all__ = ["RunsAlive", "runs_alive", "with_equals"]


class RunsAlive:
    """The runs of a home that go on.

    Attributes:
        ids: Theirs, and those of the runs that they follow, whose outputs they may read.
        versions: The step versions that they stand on.
        since: When the oldest of them began, in seconds since 1970; None where there is none.
    """

    def __init__(self, catalog: Catalog, uses: Sequence[RunUse]) -> None:
        claims = [claim for claim in catalog.all_claims() if _is_held(claim)]
        claiming = {claim.run_id for claim in claims}
        running = [use for use in uses if use.status is RunStatus.STARTED and _goes_on(use, claiming)]
        parents = {use.run_id: use.parent_run_id for use in uses}
        self.running = {use.run_id for use in running}
        self.ids: set[str] = set()
        for run_id in self.running | claiming:
            above: str | None = run_id
            while above is not None and above not in self.ids:
                self.ids.add(above)
                above = parents.get(above)
        names = {use.version_set for use in running if use.version_set is not None}
        versions = {version for found in catalog.version_sets(names).values() for version in found}
        self.versions = with_equals(catalog, versions | {claim.version for claim in claims})
        self.since = min((use.started_at for use in running), default=None)


def runs_alive(catalog: Catalog) -> RunsAlive:
    """Find the runs of a home that go on now."""
    return RunsAlive(catalog, catalog.run_uses())


def with_equals(catalog: Catalog, versions: Iterable[str]) -> set[str]:
    """Step versions, and those that they are stored under because their content was found equal."""
    found = set(versions)
    return found | set(catalog.aliases(list(found)).values())


def _goes_on(use: RunUse, claiming: set[str]) -> bool:
    return use.run_id in claiming or (use.pid is not None and may_still_run(use.pid, use.started_at))


def _is_held(claim: Claim) -> bool:
    there = is_there(Process(claim.host, claim.pid, claim.pid_started))
    return bool(there) or (there is None and claim.lease_until > time())
