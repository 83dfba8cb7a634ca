from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

OUTSIDE = Path(__file__).parents[2]

DRIVER = """
    import sys
    from memo.definition.importing import import_exactly, module_of_file
    import_exactly()
    before = list(sys.path_hooks)
    import_exactly()
    assert sys.path_hooks == before
    module = module_of_file("edited.py")
    print(module.VALUE, module.neighbour.VALUE)
"""


def values(folder: Path, program: str = DRIVER, **env: str) -> list[str]:
    """What a new process imports."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    found = subprocess.run(
        [sys.executable, "-c", dedent(program)],
        cwd=folder,
        env={**kept, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.split()


def write(path: Path, value: int, nanoseconds: int) -> None:
    path.write_text(f"import neighbour\nVALUE = {value}\n" if path.name == "edited.py" else f"VALUE = {value}\n")
    os.utime(path, ns=(nanoseconds, nanoseconds))


SECOND = 1_700_000_000 * 10**9


def cached(folder: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in (folder / "__pycache__").glob("*.pyc")}


def test_an_edit_of_the_same_length_within_the_same_second_is_seen(tmp_path: Path) -> None:
    for name in ("edited.py", "neighbour.py"):
        write(tmp_path / name, 1, SECOND + 1)
    assert values(tmp_path) == ["1", "1"]
    assert cached(tmp_path) == {"edited", "neighbour"}

    for name in ("edited.py", "neighbour.py"):
        write(tmp_path / name, 2, SECOND + 2)

    assert values(tmp_path) == ["2", "2"]


def test_pythons_own_way_does_not_see_it(tmp_path: Path) -> None:
    """Shows that the test above tests something."""
    program = "import neighbour; print(neighbour.VALUE)"
    write(tmp_path / "neighbour.py", 1, SECOND + 1)
    assert values(tmp_path, program) == ["1"]
    write(tmp_path / "neighbour.py", 2, SECOND + 2)

    assert values(tmp_path, program) == ["1"]


def test_what_python_cached_before_is_not_trusted(tmp_path: Path) -> None:
    write(tmp_path / "edited.py", 0, SECOND)
    write(tmp_path / "neighbour.py", 1, SECOND + 1)
    assert values(tmp_path, "import neighbour; print(neighbour.VALUE)") == ["1"]
    write(tmp_path / "neighbour.py", 2, SECOND + 2)

    assert values(tmp_path) == ["0", "2"]
    assert values(tmp_path, "import neighbour; print(neighbour.VALUE)") == ["2"]


def test_what_did_not_change_is_not_compiled_again(tmp_path: Path) -> None:
    for name in ("edited.py", "neighbour.py"):
        write(tmp_path / name, 1, SECOND + 1)
    values(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "__pycache__").iterdir()}

    values(tmp_path)

    assert before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "__pycache__").iterdir()} == before


@pytest.mark.parametrize("nanoseconds", [0, 1, 2**32 - 1, 2**32, 2**63 - 1, SECOND])
def test_any_time_fits_into_the_cache(tmp_path: Path, nanoseconds: int) -> None:
    from memo.definition.importing import ExactSourceLoader

    path = tmp_path / "timed.py"
    path.touch()
    os.utime(path, ns=(nanoseconds, nanoseconds))

    stamp = ExactSourceLoader("timed", str(path)).path_stats(str(path))

    assert 0 <= stamp["mtime"] < 2**32
    assert stamp["size"] == 0


def test_only_the_users_own_files_are_imported_so() -> None:
    program = """
        import sys
        from memo.definition.importing import ExactSourceLoader, import_exactly
        import_exactly()
        import colorsys, click
        print(*[type(each.__loader__).__name__ for each in (colorsys, click)])
    """

    assert "ExactSourceLoader" not in values(OUTSIDE, program)


def test_a_namespace_folder_and_a_missing_one_are_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "spaced" / "inner").mkdir(parents=True)
    (tmp_path / "spaced" / "inner" / "deep.py").write_text("VALUE = 7\n")
    program = """
        import sys
        sys.path.insert(0, "no/such/folder")
        from memo.definition.importing import import_exactly
        import_exactly()
        import spaced.inner.deep
        print(spaced.inner.deep.VALUE, type(spaced.inner.deep.__loader__).__name__)
    """

    assert values(tmp_path, program) == ["7", "ExactSourceLoader"]


def test_defining_jobs_needs_little() -> None:
    """Start-up is budgeted: a definition must not bring in what running or storing needs."""
    program = """
        import sys
        import msgspec
        before = set(sys.modules)
        import memo.definition.job, memo.definition.run_config, memo.definition.reference
        heavy = {"inspect", "dataclasses", "json", "tempfile", "asyncio", "logging", "pathlib", "unittest", "copy",
                 "subprocess", "sqlite3", "pickle", "importlib.metadata", "duckdb", "pyarrow", "numpy", "pandas"}
        print(sorted((set(sys.modules) - before) & heavy))
    """

    assert values(OUTSIDE, program) == ["[]"]
