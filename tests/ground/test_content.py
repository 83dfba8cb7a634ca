"""The digest of content: equal for equal values however they lie in memory, never equal for different ones."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import fractions
import functools
import http
import io
import itertools
import operator
import os
import pathlib
import pickle
import re
import subprocess
import sys
import tracemalloc
import types
import uuid
import zoneinfo
from collections.abc import Callable
from decimal import Decimal
from threading import Lock
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from memo.content import content_digest
from memo.contracts.run_store import OutputRecord


def digest(value: object) -> str:
    found = content_digest(value)
    assert found is not None, f"{type(value).__name__} has no digest: {value!r:.100}"
    assert re.fullmatch("[0-9a-f]{32}", found)
    return found


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "int": [1, 2],
            "float": [1.0, None],
            "text": ["x", None],
            "category": pd.Categorical(["a", "b"]),
            "time": pd.date_range("2020", periods=2, tz="Europe/Paris"),
            "naive": pd.date_range("2020", periods=2),
            "nullable": pd.array([1, None]),
            "boolean": pd.array([True, None]),
            "floating": pd.array([1.5, None], dtype="Float64"),
            "string": pd.array(["a", None], dtype="string[python]"),
            "object": [1, "a"],
            "period": pd.period_range("2020", periods=2, freq="M"),
            "interval": pd.interval_range(0, 2),
            "delta": pd.to_timedelta([1, 2]),
            "sparse": pd.arrays.SparseArray([0, 1]),
            "arrow": pd.array([1, None], dtype=pd.ArrowDtype(pa.int64())),
        },
    )


def table() -> Any:
    return pa.table({"a": [1, None, 3], "b": ["x", "longer text", None], "c": [[1, 2], None, []]})


PLAIN: list[Any] = [
    None,
    True,
    1,
    1.0,
    "1",
    b"1",
    bytearray(b"1"),
    1j,
    [],
    (),
    {},
    set(),
    frozenset(),
    [1, "a"],
    (1, "a"),
    {1, "a"},
    frozenset({1, "a"}),
    {"a": [1, {2}]},
    range(3),
    slice(1, 2),
    ...,
    NotImplemented,
    dt.datetime(2020, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    dt.date(2020, 1, 1),
    dt.timedelta(1),
    Decimal("1.0"),
    fractions.Fraction(1, 2),
    uuid.UUID(int=1),
    pathlib.PurePosixPath("a"),
    re.compile("a"),
    http.HTTPStatus.OK,
    re.IGNORECASE,
    ValueError("wrong", 1),
    FileNotFoundError(2, "gone"),
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    collections.deque([1], 3),
    collections.defaultdict(list, a=[1]),
    types.SimpleNamespace(a=1),
    len,
    int,
    list[int],
    operator.itemgetter(1),
    functools.partial(int, base=2),
    [1].append,
    itertools.chain,
    OutputRecord("result", size=1),
    msgspec.Raw(b"1"),
]

ARRAYS: list[Any] = [
    np.zeros(3),
    np.zeros(3, "f4"),
    np.zeros(3, "i8"),
    np.zeros(3, ">i8"),
    np.zeros((3, 1)),
    np.zeros((1, 3)),
    np.zeros(0),
    np.zeros((0, 3)),
    np.zeros(()),
    np.array(["a", "bc"]),
    np.array([b"a", b"bc"]),
    np.array(["a", "bc"], dtype=object),
    np.array([1, "a", None, {1}], dtype=object),
    np.array(["a", "bc"], np.dtypes.StringDType()),
    np.array(["2020", "NaT"], "M8[D]"),
    np.array([1], "m8[s]"),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.zeros(2, [("a", "i1"), ("b", "f8"), ("c", "O"), ("d", "i2", (2,))]),
    np.float64(1),
    np.int8(1),
    np.datetime64("2020"),
    np.dtype("f8"),
    np.dtype([("a", "f8")]),
    np.rec.array([(1, 2.0)], dtype=[("a", "i8"), ("b", "f8")]),
    np.random.default_rng(0),
    np.add,
]

FRAMES: list[Any] = [
    frame(),
    *(frame()[name] for name in frame()),
    *(frame()[name].array for name in frame()),
    pd.DataFrame(),
    pd.DataFrame({"a": []}),
    pd.DataFrame({"a": [1]}, index=["x"]),
    pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
    pd.DataFrame([[1, 2]], columns=["a", "a"]),
    pd.RangeIndex(3),
    pd.Index([1, 2]),
    pd.Index([1, 2], name="a"),
    pd.Index(["a"]),
    pd.date_range("2020", periods=3),
    pd.date_range("2020", periods=3, tz="UTC"),
    pd.period_range("2020", periods=2, freq="D"),
    pd.timedelta_range(0, periods=2),
    pd.interval_range(0, 2),
    pd.CategoricalIndex(["a", "b"]),
    pd.MultiIndex.from_product([[1, 2], ["a", "b"]]),
    pd.Timestamp("2020", tz="Europe/Paris"),
    pd.Timedelta(1),
    pd.NaT,
    pd.NA,
    pd.Period("2020"),
    pd.Interval(0, 1),
    pd.offsets.MonthEnd(),
    pd.CategoricalDtype(["a"]),
]

TABLES: list[Any] = [
    table(),
    table().to_batches()[0],
    table()["a"],
    table()["a"].chunk(0),
    table().schema,
    table().schema.field(0),
    table().replace_schema_metadata({"a": "b"}),
    table().select(["a", "b"]),
    table().rename_columns(["a", "b", "d"]),
    table().cast(pa.schema([("a", pa.int32()), ("b", pa.large_string()), ("c", pa.list_(pa.int64()))])),
    pa.list_(pa.int8()),
    pa.timestamp("ns", "UTC"),
    pa.scalar(1),
    pa.scalar("x"),
    pa.py_buffer(b"x"),
]


@pytest.mark.parametrize("value", [*PLAIN, *ARRAYS, *FRAMES, *TABLES], ids=lambda value: type(value).__name__)
def test_data_has_a_digest_that_storing_does_not_change(value: Any) -> None:
    first = digest(value)
    assert digest(value) == first
    assert digest(pickle.loads(pickle.dumps(value, protocol=5))) == first
    assert digest([value]) != first
    assert digest({"key": [value]}) == digest({"key": [pickle.loads(pickle.dumps(value, protocol=5))]})


def test_different_values_have_different_digests() -> None:
    everything = [*PLAIN, *ARRAYS, *FRAMES, *TABLES]
    by_digest: dict[str, Any] = {}
    for value in everything:
        other = by_digest.setdefault(digest(value), value)
        assert other is value, f"{value!r} and {other!r}"
    lists = {digest([value]) for value in everything}
    assert len(lists) == len(everything)


def test_digests_are_the_same_in_every_process_under_every_hash_seed() -> None:
    script = """
