from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from memo import GraphDefinition, GraphIn, GraphOut, In, Nothing, Out, Output, RetryPolicy, graph, job, op
from memo.definition.step import FromRunConfig
from memo.errors import ConfigError, DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@op
def one() -> int:
    return 1


@op
def add(a: int, b: int = 10) -> int:
    return a + b


@op
def total(parts: list[int]) -> int:
    return sum(parts)


@op(out={"low": Out(int), "high": Out(int)})
def split() -> tuple[int, int]:
    return 1, 9


@op
def done() -> None: ...


@op(ins={"after": In(Nothing), "then": In(Nothing)})
def last(x: int = 0) -> int:
    return x


# What a graph is


def test_a_graph_reads_its_name_inputs_outputs_and_defaults_from_its_body() -> None:
    @graph
    def sums(x, y=5):
        """Add twice."""
        return add(add(x, y), y)

    assert isinstance(sums, GraphDefinition)
    assert sums.name == sums.__name__ == "sums"
    assert sums.description == sums.__doc__ == "Add twice."
    assert sums.input_names == ("x", "y")
    assert sums.defaults == {"y": 5}
    assert sums.output_names == ("result",)
    assert list(sums.nodes) == ["add", "add_2"]
    assert "test_graph.py:" in sums.location
    assert sums.execute_in_process(input_values={"x": 1}).output_value() == 11
    assert sums.execute_in_process(input_values={"x": 1, "y": 1}).output_value() == 3


def of_split() -> Any:
    return split()


@pytest.mark.parametrize(
    ("out", "body", "expected"),
    [
        (None, lambda: None, {}),
        (None, lambda: add(1), {"result": 11}),
        (GraphOut(), lambda: add(1), {"result": 11}),
        ({"x": GraphOut("first")}, lambda: add(1), {"x": 11}),
        ({"x": GraphOut(), "y": GraphOut()}, lambda: (add(1), one()), {"x": 11, "y": 1}),
        ({"x": GraphOut(), "y": GraphOut()}, lambda: {"y": add(1), "x": one()}, {"x": 1, "y": 11}),
        (None, lambda: {"y": add(1), "x": one()}, {"x": 1, "y": 11}),
        (None, of_split, {"low": 1, "high": 9}),
        ({"x": GraphOut(), "y": GraphOut()}, of_split, {"x": 1, "y": 9}),
        (None, lambda: split().high, {"result": 9}),
        (GraphOut(), lambda: {"x": one()}, {"x": 1}),
    ],
)
def test_what_a_body_returns_are_the_outputs(out: Any, body: Callable[[], Any], expected: dict[str, int]) -> None:
    made = graph(name="made", out=out)(body)

    result = made.execute_in_process()

    assert set(made.output_names) == set(expected)
    assert {name: result.output_value(name) for name in expected} == expected


def test_several_outputs_are_taken_by_name_by_place_and_by_unpacking() -> None:
    @job
    def taken():
        outs = split()
        low, high = outs
        add.alias("by_attribute")(outs.low, outs.high)
        add.alias("by_place")(outs[0], outs[-1])
        add.alias("by_name")(outs["low"], outs["high"])
        add.alias("unpacked")(low, high)
        total([each for each in split()])  # noqa: C416 - iterating is the point
        assert len(outs) == 2
        assert repr(outs) == "<outputs low, high of op 'split'>"

    result = taken.execute_in_process()

    assert {result.output_for_node(each) for each in ("by_attribute", "by_place", "by_name", "unpacked", "total")} == {
        10
    }


# Inputs


def test_inputs_by_position_by_name_literals_lists_and_defaults() -> None:
    @job
    def wired():
        x = one()
        add.alias("place")(x, 2)
        add.alias("name")(b=x, a=5)
        add.alias("left_out")(x)
        total.alias("fan")([x, 100, add(x)])
        total.alias("literals")([1, 2])
        total.alias("empty")([])
        total.alias("same")([x, x])

    result = wired.execute_in_process()

    found = {
        name: result.output_for_node(name) for name in ("place", "name", "left_out", "fan", "literals", "empty", "same")
    }
    assert found == {"place": 3, "name": 6, "left_out": 11, "fan": 112, "literals": 3, "empty": 0, "same": 2}


