from __future__ import annotations

from typing import Any

import pytest

from memo import Field, In, IOManager, Nothing, Out, graph, input_manager, io_manager, job, op, resource
from memo.definition.run_config import RunConfig, merged, resolve_run_config
from memo.errors import ConfigError


@op
def one() -> int:
    return 1


@op
def add(a: int, b: int = 10) -> int:
    return a + b


@op(config_schema={"limit": Field(int, default_value=5), "mode": Field(str, is_required=False)})
def clean(context: Any) -> Any:
    return context.op_config


@op(config_schema={"path": str})
def load(context: Any) -> Any:
    return context.op_config


@op(ins={"after": In(Nothing)})
def last() -> None: ...


class Kept(IOManager):
    def handle_output(self, context: Any, obj: Any) -> None: ...

    def load_input(self, context: Any) -> Any: ...


@io_manager(output_config_schema={"name": Field(str, default_value="n")}, input_config_schema={"columns": [str]})
def files(_: Any) -> Kept:
    return Kept()


@input_manager(input_config_schema={"n": Field(int, default_value=3)})
def loads(context: Any) -> int:
    return int(context.config["n"])


@graph
def sub(x, y):
    load()
    return add(x, y)


@graph
def outer(x):
    clean()
    return sub(x)


@job(resource_defs={"db": resource({"host": str})(lambda _: 1)})
def nested():
    clean()
    outer()


def resolved(of: Any, run_config: Any = None, **input_values: Any) -> RunConfig:
    return resolve_run_config(of, of.resource_defs, run_config, input_values)


def problems_of(of: Any, run_config: Any = None, **input_values: Any) -> dict[str, str]:
    """The problems by their paths; no path has two."""
    with pytest.raises(ConfigError) as raised:
        resolved(of, run_config, **input_values)
    assert raised.value.where == f"job {of.name!r}"
    found = {problem.path: problem.message for problem in raised.value.problems}
    assert len(found) == len(raised.value.problems)
    return found


WHOLE: dict[str, Any] = {
    "ops": {
        "clean": {"config": {"limit": 7}},
        "outer": {
            "inputs": {"x": 1},
            "ops": {"sub": {"inputs": {"y": {"value": 2}}, "ops": {"load": {"config": {"path": "p"}}}}},
        },
    },
    "resources": {"db": {"config": {"host": "h"}}},
    "execution": {"config": {"max_concurrent": 3}},
}


# What fits


def test_every_section_finds_its_place() -> None:
    found = resolved(nested, WHOLE)

    assert found.ops == {"clean": {"limit": 7}, "outer.clean": {"limit": 5}, "outer.sub.load": {"path": "p"}}
    assert found.resources == {"db": {"host": "h"}}
    assert found.inputs == {("outer.sub.add", "a"): 1, ("outer.sub.add", "b"): 2}
    assert found.executor == {"max_concurrent": 3}


def test_sections_may_be_left_empty() -> None:
    @job
    def simple():
        clean()
        add(1)

    for given in (None, {}, {"ops": None}, {"ops": {"clean": None, "add": {"inputs": None, "outputs": None}}}):
        found = resolved(simple, given)
        assert found.ops == {"clean": {"limit": 5}}
        assert found.inputs == {("add", "b"): 10}


def test_an_op_without_a_schema_takes_any_config() -> None:
    @job
    def simple():
        one()

    assert resolved(simple, {"ops": {"one": {"config": [1, {"a": 2}]}}}).ops == {"one": [1, {"a": 2}]}
    assert resolved(simple).ops == {}


def test_the_runs_config_is_laid_over_the_jobs() -> None:
    @job(config={"ops": {"clean": {"config": {"limit": 1, "mode": "a"}}, "load": {"config": {"path": "p"}}}})
    def simple():
        clean()
        load()

    assert resolved(simple).ops == {"clean": {"limit": 1, "mode": "a"}, "load": {"path": "p"}}
    over = resolved(simple, {"ops": {"clean": {"config": {"limit": 2}}}}).ops
    assert over == {"clean": {"limit": 2, "mode": "a"}, "load": {"path": "p"}}
    assert simple.config == {"ops": {"clean": {"config": {"limit": 1, "mode": "a"}}, "load": {"config": {"path": "p"}}}}


