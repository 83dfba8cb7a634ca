from __future__ import annotations

import copy
import dataclasses
import doctest
import enum
import pickle
import sys
import typing
from collections import OrderedDict
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal, Optional

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.definition import config
from memo.definition.config import (
    ABSENT,
    Array,
    BoolSource,
    ConfigType,
    Enum,
    EnumValue,
    Field,
    IntSource,
    Map,
    Noneable,
    Permissive,
    Selector,
    Shape,
    StringSource,
    compile_schema,
    resolve,
    resolve_into,
)
from memo.errors import ConfigError, DefinitionError
from memo.hashing import value_digest

PATH = "ops.clean.config"
ENVIRON = {
    "LIMIT": "12",
    "NAME": "ada",
    "ON": "True",
    "OFF": "0",
    "RATIO": "0.5",
    "WORD": "twelve",
    "EMPTY": "",
}


class Color(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1  # noqa: PIE796 - an alias


class Mode(enum.StrEnum):
    FAST = "fast"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass(frozen=True)
class Bounds:
    low: int = 0
    high: int = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@dataclasses.dataclass
class Clean:
    limit: int
    ratio: float = 1
    bounds: Bounds = Bounds()
    many: list[Bounds] = dataclasses.field(default_factory=list)
    by_name: dict[str, Bounds] = dataclasses.field(default_factory=dict)
    columns: tuple[str, ...] = ("a",)
    color: Color = Color.RED
    mode: Literal["fast", "exact"] = "fast"
    note: str | None = None
    kinds: ClassVar[int] = 3
    made: int = dataclasses.field(init=False, default=1)


class Load(msgspec.Struct, rename="camel"):
    batch_size: Annotated[int, msgspec.Meta(ge=1, description="rows at a time")]
    tags: list[str] = []
    inner: Bounds | None = None
    extra: Any = None


class Strict(msgspec.Struct, frozen=True):
    name: str

    def __post_init__(self) -> None:
        if self.name == "key":
            raise KeyError(self.name)
        if self.name == "bare":
            raise RuntimeError


def resolved(schema: object, value: object = ABSENT) -> Any:
    return resolve(compile_schema(schema), value, path=PATH, environ=ENVIRON)


def problems_of(schema: object, value: object = ABSENT, path: str = PATH) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        resolve(compile_schema(schema), value, path=path, environ=ENVIRON)
    return [(problem.path, problem.message) for problem in caught.value.problems]


def refusal_of(schema: object) -> str:
    with pytest.raises(DefinitionError) as caught:
        compile_schema(schema, where="op 'clean' (flights.py:12)")
    assert caught.value.where == "op 'clean' (flights.py:12)"
    return caught.value.what


FITTING: list[tuple[object, object, object]] = [
    # no schema
    (None, 5, 5),
    (None, None, None),
    (None, {"a": [1, {"b": (2,)}]}, {"a": [1, {"b": (2,)}]}),
    (None, ABSENT, None),
    (Any, "x", "x"),
    (object, None, None),
    ({"a": Any}, {"a": [1, "2"]}, {"a": [1, "2"]}),
    # scalars
    (int, 3, 3),
    (float, 2.5, 2.5),
    (float, 2, 2.0),
    (str, "", ""),
    (bool, False, False),
    (int, Level.HIGH, 3),
    (str, Mode.FAST, "fast"),
    # lists and tuples
    ([int], [], []),
    ([int], [1, 2], [1, 2]),
    (Array(float), [1, 2.5], [1.0, 2.5]),
    (list[int], [1], [1]),
    (typing.List[int], [1], [1]),  # noqa: UP006 - what old code has
    (list, [1, "a", None], [1, "a", None]),
    (typing.List, [1, "a"], [1, "a"]),  # noqa: UP006 - what old code has
    (typing.Dict, {1: "a"}, {1: "a"}),  # noqa: UP006 - what old code has
    (tuple[str, ...], ["a"], ("a",)),
    (tuple[str, ...], ("a", "b"), ("a", "b")),
    (tuple, [1, "a"], (1, "a")),
    ([[int]], [[1], []], [[1], []]),
    ([{"a": int}], [{"a": 1}], [{"a": 1}]),
    # None
    (Noneable(int), None, None),
    (Noneable(int), 4, 4),
    (Noneable(int), ABSENT, None),
    (int | None, None, None),
    (Optional[int], 4, 4),  # noqa: UP045 - what old code has
    (Noneable(int | None), None, None),
    ({"a": Noneable([int])}, {}, {"a": None}),
    ({"a": Field(Noneable(int), default_value=3)}, {"a": None}, {"a": None}),
    ([Noneable(int)], [None, 1], [None, 1]),
    # shapes
    ({}, {}, {}),
    ({}, ABSENT, {}),
    ({"a": int}, {"a": 1}, {"a": 1}),
    (Shape({"a": int}), {"a": 1}, {"a": 1}),
    ({"a": int}, MappingProxyType({"a": 1}), {"a": 1}),
    ({"a": Field(int, default_value=5)}, ABSENT, {"a": 5}),
    ({"a": Field(int, default_value=5)}, {"a": 6}, {"a": 6}),
    ({"a": Field(int, is_required=False)}, {}, {}),
    ({"a": Field(Noneable(int), is_required=False)}, {}, {}),
    ({"a": Field(float, 1)}, {}, {"a": 1.0}),
    ({"a": {"b": {"c": Field(int, 1)}}}, {}, {"a": {"b": {"c": 1}}}),
    ({"a": Field({"b": Field(int, 1)}, {"b": 2})}, {}, {"a": {"b": 2}}),
    (Field(int, default_value=3), ABSENT, 3),
    (Field(int, is_required=False), ABSENT, None),
    (Field({"a": int}), {"a": 1}, {"a": 1}),
    (Field(bool, default_value=False), ABSENT, False),
    # permissive
    (dict, ABSENT, {}),
    (dict, {1: 2}, {1: 2}),
    (Permissive(), {"z": [1]}, {"z": [1]}),
    (Permissive({"a": float}), {"z": 1, "a": 1}, {"a": 1.0, "z": 1}),
    # selectors
    (Selector({"a": int, "b": str}), {"b": "x"}, {"b": "x"}),
    (Selector({"a": {"x": Field(int, 1)}}), ABSENT, {"a": {"x": 1}}),
    (Selector({"a": {"x": Field(int, 1)}}), {}, {"a": {"x": 1}}),
    (Selector({"a": {"x": Field(int, 1)}}), None, {"a": {"x": 1}}),
    (Selector({"a": {"x": Field(int, 1)}}), {"a": None}, {"a": {"x": 1}}),
    (Selector({"a": int, "b": {"x": Field(int, 1)}}), {"b": None}, {"b": {"x": 1}}),
    (Selector({"a": Field({"x": Field(int, 1)}, {"x": 9})}), {"a": None}, {"a": {"x": 1}}),
    (Selector({"a": Field({"x": Field(int, 1)}, {"x": 9})}), {}, {"a": {"x": 9}}),
    (Selector({"a": Field(int, is_required=False)}), {}, {"a": None}),
    (Selector({"a": Noneable(int), "b": int}), {"a": None}, {"a": None}),
    (Selector({"a": Selector({"b": dict})}), {"a": None}, {"a": {"b": {}}}),
    # maps
    (Map(str, int), {"x": 1}, {"x": 1}),
    (Map(int, str), {1: "x"}, {1: "x"}),
    ({int: [str]}, {1: ["x"]}, {1: ["x"]}),
    (dict[str, int], {}, {}),
    ({bool: int}, {True: 1}, {True: 1}),
    ({Color: int}, {"RED": 1, "GREEN": 2}, {Color.RED: 1, Color.GREEN: 2}),
    (dict[Literal["a", "b"], int], {"a": 1}, {"a": 1}),
    (Map(str, {"a": Field(int, 1)}, key_label_name="table"), {"t": {}}, {"t": {"a": 1}}),
    # enums and literals
    (Enum("E", [EnumValue("a"), EnumValue("b", 2)]), "a", "a"),
    (Enum("E", [EnumValue("a"), EnumValue("b", 2)]), "b", 2),
    (Color, "GREEN", Color.GREEN),
    (Color, "CRIMSON", Color.RED),
    (Color, Color.GREEN, Color.GREEN),
    (Mode, "FAST", Mode.FAST),
    (Mode, Mode.FAST, Mode.FAST),
    (Enum.from_python_enum(Color), "RED", Color.RED),
    ({"a": Field(Color, "RED")}, {}, {"a": Color.RED}),
    ({"a": Field(Color, Color.GREEN)}, {}, {"a": Color.GREEN}),
    (Literal["a", 1, True], 1, 1),
    (Literal["a", 1, True], True, True),
    (Literal["a", None], None, None),  # noqa: PYI061 - the form under test
    (Literal["fast", "exact"], Mode.FAST, "fast"),
    # sources
    (StringSource, "x", "x"),
    (StringSource, {"env": "NAME"}, "ada"),
    (StringSource, {"env": "EMPTY"}, ""),
    (IntSource, 3, 3),
    (IntSource, {"env": "LIMIT"}, 12),
    (BoolSource, True, True),
    (BoolSource, {"env": "ON"}, True),
    (BoolSource, {"env": "OFF"}, False),
    ({"a": Field(IntSource, {"env": "LIMIT"})}, {}, {"a": 12}),
    ([StringSource], ["x", {"env": "NAME"}], ["x", "ada"]),
    # classes
    (Bounds, ABSENT, Bounds()),
    (Bounds, {}, Bounds()),
    (Bounds, {"low": 5}, Bounds(5)),
    (Bounds, {"low": {"env": "LIMIT"}, "high": 20}, Bounds(12, 20)),
    (Bounds, Bounds(1, 2), Bounds(1, 2)),
    ({"b": Bounds}, {}, {"b": Bounds()}),
    ({"b": Field(Bounds, {"low": 3})}, {}, {"b": Bounds(3)}),
    ({"b": Field(Bounds, Bounds(3))}, {}, {"b": Bounds(3)}),
    ({"b": Noneable(Bounds)}, {}, {"b": None}),
    ([Bounds], [{}, {"low": 1}], [Bounds(), Bounds(1)]),
    (Clean, {"limit": 1}, Clean(1, 1.0)),
    (
        Clean,
        {
            "limit": {"env": "LIMIT"},
            "ratio": {"env": "RATIO"},
            "bounds": {"high": 3},
            "many": [{}, {"low": 2}],
            "by_name": {"x": {"low": 1}},
            "columns": ["b", {"env": "NAME"}],
            "color": "GREEN",
            "mode": "exact",
            "note": {"env": "NAME"},
        },
        Clean(
            12,
            0.5,
            Bounds(high=3),
            [Bounds(), Bounds(2)],
            {"x": Bounds(1)},
            ("b", "ada"),
            Color.GREEN,
            "exact",
            "ada",
        ),
    ),
    (Load, {"batchSize": 2}, Load(2)),
    (
        Load,
        {"batchSize": 2, "inner": {"low": 1}, "tags": ["x"], "extra": [1]},
        Load(2, ["x"], Bounds(1), [1]),
    ),
    (Annotated[int, "a word on it"], 3, 3),
    (Annotated[Bounds, msgspec.Meta(description="a word on it")], {}, Bounds()),
    ({"a": Annotated[int | None, msgspec.Meta(ge=1)]}, {"a": None}, {"a": None}),
    (Annotated[list[int], msgspec.Meta(max_length=2)], [1, 2], [1, 2]),
    (Annotated[tuple[int, ...], msgspec.Meta(max_length=2)], [1, 2], (1, 2)),
    (Annotated[dict[int, int], msgspec.Meta(max_length=1)], {1: 2}, {1: 2}),
    (Annotated[list[Bounds], msgspec.Meta(max_length=2)], [{}], [Bounds()]),
]


@pytest.mark.parametrize(("schema", "value", "expected"), FITTING)
def test_fitting(schema: Any, value: Any, expected: Any) -> None:
    found = resolved(schema, value)
    assert found == expected
    # Equality does not tell 1 from True or 1.0; versions do, and so does repr.
    assert repr(found) == repr(expected)


def missing(kind: str, sample: str) -> str:
    return f"Missing required config entry of type {kind}, for example {sample}"


MISFITS: list[tuple[object, object, list[tuple[str, str | None]]]] = [
    # scalars
    (int, "1", [("", "Expected int, got str '1'")]),
    (int, True, [("", "Expected int, got bool True")]),
    (int, 1.0, [("", "Expected int, got float 1.0")]),
    (int, None, [("", "Expected int, got None")]),
    (float, True, [("", "Expected float, got bool True")]),
    (float, "1.5", [("", "Expected float, got str '1.5'")]),
    (float, 10**400, [("", "The int is too large for a float")]),
    (str, 1, [("", "Expected str, got int 1")]),
    (bool, 1, [("", "Expected bool, got int 1")]),
    (bool, "true", [("", "Expected bool, got str 'true'")]),
    (
        str,
        {"env": "NAME"},
        [
            (
                "",
                (
                    "Expected str, got dict {'env': 'NAME'}; "
                    "only StringSource, IntSource and BoolSource read the environment"
                ),
            )
        ],
    ),
    # lists and tuples
    ([int], (1,), [("", "Expected [int], got tuple (1,)")]),
    ([int], "12", [("", "Expected [int], got str '12'")]),
    ([int], {}, [("", "Expected [int], got dict {}")]),
    ([int], [1, None, "x"], [("[1]", "Expected int, got None"), ("[2]", "Expected int, got str 'x'")]),
    ([[int]], [[1], [2, "x"]], [("[1][1]", "Expected int, got str 'x'")]),
    (tuple[int, ...], {1}, [("", "Expected (int, ...), got set {1}")]),
    # None
    (Noneable(int), "x", [("", "Expected int, got str 'x'")]),
    ({"a": Field(Noneable(int), is_required=True)}, {}, [(".a", missing("int | None", "{'a': 0}"))]),
    # missing
    (int, ABSENT, [("", missing("int", "{'config': 0}"))]),
    ({"a": int}, ABSENT, [("", missing("{a: int}", "{'config': {'a': 0}}"))]),
    ({"a": int}, {}, [(".a", missing("int", "{'a': 0}"))]),
    ({"a": Any}, {}, [(".a", missing("Any", "{'a': '...'}"))]),
    ({"a": [str]}, {}, [(".a", missing("[str]", "{'a': ['...']}"))]),
    (
        {"a": Field({"b": int, "c": Field(int, 1)}, description="where to start")},
        {},
        [
            (
                ".a",
                missing("{b: int, c: int = 1} (where to start)", "{'a': {'b': 0}}"),
            )
        ],
    ),
    (
        {"a": Shape({"b": bool}, description="where to start")},
        {},
        [(".a", missing("{b: bool} (where to start)", "{'a': {'b': False}}"))],
    ),
    ({"a": {str: float}}, {}, [(".a", missing("dict[str, float]", "{'a': {'...': 0.0}}"))]),
    ({"a b": int}, {}, [("['a b']", missing("int", "0"))]),
    ([{"a": int}], [{}], [("[0].a", missing("int", "{'a': 0}"))]),
    # unexpected
    (
        {"limit": Field(int, 1)},
        {"limt": 1},
        [(".limt", "Unexpected config entry 'limt'. Did you mean 'limit'?")],
    ),
    (
        {"limit": Field(int, 1), "name": Field(str, "")},
        {"xyz": 1},
        [(".xyz", "Unexpected config entry 'xyz'. There is: limit, name.")],
    ),
    ({}, {"a": 1}, [(".a", "Unexpected config entry 'a': no entries are expected here")]),
    ({"a": Field(int, 1)}, {3: 1}, [("[3]", "Unexpected config entry 3: names are strings")]),
    # shapes
    ({"a": int}, [1], [("", "Expected {a: int}, got list [1]")]),
    ({"a": int}, None, [("", "Expected {a: int}, got None")]),
    ({"a": {"b": int}}, {"a": {"b": "x"}}, [(".a.b", "Expected int, got str 'x'")]),
    (Permissive({"a": int}), {"a": "x", "z": 1}, [(".a", "Expected int, got str 'x'")]),
    (dict, 3, [("", "Expected {...}, got int 3")]),
    ({f"entry_{n}": int for n in range(20)}, 3, [("", None)]),
    # selectors
    (
        Selector({"a": int, "b": str}),
        {"a": 1, "b": "x"},
        [("", "Expected exactly one of 'a', 'b'; got 'a', 'b'")],
    ),
    (Selector({"a": int, "b": str}), {}, [("", "Expected exactly one of 'a', 'b'; got none")]),
    (Selector({"a": int, "b": str}), None, [("", "Expected one of {a: int, b: str}, got None")]),
    (Selector({"a": int, "b": str}), "a", [("", "Expected one of {a: int, b: str}, got str 'a'")]),
    (
        Selector({"alpha": int, "b": str}),
        {"alpa": 1},
        [(".alpa", "Unexpected config entry 'alpa'. Did you mean 'alpha'?")],
    ),
    (Selector({"a": int, "b": str}), {"b": 1}, [(".b", "Expected str, got int 1")]),
    (Selector({"a": int}), {}, [("", "Expected exactly one of 'a'; got none")]),
    (Selector({"a": int, "b": str}), {"a": None}, [(".a", "Expected int, got None")]),
    (Selector({"a": {"x": int}, "b": str}), {"a": None}, [(".a.x", missing("int", "{'x': 0}"))]),
    (
        {"s": Selector({"a": int, "b": str})},
        {},
        [(".s", missing("one of {a: int, b: str}", "{'s': {'a': 0}}"))],
    ),
    # maps
    ({int: str}, {"1": "x"}, [("['1']", "As a key: Expected int, got str '1'")]),
    (
        {str: int},
        {"a": "x", "b c": "y"},
        [(".a", "Expected int, got str 'x'"), ("['b c']", "Expected int, got str 'y'")],
    ),
    (
        {str: int},
        {1: "x"},
        [("[1]", "As a key: Expected str, got int 1"), ("[1]", "Expected int, got str 'x'")],
    ),
    ({str: int}, [1], [("", "Expected dict[str, int], got list [1]")]),
    (
        {Color: int},
        {"RED": 1, "CRIMSON": 2},
        [(".CRIMSON", "Another entry has the same key, written otherwise")],
    ),
    # enums and literals
    (Color, "GREN", [("", "'GREN' is not one of the choices. Did you mean 'GREEN'?")]),
    (Color, "blue", [("", "'blue' is not one of the choices. There is: CRIMSON, GREEN, RED.")]),
    (Color, 1, [("", "Expected 'RED' | 'GREEN' | 'CRIMSON', got int 1")]),
    (Color, ["RED"], [("", "Expected 'RED' | 'GREEN' | 'CRIMSON', got list ['RED']")]),
    (Literal[1, 2], True, [("", "Expected 1 | 2, got bool True")]),
    (Literal[1, 2], "1", [("", "Expected 1 | 2, got str '1'")]),
    (Literal["a"], None, [("", "Expected 'a', got None")]),
    # sources
    (StringSource, {"env": "NOPE"}, [("", "The environment variable 'NOPE' is not set")]),
    (IntSource, {"env": "WORD"}, [("", "The environment variable 'WORD' does not hold a value of type int")]),
    (
        BoolSource,
        {"env": "WORD"},
        [("", "The environment variable 'WORD' does not hold a value of type bool")],
    ),
    (
        IntSource,
        {"environ": "LIMIT"},
        [("", "Expected int or {'env': 'NAME'}, got dict {'environ': 'LIMIT'}")],
    ),
    (IntSource, {"env": 3}, [("", "Expected int or {'env': 'NAME'}, got dict {'env': 3}")]),
    (
        IntSource,
        {"env": "LIMIT", "or": 1},
        [("", "Expected int or {'env': 'NAME'}, got dict {'env': 'LIMIT', 'or': 1}")],
    ),
    (IntSource, "12", [("", "Expected int, got str '12'")]),
    ({"a": Field(IntSource, {"env": "NOPE"})}, {}, [(".a", "The environment variable 'NOPE' is not set")]),
    # classes
    (Bounds, {"low": 5, "high": 1}, [("", "Bounds refuses it: low is above high")]),
    (Bounds, {"low": "5"}, [(".low", "Expected int, got str '5'")]),
    (Bounds, {"lo": 5}, [(".lo", "Unexpected config entry 'lo'. Did you mean 'low'?")]),
    (Bounds, 5, [("", "Expected Bounds{low: int = 0, high: int = 10}, got int 5")]),
    (Bounds, {"low": {"env": "NOPE"}}, [(".low", "The environment variable 'NOPE' is not set")]),
    (Clean, {}, [(".limit", missing("int", "{'limit': 0}"))]),
    (Clean, {"limit": 1, "made": 2}, [(".made", None)]),
    (Clean, {"limit": 1, "kinds": 2}, [(".kinds", None)]),
    (Clean, {"limit": 1, "many": [{}, {"low": 11}]}, [(".many[1]", "Bounds refuses it: low is above high")]),
    (
        Clean,
        {"limit": 1, "by_name": {"x": {"low": 11}}},
        [(".by_name.x", "Bounds refuses it: low is above high")],
    ),
    (Clean, {"limit": 1, "by_name": {3: {}}}, [(".by_name[3]", "As a key: Expected str, got int 3")]),
    (Load, {"batchSize": 0}, [(".batchSize", "Expected int >= 1")]),
    (Load, {"batchSize": "0"}, [(".batchSize", "Expected int, got str '0'")]),
    (
        Load,
        {"batch_size": 1},
        [
            (".batchSize", None),
            (".batch_size", "Unexpected config entry 'batch_size'. Did you mean 'batchSize'?"),
        ],
    ),
    (Strict, {"name": "key"}, [("", "Strict refuses it: KeyError: 'key'")]),
    (Strict, {"name": "bare"}, [("", "Strict refuses it: RuntimeError")]),
    (Annotated[str, msgspec.Meta(pattern="^a")], "b", [("", "Expected str matching regex '^a'")]),
    (Annotated[list[int], msgspec.Meta(min_length=1)], [], [("", "Expected list of length >= 1")]),
    (Annotated[dict[str, int], msgspec.Meta(min_length=1)], {}, [("", "Expected dict of length >= 1")]),
]


@pytest.mark.parametrize(("schema", "value", "expected"), MISFITS)
def test_misfits(schema: Any, value: Any, expected: Any) -> None:
    found = problems_of(schema, value)
    assert [path for path, _ in found] == [PATH + path for path, _ in expected]
    for (_, message), (_, said) in zip(found, expected, strict=True):
        assert said is None or message == said
        assert "\n" not in message


def test_every_problem_at_once_and_in_order() -> None:
    schema = {
        "limit": int,
        "columns": [str],
        "source": Selector({"file": {"path": str}, "table": str}),
        "mode": Enum("Mode", [EnumValue("fast"), EnumValue("exact")]),
        "bounds": Bounds,
    }
    value = {
        "colums": ["a"],
        "limit": "5",
        "columns": ["a", 2, None],
        "source": {"file": {"pth": "x"}},
        "mode": "fats",
        "bounds": {"low": 11},
    }
    assert problems_of(schema, value) == [
        (f"{PATH}.limit", "Expected int, got str '5'"),
        (f"{PATH}.columns[1]", "Expected str, got int 2"),
        (f"{PATH}.columns[2]", "Expected str, got None"),
        (
            f"{PATH}.source.file.path",
            "Missing required config entry of type str, for example {'path': '...'}",
        ),
        (f"{PATH}.source.file.pth", "Unexpected config entry 'pth'. Did you mean 'path'?"),
        (f"{PATH}.mode", "'fats' is not one of the choices. Did you mean 'fast'?"),
        (f"{PATH}.bounds", "Bounds refuses it: low is above high"),
        (f"{PATH}.colums", "Unexpected config entry 'colums'. Did you mean 'columns'?"),
    ]


def test_problems_of_several_configs_gather_in_one_list() -> None:
    problems: list[Any] = []
    first = resolve_into(compile_schema({"a": int}), {"a": "x"}, path="ops.one.config", problems=problems)
    second = resolve_into(compile_schema({"a": int}), {"a": 2}, path="ops.two.config", problems=problems)
    third = resolve_into(compile_schema(int), ABSENT, path="ops.three.config", problems=problems)
    assert (first, second, third) == (None, {"a": 2}, None)
    assert [problem.path for problem in problems] == ["ops.one.config.a", "ops.three.config"]


def test_an_empty_path_gives_relative_paths() -> None:
    assert problems_of({"a": {"b": int}}, {"a": {"b": "x"}}, path="") == [("a.b", "Expected int, got str 'x'")]
    assert problems_of([int], ["x"], path="") == [("[0]", "Expected int, got str 'x'")]
    assert problems_of(int, ABSENT, path="") == [("", "Missing required config entry of type int, for example 0")]


def test_a_path_holds_a_key_whole() -> None:
    key = "a column name that is longer than what messages show"
    assert problems_of({str: int}, {key: "x"})[0][0] == f"{PATH}[{key!r}]"
    assert problems_of({str: {"n-1": int}}, {"é": {"n-1": "x"}})[0][0] == f"{PATH}.é.n-1"


def test_long_values_and_schemas_are_shortened_in_messages() -> None:
    [(_, message)] = problems_of({f"entry_{n}": int for n in range(50)}, "x" * 1000)
    assert len(message) < 200
    assert "…" in message


# Order


def test_a_shape_resolves_in_schema_order() -> None:
    schema = {"a": int, "b": Field(int, 2), "c": int}
    assert list(resolved(schema, {"c": 3, "a": 1})) == ["a", "b", "c"]
    assert value_digest(resolved(schema, {"c": 3, "a": 1})) == value_digest(resolved(schema, {"a": 1, "c": 3}))


def test_permissive_has_declared_entries_first_and_extras_as_given() -> None:
    assert list(resolved(Permissive({"b": int, "a": Field(int, 1)}), {"z": 1, "a": 2, "y": 3, "b": 4})) == [
        "b",
        "a",
        "z",
        "y",
    ]


def test_a_map_keeps_the_users_order() -> None:
    assert list(resolved({str: int}, {"z": 1, "a": 2})) == ["z", "a"]


# Defaults


def test_defaults_are_not_shared_between_resolutions() -> None:
    opaque = {"inner": [OrderedDict(a=[1])]}
    schema = {
        "columns": Field([str], default_value=["a"]),
        "anything": Field(Any, default_value=opaque),
        "rest": Field(dict, default_value={"x": {"y": []}}),
        "one": Field(Selector({"a": list}), default_value={"a": [[1]]}),
    }
    compiled = compile_schema(schema)
    before = resolve(compiled, ABSENT, path=PATH)
    expected = copy.deepcopy(before)
    before["columns"].append("b")
    before["anything"]["inner"][0]["a"].append(2)
    before["rest"]["x"]["y"].append(3)
    before["one"]["a"][0].append(4)
    opaque["inner"].append(OrderedDict())
    assert resolve(compiled, ABSENT, path=PATH) == expected


def test_defaults_of_classes_are_not_shared() -> None:
    class Box(msgspec.Struct):
        items: list[Any] = []
        more: dict[str, list[int]] = msgspec.field(default_factory=lambda: {"a": []})

    compiled = compile_schema({"box": Field(Box, default_value=Box([[1]]))})
    first = resolve(compiled, ABSENT, path=PATH)["box"]
    first.items[0].append(2)
    first.more["a"].append(1)
    assert resolve(compiled, ABSENT, path=PATH) == {"box": Box([[1]])}


def test_given_values_are_not_shared_with_the_resolved_config() -> None:
    shared = {"rows": [1], "pair": ([2],)}
    for schema in (None, dict, Any, Permissive({"a": Field(int, 1)}), {"rows": list, "pair": Any}):
        found = resolved(schema, shared)
        found["rows"].append(2)
        found["pair"][0].append(3)
        assert shared == {"rows": [1], "pair": ([2],)}


def test_a_given_instance_is_copied() -> None:
    given_config = Clean(1, many=[Bounds()])
    found = resolved(Clean, given_config)
    found.many.append(Bounds(1))
    assert given_config.many == [Bounds()]


def test_an_instance_that_cannot_be_copied_is_a_problem() -> None:
    class Held(msgspec.Struct):
        name: str

        def __deepcopy__(self, memo: object) -> Held:
            raise TypeError("cannot copy a lock")

    assert problems_of(Held, Held("x")) == [(PATH, "It cannot be copied: TypeError: cannot copy a lock")]
    assert "has a default that does not fit: It cannot be copied" in refusal_of(Field(Held, Held("x")))
    assert "has a default that cannot be copied: TypeError" in refusal_of({"a": Field(Any, OrderedDict(a=Held("x")))})


def test_a_default_factory_is_called_for_each_resolution_and_not_before() -> None:
    calls: list[int] = []

    def make() -> list[int]:
        calls.append(len(calls))
        return list(calls)

    @dataclasses.dataclass
    class Made:
        numbers: list[int] = dataclasses.field(default_factory=make)

    compiled = compile_schema(Made)
    assert calls == []
    assert resolve(compiled, {}, path=PATH).numbers == [0]
    assert resolve(compiled, {"numbers": [7]}, path=PATH).numbers == [7]
    assert resolve(compiled, ABSENT, path=PATH).numbers == [0, 1]


def test_a_default_factory_that_fails_or_does_not_fit_is_a_problem() -> None:
    class Made(msgspec.Struct):
        wrong: int = msgspec.field(default_factory=list)  # type: ignore[assignment]
        broken: int = msgspec.field(default_factory=lambda: 1 // 0)

    assert problems_of(Made, {}) == [
        (f"{PATH}.wrong", "Expected int, got list []"),
        (
            f"{PATH}.broken",
            "The default could not be made: ZeroDivisionError: integer division or modulo by zero",
        ),
    ]


def test_an_environment_default_is_not_read_when_the_schema_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMO_TEST_LIMIT", raising=False)

    @dataclasses.dataclass
    class Positive:
        limit: int

        def __post_init__(self) -> None:
            if self.limit < 1:
                raise ValueError("limit must be positive")

    reference = {"limit": {"env": "MEMO_TEST_LIMIT"}}
    compiled = compile_schema({"p": Field(Positive, reference), "q": Field([Positive], [reference])})
    with pytest.raises(ConfigError, match="'MEMO_TEST_LIMIT' is not set"):
        resolve(compiled, ABSENT, path=PATH)
    monkeypatch.setenv("MEMO_TEST_LIMIT", "4")
    assert resolve(compiled, ABSENT, path=PATH) == {"p": Positive(4), "q": [Positive(4)]}
    monkeypatch.setenv("MEMO_TEST_LIMIT", "0")
    assert problems_of(compiled, ABSENT)[0] == (
        f"{PATH}.p.limit",
        "The environment variable 'MEMO_TEST_LIMIT' is not set",
    )
    with pytest.raises(ConfigError, match="limit must be positive"):
        resolve(compiled, ABSENT, path=PATH)


def test_what_an_environment_variable_holds_is_never_shown() -> None:
    class Secret(msgspec.Struct):
        token: Annotated[str, msgspec.Meta(max_length=3)] = ""
        number: int = 0
        ratio: float = 0
        on: bool = False

    references = {name: {"env": "SECRET"} for name in ("token", "number", "ratio", "on")}
    with pytest.raises(ConfigError) as caught:
        resolve(compile_schema(Secret), references, path=PATH, environ={"SECRET": "hunter2"})
    assert len(caught.value.problems) == 4
    assert "hunter2" not in str(caught.value)


def test_class_fields_without_a_default_are_required_as_in_python() -> None:
    @dataclasses.dataclass
    class Outer:
        inner: Bounds
        note: str | None

    assert [path for path, _ in problems_of(Outer, {})] == [f"{PATH}.inner", f"{PATH}.note"]
    assert resolved(Outer, {"inner": {}, "note": None}) == Outer(Bounds(), None)


def test_initvars_and_keyword_only_fields() -> None:
    @dataclasses.dataclass(kw_only=True)
    class Scaled:
        scale: dataclasses.InitVar[int] = 2
        size: int

        def __post_init__(self, scale: int) -> None:
            self.size *= scale

    assert resolved(Scaled, {"size": 3}).size == 6
    assert resolved(Scaled, {"size": 3, "scale": 5}).size == 15
    assert resolved(Scaled, resolved(Scaled, {"size": 3})).size == 6


# Values and schemas that contain themselves, or nearly


def cyclic() -> dict[str, Any]:
    value: dict[str, Any] = {"rows": [1]}
    value["rows"].append({"up": value})
    return value


@pytest.mark.parametrize("schema", [None, Any, {"a": Any}, dict, [Any], Noneable(dict)])
def test_a_value_that_contains_itself_is_a_problem(schema: Any) -> None:
    value: Any = {"a": cyclic()} if isinstance(schema, dict) else [cyclic()] if isinstance(schema, list) else cyclic()
    found = problems_of(schema, value)
    assert [message for _, message in found] == ["The value contains itself"]
    assert found[0][0].endswith("rows[1].up") or found[0][0].endswith("up.rows")


def test_a_value_that_contains_itself_under_a_shape_is_a_problem() -> None:
    value: dict[str, Any] = {}
    value["a"] = value
    assert [path for path, _ in problems_of({"a": {"a": int}}, value)] == [f"{PATH}.a.a"]


def test_a_tuple_that_contains_itself_is_a_problem() -> None:
    held: list[Any] = []
    held.append((held,))
    assert problems_of(Any, held) == [(f"{PATH}[0][0]", "The value contains itself")]


def test_a_value_may_hold_the_same_part_twice() -> None:
    part = {"x": [1]}
    assert resolved(None, {"a": part, "b": [part, part]}) == {"a": part, "b": [part, part]}


def test_parts_held_over_and_over_cost_no_more_than_once() -> None:
    value: list[Any] = [1]
    for _ in range(100):
        value = [value, value]
    found = resolved(None, value)
    assert found[0] is found[1]


def test_a_value_nested_deeper_than_the_stack_is_a_problem() -> None:
    value: list[Any] = []
    for _ in range(sys.getrecursionlimit() * 2):
        value = [value]
    assert problems_of(None, value) == [(PATH, "The value is nested too deeply")]


def test_a_schema_that_contains_itself_is_refused() -> None:
    shape: dict[str, Any] = {"a": {}}
    shape["a"]["b"] = [shape]
    assert refusal_of(shape).startswith("the config schema at a.b[] contains itself")
    listed: list[Any] = []
    listed.append(listed)
    assert "contains itself" in refusal_of(listed)


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


@dataclasses.dataclass
class Chain:
    after: Chain | None = None


def test_a_class_that_contains_itself_is_refused() -> None:
    assert refusal_of(Tree).startswith("the config schema at Tree.children[] contains itself")
    assert refusal_of({"c": Chain}).startswith("the config schema at c.after contains itself")


def test_a_class_may_be_used_twice_in_a_schema() -> None:
    assert resolved({"a": Bounds, "b": [Bounds]}, {"b": [{}]}) == {"a": Bounds(), "b": [Bounds()]}


def test_a_schema_nested_deeper_than_the_stack_is_refused() -> None:
    schema: Any = int
    for _ in range(sys.getrecursionlimit() * 2):
        schema = [schema]
    assert refusal_of(schema) == "the config schema is nested too deeply"


# What is no schema


@dataclasses.dataclass
class Wrong:
    limit: int = None  # type: ignore[assignment]


@dataclasses.dataclass
class Unresolved:
    limit: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the point


class UnresolvedStruct(msgspec.Struct):
    limit: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the point


class Empty(enum.Enum):
    pass


REFUSALS: list[tuple[object, str]] = [
    (
        {"a": 5},
        "at a is 5, which is no config type. For a default, write Field(int, default_value=5). Allowed: int,",
    ),
    (
        {"a": {"b": "x"}},
        "at a.b is 'x', which is no config type. For a default, write Field(str, default_value='x').",
    ),
    ({"a": None}, "at a is None, which is no config type."),
    ([None], "at [] is None, which is no config type."),
    (set, "is the class set, which is no config type."),
    (set[int], "is set[int], which is no config type."),
    (len, "is <built-in function len>, which is no config type."),
    (Bounds(), "is Bounds(low=0, high=10), which is no config type."),
    (Noneable, "is the class Noneable, which is no config type. Write Noneable(...)."),
    ({"a": Permissive}, "at a is the class Permissive, which is no config type. Write Permissive(...)."),
    (Array, "is the class Array, which is no config type. Write Array(...)."),
    (ConfigType, "is the class ConfigType, which is no config type."),
    ([int, str], "is a list of 2; write [T]"),
    ([], "is a list of 0; write [T]"),
    ([Field(int)], "at [] is Field("),
    (int | str, "is int | str: of unions only T | None is allowed"),
    (int | str | None, "is int | str | None: of unions only T | None is allowed"),
    (tuple[()], "is tuple[()], which is no config type."),
    (tuple[int, str], "is tuple[int, str], which is no config type."),
    (Literal[b"x"], "is typing.Literal[b'x']: a Literal is of"),
    (Literal[Color.RED], "is typing.Literal[<Color.RED: 1>]: a Literal is of"),
    ({int: str, float: str}, "has an entry named the class int: names are strings"),
    ({1: str}, "at [] is 1, which is no config type."),
    (Map([int], str), "has keys of type [int]: keys are scalars"),
    (dict[StringSource, int], "has keys of type StringSource: keys are scalars"),  # type: ignore[valid-type]
    (
        Map(Enum("E", [EnumValue("a", [])]), int),
        "has keys of an Enum that stand for values which have no hash",
    ),
    (Shape([int]), "must name its entries in a dict, not in [<class 'int'>]"),  # type: ignore[arg-type]
    (Selector({}), "is a Selector without entries"),
    (Enum("E", []), "is the Enum 'E', which has no values"),
    (Empty, "is the Enum 'Empty', which has no values"),
    (Enum("E", ["a"]), "is an Enum with 'a'; its values are EnumValue('a string')"),  # type: ignore[list-item]
    (Enum("E", [EnumValue("a"), EnumValue("a", 1)]), "is an Enum with 'a' twice"),
    (Field(int, default_value="5"), "has a default that does not fit: Expected int, got str '5'"),
    ({"a": Field(int, default_value=None)}, "at a has a default that does not fit: Expected int, got None"),
    (
        {"a": Field({"b": [int]}, {"b": [1, "x"], "c": 1})},
        "at a has a default that does not fit: b[1]: Expected int, got str 'x'; c: Unexpected",
    ),
    (
        {"a": Field(Bounds, {"low": 11})},
        "at a has a default that does not fit: Bounds refuses it: low is above high",
    ),
    ({"a": Field(Color, "BLUE")}, "at a has a default that does not fit: 'BLUE' is not one of the choices"),
    (
        {"a": Field(Any, cyclic())},
        "at a has a default that does not fit: rows[1].up: The value contains itself",
    ),
    (Field(int, default_value=1, is_required=True), "is required and has a default"),
    (Field(int, is_required="no"), "has is_required='no'; it must be True or False"),  # type: ignore[arg-type]
    (Wrong, "at Wrong.limit has a default that does not fit: Expected int, got None"),
    ({"w": Wrong}, "at w.limit has a default that does not fit: Expected int, got None"),
    (Unresolved, "is the class Unresolved, whose annotations cannot be read: name 'Missing' is not defined"),
    (
        UnresolvedStruct,
        "is the class UnresolvedStruct, whose annotations cannot be read: name 'Missing' is not defined",
    ),
    (
        Annotated[str, msgspec.Meta(ge=1)],
        "has a constraint that does not apply: Can only set `ge` on a numeric type",
    ),
    (Annotated[Bounds, msgspec.Meta(min_length=1)], "has msgspec.Meta constraints on Bounds{"),
]


@pytest.mark.parametrize(("schema", "expected"), REFUSALS)
def test_refusals(schema: Any, expected: Any) -> None:
    what = refusal_of(schema)
    assert what.startswith(f"the config schema {expected}")
    assert "\n" not in what


# Describing


DESCRIPTIONS: list[tuple[object, str, object, bool]] = [
    (None, "Any?", "...", False),
    (int, "int", 0, True),
    (
        {"limit": Field(int, 5), "columns": [str]},
        "{limit: int = 5, columns: [str]}",
        {"columns": ["..."]},
        True,
    ),
    ({"a": Field(int, is_required=False)}, "{a: int?}", {}, False),
    ({"a": Noneable(int)}, "{a: int | None = None}", {}, False),
    (Permissive({"a": float}), "{a: float, ...}", {"a": 0.0}, True),
    (dict, "{...}", {}, False),
    ({str: [bool]}, "dict[str, [bool]]", {"...": [False]}, True),
    (tuple[int, ...], "(int, ...)", [0], True),
    (Selector({"a": int, "b": dict}), "one of {a: int, b: {...}}", {"a": 0}, True),
    (Selector({"b": dict}), "one of {b: {...}}", {"b": {}}, False),
    (Color, "'RED' | 'GREEN' | 'CRIMSON'", "RED", True),
    (Literal[1, "a"], "1 | 'a'", 1, True),
    (StringSource, "StringSource", "...", True),
    (Field(IntSource, 3), "IntSource = 3", 0, False),
    (Bounds, "Bounds{low: int = 0, high: int = 10}", {}, False),
    (
        Load,
        (
            "Load{batchSize: int, tags: [str] = list(), "
            "inner: Bounds{low: int = 0, high: int = 10} | None = None, extra: Any = None}"
        ),
        {"batchSize": 0},
        True,
    ),
]


@pytest.mark.parametrize(("schema", "text", "sample", "required"), DESCRIPTIONS)
def test_describing(schema: Any, text: str, sample: object, required: bool) -> None:
    compiled = compile_schema(schema)
    assert compiled.describe() == text
    assert compiled.sample() == sample
    assert compiled.required is required


def test_a_field_keeps_its_description() -> None:
    assert compile_schema(Field(int, description="rows")).description == "rows"
    assert compile_schema(Field(int, 5, description="rows")).description == "rows"
    assert compile_schema(Field(Shape({}, description="rows"))).description == "rows"
    assert StringSource.description == ""


def test_a_compiled_schema_is_a_schema() -> None:
    compiled = compile_schema({"a": int})
    assert compile_schema(compiled) == compiled
    assert resolved({"x": [compiled]}, {"x": [{"a": 1}]}) == {"x": [{"a": 1}]}


def test_absent_stays_itself() -> None:
    assert copy.deepcopy(ABSENT) is ABSENT
    assert pickle.loads(pickle.dumps(ABSENT)) is ABSENT
    assert repr(ABSENT) == "ABSENT"


def test_the_environment_is_the_process_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_TEST_NAME", "grace")
    assert resolve(StringSource, {"env": "MEMO_TEST_NAME"}, path=PATH) == "grace"
    with pytest.raises(ConfigError):
        resolve(StringSource, {"env": "MEMO_TEST_NAME"}, path=PATH, environ={})


def test_examples_in_the_documentation() -> None:
    assert doctest.testmod(config).failed == 0


# Properties

leaves: st.SearchStrategy[Any] = st.sampled_from(
    [
        int,
        float,
        str,
        bool,
        Any,
        dict,
        list,
        Color,
        Literal["a", 1],
        StringSource,
        IntSource,
        BoolSource,
        Bounds,
    ],
)
names = st.sampled_from(["a", "b", "limit", "columns", "a b"])


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    entries = st.dictionaries(
        names, inner | inner.map(Field) | inner.map(lambda each: Field(each, is_required=False)), max_size=4
    )
    return st.one_of(
        inner.map(Array),
        inner.map(Noneable),
        st.builds(Map, st.sampled_from([int, str, Color]), inner),
        entries,
        entries.map(Permissive),
        st.dictionaries(names, inner | inner.map(Field), min_size=1, max_size=3).map(Selector),
    )


schemas = st.recursive(leaves, deeper, max_leaves=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.sampled_from(["RED", "a", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.integers() | st.just("env"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(schemas)
def test_a_sample_fits_its_schema(schema: Any) -> None:
    compiled = compile_schema(schema)
    resolve(compiled, compiled.sample(), path=PATH, environ={})


@given(schemas)
def test_required_says_whether_absent_resolves(schema: Any) -> None:
    compiled = compile_schema(schema)
    problems: list[Any] = []
    resolve_into(compiled, ABSENT, path=PATH, problems=problems, environ={})
    assert bool(problems) is compiled.required


@given(schemas, values)
def test_any_value_gives_a_result_or_problems_within_it(schema: Any, value: Any) -> None:
    before = copy.deepcopy(value)
    problems: list[Any] = []
    found = resolve_into(compile_schema(schema), value, path=PATH, problems=problems, environ={})
    assert value == before
    assert found is None or not problems
    assert all(problem.path.startswith(PATH) and problem.message for problem in problems)


@given(schemas, values)
def test_a_resolved_value_resolves_to_itself(schema: Any, value: Any) -> None:
    problems: list[Any] = []
    compiled = compile_schema(schema)
    found = resolve_into(compiled, value, path=PATH, problems=problems, environ={})
    if not problems:
        assert value_digest(resolve(compiled, found, path=PATH, environ={})) == value_digest(found)


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_users_order_of_entries_counts_nothing(order: list[str]) -> None:
    schema = {"a": int, "b": {"x": int, "y": Field(int, 1)}, "c": Bounds, "d": Noneable(str)}
    whole = {"a": 1, "b": {"x": 2}, "c": {"high": 3}, "d": None}
    assert value_digest(resolved(schema, {name: whole[name] for name in order})) == value_digest(
        resolved(schema, whole)
    )
