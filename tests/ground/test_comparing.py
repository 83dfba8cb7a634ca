"""Where two values first differ: the path, what differs there, and what counts as equal."""

from __future__ import annotations

import datetime as dt
import enum
import math
import pickle
import re
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import PurePosixPath
from threading import Lock
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.content.comparing import Difference, Incomparable, first_difference, short

NAN = float("nan")
OTHER_NAN = float("-inf") + float("inf")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Place(NamedTuple):
    lat: float
    name: str


@dataclass
class Trip:
    fare: float
    stops: list[Any] = field(default_factory=list)
    seen_at: float = field(default=0.0, compare=False)


@dataclass(eq=False)
class Bare:
    fare: float


class Row(msgspec.Struct):
    name: str
    sizes: list[int]


class Model:
    """Defines no ==, as a fitted model."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


class Slotted:
    __slots__ = ("left", "right")

    def __init__(self, left: Any, right: Any) -> None:
        self.left, self.right = left, right


class Rounded:
    """Says itself what is equal."""

    def __init__(self, number: float) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rounded) and round(self.number) == round(other.number)

    def __hash__(self) -> int:
        return round(self.number)


class Moody:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not today")

    def __hash__(self) -> int:
        return 1

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise RuntimeError("nor like this")


class Words(list):
    pass


class Built:
    """Is made anew by a function of its arguments."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def __reduce__(self) -> Any:
        return Built, self.parts

    def __repr__(self) -> str:
        return f"Built{self.parts}"


def copied(value: Any) -> Any:
    """The value as it is loaded from where it is stored."""
    return pickle.loads(pickle.dumps(value))


def where(stored: Any, given: Any) -> tuple[str, str, str, str]:
    found = first_difference(stored, given)
    assert isinstance(found, Difference), found
    return found.path, found.what, found.stored, found.given


def cyclic(last: Any) -> list[Any]:
    found: list[Any] = [1]
    found += [found, last]
    return found


def deep(last: Any, depth: int = 20_000) -> Any:
    for _ in range(depth):
        last = [last]
    return last


EQUAL = [
    (NAN, OTHER_NAN),
    ([NAN], [math.nan]),
    ({"a": NAN}, {"a": copied(NAN)}),
    ({NAN: 1, (1, NAN): 2}, {OTHER_NAN: 1, (1, OTHER_NAN): 2}),
    ({NAN, 1}, {1, OTHER_NAN}),
    (complex(1, NAN), complex(1, OTHER_NAN)),
    (Decimal("NaN"), Decimal("NaN")),
    ({"b", "a", "c"}, {"c", "b", "a"}),
    (frozenset({(1, "x")}), frozenset({(1, "x")})),
    ({Model(a=1), Model(a=2)}, {Model(a=2), Model(a=1)}),
    ({Model(a=1): "x"}, {Model(a=1): "x"}),
    (Trip(1.0, [NAN]), Trip(1.0, [OTHER_NAN])),
    (Trip(1.0, seen_at=1.0), Trip(1.0, seen_at=2.0)),
    (Bare(1.0), Bare(1.0)),
    (Row("a", [1]), Row("a", [1])),
    (Model(inner=Model(x=[1, NAN])), Model(inner=Model(x=[1, OTHER_NAN]))),
    (Slotted(1, {"a"}), Slotted(1, {"a"})),
    (Rounded(1.1), Rounded(1.2)),
    (Built(1, NAN), Built(1, OTHER_NAN)),
    (cyclic(2), cyclic(2)),
    (deep(1), deep(1)),
    (partial(max, 1), partial(max, 1)),
    (re.compile("a"), re.compile("a")),
    (dt.datetime(2013, 1, 1), dt.datetime(2013, 1, 1)),  # noqa: DTZ001 - no zone is the case
    (Colour.RED, Colour.RED),
    (ValueError("x"), ValueError("x")),
    (np.array([1.0, NAN]), np.array([1.0, OTHER_NAN])),
    (np.array([complex(NAN, 1)]), np.array([complex(OTHER_NAN, 1)])),
    (np.array(["2013-01-01", "NaT"], "M8[ns]"), np.array(["2013-01-01", "NaT"], "M8[ns]")),
    (np.array([[1, NAN], {"a": NAN}], object), np.array([[1, OTHER_NAN], {"a": OTHER_NAN}], object)),
    (np.ma.array([1, 2], mask=[False, True]), np.ma.array([1, 3], mask=[False, True])),
    (np.float32(NAN), np.float32(NAN)),
    (np.array([], float), np.array([], float)),
    (np.array(1.5), np.array(1.5)),
    (np.zeros(2, [("a", float), ("b", "O")]), np.zeros(2, [("a", float), ("b", "O")])),
    (np.random.default_rng(3), np.random.default_rng(3)),
    (pd.DataFrame({"a": [1.0, NAN], "b": ["x", None]}), pd.DataFrame({"a": [1.0, NAN], "b": ["x", None]})),
    (pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="Int64")),
    (pd.Series(["a", None], dtype="category"), pd.Series(["a", None], dtype="category")),
    (pd.Index([1.0, NAN]), pd.Index([1.0, NAN])),
    (pd.Timestamp("2013-01-01"), pd.Timestamp("2013-01-01")),
    ([pd.NaT, pd.NA], [copied(pd.NaT), copied(pd.NA)]),
    (pa.table({"a": [1.0, NAN]}), pa.table({"a": pa.chunked_array([[1.0], [OTHER_NAN]])})),
    (pa.table({"a": [{"x": [NAN]}]}), pa.table({"a": [{"x": [NAN]}]})),
    (pa.array([1, None]), pa.array([1, None])),
]