@pytest.mark.parametrize(
    ("under", "over", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}, {"a": {"b": 3, "c": 2}, "d": 4}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": 1}, 5, 5),
    ],
)
def test_merging(under: Any, over: Any, expected: Any) -> None:
    assert merged(under, over) == expected


# Inputs


def test_an_unconnected_input_takes_a_value_or_its_default() -> None:
    @job
    def simple():
        add()

    assert resolved(simple, {"ops": {"add": {"inputs": {"a": 1}}}}).inputs == {("add", "a"): 1, ("add", "b"): 10}
    given = {"ops": {"add": {"inputs": {"a": {"value": 1}, "b": 2}}}}
    assert resolved(simple, given).inputs == {("add", "a"): 1, ("add", "b"): 2}
    assert simple.execute_in_process(run_config=given).output_for_node("add") == 3


def test_an_input_of_a_placed_graph_is_given_to_all_that_read_it() -> None:
    @graph
    def twice(x):
        add(x)
        add(x, x)

    @job
    def simple():
        twice()

    given = {"ops": {"twice": {"inputs": {"x": 4}}}}
    result = simple.execute_in_process(run_config=given)

    assert result.output_for_node("twice.add") == 14
    assert result.output_for_node("twice.add_2") == 8
    assert list(problems_of(simple)) == ["ops.twice.inputs.x"]


def test_inputs_of_the_job_and_what_counts_before_what() -> None:
    @graph
    def sums(x=1):
        return add(x)

    bare = sums.to_job()
    preset = sums.to_job(input_values={"x": 2})
    configured = sums.to_job(input_values={"x": 2}, config={"inputs": {"x": 3}})
    run = {"inputs": {"x": {"value": 4}}}

    assert resolved(bare).job_inputs == {"x": 1}
    assert resolved(preset).job_inputs == {"x": 2}
    assert resolved(configured).job_inputs == {"x": 3}
    assert resolved(configured, run).job_inputs == {"x": 4}
    assert resolved(configured, run, x=5).job_inputs == {"x": 5}
    assert configured.execute_in_process(run_config=run, input_values={"x": 5}).output_value() == 15


def test_a_value_given_in_python_is_taken_as_it_is() -> None:
    @op
    def take(x: dict[str, int]) -> int:
        return x["value"]

    @graph
    def takes(x):
        return take(x)

    assert takes.to_job().execute_in_process(input_values={"x": {"value": 5}}).output_value() == 5


# IO managers


def test_the_configs_of_outputs_and_inputs_have_defaults_even_where_no_section_is_given() -> None:
    @op(ins={"x": In(input_manager_key="loads")})
    def take(x: int) -> int:
        return x

    @job(resource_defs={"io_manager": files, "loads": loads})
    def simple():
        take()
        take.alias("connected")(one())

    found = resolved(simple)

    assert found.output_configs == {(key, "result"): {"name": "n"} for key in ("take", "one", "connected")}
    assert found.input_configs == {("take", "x"): {"n": 3}, ("connected", "x"): {"n": 3}}
    given = {"ops": {"one": {"outputs": {"result": {"name": "m"}}}, "take": {"inputs": {"x": {"n": 4}}}}}
    found = resolved(simple, given)
    assert found.output_configs["one", "result"] == {"name": "m"}
    assert found.input_configs["take", "x"] == {"n": 4}


def test_a_required_config_of_an_output_is_missed() -> None:
    @io_manager(output_config_schema={"name": str})
    def strict(_: Any) -> Kept:
        return Kept()

    @op(out=Out(io_manager_key="strict"))
    def stored() -> int:
        return 1

    @job(resource_defs={"strict": strict})
    def simple():
        stored()
        one()

    assert list(problems_of(simple)) == ["ops.stored.outputs.result"]


