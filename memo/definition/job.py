"""Jobs: a graph bound to resources, config, tags and a version strategy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from msgspec import Struct, field

from memo.contracts.version_strategy import VersionStrategy
from memo.definition.composition import suspended
from memo.definition.config_resolving import unshared
from memo.definition.definition import Definition
from memo.definition.graph import GraphDefinition, compose
from memo.definition.names import check_instance, check_mapping, check_name, check_tags
from memo.definition.ports import DEFAULT_IO_MANAGER_KEY
from memo.definition.resource import (
    InputManagerDefinition,
    IOManagerDefinition,
    ResourceDefinition,
    as_resource,
)
from memo.definition.retry_policy import RetryPolicy
from memo.definition.source import Source
from memo.definition.step import FromInputManager, FromList, FromOutput, Origin, Step, flatten
from memo.errors import DefinitionError, did_you_mean
from memo.tags import memoization_wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class ExecutorDefinition(Struct, frozen=True):
    """Which executor runs the steps, and its settings.

    Attributes:
        name: An entry point of the group ``memo.executors``.
        config: For `multiprocess`: ``{"max_concurrent": 4}``.
    """

    name: str
    config: dict[str, Any] = field(default_factory=dict)

    def configured(self, config: Mapping[str, Any]) -> ExecutorDefinition:
        """Make a copy with these settings."""
        return ExecutorDefinition(self.name, {**self.config, **config})


in_process_executor = ExecutorDefinition("in_process")
multiprocess_executor = ExecutorDefinition("multiprocess")


class JobDefinition(Definition):
    """A graph that can be run: with its resources, its config, its tags and its version strategy.

    Attributes:
        steps: The ops placed in it, graphs flattened away, each behind those it reads from.
        outputs: Where each output of the job comes from.
        input_defaults: Default values of its inputs.
        configurable: The keys of the steps that need something of a run besides what steps give each other: config,
            or a value for an input.
        resource_defs: Without the default IO manager, which the engine adds under ``io_manager``.
    """

    kind = "job"

    def __init__(
        self,
        graph_def: GraphDefinition,
        *,
        name: str,
        description: str | None = None,
        resource_defs: Mapping[str, Any] | None = None,
        config: Any = None,
        tags: Mapping[str, object] | None = None,
        metadata: Mapping[str, Any] | None = None,
        executor_def: ExecutorDefinition | None = None,
        op_retry_policy: RetryPolicy | None = None,
        version_strategy: VersionStrategy | None = None,
        input_values: Mapping[str, Any] | None = None,
    ) -> None:
        self.graph = graph_def
        self._location = graph_def.location
        self.name = str(name)
        check_name(name, "a job", self.where)
        self.description = description
        self.metadata = _given(metadata, "metadata", self.where)
        self.tags = {**graph_def.tags, **check_tags(tags, self.where)}
        self.op_retry_policy = op_retry_policy
        self.version_strategy = version_strategy
        self.executor_def = executor_def
        self.input_values = _given(input_values, "input_values", self.where)
        self.resource_defs: dict[str, ResourceDefinition] = {
            check_name(key, "a resource", self.where): as_resource(value, key)
            for key, value in _given(resource_defs, "resource_defs", self.where).items()
        }
        flat = flatten(graph_def)
        self.steps: dict[str, Step] = flat.steps
        self.outputs: dict[str, Origin] = flat.outputs
        self.input_defaults: dict[str, Any] = flat.defaults
        self.configurable = flat.configurable
        self.__name__ = self.name
        self.__doc__ = description
        self._check()
        self.config = None if config is None else self._checked_config(config)

    def _check(self) -> None:
        for given, kind, what, must in (
            (self.op_retry_policy, RetryPolicy, "op_retry_policy", "a RetryPolicy"),
            (
                self.version_strategy,
                VersionStrategy,
                "version_strategy",
                "an instance of a VersionStrategy, such as SourceHashVersionStrategy()",
            ),
            (self.executor_def, ExecutorDefinition, "executor_def", "in_process_executor or multiprocess_executor"),
        ):
            if given is not None:
                check_instance(given, kind, what, must, self.where)
        try:
            memoization_wish(self.tags, {})
        except DefinitionError as error:
            raise DefinitionError(error.what, where=self.where) from None
        for name in self.input_values:
            if name not in self.graph.input_names:
                raise DefinitionError(
                    f"input_values names {name!r}, which is no input of the graph."
                    f"{did_you_mean(str(name), self.graph.input_names)}",
                    where=self.where,
                )
        checked: set[object] = set()
        for step in self.steps.values():
            op = step.op
            # Most ops need an IO manager and nothing else: one of them is checked for all.
            is_plain = op.io_manager_key is not None and not op.required_resource_keys and not op.loadable_inputs
            needs = op.io_manager_key if is_plain else op
            if needs not in checked:
                checked.add(needs)
                self._check_keys(step)
        self.resource_order(self.resource_defs)

    def _checked_config(self, config: Any) -> dict[str, Any]:
        """A copy of the default run config, once it is known to name only what is there."""
        from memo.definition.run_config import unknown_entries

        problems = unknown_entries(self, config)
        if problems:
            raise DefinitionError(f"its config does not fit: {'; '.join(map(str, problems))}", where=self.where)
        try:
            return dict(unshared(config))
        except Exception as error:
            raise DefinitionError(
                f"its config cannot be copied ({type(error).__name__}: {error}); give plain data", where=self.where
            ) from error

    def _check_keys(self, step: Step) -> None:
        for key in sorted(step.op.required_resource_keys):
            self._require(key, f"{step.where} requires the resource")
        for name, out in step.op.outs.items():
            needs = f"{step.where} stores its output {name!r} with the IO manager"
            if isinstance(self._require(out.io_manager_key, needs, IOManagerDefinition), InputManagerDefinition):
                raise DefinitionError(
                    f"{needs} {out.io_manager_key!r}, which only loads: give an IO manager that stores too",
                    where=self.where,
                )
        for name, given in step.op.ins.items():
            if given.input_manager_key is not None:
                needs = f"{step.where} loads its input {name!r} with the IO manager"
                self._require(given.input_manager_key, needs, IOManagerDefinition)

    def _require(
        self, key: str, needs: str, kind: type[ResourceDefinition] = ResourceDefinition
    ) -> ResourceDefinition | None:
        found = self.resource_defs.get(key)
        if found is None and key != DEFAULT_IO_MANAGER_KEY:
            raise DefinitionError(
                f"{needs} {key!r}, and job {self.name!r} has none of that name: add it to resource_defs."
                f"{did_you_mean(key, self.resource_defs)}",
                where=self.where,
            )
        if found is not None and not isinstance(found, kind):
            raise DefinitionError(
                f"{needs} {key!r}, and job {self.name!r} has a plain resource there: give an IOManager, or decorate "
                f"the function that makes it with @io_manager",
                where=self.where,
            )
        return found

    def resource_order(self, keys: Iterable[str]) -> list[str]:
        """Put resources and all that they require in an order in which each stands behind those it requires.

        Raises:
            DefinitionError: One requires a resource that the job does not have, or they require each other in a circle.
        """
        return resource_order(self.resource_defs, keys, self.where)

    def execute_in_process(
        self,
        run_config: Any = None,
        instance: Any = None,
        *,
        raise_on_error: bool = True,
        op_selection: Iterable[str] | None = None,
        run_id: str | None = None,
        input_values: Mapping[str, Any] | None = None,
        tags: Mapping[str, object] | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run this job in this process, as in a test or a notebook.

        Memoized where the job has a version strategy or the tag `MEMOIZED_RUN_TAG` is true, in the home of this
        folder or of `instance`; otherwise outputs are kept in memory, and nothing is left behind.

        Args:
            run_config: Config for ops and resources.
            instance: A home to keep runs and outputs in: a path, or what `memo.Home` gives.
            raise_on_error: Raise the exception of the first step that fails, instead of returning a result.
            op_selection: Which steps to run: names with ``*`` and ``+`` for what is up- and downstream.
            run_id: Made up where left out.
            input_values: Values for the job's inputs, by name.
            tags: Of the run; they count before the job's.
            resources: Values or definitions that replace the job's resources, by key.

        Returns:
            A `RunResult`.
        """
        # A call up the house, by name and at the user's wish: Dagster put running on the definition, and pipelines
        # port by changing the import. The engine still knows nothing of who defines.
        with suspended():
            return import_module("memo.project.running").execute_in_process(
                self,
                run_config=run_config,
                instance=instance,
                raise_on_error=raise_on_error,
                op_selection=op_selection,
                run_id=run_id,
                input_values=input_values,
                tags=tags,
                resources=resources,
            )

    def with_resources(self, resources: Mapping[str, Any]) -> JobDefinition:
        """Make a copy with some resources replaced or added."""
        return JobDefinition(
            self.graph,
            name=self.name,
            description=self.description,
            resource_defs={**self.resource_defs, **resources},
            config=self.config,
            tags=self.tags,
            metadata=self.metadata,
            executor_def=self.executor_def,
            op_retry_policy=self.op_retry_policy,
            version_strategy=self.version_strategy,
            input_values=self.input_values,
        )

    def __call__(self, /, *_args: Any, **_kwargs: Any) -> Any:
        """Refuse: a job is run, not called."""
        raise DefinitionError(
            "cannot be called: run it with .execute_in_process(), execute_job() or `memo run`; to use it within "
            "another, make it a @graph",
            where=self.where,
        )


