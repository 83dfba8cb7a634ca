"""The canonical encoding: different values differ, equal ones agree, on every machine and in every process."""

from __future__ import annotations

import datetime as dt
import enum
import io
import itertools
import os
import re
import subprocess
import sys
import zoneinfo
from collections import OrderedDict, deque, namedtuple
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct
from xxhash import xxh3_128_hexdigest

from memo.hashing import Hasher, UnencodableError, digest, named_digest, value_digest, values_digest


class Color(enum.Enum):
    RED = 1
    BLUE = 2
    ALSO_RED = 1  # noqa: PIE796 - an alias is the same member


class Shade(enum.Enum):
    RED = 1


class Size(enum.IntEnum):
    SMALL = 1


class Way(enum.Flag):
    NORTH = 1
    EAST = 2


@dataclass
class Point:
    x: int
    y: Any = 0


T = TypeVar("T")


@dataclass
class Boxed(Generic[T]):
    """A generic dataclass has no content beyond its fields."""

    x: T


@dataclass
class Spot:
    x: int
    y: Any = 0


class Vector(Struct):
    x: int
    y: Any = 0


class Arrow(Vector):
    pass


class Pair(NamedTuple):
    x: int
    y: int


Couple = namedtuple("Couple", "x y")  # noqa: PYI024 - the untyped kind is a kind too

UTC = dt.UTC
PARIS = zoneinfo.ZoneInfo("Europe/Paris")

DIFFERENT: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    10**100,
    0.0,
    -0.0,
    1.0,
    float("nan"),
    float("inf"),
    float("-inf"),
    0j,
    1j,
    complex(-0.0, 0.0),
    complex(0.0, -0.0),
    "",
    "1",
    "True",
    "None",
    "N",
    "a",
    "ab",
    "\ud800",
    "é",
    "e\u0301",
    b"",
    b"1",
    b"a",
    bytearray(b"a"),
    [],
    [None],
    [[]],
    [1],
    [1.0],
    ["1"],
    [1, 2],
    [2, 1],
    [[1], 2],
    [[1, 2]],
    [1, [2]],
    (),
    (1,),
    (1, 2),
    {},
    {"a": 1},
    {"a": 1.0},
    {"a": 1, "b": 2},
    {"b": 2, "a": 1},
    {1: "a"},
    {"a": {"b": 1}},
    {"a": {}, "b": 1},
    [("a", 1)],
    set(),
    {1},
    {"1"},
    {1, 2},
    frozenset(),
    frozenset({1}),
    {frozenset({1}), frozenset({2})},
    {frozenset({1, 2})},
    range(3),
    range(0, 3, 2),
    dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1),  # noqa: DTZ001 - a time without a zone is another value
    dt.datetime(2020, 1, 1, tzinfo=UTC),
    dt.datetime(2020, 1, 1, tzinfo=PARIS),
    dt.datetime(2020, 1, 1, tzinfo=PARIS, fold=1),
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2020, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
    dt.datetime(2020, 1, 1, 0, 0, 0, 1),  # noqa: DTZ001
    dt.time(0),
    dt.time(0, tzinfo=UTC),
    dt.timedelta(1),
    dt.timedelta(microseconds=1),
    UTC,
    PARIS,
    zoneinfo.ZoneInfo("Europe/Rome"),
    Decimal(1),
    Decimal("1.0"),
    Decimal("-0"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Fraction(1),
    Fraction(1, 2),
    UUID(int=1),
    Path("a"),
    Path("a/b"),
    PurePosixPath("a"),
    Color.RED,
    Color.BLUE,
    Shade.RED,
    Size.SMALL,
    Way.NORTH,
    Way.EAST,
    Way.NORTH | Way.EAST,
    Way(0),
    Point(1),
    Point(1, 1),
    Point(1, Point(1)),
    Spot(1),
    Boxed(1),
    Vector(1),
    Vector(1, 1),
    Arrow(1),
    Pair(1, 0),
    Couple(1, 0),
]


