from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from memo.contracts.run_store import Recipe, RecipePart, Standing
from memo.explaining import Change, Link, Side, explain, explain_upward
from memo.versioning import output_version

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def recipe(*parts: RecipePart) -> Recipe:
    return Recipe("v", parts)


def unknown(_digest: str) -> str | None:
    return None


def code(name: str, text: str, *, line: int = 1, file: str = "/p/ops.py") -> tuple[RecipePart, dict[str, str]]:
    digest = f"digest of {text}"
    return RecipePart("code", name, f"hash of {text}", "", file, line, digest), {digest: text}


def only(changes: tuple[Change, ...]) -> Change:
    (change,) = changes
    return change


def test_equal_recipes_have_no_changes() -> None:
    part = RecipePart("config", "limit", "h", "5")
    assert explain(recipe(part), recipe(part), unknown) == ()


def test_a_config_value_is_named_by_its_path_with_both_values() -> None:
    old = recipe(RecipePart("config", "limits.low", "h1", "5"), RecipePart("config", "name", "h", "'x'"))
    new = recipe(RecipePart("config", "limits.low", "h2", "10"), RecipePart("config", "name", "h", "'x'"))
    change = only(explain(old, new, unknown))
    assert (change.kind, change.name, change.how) == ("config", "limits.low", "changed")
    assert (change.before, change.after) == ("5", "10")


def test_what_came_in_and_what_fell_out() -> None:
    old = recipe(RecipePart("code", "gone", "h1"), RecipePart("config", "a", "h2", "1"))
    new = recipe(RecipePart("code", "come", "h3"), RecipePart("config", "b", "h2", "1"))
    found = {(each.kind, each.name, each.how) for each in explain(old, new, unknown)}
    # A config entry of the same value under another name is no rename: its name is in the version.
    assert found == {
        ("code", "gone", "removed"),
        ("code", "come", "added"),
        ("config", "a", "removed"),
        ("config", "b", "added"),
    }


def test_renamed_code_is_no_change() -> None:
    old, texts = code("ops.helper", "def helper(): ...")
    new, _ = code("ops.renamed", "def helper(): ...", line=40, file="/p/elsewhere.py")
    other = RecipePart("config", "limit", "h1", "5")
    changed = RecipePart("config", "limit", "h2", "6")
    change = only(explain(recipe(old, other), recipe(new, changed), texts.get))
    assert change.kind == "config"


def test_renamed_code_of_another_resource_is_a_change() -> None:
    old = RecipePart("resource", "db: connect", "h", "", "/p/a.py", 1)
    new = RecipePart("resource", "cache: connect", "h", "", "/p/a.py", 1)
    assert [each.how for each in explain(recipe(old), recipe(new), unknown)] == ["added", "removed"]


def test_code_comes_first_then_config_resources_and_inputs() -> None:
    kinds = ["input", "resource", "config", "code"]
    old = recipe(*[RecipePart(kind, "x", "h1") for kind in kinds])
    new = recipe(*[RecipePart(kind, "x", "h2") for kind in kinds])
    assert [each.kind for each in explain(old, new, unknown)] == ["code", "config", "resource", "input"]


def test_of_several_parts_of_one_name_the_one_that_changed_is_told() -> None:
    old = recipe(*[RecipePart("code", "ops.<lambda>", each) for each in ("h1", "h2", "h3")])
    new = recipe(*[RecipePart("code", "ops.<lambda>", each) for each in ("h1", "changed", "h3")])
    assert only(explain(old, new, unknown)).how == "changed"


def test_the_diff_has_the_line_numbers_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(tmp_path / "ops.py")
    old, old_texts = code("clean", "def clean(x):\n    y = x + 1\n    return y\n", line=12, file=file)
    new, new_texts = code("clean", "def clean(x):\n    y = x + 2\n    return y\n", line=15, file=file)
    change = only(explain(recipe(old), recipe(new), (old_texts | new_texts).get))
    assert change.place == "ops.py:15"
    assert change.diff.splitlines() == [
        "--- ops.py (before)",
        "+++ ops.py (now)",
        "@@ -12,3 +15,3 @@",
        " def clean(x):",
        "-    y = x + 1",
        "+    y = x + 2",
        "     return y",
    ]


def test_code_whose_text_is_not_kept_has_no_diff() -> None:
    old, old_texts = code("clean", "def clean(x): return 1")
    new, _ = code("clean", "def clean(x): return 2")
    change = only(explain(recipe(old), recipe(new), old_texts.get))
    assert (change.diff, change.same_text) == ("", False)


def test_the_same_text_compiled_to_something_else_is_said_so() -> None:
    old = RecipePart("code", "clean", "h1", "", "/p/ops.py", 1, "text")
    new = RecipePart("code", "clean", "h2", "", "/p/ops.py", 1, "text")
    change = only(explain(recipe(old), recipe(new), {"text": "def clean(): ..."}.get))
    assert (change.diff, change.same_text) == ("", True)


