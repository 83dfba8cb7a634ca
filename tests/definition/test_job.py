from __future__ import annotations

from typing import Any

import pytest

from memo import (
    In,
    IOManager,
    JobDefinition,
    Out,
    ResourceDefinition,
    RetryPolicy,
    VersionStrategy,
    graph,
    in_process_executor,
    input_manager,
    io_manager,
    job,
    mem_io_manager,
    multiprocess_executor,
    op,
    resource,
)
from memo.definition.job import resource_order
from memo.errors import DefinitionError


@op
def one() -> int:
    return 1


@op
def add(a: int, b: int = 10) -> int:
    return a + b


@op(required_resource_keys={"db"})
def asks(context: Any) -> Any:
    return context.resources.db


@graph
def simple():
    """Give one."""
    return one()


class Kept(IOManager):
    def handle_output(self, context: Any, obj: Any) -> None: ...

    def load_input(self, context: Any) -> Any: ...


class ByHand(VersionStrategy):
    def get_op_version(self, context: Any) -> str:
        return str(context.op_def.name)


# What a job is


def test_a_job_reads_its_name_and_description_from_its_body() -> None:
    @job
    def daily():
        """Run daily."""
        return add(one())

    assert isinstance(daily, JobDefinition)
    assert daily.name == daily.__name__ == "daily"
    assert daily.description == daily.__doc__ == "Run daily."
    assert list(daily.steps) == ["one", "add"]
    assert daily.graph.name == "daily"
    assert repr(daily) == "<job 'daily'>"
    assert "test_job.py:" in daily.location


def test_to_job_takes_what_job_takes() -> None:
    strategy, policy = ByHand(), RetryPolicy(3)

    @graph
    def sums(x):
        return add(x)

    made = sums.to_job(
        "other",
        "Given.",
        {"db": 5, "io_manager": mem_io_manager},
        {"ops": {"add": {"config": {"any": 1}}}},
        tags={"team": "data"},
        metadata={"owner": "ada"},
        executor_def=in_process_executor,
        op_retry_policy=policy,
        version_strategy=strategy,
        input_values={"x": 4},
    )

    assert (made.name, made.description) == ("other", "Given.")
    assert made.resource_defs["db"].hardcoded_value == 5
    assert made.resource_defs["io_manager"] is mem_io_manager
    assert made.tags == {"team": "data"}
    assert made.metadata == {"owner": "ada"}
    assert made.executor_def is in_process_executor
    assert made.op_retry_policy is policy
    assert made.version_strategy is strategy
    assert made.input_values == {"x": 4}
    assert simple.to_job().name == "simple"
    assert simple.to_job().description == "Give one."


def test_a_graph_becomes_several_jobs() -> None:
    @graph
    def asking():
        return asks()

    first = asking.to_job("first", resource_defs={"db": "a"})
    second = asking.to_job("second", resource_defs={"db": "b"})

    assert [each.execute_in_process().output_value() for each in (first, second)] == ["a", "b"]
    assert asking.execute_in_process(resources={"db": "c"}).output_value() == "c"


def test_the_default_config_is_a_copy() -> None:
    config: dict[str, Any] = {"ops": {"configured": {"config": {"n": [1]}}}}

    @op
    def configured(context: Any) -> Any:
        return context.op_config["n"]

    @job(config=config)
    def wired():
        return configured()

    config["ops"]["configured"]["config"]["n"].append(2)
    config["resources"] = {}

    assert wired.execute_in_process().output_value() == [1]


def test_the_executors_settings_are_added_to() -> None:
    four = multiprocess_executor.configured({"max_concurrent": 4})

    assert (four.name, four.config) == ("multiprocess", {"max_concurrent": 4})
    assert multiprocess_executor.config == {}


def test_with_resources_makes_a_copy() -> None:
    @job(resource_defs={"db": 1}, tags={"a": 1}, op_retry_policy=RetryPolicy(2), config={"ops": {"asks": {}}})
    def asking():
        return asks()

    other = asking.with_resources({"db": 2})

    assert other.execute_in_process().output_value() == 2
    assert asking.execute_in_process().output_value() == 1
    assert asking.execute_in_process(resources={"db": 3}).output_value() == 3
    assert (other.tags, other.op_retry_policy, other.config) == (asking.tags, asking.op_retry_policy, asking.config)


