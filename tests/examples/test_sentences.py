from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from memo.contracts.io_manager import MemoizableIOManager, OutputContext
from memo.testing import MemoizableIOManagerConformance

if TYPE_CHECKING:
    from types import ModuleType

    from tests.conftest import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "sentences"
STEPS = ["get_string", "normalize_string", "clean_string"]
CLEANED = "running it twice the second time nothing runs"


@pytest.fixture
def project(workspace: Workspace) -> Workspace:
    for path in EXAMPLE.iterdir():
        if path.is_file():
            shutil.copy(path, workspace.path)
    return workspace


def steps_run(project: Workspace, *options: str) -> list[str]:
    done = project.memo("run", "pipeline.py", "--json", *options)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert list(steps) == STEPS
    assert {step["outcome"] for step in steps.values()} <= {"success", "reused"}
    return [key for key, step in steps.items() if step["outcome"] == "success"]


def kept(project: Workspace) -> set[str]:
    return {path.read_text(encoding="utf-8") for path in (project.path / "strings").iterdir()}


def test_from_python_the_second_run_runs_nothing(project: Workspace) -> None:
    assert project.python("pipeline.py").stdout == f"{CLEANED!r}\nrun: {', '.join(STEPS)}; reused: nothing\n"
    assert project.python("pipeline.py").stdout == f"{CLEANED!r}\nrun: nothing; reused: {', '.join(STEPS)}\n"


def test_from_the_command_line_the_second_run_runs_nothing(project: Workspace) -> None:
    assert steps_run(project) == STEPS
    assert CLEANED in kept(project)
    assert steps_run(project) == []


def test_both_ways_share_what_is_stored(project: Workspace) -> None:
    project.python("pipeline.py")
    assert steps_run(project) == []


def test_a_changed_config_runs_only_what_is_downstream(project: Workspace) -> None:
    steps_run(project)
    assert steps_run(project, "--set", "ops.normalize_string.config.lower_case=false") == STEPS[1:]
    assert "Running it twice the second time nothing runs" in kept(project)
    assert steps_run(project) == [], "what the first run stored is still there"


def test_the_config_may_stand_in_a_file(project: Workspace) -> None:
    steps_run(project)
    assert steps_run(project, "-c", "quoted.toml") == STEPS
    assert "Twice is once and again" in kept(project)


def test_a_resource_s_changed_config_runs_the_ops_that_use_it(project: Workspace) -> None:
    steps_run(project)
    assert steps_run(project, "--set", "resources.punctuation.config.characters=aeiou") == ["clean_string"]
    assert "rnnng t twc: th scnd tm, nthng rns!" in kept(project)


def test_where_a_step_gives_the_same_value_nothing_after_it_runs(project: Workspace) -> None:
    steps_run(project)
    text = "Running it   twice: the second time, nothing runs!"
    assert steps_run(project, "--set", f"ops.get_string.config.text={text}") == STEPS[:2]


def test_a_changed_op_runs_with_what_is_downstream(project: Workspace) -> None:
    steps_run(project)
    project.edit("pipeline.py", '" ".join(', '"_".join(')
    assert steps_run(project) == STEPS[1:]
    assert "running_it_twice_the_second_time_nothing_runs" in kept(project)


def test_a_deleted_file_is_made_again(project: Workspace) -> None:
    steps_run(project)
    for path in (project.path / "strings").iterdir():
        if path.read_text(encoding="utf-8") == CLEANED:
            path.unlink()
    assert steps_run(project) == ["clean_string"]
    assert CLEANED in kept(project)


def test_the_files_can_be_kept_in_another_folder(project: Workspace) -> None:
    steps_run(project, "--set", "resources.io_manager.config.folder=elsewhere")
    assert len(list((project.path / "elsewhere").glob("*.txt"))) == 3
    assert not (project.path / "strings").exists()


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sentences_pipeline", EXAMPLE / "pipeline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestTextFileIOManager(MemoizableIOManagerConformance):
    values = ("one\r\ntwo\n", "", "größer 😀", "x" * 100_000)

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        made: MemoizableIOManager = _module().TextFileIOManager(folder / "strings")
        return made

    def failing_value(self) -> Any:
        return "x" * 100_000 + "\ud800"

    def damage(self, folder: Path) -> None:
        for path in (folder / "strings").iterdir():
            path.unlink()

    def test_nothing_is_left_beside_the_files(self, tmp_path: Path) -> None:
        io_manager = self.make_io_manager(tmp_path)
        for value in self.values:
            io_manager.handle_output(OutputContext("step", "result", "v"), value)
        assert [path.suffix for path in (tmp_path / "strings").iterdir()] == [".txt"]
