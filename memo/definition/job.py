"""Jobs: a graph bound to resources, config, tags and a version strategy."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from msgspec import Struct, field

from memo.contracts.version_strategy import VersionStrategy
from memo.definition.graph import GraphDefinition, compose
from memo.definition.names import check_name, check_tags, described
from memo.definition.ports import DEFAULT_IO_MANAGER_KEY
from memo.definition.resource import IOManagerDefinition, ResourceDefinition, as_resource
from memo.definition.retry_policy import RetryPolicy
from memo.definition.step import FromInputManager, Source, Step, flatten
from memo.errors import DefinitionError, did_you_mean
from memo.tags import memoization_wish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


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


class JobDefinition:
    """A graph that can be run: with its resources, its config, its tags and its version strategy.

    Attributes:
        steps: The ops placed in it, graphs flattened away, each behind those it reads from.
        outputs: Where each output of the job comes from.
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
        self.location = graph_def.location
        self.name = check_name(name, "a job", self._named(name))
        self.description = description
        self.metadata = dict(metadata or {})
        self.tags = check_tags(tags, self.where)
        self.op_retry_policy = op_retry_policy
        self.version_strategy = version_strategy
        self.executor_def = executor_def
        self.config = config
        self.input_values = dict(input_values or {})
        self.resource_defs: dict[str, ResourceDefinition] = {
            check_name(key, "a resource", self.where): as_resource(value, key) for key, value in (resource_defs or {}).items()
        }
        self.steps: dict[str, Step]
        self.outputs: dict[str, Source]
        self.steps, self.outputs = flatten(graph_def)
        self.__name__ = name
        self.__doc__ = description
        self._check()

    def __repr__(self) -> str:
        return f"<job {self.name!r}>"

    def _named(self, name: object) -> str:
        return described(self.kind, str(name), location=self.location)

    @property
    def where(self) -> str:
        """The job and its place in the user's files, for the front of an error."""
        return self._named(self.name)

    def _check(self) -> None:
        if self.config is not None and not isinstance(self.config, dict):
            raise DefinitionError(f"config is {self.config!r}; it must be a dict, the default run config", where=self.where)
        if self.version_strategy is not None and not isinstance(self.version_strategy, VersionStrategy):
            raise DefinitionError(
                f"version_strategy is {self.version_strategy!r}; it must be an instance of a VersionStrategy, such as "
                f"SourceHashVersionStrategy()",
                where=self.where,
            )
        if self.op_retry_policy is not None and not isinstance(self.op_retry_policy, RetryPolicy):
            raise DefinitionError(f"op_retry_policy is {self.op_retry_policy!r}; it must be a RetryPolicy", where=self.where)
        if self.executor_def is not None and not isinstance(self.executor_def, ExecutorDefinition):
            raise DefinitionError(
                f"executor_def is {self.executor_def!r}; it must be in_process_executor or multiprocess_executor", where=self.where,
            )
        memoization_wish(self.tags, {})
        for given in self.input_values:
            if given not in self.graph.input_names:
                raise DefinitionError(
                    f"input_values names {given!r}, which is no input of the graph."
                    f"{did_you_mean(given, self.graph.input_names)}",
                    where=self.where,
                )
        checked: set[tuple[int, Any]] = set()
        for step in self.steps.values():
            token = (id(step.op), next((s for s in step.inputs.values() if type(s) is FromInputManager), None))
            if token not in checked:
                checked.add(token)
                self._check_keys(step)
        self.resource_order(self.resource_defs)

    def _check_keys(self, step: Step) -> None:
        for key in sorted(step.op.required_resource_keys):
            self._require(key, f"{step.where} requires the resource")
        for name, out in step.op.outs.items():
            if out.io_manager_key != DEFAULT_IO_MANAGER_KEY or DEFAULT_IO_MANAGER_KEY in self.resource_defs:
                self._require(out.io_manager_key, f"{step.where} stores its output {name!r} with the IO manager", IOManagerDefinition)
        for name, given in step.op.ins.items():
            if given.input_manager_key is not None:
                self._require(
                    given.input_manager_key, f"{step.where} loads its input {name!r} with the IO manager", IOManagerDefinition,
                )

    def _require(self, key: str, needs: str, kind: type[ResourceDefinition] = ResourceDefinition) -> None:
        found = self.resource_defs.get(key)
        if found is None:
            raise DefinitionError(
                f"{needs} {key!r}, and job {self.name!r} has none of that name: add it to resource_defs."
                f"{did_you_mean(key, self.resource_defs)}",
                where=self.where,
            )
        if not isinstance(found, kind):
            raise DefinitionError(f"{needs} {key!r}, and job {self.name!r} has a plain resource there", where=self.where)

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
        # The one call that goes up the house, by name and at the user's wish: Dagster put running on the definition, and
        # pipelines port by changing the import. The engine still knows nothing of who defines.
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

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        raise DefinitionError(
            "a job cannot be called: run it with .execute_in_process(), execute_job() or `memo run`; to use it within another, "
            "make it a @graph",
            where=self.where,
        )


def resource_order(definitions: Mapping[str, ResourceDefinition], keys: Iterable[str], where: str) -> list[str]:
    """Put resources and all that they require in topological order; see `JobDefinition.resource_order`."""
    order: list[str] = []
    done: set[str] = set()
    for first in keys:
        path: list[tuple[str, Iterable[str]]] = []
        if first not in done:
            path.append((first, iter(_required(definitions, first, None, where))))
        while path:
            key, rest = path[-1]
            following = next(iter(rest), None)
            if following is None:
                path.pop()
                done.add(key)
                order.append(key)
            elif any(following == each for each, _ in path):
                circle = [each for each, _ in path]
                circle = [*circle[circle.index(following) :], following]
                raise DefinitionError(f"resources require each other in a circle: {' -> '.join(circle)}", where=where)
            elif following not in done:
                path.append((following, iter(_required(definitions, following, key, where))))
    return order


def _required(definitions: Mapping[str, ResourceDefinition], key: str, by: str | None, where: str) -> list[str]:
    found = definitions.get(key)
    if found is None:
        raise DefinitionError(
            (f"the resource {by!r} requires the resource {key!r}, which the job does not have" if by else f"there is no resource {key!r}")
            + f": add it to resource_defs.{did_you_mean(key, definitions)}",
            where=where,
        )
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

    if compose_fn is None:
        return define
    if not callable(compose_fn):
        raise DefinitionError(f"job() got {compose_fn!r}; it decorates a function")
    return define(compose_fn)
