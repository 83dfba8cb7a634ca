from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest

from memo import (
    Field,
    In,
    InputManagerDefinition,
    IOManager,
    IOManagerDefinition,
    Out,
    ResourceDefinition,
    build_init_resource_context,
    graph,
    input_manager,
    io_manager,
    job,
    op,
    resource,
)
from memo.errors import ConfigError, DefinitionError, InvocationError

if TYPE_CHECKING:
    from collections.abc import Iterator


def given(**resources: Any) -> Any:
    """What an op is given for a resource ``r``, with these resources in its job."""

    @op(required_resource_keys={"r"})
    def asks(context: Any) -> Any:
        return [context.resources.r]

    @job(resource_defs=resources)
    def asking():
        return asks()

    return asking


def value_of(run_config: Any = None, **resources: Any) -> Any:
    return given(**resources).execute_in_process(run_config=run_config).output_value()[0]


class Files(IOManager):
    """Keeps what it is given, and what it was told."""

    def __init__(self, seen: list[Any] | None = None) -> None:
        self.seen = [] if seen is None else seen
        self.kept: dict[Any, Any] = {}

    def handle_output(self, context: Any, obj: Any) -> None:
        self.seen.append(("store", context.config, context.resource_config, vars(context.resources)))
        self.kept[context.step_key, context.name] = obj

    def load_input(self, context: Any) -> Any:
        self.seen.append(("load", context.config))
        return self.kept[context.upstream_output.step_key, context.upstream_output.name]


# What a resource may be


def no_argument() -> str:
    return "no argument"


def any_name(init: Any) -> str:
    return f"any name {init.resource_config}"


def with_default(context: Any = None, more: int = 1) -> str:
    return f"default {context is not None} {more}"


class Maker:
    def __call__(self) -> str:
        return "object"

    def method(self, context: Any) -> str:
        return f"method {context is not None}"


def of_two(context: Any, more: int) -> str:
    return f"partial {context is not None} {more}"


def wrapped(fn: Any) -> Any:
    @functools.wraps(fn)
    def wrapper(*args: Any) -> Any:
        return fn(*args)

    return wrapper


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (no_argument, "no argument"),
        (any_name, "any name None"),
        (with_default, "default True 1"),
        (Maker(), "object"),
        (Maker().method, "method True"),
        (functools.partial(of_two, more=3), "partial True 3"),
        (wrapped(no_argument), "no argument"),
        (wrapped(any_name), "any name None"),
        (lambda: "lambda", "lambda"),
    ],
)
def test_a_function_that_takes_the_context_or_nothing(fn: Any, expected: str) -> None:
    assert value_of(r=resource(fn)) == expected
    assert value_of(r=resource()(fn)) == expected
    assert value_of(r=ResourceDefinition(fn)) == expected


def test_a_resource_reads_its_name_and_place_from_the_function() -> None:
    @resource
    def database(context: Any) -> Any:
        """Connect."""

    assert database.name == database.__name__ == "database"
    assert database.description == database.__doc__ == "Connect."
    assert database.where.startswith("resource 'database' (")
    assert database.where.endswith(f"test_resource.py:{database.resource_fn.__code__.co_firstlineno})")
    assert repr(database) == "<resource 'database'>"


def test_values_and_the_kinds_that_are_given() -> None:
    held = object()

    assert value_of(r=5) == 5
    assert value_of(r=held) is held
    assert value_of(r=None) is None
    assert value_of(r=no_argument) is no_argument
    assert value_of(r=ResourceDefinition.hardcoded_resource(held)) is held
    assert value_of(r=ResourceDefinition.none_resource()) is None
    assert value_of({"resources": {"r": {"config": "x"}}}, r=ResourceDefinition.string_resource()) == "x"
    assert isinstance(value_of(r=ResourceDefinition.mock_resource()), MagicMock)
    assert ResourceDefinition.hardcoded_resource(5).where == "resource 'int'"
    assert ResourceDefinition.hardcoded_resource(None).is_hardcoded
    assert ResourceDefinition.hardcoded_resource(None).compute_fn is None
    with pytest.raises(ConfigError, match=r"resources\.r\.config"):
        value_of(r=ResourceDefinition.string_resource())


