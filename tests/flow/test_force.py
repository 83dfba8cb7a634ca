"""Forcing: run again and replace what is stored, and everything that this changes."""

from __future__ import annotations

from typing import Any

import pytest

from memo import JobDefinition, Verdict, execute_job, job, op, plan_job


class Outside:
    """A pipeline that reads something no version covers."""

    def __init__(self) -> None:
        self.value = 1
        self.seen: list[str] = []
        world = self

        @op(version="1")
        def load() -> int:
            world.seen.append("load")
            return world.value

        @op(version="1")
        def double(x: int) -> int:
            world.seen.append("double")
            return 2 * x

        @op(version="1")
        def parity(x: int) -> int:
            world.seen.append("parity")
            return x % 4

        @op(version="1")
        def report(x: int) -> str:
            world.seen.append("report")
            return f"<{x}>"

        @job
        def outside() -> None:
            report(parity(double(load())))

        self.job: JobDefinition = outside

    def run(self, home: Any, **kwargs: Any) -> tuple[list[str], str]:
        self.seen.clear()
        result = execute_job(self.job, home, raise_on_error=True, **kwargs)
        return list(self.seen), result.output_for_node("report") if not kwargs.get("op_selection") else ""


def test_force_all_runs_all(tmp_path) -> None:
    outside = Outside()
    outside.run(tmp_path)

    assert outside.run(tmp_path, force=True) == (["load", "double", "parity", "report"], "<2>")
    assert outside.run(tmp_path) == ([], "<2>")


def test_forcing_a_step_runs_what_its_new_value_changes_and_no_more(tmp_path) -> None:
    outside = Outside()
    assert outside.run(tmp_path) == (["load", "double", "parity", "report"], "<2>")

    assert outside.run(tmp_path, force="load") == (["load"], "<2>")

    outside.value = 3
    assert outside.run(tmp_path) == ([], "<2>")
    assert outside.run(tmp_path, force="load") == (["load", "double", "parity"], "<2>")

    outside.value = 4
    assert outside.run(tmp_path, force="load") == (["load", "double", "parity", "report"], "<0>")
    assert outside.run(tmp_path) == ([], "<0>")


def test_what_a_forced_step_changed_is_seen_by_a_later_run(tmp_path) -> None:
    outside = Outside()
    outside.run(tmp_path)
    outside.value = 4

    assert outside.run(tmp_path, force="load", op_selection="load") == (["load"], "")

    assert plan_job(outside.job, instance=tmp_path).steps["double"].verdict is Verdict.RUN
    assert outside.run(tmp_path) == (["double", "parity", "report"], "<0>")
    assert outside.run(tmp_path) == ([], "<0>")


def test_a_value_forced_away_and_back_is_never_taken_from_what_was_replaced(tmp_path) -> None:
    outside = Outside()
    outside.run(tmp_path)
    outside.value = 4
    outside.run(tmp_path, force="load")
    outside.value = 1
    outside.run(tmp_path, force="load", op_selection="load")

    assert outside.run(tmp_path)[1] == "<2>"


def test_the_plan_says_forced(tmp_path) -> None:
    outside = Outside()
    outside.run(tmp_path)

    plan = plan_job(outside.job, instance=tmp_path, force=["double"])

    assert [(step.verdict.value, step.reason.value) for step in plan.steps.values()] == [
        ("REUSE", "stored under this version"),
        ("RUN", "forced"),
        ("MAYBE", "an upstream step runs"),
        ("MAYBE", "an upstream step runs"),
    ]


def test_a_forced_run_that_is_killed_leaves_no_mixture(workspace) -> None:
    """Killed between two outputs, or after a step that was replaced: the next run makes it again."""
    workspace.write(
        "pipeline.py",
        """
        import os, signal
        from pathlib import Path
        from memo import Out, Output, job, op

        HERE = Path(__file__).parent

        class Fatal:
            def __init__(self, value, dies):
                self.value, self.dies = value, dies

            def __reduce__(self):
                if self.dies:
                    os.kill(os.getpid(), signal.SIGKILL)
                return Fatal, (self.value, False)

        @op(out={"x": Out(), "y": Out()}, version="1")
        def pair():
            word = (HERE / "word").read_text()
            yield Output(word, "x")
            yield Output(Fatal(word, (HERE / "dies").exists()), "y")

        @op(version="1")
        def read(x, y):
            if (HERE / "dies_below").exists():
                os.kill(os.getpid(), signal.SIGKILL)
            return x, y.value

        @job
        def torn():
            found = pair()
            read(found.x, found.y)
        """,
    )
    program = (
        "from memo import execute_job; from memo.definition.reference import JobReference; "
        "execute_job(JobReference('pipeline.py'), force='pair')"
    )
    (workspace.path / "word").write_text("one")
    assert workspace.run(output="read").value == "('one', 'one')"
    for number, moment in enumerate(("dies", "dies_below")):
        word = f"word {number}"
        (workspace.path / "word").write_text(word)
        (workspace.path / moment).touch()
        assert workspace.python("-c", program, check=False).returncode == -9
        (workspace.path / moment).unlink()

        after = workspace.run(output="read")

        if moment == "dies":  # else it may have been recorded before the step below it ended the run
            assert after.plan["pair"] == ["RUN", "a run that was replacing its outputs did not finish"]
        assert after.value == repr((word, word))
        assert workspace.run().ran == []


WORLD = """
    from memo import job, op

    @op
    def b() -> int:
        return sum([1, 0])

    @op
    def m(x: int) -> int:
        return x * int(open("world").read())

    @op
    def e(p: int) -> int:
        return p * 10

    @job
    def pipeline():
        e(m(b()))
"""


@pytest.fixture
def aliased(workspace):
    """`m` is stored under another version of equal content, and `e` under one that was made of it."""
    workspace.write("pipeline.py", WORLD)
    (workspace.path / "world").write_text("1")
    assert workspace.run().ran == ["b", "e", "m"]
    workspace.edit("pipeline.py", "sum([1, 0])", "sum([0, 1])")
    workspace.edit("pipeline.py", "p * 10", "10 * p")
    assert workspace.run().ran == ["b", "e"]
    (workspace.path / "world").write_text("2")
    return workspace


def test_what_was_known_by_content_and_is_forced_alone_reaches_its_readers(aliased) -> None:
    assert aliased.run(force="m", op_selection="m").ran == ["m"]
    after = aliased.run(output="e")
    assert (after.ran, after.value) == (["e"], "20")
    assert aliased.run().ran == []


def test_what_it_was_known_as_is_forced_reaches_its_readers(aliased) -> None:
    aliased.edit("pipeline.py", "sum([0, 1])", "sum([1, 0])")
    assert "m" in aliased.run(force="m").ran
    aliased.edit("pipeline.py", "sum([1, 0])", "sum([0, 1])")
    after = aliased.run(output="e")
    assert after.value == "20"
    assert aliased.run().ran == []


def test_what_was_known_by_content_and_is_adopted_reaches_its_readers(aliased) -> None:
    (aliased.path / "m.json").write_text("55")
    done = aliased.memo("adopt", "pipeline.py", "m", "m.json", "--force")
    assert done.returncode == 0, done.stderr
    after = aliased.run(output="e")
    assert (after.ran, after.value) == (["e"], "550")
    assert aliased.run().ran == []
