"""Accepting a version as equal to a stored one, and everything that follows when it is taken back."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memo import (
    MEMOIZED_RUN_TAG,
    Home,
    IOManager,
    JobDefinition,
    MemoError,
    accept_version,
    execute_job,
    io_manager,
    job,
    op,
    plan_job,
    revoke_acceptance,
)

FACTORS = {1: 10, 2: 20, 3: 30}
"""What each version of `double` multiplies by: no two versions are really equal, so that what is stale shows."""


class Pipeline:
    """Three steps in a row, whose code is what the test says it is now."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.first, self.second = 1, 1
        self.seen: list[str] = []

    def job(self) -> JobDefinition:
        first, second, seen = self.first, self.second, self.seen

        @op(version=f"load {first}")
        def load() -> int:
            seen.append("load")
            return 1 if first < 3 else 2

        @op(version=f"double {second}", config_schema={"add": int})
        def double(context: Any, x: int) -> int:
            seen.append("double")
            return FACTORS[second] * x + context.op_config["add"]

        @op(version="1")
        def report(x: int) -> str:
            seen.append("report")
            return f"<{x}>"

        @job(config={"ops": {"double": {"config": {"add": 0}}}})
        def daily() -> None:
            report(double(load()))

        return daily

    def run(self, **arguments: Any) -> tuple[list[str], str]:
        self.seen.clear()
        result = execute_job(self.job(), self.home, raise_on_error=True, **arguments)
        return list(self.seen), result.output_for_node("report")

    def plan(self, **arguments: Any) -> dict[str, tuple[str, str]]:
        made = plan_job(self.job(), instance=self.home, **arguments)
        return {key: (step.verdict.value, step.reason.value) for key, step in made.steps.items()}

    def accept(self, step: str = "double", reason: str = "only faster", **arguments: Any) -> int:
        return accept_version(self.job(), step, reason, instance=self.home, **arguments).id

    def revoke(self, number: int) -> None:
        revoke_acceptance(number, instance=self.home)

    def lose(self, step: str) -> None:
        """Delete what is stored of a step, under whatever version."""
        with Home(self.home) as home:
            for record in home.catalog.list_runs():
                for done in home.catalog.materializations(record.run_id):
                    if done.step_key == step:
                        for output in done.outputs:
                            assert output.place is not None
                            shutil.rmtree(Path(output.place).parent, ignore_errors=True)


@pytest.fixture
def daily(tmp_path: Path) -> Pipeline:
    """A pipeline that has run."""
    found = Pipeline(tmp_path)
    assert found.run() == (["load", "double", "report"], "<10>")
    return found


STORED = ("REUSE", "stored under this version")
ACCEPTED = ("REUSE", "accepted as equal")


def test_an_accepted_step_and_what_reads_it_are_reused(daily: Pipeline) -> None:
    daily.second = 2
    assert daily.plan()["double"] == ("RUN", "code changed")

    daily.accept()

    assert daily.plan() == {"load": STORED, "double": ACCEPTED, "report": STORED}
    assert daily.run() == ([], "<10>")
    assert daily.run(force="report") == (["report"], "<10>")


def test_a_later_edit_is_not_covered(daily: Pipeline) -> None:
    daily.second = 2
    daily.accept()
    daily.second = 3

    assert daily.plan()["double"] == ("RUN", "code changed")
    assert daily.run() == (["double", "report"], "<30>")


def test_another_config_is_not_covered(daily: Pipeline) -> None:
    daily.second = 2
    daily.accept()

    config = {"ops": {"double": {"config": {"add": 5}}}}
    assert daily.run(run_config=config) == (["double", "report"], "<25>")


def test_the_version_that_was_accepted_itself_is_stored_as_ever(daily: Pipeline) -> None:
    daily.second = 2
    daily.accept()
    daily.second = 1

    assert daily.plan() == {"load": STORED, "double": STORED, "report": STORED}


def test_what_is_edited_again_is_accepted_for_the_same_version(daily: Pipeline) -> None:
    daily.second = 2
    first = daily.accept()
    assert daily.run() == ([], "<10>")
    daily.second = 3
    second = daily.accept()

    assert daily.run() == ([], "<10>")
    daily.revoke(first)
    assert daily.run() == ([], "<10>")
    daily.revoke(second)
    assert daily.run() == (["double", "report"], "<30>")


