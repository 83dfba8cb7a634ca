"""What goes into an op or graph and what comes out: In, Out, Output, Nothing, GraphIn, GraphOut."""

from __future__ import annotations

import reprlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from memo.definition.names import called_at, check_mapping, check_name
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")

DEFAULT_OUTPUT = "result"
DEFAULT_IO_MANAGER_KEY = "io_manager"


class _NoValue:
    """The absence of a default, where None may be one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "NO_VALUE"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        """Stay the one object when copied or sent to another process."""
        return "NO_VALUE"


NO_VALUE: Any = _NoValue()


class Nothing:
    """The type of an input or output that orders two steps and carries no value.

    >>> In(Nothing).is_nothing
    True
    """


class In:
    """One input of an op.

    Args:
        dagster_type: The type that values must have: a class, a `typing` form, or `Nothing`. Taken from the
            function's annotation where left out.
        description: For people.
        default_value: Used where nothing is connected.
        metadata: Handed to the IO manager that loads the input.
        input_manager_key: The resource that loads this input in place of the upstream output's IO manager, or
            from elsewhere where nothing is connected.

    Raises:
        DefinitionError: The type is no type, or an input of type Nothing is given a default.
    """

    __slots__ = ("dagster_type", "default_value", "description", "input_manager_key", "is_nothing", "metadata")

    is_nothing: bool
    """Whether the input only orders its step behind another."""

    def __init__(
        self,
        dagster_type: Any = None,
        description: str | None = None,
        default_value: Any = NO_VALUE,
        metadata: Mapping[str, Any] | None = None,
        input_manager_key: str | None = None,
    ) -> None:
        self.dagster_type = _check_type(dagster_type, "In")
        self.is_nothing = dagster_type is Nothing
        self.description = description
        self.default_value = default_value
        self.metadata = _check_metadata(metadata, "In")
        self.input_manager_key = (
            None if input_manager_key is None else check_name(input_manager_key, "a resource (input_manager_key)")
        )
        if dagster_type is Nothing and default_value is not NO_VALUE:
            raise DefinitionError(
                "an input of type Nothing carries no value, so it can have no default_value; drop one of the two",
                where=called_at(),
            )

    def __repr__(self) -> str:
        return f"In({self.dagster_type!r})"

    @property
    def has_default_value(self) -> bool:
        """Whether the input may stay unconnected."""
        return self.default_value is not NO_VALUE


class Out:
    """One output of an op.

    Args:
        dagster_type: The type that the value must have; `Nothing` for an output that only orders.
        description: For people.
        is_required: False for an output that the op may leave unyielded: steps that need it are then skipped.
        io_manager_key: The resource that stores it; ``io_manager`` where left out.
        metadata: Handed to the IO manager.

    Raises:
        DefinitionError: The type is no type, or the key no legal name.
    """

    __slots__ = ("dagster_type", "description", "io_manager_key", "is_nothing", "is_required", "metadata")

    is_nothing: bool
    """Whether the output carries no value."""

    def __init__(
        self,
        dagster_type: Any = None,
        description: str | None = None,
        is_required: bool = True,
        io_manager_key: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.dagster_type = _check_type(dagster_type, "Out")
        self.is_nothing = dagster_type is Nothing
        self.description = description
        self.is_required = is_required
        self.io_manager_key = (
            DEFAULT_IO_MANAGER_KEY
            if io_manager_key is None
            else check_name(io_manager_key, "a resource (io_manager_key)")
        )
        self.metadata = _check_metadata(metadata, "Out")

    def __repr__(self) -> str:
        return f"Out({self.dagster_type!r})"


def _check_type(found: Any, owner: str) -> Any:
    if type(found) in _NO_TYPES:
        raise DefinitionError(
            f"{owner}() got {reprlib.repr(found)} as its type; give a class, a typing form or Nothing, and all else by "
            f"name",
            where=called_at(),
        )
    return found


_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


def _check_metadata(found: Mapping[str, Any] | None, owner: str) -> Mapping[str, Any]:
    if found is None or found is _NO_METADATA:
        return _NO_METADATA
    return dict(check_mapping(found, f"the metadata of {owner}()", ""))


_NO_TYPES = frozenset({bool, int, float, bytes, list, tuple, dict, set, In, Out})
"""What is surely a mistake where a type is expected."""


class Output(Generic[T]):
    """A value for one output, yielded or returned by an op.

    Args:
        value: The value.
        output_name: Which output it is for.
        metadata: Facts about this value, kept with the run.
    """

    __slots__ = ("metadata", "output_name", "value")

    def __init__(
        self,
        value: T,
        output_name: str = DEFAULT_OUTPUT,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.value = value
        self.output_name = output_name
        self.metadata = dict(metadata or {})

    def __repr__(self) -> str:
        return f"Output({self.value!r}, output_name={self.output_name!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Output)
            and self.output_name == other.output_name
            and bool(self.value == other.value)
            and self.metadata == other.metadata
        )

    __hash__ = None  # type: ignore[assignment] # its value may not be hashable


class GraphIn:
    """One input of a graph, for its description; its type is that of the inputs it feeds."""

    __slots__ = ("description",)

    def __init__(self, description: str | None = None) -> None:
        self.description = description


class GraphOut:
    """One output of a graph, for its description; its type is that of the output it stands for."""

    __slots__ = ("description",)

    def __init__(self, description: str | None = None) -> None:
        self.description = description
