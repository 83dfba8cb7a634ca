"""The graph of what ops reach: a node for each object, found without recursion, hashed bottom-up.

What a node is made of is told by the rooms that know its kind (`functions`, `classes`, `modules`, `values`): they
fill in its own hash and its edges. A graph lives for one plan: code and values change between plans.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.hashing import Hasher, digest, value_digest
from memo.ownership import owner_of_namespace
from memo_strategies.code_objects import CodeSummary
from memo_strategies.components import settle
from memo_strategies.flags import NOTED
from memo_strategies.introspect import ATOMS, class_module, is_module, module_dict, slot_descriptors, type_label
from memo_strategies.paths import within

if TYPE_CHECKING:
    from memo.ownership import Owner
    from memo_strategies.code_cache import CodeCache
    from memo_strategies.distributions import Distribution, Distributions
    from memo_strategies.names import Filling


class Node(Struct, eq=False):
    """One object that is reached.

    Attributes:
        obj: The object, kept alive so that its id stays its own.
        kind: `function`, `class`, `module`, `package` or `value`; empty for what needs no part of its own.
        given_name: Its `name`, but for functions of the user's.
        own: The hash of its own content, what it reaches left out.
        edges: What it reaches, in order, each with the name it has there, if any.
        full: The hash with all that is reached; empty until that is known.
        unordered: Whether the order of its edges means nothing.
        flags: What is special about it (`memo_strategies.flags`); `reached` has that of all it reaches, too.
        notes: What could not be followed: (what, line or None).
        code: A function's code object, with its `summary`.
        space: Where a function's or a class's globals are.
        root: The folder that the imports of the code that reaches it begin at, where that is known.
        detail: What to show of a value that may change later; None for the others.
        inner: Of plain data that is hashed in one go, the ids of what in it can be changed, each with its place.
    """

    obj: Any
    kind: str = ""
    given_name: str = ""
    own: str = ""
    edges: list[tuple[str, Node]] = []
    full: str = ""
    unordered: bool = False
    flags: int = 0
    reached: int = 0
    notes: list[tuple[str, int | None]] | None = None
    code: CodeType | None = None
    summary: CodeSummary | None = None
    space: Space | None = None
    root: str | None = None
    detail: str | None = None
    inner: dict[int, int] | None = None
    index: int = 0
    low: int = 0

    @property
    def name(self) -> str:
        """Where the user finds it, for things that carry their own name; else edges name it."""
        if self.code is not None and self.space is not None:
            # Put together when it is asked for, as it is of ops that run: nearly all nodes are functions.
            return f"{self.space.name}.{self.code.co_qualname}"
        return self.given_name

    def note(self, what: str, line: int | None = None) -> None:
        """Remember what could not be followed here."""
        if self.notes is None:
            self.notes = []
        self.notes.append((what, line))
        self.flags |= NOTED


class Space:
    """A namespace that code runs in: whose it is, and how to name what stands in it.

    Attributes:
        name: As the user knows it: the file's stem for a script.
        module: The module's own ``__name__``.
        packages: The nodes of the distributions it is from.
        root: The folder that its imports begin at; None where that is unknown.
        fillings: What the names that code loads here were found to stand for.
    """

    __slots__ = ("file", "fillings", "module", "name", "namespace", "owner", "packages", "root")

    def __init__(self, namespace: dict[str, Any], owner: Owner, packages: tuple[Node, ...]) -> None:
        self.namespace = namespace
        self.owner: Owner = owner
        self.packages = packages
        module, file = dict.get(namespace, "__name__"), dict.get(namespace, "__file__")
        self.module = module if type(module) is str else ""
        self.file = file if type(file) is str else None
        self.name = self.module or "(no module)"
        if self.module == "__main__" and self.file:
            self.name = self.file.rpartition("/")[2].removesuffix(".py")
        self.root = self._root()
        self.fillings: dict[str, Filling] = {}

    def _root(self) -> str | None:
        if self.file is None or not self.file.startswith("/"):
            return None
        folder = self.file.rpartition("/")[0]
        steps = 0 if self.module == "__main__" else self.module.count(".") + self.file.endswith("/__init__.py")
        for _ in range(steps):
            folder = folder.rpartition("/")[0]
        above, _, last = folder.rpartition("/")
        return above if last == "src" else folder


Expander = Callable[["Graph", Node, Any], None]


class Graph:
    """What is reached from the ops of one plan.

    Args:
        expander_of: Gives, for an object, the function that fills in its node.
        ignored: The names of what is not to count, as parts are called.
        cache: What was read in code objects by other processes.

    Attributes:
        spaces: Those that were asked for, by the id of their namespace: looked at before `space` is called, where that
            is done for every name.
    """

    def __init__(
        self,
        expander_of: Callable[[object], Expander],
        ignored: frozenset[str] = frozenset(),
        cache: CodeCache | None = None,
    ) -> None:
        self._expander_of = expander_of
        self.ignored = ignored
        self.cache = cache
        self._nodes: dict[int, Node] = {}
        self.spaces: dict[int, Space] = {}
        self._nowhere: dict[str, dict[str, Any]] = {}
        self._packages: dict[str, Node] = {}
        self._file_digests: dict[str, str] = {}
        self._slots: dict[int, list[tuple[str, Any]]] = {}
        self._installed_now: Distributions | None = None

    def node(self, obj: object, root: str | None = None) -> Node:
        """The node of an object, reached by code whose imports begin at ``root``."""
        if root is not None:
            obj = within(obj, root)
        found = self._nodes.get(id(obj))
        if found is None:
            found = self._nodes[id(obj)] = Node(obj)
            if root is not None:
                found.root = root
        return found

    def settled(self, obj: object) -> Node:
        """The node of an object with all that it reaches known and hashed."""
        root = self.node(obj)
        if not root.full:
            settle(root, self._expand)
        return root

    def _expand(self, node: Node) -> None:
        if node.own:  # a package, which is made whole
            return
        obj = node.obj
        try:
            self._expander_of(obj)(self, node, obj)
        except Exception as error:  # noqa: BLE001 - no object, however strange, may fail a plan
            label = type_label(obj)
            known = "" if node.summary is None else node.summary.hash
            # What it was found to reach until then counts all the same.
            node.own = digest("unreadable", label, known)
            node.note(f"a {label}, which could not be looked into ({type(error).__name__}: {error})")
        if self.ignored:
            self._leave_out(node)

    def _leave_out(self, node: Node) -> None:
        """Put something empty in place of what is to be ignored, by its own name or by that it is reached by."""
        name = node.name
        if name in self.ignored:
            node.edges = [("", _ignored(name))]
            node.given_name, node.own, node.kind, node.flags = name, "ignored", "", 0
            node.notes = node.code = node.summary = None
        node.edges = [
            ("", _ignored(child.name if child.kind == "package" else label))
            if label in self.ignored or (child.kind == "package" and child.name in self.ignored)
            else (label, child)
            for label, child in node.edges
        ]

    def attach(self, node: Node, obj: object, name: str = "") -> str:
        """Make an object part of a node, under a name where the user knows it by one.

        Returns:
            What stands for it in the node's own content.
        """
        if not name and id(type(obj)) in ATOMS:
            placed = within(obj, node.root)
            if placed is obj:
                return "=" + value_digest(obj)
            obj = placed
        node.edges.append((name, self.node(obj, node.root)))
        return "@"

    def space(self, namespace: dict[str, Any]) -> Space:
        """The space of a function's or a module's globals."""
        found = self.spaces.get(id(namespace))
        if found is None:
            # dict.get, because a namespace may be of a class of the user's.
            where = {name: dict.get(namespace, name) for name in ("__name__", "__file__")}
            owner = owner_of_namespace(where)
            packages: tuple[Node, ...] = ()
            if owner == "installed":
                packages = self.packages_of(where["__file__"])
                if not packages:
                    owner = "user"  # a loose file among the installed: its code is all there is to go by
            found = self.spaces[id(namespace)] = Space(namespace, owner, packages)
        return found

    def space_of_class(self, cls: type) -> Space:
        """The space of the module that a class says it is from."""
        name = class_module(cls)
        module = sys.modules.get(name)
        if is_module(module):
            return self.space(module_dict(module))
        return self.space(self._nowhere.setdefault(name, {"__name__": name}))

    def slots_of(self, kind: type) -> list[tuple[str, Any]]:
        """The slots of a class and of its parents, as (name, descriptor), by name."""
        found = self._slots.get(id(kind))
        if found is None:
            found = self._slots[id(kind)] = sorted(slot_descriptors(kind), key=_name)
        return found

    def packages_of(self, file: object, *, loaded: bool = True) -> tuple[Node, ...]:
        """The nodes of the distributions that a file is from."""
        if type(file) is not str:
            return ()
        from memo_strategies.distributions import INSTALLED, Distributions

        installed = INSTALLED
        if not (loaded and installed.of_file(file)):
            installed = self._installed_now = self._installed_now or Distributions()
        return tuple(self._package(each, installed) for each in installed.of_file(file))

    def file_digest(self, file: object) -> str:
        """The digest of a file of compiled code, which has no code objects to go by."""
        if type(file) is not str:
            return ""
        found = self._file_digests.get(file)
        if found is None:
            hasher = Hasher()
            try:
                with open(file, "rb") as stream:
                    while block := stream.read(1 << 20):
                        hasher.write(block)
            except OSError:
                hasher.write(b"gone")
            found = self._file_digests[file] = hasher.hexdigest()
        return found

    def close(self) -> None:
        """Let go of what was kept for finding more: nodes that are still in use stay."""
        for space in self.spaces.values():
            space.fillings.clear()
        self._nodes.clear()

    def _package(self, distribution: Distribution, installed: Distributions) -> Node:
        node = self._packages.get(distribution.name)
        if node is None:
            node = self._packages[distribution.name] = Node(distribution)
            node.kind = "package"
            node.given_name = distribution.name
            node.own = digest("package", distribution.name, distribution.version)
            for name in distribution.requires:
                required = installed.named(name)
                if required is not None:
                    node.edges.append(("", self._package(required, installed)))
            if not node.edges:
                node.full = node.own
        return node


def _name(item: tuple[str, Any]) -> str:
    return item[0]


def _ignored(name: str) -> Node:
    """What stands for a thing that does not count: only its name is left, for those who ask what was met."""
    return Node(None, "ignored", name, "ignored")