LINES = st.lists(st.sampled_from(["a", "b", "c", "", "    d", "-x", "+y", "@@"]), max_size=12)


def applied(old: list[str], diff: list[str], first: int) -> list[str]:
    """Apply a unified diff by its own line numbers, as `patch` does."""
    result: list[str] = []
    at = 0
    index = 0
    while index < len(diff):
        assert diff[index].startswith("@@ -")
        start, length = (int(each) for each in diff[index].split()[1].removeprefix("-").split(","))
        begin = start - first + (0 if length else 1)
        result += old[at:begin]
        at = begin
        index += 1
        taken = 0
        while index < len(diff) and not (diff[index].startswith("@@ -") and taken == length):
            sign, text = diff[index][0], diff[index][1:]
            if sign in " -":
                assert old[at] == text
                at += 1
                taken += 1
            if sign in " +":
                result.append(text)
            index += 1
    return result + old[at:]


@given(LINES, LINES, st.integers(1, 50), st.integers(1, 50))
def test_the_diff_turns_the_old_text_into_the_new_one(
    old: list[str],
    new: list[str],
    old_line: int,
    new_line: int,
) -> None:
    before = RecipePart("code", "f", "h1", "", "/p/a.py", old_line, "old")
    after = RecipePart("code", "f", "h2", "", "/p/a.py", new_line, "new")
    texts = {"old": "\n".join(old), "new": "\n".join(new)}
    old, new = texts["old"].splitlines(), texts["new"].splitlines()
    change = only(explain(recipe(before), recipe(after), texts.get))
    assert change.same_text == (texts["old"] == texts["new"])
    body = change.diff.splitlines()[2:]
    assert applied(old, body, old_line) == new


PARTS = st.lists(
    st.builds(
        RecipePart,
        st.sampled_from(["code", "config", "resource", "input"]),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["h1", "h2", "h3"]),
        file=st.sampled_from([None, os.sep + "p.py"]),
    ),
    max_size=6,
)


@given(PARTS)
def test_a_recipe_against_itself_in_any_order_has_no_changes(parts: list[RecipePart]) -> None:
    assert explain(recipe(*parts), recipe(*reversed(parts)), unknown) == ()


@given(PARTS, PARTS)
def test_changes_are_told_both_ways(old: list[RecipePart], new: list[RecipePart]) -> None:
    forth = explain(recipe(*old), recipe(*new), unknown)
    back = explain(recipe(*new), recipe(*old), unknown)
    mirrored = {"added": "removed", "removed": "added", "changed": "changed"}
    assert sorted((each.kind, each.name, mirrored[each.how]) for each in back) == sorted(
        (each.kind, each.name, each.how) for each in forth
    )


# Upward


def side(**steps: tuple[str, dict[str, str], str | None]) -> Side:
    """A state of a job: for each step its version, its inputs as {name: "step.output"}, its content."""
    versions = {key: version for key, (version, _, _) in steps.items()}

    def standing(key: str) -> Standing | None:
        if key not in steps:
            return None
        version, inputs, content = steps[key]
        parts = [RecipePart("code", "body", version.partition(" ")[0])]
        for name, giver in inputs.items():
            step, _, output = giver.rpartition(".")
            found = output_version(versions[step], output) if step in versions else f"digest of {giver}"
            parts.append(RecipePart("input", name, found, giver))
        return Standing(version, Recipe(version, tuple(parts)), {"result": content} if content else {})

    return Side(versions, standing)


def upward(step: str, before: Side, after: Side) -> dict[str, Link]:
    found = explain_upward((step, step), before, after, unknown)
    assert found[0].step == step
    return {link.step: link for link in found}


FROM_A, FROM_B = {"x": "a.result"}, {"y": "b.result"}


def test_a_change_is_followed_to_where_it_began_and_no_further() -> None:
    before = side(z=("z", {}, "0"), a=("a1 z", {"w": "z.result"}, "1"), b=("b a1", FROM_A, "2"), c=("c b", FROM_B, "3"))
    after = side(z=("z", {}, "0"), a=("a2 z", {"w": "z.result"}, "1"), b=("b a2", FROM_A, "2"), c=("c' b", FROM_B, "4"))
    links = upward("b", before, after)
    assert list(links) == ["b", "a"]
    assert (only(links["b"].changes).upstream, only(links["b"].changes).content) == ("a", "same")
    assert (only(links["a"].changes).kind, only(links["a"].changes).upstream) == ("code", None)
    assert not links["a"].same_version


