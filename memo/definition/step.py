"""Steps: ops placed in a job, graphs flattened away, with where each input comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.composition import FanIn, GraphInput, Literal, Node, NodeOutput
from memo.definition.graph import GraphDefinition
from memo.definition.ports import NO_VALUE
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.definition.op import OpDefinition
    from memo.definition.retry_policy import RetryPolicy


class FromOutput(Struct, frozen=True):
    """The input is another step's output."""

    step: str
    output: str


class FromValue(Struct, frozen=True):
    """The input is a literal in a graph's body, or a default."""

    value: Any


class FromJobInput(Struct, frozen=True):
    """The input is an input of the job: given with the run, or its default."""

    name: str
    default: Any = NO_VALUE


class FromRunConfig(Struct, frozen=True):
    """Nothing is connected: the run config must give the value, under ``ops.<op>.inputs.<input>``."""


class FromInputManager(Struct, frozen=True):
    """Nothing is connected: the input manager of this key loads the value."""

    key: str


class FromList(Struct, frozen=True):
    """The input is a list, each member of which comes from somewhere."""

    members: tuple[FromOutput | FromValue | FromJobInput, ...]


Source = FromOutput | FromValue | FromJobInput | FromRunConfig | FromInputManager | FromList


class Step(Struct, frozen=True):
    """An op placed in a job.

    Attributes:
        key: The names of the graphs it stands in and its own, dotted.
        inputs: Where each input comes from; an unconnected input of type Nothing is not in it.
        retry_policy: Of the placed op or of the op itself, not of the job.
    """

    key: str
    op: OpDefinition
    inputs: dict[str, Source]
    tags: dict[str, str]
    retry_policy: RetryPolicy | None = None

    @property
    def config_path(self) -> str:
        """Where its part of the run config is: ``ops.sub.ops.clean``."""
        return "ops." + self.key.replace(".", ".ops.")

    @property
    def where(self) -> str:
        """The step, its op where the name differs, and its place in the user's files."""
        name = self.key.rpartition(".")[2]
        place = f"{self.op.location}" if name == self.op.name else f"op {self.op.name!r}, {self.op.location}"
        return f"step {self.key!r} ({place})"

    def upstream(self) -> Iterator[FromOutput]:
        """The outputs it reads or waits for, in the order of its inputs."""
        for source in self.inputs.values():
            if type(source) is FromOutput:
                yield source
            elif type(source) is FromList:
                for member in source.members:
                    if type(member) is FromOutput:
                        yield member


def flatten(graph: GraphDefinition) -> tuple[dict[str, Step], dict[str, Source]]:
    """Take the graphs out of a graph.

    Returns:
        Its steps, each behind those it reads from; and where each output of the graph comes from.
    """
    steps: dict[str, Step] = {}
    job_inputs: dict[str, Source | None] = {
        name: FromJobInput(name, graph.defaults.get(name, NO_VALUE)) for name in graph.input_names
    }
    outputs = _flatten_into(steps, graph, "", job_inputs, graph.tags, None)
    return steps, {name: source for name, source in outputs.items() if source is not None}


def _flatten_into(
    steps: dict[str, Step],
    graph: GraphDefinition,
    prefix: str,
    inputs: dict[str, Source | None],
    tags: dict[str, str],
    policy: RetryPolicy | None,
) -> dict[str, Source | None]:
    made: dict[str, dict[str, Source | None]] = {}

    def source_of(wire: Any, where: str) -> Source | None:
        if type(wire) is NodeOutput:
            return made[wire.node_name][wire.output_name]
        if type(wire) is GraphInput:
            return inputs[wire.name]
        if type(wire) is Literal:
            return FromValue(wire.value)
        assert type(wire) is FanIn
        return FromList(tuple(_member(source_of(each, where), where) for each in wire.members))

    for node in graph.nodes.values():
        definition = node.definition
        key = prefix + node.name
        wires = {name: source_of(wire, f"step {key!r}, input {name!r}") for name, wire in node.inputs.items()}
        node_tags = {**tags, **definition.tags, **node.tags}
        if isinstance(definition, GraphDefinition):
            inner: dict[str, Source | None] = {
                name: wires.get(name) or _default(definition.defaults.get(name, NO_VALUE)) for name in definition.input_names
            }
            made[node.name] = _flatten_into(steps, definition, key + ".", inner, node_tags, node.retry_policy or policy)
        else:
            step = _step(key, node, wires, node_tags, policy)
            _check_nothing(step, steps)
            steps[key] = step
            made[node.name] = {name: FromOutput(key, name) for name in definition.outs}
    return {name: source_of(handle, graph.where) for name, handle in graph.outputs.items()}


def _default(value: Any) -> Source | None:
    return None if value is NO_VALUE else FromValue(value)


def _member(source: Source | None, where: str) -> FromOutput | FromValue | FromJobInput:
    if isinstance(source, FromOutput | FromValue | FromJobInput):
        return source
    raise DefinitionError("a member of the list is not connected, or is a list itself", where=where)


def _step(
    key: str, node: Node, wires: dict[str, Source | None], tags: dict[str, str], policy: RetryPolicy | None,
) -> Step:
    definition: OpDefinition = node.definition
    found: dict[str, Source] = {}
    for name, given in definition.ins.items():
        source = wires.get(name)
        if source is not None:
            found[name] = source
        elif given.input_manager_key is not None:
            found[name] = FromInputManager(given.input_manager_key)
        elif given.has_default_value:
            found[name] = FromValue(given.default_value)
        elif not given.is_nothing:
            found[name] = FromRunConfig()
    return Step(key, definition, found, tags, node.retry_policy or policy or definition.retry_policy)


def _check_nothing(step: Step, steps: dict[str, Step]) -> None:
    for name, source in step.inputs.items():
        if step.op.ins[name].is_nothing:
            continue
        members = source.members if type(source) is FromList else (source,)
        for each in members:
            if type(each) is FromOutput and steps[each.step].op.outs[each.output].is_nothing:
                raise DefinitionError(
                    f"the input {name!r} is connected to the output {each.output!r} of {each.step!r}, which is of type Nothing and "
                    f"carries no value; make the input In(Nothing), or let {each.step!r} return one",
                    where=step.where,
                )
