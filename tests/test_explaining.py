from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from memo.contracts.run_store import Recipe, RecipePart
from memo.explaining import Change, explain

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