def test_an_accepted_step_needs_nothing_of_what_is_above_it(daily: Pipeline) -> None:
    daily.first = 3
    daily.accept()

    assert daily.plan() == {
        "load": ("UNNEEDED", "output missing, and nothing that runs reads it"),
        "double": ACCEPTED,
        "report": STORED,
    }
    assert daily.run() == ([], "<10>")


def test_a_step_whose_inputs_change_later_is_not_covered(daily: Pipeline) -> None:
    daily.second = 2
    daily.accept()
    daily.first = 3

    assert daily.run() == (["load", "double", "report"], "<40>")


# Taking it back


def test_what_was_computed_below_is_not_served_once_it_is_revoked(daily: Pipeline) -> None:
    daily.second = 2
    number = daily.accept()
    assert daily.run(force="report") == (["report"], "<10>")

    daily.revoke(number)

    assert daily.plan()["double"] == ("RUN", "code changed")
    assert daily.run() == (["double", "report"], "<20>")
    assert daily.run() == ([], "<20>")


def test_what_was_forced_while_it_was_accepted_is_not_served_to_the_old_code(daily: Pipeline) -> None:
    daily.second = 2
    number = daily.accept()
    assert daily.run(force="double") == (["double", "report"], "<20>")

    daily.revoke(number)
    daily.second = 1

    assert daily.run() == ([], "<10>")


def test_what_was_lost_and_made_while_it_was_accepted_is_not_served_to_the_old_code(daily: Pipeline) -> None:
    daily.second = 2
    number = daily.accept()
    daily.lose("double")
    daily.lose("report")
    assert daily.run() == (["double", "report"], "<20>")

    daily.revoke(number)
    daily.second = 1

    assert daily.run() == (["double", "report"], "<10>")


def test_what_it_gave_while_it_was_accepted_is_its_own_once_it_is_revoked(daily: Pipeline) -> None:
    daily.second = 2
    number = daily.accept()
    daily.run(force="double")

    daily.revoke(number)

    # What was stored in the other's place is made again under its own version, at the latest by the second run.
    assert [daily.run()[1] for _ in range(2)] == ["<20>", "<20>"]
    assert daily.run() == ([], "<20>")


def test_a_revoked_acceptance_is_made_again(daily: Pipeline) -> None:
    daily.second = 2
    daily.revoke(daily.accept())
    daily.accept()

    assert daily.run() == ([], "<10>")


def test_another_version_is_accepted_where_the_first_is_no_longer_stored(daily: Pipeline) -> None:
    daily.second = 2
    daily.run()
    daily.second = 3
    daily.accept()
    daily.lose("double")
    daily.second = 1
    daily.run(force="double")
    daily.second = 3
    assert daily.plan()["double"] == ("UNNEEDED", "output missing, and nothing that runs reads it")

    daily.accept()

    assert daily.plan()["double"] == ACCEPTED
    assert daily.run() == ([], "<10>")


acts = st.lists(
    st.one_of(
        st.tuples(st.just("first"), st.sampled_from([1, 2, 3])),
        st.tuples(st.just("second"), st.sampled_from([1, 2, 3])),
        st.tuples(st.just("run"), st.sampled_from([False, "double", "load", True])),
        st.tuples(st.just("accept"), st.sampled_from(["double", "load", "report"])),
        st.tuples(st.just("revoke"), st.integers(0, 3)),
        st.tuples(st.just("lose"), st.sampled_from(["double", "load", "report"])),
    ),
    max_size=12,
)


def do(daily: Pipeline, act: str, what: Any, holding: list[int]) -> None:
    """Do one of the things that users do, and keep in mind what is accepted."""
    if act == "run":
        daily.run(force=what)
    elif act == "lose":
        daily.lose(what)
    elif act == "revoke" and holding:
        daily.revoke(holding.pop(what % len(holding)))
    elif act in {"first", "second"}:
        setattr(daily, act, what)
    elif act == "accept":
        with suppress(MemoError):
            holding.append(daily.accept(what))


