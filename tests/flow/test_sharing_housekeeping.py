"""Housekeeping of a home that shares: it is about the home alone, and what it lets go is fetched again."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest

from tests.flow.test_sharing import HELLO, LOUD, Machine, files


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def one(tmp_path: Path, shared: Path) -> Machine:
    return Machine(tmp_path / "one", str(shared))


@pytest.fixture
def other(tmp_path: Path, shared: Path) -> Machine:
    return Machine(tmp_path / "other", str(shared))


def told(machine: Machine, *args: str) -> Any:
    found = machine.memo(*args, "--json")
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def held(machine: Machine) -> list[str]:
    return sorted(each["step"] for each in told(machine, "ls")["outputs"])


def test_what_gc_lets_go_is_fetched_and_not_made_again(one: Machine, shared: Path) -> None:
    one.run()
    before = files(shared)
    said = one.memo("gc", "--max-size", "0B")
    assert said.returncode == 0, said.stderr
    assert "of them in the shared place: 3 steps; what is read again is fetched from there" in said.stdout
    assert held(one) == []
    assert files(shared) == before, "what is shared is nobody's alone"

    ran = one.memo("run", "pipeline.py")
    assert "0 steps run, 3 reused" in ran.stderr
    one.edit_otherwise()
    found = one.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet"], LOUD)
    assert held(one) == ["clean", "greet", "read"], "what was read is here again"
    assert told(one, "gc", "--max-size", "0B")["shared"] == 3


def test_what_gc_lets_go_and_nobody_else_has_is_made_again(one: Machine, shared: Path) -> None:
    one.run()
    assert told(one, "gc", "--max-size", "0B")["shared"] == 3
    rmtree(shared)
    one.edit_otherwise()
    found = one.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet", "read"], LOUD)


def test_ls_and_verify_are_about_what_is_here(one: Machine, other: Machine, shared: Path) -> None:
    one.run()
    other.run()
    assert held(other) == []
    assert "not counted" not in other.memo("ls").stdout, "what others made lies in the shared place, not elsewhere"
    assert other.run(output="greet").value == HELLO
    assert held(other) == ["greet"]
    assert other.memo("verify").stdout.startswith("1 output read")

    (data,) = [path for path in (other.home / "storage" / "data").rglob("*") if path.is_file()]
    data.write_bytes(b"x" * data.stat().st_size)
    before = files(shared)
    assert other.memo("verify").returncode == 1
    assert files(shared) == before
    found = other.run(output="greet")
    assert (found.ran, found.value) == ([], HELLO), "the good one is fetched"


def test_steps_are_run_again_and_compared_with_what_is_shared(one: Machine, other: Machine, shared: Path) -> None:
    one.run()
    before = files(shared)
    found = other.memo("verify", "pipeline.py", "--rerun")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "3 steps" in found.stdout
    after = files(shared)
    assert after == before


def test_a_rebuilt_catalog_takes_the_shared_history_in_again(one: Machine, other: Machine) -> None:
    one.run()
    other.run(output="greet")
    for machine in (one, other):
        assert machine.memo("rebuild-catalog", "--force").returncode == 0
        found = machine.run(output="greet")
        assert (found.ran, found.value) == ([], HELLO)
    other.edit_equally()
    assert "-    return name.strip()" in other.memo("why", "pipeline.py", "clean").stdout
    assert other.run(output="greet").ran == ["clean"], "cut off by content"
    one.edit_otherwise()
    found = one.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet"], LOUD)