def _given(found: object, what: str, where: str) -> dict[Any, Any]:
    return {} if found is None else dict(check_mapping(found, what, where))


def resource_order(definitions: Mapping[str, ResourceDefinition], keys: Iterable[str], where: str) -> list[str]:
    """Put resources and all that they require in topological order; see `JobDefinition.resource_order`."""
    order: dict[str, None] = {}
    for first in keys:
        path: dict[str, Iterator[str]] = {}
        if first not in order:
            path[first] = iter(_required(definitions, first, None, where))
        while path:
            key, rest = next(reversed(path.items()))
            following = next(rest, None)
            if following is None:
                del path[key]
                order[key] = None
            elif following in path:
                circle = list(path)
                raise DefinitionError(
                    "resources require each other in a circle: "
                    f"{' -> '.join([*circle[circle.index(following) :], following])}; one of them must do without",
                    where=where,
                )
            elif following not in order:
                path[following] = iter(_required(definitions, following, key, where))
    return list(order)


def loaders_of(step: Step, definitions: Mapping[str, ResourceDefinition]) -> dict[str, str]:
    """The inputs of a step that the user's code loads, each with the key of the resource that does."""
    found: dict[str, str] = {}
    inputs = step.inputs if step.op.loadable_inputs else {}
    for name in step.op.loadable_inputs:
        origin = inputs.get(name)
        key = step.op.ins[name].input_manager_key
        if type(origin) is FromInputManager:
            found[name] = origin.key
        elif (
            key is not None
            and type(origin) in {FromOutput, FromList}
            and isinstance(definitions[key], InputManagerDefinition)
        ):
            found[name] = key
    return found


