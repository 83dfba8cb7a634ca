"""Any name becomes a safe path, and different outputs never share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.contracts.io_manager import OutputContext
from memo.errors import InvocationError
from memo_iomanagers.naming import address_of, data_path, segment

names = st.text(st.characters(), min_size=1, max_size=100) | st.sampled_from(
    ["result", "Result", "a.b", "a", "b", "..", "/", "=", "x" * 64, "x" * 65, "\ud800", "a=b"],
)
contexts = st.builds(
    OutputContext,
    names,
    names,
    st.none() | names,
    names,
    st.none() | names,
)


@pytest.mark.parametrize("name", ["result", "a_b", "3f2a-b", "x" * 64, "0" * 32])
def test_a_plain_name_stays_readable(name: str) -> None:
    assert segment(name) == name


@pytest.mark.parametrize("name", ["", "Result", "a.b", "a/b", "é", "x" * 65, "a b", "result\n", "\ud800"])
def test_any_other_name_gets_its_digest(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9_-]{0,24}=[0-9a-f]{32}", segment(name))


def test_what_people_can_recognise_stays() -> None:
    assert segment("report.Charts").startswith("report_charts=")


@given(names, names)
def test_different_names_never_collide_even_without_case(one: str, other: str) -> None:
    assert (segment(one).lower() == segment(other).lower()) == (one == other)


@given(contexts)
def test_an_address_stays_within_its_storage_and_fits_a_file_name(context: OutputContext) -> None:
    folder, *_, name = parts = address_of(context).split("/")
    assert len(parts) == 3
    assert folder in {"versioned", "runs"}
    assert all(re.fullmatch(r"[a-z0-9_=.-]+", part) and part not in {".", ".."} for part in parts)
    assert not parts[1].startswith(".")
    assert len(name) + len(".0123456789abcdef.tree.json.d") <= 255


@given(contexts, contexts)
def test_different_outputs_never_share_an_address(one: OutputContext, other: OutputContext) -> None:
    same = (one.version is None, one.get_identifier()) == (other.version is None, other.get_identifier())
    assert (address_of(one) == address_of(other)) == same


def test_the_layout() -> None:
    version = "ab" + "0" * 30
    assert address_of(OutputContext("s", "result", version)) == f"versioned/ab/{version}.result"
    assert address_of(OutputContext("s", "result", version, "r", "k")) == f"versioned/ab/{version}.result.k"
    assert address_of(OutputContext("step", "result", None, "run-1")) == "runs/run-1/step.result"
    assert address_of(OutputContext("step", "result", None, "run-1", "k")) == "runs/run-1/step.result.k"


def test_an_output_without_version_and_run_has_no_address() -> None:
    with pytest.raises(InvocationError, match="there is no run yet"):
        address_of(OutputContext("step", "result"))


def test_data_lies_apart_from_manifests() -> None:
    assert data_path("versioned/ab/ab12.result", "ab12.result.5f0c.pkl") == "data/versioned/ab/ab12.result.5f0c.pkl"
    assert data_path("runs/run-1/step.result", "step.result.5f0c.pkl") == "data/runs/run-1/step.result.5f0c.pkl"