@settings(deadline=None, max_examples=40)
@given(acts)
def test_once_all_is_revoked_nothing_of_it_is_left(taken: list[tuple[str, Any]]) -> None:
    """Whatever was edited, run, accepted, forced and lost: the result is that of the code, as in a new home."""
    with tempfile.TemporaryDirectory() as folder:
        daily = Pipeline(Path(folder) / "home")
        holding: list[int] = []
        for act, what in [("run", False), *taken]:
            do(daily, act, what, holding)
        with Home(daily.home) as home:
            left = [each.id for each in home.catalog.acceptances() if each.revoked_at is None]
        for number in left:
            daily.revoke(number)
        for second in (daily.second, 1, 2, 3):
            daily.second = second
            fresh = Pipeline(Path(folder) / f"fresh {second}")
            fresh.first, fresh.second = daily.first, second
            expected = fresh.run()[1]
            assert [daily.run()[1] for _ in range(2)] == [expected, expected]
            assert daily.run() == ([], expected)


# Which run is meant


def test_the_run_with_the_same_config_is_meant_before_a_later_one(daily: Pipeline) -> None:
    other = {"ops": {"double": {"config": {"add": 5}}}}
    assert daily.run(run_config=other)[1] == "<15>"
    daily.second = 2

    daily.accept()
    daily.accept(run_config=other)

    assert daily.run() == ([], "<10>")
    assert daily.run(run_config=other) == ([], "<15>")


def test_the_latest_run_is_meant_where_none_had_this_config(daily: Pipeline) -> None:
    daily.run(run_config={"ops": {"double": {"config": {"add": 5}}}})
    config = {"ops": {"double": {"config": {"add": 6}}}}

    daily.accept(run_config=config)

    assert daily.run(run_config=config) == ([], "<15>")


def test_the_latest_version_that_it_had_is_meant(daily: Pipeline) -> None:
    daily.second = 2
    daily.run()
    daily.second = 1
    daily.run()
    daily.second = 3

    daily.accept()

    assert daily.run() == ([], "<10>"), "version 1 was reused last, though 2 ran after it"


def test_a_run_can_be_named(tmp_path: Path) -> None:
    daily = Pipeline(tmp_path)
    first = execute_job(daily.job(), daily.home).run_id
    daily.second = 2
    daily.run()
    daily.second = 3

    daily.accept(run=first[:15])

    assert daily.run() == ([], "<10>")


def test_a_version_that_equals_a_stored_one_by_content_can_be_accepted(daily: Pipeline) -> None:
    daily.first = 2
    assert daily.run() == (["load"], "<10>"), "`double` is reused by content"
    daily.second = 2
    number = daily.accept()

    assert daily.run() == ([], "<10>")
    daily.revoke(number)
    assert daily.run() == (["double", "report"], "<20>")


# Refused


def refused(daily: Pipeline, step: str = "double", **arguments: Any) -> str:
    with pytest.raises(MemoError) as caught:
        daily.accept(step, **arguments)
    with Home(daily.home) as home:
        assert home.catalog.acceptances() == []
    return str(caught.value)


def test_an_unknown_step_is_refused(daily: Pipeline) -> None:
    assert "job 'daily' has no step 'dubble'. Did you mean 'double'?" in refused(daily, "dubble")


@pytest.mark.parametrize("reason", ["", "  \n\t "])
def test_an_empty_reason_is_refused(daily: Pipeline, reason: str) -> None:
    daily.second = 2
    assert "the reason is empty" in refused(daily, reason=reason)


def test_a_step_of_which_nothing_was_ever_stored_is_refused(tmp_path: Path) -> None:
    daily = Pipeline(tmp_path)
    assert "nothing is stored that it could equal" in refused(daily)


def test_a_step_that_only_failed_is_refused(tmp_path: Path) -> None:
    daily = Pipeline(tmp_path)
    daily.second = 9  # a version that has no factor
    with pytest.raises(KeyError):
        daily.run()
    daily.second = 1

    assert "nothing is stored that it could equal" in refused(daily)


def test_what_is_no_longer_stored_is_refused(daily: Pipeline) -> None:
    daily.lose("double")
    daily.second = 2
    assert "is no longer stored; name another with --run, or run it again" in refused(daily)


def test_what_is_stored_by_itself_is_refused(daily: Pipeline) -> None:
    assert "stored under its present version: there is nothing to accept" in refused(daily)


def test_what_is_accepted_already_is_refused(daily: Pipeline) -> None:
    daily.second = 2
    number = daily.accept()
    with pytest.raises(MemoError, match=rf"accepted already \(acceptance {number}\); .* memo accept --revoke {number}"):
        daily.accept()


