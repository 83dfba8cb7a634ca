"""Instances that pickling cannot write: by their attributes, and by what the garbage collector finds in them."""

from __future__ import annotations

import gc
import re
import sys
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any

from memo_strategies.accessors import BUILT_IN, accessor_of
from memo_strategies.introspect import (
    ATOMS,
    cached_properties,
    class_dict,
    class_module,
    class_mro,
    class_name,
    hides_state,
    ids,
    instance_dict,
    is_class,
    is_heap_type,
    slot_descriptors,
    type_label,
)

if TYPE_CHECKING:
    from memo_strategies.graph import Graph, Node

UNTOUCHABLE = frozenset({
    "builtins.async_generator", "builtins.coroutine", "builtins.frame", "builtins.generator", "builtins.traceback",
    "builtins.weakcallableproxy", "builtins.weakproxy", "weakref.CallableProxyType", "weakref.ProxyType",
})  # fmt: skip
"""Types whose instances are code that is running, or hand whatever they are asked on to something else."""

_SILENT = frozenset({
    "_thread.lock", "_thread.RLock", "threading.Event", "threading.Condition", "threading.Semaphore",
    "threading.BoundedSemaphore", "threading.Barrier", "logging.Logger", "logging.RootLogger", "logging.LoggerAdapter",
    "builtins.object", "typing.TypeVar", "typing.ParamSpec", "typing.TypeVarTuple",
})  # fmt: skip
"""Types of the standard library whose state no result should depend on: their type alone counts."""

_OPEN = frozenset({
    "_asyncio", "_io", "_multiprocessing", "_socket", "_ssl", "asyncio", "concurrent", "logging", "mmap",
    "multiprocessing", "select", "selectors", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading",
})  # fmt: skip
"""Modules of Python's whose instances are open files, connections, threads and processes: what these hold says where
and when the process runs."""

_CONNECTED = frozenset({
    "_io.BufferedRandom", "_io.BufferedReader", "_io.BufferedWriter", "_io.FileIO", "_io.TextIOWrapper",
    "socket.socket", "ssl.SSLSocket", "subprocess.Popen",
})  # fmt: skip
"""What makes of an object that has it an open one, too."""

_SEEN_WHOLE = frozenset({
    "_json.Encoder", "_json.Scanner", "builtins.dict_items", "builtins.dict_keys", "builtins.dict_values",
    "builtins.odict_items", "builtins.odict_keys", "builtins.odict_values", "functools.KeyWrapper", "numpy.ufunc",
    "re.Match",
})  # fmt: skip
"""Compiled types that hold nothing beside what the garbage collector finds."""

_OF_THE_PROCESS = frozenset({"_pid", "pid"})
"""Attributes by which clients notice that their process was forked."""

_MADE_ANEW = r"[0-9a-f]{8}[0-9a-f-]*"
"""What clients call themselves by, in private attributes whose names end with ``id``."""

_FUNCTIONS = ids(FunctionType, BuiltinFunctionType, MethodType)


def is_silent(value: Any) -> bool:
    """Whether the type of a thing is all that counts of it."""
    return type_label(value) in _SILENT


def content_of(graph: Graph, node: Node, value: Any) -> list[str]:
    """Attach what can be found in an instance of a class that is not the user's, and note where there may be more."""
    kind = type(value)
    tokens = [] if type_label(value) in UNTOUCHABLE else _wrapped(graph, node, value)
    if tokens:
        return tokens
    kept = _kept(value)
    if any(map(_is_open, class_mro(kind))) or any(type_label(each) in _CONNECTED for _, each in kept):
        node.note(_NOT_SEEN.format(type_label(value)))
        return []
    tokens = [f"class {graph.attach(node, kind)}"]
    if graph.space_of_class(kind).owner == "installed":
        tokens += [f"{name} {_told(graph, node, each)}" for name, each in kept]
    else:
        tokens += [f"{name} {graph.attach(node, each)}" for name, each in kept]
    for base in class_mro(kind)[:-1]:
        read = BUILT_IN.get(id(base)) or accessor_of(base)
        if read is not None:
            return [*tokens, f"{class_name(base)} {graph.attach(node, read(value))}"]
        if hides_state(base):
            return tokens + _hidden(graph, node, value)
    return tokens


def _told(graph: Graph, node: Node, value: Any) -> str:
    """An attribute of a distribution's object, as far as pickling can write it.

    What it cannot write is what such an object works with, as pools and caches: it differs from use to use.
    """
    is_known = is_silent(value) or accessor_of(type(value)) is not None
    if is_known or id(type(value)) in _PLAIN_BUT_CONTAINERS or _is_users(graph, value):
        return graph.attach(node, value)
    from memo_strategies.foreign import pickled

    held = pickled(value)
    if held is not None:
        return f"{held.digest} {''.join([graph.attach(node, each) for each in held.objects])}"
    node.note(_NOT_SEEN.format(f"{type_label(node.obj)} with a {type_label(value)}"))
    users = users_things(graph, value)
    return f"{type_label(value)} {''.join([graph.attach(node, each) for each in users])}"


