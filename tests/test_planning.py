"""Plans, decided against stores and a history of the test's own; nothing runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from memo import JobDefinition, OpVersionContext, Out, VersionStrategy, job, op
from memo.contracts.executor import Address
from memo.contracts.run_store import Adoption, FileDigest, KnownStamp, Recipe, RecipePart
from memo.definition.run_config import resolve_run_config
from memo.definition.selection import select_steps
from memo.errors import SelectionError
from memo.planning import Plan, Reason, Verdict, difference, make_plan
from memo.versioning import Versions, content_key, output_version, recipe_of, resolve_versions

RUN, REUSE, MAYBE, UNNEEDED = Verdict.RUN, Verdict.REUSE, Verdict.MAYBE, Verdict.UNNEEDED


class ByTable(VersionStrategy):
    """What the test says of each op."""

    def __init__(self, **versions: str) -> None:
        self.versions = versions

    def get_op_version(self, context: OpVersionContext) -> str:
        return f"{context.op_def.name} {self.versions.get(context.op_def.name, '1')}"


class World:
    """What is stored, and what is remembered: a stand-in for IO managers and catalog."""

    def __init__(self) -> None:
        self.present: set[tuple[str, str]] = set()
        self.remembered: dict[str, dict[str, str | None]] = {}
        self.by_content: dict[str, str] = {}
        self.local_keys: set[str] = set()
        self.recipes: dict[str, Recipe] = {}
        self.known_aliases: dict[str, str] = {}
        self.plain: set[str] = set()
        self.being_replaced: set[str] = set()
        self.adoptions: dict[str, Adoption] = {}
        self.asked = 0

    # Stores

    def memoizable(self, op: Any) -> bool:
        return op.name not in self.plain

    def stored(self, wanted: Sequence[tuple[Any, str]]) -> Sequence[bool]:
        self.asked += 1
        return [(step.key, version) in self.present for step, version in wanted]

    def stored_digests(self, step: Any, version: str) -> Mapping[str, str | None]:
        return {}

    def addresses(self, step: Any, version: str) -> Mapping[str, Address]:
        return {name: Address(step.key, name, output_version(version, name)) for name in step.op.outs}

    def skipped_outputs(self, step: Any, version: str) -> frozenset[str]:
        return frozenset()

    # History

    def aliases(self, versions: Sequence[str]) -> Mapping[str, str]:
        return {each: self.known_aliases[each] for each in versions if each in self.known_aliases}

    def content_digests(self, versions: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        return {each: self.remembered[each] for each in versions if each in self.remembered}

    def find_contents(self, content_keys: Sequence[str]) -> Mapping[str, str]:
        return {each: self.by_content[each] for each in content_keys if each in self.by_content}

    def content_keys(self, versions: Sequence[str]) -> Mapping[str, str]:
        return {version: found for found, version in self.by_content.items() if version in versions}

    def replaced(self) -> set[str]:
        return set()

    def adopted(self) -> dict[str, Adoption]:
        return self.adoptions

    def withdrawn_aliases(self, versions: Sequence[str]) -> set[str]:
        return set()

    def accepted(self) -> dict[str, str]:
        raise AssertionError("versions are made of it, plans are not")

    def file_digests(self, paths: Sequence[str]) -> dict[str, FileDigest]:
        raise AssertionError("versions are made of it, plans are not")

    def known_stamps(self, sources: Sequence[str]) -> dict[str, KnownStamp]:
        raise AssertionError("versions are made of it, plans are not")

    def shared(self, versions: Sequence[str]) -> set[str]:
        return set()

    def mark(self) -> int:
        return 0

    def unfinished(self) -> set[str]:
        return self.being_replaced

    def known_local_keys(self, local_keys: Sequence[str]) -> set[str]:
        return self.local_keys & set(local_keys)

    def last_recipes(self, job_name: str, step_keys: Sequence[str]) -> Mapping[str, Recipe]:
        return {each: self.recipes[each] for each in step_keys if each in self.recipes}

    def seconds(self, job_name: str, step_keys: Sequence[str]) -> Mapping[str, float]:
        return dict.fromkeys(step_keys, 2.0)

    # Time

    def ran(self, composed: JobDefinition, strategy: VersionStrategy, contents: Mapping[str, str]) -> None:
        """Remember a full run in which each step's output had this content."""
        versions = versions_of(composed, strategy)
        for key, step in versions.steps.items():
            self.present.add((key, step.version))
            self.remembered[step.version] = dict.fromkeys(composed.steps[key].op.outs, contents[key])
            self.local_keys.add(step.local_key)
            self.recipes[key] = recipe_of(key, versions)
            found = content_key(step, lambda source: contents[source.step])
            self.by_content[found] = step.version

    def lose(self, *keys: str) -> None:
        self.present = {(key, version) for key, version in self.present if key not in keys}


