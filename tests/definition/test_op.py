from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest

from memo import In, JobDefinition, Nothing, OpDefinition, Out, Output, RetryPolicy, build_op_context, graph, job, op
from memo.errors import ConfigError, DefinitionError, InvocationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def run(definition: Any, **kwargs: Any) -> Any:
    """What an op without inputs gives when it is run in a job."""

    @job(**kwargs)
    def alone():
        return definition()

    return alone.execute_in_process().output_value()


# What is read from a function


def test_a_bare_op_reads_all_from_the_function() -> None:
    @op
    def clean(table: list[int], limit: int = 5) -> list[int]:
        """Drop the large ones."""
        return [each for each in table if each <= limit]

    assert isinstance(clean, OpDefinition)
    assert clean.name == clean.__name__ == "clean"
    assert clean.description == clean.__doc__ == "Drop the large ones."
    assert clean.__module__ == __name__
    assert clean.__qualname__.endswith("<locals>.clean")
    assert list(clean.ins) == ["table", "limit"]
    assert clean.ins["table"].dagster_type == list[int]
    assert not clean.ins["table"].has_default_value
    assert clean.ins["limit"].default_value == 5
    assert list(clean.outs) == ["result"]
    assert clean.outs["result"].dagster_type == list[int]
    assert str(inspect.signature(clean)) == "(table: 'list[int]', limit: 'int' = 5) -> 'list[int]'"
    assert clean.location.endswith(f"test_op.py:{clean.compute_fn.__code__.co_firstlineno}")
    assert repr(clean) == "<op 'clean'>"


def test_what_is_given_comes_before_what_is_read() -> None:
    @op(
        name="other",
        description="Given.",
        ins={"a": In(str, default_value="x", metadata={"k": 1})},
        out=Out(str, metadata={"m": 2}),
        tags={"memo/priority": 5, "gpu": True, "nodes": {"min": 1}},
        required_resource_keys=["db"],
        version="1.0-beta",
        retry_policy=RetryPolicy(2),
    )
    def named(context: Any, a: int = 3) -> int:  # type: ignore[empty-body]
        """Read."""

    assert named.name == "other"
    assert named.__name__ == "named"
    assert named.description == "Given."
    assert named.__doc__ == "Read."
    assert named.ins["a"].dagster_type is str
    assert named.ins["a"].default_value == "x"
    assert named.ins["a"].metadata == {"k": 1}
    assert named.outs["result"].dagster_type is str
    assert named.tags == {"memo/priority": "5", "gpu": "true", "nodes": '{"min":1}'}
    assert named.required_resource_keys == {"db"}
    assert named.version == "1.0-beta"
    assert named.retry_policy is not None


def test_a_docstring_is_shown_without_its_indent() -> None:
    @op
    def documented() -> None:
        """First.

        Second.
        """

    assert documented.description == "First.\n\nSecond."


@pytest.mark.parametrize("name", ["context", "_context", "context_", "_"])
def test_the_first_argument_may_be_the_context(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def count({name}, x: int = 1):\n    return {name}.op_config + x", scope)
    count = op(config_schema=int)(scope["count"])

    assert list(count.ins) == ["x"]
    assert run(count, config={"ops": {"count": {"config": 4}}}) == 5


def test_keyword_only_arguments_are_inputs_by_name() -> None:
    @op
    def add(a: int, *, b: int = 2) -> int:
        return a + b

    @job
    def sums():
        return add(1, b=5)

    assert sums.execute_in_process().output_value() == 6
    assert add(1) == 3


# Outputs


def outs_of(fn: Any, **kwargs: Any) -> dict[str, Any]:
    return {name: out.dagster_type for name, out in op(**kwargs)(fn).outs.items()}


def returning(annotation: Any) -> Any:
    def body():
        pass

    body.__annotations__["return"] = annotation
    return body


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, int),
        ("int", int),
        (Output[int], int),
        ("Output[int]", int),
        (Output, Any),
        (None, Nothing),
        ("None", Nothing),
        (type(None), Nothing),
        (Output[None], Nothing),
        (Nothing, Nothing),
        (Any, Any),
        ("no.such.Name", Any),
        ("DataFrame", Any),
        ("not even Python", Any),
        (tuple[int, str], tuple[int, str]),
        (int | None, int | None),
        ("int | None", int | None),
    ],
)
def test_one_output_has_the_type_of_the_return_annotation(annotation: Any, expected: Any) -> None:
    assert outs_of(returning(annotation)) == {"result": expected}
    assert outs_of(returning(annotation), out=Out()) == {"result": expected}
    assert outs_of(returning(annotation), out={"x": Out()}) == {"x": expected}
    assert outs_of(returning(annotation), out=Out(bytes)) == {"result": bytes}


