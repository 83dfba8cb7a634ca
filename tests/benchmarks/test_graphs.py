from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.graphs import AS_WRITTEN, SHAPES, Change, make_graph


@given(st.sampled_from(SHAPES), st.integers(3, 400))
def test_steps_are_in_topological_order(shape, count) -> None:
    graph = make_graph(shape, count)
    assert graph.count == count
    assert all(parent < step for step, parents in enumerate(graph.parents) for parent in parents)
    assert make_graph(shape, count) == graph


@given(st.sampled_from(SHAPES), st.integers(3, 200), st.integers(0, 5))
def test_the_cone_of_a_leaf_is_the_leaf(shape, count, number) -> None:
    graph = make_graph(shape, count)
    assert graph.cone(graph.leaf(number)) == 1
    assert graph.cone(0) >= 1


def test_the_cone_of_the_first_step_of_a_chain_is_all_of_it() -> None:
    assert make_graph("chain", 17).cone(0) == 17
    assert make_graph("fan", 17).cone(0) == 17
    assert make_graph("fan", 17).cone(5) == 2


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no shape 'star'; there are chain, fan, layered"):
        make_graph("star", 10)


def test_a_change_changes_one_step() -> None:
    assert AS_WRITTEN.expression(3, ["a"]) == "(3 + a) % 1000003"
    assert Change(3).expression(3, ["a"]) == "(3 + a + 1) % 1000003"
    assert Change(3).expression(4, ["a"]) == AS_WRITTEN.expression(4, ["a"])
    equal = Change(3, is_equal=True).expression(3, ["a"])
    assert equal != AS_WRITTEN.expression(3, ["a"])
    assert eval(equal, {"a": 4}) == eval(AS_WRITTEN.expression(3, ["a"]), {"a": 4})
