"""Versions of steps and resources as frozen values, and the digests that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.contracts.version_strategy import CodeVersion
from memo.definition.step import FromOutput
from memo.hashing import digest

if TYPE_CHECKING:
    from collections.abc import Callable


class ResourceVersion(Struct, frozen=True):
    """The version of a resource, with what it is made of."""

    version: str
    code: CodeVersion
    config: Any
    requires: dict[str, str]
    shown: str | None = None
    """What to show of a resource that is a given value."""


class StepVersion(Struct, frozen=True):
    """The version of a step, with what it is made of.

    Attributes:
        version: H(local key, each input's upstream version).
        local_key: H(op version, resources, inputs that come from no other step).
        op_version: H(code, config).
        code: What the strategy said, or what the op declares.
        config: The op's config, resolved.
        resources: Key -> version of each resource it requires.
        inputs: For each input its members: the output of another step, or the digest of a value.
        values: For each input that comes from no other step: its name, its digest, what to show of it.
    """

    version: str
    local_key: str
    op_version: str
    code: CodeVersion
    config: Any
    resources: dict[str, str]
    inputs: tuple[tuple[str, bool, tuple[FromOutput | str, ...]], ...]
    values: tuple[tuple[str, str, str], ...]


class Versions(Struct, frozen=True):
    """The versions of a job under one config.

    Attributes:
        steps: By step key, in topological order.
        resources: By resource key, those that count.
        warnings: What the strategy could not follow, by the name of the op or the key of the resource.
    """

    steps: dict[str, StepVersion]
    resources: dict[str, ResourceVersion]
    warnings: dict[str, tuple[str, ...]]

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
