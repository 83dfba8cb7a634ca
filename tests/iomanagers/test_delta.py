"""Delta tables: one for each output of a step, each version of it found again by time travel."""

from __future__ import annotations

import signal
import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import MissingExtraError, OutputLostError, StorageError
from memo_iomanagers.delta import DeltaConfig, DeltaIOManager

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "50% of=it #1 é"


@pytest.fixture
def io_manager(base: Path) -> DeltaIOManager:
    return DeltaIOManager(base)


def output(version: str = "v", step: str = "daily_total") -> OutputContext:
    return OutputContext(step, "result", version, "run")


def load(io_manager: DeltaIOManager, context: OutputContext) -> Any:
    return io_manager.load_input(InputContext("value", context))


def latest(base: Path, name: str = "daily_total") -> DeltaTable:
    return DeltaTable(base / name)


def test_a_table_has_a_commit_for_each_version(io_manager: DeltaIOManager, base: Path) -> None:
    values = [
        pa.table({"a": [1]}),
        pa.table({"b": ["x"], "a": [2]}),
        pa.table({"a": [3.5]}),
        pa.table({"a": ["y"], "b": ["z"]}),
    ]
    for number, value in enumerate(values):
        io_manager.handle_output(output(f"v{number}"), value)
    for number, value in enumerate(values):
        assert load(io_manager, output(f"v{number}")).equals(value)
    table = latest(base)
    assert pa.table(table.to_pyarrow_table()).select(["a", "b"]).equals(values[-1])
    logs = [path.read_text() for path in sorted((base / "daily_total" / "_delta_log").glob("*.json"))]
    assert len(logs) == 4
    for number, log in enumerate(logs):
        assert f'"memo.version":"v{number}"' in log
        assert '"memo.step_key":"daily_total"' in log


def test_fields_in_another_order(io_manager: DeltaIOManager) -> None:
    first = pa.table({"s": [{"x": 1, "y": 2}], "z": [1]})
    second = pa.table({"z": [2], "s": [{"y": 5, "x": 6}]})
    for version, value in (("v1", first), ("v2", second)):
        io_manager.handle_output(output(version), value)
    assert load(io_manager, output("v1")).equals(first)
    assert load(io_manager, output("v2")).equals(second)


def test_another_step_finds_what_is_stored_under_its_version(io_manager: DeltaIOManager) -> None:
    io_manager.handle_output(output("v", "one"), pa.table({"a": [1]}))
    assert load(io_manager, output("v", "two")).to_pydict() == {"a": [1]}
    io_manager.handle_output(output("v", "two"), pa.table({"a": [2]}))
    assert load(io_manager, output("v", "one")).to_pydict() == {"a": [2]}


def test_what_people_write_is_no_version_of_ours(io_manager: DeltaIOManager, base: Path) -> None:
    io_manager.handle_output(output("v1"), pa.table({"a": [1]}))
    write_deltalake(base / "daily_total", pa.table({"a": [7]}), mode="append")
    latest(base).optimize.compact()
    latest(base).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, keep_versions=[0])
    assert load(io_manager, output("v1")).to_pydict() == {"a": [1]}
    io_manager.handle_output(output("v2"), pa.table({"a": [2]}))
    assert pa.table(latest(base).to_pyarrow_table()).to_pydict() == {"a": [2]}


def test_a_table_of_others_is_not_replaced(io_manager: DeltaIOManager, base: Path) -> None:
    write_deltalake(base / "daily_total", pa.table({"mine": [1]}))
    with pytest.raises(StorageError, match=r"^output .*daily_total is a Delta table that is not memo's"):
        io_manager.handle_output(output(), pa.table({"a": [1]}))
    assert not io_manager.has_output(output())
    assert pa.table(latest(base).to_pyarrow_table()).to_pydict() == {"mine": [1]}
    assert len(list((base / "daily_total").glob("*.parquet"))) == 1


def test_times_without_a_zone_after_a_table_without_them(io_manager: DeltaIOManager, base: Path) -> None:
    values = [pa.table({"a": [1]}), pa.table({"a": pa.array([1], pa.timestamp("us"))}), pa.table({"a": ["x"]})]
    for number, value in enumerate(values):
        io_manager.handle_output(output(f"v{number}"), value)
    assert [load(io_manager, output(f"v{number}")) for number in range(3)] == values
    assert latest(base).schema().to_arrow().types == [pa.string()]  # what people read is the last of them


def test_what_was_vacuumed_away_is_lost(io_manager: DeltaIOManager, base: Path) -> None:
    for version in ("v1", "v2"):
        io_manager.handle_output(output(version), pa.table({"a": [version]}))
    assert latest(base).vacuum(dry_run=True) == [], "Delta's own housekeeping would take away what is reused"
    latest(base).vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert load(io_manager, output("v2")).to_pydict() == {"a": ["v2"]}
    with pytest.raises(OutputLostError, match=r"daily_total at version 0: .*it counts as not stored"):
        load(io_manager, output("v1"))
    assert io_manager.has_outputs([output("v1"), output("v2")]) == [False, True]


