"""IO managers in runs: which stores what, what they are told, and what happens when they fail."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from memo import (
    EventType,
    Home,
    In,
    IOManager,
    MemoizableIOManager,
    Nothing,
    Out,
    Output,
    SourceHashVersionStrategy,
    execute_job,
    input_manager,
    io_manager,
    job,
    op,
    plan_job,
)
from memo.errors import OutputLostError


class Files(MemoizableIOManager):
    """Pickles in a folder, and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[Any] = []
        folder.mkdir(exist_ok=True)

    def path(self, context: Any) -> Path:
        return self.folder / "-".join(context.get_identifier())

    def handle_output(self, context: Any, obj: Any) -> Any:
        self.asked.append(
            ("handle", context.step_key, context.name, context.version is not None, context.config, context.metadata)
        )
        self.path(context).write_bytes(pickle.dumps(obj))
        yield {"where": self.path(context).name}

    def load_input(self, context: Any) -> Any:
        self.asked.append(("load", context.step_key, context.name, context.upstream_output.step_key, context.config))
        try:
            return pickle.loads(self.path(context).read_bytes())
        except FileNotFoundError as error:
            raise OutputLostError("gone") from error

    def has_output(self, context: Any) -> bool:
        self.asked.append(("has", context.step_key, context.name, context.run_id))
        return self.path(context).exists()


