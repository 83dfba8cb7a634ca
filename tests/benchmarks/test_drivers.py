from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from benchmarks.drivers.driver import steps_that_ran
from benchmarks.graphs import AS_WRITTEN, SHAPES, Change, make_graph
from benchmarks.measuring import measure
from benchmarks.systems import PINNED, SYSTEMS
from benchmarks.workloads.runs import FULL, QUICK, memo_environment, write_pipeline


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("driver", SYSTEMS.values(), ids=SYSTEMS)
def test_pipelines_are_python_that_parses(driver, shape) -> None:
    for name, text in driver.files(make_graph(shape, 300), AS_WRITTEN).items():
        if name.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("driver", SYSTEMS.values(), ids=SYSTEMS)
def test_a_change_changes_files_and_changing_back_gives_the_first(driver) -> None:
    graph = make_graph("layered", 20)
    first = driver.files(graph, AS_WRITTEN)
    assert driver.files(graph, Change(7)) != first
    assert driver.files(graph, Change(7, is_equal=True)) not in [first, driver.files(graph, Change(7))]
    assert driver.files(graph, AS_WRITTEN) == first


@pytest.mark.parametrize("driver", SYSTEMS.values(), ids=SYSTEMS)
def test_environments_are_pinned(driver) -> None:
    assert driver.environment in {"", "memo", *PINNED}
    assert all("==" in each for each in PINNED.get(driver.environment, ()))


@pytest.mark.parametrize("name", ["memo", "memo, few ops"])
@pytest.mark.parametrize("shape", SHAPES)
def test_memo_runs_what_has_to_run(name, shape, tmp_path) -> None:
    driver, graph = SYSTEMS[name], make_graph(shape, 30)
    middle = graph.middle()
    phases = [
        (AS_WRITTEN, 30),
        (AS_WRITTEN, 0),
        (Change(graph.leaf()), 1),
        (AS_WRITTEN, 0),
        (Change(middle), graph.cone(middle)),
        (AS_WRITTEN, 0),
        (Change(middle, is_equal=True), 1),
    ]
    for change, expected in phases:
        write_pipeline(driver, graph, change, tmp_path)
        found = measure(driver.command(Path(sys.executable).parent), tmp_path, environment=memo_environment("memo"))
        assert not found.problem, found.output
        assert steps_that_ran(found.output, tmp_path) == expected


def test_what_is_as_it_was_keeps_its_time(tmp_path) -> None:
    driver, graph = SYSTEMS["make"], make_graph("chain", 5)
    write_pipeline(driver, graph, AS_WRITTEN, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    write_pipeline(driver, graph, Change(3), tmp_path)
    changed = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed == {"3"}


@pytest.mark.parametrize(
    ("output", "expected"),
    [("RAN 12\n", 12), ("bench: 1,234 steps run, 0 reused", 1234), ("x: 1 step run, 2 reused", 1)],
)
def test_steps_that_ran_are_read(output, expected, tmp_path) -> None:
    assert steps_that_ran(output, tmp_path) == expected


def test_sessions_measure_every_system_somewhere() -> None:
    for cells in (QUICK, FULL):
        assert {cell.shape for cell in cells} == set(SHAPES)
