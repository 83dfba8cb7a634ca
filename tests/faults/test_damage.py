"""Every stored file of a finished run damaged in turn: the next run that reads is right, and names the file."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import shutil
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from memo import EventType, Reason, execute_job
from memo.definition.reference import JobReference
from memo.errors import HomeError, OutputLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.execution.result import RunResult

PIPELINE = """
    from pathlib import Path

    import numpy as np
    import pyarrow as pa
    from memo import In, Nothing, Out, Output, job, op
    from memo import json_io_manager, parquet_io_manager, path_io_manager, text_io_manager

    LARGE = 40_000

    @op
    def small():
        return {"a": 1, "b": [2.5, None]}

    @op
    def medium():
        return "x" * 5000

    @op
    def large():
        return ["x" * 300_000, bytes(range(256)) * 1000]

    @op
    def array():
        return np.arange(LARGE)

    @op
    def table():
        return pa.table({"x": list(range(LARGE)), "y": [1.5] * LARGE})

    @op(out=Out(io_manager_key="parquet"))
    def parquet():
        return pa.table({"x": list(range(1000))})

    @op(out=Out(io_manager_key="text"))
    def text():
        return "ein Text, länger als eine Zeile\\n" * 50

    @op(out=Out(io_manager_key="json"))
    def plain():
        return {"n": [1, 2, 3]}

    @op(out=Out(io_manager_key="folders"))
    def folder():
        made = Path("made")
        (made / "in").mkdir(parents=True, exist_ok=True)
        (made / "few").write_text("few bytes")
        (made / "in" / "many").write_bytes(b"many" * 50_000)
        return made

    @op(out={"yes": Out(is_required=False), "no": Out(is_required=False)})
    def branches():
        yield Output(3, "yes")

    @op
    def waited() -> None:
        pass

    @op(ins={"after": In(Nothing)})
    def last(parts: list):
        files = [path.read_bytes() for part in parts if isinstance(part, Path) for path in sorted(part.rglob("*"))
                 if path.is_file()]
        return files + [part for part in parts if not isinstance(part, Path)]

    @job(resource_defs={"parquet": parquet_io_manager, "text": text_io_manager, "json": json_io_manager,
                        "folders": path_io_manager})
    def kept():
        yes, no = branches()
        last([small(), medium(), large(), array(), table(), parquet(), text(), plain(), folder(), yes], after=waited())
"""


class Finished:
    """A home in which everything has been run, to be copied and damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "kept.py"
        self.file.write_text(dedent(PIPELINE).lstrip())
        self.value = self.run(folder / "home").output_for_node("last")
        storage = folder / "home" / "storage"
        files = sorted(str(path.relative_to(storage)) for path in kept(storage))
        step_of = {
            Path(name).name.split(".")[0]: json.loads((storage / name).read_bytes())["step_key"]
            for name in files
            if is_manifest(name)
        }
        # The last step is forced, so that everything else is read.
        self.step_of = {name: step_of[name.partition("versioned/")[2].split("/")[1].split(".")[0]] for name in files}
        self.files = [name for name in files if self.step_of[name] != "last"]
        self.count = 0

    def run(self, home: Path, **options: Any) -> RunResult:
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            return execute_job(JobReference(str(self.file)), home, **options)
        finally:
            os.chdir(before)

    def copy(self) -> Path:
        """The home as it was, times of modification included."""
        self.count += 1
        home = self.folder / f"home-{self.count}"
        shutil.copytree(self.folder / "home", home, symlinks=True)
        return home


def is_manifest(name: str) -> bool:
    return name.startswith("versioned/")


def kept(storage: Path) -> list[Path]:
    """Every file of an output that is stored under a version."""
    return [path for top in ("versioned", "data") for path in (storage / top).rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("finished"))


def other_of(path: Path, storage: Path) -> Path:
    """Another file of the kind: a manifest of another output, another value's data."""
    name = str(path.relative_to(storage))
    files = sorted(each for each in kept(storage) if each != path)
    alike = [each for each in files if is_manifest(str(each.relative_to(storage))) == is_manifest(name)]
    return next((each for each in alike if each.suffix == path.suffix), alike[0])


