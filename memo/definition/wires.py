"""What is passed between ops in a graph's body: handles of outputs and inputs, lists of them, and plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from msgspec import Struct

from memo.definition.definition import Definition
from memo.definition.names import called_at
from memo.definition.source import Source
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memo.definition.composition import Composition  # noqa: TC004 - no handle is ever decoded


class NoSuchAttributeError(DefinitionError, AttributeError):
    """A handle was asked for an attribute; both for people and for `hasattr`."""


class Handle(Struct, eq=False):
    """Stands for a value that is there only when the job runs, within the graph body that made the handle.

    Whatever would look at the value is refused: it would see the handle.
    """

    composition: Composition

    def _refused(self, what: str) -> DefinitionError:
        return DefinitionError(_refusal(self, what), where=called_at())

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in {"alias", "tag", "with_retry_policy", "configured"}:
            raise NoSuchAttributeError(
                f"{self!r} was asked for .{name}; that goes before the call: my_op.{name}(...)(inputs)",
                where=called_at(),
            )
        raise NoSuchAttributeError(_refusal(self, f"asked for its attribute {name!r}"), where=called_at())

    def __iter__(self) -> Iterator[Any]:
        raise self._refused("iterated or unpacked, and it is a single value")

    def __bool__(self) -> bool:
        raise self._refused("used as a condition")

    def __getitem__(self, key: object) -> Any:
        raise self._refused("indexed")

    def __format__(self, spec: str, /) -> str:
        raise self._refused("written into a string")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Handle):
            return self is other
        raise self._refused("compared")

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def _refuse_operator(self, other: object) -> NoReturn:  # noqa: ARG002 - the other operand
        raise self._refused("used with an operator")

    __lt__ = __le__ = __gt__ = __ge__ = _refuse_operator
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse_operator
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _refuse_operator
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = _refuse_operator


def _refusal(handle: object, what: str) -> str:
    return (
        f"{handle!r} was {what} in a graph's body, which only wires ops together before any of them runs; "
        f"do that inside an op"
    )


class FromOutput(Struct, frozen=True, gc=False):
    """What an input of a node, and then of a step, comes from: an output of another."""

    step: str
    output: str


class NodeOutput(Handle):
    """One output of a placed op or graph."""

    source: FromOutput

    def __repr__(self) -> str:
        return f"<output {self.source.output!r} of {self.source.step!r}>"


class GraphInput(Handle):
    """One input of the graph whose body is running."""

    name: str

    def __repr__(self) -> str:
        return f"<input {self.name!r} of {self.composition.title}>"


class NodeOutputs:
    """The handles of several outputs: by attribute, by position, by unpacking."""

    __slots__ = ("__handles", "__owner")

    def __init__(self, owner: str, handles: Mapping[str, NodeOutput]) -> None:
        self.__owner = owner
        self.__handles = dict(handles)

    def __repr__(self) -> str:
        return f"<outputs {', '.join(self.__handles)} of {self.__owner}>"

    def __format__(self, spec: str, /) -> str:
        raise DefinitionError(_refusal(self, "written into a string"), where=called_at())

    def __getattr__(self, name: str) -> NodeOutput:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, index: int | str) -> NodeOutput:
        try:
            return self.__handles[index] if isinstance(index, str) else list(self.__handles.values())[index]
        except (KeyError, IndexError):
            known = did_you_mean(str(index), self.__handles)
            raise NoSuchAttributeError(f"{self.__owner} has no output {index!r}.{known}", where=called_at()) from None

    def __iter__(self) -> Iterator[NodeOutput]:
        return iter(self.__handles.values())

    def __len__(self) -> int:
        return len(self.__handles)


class FromValue(Struct, frozen=True, eq=False):
    """A literal in a graph's body, or a default of a graph: what an input of a node, and then of a step, comes from."""

    value: Any


class FanIn(Struct, frozen=True, eq=False):
    """A list of outputs, inputs, sources and literals, in order."""

    members: tuple[FromOutput | GraphInput | FromValue | Source, ...]


Wire = FromOutput | GraphInput | FromValue | FanIn | Source


class RefusedError(Exception):
    """A value that cannot be passed, with what is wrong with it; who passed it where is added further out."""


def wire_of(value: Any, composition: Composition) -> Wire:
    """Read a value that a graph's body passes to an op or graph.

    Raises:
        RefusedError: It cannot be passed.
    """
    kind: type = type(value)
    if kind in _ATOMS:
        return FromValue(value)
    if kind is NodeOutput:
        _check_own(value, composition)
        return value.source  # type: ignore[no-any-return]
    if kind is GraphInput:
        _check_own(value, composition)
        return value  # type: ignore[no-any-return]
    if kind is list and any(issubclass(type(member), _HANDLES) for member in value):
        return FanIn(tuple([_member(member, composition) for member in value]))
    if issubclass(kind, Source):
        return value  # type: ignore[no-any-return]
    if issubclass(kind, Definition):
        raise RefusedError(_definition_refusal(value))
    return FromValue(snapshot(value))


def _check_own(handle: NodeOutput | GraphInput, composition: Composition) -> None:
    if handle.composition is not composition:
        raise RefusedError(
            f"got {handle!r}, which belongs to the body of {handle.composition.title}; pass it through the "
            f"inputs and outputs of the graphs"
        )


def _member(member: Any, composition: Composition) -> FromOutput | GraphInput | FromValue | Source:
    found = wire_of(member, composition)
    if isinstance(found, FanIn):
        raise RefusedError("got a list of lists of outputs; a fan-in is one flat list")
    return found


def _definition_refusal(value: Any) -> str:
    if value.kind == "source":
        return f"got the source {value.name!r} within a value; pass it on its own, or in a flat list (fan-in)"
    if value.kind in {"op", "graph"}:
        return f"got the {value.kind} {value.name!r} itself; call it to pass its output: {value.name}()"
    return f"got the {value.kind} {value.name!r}; an input is an output of an op, an input of the graph, or plain data"


_HANDLES = (Handle, NodeOutputs, Source)
_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})


def snapshot(value: Any) -> Any:
    """Copy a value's own lists, dicts and sets, so that what is done to them later does not reach into the definition.

    Objects of other types are kept as they are.

    Raises:
        RefusedError: A handle or a definition stands within it.
    """
    try:
        return _snapshot(value, {})
    except RecursionError:
        raise RefusedError("got a value that is nested too deeply; make it in an op") from None


def _snapshot(value: Any, seen: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _ATOMS or id(value) in seen:
        return seen.get(id(value), value)
    if kind is list:
        copied: list[Any] = []
        seen[id(value)] = copied
        copied.extend([_snapshot(each, seen) for each in value])
        return copied
    if kind is dict:
        entries: dict[Any, Any] = {}
        seen[id(value)] = entries
        entries.update({_snapshot(key, seen): _snapshot(each, seen) for key, each in value.items()})
        return entries
    if kind is tuple or kind is set or kind is frozenset:
        return kind([_snapshot(each, seen) for each in value])
    _refuse_within(value, kind)
    return bytearray(value) if kind is bytearray else value


def _refuse_within(value: Any, kind: type) -> None:
    if kind is NodeOutputs:
        raise RefusedError(f"got {value!r}; say which of them: .{next(iter(value)).source.output}")
    if issubclass(kind, Handle):
        raise RefusedError(
            f"got {value!r} within a value of another type; an output is passed on its own, or in a flat list (fan-in)"
        )
    if issubclass(kind, Definition):
        raise RefusedError(_definition_refusal(value))