# What does not fit


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ([1], "", "must be a dict with execution, inputs, ops, resources, and is [1]"),
        ("text", "", "must be a dict"),
        ({"op": {}}, "op", "unexpected config entry. Did you mean 'ops'?"),
        ({"loggers": {}}, "loggers", "unexpected config entry"),
        ({"ops": [1]}, "ops", "must be a dict with clean, outer, and is [1]"),
        ({"ops": []}, "ops", "must be a dict"),
        ({"ops": {"cleen": {}}}, "ops.cleen", "Did you mean 'clean'?"),
        ({"ops": {1: {}}}, "ops.1", "unexpected config entry"),
        ({"ops": {"clean": 5}}, "ops.clean", "must be a dict with config, inputs, outputs, and is 5"),
        (
            {"ops": {"clean": {"limit": 5}}},
            "ops.clean.limit",
            "unexpected config entry. There is: config, inputs, outputs.",
        ),
        ({"ops": {"clean": {"config": {"limit": "x"}}}}, "ops.clean.config.limit", "Expected int, got str 'x'"),
        ({"ops": {"clean": {"config": {"limt": 5}}}}, "ops.clean.config.limt", "Did you mean 'limit'?"),
        (
            {"ops": {"clean": {"inputs": {"x": 5}}}},
            "ops.clean.inputs.x",
            "unexpected config entry. Nothing is expected here.",
        ),
        ({"ops": {"clean": {"outputs": {"x": 5}}}}, "ops.clean.outputs.x", "There is: result."),
        (
            {"ops": {"clean": {"outputs": {"result": 5}}}},
            "ops.clean.outputs.result",
            "the IO manager 'io_manager' takes no config for outputs",
        ),
        ({"ops": {"outer": {"config": 5}}}, "ops.outer.config", "There is: inputs, ops."),
        (
            {"ops": {"outer": {"ops": {"sub": {"ops": {"lod": {}}}}}}},
            "ops.outer.ops.sub.ops.lod",
            "Did you mean 'load'?",
        ),
        (
            {"ops": {"outer": {"ops": {"sub": {"ops": {"load": {"config": {"path": 5}}}}}}}},
            "ops.outer.ops.sub.ops.load.config.path",
            "Expected str",
        ),
        (
            {"ops": {"outer": {"ops": {"sub": {"inputs": {"x": 5}}}}}},
            "ops.outer.ops.sub.inputs.x",
            "unexpected config entry. There is: y.",
        ),
        (
            {"ops": {"outer": {"ops": {"sub": {"ops": {"add": {"inputs": {"a": 5}}}}}}}},
            "ops.outer.ops.sub.ops.add.inputs.a",
            "is the input 'x' of graph 'outer': give it there, under ops.outer.inputs",
        ),
        ({"ops": {"outer": {"inputs": {"x": "text"}}}}, "ops.outer.inputs.x", "must be int, and is str 'text'"),
        ({"resources": {"bd": {}}}, "resources.bd", "unexpected config entry"),
        ({"resources": {"db": 5}}, "resources.db", "must be a dict with config"),
        ({"resources": {"db": {"config": {"host": 5}}}}, "resources.db.config.host", "Expected str"),
        ({"execution": {"config": {"max_concurrent": 0}}}, "execution.config.max_concurrent", "from 1 on, and is 0"),
        ({"execution": {"config": {"max_concurrent": True}}}, "execution.config.max_concurrent", "and is True"),
        ({"execution": {"config": {"max": 1}}}, "execution.config.max", "max_concurrent"),
        ({"execution": {"multiprocess": {}}}, "execution.multiprocess", "There is: config."),
        ({"inputs": {"x": 1}}, "inputs.x", "unexpected config entry. Nothing is expected here."),
    ],
)
def test_a_problem_is_told_with_its_path(given: Any, path: str, words: str) -> None:
    whole = merged(WHOLE, given)

    found = problems_of(nested, whole)

    assert words in found[path]


def test_every_problem_is_told_at_once() -> None:
    assert set(problems_of(nested, {"ops": {"x": {}, "clean": {"config": 5}}, "execution": {"config": 5}})) == {
        "ops.x",
        "ops.clean.config",
        "execution.config",
        "resources.db.config",
        "ops.outer.ops.sub.ops.load.config",
        "ops.outer.inputs.x",
    }


