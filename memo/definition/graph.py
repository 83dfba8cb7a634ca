"""Graphs: ops wired together, and placed in other graphs as an op is."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import Composition, Node, Placeable, current
from memo.definition.definition import Definition, check_function
from memo.definition.names import (
    Described,
    check_instance,
    check_mapping,
    check_name,
    check_tags,
    doc_of,
    location_of,
    name_of,
)
from memo.definition.ports import DEFAULT_OUTPUT, NO_VALUE, GraphIn, GraphOut
from memo.definition.signature import read_signature
from memo.definition.source import refuse_source
from memo.definition.wires import GraphInput, NodeOutput, NodeOutputs
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.version_strategy import VersionStrategy
    from memo.definition.job import ExecutorDefinition, JobDefinition
    from memo.definition.retry_policy import RetryPolicy


class GraphDefinition(Placeable):
    """Ops and graphs wired together by the body of a function; made by `graph`.

    Attributes:
        nodes: What is placed in it, by name, in an order in which each stands behind what it reads.
        input_names: Its inputs, in the order of the function's arguments.
        outputs: For each of its outputs what it stands for: an output of a node, or an input that is passed through.
        defaults: Default values of its inputs.
    """

    kind = "graph"

    def __init__(
        self,
        name: str,
        *,
        nodes: dict[str, Node],
        input_names: tuple[str, ...],
        outputs: dict[str, NodeOutput | GraphInput],
        defaults: dict[str, Any] | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        location: str = "",
    ) -> None:
        self.name = name
        self.nodes = nodes
        self.input_names = input_names
        self.positional_count = len(input_names)
        self.outputs = outputs
        self.output_names = tuple(outputs)
        self.defaults = defaults or {}
        self.description = description
        self.tags = tags or {}
        self._location = location
        self.__name__ = name
        self.__doc__ = description

    def declared(self, input_name: str) -> None:  # noqa: ARG002 - an op answers by name
        """Nothing: an input of a graph is whatever the inputs are that it feeds."""
        return

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Place it, in the body of another graph."""
        composition = current()
        if composition is None:
            raise DefinitionError(
                "can only be called in the body of another graph or job; run it with .to_job() or "
                ".execute_in_process()",
                where=self.where,
            )
        return composition.place(self, args, kwargs)

    def to_job(
        self,
        name: str | None = None,
        description: str | None = None,
        resource_defs: Mapping[str, Any] | None = None,
        config: Any = None,
        *,
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
            name=self.name if name is None else name,
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
        *,
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
    check_function(fn, kind)
    fn_name = name_of(fn)
    where = str(Described(kind, name or fn_name, fn))
    graph_name = check_name(fn_name if name is None else name, f"a {kind}", where)
    signature = read_signature(fn, where)
    if signature.is_generator or signature.is_async:
        raise DefinitionError(
            "is a generator or async function; a graph's body is a plain one, which only wires ops together",
            where=where,
        )
    if signature.takes_context:
        raise DefinitionError(
            "takes a context, and only ops have one; take it in the ops that need it, and drop it here", where=where
        )
    parameters = {parameter.name: parameter for parameter in signature.parameters}
    for each in parameters.values():
        refuse_source(each.default, f"the default of the input {each.name!r}", where)
    _check_inputs(ins, list(parameters), where)
    with Composition(f"{kind} {graph_name!r}") as composition:
        returned = fn(**{each: GraphInput(composition, each) for each in parameters})
    outputs = _outputs(returned, out, composition, where)
    used = composition.inputs_used | {handle.name for handle in outputs.values() if isinstance(handle, GraphInput)}
    unused = [each for each in parameters if each not in used]
    if unused:
        raise DefinitionError(
            f"takes the input {unused[0]!r} and uses it nowhere; pass it to an op, or drop the argument", where=where
        )
    return GraphDefinition(
        graph_name,
        nodes=composition.nodes,
        input_names=tuple(parameters),
        outputs=outputs,
        defaults={each: found.default for each, found in parameters.items() if found.default is not NO_VALUE},
        description=description or doc_of(fn),
        tags=check_tags(tags, where),
        location=location_of(fn),
    )


def _check_inputs(ins: object, names: list[str], where: str) -> None:
    if ins is None:
        return
    for name, given in check_mapping(ins, "ins", where).items():
        if name not in names:
            raise DefinitionError(
                f"ins names {name!r}, which is no argument of the function.{did_you_mean(str(name), names)}",
                where=where,
            )
        check_instance(given, GraphIn, f"ins[{name!r}]", "a GraphIn", where)


def _outputs(returned: Any, out: Any, composition: Composition, where: str) -> dict[str, NodeOutput | GraphInput]:
    """Name what a graph's body returned, as ``out`` says or as it was returned."""
    declared = _declared(out, where)
    if returned is None:
        found: dict[str, Any] = {}
    elif isinstance(returned, dict):
        found = {check_name(each, "an output", where): handle for each, handle in returned.items()}
    elif isinstance(returned, NodeOutputs | tuple):
        found = _named(list(returned), declared, returned, where)
    else:
        found = {declared[0] if declared and len(declared) == 1 else DEFAULT_OUTPUT: returned}
    if isinstance(out, GraphOut) and len(found) != 1:
        raise DefinitionError(
            f"declares one output and returns {len(found)}; return one, or name them in out", where=where
        )
    if declared is not None and set(declared) != set(found):
        raise DefinitionError(
            f"declares the outputs {', '.join(declared)} and returns {', '.join(found) or 'none'}; make the two agree",
            where=where,
        )
    for each, handle in found.items():
        _check_returned(each, handle, composition, where)
    return found


def _declared(out: Any, where: str) -> list[str] | None:
    if out is None or isinstance(out, GraphOut):
        return None
    names: list[str] = []
    for name, each in check_mapping(out, "out", where, "a GraphOut, or a dict of them by name").items():
        names.append(check_name(name, "an output", where))
        check_instance(each, GraphOut, f"out[{name!r}]", "a GraphOut", where)
    return names


def _named(handles: list[Any], declared: list[str] | None, returned: Any, where: str) -> dict[str, Any]:
    if declared is None and isinstance(returned, NodeOutputs):
        declared = [handle.source.output for handle in handles]
    if declared is None:
        raise DefinitionError(
            f"returns {len(handles)} outputs without names: declare them with out={{…: GraphOut()}}, or return a dict",
            where=where,
        )
    if len(declared) != len(handles):
        raise DefinitionError(
            f"returns {len(handles)} outputs and declares {len(declared)} ({', '.join(declared)}); make the two agree",
            where=where,
        )
    return dict(zip(declared, handles, strict=True))


def _check_returned(name: str, handle: object, composition: Composition, where: str) -> None:
    if not isinstance(handle, NodeOutput | GraphInput):
        shown = f"the {handle.kind} {handle.name!r} itself" if isinstance(handle, Definition) else reprlib.repr(handle)
        raise DefinitionError(
            f"returns {shown} as output {name!r}; a graph returns outputs of its ops, a tuple or a dict of them",
            where=where,
        )
    if handle.composition is not composition:
        raise DefinitionError(
            f"returns {handle!r}, which belongs to {handle.composition.title}; a graph returns outputs of its own ops",
            where=where,
        )


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

    The body runs once, when the graph is defined; no op runs then. Its arguments are the graph's inputs, what it
    returns (an output, a tuple or a dict of outputs) are the graph's outputs. A list of outputs passed to an op is a
    fan-in; any other value passed is a literal and counts by type and content.

    Args:
        compose_fn: The function, where the decorator is used bare.
        name: The function's name where left out.
        description: The function's docstring where left out.
        ins: Descriptions of inputs, by name.
        out: One `GraphOut`, or the outputs by name, in the order in which the body returns them.
        tags: For all ops in the graph, and for the jobs made of it.

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

    return define if compose_fn is None else define(compose_fn)


__all__ = ["GraphDefinition", "compose", "graph"]
