"""Accepting the present version of a step as equal to one that is stored, and taking that back."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.contracts.run_store import Acceptance, acceptance_of
from memo.definition.names import check_tags
from memo.errors import DefinitionError, InvocationError, SelectionError, did_you_mean
from memo.project.home import Home, opened_home
from memo.project.preparing import Prepared, Wish, prepare
from memo.project.reexecution import parent_run
from memo.versioning import recipe_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from memo.catalog import Catalog
    from memo.contracts.run_store import Recipe, RunRecord
    from memo.definition.job import JobDefinition

__all__ = ["accept_version", "prepare_step", "revoke_acceptance", "run_of_accepted"]

_LATEST_RUNS = 200
"""How many of a job's latest runs are looked through for those in which the step stood."""

_STOOD = frozenset({"success", "reused"})
_PERHAPS = frozenset({"", None})
"""What became of a step in a run that was killed, or did not select it."""


def accept_version(
    job: JobDefinition,
    step_key: str,
    reason: str,
    *,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    input_values: Mapping[str, Any] | None = None,
    run: str | None = None,
    instance: Home | str | os.PathLike[str] | None = None,
) -> Acceptance:
    """Declare the version that a step has now equal to the one that it had in a run, whose outputs are stored.

    The step is then reused as it was, and so is what reads it. This holds for exactly the present version: whatever is
    edited later is not covered. Nothing checks that the step would give the same; `verify_job` does.

    Args:
        job: The job.
        step_key: The step.
        reason: Why it gives the same, for whoever reads it later.
        run_config: Config for ops and resources.
        tags: Of the run for which the version is meant.
        input_values: Values for the job's inputs.
        run: The id of the run whose version is meant. Where left out, it is the latest in which the step stood with the
            config and inputs that it has now, and if there is none, the latest in which it stood.
        instance: The home; found from the current folder where left out.

    Returns:
        What was recorded; its `id` is what `revoke_acceptance` takes.

    Raises:
        InvocationError: Nothing is stored that the step could equal, or it is stored under its present version.
        MemoError: The config, the step, a version or an IO manager is not as it must be.

    >>> accept_version(daily, "clean", "only a helper was renamed").id  # doctest: +SKIP
    1
    """
    words = " ".join(reason.split())
    if not words:
        raise InvocationError("the reason is empty; say why the step gives the same as before")
    wish = Wish(run_config, check_tags(tags, job.where), input_values=input_values, memoize_by_default=True)
    with opened_home(instance) as home, prepare_step(job, step_key, wish, home) as prepared:
        catalog = home.catalog
        here = _Here(job, step_key, prepared)
        here.check_not_stored(catalog)
        record = here.run_to_equal(catalog) if run is None else here.checked_run(parent_run(home, run))
        stored_version = record.versions[step_key]
        here.check_stored(catalog, stored_version, record)
        made = Acceptance(0, job.name, step_key, here.version, stored_version, words, time())
        return replace(made, id=catalog.add_acceptance(made))


def revoke_acceptance(acceptance_id: int, *, instance: Home | str | os.PathLike[str] | None = None) -> Acceptance:
    """Take an acceptance back: the step's own version counts again.

    What was stored in its place since, as by force, is made again when the version that it was stored under is next
    asked for.

    Args:
        acceptance_id: Its number.
        instance: The home; found from the current folder where left out.

    Raises:
        InvocationError: There is none of this number that holds.
    """
    with opened_home(instance) as home:
        known = {each.id: each for each in home.catalog.acceptances()}
        found = known.get(acceptance_id)
        if found is None:
            raise InvocationError(f"there is no acceptance {acceptance_id}; `memo accept --list` shows them")
        revoked = home.catalog.revoke(acceptance_id, time()) if found.revoked_at is None else None
        if revoked is None:
            raise InvocationError(f"acceptance {acceptance_id} was revoked before; `memo accept --list` shows those")
        return revoked


def run_of_accepted(catalog: Catalog, acceptance: Acceptance) -> RunRecord | None:
    """The latest run before an acceptance in which the step had the version that was accepted in the place of its own.

    Args:
        catalog: The history.
        acceptance: Of any job.
    """
    for record in _latest_runs(catalog, acceptance.job_name):
        is_before = record.started_at <= acceptance.at
        if is_before and record.versions.get(acceptance.step_key) == acceptance.stored_version:
            return record
    return None


def prepare_step(job: JobDefinition, step_key: str, wish: Wish, home: Home) -> Prepared:
    """Plan a whole job, to do something about one of its steps.

    Raises:
        SelectionError: There is no such step.
        DefinitionError: Memoization is off, or the outputs of the step cannot be found again.
        MemoError: The config, a version or an IO manager is not as it must be.
    """
    if step_key not in job.steps:
        raise SelectionError(f"job {job.name!r} has no step {step_key!r}.{did_you_mean(step_key, job.steps)}")
    prepared = prepare(job, wish, home=home)
    try:
        _check_memoized(job, step_key, prepared)
    except BaseException:
        prepared.scope.close()
        raise
    return prepared


