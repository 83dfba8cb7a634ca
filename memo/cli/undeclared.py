"""What steps read that their versions do not cover, told by `memo run`: one line an op, the first time only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from memo.planning import Verdict

if TYPE_CHECKING:
    from memo.contracts.version_strategy import BlindSpot
    from memo.definition.reference import JobReference
    from memo.events import Event
    from memo.planning import Plan
    from memo.project.home import Home
    from memo.versioning import Versions


class Undeclared:
    """Gathers what a run's steps are seen to read and what could not be followed in their code.

    What was seen is told where no earlier run saw the same op do the same; what could not be followed where the step
    has never run as it is now, and its run has not shown that nothing is behind it. `memo lint` tells all of it.

    Args:
        home: Whose history is asked what earlier runs saw, if there is anything to tell.
        hint: The command that tells more.
    """

    def __init__(self, home: Home, hint: str) -> None:
        self._home = home
        self._hint = hint
        self._told: set[tuple[str, str, str]] = set()
        self._before: set[tuple[str, str, str, str]] | None = None

    def begin(self, plan: Plan, run_id: str) -> None:
        """Take the plan of a run."""
        self._job_name, self._run_id = plan.job_name, run_id
        self._versions = plan.versions
        self._reads: dict[str, list[Event]] = {}
        self._before = None
        self._new: dict[str, list[BlindSpot]] = {}
        if plan.versions is None or not plan.versions.blind_spots:
            return
        local_keys = {
            key: plan.versions.steps[key].local_key
            for key, step in plan.steps.items()
            if step.verdict in {Verdict.RUN, Verdict.MAYBE} and _spots_of(plan.versions, key)
        }
        known = self._home.catalog.known_local_keys(list(local_keys.values()))
        self._new = {
            key: _spots_of(plan.versions, key) for key, local_key in local_keys.items() if local_key not in known
        }

    def heard(self, event: Event) -> None:
        """Take the event of a read."""
        assert event.step_key is not None
        self._reads.setdefault(event.step_key, []).append(event)

    def line(self, key: str) -> str | None:
        """What to tell of a step that has ended; None where nothing is new."""
        events, spots = self._reads.pop(key, []), self._new.pop(key, [])
        if not events and not spots:
            return None
        found = [event.message for event in events if self._is_new(event)]
        watched = not events
        if watched or all(_is_unwatched(event) for event in events):
            found += [said_spot(spot) for spot in self._open(key, spots, watched=watched)]
        if not found:
            return None
        more = f", and {len(found) - 1:,} more" if len(found) > 1 else ""
        return f"{key}: {found[0]}, which its version does not cover{more}: {self._hint}"

    def _is_new(self, event: Event) -> bool:
        if _is_unwatched(event):
            return False
        kind, what, where, op_version = (str(event.data[name]) for name in ("kind", "what", "where", "op_version"))
        if self._before is None:
            self._before = {
                (read.op_version, read.kind, read.what, read.where)
                for read in self._home.catalog.undeclared_reads(self._job_name)
                if read.run_id != self._run_id
            }
        if (op_version, kind, what, where) in self._before or (kind, what, where) in self._told:
            return False
        self._told.add((kind, what, where))
        return True

    def _open(self, key: str, spots: list[BlindSpot], *, watched: bool) -> list[BlindSpot]:
        from memo.execution.coverage import Coverage
        from memo.project.linting import is_open

        assert self._versions is not None
        coverage = Coverage([each.source for each in self._versions.sources(key)], "")
        found: list[BlindSpot] = []
        for spot in spots:
            at = (spot.kind, spot.what, spot.where)
            if at not in self._told and is_open(spot, coverage, watched=watched):
                self._told.add(at)
                found.append(spot)
        return found


def lint_hint(reference: JobReference, home_option: str | None) -> str:
    """The command that tells what the job's versions do not cover."""
    from shlex import join

    place = reference.place.removeprefix(os.getcwd() + os.sep)
    target = f"{place}:{reference.job}" if reference.job else place
    return join(["memo", "lint", target, *(["--home", home_option] if home_option is not None else [])])


def said_spot(spot: BlindSpot) -> str:
    """Say of a blind spot what it is, and where."""
    from memo.execution.attribution import shown_path
    from memo.project.home import current_folder

    return f"{spot.what} ({shown_path(spot.where, current_folder())})" if spot.where else spot.what


def _spots_of(versions: Versions, key: str) -> list[BlindSpot]:
    """What could not be followed in the code of a step and of its resources."""
    from memo.project.linting import spots_of

    step = versions.steps[key]
    resources = versions.required(step.reached)
    of_resources = [spot for each in resources for spot in spots_of(versions.resources[each])]
    return [*spots_of(step.op), *of_resources]


def _is_unwatched(event: Event) -> bool:
    from memo.execution.coverage import WORKERS

    return bool(event.data["what"] == WORKERS)
