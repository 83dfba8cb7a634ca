"""Contexts and resources made by hand, for testing ops, resources and IO managers on their own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

from memo.contracts.io_manager import InputContext, OutputContext
from memo.definition.config import ABSENT
from memo.definition.graph import compose
from memo.definition.job import JobDefinition, resource_order
from memo.definition.resource import as_resource
from memo.definition.run_config import RunConfig
from memo.errors import InvocationError
from memo.execution.context import InitResourceContext, OpExecutionContext, Resources
from memo.execution.environment import RunEnvironment
from memo.execution.resources import ResourceScope

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from memo.definition.op import OpDefinition


def _scope_of(resources: Mapping[str, Any], resource_config: Mapping[str, Any] | None) -> ResourceScope:
    """Check the config of resources and be ready to make them.

    Raises:
        ConfigError: A config does not fit.
        DefinitionError: One requires another that is not given.
    """
    definitions = {key: as_resource(value, key) for key, value in resources.items()}
    resource_order(definitions, definitions, "resources")
    configs = {}
    for key, definition in definitions.items():
        given = (resource_config or {}).get(key, {}).get("config", ABSENT)
        config = definition.resolve_config(given, f"resources.{key}.config")
        if config is not None:
            configs[key] = config
    job = JobDefinition(compose(_nothing, name="resources"), name="resources")
    return ResourceScope(RunEnvironment(job, definitions, RunConfig(resources=configs), "EPHEMERAL"))


def _nothing() -> None:
    """Wire nothing."""


@contextmanager
def build_resources(
    resources: Mapping[str, Any], resource_config: Mapping[str, Any] | None = None
) -> Generator[Resources]:
    """Make resources, and end them when the block ends.

    Args:
        resources: Definitions or values, by key.
        resource_config: ``{key: {"config": …}}``.

    Raises:
        ConfigError: A config does not fit.
        DefinitionError: One requires another that is not given.

    >>> with build_resources({"answer": 42}) as made:
    ...     made.answer
    42
    """
    with _scope_of(resources, resource_config) as scope:
        yield scope.namespace(resources, "build_resources")


class BuiltOpContext(OpExecutionContext):
    """A context made by hand; a context manager where its resources have to be ended."""

    def __init__(self, scope: ResourceScope, keys: Iterable[str], **given: Any) -> None:
        super().__init__(resources=scope.namespace(keys, "build_op_context"), **given)
        self._scope = scope
        self._entered = False

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, *exc: object) -> None:
        self._scope.close()

    def bind(self, op_def: OpDefinition) -> OpExecutionContext:
        """Make this the context of an op that is called directly.

        Raises:
            InvocationError: A resource has to be ended, and nothing says when.
        """
        if self._scope.to_end and not self._entered:
            raise InvocationError(
                f"the resource {self._scope.to_end[0]!r} has to be ended after use: "
                f"write `with build_op_context(…) as context:`",
            )
        return super().bind(op_def)


def build_op_context(
    resources: Mapping[str, Any] | None = None,
    op_config: Any = None,
    resources_config: Mapping[str, Any] | None = None,
    *,
    retry_number: int = 0,
    tags: Mapping[str, str] | None = None,
) -> BuiltOpContext:
    """Make a context to call an op with; use it in a ``with`` block where a resource has to be ended.

    Args:
        resources: Values or definitions, by key; definitions are made at once.
        op_config: The op's config; checked against the op's schema at the call.
        resources_config: ``{key: {"config": …}}``.
        retry_number: What ``context.retry_number`` is.
        tags: What ``context.get_tag`` reads.

    >>> from memo import op
    >>> @op(config_schema={"n": int})
    ... def count(context):
    ...     return context.op_config["n"]
    >>> count(build_op_context(op_config={"n": 3}))
    3
    """
    scope = _scope_of(resources or {}, resources_config)
    return BuiltOpContext(scope, resources or {}, op_config=op_config, retry_number=retry_number, tags=tags)


def build_init_resource_context(
    config: Any = None,
    resources: Mapping[str, Any] | None = None,
) -> InitResourceContext:
    """Make a context to call a resource's function with."""
    with build_resources(resources or {}) as made:
        return InitResourceContext(config, made, run_id="EPHEMERAL")


def build_output_context(
    step_key: str = "step",
    name: str = "result",
    metadata: Mapping[str, Any] | None = None,
    run_id: str | None = "EPHEMERAL",
    mapping_key: str | None = None,
    config: Any = None,
    dagster_type: Any = None,
    version: str | None = None,
    resource_config: Any = None,
    resources: Mapping[str, Any] | None = None,
    op_def: Any = None,
) -> OutputContext:
    """Make a context to call an IO manager's ``handle_output`` and ``has_output`` with."""
    return OutputContext(
        step_key,
        name,
        version,
        run_id,
        mapping_key,
        config=config,
        metadata=metadata or {},
        dagster_type=dagster_type,
        op_def=op_def,
        resources=Resources(resources or {}, "build_output_context"),
        resource_config=resource_config,
    )


def build_input_context(
    name: str = "input",
    config: Any = None,
    metadata: Mapping[str, Any] | None = None,
    upstream_output: OutputContext | None = None,
    dagster_type: Any = None,
    resource_config: Any = None,
    resources: Mapping[str, Any] | None = None,
    op_def: Any = None,
    step_key: str | None = None,
) -> InputContext:
    """Make a context to call an IO manager's ``load_input`` with."""
    return InputContext(
        name,
        upstream_output,
        step_key=step_key,
        config=config,
        metadata=metadata or {},
        dagster_type=dagster_type,
        op_def=op_def,
        resources=Resources(resources or {}, "build_input_context"),
        resource_config=resource_config,
    )
