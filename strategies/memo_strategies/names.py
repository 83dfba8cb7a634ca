"""What the names that code loads stand for: globals, attributes of modules, imports in bodies."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import BuiltinFunctionType, FunctionType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.ownership import owner_of_module, owner_of_namespace
from memo_strategies.body_imports import ImportedName
from memo_strategies.dynamic import IMPORTERS, MODULE_FACTS, reflection, what_cannot_be_followed
from memo_strategies.graph import Node
from memo_strategies.introspect import MISSING, class_module, class_qualname, is_class, is_module, module_dict

if TYPE_CHECKING:
    from memo.ownership import Owner
    from memo_strategies.code_objects import Hole
    from memo_strategies.graph import Graph, Space


SPECIAL = {
    id(sys.modules): "sys.modules",
    id(sys.argv): "sys.argv",
    id(sys.path): "sys.path",
    id(os.environ): "os.environ",
    id(os.environb): "os.environb",
}
"""Values of the interpreter's own that count by their name: they are as long-lived as the process."""


_builtins_of: Any = vars(FunctionType)["__builtins__"].__get__


class Filling(Struct):
    """What a name stands for.

    Attributes:
        token: What counts of it in the hash of the code that loads it, beside the edges.
        edges: What it leads to.
        notes: What about it cannot be followed.
        flags: What it looks at in other things, as `memo_strategies.flags`.
        special: Whether there is more to it than the token and the edges.
    """

    token: str = ""
    edges: list[tuple[str, Node]] = []
    notes: list[str] = []
    flags: int = 0
    special: bool = False


def fill(graph: Graph, hole: Hole, function: FunctionType, space: Space) -> Filling:
    """Find what a hole in a function's code stands for: the same for all code that runs in one space."""
    search = _Search(graph, space, hole.argument)
    filling = search.filling
    name = hole.name
    if hole.imported is not None:
        filling.token = search.imported(hole.imported, hole.attributes)
    elif name in MODULE_FACTS or (hole.local_first and name == "__annotations__"):
        filling.token = _with(f"fact {name}", hole.attributes)
    else:
        # dict.get, because a namespace may be of a class of the user's.
        found = dict.get(space.namespace, name, MISSING)
        if found is MISSING:
            found = dict.get(_builtins_of(function), name, MISSING)
        if found is not MISSING:
            filling.token = search.followed(found, space.name, name, hole.attributes)
        else:
            filling.token = _with("" if hole.local_first else f"missing {name}", hole.attributes)
    filling.special = bool(filling.notes or filling.flags)
    space.fillings[hole.key] = filling
    return filling


def _with(token: str, attributes: tuple[str, ...]) -> str:
    """What counts of a thing, with the attributes that are taken of it."""
    return token + "".join([f" .{name}" for name in attributes]) if attributes else token


def qualified_name(obj: Any) -> str:
    """The dotted name by which something that is not the user's counts; empty for what has none."""
    if type(obj) is FunctionType:
        return f"{dict.get(obj.__globals__, '__name__')}.{obj.__code__.co_qualname}"
    if type(obj) is BuiltinFunctionType:
        return f"{obj.__module__ or 'builtins'}.{obj.__qualname__}"
    if is_class(obj):
        return f"{class_module(obj)}.{class_qualname(obj)}"
    return ""


def _owner_of(graph: Graph, obj: Any) -> Owner:
    """Whose a function or a class is."""
    if type(obj) is FunctionType:
        return graph.space(obj.__globals__).owner
    if type(obj) is BuiltinFunctionType:
        return owner_of_module(obj.__module__)
    return graph.space_of_class(obj).owner


