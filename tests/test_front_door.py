"""What `import memo` gives, and what it costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

from memo.definition.families import _OURS

memo: Any = importlib.import_module("memo")
FOLDER = Path(memo.__file__).parent


def test_the_names_are_sorted_and_all_there() -> None:
    assert list(memo.__all__) == sorted(memo.__all__)
    for name in memo.__all__:
        assert getattr(memo, name) is not None
    assert set(memo.__all__) <= set(dir(memo))


def test_the_stub_says_the_same() -> None:
    stub = ast.parse((FOLDER / "__init__.pyi").read_text(encoding="utf-8"))
    places = {
        alias.asname: statement.module
        for statement in stub.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    assert places == {name: f"memo.{place}" for name, place in memo._PLACES.items()}


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'memo' has no attribute 'opp'"):
        getattr(memo, "opp")  # noqa: B009 - as a user's typing would


def test_our_own_families_are_those_of_the_entry_points() -> None:
    declared = {
        (group, point.name): point.value
        for group in ("memo.iomanagers", "memo.resources", "memo.strategies", "memo.executors")
        for point in entry_points(group=group)
        if point.dist is not None and point.dist.name == "memo-pipelines"
    }

    assert declared == _OURS


def test_the_version_is_that_of_the_distribution() -> None:
    assert memo.__version__ == version("memo-pipelines")


HEAVY = {"duckdb", "pyarrow", "fsspec", "numpy", "pandas", "rich", "yaml"}


def imported_by(program: str, folder: Path | None = None) -> set[str]:
    found = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport sys\nprint('MODULES', *sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return {name.partition(".")[0] for name in found.stdout.rpartition("MODULES ")[2].split()}


def test_importing_memo_imports_nothing_heavy() -> None:
    assert not imported_by("import memo") & {*HEAVY, "msgspec", "click", "sqlite3", "inspect"}


def test_defining_a_job_imports_nothing_heavy() -> None:
    program = "from memo import Field, RetryPolicy, graph, io_manager, job, op, resource"
    assert not imported_by(program) & {*HEAVY, "click", "sqlite3", "asyncio", "logging"}


def test_a_null_run_imports_nothing_heavy(workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import job, op

        @op
        def one() -> int:
            return 1

        @job
        def small():
            one()
        """,
    )
    assert workspace.memo("run", "pipeline.py").returncode == 0
    program = (
        "import sys; sys.argv = ['memo', 'run', 'pipeline.py']\n"
        "from memo.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )

    assert not imported_by(program, workspace.path) & {*HEAVY, "asyncio", "multiprocessing", "tempfile", "subprocess"}
