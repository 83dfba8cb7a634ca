"""What is well known by its name: functions and classes that are not the user's."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from memo.hashing import digest
from memo.ownership import owner_of_module
from memo_strategies.graph import Node
from memo_strategies.introspect import (
    MISSING,
    class_dict,
    class_module,
    class_qualname,
    is_class,
    is_heap_type,
    is_module,
    module_dict,
)

if TYPE_CHECKING:
    from types import CodeType

    from memo_strategies.graph import Graph, Space


_known: dict[str, Node] = {}
"""Nodes outlive a plan here: there is nothing to them but their names."""


def known_as(name: str) -> Node:
    """The node of what counts by its name alone."""
    found = _known.get(name)
    if found is None:
        hashed = digest("named", name)
        found = _known[name] = Node(None, given_name=name, own=hashed, full=hashed, index=1)
    return found


def qualified_name(obj: Any) -> str:
    """The dotted name by which something that is not the user's counts; empty for what has none."""
    if type(obj) is FunctionType:
        return f"{dict.get(obj.__globals__, '__name__')}.{obj.__code__.co_qualname}"
    if type(obj) is BuiltinFunctionType:
        return f"{obj.__module__ or 'builtins'}.{obj.__qualname__}"
    if is_class(obj):
        return f"{class_module(obj)}.{class_qualname(obj)}"
    return ""


def offering(method: Any) -> str:
    """Name the module that offers a method of a hidden instance as a function of its own; empty where none does.

    So ``random.random`` and ``numpy.random.rand``, whose generators move on with every call.
    """
    home = class_module(type(method.__self__))
    module = sys.modules.get(home)
    if not is_module(module) or owner_of_module(home) not in {"stdlib", "installed"}:
        return ""
    return home if dict.get(module_dict(module), method.__name__) is method else ""


def made_at_run_time(code: CodeType) -> bool:
    """Whether the code is from no file: whoever's globals it has, the user may have had it made."""
    return code.co_filename.startswith("<") and not code.co_filename.startswith("<frozen ")


def is_known_function(function: FunctionType, space: Space) -> bool:
    """Whether the name of a function in a module leads to it, and nothing was hung onto it."""
    if function.__closure__ or function.__dict__ or made_at_run_time(function.__code__):
        return False
    return _leads_to(function, function.__code__.co_qualname, space)


def counts_by_name(graph: Graph, cls: type, space: Space) -> bool:
    """Whether a class is well known by its name: it is not the user's, and the name leads to it."""
    if not is_heap_type(cls):
        return True
    return space.owner != "user" and _leads_to(cls, class_qualname(cls), space) and not _holds_code_of_user(graph, cls)


def _leads_to(obj: Any, name: str, space: Space) -> bool:
    found: Any = MISSING
    namespace: Any = space.namespace
    for step in name.split("."):
        found = namespace.get(step, MISSING)
        if is_class(found):
            namespace = class_dict(found)
        elif is_module(found):
            namespace = module_dict(found)
        else:
            break
    return found is obj


def _holds_code_of_user(graph: Graph, cls: type) -> bool:
    """Whether a method is from a file of the user's, whatever the class says of itself."""
    return any(
        "__file__" in value.__globals__ and graph.space(value.__globals__).owner == "user"
        for value in class_dict(cls).values()
        if type(value) is FunctionType
    )
