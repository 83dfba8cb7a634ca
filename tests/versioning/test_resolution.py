"""Versions: what is in them, and what is not."""

from __future__ import annotations

from typing import Any

import pytest

from memo import (
    CodeVersion,
    JobDefinition,
    OpVersionContext,
    Out,
    ResourceVersionContext,
    SourceHashVersionStrategy,
    VersionStrategy,
    job,
    op,
    resource,
)
from memo.definition.run_config import resolve_run_config
from memo.errors import VersionError
from memo.versioning import Versions, content_key, output_version, recipe_of, resolve_versions


class Same(VersionStrategy):
    """All code is the same code."""

    def get_op_version(self, context: OpVersionContext) -> CodeVersion:
        return CodeVersion("same")

    def get_resource_version(self, context: ResourceVersionContext) -> CodeVersion | None:
        return CodeVersion("same") if context.resource_def.compute_fn else None


def versions(composed: JobDefinition, run_config: Any = None, strategy: VersionStrategy | None = None) -> Versions:
    config = resolve_run_config(composed, composed.resource_defs, run_config)
    return resolve_versions(composed, config, strategy or Same(), composed.resource_defs)


@op
def give() -> int:
    return 1


@op
def take(x, y=0):
    return x


@op
def gather(parts: list) -> int:
    return 0


def wired(body: Any) -> Versions:
    return versions(job(name="wired")(body))


def test_wiring_counts_by_name_and_order() -> None:
    def one_way() -> None:
        take(give(), take.alias("t")(1))

    def other_way() -> None:
        take(take.alias("t")(1), give())

    assert wired(one_way).steps["take"].version != wired(other_way).steps["take"].version


def test_members_of_a_list_count_in_order_and_apart_from_lists_of_other_lengths() -> None:
    def of(*members: Any) -> str:
        def body() -> None:
            first, second = give(), take.alias("t")(1)
            gather([{"first": first, "second": second}.get(each, each) for each in members])

        return wired(body).steps["gather"].version

    found = [
        of("first", "second"),
        of("second", "first"),
        of("first"),
        of("first", "second", 1),
        of("first", "second", "1"),
        of("first", 1),
    ]

    assert len(set(found)) == len(found)


def test_literals_count_by_type_and_content() -> None:
    values = [1, 1.0, True, "1", None, (1,), [1], {"a": 1}, b"1", -0.0, 0.0]

    def of(value: Any) -> str:
        def body() -> None:
            take(value)

        return wired(body).steps["take"].version

    assert len({of(value) for value in values}) == len(values)
    assert of({"a": 1, "b": 2}) != of({"b": 2, "a": 1})
    assert of({3, 1, 2}) == of({1, 2, 3})


def test_a_default_is_as_good_as_the_same_literal() -> None:
    def default() -> None:
        take(give())

    def literal() -> None:
        take(give(), 0)

    assert wired(default).steps["take"].version == wired(literal).steps["take"].version


def test_neither_names_nor_tags_nor_places_count() -> None:
    def plain() -> None:
        take(give())

    def other() -> None:
        take.alias("renamed").tag({"a": 1})(give.alias("also")())

    assert wired(plain).steps["take"].version == wired(other).steps["renamed"].version


def test_a_declared_version_counts_with_the_name_of_its_op() -> None:
    def made(name: str, version: str) -> str:
        declared = op(name=name, version=version)(lambda: 1)

        def body() -> None:
            declared()

        return wired(body).steps[name].version

    assert made("a", "1.0-rc.1") == made("a", "1.0-rc.1")
    assert len({made("a", "1"), made("a", "2"), made("b", "1")}) == 3


def test_outputs_differ_by_name() -> None:
    assert output_version("v", "a") != output_version("v", "b")


def test_content_keys_are_those_of_equal_content_under_whatever_versions() -> None:
    def body() -> None:
        take(give())

    step = wired(body).steps["take"]

    assert content_key(step, lambda _: "digest") == content_key(step, lambda _: "digest")
    assert content_key(step, lambda _: "digest") != content_key(step, lambda _: "other")
    assert content_key(step, lambda _: "digest") != step.version


def configured(schema: Any) -> JobDefinition:
    @op(config_schema=schema)
    def reads(context) -> int:
        return 1

    @job
    def reading() -> None:
        reads()

    return reading


def test_config_counts_by_type_and_as_it_is_resolved() -> None:
    open_ended = configured(None)

    def of(config: Any) -> str:
        return versions(open_ended, {"ops": {"reads": {"config": config}}}).steps["reads"].version

    values = [1, "1", True, None, [1, 2], "[1, 2]", {"a": 1}, {"a": {}}, {"a": None}, []]
    assert len({of(value) for value in values}) == len(values)