def test_different_values_differ() -> None:
    digests = [value_digest(value) for value in DIFFERENT]
    for (one, other), (first, second) in zip(
        itertools.combinations(DIFFERENT, 2),
        itertools.combinations(digests, 2),
        strict=True,
    ):
        assert first != second, f"{one!r} and {other!r} have the same digest"
    # Within a list, a dict and a set as well.
    assert len({value_digest([value]) for value in DIFFERENT}) == len(DIFFERENT)
    assert len({value_digest({"key": value}) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ab" + "c", "{}bc".format("a")),
        ({1, 2, 3}, {3, 2, 1}),
        ({"a": {"x", "y"}}, {"a": {"y", "x"}}),
        (Color.RED, Color.ALSO_RED),
        (float("nan"), -float("nan")),
        (dt.datetime(2020, 1, 1, tzinfo=PARIS), dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris"))),
        (Point(1), Point(1, 0)),
        (Way.NORTH | Way.EAST, Way.EAST | Way.NORTH),
    ],
)
def test_equal_values_agree(one: Any, other: Any) -> None:
    assert value_digest(one) == value_digest(other)


def test_the_recipe_has_not_changed() -> None:
    # These stand in what people stored. If they must change, so must hashing.RECIPE.
    assert value_digest([1, 1.5, "é", None, True, {"a": (b"x", {2, 3})}]) == "d34c60484fb1c1ccc0dc1f51bf3de527"
    assert digest("step", "a", "") == "b9ff91f1d4997f35ff77e0aa2051815b"


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers()
    | st.dates()
    | st.decimals()
    | st.fractions(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.frozensets(st.text() | st.integers() | st.floats(allow_nan=False) | st.booleans(), max_size=4)
    ),
    max_leaves=8,
)


def exactly(value: Any) -> Any:
    """Something that is equal for values that are equal in type and content, all the way down."""
    kind = type(value)
    if kind in {list, tuple}:
        return kind, [exactly(each) for each in value]
    if kind is dict:
        return kind, [(exactly(key), exactly(each)) for key, each in value.items()]
    if kind in {set, frozenset}:
        return kind, sorted(repr(exactly(each)) for each in value)
    return kind, repr(value)


@given(plain, plain)
def test_digests_agree_exactly_where_values_do(one: Any, other: Any) -> None:
    assert (value_digest(one) == value_digest(other)) == (exactly(one) == exactly(other))


@given(st.lists(plain, max_size=4), st.data())
def test_a_copy_has_the_same_digest(values: list[Any], data: Any) -> None:
    shuffled = data.draw(st.permutations(values))
    assert (value_digest(values) == value_digest(shuffled)) == (exactly(values) == exactly(shuffled))
    assert value_digest([*values]) == value_digest(values)


@given(st.frozensets(st.text() | st.integers() | st.binary()))
def test_sets_have_no_order(members: frozenset[Any]) -> None:
    again = frozenset(sorted(members, key=repr, reverse=True))
    assert value_digest(again) == value_digest(members)


