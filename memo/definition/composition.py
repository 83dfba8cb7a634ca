"""What happens while a graph's body runs: calls of ops become placed nodes, their results become wires."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from memo.definition.names import check_name, described
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memo.definition.retry_policy import RetryPolicy


class Placeable(Protocol):
    """An op or a graph: what a graph's body may call."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str:
        """`op` or `graph`, for messages."""

    @property
    def location(self) -> str: ...

    @property
    def input_names(self) -> tuple[str, ...]:
        """Every input, those of type Nothing last: they take no place among the positional arguments."""

    @property
    def positional_count(self) -> int:
        """How many of the inputs can be given by position."""

    @property
    def output_names(self) -> tuple[str, ...]: ...


class NodeOutput:
    """The handle of one output of a placed op or graph, valid within the graph body that made it."""

    __slots__ = ("composition", "node_name", "output_name")

    def __init__(self, composition: Composition, node_name: str, output_name: str) -> None:
        self.composition = composition
        self.node_name = node_name
        self.output_name = output_name

    def __repr__(self) -> str:
        return f"<output {self.output_name!r} of {self.node_name!r}>"

    def _refuse(self, what: str) -> DefinitionError:
        return DefinitionError(
            f"{self!r} was {what} in the body of graph {self.composition.graph_name!r}. A graph's body only wires ops "
            f"together, before any of them runs; do that inside an op",
        )

    def __iter__(self) -> Iterator[Any]:
        raise self._refuse("iterated or unpacked (it is a single output)")

    def __bool__(self) -> bool:
        raise self._refuse("used as a condition")

    def __getitem__(self, key: object) -> Any:
        raise self._refuse("indexed")


class NodeOutputs:
    """The handles of several outputs: by attribute, by position, by unpacking."""

    __slots__ = ("_handles", "_owner")

    def __init__(self, owner: str, handles: Mapping[str, NodeOutput]) -> None:
        self._owner = owner
        self._handles = dict(handles)

    def __repr__(self) -> str:
        return f"<outputs {', '.join(self._handles)} of {self._owner}>"

    def __getattr__(self, name: str) -> NodeOutput:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._handles[name]
        except KeyError:
            raise DefinitionError(
                f"there is no output {name!r}.{did_you_mean(name, self._handles)}", where=self._owner,
            ) from None

    def __getitem__(self, index: int | str) -> NodeOutput:
        return self._handles[index] if isinstance(index, str) else list(self._handles.values())[index]

    def __iter__(self) -> Iterator[NodeOutput]:
        return iter(self._handles.values())

    def __len__(self) -> int:
        return len(self._handles)


class GraphInput:
    """The handle of one input of the graph whose body is running."""

    __slots__ = ("composition", "name")

    def __init__(self, composition: Composition, name: str) -> None:
        self.composition = composition
        self.name = name

    def __repr__(self) -> str:
        return f"<input {self.name!r} of graph {self.composition.graph_name!r}>"


class Literal(Struct, frozen=True):
    """A value passed in a graph's body."""

    value: Any


class FanIn(Struct, frozen=True):
    """A list of handles and literals, in order."""

    members: tuple[Any, ...]


class Node(Struct, frozen=True):
    """An op or graph placed in a graph's body.

    Attributes:
        inputs: For each connected input a NodeOutput, GraphInput, Literal or FanIn.
    """

    name: str
    definition: Any
    inputs: dict[str, Any]
    tags: dict[str, str]
    retry_policy: RetryPolicy | None = None


