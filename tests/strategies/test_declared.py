"""`DeclaredVersionStrategy`: what the author declares, and nothing else."""

from __future__ import annotations

import pytest

from memo import DeclaredVersionStrategy, JobDefinition, job, op, resource
from memo.definition.run_config import resolve_run_config
from memo.errors import VersionError
from memo.versioning import resolve_versions


def version_of(composed: JobDefinition, step: str) -> str:
    config = resolve_run_config(composed, composed.resource_defs, None)
    strategy = DeclaredVersionStrategy()
    return resolve_versions(composed, config, strategy, composed.resource_defs).steps[step].version


def pipeline(version: str | None, value: int, by: int = 1, table: dict[str, int] | None = None) -> JobDefinition:
    @op(version=version, config_schema={"by": int}, depends_on=None if table is None else [table])
    def step() -> int:
        return value

    @job(version_strategy=DeclaredVersionStrategy(), config={"ops": {"step": {"config": {"by": by}}}})
    def declared():
        step()

    return declared


def test_the_code_does_not_count() -> None:
    assert version_of(pipeline("1", 1), "step") == version_of(pipeline("1", 2), "step")


def test_the_declared_version_does() -> None:
    assert version_of(pipeline("1", 1), "step") != version_of(pipeline("2", 1), "step")


def test_config_counts_as_ever() -> None:
    assert version_of(pipeline("1", 1), "step") != version_of(pipeline("1", 1, by=2), "step")


def test_what_it_depends_on_counts() -> None:
    assert version_of(pipeline("1", 1, table={"a": 1}), "step") == version_of(pipeline("1", 1, table={"a": 1}), "step")
    assert version_of(pipeline("1", 1, table={"a": 1}), "step") != version_of(pipeline("1", 1, table={"a": 2}), "step")


def test_an_op_without_a_version_is_refused_by_name_and_place() -> None:
    with pytest.raises(VersionError) as caught:
        version_of(pipeline(None, 1), "step")
    assert "op 'step'" in str(caught.value)
    assert "test_declared.py:" in str(caught.value)
    assert '@op(version="1")' in str(caught.value)


def test_a_resource_counts_by_version_and_config() -> None:
    def with_resource(version: str | None, factor: int) -> JobDefinition:
        @resource(config_schema={"factor": int}, version=version)
        def scale(context):
            return context.resource_config["factor"]

        @op(version="1", required_resource_keys={"scale"})
        def step(context) -> int:
            return context.resources.scale

        @job(resource_defs={"scale": scale}, config={"resources": {"scale": {"config": {"factor": factor}}}})
        def scaled():
            step()

        return scaled

    plain = version_of(with_resource(None, 1), "step")
    assert version_of(with_resource(None, 1), "step") == plain
    assert version_of(with_resource("2", 1), "step") != plain
    assert version_of(with_resource(None, 2), "step") != plain