def test_an_unannotated_op_gives_anything_even_none() -> None:
    @op
    def silent():
        return None

    assert silent.outs["result"].dagster_type is None
    assert run(silent) is None


def test_a_type_that_only_the_type_checker_knows_is_any_type() -> None:
    """A return annotation that cannot be evaluated must not be taken for `-> None`: the value would be dropped."""

    @op
    def load() -> DataFrame:  # type: ignore[name-defined]  # noqa: F821
        return [1, 2]

    @op
    def total(frame: DataFrame, weights: list[NoSuch]) -> int:  # type: ignore[name-defined]  # noqa: F821
        return len(frame) + len(weights)

    @job
    def typed():
        return total(load(), [1])

    assert typed.execute_in_process().output_value() == 3


def test_a_local_class_in_an_annotation_is_found_where_the_function_uses_it() -> None:
    class Local:
        pass

    @op
    def make() -> Local:
        return Local()

    assert make.outs["result"].dagster_type is Local


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (tuple[int, str], {"a": int, "b": str}),
        ("tuple[int, str]", {"a": int, "b": str}),
        (tuple[Output[int], Output[str]], {"a": int, "b": str}),
        (tuple[int, ...], {"a": None, "b": None}),
        (tuple, {"a": None, "b": None}),
        (Any, {"a": None, "b": None}),
        ("Unknown", {"a": None, "b": None}),
    ],
)
def test_several_outputs_have_the_types_of_the_tuple(annotation: Any, expected: Any) -> None:
    assert outs_of(returning(annotation), out={"a": Out(), "b": Out()}) == expected


def test_an_output_of_type_nothing_has_no_place_in_the_tuple() -> None:
    @op(out={"a": Out(), "done": Out(Nothing), "b": Out()})
    def both() -> tuple[int, str]:
        return 1, "x"

    @op(out={"value": Out(), "done": Out(Nothing)})
    def single() -> int:
        return 7

    @op
    def first(number: int, text: str) -> int:
        return number * len(text)

    @job
    def wired():
        found = both()
        first.alias("from_both")(found.a, found.b)
        first.alias("from_single")(single().value, "y")

    result = wired.execute_in_process()

    assert [both.outs[name].dagster_type for name in ("a", "done", "b")] == [int, Nothing, str]
    assert single.outs["value"].dagster_type is int
    assert result.output_for_node("from_both") == 1
    assert result.output_for_node("from_single") == 7


def test_what_a_generator_returns_says_nothing_of_what_it_yields() -> None:
    def yielding() -> Iterator[Output[int]]:
        yield Output(1)

    async def streaming() -> AsyncIterator[Output[int]]:
        yield Output(1)

    assert outs_of(yielding) == {"result": None}
    assert outs_of(streaming) == {"result": None}
    assert outs_of(streaming, out={"a": Out(), "b": Out()}) == {"a": None, "b": None}


# Functions that are no plain functions


def twice(fn: Any) -> Any:
    """A decorator as people write them."""

    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs) * 2

    return wrapper


@op
@twice
def decorated(context: Any, a: int, b: int = 2) -> int:
    """Add."""
    return a + b + context.retry_number


class Adder:
    """Adds what it holds."""

    def __init__(self, held: int) -> None:
        self.held = held

    def __call__(self, a: int) -> int:
        return a + self.held

    def method(self, context: Any, a: int) -> int:
        return a * self.held + context.retry_number


def plain(context: Any, a: int, b: int, c: int = 4) -> int:
    return a + b + c + context.retry_number