def test_nothing_inputs_take_outputs_lists_of_them_and_empty_lists() -> None:
    seen: list[str] = []

    def noting(name: str) -> Any:
        def note() -> None:
            seen.append(name)

        return op(name=name)(note)

    @op(ins={"after": In(Nothing), "then": In(Nothing)})
    def finish(x: int = 0) -> int:
        seen.append("finish")
        return x

    first, second, third = noting("first"), noting("second"), noting("third")

    @job
    def ordered():
        finish(4, after=[third(), first(), one()], then=second())
        last(after=[], then=done())
        last.alias("free")()

    result = ordered.execute_in_process()

    assert seen[-1] == "finish"
    assert len(seen) == 4
    assert result.output_for_node("finish") == 4
    assert list(ordered.steps["last"].inputs) == ["x", "then"]
    assert list(ordered.steps["free"].inputs) == ["x"]


def test_a_literal_is_kept_as_it_was_when_it_was_passed() -> None:
    rows: list[Any] = []
    nested = {"deep": [1]}

    @op
    def take(x: Any) -> Any:
        return x

    @job
    def grown():
        for index in range(3):
            rows.append(index)
            take(rows)
        take.alias("nested")((nested, {1}))

    rows.append("later")
    nested["deep"].append(2)
    result = grown.execute_in_process()

    assert [result.output_for_node(each) for each in ("take", "take_2", "take_3")] == [[0], [0, 1], [0, 1, 2]]
    assert result.output_for_node("nested") == ({"deep": [1]}, {1})


def test_a_literal_may_contain_itself() -> None:
    ring: list[Any] = [1]
    ring.append(ring)

    @op
    def take(x: Any) -> bool:
        return x[1] is x

    @job
    def circular():
        return take(ring)

    assert circular.execute_in_process().output_value() is True


# Placing: alias, tags, retry policies


def test_the_same_op_is_numbered_and_an_alias_is_kept() -> None:
    @job
    def many():
        one()
        one.alias("one_3")()
        one()
        one()
        one()

    assert list(many.steps) == ["one", "one_3", "one_2", "one_4", "one_5"]


def test_what_is_said_of_a_placed_op_adds_up() -> None:
    @op(tags={"a": "op", "b": "op"}, retry_policy=RetryPolicy(1))
    def tagged() -> int:
        return 1

    @graph(tags={"a": "graph", "c": "graph"})
    def inner():
        tagged.tag({"d": 1}).alias("placed").tag({"b": "placed"}).with_retry_policy(RetryPolicy(7))()
        tagged()

    @job(tags={"a": "job"})
    def outer():
        inner.tag({"c": "placed"}).with_retry_policy(RetryPolicy(5)).alias("sub")()
        inner()

    placed, plain = outer.steps["sub.placed"], outer.steps["sub.tagged"]
    assert placed.tags == {"a": "op", "b": "placed", "c": "placed", "d": "1"}
    assert plain.tags == {"a": "op", "b": "op", "c": "placed"}
    assert outer.steps["inner.tagged"].tags["c"] == "graph"
    policies = {key: step.retry_policy.max_retries for key, step in outer.steps.items() if step.retry_policy}
    assert policies == {"sub.placed": 7, "sub.tagged": 5, "inner.placed": 7, "inner.tagged": 1}
    assert "'tagged', " in placed.where
    assert "test_graph.py:" in placed.where


def test_a_graphs_tags_are_those_of_its_jobs() -> None:
    @graph(tags={"memo/is_memoized_run": "false", "team": "data"})
    def tagged():
        one()

    assert tagged.to_job().tags == {"memo/is_memoized_run": "false", "team": "data"}
    assert tagged.to_job(tags={"team": "other"}).tags["team"] == "other"


# Graphs in graphs


def test_graphs_nest_with_inputs_outputs_defaults_and_aliases() -> None:
    @graph
    def innermost(x, y=2):
        return add(x, y)

    @graph(out={"sum": GraphOut(), "given": GraphOut()})
    def middle(x, y=3):
        return innermost(innermost(x), y), x

    @graph
    def outer(x):
        first = middle(x)
        second = middle.alias("again")(first.sum, y=one())
        return total([first.sum, first.given, second.sum, second.given])

    made = outer.to_job()
    result = made.execute_in_process(input_values={"x": 100})

    assert list(made.steps) == [
        "middle.innermost.add",
        "middle.innermost_2.add",
        "one",
        "again.innermost.add",
        "again.innermost_2.add",
        "total",
    ]
    assert result.output_for_node("middle.innermost_2.add") == 105
    assert result.output_value() == 105 + 100 + 108 + 105