def write(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def flip_somewhere(path: Path, _storage: Path) -> None:
    data = path.read_bytes()
    # In a manifest: in the name of the data file.
    found = data.find(b'","size"') if path.suffix == ".json" else -1
    write(path, flip(data, len(data) // 2 if found < 0 else found - 12))


def move_over(path: Path, storage: Path) -> None:
    shutil.copy2(other_of(path, storage), f"{path}.new")
    os.replace(f"{path}.new", path)


def link_to_nowhere(path: Path, _storage: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


DAMAGES: dict[str, Callable[[Path, Path], object]] = {
    "truncated": lambda path, _: write(path, path.read_bytes()[:-1]),
    "cut in half": lambda path, _: write(path, path.read_bytes()[: path.stat().st_size // 2]),
    "emptied": lambda path, _: write(path, b""),
    "deleted": lambda path, _: path.unlink(),
    "replaced": lambda path, storage: write(path, other_of(path, storage).read_bytes()),
    "moved over": move_over,
    "flipped": flip_somewhere,
    "appended to": lambda path, _: write(path, path.read_bytes() + b" "),
    "a link to nowhere": link_to_nowhere,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_whatever_is_damaged_the_next_run_is_right_and_names_it(
    finished: Finished, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "memo.run")
    assert len(finished.files) > 20
    for name in finished.files:
        home = finished.copy()
        path = home / "storage" / name
        before = path.read_bytes()
        DAMAGES[damage](path, home / "storage")
        harmless = path.is_file() and (
            path.read_bytes() == before
            or (damage == "appended to" and is_manifest(name))
            # What only says that a step has run holds no value that is ever read.
            or (finished.step_of[name] == "waited" and path.stat().st_size == len(before))
        )
        caplog.clear()

        result = finished.run(home, force="last", raise_on_error=True)

        assert same(result.output_for_node("last"), finished.value), f"{name} {damage}"
        told = [record.getMessage() for record in caplog.records]
        told += [event.message for event in result.all_events if event.kind is EventType.OUTPUT_LOST]
        if damage in {"deleted", "a link to nowhere"} and is_manifest(name):
            reasons = {step.reason for step in result.plan.steps.values()}
            assert Reason.OUTPUT_MISSING in reasons, name
        elif not harmless:
            # Where the name in a manifest was changed, it is that of the data which is told.
            named = Path(name).name if damage != "flipped" else Path(name).name.partition(".")[0]
            assert any(named in each for each in told), f"{name} {damage}: {told}"
        again = finished.run(home, force="last", raise_on_error=True)
        assert same(again.output_for_node("last"), finished.value), f"{name} {damage}, again"
        assert again.executed == ["last"], f"{name} {damage}: {again.executed}"
        shutil.rmtree(home)


def same(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        bool((a == b).all()) if hasattr(a, "dtype") else bool(a == b) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("which", ["few", "many", ".npy"])
def test_what_was_met_damaged_from_outside_a_run_is_made_again_by_the_next(finished: Finished, which: str) -> None:
    home = finished.copy()
    (path,) = [home / "storage" / name for name in finished.files if name.endswith(which)]
    write(path, flip(path.read_bytes(), 5))
    step = finished.step_of[str(path.relative_to(home / "storage"))]
    reused = finished.run(home)
    assert reused.executed == []
    with pytest.raises(OutputLostError, match=re.escape(path.name)):
        reused.output_for_node(step)

    again = finished.run(home, force="last", raise_on_error=True)

    assert sorted(again.executed) == sorted([step, "last"])
    assert same(again.output_for_node("last"), finished.value)


def test_a_folder_in_the_place_of_a_manifest_is_told(finished: Finished) -> None:
    home = finished.copy()
    name = next(name for name in finished.files if is_manifest(name))
    (home / "storage" / name).unlink()
    (home / "storage" / name).mkdir()

    result = finished.run(home, force="last")

    (failed,) = result.get_failed_step_keys()
    assert "could not be stored as" in result.errors[failed].message
    assert result.errors[failed].message.endswith("a folder stands where a file should be")


def test_a_byte_that_a_failing_disk_changed_is_found_on_request(finished: Finished) -> None:
    home = finished.copy()
    flipped = {}
    for name in finished.files:
        path = home / "storage" / name
        if path.stat().st_size > 100_000 and path.suffix == ".pkl":
            before = path.stat()
            write(path, flip(path.read_bytes(), 50_000))
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
            flipped[name] = path
    assert flipped
    checking = {"resources": {"io_manager": {"config": {"verify": True}}}}

    result = finished.run(home, force="last", raise_on_error=True, run_config=checking)

    assert same(result.output_for_node("last"), finished.value)
    lost = [event.message for event in result.all_events if event.kind is EventType.OUTPUT_LOST]
    assert all(any(path.name in each for each in lost) for path in flipped.values())


# The catalog


CATALOG_DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "deleted": lambda data, _: b"",
    "truncated": lambda data, chance: data[: chance.randrange(1, len(data))],
    "zeroed": lambda data, _: bytes(len(data)),
    "replaced": lambda data, _: b"some notes\n" * 1000,
    **{f"flipped {number}": lambda data, chance: flip(data, chance.randrange(len(data))) for number in range(30)},
}


@pytest.mark.parametrize("damage", CATALOG_DAMAGES)
def test_a_damaged_catalog_never_makes_a_wrong_value(finished: Finished, damage: str) -> None:
    home = finished.copy()
    catalog = home / "catalog.db"
    damaged = CATALOG_DAMAGES[damage](catalog.read_bytes(), random.Random(damage))
    for path in home.glob("catalog.db*"):
        path.unlink()
    if damaged:
        catalog.write_bytes(damaged)

    try:
        result = finished.run(home, force="last", raise_on_error=True)
    except HomeError as error:
        assert "catalog.db" in str(error)  # noqa: PT017 - either of the two may be
        assert "memo rebuild-catalog" in str(error)  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        catalog.rename(home / "away")
        for path in home.glob("catalog.db-*"):
            path.unlink()
        result = finished.run(home, force="last", raise_on_error=True)

    assert same(result.output_for_node("last"), finished.value)
    assert result.executed == ["last"]