def versions_of(composed: JobDefinition, strategy: VersionStrategy) -> Versions:
    return resolve_versions(composed, resolve_run_config(composed, {}), strategy, {})


def plan(composed: JobDefinition, strategy: VersionStrategy, world: World, **more: Any) -> Plan:
    selection = more.pop("selection", None)
    return make_plan(
        composed,
        versions_of(composed, strategy),
        world,
        world,
        selected=select_steps(composed.steps, selection) if selection else frozenset(composed.steps),
        **more,
    )


def verdicts(found: Plan) -> dict[str, Verdict]:
    return {key: step.verdict for key, step in found.steps.items()}


@op
def a() -> int:
    return 1


@op
def b(x: int) -> int:
    return x


@op
def c(x: int) -> int:
    return x


@op
def d(x: int, y: int) -> int:
    return x + y


@job
def diamond() -> None:
    first = a()
    d(b(first), c(first))


@job
def chain() -> None:
    d(c(b(a())), 5)


ONE = ByTable()
CONTENTS = {"a": "A", "b": "B", "c": "C", "d": "D"}


@pytest.fixture
def world() -> World:
    found = World()
    found.ran(diamond, ONE, CONTENTS)
    return found


def test_the_first_time_everything_runs() -> None:
    found = plan(diamond, ONE, World())

    assert verdicts(found) == {"a": RUN, "b": RUN, "c": RUN, "d": RUN}
    assert {step.reason for step in found.steps.values()} == {Reason.NEVER_RUN}


def test_the_second_time_nothing_does_and_the_stores_are_asked_once(world) -> None:
    world.asked = 0
    found = plan(diamond, ONE, world)

    assert set(verdicts(found).values()) == {REUSE}
    assert world.asked == 1
    assert found.is_null


def test_a_change_runs_and_what_is_below_is_open(world) -> None:
    found = plan(diamond, ByTable(b="2"), world)

    assert verdicts(found) == {"a": REUSE, "b": RUN, "c": REUSE, "d": MAYBE}
    assert found.steps["b"].reason is Reason.CODE_CHANGED
    assert (found.steps["d"].reason, found.steps["d"].detail) == (Reason.UPSTREAM_RUNS, "b")


def test_a_change_of_its_own_is_certain_though_an_upstream_runs(world) -> None:
    found = plan(diamond, ByTable(b="2", d="2"), world)

    assert verdicts(found) == {"a": REUSE, "b": RUN, "c": REUSE, "d": RUN}
    assert found.steps["d"].reason is Reason.CODE_CHANGED


def test_a_lost_intermediate_is_not_rebuilt(world) -> None:
    world.lose("b")
    found = plan(diamond, ONE, world)

    assert verdicts(found) == {"a": REUSE, "b": UNNEEDED, "c": REUSE, "d": REUSE}
    assert found.steps["b"].reason is Reason.NOT_READ


def test_a_lost_intermediate_is_rebuilt_for_a_reader_that_runs(world) -> None:
    world.lose("b")
    found = plan(diamond, ByTable(d="2"), world)

    assert verdicts(found) == {"a": REUSE, "b": RUN, "c": REUSE, "d": RUN}
    assert found.steps["b"].reason is Reason.OUTPUT_MISSING


def test_a_lost_intermediate_waits_for_a_reader_that_may_run(world) -> None:
    world.lose("b")
    found = plan(diamond, ByTable(c="2"), world)

    assert verdicts(found) == {"a": REUSE, "b": MAYBE, "c": RUN, "d": MAYBE}
    assert found.steps["b"].on_demand
    assert found.steps["b"].reason is Reason.OUTPUT_MISSING


def test_a_lost_last_step_runs_again_and_only_it(world) -> None:
    world.lose("d", "a")
    found = plan(diamond, ONE, world)

    assert verdicts(found) == {"a": UNNEEDED, "b": REUSE, "c": REUSE, "d": RUN}


