"""Tables in DuckDB, PostgreSQL and Delta: back as they were, or refused in one line."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memo.contracts.io_manager import InputContext, MemoizableIOManager, OutputContext, Provenance, Storage
from memo.errors import InvocationError, OutputLostError, StorageError
from memo_iomanagers.database_names import shown_columns, view_name
from memo_iomanagers.delta import DeltaIOManager
from memo_iomanagers.duckdb_tables import DuckDBIOManager
from memo_iomanagers.postgres import PostgresIOManager
from memo_iomanagers.table_digest import TableDigest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["duckdb", "postgres", "delta"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> MemoizableIOManager:
    if request.param == "duckdb":
        return DuckDBIOManager(tmp_path / "tables.duckdb", "analytics")
    if request.param == "delta":
        return DeltaIOManager(tmp_path / "delta")
    return PostgresIOManager(request.getfixturevalue("postgres_dsn"), f"t_{uuid4().hex}")


def place_of(tables: MemoizableIOManager) -> str:
    return type(tables).__name__.removesuffix("IOManager").lower()


def loaded(tables: MemoizableIOManager, context: OutputContext, declared: Any = None) -> Any:
    return tables.load_input(InputContext("value", context, dagster_type=declared))


def there_and_back(tables: MemoizableIOManager, value: Any, declared: Any = None) -> Any:
    context = OutputContext("step", "result", uuid4().hex, "run")
    tables.handle_output(context, value)
    assert tables.has_output(context)
    return loaded(tables, context, declared)


# Types

MICROSECOND = 1_000_000
SCALARS: dict[str, Any] = {
    "bool": pa.array([True, None, False]),
    **{
        str(kind): pa.array([low, None, high], kind)
        for bits in (8, 16, 32, 64)
        for kind, low, high in (
            (getattr(pa, f"int{bits}")(), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
            (getattr(pa, f"uint{bits}")(), 0, 2**bits - 1),
        )
    },
    "half": pa.array([np.float16(1.5), None, np.float16("nan")], pa.float16()),
    "float": pa.array([1.1, None, -math.inf], pa.float32()),
    "double": pa.array([5e-324, None, 1.7976931348623157e308]),
    "special": pa.array([math.nan, -0.0, math.inf]),
    "decimal": pa.array([Decimal("-1.10"), None, Decimal("9" * 36 + ".99")], pa.decimal128(38, 2)),
    "decimal32": pa.array([Decimal("1.10"), None, None], pa.decimal32(5, 2)),
    "narrow256": pa.array([Decimal("1.10"), None, None], pa.decimal256(20, 2)),
    "string": pa.array(["\\N\t\n\r\\", None, ""]),
    "large_string": pa.array(["a\\nb", None, "\U0001f600 é \u2028"], pa.large_string()),
    "string_view": pa.array(["a" * 100, None, "\x01\x1f\b\f\v"], pa.string_view()),
    "binary": pa.array([b"\0\\x", None, b""]),
    "large_binary": pa.array([b"\xff", None, b""], pa.large_binary()),
    "fixed_binary": pa.array([b"ab", None, b"\0\0"], pa.binary(2)),
    "date32": pa.array([dt.date(1, 1, 1), None, dt.date(9999, 12, 31)]),
    "date64": pa.array([dt.date(1969, 12, 31), None, dt.date(2000, 2, 29)], pa.date64()),
    "time32": pa.array([0, None, 86399], pa.time32("s")),
    "time32ms": pa.array([1, None, 86399999], pa.time32("ms")),
    "time64": pa.array([1, None, 86399 * MICROSECOND + 999999], pa.time64("us")),
    **{
        f"timestamp {unit} {zone}": pa.array([-1000, None, 10**9], pa.timestamp(unit, zone))
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Berlin", "+05:30")
    },
    **{f"duration {unit}": pa.array([-(2**62), None, 7], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
    "null": pa.nulls(3),
}
NESTED: dict[str, Any] = {
    "list": pa.array([[1, None], None, []]),
    "large_list": pa.array([["a"], None, []], pa.large_list(pa.string())),
    "lists": pa.array([[[1], None, []], None, []]),
    "struct": pa.array([{"a": 1, "b": ["x"]}, None, {"a": None, "b": None}]),
    "unsigned": pa.array([[2**64 - 1], None, []], pa.list_(pa.uint64())),
}
NEVER: dict[str, Any] = {
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), "cast it to its values"),
    "map": (pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())), "make it a list of structs"),
    "interval": (pa.array([(1, 2, 3), None, None], pa.month_day_nano_interval()), "cast it to another"),
    "negative scale": (pa.array([None], pa.decimal128(5, -2)), "narrower decimal"),
    "empty struct": (pa.array([{}], pa.struct([])), "unnest it"),
    "run ends": (pa.RunEndEncodedArray.from_arrays(pa.array([3], pa.int32()), pa.array([1])), ": "),
}


def test_every_type_comes_back_as_it_was(tables: MemoizableIOManager) -> None:
    columns = dict(SCALARS)
    if place_of(tables) != "postgres":
        columns |= NESTED
    if place_of(tables) == "duckdb":
        columns["time64 ns"] = pa.array([1, None, 10**9 + 1], pa.time64("ns"))
        columns["fixed list"] = pa.array([[1, 2], None, [3, None]], pa.list_(pa.int64(), 2))
    if place_of(tables) == "postgres":
        columns["decimal256"] = pa.array([Decimal("9" * 40 + ".99"), None, None], pa.decimal256(60, 2))
    table = pa.table(columns)

    found = there_and_back(tables, table)

    assert found.schema.equals(table.schema, check_metadata=True)
    for name, column in columns.items():
        if not found[name].combine_chunks().equals(column):
            assert repr(found[name].to_pylist()) == repr(column.to_pylist()), name  # NaN is not equal to itself


@pytest.mark.parametrize("name", sorted(NEVER))
def test_a_type_that_would_not_come_back_is_refused(tables: MemoizableIOManager, name: str) -> None:
    array, remedy = NEVER[name]
    with pytest.raises(
        StorageError, match=r"output 'result' of step 'step': has the column 'x \"y\"' of type"
    ) as caught:
        there_and_back(tables, pa.table({'x "y"': array}))
    assert remedy in str(caught.value)


def test_values_that_do_not_fit_are_refused(tables: MemoizableIOManager) -> None:
    finer = pa.table({"when": pa.array([1], pa.timestamp("ns"))})
    if place_of(tables) == "duckdb":
        assert there_and_back(tables, finer).equals(finer)
    else:
        with pytest.raises(StorageError, match=r"'when' of type timestamp.*a value does not fit.*round or cast"):
            there_and_back(tables, finer)
    far = pa.table({"when": pa.array([2**62], pa.timestamp("s", "UTC"))})
    with pytest.raises(StorageError, match=r"'when' of type timestamp.*a value does not fit"):
        there_and_back(tables, far)


def arrays(kind: Any, values: Any) -> Any:
    return st.lists(st.none() | values, min_size=4, max_size=4).map(lambda each: pa.array(each, kind))


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
# Not the first day there is: in New York it is the day before, which Python has no datetime to show for.
naive = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 31))  # noqa: DTZ001 - that is what is tried
columns = {
    "i": arrays(pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "u": arrays(pa.uint64(), st.integers(0, 2**64 - 1)),
    "f": arrays(pa.float64(), st.floats()),
    "g": arrays(pa.float32(), st.floats(width=32)),
    "d": arrays(pa.decimal128(38, 6), st.decimals(-(10**30), 10**30, places=6)),
    "s": arrays(pa.string(), text | st.sampled_from(["\\", "\\\\N", "\\N", "\\.", "\\\\t", '"', "'"])),
    "b": arrays(pa.binary(), st.binary()),
    "t": arrays(pa.timestamp("us"), naive),
    "z": arrays(pa.timestamp("us", "America/New_York"), naive.map(lambda each: each.replace(tzinfo=dt.UTC))),
    "day": arrays(pa.date32(), st.dates()),
    "time": arrays(pa.time64("us"), st.times()),
    "yes": arrays(pa.bool_(), st.booleans()),
}


@settings(max_examples=15, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.fixed_dictionaries(columns))
def test_any_values_come_back(tables: MemoizableIOManager, found: dict[str, Any]) -> None:
    table = pa.table(found)
    back = there_and_back(tables, table)
    assert back.schema == table.schema
    for name in found:
        assert repr(back[name].to_pylist()) == repr(table[name].to_pylist())


# Kinds


def test_what_an_input_is_declared_to_be(tables: MemoizableIOManager) -> None:
    table = pa.table(
        {"n": [1, None, 2**60 + 1], "yes": [True, None, False], "x": [1.5, None, 2.5], "s": ["a", None, ""]}
    )
    context = OutputContext("step", "result", "v", "run")
    for value in (table, pl.from_arrow(table), table.to_reader(), duckdb.from_arrow(table)):
        tables.handle_output(context, value)
        frame = loaded(tables, context, pd.DataFrame)
        assert list(frame.dtypes.astype(str)) == ["Int64", "boolean", "float64", "str"]
        assert frame["n"].tolist() == [1, pd.NA, 2**60 + 1]
        assert loaded(tables, context, pl.DataFrame).equals(pl.from_arrow(table))
        assert loaded(tables, context, pa.Table).to_pylist() == table.to_pylist()
        reader = loaded(tables, context, pa.RecordBatchReader)
        assert isinstance(reader, pa.RecordBatchReader)
        assert reader.read_all().to_pylist() == table.to_pylist()
        assert loaded(tables, context, duckdb.DuckDBPyRelation).fetchall() == [
            tuple(row.values()) for row in table.to_pylist()
        ]
        for declared in (None, Any, dict, pd.DataFrame | pl.DataFrame):
            assert isinstance(loaded(tables, context, declared), type(value))
        assert isinstance(loaded(tables, context, pd.DataFrame | None), pd.DataFrame)


def test_a_frame_of_pandas_comes_back_as_it_was(tables: MemoizableIOManager) -> None:
    frame = pd.DataFrame(
        {
            "float": [1.5, math.nan, -0.0],
            "int8": np.array([1, -1, 0], "int8"),
            "Int64": pd.array([1, None, 2**62], "Int64"),
            "boolean": pd.array([True, None, False], "boolean"),
            "str": pd.array(["a", None, ""], "str"),
            "string": pd.array(["a", None, ""], "string"),
            "time": pd.to_datetime(["2020-01-01T00:00:00.000001", None, "1900-01-01T00:00:00.0"]),
            "zone": pd.to_datetime(["2020-01-01", None, "1900-01-01"]).tz_localize("Europe/Berlin"),
            "delta": pd.to_timedelta([1, None, -5], unit="s"),
            "q\"u'o;t%e ": [True, False, True],
        }
    )
    for each in (frame, frame.iloc[:0], pd.DataFrame({"a": pd.array([], "str")})):
        pd.testing.assert_frame_equal(there_and_back(tables, each), each, check_exact=True)


def test_a_frame_of_polars_comes_back_as_it_was(tables: MemoizableIOManager) -> None:
    frame = pl.DataFrame(
        {
            "i": [1, None, 3],
            "s": ["a", None, ""],
            "t": [dt.datetime(2020, 1, 1), None, dt.datetime(1900, 1, 1)],  # noqa: DTZ001 - that is what is tried
            "d": [Decimal("1.10"), None, Decimal("-2.25")],
            "u": pl.Series([1, None, 255], dtype=pl.UInt8),
            "span": [dt.timedelta(seconds=1), None, dt.timedelta(-5)],
            "time": [dt.time(1, 2, 3, 4), None, dt.time(0)],
            "none": [None, None, None],
        }
    )
    for each in (frame, frame.clear()):
        back = there_and_back(tables, each)
        assert back.schema == each.schema
        assert back.equals(each)


class Frame(pd.DataFrame):  # type: ignore[misc]
    @property
    def _constructor(self) -> Any:
        return Frame


def with_attrs() -> pd.DataFrame:
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["unit"] = object
    return frame


@pytest.mark.parametrize(
    ("value", "because"),
    [
        (lambda: {"a": [1]}, "is a value of type builtins.dict, which is no table; this IO manager takes a DataFrame"),
        (lambda: None, "is a value of type builtins.NoneType, which is no table"),
        (lambda: pl.LazyFrame({"a": [1]}), "which is no table: collect()"),
        (lambda: pa.record_batch({"a": [1]}), "which is no table: wrap it"),
        (lambda: Frame({"a": [1]}), "is a Frame, which would come back as a plain DataFrame"),
        (lambda: pd.DataFrame({"a": ["x", 1]}), "the column 'a' of dtype object, .*astype"),
        (lambda: pd.DataFrame({"a": pd.Categorical(["x"])}), "the column 'a' of categories"),
        (lambda: pl.DataFrame({"a": pl.Series(["x"], dtype=pl.Categorical)}), "the column 'a' of categories"),
        (lambda: pl.DataFrame({"a": pl.Series(["x"], dtype=pl.Enum(["x"]))}), "the column 'a' of categories"),
        (
            lambda: pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)}),
            "cannot be made an Arrow table|come back",
        ),
        (lambda: pd.DataFrame({"a": [1]}, index=["x"]), r"has an index of its own.*reset_index\(\)"),
        (lambda: pd.DataFrame({"a": [1, 2]}).iloc[1:], r"has an index of its own.*reset_index\(\)"),
        (lambda: pd.DataFrame({"a": [1]}).rename_axis("i"), "has a name on its index"),
        (lambda: pd.DataFrame({1: [1]}), "has a column named 1, a int.*named by strings"),
        (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "has two columns named 'a'"),
        (lambda: pd.DataFrame(index=range(3)), "rows and no column|has no column"),
        (lambda: pd.DataFrame({"a": pd.period_range("2020", periods=1)}), "'a' of (type|dtype)"),
        (lambda: pd.DataFrame({"a": pd.arrays.SparseArray([1, 0])}), "cannot be made an Arrow table|come back as"),
        (with_attrs, "has attrs that would be lost|cannot be made an Arrow table"),
        (
            lambda: pd.DataFrame({"a": pd.arrays.FloatingArray(np.array([1, np.nan]), np.array([True, False]))}),
            "has NaN beside NA in the column 'a'",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_would_not_come_back_is_refused(tables: MemoizableIOManager, value: Any, because: str) -> None:
    context = OutputContext("a.step", "rows", "v", "run")
    with pytest.raises(StorageError, match=f"^output 'rows' of step 'a.step': .*({because})") as caught:
        tables.handle_output(context, value())
    assert "\n" not in str(caught.value)
    assert not tables.has_output(context)


# Shapes and names

NAMES = [
    "",
    "a",
    "A",
    "É",
    "é",
    'q"u"o\'te',
    "%s $1 ; --",
    "x" * 100,
    "x" * 100 + "y",
    "ctid",
    "no_columns",
    "\u2028",
    "select",
]


def test_columns_may_have_any_names(tables: MemoizableIOManager) -> None:
    names = NAMES
    if place_of(tables) == "delta":
        for name in ("", "A"):
            with pytest.raises(StorageError, match=f"column.* named '{name}', which Delta cannot keep"):
                there_and_back(tables, pa.table([[1], [2], [3]], ["a", "b", name]))
        names = [name for name in NAMES if name not in {"", "A", "É"}]
    table = pa.table([[number] for number in range(len(names))], names)
    assert there_and_back(tables, table).equals(table)


def test_two_columns_of_one_name(tables: MemoizableIOManager) -> None:
    table = pa.table([[1], ["x"]], ["a", "a"])
    if place_of(tables) == "delta":
        with pytest.raises(StorageError, match="two columns named 'a'"):
            there_and_back(tables, table)
    else:
        assert there_and_back(tables, table).equals(table)


def test_two_thousand_columns(tables: MemoizableIOManager) -> None:
    table = pa.table({f"c{place}": pa.array([place], pa.int32()) for place in range(2000)})
    if place_of(tables) == "postgres":
        with pytest.raises(StorageError, match="has 2000 columns, and a table of PostgreSQL at most 1600"):
            there_and_back(tables, table)
        table = table.select(table.schema.names[:1600])
    assert there_and_back(tables, table).equals(table)


def test_rows_keep_their_order(tables: MemoizableIOManager) -> None:
    table = pa.table({"n": range(300_000), "s": [str(number % 7) for number in range(300_000)]})
    assert there_and_back(tables, table).equals(table)
    batches = table.to_batches(max_chunksize=1000)
    reader = pa.RecordBatchReader.from_batches(table.schema, batches)
    assert there_and_back(tables, reader).read_all().equals(table)


def test_a_table_without_rows(tables: MemoizableIOManager) -> None:
    table = pa.table({"a": pa.array([], pa.int64()), "b": pa.array([], pa.timestamp("us", "UTC"))})
    assert there_and_back(tables, table).equals(table)


def test_a_table_without_columns(tables: MemoizableIOManager) -> None:
    if place_of(tables) == "delta":
        with pytest.raises(StorageError, match="has no column, and a Delta table has at least one"):
            there_and_back(tables, pa.table({}))
    else:
        assert there_and_back(tables, pa.table({})).num_columns == 0
        assert there_and_back(tables, pd.DataFrame()).equals(pd.DataFrame())


def test_what_the_stream_of_an_op_raises_is_what_is_said(tables: MemoizableIOManager) -> None:
    def batches() -> Any:
        yield pa.record_batch({"a": [1]})
        raise ValueError("the source is dry")

    context = OutputContext("step", "result", "v", "run")
    with pytest.raises(ValueError, match="the source is dry"):
        tables.handle_output(context, pa.RecordBatchReader.from_batches(pa.schema({"a": pa.int64()}), batches()))
    assert not tables.has_output(context)


# What the contract asks


def test_what_is_known_of_the_content(tables: MemoizableIOManager) -> None:
    contexts = [OutputContext("step", name, "v", "run") for name in "abc"]
    contexts[0].provenance = Provenance("job", "key", "d1", 1.5, 1.7e9)
    contexts[2].provenance = Provenance(content_digest="d3")
    for context in contexts:
        tables.handle_output(context, pa.table({"a": [1]}))
        assert context.stored is not None
        assert context.stored.size == 8
        assert context.stored.place is not None
        assert view_name(context) in context.stored.place
    asked = [*contexts, OutputContext("step", "d", "v", "run"), OutputContext("step", "a")]
    assert tables.content_digests(asked) == ["d1", None, "d3", None, None]
    assert tables.has_outputs(asked) == [True, True, True, False, False]


def test_an_input_that_comes_from_nowhere(tables: MemoizableIOManager) -> None:
    with pytest.raises(InvocationError, match="'value' does not come from another step's output"):
        tables.load_input(InputContext("value"))


def test_nothing_is_made_by_looking(tables: MemoizableIOManager, tmp_path: Path) -> None:
    context = OutputContext("step", "result", "v", "run")
    assert tables.has_outputs([context]) == [False]
    with pytest.raises(OutputLostError, match="is not stored"):
        loaded(tables, context)
    assert list(tmp_path.iterdir()) == []


# Names and digests by themselves


def test_the_names_of_views() -> None:
    def name(step: str, output: str = "result", key: str | None = None) -> str:
        return view_name(OutputContext(step, output, mapping_key=key))

    assert name("daily_total") == "daily_total"
    assert name("daily_total", "late") == "daily_total___late"
    assert name("report.charts") == "report__charts"
    others = [("Daily_total",), ("daily__total",), ("_daily",), ("é",), ("a" * 64,), ("a" * 65,), ("a", "result", "k")]
    others += [("a", "result", "K"), ("a_", "b"), ("a", "_b"), ("a.b", "c"), ("a", "b.c"), ("a/b",), ("",)]
    found = [name(*each) for each in others]
    assert len({each.lower() for each in found}) == len(others)
    for each in found:
        assert each.isascii()
        assert each.isidentifier()
        assert len(each) <= 63


@given(st.lists(st.text(max_size=80) | st.sampled_from(["a", "A", "x" * 70, "x" * 71, "ß", "SS"]), max_size=20))
def test_the_columns_of_views_are_all_different(names: list[str]) -> None:
    shown = shown_columns(names)
    assert len({each.casefold() for each in shown}) == len(names)
    assert all(1 <= len(each.encode()) <= 63 and "\0" not in each for each in shown)


@given(st.lists(st.integers(0, 70_000), max_size=4), st.integers(0, 140_000))
@settings(max_examples=20, deadline=None)
def test_a_digest_does_not_see_how_rows_are_cut(cuts: list[int], rows: int) -> None:
    table = pa.table({"a": pa.array(np.arange(rows)), "x": pa.array(np.where(np.arange(rows) % 3, 1.0, math.nan))})

    def taken(places: list[int]) -> str:
        digest = TableDigest(table.schema)
        bounds = [0, *sorted(min(place, rows) for place in places), rows]
        for start, end in pairwise(bounds):
            for batch in table.slice(start, end - start).to_batches():
                digest.add(batch)
        assert digest.rows == rows
        return digest.hexdigest()

    assert taken(cuts) == taken([])


def test_a_spec_without_a_home() -> None:
    from memo_iomanagers.delta import DELTA
    from memo_iomanagers.duckdb_tables import DUCKDB

    for spec in (DUCKDB, DELTA):
        with pytest.raises(StorageError, match="there is no home to keep"):
            spec.create(SimpleNamespace(resource_config=None, storage=Storage()))