def test_a_graph_passes_fan_ins_nothing_and_optional_outputs_through() -> None:
    @op(out={"yes": Out(is_required=False), "no": Out(is_required=False)})
    def maybe() -> Iterator[Output[int]]:
        yield Output(5, "yes")

    @graph(out={"yes": GraphOut(), "no": GraphOut()})
    def deciding():
        found = maybe()
        return found.yes, found.no

    @graph
    def adding(parts):
        return total(parts)

    @graph
    def waiting(start):
        return last(7, after=start)

    @job
    def wired():
        found = deciding()
        adding([found.yes, found.no, 1])
        waiting(done())
        waiting.alias("for_many")([done(), one()])

    result = wired.execute_in_process()

    assert result.output_for_node("adding.total") == 6
    assert result.output_for_node("waiting.last") == 7
    assert result.output_for_node("for_many.last") == 7


def test_what_only_orders_needs_no_value_at_the_top() -> None:
    @graph
    def waiting(start):
        return last(7, after=start)

    assert waiting.to_job().execute_in_process().output_value() == 7


def test_an_unconnected_input_of_a_graph_has_the_default_of_the_op_it_feeds() -> None:
    @graph
    def inner(a, b):
        return add(a, b)

    @job
    def outer():
        return inner(5)

    @graph
    def deeper(a, b):
        return inner(a, b)

    assert outer.execute_in_process().output_value() == 15
    assert deeper.execute_in_process(input_values={"a": 1}).output_value() == 11
    assert type(outer.steps["inner.add"].inputs["b"]) is FromRunConfig


def test_a_job_input_has_the_default_of_the_ops_only_where_they_agree() -> None:
    @op
    def other(b: int = 11) -> int:
        return b

    @graph(out={"x": GraphOut(), "y": GraphOut()})
    def agreeing(b):
        return add(1, b), add(2, b)

    @graph
    def disagreeing(b):
        add(1, b)
        other(b)

    assert agreeing.to_job().execute_in_process().output_value("y") == 12
    with pytest.raises(ConfigError, match=r"inputs\.b: the job's input has no value"):
        disagreeing.to_job().execute_in_process()
    assert disagreeing.to_job(input_values={"b": 1}).execute_in_process().success


# What cannot be right, in a graph's body

LOOKS: list[tuple[str, Callable[[Any], Any]]] = [
    ("iterated", list),
    ("unpacked", lambda x: [*x]),
    ("condition", bool),
    ("condition", lambda x: 1 if x else 2),
    ("indexed", lambda x: x[0]),
    ("indexed", lambda x: x["a"]),
    ("written into a string", lambda x: f"{x}"),
    ("written into a string", "{}".format),
    ("compared", lambda x: x == 3),
    ("compared", lambda x: x != 3),
    ("compared", [3].count),
    ("operator", lambda x: x + 1),
    ("operator", lambda x: 1 + x),
    ("operator", lambda x: x < 1),
    ("operator", lambda x: 2 * x),
    ("operator", lambda x: x | x),
    ("attribute 'columns'", lambda x: x.columns),
    ("that goes before the call: my_op.alias", lambda x: x.alias("late")),
]


@pytest.mark.parametrize(("words", "look"), LOOKS)
@pytest.mark.parametrize("handle", ["output", "input"])
def test_whatever_looks_at_a_handle_is_refused(words: str, look: Any, handle: str) -> None:
    with pytest.raises(DefinitionError) as refused:

        @graph
        def looking(given):
            look(given if handle == "input" else one())

    assert words in str(refused.value)
    assert ("<input 'given' of graph 'looking'>" if handle == "input" else "<output 'result' of 'one'>") in str(
        refused.value
    )
    assert "test_graph.py:" in refused.value.where


def test_handles_may_be_compared_with_each_other_kept_in_sets_and_asked_for_attributes() -> None:
    @graph
    def looking():
        first, second = one(), one()
        assert first == first  # noqa: PLR0124 - identity is what is asserted
        assert first != second
        assert {first, second, first} == {second, first}
        assert first in [second, first]
        assert not hasattr(first, "columns")
        outs = split()
        assert not hasattr(outs, "middle")
        with pytest.raises(DefinitionError, match="written into a string"):
            f"{outs}"


def call(body: Callable[..., Any]) -> int:
    """The line of a body's call: the one behind its first."""
    return body.__code__.co_firstlineno + 1


