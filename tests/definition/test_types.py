# ruff: noqa: UP007, UP045 - users write types in the older ways too
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, NewType, Optional, Protocol, TypedDict, TypeVar, Union

import numpy as np
import pandas as pd
import pytest

from memo import Nothing
from memo.definition.types import fits, type_name

T = TypeVar("T")
UserId = NewType("UserId", int)


class Row(TypedDict):
    a: int


class Sized(Protocol):
    def __len__(self) -> int: ...


class Picky(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return instance == "yes"


class ByMeta(metaclass=Picky): ...


@pytest.mark.parametrize(
    ("expected", "fitting", "others"),
    [
        (None, [1, None], []),
        (Any, [1, None], []),
        (object, [1, None], []),
        (Nothing, [1, None], []),
        (int, [1, True], [1.0, "1", None, np.float64(1)]),
        (float, [1.0, 1, True, np.float64(1)], ["1", None]),
        (complex, [1j, 1.0, 1, True], ["1"]),
        (bool, [True], [1, np.True_]),
        (str, ["a"], [b"a", 1]),
        (type(None), [None], [0]),
        (list, [[1]], [(1,)]),
        (list[int], [[1], ["unchecked"]], [(1,)]),
        (Sequence[int], [[1], (1,)], [{1}, 5]),
        (Iterable, [[1], {1}], [5]),
        (Mapping[str, int], [{}], [[]]),
        (tuple[int, ...], [(1,)], [[1]]),
        (Callable[..., int], [len], [5]),
        (type[int], [int, str], [5]),
        (int | None, [1, None], ["a"]),
        (Optional[int], [1, None], ["a"]),
        (Union[int, list[str]], [1, []], ["a"]),
        (Literal["a", 1], ["a", 1], ["b", True, 1.0, np.array(["a"]), np.array([1, 1])]),
        (Annotated[int, "positive"], [1], ["a"]),
        (np.ndarray, [np.array([1])], [[1]]),
        (pd.DataFrame, [pd.DataFrame()], [{}]),
        (UserId, [1, "unchecked"], []),
        (T, [1], []),
        (Row, [{}, 5], []),
        (Sized, [[], 5], []),
        (ByMeta, ["yes"], ["no"]),
        ("Unread", [1], []),
    ],
)
def test_what_fits(expected: Any, fitting: list[Any], others: list[Any]) -> None:
    assert [fits(value, expected) for value in fitting] == [True] * len(fitting)
    assert [fits(value, expected) for value in others] == [False] * len(others)


@pytest.mark.parametrize(
    ("expected", "name"),
    [
        (int, "int"),
        (list[int], "list[int]"),
        (int | None, "int | None"),
        (Optional[int], "Optional[int]"),
        (Literal["a"], "Literal['a']"),
        (pd.DataFrame, "DataFrame"),
        (Any, "Any"),
    ],
)
def test_the_name_of_a_type(expected: Any, name: str) -> None:
    assert type_name(expected) == name