def test_resources_require_resources_and_end_in_reverse_order() -> None:
    seen: list[str] = []

    @resource
    def base() -> Iterator[str]:
        seen.append("make base")
        yield "base"
        seen.append("end base")

    @resource(required_resource_keys={"base"})
    def middle(context: Any) -> Iterator[str]:
        seen.append("make middle")
        yield context.resources.base + " middle"
        seen.append("end middle")

    @resource(required_resource_keys=["middle", "base"])
    def top(context: Any) -> str:
        return f"{context.resources.middle} {context.resources.base} top"

    assert value_of(r=top, middle=middle, base=base) == "base middle base top"
    assert seen == ["make base", "make middle", "end middle", "end base"]


def test_config_is_checked_and_has_defaults() -> None:
    @resource({"path": str, "mode": Field(str, default_value="r")})
    def file(context: Any) -> dict[str, str]:
        return dict(context.resource_config)

    assert value_of({"resources": {"r": {"config": {"path": "x"}}}}, r=file) == {"path": "x", "mode": "r"}
    with pytest.raises(ConfigError, match=r"resources\.r\.config: Missing.*path: str"):
        value_of(r=file)
    with pytest.raises(ConfigError, match=r"resources\.r\.confg: unexpected config entry\. .*config"):
        value_of({"resources": {"r": {"confg": {}}}}, r=file)


def test_without_a_schema_any_config_is_taken() -> None:
    assert value_of({"resources": {"r": {"config": [1]}}}, r=resource(any_name)) == "any name [1]"


# configured


@resource({"host": str, "port": Field(int, default_value=80)})
def server(context: Any) -> str:
    """Serve."""
    return f"{context.resource_config['host']}:{context.resource_config['port']}"


def test_configured_gives_the_config() -> None:
    fixed = server.configured({"host": "a"})
    smaller = server.configured(lambda host: {"host": host, "port": 1}, config_schema=str, description="Smaller.")
    again = smaller.configured("c")

    assert value_of(r=fixed) == "a:80"
    assert value_of({"resources": {"r": {"config": "b"}}}, r=smaller) == "b:1"
    assert value_of(r=again) == "c:1"
    assert (fixed.name, fixed.description, smaller.description) == ("server", "Serve.", "Smaller.")
    assert type(fixed) is ResourceDefinition


def test_configured_io_managers_and_input_managers_stay_what_they_are() -> None:
    seen: list[Any] = []

    @io_manager({"base": str}, output_config_schema={"name": Field(str, default_value="n")})
    def files(_: Any) -> Files:
        return Files(seen)

    @input_manager({"base": str})
    def loads(context: Any) -> Any:
        return context.resource_config["base"]

    @op(ins={"x": In(input_manager_key="loads")})
    def take(x: Any) -> Any:
        return x

    @job(resource_defs={"io_manager": files.configured({"base": "b"}), "loads": loads.configured({"base": "here"})})
    def wired():
        return take()

    assert wired.execute_in_process().output_value() == "here"
    assert ("store", {"name": "n"}, {"base": "b"}, {"_owner": wired.resource_defs["io_manager"].where}) in seen