@graph
def apart():
    return one()


@job
def whole():
    one()


def returns_unnamed() -> Any:
    return one(), one()


def too_many() -> Any:
    add(1, 2, 3)


def nothing_by_position() -> Any:
    last(1, one())


def unknown_input() -> Any:
    add(1, bb=2)


def given_twice() -> Any:
    add(1, a=2)


def several_outputs() -> Any:
    add(split(), 1)


def several_in_a_list() -> Any:
    total([split()])


def op_itself() -> Any:
    add(one, 2)


def op_in_a_list() -> Any:
    total([one(), one])


def op_in_a_dict() -> Any:
    add({"a": one}, 2)


def graph_itself() -> Any:
    add(apart, 2)


def pending_itself() -> Any:
    add(one.alias("x"), 2)


def job_itself() -> Any:
    add(whole, 2)


def tuple_of_outputs() -> Any:
    total((one(), one()))


def dict_of_outputs() -> Any:
    add({"a": one()}, 2)


def nested_lists() -> Any:
    total([[one()], one()])


def deep_output() -> Any:
    total([1, {"a": [one()]}])


def wrong_type() -> Any:
    add(1, "two")


def list_for_one() -> Any:
    add([one(), one()])


def value_for_nothing() -> Any:
    last(1, after=5)


def values_for_nothing() -> Any:
    last(1, after=[one(), 5])


def taken_alias() -> Any:
    _ = one.alias("a")(), one.alias("a")()


def nothing_for_a_value() -> Any:
    add(done())


WRONG_WIRINGS: list[tuple[Callable[..., Any], str, list[str]]] = [
    (too_many, "op 'add'", ["got 3 inputs by position and takes 2"]),
    (nothing_by_position, "op 'last'", ["got 2 inputs by position and takes 1", "of type Nothing is given by name"]),
    (unknown_input, "op 'add'", ["has no input 'bb'. Did you mean 'b'?"]),
    (given_twice, "op 'add'", ["got the input 'a' twice"]),
    (several_outputs, "op 'add'", ["the input 'a' got <outputs low, high of op 'split'>", "say which of them: .low"]),
    (several_in_a_list, "op 'total'", ["say which of them"]),
    (op_itself, "op 'add'", ["the input 'a' got the op 'one' itself; call it to pass its output: one()"]),
    (op_in_a_list, "op 'total'", ["the op 'one' itself"]),
    (op_in_a_dict, "op 'add'", ["the op 'one' itself"]),
    (graph_itself, "op 'add'", ["the graph 'apart' itself; call it"]),
    (pending_itself, "op 'add'", ["the op 'one' itself; call it"]),
    (job_itself, "op 'add'", ["got the job 'whole'", "an output of an op"]),
    (tuple_of_outputs, "op 'total'", ["within a value of another type", "flat list"]),
    (dict_of_outputs, "op 'add'", ["within a value of another type"]),
    (nested_lists, "op 'total'", ["a list of lists of outputs", "one flat list"]),
    (deep_output, "op 'total'", ["within a value of another type"]),
    (wrong_type, "op 'add'", ["the input 'b' must be int and is str"]),
    (list_for_one, "op 'add'", ["the input 'a' must be int and got a list of outputs"]),
    (
        value_for_nothing,
        "op 'last'",
        ["the input 'after' is of type Nothing and takes outputs to wait for, not a value"],
    ),
    (values_for_nothing, "op 'last'", ["the input 'after' is of type Nothing", "not values"]),
    (taken_alias, "op 'a'", ["cannot be placed as 'a': job 'wrong' has that name already; give it another alias"]),
    (nothing_for_a_value, "step 'add'", ["'result' of 'done'", "of type Nothing", "In(Nothing)"]),
]


@pytest.mark.parametrize(("body", "who", "words"), WRONG_WIRINGS, ids=[each[0].__name__ for each in WRONG_WIRINGS])
def test_a_wrong_wiring_names_the_op_its_place_and_the_line_of_the_call(body: Any, who: str, words: list[str]) -> None:
    with pytest.raises(DefinitionError) as refused:
        job(name="wrong")(body)

    assert refused.value.where.startswith(who)
    assert refused.value.where.count("test_graph.py:") == 2
    assert refused.value.where.endswith(f"test_graph.py:{call(body)}")
    for word in words:
        assert word in str(refused.value)


