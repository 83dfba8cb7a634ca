"""Two homes that share one place: what one has made the other takes, and nothing is taken that is not whole."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memo import (
    In,
    Nothing,
    Out,
    Output,
    RunResult,
    SourceHashVersionStrategy,
    execute_job,
    fs_io_manager,
    job,
    op,
    path_io_manager,
)
from memo.project.home import Home
from memo.project.settings import StorageSettings
from memo_iomanagers import link
from memo_iomanagers.places import place_at
from tests.conftest import Workspace

PIPELINE = """
    from memo import job, op
    from helpers import tidy

    @op
    def read() -> list:
        return [" ada", "grace".ljust(3000)]

    @op
    def clean(names: list) -> list:
        return [tidy(name) for name in names]

    @op
    def greet(names: list) -> str:
        return ("Hello " + " and ".join(names)).ljust(3000, "!")

    @job
    def greetings():
        greet(clean(read()))
"""

HELPERS = """
    def tidy(name):
        return name.strip()
"""


class Machine(Workspace):
    """A folder with the pipeline, and a home that shares a place with others."""

    def __init__(self, path: Path, remote: str, *, read_only: bool = False) -> None:
        super().__init__(path)
        path.mkdir()
        self.write("pipeline.py", PIPELINE)
        self.write("helpers.py", HELPERS)
        told = f'[storage]\nremote = "{remote}"\nread_only = {str(read_only).lower()}\n'
        (path / "memo.toml").write_text(told, encoding="utf-8")

    def edit_equally(self) -> None:
        """Change the helper, and not what it gives."""
        self.edit("helpers.py", "return name.strip()", "name = name.strip()\n    return name")

    def edit_otherwise(self) -> None:
        """Change what the helper gives."""
        self.edit("helpers.py", "strip()", "strip().upper()")


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def one(tmp_path: Path, shared: Path) -> Machine:
    return Machine(tmp_path / "one", str(shared))


@pytest.fixture
def other(tmp_path: Path, shared: Path) -> Machine:
    return Machine(tmp_path / "other", f"file://{shared}")


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


HELLO, LOUD = (repr(text.ljust(3000, "!")) for text in ("Hello ada and grace", "Hello ADA and GRACE"))
"""Too long to stand in a manifest, as is what `read` gives; what `clean` gives is not."""


class TestTwoHomes:
    def test_the_second_runs_nothing(self, one: Machine, other: Machine) -> None:
        assert one.run(output="greet").ran == ["clean", "greet", "read"]
        found = other.run(output="greet")

        assert (found.ran, found.value) == ([], HELLO)

    def test_only_what_is_read_is_fetched_and_then_read_from_here(self, one: Machine, other: Machine) -> None:
        one.run()
        other.run(output="greet")
        kept = [name for name in files(other.home / "storage") if name.startswith("data/")]
        assert len(kept) == 1

        shutil.rmtree(one.path.parent / "shared" / "data")
        assert other.run(output="greet").value == HELLO

    def test_cutoff_works_in_a_fresh_home_with_the_edited_code(self, one: Machine, other: Machine) -> None:
        one.run()
        other.edit_equally()
        found = other.run(output="greet")

        assert (found.ran, found.value) == (["clean"], HELLO)
        assert other.run().ran == []

    def test_cutoff_works_after_an_earlier_run(self, one: Machine, other: Machine) -> None:
        one.run()
        other.run()
        other.edit_equally()
        assert other.run().ran == ["clean"]
        one.edit_equally()
        assert one.run().ran == [], "what the other has found equal is known here"

    def test_another_value_runs_what_is_below(self, one: Machine, other: Machine) -> None:
        one.run()
        other.edit_otherwise()
        found = other.run(output="greet")

        assert (found.ran, found.value) == (["clean", "greet"], LOUD)
        assert one.run(output="greet").value == HELLO

    def test_cutoff_works_from_manifests_alone(self, one: Machine, other: Machine, shared: Path) -> None:
        one.run()
        shutil.rmtree(shared / "history")
        other.edit_equally()
        found = other.run(output="greet")

        assert (found.ran, found.value) == (["clean", "greet"], HELLO), "nothing tells what was equal"
        one.edit_otherwise()
        assert one.run(output="greet").value == LOUD

    def test_why_names_the_run_of_the_other_and_shows_the_diff(self, one: Machine, other: Machine) -> None:
        first = one.run()
        other.edit_otherwise()
        found = other.memo("why", "pipeline.py", "clean")

        assert found.returncode == 0, found.stderr
        assert f"what changed since run {first.run_id} on {os.uname().nodename}:" in found.stdout
        assert "-    return name.strip()" in found.stdout
        assert "+    return name.strip().upper()" in found.stdout
        told = json.loads(other.memo("why", "pipeline.py", "clean", "--json").stdout)
        assert told["elsewhere"]["run_id"] == first.run_id
        assert json.loads(other.memo("runs", "--json").stdout) == []

    def test_a_forecast_comes_with_it(self, one: Machine, other: Machine) -> None:
        one.run()
        steps = json.loads(other.memo("plan", "pipeline.py", "--json").stdout)["steps"]
        assert all(step["seconds"] is not None for step in steps)

    def test_worker_processes_share_too(self, one: Machine, other: Machine) -> None:
        one.run(max_concurrent=2)
        assert other.run(max_concurrent=2).ran == []

    def test_what_was_made_before_sharing_is_put_there_by_the_next_run(self, one: Machine, other: Machine) -> None:
        settings = (one.path / "memo.toml").read_text()
        (one.path / "memo.toml").write_text("")
        first = one.run()
        (one.path / "memo.toml").write_text(settings)
        assert one.run().ran == []

        other.edit_equally()
        assert first.run_id in other.memo("why", "pipeline.py", "clean").stdout
        assert other.run().ran == ["clean"]

    def test_a_read_only_home_takes_and_puts_nothing(self, one: Machine, tmp_path: Path, shared: Path) -> None:
        one.run()
        before = files(shared)
        reader = Machine(tmp_path / "reader", str(shared), read_only=True)
        assert reader.run(output="greet").value == HELLO
        reader.edit_otherwise()
        assert reader.run(output="greet").ran == ["clean", "greet"]
        reader.run(force=True)

        assert files(shared) == before

    def test_an_adopted_output_stays_at_home_with_what_is_made_of_it(self, one: Machine, other: Machine) -> None:
        one.write("names.json", '["eve"]')
        assert one.memo("adopt", "pipeline.py", "read", "names.json").returncode == 0
        assert one.run(output="greet").value == repr("Hello eve".ljust(3000, "!"))
        assert one.run().ran == []

        found = other.run(output="greet")
        assert (len(found.ran), found.value) == (3, HELLO)


class TestForce:
    """Steps that give another value each time: what stands below must be made of what is there."""

    SOURCE = """
        import os
        from memo import job, op

        @op
        def draw() -> str:
            return os.urandom(8).hex()

        @op
        def twice(drawn: str) -> str:
            return drawn + drawn

        @op
        def thrice(drawn: str, two: str) -> str:
            assert two == drawn + drawn
            return drawn + two

        @op
        def check(drawn: str, two: str, three: str) -> tuple:
            return drawn, two, three

        @job
        def draws():
            drawn = draw()
            two = twice(drawn)
            check(drawn, two, thrice(drawn, two))
    """

    @staticmethod
    def checked(machine: Machine, **given: Any) -> str:
        found = machine.run(output="check", **given)
        assert found.value is not None
        drawn, two, three = eval(found.value)
        assert (two, three) == (drawn * 2, drawn * 3)
        return str(drawn)

    @pytest.fixture(autouse=True)
    def _draws(self, one: Machine, other: Machine) -> None:
        for machine in (one, other):
            machine.write("pipeline.py", self.SOURCE)

    def test_what_is_forced_in_one_home_counts_in_the_other(self, one: Machine, other: Machine) -> None:
        before = self.checked(one)
        assert self.checked(other) == before
        after = self.checked(other, force=["draw"])
        assert after != before
        assert self.checked(one) == after

    def test_a_fresh_home_meets_no_mixture(self, one: Machine, tmp_path: Path, shared: Path) -> None:
        self.checked(one)
        after = self.checked(one, force=["draw"])
        third = Machine(tmp_path / "third", str(shared))
        third.write("pipeline.py", self.SOURCE)
        assert self.checked(third) == after

    def test_what_two_made_apart_becomes_one(self, one: Machine, other: Machine, shared: Path) -> None:
        (other.path / "memo.toml").write_text("")
        mine = self.checked(one)
        assert self.checked(other) != mine
        (other.path / "memo.toml").write_text(f'[storage]\nremote = "{shared}"\n')

        assert self.checked(other) == self.checked(one)

    def test_a_read_only_home_goes_its_own_way(self, one: Machine, tmp_path: Path, shared: Path) -> None:
        reader = Machine(tmp_path / "reader", str(shared), read_only=True)
        reader.write("pipeline.py", self.SOURCE)
        self.checked(reader)
        theirs = self.checked(one)
        assert self.checked(reader) == theirs, "what is shared counts"
        own = self.checked(reader, force=["draw"])
        assert own != theirs
        assert self.checked(reader) == own
        assert self.checked(one) == theirs


class TestDamage:
    @pytest.mark.parametrize("what", ["versioned", "data", "history"])
    @pytest.mark.parametrize("how", [b"", b"garbage", None], ids=["emptied", "garbled", "cut"])
    def test_it_is_told_of_and_the_values_are_right(
        self, one: Machine, other: Machine, shared: Path, what: str, how: bytes | None
    ) -> None:
        one.run()
        for path in (shared / what).rglob("*"):
            if path.is_file():
                path.write_bytes(path.read_bytes()[:-1] if how is None else how)
        other.edit_otherwise()
        told = other.memo("run", "pipeline.py")

        assert told.returncode == 0
        assert "whole" in told.stderr or "does not hold what was stored" in told.stderr
        found = other.run(output="greet")
        assert (found.ran, found.value) == ([], LOUD)
        again = Machine(other.path.parent / "again", str(shared))
        _, said = again.start(output="greet").process.communicate()
        assert ("OutputLostError" in said) == (what != "history"), "nothing but the result was read"
        assert again.run(output="greet").value == HELLO

    def test_a_damaged_copy_is_fetched_again(self, one: Machine, other: Machine) -> None:
        one.run()
        other.run(output="greet")
        (data,) = [path for path in (other.home / "storage" / "data").rglob("*") if path.is_file()]
        data.write_bytes(b"x" * data.stat().st_size)
        found = other.run(output="greet")
        assert (found.ran, found.value) == ([], HELLO)


class TestNoAnswer:
    def test_a_place_that_fails_is_told_of_once_and_the_run_goes_on(self, one: Machine, shared: Path) -> None:
        shared.write_text("a file")
        told = one.memo("run", "pipeline.py")

        assert told.returncode == 0
        assert told.stderr.count("the shared place") == 1
        found = one.run(output="greet")
        assert (found.ran, found.value) == ([], HELLO)
        shared.unlink()
        assert one.run().ran == []
        assert len([name for name in files(shared) if name.startswith("versioned/")]) == 3

    def test_one_that_never_answers_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        from threading import Event

        never = Event()
        place = link.Link(place_at("memory://never"), read_only=False, patience=0.05)
        with caplog.at_level(logging.WARNING), pytest.raises(link.UnreachableError):
            place.ask(lambda _: never.wait(30))
        assert not place.is_up
        assert place.names("history") == []
        assert place.put("a", b"") is None
        never.set()
        assert caplog.text.count("no answer in 0.05 s") == 1

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_one_that_may_not_be_written_to_is_read(self, one: Machine, other: Machine, shared: Path) -> None:
        one.run()
        for path in [shared, *shared.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        other.edit_otherwise()
        assert other.run(output="greet").value == LOUD


class TestSingleFlight:
    SOURCE = """
        import time
        from pathlib import Path
        from memo import job, op

        RAN = Path(__file__).parents[1] / "ran"

        def made(index):
            def body(parts: list) -> list:
                with RAN.open("a") as file:
                    file.write(f"{index}\\n")
                time.sleep(0.05)
                return [index, *parts]
            return op(name=f"s{index}")(body)

        STEPS = [made(index) for index in range(8)]

        @job
        def chain():
            found = []
            for index, step in enumerate(STEPS):
                found.append(step(found[-2:] if index % 3 else []))
    """

    def test_two_homes_that_run_one_cold_job_run_each_body_once(self, one: Machine, other: Machine) -> None:
        for machine in (one, other):
            machine.write("pipeline.py", self.SOURCE)
        started = [machine.start(output="s7") for machine in (one, other)]
        found = [each.result() for each in started]

        ran = (one.path.parent / "ran").read_text().split()
        assert sorted(ran) == sorted(str(index) for index in range(8))
        assert found[0].value == found[1].value
        assert not list((one.path.parent / "shared" / "claims").glob("*"))

    def test_what_a_killed_run_had_claimed_is_taken_over(self, one: Machine, other: Machine) -> None:
        source = """
            import os, sys
            from pathlib import Path
            from memo import job, op

            HERE = Path(__file__).parent

            @op
            def slow() -> int:
                if (HERE / "die").exists():
                    os._exit(9)
                return 1

            @job
            def dying():
                slow()
        """
        for machine in (one, other):
            machine.write("pipeline.py", source)
        (one.path / "die").touch()
        started = one.start()
        started.process.communicate()
        assert started.process.returncode == 9
        assert list((one.path.parent / "shared" / "claims").glob("*"))

        assert other.run(output="slow").value == "1"
        assert not list((one.path.parent / "shared" / "claims").glob("*"))


# In this process: what kinds of outputs are shared


@op
def array() -> np.ndarray[Any, Any]:
    return np.arange(100_000)


@op(ins={"after": In(Nothing)}, out=Out(Nothing))
def wait() -> None:
    return None


@op(out={"left": Out(int, is_required=False), "right": Out(int, is_required=False)})
def fork() -> Iterator[Output[int]]:
    yield Output(1, "left")


@op
def take(number: int) -> int:
    return number + 1


@op(out=Out(io_manager_key="paths"))
def folder() -> Path:
    base = Path(os.environ["MEMO_TEST_SCRATCH"]) / "written"
    shutil.rmtree(base, ignore_errors=True)
    (base / "sub").mkdir(parents=True)
    (base / "sub" / "a.txt").write_text("a")
    (base / "link").symlink_to("sub/a.txt")
    (base / "run.sh").write_text("#!/bin/sh")
    (base / "run.sh").chmod(0o755)
    return base


@op
def read_folder(base: Path) -> list[str]:
    assert os.access(base / "run.sh", os.X_OK)
    return [(base / "link").read_text(), *sorted(path.name for path in base.iterdir())]


@job(version_strategy=SourceHashVersionStrategy(), resource_defs={"paths": path_io_manager})
def kinds() -> None:
    wait(after=array())
    forked = fork()
    take.alias("take_left")(forked.left)
    take.alias("take_right")(forked.right)
    read_folder(folder())


def run(definition: Any, folder: Path, remote: str, **given: Any) -> RunResult:
    with Home(folder, StorageSettings(remote, read_only=given.pop("read_only", False))) as home:
        return execute_job(definition, instance=home, raise_on_error=True, **given)


def test_every_kind_of_output_is_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_TEST_SCRATCH", str(tmp_path))
    remote = str(tmp_path / "shared")
    made = run(kinds, tmp_path / "one", remote)
    assert {"array", "wait", "fork", "folder"} <= set(made.executed)
    with Home(tmp_path / "other", StorageSettings(remote)) as home:
        found = execute_job(kinds, instance=home)
        assert found.executed == []
        assert found.output_for_node("take_left") == 2
        assert found.output_for_node("read_folder") == ["a", "link", "run.sh", "sub"]
        loaded = found.output_for_node("array")
        assert (loaded == np.arange(100_000)).all()
        stored = found.output_for_node("folder")
        assert (stored / "link").read_text() == "a"
    assert str(stored).startswith(str(tmp_path / "other"))
    with Home(tmp_path / "other", StorageSettings(remote)) as home:
        shutil.rmtree(remote)
        again = execute_job(kinds, instance=home)
        assert (again.output_for_node("folder") / "sub" / "a.txt").read_text() == "a"
        assert (again.output_for_node("array") == loaded).all()


def test_an_io_manager_with_a_place_of_its_own_shares_nothing(tmp_path: Path) -> None:
    @op
    def single() -> int:
        return 1

    own = fs_io_manager.configured({"base_dir": str(tmp_path / "own")})

    @job(version_strategy=SourceHashVersionStrategy(), resource_defs={"io_manager": own})
    def alone() -> None:
        single()

    run(alone, tmp_path / "one", str(tmp_path / "shared"))
    assert not [name for name in files(tmp_path / "shared") if name.startswith("versioned/")]