def hidden_content(graph: Graph, node: Node, value: Any) -> list[str]:
    """The same for what an instance of a class of the user's holds as a child of a compiled class."""
    kind = type(value)
    for base in class_mro(kind):
        read = accessor_of(base)
        if read is not None:
            return [f"read {graph.attach(node, read(value))}"]
    tokens = _wrapped(graph, node, value)
    if tokens:
        return tokens
    if any(map(_is_open, class_mro(kind))):
        node.note(_NOT_SEEN.format(type_label(value)))
        return []
    return _hidden(graph, node, value)


def _hidden(graph: Graph, node: Node, value: Any) -> list[str]:
    """What the garbage collector finds that no attribute shows."""
    kind, kept = type(value), instance_dict(value) or {}
    met = {id(kind), id(kept), *map(id, dict.values(kept)), *(id(each) for _, each in _in_slots(value))}
    if type_label(value) not in _SEEN_WHOLE:
        node.note(_NOT_SEEN.format(type_label(value)))
    return [graph.attach(node, each) for each in gc.get_referents(value) if id(each) not in met]


_NOT_SEEN = "a {}, which cannot be looked into"


def users_things(graph: Graph, value: Any) -> list[Any]:
    """The functions, classes and instances of the user's that an instance has, whatever it says when it is pickled."""
    kept = [value, *dict.values(instance_dict(value) or {})]
    kept += [each for _, each in _in_slots(value)] if graph.slots_of(type(value)) else []
    for each in list(kept):
        if type(each) is dict:
            kept += each.values()
        elif type(each) is list or type(each) is tuple:
            kept += each
    return [each for each in kept[1:_MOST] if id(type(each)) not in _PLAIN and _is_users(graph, each)]


_MOST = 1000
_PLAIN = ATOMS | ids(list, tuple, dict)
_PLAIN_BUT_CONTAINERS = ATOMS | _FUNCTIONS


def _is_users(graph: Graph, value: Any) -> bool:
    if type(value) is MethodType:
        value = value.__func__
    if type(value) is FunctionType:
        return graph.space(value.__globals__).owner == "user"
    kind = value if is_class(value) else type(value)
    return is_heap_type(kind) and graph.space_of_class(kind).owner == "user"


def _kept(value: Any) -> list[tuple[str, Any]]:
    """The attributes that an instance has of its own, by name."""
    found = dict(_in_slots(value))
    found.update(dict.items(instance_dict(value) or {}))
    left_out = cached_properties(type(value))
    streams = {id(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)}
    kept = [(name, each) for name, each in found.items() if type(name) is str and name not in left_out]
    return sorted([item for item in kept if id(item[1]) not in streams and not _is_of_the_process(*item)], key=_first)


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def _in_slots(value: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, slot in reversed(slot_descriptors(type(value))):
        try:
            found.append((name, slot.__get__(value)))
        except Exception:  # noqa: BLE001, S112 - it is empty, or compiled code does not give it
            continue
    return found


def _is_of_the_process(name: str, value: Any) -> bool:
    """Whether an attribute says which process this is, or is made anew in each."""
    if name in _OF_THE_PROCESS or is_program(name, value):
        return True
    if not name.startswith("_") or not name.endswith("id"):
        return False
    return type_label(value) == "uuid.UUID" or (type(value) is str and re.fullmatch(_MADE_ANEW, value) is not None)


def is_program(name: str, value: Any) -> bool:
    """Whether an attribute is the name that the process was started by, as `argparse` puts it in its help."""
    if name not in _PROGRAM or type(value) is not str or not sys.argv:
        return False
    program = sys.argv[0].rpartition("/")[2]
    return value == program or value.startswith(f"{program} ")


_PROGRAM = frozenset({"_prog_prefix", "prog"})


def _is_open(kind: type) -> bool:
    return f"{class_module(kind)}.{class_name(kind)}" in UNTOUCHABLE or class_module(kind).partition(".")[0] in _OPEN


def _wrapped(graph: Graph, node: Node, value: Any) -> list[str]:
    """The functions behind a wrapper that shows nothing else, as those of ``wrapt`` do."""
    found: list[str] = []
    for name in ("__wrapped__", "_self_wrapper"):
        inner = _attribute(graph, value, name)
        if id(type(inner)) in _FUNCTIONS or is_class(inner):
            found.append(f"{name} {graph.attach(node, inner)}")
    return found


def _attribute(graph: Graph, value: Any, name: str) -> Any:
    """An attribute that is there without code of the user's being asked."""
    kept = instance_dict(value) or {}
    if name in kept:
        return kept[name]
    for base in class_mro(type(value)):
        if name in class_dict(base) and (not is_heap_type(base) or graph.space_of_class(base).owner != "user"):
            try:
                return class_dict(base)[name].__get__(value, type(value))
            except Exception:  # noqa: BLE001 - an object of any distribution may raise anything
                return None
    return None