def test_a_chain_of_losses_is_followed_upward() -> None:
    world = World()
    world.ran(chain, ONE, CONTENTS)
    world.lose("b", "c", "d")
    found = plan(chain, ONE, world)

    assert verdicts(found) == {"a": REUSE, "b": RUN, "c": RUN, "d": RUN}
    assert {found.steps[key].reason for key in "bcd"} == {Reason.OUTPUT_MISSING}


def test_equal_content_is_reused_while_planning(world) -> None:
    """b was rewritten and has already run, with the value it had: c below it needs no run to be known."""
    rewritten = ByTable(b="2")
    after = versions_of(diamond, rewritten)
    world.present.add(("b", after.steps["b"].version))
    world.remembered[after.steps["b"].version] = {"result": "B"}
    world.local_keys.add(after.steps["b"].local_key)

    found = plan(diamond, rewritten, world)

    assert set(verdicts(found).values()) == {REUSE}
    assert found.steps["d"].reason is Reason.SAME_CONTENT
    assert found.aliases == {after.steps["d"].version: versions_of(diamond, ONE).steps["d"].version}


def test_an_alias_is_followed(world) -> None:
    rewritten = ByTable(a="2")
    before, after = versions_of(diamond, ONE), versions_of(diamond, rewritten)
    world.known_aliases = {after.steps[key].version: before.steps[key].version for key in "bcd"}
    world.present.add(("a", after.steps["a"].version))

    found = plan(diamond, rewritten, world)

    assert set(verdicts(found).values()) == {REUSE}
    assert found.steps["d"].stored_as == before.steps["d"].version


def test_forced_steps_run_and_what_is_below_is_open(world) -> None:
    found = plan(diamond, ONE, world, forced=frozenset({"c"}))

    assert verdicts(found) == {"a": REUSE, "b": REUSE, "c": RUN, "d": MAYBE}
    assert found.steps["c"].reason is Reason.FORCED


def test_what_a_run_was_replacing_when_it_ended_runs_again(world) -> None:
    world.being_replaced = {versions_of(diamond, ONE).steps["b"].version}
    found = plan(diamond, ONE, world)

    assert verdicts(found) == {"a": REUSE, "b": RUN, "c": REUSE, "d": MAYBE}
    assert found.steps["b"].reason is Reason.UNFINISHED


def test_a_step_that_is_not_memoizable_runs_and_what_is_below_is_open(world) -> None:
    world.plain = {"b"}
    found = plan(diamond, ONE, world)

    assert verdicts(found) == {"a": REUSE, "b": RUN, "c": REUSE, "d": MAYBE}
    assert found.steps["b"].reason is Reason.NOT_MEMOIZABLE


def test_what_stands_below_such_a_step_and_has_never_run_runs() -> None:
    world = World()
    world.plain = {"a"}
    found = plan(diamond, ONE, world)

    assert verdicts(found) == {"a": RUN, "b": RUN, "c": RUN, "d": RUN}
    assert found.steps["d"].reason is Reason.NEVER_RUN


def test_a_selection_reads_what_is_stored(world) -> None:
    found = plan(diamond, ByTable(d="2"), world, selection="d")

    assert verdicts(found) == {"d": RUN}
    assert set(found.outside) == {"b", "c"}


def test_a_selection_of_what_reads_nothing_stored_is_refused(world) -> None:
    world.lose("b")
    with pytest.raises(
        SelectionError, match=r"step 'd' .* is selected and reads from 'b', which is neither selected nor stored"
    ):
        plan(diamond, ByTable(d="2"), world, selection="d")


def test_twins_run_once() -> None:
    @job
    def twins() -> None:
        a()
        a.alias("again")()
        a.alias("apart")()

    found = plan(twins, ONE, World())

    assert verdicts(found) == {"a": RUN, "again": MAYBE, "apart": MAYBE}
    assert (found.steps["apart"].reason, found.steps["apart"].detail) == (Reason.SAME_VERSION, "a")


def test_swapped_inputs_are_another_version() -> None:
    @op
    def sub(x: int, y: int) -> int:
        return x - y

    @job
    def one_way() -> None:
        sub(a(), b(1))

    @job
    def swapped() -> None:
        sub(b(1), a())

    assert versions_of(one_way, ONE).steps["sub"].version != versions_of(swapped, ONE).steps["sub"].version


