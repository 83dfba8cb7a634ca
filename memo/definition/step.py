"""Steps: ops placed in a job, graphs flattened away, with where each input comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from memo.definition.graph import GraphDefinition
from memo.definition.op import OpDefinition
from memo.definition.ports import NO_VALUE, In
from memo.definition.retry_policy import RetryPolicy
from memo.definition.source import Source
from memo.definition.types import fits, type_name
from memo.definition.wires import FanIn, FromOutput, FromValue, GraphInput, NodeOutput
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from memo.definition.composition import Node
    from memo.definition.wires import Wire

__all__ = [
    "Flat",
    "FromInputManager",
    "FromJobInput",
    "FromList",
    "FromOutput",
    "FromRunConfig",
    "FromSource",
    "FromValue",
    "Origin",
    "Step",
    "config_path",
    "flatten",
]


class FromJobInput(Struct, frozen=True, gc=False):
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


class FromInputManager(Struct, frozen=True, gc=False):
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
        origins: Where each input of the op comes from; None for one of type Nothing that is not connected.
        retry_policy: Of the placed op or of the op itself, not of the job.
    """

    key: str
    op: OpDefinition
    origins: tuple[Origin | None, ...]
    tags: Mapping[str, str]
    retry_policy: RetryPolicy | None
    _wired: tuple[Source, ...]
    _parents: tuple[str, ...] | None = None

    @property
    def inputs(self) -> dict[str, Origin]:
        """Where each input comes from; an unconnected input of type Nothing is not in it."""
        named = zip(self.op.input_names, self.origins, strict=True)
        return {name: origin for name, origin in named if origin is not None}

    @property
    def config_path(self) -> str:
        """Where its part of the run config is: ``ops.sub.ops.clean``."""
        return config_path(self.key)

    @property
    def where(self) -> str:
        """The step, its op where the name differs, and its place in the user's files."""
        return _where(self.key, self.op)

    def upstream(self) -> Iterator[FromOutput]:
        """The outputs it reads or waits for, in the order of its inputs."""
        for each in _taken_apart(self.origins):
            if type(each) is FromOutput:
                yield each

    def wired(self) -> tuple[Source, ...]:
        """The external sources that its inputs come from."""
        return self._wired

    def sources(self) -> Iterator[Source]:
        """The external sources wired to it or named in its op's ``depends_on``, in this order."""
        yield from self._wired
        for each in self.op.depends_on:
            if isinstance(each, Source):
                yield each

    def parents(self) -> tuple[str, ...]:
        """The steps it reads from or waits for, each once, in the order of its inputs."""
        found = self._parents
        if found is None:
            # Only a run that has something to do asks.
            found = tuple(dict.fromkeys([each.step for each in self.upstream()]))
            force_setattr(self, "_parents", found)
        return found


def _taken_apart(origins: Iterable[Origin | None]) -> Iterator[Origin]:
    """What inputs come from, each member of a list on its own."""
    for origin in origins:
        if type(origin) is FromList:
            yield from origin.members
        elif origin is not None:
            yield origin


def _where(key: str, op: OpDefinition) -> str:
    name = key.rpartition(".")[2]
    location = op.location
    place = [f"op {op.name!r}"] * (name != op.name) + [location] * bool(location)
    return f"step {key!r} ({', '.join(place)})" if place else f"step {key!r}"


def config_path(key: str) -> str:
    """Where the part of a placed op or graph is in the run config: ``ops.sub.ops.clean``."""
    return "ops." + key.replace(".", ".ops.")


class Flat(Struct, frozen=True, eq=False):
    """A graph with the graphs in it taken out.

    Attributes:
        steps: Each behind those it reads from.
        outputs: Where each output of the graph comes from.
        defaults: Of its inputs: the graph's own, or that of the ops that read it, where all have the same.
        configurable: The keys of the steps that need something of a run besides what steps give each other: config,
            or a value for an input.
    """

    steps: dict[str, Step]
    outputs: dict[str, Origin]
    defaults: dict[str, Any]
    configurable: tuple[str, ...]


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
    return Flat(flattening.steps, outputs, {**defaults, **graph.defaults}, tuple(flattening.configurable))


def _shared_default(readers: list[In]) -> Any:
    first = readers[0].default_value
    simple = first is None or isinstance(first, str | int | float | bool)
    for each in readers:
        other = each.default_value
        if other is not first and not (simple and type(other) is type(first) and other == first):
            return NO_VALUE
    return first


class _Body:
    """A graph that is being flattened: where what is connected in its body comes from, in the job."""

    __slots__ = ("graphs", "inputs", "prefix")

    def __init__(self, prefix: str, inputs: dict[str, Origin]) -> None:
        self.prefix = prefix
        self.inputs = inputs
        self.graphs: dict[str, dict[str, Origin]] = {}
        """The outputs of the graphs that are placed in it."""

    def origin(self, wire: Wire) -> Origin:
        if type(wire) is FromOutput:
            if wire.step in self.graphs:
                return self.graphs[wire.step][wire.output]
            return FromOutput(self.prefix + wire.step, wire.output) if self.prefix else wire
        if type(wire) is GraphInput:
            return self.inputs[wire.name]
        if type(wire) is FromValue:
            return wire
        if isinstance(wire, Source):
            return FromSource(wire)
        assert type(wire) is FanIn
        members: Any = tuple([self.origin(each) for each in wire.members])
        return FromList(members)  # with members of other kinds too, until they are checked