class Plain(IOManager):
    """In memory, and unable to say what it has."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], Any] = {}

    def handle_output(self, context: Any, obj: Any) -> None:
        self.values[tuple(context.get_identifier())] = obj

    def load_input(self, context: Any) -> Any:
        return self.values[tuple(context.get_identifier())]


@op
def one() -> int:
    return 1


@op
def add(a: int, b: int = 1) -> int:
    return a + b


@op
def total(parts: list) -> int:
    return sum(parts)


def test_each_output_goes_to_the_io_manager_it_names(tmp_path) -> None:
    apart = Files(tmp_path / "apart")
    default = Files(tmp_path / "default")

    @op(out=Out(io_manager_key="apart", metadata={"table": "t"}))
    def named() -> int:
        return 5

    @job(resource_defs={"io_manager": default, "apart": apart})
    def two() -> None:
        add(named(), one())

    result = execute_job(two, tmp_path / "home", raise_on_error=True)

    assert [entry[:3] for entry in apart.asked if entry[0] == "handle"] == [("handle", "named", "result")]
    assert {entry[1] for entry in default.asked if entry[0] == "handle"} == {"one", "add"}
    assert ("handle", "named", "result", True, None, {"table": "t"}) in apart.asked
    assert ("load", "add", "a", "named", None) in apart.asked
    assert result.output_for_node("add") == 6
    assert execute_job(two, tmp_path / "home").executed == []


def test_io_managers_have_resources_and_config(tmp_path) -> None:
    seen: dict[str, Any] = {}

    @io_manager(
        required_resource_keys={"root"},
        config_schema={"folder": str},
        output_config_schema={"note": str},
        input_config_schema={"rows": int},
    )
    def configured(init_context):
        seen["init"] = (init_context.resource_config, init_context.resources.root)

        class Telling(Files):
            def handle_output(self, context: Any, obj: Any) -> Any:
                seen["output"] = (context.config, context.resource_config, context.resources.root)
                yield from super().handle_output(context, obj)

            def load_input(self, context: Any) -> Any:
                seen["input"] = context.config
                return super().load_input(context)

        return Telling(init_context.resources.root / init_context.resource_config["folder"])

    @op(out=Out(io_manager_key="configured"))
    def stored() -> int:
        return 3

    @op(ins={"x": In(input_manager_key="configured")})
    def read(x: int) -> int:
        return x

    @job(resource_defs={"configured": configured, "root": tmp_path})
    def told() -> None:
        read(stored())

    config = {
        "resources": {"configured": {"config": {"folder": "here"}}},
        "ops": {
            "stored": {"outputs": {"result": {"note": "n"}}},
            "read": {"inputs": {"x": {"rows": 2}}},
        },
    }
    result = execute_job(told, tmp_path / "home", run_config=config, raise_on_error=True)

    assert result.output_for_node("read") == 3
    assert seen == {
        "init": ({"folder": "here"}, tmp_path),
        "output": ({"note": "n"}, {"folder": "here"}, tmp_path),
        "input": {"rows": 2},
    }


def test_metadata_that_an_io_manager_yields_is_kept(tmp_path) -> None:
    files = Files(tmp_path / "files")

    @job(resource_defs={"io_manager": files})
    def small() -> None:
        one()

    result = execute_job(small, tmp_path / "home")

    stored = next(event for event in result.all_events if event.kind is EventType.HANDLED_OUTPUT)
    assert list(stored.data["metadata"]) == ["where"]


def test_planning_asks_with_a_version_and_without_a_run(tmp_path) -> None:
    files = Files(tmp_path / "files")

    @job(resource_defs={"io_manager": files})
    def small() -> None:
        add(one())

    plan_job(small, instance=tmp_path / "home")

    assert [entry for entry in files.asked if entry[0] == "has"] == [
        ("has", "one", "result", None),
        ("has", "add", "result", None),
    ]


def test_one_io_manager_that_is_not_memoizable_does_not_fail_the_plan(tmp_path) -> None:
    @op(out=Out(io_manager_key="plain"))
    def always(x: int) -> int:
        return x + 1

    @job(resource_defs={"plain": Plain()})
    def mixed() -> None:
        total([one(), always(add(one.alias("first")()))])

    home = tmp_path / "home"
    assert set(execute_job(mixed, home, raise_on_error=True).executed) >= {"one", "add", "always", "total"}
    again = execute_job(mixed, home, raise_on_error=True)

    assert again.executed == ["always"]
    assert again.plan.steps["always"].reason.value == "IO manager not memoizable"
    assert again.output_for_node("total") == 4


def test_has_output_that_raises_is_not_a_hit(tmp_path, caplog) -> None:
    class Broken(Files):
        def has_output(self, context: Any) -> bool:
            raise OSError("cannot look")

    @job(resource_defs={"io_manager": Broken(tmp_path / "files")})
    def small() -> None:
        one()

    execute_job(small, tmp_path / "home")
    assert execute_job(small, tmp_path / "home").executed == ["one"]
    assert "has_output raised" in caplog.text


def test_none_nothing_and_optional_outputs_memoize(tmp_path) -> None:
    seen = []

    @op(version="1")
    def gives_none():
        seen.append("none")

    @op(version="1")
    def gives_nothing() -> None:
        seen.append("nothing")

    @op(version="1", out={"yes": Out(is_required=False), "no": Out(is_required=False)})
    def branches():
        seen.append("branches")
        yield Output(1, "yes")

    @op(version="1", ins={"start": In(Nothing)})
    def after(x: Any) -> bool:
        seen.append("after")
        return x is None

    @job
    def odd() -> None:
        found = branches()
        after(gives_none(), start=gives_nothing())
        add.alias("taken")(found.yes)
        add.alias("skipped")(found.no)

    first = execute_job(odd, tmp_path, raise_on_error=True)
    assert first.is_node_skipped("skipped")
    count = len(seen)

    second = execute_job(odd, tmp_path, raise_on_error=True)

    assert len(seen) == count
    assert second.executed == []
    assert second.is_node_skipped("skipped")
    assert second.output_for_node("after") is True
    assert second.plan.is_null


def test_lists_of_reused_outputs_hold_them_all(tmp_path) -> None:
    """Dagster's memoization gives such a list without its reused members."""

    def made(extra: int) -> Any:
        @op(version=str(extra))
        def joined(parts: list) -> int:
            return sum(parts) + extra

        @job(name="lists")
        def lists() -> None:
            joined([one(), add(one.alias("other")()), 10])

        return lists

    execute_job(made(0), tmp_path)
    again = execute_job(made(100), tmp_path, raise_on_error=True)

    assert again.executed == ["joined"]
    assert again.output_for_node("joined") == 113


def test_what_is_lost_between_plan_and_load_is_made_again(tmp_path) -> None:
    files = Files(tmp_path / "files")

    def made(version: str) -> Any:
        @op(version=version)
        def last(x: int) -> int:
            return x

        @job(name="losing", resource_defs={"io_manager": files})
        def losing() -> None:
            last(add(one()))

        return losing

    execute_job(made("1"), tmp_path / "home")

    def lose(_plan: Any, _run_id: str) -> None:
        for path in files.folder.iterdir():
            path.unlink()

    again = execute_job(made("2"), tmp_path / "home", on_plan=lose)

    assert again.success
    assert again.executed == ["one", "add", "last"]
    lost = [event for event in again.all_events if event.kind is EventType.OUTPUT_LOST]
    assert [(event.step_key, event.data["lost"]) for event in lost] == [("last", ["add"]), ("add", ["one"])]