def test_changes_are_named() -> None:
    @op(config_schema={"n": int, "m": int})
    def uses(context, x: int) -> int:
        return x

    def made(n: int, *, literal: int = 1) -> JobDefinition:
        @job(name="named", config={"ops": {"uses": {"config": {"n": n, "m": 0}}}})
        def named() -> None:
            uses(literal)

        return named

    world = World()
    world.ran(made(1), ONE, {"uses": "U"})

    config = plan(made(2), ONE, world).steps["uses"]
    literal = plan(made(1, literal=2), ONE, world).steps["uses"]
    code = plan(made(1), ByTable(uses="2"), world).steps["uses"]

    assert (config.reason, config.detail) == (Reason.CONFIG_CHANGED, "n")
    assert (literal.reason, literal.detail) == (Reason.INPUT_CHANGED, "x")
    assert code.reason is Reason.CODE_CHANGED


def test_a_forecast_says_how_long_steps_take(world) -> None:
    found = plan(diamond, ONE, world, forecast=True)

    assert {step.seconds for step in found.steps.values()} == {2.0}


def test_a_step_with_several_outputs_needs_them_all() -> None:
    @op(out={"x": Out(), "y": Out()})
    def pair() -> tuple[int, int]:
        return 1, 2

    @job
    def pairs() -> None:
        found = pair()
        b(found.x)

    world = World()
    world.ran(pairs, ONE, {"pair": "P", "b": "B"})

    assert verdicts(plan(pairs, ONE, world)) == {"pair": REUSE, "b": REUSE}


def test_a_chain_of_three_thousand_steps_needs_no_recursion() -> None:
    from memo.definition.graph import graph

    @graph(name="long")
    def long() -> None:
        x = a()
        for index in range(3000):
            x = b.alias(f"b{index}")(x)

    composed = long.to_job()
    world = World()
    found = plan(composed, ONE, world)

    assert found.count(RUN) == 3001


def test_a_renamed_part_is_no_difference() -> None:
    def recipe(**hashes: str) -> Recipe:
        return Recipe("v", tuple(RecipePart("code", name, found) for name, found in hashes.items()))

    renamed = difference(recipe(old="h1", kept="h2"), recipe(new="h1", kept="h3"))

    assert renamed == (Reason.CODE_CHANGED, "kept")


def test_what_was_accepted_is_reused_and_what_is_below_keeps_its_version() -> None:
    world = World()
    world.ran(chain, ONE, CONTENTS)
    two = ByTable(b="2")
    before, changed = versions_of(chain, ONE), versions_of(chain, two)
    accepted = {changed.steps["b"].version: before.steps["b"].version}
    versions = resolve_versions(chain, resolve_run_config(chain, {}), two, {}, accepted=accepted)
    found = make_plan(chain, versions, world, world, selected=frozenset(chain.steps))

    assert found.is_null
    assert found.steps["b"].reason is Reason.ACCEPTED
    assert found.steps["c"].reason is Reason.STORED
    assert versions.steps["b"].computed == changed.steps["b"].version
    assert {key: step.version for key, step in versions.steps.items()} == {
        key: step.version for key, step in before.steps.items()
    }


def test_what_was_accepted_and_is_gone_runs() -> None:
    world = World()
    world.ran(chain, ONE, CONTENTS)
    two = ByTable(b="2")
    accepted = {versions_of(chain, two).steps["b"].version: versions_of(chain, ONE).steps["b"].version}
    versions = resolve_versions(chain, resolve_run_config(chain, {}), two, {}, accepted=accepted)
    world.lose("b", "c", "d")
    found = make_plan(chain, versions, world, world, selected=frozenset(chain.steps))

    assert found.steps["b"].verdict is Verdict.RUN


def test_what_was_adopted_says_so() -> None:
    world = World()
    world.ran(chain, ONE, CONTENTS)
    version = versions_of(chain, ONE).steps["b"].version
    world.adoptions[version] = Adoption(version, "run", {"result": "old/b.parquet"}, 1.0)
    found = plan(chain, ONE, world).steps["b"]

    assert (found.verdict, found.reason) == (Verdict.REUSE, Reason.STORED)
    assert found.detail == "adopted from old/b.parquet, not verified"


def test_a_refactoring_of_the_first_of_a_thousand_steps_is_one_run_and_the_rest_maybe() -> None:
    @job
    def long() -> None:
        value = a()
        for _ in range(999):
            value = b(value)

    world = World()
    world.ran(long, ONE, dict.fromkeys(long.steps, "X"))
    found = plan(long, ByTable(a="2"), world)

    assert found.steps["a"].verdict is Verdict.RUN
    assert found.count(Verdict.MAYBE) == 999
