"""What happens while a graph's body runs: calls of ops and graphs become placed nodes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.definition import Definition
from memo.definition.names import (
    NO_TAGS,
    CallSite,
    check_instance,
    check_name,
    check_tags,
    described,
    frame_at,
    is_plain_name,
    line_of,
)
from memo.definition.retry_policy import RetryPolicy
from memo.definition.types import fits, type_name
from memo.definition.wires import (
    FanIn,
    FromOutput,
    FromValue,
    GraphInput,
    NodeOutput,
    NodeOutputs,
    RefusedError,
    Wire,
    wire_of,
)
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Self

    from memo.definition.ports import In


class Placeable(Definition):
    """An op or a graph: what a graph's body may call.

    Attributes:
        input_names: Every input, those of type Nothing last: they take no place among the positional arguments.
        positional_count: How many of the inputs can be given by position.
        output_names: Every output, in order.
        tags: For each step that is made of it.
    """

    input_names: tuple[str, ...]
    positional_count: int
    output_names: tuple[str, ...]
    tags: Mapping[str, str]

    def declared(self, input_name: str) -> In | None:
        """How an input is declared; None for a graph's, which is whatever the inputs are that it feeds."""
        raise NotImplementedError

    def alias(self, name: str) -> PendingNode:
        """Place it under another name: ``add.alias("add_tax")(a, b)``."""
        return PendingNode(self, _checked_alias(name, self))

    def tag(self, tags: Mapping[str, object]) -> PendingNode:
        """Place it with more tags; a graph's are for all its ops."""
        return PendingNode(self).tag(tags)

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        """Place it with a retry policy of its own; a graph's is for those of its ops that are placed without one."""
        return PendingNode(self).with_retry_policy(policy)


class PendingNode(Definition):
    """An op or graph with an alias, tags or a retry policy of its own, ready to be called in a graph's body."""

    def __init__(
        self,
        definition: Placeable,
        alias: str | None = None,
        tags: Mapping[str, str] = NO_TAGS,
        retry_policy: RetryPolicy | None = None,
    ) -> None:
        self.definition = definition
        self.kind = definition.kind
        self.name = definition.name
        self._alias = alias
        self._tags = tags
        self._retry_policy = retry_policy

    @property
    def location(self) -> str:
        """Where the definition's function stands, as ``file:line``; empty where that is unknown."""
        return self.definition.location

    def alias(self, name: str) -> PendingNode:
        """Give it another name."""
        return PendingNode(self.definition, _checked_alias(name, self), self._tags, self._retry_policy)

    def tag(self, tags: Mapping[str, object]) -> PendingNode:
        """Give it more tags."""
        merged = {**self._tags, **check_tags(tags, self.where)}
        return PendingNode(self.definition, self._alias, merged, self._retry_policy)

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        """Give it a retry policy of its own; it counts before the op's and the job's."""
        check_instance(policy, RetryPolicy, "the retry policy", "a RetryPolicy", self.where)
        return PendingNode(self.definition, self._alias, self._tags, policy)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Place it, in a graph's body."""
        composition = _CURRENT.get()
        if composition is None:
            raise DefinitionError(
                "with an alias, tags or a retry policy it can only be called in the body of a graph or job",
                where=self.where,
            )
        return composition.place(self.definition, args, kwargs, self._alias, self._tags, self._retry_policy)


def _checked_alias(name: str, placed: Placeable | PendingNode) -> str:
    return name if is_plain_name(name) else check_name(name, f"a placed {placed.kind}", placed.where)


class Node(Struct, frozen=True, eq=False):
    """An op or graph placed in a graph's body.

    Attributes:
        wires: What its inputs are connected to, in the order of the definition's; None where nothing is.
        code: The code object of the body that placed it.
        offset: Of the call in that code.
    """

    name: str
    definition: Placeable
    wires: tuple[Wire | None, ...]
    tags: Mapping[str, str]
    retry_policy: RetryPolicy | None
    code: CodeType
    offset: int

    @property
    def called(self) -> str:
        """Where it was placed, for an error."""
        return _called((self.code, self.offset))


def _called(site: CallSite) -> str:
    return f"called at {line_of(site)}"


