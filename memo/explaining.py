"""Two recipes to what changed between them, with a diff of the source texts; and up from a step to where it began."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from memo.versioning import output_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from memo.contracts.run_store import Recipe, RecipePart, Standing

__all__ = ["Change", "Link", "Side", "compare_contents", "explain", "explain_upward"]

BEFORE_AND_NOW = ("before", "now")

_KINDS = ("code", "config", "resource", "input", "engine")
_CONTEXT = 3
"""Lines shown around a change, as diffs have it."""


class Change(Struct, frozen=True):
    """One part of a recipe that is not what it was.

    Attributes:
        kind: `code`, `config`, `resource`, `input` or `engine`.
        name: Of the part within its kind: a function, a config path, an input.
        how: Whether it changed, came in or fell out; `replaced` for an input of the same version and another content.
        before: What there was to show of it: a value, a version; None where it was not there.
        after: The same, as it is now.
        file: For code: where it stands now, or stood.
        line: Its first line there.
        diff: For code: the unified diff of its text, with the lines numbered as in the files. Empty where a text is not
            known, or where both are the same.
        same_text: Whether both texts are known and equal, so that it is their compiled form that differs.
        content: For an input that comes from a step: whether what it was given has the same content; None where that
            is not known.
        upstream: For an input: the step above in which the change goes on; None where it ends here.
    """

    kind: str
    name: str
    how: Literal["changed", "added", "removed", "replaced"]
    before: str | None = None
    after: str | None = None
    file: str | None = None
    line: int | None = None
    diff: str = ""
    same_text: bool = False
    content: Literal["same", "changed"] | None = None
    upstream: str | None = None

    @property
    def place(self) -> str:
        """Where it stands, as ``file:line``, short where it is below the current folder; empty where unknown."""
        return _place(self.file, self.line)


def explain(
    old: Recipe,
    new: Recipe,
    source: Callable[[str], str | None],
    *,
    labels: tuple[str, str] = BEFORE_AND_NOW,
) -> tuple[Change, ...]:
    """Say which parts of a recipe changed.

    A part that has another name and the same hash was renamed or moved, and is no change.

    Args:
        old: The recipe as it was.
        new: As it is.
        source: The text of code by its digest, None where it is not kept.
        labels: What the old and the new text are called at the head of a diff.

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
    changes = [_change(before, after, source, labels) for before, after in pairs]
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


def _change(
    before: RecipePart | None,
    after: RecipePart | None,
    source: Callable[[str], str | None],
    labels: tuple[str, str],
) -> Change:
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
        _diff(before, after, old_text, new_text, labels) if old_text is not None and new_text is not None else "",
        known and old_text == new_text,
    )


def _diff(before: RecipePart, after: RecipePart, old_text: str, new_text: str, labels: tuple[str, str]) -> str:
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
        f"--- {_place(before.file, None) or before.name} ({labels[0]})",
        f"+++ {_place(after.file, None) or after.name} ({labels[1]})",
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


class Side:
    """One of the two states of a job that are compared: a run of the past, or the present.

    Args:
        versions: Step key -> version.
        standing: How a step stands there; None where there is no such step.
    """

    def __init__(self, versions: Mapping[str, str], standing: Callable[[str], Standing | None]) -> None:
        self.versions = versions
        self._standing = standing
        self._standings: dict[str, Standing | None] = {}
        self._giver: dict[str, dict[str, str]] = {}

    def standing(self, step_key: str) -> Standing | None:
        """How a step stands here, asked for once."""
        if step_key not in self._standings:
            self._standings[step_key] = self._standing(step_key)
        return self._standings[step_key]

    def giver(self, part: RecipePart | None) -> tuple[str, str] | None:
        """The step and output that an input of this side came from; None where it came from no step.

        What it was called when the recipe was written may be called something else here: the version tells.
        """
        if part is None or "." not in part.detail:
            return None
        key, _, output = part.detail.rpartition(".")
        version = self.versions.get(key)
        if version is not None and output_version(version, output) == part.hash:
            return key, output
        if output not in self._giver:
            self._giver[output] = {output_version(found, output): key for key, found in self.versions.items()}
        renamed = self._giver[output].get(part.hash)
        return None if renamed is None else (renamed, output)

    def content(self, giver: tuple[str, str] | None) -> str | None:
        """The digest of what an output gave."""
        found = self.standing(giver[0]) if giver is not None else None
        return found.contents.get(giver[1]) if found is not None and giver is not None else None


