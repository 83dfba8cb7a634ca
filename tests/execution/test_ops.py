"""What an op may be and give, run in this process without memoization."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from memo import (
    EventType,
    Failure,
    In,
    MemoError,
    Nothing,
    Out,
    Output,
    RetryRequested,
    graph,
    job,
    op,
    resource,
)
from memo.errors import ExecutionError, InvocationError


@op
def one() -> int:
    return 1


@op
def add(a: int, b: int = 10) -> int:
    return a + b


def run(*ops: Any, **kwargs: Any) -> Any:
    @job(**kwargs)
    def composed() -> None:
        for each in ops:
            each()

    return composed.execute_in_process()


def test_values_pass_and_defaults_hold() -> None:
    @job
    def sums():
        return add(add(one()), one())

    result = sums.execute_in_process()

    assert result.success
    assert result.output_value() == 12
    assert result.output_for_node("add") == 11
    assert result.output_for_node("add_2") == 12


def test_several_outputs_as_a_tuple_or_yielded() -> None:
    @op(out={"low": Out(int), "high": Out(int)})
    def split() -> tuple[int, int]:
        return 1, 9

    @op(out={"low": Out(), "high": Out()})
    def yielded() -> Iterator[Output[int]]:
        yield Output(8, "high")
        yield Output(2, "low", metadata={"rows": 3})

    @job
    def both():
        low, high = split()
        found = yielded()
        add.alias("first")(low, high)
        add.alias("second")(found.low, found.high)

    result = both.execute_in_process()

    assert result.output_for_node("first") == 10
    assert result.output_for_node("second") == 10
    handled = [e for e in result.events_for_node("yielded") if e.kind is EventType.HANDLED_OUTPUT]
    assert [event.data.get("metadata") for event in handled] == [{"rows": 3}, None]


def test_async_ops_and_async_generators() -> None:
    @op
    async def slow() -> int:
        return 4

    @op(out={"a": Out(), "b": Out()})
    async def stream() -> AsyncIterator[Output[int]]:
        yield Output(1, "a")
        yield Output(2, "b")

    @job
    def asynchronous():
        found = stream()
        add(slow(), found.b)

    assert asynchronous.execute_in_process().output_for_node("add") == 6


def test_async_ops_inside_a_running_event_loop() -> None:
    import asyncio

    @op
    async def slow() -> int:
        await asyncio.sleep(0)
        return 4

    @job
    def asynchronous():
        return slow()

    async def main() -> Any:
        return asynchronous.execute_in_process().output_value()

    assert asyncio.run(main()) == 4


def test_an_optional_output_not_yielded_skips_what_needs_it_and_leaves_lists_the_rest() -> None:
    @op(out={"yes": Out(is_required=False), "no": Out(is_required=False)})
    def maybe() -> Iterator[Output[int]]:
        yield Output(5, "yes")

    @op
    def total(parts: list[int]) -> int:
        return sum(parts)

    @job
    def branches():
        found = maybe()
        skipped = add.alias("skipped")(found.no)
        total([add.alias("taken")(found.yes), skipped])
        add.alias("below")(skipped)

    result = branches.execute_in_process()

    assert result.is_node_skipped("skipped")
    assert result.is_node_skipped("below")
    assert result.output_for_node("total") == 15
    with pytest.raises(InvocationError, match="was not yielded"):
        result.output_for_node("maybe", "no")


def test_nothing_orders_without_a_value() -> None:
    seen = []

    @op
    def prepare() -> None:
        seen.append("prepare")

    @op(ins={"start": In(Nothing)})
    def then() -> int:
        seen.append("then")
        return 3

    @job
    def ordered():
        then(start=[prepare(), prepare.alias("again")()])

    assert ordered.execute_in_process().output_for_node("then") == 3
    assert seen == ["prepare", "prepare", "then"]


def test_fan_in_keeps_the_order_and_takes_literals() -> None:
    @op
    def join(parts: list[int]) -> str:
        return ",".join(map(str, parts))

    @job
    def lists():
        join([add(one()), 7, one.alias("last")()])

    assert lists.execute_in_process().output_for_node("join") == "11,7,1"


def test_a_literal_is_not_changed_by_the_op_that_gets_it() -> None:
    @op
    def grow(values: list) -> int:
        values.append(1)
        return len(values)

    @job
    def grows():
        grow([5])

    assert grows.execute_in_process().output_for_node("grow") == 2
    assert grows.execute_in_process().output_for_node("grow") == 2


def test_nested_graphs_pass_inputs_and_outputs() -> None:
    @graph
    def inner(x: int, y: int = 100):
        return add(x, y)

    @graph
    def middle(x):
        return inner(inner.alias("deep")(x), 5)

    @job
    def outer():
        return middle(one())

    result = outer.execute_in_process()

    assert set(outer.steps) == {"one", "middle.deep.add", "middle.inner.add"}
    assert result.output_value() == 106
    assert result.output_for_node("middle.deep.add") == 101


def test_job_inputs_from_input_values_run_config_and_defaults() -> None:
    @graph
    def plus(a: int, b: int = 3):
        return add(a, b)

    bound = plus.to_job(input_values={"a": 1})

    assert bound.execute_in_process().output_value() == 4
    assert bound.execute_in_process(input_values={"b": 10}).output_value() == 11
    assert plus.to_job().execute_in_process(run_config={"inputs": {"a": 5}}).output_value() == 8


def test_an_unconnected_input_comes_from_the_run_config() -> None:
    @job
    def open_ended():
        add()

    assert open_ended.execute_in_process(run_config={"ops": {"add": {"inputs": {"a": 4}}}}).output_for_node("add") == 14
    with pytest.raises(MemoError, match=r"ops\.add\.inputs\.a: the input 'a' .* is not connected"):
        open_ended.execute_in_process()


def test_resources_are_made_in_order_and_ended_in_reverse() -> None:
    seen = []

    @resource
    def base():
        seen.append("base made")
        yield 2
        seen.append("base ended")

    @resource(required_resource_keys={"base"}, config_schema={"times": int})
    def derived(context):
        seen.append("derived made")
        yield context.resources.base * context.resource_config["times"]
        seen.append("derived ended")

    @op(required_resource_keys={"derived"})
    def use(context) -> int:
        seen.append("used")
        return context.resources.derived

    @job(resource_defs={"base": base, "derived": derived})
    def resourceful():
        use()

    result = resourceful.execute_in_process(run_config={"resources": {"derived": {"config": {"times": 3}}}})

    assert result.output_for_node("use") == 6
    assert seen == ["base made", "derived made", "used", "derived ended", "base ended"]


def test_a_resource_that_fails_fails_the_steps_that_need_it_only() -> None:
    @resource
    def broken():
        raise OSError("no database here")

    @op(required_resource_keys={"broken"})
    def needs() -> int:
        return 1

    @job(resource_defs={"broken": broken})
    def half():
        needs()
        one()

    result = half.execute_in_process(raise_on_error=False)

    assert result.get_failed_step_keys() == {"needs"}
    assert result.output_for_node("one") == 1
    assert result.failure_data_for_node("needs").message == "no database here"


def test_an_undeclared_resource_is_named() -> None:
    @op(required_resource_keys={"database"})
    def reads(context) -> int:
        return context.resources.databse

    with pytest.raises(
        InvocationError, match=r"reads the resource 'databse' without declaring it.*Did you mean 'database'"
    ):
        run(reads, resource_defs={"database": 1})


def test_a_failed_step_stops_its_descendants_only() -> None:
    @op
    def fails() -> int:
        raise ZeroDivisionError("by nought")

    @job
    def partly():
        add(fails())
        add.alias("fine")(one())

    result = partly.execute_in_process(raise_on_error=False)

    assert not result.success
    assert result.get_failed_step_keys() == {"fails"}
    assert result.is_node_untouched("add")
    assert result.events_for_node("add") == []
    assert result.output_for_node("fine") == 11
    assert "test_ops.py" in result.failure_data_for_node("fails").traceback
    assert "memo/execution" not in result.failure_data_for_node("fails").traceback
    with pytest.raises(ZeroDivisionError):
        partly.execute_in_process()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (lambda: "text", "the output 'result' must be int and is str"),
        (lambda: Output(1, "other"), "gave the output 'other', which it does not declare"),
    ],
)
def test_what_an_op_gives_is_checked(body, words) -> None:
    with pytest.raises(ExecutionError, match=words):
        run(op(name="gives", out=Out(int))(body))


def test_a_tuple_of_the_wrong_length() -> None:
    @op(out={"a": Out(), "b": Out()})
    def gives():
        return 1, 2, 3

    with pytest.raises(ExecutionError, match=r"returned a tuple of 3 and has 2 outputs \(a, b\)"):
        run(gives)


def test_a_required_output_that_is_not_yielded() -> None:
    @op(out={"a": Out(), "b": Out()})
    def gives():
        yield Output(1, "a")

    with pytest.raises(ExecutionError, match="ended without giving its output 'b'"):
        run(gives)


def test_inputs_are_checked() -> None:
    @op
    def text():
        return "x"

    @job
    def wrong():
        add(text())

    with pytest.raises(ExecutionError, match="the input 'a' must be int and is str"):
        wrong.execute_in_process()


def test_system_exit_fails_the_step_not_the_run() -> None:
    @op
    def leaves() -> int:
        raise SystemExit(3)

    @job
    def goes_on():
        leaves()
        one()

    result = goes_on.execute_in_process(raise_on_error=False)

    assert result.get_failed_step_keys() == {"leaves"}
    assert result.output_for_node("one") == 1


def test_failure_and_retry_requested_are_what_they_say() -> None:
    seen = []

    @op
    def asks(context) -> int:
        seen.append(context.retry_number)
        if context.retry_number < 2:
            raise RetryRequested(max_retries=3)
        return 1

    @op
    def refuses() -> int:
        raise Failure("bad data", metadata={"rows": 0}, allow_retries=False)

    @job
    def two():
        asks()
        refuses()

    result = two.execute_in_process(raise_on_error=False)

    assert seen == [0, 1, 2]
    assert result.retry_attempts_for_node("asks") == 2
    assert result.failure_data_for_node("refuses").message == "bad data"


def test_the_context_says_where_it_is(caplog) -> None:
    found: dict[str, Any] = {}

    @op(tags={"team": "blue"}, config_schema={"n": int})
    def looks(context) -> int:
        found.update(
            step=context.step_key,
            job=context.job_name,
            op=context.op_name,
            tag=context.get_tag("team"),
            run_tag=context.get_tag("who"),
            config=context.op_config,
            has=context.has_tag("nope"),
            run=context.run_id,
        )
        context.log.info("looked at %s", 3)
        context.add_output_metadata({"rows": 2})
        return 1

    @job
    def looking():
        looks.alias("look")()

    result = looking.execute_in_process(
        run_config={"ops": {"look": {"config": {"n": 2}}}},
        tags={"who": "me"},
        run_id="run1",
    )

    assert found == {
        "step": "look",
        "job": "looking",
        "op": "looks",
        "tag": "blue",
        "run_tag": "me",
        "config": {"n": 2},
        "has": False,
        "run": "run1",
    }
    logged = [event.message for event in result.events_for_node("look") if event.kind is EventType.LOG]
    assert logged == ["looked at 3"]


def test_steps_run_in_the_order_of_priority() -> None:
    seen = []

    def tagged(name: str, priority: int) -> Any:
        def body() -> None:
            seen.append(name)

        return op(name=name, tags={"memo/priority": priority})(body)

    run(tagged("low", -1), tagged("high", 5), tagged("middle", 2))

    assert seen == ["high", "middle", "low"]


def test_the_result_names_what_it_has_not() -> None:
    @job
    def small():
        return one()

    result = small.execute_in_process()

    with pytest.raises(InvocationError, match=r"has no step 'oen'.*Did you mean 'one'"):
        result.output_for_node("oen")
    with pytest.raises(InvocationError, match="has no output 'x'"):
        result.output_for_node("one", "x")
    with pytest.raises(InvocationError, match="has no output 'total'"):
        result.output_value("total")


def test_op_selection_runs_a_part() -> None:
    @job
    def chain():
        add(one())

    result = chain.execute_in_process(op_selection=["one"])

    assert result.executed == ["one"]
    with pytest.raises(MemoError, match="is selected and reads from 'one', which is neither selected nor stored"):
        chain.execute_in_process(op_selection=["add"])


def test_a_decorator_may_have_waited_or_listed() -> None:
    import asyncio
    import functools

    def waited(fn: Any) -> Any:
        @functools.wraps(fn)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return asyncio.run(fn(*args, **kwargs))

        return inner

    def listed(fn: Any) -> Any:
        @functools.wraps(fn)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return list(fn(*args, **kwargs))

        return inner

    @op
    @waited
    async def slow() -> int:
        return 4

    @op(out={"a": Out(), "b": Out()})
    @listed
    def many() -> Iterator[Output[int]]:
        yield Output(1, "a")
        yield Output(2, "b")

    @op
    def given() -> Any:
        return (Output(each) for each in (5,))

    @job
    def decorated() -> None:
        add.alias("first")(slow(), many().b)
        given()

    result = decorated.execute_in_process()

    assert result.output_for_node("first") == 6
    assert result.output_for_node("given") == 5


def test_a_job_output_that_is_its_input() -> None:
    @graph
    def through(x: int):
        return {"sum": add(x), "x": x}

    result = through.to_job(input_values={"x": 3}).execute_in_process()

    assert (result.output_value("sum"), result.output_value("x")) == (13, 3)


def test_ops_called_directly() -> None:
    from memo import build_op_context

    seen = []

    @resource
    def connection():
        yield "open"
        seen.append("closed")

    @op(required_resource_keys={"db"}, config_schema={"n": int})
    def uses(context, x: int) -> str:
        seen.append(context.resources.db)
        context.add_output_metadata({"rows": x})
        return context.resources.db * context.op_config["n"]

    with build_op_context(resources={"db": connection}, op_config={"n": 2}) as context:
        assert uses(context, 1) == "openopen"
        assert seen == ["open"]
        assert context.get_output_metadata() == {"rows": 1}
    assert seen == ["open", "closed"]
    with pytest.raises(InvocationError, match="'db' has to be ended after use: write `with build_op_context"):
        uses(build_op_context(resources={"db": connection}, op_config={"n": 2}), 1)
    assert uses(build_op_context(resources={"db": "x"}, op_config={"n": 3}), 1) == "xxx"
    assert add(1) == 11