class Composition:
    """The nodes of the graph body that is running.

    Attributes:
        title: The graph, for errors: ``graph 'daily'``.
        nodes: By name, in the order in which they were placed.
        inputs_used: The inputs of the graph that something is connected to.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self.nodes: dict[str, Node] = {}
        self.inputs_used: set[str] = set()
        self._uses: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *exc: object) -> None:
        _CURRENT.reset(self._token)

    def place(
        self,
        definition: Placeable,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        alias: str | None = None,
        tags: Mapping[str, str] = NO_TAGS,
        retry_policy: RetryPolicy | None = None,
    ) -> NodeOutput | NodeOutputs | None:
        """Place an op or graph, and hand out the handles of its outputs.

        To be called by the very function that the user's code called: the place of that call is kept.
        """
        frame = frame_at(2)
        code, offset = frame.f_code, frame.f_lasti
        name = alias or definition.name
        nodes = self.nodes
        if name in nodes and alias is None:
            name = self._free_name(name)
        try:
            if alias is not None:
                self._check_free(alias)
            wires = self._wires(definition, args, kwargs)
        except RefusedError as refused:
            place = described(definition.kind, name, definition.location)
            raise DefinitionError(str(refused), where=f"{place}, {_called((code, offset))}") from None
        nodes[name] = Node(name, definition, wires, tags, retry_policy, code, offset)
        outputs = definition.output_names
        if len(outputs) == 1:
            return NodeOutput(self, FromOutput(name, outputs[0]))
        if not outputs:
            return None
        handles = {each: NodeOutput(self, FromOutput(name, each)) for each in outputs}
        return NodeOutputs(f"{definition.kind} {name!r}", handles)

    def _free_name(self, name: str) -> str:
        """A name for one more that is called so."""
        count = self._uses.get(name, 1) + 1
        while (found := f"{name}_{count}") in self.nodes:
            count += 1
        self._uses[name] = count
        return found

    def _check_free(self, alias: str) -> None:
        if alias in self.nodes:
            raise RefusedError(
                f"cannot be placed as {alias!r}: {self.title} has that name already; give it another alias"
            )

    def _wires(
        self, definition: Placeable, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Wire | None, ...]:
        names = definition.input_names
        if len(args) > definition.positional_count:
            hint = " (an input of type Nothing is given by name)" if len(names) > definition.positional_count else ""
            raise RefusedError(f"got {len(args)} inputs by position and takes {definition.positional_count}{hint}")
        wires: list[Wire | None] = []
        for value in args:
            # An output of another node is connected as it is, and nearly all are: one look at it must do.
            if type(value) is NodeOutput and value.composition is self:
                wires.append(value.source)
            else:
                wires.append(self._wire(definition, names[len(wires)], value))
        if len(wires) == len(names) and not kwargs:
            return tuple(wires)
        wires += [None] * (len(names) - len(wires))
        for each, value in kwargs.items():
            if each not in names:
                raise RefusedError(f"has no input {each!r}.{did_you_mean(each, names)}")
            index = names.index(each)
            if index < len(args):
                raise RefusedError(f"got the input {each!r} twice")
            wires[index] = self._wire(definition, each, value)
        return tuple(wires)

    def _wire(self, definition: Placeable, name: str, value: Any) -> Wire | None:
        """What connects an input to a value; None where there is nothing to connect."""
        try:
            wire = wire_of(value, self)
            declared = definition.declared(name)
            if declared is not None and not _suits(wire, declared):
                return None
        except RefusedError as refused:
            raise RefusedError(f"the input {name!r} {refused}") from None
        if type(wire) is GraphInput:
            self.inputs_used.add(wire.name)
        elif type(wire) is FanIn:
            self.inputs_used.update(member.name for member in wire.members if type(member) is GraphInput)
        return wire


def _suits(wire: Wire, declared: In) -> bool:
    """Whether there is anything to connect: an empty list of what to wait for is nothing.

    Raises:
        RefusedError: What is passed cannot be right for the input.
    """
    if type(wire) is FromValue:
        if declared.is_nothing:
            if type(wire.value) is list and not wire.value:
                return False
            raise RefusedError("is of type Nothing and takes outputs to wait for, not a value")
        if declared.dagster_type is not None and not fits(wire.value, declared.dagster_type):
            raise RefusedError(f"must be {type_name(declared.dagster_type)} and is {type(wire.value).__name__}")
    elif type(wire) is FanIn:
        if declared.is_nothing and any(type(member) is FromValue for member in wire.members):
            raise RefusedError("is of type Nothing and takes outputs to wait for, not values")
        if not fits([], declared.dagster_type):
            raise RefusedError(f"must be {type_name(declared.dagster_type)} and got a list of outputs")
    return True


_CURRENT: ContextVar[Composition | None] = ContextVar("memo_composition", default=None)


def current() -> Composition | None:
    """The composition whose graph body is running, if any."""
    return _CURRENT.get()


@contextmanager
def suspended() -> Generator[None]:
    """No graph's body is running within, as when a job is run in one: its ops call each other as plain functions."""
    token = _CURRENT.set(None)
    try:
        yield
    finally:
        _CURRENT.reset(token)