def sources_of(step: Step, definitions: Mapping[str, ResourceDefinition]) -> list[Source]:
    """The external sources that a step reads, itself or through its resources and loaders, always in one order."""
    found = list(step.sources())
    keys = {*step.op.required_resource_keys, *loaders_of(step, definitions).values()}
    for key in sorted(resource_order(definitions, keys, step.where)):
        found += [each for each in definitions[key].depends_on if isinstance(each, Source)]
    return found


def _required(definitions: Mapping[str, ResourceDefinition], key: str, by: str | None, where: str) -> list[str]:
    found = definitions.get(key)
    if found is None:
        if by is None:
            what = f"there is no resource {key!r}"
        else:
            what = f"{definitions[by].where} requires the resource {key!r}, which the job does not have"
        raise DefinitionError(f"{what}: add it to resource_defs.{did_you_mean(key, definitions)}", where=where)
    return sorted(found.required_resource_keys)


@overload
def job(compose_fn: Callable[..., Any]) -> JobDefinition: ...


@overload
def job(
    compose_fn: None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    resource_defs: Mapping[str, Any] | None = None,
    config: Any = None,
    tags: Mapping[str, object] | None = None,
    metadata: Mapping[str, Any] | None = None,
    executor_def: ExecutorDefinition | None = None,
    op_retry_policy: RetryPolicy | None = None,
    version_strategy: VersionStrategy | None = None,
    input_values: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], JobDefinition]: ...


def job(
    compose_fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    resource_defs: Mapping[str, Any] | None = None,
    config: Any = None,
    tags: Mapping[str, object] | None = None,
    metadata: Mapping[str, Any] | None = None,
    executor_def: ExecutorDefinition | None = None,
    op_retry_policy: RetryPolicy | None = None,
    version_strategy: VersionStrategy | None = None,
    input_values: Mapping[str, Any] | None = None,
) -> JobDefinition | Callable[[Callable[..., Any]], JobDefinition]:
    """Wire ops together, as `graph` does, and bind them to what they need to run.

    Args:
        compose_fn: The function, where the decorator is used bare.
        name: The function's name where left out.
        description: The function's docstring where left out.
        resource_defs: Resources and IO managers by key: definitions, or plain values. ``io_manager`` is the default IO
            manager; `fs_io_manager` in the home where left out.
        config: The default run config; what a run gives is laid over it.
        tags: For example ``{MEMOIZED_RUN_TAG: "false"}``.
        metadata: Facts about the job, for people.
        executor_def: `in_process_executor` or `multiprocess_executor`.
        op_retry_policy: For ops that have none of their own.
        version_strategy: What counts as the same code; memoizes every run of the job.
        input_values: Values for the graph's inputs, by name.

    Raises:
        DefinitionError: The definition cannot be right as written.
    """

    def define(fn: Callable[..., Any]) -> JobDefinition:
        composed = compose(fn, kind="job", name=name, description=description)
        return JobDefinition(
            composed,
            name=composed.name,
            description=composed.description,
            resource_defs=resource_defs,
            config=config,
            tags=tags,
            metadata=metadata,
            executor_def=executor_def,
            op_retry_policy=op_retry_policy,
            version_strategy=version_strategy,
            input_values=input_values,
        )

    return define if compose_fn is None else define(compose_fn)
