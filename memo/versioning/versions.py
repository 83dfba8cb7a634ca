"""Versions of steps and resources as frozen values, and the digests that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.contracts.version_strategy import BlindSpot, CodeVersion
from memo.definition.config_resolving import EnvironmentValue
from memo.definition.source import Source
from memo.definition.step import FromOutput
from memo.hashing import digest, value_digest
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


class StepVersion(Struct, frozen=True):
    """The version of a step, with what it is made of.

    Attributes:
        version: H(local key, each input's upstream version); or the stored version that was accepted in its place.
        local_key: H(op version, resources, inputs that come from no other step).
        op_version: H(code, config).
        code: What the strategy said, or what the op declares.
        config: The op's config, resolved.
        resources: Key -> version of each resource it requires.
        inputs: For each input its members: the output of another step, or the digest of a value.
        values: For each input that comes from no other step: its name, its digest, what to show of it.
        besides: What the op ``depends_on``, sources left out.
        sources: The external sources that are wired to it or that the op ``depends_on``.
        computed: The version that it has by itself, where another was accepted in its place; else empty.
        loaders: The keys of the input managers that load its inputs.
        environment: What of its config came from the environment.
    """

    version: str
    local_key: str
    op_version: str
    code: CodeVersion
    config: Any
    resources: dict[str, str]
    inputs: tuple[tuple[str, bool, tuple[FromOutput | str, ...]], ...]
    values: tuple[tuple[str, str, str], ...]
    besides: tuple[CodeVersion, ...] = ()
    sources: tuple[ReadSource, ...] = ()
    computed: str = ""
    loaders: tuple[str, ...] = ()
    environment: tuple[EnvironmentValue, ...] = ()

    @property
    def reached(self) -> tuple[str, ...]:
        """The keys of the resources that it requires, and of those that load its inputs."""
        return (*self.resources, *self.loaders)


class Versions(Struct, frozen=True):
    """The versions of a job under one config.

    Attributes:
        steps: By step key, in topological order.
        resources: By resource key, those that count.
        blind_spots: Where the strategy could not see what code depends on, by the op's name or the resource's key.
        warnings: Which sources were taken as they were last known, by their names.
    """

    steps: dict[str, StepVersion]
    resources: dict[str, ResourceVersion]
    blind_spots: dict[str, tuple[BlindSpot, ...]]
    warnings: dict[str, tuple[str, ...]]

    def looks(self, step_key: str) -> tuple[str, ...]:
        """What the files of the sources looked like that a step reads, itself or through its resources."""
        return tuple(each.stamp.looks for each in self.sources(step_key))

    def sources(self, step_key: str) -> list[ReadSource]:
        """The external sources that a step reads, itself or through its resources, in the order of `sources_of`."""
        step = self.steps[step_key]
        found = list(step.sources)
        for key in self.required(step.reached):
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
    return digest("output", output, step_version)


def content_key(step: StepVersion, digest_of: Callable[[FromOutput], str]) -> str:
    """The step's version with each upstream version replaced by the digest of that output's content.

    Args:
        step: The step.
        digest_of: The content digest of an upstream output, or its version where it has none: it then counts by
            version.
    """
    return joined_digest("content", step.local_key, step.inputs, digest_of)


def joined_digest(
    tag: str,
    local_key: str,
    inputs: tuple[tuple[str, bool, tuple[FromOutput | str, ...]], ...],
    of: Callable[[FromOutput], str],
) -> str:
    """Hash a step's local key with something for each of its upstream outputs: its version, or its content."""
    parts = [local_key]
    for name, is_list, members in inputs:
        parts.append(name)
        parts.append(f"[{len(members)}" if is_list else "-")
        parts.extend([member if type(member) is str else of(member) for member in members])  # type: ignore[arg-type]
    return digest(tag, *parts)