def test_a_step_that_is_reached_twice_is_told_once() -> None:
    both = {"left": "b.result", "right": "c.result"}
    before = side(a=("a1", {}, "1"), b=("b a1", FROM_A, "2"), c=("c a1", FROM_A, "3"), d=("d 1", both, "4"))
    after = side(a=("a2", {}, "9"), b=("b a2", FROM_A, "2"), c=("c a2", FROM_A, "8"), d=("d 2", both, "7"))
    assert [link.step for link in explain_upward(("d", "d"), before, after, unknown)] == ["d", "b", "c", "a"]
    assert [each.content for each in upward("d", before, after)["d"].changes] == ["same", "changed"]


def test_content_that_is_not_known_on_one_side_is_not_compared() -> None:
    before, after = side(a=("a1", {}, "1"), b=("b a1", FROM_A, "2")), side(a=("a2", {}, None), b=("b a2", FROM_A, None))
    assert only(upward("b", before, after)["b"].changes).content is None


def test_another_content_under_the_same_version_is_followed() -> None:
    before, after = side(a=("a", {}, "1"), b=("b a", FROM_A, "2")), side(a=("a", {}, "9"), b=("b a", FROM_A, "2"))
    links = upward("b", before, after)
    assert links["b"].same_version
    assert (only(links["b"].changes).how, only(links["b"].changes).content) == ("replaced", "changed")
    assert (links["a"].changes, links["a"].same_version, links["a"].known) == ((), True, True)


def test_a_step_wired_in_in_the_place_of_another_ends_the_chain() -> None:
    before = side(a=("a", {}, "1"), z=("z1", {}, "5"), b=("b a", FROM_A, "2"))
    after = side(a=("a", {}, "1"), z=("z2", {}, "6"), b=("b z", {"x": "z.result"}, "3"))
    links = upward("b", before, after)
    assert list(links) == ["b"]
    change = only(links["b"].changes)
    assert (change.before, change.after, change.upstream, change.content) == ("a.result", "z.result", None, "changed")


def test_a_step_under_another_name_is_known_by_its_version() -> None:
    before = side(a=("a1", {}, "1"), b=("b a1", FROM_A, "2"))
    after = side(renamed=("a2", {}, "9"), b=("b a2", {"x": "renamed.result"}, "3"))
    links = upward("b", before, after)
    assert (links["renamed"].step_before, only(links["renamed"].changes).kind) == ("a", "code")
    # The recipe was written when the step had its older name.
    told = side(renamed=("a1", {}, "1"), b=("b a1", {"x": "renamed.result"}, "2"))
    old_words = told.standing("b")
    assert old_words is not None
    assert old_words.recipe is not None
    parts = (old_words.recipe.parts[0], RecipePart("input", "x", old_words.recipe.parts[1].hash, "a.result"))
    kept = Standing("b a1", Recipe("b a1", parts), {"result": "2"})
    renamed = Side(told.versions, lambda key: kept if key == "b" else told.standing(key))
    change = only(upward("b", renamed, after)["b"].changes)
    assert (change.before, change.after, change.upstream) == ("renamed.result", "renamed.result", "renamed")


def test_an_input_that_came_in_or_fell_out_ends_the_chain() -> None:
    before = side(a=("a1", {}, "1"), b=("b", {}, "2"))
    after = side(a=("a2", {}, "9"), b=("b a", FROM_A, "2"))
    assert [(each.how, each.upstream) for each in upward("b", before, after)["b"].changes] == [("added", None)]
    assert [(each.how, each.upstream) for each in upward("b", after, before)["b"].changes] == [("removed", None)]


def test_a_value_that_looks_like_an_output_is_none() -> None:
    before, after = side(b=("b 1", {"x": "1.5"}, "2")), side(b=("b 2", {"x": "2.5"}, "3"))
    change = only(upward("b", before, after)["b"].changes)
    assert (change.before, change.after, change.content, change.upstream) == ("1.5", "2.5", None, None)


def test_a_step_whose_recipe_is_not_kept_is_said_to_be_unknown() -> None:
    before = side(a=("a1", {}, "1"), b=("b a1", FROM_A, "2"))
    after = side(a=("a2", {}, "9"), b=("b a2", FROM_A, "3"))
    lost = Side(before.versions, lambda key: Standing("a1") if key == "a" else before.standing(key))
    links = upward("b", lost, after)
    assert (links["b"].known, links["a"].known, links["a"].changes) == (True, False, ())


def test_a_chain_of_thousands_of_steps_is_followed() -> None:
    def line(first: str) -> Side:
        steps: dict[str, tuple[str, dict[str, str], str | None]] = {"s0": (first, {}, first)}
        for number in range(1, 3000):
            steps[f"s{number}"] = (f"s {number} {first}", {"x": f"s{number - 1}.result"}, None)
        return side(**steps)

    found = explain_upward(("s2999", "s2999"), line("v1"), line("v2"), unknown)
    assert [link.step for link in found] == [f"s{number}" for number in range(2999, -1, -1)]
    assert only(found[-1].changes).kind == "code"
