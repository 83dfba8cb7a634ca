"""Graphs: ops wired together, and placed in other graphs as an op is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import Composition, FanIn, GraphInput, Literal, Node, NodeOutput, NodeOutputs, PendingNode, current
from memo.definition.names import check_name, check_tags, described, location_of
from memo.definition.ports import DEFAULT_OUTPUT, NO_VALUE, GraphIn, GraphOut
from memo.definition.signature import read_signature
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.version_strategy import VersionStrategy
    from memo.definition.job import ExecutorDefinition, JobDefinition
    from memo.definition.retry_policy import RetryPolicy


class GraphDefinition:
    """Ops and graphs wired together by the body of a function; made by `graph`.

    Attributes:
        nodes: What is placed in it, by name, in an order in which each stands behind what it reads.
        input_names: Its inputs, in the order of the function's arguments.
        outputs: For each of its outputs the inner output it stands for.
        defaults: Default values of its inputs.
    """

    kind = "graph"

    def __init__(
        self,
        name: str,
        *,
        nodes: dict[str, Node],
        input_names: tuple[str, ...],
        outputs: dict[str, Any],
        defaults: dict[str, Any] | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        location: str = "",
    ) -> None:
        self.name = name
        self.nodes = nodes
        self.input_names = input_names
        self.outputs = outputs
        self.defaults = defaults or {}
        self.description = description
        self.tags = tags or {}
        self.location = location
        self.__name__ = name
        self.__doc__ = description

    def __repr__(self) -> str:
        return f"<graph {self.name!r}>"

    @property
    def where(self) -> str:
        """The graph and its place in the user's files, for the front of an error."""
        return described(self.kind, self.name, location=self.location)

    @property
    def positional_count(self) -> int:
        """How many inputs can be given by position: all."""
        return len(self.input_names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Every output, in order."""
        return tuple(self.outputs)

    def alias(self, name: str) -> PendingNode:
        """Place this graph under another name."""
        return PendingNode(self).alias(name)

    def tag(self, tags: Mapping[str, object]) -> PendingNode:
        """Place this graph with tags for all its ops."""
        return PendingNode(self).tag(tags)

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        """Place this graph with a retry policy for those of its ops that are placed without one."""
        return PendingNode(self).with_retry_policy(policy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is None:
            raise DefinitionError(
                "can only be called in the body of another graph or job; run it with .to_job() or .execute_in_process()",
                where=self.where,
            )
        return composition.place(self, args, kwargs, None, {}, None)

    def to_job(
        self,
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
    ) -> JobDefinition:
        """Bind this graph to resources, config and a version strategy; see `job` for the arguments."""
        from memo.definition.job import JobDefinition

        return JobDefinition(
            self,
            name=name or self.name,
            description=description or self.description,
            resource_defs=resource_defs,
            config=config,
            tags=tags,
            metadata=metadata,
            executor_def=executor_def,
            op_retry_policy=op_retry_policy,
            version_strategy=version_strategy,
            input_values=input_values,
        )

    def execute_in_process(
        self,
        run_config: Any = None,
        instance: Any = None,
        resources: Mapping[str, Any] | None = None,
        raise_on_error: bool = True,
        op_selection: Iterable[str] | None = None,
        run_id: str | None = None,
        input_values: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run this graph in this process; see `JobDefinition.execute_in_process`."""
        return self.to_job(resource_defs=resources).execute_in_process(
            run_config=run_config,
            instance=instance,
            raise_on_error=raise_on_error,
            op_selection=op_selection,
            run_id=run_id,
            input_values=input_values,
        )


def compose(
    fn: Callable[..., Any],
    *,
    kind: str = "graph",
    name: str | None = None,
    description: str | None = None,
    ins: Mapping[str, GraphIn] | None = None,
    out: GraphOut | Mapping[str, GraphOut] | None = None,
    tags: Mapping[str, object] | None = None,
) -> GraphDefinition:
    """Run a graph's body and make a graph of what it placed.

    Raises:
        DefinitionError: The body cannot be right as written.
    """
    fn_name = getattr(fn, "__name__", None) or type(fn).__name__
    where = described(kind, name or fn_name, fn)
    graph_name = check_name(name if name is not None else fn_name, f"a {kind}", where)
    signature = read_signature(fn, where)
    if signature.is_generator or signature.is_async:
        raise DefinitionError("is a generator or async function; a graph's body only wires ops together", where=where)
    if signature.takes_context:
        raise DefinitionError("takes a context; only ops have one", where=where)
    parameters = {parameter.name: parameter for parameter in signature.parameters}
    for input_name in ins or {}:
        if input_name not in parameters:
            raise DefinitionError(
                f"ins names {input_name!r}, which is no argument of the function.{did_you_mean(input_name, parameters)}",
                where=where,
            )
    with Composition(graph_name, where) as composition:
        returned = fn(**{each: GraphInput(composition, each) for each in parameters})
    return GraphDefinition(
        graph_name,
        nodes=composition.nodes,
        input_names=tuple(parameters),
        outputs=_returned_outputs(returned, out, composition, where),
        defaults={each: found.default for each, found in parameters.items() if found.default is not NO_VALUE},
        description=description or getattr(fn, "__doc__", None),
        tags=check_tags(tags, where),
        location=location_of(fn),
    )


def _returned_outputs(returned: Any, out: Any, composition: Composition, where: str) -> dict[str, Any]:
    declared = list(out) if out is not None and not isinstance(out, GraphOut) else None
    if returned is None:
        found: dict[str, Any] = {}
    elif isinstance(returned, dict):
        found = {check_name(each, "an output", where): handle for each, handle in returned.items()}
    elif isinstance(returned, NodeOutputs | tuple):
        handles = list(returned)
        if declared is None:
            if isinstance(returned, tuple):
                raise DefinitionError(
                    f"returns {len(handles)} outputs without names: declare them with out={{…: GraphOut()}}, or return a dict",
                    where=where,
                )
            declared = [handle.output_name for handle in handles]
        if len(declared) != len(handles):
            raise DefinitionError(
                f"returns {len(handles)} outputs and declares {len(declared)} ({', '.join(declared)})", where=where,
            )
        found = dict(zip(declared, handles, strict=True))
    else:
        found = {declared[0] if declared and len(declared) == 1 else DEFAULT_OUTPUT: returned}
    if out is not None and declared is None and len(found) != 1:
        raise DefinitionError(f"declares one output and returns {len(found)}", where=where)
    if declared is not None and set(declared) != set(found):
        raise DefinitionError(
            f"declares the outputs {', '.join(declared)} and returns {', '.join(found) or 'none'}", where=where,
        )
    for each, handle in found.items():
        if not isinstance(handle, NodeOutput | GraphInput):
            raise DefinitionError(
                f"returns {handle!r} as output {each!r}; a graph returns what its ops give: outputs, a tuple or a dict of them",
                where=where,
            )
        if handle.composition is not composition:
            raise DefinitionError(f"returns {handle!r}, which belongs to another graph", where=where)
    return found


@overload
def graph(compose_fn: Callable[..., Any]) -> GraphDefinition: ...


@overload
def graph(
    compose_fn: None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    ins: Mapping[str, GraphIn] | None = None,
    out: GraphOut | Mapping[str, GraphOut] | None = None,
    tags: Mapping[str, object] | None = None,
) -> Callable[[Callable[..., Any]], GraphDefinition]: ...


def graph(
    compose_fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    ins: Mapping[str, GraphIn] | None = None,
    out: GraphOut | Mapping[str, GraphOut] | None = None,
    tags: Mapping[str, object] | None = None,
) -> GraphDefinition | Callable[[Callable[..., Any]], GraphDefinition]:
    """Wire ops together: the body calls them, what it passes between them are the dependencies.

    The body runs once, when the graph is defined; no op runs then. Its arguments are the graph's inputs, what it returns
    (an output, a tuple or a dict of outputs) are the graph's outputs. A list of outputs passed to an op is a fan-in;
    any other value passed is a literal and counts by type and content.

    Args:
        compose_fn: The function, where the decorator is used bare.
        name: The function's name where left out.
        description: The function's docstring where left out.
        ins: Descriptions of inputs, by name.
        out: One `GraphOut`, or the outputs by name, in the order in which the body returns them.
        tags: For all ops in the graph.

    Raises:
        DefinitionError: The body cannot be right as written.

    >>> from memo import op
    >>> @op
    ... def one() -> int:
    ...     return 1
    >>> @op
    ... def add(a: int, b: int) -> int:
    ...     return a + b
    >>> @graph
    ... def three():
    ...     return add(add(one(), one()), one())
    >>> three.execute_in_process().output_value()
    3
    """

    def define(fn: Callable[..., Any]) -> GraphDefinition:
        return compose(fn, name=name, description=description, ins=ins, out=out, tags=tags)

    if compose_fn is None:
        return define
    if not callable(compose_fn):
        raise DefinitionError(f"graph() got {compose_fn!r}; it decorates a function")
    return define(compose_fn)


__all__ = ["FanIn", "GraphDefinition", "Literal", "compose", "graph"]