def test_an_io_manager_that_loses_everything_fails_the_step(tmp_path) -> None:
    class Leaky(Files):
        def load_input(self, context: Any) -> Any:
            raise OutputLostError("it is gone", where=f"input {context.name!r}")

    @job(resource_defs={"io_manager": Leaky(tmp_path / "files")})
    def leaking() -> None:
        add(one())

    result = execute_job(leaking, tmp_path / "home")

    assert result.get_failed_step_keys() == {"add"}
    assert "it is gone" in result.errors["add"].message


def test_a_value_that_cannot_be_stored_fails_its_step_and_leaves_nothing(tmp_path) -> None:
    @op
    def unstorable() -> Any:
        return {"fine": 1, "handle": (str(each) for each in "ab")}

    @job
    def storing() -> None:
        unstorable()
        one()

    result = execute_job(storing, tmp_path)

    assert result.get_failed_step_keys() == {"unstorable"}
    assert "handle" in result.errors["unstorable"].message
    assert len(list((tmp_path / "storage").rglob("*.json"))) == 1
    assert not list((tmp_path / "storage").rglob("*.pkl"))


def test_an_input_manager_loads_what_nothing_is_connected_to(tmp_path) -> None:
    @input_manager(input_config_schema={"rows": int})
    def table(context):
        return list(range(context.config["rows"]))

    @op(ins={"rows": In(input_manager_key="table")})
    def count(rows: list) -> int:
        return len(rows)

    @job(resource_defs={"table": table}, version_strategy=SourceHashVersionStrategy())
    def counting() -> None:
        count()

    def run(rows: int) -> Any:
        return execute_job(
            counting,
            tmp_path,
            run_config={"ops": {"count": {"inputs": {"rows": {"rows": rows}}}}},
            raise_on_error=True,
        )

    assert run(3).output_for_node("count") == 3
    assert run(3).executed == []
    assert run(4).output_for_node("count") == 4


@pytest.mark.parametrize("mapping", [{"io_manager": 5}, {"io_manager": Files}])
def test_what_is_no_io_manager_is_refused(mapping) -> None:
    from memo.errors import DefinitionError

    with pytest.raises(DefinitionError, match=r"IO manager|give an instance"):

        @job(resource_defs=mapping)
        def wrong() -> None:
            one()


def test_reused_outputs_are_read_through_the_result(tmp_path) -> None:
    @job
    def small() -> None:
        add(one())

    execute_job(small, tmp_path)
    again = execute_job(small, tmp_path)

    assert again.reused == ["one", "add"]
    assert again.output_for_node("one") == 1
    assert again.is_node_success("one")
    assert [event.kind for event in again.events_for_node("add")] == [EventType.STEP_REUSED]


def test_events_of_reuse_are_heard_kept_and_written_in_their_place(tmp_path) -> None:
    def small(amount: int) -> Any:
        @job(name="small")
        def adding() -> None:
            add(one(), amount)

        return adding

    execute_job(small(1), tmp_path)
    for amount, ran in ((2, ["add"]), (2, [])):
        heard: list[Any] = []
        result = execute_job(small(amount), tmp_path, listen=heard.append)
        assert result.executed == ran
        kinds = [event.kind for event in heard if event.kind in {EventType.RUN_START, EventType.STEP_REUSED}]
        assert kinds == [EventType.RUN_START] + [EventType.STEP_REUSED] * (2 - len(ran))
        assert [event.step_key for event in heard][:2] == [None, "one"]
        assert list(result.all_events) == heard
        reused = heard[1]
        version = result.plan.steps["one"].version
        assert reused.data == {"reason": "stored under this version", "stored_as": version, "version": version}
        with Home(tmp_path) as home:
            # Of a run in which nothing ran, its record says all there is.
            assert home.catalog.events(result.run_id) == (heard if ran else [])
            assert list(result.record.steps) == ["one", "add"]
            assert home.catalog.get_run(result.run_id) == result.record


