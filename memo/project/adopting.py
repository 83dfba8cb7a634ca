"""Bringing in outputs that memo did not make: stored as a step's own, and marked until somebody has verified them."""

from __future__ import annotations

import os
from time import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.contracts.executor import StepTask
from memo.contracts.run_store import Adoption, Materialization, OutputRecord, RunRecord, acceptance_of
from memo.definition.names import check_tags
from memo.definition.types import fits, type_name
from memo.errors import InvocationError, did_you_mean
from memo.events import Event, EventType, RunStatus
from memo.execution.failures import error_info
from memo.execution.logs import RunLog
from memo.execution.recording import Recorder
from memo.hashing import digest
from memo.planning import Verdict
from memo.project.accepting import prepare_step
from memo.project.home import Home, opened_home
from memo.project.preparing import Prepared, Wish
from memo.tags import ADOPTED_TAG
from memo.versioning import Recipes, content_key, output_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.definition.job import JobDefinition
    from memo.definition.step import FromOutput, Step

__all__ = ["adopt_outputs"]


def adopt_outputs(
    job: JobDefinition,
    step_key: str,
    values: Mapping[str, Any],
    *,
    files: Mapping[str, str] | None = None,
    force: bool = False,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    input_values: Mapping[str, Any] | None = None,
    instance: Home | str | os.PathLike[str] | None = None,
) -> Adoption:
    """Store outputs that were made elsewhere as those of a step, under the version that it has now.

    They are stored through the step's IO managers and reused as any; plans say that nobody has verified them, until
    `verify_job` finds that the step gives the same, or a run makes them anew.

    Args:
        job: The job.
        step_key: The step.
        values: Output -> value, of every output that carries one; an optional one may be left out.
        files: Output -> where the value came from, to be shown with it.
        force: Replace what is stored under this version.
        run_config: Config for ops and resources.
        tags: Of the run that is recorded for it.
        input_values: Values for the job's inputs.
        instance: The home; found from the current folder where left out.

    Returns:
        What was recorded, with the id of the run.

    Raises:
        InvocationError: The values are not those of the step's outputs, or outputs are stored already.
        MemoError: The config, the step, a version or an IO manager is not as it must be.

    >>> adopt_outputs(daily, "train", {"result": model}).files  # doctest: +SKIP
    {'result': 'a value'}
    """
    wish = Wish(run_config, check_tags(tags, job.where), input_values=input_values, memoize_by_default=True)
    with opened_home(instance) as home, prepare_step(job, step_key, wish, home) as prepared, RunLog():
        _check_values(job.steps[step_key], values)
        _check_kept(job.steps[step_key], prepared)
        _check_free(job, step_key, prepared, home, force=force)
        home.make()
        prepared.stamps.keep(home.catalog)
        told = {name: (files or {}).get(name, "a value") for name in values}
        return _Adopting(job, step_key, prepared, home, values, told).carry_out(wish)


def _check_values(step: Step, values: Mapping[str, Any]) -> None:
    """See that the values are those of the step's outputs.

    Raises:
        InvocationError: One is missing, too many, or of another type.
    """
    outs = {name: out for name, out in step.op.outs.items() if not out.is_nothing}
    for name, value in values.items():
        if name not in outs:
            kind = "carries no value" if name in step.op.outs else "is none of its outputs"
            raise InvocationError(f"{name!r} {kind}.{did_you_mean(name, outs)}", where=step.where)
        if not fits(value, outs[name].dagster_type):
            raise InvocationError(
                f"the output {name!r} must be {type_name(outs[name].dagster_type)}, and what was given is "
                f"{type(value).__name__}; memo.adopt_outputs() takes any value from Python",
                where=step.where,
            )
    missing = [name for name, out in outs.items() if out.is_required and name not in values]
    if missing:
        raise InvocationError(
            f"there is no value for its output {', '.join(map(repr, missing))}; all of its outputs must be given",
            where=step.where,
        )
    if not outs:
        raise InvocationError("its outputs carry no value: there is nothing to adopt", where=step.where)


def _check_kept(step: Step, prepared: Prepared) -> None:
    """See that what is stored outlives this process.

    Raises:
        InvocationError: An IO manager keeps it in memory.
    """
    for name, out in step.op.outs.items():
        if not out.is_nothing and not prepared.scope.get(out.io_manager_key).shares_between_processes():
            raise InvocationError(
                f"its output {name!r} is kept in memory by {out.io_manager_key!r}, and would be gone at once: store it "
                f"in files (fs_io_manager)",
                where=step.where,
            )


def _check_free(job: JobDefinition, step_key: str, prepared: Prepared, home: Home, *, force: bool) -> None:
    """See that nothing is stored in the place of what is to be adopted, or that it may be replaced.

    Raises:
        InvocationError: Something is, or another version was accepted in this one's place.
    """
    versions = prepared.plan.versions
    assert versions is not None
    step, found, planned = job.steps[step_key], versions.steps[step_key], prepared.plan.steps[step_key]
    if found.computed:
        accepted = acceptance_of(home.catalog.acceptances(), found.computed)
        number = accepted.id if accepted is not None else 0
        raise InvocationError(
            f"its present version is accepted as equal to another (acceptance {number}), which is stored; to adopt "
            f"outputs for it, first take that back: memo accept --revoke {number}",
            where=step.where,
        )
    stored = planned.verdict is Verdict.REUSE or prepared.storage.stored([(step, found.version)])[0]
    if stored and not force:
        raise InvocationError(
            "its outputs are stored already under its present version; to replace them, --force it, or force=True",
            where=step.where,
        )


