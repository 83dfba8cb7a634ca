"""Names, docs and annotations: they count only for an op whose code looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.flags import ANNOTATIONS, DOCS, MODULES, NAMES
from memo_strategies.introspect import (
    ATOMS,
    class_dict,
    class_module,
    class_qualname,
    instance_dict,
    is_class,
    type_label,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo_strategies.graph import Node


def reflected(nodes: Iterable[Node], flags: int) -> str:
    """Hash what reflection can see of the functions and classes among these.

    Args:
        nodes: In the order they are reached.
        flags: What is looked at, as `memo_strategies.flags`.
    """
    found: list[str] = []
    for node in nodes:
        if node.kind == "function":
            function = node.obj
            found.append(
                _seen(flags, function.__qualname__, function.__module__, function.__doc__, function.__annotations__)
            )
        elif node.kind == "class":
            own = class_dict(node.obj)
            names = class_qualname(node.obj), class_module(node.obj)
            found.append(_seen(flags, *names, own.get("__doc__"), own.get("__annotations__")))
    return digest("reflected", *found)


def _seen(flags: int, name: Any, module: Any, doc: Any, annotations: Any) -> str:
    return digest(
        "seen",
        _text(name) if flags & NAMES else "",
        _text(module) if flags & MODULES else "",
        _text(doc) if flags & DOCS else "",
        _annotations(annotations) if flags & ANNOTATIONS else "",
    )


def _annotations(annotations: Any) -> str:
    if type(annotations) is not dict:
        return ""
    texts = [text for name, value in annotations.items() for text in (str(name), _annotation(value, 8))]
    return digest("annotations", *texts)


def _annotation(value: Any, depth: int) -> str:
    """Write an annotation out as far as that needs no code of the user's."""
    if id(type(value)) in ATOMS:
        return repr(value)
    if is_class(value):
        return f"{class_module(value)}.{class_qualname(value)}"
    if (type(value) is list or type(value) is tuple) and depth:
        return f"[{', '.join(_annotation(each, depth - 1) for each in value)}]"
    if class_module(type(value)) in {"typing", "types", "builtins"} and depth:
        kept = instance_dict(value) or {}
        origin = kept.get("__origin__") or getattr(value, "__origin__", None)
        arguments = kept.get("__args__") or getattr(value, "__args__", ())
        name = kept.get("_name") or getattr(value, "__name__", "")
        return f"{type_label(value)} {name} {_annotation(origin, depth - 1)} {_annotation(arguments, depth - 1)}"
    return type_label(value)


def _text(value: Any) -> str:
    return value if type(value) is str else type_label(value)