def test_the_line_is_that_of_a_helper_that_the_body_calls() -> None:
    def helper() -> None:
        add(1, 2, 3)

    with pytest.raises(DefinitionError, match=rf"called at .*test_graph\.py:{call(helper)}: got 3 inputs"):

        @graph
        def through_a_helper():
            helper()


def test_a_wrong_alias_tag_or_policy_is_refused() -> None:
    for make, words in [
        (lambda: one.alias("a b"), "'a b' is no legal name for a placed op"),
        (lambda: one.alias(None), "None is no legal name"),  # type: ignore[arg-type]
        (lambda: one.tag({"a": object}), "the tag 'a'"),
        (lambda: one.with_retry_policy(3), "the retry policy is 3; it must be a RetryPolicy"),  # type: ignore[arg-type]
        (lambda: apart.alias("a.b"), "'a.b' is no legal name for a placed graph"),
    ]:
        with pytest.raises(DefinitionError, match=r"^(op 'one'|graph 'apart') \(.*test_graph\.py:\d+\)") as refused:
            make()
        assert words in str(refused.value)


def test_a_placed_op_and_a_graph_are_called_in_a_body_only() -> None:
    with pytest.raises(DefinitionError, match=r"op 'one' .*only be called in the body of a graph or job"):
        one.alias("x")()
    with pytest.raises(DefinitionError, match=r"graph 'apart' .*run it with .to_job\(\) or .execute_in_process\(\)"):
        apart()
    with pytest.raises(DefinitionError, match=r"job 'whole' .*cannot be called.*make it a @graph"):

        @graph
        def around():
            whole()


def test_a_handle_does_not_leave_its_body() -> None:
    kept: list[Any] = []

    @graph
    def first():
        kept.append(one())

    with pytest.raises(
        DefinitionError, match=r"<output 'result' of 'one'>, which belongs to the body of graph 'first'"
    ):

        @graph
        def second():
            add(kept[0])

    with pytest.raises(DefinitionError, match=r"returns <output 'result' of 'one'>, which belongs to graph 'first'"):

        @graph
        def third():
            return kept[0]


def of_one() -> Any:
    return one()


def of_input(x: Any) -> Any:
    return add(x)


def with_context(context: Any) -> Any:
    return add(context)


def with_varargs(*x: Any) -> Any:
    return add(*x)


def without_use(x: Any) -> Any:
    return one()


def without_use_of_default(x: int = 1) -> Any:
    return one()


def of_takes_list() -> Any:
    return takes_list()


def an_async_body() -> Any:
    async def body() -> None: ...

    return body


def a_generator_body() -> Any:
    def body() -> Any:
        yield one()

    return body


