"""Names, docs and annotations: they count only for an op whose code looks at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo_strategies.annotations import Annotation
from memo_strategies.code_reader import looked_into
from memo_strategies.flags import ANNOTATIONS, DOCS, MODULES, NAMES, TEXTS, VARIABLES
from memo_strategies.introspect import (
    ATOMS,
    class_dict,
    class_module,
    class_qualname,
    instance_dict,
    is_class,
    type_label,
)
from memo_strategies.walking import walk

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node
    from memo_strategies.source_text import SourceTexts


def reflected(graph: Graph, starts: list[Node], flags: int, texts: SourceTexts) -> str:
    """Hash what reflection can see of the functions and classes that are reached.

    Args:
        graph: Where what annotations name is looked up.
        starts: From where they are reached.
        flags: What is looked at, as `memo_strategies.flags`.
        texts: Where source texts come from.
    """
    found: list[str] = []
    annotations: list[Node] = []
    seen: set[int] = set()
    while True:
        new = [node for node in walk(starts + annotations) if id(node) not in seen]
        if not new:
            return digest("reflected", *found, *[node.full for node in annotations])
        for node in new:
            seen.add(id(node))
            found += _seen(node, flags, texts)
            if flags & ANNOTATIONS:
                annotations += _followed(graph, node)


def _seen(node: Node, flags: int, texts: SourceTexts) -> list[str]:
    """What can be seen of one function or class."""
    if node.kind == "function" and node.code is not None:
        function = node.obj
        name, doc, annotations = function.__qualname__, function.__doc__, function.__annotations__
        module = function.__module__
        found = [looked_into(node.code, flags & _WITHIN)]
        text = texts.of_code(node.code) if flags & TEXTS else ""
    elif node.kind == "class":
        own = class_dict(node.obj)
        name, module = class_qualname(node.obj), class_module(node.obj)
        doc, annotations = own.get("__doc__"), own.get("__annotations__")
        found = [_annotation(own.get("__orig_bases__"), 8)] if flags & ANNOTATIONS else []
        file = None if node.space is None else node.space.file
        text = texts.of_class(node.obj, file) if flags & TEXTS and file is not None else ""
    else:
        return []
    return [
        *found,
        _text(name) if flags & NAMES else "",
        _text(module) if flags & MODULES else "",
        _text(doc) if flags & DOCS else "",
        _annotations(annotations) if flags & ANNOTATIONS else "",
        text or "",
    ]


_WITHIN = NAMES | DOCS | ANNOTATIONS | VARIABLES


def _followed(graph: Graph, node: Node) -> list[Node]:
    """What the annotations of a function or class stand for."""
    if node.space is None or node.kind not in {"function", "class"}:
        return []
    names = class_dict(node.obj) if node.kind == "class" else {}
    annotations = names.get("__annotations__") if node.kind == "class" else node.obj.__annotations__
    if type(annotations) is not dict:
        return []
    return [graph.settled(Annotation(value, node.space, names)) for value in annotations.values()]


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