def test_a_missing_value_of_an_input_says_where_it_can_come_from() -> None:
    @job
    def simple():
        add()

    @graph
    def sums(x):
        add(x)
        add(x, x)

    assert problems_of(simple)["ops.add.inputs.a"].startswith("the input 'a' of step 'add' (")
    assert "test_run_config.py:" in problems_of(simple)["ops.add.inputs.a"]
    assert problems_of(sums.to_job()) == {
        "inputs.x": "the job's input has no value: give it in input_values, as a default, or give it here"
    }


@pytest.mark.parametrize(
    ("given", "values", "path", "words"),
    [
        ({"inputs": {"x": "text"}}, {}, "inputs.x", "must be int, and is str 'text'"),
        ({}, {"x": "text"}, "inputs.x", "must be int, and is str 'text'"),
        ({"inputs": {"y": 1}}, {"x": 1}, "inputs.y", "unexpected config entry. There is: x."),
        ({}, {"x": 1, "xs": 1}, "input_values", "job 'sums' has no input 'xs'. Did you mean 'x'?"),
        (
            {"ops": {"add": {"inputs": {"a": 1}}}},
            {"x": 1},
            "ops.add.inputs.a",
            "the input 'a' is connected in the graph",
        ),
        ({"ops": {"last": {"inputs": {"after": 1}}}}, {"x": 1}, "ops.last.inputs.after", "unexpected config entry"),
    ],
)
def test_a_value_of_an_input_that_does_not_fit(given: Any, values: Any, path: str, words: str) -> None:
    @graph
    def sums(x):
        add(x)
        last()

    assert words in problems_of(sums.to_job(), given, **values)[path]


def test_config_for_an_input_that_its_manager_takes_none_for() -> None:
    @input_manager
    def plain() -> int:
        return 1

    @op(ins={"x": In(input_manager_key="plain")})
    def take(x: int) -> int:
        return x

    @job(resource_defs={"plain": plain})
    def simple():
        take()

    found = problems_of(simple, {"ops": {"take": {"inputs": {"x": 1}}}})
    assert "is loaded by 'plain', which takes no config for inputs" in found["ops.take.inputs.x"]


def test_steps_share_no_config() -> None:
    @job(config={"ops": {"one": {"config": {"a": [1]}}}})
    def simple():
        one()

    first, second = resolved(simple), resolved(simple)
    first.ops["one"]["a"].append(2)

    assert second.ops == {"one": {"a": [1]}}
    assert resolved(simple).ops == {"one": {"a": [1]}}


def test_the_config_of_many_steps_is_read_in_one_pass() -> None:
    @job
    def wide():
        for _ in range(3_000):
            clean()

    given = {"ops": {key: {"config": {"limit": index}} for index, key in enumerate(wide.steps)}}

    assert [each["limit"] for each in resolved(wide, given).ops.values()] == list(range(3_000))


def test_another_choice_takes_the_place_of_the_default_one() -> None:
    from memo import Selector

    schema = {
        "source": Field(Selector({"file": {"path": str, "rows": Field(int, default_value=5)}, "table": str})),
        "n": int,
    }

    @op(config_schema=schema)
    def chooses(context):
        return context.op_config

    @job(config={"ops": {"chooses": {"config": {"source": {"file": {"path": "a", "rows": 3}}, "n": 1}}}})
    def choosing():
        return chooses()

    def found(config: object) -> object:
        run_config = {"ops": {"chooses": {"config": config}}}
        return resolve_run_config(choosing, {}, run_config).ops["chooses"]

    assert found({"source": {"table": "t"}}) == {"source": {"table": "t"}, "n": 1}
    assert found({"source": {"file": {"path": "b"}}}) == {"source": {"file": {"path": "b", "rows": 3}}, "n": 1}
    assert found({"n": 2}) == {"source": {"file": {"path": "a", "rows": 3}}, "n": 2}
