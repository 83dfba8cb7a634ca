"""Enums: what counts of them beside what Python itself keeps in them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.introspect import cached_properties, class_dict, class_mro, instance_dict

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node

_FACTS = frozenset({"_missing_", "_generate_next_value_", "_ignore_", "_boundary_"})


def is_enum(cls: type) -> bool:
    """Whether it is an enum, in whatever way derived."""
    if type(cls) is type:
        return False
    module = sys.modules.get("enum")
    return module is not None and any(base is module.EnumMeta for base in class_mro(type(cls)))


def of_the_author(cls: type, attributes: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Of an enum's attributes those that are the author's, and its members by what each is made of."""
    members = class_dict(cls).get("_member_map_") or {}
    found = [item for item in attributes if item[0] not in members and _is_the_authors(item[0])]
    made_of = [(name, (instance_dict(each) or {}).get("_value_"), *_beside(each)) for name, each in members.items()]
    return [*found, ("_member_map_", made_of)]


def expand_member(graph: Graph, node: Node, member: Any) -> None:
    """A member of an enum."""
    node.kind = "value"
    kept = instance_dict(member) or {}
    name = kept.get("_name_")
    tokens = [graph.attach(node, each) for each in (kept.get("_value_"), type(member), *_beside(member))]
    node.own = digest("member", name if type(name) is str else "", *tokens)


def _beside(member: Any) -> list[Any]:
    """What a member carries beside its name and its value."""
    kept = instance_dict(member) or {}
    derived = cached_properties(type(member))
    names = [name for name in kept if type(name) is str and not _is_bookkeeping(name) and name not in derived]
    return [part for name in sorted(names) for part in (name, kept[name])]


def _is_the_authors(name: str) -> bool:
    """Whether an enum's attribute is the author's: ``__new__`` is put there by Python, over the author's own."""
    return name in _FACTS or not _is_bookkeeping(name) or (name.startswith("__") and name != "__new__")


def _is_bookkeeping(name: str) -> bool:
    """Whether Python keeps something under this name: underscores around it are Python's to use."""
    return name.startswith("_") and name.endswith("_")
