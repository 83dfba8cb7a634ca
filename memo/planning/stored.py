"""What is stored of a job's steps, under which version and of what content: what a plan is decided by."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from memo.versioning import content_key, output_version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from memo.contracts.executor import Address
    from memo.contracts.run_store import History
    from memo.definition.job import JobDefinition
    from memo.definition.op import OpDefinition
    from memo.definition.step import FromOutput, Step
    from memo.versioning import Versions


class Stores(Protocol):
    """What planning asks of the IO managers, which are made and ended elsewhere."""

    def memoizable(self, op: OpDefinition) -> bool:
        """Whether every IO manager of the op's outputs can say what it has stored."""
        ...

    def stored(self, wanted: Sequence[tuple[Step, str]]) -> Sequence[bool]:
        """For each (step, step version), whether all its outputs are stored, whole, under that version."""
        ...

    def stored_digests(self, step: Step, version: str) -> Mapping[str, str | None]:
        """What the IO managers themselves know of the content of a stored step's outputs."""
        ...

    def addresses(self, step: Step, version: str) -> Mapping[str, Address]:
        """Where the outputs of a stored step are."""
        ...

    def skipped_outputs(self, step: Step, version: str) -> frozenset[str]:
        """The optional outputs that a stored step did not yield."""
        ...


class StoredSteps:
    """What is known of what a job's steps have stored.

    Args:
        job: The job.
        versions: Of all its steps.
        stores: Its IO managers.
        history: The catalog.
        order: The steps that are planned, in topological order.

    Attributes:
        stored_as: The version under which a step is stored: its own, or one of equal content.
        equal: Steps known as equal to a version whose outputs are gone.
        digests: The content of what is stored, or was, as far as it has been looked up.
        aliases: Versions found equal by content now: version -> stored version.
        withdrawn: Steps known as equal to something that has been replaced since: their readers were made of what it
            was.
        unfinished: Versions that a run of the past began to replace, and did not.
    """

    def __init__(
        self, job: JobDefinition, versions: Versions, stores: Stores, history: History, order: Sequence[str]
    ) -> None:
        self.job = job
        self.versions = versions
        self.stores = stores
        self.history = history
        self.order = order
        self.stored_as: dict[str, str] = {}
        self.equal: dict[str, str] = {}
        self.digests: dict[str, dict[str, str | None]] = {}
        self.aliases: dict[str, str] = {}
        self.withdrawn: set[str] = set()
        self.unfinished = history.unfinished()
        self.replaced = history.replaced()

    @cached_property
    def parents(self) -> dict[str, tuple[str, ...]]:
        """Of every step. Where all is stored, nothing asks for them."""
        return {key: self.job.steps[key].parents() for key in self.order}

    def find(self, keys: Sequence[str]) -> None:
        """Ask the IO managers for all outputs at once; and again for those known under another version."""
        if not keys:
            return
        steps = self.versions.steps
        asked = [(found.step, found.version) for found in map(steps.__getitem__, keys)]
        answers = self.stores.stored(asked)
        stored_as = self.stored_as
        for (step, version), there in zip(asked, answers, strict=True):
            if there:
                stored_as[step.key] = version
        if False not in answers:
            return
        missing = [key for key in keys if key not in stored_as]
        aliases = self.history.aliases([self._version(key) for key in missing])
        known = [key for key in missing if self._version(key) in aliases]
        asked = [(steps[key].step, aliases[self._version(key)]) for key in known]
        for key, there in zip(known, self.stores.stored(asked), strict=True):
            if there:
                self.stored_as[key] = aliases[self._version(key)]
            else:
                self.equal[key] = aliases[self._version(key)]

    def find_outside(self, outside: dict[str, dict[str, Address]]) -> None:
        """Find where the outputs are that selected steps read from steps that are not selected.

        Args:
            outside: Those that are known; the others are put in.
        """
        if len(self.order) == len(self.job.steps):
            return
        selected = set(self.order)
        wanted = {
            parent: None
            for parents in self.parents.values()
            for parent in parents
            if parent not in selected and parent not in outside
        }
        keys = [key for key in wanted if self.stores.memoizable(self.job.steps[key].op)]
        self.find(keys)
        for key in keys:
            if key in self.stored_as:
                outside[key] = dict(self.stores.addresses(self.job.steps[key], self.stored_as[key]))

    def find_withdrawn(self, plain: Collection[str]) -> None:
        """Look anew, by content, for what was known as equal to something that has been replaced since."""
        if not self.replaced:
            return
        missing = [key for key in self.order if key not in self.stored_as and key not in plain]
        withdrawn = self.history.withdrawn_aliases([self._version(key) for key in missing])
        for key in missing:
            if self._version(key) in withdrawn:
                self.withdrawn.add(key)
                self.load_digests([key])
                self.find_by_content(key)

    def torn(self) -> frozenset[str]:
        """The steps whose outputs a run was replacing when it ended: they may be of that run, or of one before."""
        if not self.unfinished:
            return frozenset()
        return frozenset(key for key in self.order if self.stored_as.get(key) in self.unfinished)

    def outdated(self) -> dict[str, str]:
        """The steps that were made of content that has been replaced since, and by which upstream step.

        Only force replaces content under a version, so that there is nearly always nothing to look at.
        """
        if not self.replaced:
            return {}
        suspects = {
            key: parent
            for key in self.order
            for parent in self.parents[key]
            if key in self.stored_as
            and (self.stored_as.get(parent) in self.replaced or (parent in self.withdrawn and parent in self.stored_as))
        }
        if not suspects:
            return {}
        self.load_digests(suspects)
        known = self.history.content_keys([self.stored_as[key] for key in suspects])
        found = {
            key: parent
            for key, parent in suspects.items()
            if content_key(self.versions.steps[key], self._digest_of) != known.get(self.stored_as[key])
        }
        for key in found:
            del self.stored_as[key]
        return found

    def load_digests(self, keys: Iterable[str]) -> None:
        """Look up the content of everything that these steps read and that is stored, or was."""
        parents = dict.fromkeys(parent for key in keys for parent in self.parents[key])
        versions = {parent: self.known_as(parent) for parent in parents if parent not in self.digests}
        found = self.history.content_digests(list(versions.values()))
        for parent, version in versions.items():
            if version in found:
                self.digests[parent] = dict(found[version])
            elif parent in self.stored_as:
                self.digests[parent] = dict(self.stores.stored_digests(self.job.steps[parent], version))

    def _digest_of(self, source: FromOutput) -> str:
        known = self.digests.get(source.step, {}).get(source.output)
        # What was found equal by content counts as what it is equal to.
        return known or output_version(self.known_as(source.step), source.output)

    def known_as(self, key: str) -> str:
        """The version under which a step is stored, or was before its outputs were lost; else its own."""
        return self.stored_as.get(key) or self.equal.get(key) or self._version(key)

    def find_by_content(self, key: str) -> bool:
        """Whether something is stored that was made of the same content: the step is then known as equal to it."""
        if self.versions.steps[key].computed:
            return False  # what the accepted code gave would be known as the other's, after a revocation too
        found = content_key(self.versions.steps[key], self._digest_of)
        version = self.history.find_contents([found]).get(found)
        if version is None or version in self.unfinished:
            return False
        if not self.stores.stored([(self.job.steps[key], version)])[0]:
            return False
        self.stored_as[key] = self.aliases[self._version(key)] = version
        self.digests[key] = dict(self.history.content_digests([version]).get(version, {}))
        return True

    def _version(self, key: str) -> str:
        return self.versions.steps[key].version
