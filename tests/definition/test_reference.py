from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from memo.definition.reference import JobReference, reference_of
from memo.errors import DefinitionError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _modules_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test imports files of the same names from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "path_hooks", list(sys.path_hooks))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path_importer_cache.clear()


HEAD = "from memo import graph, job, op\n@op\ndef one():\n    return 1\n"
DAILY = HEAD + "@job\ndef daily():\n    return one()\n"


@pytest.mark.parametrize(
    ("text", "job", "expected"),
    [
        ("flights.py", None, ("flights.py", None)),
        ("flights.py:daily", None, ("flights.py", "daily")),
        ("package.flights:daily", None, ("package.flights", "daily")),
        ("flights.py", "daily", ("flights.py", "daily")),
        ("flights.py:daily", "daily", ("flights.py", "daily")),
        ("flights.py:", None, ("flights.py", None)),
        ("C:/x/flights.py:daily", None, ("C:/x/flights.py", "daily")),
    ],
)
def test_a_target_is_read(text: str, job: str | None, expected: Any) -> None:
    found = JobReference.parse(text, job)

    assert (found.place, found.job) == expected
    assert JobReference.parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "job", "words"),
    [
        ("", None, "names no file or module; write file.py:job"),
        (":daily", None, "names no file or module"),
        ("flights.py:daily", "hourly", "names the job 'daily' and --job names 'hourly'; name one"),
    ],
)
def test_a_target_that_cannot_be_read(text: str, job: str | None, words: str) -> None:
    with pytest.raises(TargetError, match=words):
        JobReference.parse(text, job)


def test_the_only_job_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(DAILY)

    for place in ("flights.py", str(tmp_path / "flights.py"), "./flights.py", "flights"):
        assert JobReference(place).load().execute_in_process().output_value() == 1


def test_a_job_under_two_names_is_one_job(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(DAILY + "again = daily\n")

    assert JobReference("flights.py").load().name == "daily"
    assert JobReference("flights.py", "again").load() is JobReference("flights.py", "daily").load()


def test_a_job_by_its_name_by_its_variable_and_a_graph_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(
        HEAD + "@graph\ndef inner():\n    return one()\n"
        "first = inner.to_job('daily')\nsecond = inner.to_job('hourly', tags={'a': 1})\n"
    )
    load = {name: JobReference("flights.py", name).load() for name in ("daily", "first", "second", "hourly", "inner")}

    assert load["daily"] is load["first"]
    assert load["hourly"] is load["second"]
    assert load["inner"].name == "inner"


def test_a_job_comes_before_the_graph_of_the_same_name_that_it_was_made_of(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(
        HEAD + "@graph\ndef daily():\n    return one()\ndaily_job = daily.to_job(tags={'a': 1})\n"
    )

    assert JobReference("flights.py", "daily").load() is JobReference("flights.py", "daily_job").load()


def test_a_job_in_a_package_by_file_and_by_name(tmp_path: Path) -> None:
    package = tmp_path / "pack" / "inner"
    package.mkdir(parents=True)
    (tmp_path / "pack" / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "ops.py").write_text(HEAD)
    (package / "flights.py").write_text(
        "from memo import job\nfrom .ops import one\n@job\ndef daily():\n    return one()\n"
    )

    by_file = JobReference("pack/inner/flights.py").load()

    assert by_file is JobReference("pack.inner.flights").load()
    assert by_file.execute_in_process().output_value() == 1


def test_neighbours_of_a_file_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shared_ops.py").write_text(HEAD)
    (folder / "flights.py").write_text(
        "from memo import job\nfrom shared_ops import one\n@job\ndef daily():\n    return one()\n"
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert JobReference("../project/flights.py").load().name == "daily"


def test_a_file_named_as_a_module_that_is_loaded_already(tmp_path: Path) -> None:
    """A user's ``json.py`` or ``types.py`` is imported beside the module of that name, not in its place."""
    import json

    (tmp_path / "json.py").write_text(DAILY)

    found = JobReference("json.py").load()

    assert found.name == "daily"
    assert sys.modules["json"] is json
    assert JobReference("json.py").load() is not None


@pytest.mark.parametrize(
    ("text", "job", "words"),
    [
        (
            "x = 1\n",
            None,
            "flights.py: defines no job: decorate a function with @job, or assign graph.to_job() to a name",
        ),
        (HEAD, None, "defines no job"),
        (DAILY, "dailies", "flights.py: defines no job 'dailies'. Did you mean 'daily'?"),
        (DAILY, "one", "defines no job 'one'. There is: daily."),
        (
            DAILY + "hourly = daily.graph.to_job('hourly')\n",
            None,
            "flights.py: defines several jobs; name one: flights.py:daily (daily, hourly)",
        ),
        (
            DAILY + "first = daily.graph.to_job('same')\nsecond = daily.graph.to_job('same')\n",
            "same",
            "has several jobs named 'same'; name one by its variable: first, second",
        ),
        (
            DAILY + "first = daily.graph.to_job('same')\nsecond = daily.graph.to_job('same')\n",
            None,
            "name one: flights.py:daily (daily, first, second)",
        ),
        ("def broken(:\n", None, "flights.py:1: syntax error: "),
        ("x = 1\nimport missing_module\n", None, "flights.py: importing it failed: No module named 'missing_module'"),
        ("1 / 0\n", None, "flights.py: importing it failed: ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)\n", None, "flights.py: importing it failed: SystemExit: 3"),
    ],
)
def test_a_file_without_the_job(tmp_path: Path, text: str, job: str | None, words: str) -> None:
    (tmp_path / "flights.py").write_text(text)

    with pytest.raises(TargetError) as raised:
        JobReference("flights.py", job).load()

    assert words in str(raised.value)


def test_the_users_exception_is_kept_as_the_cause(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text("def deep():\n    return 1 / 0\ndeep()\n")

    with pytest.raises(TargetError) as raised:
        JobReference("flights.py").load()

    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "flights" not in sys.modules


def test_a_wrong_definition_in_a_file_says_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(DAILY + "@job\ndef broken():\n    one(5)\n")

    with pytest.raises(DefinitionError, match=r"op 'one' \(flights\.py:2\), called at flights\.py:10: got 1 inputs"):
        JobReference("flights.py").load()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("missing.py", "missing.py: there is no such file; name a Python file, or a module"),
        ("folder/missing.py", "there is no such file"),
        (".", "is a folder, not a file"),
        ("..flights", "there is no such file"),
        ("./", "is a folder, not a file"),
        ("missing", "missing: there is no module 'missing' here. Name a Python file, or a module as package.module"),
        ("missing.inner", "there is no module 'missing' here."),
        ("os.missing", "there is no module 'os.missing' here."),
    ],
)
def test_a_place_that_is_not_there(place: str, words: str) -> None:
    with pytest.raises(TargetError) as raised:
        JobReference(place).load()

    assert words in str(raised.value)


def test_a_job_is_found_again_by_file_and_variable(tmp_path: Path) -> None:
    (tmp_path / "flights.py").write_text(DAILY + "again = daily.graph.to_job()\n")
    loaded = JobReference("flights.py", "again").load()

    assert reference_of(loaded) == JobReference(str(tmp_path / "flights.py"), "again")
    assert reference_of(loaded).load() is loaded


def test_a_job_that_no_other_process_could_find() -> None:
    from memo import job, op

    @op
    def one() -> int:
        return 1

    @job
    def local():
        one()

    with pytest.raises(
        DefinitionError, match=r"job 'local' \(.*cannot be found by another process: assign it to a name"
    ):
        reference_of(local)
