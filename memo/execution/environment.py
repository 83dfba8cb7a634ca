"""What a process needs to run steps of one run; the same in the coordinator and in every worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

if TYPE_CHECKING:
    from memo.definition.job import JobDefinition
    from memo.definition.resource import ResourceDefinition
    from memo.definition.run_config import RunConfig

MARKERS = "memo/markers"
"""The key of the IO manager that keeps what carries no value: outputs of type Nothing, and whether an optional output was
yielded. No user's resource can have it: it is no legal name."""


class RunEnvironment(Struct, frozen=True):
    """One run, as its steps see it.

    Attributes:
        resource_defs: The job's, with the engine's defaults and the IO manager for markers.
        config: The run config, resolved.
        run_config: As given; what ``context.run_config`` is.
        storage_dir: The home's storage, where there is a home.
        logs_dir: Where the output of steps is kept; None where it is not.
    """

    job: JobDefinition
    resource_defs: dict[str, ResourceDefinition]
    config: RunConfig
    run_id: str
    run_config: Any = None
    tags: dict[str, str] = field(default_factory=dict)
    storage_dir: str | None = None
    logs_dir: str | None = None