def test_what_a_killed_run_was_replacing_is_refused(daily: Pipeline) -> None:
    with Home(daily.home) as home:
        record = home.catalog.get_run(home.catalog.list_runs()[0].run_id)
        assert record is not None
        home.catalog.begin_replacing("killed", [record.versions["double"]])
    daily.second = 2
    assert "may be of two runs" in refused(daily)


def test_where_memoization_is_off_it_is_refused(daily: Pipeline) -> None:
    daily.second = 2
    assert "turn memoization off" in refused(daily, tags={MEMOIZED_RUN_TAG: "false"})


@pytest.mark.parametrize("kind", ["unknown", "without memoization", "the same version", "without the step"])
def test_a_run_that_cannot_be_meant_is_refused(daily: Pipeline, kind: str) -> None:
    @op
    def other() -> int:
        return 1

    @job
    def elsewhere() -> None:
        other()

    daily.second = 2
    if kind == "unknown":
        assert "there is no run 'zz'" in refused(daily, run="zz")
    elif kind == "without memoization":
        run = execute_job(daily.job(), daily.home, tags={MEMOIZED_RUN_TAG: "false"}).run_id
        assert "was without memoization" in refused(daily, run=run)
    elif kind == "the same version":
        run = execute_job(daily.job(), daily.home).run_id
        daily.lose("double")
        assert "the version that it has now: there is nothing to accept" in refused(daily, run=run)
    else:
        run = execute_job(elsewhere, daily.home).run_id
        assert "has no step 'double'" in refused(daily, run=run)


def test_an_io_manager_that_cannot_say_what_it_stored_is_refused(tmp_path: Path) -> None:
    class Plain(IOManager):
        def handle_output(self, context: Any, obj: Any) -> None: ...

        def load_input(self, context: Any) -> Any: ...

    @io_manager
    def plain() -> Plain:
        return Plain()

    @op
    def give() -> int:
        return 1

    @job(resource_defs={"io_manager": plain})
    def giving() -> None:
        give()

    execute_job(giving, tmp_path)
    with pytest.raises(MemoError, match="no MemoizableIOManager"):
        accept_version(giving, "give", "equal", instance=tmp_path)


@pytest.mark.parametrize("number", [0, 7, -1, 1 << 70])
def test_what_is_not_there_cannot_be_revoked(tmp_path: Path, number: int) -> None:
    with pytest.raises(MemoError, match=f"there is no acceptance {number}; `memo accept --list` shows them"):
        revoke_acceptance(number, instance=tmp_path)
    assert not list(tmp_path.iterdir()), "asking makes no home"


def test_it_is_revoked_once(daily: Pipeline) -> None:
    daily.second = 2
    number = daily.accept()
    daily.revoke(number)
    with pytest.raises(MemoError, match=f"acceptance {number} was revoked before"):
        daily.revoke(number)


def test_accepted_code_that_runs_after_all_stores_under_its_own_version(workspace) -> None:
    """Under the other's it would be served as what the other code gives, when that comes back."""
    workspace.write(
        "pipeline.py",
        """
        from memo import job, op

        @op
        def a() -> int:
            return 1

        @op
        def b(a: int) -> int:
            return a + 1

        @op
        def c(b: int) -> int:
            return b * 10

        @job
        def pipeline():
            c(b(a()))
        """,
    )
    workspace.run()
    workspace.edit("pipeline.py", "a + 1", "a + 2")
    done = workspace.memo("accept", "pipeline.py", "b", "--reason", "it is said to be the same")
    assert done.returncode == 0, done.stderr
    assert workspace.run(output="c").value == "20"
    forced = workspace.run(force="b", output="c")
    assert (forced.ran, forced.value) == (["b", "c"], "30")
    assert workspace.run(output="c").value == "30"
    workspace.edit("pipeline.py", "a + 2", "a + 1")
    back = workspace.run(output="c")
    assert (back.ran, back.value) == ([], "20")


def test_the_reason_is_that_of_the_acceptance_that_holds(daily: Pipeline) -> None:
    daily.second = 2
    daily.run()
    daily.second = 3
    daily.revoke(daily.accept(reason="first"))
    daily.accept(reason="second")

    with Home(daily.home) as home:
        assert plan_job(daily.job(), instance=home).steps["double"].detail == "second"
