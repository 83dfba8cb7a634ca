"""Steps: ops placed in a job, graphs flattened away, with where each input comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from memo.definition.graph import GraphDefinition
from memo.definition.op import OpDefinition
from memo.definition.ports import NO_VALUE, In
from memo.definition.retry_policy import RetryPolicy
from memo.definition.source import Source
from memo.definition.types import fits, type_name
from memo.definition.wires import FanIn, FromValue, GraphInput, NodeOutput
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


class FromOutput(Struct, frozen=True, gc=False):
    """The input is another step's output."""

    step: str
    output: str


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
        inputs: Where each input comes from; an unconnected input of type Nothing is not in it.
        retry_policy: Of the placed op or of the op itself, not of the job.
    """

    key: str
    op: OpDefinition
    inputs: dict[str, Origin]
    tags: Mapping[str, str]
    retry_policy: RetryPolicy | None
    _parents: tuple[str, ...]
    _wired: tuple[Source, ...]

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
        for source in self.inputs.values():
            if type(source) is FromOutput:
                yield source
            elif type(source) is FromList:
                for member in source.members:
                    if type(member) is FromOutput:
                        yield member

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
        return self._parents


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


_GIVEN = frozenset({FromOutput, FromValue, FromSource})
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
        made: dict[str, dict[str, Origin]] = {}

        def source_of(wire: Wire) -> Origin:
            if type(wire) is NodeOutput:
                return made[wire.node_name][wire.output_name]
            if type(wire) is GraphInput:
                return inputs[wire.name]
            if type(wire) is FromValue:
                return wire
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
            origins = [None if wire is None else source_of(wire) for wire in node.wires]
            node_tags = {**tags, **definition.tags, **node.tags} if definition.tags or node.tags else tags
            node_policy = node.retry_policy or policy
            if isinstance(definition, GraphDefinition):
                inner: dict[str, Origin] = {
                    each: _into_graph(definition, each, origin, node_key)
                    for each, origin in zip(definition.input_names, origins, strict=True)
                }
                made[name] = self.graph(definition, node_key, inner, node_tags, node_policy)
            else:
                assert isinstance(definition, OpDefinition)
                self.step(node_key, definition, origins, node_tags, node_policy or definition.retry_policy, node)
                made[name] = self._outputs(node_key, definition)
        return {name: source_of(handle) for name, handle in graph.outputs.items()}

    def step(
        self,
        key: str,
        op: OpDefinition,
        origins: Iterable[Origin | None],
        tags: Mapping[str, str],
        policy: RetryPolicy | None,
        node: Node,
    ) -> None:
        """Add a step.

        Most inputs are outputs of other steps, of which there is little to look at: this loop is much of the time that
        the definition of a large job takes.
        """
        inputs: dict[str, Origin] = {}
        sources: list[Origin] = []
        """Where the inputs come from, lists taken apart."""
        is_wired = True
        for (name, declared), connected in zip(op.ins.items(), origins, strict=True):
            if type(connected) is FromOutput and (declared.is_nothing or connected not in self.valueless):
                inputs[name] = connected
                sources.append(connected)
                continue
            origin = _origin(declared, connected)
            if origin is None:
                continue
            problem = self._problem(declared, origin)
            if problem:
                raise DefinitionError(f"the input {name!r} {problem}", where=f"{_where(key, op)}, {node.called}")
            if type(origin) is FromJobInput:
                self.readers.setdefault(origin.name, []).append(declared)
            inputs[name] = origin
            sources += origin.members if type(origin) is FromList else (origin,)
            is_wired = False
        parents = tuple(dict.fromkeys([each.step for each in sources if type(each) is FromOutput]))
        wired = () if is_wired else tuple([each.source for each in sources if type(each) is FromSource])
        self.steps[key] = Step(key, op, inputs, tags, policy, parents, wired)
        if op.is_configurable or not (is_wired or all(type(each) in _GIVEN for each in sources)):
            self.configurable.append(key)

    def _outputs(self, key: str, op: OpDefinition) -> dict[str, Origin]:
        found: dict[str, Origin] = {}
        for name, out in op.outs.items():
            found[name] = output = FromOutput(key, name)
            if out.is_nothing:
                self.valueless.add(output)
        return found

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