def test_a_default_of_the_schema_is_as_good_as_the_value_given() -> None:
    from memo import Field

    defaulted = configured({"limit": Field(int, default_value=5), "name": str})

    def of(**config: Any) -> str:
        return versions(defaulted, {"ops": {"reads": {"config": config}}}).steps["reads"].version

    assert of(name="x") == of(limit=5, name="x") == of(name="x", limit=5)
    assert of(name="x") != of(limit=6, name="x")


def test_a_value_that_cannot_be_told_is_an_error_with_its_place() -> None:
    class Odd:
        pass

    open_ended = configured(None)

    with pytest.raises(VersionError, match=r"ops\.reads\.config: Same cannot tell its version"):
        versions(open_ended, {"ops": {"reads": {"config": Odd()}}})


def resourceful(*, base_version: str = "1", base_value: Any = 0, times: int = 1) -> str:
    @resource(version=base_version)
    def base():
        return 1

    @resource(required_resource_keys={"base"}, config_schema={"times": int})
    def derived(context):
        return 1

    @op(required_resource_keys={"derived", "given"})
    def uses(context) -> int:
        return 1

    @job(resource_defs={"base": base, "derived": derived, "given": base_value})
    def using() -> None:
        uses()

    return versions(using, {"resources": {"derived": {"config": {"times": times}}}}).steps["uses"].version


def test_resources_count_with_their_config_and_what_they_require() -> None:
    assert resourceful() == resourceful()
    found = [
        resourceful(),
        resourceful(base_version="2"),
        resourceful(base_value=6),
        resourceful(base_value="6"),
        resourceful(times=2),
    ]
    assert len(set(found)) == len(found)


def test_io_managers_count_in_no_version() -> None:
    from memo import fs_io_manager, mem_io_manager

    @op(out=Out(io_manager_key="store"))
    def stored() -> int:
        return 1

    def of(manager: Any) -> str:
        @job(name="storing", resource_defs={"store": manager})
        def storing() -> None:
            stored()

        return versions(storing).steps["stored"].version

    assert of(mem_io_manager) == of(fs_io_manager) == of(fs_io_manager.configured({"base_dir": "elsewhere"}))


@pytest.mark.parametrize("word", [None, "", 5])
def test_a_strategy_that_gives_no_version_is_named(word) -> None:
    class Silent(VersionStrategy):
        def get_op_version(self, context: OpVersionContext) -> Any:
            return word

    def body() -> None:
        give()

    with pytest.raises(
        VersionError, match=rf"op 'give' \(.*test_resolution\.py:\d+\): Silent gave {word!r} as its version"
    ):
        versions(job(name="wired")(body), strategy=Silent())


def test_a_strategy_that_fails_is_named() -> None:
    class Failing(VersionStrategy):
        def get_op_version(self, context: OpVersionContext) -> str:
            raise KeyError("x")

    def body() -> None:
        give()

    with pytest.raises(VersionError, match=r"op 'give' .*: Failing failed on it: KeyError: 'x'"):
        versions(job(name="wired")(body), strategy=Failing())


def test_a_recipe_names_its_parts() -> None:
    limit = 3

    @resource(config_schema={"path": str})
    def database():
        return limit

    @op(config_schema={"n": {"m": int}}, required_resource_keys={"db"})
    def reads(context, x: int, parts: list, y: int = 7) -> int:
        return x

    @job(resource_defs={"db": database})
    def reading() -> None:
        reads(give(), [give.alias("g")(), 5])

    config = {
        "ops": {"reads": {"config": {"n": {"m": 1}}}},
        "resources": {"db": {"config": {"path": "p"}}},
    }
    texts: dict[str, str] = {}
    recipe = recipe_of("reads", versions(reading, config, SourceHashVersionStrategy()), texts)

    named = {(part.kind, part.name): part.detail for part in recipe.parts}
    assert named["config", "n.m"] == "1"
    assert named["resource", "db: config.path"] == "'p'"
    assert named["input", "x"] == "give.result"
    assert named["input", "parts[0]"] == "g.result"
    assert named["input", "y"] == "7"
    assert any(kind == "code" and name.endswith("reads") for kind, name in named)
    assert any(kind == "resource" and name.startswith("db: ") and name.endswith("database") for kind, name in named)
    assert any("def reads(" in text for text in texts.values())