def test_a_table_that_was_removed_or_made_anew(io_manager: DeltaIOManager, base: Path, caplog: Any) -> None:
    io_manager.handle_output(output("v1"), pa.table({"a": [1]}))
    (base / "daily_total").rename(base / "elsewhere")
    assert not io_manager.has_output(output("v1"))
    assert "daily_total is gone, and its manifest is there" in caplog.text
    io_manager.handle_output(output("v2"), pa.table({"a": [2]}))
    with pytest.raises(OutputLostError, match="daily_total does not hold what was stored"):
        load(io_manager, output("v1"))
    assert not io_manager.has_output(output("v1"))
    assert load(io_manager, output("v2")).to_pydict() == {"a": [2]}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b'{"format": 99}'])
def test_a_manifest_that_is_not_whole(io_manager: DeltaIOManager, base: Path, text: bytes, caplog: Any) -> None:
    io_manager.handle_output(output(), pa.table({"a": [1]}))
    (manifest,) = (base / "_memo").rglob("*.json")
    manifest.write_bytes(text)
    assert io_manager.has_outputs([output()]) == [False]
    assert "is not a whole manifest" in caplog.text
    with pytest.raises(OutputLostError, match="is not a whole manifest"):
        load(io_manager, output())


def test_a_manifest_of_another_output(io_manager: DeltaIOManager, base: Path) -> None:
    io_manager.handle_output(output("v1"), pa.table({"a": [1]}))
    io_manager.handle_output(output("v2"), pa.table({"a": [2]}))
    first, second = sorted((base / "_memo").rglob("*.json"))
    first.write_bytes(second.read_bytes())
    assert io_manager.has_outputs([output("v1"), output("v2")]) == [False, True]
    with pytest.raises(OutputLostError, match="is of another output"):
        load(io_manager, output("v1"))


def test_a_process_killed_before_the_manifest_leaves_nothing_that_counts(
    io_manager: DeltaIOManager, base: Path
) -> None:
    io_manager.handle_output(output("before"), pa.table({"a": [1]}))
    program = """
        import os, signal, sys
        import pyarrow as pa
        from memo.contracts.io_manager import OutputContext
        from memo_iomanagers.delta import DeltaIOManager

        class Killed(DeltaIOManager):
            def _commit(self, *args):
                super()._commit(*args)
                os.kill(os.getpid(), signal.SIGKILL)

        Killed(sys.argv[1]).handle_output(OutputContext("daily_total", "result", "killed", "run"), pa.table({"a": [9]}))
        """
    killed = subprocess.run([sys.executable, "-c", dedent(program), base], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert io_manager.has_outputs([output("before"), output("killed")]) == [True, False]
    assert load(io_manager, output("before")).to_pydict() == {"a": [1]}
    io_manager.handle_output(output("killed"), pa.table({"a": [2]}))
    assert load(io_manager, output("killed")).to_pydict() == {"a": [2]}


def test_processes_that_store_one_step_at_once(io_manager: DeltaIOManager, base: Path) -> None:
    program = """
        import sys
        import pyarrow as pa
        from memo.contracts.io_manager import OutputContext
        from memo_iomanagers.delta import DeltaIOManager
        for number in range(16):
            context = OutputContext("daily_total", "result", f"{sys.argv[2]}-{number}", "run")
            DeltaIOManager(sys.argv[1]).handle_output(context, pa.table({"n": [f"{sys.argv[2]}-{number}"]}))
        """
    arguments = [sys.executable, "-c", dedent(program), str(base)]
    processes = [subprocess.Popen([*arguments, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
    failed = [said for each in processes if (said := each.communicate(timeout=120)[1]) and each.returncode]
    assert not failed, failed[0]
    versions = [f"{name}-{number}" for name in "ab" for number in range(16)]
    assert all(io_manager.has_outputs([output(version) for version in versions]))
    assert [load(io_manager, output(version))["n"].to_pylist() for version in versions] == [[each] for each in versions]
    assert latest(base).version() == 31


def test_places_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="'memory://x' cannot be used: delta-rs keeps no tables in memory"):
        DeltaIOManager("memory://x")
    with pytest.raises(StorageError, match="base_dir 'nope://x' cannot be used"):
        DeltaIOManager("nope://x")
    with pytest.raises(StorageError, match=r"50%25' cannot be used: no folder of Delta's may hold %xx"):
        DeltaIOManager(tmp_path / "50%25")
    (tmp_path / "file").write_text("")
    io_manager = DeltaIOManager(tmp_path / "file")
    assert not io_manager.has_output(output())
    with pytest.raises(
        StorageError, match=r"^output .*could not be stored in .*a file stands where a folder should be"
    ):
        io_manager.handle_output(output(), pa.table({"a": [1]}))


def test_nothing_shows_the_options() -> None:
    assert "s3cret" not in repr(DeltaConfig("s3://b", {"aws_secret_access_key": "s3cret"}))


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(MissingExtraError, match=r"'deltalake': pip install 'memo-pipelines\[delta\]'"):
        DeltaIOManager(tmp_path)