@pytest.mark.parametrize(
    ("fn", "kwargs", "name", "inputs", "line_of"),
    [
        (decorated.compute_fn, {}, "decorated", ["a", "b"], inspect.unwrap(decorated.compute_fn)),
        (functools.partial(plain, b=1), {}, "plain", ["a", "b", "c"], plain),
        (functools.partial(functools.partial(plain, b=1), c=2), {}, "plain", ["a", "b", "c"], plain),
        (Adder(3), {}, "Adder", ["a"], Adder.__call__),
        (Adder(3).method, {}, "method", ["a"], Adder.method),
        (functools.lru_cache(plain), {}, "plain", ["a", "b", "c"], plain),
        (lambda a: a, {"name": "short"}, "short", ["a"], None),
    ],
    ids=["wraps", "partial", "partials", "object", "method", "cached", "lambda"],
)
def test_functions_that_are_no_plain_functions(
    fn: Any, kwargs: Any, name: str, inputs: list[str], line_of: Any
) -> None:
    made = op(**kwargs)(fn)

    assert made.name == name
    assert list(made.ins) == inputs
    if line_of is not None:
        assert made.location.endswith(f"test_op.py:{line_of.__code__.co_firstlineno}")


def test_they_run() -> None:
    part = op(name="part")(functools.partial(plain, b=1))
    held, method = op(Adder(3)), op(Adder(3).method)

    @job
    def all_kinds():
        decorated(1, 2)
        part(10)
        held(1)
        method(4)

    result = all_kinds.execute_in_process()

    assert [result.output_for_node(each) for each in ("decorated", "part", "Adder", "method")] == [6, 15, 4, 12]
    assert op(Adder(3)).description == "Adds what it holds."
    assert part.description is None
    assert decorated.description == "Add."


def test_an_annotation_is_read_in_the_module_of_the_innermost_function() -> None:
    """A wrapper of another module does not know the names that the wrapped function's annotations use."""
    wrapper_of_elsewhere: Any = eval("lambda fn: lambda *args: fn(*args)", {})

    def inner(a: Adder) -> Adder:
        return a

    made = op(functools.wraps(inner)(wrapper_of_elsewhere(inner)))

    assert made.ins["a"].dagster_type is Adder
    assert made.outs["result"].dagster_type is Adder


def test_async_and_generator_functions_are_known_through_wrappers() -> None:
    async def slow() -> int:
        return 1

    def stream() -> Iterator[Output[int]]:
        yield Output(1)

    @functools.wraps(slow)
    def handing_on(*args: Any) -> Any:
        return slow(*args)

    @functools.wraps(plain)
    async def awaiting(*args: Any) -> Any:
        return plain(*args)

    kinds = {
        name: (made.is_async, made.is_generator)
        for name, made in {
            "slow": op(slow),
            "partial": op(functools.partial(slow)),
            "handing_on": op(handing_on),
            "awaiting": op(awaiting),
            "stream": op(stream),
            "partial stream": op(functools.partial(stream)),
        }.items()
    }

    assert kinds == {
        "slow": (True, False),
        "partial": (True, False),
        "handing_on": (True, False),
        "awaiting": (True, False),
        "stream": (False, True),
        "partial stream": (False, True),
    }


# What cannot be right


def with_args(*numbers: int) -> None: ...


def with_kwargs(**numbers: int) -> None: ...


def positional_only(a: int, /) -> None: ...


def late_context(a: int, context: Any) -> None: ...


def two(a: int, b: int) -> int:
    return a + b


def bad_limit(limit: int) -> None: ...


def annotated_nothing(a: Nothing) -> None: ...


