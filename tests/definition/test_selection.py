from __future__ import annotations

from typing import Any

import pytest

from memo import In, Nothing, graph, job, op
from memo.definition.selection import select_steps
from memo.errors import SelectionError


@op(ins={"after": In(Nothing)})
def step(parts: list[Any] = []) -> int:  # noqa: B006 - never changed
    return len(parts)


def placed(name: str) -> Any:
    return step.alias(name)


@graph
def inner(x):
    return placed("y")([placed("x")([x])])


@job
def diamond():
    """a -> (b, c) -> d -> sub(x -> y) -> e; f alone; g waits for a; ab beside."""
    a = placed("a")()
    d = placed("d")([placed("b")([a]), placed("c")([a])])
    placed("e")([inner.alias("sub")(d)])
    placed("f")()
    placed("g")(after=a)
    placed("ab")()


ALL = {"a", "b", "c", "d", "sub.x", "sub.y", "e", "f", "g", "ab"}


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("a", {"a"}),
        (["a"], {"a"}),
        ("a,b", {"a", "b"}),
        ("a, b  f", {"a", "b", "f"}),
        (["a", "f", "a"], {"a", "f"}),
        ("*d", {"a", "b", "c", "d"}),
        ("+d", {"b", "c", "d"}),
        ("++d", {"a", "b", "c", "d"}),
        ("+++d", {"a", "b", "c", "d"}),
        ("a+", {"a", "b", "c", "g"}),
        ("a++", {"a", "b", "c", "g", "d"}),
        ("a*", ALL - {"f", "ab"}),
        ("*a", {"a"}),
        ("e*", {"e"}),
        ("+d+", {"b", "c", "d", "sub.x"}),
        ("*b+", {"a", "b", "d"}),
        ("*d+++", ALL - {"f", "ab", "g"}),
        ("+g", {"a", "g"}),
        ("sub", {"sub.x", "sub.y"}),
        ("sub.x", {"sub.x"}),
        ("+sub", {"d", "sub.x", "sub.y"}),
        ("sub+", {"sub.x", "sub.y", "e"}),
        ("sub.x+", {"sub.x", "sub.y"}),
        ("*sub.x", {"a", "b", "c", "d", "sub.x"}),
        ("*", ALL),
        (["*", "a"], ALL),
    ],
)
def test_what_a_selection_names(selection: Any, expected: set[str]) -> None:
    assert select_steps(diamond.steps, selection) == expected


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        ("", "the selection is empty; name a step"),
        ([], "the selection is empty"),
        ("z", "the selection 'z' names no step of this job. There is: "),
        ("sbu", "Did you mean 'sub'?"),
        ("sub.z", "'sub.z' names no step of this job"),
        ("su", "'su' names no step"),
        ("a*b", "'a*b' names no step"),
        ("*+a", "'*+a' cannot be read: write * alone, or one + for each level"),
        ("a**", "'a**' cannot be read"),
        ("+", "'+' names no step; write a step's name between the signs"),
        ("**", "'**' names no step"),
        ([1], "made of strings, and 1 is in it"),
        ([None], "made of strings, and None is in it"),
    ],
)
def test_what_cannot_be_read(selection: Any, words: str) -> None:
    with pytest.raises(SelectionError) as raised:
        select_steps(diamond.steps, selection)

    assert words in str(raised.value)


def test_a_selection_runs_what_it_names() -> None:
    result = diamond.execute_in_process(op_selection=["a", "f"])

    assert set(result.executed) == {"a", "f"}


def test_many_names_are_read_in_one_pass() -> None:
    @job
    def wide():
        for _ in range(5_000):
            step()

    assert select_steps(wide.steps, list(wide.steps)) == wide.steps.keys()
