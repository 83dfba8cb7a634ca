"""The outputs of a run's steps: where each is, what is known of its content, and whether the shared place has it.

They are made by the run; or were there when it was planned, or are found then: by content, or made by another run
meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from memo.contracts.executor import Address
from memo.contracts.run_store import Materialization
from memo.hashing import digest
from memo.planning import Reason, lacks_input
from memo.versioning import Recipes, content_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo.contracts.executor import StepOutcome
    from memo.contracts.run_store import History, OutputRecord
    from memo.definition.job import JobDefinition
    from memo.definition.step import FromOutput
    from memo.execution.recording import Recorder
    from memo.execution.storage import MadeElsewhere, StepStorage
    from memo.planning import Plan
    from memo.planning.plan import StepPlan


class _Addresses(dict[str, Mapping[str, Address]]):
    """Where the outputs of steps are; those of steps that the plan reuses are put in when they are asked for.

    Most runs reuse much, and read little of it.
    """

    def __init__(self, job: JobDefinition, plan: Plan, storage: StepStorage) -> None:
        super().__init__(plan.outside)
        self._job = job
        self._plan = plan
        self._storage = storage

    def __missing__(self, key: str) -> Mapping[str, Address]:
        planned = self._plan.steps.get(key)
        if planned is None or planned.stored_as is None:
            raise KeyError(key)
        found = self[key] = self._storage.addresses(self._job.steps[key], planned.stored_as)
        return found

    def of(self, source: FromOutput) -> Address | None:
        """Where an output is; None where its step has none in this run."""
        planned = self._plan.steps.get(source.step)
        is_there = source.step in self or (planned is not None and planned.stored_as is not None)
        return self[source.step].get(source.output) if is_there else None


class RunOutputs:
    """What the steps of one run have given so far; what is new is told to the recorder.

    Args:
        job: The job.
        plan: For it.
        run_id: Of this run.
        storage: The run's IO managers.
        history: The catalog; None without memoization.
        recorder: Told what was stored, and which versions equal others by content.
        shared: The steps whose stored outputs are in the shared place; None where nothing is put there.

    Attributes:
        addresses: Where the outputs of every step are that has an outcome: step key -> {output: address}. They are to
            be asked for by key.
    """

    def __init__(
        self,
        job: JobDefinition,
        plan: Plan,
        *,
        run_id: str,
        storage: StepStorage,
        history: History | None,
        recorder: Recorder,
        shared: Iterable[str] | None = None,
    ) -> None:
        self.addresses = _Addresses(job, plan, storage)
        self._job = job
        self._plan = plan
        self._run_id = run_id
        self._storage = storage
        self._history = history
        self._recorder = recorder
        self._shared = None if shared is None else set(shared)
        self._digests: dict[str, Mapping[str, str | None]] = dict(plan.digests)
        self._recipes = Recipes(plan.versions) if plan.versions is not None else None
        self._made_of: dict[str, str] = {}
        """The content keys of the steps that are running."""

    # What a step that is to run asks

    def content_key(self, key: str) -> str:
        """The content key of a step, once all that it reads is there."""
        assert self._plan.versions is not None
        return content_key(self._plan.versions.steps[key], self._digest_of)

    def begin(self, key: str) -> str:
        """Give the content key of a step that is about to run, and keep it until it has."""
        found = self._made_of[key] = self.content_key(key)
        return found

    def _digest_of(self, source: FromOutput) -> str:
        digests = self._digests.get(source.step)
        known = None if digests is None else digests.get(source.output)
        if known is not None:
            return known
        # What was found equal by content counts as what it is equal to.
        stored = self.addresses.of(source)
        if stored is not None and stored.version is not None:
            return stored.version
        assert self._plan.versions is not None
        return self._plan.versions.output(source.step, source.output)

    def lacks_input(self, key: str) -> bool:
        """Whether a step reads an optional output that was not yielded."""
        return lacks_input(self._job.steps[key], self._was_skipped)

    def _was_skipped(self, source: FromOutput) -> bool:
        return self.addresses[source.step][source.output].kind == "skipped"

    def may_share(self, key: str) -> bool:
        """Whether what a step gives may be put into the shared place."""
        if self._shared is None:
            return False
        step = self._job.steps[key]
        return self._storage.shares(step) and all(map(self._is_shared, step.parents()))

    def _is_shared(self, key: str) -> bool:
        """Whether what a step gave is in the shared place, or is nothing that could be there.

        What is made of anything else stays here: others would have it, and not what it was made of.
        """
        return self._shared is not None and (key in self._shared or not self._storage.shares(self._job.steps[key]))

    # Reused

    def reuse_planned(self, steps: Iterable[StepPlan]) -> None:
        """Take what is stored of the steps that the plan reuses.

        Of most that is known; whether an optional output was yielded, the IO managers are asked while they are there.
        """
        for planned in steps:
            op = self._job.steps[planned.key].op
            if op.io_manager_key is None and not all(out.is_required for out in op.outs.values()):
                assert planned.stored_as is not None
                self._reuse(planned.key, planned.stored_as)

    def _reuse(self, key: str, stored_as: str) -> None:
        self.addresses[key] = self._storage.addresses(self._job.steps[key], stored_as)

    def reuse_twin(self, key: str, owner: str) -> None:
        """Take what a step of the same version has given."""
        self.addresses[key] = self.addresses[owner]
        self._digests[key] = self._digests.get(owner, {})
        if self._shared is not None and owner in self._shared:
            self._shared.add(key)

    def reuse_by_content(self, key: str) -> str | None:
        """Take what is stored of the same content; gives the version it is stored under, None where nothing is."""
        versions = self._plan.versions
        assert versions is not None
        assert self._history is not None
        if versions.steps[key].computed:
            return None  # what the accepted code gave would be known as the other's, after a revocation too
        found = self.content_key(key)
        stored_as = self._history.find_contents([found]).get(found)
        step = self._job.steps[key]
        if stored_as is None or stored_as in self._plan.unfinished or not self._storage.stored([(step, stored_as)])[0]:
            return None
        self.reuse_made(key, stored_as)
        version = versions.steps[key].version
        if stored_as != version:
            assert self._recipes is not None
            self._recorder.aliases([(self._run_id, key, version, stored_as, self._recipes.of(key))])
        return stored_as

    def reuse_made(self, key: str, version: str) -> None:
        """Take what is stored under a version and was not known to the plan."""
        assert self._history is not None
        self._reuse(key, version)
        self._digests[key] = self._history.content_digests([version]).get(version, {})
        if self._shared is not None and self._history.shared([version]):
            self._shared.add(key)

    def reuse_from_elsewhere(self, key: str, version: str) -> MadeElsewhere | None:
        """Take what the shared place has of a step that is claimed for all homes; None where it has nothing whole.

        So a step is settled too whose replacing was told of and not finished: what the shared place holds counts, if
        it is whole. What the home itself has of it, it lets go of where that is another content.
        """
        versions, step = self._plan.versions, self._job.steps[key]
        assert versions is not None
        assert self._shared is not None
        made_of = self.content_key(key)
        is_torn = key in self._plan.forced
        found = self._storage.made_elsewhere(step, version, made_of, of_one_run=is_torn)
        if found is None:
            return None
        if found.differs:
            self._recorder.replacing(self._run_id, version)
            self._storage.take_elsewhere(found)
        self._digests[key] = {record.name: record.content_digest for record in found.outputs}
        self._reuse(key, version)
        self._shared.add(key)
        # The run that made it may have been killed before it told of it.
        self._recorder.materialization(
            Materialization(
                found.run_id or self._run_id,
                self._job.name,
                key,
                tuple([replace(record, replaced=is_torn or found.differs) for record in found.outputs]),
                version,
                versions.steps[key].local_key,
                made_of,
                seconds=found.seconds,
                started_at=found.started_at,
            )
        )
        return found

    def record_planned_aliases(self) -> None:
        """Record the versions that were found equal by content while planning."""
        if not self._plan.aliases:
            return
        recipes = self._recipes
        assert recipes is not None
        by_version = {step.version: key for key, step in self._plan.steps.items()}
        self._recorder.aliases(
            (self._run_id, by_version[version], version, stored_as, recipes.of(by_version[version]))
            for version, stored_as in self._plan.aliases.items()
        )

    # Made

    def skip(self, key: str) -> None:
        """Take note that a step gives nothing."""
        self.addresses[key] = {name: Address(key, name, kind="skipped") for name in self._job.steps[key].op.outs}

    def made(self, key: str, outcome: StepOutcome) -> Materialization:
        """Take what a step has stored; gives what is to be recorded."""
        planned, versions = self._plan.steps[key], self._plan.versions
        outputs = self._told_apart(key, outcome.outputs)
        self.addresses[key] = {
            record.name: Address(
                key, record.name, record.version, None if record.version else self._run_id, record.kind, record.digest
            )
            for record in outputs
        }
        self._digests[key] = {record.name: record.content_digest for record in outputs}
        if self._shared is not None:
            (self._shared.add if all(record.shared for record in outputs) else self._shared.discard)(key)
        version = local_key = made_of = None
        if versions is not None and planned.reason is not Reason.NOT_MEMOIZABLE:
            version, local_key, made_of = planned.version, versions.steps[key].local_key, self._made_of.pop(key)
        return Materialization(
            self._run_id,
            self._job.name,
            key,
            outputs,
            version,
            local_key,
            made_of,
            None,
            outcome.seconds,
            outcome.started_at,
            outcome.attempt,
        )

    def _told_apart(self, key: str, outputs: tuple[OutputRecord, ...]) -> tuple[OutputRecord, ...]:
        """Give the outputs of a step that runs whatever is stored a digest of their own where they have none.

        They are made under the version that they had before, and nothing says that they are what they were: so
        whatever reads them must not be taken for what it was either.
        """
        if key not in self._plan.forced and self._plan.steps[key].reason is not Reason.NOT_MEMOIZABLE:
            return outputs
        return tuple(
            replace(record, content_digest=digest("forced", self._run_id, key, record.name))
            if record.content_digest is None
            else record
            for record in outputs
        )


__all__ = ["RunOutputs"]