def _check_memoized(job: JobDefinition, step_key: str, prepared: Prepared) -> None:
    if not prepared.plan.memoized:
        raise DefinitionError(
            "its tags turn memoization off, so that its steps have no versions; leave the tag out", where=job.where
        )
    step = job.steps[step_key]
    if not prepared.storage.memoizable(step.op):
        raise DefinitionError(
            "an IO manager of its outputs cannot say what it has stored (it is no MemoizableIOManager): they are never "
            "reused",
            where=step.where,
        )


def _latest_runs(catalog: Catalog, job_name: str) -> Iterator[RunRecord]:
    """The latest runs of a job, whole."""
    for each in catalog.list_runs(job_name=job_name, limit=_LATEST_RUNS):
        whole = catalog.get_run(each.run_id)
        if whole is not None:
            yield whole


class _Here:
    """A step as it is now."""

    def __init__(self, job: JobDefinition, step_key: str, prepared: Prepared) -> None:
        versions = prepared.plan.versions
        assert versions is not None
        self._key = step_key
        self._step = job.steps[step_key]
        self._job_name = job.name
        self._storage = prepared.storage
        self._recipe = recipe_of(step_key, versions)
        self._stands_for = versions.steps[step_key].version
        self._planned = prepared.plan.steps[step_key]
        self.version = versions.steps[step_key].computed or self._stands_for

    def check_not_stored(self, catalog: Catalog) -> None:
        """Refuse to accept another version for a step that has outputs by itself, or that was accepted before.

        Raises:
            InvocationError: It has.
        """
        where = self._step.where
        if self._stands_for != self.version:
            if self._is_stored(catalog, self._stands_for):
                accepted = acceptance_of(catalog.acceptances(), self.version)
                number = accepted.id if accepted is not None else 0
                raise InvocationError(
                    f"its present version is accepted already (acceptance {number}); to accept another instead, first "
                    f"take that back: memo accept --revoke {number}",
                    where=where,
                )
        elif self._planned.stored_as is not None or self._is_stored(catalog, self.version):
            raise InvocationError("it is stored under its present version: there is nothing to accept", where=where)

    def run_to_equal(self, catalog: Catalog) -> RunRecord:
        """The run whose version of the step is meant where none is named.

        Raises:
            InvocationError: There is none.
        """
        latest: RunRecord | None = None
        own = _apart_from_code(self._recipe)
        for record in _latest_runs(catalog, self._job_name):
            if self._stood_otherwise(record, catalog):
                found = catalog.standing(record, self._key)
                if found is not None and found.recipe is not None and _apart_from_code(found.recipe) == own:
                    return record
                latest = latest or record
        if latest is None:
            raise InvocationError(
                f"nothing is stored that it could equal: it stood under no other version in the latest runs of job "
                f"{self._job_name!r} in this home",
                where=self._step.where,
            )
        return latest

    def _stood_otherwise(self, record: RunRecord, catalog: Catalog) -> bool:
        """Whether the step had outputs in a run, under another version than it has now."""
        if record.versions.get(self._key, self.version) == self.version:
            return False
        outcome = record.steps[self._key][2] if self._key in record.steps else None
        if outcome in _PERHAPS:
            found = catalog.standing(record, self._key)
            return found is not None and bool(found.contents)
        return outcome in _STOOD

    def checked_run(self, record: RunRecord) -> RunRecord:
        """See that a run that was named can be meant.

        Raises:
            InvocationError: The step had the same version there as now, or the run was without memoization.
            SelectionError: It had no such step.
        """
        if not record.versions:
            raise InvocationError(f"run {record.run_id} was without memoization: its steps had no versions")
        if self._key not in record.versions:
            raise SelectionError(
                f"run {record.run_id} has no step {self._key!r}.{did_you_mean(self._key, record.versions)}"
            )
        if record.versions[self._key] == self.version:
            raise InvocationError(
                f"it had in run {record.run_id} the version that it has now: there is nothing to accept",
                where=self._step.where,
            )
        return record

    def check_stored(self, catalog: Catalog, version: str, record: RunRecord) -> None:
        """Ask the IO managers whether the outputs are really there.

        Raises:
            InvocationError: They are not, or may be a mixture.
        """
        run = f"run {record.run_id}"
        if not self._is_stored(catalog, version):
            raise InvocationError(
                f"what it gave in {run} is no longer stored; name another with --run, or run it again",
                where=self._step.where,
            )
        if version in catalog.unfinished():
            raise InvocationError(
                f"what is stored of {run} may be of two runs: one that was replacing it did not finish; run it again",
                where=self._step.where,
            )

    def _is_stored(self, catalog: Catalog, version: str) -> bool:
        if self._storage.stored([(self._step, version)])[0]:
            return True
        equal = catalog.aliases([version]).get(version)
        return equal is not None and self._storage.stored([(self._step, equal)])[0]


def _apart_from_code(recipe: Recipe) -> set[tuple[str, str, str]]:
    """The parts of a recipe that are no code: config, inputs, sources and the like."""
    return {(part.kind, part.name, part.hash) for part in recipe.parts if part.kind != "code" and part.file is None}