@pytest.mark.parametrize(("stored", "given"), EQUAL, ids=lambda value: type(value).__name__)
def test_equal(stored: Any, given: Any) -> None:
    assert first_difference(stored, given) is None


DIFFERENT = [
    (1, 2, ("", "value", "1", "2")),
    (1, 1.0, ("", "type", "int", "float")),
    (1, True, ("", "type", "int", "bool")),
    (0.0, -0.0, ("", "value", "0.0", "-0.0")),
    (0.1, 0.1 + 1e-17 + 2e-17, ("", "value", "0.1", "0.10000000000000003")),
    (1 + 2j, 1 + 3j, ("", "value", "(1+2j)", "(1+3j)")),
    (NAN, 1.0, ("", "value", "nan", "1.0")),
    (None, 1, ("", "value", "None", "1")),
    ([1, 2, 3], [1, 5, 4], ("[1]", "value", "2", "5")),
    ([1, 2], [1, 2, 3], ("", "length", "2", "3")),
    ({"x": [0, (1, 2)]}, {"x": [0, (1, 3)]}, ("['x'][1][1]", "value", "2", "3")),
    ({"x": 1, "y": 2}, {"y": 2}, ("['x']", "value", "1", "nothing")),
    ({"y": 2}, {"x": 1, "y": 2}, ("['x']", "value", "nothing", "1")),
    ({None: 2}, {}, ("[None]", "value", "2", "nothing")),
    ({"x": 1, "y": 2}, {"y": 2, "x": 1}, ("", "key number 1", "'x'", "'y'")),
    ({1: "a"}, {True: "a"}, ("", "key number 1", "1", "True")),
    (Counter("aab"), Counter("ab"), ("['a']", "value", "2", "1")),
    (OrderedDict(a=1), OrderedDict(a=2), ("['a']", "value", "1", "2")),
    (defaultdict(list, a=[1]), defaultdict(list, a=[2]), ("['a'][0]", "value", "1", "2")),
    (deque([1]), deque([2]), ("[0]", "value", "1", "2")),
    ({"a", "b"}, {"b", "c"}, ("", "member", "'a'", "'c'")),
    ({"a"}, {"a", "c"}, ("", "member", "nothing", "'c'")),
    ({Model(a=1), Model(a=2)}, {Model(a=2), Model(a=2)}, None),
    ({Model(a=1): "x"}, {Model(a=2): "x"}, ("items[0][0].a", "value", "1", "2")),
    (Place(1.0, "a"), Place(1.0, "b"), (".name", "value", "'a'", "'b'")),
    (Trip(1.0), Trip(2.0), (".fare", "value", "1.0", "2.0")),
    ([Trip(1.0, [{"k": 1}])], [Trip(1.0, [{"k": 2}])], ("[0].stops[0]['k']", "value", "1", "2")),
    (Bare(1.0), Bare(2.0), (".fare", "value", "1.0", "2.0")),
    (Row("a", [1]), Row("a", [2]), (".sizes[0]", "value", "1", "2")),
    (Model(a=Model(b=1)), Model(a=Model(b=2)), (".a.b", "value", "1", "2")),
    (Model(a=1), Model(), (".a", "value", "1", "nothing")),
    (Slotted(1, 2), Slotted(1, 3), (".right", "value", "2", "3")),
    (Rounded(1.1), Rounded(2.0), (".number", "value", "1.1", "2.0")),
    (Built(1, 2), Built(1, 3), ("", "value", "Built(1, 2)", "Built(1, 3)")),
    (Built("x" * 200 + "a"), Built("x" * 200 + "b"), None),
    (Words("ab"), Words("ac"), ("[1]", "value", "'b'", "'c'")),
    (dt.date(2013, 1, 1), dt.date(2013, 1, 2), ("", "value", "datetime.date(2013, 1, 1)", "datetime.date(2013, 1, 2)")),
    (PurePosixPath("a"), PurePosixPath("b"), ("", "value", "PurePosixPath('a')", "PurePosixPath('b')")),
    (Colour.RED, Colour.BLUE, ("", "value", "<Colour.RED: 1>", "<Colour.BLUE: 2>")),
    (int, str, ("", "value", "builtins.int", "builtins.str")),
    (len, max, ("", "value", "builtins.len", "builtins.max")),
    (cyclic(2), cyclic(3), ("[2]", "value", "2", "3")),
    ("a\nb\nc", "a\nX\nc", ("line 2", "value", "'b'", "'X'")),
    ("a\nb", "a\nb\nc", ("line 3", "value", "nothing", "'c'")),
    ("a", "b", ("", "value", "'a'", "'b'")),
    (
        "x" * 500 + "old" + "y" * 100,
        "x" * 500 + "new" + "y" * 100,
        ("", "value", *["…" + repr("x" * 20 + word + "y" * 27) for word in ("old", "new")]),
    ),
    (b"abc", b"abd", ("byte 2", "value", "b'c'", "b'd'")),
    (bytearray(b"abc"), bytearray(b"ab"), ("byte 2", "value", "b'c'", "b''")),
    (np.array([[1, 2], [3, 4]]), np.array([[1, 2], [3, 5]]), ("[1, 1]", "value", "4", "5")),
    (np.array([0.1, 0.5]), np.array([0.1, 0.75]), ("[1]", "value", "0.5", "0.75")),
    (np.array([0.0]), np.array([-0.0]), ("[0]", "value", "0.0", "-0.0")),
    (np.array([1, 2]), np.array([1.0, 2.0]), ("", "dtype", "int64", "float64")),
    (np.array([1, 2]), np.array([1, 2, 3]), ("", "shape", "(2,)", "(3,)")),
    (np.array(["a", "b"]), np.array(["a", "c"]), ("[1]", "value", "'b'", "'c'")),
    (np.array([{"k": 1}, 2], object), np.array([{"k": 2}, 2], object), ("[0]['k']", "value", "1", "2")),
    (np.array([(1, 2)], "i8,i8"), np.array([(1, 3)], "i8,i8"), ("['f1'][0]", "value", "2", "3")),
    (
        np.ma.array([1, 2], mask=[False, True]),
        np.ma.array([1, 2], mask=[False, False]),
        (".mask[1]", "value", "True", "False"),
    ),
    (np.ones((2, 3)), np.asfortranarray(np.ones((2, 3))), ("", "memory order", "C", "F")),
    (np.float32(1.5), np.float32(2.5), ("", "value", "1.5", "2.5")),
    ({"w": np.array(1.5)}, {"w": np.array(2.5)}, ("['w']", "value", "1.5", "2.5")),
    (
        pd.DataFrame({"fare": [1.0, 2.0], "who": ["a", "b"]}),
        pd.DataFrame({"fare": [1.0, 2.5], "who": ["a", "c"]}),
        ("column 'fare' row 1", "value", "2.0", "2.5"),
    ),
    (
        {"t": pd.DataFrame({"who": ["a", "b"]}, index=["x", "y"])},
        {"t": pd.DataFrame({"who": ["a", "c"]}, index=["x", "y"])},
        ("['t'] column 'who' row 1 ('y')", "value", "'b'", "'c'"),
    ),
    (
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1, 2]}).iloc[[1, 0]],
        (".index[0]", "value", "0", "1"),
    ),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), (".columns[0]", "value", "'a'", "'b'")),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1.0]}), ("column 'a'", "dtype", "int64", "float64")),
    (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1, 2]}), ("", "row count", "1", "2")),
    (pd.Series([1, 2], name="s"), pd.Series([1, 2], name="t"), (".name", "value", "'s'", "'t'")),
    (pd.Series([1, 2], dtype="Int64"), pd.Series([1, 3], dtype="Int64"), ("row 1", "value", "2", "3")),
    (pd.Series([1, None], dtype="Int64"), pd.Series([1, 2], dtype="Int64"), None),
    (pd.Index([1, 2], name="i"), pd.Index([1, 2], name="j"), (".names[0]", "value", "'i'", "'j'")),
    (pd.array([1, 2]), pd.array([1, 3]), ("[1]", "value", "2", "3")),
    (
        pd.Series(pd.to_datetime(["2013-01-01"])).astype("M8[ns]"),
        pd.Series(pd.to_datetime(["2013-01-02"])).astype("M8[ns]"),
        ("row 0", "value", "2013-01-01T00:00:00.000000000", "2013-01-02T00:00:00.000000000"),
    ),
    (
        pa.table({"a": [1, 2], "b": ["x", None]}),
        pa.table({"a": [1, 2], "b": ["x", "y"]}),
        ("column 'b' row 1", "value", "None", "'y'"),
    ),
    (pa.table({"a": [1.0, NAN, 2.0]}), pa.table({"a": [1.0, NAN, 3.0]}), ("column 'a' row 2", "value", "2.0", "3.0")),
    (pa.table({"a": [1]}), pa.table({"b": [1]}), (".schema.names[0]", "value", "'a'", "'b'")),
    (pa.table({"a": [1]}), pa.table({"a": [1.0]}), ("column 'a'", "field", "int64", "double")),
    (pa.table({"a": [1]}), pa.table({"a": [1, 2]}), ("", "row count", "1", "2")),
    (
        pa.table({"a": [1]}),
        pa.table({"a": [1]}).replace_schema_metadata({"k": "v"}),
        (".schema.metadata", "value", "None", "{b'k': b'v'}"),
    ),
    (pa.array([1, 2]), pa.array([1, 3]), ("[1]", "value", "2", "3")),
    (pa.array([{"x": [1, 2]}]), pa.array([{"x": [1, 3]}]), ("[0]['x'][1]", "value", "2", "3")),
]


