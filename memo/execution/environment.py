"""What a process needs to run steps of one run; made the same in the coordinator and in every worker."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from memo.contracts.io_manager import Storage
from memo.definition.families import IO_MANAGERS, family_member
from memo.definition.job import JobDefinition
from memo.definition.ports import DEFAULT_IO_MANAGER_KEY
from memo.definition.resource import IOManagerDefinition, ResourceDefinition
from memo.definition.run_config import RunConfig, resolve_run_config

if TYPE_CHECKING:
    from collections.abc import Mapping


MARKERS = "memo/markers"
"""The key of the IO manager that keeps what carries no value: outputs of type Nothing, and whether an optional output
was yielded. No user's resource can have it: it is no legal name."""


WORKER_VARIABLE = "MEMO_WORKER"
"""Set in the environment of worker processes, so that a file that runs a job when it is imported is told apart."""


class RunEnvironment(Struct, frozen=True):
    """One run, as its steps see it.

    Attributes:
        resource_defs: The job's, with the engine's defaults and the IO manager for markers.
        config: The run config, resolved.
        run_config: As given; what ``context.run_config`` is.
        storage: Where outputs are kept that name no other place.
        logs_dir: Where the output of steps is kept; None where it is not.
        folder: Where relative paths begin, wherever a step goes.
    """

    job: JobDefinition
    resource_defs: dict[str, ResourceDefinition]
    config: RunConfig
    run_id: str
    run_config: Any = None
    tags: dict[str, str] = field(default_factory=dict)
    storage: Storage = Storage()
    logs_dir: str | None = None
    folder: str = ""


def make_environment(
    job: JobDefinition,
    *,
    run_id: str,
    run_config: Any = None,
    input_values: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    storage: Storage | None = None,
    logs_dir: str | None = None,
) -> RunEnvironment:
    """Check a run's config and add what the engine gives: the default IO manager and the one for markers.

    Both store in the home, or in memory where there is none.

    Raises:
        ConfigError: The run config does not fit.
    """
    storage = storage or Storage()
    spec = family_member(IO_MANAGERS, "fs" if storage.folder is not None else "mem")
    definitions = dict(job.resource_defs)
    if DEFAULT_IO_MANAGER_KEY not in definitions:
        definitions[DEFAULT_IO_MANAGER_KEY] = IOManagerDefinition.from_spec(spec)
    config = resolve_run_config(job, definitions, run_config, input_values)
    # As text: a plan reads markers, and must not open a pickle for it.
    markers = family_member(IO_MANAGERS, "text" if storage.folder is not None else "mem")
    definitions[MARKERS] = IOManagerDefinition.from_spec(markers)
    return RunEnvironment(job, definitions, config, run_id, run_config, dict(tags or {}), storage, logs_dir, _folder())


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it is gone; what needs it will say so
        return ""
