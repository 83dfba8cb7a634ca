"""Steps: ops placed in a job, graphs flattened away, with where each input comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from memo.definition.graph import GraphDefinition
from memo.definition.op import OpDefinition
from memo.definition.ports import NO_VALUE, In
from memo.definition.retry_policy import RetryPolicy
from memo.definition.source import Source
from memo.definition.types import fits, type_name
from memo.definition.wires import FanIn, GraphInput, Literal, NodeOutput
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.definition.composition import Node
    from memo.definition.wires import Wire


class FromOutput(Struct, frozen=True):
    """The input is another step's output."""

    step: str
    output: str


class FromValue(Struct, frozen=True, eq=False):
    """The input is a literal in a graph's body, or a default of a graph."""

    value: Any


class FromJobInput(Struct, frozen=True):
    """The input is an input of the job: given with the run, or its default."""

    name: str


class FromRunConfig(Struct, frozen=True, eq=False):
    """Nothing is connected: the run config gives the value, or else it is the op's default.

    Attributes:
        default: NO_VALUE where there is none.
        graph: The placed graph whose unconnected input this is, as a step's key; empty where it is the op's own.
        name: The input of that graph.
    """

    default: Any = NO_VALUE
    graph: str = ""
    name: str = ""


class FromInputManager(Struct, frozen=True):
    """Nothing is connected: the input manager of this key loads the value."""

    key: str


class FromSource(Struct, frozen=True, eq=False):
    """The input is what an external source gives."""

    source: Source


class FromList(Struct, frozen=True, eq=False):
    """The input is a list, each member of which comes from somewhere."""

    members: tuple[FromOutput | FromValue | FromJobInput | FromSource, ...]


Origin = FromOutput | FromValue | FromJobInput | FromRunConfig | FromInputManager | FromSource | FromList


class Step(Struct, frozen=True, eq=False):
    """An op placed in a job.

    Attributes:
        key: The names of the graphs it stands in and its own, dotted.
        inputs: Where each input comes from; an unconnected input of type Nothing is not in it.
        retry_policy: Of the placed op or of the op itself, not of the job.
    """

    key: str
    op: OpDefinition
    inputs: dict[str, Origin]
    tags: dict[str, str]
    retry_policy: RetryPolicy | None = None

    @property
    def config_path(self) -> str:
        """Where its part of the run config is: ``ops.sub.ops.clean``."""
        return config_path(self.key)

    @property
    def where(self) -> str:
        """The step, its op where the name differs, and its place in the user's files."""
        name = self.key.rpartition(".")[2]
        place = [f"op {self.op.name!r}"] * (name != self.op.name) + [self.op.location] * bool(self.op.location)
        return f"step {self.key!r} ({', '.join(place)})" if place else f"step {self.key!r}"

    def upstream(self) -> Iterator[FromOutput]:
        """The outputs it reads or waits for, in the order of its inputs."""
        for source in self.inputs.values():
            if type(source) is FromOutput:
                yield source
            elif type(source) is FromList:
                for member in source.members:
                    if type(member) is FromOutput:
                        yield member

    def wired(self) -> Iterator[Source]:
        """The external sources that its inputs come from."""
        for origin in self.inputs.values():
            for each in origin.members if type(origin) is FromList else (origin,):
                if type(each) is FromSource:
                    yield each.source

    def sources(self) -> Iterator[Source]:
        """The external sources wired to it or named in its op's ``depends_on``, in this order."""
        yield from self.wired()
        for each in self.op.depends_on:
            if isinstance(each, Source):
                yield each

    def parents(self) -> list[str]:
        """The steps it reads from or waits for, each once, in the order of its inputs."""
        return list(dict.fromkeys(source.step for source in self.upstream()))


def config_path(key: str) -> str:
    """Where the part of a placed op or graph is in the run config: ``ops.sub.ops.clean``."""
    return "ops." + key.replace(".", ".ops.")


class Flat(Struct, frozen=True, eq=False):
    """A graph with the graphs in it taken out.

    Attributes:
        steps: Each behind those it reads from.
        outputs: Where each output of the graph comes from.
        defaults: Of its inputs: the graph's own, or that of the ops that read it, where all have the same.
    """

    steps: dict[str, Step]
    outputs: dict[str, Origin]
    defaults: dict[str, Any]


def flatten(graph: GraphDefinition) -> Flat:
    """Take the graphs out of a graph.

    Raises:
        DefinitionError: What is connected cannot be right.
    """
    flattening = _Flattening()
    inputs: dict[str, Origin] = {name: FromJobInput(name) for name in graph.input_names}
    outputs = flattening.graph(graph, "", inputs, graph.tags, None)
    defaults = {name: _shared_default(readers) for name, readers in flattening.readers.items()}
    defaults = {name: default for name, default in defaults.items() if default is not NO_VALUE}
    return Flat(flattening.steps, outputs, {**defaults, **graph.defaults})


def _shared_default(readers: list[In]) -> Any:
    first = readers[0].default_value
    simple = first is None or isinstance(first, str | int | float | bool)
    for each in readers:
        other = each.default_value
        if other is not first and not (simple and type(other) is type(first) and other == first):
            return NO_VALUE
    return first