import numpy as np, pandas as pd, pyarrow as pa
from memo.content import content_digest
words = ["a", "b", "c", "longer", "words", 6, None]
value = {
    "set": set(words),
    "sets": {frozenset(words[:3]), frozenset(words[3:])},
    "frame": pd.DataFrame({"a": words, "b": pd.Categorical(words)}),
    "objects": np.array([set(words), "x"], dtype=object),
    "table": pa.table({"a": ["x", "y"]}),
}
print(content_digest(value), [content_digest(each) is not None for each in value.values()])
"""
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(said) == 1
    assert said.pop().endswith("[True, True, True, True, True]\n")


# What has no digest.


class Mine:
    pass


class MyError(Exception):
    pass


class MyDict(dict[str, int]):
    pass


class MyArray(np.ndarray[Any, Any]):
    pass


class MyFrame(pd.DataFrame):  # type: ignore[misc]
    pass


class MyColor(enum.Enum):
    RED = 1


class MyRecord(msgspec.Struct):
    a: int = 1


class MyType(pa.ExtensionType):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.mine")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, *_: Any) -> MyType:
        return cls()


def mine() -> None:
    pass


def as_main() -> Any:
    """A class of a script that runs in the place of an installed program."""
    return type("Script", (), {"__module__": "__main__"})()


MINE = [
    Mine(),
    Mine,
    Mine().__init__,  # type: ignore[misc]
    MyError(),
    MyDict(),
    MyArray(1),
    MyFrame({"a": [1]}),
    MyColor.RED,
    MyRecord(),
    MyType(),
    pa.ExtensionArray.from_storage(MyType(), pa.array([1])),
    pa.table({"a": pa.ExtensionArray.from_storage(MyType(), pa.array([1]))}),
    as_main(),
    mine,
    lambda: 1,
    functools.partial(mine),
    functools.lru_cache(mine),
    np.vectorize(mine),
    (each for each in "a"),
    Lock(),
    sys,
    memoryview(b"a"),
    np.zeros(3, np.longdouble),
    # What a map holds whose entries begin later, Arrow says in two ways.
    pa.Array.from_buffers(
        pa.map_(pa.string(), pa.int64()),
        1,
        pa.array([[1, 2]]).buffers()[:2],
        children=[
            pa.array(
                [("z", 0), ("a", 1), ("b", 2)], pa.struct([pa.field("key", pa.string(), False), ("value", pa.int64())])
            )[1:]
        ],
    ),
    pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
]


@pytest.mark.parametrize("value", MINE, ids=lambda value: getattr(value, "__name__", type(value).__name__))
def test_what_code_of_the_users_gives_meaning_has_no_digest(value: Any) -> None:
    for each in (
        value,
        [1, value],
        {"a": {"b": (value,)}},
        types.SimpleNamespace(a=value),
        collections.defaultdict(list, a=[value]),
        np.fromiter([value], dtype=object),
        pd.Series(np.fromiter([value], dtype=object)),
        ValueError(value),
    ):
        assert content_digest(each) is None


def test_members_of_sets_and_keys_of_dicts_count_too() -> None:
    for each in ({mine}, frozenset({Mine}), {mine: 1}, {MyColor.RED}, {(1, MyColor.RED)}):
        assert content_digest(each) is None


def test_what_contains_itself_or_is_shared_without_bound_has_a_digest() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert content_digest(loop) != content_digest([[]])
    node = types.SimpleNamespace(child=types.SimpleNamespace())
    node.child.parent = node
    assert content_digest(node) is not None
    doubled: Any = ["text"]
    for _ in range(60):
        doubled = [doubled, doubled]
    assert content_digest(doubled) is not None


def test_what_grows_without_bound_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memo.content.digesting._LIMIT", 1 << 22)
    doubled: Any = ("text",)
    for _ in range(60):
        doubled = (doubled, doubled)
    assert content_digest(doubled) is None
    assert content_digest(bytes(1 << 23)) is not None, "large payloads are cheap, and do not count as such growth"


# Equal, whatever the way they came about.


def test_interning_does_not_show() -> None:
    word = "some "
    word += "words"
    day = dt.date(2020, 1, 2)
    pair = (1, 2)
    assert digest(["some words", "some words"]) == digest([word, "some words"])
    assert digest([day, day]) == digest([dt.date(2020, 1, 2), dt.date(2020, 1, 2)])
    assert digest([pair, pair]) == digest([(1, 2), (1 * 1, 2)])


@pytest.mark.parametrize(
    "made", [lambda: [1, 2], lambda: {"a": 1}, lambda: np.arange(3), lambda: pd.DataFrame({"a": [1]})]
)
def test_sharing_of_what_can_be_changed_shows(made: Callable[[], Any]) -> None:
    """A step that changes the first member changes the second with it, or does not."""
    part = made()
    assert digest([part, part]) != digest([made(), made()])
    assert digest([part, part, made()]) != digest([part, made(), part])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.decimals(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
        | st.frozensets(st.text() | st.integers() | st.booleans(), max_size=4)
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
def test_digests_agree_exactly_where_plain_values_do(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (exactly(one) == exactly(other))
    assert digest(pickle.loads(pickle.dumps(one))) == digest(one)


def test_a_set_of_digests_is_not_the_set_that_has_them() -> None:
    mixed = {1, "a"}
    assert digest({digest(member) for member in mixed}) != digest(mixed)


# Arrays.


some_arrays = st.sampled_from(["i1", "u2", "i8", "f4", "f8", "c16", "?", "M8[s]", "m8[ms]", "U3", "S3"]).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
)


def array_content(array: Any) -> Any:
    return array.dtype, array.shape, np.ascontiguousarray(array).tobytes()


@given(some_arrays, some_arrays)
def test_digests_of_arrays_agree_only_where_their_elements_do(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (array_content(one) == array_content(other))


@given(some_arrays)
def test_no_bit_of_an_array_is_left_out(array: Any) -> None:
    if array.nbytes == 0 or array.dtype.kind in "?U":
        return
    before = digest(array)
    changed = array.copy()
    changed.reshape(-1).view("u1")[-1] ^= 1
    assert digest(changed) != before


@given(some_arrays)
def test_strides_do_not_show(array: Any) -> None:
    spread = np.zeros((*array.shape, 2), array.dtype)
    spread[..., 0] = array
    assert digest(spread[..., 0]) == digest(array)
    stacked = np.stack([array, array])
    stacked.flags.writeable = False
    assert digest(np.broadcast_to(array, (2, *array.shape))) == digest(stacked)


def test_large_strided_arrays() -> None:
    array = np.random.default_rng(0).random((1000, 700))
    for view in (array[:, 3], array[::-1], array[::3, ::2], array[:, ::-1].T):
        assert digest(view) == digest(view.copy("K" if view.flags.f_contiguous else "C"))
        changed = view.copy()
        changed.flat[-1] += 1
        assert digest(view) != digest(changed)


def test_whether_an_array_can_be_written_shows() -> None:
    array = np.arange(5)
    frozen = array.copy()
    frozen.flags.writeable = False
    assert digest(frozen) != digest(array)


def test_the_order_of_axes_in_memory_shows() -> None:
    # Sums are taken in the order of memory, and rounding makes that count.
    array = np.arange(6.0).reshape(2, 3)
    assert digest(np.asfortranarray(array)) != digest(array)
    assert digest(np.asfortranarray(array)) == digest(np.asfortranarray(array.copy()))


def test_the_bytes_between_fields_do_not_show() -> None:
    kind = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    one, other = np.zeros(3, kind), np.zeros(3, kind)
    one.view("u1")[:] = 7
    other.view("u1")[:] = 9
    for array in (one, other):
        array["a"], array["b"] = 1, 2.5
    assert one.tobytes() != other.tobytes()
    assert digest(one) == digest(other)
    other["b"][2] = 3
    assert digest(one) != digest(other)


def test_a_large_array_is_hashed_where_it_lies() -> None:
    values = [np.zeros((4000, 1000)), np.asfortranarray(np.zeros((4000, 1000))), pa.array(np.zeros(4_000_000))]
    values.append(pd.DataFrame({str(number): np.zeros(1_000_000) for number in range(4)}))
    for value in values:
        digest(value)
        tracemalloc.start()
        digest(value)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3_000_000, f"{peak:,} bytes were taken to hash 32,000,000"


# Frames.


def test_how_a_frame_was_put_together_does_not_show() -> None:
    whole = pd.DataFrame(np.arange(12.0).reshape(4, 3), columns=["a", "b", "c"])
    by_column = pd.DataFrame({"a": whole["a"].copy(), "b": whole["b"].copy(), "c": whole["c"].copy()})
    inserted = whole[["a", "c"]].copy()
    inserted.insert(1, "b", whole["b"])
    joined = pd.concat([whole[["a"]], whole[["b", "c"]]], axis=1)
    stacked = pd.concat([whole[:2], whole[2:]])
    sliced = pd.DataFrame(np.arange(24.0).reshape(8, 3), columns=["a", "b", "c"])[:4]
    for each in (by_column, inserted, joined, stacked, sliced, whole.copy(), whole[["c", "b", "a"]][["a", "b", "c"]]):
        pd.testing.assert_frame_equal(each, whole)
        assert digest(each) == digest(whole)
    assert digest(whole[["c", "b", "a"]]) != digest(whole)


def test_text_columns_do_not_show_how_they_were_cut() -> None:
    whole = pd.DataFrame({"text": ["a", None, "ccc", "d"]})
    stacked = pd.concat([whole[:1], whole[1:3], whole[3:]])
    assert digest(stacked) == digest(whole)
    assert digest(whole[1:].reset_index(drop=True)) == digest(pd.DataFrame({"text": [None, "ccc", "d"]}))


def test_what_lies_under_a_mask_does_not_show() -> None:
    one = pd.array([1, 2, None], dtype="Int64") + 1
    other = pd.array([2, 3, None], dtype="Int64")
    assert one._data[2] != other._data[2]
    assert digest(one) == digest(other)
    assert digest(pd.DataFrame({"a": one})) == digest(pd.DataFrame({"a": other}))
    assert digest(pd.array([2, 3, 0])) != digest(other)


def test_using_a_frame_does_not_show() -> None:
    used = frame()
    before = digest(used)
    used.describe()
    used.index.get_indexer([1])
    used["time"].dt.hour.sum()
    used["category"].cat.codes.sum()
    used["text"].str.len()
    used.loc[0]
    used.groupby("category", observed=True)["int"].sum()
    assert digest(used) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda each: each.rename(columns={"int": "integer"}),
        lambda each: each.set_index("int"),
        lambda each: each.rename_axis("name"),
        lambda each: each.astype({"int": "int32"}),
        lambda each: each.assign(text=["x", "y"]),
        lambda each: each.assign(object=[1, "b"]),
        lambda each: each.assign(object=[1.0, "a"]),
        lambda each: each.assign(category=pd.Categorical(["a", "b"], ordered=True)),
        lambda each: each.assign(category=pd.Categorical(["a", "b"], categories=["b", "a"])),
        lambda each: each.assign(time=each["time"].dt.tz_convert("UTC")),
        lambda each: each.assign(float=[1.0, 0.0]),
        lambda each: each.assign(nullable=pd.array([1, 1])),
        lambda each: each[::-1],
        lambda each: each[:1],
        lambda each: each.drop(columns="int"),
        lambda each: each.set_flags(allows_duplicate_labels=False),
        lambda each: each.pipe(lambda same: (same.attrs.update(unit="m"), same)[1]),
    ],
)
def test_what_changes_a_frame_shows(change: Any) -> None:
    assert digest(change(frame())) != digest(frame())


columns = st.lists(st.floats() | st.none(), min_size=3, max_size=3) | st.lists(
    st.text(max_size=2) | st.none(),
    min_size=3,
    max_size=3,
)
frames = st.dictionaries(st.sampled_from("abc"), columns, min_size=1).map(pd.DataFrame)


@given(frames, frames)
def test_digests_of_frames_agree_only_where_the_frames_do(one: Any, other: Any) -> None:
    if digest(one) == digest(other):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
    else:
        assert not (one.equals(other) and list(one.dtypes) == list(other.dtypes)) or has_two_kinds_of(one, other)


def has_two_kinds_of(one: Any, other: Any) -> bool:
    """Whether two frames that pandas calls equal differ in a sign of zero, or in which NaN or None they hold."""
    return repr(one.to_dict("list")) != repr(other.to_dict("list")) or bool(
        any(
            a.to_numpy().tobytes() != b.to_numpy().tobytes()
            for a, b in zip(one.items(), other.items(), strict=True)
            for a, b in [(a[1], b[1])]
            if a.dtype == float
        ),
    )


# Arrow.


kinds = st.sampled_from(
    [
        pa.int8(),
        pa.uint64(),
        pa.float16(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.binary(3),
        pa.binary_view(),
        pa.date32(),
        pa.date64(),
        pa.time32("s"),
        pa.time64("ns"),
        pa.timestamp("us"),
        pa.timestamp("ns", "Europe/Paris"),
        pa.duration("s"),
        pa.month_day_nano_interval(),
        pa.decimal128(5, 2),
        pa.decimal256(50, 2),
        pa.null(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.int64()),
    ],
)
nested_kinds = st.recursive(
    kinds,
    lambda inner: st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        inner.map(lambda kind: pa.list_(kind, 2)),
        st.tuples(inner, inner).map(lambda pair: pa.struct([("x", pair[0]), ("y", pair[1])])),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
    ),
    max_leaves=3,
) | st.just(pa.run_end_encoded(pa.int32(), pa.int64()))


SOME_VALUES: list[tuple[Any, list[Any]]] = [
    (pa.types.is_null, []),
    (pa.types.is_boolean, [True, False]),
    (pa.types.is_decimal, [Decimal("0.00"), Decimal("1.50")]),
    (pa.types.is_fixed_size_binary, [b"\0\0\0", b"abc"]),
    (pa.types.is_date, [dt.date(1970, 1, 1), dt.date(2020, 1, 1)]),
    (pa.types.is_interval, [pa.MonthDayNano([0, 0, 0]), pa.MonthDayNano([1, 2, 3])]),
    (pa.types.is_floating, [0.0, 1.5]),
    (lambda kind: "binary" in str(kind), [b"", b"\0", b"longer than what fits a view"]),
    (lambda kind: "string" in str(kind), ["", "a", "é", "longer than what fits a view"]),
    (lambda _: True, [0, 1, 2]),
]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an Arrow type, few enough that two draws are often the same."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return values_of(kind.value_type)
    if pa.types.is_nested(kind):
        return st.none() | nested_values_of(kind)
    return st.none() | st.sampled_from([None, *next(some for fits, some in SOME_VALUES if fits(kind))])


def nested_values_of(kind: Any) -> st.SearchStrategy[Any]:
    if pa.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return st.fixed_dictionaries({field.name: values_of(field.type) for field in fields})
    if pa.types.is_map(kind):
        return st.lists(st.tuples(st.sampled_from("ab"), values_of(kind.item_type)), max_size=2)
    least = 2 if pa.types.is_fixed_size_list(kind) else 0
    return st.lists(values_of(kind.value_type), min_size=least, max_size=2)


def garbled(array: Any) -> Any:
    """The same array with other bytes under its nulls, where it is of a type that has a width."""
    try:
        width = array.type.bit_width // 8
    except ValueError:
        return array
    if array.null_count == 0 or width == 0 or pa.types.is_nested(array.type) or pa.types.is_dictionary(array.type):
        return array
    validity, data = array.buffers()
    raw = bytearray(data.to_pybytes())
    for place in range(len(array)):
        if not array[place].is_valid:
            raw[(array.offset + place) * width : (array.offset + place + 1) * width] = b"\x5a" * width
    return pa.Array.from_buffers(array.type, len(array), [validity, pa.py_buffer(bytes(raw))], offset=array.offset)


@settings(deadline=None)
@given(nested_kinds.flatmap(lambda kind: st.tuples(st.just(kind), st.lists(values_of(kind), max_size=7))), st.data())
def test_how_an_arrow_array_was_cut_does_not_show(drawn: tuple[Any, list[Any]], data: Any) -> None:
    kind, values = drawn
    whole = pa.array(values, kind)
    length = len(values)
    before = data.draw(st.integers(0, 2))
    padded = pa.array([*values[:before], *values, *values[:1]], kind)
    cut = sorted(data.draw(st.lists(st.integers(0, length), max_size=3)))
    cuts = list(itertools.pairwise([0, *cut, length]))
    pieces = [whole[start:stop] for start, stop in cuts]
    if "dictionary" not in str(kind):  # its words count, used or not
        assert digest(padded[min(before, length) : min(before, length) + length]) == digest(whole)
        apart = [pa.array(values[start:stop], kind) for start, stop in cuts]
        assert digest(pa.chunked_array(apart, kind)) == digest(pa.chunked_array([whole], kind))
    assert digest(pa.chunked_array(pieces, kind)) == digest(pa.chunked_array([whole], kind))
    assert digest(garbled(whole)) == digest(whole)
    as_table = pa.table({"x": whole})
    assert digest(pa.table({"x": pa.chunked_array(pieces, kind)})) == digest(as_table)
    stored = io.BytesIO()
    with pa.ipc.new_stream(stored, as_table.schema) as writer:
        writer.write_table(as_table, max_chunksize=2)
    assert digest(pa.ipc.open_stream(stored.getvalue()).read_all()) == digest(as_table)


@settings(deadline=None, max_examples=300)
@given(
    nested_kinds.flatmap(
        lambda kind: st.tuples(
            st.just(kind),
            st.lists(values_of(kind), max_size=4),
            st.lists(values_of(kind), max_size=4),
        ),
    ),
)
def test_digests_of_arrow_arrays_agree_only_where_the_arrays_do(drawn: tuple[Any, list[Any], list[Any]]) -> None:
    kind, first, second = drawn
    one, other = pa.array(first, kind), pa.array(second, kind)
    assert (digest(one) == digest(other)) == one.equals(other)


@settings(deadline=None)
@given(nested_kinds, nested_kinds)
def test_types_show(one: Any, other: Any) -> None:
    first, second = pa.array([None, None], one), pa.array([None, None], other)
    assert (digest(first) == digest(second)) == (one == other)


def test_dictionaries_are_unified_across_chunks() -> None:
    whole = pa.chunked_array([pa.array(["a", "b", "c", "a"]).dictionary_encode()])
    chunks = pa.chunked_array([pa.array(["a", "b"]).dictionary_encode(), pa.array(["c", "a"]).dictionary_encode()])
    assert whole.combine_chunks().equals(chunks.unify_dictionaries().combine_chunks())
    assert digest(chunks) == digest(whole)
    other_words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0]), ["a", "b", "d"])
    other_order = pa.DictionaryArray.from_arrays(pa.array([2, 1, 0, 2], pa.int32()), ["c", "b", "a"])
    assert digest(pa.chunked_array([other_words])) != digest(whole)
    assert digest(pa.chunked_array([other_order])) != digest(whole)


def test_runs_count_by_their_values() -> None:
    values = pa.array([1, 1, None, 2, 2, 3])
    runs = pc.call_function("run_end_encode", [values])
    more_runs = pa.RunEndEncodedArray.from_arrays(pa.array(range(1, 7), pa.int32()), values)
    assert digest(runs) == digest(more_runs)
    within = pa.StructArray.from_arrays([runs], ["x"])
    for start, stop in itertools.combinations(range(7), 2):
        alone = pc.call_function("run_end_encode", [values[start:stop]])
        assert digest(runs[start:stop]) == digest(alone)
        assert (digest(runs[start:stop]) == digest(runs)) == (stop - start == 6)
        assert digest(within[start:stop]) == digest(pa.StructArray.from_arrays([alone], ["x"]))


def test_many_rows() -> None:
    numbers = np.random.default_rng(0).random(3_000_000)
    whole = pa.array(numbers, mask=numbers > 0.5)
    pieces = pa.chunked_array([whole[:1_500_000], whole[1_500_000:]])
    assert digest(pieces) == digest(pa.chunked_array([whole]))
    words = pa.array([str(number) for number in range(1_200_000)])
    changed = pa.concat_arrays([words[:-1], pa.array(["changed"])])
    assert digest(words) != digest(changed)


def test_metadata_counts() -> None:
    # pandas reads its index from there.
    assert digest(table().replace_schema_metadata({"pandas": "x"})) != digest(table())


def test_what_lies_under_nulls_does_not_show() -> None:
    hidden = pa.array([True, False, False])
    offsets = pa.array([0, 2, 3, 3])
    lists = [pa.ListArray.from_arrays(offsets, pa.array(items), mask=hidden) for items in ([9, 9, 1], [8, 7, 1])]
    pairs = [
        pa.FixedSizeListArray.from_arrays(pa.array(items), 2, mask=hidden)
        for items in ([9, 9, 1, 2, 3, 4], [8, 7, 1, 2, 3, 4])
    ]
    structs = [
        pa.StructArray.from_arrays([pa.array(items), pa.array(words)], ["x", "y"], mask=hidden)
        for items, words in (([9, 1, None], ["a", "b", "c"]), ([None, 1, None], ["zz", "b", "c"]))
    ]
    validity, text_offsets, _ = pa.array([None, "b", "c"]).buffers()
    shifted = pa.py_buffer(np.array([0, 2, 3, 4], "i4").tobytes())
    texts = [
        pa.Array.from_buffers(pa.string(), 3, [validity, text_offsets, pa.py_buffer(b"bc")]),
        pa.Array.from_buffers(pa.string(), 3, [validity, shifted, pa.py_buffer(b"zzbc")]),
    ]
    for one, other in (lists, pairs, structs, texts):
        assert one.equals(other)
        assert digest(one) == digest(other)
        assert digest(one[1:]) == digest(other[1:]) != digest(one)
        assert digest(one) != digest(one.fill_null(one[1]))


def test_the_version_of_a_values_package_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that only calls methods of what it is given does not name the package: its value must."""
    from memo.content import digesting

    def digests() -> list[str | None]:
        digesting._packaged.cache_clear()
        return [content_digest(value) for value in (pd.DataFrame({"a": [1]}), np.arange(3), {"a": [1, "x"]})]

    before = digests()
    monkeypatch.setattr(pd, "__version__", "99.0")
    monkeypatch.setattr(np, "__version__", "99.0")
    frame, array, plain = digests()
    digesting._packaged.cache_clear()

    assert frame != before[0]
    assert array != before[1]
    assert plain == before[2]
