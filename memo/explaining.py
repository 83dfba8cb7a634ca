"""Two recipes to what changed between them, with a diff of the source texts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from memo.contracts.run_store import Recipe, RecipePart

__all__ = ["Change", "explain"]

_KINDS = ("code", "config", "resource", "input", "engine")
_CONTEXT = 3
"""Lines shown around a change, as diffs have it."""


class Change(Struct, frozen=True):
    """One part of a recipe that is not what it was.

    Attributes:
        kind: `code`, `config`, `resource`, `input` or `engine`.
        name: Of the part within its kind: a function, a config path, an input.
        how: Whether it changed, came in or fell out.
        before: What there was to show of it: a value, a version; None where it was not there.
        after: The same, as it is now.
        file: For code: where it stands now, or stood.
        line: Its first line there.
        diff: For code: the unified diff of its text, with the lines numbered as in the files. Empty where a text is not
            known, or where both are the same.
        same_text: Whether both texts are known and equal, so that it is their compiled form that differs.
    """

    kind: str
    name: str
    how: Literal["changed", "added", "removed"]
    before: str | None = None
    after: str | None = None
    file: str | None = None
    line: int | None = None
    diff: str = ""
    same_text: bool = False

    @property
    def place(self) -> str:
        """Where it stands, as ``file:line``, short where it is below the current folder; empty where unknown."""
        return _place(self.file, self.line)


def explain(old: Recipe, new: Recipe, source: Callable[[str], str | None]) -> tuple[Change, ...]:
    """Say which parts of a recipe changed.

    A part that has another name and the same hash was renamed or moved, and is no change.

    Args:
        old: The recipe as it was.
        new: As it is.
        source: The text of code by its digest, None where it is not kept.

    Returns:
        The changes: code first, then config, resources and inputs. Empty where no part differs; where the versions do
        all the same, it is how memo makes them that changed.

    >>> from memo.contracts.run_store import Recipe, RecipePart
    >>> old = Recipe("v1", (RecipePart("config", "limit", "h1", "5"),))
    >>> new = Recipe("v2", (RecipePart("config", "limit", "h2", "10"),))
    >>> [(each.name, each.before, each.after) for each in explain(old, new, {}.get)]
    [('limit', '5', '10')]
    """
    pairs = _without_renames(list(_unequal(old.parts, new.parts)))
    changes = [_change(before, after, source) for before, after in pairs]
    return tuple(sorted(changes, key=lambda change: _rank(change.kind)))


def _rank(kind: str) -> int:
    return _KINDS.index(kind) if kind in _KINDS else len(_KINDS)


_Pair = tuple["RecipePart | None", "RecipePart | None"]


def _unequal(old: Iterable[RecipePart], new: Iterable[RecipePart]) -> Iterator[_Pair]:
    """Pair what has one name; several parts may share it, as two lambdas do."""
    befores, afters = _by_name(old), _by_name(new)
    for at in {**afters, **befores}:
        before = befores.get(at, [])
        after = afters.get(at, [])
        gone = _less(before, after)
        come = _less(after, before)
        for index in range(max(len(gone), len(come))):
            yield (
                gone[index] if index < len(gone) else None,
                come[index] if index < len(come) else None,
            )


def _by_name(parts: Iterable[RecipePart]) -> dict[tuple[str, str], list[RecipePart]]:
    found: dict[tuple[str, str], list[RecipePart]] = {}
    for part in parts:
        found.setdefault((part.kind, part.name), []).append(part)
    return found


def _less(these: list[RecipePart], those: list[RecipePart]) -> list[RecipePart]:
    """These without as many of each hash as those have."""
    hashes = [part.hash for part in those]
    left: list[RecipePart] = []
    for part in these:
        if part.hash in hashes:
            hashes.remove(part.hash)
        else:
            left.append(part)
    return left


def _without_renames(pairs: list[_Pair]) -> list[_Pair]:
    """Leave out code that went under one name and came under another: names are in no version."""
    from collections import Counter

    gone = Counter(_nameless(before) for before, after in pairs if before is not None and after is None)
    come = Counter(_nameless(after) for before, after in pairs if after is not None and before is None)
    renamed = {"gone": gone & come, "come": gone & come}
    kept: list[_Pair] = []
    for before, after in pairs:
        part = before or after
        side = renamed["gone" if after is None else "come"]
        if part is not None and (before is None or after is None) and part.file and side[_nameless(part)]:
            side[_nameless(part)] -= 1
        else:
            kept.append((before, after))
    return kept


def _nameless(part: RecipePart) -> tuple[str, str, str]:
    resource = part.name.partition(": ")[0] if part.kind == "resource" else ""
    return part.kind, resource, part.hash


def _change(before: RecipePart | None, after: RecipePart | None, source: Callable[[str], str | None]) -> Change:
    part = after or before
    assert part is not None
    if before is None or after is None:
        return Change(
            part.kind,
            part.name,
            "removed" if after is None else "added",
            before.detail if before else None,
            after.detail if after else None,
            part.file,
            part.line,
        )
    old_text = source(before.source_digest) if before.source_digest else None
    new_text = source(after.source_digest) if after.source_digest else None
    known = old_text is not None and new_text is not None
    return Change(
        part.kind,
        part.name,
        "changed",
        before.detail,
        after.detail,
        part.file,
        part.line,
        _diff(before, after, old_text, new_text) if old_text is not None and new_text is not None else "",
        known and old_text == new_text,
    )


def _diff(before: RecipePart, after: RecipePart, old_text: str, new_text: str) -> str:
    """Write a unified diff whose line numbers are those of the files that the texts stand in."""
    from difflib import SequenceMatcher

    old, new = old_text.splitlines(), new_text.splitlines()
    old_first, new_first = before.line or 1, after.line or 1
    out: list[str] = []
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT):
        old_from, old_to = group[0][1], group[-1][2]
        new_from, new_to = group[0][3], group[-1][4]
        out.append(
            f"@@ -{_range(old_first, old_from, old_to)} +{_range(new_first, new_from, new_to)} @@",
        )
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                out += [f" {line}" for line in old[i1:i2]]
            else:
                out += [f"-{line}" for line in old[i1:i2]]
                out += [f"+{line}" for line in new[j1:j2]]
    if not out:
        return ""
    head = [
        f"--- {_place(before.file, None) or before.name} (before)",
        f"+++ {_place(after.file, None) or after.name} (now)",
    ]
    return "\n".join([*head, *out])


def _range(first: int, start: int, stop: int) -> str:
    # As diff has it: an empty range is named by the line before it.
    length = stop - start
    return f"{first + start - (0 if length else 1)},{length}"


def _place(file: str | None, line: int | None) -> str:
    if file is None:
        return ""
    short = file.removeprefix(os.getcwd() + os.sep)
    return f"{short}:{line}" if line is not None else short