class Link(Struct, frozen=True):
    """One step on the way from a step up to where its change began.

    Attributes:
        step: Its key.
        step_before: Its key on the older side, which is another where it was renamed.
        same_version: Whether it stands under one version on both sides.
        known: Whether both recipes are kept. Where not, nothing is known to have changed.
        changes: What changed in it; an input's change names the link that it goes on in.
    """

    step: str
    step_before: str
    same_version: bool
    known: bool
    changes: tuple[Change, ...]


def explain_upward(
    step: tuple[str, str],
    before: Side,
    after: Side,
    source: Callable[[str], str | None],
    *,
    labels: tuple[str, str] = BEFORE_AND_NOW,
) -> tuple[Link, ...]:
    """Follow what changed in a step up through its inputs, to the steps whose own code, config or resources changed.

    An input is followed where the step that it comes from stands under another version, or gave another content under
    the same one, as a step may that was forced and is not deterministic.

    Args:
        step: Its key on the older and on the newer side.
        before: The older side.
        after: The newer side.
        source: The text of code by its digest, None where it is not kept.
        labels: What the sides are called in diffs.

    Returns:
        The step itself, then those above it, the nearest first, each once.
    """
    links: dict[tuple[str, str], Link] = {}
    todo = deque([step])
    while todo:
        pair = todo.popleft()
        if pair in links:
            continue
        old, new = before.standing(pair[0]), after.standing(pair[1])
        same = old is not None and new is not None and old.version == new.version
        if old is None or new is None or old.recipe is None or new.recipe is None:
            links[pair] = Link(pair[1], pair[0], same, False, ())
            continue
        found = explain(old.recipe, new.recipe, source, labels=labels)
        changes = [each for each in found if each.kind != "input"]
        for change, above in _input_changes(old.recipe, new.recipe, found, before, after):
            changes.append(change)
            if above is not None:
                todo.append(above)
        links[pair] = Link(pair[1], pair[0], same, True, tuple(changes))
    return tuple(links.values())


def _input_changes(
    old: Recipe,
    new: Recipe,
    found: tuple[Change, ...],
    before: Side,
    after: Side,
) -> Iterator[tuple[Change, tuple[str, str] | None]]:
    """The changes of a step's inputs, each with the step above that it goes on in, by its key on either side."""
    changed = {each.name: each for each in found if each.kind == "input"}
    olds = {part.name: part for part in old.parts if part.kind == "input"}
    news = {part.name: part for part in new.parts if part.kind == "input"}
    for name in {**news, **olds}:
        givers = before.giver(olds.get(name)), after.giver(news.get(name))
        contents = before.content(givers[0]), after.content(givers[1])
        content = compare_contents(*contents)
        change = changed.get(name)
        if change is None:
            if content != "changed":
                continue
            shown = news[name].detail
            change = Change("input", name, "replaced", shown, shown)
        above = _one_step(givers, before, after)
        goes_on = above is not None and (before.versions[above[0]] != after.versions[above[1]] or content == "changed")
        yield (
            replace(
                change,
                before=".".join(givers[0]) if givers[0] is not None else change.before,
                after=".".join(givers[1]) if givers[1] is not None else change.after,
                content=content,
                upstream=above[1] if above is not None and goes_on else None,
            ),
            above if goes_on else None,
        )


def _one_step(
    givers: tuple[tuple[str, str] | None, tuple[str, str] | None],
    before: Side,
    after: Side,
) -> tuple[str, str] | None:
    """The step that an input came from, where it is one and the same on both sides: no other was wired in."""
    if givers[0] is None or givers[1] is None:
        return None
    old, new = givers[0][0], givers[1][0]
    renamed = old not in after.versions and new not in before.versions
    return (old, new) if old == new or renamed else None


def compare_contents(before: str | None, after: str | None) -> Literal["same", "changed"] | None:
    """Compare two digests of contents; None where one of them is not known."""
    if before is None or after is None:
        return None
    return "same" if before == after else "changed"