def bad_default(a: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013


REFUSED: list[tuple[str, Any, dict[str, Any], list[str]]] = [
    ("variadic", with_args, {}, ["op 'with_args'", "*args", "name every input"]),
    ("keywords", with_kwargs, {}, ["op 'with_kwargs'", "**kwargs"]),
    ("wrapped variadic", lambda *a: a, {"name": "x"}, ["op 'x'", "*args"]),
    ("positional only", positional_only, {}, ["op 'positional_only'", "drop the /"]),
    ("late context", late_context, {}, ["op 'late_context'", "'context'", "comes first"]),
    ("lambda", lambda: 1, {}, ["'<lambda>'", "letters, digits and underscores", "give name="]),
    ("illegal name", two, {"name": "a.b"}, ["op 'a.b'", "letters, digits and underscores"]),
    ("empty name", two, {"name": ""}, ["''", "letters, digits and underscores"]),
    ("python's word", two, {"name": "class"}, ["'class'", "word of Python"]),
    ("unknown input", two, {"ins": {"c": In()}}, ["op 'two'", "'c'", "no argument of the function", "There is: a, b."]),
    ("near input", bad_limit, {"ins": {"limits": In(int)}}, ["Did you mean 'limit'?"]),
    ("ins is a list", two, {"ins": ["a"]}, ["ins is ['a']", "must be a dict"]),
    ("no In", two, {"ins": {"a": int}}, ["ins['a']", "must be an In"]),
    ("no In for no argument", two, {"ins": {"c": int}}, ["ins['c']", "must be an In"]),
    (
        "nothing as argument",
        two,
        {"ins": {"a": In(Nothing)}},
        ["op 'two'", "'a'", "carries no value", "drop the argument"],
    ),
    ("annotated nothing", annotated_nothing, {}, ["'a'", "annotated Nothing", "In(Nothing)"]),
    ("illegal input", two, {"ins": {"no-good": In(Nothing)}}, ["'no-good'", "an input"]),
    ("bad default", bad_default, {}, ["op 'bad_default'", "'a' must be int", "default is None", "int | NoneType"]),
    ("bad In default", two, {"ins": {"a": In(default_value="x")}}, ["'a' must be int", "default is 'x'"]),
    ("out is a type", two, {"out": int}, ["out is", "must be an Out, or a dict"]),
    ("no Out", two, {"out": {"x": int}}, ["out['x']", "must be an Out"]),
    ("illegal output", two, {"out": {"x y": Out()}}, ["'x y'", "an output"]),
    ("not a tuple", two, {"out": {"x": Out(), "y": Out()}}, ["to return int", "2 outputs", "x, y"]),
    ("config", two, {"config_schema": 5}, ["op 'two'", "config schema"]),
    ("keys as a string", two, {"required_resource_keys": "db"}, ["op 'two'", '{"db"}']),
    ("keys as a number", two, {"required_resource_keys": 3}, ["op 'two'", "a set of names"]),
    ("illegal key", two, {"required_resource_keys": {"a-b"}}, ["op 'two'", "'a-b'", "a resource"]),
    ("empty version", two, {"version": ""}, ["op 'two'", "version is ''", "non-empty string"]),
    ("version is a number", two, {"version": 1}, ["op 'two'", "version is 1", "non-empty string"]),
    ("retry policy", two, {"retry_policy": 3}, ["op 'two'", "retry_policy is 3", "a RetryPolicy"]),
    ("tag name", two, {"tags": {1: "x"}}, ["op 'two'", "tag name 1", "string"]),
    ("tag value", two, {"tags": {"x": object}}, ["op 'two'", "tag 'x'", "JSON"]),
    ("tags", two, {"tags": ["x"]}, ["op 'two'", "tags is ['x']"]),
]


@pytest.mark.parametrize(("fn", "kwargs", "words"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_what_cannot_be_right_is_refused_with_its_place(fn: Any, kwargs: Any, words: list[str]) -> None:
    with pytest.raises(DefinitionError) as refused:
        op(**kwargs)(fn)

    assert refused.value.where.endswith(f"test_op.py:{fn.__code__.co_firstlineno})")
    for word in words:
        assert word in str(refused.value)


def test_the_count_of_a_tuple_must_agree() -> None:
    with pytest.raises(DefinitionError, match=r"3 values and declares 2 outputs that carry a value \(a, b\)"):

        @op(out={"a": Out(), "b": Out()})
        def three() -> tuple[int, int, int]:
            return 1, 2, 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: In(Nothing, default_value=1), "can have no default_value"),
        (lambda: In([int]), "In() got"),
        (lambda: In(Out()), "In() got Out(None) as its type"),
        (lambda: In("x", input_manager_key="a b"), "'a b' is no legal name for a resource (input_manager_key)"),
        (lambda: In(metadata=[1]), "the metadata of In()"),  # type: ignore[arg-type]
        (lambda: Out(5), "Out() got 5 as its type"),
        (lambda: Out(io_manager_key="a.b"), "'a.b' is no legal name for a resource (io_manager_key)"),
        (lambda: op("clean"), "@op decorates a function, and got 'clean'"),  # type: ignore[call-overload]
        (lambda: op()(5), "@op decorates a function, and got 5"),  # type: ignore[arg-type]
    ],
)
def test_errors_without_an_op_name_the_line_of_the_call(make: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        make()

    assert words in str(refused.value)
    assert refused.value.where.endswith(f"test_op.py:{make.__code__.co_firstlineno}")


def test_a_definition_is_not_decorated_again() -> None:
    @op
    def once() -> int:
        return 1

    for decorate in (op, op(), graph, job):
        with pytest.raises(DefinitionError, match=r"op 'once' \(.*test_op\.py:\d+\): is made already"):
            decorate(once)


# Values that may be anything


class Hostile:
    """Raises on whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("compared")

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise RuntimeError("asked for its truth")

    def __repr__(self) -> str:
        raise RuntimeError("asked for its repr")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"asked for {name}")


def hostile_values() -> list[Any]:
    import numpy as np
    import pandas as pd

    return [np.array([1, 2]), np.array([]), pd.DataFrame({"a": [1]}), Hostile()]


@pytest.mark.parametrize("value", hostile_values(), ids=["array", "empty array", "frame", "hostile"])
def test_any_object_may_be_a_default_or_a_literal(value: Any) -> None:
    @op
    def take(x: Any = value) -> bool:
        return x is value

    @op(ins={"x": In(default_value=value)})
    def declared(x: Any) -> bool:
        return x is value

    @graph
    def inner(x: Any = value) -> Any:
        return take(x)

    @job
    def wired():
        take()
        take.alias("literal")(value)
        declared()
        inner()
        inner.alias("given")(value)

    result = wired.execute_in_process()
    keys = ["take", "literal", "declared", "inner.take", "given.take"]

    assert [result.output_for_node(key) for key in keys] == [True] * 5


def test_any_object_may_stand_within_a_literal() -> None:
    value = Hostile()

    @op
    def take(x: Any) -> None: ...

    @job
    def wired():
        take([1, {"a": (value,)}])

    ((given,),) = [[each.value] for each in wired.steps["take"].inputs.values()]  # type: ignore[union-attr]
    assert given[1]["a"][0] is value


def test_an_error_about_a_hostile_value_can_still_be_read() -> None:
    with pytest.raises(DefinitionError, match="its default is <Hostile instance at"):

        @op
        def broken(x: int = Hostile()) -> int:  # type: ignore[assignment]
            return x


# Calling an op directly


@op(config_schema={"factor": int}, required_resource_keys={"db"})
def scaled(context: Any, x: int, y: int = 1) -> int:
    return context.op_config["factor"] * x + y + context.resources.db


def test_an_op_is_called_as_its_function_is() -> None:
    context = build_op_context(op_config={"factor": 3}, resources={"db": 100})

    assert op(two)(1, 2) == op(two)(1, b=2) == op(two)(a=1, b=2) == 3
    assert scaled(context, 2) == scaled(context, x=2) == scaled(context=context, x=2) == 107
    assert scaled(context, 2, 5) == 111


def test_a_context_that_is_not_needed_may_be_left_out() -> None:
    @op
    def named(context: Any, x: int = 1) -> str:
        return f"{context.op_name} {x}"

    assert named() == "named 1"
    assert named(None, 2) == "named 2"
    assert named(x=3) == "named 3"


def test_generators_and_coroutines_are_handed_out() -> None:
    import asyncio

    @op
    def stream() -> Iterator[Output[int]]:
        yield Output(1)

    @op
    async def slow(x: int) -> int:
        return x

    assert list(stream()) == [Output(1)]
    assert asyncio.run(slow(4)) == 4


def test_inputs_of_type_nothing_are_let_pass() -> None:
    @op(ins={"after": In(Nothing)})
    def last(x: int) -> int:
        return x

    assert last(1) == last(1, after=None) == 1


def test_a_default_is_not_changed_by_the_op() -> None:
    @op
    def grow(found: list[int] = []) -> list[int]:  # noqa: B006 - the point
        found.append(1)
        return found

    @job
    def grows():
        return grow()

    assert grow() == grow() == [1]
    assert grows.execute_in_process().output_value() == [1]
    assert grows.execute_in_process().output_value() == [1]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: op(two)(1), InvocationError, "needs the input 'b'"),
        (lambda: op(two)(1, 2, 3), InvocationError, "got 3 inputs and takes 2"),
        (lambda: op(two)(1, 2, a=3), InvocationError, "got the input 'a' twice"),
        (lambda: op(two)(1, 2, aa=3), InvocationError, "has no input 'aa'. Did you mean 'a'?"),
        (lambda: op(two)(1, "x"), InvocationError, "the input 'b' must be int and is str"),
        (lambda: scaled(x=1), InvocationError, "needs a context: pass build_op_context"),
        (lambda: scaled(1), InvocationError, "takes the context first, and got int"),
        (lambda: scaled(build_op_context(op_config={"factor": 1}), 1), InvocationError, "requires the resource 'db'"),
        (
            lambda: scaled(build_op_context(op_config={"factor": "x"}, resources={"db": 1}), 1),
            ConfigError,
            "ops.scaled.config.factor",
        ),
    ],
)
def test_a_wrong_call_says_what_is_wrong(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as raised:
        call()

    assert words in str(raised.value)
    if error is InvocationError:
        assert "test_op.py:" in str(raised.value)


# configured


@op(config_schema={"low": int, "high": int})
def between(context: Any) -> tuple[int, int]:
    return context.op_config["low"], context.op_config["high"]


def test_configured_gives_the_config() -> None:
    fixed = between.configured({"low": 1, "high": 2}, "fixed")
    half = between.configured(lambda high: {"low": 0, "high": high}, name="half", config_schema=int)
    again = half.configured(9, name="again")

    @job(config={"ops": {"half": {"config": 5}}})
    def wired():
        fixed()
        half()
        again()

    result = wired.execute_in_process()

    assert [result.output_for_node(each) for each in ("fixed", "half", "again")] == [(1, 2), (0, 5), (0, 9)]
    assert fixed.name == "fixed"
    assert fixed.__doc__ == between.__doc__
    assert between.configured({"low": 1, "high": 2}).name == "between"
    assert fixed() == (1, 2)


def test_configured_keeps_all_else_that_is_said_of_the_op() -> None:
    @op(
        ins={"rows": In(input_manager_key="reader")},
        out={"kept": Out(io_manager_key="tables"), "left": Out(is_required=False)},
        config_schema=int,
        description="Parts them.",
        required_resource_keys={"db"},
        tags={"a": 1},
        version="3",
        depends_on=[functools],
        ignore=["numpy"],
        retry_policy=RetryPolicy(max_retries=2),
    )
    def part(context, rows):
        yield Output(rows, "kept")

    fixed = part.configured(3, name="fixed")
    differing = {"name", "config_schema", "preset_config"}
    kept = {name: value for name, value in vars(part).items() if name not in differing}
    assert kept
    assert {name: value for name, value in vars(fixed).items() if name not in differing} == kept
    assert fixed.is_configurable
    assert fixed.loadable_inputs == ("rows",)
    assert fixed.description == "Parts them."


def test_what_most_ops_have_is_kept_once() -> None:
    def first(a, b):
        return a

    def second(a, b):
        return b

    one, other = op(first), op(second)
    assert one.ins is other.ins
    assert one.outs is other.outs
    assert one.input_names is other.input_names
    assert not {"tags", "version", "config_schema", "retry_policy", "depends_on"} & vars(one).keys()
    assert first.__annotations__ == {}


def test_the_environment_is_read_when_the_op_runs_not_when_it_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    from memo import StringSource

    @op(config_schema={"path": StringSource})
    def reads(context: Any) -> str:
        return str(context.op_config["path"])

    configured = reads.configured({"path": {"env": "MEMO_TEST_PATH"}})

    @job
    def later():
        return configured()

    monkeypatch.setenv("MEMO_TEST_PATH", "here")
    assert later.execute_in_process().output_value() == "here"
    monkeypatch.delenv("MEMO_TEST_PATH")
    with pytest.raises(ConfigError, match=r"ops\.reads\.config.*MEMO_TEST_PATH"):
        later.execute_in_process()


def test_steps_do_not_share_a_configured_value() -> None:
    @op(config_schema={"columns": [str]})
    def grow(context: Any) -> list[str]:
        context.op_config["columns"].append("x")
        return list(context.op_config["columns"])

    configured = grow.configured({"columns": ["a"]})

    @job
    def twice_over():
        configured()
        configured()

    for _ in range(2):
        result = twice_over.execute_in_process()
        assert result.output_for_node("grow") == result.output_for_node("grow_2") == ["a", "x"]


@pytest.mark.parametrize(
    ("configure", "words"),
    [
        (lambda: between.configured({"low": 1}), "does not fit: high: Missing required config entry"),
        (lambda: between.configured({"low": 1, "high": "x"}), "does not fit: high: Expected int"),
        (lambda: between.configured({"low": 1, "high": 2}, "a b"), "'a b' is no legal name"),
        (lambda: between.configured({"low": 1, "high": 2}).configured({}), "is configured already"),
        (lambda: between.configured({"low": 1, "high": 2}, config_schema=int), "a config_schema and a config"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_where_it_is_given(configure: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=r"^op 'between' \(.*test_op\.py:\d+\)") as refused:
        configure()

    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("configured", "given", "words"),
    [
        (
            between.configured({"low": 1, "high": 2}),
            {"low": 1},
            "ops.between.config: was configured where it is defined",
        ),
        (
            between.configured(lambda c: {"low": c}, config_schema=int),
            1,
            "ops.between.config: does not fit, as .configured",
        ),
        (between.configured(lambda c: c["x"], config_schema=dict), {}, "failed on it: KeyError: 'x'"),
        (between.configured(lambda c: c, config_schema=int), "x", "ops.between.config: Expected int"),
    ],
)
def test_what_the_run_gives_to_a_configured_op(configured: Any, given: Any, words: str) -> None:
    @job
    def wired():
        configured()

    with pytest.raises(ConfigError) as raised:
        wired.execute_in_process(run_config={"ops": {"between": {"config": given}}})

    assert words in str(raised.value)


# The same op in several places


def test_an_op_in_two_jobs_and_under_two_names() -> None:
    @op
    def one() -> int:
        return 1

    @op
    def add(a: int, b: int) -> int:
        return a + b

    def make(literal: int) -> JobDefinition:
        @job(name=f"job_{literal}")
        def made():
            return add.alias("second")(add(one(), literal), one())

        return made

    first, second = make(10), make(20)

    assert first.execute_in_process().output_value() == 12
    assert second.execute_in_process().output_value() == 22
    assert list(first.steps) == ["one", "add", "one_2", "second"]


def test_definitions_made_anew_in_a_live_session_stand_beside_the_old() -> None:
    def session(value: int) -> JobDefinition:
        @op
        def number() -> int:
            return value

        @job
        def live():
            return number()

        return live

    old, new = session(1), session(2)

    assert [old.execute_in_process().output_value(), new.execute_in_process().output_value()] == [1, 2]


# What an op knows of itself, so that it is not asked for each of its steps


@pytest.mark.parametrize(
    ("out", "key"),
    [
        (None, "io_manager"),
        (Out(io_manager_key="tables"), "tables"),
        ({"one": Out(int), "other": Out(str)}, "io_manager"),
        ({"one": Out(int), "other": Out(str, io_manager_key="tables")}, None),
        ({"one": Out(int), "other": Out(str, is_required=False)}, None),
        ({"one": Out(int), "other": Out(Nothing)}, None),
        (Out(Nothing), None),
    ],
)
def test_the_io_manager_of_outputs_that_are_all_alike(out: Any, key: str | None) -> None:
    @op(out=out)
    def made():
        return 1

    assert made.io_manager_key == key


def test_whether_a_run_config_may_say_anything_of_an_op() -> None:
    def made(value: Any = 1):
        return value

    assert not op(made).is_configurable
    assert op(made).loadable_inputs == ()
    loaded = op(ins={"value": In(input_manager_key="tables")})(made)
    assert (loaded.is_configurable, loaded.loadable_inputs) == (True, ("value",))
    assert op(config_schema=int)(made).is_configurable
    assert op(config_schema=int)(made).configured(3).is_configurable