@pytest.mark.parametrize(("stored", "given", "expected"), DIFFERENT, ids=lambda value: type(value).__name__)
def test_different(stored: Any, given: Any, expected: tuple[str, ...] | None) -> None:
    found = where(stored, given)
    assert expected is None or found == expected
    assert isinstance(first_difference(given, stored), Difference)
    assert first_difference(copied(stored), stored) is None


def test_a_difference_far_down_is_found_without_recursion() -> None:
    path, _, *values = where(deep(1), deep(2))
    assert path == "[0]" * 20_000
    assert values == ["1", "2"]


def test_what_has_no_equality_and_no_pickle_cannot_be_compared() -> None:
    found = first_difference([1, Lock()], [1, Lock()])
    assert isinstance(found, Incomparable)
    assert str(found).startswith("[1]: _thread.lock defines no == and cannot be pickled (TypeError: ")


def test_a_difference_elsewhere_counts_before_what_cannot_be_compared() -> None:
    assert where([Lock(), 1], [Lock(), 2]) == ("[1]", "value", "1", "2")


def test_objects_whose_methods_raise_cannot_be_compared() -> None:
    found = first_difference({"a": Moody()}, {"a": Moody()})
    assert isinstance(found, Incomparable)
    assert found.path == "['a']"
    assert "RuntimeError: nor like this" in found.why


