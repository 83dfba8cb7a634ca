"""Sharing within a plan, forgetting between plans, and versions that do not depend on how the code was started."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memo.contracts.version_strategy import CodeVersion, OpVersionContext
from memo.hashing import digest
from memo_strategies.code_reader import _summaries
from memo_strategies.components import settle
from memo_strategies.graph import Node
from memo_strategies.source_hash import SourceHashVersionStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType


def test_versions_in_one_plan_are_those_of_plans_of_their_own(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load(
        """
        LIMIT = [1]
        def a(x): return b(x) + LIMIT[0]
        def b(x): return a(x - 1) if x else c(x)
        def c(x): return x
        class K:
            def run(self): return a(1), K
        ops = [a, b, c, K.run, lambda: (a, c), lambda: (c, a)]
        """
    )
    alone = [version_of(op).version for op in module.ops]
    strategy = SourceHashVersionStrategy()
    with strategy.planning():
        together = [version_of(op, strategy).version for op in module.ops]
        backwards = [version_of(op, strategy).version for op in reversed(module.ops)]
    assert together == alone
    assert backwards == alone[::-1]
    assert len(set(alone)) == len(alone)


def test_a_helper_that_is_redefined_between_two_plans_is_seen(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load("LIMIT = [1]\ndef helper(x):\n    return x\ndef op(x):\n    return helper(x), LIMIT\n")
    strategy = SourceHashVersionStrategy()
    seen = []

    def plan() -> None:
        with strategy.planning():
            seen.append(version_of(module.op, strategy).version)

    plan()
    vars(module)["helper"] = lambda x: x + 1
    plan()
    module.LIMIT.append(2)
    plan()
    module.helper.__code__ = (lambda x: x + 2).__code__
    plan()
    module.helper.__defaults__ = (3,)
    plan()
    assert len(set(seen)) == 5


MUTABLE = """
RATE = 2
TABLE = {"a": [1, 2]}
SETTINGS = (TABLE, "x")
class Base:
    size = 1
class Model(Base):
    size = 3
    def run(self, x):
        return x * self.size
def make(n):
    def scaled(x):
        return x * n
    return scaled
scaled = make(2)
def helper(x, by=1, *, times=1):
    return x * by * times * RATE
def op(x):
    return helper(x), scaled(x), Model().run(x), SETTINGS
