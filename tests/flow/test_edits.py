"""Tables of edit -> steps that run, each run in a process of its own."""

from __future__ import annotations

import pytest

PIPELINE = """
    from memo import job, op
    import helpers

    OFFSET = 100

    @op
    def one() -> int:
        return 1

    @op
    def ten() -> int:
        # ten it is
        return 10

    @op(config_schema={"by": object})
    def scale(context, x: int) -> int:
        by = context.op_config["by"]
        return helpers.times(x, int(by))

    @op
    def sub(a: int, b: int) -> int:
        return a - b

    @op
    def total(parts: list) -> int:
        return sum(parts) + OFFSET

    @job(config={"ops": {"scale": {"config": {"by": 1}}}})
    def pipeline():
        first = one()
        second = ten()
        total([sub(first, second), scale(second)])
"""

HELPERS = """
    def times(x, by):
        return x * by

    def unused():
        return 0
"""

ALL = ["one", "scale", "sub", "ten", "total"]

EDITS = {
    "nothing": ("pipeline.py", "", "", []),
    "a comment": ("pipeline.py", "# ten it is", "# it is ten", []),
    "a docstring": ("pipeline.py", "# ten it is", '"""Give ten."""', []),
    "an annotation": ("pipeline.py", "def ten() -> int:", "def ten():", []),
    "layout": ("pipeline.py", "return a - b", "return (\n        a\n        - b\n    )", []),
    "an unrelated helper": ("helpers.py", "return 0", "return 1", []),
    "a helper in another module": ("helpers.py", "return x * by", "return x * by * 2", ["scale", "total"]),
    "a helper of equal value": ("helpers.py", "return x * by", "return by * x", ["scale"]),
    "an op's body": ("pipeline.py", "return a - b", "return a - b - 1", ["sub", "total"]),
    "an op of equal value": ("pipeline.py", "return 10", "return 4 + len('abcdef')", ["ten"]),
    "a global": ("pipeline.py", "OFFSET = 100", "OFFSET = 101", ["total"]),
    "swapped inputs": ("pipeline.py", "sub(first, second)", "sub(second, first)", ["sub", "total"]),
    "swapped members of a list": (
        "pipeline.py",
        "[sub(first, second), scale(second)]",
        "[scale(second), sub(first, second)]",
        ["total"],
    ),
    "config 1 to 2": ("pipeline.py", '{"by": 1}', '{"by": 2}', ["scale", "total"]),
    "config 1 to '1'": ("pipeline.py", '{"by": 1}', '{"by": "1"}', ["scale"]),
    "config 1 to True": ("pipeline.py", '{"by": 1}', '{"by": True}', ["scale"]),
    "a literal": ("pipeline.py", "sub(first, second)", "sub(first, 10)", ["sub"]),
    "another literal": ("pipeline.py", "sub(first, second)", "sub(first, 11)", ["sub", "total"]),
    "an alias": ("pipeline.py", "sub(first, second)", 'sub.alias("minus")(first, second)', []),
    "a renamed op": ("pipeline.py", "def ten() -> int:", "def ten() -> int:  # renamed below", []),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_runs_what_it_changes(name, workspace) -> None:
    file, old, new, expected = EDITS[name]
    workspace.write("pipeline.py", PIPELINE)
    workspace.write("helpers.py", HELPERS)
    cold = workspace.run()

    assert cold.ran == ALL

    if old:
        workspace.edit(file, old, new)
    after = workspace.run()

    assert after.success
    assert after.ran == expected
    assert workspace.run().ran == []


def test_an_edit_of_the_same_length_within_a_second_is_seen(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    workspace.write("helpers.py", HELPERS)
    workspace.run(output="scale")

    workspace.edit("helpers.py", "x * by", "x + by")
    after = workspace.run(output="scale")

    assert after.value == "11"


def test_a_change_and_back_runs_nothing(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    workspace.write("helpers.py", HELPERS)
    workspace.run()
    workspace.edit("helpers.py", "x * by", "x * by * 3")
    assert workspace.run().ran == ["scale", "total"]

    workspace.edit("helpers.py", "x * by * 3", "x * by")

    assert workspace.run().ran == []


def test_renaming_and_moving_is_a_hit(workspace) -> None:
    workspace.write("pipeline.py", PIPELINE)
    workspace.write("helpers.py", HELPERS)
    workspace.run()
    text = (workspace.path / "pipeline.py").read_text()
    renamed = text.replace("def ten(", "def decade(").replace("ten()", "decade()").replace("helpers", "moved")
    workspace.write("moved_pipeline.py", renamed)
    (workspace.path / "helpers.py").rename(workspace.path / "moved.py")

    after = workspace.run("moved_pipeline.py")

    assert after.ran == []
    assert "decade" in after.reused


def test_a_plan_says_run_and_maybe_and_the_run_cuts_off(workspace) -> None:
    """A refactor of the first of 1,000 steps that leaves its value equal: 1 RUN, 999 MAYBE, 1 executed."""
    workspace.write(
        "pipeline.py",
        """
        from memo import job, op

        @op
        def first() -> int:
            return 5

        @op
        def then(x: int) -> int:
            return x + 1

        @job
        def chain():
            x = first()
            for _ in range(999):
                x = then(x)
        """,
    )
    workspace.run()
    workspace.edit("pipeline.py", "return 5", "return len('12345')")

    after = workspace.run()

    verdicts = [verdict for verdict, _ in after.plan.values()]
    assert verdicts.count("RUN") == 1
    assert verdicts.count("MAYBE") == 999
    assert after.ran == ["first"]
    assert workspace.run().plan["then_999"] == ["REUSE", "stored under this version"]