def test_digests_are_the_same_in_every_process_under_every_hash_seed() -> None:
    script = """
from memo.hashing import value_digest
words = ["a", "b", "c", "longer", "words", "too"]
print(value_digest([set(words), {frozenset(words[:3]), frozenset(words[3:])}, dict.fromkeys(words)]))
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }
    words = ["a", "b", "c", "longer", "words", "too"]
    here = value_digest([set(words), {frozenset(words[:3]), frozenset(words[3:])}, dict.fromkeys(words)])
    assert said == {here + "\n"}


# Records.


def test_a_dataclass_counts_by_its_fields() -> None:
    @dataclass
    class Fit:
        slope: float
        kind: ClassVar[str] = "linear"
        scale: InitVar[float] = 1.0
        cache: dict[str, int] = field(default_factory=dict, compare=False)

        def __post_init__(self, scale: float) -> None:
            self.slope *= scale

        @cached_property
        def doubled(self) -> float:
            return self.slope * 2

    plain_fit = Fit(2.0)
    assert value_digest(plain_fit) == value_digest(Fit(1.0, 2.0))
    before = value_digest(plain_fit)
    assert plain_fit.doubled == 4.0
    assert value_digest(plain_fit) == before, "a cached property is no content"
    plain_fit.__dict__["extra"] = 1
    assert value_digest(plain_fit) != before, "what was set on it beyond its fields is content"


def test_a_dataclass_with_slots_counts_by_its_fields() -> None:
    @dataclass(slots=True)
    class Slotted:
        x: int

    assert value_digest(Slotted(1)) != value_digest(Slotted(2))
    unset = Slotted.__new__(Slotted)
    with pytest.raises(UnencodableError, match="Slotted cannot be encoded"):
        value_digest(unset)


def test_a_subclass_of_a_struct_counts_with_what_it_inherits() -> None:
    assert value_digest(Arrow(1, 2)) != value_digest(Arrow(1, 3))


def _classes_with_content_of_their_own() -> list[Any]:
    @dataclass
    class Listing(list[int]):
        name: str = ""

    @dataclass
    class Queue(deque[int]):
        name: str = ""

    @dataclass
    class Failure(Exception):  # noqa: N818
        name: str = ""

    @dataclass
    class Whole(int):
        name: str = ""

    class Undecorated(Point):
        pass

    class Number(int):
        pass

    class Text(str):  # noqa: SLOT000
        pass

    class Zone(dt.tzinfo):
        def utcoffset(self, _: Any) -> dt.timedelta:
            return dt.timedelta(0)

        def dst(self, _: Any) -> None:
            return None

        def tzname(self, _: Any) -> str:
            return "here"

    class Day(dt.date):
        pass

    class More(Pair):
        pass

    return [
        Listing(),
        Queue(),
        Failure(),
        Whole(),
        Undecorated(1),
        Number(1),
        Text("a"),
        Zone(),
        dt.datetime(2020, 1, 1, tzinfo=Zone()),
        dt.time(1, tzinfo=Zone()),
        Day(2020, 1, 1),
        More(1, 2),
    ]


@pytest.mark.parametrize(
    "value",
    [
        *_classes_with_content_of_their_own(),
        object(),
        len,
        lambda: 1,
        int,
        Point,
        re.compile("a"),
        OrderedDict(a=1),
        zoneinfo.ZoneInfo.from_file(io.BytesIO(Path(zoneinfo.TZPATH[0], "UTC").read_bytes()))
        if Path(zoneinfo.TZPATH[0], "UTC").exists()
        else object(),
        memoryview(b"a"),
        iter([1]),
        io.BytesIO(b"a"),
    ],
)
def test_what_has_no_canonical_encoding_is_refused(value: Any) -> None:
    for each in (value, [value], {"a": value}, (1, {2: [value]})):
        with pytest.raises(UnencodableError):
            value_digest(each)


def test_a_refusal_names_the_type() -> None:
    with pytest.raises(UnencodableError, match=r"a value of type re.Pattern has no canonical encoding"):
        value_digest({"pattern": re.compile("a")})


def test_what_contains_itself_is_refused() -> None:
    value: list[Any] = [1]
    value.append(value)
    table: dict[str, Any] = {}
    table["a"] = table
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for each in (value, table, deep, [value]):
        with pytest.raises(UnencodableError, match="nested too deeply, or contains itself"):
            value_digest(each)


# Digests of parts.


parts = st.lists(st.text(st.characters()), max_size=5)


@given(parts, parts)
def test_no_two_lists_of_parts_read_alike(one: list[str], other: list[str]) -> None:
    assert (digest("tag", *one) == digest("tag", *other)) == (one == other)
    assert digest("tag", *one) != digest("other", *one)


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5, unique_by=lambda item: item[0]), st.data())
def test_named_parts_have_no_order(items: list[tuple[str, str]], data: Any) -> None:
    assert named_digest("tag", data.draw(st.permutations(items))) == named_digest("tag", items)
    if items:
        changed = [(items[0][0], items[0][1] + "x"), *items[1:]]
        assert named_digest("tag", changed) != named_digest("tag", items)


@given(st.lists(st.binary()))
def test_a_running_hash_is_that_of_the_whole(pieces: list[bytes]) -> None:
    hasher = Hasher()
    for place, piece in enumerate(pieces):
        given_piece = (piece, bytearray(piece), memoryview(piece))[place % 3]
        assert hasher.write(given_piece) == len(piece)
    whole = b"".join(pieces)
    assert (hasher.hexdigest(), hasher.size) == (xxh3_128_hexdigest(whole), len(whole))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    st.tuples(st.text(), st.lists(st.tuples(st.text(), SCALARS), max_size=3)),
    st.tuples(st.text(), st.lists(st.tuples(st.text(), SCALARS), max_size=3)),
)
@example(("a", [("b", "c")]), ("a", [("b", "c"), ("", "")]))
@example(("", [("a", 1)]), ("", [("a", True)]))
@example(("", [("a", 1)]), ("", [("a", "1")]))
@example(("1:a", []), ("", [("a", None)]))
def test_named_values_count_by_name_type_and_content(first: Any, second: Any) -> None:
    def exact(given: Any) -> Any:
        return given[0], [(name, type(value), repr(value)) for name, value in given[1]]

    same = values_digest("tag", *first) == values_digest("tag", *second)
    assert same is (exact(first) == exact(second))
    assert values_digest("tag", *first) != values_digest("other", *first)