def test_a_configured_resource_takes_no_config() -> None:
    with pytest.raises(ConfigError, match=r"resources\.r\.config: was configured where it is defined"):
        value_of({"resources": {"r": {"config": {"host": "b"}}}}, r=server.configured({"host": "a"}))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: server.configured({"hos": "a"}), "does not fit: "),
        (lambda: server.configured({"host": 5}), "does not fit: host: Expected str"),
        (lambda: server.configured({"host": "a"}).configured({"host": "b"}), "is configured already"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_where_it_is_given(make: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match=r"^resource 'server' \(.*test_resource\.py:\d+\)") as refused:
        make()

    assert words in str(refused.value)


# IO managers


def test_an_io_manager_with_configs_and_resources_of_its_own() -> None:
    seen: list[Any] = []

    @io_manager(
        config_schema={"base": str},
        description="Files.",
        output_config_schema={"name": str},
        input_config_schema={"columns": [str]},
        required_resource_keys={"bucket"},
    )
    def files(context: Any) -> Files:
        seen.append((context.resource_config, context.resources.bucket))
        return Files(seen)

    @op(out=Out(io_manager_key="files"))
    def makes() -> int:
        return 1

    @op(ins={"x": In(input_manager_key="files")})
    def reads(x: int) -> int:
        return x + 1

    @job(resource_defs={"files": files, "bucket": "b"})
    def wired():
        return reads(makes())

    result = wired.execute_in_process(
        run_config={
            "resources": {"files": {"config": {"base": "/"}}},
            "ops": {
                "makes": {"outputs": {"result": {"name": "out"}}},
                "reads": {"inputs": {"x": {"columns": ["c"]}}},
            },
        }
    )

    assert result.output_value() == 2
    assert seen[0] == ({"base": "/"}, "b")
    assert seen[1][:3] == ("store", {"name": "out"}, {"base": "/"})
    assert seen[1][3]["bucket"] == "b"
    assert seen[2] == ("load", {"columns": ["c"]})
    assert files.description == "Files."


def test_an_io_manager_may_be_given_as_it_is() -> None:
    kept = Files()

    for given_as in (kept, IOManagerDefinition.hardcoded_io_manager(kept)):

        @op
        def makes() -> int:
            return 5

        @job(resource_defs={"io_manager": given_as})
        def wired():
            return makes()

        assert wired.execute_in_process().output_value() == 5
    assert len(kept.seen) == 4


# Input managers


def test_an_input_manager_loads_what_is_and_what_is_not_connected() -> None:
    seen: list[Any] = []

    @input_manager(input_config_schema={"n": Field(int, default_value=3)}, required_resource_keys={"base"})
    def loads(context: Any) -> int:
        seen.append((context.name, context.upstream_output is not None, context.resources.base))
        return int(context.config["n"])

    @input_manager
    def bare() -> int:
        return 100

    @op
    def one() -> int:
        return 1

    @op(ins={"x": In(input_manager_key="loads")})
    def take(x: int) -> int:
        return x

    @op(ins={"x": In(input_manager_key="bare")})
    def take_bare(x: int) -> int:
        return x

    @graph
    def inner(x):
        take(x)

    @job(resource_defs={"loads": loads, "bare": bare, "base": "b"})
    def wired():
        take()
        take.alias("connected")(one())
        take_bare()
        inner()

    result = wired.execute_in_process(run_config={"ops": {"take": {"inputs": {"x": {"n": 7}}}}})

    assert isinstance(bare, InputManagerDefinition)
    assert bare.name == "bare"
    assert bare.compute_fn() == 100
    keys = ("take", "connected", "take_bare", "inner.take")
    assert [result.output_for_node(key) for key in keys] == [7, 3, 100, 3]
    assert sorted(seen) == [("x", False, "b"), ("x", False, "b"), ("x", True, "b")]


# Calling directly


def test_a_resource_is_called_with_a_context_made_for_tests() -> None:
    assert resource(no_argument)() == "no argument"
    assert server(build_init_resource_context({"host": "a"})) == "a:80"
    assert server.configured({"host": "b", "port": 1})(build_init_resource_context()) == "b:1"
    assert requiring(build_init_resource_context(resources={"base": 4})) == 5


@resource(required_resource_keys={"base"})
def requiring(context: Any) -> int:
    return int(context.resources.base + 1)


def test_a_wrong_call_says_what_is_wrong() -> None:
    with pytest.raises(
        InvocationError, match=r"resource 'server' \(.*needs a context: pass build_init_resource_context"
    ):
        server()
    with pytest.raises(ConfigError, match=r"config\.host"):
        server(build_init_resource_context({}))
    with pytest.raises(DefinitionError, match=r"name it in required_resource_keys, do not call it in a graph's body"):

        @graph
        def calls_it():
            server()


# What cannot be right


def two_required(context: Any, more: int) -> None: ...


def keyword_required(context: Any, *, more: int) -> None: ...


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: resource(two_required), "takes more arguments than the context"),
        (lambda: resource(keyword_required), "takes more arguments than the context"),
        (lambda: io_manager(two_required), "takes more arguments than the context"),
        (lambda: input_manager(two_required), "takes more arguments than the context"),
        (lambda: resource(version="")(any_name), "version is ''; it must be a non-empty string"),
        (lambda: resource(required_resource_keys="db")(any_name), 'write a set: {"db"}'),
        (lambda: resource(config_schema=5)(any_name), "the config schema"),
        (lambda: io_manager(output_config_schema=5)(Files), "the config schema"),
        (lambda: resource()(5), "@resource decorates a function, and got 5"),  # type: ignore[arg-type]
        (lambda: resource(server), "is made already"),
        (lambda: IOManagerDefinition.hardcoded_io_manager(5), "must be an IOManager"),  # type: ignore[arg-type]
    ],
)
def test_a_resource_that_cannot_be_right_is_refused_with_its_place(make: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        make()

    assert words in str(refused.value)
    assert "test_resource.py:" in refused.value.where
