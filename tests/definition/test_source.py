"""What is refused of sources, `depends_on` and `ignore`: one line, with the place and what to do."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from memo import In, Nothing, Source, graph, job, op, resource, source
from memo.definition.source import FunctionSource, PathSource
from memo.errors import ConfigError, DefinitionError

REGION = Source.env("REGION")


@op
def takes(x: Any) -> Any:
    return x


@op
def takes_int(x: int) -> int:
    return x


@op
def configured(context: Any) -> Any:
    return context.op_config


@source
def orders() -> str:
    return "monday"


@job
def a_job() -> None:
    configured()


@graph
def a_graph() -> None:
    configured()


def in_job(*args: Any, placed: Any = takes) -> None:
    @job
    def wired() -> None:
        placed(*args)


def with_op(**given: Any) -> None:
    @op(**given)
    def two() -> None: ...


def with_default(value: Any) -> None:
    @op
    def two(x: Any = value) -> None: ...


def with_graph_default(value: Any) -> None:
    @graph
    def two(x: Any = value) -> None:
        takes(x)


def with_resource(**given: Any) -> None:
    @resource(**given)
    def two() -> int:
        return 1


def gives_source() -> None:
    @job
    def two() -> Any:
        return REGION


PERIODS = ["day", "0 days", "1.5 days", "-1 day", "1day", "1 month", "", "9" * 5000 + " days", 5, None, b"1 day"]

CASES: dict[str, tuple[Any, str]] = {
    **{
        f"period {str(period)[:9]!r}": (
            lambda period=period: Source.every(period),
            "every() got .*; give a number and a unit, as '1 day': seconds, minutes, hours, days, weeks",
        )
        for period in PERIODS
    },
    "a time zone of no name": (lambda: Source.every("1 day", 1), "the timezone of a source is 1; it must be a name"),  # type: ignore[arg-type]
    "an empty variable": (lambda: Source.env(""), "Source.env() got ''; give the name of a variable"),
    "a variable with its value": (lambda: Source.env("A=B"), "Source.env() got 'A=B'; give the name of a variable"),
    "a variable with a null": (lambda: Source.env("A\0"), "Source.env() got .*; give the name of a variable"),
    "a variable of no name": (lambda: Source.env(5), "the variable of a source is 5; it must be a string"),  # type: ignore[arg-type]
    "a default of a variable": (lambda: Source.env("A", 5), "the default of \\$A is 5; it must be a string"),  # type: ignore[arg-type]
    "a path as URL": (lambda: Source.url("a.csv"), "Source.url() got 'a.csv'; give a URL, .* or use Source.file()"),
    "no URL": (lambda: Source.url(None), "the URL of a source is None; it must be a string"),  # type: ignore[arg-type]
    "storage options": (
        lambda: Source.url("memory://a", ["key"]),  # type: ignore[arg-type]
        "storage_options of memory://a is \\['key'\\]; it must be a dict by name",
    ),
    "a URL as path": (lambda: Source.file("s3://a/b"), "a source got 's3://a/b' as its path; use Source.url()"),
    "an empty path": (lambda: Source.file(""), "a source got '' as its path; give a string"),
    "a path of bytes": (lambda: Source.folder(b"a"), "a source got b'a' as its path; give a string"),  # type: ignore[arg-type]
    "a path with a null": (lambda: Source.glob("a\0"), "a source got .* as its path; give a string"),
    "no path": (lambda: Source.glob(None), "a source got None as its path; give a string"),  # type: ignore[arg-type]
    "on_unreachable": (
        lambda: Source.file("a", on_unreachable="last"),  # type: ignore[arg-type]
        "on_unreachable is 'last'; it must be 'fail' or 'last_known'",
    ),
    "on_unreachable of a list": (
        lambda: Source.file("a", on_unreachable=[]),  # type: ignore[arg-type]
        "on_unreachable is \\[\\]; it must be 'fail' or 'last_known'",
    ),
    "@source on no function": (
        lambda: source("orders"),  # type: ignore[call-overload]
        "@source decorates a function, and got 'orders'; give all else by name",
    ),
    "@source on an op": (lambda: source(takes), "op 'takes' .*: is made already; @source decorates a plain function"),
    "a source's name": (lambda: source(name=5)(str), "the name of a source is 5; it must be a string"),  # type: ignore[call-overload]
    "depends_on a string": (lambda: with_op(depends_on="a.csv"), "op 'two' .*: depends_on is 'a.csv'; .* a list of"),
    "depends_on a source": (lambda: with_op(depends_on=REGION), "depends_on is <source '\\$REGION'>; .* a list of"),
    "depends_on a set": (lambda: with_op(depends_on={"a"}), "depends_on is {'a'}; it must be a list of"),
    "depends_on a job": (
        lambda: with_op(depends_on=[a_job]),
        "op 'two' .*: depends_on names the job 'a_job'; name functions, classes, modules, paths and sources",
    ),
    "depends_on a graph": (lambda: with_op(depends_on=[a_graph]), "depends_on names the graph 'a_graph'; name func"),
    "depends_on bytes": (lambda: with_op(depends_on=[b"a.csv"]), "a source got b'a.csv' as its path; give a string"),
    "depends_on a URL as path": (lambda: with_op(depends_on=["s3://a/b"]), "'s3://a/b' as its path; use Source.url()"),
    "depends_on sources in a list": (
        lambda: with_op(depends_on=[{"a": [REGION]}]),
        "op 'two' .*: {'a': .*} in depends_on holds the source '\\$REGION'; .* or name it in depends_on",
    ),
    "a resource's depends_on": (lambda: with_resource(depends_on="a"), "resource 'two' .*: depends_on is 'a'; it must"),
    "ignore a string": (lambda: with_op(ignore="log"), "op 'two' .*: ignore is 'log'; it must be a list of names"),
    "ignore a dict": (lambda: with_op(ignore={"log": 1}), "ignore is {'log': 1}; it must be a list of names"),
    "ignore a function": (lambda: with_op(ignore=[print]), "ignore names <built-in .*; it must name things by strings"),
    "ignore nothing": (lambda: with_op(ignore=[""]), "ignore names ''; it must name things by strings"),
    "a resource's ignore": (lambda: with_resource(ignore=5), "resource 'two' .*: ignore is 5; it must be a list"),
    "a default": (
        lambda: with_default(REGION),
        "op 'two' .*: the default of the input 'x' is the source '\\$REGION'; pass a source to the op in a graph's",
    ),
    "within a default": (lambda: with_default({"a": (1, REGION)}), "the default of the input 'x' holds the source"),
    "the default of an In": (
        lambda: op(name="two", ins={"x": In(default_value=REGION)})(lambda x: x),
        "the default of the input 'x' is the source",
    ),
    "a graph's default": (
        lambda: with_graph_default(REGION),
        "graph 'two' .*: the default of the input 'x' is the source '\\$REGION'; pass a source to the op",
    ),
    "within a dict": (
        lambda: in_job({"a": REGION}),
        "op 'takes' .*, called at .*: the input 'x' got the source '\\$REGION' within a value; pass it on its own",
    ),
    "within a tuple": (lambda: in_job((REGION,)), "the input 'x' got the source '\\$REGION' within a value"),
    "within a list of lists": (lambda: in_job([[REGION]]), "got the source|list of lists"),
    "of another type": (
        lambda: in_job(REGION, placed=takes_int),
        "step 'takes_int' .*: the input 'x' must be int, and the source '\\$REGION' gives str",
    ),
    "a path of another type": (lambda: in_job(Source.file("a"), placed=takes_int), "the source 'a' gives str"),
    "a time of another type": (lambda: in_job(Source.every("1 day"), placed=takes_int), "gives datetime"),
    "the output of a job": (gives_source, "job 'two' .*: returns the source '\\$REGION' itself"),
    "a resource": (
        lambda: a_graph.to_job(resource_defs={"region": REGION}),
        "resource_defs\\['region'\\] is the source '\\$REGION'; give a resource",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused_is_said_in_one_line(name: str) -> None:
    define, expected = CASES[name]
    with pytest.raises(DefinitionError) as refused:
        define()
    told = str(refused.value)
    assert re.search(expected.replace("()", "\\(\\)"), told), told
    assert re.search(r"test_source\.py:\d+", told), told
    assert "\n" not in told
    assert "memo/definition" not in told


def test_a_source_is_refused_as_a_value_of_a_run() -> None:
    @graph
    def given(x: Any) -> None:
        takes(x)

    @job
    def unconnected() -> None:
        takes()

    told = "is the source '$REGION'; pass a source to the op in a graph's body"
    with pytest.raises(ConfigError) as refused:
        given.to_job().execute_in_process(input_values={"x": REGION})
    assert f"inputs.x: {told}" in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        given.to_job(input_values={"x": REGION}).execute_in_process()
    assert f"inputs.x: {told}" in str(refused.value)
    with pytest.raises(ConfigError) as refused:
        unconnected.execute_in_process(run_config={"ops": {"takes": {"inputs": {"x": REGION}}}})
    assert f"ops.takes.inputs.x: {told}" in str(refused.value)


def test_a_default_that_contains_itself_is_looked_through() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with_op(depends_on=[endless])
    endless.append(REGION)
    with pytest.raises(DefinitionError, match="holds the source"):
        with_op(depends_on=[endless])


# What is read of what is given


def test_a_source_knows_where_it_stands() -> None:
    found = Source.file("flights.csv")
    assert re.fullmatch(r"source 'flights\.csv' \(.*test_source\.py:\d+\)", found.where)
    assert repr(found) == "<source 'flights.csv'>"


def test_a_function_source_stands_where_its_function_does() -> None:
    assert isinstance(orders, FunctionSource)
    assert orders.name == orders.__name__ == "orders"
    assert orders.location.endswith(f"test_source.py:{orders.stamp_fn.__code__.co_firstlineno}")
    assert orders() == "monday"
    named = source(name="sales.orders", on_unreachable="last_known")(lambda: 1)
    assert (named.name, named.on_unreachable, named()) == ("sales.orders", "last_known", 1)


def test_a_function_source_is_wired_called_or_not() -> None:
    @job
    def wired() -> None:
        takes.alias("bare")(orders)
        takes.alias("called")(orders())

    assert [list(step.sources()) for step in wired.steps.values()] == [[orders], [orders]]


class Place(StrEnum):
    DATA = "data.csv"


@pytest.mark.parametrize("path", ["data.csv", np.str_("data.csv"), Place.DATA])
def test_a_path_of_a_class_that_extends_str_is_a_plain_one(path: str) -> None:
    for found in (Source.file(path), Source.folder(path), Source.glob(path)):
        assert type(found.name) is str
        assert found.name == "data.csv"
    assert type(Source.file(path).path) is str


@pytest.mark.parametrize("path", [Path("data.csv"), PurePosixPath("data.csv")])
def test_a_path_is_handed_on_as_given(path: Path) -> None:
    found = Source.file(path)
    assert found.path is path
    assert found.name == "data.csv"


def test_another_object_with_a_path_is_handed_on_as_text() -> None:
    class Entry(SimpleNamespace):
        def __fspath__(self) -> str:
            return "data.csv"

    assert Source.file(Entry()).path == "data.csv"


def test_names_of_other_kinds_are_plain_too() -> None:
    assert type(Source.url(np.str_("memory://a")).name) is str
    variable = Source.env(np.str_("A"), np.str_("b"))
    assert {type(each) for each in (variable.name, variable.variable, variable.default)} == {str}


def test_depends_on_takes_paths_as_sources_and_definitions_by_their_functions() -> None:
    @op(depends_on=["a.csv", Path("b"), REGION, takes, np, len])
    def reads() -> None: ...

    first, second, *others = reads.depends_on
    assert isinstance(first, PathSource)
    assert isinstance(second, PathSource)
    assert (first.name, second.name, first.expected) == ("a.csv", "b", None)
    assert others == [REGION, takes.compute_fn, np, len]


def test_the_type_of_a_source_is_checked_where_it_is_known() -> None:
    @op
    def day(x: datetime) -> None: ...

    @op
    def paths(x: list[str]) -> None: ...

    @op
    def path(x: Path) -> None: ...

    @op(ins={"x": In(Nothing)})
    def waits() -> None: ...

    @job
    def fitting() -> None:
        day(Source.every("1 day"))
        paths(Source.glob("*.csv"))
        path(Source.file(Path("a")))
        takes_int(orders)
        waits(x=Source.env("A"))

    with pytest.raises(DefinitionError, match=r"must be .*Path, and the source 'a' gives str"):
        in_job(Source.file("a"), placed=path)


def test_the_units_of_a_period() -> None:
    assert [Source.every(each).seconds for each in ("1 second", "90 seconds", "2 hours", " 1  day ", "3 weeks")] == [
        1,
        90,
        7200,
        86400,
        3 * 604800,
    ]