"""


@pytest.mark.parametrize(
    "change",
    [
        "module.op.__code__ = (lambda x: (helper(x), scaled(x), Model().run(x))).__code__",
        "module.helper.__code__ = (lambda x, by=1, *, times=1: x + by + times + RATE).__code__",
        "module.helper.__defaults__ = (2,)",
        "module.helper.__kwdefaults__['times'] = 2",
        "module.helper.unit = 'm'",
        "module.RATE = 3",
        "module.RATE = 2.0",
        "module.TABLE['a'].append(3)",
        "module.TABLE['b'] = 1",
        "module.SETTINGS = (dict(module.TABLE), 'y')",
        "module.scaled.__closure__[0].cell_contents = 3",
        "module.scaled = module.make(3)",
        "module.Model.size = 4",
        "del module.Model.size",
        "module.Base.size = 2",
        "module.Base.run = lambda self, x: x",
        "module.Model.run = lambda self, x: x",
        "module.Model.run.__code__ = (lambda self, x: x / self.size).__code__",
        "module.Model.__bases__ = (type('Other', (), {'size': 1}),)",
        "module.len = module.helper; module.op.__code__ = (lambda x: len(x)).__code__",
    ],
)
def test_what_changes_between_two_plans_is_seen_and_seen_again_when_it_is_undone(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType], change: str
) -> None:
    strategy = SourceHashVersionStrategy()

    def planned(module: ModuleType) -> str:
        with strategy.planning():
            return version_of(module.op, strategy).version

    module = load(MUTABLE)
    before = planned(module)
    assert planned(module) == before
    exec(change, {"module": module})
    after = planned(module)
    assert after != before
    assert planned(module) == after
    assert version_of(module.op).version == after, "a strategy that has seen nothing before says the same"
    assert planned(load(MUTABLE)) == before


def test_a_builtin_that_is_hidden_between_two_plans_is_seen(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    module = load("import math\ndef op(x):\n    return len(x), math.sqrt(2), print\n")
    strategy = SourceHashVersionStrategy()
    seen = [version_of(module.op, strategy).version]
    vars(module)["len"] = max
    seen.append(version_of(module.op, strategy).version)
    vars(module)["len"] = lambda x: 1
    seen.append(version_of(module.op, strategy).version)
    assert len(set(seen)) == 3
    del vars(module)["len"]
    assert version_of(module.op, strategy).version == seen[0]


def test_a_module_that_is_loaded_again_is_seen(version_of: Callable[..., CodeVersion], tmp_path: Path) -> None:
    path = tmp_path / "reloaded_here.py"
    path.write_text("def helper(x):\n    return x\n")
    sys.path.insert(0, str(tmp_path))
    try:
        import importlib

        module = importlib.import_module("reloaded_here")
        namespace: dict[str, Any] = {"__name__": "__main__", "reloaded_here": module}
        exec("def op(x): return reloaded_here.helper(x)", namespace)
        strategy = SourceHashVersionStrategy()
        before = version_of(namespace["op"], strategy).version
        path.write_text("def helper(x):\n    return x + 100\n")
        importlib.invalidate_caches()
        importlib.reload(module)
        assert version_of(namespace["op"], strategy).version != before
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("reloaded_here", None)


@given(
    edges=st.lists(st.lists(st.integers(0, 6), max_size=3), min_size=7, max_size=7),
    owns=st.lists(st.sampled_from("ab"), min_size=7, max_size=7),
    order=st.permutations(range(7)),
)
def test_hashes_of_nodes_do_not_depend_on_where_the_walk_begins(
    edges: list[list[int]], owns: list[str], order: list[int]
) -> None:
    def hashed(order: Iterable[int]) -> list[str]:
        nodes = [Node(number) for number in range(7)]

        def expand(node: Node) -> None:
            assert not node.own, "expanded twice"
            node.own = digest(owns[node.obj])
            node.edges += [("", nodes[child]) for child in edges[node.obj]]

        for number in order:
            if not nodes[number].full:
                settle(nodes[number], expand)
        return [node.full for node in nodes]

    found = hashed(order)
    assert found == hashed(range(7))
    assert all(found)
    # What some walk of seven steps tells apart has another hash.
    colours: list[object] = list(owns)
    for _ in range(7):
        seen = [(colours[n], tuple(colours[child] for child in edges[n])) for n in range(7)]
        colours = [sorted(set(map(repr, seen))).index(repr(each)) for each in seen]
    for one in range(7):
        for other in range(7):
            if found[one] == found[other]:
                assert colours[one] == colours[other]


def test_what_is_shared_counts_where_it_is_reached_in_two_ways(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    text = """
    A = [1]
    B = {b}
    C = {{"c": 1}}
    def near(x): return far(x), A
    def far(x): return near(x - 1) if x else B
    def op(x): return near(x), C
    """
    shared, apart, again = (load(text.format(b=b)).op for b in ("A", "[1]", "A"))
    assert version_of(shared).version == version_of(again).version
    assert version_of(shared).version != version_of(apart).version


def test_plans_end_even_when_they_fail(version_of: Callable[..., CodeVersion]) -> None:
    strategy = SourceHashVersionStrategy()
    with pytest.raises(KeyError), strategy.planning():
        raise KeyError
    assert gc.isenabled()
    with strategy.planning(), strategy.planning():
        assert version_of(len, strategy).version
    assert gc.isenabled()


def test_two_threads_take_turns(version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]) -> None:
    module = load("def helper(x):\n    return x\ndef op(x):\n    return helper(x)\n")
    strategy = SourceHashVersionStrategy()
    expected = version_of(module.op).version
    found: list[str] = []

    def plan() -> None:
        for _ in range(20):
            with strategy.planning():
                found.append(version_of(module.op, strategy).version)

    threads = [threading.Thread(target=plan) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 80


def test_code_objects_are_forgotten_when_they_are_gone(version_of: Callable[..., CodeVersion]) -> None:
    gc.collect()
    before = len(_summaries)
    for number in range(50):
        namespace: dict[str, Any] = {}
        exec(f"def op(x):\n    return x + {number}\n", namespace)
        version_of(namespace["op"])
    del namespace
    gc.collect()
    assert len(_summaries) <= before + 1


SCRIPT = """
import sys
sys.path[:0] = {roots}
LIMIT = 3
class Model:
    def run(self, x):
        return x + LIMIT
