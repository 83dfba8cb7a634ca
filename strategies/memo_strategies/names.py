"""What the names that code loads stand for: globals, attributes of modules, imports in bodies."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.ownership import owner_of_module, owner_of_namespace
from memo_strategies.body_imports import ImportedName
from memo_strategies.dynamic import IMPORTERS, MODULE_FACTS, reflection, what_cannot_be_followed
from memo_strategies.flags import NOTED
from memo_strategies.graph import Graph, Node, Space
from memo_strategies.introspect import ATOMS, MISSING, is_class, is_module, module_dict
from memo_strategies.known import counts_by_name, is_known_function, known_as, offering, qualified_name

if TYPE_CHECKING:
    from memo_strategies.code_objects import Hole


SPECIAL = {
    id(sys.modules): "sys.modules",
    id(sys.argv): "sys.argv",
    id(sys.path): "sys.path",
    id(os.environ): "os.environ",
    id(os.environb): "os.environb",
}
"""Values of the interpreter's own that count by their name: they are as long-lived as the process."""


_ALWAYS_LOADED = frozenset({"builtins", "io", "os", "os.path", "sys"})
"""Modules of the standard library that are there in any process, so that what they pass on can be found there."""

_builtins_of: Any = vars(FunctionType)["__builtins__"].__get__


class Filling(Struct, frozen=True, gc=False):
    """What a name stands for, until the plan is made: the graph lets go of it (`Graph.close`), not the collector.

    Attributes:
        token: What counts of it in the hash of the code that loads it, beside the edges.
        edges: What it leads to.
        flags: What it looks at in other things, and whether there are notes, as `memo_strategies.flags`.
        notes: What about it cannot be followed.
        place: Where it is, if that is not among the globals: the last module on the way, and the name there.
    """

    token: str
    edges: tuple[tuple[str, Node], ...]
    flags: int = 0
    notes: tuple[str, ...] = ()
    place: tuple[Space, str] | None = None


def fill(graph: Graph, hole: Hole, function: FunctionType, space: Space) -> Filling:
    """Find what a hole in a function's code stands for: the same for all code that runs in one space."""
    name, attributes = hole.name, hole.attributes
    # dict.get, because a namespace may be of a class of the user's.
    found = dict.get(space.namespace, name, MISSING)
    kind = type(found)
    if name and not attributes:  # as most are
        if kind is FunctionType:
            around = found.__globals__
            if (graph.spaces.get(id(around)) or graph.space(around)).owner == "user":
                return Filling("", (("", graph.node(found)),))
        if id(kind) in ATOMS and name not in MODULE_FACTS:
            return Filling("", ((f"{space.name}.{name}", graph.node(found, space.root)),))
    search = _Search(graph, space, hole.argument)
    if hole.imported is not None:
        token = search.imported(hole.imported, attributes)
    elif name in MODULE_FACTS or (hole.local_first and name == "__annotations__"):
        token = _with(f"fact {name}", attributes)
    else:
        if found is MISSING:
            found = dict.get(_builtins_of(function), name, MISSING)
        if found is not MISSING:
            token = search.followed(found, space.name, name, attributes)
        else:
            token = _with("" if hole.local_first else f"missing {name}", attributes)
    if len(search.edges) != 1:  # so that no edge can be taken for that of another name
        token = f"{token} {len(search.edges)}"
    return Filling(token, tuple(search.edges), search.flags, tuple(search.notes), search.place)


def _with(token: str, attributes: tuple[str, ...]) -> str:
    """What counts of a thing, with the attributes that are taken of it."""
    return token + "".join([f" .{name}" for name in attributes]) if attributes else token