class Composition:
    """The nodes of the graph body that is running."""

    def __init__(self, graph_name: str, where: str) -> None:
        self.graph_name = graph_name
        self.where = where
        self.nodes: dict[str, Node] = {}

    def __enter__(self) -> Composition:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _CURRENT.reset(self._token)

    def place(
        self,
        definition: Placeable,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        alias: str | None,
        tags: dict[str, str],
        retry_policy: RetryPolicy | None,
    ) -> NodeOutput | NodeOutputs | None:
        """Place an op or graph, and hand out the handles of its outputs."""
        name = self._name_for(definition, alias)
        inputs = self._wires(definition, name, args, kwargs)
        self.nodes[name] = Node(name, definition, inputs, tags, retry_policy)
        handles = {output: NodeOutput(self, name, output) for output in definition.output_names}
        if not handles:
            return None
        if len(handles) == 1:
            return next(iter(handles.values()))
        return NodeOutputs(f"{definition.kind} {name!r}", handles)

    def _name_for(self, definition: Placeable, alias: str | None) -> str:
        if alias is not None:
            check_name(alias, "a placed op", self.where)
            if alias in self.nodes:
                raise DefinitionError(
                    f"the name {alias!r} is taken by another op in this graph; give it another alias", where=self.where,
                )
            return alias
        name, count = definition.name, 1
        while name in self.nodes:
            count += 1
            name = f"{definition.name}_{count}"
        return name

    def _wires(
        self, definition: Placeable, name: str, args: tuple[Any, ...], kwargs: Mapping[str, Any],
    ) -> dict[str, Any]:
        known = definition.input_names
        where = described(definition.kind, name, location=definition.location)
        if len(args) > definition.positional_count:
            raise DefinitionError(
                f"got {len(args)} inputs by position in graph {self.graph_name!r} and takes "
                f"{definition.positional_count}"
                + (" (an input of type Nothing is given by name)" if len(known) > definition.positional_count else ""),
                where=where,
            )
        given = dict(zip(known, args, strict=False))
        for input_name, value in kwargs.items():
            if input_name not in known:
                raise DefinitionError(
                    f"has no input {input_name!r}; graph {self.graph_name!r} passes one."
                    f"{did_you_mean(input_name, known)}",
                    where=where,
                )
            if input_name in given:
                raise DefinitionError(f"got the input {input_name!r} twice in graph {self.graph_name!r}", where=where)
            given[input_name] = value
        return {each: self._wire(value, f"{where}, input {each!r}") for each, value in given.items()}

    def _wire(self, value: Any, where: str) -> Any:
        if type(value) is NodeOutput or type(value) is GraphInput:
            if value.composition is not self:
                raise DefinitionError(
                    f"{value!r} belongs to the body of graph {value.composition.graph_name!r}; pass it through the inputs "
                    f"and outputs of the graphs",
                    where=where,
                )
            return value
        if type(value) is list and any(_is_handle(member) for member in value):
            return FanIn(tuple(self._wire(member, where) for member in value))
        if type(value) is NodeOutputs:
            raise DefinitionError(f"got {value!r}; say which of them", where=where)
        if hasattr(value, "input_names") and hasattr(value, "output_names"):
            raise DefinitionError(
                f"got the {value.kind} {value.name!r} itself; call it to pass its output: {value.name}()", where=where,
            )
        if type(value) in {tuple, dict, set} and any(
            _is_handle(member) for member in (value.values() if type(value) is dict else value)
        ):
            raise DefinitionError(
                f"got a {type(value).__name__} of outputs; only a list of them can be an input (fan-in)", where=where,
            )
        return Literal(value)


def _is_handle(value: Any) -> bool:
    return type(value) in {NodeOutput, GraphInput, NodeOutputs}


_CURRENT: ContextVar[Composition | None] = ContextVar("memo_composition", default=None)


def current() -> Composition | None:
    """The composition whose graph body is running, if any."""
    return _CURRENT.get()


class PendingNode:
    """An op or graph with an alias, tags or a retry policy of its own, ready to be called in a graph's body."""

    __slots__ = ("_alias", "_policy", "_tags", "definition")

    def __init__(
        self,
        definition: Placeable,
        alias: str | None = None,
        tags: dict[str, str] | None = None,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.definition = definition
        self._alias = alias
        self._tags = tags or {}
        self._policy = retry_policy

    def alias(self, name: str) -> PendingNode:
        """Give the placed op a name of its own."""
        return PendingNode(self.definition, name, self._tags, self._policy)

    def tag(self, tags: Mapping[str, object]) -> PendingNode:
        """Add tags to the placed op."""
        from memo.definition.names import check_tags

        return PendingNode(
            self.definition, self._alias, {**self._tags, **check_tags(tags, self.definition.name)}, self._policy,
        )

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        """Give the placed op a retry policy of its own; it counts before the op's and the job's."""
        return PendingNode(self.definition, self._alias, self._tags, policy)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is None:
            raise DefinitionError(
                f"{self.definition.kind} {self.definition.name!r} with an alias, tags or a retry policy can only be called in the "
                f"body of a graph or job",
            )
        return composition.place(self.definition, args, kwargs, self._alias, self._tags, self._policy)