class _Adopting:
    """Stores values as the outputs of a step, and records it as a run."""

    def __init__(
        self,
        job: JobDefinition,
        step_key: str,
        prepared: Prepared,
        home: Home,
        values: Mapping[str, Any],
        files: dict[str, str],
    ) -> None:
        assert prepared.plan.versions is not None
        self._job = job
        self._step = job.steps[step_key]
        self._plan = prepared.plan
        self._versions = prepared.plan.versions
        self._storage = prepared.storage
        self._store = home.catalog
        self._values = values
        self._files = files
        self._run_id = prepared.environment.run_id
        self._recorder = Recorder(self._store, _unheard, recipes=Recipes(self._versions))
        self._digests: dict[str, Mapping[str, str | None]] = {}

    def carry_out(self, wish: Wish) -> Adoption:
        """Store the values and record it, so that a kill at any moment leaves nothing that is taken for the step's."""
        key, at = self._step.key, time()
        version = self._versions.steps[key].version
        reason = f"adopted from {', '.join(self._files.values())}, not verified"
        record = RunRecord(
            self._run_id,
            self._job.name,
            RunStatus.STARTED,
            at,
            run_config=wish.run_config,
            tags={**wish.tags, ADOPTED_TAG: "true"},
            steps={key: (Verdict.RUN.value, reason, "")},
            pid=os.getpid(),
            versions={each: found.version for each, found in self._versions.steps.items()},
        )
        self._store.add_run(record)
        self._event(EventType.RUN_START)
        self._recorder.replacing(self._run_id, version)
        status, outcome = RunStatus.CANCELED, "canceled"
        try:
            self._store_all(version, at)
            status, outcome = RunStatus.SUCCESS, "success"
        except Exception as error:
            status, outcome = RunStatus.FAILURE, "failure"
            self._recorder.tell(
                Event(EventType.STEP_FAILURE, self._run_id, time(), key, message=str(error), error=error_info(error))
            )
            raise
        finally:
            self._event(
                {
                    RunStatus.SUCCESS: EventType.RUN_SUCCESS,
                    RunStatus.FAILURE: EventType.RUN_FAILURE,
                    RunStatus.CANCELED: EventType.RUN_CANCELED,
                }[status]
            )
            self._recorder.write()
            steps = {key: (Verdict.RUN.value, reason, outcome)}
            self._store.add_run(replace(record, status=status, ended_at=time(), steps=steps, counts={outcome: 1}))
        return Adoption(version, self._run_id, self._files, at)

    def _store_all(self, version: str, at: float) -> None:
        key = self._step.key
        found = self._versions.steps[key]
        self._digests = self._known_digests()
        own = content_key(found, self._digest_of)
        task = StepTask(
            self._run_id, key, version=version, content_key=own, is_compared=True, local_key=found.local_key
        )
        outputs = tuple([self._store_one(name, task) for name in self._step.op.outs])
        # Before the materialization that makes it count: whatever happens in between, it is never taken for verified.
        self._store.add_adoption(Adoption(version, self._run_id, self._files, at))
        self._recorder.materialization(
            Materialization(self._run_id, self._job.name, key, outputs, version, found.local_key, own, started_at=at)
        )

    def _store_one(self, name: str, task: StepTask) -> OutputRecord:
        if name not in self._values and not self._step.op.outs[name].is_nothing:
            return self._storage.skip(self._step, name, task)
        metadata: dict[str, Any] = {}
        record = self._storage.store(
            self._step,
            name,
            self._values.get(name),
            task,
            seconds=0.0,
            metadata=metadata,
            on_event=self._log,
            # The name of a file may be no text.
            adopted_from=self._files.get(name, "").encode("utf-8", "backslashreplace").decode(),
        )
        data: dict[str, Any] = {"output": name, "kind": record.kind, "version": record.version}
        if record.size is not None:
            data["bytes"] = record.size
        if name in self._files:
            data["adopted_from"] = self._files[name]
        self._event(EventType.HANDLED_OUTPUT, data=data)
        if record.kind == "value" and record.content_digest is None:
            # Nothing says that it is what was stored under this version before, if anything was: what reads it must
            # not be taken for what it was either.
            return replace(record, content_digest=digest("adopted", self._run_id, self._step.key, name))
        return record

    def _known_digests(self) -> dict[str, Mapping[str, str | None]]:
        """The content of what the step reads, as far as it is known."""
        stored = {parent: self._stored_as(parent) for parent in self._step.parents()}
        found = self._store.content_digests(list(stored.values()))
        return {parent: self._plan.digests.get(parent) or found.get(version, {}) for parent, version in stored.items()}

    def _stored_as(self, key: str) -> str:
        # What was found equal by content counts as what it is equal to.
        return self._plan.steps[key].stored_as or self._versions.steps[key].version

    def _digest_of(self, source: FromOutput) -> str:
        known = self._digests[source.step].get(source.output)
        return known or output_version(self._stored_as(source.step), source.output)

    def _log(self, message: str, data: dict[str, Any]) -> None:
        self._event(EventType.LOG, message, data)

    def _event(self, kind: EventType, message: str = "", data: dict[str, Any] | None = None) -> None:
        key = None if kind.value.startswith("RUN_") else self._step.key
        self._recorder.tell(Event(kind, self._run_id, time(), key, message=message, data=data or {}))


def _unheard(_event: Event) -> None:
    """Tell nobody."""
