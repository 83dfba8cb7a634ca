"""`SourceHashVersionStrategy`: code is the same while what runs is the same, helpers and libraries included."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

from memo.contracts.version_strategy import VersionStrategy
from memo_strategies.graph import Graph
from memo_strategies.reach import version_of
from memo_strategies.source_text import SourceTexts
from memo_strategies.values import expander_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from memo.contracts.version_strategy import CodeVersion, OpVersionContext, ResourceVersionContext

__all__ = ["SourceHashVersionStrategy"]


_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})


def classes_in(config: object) -> list[type]:
    """The classes of what a config is made of: an op may call their methods without naming them."""
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
        self._graph: Graph | None = None
        self._texts = SourceTexts()

    @contextmanager
    def planning(self) -> Generator[None]:
        """Share what is found out between the ops of one plan, and forget it when the plan is made."""
        with self._lock:
            if self._graph is not None:
                yield
                return
            self._graph, self._texts = Graph(expander_of), SourceTexts()
            # Nodes are made by the thousand and all kept until the end: the collector would only look on.
            collecting = gc.isenabled()
            gc.disable()
            try:
                yield
            finally:
                self._graph.close()
                self._graph = None
                if collecting:
                    gc.enable()

    def get_op_version(self, context: OpVersionContext) -> CodeVersion:
        """The version of an op's function."""
        return self._version_of(context.op_def.compute_fn, *classes_in(context.op_config))

    def get_resource_version(self, context: ResourceVersionContext) -> CodeVersion:
        """The version of a resource's function, or of the value that it is."""
        function = context.resource_def.compute_fn
        made_of = context.resource_def.hardcoded_value if function is None else function
        return self._version_of(made_of, *classes_in(context.resource_config))

    def _version_of(self, *objects: object) -> CodeVersion:
        with self.planning():
            assert self._graph is not None
            return version_of(self._graph, objects, self._texts)
