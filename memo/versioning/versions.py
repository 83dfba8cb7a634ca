"""Versions of steps and resources as frozen values, and the digests that are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from memo.contracts.version_strategy import BlindSpot, CodeVersion
from memo.definition.config_resolving import EnvironmentValue
from memo.definition.source import Source
from memo.definition.step import FromList, FromOutput, Step
from memo.hashing import digest, joined_digest, value_digest
from memo.versioning.stamps import Stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class ReadSource(Struct, frozen=True):
    """An external source as a part of a version.

    Attributes:
        source: The source.
        stamp: What it was found to be.
        input: The input that it is wired to; empty where it is named in ``depends_on``.
    """

    source: Source
    stamp: Stamp
    input: str = ""

    @property
    def digest(self) -> str:
        """Of what the source holds; and of what the op is handed, where it is wired."""
        return digest("source", self.stamp.digest, value_digest(self.stamp.value)) if self.input else self.stamp.digest


class ResourceVersion(Struct, frozen=True):
    """The version of a resource, with what it is made of.

    Attributes:
        shown: What to show of a resource that is a given value.
        besides: What it ``depends_on``, sources left out.
        sources: The external sources that it ``depends_on``.
        environment: What of its config came from the environment.
    """

    version: str
    code: CodeVersion
    config: Any
    requires: dict[str, str]
    shown: str | None = None
    besides: tuple[CodeVersion, ...] = ()
    sources: tuple[ReadSource, ...] = ()
    environment: tuple[EnvironmentValue, ...] = ()


NO_RESOURCES: dict[str, str] = {}
"""Of most ops, and never written to: one for each would be a sixth of what is kept of it."""


class OpVersion(Struct, frozen=True, gc=False):
    """What an op brings to the versions of its steps: one for all places of an op that have no config.

    Attributes:
        version: H(code, config); the version of the code alone where it is all there is.
        local_key: H(version, resources), or the version alone where it requires none: the local key of a step that is
            given no values and reads no sources.
        code: What the strategy said, or what the op declares.
        config: Resolved.
        resources: Key -> version of each resource it requires.
        besides: What the op ``depends_on``, sources left out.
        environment: What of its config came from the environment.
    """

    version: str
    local_key: str
    code: CodeVersion
    config: Any = None
    resources: dict[str, str] = field(default_factory=lambda: NO_RESOURCES)
    besides: tuple[CodeVersion, ...] = ()
    environment: tuple[EnvironmentValue, ...] = ()


class GivenValue(Struct, frozen=True, gc=False):
    """What is known of a value that is no scalar: it may be the user's, or change while the run lasts.

    Attributes:
        digest: Of its type and content; or of what loads it.
        shown: What to show of it.
    """

    digest: str
    shown: str


class StepVersion(Struct, frozen=True, gc=False):
    """The version of a step, with what it is made of.

    Attributes:
        version: H(local key, each input's upstream version); or the stored version that was accepted in its place.
        local_key: H(op version, resources, inputs that come from no other step).
        op: What its op brings.
        step: The step, which says where its inputs come from.
        values: The inputs that come from no other step, by name: a scalar as it is, else what is known of it.
        members: By input and index: the digests of those members of lists that come from no other step.
        sources: The external sources that are wired to it or that the op ``depends_on``.
        computed: The version that it has by itself, where another was accepted in its place; else empty.
        loaders: The keys of the input managers that load its inputs.
    """

    version: str
    local_key: str
    op: OpVersion
    step: Step
    values: Sequence[tuple[str, Any]] = ()
    members: Mapping[tuple[str, int], str] | None = None
    sources: tuple[ReadSource, ...] = ()
    computed: str = ""
    loaders: tuple[str, ...] = ()

    @property
    def reached(self) -> tuple[str, ...]:
        """The keys of the resources that it requires, and of those that load its inputs."""
        return (*self.op.resources, *self.loaders)


class Versions(Struct, frozen=True):
    """The versions of a job under one config.

    Attributes:
        steps: By step key, in topological order.
        resources: By resource key, those that count.
        blind_spots: Where the strategy could not see what code depends on, by the op's name or the resource's key.
        warnings: Which sources were taken as they were last known, by their names.
        reads_sources: Whether any step reads an external source itself.
    """

    steps: dict[str, StepVersion]
    resources: dict[str, ResourceVersion]
    blind_spots: dict[str, tuple[BlindSpot, ...]]
    warnings: dict[str, tuple[str, ...]]
    reads_sources: bool

    def looks(self, step_key: str) -> tuple[str, ...]:
        """What the files of the sources looked like that a step reads, itself or through its resources."""
        return tuple([each.stamp.looks for each in self.sources(step_key)])

    def sources(self, step_key: str) -> list[ReadSource]:
        """The external sources that a step reads, itself or through its resources, in the order of `sources_of`."""
        step = self.steps[step_key]
        found = list(step.sources)
        for key in self.required(step.reached) if step.op.resources or step.loaders else ():
            found += self.resources[key].sources
        return found

    def required(self, keys: Iterable[str]) -> list[str]:
        """These resources and all that they require, sorted."""
        found: dict[str, None] = {}
        todo = list(keys)
        while todo:
            key = todo.pop()
            if key not in found:
                found[key] = None
                todo.extend(self.resources[key].requires)
        return sorted(found)

    def output(self, step_key: str, output: str) -> str:
        """The version of one output."""
        return output_version(self.steps[step_key].version, output)


def output_version(step_version: str, output: str) -> str:
    """H(output name, step version)."""
    return joined_digest("output", f"{len(output)}:{output}{step_version}")


def content_key(step: StepVersion, digest_of: Callable[[FromOutput], str]) -> str:
    """The step's version with each upstream version replaced by the digest of that output's content.

    Args:
        step: The step.
        digest_of: The content digest of an upstream output, or its version where it has none: it then counts by
            version.
    """
    return wired_digest("content", step.local_key, step.step, step.members, digest_of)


def wired_digest(
    tag: str,
    local_key: str,
    step: Step,
    members: Mapping[tuple[str, int], str] | None,
    of: Callable[[FromOutput], str],
) -> str:
    """Hash a step's local key with something for each of its upstream outputs: its version, or its content."""
    joined = f"{len(local_key)}:{local_key}"
    for name, origin in zip(step.op.input_names, step.origins, strict=True):
        if type(origin) is FromOutput:
            found = of(origin)
            joined += f"{len(name)}:{name}-{len(found)}:{found}"
        elif type(origin) is FromList:
            joined += f"{len(name)}:{name}[{len(origin.members)}:"
            for index, member in enumerate(origin.members):
                found = of(member) if type(member) is FromOutput else members[name, index]  # type: ignore[index]
                joined += f"{len(found)}:{found}"
    return joined_digest(tag, joined)