_SIMPLE = frozenset({FromOutput, FromValue})
_SETTLED = frozenset({FromOutput, FromValue, FromSource})
"""What an input comes from without a word from the run."""


class _Flattening:
    """The steps found so far, and which inputs of ops read each input of the job."""

    def __init__(self) -> None:
        self.steps: dict[str, Step] = {}
        self.readers: dict[str, list[In]] = {}
        self.configurable: list[str] = []
        self.valueless: set[FromOutput] = set()
        """The outputs of type Nothing."""

    def graph(
        self,
        graph: GraphDefinition,
        key: str,
        inputs: dict[str, Origin],
        tags: Mapping[str, str],
        policy: RetryPolicy | None,
    ) -> dict[str, Origin]:
        """Add the steps of a graph placed under a key; gives where its outputs come from."""
        body = _Body(f"{key}." if key else "", inputs)
        for name, node in graph.nodes.items():
            definition = node.definition
            node_key = body.prefix + name
            node_tags = {**tags, **definition.tags, **node.tags} if definition.tags or node.tags else tags
            node_policy = node.retry_policy or policy
            if isinstance(definition, GraphDefinition):
                inner: dict[str, Origin] = {
                    each: _into_graph(definition, each, None if wire is None else body.origin(wire), node_key)
                    for each, wire in zip(definition.input_names, node.wires, strict=True)
                }
                body.graphs[name] = self.graph(definition, node_key, inner, node_tags, node_policy)
            else:
                assert isinstance(definition, OpDefinition)
                self.step(node_key, definition, node, body, node_tags, node_policy or definition.retry_policy)
        return {
            name: body.origin(handle.source if isinstance(handle, NodeOutput) else handle)
            for name, handle in graph.outputs.items()
        }

    def step(
        self, key: str, op: OpDefinition, node: Node, body: _Body, tags: Mapping[str, str], policy: RetryPolicy | None
    ) -> None:
        """Add a step.

        Most steps read outputs of steps beside them and literals, which are checked when they are placed: what is
        connected in the body is then what the step reads.
        """
        origins: tuple[Any, ...] = node.wires
        wired: tuple[Source, ...] = ()
        is_settled = True
        if self.valueless or body.prefix or body.graphs or not _SIMPLE.issuperset(map(type, origins)):
            connected = [None if wire is None else body.origin(wire) for wire in origins]
            named = zip(op.input_names, connected, strict=True)
            origins = tuple([self._checked(name, origin, key, op, node) for name, origin in named])
            members = list(_taken_apart(origins))
            wired = tuple([each.source for each in members if type(each) is FromSource])
            is_settled = _SETTLED.issuperset(map(type, members))
        self.steps[key] = Step(key, op, origins, tags, policy, wired)
        if op.is_configurable or not is_settled:
            self.configurable.append(key)
        if op.io_manager_key is None:
            self.valueless.update(FromOutput(key, name) for name, out in op.outs.items() if out.is_nothing)

    def _checked(self, name: str, connected: Origin | None, key: str, op: OpDefinition, node: Node) -> Origin | None:
        """Where an input comes from; None for one of type Nothing that waits for nothing."""
        declared = op.ins[name]
        origin = _origin(declared, connected)
        if origin is None:
            return None
        problem = self._problem(declared, origin)
        if problem:
            raise DefinitionError(f"the input {name!r} {problem}", where=f"{_where(key, op)}, {node.called}")
        if type(origin) is FromJobInput:
            self.readers.setdefault(origin.name, []).append(declared)
        return origin

    def _problem(self, declared: In, source: Origin) -> str:
        """What is wrong with connecting an input so; empty where nothing is."""
        if type(source) is FromOutput:
            return "" if declared.is_nothing or source not in self.valueless else _carries_nothing(source)
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


def _origin(declared: In, connected: Origin | None) -> Origin | None:
    """Where an input comes from: what it is connected to, or who gives it otherwise; None where nothing does."""
    if declared.is_nothing:
        return None if connected is None or _is_empty(connected) else connected
    if connected is not None and type(connected) is not FromRunConfig:
        return connected
    if declared.input_manager_key is not None:
        return FromInputManager(declared.input_manager_key)
    return replace(connected or FromRunConfig(), default=declared.default_value)


def _is_empty(source: Origin) -> bool:
    """Whether a source gives an input of type Nothing nothing to wait for."""
    kind = type(source)
    return kind is FromJobInput or kind is FromRunConfig or (type(source) is FromValue and source.value is None)
