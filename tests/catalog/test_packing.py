"""What has no column of its own comes back as it went in, and nothing a user hands over is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.catalog.packing import (
    pack,
    pack_recipe,
    pack_some,
    pack_text,
    storable,
    unpack,
    unpack_recipe,
    unpack_text,
)
from memo.contracts.run_store import Recipe, RecipePart

scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(1 << 63), max_value=(1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)
anything = st.text(st.characters())  # lone surrogates included


@given(values)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert unpack(pack(value)) == value


def test_a_nan_stays_a_nan() -> None:
    assert math.isnan(unpack(pack({"loss": math.nan}))["loss"])


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (10**30, str(10**30)),
        ("caf\udce9.csv", "caf\\udce9.csv"),
        ({"caf\udce9": {"deep": "\udce9"}}, {"caf\\udce9": {"deep": "\\udce9"}}),
        (PurePosixPath("a/b"), "PurePosixPath('a/b')"),
        ({"at": object}, {"at": "<class 'object'>"}),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        ([10**30, np.int64(7), (1, {2})], [str(10**30), 7, [1, [2]]]),
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
    ],
)
def test_what_has_no_form_of_its_own_is_kept_to_be_shown(value: Any, kept: Any) -> None:
    assert unpack(pack(value)) == kept


def test_a_value_that_contains_itself_is_kept_down_to_some_depth() -> None:
    endless: list[Any] = [1]
    endless.append(endless)

    assert unpack(pack(endless))[1][1][0] == 1


def test_a_repr_that_raises_costs_the_repr_only() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert unpack(pack({"kept": 1, "broken": Broken()})) == {
        "kept": 1,
        "broken": f"<{Broken.__qualname__} without a repr>",
    }


def test_long_values_are_compressed_and_short_ones_are_not() -> None:
    assert len(pack("ab" * 10_000)) < 200
    assert pack("ab" * 10)[1:].endswith(b"ab" * 10)


def test_nothing_takes_no_bytes() -> None:
    assert pack_some({}) is None
    assert pack_some(None) is None
    assert unpack(None) is None


@given(anything)
def test_storable_text_is_text_that_a_database_takes(text: str) -> None:
    storable(text).encode()


@given(st.text())
def test_storable_changes_nothing_that_is_storable(text: str) -> None:
    assert storable(text) == text


@given(anything)
def test_a_source_text_comes_back_whatever_is_in_it(text: str) -> None:
    assert unpack_text(pack_text(text)) == text


def test_recipes_are_packed_the_same_exactly_when_they_are_equal() -> None:
    part = RecipePart("code", "clean", "1" * 32, file="flights.py", line=3, source_digest="2" * 32)
    recipes = [
        Recipe("v1", (part,)),
        Recipe("v1", (part,)),
        Recipe("v2", (part,)),
        Recipe("v1", (part, part)),
        Recipe("v1", ()),
        Recipe("v1", (RecipePart("code", "clean", "1" * 32, file="flights.py", line=4, source_digest="2" * 32),)),
    ]

    packed = [pack_recipe(recipe) for recipe in recipes]

    assert [unpack_recipe(kept) for kept in packed] == recipes
    assert packed[0] == packed[1]
    assert len(set(packed)) == 5


def test_a_recipe_kept_before_a_field_was_added_is_still_read() -> None:
    shorter = pack(("v1", [("code", "clean", "1" * 32)]))

    assert unpack_recipe(shorter) == Recipe("v1", (RecipePart("code", "clean", "1" * 32),))