class _Search:
    """One name being looked up."""

    __slots__ = ("argument", "filling", "graph", "space")

    def __init__(self, graph: Graph, space: Space, argument: str | None) -> None:
        self.graph = graph
        self.space = space
        self.argument = argument
        self.filling = Filling()

    def note(self, what: str) -> None:
        self.filling.notes.append(what)

    def followed(self, obj: Any, owner_name: str, name: str, attributes: tuple[str, ...]) -> str:
        """Walk along the attributes as long as they lead through modules, then make an edge."""
        graph = self.graph
        at = 0
        while is_module(obj):
            space = graph.space(module_dict(obj))
            if space.owner != "user":
                return self._foreign(obj, space, attributes[at:])
            if at == len(attributes):
                self.filling.edges.append(("", graph.node(space)))
                return "module"
            owner_name, name = space.name, attributes[at]
            obj = self._attribute(obj, name)
            at += 1
            if obj is MISSING:
                return _with(f"missing {name}", attributes[at:])
        return _with(self._edge(obj, f"{owner_name}.{name}"), attributes[at:])

    def imported(self, found: ImportedName, attributes: tuple[str, ...]) -> str:
        """Follow an import that stands in the body."""
        names = [_absolute(name, found.level, self.space) for name in found.names]
        last = names[-1]
        for name in names:
            if not _is_user_module(name):
                packages = self.graph.packages_of(_origin(name), loaded=name in sys.modules)
                self.filling.edges.extend(("", package) for package in packages)
                start = name if found.whole else name.partition(".")[0]
                return self._named(".".join((start, *found.path, *attributes)))
            if not self._import(name):
                return _with(f"missing module {name}", (*found.path, *attributes))
        module: Any = sys.modules.get(last if found.whole else last.partition(".")[0])
        package = module_dict(module) if found.whole and found.path else {}
        if "__path__" in package and found.path[0] not in package:
            self._import(f"{last}.{found.path[0]}", needed=False)
        return self.followed(module, "", last, (*found.path, *attributes))

    def _import(self, name: str, *, needed: bool = True) -> bool:
        """Load a module of the user's, as the body will."""
        if name in sys.modules:
            return True
        try:
            import_module(name)
        except ModuleNotFoundError:
            return False
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's module may raise anything
            if needed:
                self.note(f"importing {name} raised {type(error).__name__}")
            return False
        return True

    def _attribute(self, module: Any, name: str) -> Any:
        namespace = module_dict(module)
        if name in namespace:
            return namespace[name]
        below = sys.modules.get(f"{namespace.get('__name__')}.{name}", MISSING)
        if below is not MISSING:
            return below
        if "__getattr__" in namespace:
            self._edge(namespace["__getattr__"], f"{namespace.get('__name__')}.__getattr__")
        try:
            return getattr(module, name)
        except AttributeError:
            return MISSING
        except Exception as error:  # noqa: BLE001 - a module's __getattr__ is the user's and may raise anything
            self.note(f"looking up {name} raised {type(error).__name__}")
            return MISSING

    def _foreign(self, module: Any, space: Space, attributes: tuple[str, ...]) -> str:
        """Something in a module that is not the user's counts by its name, and the module by its distribution."""
        found: Any = module
        at = 0
        while at < len(attributes) and is_module(found):
            found = module_dict(found).get(attributes[at], MISSING)
            at += 1
        name = qualified_name(found)
        if not name:
            self.filling.edges.extend(("", package) for package in space.packages)
            return self._named(".".join((space.module, *attributes)))
        return _with(self._edge(found, name), attributes[at:])

    def _edge(self, obj: Any, name: str) -> str:
        """Make an edge; gives what counts of the thing beside it."""
        graph, edges = self.graph, self.filling.edges
        known_as = qualified_name(obj)
        if type(obj) is BuiltinFunctionType and not (obj.__self__ is None or is_module(obj.__self__)):
            known_as = ""  # bound to a value of the user's
        if known_as.startswith(("builtins.", "io.open", "_io.open")):
            return self._named(known_as)
        if not known_as:
            special = SPECIAL.get(id(obj))
            if special is not None:
                return self._named(special)
            edges.append((name, graph.node(obj, self.space.root)))
            return ""
        edges.append(("", graph.node(obj)))
        if _owner_of(graph, obj) == "user":
            return ""
        return self._named(known_as)

    def _named(self, name: str) -> str:
        """Notice what the thing of this name hides; gives what counts of it."""
        if name in IMPORTERS and self.argument is not None:
            return self.imported_text(self.argument)
        if name == "builtins.globals":
            self.filling.edges.append(("", self.graph.node(self.space)))
        hidden = what_cannot_be_followed(name)
        if hidden is not None:
            self.note(hidden)
        self.filling.flags |= reflection(name)
        return f"named {name}"

    def imported_text(self, name: str) -> str:
        """Follow ``import_module("x")``: what it gives can be used in any way, so the module counts whole."""
        if name.startswith("."):
            return f"missing module {name}"
        return f"import {name} " + self.imported(ImportedName(0, (name,), whole=True), ())


def _absolute(name: str, level: int, space: Space) -> str:
    if not level:
        return name
    package = dict.get(space.namespace, "__package__")
    if type(package) is not str or not package:
        package = space.module if "__path__" in space.namespace else space.module.rpartition(".")[0]
    for _ in range(level - 1):
        package = package.rpartition(".")[0]
    return f"{package}.{name}" if name else package


def _origin(name: str) -> str | None:
    """The file of a module, found without loading it."""
    root = name.partition(".")[0]
    module = sys.modules.get(name) or sys.modules.get(root)
    if is_module(module):
        found = module_dict(module).get("__file__")
        return found if type(found) is str else None
    from importlib.util import find_spec

    try:
        spec = find_spec(root)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if spec.origin is None and spec.submodule_search_locations:
        return f"{next(iter(spec.submodule_search_locations))}/"
    return spec.origin


def _is_user_module(name: str) -> bool:
    return owner_of_namespace({"__name__": name, "__file__": _origin(name)}) == "user"