class _Search(Struct, gc=False):
    """One name being looked up."""

    graph: Graph
    space: Space
    argument: str | None
    edges: list[tuple[str, Node]] = []
    flags: int = 0
    notes: list[str] = []
    place: tuple[Space, str] | None = None

    def note(self, what: str) -> None:
        """Remember what cannot be followed."""
        self.notes.append(what)
        self.flags |= NOTED

    def followed(self, obj: Any, owner_name: str, name: str, attributes: tuple[str, ...]) -> str:
        """Walk along the attributes as long as they lead through modules, then make an edge."""
        graph = self.graph
        at = 0
        while type(obj) is ModuleType or is_module(obj):
            namespace = module_dict(obj)
            space = graph.spaces.get(id(namespace)) or graph.space(namespace)
            if space.owner != "user":
                return self._foreign(obj, space, attributes[at:])
            if at == len(attributes):
                self.edges.append(("", graph.node(space)))
                return "module"
            owner_name, name = space.name, attributes[at]
            if name == "__dict__":
                self.edges.append(("", graph.node(space)))
                return _with("module", attributes[at:])
            if name in MODULE_FACTS:
                return _with("fact", attributes[at:])
            self.place = (space, name)
            obj = namespace[name] if name in namespace else self._attribute(obj, name)
            at += 1
            if obj is MISSING:
                return _with(f"missing {name}", attributes[at:])
        return self._edge(obj, (owner_name, name), attributes[at:])

    def imported(self, found: ImportedName, attributes: tuple[str, ...]) -> str:
        """Follow an import that stands in the body."""
        names = [_absolute(name, found.level, self.space) for name in found.names]
        module: Any
        last = names[-1]
        for name in names:
            if name.startswith("."):  # relative, where there is no package: it fails
                return _with(f"missing module {name}", (*found.path, *attributes))
            if name in _ALWAYS_LOADED:
                module = sys.modules[name if found.whole else name.partition(".")[0]]
                return self.followed(module, "", name, (*found.path, *attributes))
            if not _is_user_module(name):
                packages = self.graph.packages_of(_origin(name), loaded=name in sys.modules)
                self.edges.extend(("", package) for package in packages)
                start = name if found.whole else name.partition(".")[0]
                return self._named(".".join((start, *found.path, *attributes)))
            if not self._import(name):
                return _with(f"missing module {name}", (*found.path, *attributes))
        module = sys.modules.get(last if found.whole else last.partition(".")[0])
        # What stands for a module need not be one.
        package = module_dict(module) if found.whole and found.path and is_module(module) else {}
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
        below = sys.modules.get(f"{namespace.get('__name__')}.{name}", MISSING)
        if below is not MISSING:
            return below
        if "__getattr__" in namespace:
            self._edge(namespace["__getattr__"], (str(namespace.get("__name__")), "__getattr__"), ())
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
            self.edges.extend(("", package) for package in space.packages)
            return self._named(".".join((space.module, *attributes)))
        return self._edge(found, (name,), attributes[at:])

    def _edge(self, obj: Any, names: tuple[str, ...], attributes: tuple[str, ...]) -> str:
        """Make an edge to what is found by these names; gives what counts beside it of the attributes taken of it."""
        graph = self.graph
        kind = type(obj)
        is_known = True
        if kind is FunctionType:
            around = obj.__globals__
            space = graph.spaces.get(id(around)) or graph.space(around)
            owner = space.owner
            is_known = owner == "stdlib" and is_known_function(obj, space)
        elif is_class(obj):
            space = graph.space_of_class(obj)
            owner = space.owner
            is_known = owner == "stdlib" and counts_by_name(graph, obj, space)
        elif kind is BuiltinFunctionType and (obj.__self__ is None or is_module(obj.__self__)):
            owner = owner_of_module(obj.__module__ or "builtins")
        elif (kind is BuiltinFunctionType or kind is MethodType) and (home := offering(obj)):
            self.edges.extend(("", package) for package in graph.space(module_dict(sys.modules[home])).packages)
            return self._named(".".join((home, obj.__name__, *attributes)))
        else:
            special = SPECIAL.get(id(obj))
            if special is not None:
                return self._named(".".join((special, *attributes)))
            self.edges.append((".".join(names), graph.node(obj, self.space.root)))
            return _with("", attributes)
        if owner == "stdlib" and is_known:  # as an import in the body gives it, which is not carried out
            return self._named(".".join((qualified_name(obj), *attributes)))
        self.edges.append(("", graph.node(obj)))
        token = "" if owner == "user" else self._noticed(".".join((qualified_name(obj), *attributes)))
        return _with(token, attributes)

    def _named(self, name: str) -> str:
        """Make an edge to something that counts by its name alone."""
        token = self._noticed(name)
        if not token:
            self.edges.append(("", known_as(name)))
        return token

    def _noticed(self, name: str) -> str:
        """Notice what the thing of this name hides; gives what counts beside it."""
        if name in IMPORTERS and self.argument is not None:
            return self.imported_text(self.argument)
        if name == "sys.modules" and self.argument is not None:
            token = self._loaded(self.argument)
            if token:
                return token
        if name == "builtins.globals":
            self.edges.append(("", self.graph.node(self.space)))
        hidden = what_cannot_be_followed(name)
        if hidden is not None:
            self.note(hidden)
        self.flags |= reflection(name)
        return ""

    def _loaded(self, name: str) -> str:
        """Follow ``sys.modules["x"]``, which counts whole; nothing where that is another in each process."""
        if name == "__name__":
            self.edges.append(("", self.graph.node(self.space)))
            return "this module"
        return self.imported_text(name) if name[0] not in "._" else ""

    def imported_text(self, name: str) -> str:
        """Follow ``import_module("x")``: what it gives can be used in any way, so the module counts whole."""
        rest = name.lstrip(".")
        return f"import {name} " + self.imported(ImportedName(len(name) - len(rest), (rest,), whole=True), ())


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
