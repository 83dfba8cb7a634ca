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

from memo.contracts.version_strategy import CodeVersion, OpVersionContext
from memo_strategies.code_objects import _summaries
from memo_strategies.source_hash import SourceHashVersionStrategy

if TYPE_CHECKING:
    from collections.abc import Callable
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
    assert not found.warnings
