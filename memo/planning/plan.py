"""The plan: what a run is going to do with every step, and why. Frozen."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Any

from msgspec import Struct, field

from memo.contracts.executor import Address
from memo.definition.source import Source
from memo.versioning import Versions


class Verdict(StrEnum):
    """What is to become of a step."""

    __hash__ = str.__hash__
    """Of the value, as it is compared by it; the one of enums is slow, and of the name."""

    REUSE = "REUSE"
    """All its outputs are stored under this version, or under one of equal content."""
    RUN = "RUN"
    MAYBE = "MAYBE"
    """Decided when an upstream step has run."""
    UNNEEDED = "UNNEEDED"
    """Its outputs are gone, and nothing that must run reads them."""


class Reason(StrEnum):
    """Why; the closed set. The value is what people read."""

    __hash__ = str.__hash__

    STORED = "stored under this version"
    SAME_CONTENT = "stored; its inputs have the same content as before"
    ACCEPTED = "accepted as equal"
    SAME_VERSION = "another step of this run has the same version"
    NEVER_RUN = "never run"
    CODE_CHANGED = "code changed"
    CONFIG_CHANGED = "config changed"
    RESOURCE_CHANGED = "resource changed"
    SOURCE_CHANGED = "source changed"
    EXPIRED = "expired"
    INPUT_CHANGED = "input changed"
    OUTPUT_MISSING = "stored output missing"
    FORCED = "forced"
    UNFINISHED = "a run that was replacing its outputs did not finish"
    MEMOIZATION_OFF = "memoization off"
    NOT_MEMOIZABLE = "IO manager not memoizable"
    UPSTREAM_RUNS = "an upstream step runs"
    NOT_READ = "output missing, and nothing that runs reads it"
    SKIPPED = "an optional output that it reads was not yielded"
    MADE_MEANWHILE = "made by another run meanwhile"
    NOT_FINISHED = "failed or not finished in the parent run"


class StepPlan(Struct, frozen=True, gc=False):
    """The verdict on one step.

    Attributes:
        detail: What exactly: the changed parts, the upstream step.
        version: Of the step, None without memoization.
        stored_as: For REUSE: the step version under which the outputs are stored.
        on_demand: For MAYBE: it runs only if a step that reads it does.
        seconds: How long its body took, the median of its latest runs; None where unknown.
    """

    key: str
    verdict: Verdict
    reason: Reason
    detail: str = ""
    version: str | None = None
    stored_as: str | None = None
    on_demand: bool = False
    seconds: float | None = None


class Plan(Struct, frozen=True, dict=True):
    """What a run of a job is going to do; made once, obeyed by execution.

    Attributes:
        steps: The selected steps, in topological order.
        versions: None without memoization.
        outside: For steps that are not selected and are read by some that are: where their outputs are stored.
        digests: What is known of the content of stored outputs: step key -> {output: digest}.
        forced: The steps that run though they are stored, and replace what is.
        sources: What the ops are handed that external sources are wired to.
        aliases: Versions found equal by content while planning, not yet recorded: version -> stored version.
        mark: How far the history had come when the plan was begun: what was stored later, the plan need not know of.
        unfinished: Versions that a run of the past began to replace, and did not: nobody knows what stands there.
    """

    job_name: str
    memoized: bool
    steps: dict[str, StepPlan]
    versions: Versions | None = None
    outside: dict[str, dict[str, Address]] = field(default_factory=dict)
    digests: dict[str, dict[str, str | None]] = field(default_factory=dict)
    forced: frozenset[str] = frozenset()
    sources: dict[Source, Any] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    mark: int = 0
    unfinished: frozenset[str] = frozenset()

    def count(self, verdict: Verdict) -> int:
        """How many steps have this verdict."""
        return sum(step.verdict is verdict for step in self.steps.values())

    @cached_property
    def is_null(self) -> bool:
        """Whether there is nothing to run."""
        return {step.verdict for step in self.steps.values()}.isdisjoint({Verdict.RUN, Verdict.MAYBE})

    @property
    def warnings(self) -> dict[str, tuple[str, ...]]:
        """What could not be followed in code, by the op or resource; and which sources could not be reached."""
        if self.versions is None:
            return {}
        found = {name: tuple(map(str, spots)) for name, spots in self.versions.blind_spots.items()}
        for name, told in self.versions.warnings.items():
            found[name] = (*found.get(name, ()), *told)
        return found