@pytest.mark.parametrize(
    ("body", "kwargs", "words"),
    [
        (an_async_body(), {}, "is a generator or async function"),
        (a_generator_body(), {}, "is a generator or async function"),
        (with_context, {"name": "g"}, "takes a context, and only ops have one"),
        (with_varargs, {"name": "g"}, "takes *args or **kwargs"),
        (without_use, {"name": "g"}, "takes the input 'x' and uses it nowhere"),
        (without_use_of_default, {"name": "g"}, "takes the input 'x' and uses it nowhere"),
        (lambda: add(1), {}, "'<lambda>' is no legal name for a graph"),
        (of_one, {"name": "for"}, "'for' is a word of Python"),
        (of_input, {"name": "g", "ins": {"y": GraphIn()}}, "ins names 'y', which is no argument"),
        (of_input, {"name": "g", "ins": {"x": In()}}, "ins['x'] is In(None); it must be a GraphIn"),
        (of_input, {"name": "g", "ins": 4}, "ins is 4"),
        (of_one, {"name": "g", "tags": {"a": object}}, "the tag 'a'"),
        (
            returns_unnamed,
            {},
            "returns 2 outputs without names: declare them with out={…: GraphOut()}, or return a dict",
        ),
        (returns_unnamed, {"out": GraphOut()}, "returns 2 outputs without names"),
        (returns_unnamed, {"out": {"a": GraphOut()}}, "returns 2 outputs and declares 1 (a)"),
        (lambda: {"a": one(), "b": one()}, {"name": "g", "out": GraphOut()}, "declares one output and returns 2"),
        (lambda: None, {"name": "g", "out": GraphOut()}, "declares one output and returns 0"),
        (lambda: {"a": one()}, {"name": "g", "out": {"b": GraphOut()}}, "declares the outputs b and returns a"),
        (lambda: None, {"name": "g", "out": {"b": GraphOut()}}, "declares the outputs b and returns none"),
        (of_one, {"name": "g", "out": {"b": Out()}}, "out['b'] is Out(None); it must be a GraphOut"),
        (of_one, {"name": "g", "out": {"b c": GraphOut()}}, "'b c' is no legal name for an output"),
        (of_one, {"name": "g", "out": 3}, "out is 3; it must be a GraphOut, or a dict of them by name"),
        (lambda: {"a b": one()}, {"name": "g"}, "'a b' is no legal name for an output"),
        (lambda: 5, {"name": "g"}, "returns 5 as output 'result'"),
        (lambda: [one()], {"name": "g"}, "a graph returns outputs of its ops"),
        (lambda: one, {"name": "g"}, "returns the op 'one' itself as output 'result'"),
    ],
)
def test_a_graph_that_cannot_be_right_is_refused_with_its_place(body: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        graph(**kwargs)(body)

    assert words in str(refused.value)
    assert refused.value.where.endswith(f"test_graph.py:{body.__code__.co_firstlineno})")


def test_an_exception_in_a_body_passes_and_leaves_nothing_behind() -> None:
    with pytest.raises(ZeroDivisionError):

        @graph
        def broken():
            one()
            return 1 // 0

    assert one() == 1


def test_a_job_may_be_run_in_the_body_of_a_graph() -> None:
    """Its ops run, those that they call directly too: none of them is placed in the graph."""

    @op
    def calling() -> int:
        return add(one(), 2)

    @job
    def counting():
        return calling()

    @graph
    def outer():
        return add(counting.execute_in_process().output_value(), one())

    assert list(outer.nodes) == ["one", "add"]
    assert outer.execute_in_process().output_value() == 4


def test_an_input_may_have_any_legal_name() -> None:
    @op
    def odd(self: int, args: int, settings: int, name: int) -> int:
        return self + args + settings + name

    @graph(out={"composition": GraphOut(), "kwargs": GraphOut()})
    def both(self, node):
        value = odd(self=self, args=1, settings=2, name=node)
        return value, value

    @job
    def wired():
        outs = both(self=10, node=20)
        return odd(outs.composition, outs.kwargs, 0, 0)

    assert wired.execute_in_process().output_value() == 66
    assert odd(self=1, args=1, settings=1, name=1) == 4


def test_a_graph_may_be_defined_in_the_body_of_another() -> None:
    @graph
    def outer():
        @graph
        def inner():
            return one()

        return add(inner(), one())

    assert outer.execute_in_process().output_value() == 2


# What is connected through graphs is checked when the job is made


@graph
def takes_one(x):
    return add(x)


@graph
def takes_list(x):
    return total([x, 1])


@graph
def takes_start(start):
    return last(after=start)


@pytest.mark.parametrize(
    ("body", "step", "words"),
    [
        (lambda: takes_one("text"), "step 'takes_one.add'", "the input 'a' must be int and is str"),
        (lambda: takes_one([one()]), "step 'takes_one.add'", "the input 'a' must be int and got a list of outputs"),
        (lambda: takes_one(done()), "step 'takes_one.add'", "of type Nothing and carries no value"),
        (lambda: takes_list([one()]), "step 'takes_list.total'", "a list of lists of outputs"),
        (of_takes_list, "step 'takes_list.total'", "a list with an input of a graph that is not connected"),
        (lambda: takes_list(done()), "step 'takes_list.total'", "of type Nothing and carries no value"),
        (lambda: takes_start(5), "step 'takes_start.last'", "takes outputs to wait for, not a value"),
    ],
)
def test_what_comes_through_a_graph_is_checked_too(body: Any, step: str, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        job(name="through")(body)

    assert refused.value.where.startswith(step)
    assert f"called at {__file__.rpartition('tests')[1]}" in refused.value.where
    assert words in str(refused.value)


# Size


def test_long_chains_and_wide_graphs_are_defined_and_selected_without_recursion() -> None:
    from memo.definition.selection import select_steps

    @op
    def step(x: int = 0) -> int:
        return x

    @job
    def chain():
        value = step()
        for _ in range(5_000):
            value = step(value)

    @job
    def wide():
        total([step() for _ in range(5_000)])

    assert len(chain.steps) == 5_001
    assert select_steps(chain.steps, ["*step_5001"]) == chain.steps.keys()
    assert len(list(wide.steps["total"].upstream())) == 5_000
