"""What dead processes left half-stored goes with the next run; what living ones are storing stays."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from memo import execute_job
from memo.catalog import Catalog
from memo.contracts.io_manager import InputContext, OutputContext
from memo.contracts.run_store import Claim
from memo.definition.reference import JobReference
from memo.execution.processes import this_process
from memo_iomanagers.filesystem import FsIOManager
from tests.faults.conftest import half_stored, until

if TYPE_CHECKING:
    from tests.faults.conftest import Starter

CONTEXT = OutputContext("step", "result", "ab12", "run")

HOLDS = """
    import sys
    from pathlib import Path
    from memo_iomanagers.filesystem import FsIOManager
    from memo.contracts.io_manager import OutputContext

    class Waits:
        def __reduce__(self):
            Path("inside").touch()
            while not Path("go").exists():
                pass
            return (int, ())

    manager = FsIOManager({place!r}, journal_dir="here")
    manager.handle_output(OutputContext("step", "result", "ab12", "run"), [b"x" * 100_000, Waits()])
"""


def test_what_a_living_process_is_storing_is_left_alone(tmp_path: Path, starter: Starter) -> None:
    storage = tmp_path / "storage"
    process = starter.start(tmp_path, code=dedent(HOLDS.format(place=str(storage))))
    until((tmp_path / "inside").exists)
    before = half_stored(storage)
    assert len(before) == 2  # its data, and its note of it

    other = FsIOManager(storage)
    for _ in range(3):
        other.sweep()
        FsIOManager(storage).handle_output(OutputContext("step", "result", "cd34", "run"), 1)
    assert [each for each in half_stored(storage) if each in before] == before
    (tmp_path / "go").touch()
    assert process.code() == 0, process.text()

    gc.collect()
    assert half_stored(storage) == []
    assert other.load_input(InputContext("value", CONTEXT)) == [b"x" * 100_000, 0]


def test_once_it_is_killed_it_is_removed_and_nothing_else(tmp_path: Path, starter: Starter) -> None:
    storage = tmp_path / "storage"
    (storage / "versioned" / "ab").mkdir(parents=True)
    mine = storage / "versioned" / "ab" / "notes.txt"
    mine.write_text("somebody's own")
    process = starter.start(tmp_path, code=dedent(HOLDS.format(place=str(storage))))
    until((tmp_path / "inside").exists)
    process.kill()
    process.code()

    FsIOManager(storage).sweep()

    assert [path for path in storage.rglob("*") if path.is_file()] == [mine]


ELSEWHERE = """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    class Elsewhere(LocalFileSystem):
        protocol = "elsewhere"

    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
"""


def test_a_place_elsewhere_is_swept_by_what_is_noted_in_the_home(tmp_path: Path, starter: Starter) -> None:
    url = f"elsewhere://{tmp_path}/elsewhere"
    process = starter.start(tmp_path, code=dedent(ELSEWHERE) + dedent(HOLDS.format(place=url)))
    until((tmp_path / "inside").exists)
    process.kill()
    process.code()
    assert list((tmp_path / "elsewhere").rglob("*.pkl"))
    exec(dedent(ELSEWHERE), {})

    FsIOManager("memory://another", journal_dir=str(tmp_path / "here")).sweep()
    assert list((tmp_path / "elsewhere").rglob("*.pkl"))
    FsIOManager(url, journal_dir=str(tmp_path / "here")).sweep()

    assert not list((tmp_path / "elsewhere").rglob("*.pkl"))
    assert not list((tmp_path / "here" / "writing").iterdir())


def test_what_is_unfinished_when_a_process_ends_is_left_to_the_next(tmp_path: Path, starter: Starter) -> None:
    """As a store that goes on in a thread of the user's when the interpreter ends."""
    storage = tmp_path / "storage"
    code = dedent(HOLDS.format(place=str(storage))).replace(
        "manager.handle_output(", "import threading\nthreading.Thread(daemon=True, target=manager.handle_output, args=("
    )
    code = code.rstrip().removesuffix(")") + ")).start()\nwhile not Path('inside').exists(): pass\n"
    process = starter.run(tmp_path, code=code)
    assert process.code() == 0, process.text()
    assert len(half_stored(storage)) == 2

    FsIOManager(storage).sweep()

    assert half_stored(storage) == []


