"""What a source gave comes back with the same type and value, or is refused when it is to be kept."""

from __future__ import annotations

import math
import pathlib
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import MsgspecError

from memo.catalog.packing import pack
from memo.catalog.values import pack_value, unpack_value
from memo.hashing import value_digest

zones = (
    st.none()
    | st.just(UTC)
    | st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]).map(ZoneInfo)
    | st.integers(-86399, 86399).map(lambda seconds: timezone(timedelta(seconds=seconds)))
    | st.just(timezone(timedelta(hours=1), "home"))
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(1 << 80), max_value=1 << 80)
    | st.floats(allow_nan=False)
    | st.text(st.characters())  # lone surrogates included
    | st.binary()
    | st.dates()
    | st.builds(lambda at, zone: at.replace(tzinfo=zone), st.times(), zones)
    | st.builds(
        lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold), st.datetimes(), zones, st.sampled_from([0, 1])
    )
    | st.decimals(allow_nan=False)
    | st.sampled_from([pathlib.PurePosixPath("a/b"), pathlib.PureWindowsPath("C:\\a"), pathlib.Path("caf\udce9.csv")])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.dates() | st.tuples(st.text(), st.integers()), inner)
    ),
    max_leaves=20,
)


def typed(value: Any) -> Any:
    """A value with the type of everything in it."""
    if isinstance(value, dict):
        return dict, [(typed(key), typed(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [typed(each) for each in value]
    return type(value), repr(value)


@given(values)
def test_a_value_comes_back_with_its_type(value: Any) -> None:
    again = unpack_value(pack_value(value))

    assert typed(again) == typed(value)
    assert value_digest(again) == value_digest(value)


def test_numbers_that_equal_nothing_come_back_too() -> None:
    assert math.isnan(unpack_value(pack_value(math.nan)))
    assert str(unpack_value(pack_value(Decimal("sNaN7")))) == "sNaN7"
    assert math.copysign(1, unpack_value(pack_value(-0.0))) == -1


class Text(str):
    __slots__ = ()


class Zone(tzinfo):
    def utcoffset(self, _at: datetime | None) -> timedelta:
        return timedelta(0)

    def tzname(self, _at: datetime | None) -> str:
        return "here"

    def dst(self, _at: datetime | None) -> timedelta:
        return timedelta(0)

    def __repr__(self) -> str:
        return "Zone()"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, r"a value of type builtins\.set cannot be kept; give plain data, bytes, a Decimal, a path, a date"),
        ([1, (Fraction(1, 2),)], r"fractions\.Fraction cannot be kept"),
        ({"n": np.float64(0.5)}, r"numpy\.float64 cannot be kept"),
        (Text("a"), "Text cannot be kept"),
        ({Text("a"): 1}, "Text cannot be kept"),
        (date, r"builtins\.type cannot be kept"),
        (timedelta(1), r"datetime\.timedelta cannot be kept"),
        (datetime(2026, 1, 1, tzinfo=Zone()), r"a time in the zone Zone\(\) cannot be kept; give one in UTC"),
        (time(1, tzinfo=Zone()), r"a time in the zone Zone\(\) cannot be kept"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pack_value(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(ValueError, match="contains itself"):
        pack_value(endless)


@pytest.mark.parametrize(
    "kept",
    [
        [],
        ["strange", 1],
        ["list"],
        ["list", 1],
        ["int", 1],
        ["int", "x"],
        ["str", b"\xff"],
        ["date", ""],
        ["datetime", "2026-01-01", 7, None],
        ["datetime", "2026-01-01", 0, ["ZoneInfo", "Nowhere/Land"]],
        ["datetime", "2026-01-01", 0, ["timezone", "a", 0, 0]],
        ["datetime", "2026-01-01", 0, 1],
        ["Decimal", "one"],
        ["dict", [[["list", []], 1]]],
        ["PosixPath", 1],
    ],
)
def test_what_is_no_kept_value_is_told_as_damage(kept: Any) -> None:
    with pytest.raises(MsgspecError, match="no value"):
        unpack_value(pack(kept))