def helper(x):
    return Model().run(x), __name__
def op(x):
    return helper(x)
class Stand:
    name, version, hardcoded_value, compute_fn = "op", None, None, staticmethod(op)
    ignore = frozenset()
def version():
    from memo.contracts.version_strategy import OpVersionContext
    from memo_strategies.source_hash import SourceHashVersionStrategy
    found = SourceHashVersionStrategy().get_op_version(OpVersionContext(Stand))
    return found.version + " " + " ".join(part.name for part in found.parts)
if __name__ == "__main__":
    print(version())
"""


def _run(*arguments: str, cwd: Path, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **environ},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_run_as_a_script_imported_or_without_its_source_it_is_the_same(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    text = SCRIPT.format(roots=[str(root), str(root / "strategies")])
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "pipeline.py").write_text(text)
    one, two = tmp_path / "one", tmp_path / "two"
    ask = "import pipeline; print(pipeline.version())"
    found = {
        _run("pipeline.py", cwd=one),
        _run("-m", "pipeline", cwd=one),
        _run("-c", ask, cwd=one, PYTHONHASHSEED="1"),
        _run("-c", ask, cwd=two, PYTHONHASHSEED="2"),
    }
    import py_compile

    py_compile.compile(str(two / "pipeline.py"), cfile=str(two / "pipeline.pyc"))
    (two / "pipeline.py").unlink()
    found.add(_run("-c", ask, cwd=two))
    assert len(found) == 1
    assert "pipeline.helper" in next(iter(found))


def test_a_cell_of_a_notebook(version_of: Callable[..., CodeVersion]) -> None:
    """A notebook runs each cell in one namespace, under a file name of its own."""
    namespace: dict[str, Any] = {"__name__": "__main__"}

    def cell(text: str, number: int) -> None:
        exec(compile(text, f"/tmp/ipykernel_1/{number}.py", "exec"), namespace)

    cell("def helper(x):\n    return x", 1)
    cell("def op(x):\n    return helper(x)", 2)
    first = version_of(namespace["op"]).version
    cell("def helper(x):\n    return x + 1", 3)
    second = version_of(namespace["op"]).version
    cell("\n\ndef helper(x):\n    return x  # as before", 4)
    assert first != second
    assert version_of(namespace["op"]).version == first


def test_definitions_of_memo_are_followed_to_their_functions(
    version_of: Callable[..., CodeVersion], load: Callable[..., ModuleType]
) -> None:
    text = """
    from memo import op, job, In
    @op(description={description!r}, tags={{"a": "b"}})
    def first(x):
        return x + {by}
    @op
    def second(x):
        return first(x)
    """
    versions = [
        version_of(load(text.format(description=description, by=by)).second.compute_fn).version
        for description, by in (("one", 1), ("two", 1), ("one", 2))
    ]
    assert versions[0] == versions[1] != versions[2]


def test_a_strategy_says_it_for_contexts(stand: Any) -> None:
    strategy = SourceHashVersionStrategy()
    with strategy.planning():
        found = strategy.get_op_version(OpVersionContext(stand(lambda: 1)))
    assert found.version
    assert not found.blind_spots