class _Flattening:
    """The steps found so far, and which inputs of ops read each input of the job."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.readers: dict[str, list[In]] = {}

    def graph(
        self,
        graph: GraphDefinition,
        key: str,
        inputs: dict[str, Origin],
        tags: dict[str, str],
        policy: RetryPolicy | None,
    ) -> dict[str, Origin]:
        """Add the steps of a graph placed under a key; gives where its outputs come from."""
        made: dict[str, dict[str, Origin]] = {}

        def source_of(wire: Wire) -> Origin:
            if type(wire) is NodeOutput:
                return made[wire.node_name][wire.output_name]
            if type(wire) is GraphInput:
                return inputs[wire.name]
            if type(wire) is Literal:
                return FromValue(wire.value)
            if isinstance(wire, Source):
                return FromSource(wire)
            assert type(wire) is FanIn
            members: Any = tuple(
                [source_of(each) for each in wire.members]
            )  # of other kinds too, until `_check` has run
            return FromList(members)

        for name, node in graph.nodes.items():
            definition = node.definition
            node_key = f"{key}.{name}" if key else name
            wires = {each: source_of(wire) for each, wire in node.inputs.items()}
            node_tags = {**tags, **definition.tags, **node.settings.tags}
            node_policy = node.settings.retry_policy or policy
            if isinstance(definition, GraphDefinition):
                inner: dict[str, Origin] = {
                    each: _into_graph(definition, each, wires.get(each), node_key) for each in definition.input_names
                }
                made[name] = self.graph(definition, node_key, inner, node_tags, node_policy)
            else:
                assert isinstance(definition, OpDefinition)
                step = Step(
                    node_key, definition, _inputs(definition, wires), node_tags, node_policy or definition.retry_policy
                )
                self._check(step, node)
                self.steps[node_key] = step
                made[name] = {each: FromOutput(node_key, each) for each in definition.outs}
        return {name: source_of(handle) for name, handle in graph.outputs.items()}

    def _check(self, step: Step, node: Node) -> None:
        for name, source in step.inputs.items():
            declared = step.op.ins[name]
            problem = self._problem(declared, source)
            if problem:
                raise DefinitionError(f"the input {name!r} {problem}", where=f"{step.where}, {node.called}")
            if type(source) is FromJobInput:
                self.readers.setdefault(source.name, []).append(declared)

    def _problem(self, declared: In, source: Origin) -> str:
        """What is wrong with connecting an input so; empty where nothing is."""
        if type(source) is FromOutput:
            return "" if declared.is_nothing or not self._is_nothing(source) else _carries_nothing(source)
        if type(source) is FromValue:
            return _value_problem(declared, source.value)
        if type(source) is FromSource:
            return _source_problem(declared, source.source)
        if type(source) is FromList:
            if not declared.is_nothing and not fits([], declared.dagster_type):
                return f"must be {type_name(declared.dagster_type)} and got a list of outputs"
            return next(filter(None, [self._member_problem(declared, each) for each in source.members]), "")
        return ""

    def _member_problem(self, declared: In, member: Origin) -> str:
        if type(member) is FromOutput:
            return self._problem(declared, member)
        if type(member) is FromSource:
            return ""
        if type(member) is FromValue:
            return "is of type Nothing and takes outputs to wait for, not values" if declared.is_nothing else ""
        if type(member) is FromJobInput:
            self.readers.setdefault(member.name, []).append(In())
            return ""
        if type(member) is FromList:
            return "got a list of lists of outputs; a fan-in is one flat list"
        return "got a list with an input of a graph that is not connected; connect it, or give it a default"

    def _is_nothing(self, source: FromOutput) -> bool:
        return self.steps[source.step].op.outs[source.output].is_nothing


def _value_problem(declared: In, value: Any) -> str:
    if declared.is_nothing:
        return "is of type Nothing and takes outputs to wait for, not a value"
    if not fits(value, declared.dagster_type):
        return f"must be {type_name(declared.dagster_type)} and is {type(value).__name__}"
    return ""


def _source_problem(declared: In, source: Source) -> str:
    example = source.example
    if declared.is_nothing or example is NO_VALUE or fits(example, declared.dagster_type):
        return ""
    return f"must be {type_name(declared.dagster_type)}, and the source {source.name!r} gives {type(example).__name__}"


def _carries_nothing(source: FromOutput) -> str:
    return (
        f"is connected to the output {source.output!r} of {source.step!r}, which is of type Nothing and carries no "
        f"value; make the input In(Nothing), or let {source.step!r} return one"
    )


def _into_graph(graph: GraphDefinition, name: str, source: Origin | None, key: str) -> Origin:
    """Where an input of a placed graph comes from: what is connected, or its default, or the run config."""
    if source is not None and type(source) is not FromRunConfig:
        return source
    default = graph.defaults.get(name, NO_VALUE)
    return (source or FromRunConfig(graph=key, name=name)) if default is NO_VALUE else FromValue(default)


def _inputs(op: OpDefinition, wires: dict[str, Origin]) -> dict[str, Origin]:
    found: dict[str, Origin] = {}
    for name, declared in op.ins.items():
        source = wires.get(name)
        if declared.is_nothing:
            if source is not None and not _is_empty(source):
                found[name] = source
        elif source is not None and type(source) is not FromRunConfig:
            found[name] = source
        elif declared.input_manager_key is not None:
            found[name] = FromInputManager(declared.input_manager_key)
        else:
            found[name] = replace(source or FromRunConfig(), default=declared.default_value)
    return found


def _is_empty(source: Origin) -> bool:
    """Whether a source gives an input of type Nothing nothing to wait for."""
    kind = type(source)
    return kind is FromJobInput or kind is FromRunConfig or (type(source) is FromValue and source.value is None)
