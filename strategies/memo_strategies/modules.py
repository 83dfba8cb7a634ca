"""Modules of the user's that count whole, because they are handed on, or looked into by names made at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.dynamic import MODULE_FACTS
from memo_strategies.flags import REBINDS
from memo_strategies.functions import compiled
from memo_strategies.introspect import is_module, module_dict

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node, Space


_SKIPPED = MODULE_FACTS | {
    "__annotations__", "__doc__", "__warningregistry__", "__", "___",
}  # fmt: skip
"""What Python keeps in a module by itself, and notebooks: what was shown before."""


def expand_module(graph: Graph, node: Node, module: object) -> None:
    """A module as a value: the user's counts whole, others by their name."""
    expand_space(graph, node, graph.space(module_dict(module)))


def expand_space(graph: Graph, node: Node, space: Space) -> None:
    """Everything that a namespace holds, but for what says where it is."""
    node.space = space
    node.given_name = space.name
    if space.owner != "user":
        node.edges.extend(("", package) for package in space.packages)
        node.own = digest("foreign module", space.module)
        return
    node.kind = "module"
    node.flags |= REBINDS  # whoever has it may assign its attributes
    node.root = space.root
    tokens: list[str] = []
    for name, value in sorted(item for item in list(dict.items(space.namespace)) if type(item[0]) is str):
        if name in _SKIPPED:
            continue
        if _is_below(space, value):
            node.note(f"the package {space.name} as a whole, without its submodules")
            continue
        tokens.append(f"{name} {graph.attach(node, value, f'{space.name}.{name}')}")
    if space.file is not None and not space.file.endswith((".py", ".pyc", ".ipynb")):
        tokens += compiled(graph, node, space.module)
    node.own = digest("module", *tokens)


def _is_below(space: Space, value: Any) -> bool:
    """Whether it is a module within this package: whether it is there depends on who imported it before."""
    if not is_module(value):
        return False
    name = module_dict(value).get("__name__")
    return type(name) is str and name.startswith(f"{space.module}.")
