"""Every value comes back of the same type and with the same content, in whatever encoding and place."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import pathlib
import uuid
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from memo.content import content_digest
from memo.content.comparing import first_difference
from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import StorageError
from memo_iomanagers.encodings import NAMES, choose, encoding_named
from memo_iomanagers.filesystem import FsIOManager

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclasses.dataclass
class Model:
    name: str
    weights: Any
    parts: dict[str, Any] = dataclasses.field(default_factory=dict)


class Colour(enum.Enum):
    RED = 1


class Array(np.ndarray[Any, Any]):
    pass


class Table(dict[str, int]):
    pass


Point = collections.namedtuple("Point", "x y")  # noqa: PYI024 - the kind that people pickle

LARGE = 30_000
"""Elements enough for a value to be mapped."""


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    yield str(tmp_path / "outputs") if request.param == "folder" else f"memory://{tmp_path}"
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


def there_and_back(place: str, value: Any, encoding: str = "auto", wanted: Any = None) -> Any:
    io_manager = FsIOManager(place, encoding)
    context = OutputContext("step", "result", "ab12", "run-1")
    io_manager.handle_output(context, value)
    return io_manager.load_input(InputContext("value", context, dagster_type=wanted))


def masked() -> Any:
    return np.ma.array(np.arange(LARGE * 1.0), mask=np.arange(LARGE) % 2 == 1, fill_value=-1)


def memmap(tmp: pathlib.Path) -> Any:
    found = np.memmap(tmp / "mapped", dtype="f8", mode="w+", shape=(LARGE,))
    found[:] = 7
    return found


def attributed(frame: pd.DataFrame) -> pd.DataFrame:
    frame.attrs["unit"] = "km"
    return frame


FRAMES = {
    "plain": pd.DataFrame({"a": range(LARGE), "b": np.arange(LARGE) / 3, "c": ["text"] * LARGE}),
    "float32 and bool": pd.DataFrame({"a": np.ones(LARGE, "f4"), "b": np.ones(LARGE, bool)}),
    "index": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["x", "y"], name="key")),
    "range index": pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(4, 0, -2, name="n")),
    "dates as index": pd.DataFrame({"a": range(3)}, index=pd.date_range("2020", periods=3, freq="D", tz="Asia/Tokyo")),
    "multi index": pd.DataFrame(
        {"a": range(4)}, index=pd.MultiIndex.from_product([["x", "y"], [1, 2]], names=list("kn"))
    ),
    "columns in levels": pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
    "numbers as columns": pd.DataFrame([[1, 2]], columns=[10, 20]),
    "a column twice": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "categories": pd.DataFrame({"a": pd.Categorical(["x", None], ["z", "y", "x"], ordered=True)}),
    "time zones": pd.DataFrame({"a": pd.date_range("2020", periods=2, tz="Europe/Paris"), "b": pd.NaT}),
    "nullable": pd.DataFrame(
        {
            "a": pd.array([1, None], "Int8"),
            "b": pd.array([True, None], "boolean"),
            "c": pd.array([0.5, None], "Float32"),
        }
    ),
    "arrow": pd.DataFrame(
        {
            "a": pd.Series(["x", None] * LARGE, dtype="string[pyarrow]"),
            "b": pd.Series([[1], None] * LARGE, dtype=pd.ArrowDtype(pa.list_(pa.int8()))),
        }
    ),
    "objects": pd.DataFrame({"a": pd.Series([1, "x", None, {1}], dtype=object)}),
    "periods and intervals": pd.DataFrame(
        {"a": pd.period_range("2020", periods=2, freq="M"), "b": pd.interval_range(0, 2)}
    ),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray([0, 0, 1])}),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="datetime64[ns]")}),
    "no columns": pd.DataFrame(index=range(5)),
    "attrs": attributed(pd.DataFrame({"a": [1]})),
    "complex": pd.DataFrame({"a": [1j]}),
}

ARRAYS = {
    "floats": np.arange(LARGE * 2.0).reshape(-1, 2),
    "Fortran": np.asfortranarray(np.arange(LARGE * 2.0).reshape(-1, 2)),
    "strided": np.arange(LARGE * 4.0)[::2],
    "transposed": np.arange(LARGE * 6.0).reshape(3, 2, -1).transpose(1, 0, 2),
    "0-d": np.array(5),
    "empty": np.zeros((0, 3)),
    "structured": np.zeros(LARGE, [("a", "i4"), ("b", "U3"), ("c", "f8", (2,))]),
    "padded": np.zeros(3, np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "record": np.rec.array([(1, "x")], dtype=[("a", "i4"), ("b", "U3")]),
    "objects": np.array(["a", None, {1}, 2**80], dtype=object),
    "dates": np.array(["2020-01-01", "NaT"], "M8[D]"),
    "spans": np.array([1, 2], "m8[7s]"),
    "big-endian": np.arange(LARGE, dtype=">i4"),
    "long double": np.array([1, 2], np.longdouble),
    "half": np.arange(LARGE).astype("f2"),
    "texts": np.array(["a", "bcd", ""]),
    "nothing wide": np.zeros(3, "S0"),
    "variable texts": np.array(["a", "b" * 100], np.dtypes.StringDType()),
    "unicode fields": np.zeros(2, [("é", "i4")]),
    "odd fields": np.zeros(2, [("名", "i4")]),
    "metadata": np.zeros(2, np.dtype("i4", metadata={"unit": "km"})),
    "subclass": np.arange(5.0).view(Array),
    "scalar": np.float32(1.5),
    "a dtype": np.dtype("i4"),
}

TABLES = {
    "table": pa.table({"a": range(LARGE), "b": ["x", None] * (LARGE // 2)}, metadata={"k": "v"}),
    "chunks": pa.concat_tables([pa.table({"a": [1, 2]}), pa.table({"a": [3]})]),
    "slice": pa.table({"a": range(LARGE), "b": ["x", "yy"] * (LARGE // 2)}).slice(7, LARGE // 2),
    "field metadata": pa.Table.from_arrays(
        [pa.array([1])], schema=pa.schema([pa.field("a", pa.int8(), nullable=False, metadata={"unit": "km"})])
    ),
    "a column twice": pa.Table.from_arrays([pa.array([1]), pa.array(["x"])], names=["a", "a"]),
    "no rows": pa.table({"a": pa.array([], pa.timestamp("s", "UTC"))}),
    "no columns": pa.table({}),
    "rows alone": pa.table({"a": [1, 2, 3]}).select([]),
    "a batch of rows alone": pa.record_batch({"a": [1, 2, 3]}).select([]),
    "nested": pa.table({"a": [{"x": [1, None], "y": "z"}, None], "b": [[["a"]], []]}),
    "dictionaries": pa.table({"a": pa.array(["x", "y", "x"]).dictionary_encode()}),
    "dictionaries that differ": pa.concat_tables(
        [pa.table({"a": pa.array([each]).dictionary_encode()}) for each in ("x", "y")]
    ),
    "maps and views": pa.table(
        {"m": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8())), "v": pa.array(["x"], "string_view")}
    ),
    "extension": pa.table({"a": pa.array([bytes(16)], pa.uuid())}),
    "decimals": pa.table({"a": [decimal.Decimal("1.50")], "b": pa.array([1], pa.duration("s")), "n": pa.nulls(1)}),
    "batch": pa.record_batch({"a": range(LARGE)}, metadata={"k": "v"}),
    "empty batch": pa.record_batch({"a": pa.array([], pa.int8())}),
    "array": pa.array([1, None] * LARGE),
    "empty array": pa.array([], pa.list_(pa.int8())),
    "sliced array": pa.array(["a", "b", None, "d"]).slice(1, 2),
    "chunked array": pa.chunked_array([[1, 2], [], [3]]),
    "no chunks": pa.chunked_array([], pa.int8()),
    "scalar": pa.scalar(5),
    "schema": pa.schema({"a": pa.int8()}),
}  # fmt: skip

POLARS = {
    "plain": pl.DataFrame({"a": range(LARGE), "b": ["x"] * LARGE}),
    "types": pl.DataFrame(
        {
            "c": pl.Series(["a", None], dtype=pl.Categorical),
            "e": pl.Series(["a", "b"], dtype=pl.Enum(["b", "a"])),
            "t": pl.Series([dt.datetime(2020, 1, 1)] * 2).dt.replace_time_zone("Asia/Tokyo"),  # noqa: DTZ001
            "l": [[1], None],
            "d": [decimal.Decimal("1.5"), None],
        }
    ),
    "empty": pl.DataFrame(),
    "series": pl.Series("s", [1, None]),
}

VALUES: dict[str, Any] = {
    "None": None,
    "bools": [True, False, 1, 0, 1.0],
    "large int": 2**10_000,
    "text": "é\ud800" * LARGE,
    "bytes": bytes(LARGE * 3),
    "bytearray": bytearray(LARGE * 3),
    "sets": [{1, "a"}, frozenset({(1, 2)})],
    "tuple": (1, (2,), [3]),
    "dataclass": Model("m", np.ones(LARGE), {"x": {1, 2}}),
    "enum": Colour.RED,
    "named tuple": Point(1, np.zeros(LARGE)),
    "child of dict": Table(a=1),
    "dates": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.date(2020, 1, 1), dt.timedelta(1)],
    "numbers": [decimal.Decimal("1.10"), fractions.Fraction(1, 3), 1j, float("inf"), -0.0],
    "path": pathlib.Path("a/b"),
    "uuid": uuid.UUID(int=7),
    "deque": collections.deque([1, 2], maxlen=2),
    "counter": collections.Counter("abca"),
    "default dict": collections.defaultdict(list, {"a": [1]}),
    "range": range(1, 9, 2),
    "a class": Model,
    "arrays in a dict": {"a": np.ones(LARGE), "b": np.asfortranarray(np.ones((LARGE, 2))), "c": [np.zeros(3)]},
    "series": pd.Series(range(LARGE), name=("a", 1), index=pd.Index(range(LARGE), name="i")),
    "index": pd.MultiIndex.from_product([["x"], [1, 2]], names=["a", None]),
    **{f"frame: {name}": frame for name, frame in FRAMES.items()},
    **{f"array: {name}": array for name, array in ARRAYS.items()},
    "array: masked": masked(),
    **{f"arrow: {name}": table for name, table in TABLES.items()},
    **{f"polars: {name}": frame for name, frame in POLARS.items()},
}


def check_same(value: Any, loaded: Any) -> None:
    assert type(loaded) is type(value)
    package = type(value).__module__.partition(".")[0]
    if package != "polars":  # whose pickles tell how a frame lies in memory
        assert content_digest(value) == content_digest(loaded)
    if package == "polars":
        assert loaded.equals(value)
        assert getattr(value, "schema", None) == getattr(loaded, "schema", None)
    elif package == "pyarrow" and hasattr(value, "schema"):
        assert loaded.equals(value, check_metadata=True)
        loaded.validate(full=True)
    elif package == "pyarrow":
        assert loaded.equals(value)
    else:
        difference = first_difference(value, loaded)
        assert difference is None, str(difference)


@pytest.mark.parametrize("name", VALUES)
def test_auto_loses_nothing(place: str, name: str) -> None:
    value = VALUES[name]
    loaded = there_and_back(place, value)
    check_same(value, loaded)
    if type(value) is np.ndarray:
        assert loaded.flags.writeable == value.flags.writeable
        assert repr(loaded.dtype) == repr(value.dtype)
        assert loaded.flags.fnc == value.flags.fnc
    if type(value) is pd.DataFrame:
        pd.testing.assert_frame_equal(loaded, value, check_freq=True)
        assert loaded.attrs == value.attrs


def test_a_mapped_array_comes_back(place: str, tmp_path: pathlib.Path) -> None:
    value = memmap(tmp_path)
    loaded = there_and_back(place, value)
    assert type(loaded) is np.memmap
    assert np.array_equal(loaded, value)


@pytest.mark.parametrize("size", [3, LARGE])
def test_an_array_that_must_not_be_changed_comes_back_so(place: str, size: int) -> None:
    value = np.arange(size)
    value.flags.writeable = False
    for stored in (value, {"within": value}):
        loaded = there_and_back(place, stored)
        array = loaded if stored is value else loaded["within"]
        assert not array.flags.writeable
        assert np.array_equal(array, value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    npst.arrays(
        npst.scalar_dtypes() | npst.array_dtypes() | npst.nested_dtypes(),
        npst.array_shapes(min_dims=0, min_side=0, max_side=4),
    )
)
def test_any_array_comes_back(tmp_path: pathlib.Path, value: Any) -> None:
    loaded = there_and_back(str(tmp_path), value)
    assert (type(loaded), loaded.dtype, loaded.shape) == (type(value), value.dtype, value.shape)
    assert loaded.tobytes() == value.tobytes()


columns = st.sampled_from([pa.int8(), pa.float64(), pa.string(), pa.bool_(), pa.list_(pa.int16()), pa.binary()])
cells: dict[Any, Any] = {
    pa.int8(): st.integers(-128, 127),
    pa.float64(): st.floats(allow_nan=False),
    pa.string(): st.text(st.characters(codec="utf-8"), max_size=5),
    pa.bool_(): st.booleans(),
    pa.list_(pa.int16()): st.lists(st.none() | st.integers(-9, 9), max_size=3),
    pa.binary(): st.binary(max_size=5),
}


@st.composite
def arrow_tables(draw: Any) -> Any:
    rows = draw(st.integers(0, 6))
    kinds = draw(st.lists(columns, max_size=4))
    arrays = [pa.array([draw(st.none() | cells[kind]) for _ in range(rows)], kind) for kind in kinds]
    table = pa.Table.from_arrays(arrays, names=[f"c{place}" for place in range(len(arrays))])
    parts = [table.slice(0, draw(st.integers(0, 6))), table.slice(draw(st.integers(0, 6)))]
    return pa.concat_tables(parts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(arrow_tables())
def test_any_table_comes_back_as_table_and_as_stream(tmp_path: pathlib.Path, value: Any) -> None:
    for encoding in ("auto", "arrow", "parquet"):
        if value.num_columns == 0 and encoding == "parquet":
            continue
        assert there_and_back(str(tmp_path), value, encoding).equals(value, check_metadata=True)
        stream = there_and_back(str(tmp_path), value.to_reader(), encoding)
        assert isinstance(stream, pa.RecordBatchReader)
        assert stream.read_all().equals(value, check_metadata=True)


@pytest.mark.parametrize("encoding", ["arrow", "parquet"])
@pytest.mark.parametrize("name", [*FRAMES, *(f"polars {name}" for name in POLARS)])
def test_a_frame_comes_back_from_a_fixed_format_or_is_refused(place: str, encoding: str, name: str) -> None:
    value = FRAMES[name] if name in FRAMES else POLARS[name.removeprefix("polars ")]
    try:
        loaded = there_and_back(place, value, encoding)
    except StorageError as error:
        assert f"cannot be stored as {encoding}: it" in str(error)  # noqa: PT017 - either is right, and nothing else
        assert name in REFUSED[encoding]
        return
    assert name not in REFUSED[encoding]
    check_same(value, loaded)


REFUSED: dict[str, set[str]] = {
    # The last four: conversions that Arrow and pandas themselves do not make.
    "arrow": {"a column twice", "objects", "sparse", "complex", "polars series", "dates as index", "arrow", "empty",
              "no columns"},
    "parquet": {"a column twice", "objects", "sparse", "complex", "polars series", "dates as index", "arrow", "empty",
                "no columns"},
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["arrow", "parquet"])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_comes_back_from_a_fixed_format_or_is_refused(place: str, encoding: str, name: str) -> None:
    value = TABLES[name]
    refused = {"scalar", "schema"}
    if encoding == "parquet":
        refused |= {"rows alone", "a batch of rows alone", "batch", "empty batch", "no chunks"}
        refused |= {name for name in TABLES if name.endswith("array")}
    if name in refused:
        with pytest.raises(StorageError, match=f"cannot be stored as {encoding}"):
            there_and_back(place, value, encoding)
        return
    loaded = there_and_back(place, value, encoding)
    assert type(loaded) is type(value)
    assert loaded.to_pylist() == value.to_pylist()
    assert content_digest(loaded) == content_digest(value)


@pytest.mark.parametrize(
    ("encoding", "value", "why"),
    [
        ("json", {"a": [1, (2,)]}, r"value\['a'\]\[1\] is a tuple"),
        ("json", {1: 2}, "value has the key 1, a int"),
        ("json", [float("nan")], r"value\[0\] is nan"),
        ("json", {"a": 10**5000}, r"value\['a'\] has more than 4,000 digits"),
        ("json", [[]] * 2, r"value\[.\] occurs twice"),
        ("json", Table(a=1), "value is a .*Table"),
        ("json", {"a": Colour.RED}, r"value\['a'\] is a .*Colour"),
        ("text", b"bytes", "it is a bytes; text takes str"),
        ("text", "a\ud800", "half of a surrogate pair, at 1"),
        ("bytes", memoryview(b""), "it is a memoryview"),
        ("numpy", [1], "it is a list"),
        ("numpy", np.array([None]), "its dtype, object, holds Python objects"),
        ("numpy", np.ma.array([1]), "it is a numpy.ma.*MaskedArray"),
        ("numpy", np.zeros(1, np.dtype("i4", metadata={"a": 1})), "would not come back as it is"),
        ("arrow", {"a": [1]}, "it is a dict; arrow takes a pyarrow Table"),
        ("arrow", FRAMES["objects"], "its column 'a' holds Python objects"),
        ("parquet", FRAMES["objects"], "its column 'a' holds Python objects"),
        ("parquet", 5, "it is a int; parquet takes a pyarrow Table"),
        ("path", 5, "it is a int; path takes a pathlib.Path or str"),
        ("path", pathlib.Path("/nowhere/at/all"), "there is nothing at '/nowhere/at/all'"),
    ],
)
def test_a_fixed_format_refuses_what_it_cannot_take_in_one_line(
    place: str, encoding: str, value: Any, why: str
) -> None:
    with pytest.raises(StorageError, match=why) as raised:
        there_and_back(place, value, encoding)
    said = str(raised.value)
    assert said.startswith(f"output 'result' of step 'step': cannot be stored as {encoding}: ")
    assert "let fs_io_manager keep it, which takes whatever can be pickled" in said
    assert "\n" not in said


def test_json_gives_back_what_it_took(place: str) -> None:
    value = {"a": [1, -0.0, 1e300, True, None, "é\ud800\x00"], "": {}, "n": 10**3999}
    assert repr(there_and_back(place, value, "json")) == repr(value)


@pytest.mark.parametrize("value", ["", "a\r\nb\n", "é" * LARGE * 3])
def test_text_is_a_text_file(tmp_path: pathlib.Path, value: str) -> None:
    assert there_and_back(str(tmp_path), value, "text") == value
    (file,) = tmp_path.rglob("*.txt")
    assert file.read_bytes() == value.encode()


def test_files_are_such_that_other_programs_read_them(tmp_path: pathlib.Path) -> None:
    array, table = np.arange(LARGE * 1.0).reshape(2, -1), TABLES["table"]
    there_and_back(str(tmp_path), array)
    there_and_back(str(tmp_path / "2"), table)
    there_and_back(str(tmp_path / "3"), table, "parquet")
    assert np.array_equal(np.load(next(tmp_path.rglob("*.npy"))), array)
    assert pa.ipc.open_file(next(tmp_path.rglob("*.arrow"))).read_all().equals(table)
    assert pl.read_parquet(next(tmp_path.rglob("*.parquet"))).equals(pl.DataFrame(table))


def test_each_encoding_is_known_by_its_name() -> None:
    assert {encoding_named(name).name for name in NAMES} == NAMES
    assert len({encoding_named(name).suffix for name in NAMES}) == len(NAMES)
    with pytest.raises(StorageError, match=r"there is no encoding 'parket'\. Did you mean 'parquet'\?"):
        FsIOManager("/nowhere", "parket")


def test_what_auto_chooses() -> None:
    chosen = {name: choose(value).name for name, value in VALUES.items()}
    assert chosen["arrow: table"] == chosen["arrow: batch"] == chosen["arrow: array"] == "arrow"
    assert chosen["array: floats"] == chosen["array: structured"] == "numpy"
    pickled = ["array: objects", "array: subclass", "array: masked", "arrow: dictionaries", "arrow: extension", "path"]
    assert {chosen[name] for name in pickled} == {"pickle"}
    assert {chosen[name] for name in VALUES if ":" not in name or name.startswith(("frame", "polars"))} == {"pickle"}