def test_the_default_io_manager_need_not_be_given() -> None:
    @op(required_resource_keys={"io_manager"}, out=Out(io_manager_key="io_manager"))
    def stores(context: Any) -> str:
        return type(context.resources.io_manager).__name__

    @job
    def storing():
        return stores()

    assert "IOManager" in storing.execute_in_process().output_value()


# What cannot be right


@resource(required_resource_keys={"b"})
def requires_b(context: Any) -> Any:
    return context.resources.b


@resource(required_resource_keys={"a"})
def requires_a(context: Any) -> Any:
    return context.resources.a


@io_manager(required_resource_keys={"bucket"})
def needs_bucket(_: Any) -> Any:
    return Kept()


@input_manager
def loads(_: Any) -> int:
    return 1


@resource
def makes_io() -> Any:
    return Kept()


@op(out=Out(io_manager_key="files"))
def stored() -> int:
    return 1


@op(ins={"x": In(input_manager_key="files")})
def loading(x: int) -> int:
    return x


def asks_inside() -> None:
    asks.alias("inner")()


def job_of(*ops: Any, **kwargs: Any) -> JobDefinition:
    def body() -> None:
        for each in ops:
            each()

    return job(name="broken", **kwargs)(body)


REFUSED: list[tuple[str, Any, list[str]]] = [
    (
        "missing resource",
        lambda: job_of(asks),
        ["step 'asks' (", "requires the resource 'db'", "add it to resource_defs"],
    ),
    (
        "misspelled resource",
        lambda: job_of(asks, resource_defs={"dbs": 1, "other": 2}),
        ["requires the resource 'db'", "Did you mean 'dbs'?"],
    ),
    (
        "missing resource within a graph",
        lambda: job_of(graph(name="sub")(asks_inside)),
        ["step 'sub.inner' (op 'asks', ", "requires the resource 'db'"],
    ),
    (
        "missing IO manager",
        lambda: job_of(stored),
        ["step 'stored' (", "stores its output 'result' with the IO manager 'files'", "add it to resource_defs"],
    ),
    (
        "a resource for an IO manager",
        lambda: job_of(stored, resource_defs={"files": makes_io}),
        ["stores its output 'result'", "a plain resource there", "@io_manager"],
    ),
    (
        "a value for the default IO manager",
        lambda: job_of(one, resource_defs={"io_manager": 5}),
        ["step 'one' (", "a plain resource there"],
    ),
    (
        "an input manager for an IO manager",
        lambda: job_of(stored, resource_defs={"files": loads}),
        ["stores its output 'result'", "which only loads"],
    ),
    (
        "missing input manager",
        lambda: job_of(loading),
        ["step 'loading' (", "loads its input 'x' with the IO manager 'files'", "add it to resource_defs"],
    ),
    (
        "a resource for an input manager",
        lambda: job_of(loading, resource_defs={"files": 5}),
        ["loads its input 'x'", "a plain resource there"],
    ),
    (
        "a resource requires a missing one",
        lambda: job_of(one, resource_defs={"a": requires_b}),
        ["resource 'requires_b' (", "requires the resource 'b', which the job does not have: add it to resource_defs"],
    ),
    (
        "an IO manager requires a missing resource",
        lambda: job_of(one, resource_defs={"io_manager": needs_bucket, "bucke": 1}),
        ["IO manager 'needs_bucket' (", "requires the resource 'bucket'", "Did you mean 'bucke'?"],
    ),
    (
        "a circle",
        lambda: job_of(one, resource_defs={"a": requires_b, "b": requires_a}),
        ["in a circle: a -> b -> a", "one of them must do without"],
    ),
    (
        "a circle of one",
        lambda: job_of(one, resource_defs={"a": requires_a}),
        ["in a circle: a -> a"],
    ),
    ("an IO manager's class", lambda: job_of(one, resource_defs={"io_manager": Kept}), ["give an instance: Kept(…)"]),
    ("an op as a resource", lambda: job_of(one, resource_defs={"db": one}), ["op 'one' (", "give a resource"]),
    ("an illegal key", lambda: job_of(one, resource_defs={"d b": 1}), ["'d b' is no legal name for a resource"]),
    ("resources as a list", lambda: job_of(one, resource_defs=["db"]), ["resource_defs is ['db']", "a dict"]),
    ("a list as config", lambda: job_of(one, config=[1]), ["its config does not fit", "must be a dict"]),
    (
        "config of an unknown op",
        lambda: job_of(one, config={"ops": {"two": {}}}),
        ["its config does not fit: ops.two: unexpected config entry. There is: one."],
    ),
    (
        "config of an unknown resource",
        lambda: job_of(one, config={"resources": {"db": {}}}),
        ["resources.db: unexpected config entry"],
    ),
    (
        "config that cannot be copied",
        lambda: job_of(one, config={"ops": {"one": {"config": (_ for _ in ())}}}),
        ["its config cannot be copied", "plain data"],
    ),
    ("an unknown root", lambda: job_of(one, config={"solids": {}}), ["solids: unexpected config entry"]),
    ("a strategy's class", lambda: job_of(one, version_strategy=ByHand), ["an instance of a VersionStrategy"]),
    ("a number as retry policy", lambda: job_of(one, op_retry_policy=3), ["op_retry_policy is 3", "a RetryPolicy"]),
    ("an executor's name", lambda: job_of(one, executor_def="multiprocess"), ["executor_def is 'multiprocess'"]),
    ("unknown input values", lambda: job_of(one, input_values={"x": 1}), ["input_values names 'x'"]),
    ("input values as a list", lambda: job_of(one, input_values=[1]), ["input_values is [1]"]),
    ("metadata as a list", lambda: job_of(one, metadata=[1]), ["metadata is [1]"]),
    (
        "a tag of no use",
        lambda: job_of(one, tags={"memo/is_memoized_run": "maybe"}),
        ["memo/is_memoized_run", "true or false"],
    ),
    ("an illegal name", lambda: simple.to_job("a b"), ["'a b' is no legal name for a job"]),
    ("an empty name", lambda: simple.to_job(""), ["'' is no legal name for a job"]),
    ("a name that is no string", lambda: simple.to_job(5), ["5 is no legal name for a job"]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "words"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
def test_a_job_that_cannot_be_right_is_refused_with_its_place(make: Any, words: list[str]) -> None:
    with pytest.raises(DefinitionError) as refused:
        make()

    assert "test_job.py:" in refused.value.where
    for word in words:
        assert word in str(refused.value)


def test_an_overriding_resource_is_checked_as_well() -> None:
    @job(resource_defs={"files": Kept()})
    def storing():
        stored()

    with pytest.raises(DefinitionError, match="which only loads"):
        storing.execute_in_process(resources={"files": loads})


# The order of resources


def of_keys(*keys: str) -> ResourceDefinition:
    return ResourceDefinition(lambda _: 1, required_resource_keys=keys)


def test_resources_stand_behind_those_they_require() -> None:
    definitions = {"a": of_keys("b", "c"), "b": of_keys("d"), "c": of_keys("d"), "d": of_keys(), "e": of_keys()}

    assert resource_order(definitions, ["a"], "") == ["d", "b", "c", "a"]
    assert resource_order(definitions, ["e", "c", "d"], "") == ["e", "d", "c"]
    assert resource_order(definitions, [], "") == []


def test_a_long_chain_of_resources_is_put_in_order() -> None:
    definitions = {f"r{n}": of_keys(f"r{n + 1}") for n in range(5_000)} | {"r5000": of_keys()}

    order = resource_order(definitions, ["r0"], "")

    assert order == [f"r{n}" for n in reversed(range(5_001))]


def test_a_circle_names_only_those_in_it() -> None:
    definitions = {"a": of_keys("b"), "b": of_keys("c"), "c": of_keys("d"), "d": of_keys("b")}

    with pytest.raises(DefinitionError, match=r"^here: .*circle: b -> c -> d -> b;"):
        resource_order(definitions, ["a"], "here")


def test_the_steps_that_need_something_of_a_run() -> None:
    @op
    def one() -> int:
        return 1

    @op
    def add(a: int, b: int = 2) -> int:
        return a + b

    @op(config_schema=int)
    def configured() -> int:
        return 1

    @job
    def daily(given: int):
        first = one()
        add.alias("wired")(first, 3)
        add.alias("defaulted")(first)
        add.alias("from_job")(first, given)
        configured()

    assert daily.configurable == ("defaulted", "from_job", "configured")
    assert daily.steps["wired"].parents() == ("one",)
    assert list(daily.steps["wired"].inputs) == ["a", "b"]
