"""`SourceHashVersionStrategy`: code is the same while what runs is the same, helpers and libraries included."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import partial
from threading import RLock
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from memo.contracts.version_strategy import VersionStrategy
from memo_strategies.code_cache import CodeCache
from memo_strategies.graph import Graph, Space
from memo_strategies.reach import version_of
from memo_strategies.source_text import SourceTexts
from memo_strategies.values import expander_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from memo.contracts.version_strategy import CodeVersion, OpVersionContext, ResourceVersionContext

__all__ = ["SourceHashVersionStrategy"]


_NOTHING: frozenset[str] = frozenset()
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})


def classes_in(config: object) -> list[type]:
    """The classes of what a config is made of: an op may call their methods without naming them."""
    if config is None:
        return []
    found: dict[type, None] = {}
    seen: set[int] = set()
    work: list[Any] = [config]
    while work:
        value = work.pop()
        kind = type(value)
        if kind in _PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        if kind is dict:
            work += dict.values(cast("dict[Any, Any]", value))
        elif kind is list or kind is tuple:
            work += cast("list[Any]", value)
        else:
            found[kind] = None
            work += (getattr(value, name, None) for name in _field_names(kind))
    return list(found)


def _field_names(kind: type) -> tuple[str, ...]:
    names: Any = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", ())
    return tuple(names)


class SourceHashVersionStrategy(VersionStrategy):
    """Versions an op by the code that it runs and all that this code reaches.

    Counted are the functions, classes, closures, defaults, globals and constants that an op reaches, in the user's
    own modules however far; of installed packages the name and version, with those of what they require; of
    Python the minor version. Not counted are layout, comments, docstrings, annotations, and the names and places
    of functions. It is the live code objects that are read, never the files: what runs is what counts.

    What cannot be followed (``eval``, computed imports, files and the environment read in the body) is warned of.

    Example::

        @job(version_strategy=SourceHashVersionStrategy())
        def flights(): ...
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._graphs: dict[frozenset[str], Graph] | None = None
        self._texts = SourceTexts()
        self._cache: CodeCache | None = None

    def recall_from(self, folder: str) -> None:
        """Take from there what was read in code objects before, where they are met again."""
        with self._lock:
            self._cache = CodeCache(folder)

    def keep_in(self, folder: str) -> None:
        """Leave there what was read in code objects, for later processes."""
        with self._lock:
            cache, self._cache = self._cache, None
            if cache is not None:
                cache.write(folder)

    @contextmanager
    def planning(self) -> Generator[None]:
        """Share what is found out between the ops of one plan, and forget it when the plan is made."""
        with self._lock:
            if self._graphs is not None:
                yield
                return
            self._graphs, self._texts = {}, SourceTexts()
            # Nodes are made by the thousand and all kept until the end: the collector would only look on.
            collecting = gc.isenabled()
            gc.disable()
            try:
                yield
            finally:
                for graph in self._graphs.values():
                    graph.close()
                self._graphs = None
                if self._cache is not None and not self._cache.is_new:
                    self._cache = None
                if collecting:
                    _count_as_old()
                    gc.enable()

    def get_op_version(self, context: OpVersionContext) -> CodeVersion:
        """The version of an op's function."""
        definition = context.op_def
        if context.op_config is None:
            return self._version_of(definition.ignore, definition.compute_fn)
        return self._version_of(definition.ignore, definition.compute_fn, *classes_in(context.op_config))

    def get_resource_version(self, context: ResourceVersionContext) -> CodeVersion:
        """The version of a resource's function, or of the value that it is."""
        definition = context.resource_def
        function = definition.compute_fn
        made_of = definition.hardcoded_value if function is None else function
        return self._version_of(definition.ignore, made_of, *classes_in(context.resource_config))

    def _version_of(self, ignore: frozenset[str], *objects: object) -> CodeVersion:
        with self._lock:
            if self._graphs is None:
                with self.planning():
                    return self._version_of(ignore, *objects)
            if not ignore:
                graph = self._graphs.get(_NOTHING) or self._graph(self._graphs, _NOTHING)
                return version_of(graph, objects, self._texts)
            names = _whole_names(ignore, objects[0])
            found = version_of(self._graph(self._graphs, frozenset(names)), objects, self._texts)
            return replace(found, ignored=frozenset(names[each] for each in found.ignored))

    def _graph(self, graphs: dict[frozenset[str], Graph], ignored: frozenset[str]) -> Graph:
        """The graph of this plan in which these parts are left out."""
        found = graphs.get(ignored)
        if found is None:
            found = graphs[ignored] = Graph(expander_of, ignored, self._cache)
        return found


def _count_as_old() -> None:
    """Have the collector take all there is for long-lived, without the look that it would take at what is new.

    What a plan is made of lives as long as the plan. An application that has frozen objects of its own is left alone.
    """
    if not gc.get_freeze_count():
        gc.freeze()
        gc.unfreeze()


def _whole_names(ignore: frozenset[str], made_of: object) -> dict[str, str]:
    """The names of parts to ignore, each with the name that was given: one without a dot is of the op's own module."""
    names = {each: each for each in ignore}
    function = _function_in(made_of)
    if function is not None:
        module = Space(function.__globals__, "user", ()).name
        names |= {f"{module}.{each}": each for each in ignore if "." not in each}
    return names


def _function_in(made_of: Any) -> FunctionType | None:
    """The function that stands in the user's file, behind partials and wrapping decorators."""
    for _ in range(64):
        if type(made_of) is partial:
            made_of = made_of.func
        elif type(made_of) is MethodType:
            made_of = made_of.__func__
        elif type(made_of) is FunctionType and "__wrapped__" in made_of.__dict__:
            made_of = made_of.__dict__["__wrapped__"]
        else:
            break
    return made_of if type(made_of) is FunctionType else None
