"""Changes in words and as JSON: those of a step, and of the steps above it in which they began."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.cli.text import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memo.explaining import Change, Link

_PASSING_ON = 12
"""How many of the steps are shown that only pass on what changed above them."""


def link_lines(links: tuple[Link, ...], when: str, say: Callable[[Link], str]) -> Iterator[str]:
    """Tell what changed in a step and in those above it.

    Args:
        links: The step, then those above it.
        when: Since when, or between what.
        say: What else to say of a step above.
    """
    yield _head(links[0], when)
    for change in links[0].changes:
        yield from change_lines(change)
    passing = [link for link in links[1:] if link.changes and all(change.upstream for change in link.changes)]
    left_out = {link.step for link in passing[_PASSING_ON:]}
    for link in links[1:]:
        if link.step in left_out:
            continue
        named = "" if link.step_before == link.step else f", which was {link.step_before!r}"
        yield f"upstream step {link.step!r}{named}: {say(link)}"
        if not link.known or not link.changes:
            yield f"  {_without_changes(link)}"
        for change in link.changes:
            yield from change_lines(change)
    if left_out:
        yield f"and {many(len(left_out), 'more upstream step')}, in which nothing changed but such inputs"


def _head(first: Link, when: str) -> str:
    if first.changes:
        return f"what changed {when}:"
    if first.known and first.same_version:
        return f"nothing changed in its recipe {when}"
    return f"{_without_changes(first)}, {when}"


def _without_changes(link: Link) -> str:
    if not link.known:
        return "what it was made of is not kept on both sides, and what changed cannot be told"
    if link.same_version:
        return "nothing changed in its recipe: it is not deterministic, or reads what its version does not cover"
    return "no part of its recipe changed, but what versions are made of, in memo itself"


def change_lines(change: Change) -> Iterator[str]:
    """Tell of one change, with its diff."""
    yield f"  {change.kind} {change.name}{_what(change)}{f'  ({change.place})' if change.place else ''}"
    if change.same_text:
        yield "    its text is the same: what it is compiled to is not, as under another Python"
    yield from (f"    {_diff_line(line)}" for line in change.diff.splitlines())


def _what(change: Change) -> str:
    """From what to what."""
    if change.kind == "input":
        return _what_input(change)
    if change.how == "added":
        return f": {change.after}, not reached before" if change.after else ": not reached before"
    if change.how == "removed":
        return f": {change.before}, no longer reached" if change.before else ": no longer reached"
    if change.before != change.after:
        return f": {change.before or 'nothing'} -> {change.after or 'nothing'}"
    return f": {change.after}, changed" if change.after and not change.diff else ""


def _what_input(change: Change) -> str:
    content = {"same": ", of the same content", "changed": ", of other content", None: ""}[change.content]
    if change.how == "replaced":
        return f": still {change.after}, of the same version{content}"
    if change.how == "added":
        return f": {change.after}, new"
    if change.how == "removed":
        return f": {change.before}, no longer there"
    if change.before != change.after:
        return f": {change.before or 'nothing'} -> {change.after or 'nothing'}{content}"
    return f": still {change.after}, of another version{content}"


def _diff_line(line: str) -> str:
    import sys

    from memo.cli.text import styled

    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return styled(line, style, sys.stdout)


def links_json(links: tuple[Link, ...], more: Callable[[Link], dict[str, Any]]) -> dict[str, Any]:
    """What programs read: the changes of the step, and the steps above it, each with what more there is to it."""
    return {
        "changes": [change_json(each) for each in links[0].changes] if links and links[0].known else None,
        "upstream": [
            {
                "step": link.step,
                "step_before": link.step_before,
                "same_version": link.same_version,
                **more(link),
                "changes": [change_json(each) for each in link.changes] if link.known else None,
            }
            for link in links[1:]
        ],
    }


def change_json(change: Change) -> dict[str, Any]:
    """One change, by the names of its fields."""
    return {name: getattr(change, name) for name in change.__struct_fields__}