def test_a_set_of_too_many_objects_without_equality_cannot_be_compared() -> None:
    found = first_difference({Model(a=each) for each in range(300)}, {Model(a=each) for each in range(300)})
    assert isinstance(found, Incomparable)
    assert "300 objects" in found.why


def test_a_property_that_raises_does_not_end_the_comparison() -> None:
    class Torn:
        __dataclass_fields__ = property(lambda self: 1 / 0)

    found = first_difference([Torn(), 1], [Torn(), 2])
    assert isinstance(found, Difference)
    assert found.path == "[1]"


def test_a_long_value_is_shortened_to_one_line() -> None:
    _, _, stored, given = where({"a": Built("x\n" * 1000)}, {"a": 1})
    assert (stored, given) == (f"{__name__}.Built", "int")
    _, _, stored, given = where({"a": list(range(1000))}, {})
    assert len(stored) <= 80
    assert given == "nothing"


def test_shared_parts_are_looked_at_once() -> None:
    def doubled(last: int) -> Any:
        found: Any = [last]
        for _ in range(60):
            found = [found, found]
        return found

    assert first_difference(doubled(1), doubled(1)) is None
    assert where(doubled(1), doubled(2))[0] == "[0]" * 61


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers() | st.floats(), inner)
        | st.frozensets(st.text() | st.floats() | st.tuples(st.integers(), st.floats()))
    ),
    max_leaves=20,
)


@given(VALUES)
def test_a_value_is_equal_to_its_copy(value: Any) -> None:
    assert first_difference(value, copied(value)) is None


def changed(value: Any, data: st.DataObject) -> tuple[str, Any]:
    """The value with another leaf somewhere, and the path to it."""
    if not isinstance(value, list | tuple | dict) or not value:
        return "", b"another leaf"
    if isinstance(value, dict):
        key = data.draw(st.sampled_from(list(value)))
        path, leaf = changed(value[key], data)
        return f"[{short(key)}]{path}", {**value, key: leaf}
    index = data.draw(st.integers(0, len(value) - 1))
    path, leaf = changed(value[index], data)
    return f"[{index}]{path}", type(value)([*value[:index], leaf, *value[index + 1 :]])


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.frozensets(st.integers()),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(TREES, st.data())
def test_the_one_changed_leaf_is_found(value: Any, data: st.DataObject) -> None:
    path, other = changed(copied(value), data)
    assert where(value, other)[0] == path.strip()
