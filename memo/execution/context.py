"""What ops and resources are handed: their config, resources, log and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.contracts.io_manager import Storage, run_log
from memo.definition.config import ABSENT
from memo.errors import InvocationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from logging import Logger

    from memo.definition.job import JobDefinition
    from memo.definition.op import OpDefinition
    from memo.definition.resource import ResourceDefinition
    from memo.definition.step import Step
    from memo.execution.environment import RunEnvironment


class Resources:
    """The resources that an op or resource declared, by attribute."""

    def __init__(self, values: Mapping[str, Any], owner: str | Step) -> None:
        self.__dict__.update(values)
        self.__dict__["_owner"] = owner

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        known = [each for each in self.__dict__ if each != "_owner"]
        owner: str | Step = self.__dict__["_owner"]
        raise InvocationError(
            f"reads the resource {key!r} without declaring it: add it to required_resource_keys."
            f"{did_you_mean(key, known)}",
            where=owner if isinstance(owner, str) else owner.where,
        )

    def __repr__(self) -> str:
        return f"Resources({', '.join(key for key in self.__dict__ if key != '_owner')})"


class OpExecutionContext:
    """What an op gets as its first argument, ``context``.

    Attributes:
        op_config: The op's config, resolved.
        resources: What ``required_resource_keys`` names, by attribute.
        run_id: The run.
        retry_number: 0 for the first attempt.
        step_key: The step.
        op_def: The op.
        job_def: The job; None where the op was called directly.
        run_config: As the run was given it.
        run_tags: The run's tags.
    """

    def __init__(
        self,
        *,
        op_def: OpDefinition | None = None,
        op_config: Any = None,
        resources: Resources | None = None,
        step_key: str = "",
        environment: RunEnvironment | None = None,
        retry_number: int = 0,
        tags: Mapping[str, str] | None = None,
        on_event: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self.op_def = op_def
        self.op_config = op_config
        self.resources = resources or Resources({}, "")
        self.step_key = step_key
        self.retry_number = retry_number
        self.run_id = environment.run_id if environment else "EPHEMERAL"
        self.job_def: JobDefinition | None = environment.job if environment else None
        self.run_config: Any = environment.run_config if environment else None
        self.run_tags: Mapping[str, str] = environment.tags if environment else {}
        self._tags = dict(tags or {})
        self._on_event = on_event
        self._metadata: dict[str, dict[str, Any]] = {}

    @property
    def job_name(self) -> str:
        """The job's name; empty where the op was called directly."""
        return self.job_def.name if self.job_def else ""

    @property
    def op_name(self) -> str:
        """The op's name."""
        return self.op_def.name if self.op_def else ""

    @property
    def log(self) -> Logger:
        """A logger whose messages are shown and kept with the run."""
        return run_log()

    def has_tag(self, key: str) -> bool:
        """Whether the run, the job or the step has this tag."""
        return self.get_tag(key) is not None

    def get_tag(self, key: str) -> str | None:
        """A tag of the run, the step or the job, in this order."""
        job_tags = self.job_def.tags if self.job_def else {}
        return self.run_tags.get(key, self._tags.get(key, job_tags.get(key)))

    def add_output_metadata(self, metadata: Mapping[str, Any], output_name: str = "result") -> None:
        """Add facts about an output, shown by ``memo show``."""
        self._metadata.setdefault(output_name, {}).update(metadata)

    def get_output_metadata(self, output_name: str = "result") -> Mapping[str, Any] | None:
        """The facts added about an output."""
        return self._metadata.get(output_name)

    def log_event(self, message: str, **data: Any) -> None:
        """Record an event of this step in the run's log."""
        if self._on_event is not None:
            self._on_event(message, data)

    def bind(self, op_def: OpDefinition) -> OpExecutionContext:
        """Make this the context of an op that is called directly: its config is checked, its resources looked for.

        Raises:
            ConfigError: The config does not fit the op's schema.
            InvocationError: A required resource is missing.
        """
        bound = OpExecutionContext(
            op_def=op_def,
            op_config=op_def.resolve_config(
                ABSENT if self.op_config is None else self.op_config, f"ops.{op_def.name}.config"
            ),
            resources=self.resources,
            step_key=op_def.name,
            retry_number=self.retry_number,
            tags=self._tags,
        )
        bound._metadata = self._metadata
        missing = sorted(key for key in op_def.required_resource_keys if key not in self.resources.__dict__)
        if missing:
            raise InvocationError(
                f"requires the resource {missing[0]!r}: pass build_op_context(resources={{{missing[0]!r}: …}})",
                where=op_def.where,
            )
        return bound


class InitResourceContext:
    """What a resource's function gets.

    Attributes:
        resource_config: The resource's config, resolved.
        resources: What ``required_resource_keys`` names, by attribute.
        resource_def: The resource's definition.
        run_id: The run; None while planning.
        storage: Where outputs are kept that name no other place.
    """

    def __init__(
        self,
        resource_config: Any = None,
        resources: Resources | None = None,
        resource_def: ResourceDefinition | None = None,
        run_id: str | None = None,
        storage: Storage | None = None,
    ) -> None:
        self.resource_config = resource_config
        self.resources = resources or Resources({}, "")
        self.resource_def = resource_def
        self.run_id = run_id
        self.storage = storage or Storage()

    @property
    def log(self) -> Logger:
        """A logger whose messages are shown and kept with the run."""
        return run_log()