@pytest.mark.parametrize("junk", [b"", b"[", b"not a line", b'["a", 5]\n["../../x", ["../../mine"]]\n'])
def test_a_journal_that_is_none_does_no_harm(tmp_path: Path, junk: bytes) -> None:
    storage = tmp_path / "storage"
    (storage / "writing").mkdir(parents=True)
    (storage / "writing" / "0123").write_bytes(junk)
    (tmp_path / "mine").write_text("mine")
    (tmp_path.parent / "mine").write_text("mine")

    FsIOManager(storage).sweep()

    assert (tmp_path / "mine").exists()
    assert (tmp_path.parent / "mine").exists()
    assert half_stored(storage) == []


def test_many_outputs_make_no_long_journal(tmp_path: Path) -> None:
    manager = FsIOManager(tmp_path)
    for number in range(1500):
        manager.handle_output(OutputContext("step", "result", f"v{number}", "run"), number)
    (journal,) = (tmp_path / "writing").iterdir()
    assert 0 < journal.stat().st_size < 80_000


PIPELINE = """
    from memo import job, op

    @op
    def one() -> int:
        return 1

    @job
    def small():
        one()
"""


@pytest.fixture
def target(tmp_path: Path) -> JobReference:
    (tmp_path / "small.py").write_text(dedent(PIPELINE).lstrip())
    return JobReference(str(tmp_path / "small.py"))


def test_claims_of_the_dead_end_and_those_of_others_stay(
    tmp_path: Path, target: JobReference, starter: Starter
) -> None:
    home = tmp_path / "home"
    execute_job(target, home, raise_on_error=True)
    here = this_process()
    dead = starter.run(tmp_path, code="pass")
    claims = {
        "dead": Claim("dead", "r1", "s", here.host, dead.pid, "1", 0.0),
        "living": Claim("living", "r2", "s", here.host, here.pid, here.started, 0.0),
        "elsewhere": Claim("elsewhere", "r3", "s", "another machine", 1, "1", 0.0),
    }
    with Catalog.open(home / "catalog.db") as catalog:
        for each in claims.values():
            catalog.claim(each, since=None)

    assert execute_job(target, home, raise_on_error=True).executed == []

    with Catalog.open(home / "catalog.db") as catalog:
        assert {each.version for each in catalog.all_claims()} == {"living", "elsewhere"}


def test_a_claim_that_was_taken_over_is_not_ended_for_the_former(tmp_path: Path) -> None:
    here = this_process()
    former = Claim("v", "r1", "s", here.host, 1, "1", 0.0)
    latter = Claim("v", "r1", "s", here.host, here.pid, here.started, 0.0)
    with Catalog.open(tmp_path / "catalog.db") as catalog:
        catalog.claim(former, since=None)
        catalog.claim(latter, since=None, gone=former)
        catalog.forget_claims([former])
        assert list(catalog.all_claims()) == [latter]


def test_an_io_manager_that_cannot_sweep_fails_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "own.py").write_text(
        dedent("""
        from memo import MemoizableIOManager, job, op

        class Own(MemoizableIOManager):
            values = {}
            def sweep(self): raise RuntimeError("no broom")
            def handle_output(self, context, obj): self.values[context.version] = obj
            def load_input(self, context): return self.values[context.upstream_output.version]
            def has_output(self, context): return context.version in self.values

        @op
        def one() -> int: return 1

        @job(resource_defs={"io_manager": Own()})
        def own(): one()
        """)
    )
    result: Any = execute_job(JobReference(str(tmp_path / "own.py")), tmp_path / "home", raise_on_error=True)

    assert result.output_for_node("one") == 1
    assert "'io_manager' could not remove what killed runs left" in caplog.text


def test_planning_and_reading_write_nothing(tmp_path: Path, target: JobReference) -> None:
    from memo import plan_job

    home = tmp_path / "home"
    execute_job(target, home, raise_on_error=True)
    gc.collect()
    before = sorted((str(path), path.stat().st_mtime_ns) for path in (home / "storage").rglob("*"))

    plan_job(target.load(), instance=home)
    assert execute_job(target, home).output_for_node("one") == 1

    assert sorted((str(path), path.stat().st_mtime_ns) for path in (home / "storage").rglob("*")) == before
    assert os.listdir(home / "storage" / "writing") == []