@pytest.mark.parametrize("several", [False, True])
def test_what_a_step_gave_before_it_failed_is_not_stored(tmp_path, several) -> None:
    @op(out={"a": Out(), "b": Out(is_required=False)} if several else Out())
    def fails():
        yield Output(1, "a" if several else "result")
        raise ValueError("after the yield")

    @job
    def failing() -> None:
        fails()

    for _ in range(2):
        result = execute_job(failing, tmp_path)
        assert result.get_failed_step_keys() == {"fails"}
    assert not list(tmp_path.rglob("*.pkl"))


def test_the_order_of_outputs_counts(tmp_path) -> None:
    def made(*names: str) -> Any:
        @op(out={name: Out() for name in names})
        def pair():
            return 1, 2

        @job(name="pairs")
        def pairs() -> None:
            pair()

        return execute_job(pairs, tmp_path, raise_on_error=True)

    assert made("a", "b").output_for_node("pair", "a") == 1
    assert made("b", "a").output_for_node("pair", "a") == 2


def test_what_reads_a_step_that_always_runs_gets_its_new_value(tmp_path) -> None:
    counter = {"n": 0}

    @op(out=Out(io_manager_key="plain"), version="1")
    def count() -> int:
        counter["n"] += 1
        return counter["n"] // 2

    @op(version="1")
    def read(x: int) -> int:
        return x

    @job(resource_defs={"plain": Plain()})
    def counting() -> None:
        read(count())

    found = []
    for _ in range(4):
        result = execute_job(counting, tmp_path, raise_on_error=True)
        found.append((result.output_for_node("read"), result.executed))

    assert found == [(0, ["count", "read"]), (1, ["count", "read"]), (1, ["count"]), (2, ["count", "read"])]


def test_an_input_manager_counts_on_a_connected_input_too(tmp_path) -> None:
    def made(factor: int) -> Any:
        @input_manager
        def scaled(context):
            return factor

        @op(ins={"x": In(input_manager_key="scaled")})
        def read(x: int) -> int:
            return x

        @job(name="scaling", resource_defs={"scaled": scaled})
        def scaling() -> None:
            read(one())

        return execute_job(scaling, tmp_path, raise_on_error=True)

    assert made(2).output_for_node("read") == 2
    assert made(2).executed == []
    assert made(3).output_for_node("read") == 3


class Point:
    def __init__(self, x: int) -> None:
        self.x = x


def test_an_object_of_the_users_as_a_default_or_literal_counts_by_what_it_is(tmp_path) -> None:
    def made(x: int) -> Any:
        @op
        def read(point: Any = Point(x)) -> int:  # noqa: B008 - a default made once, as users do
            return point.x

        @job(name="points")
        def points() -> None:
            read()
            read.alias("literal")(Point(x + 1))

        return execute_job(points, tmp_path, raise_on_error=True)

    assert made(1).output_for_node("literal") == 2
    assert made(1).executed == []
    assert made(5).output_for_node("read") == 5


def test_an_output_whose_bytes_were_damaged_is_made_again_after_it_was_met(tmp_path) -> None:
    @op
    def many() -> list[int]:
        return [1] * 5000

    @job
    def small() -> None:
        many()

    execute_job(small, tmp_path)
    (data,) = tmp_path.rglob("*.pkl")
    data.write_bytes(bytes(reversed(data.read_bytes())))
    reused = execute_job(small, tmp_path)
    assert reused.executed == []
    with pytest.raises(OutputLostError, match="it counts as not stored"):
        reused.output_for_node("many")

    again = execute_job(small, tmp_path)

    assert again.executed == ["many"]
    assert again.output_for_node("many") == [1] * 5000


def test_what_a_run_has_just_stored_its_steps_read_whatever_becomes_of_the_file(tmp_path) -> None:
    @op
    def early() -> list[int]:
        return [1]

    @op(ins={"after": In(Nothing)})
    def spoil() -> None:
        for manifest in (tmp_path / "storage" / "versioned").rglob("*.json"):
            manifest.write_bytes(b"damaged")

    @op(ins={"after": In(Nothing)})
    def late(value: list[int]) -> int:
        return value[0] + 1

    @job(version_strategy=SourceHashVersionStrategy())
    def spoiled() -> None:
        value = early()
        late(value, after=spoil(after=value))

    result = execute_job(spoiled, tmp_path)
    assert result.output_for_node("late") == 2
    assert not [event for event in result.all_events if event.kind is EventType.OUTPUT_LOST]
    again = execute_job(spoiled, tmp_path, op_selection=["early"])
    assert [event.step_key for event in again.all_events if event.kind is EventType.STEP_SUCCESS] == ["early"]
