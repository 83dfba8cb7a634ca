"""Names that no file system was made for, and values that cannot be stored: told, or kept, and never elsewhere."""

from __future__ import annotations

import os
import re
import threading
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memo import Out, Output, execute_job, job, op
from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import DefinitionError
from memo_iomanagers.filesystem import FsIOManager
from tests.faults.conftest import half_stored

if TYPE_CHECKING:
    from tests.conftest import Workspace

HOSTILE = {
    "slash": "a/b",
    "up": "../../up",
    "absolute": "/etc/passwd",
    "dot": ".",
    "dots": "..",
    "dotted": ".hidden",
    "backslash": "a\\b",
    "drive": "C:x",
    "control": "a\nb\x00c\x1b[31m",
    "spaces": "  a  ",
    "long": "x" * 300,
    "long in bytes": "é" * 300,
    "composed": unicodedata.normalize("NFC", "é"),
    "decomposed": unicodedata.normalize("NFD", "é"),
    "capital": "Result",
    "small": "result",
    "right to left": "\u202egnp.exe",
    "lone surrogate": "\ud800",
    "device": "CON",
    "like a manifest": "result.json",
    "like a folder of side files": "result.pkl.d",
    "like an encoding": "a=b%2f",
}


def around(folder: Path) -> list[tuple[str, bytes | None]]:
    """Everything below a folder, but what is below its storage."""
    return sorted(
        (str(path.relative_to(folder)), path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
        if "storage" not in path.parts
    )


def what(context: OutputContext) -> str:
    return repr((context.version, context.run_id, context.step_key, context.name, context.mapping_key))


@pytest.mark.parametrize("encoding", ["auto", "path"])
def test_outputs_with_any_names_are_kept_apart_and_within_the_storage(tmp_path: Path, encoding: str) -> None:
    outer = tmp_path / "outer"
    (outer / "in").mkdir(parents=True)
    source = tmp_path / "source"
    source.mkdir()
    names = HOSTILE.values()
    contexts = [
        *(OutputContext("step", name, "ab12", "run") for name in names),
        *(OutputContext("step", "result", "ab12", "run", key) for key in names),
        *(OutputContext("step", "result", version, "run") for version in names),
        *(OutputContext(step, "result", None, "run") for step in names),
        *(OutputContext("step", "result", None, run) for run in names),
    ]
    manager = FsIOManager(outer / "in" / "storage", encoding)
    before = around(tmp_path)

    for context in contexts:
        assert not manager.has_output(context), what(context)
        if encoding == "path":
            made = source / "made"
            made.write_text(what(context))
            manager.handle_output(context, made)
            made.unlink()
        else:
            manager.handle_output(context, [what(context)])

    assert around(tmp_path) == before
    for context in contexts:
        assert manager.has_output(context), what(context)
        loaded = manager.load_input(InputContext("value", context))
        assert (loaded.read_text() if encoding == "path" else loaded[0]) == what(context)
    manager.sweep()
    assert all(manager.has_outputs(contexts))


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_name_of_an_op_or_output_is_plain_or_refused_in_words(tmp_path: Path, name: str) -> None:
    def body() -> Any:
        yield Output(1, name)

    plain = re.fullmatch(r"[A-Za-z0-9_]+", name) is not None
    before = around(tmp_path)
    for make in (
        lambda: op(name=name)(lambda: 1),
        lambda: op(name="fine", out={name: Out()})(body),
        lambda: job(name=name)(lambda: None),
    ):
        if plain:
            make()
            continue
        with pytest.raises(DefinitionError) as raised:
            make()
        said = str(raised.value)
        assert "use letters, digits and underscores only" in said
        assert "\n" not in said
        assert "\x1b" not in said
        assert len(said) < 500
    assert around(tmp_path) == before


def test_long_names_and_names_that_differ_in_case_run_and_are_reused(tmp_path: Path) -> None:
    values = {"x" * 300: 1, "X" * 300: 2, "x" * 299 + "y": 3, "result": 4, "Result": 5, "RESULT": 6}

    def made(name: str, value: int) -> Any:
        def body() -> Any:
            print("printed by", value)
            yield Output([value], name)

        return op(name=name, out={name: Out()}, version="1")(body)

    ops = [made(name, value) for name, value in values.items()]

    @job
    def named() -> None:
        for each in ops:
            each()

    first = execute_job(named, tmp_path / "home", raise_on_error=True)
    again = execute_job(named, tmp_path / "home", raise_on_error=True)

    assert again.executed == []
    for result in (first, again):
        assert {name: result.output_for_node(name, name)[0] for name in values} == values
    logs = [path.read_text() for path in (tmp_path / "home" / "logs").rglob("*.out")]
    assert sorted(logs) == [f"printed by {value}\n" for value in range(1, 7)]
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


@pytest.mark.parametrize("run_id", [each for each in HOSTILE.values() if not re.fullmatch(r"[\w.: =%-]+", each)])
def test_a_run_id_that_is_a_path_is_refused(tmp_path: Path, run_id: str) -> None:
    @op
    def one() -> int:
        return 1

    @job
    def small() -> None:
        one()

    before = around(tmp_path)
    try:
        small.execute_in_process(instance=tmp_path / "in" / "home", run_id=run_id)
    except Exception as error:  # noqa: BLE001 - refused or kept; either way, nothing is elsewhere
        assert "\n" not in str(error)  # noqa: PT017
    outside = [each for each in around(tmp_path) if not each[0].startswith("in")]
    assert outside == before


class Model:
    def __init__(self) -> None:
        self.parts = {"weights": [1.0], "lock": threading.Lock()}


class Holder:
    def __init__(self, deep: Any) -> None:
        self.inner = {"models": [deep]}


DEEP = {
    "a lock": (lambda: {"a": [1, Holder(Model())]}, "value['a'][1].inner['models'][0].parts['lock'], a _thread.lock"),
    "an open file": (lambda: [{"file": open(os.devnull)}], "value[0]['file'], a "),  # noqa: SIM115 - closed below
    "a generator": (lambda: {"fine": 1, "each": (n for n in [1])}, "value['each']"),
    "a lambda": (lambda: Holder(lambda: 1), "value.inner['models'][0], a function"),
}


@pytest.mark.parametrize("case", DEEP)
def test_a_value_that_cannot_be_stored_deep_inside_names_the_way_to_it(tmp_path: Path, case: str) -> None:
    make, path = DEEP[case]
    made: list[Any] = []

    @op
    def gives() -> Any:
        made.append(make())
        return made[-1]

    @op
    def fine() -> int:
        return 1

    @job
    def storing() -> None:
        gives()
        fine()

    for _ in range(2):
        result = execute_job(storing, tmp_path / "home")
        message = result.errors["gives"].message
        assert message.startswith("output 'result' of step 'gives': cannot be stored: ")
        assert path in message
        assert "\n" not in message
        left = [each for each in half_stored(tmp_path / "home" / "storage") if not each.startswith("writing/")]
        assert left == []
    assert result.reused == ["fine"]
    for value in made:
        if case == "an open file":
            value[0]["file"].close()


def test_what_an_op_keeps_and_where_the_tree_around_the_home_stays_as_it_was(workspace: Workspace) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import job, op

        @op
        def one(): return 1

        @op
        def two(x): return [x] * 100_000

        @job
        def small(): two(one())
        """,
    )
    before = sorted(path.name for path in workspace.path.iterdir())
    for command in (["run"], ["plan"], ["run"], ["run", "--force", "two"]):
        assert workspace.memo(command[0], "pipeline.py", *command[1:], PYTHONDONTWRITEBYTECODE="1").returncode == 0
    assert sorted({path.name for path in workspace.path.iterdir()} - {".memo"}) == before
