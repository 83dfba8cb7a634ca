"""What an op wrote and returned the path of is kept, with all that is in it, and given on as a copy to be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import msgspec
import pytest

import memo
from memo import execute_job, job, op, path_io_manager
from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import OutputLostError, StorageError
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.manifest import sealed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTEXT = OutputContext("step", "result", "ab12", "run-1")


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    yield str(tmp_path / "outputs") if request.param == "folder" else f"memory://{tmp_path}"
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    root = tmp_path / "written/model.dir"
    (root / "deep/empty").mkdir(parents=True)
    (root / "deep/weights.bin").write_bytes(os.urandom(200_000))
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "na*me [1]?#%.txt").write_text("odd")
    (root / "..hidden").write_text("")
    (root / "deep/up").symlink_to("../run.sh")
    (root / "all").symlink_to("deep")
    return root


def put(place: Any, value: Any) -> Any:
    io_manager = FsIOManager(place, "path")
    io_manager.handle_output(CONTEXT, value)
    return get(io_manager)


def get(io_manager: FsIOManager) -> Any:
    return io_manager.load_input(InputContext("value", CONTEXT))


def tree(root: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(root)): (
            os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None,
            path.is_file() and bool(path.stat().st_mode & 0o100),
        )
        for path in [root, *root.rglob("*")]
    }


def test_a_folder_comes_back_with_all_that_is_in_it(place: str, written: Path) -> None:
    before = tree(written)
    loaded = put(place, written)
    assert isinstance(loaded, Path)
    assert loaded.name == "model.dir"
    assert loaded != written
    shutil.rmtree(written)
    assert tree(loaded) == before
    assert (loaded / "deep/up").read_text() == "#!/bin/sh\n"
    assert put(place, loaded).name == "model.dir"


def test_a_file_comes_back_under_its_name(place: str, written: Path) -> None:
    for value in (written / "run.sh", str(written / "run.sh")):
        loaded = put(place, value)
        assert type(loaded) is type(value)
        assert os.path.basename(loaded) == "run.sh"
        assert Path(loaded).read_text() == "#!/bin/sh\n"


def test_a_relative_path_and_a_link_are_what_they_lead_to(
    place: str, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(written)
    assert tree(put(place, Path("deep/empty"))) == {".": (None, False)}
    assert put(place, Path(".")).name == "model.dir"
    loaded = put(place, Path("deep/up"))
    assert (loaded.name, loaded.is_symlink(), loaded.read_text()) == ("up", False, "#!/bin/sh\n")


def test_the_copy_can_only_be_read(place: str, written: Path) -> None:
    loaded = put(place, written)
    modes = {path.name: path.stat().st_mode & 0o777 for path in loaded.rglob("*") if path.is_file()}
    assert modes["weights.bin"] == 0o444
    assert modes["run.sh"] == 0o555
    shutil.rmtree(loaded)  # as who cleans up does


def test_storing_again_leaves_one_copy(place: str, written: Path) -> None:
    for _ in range(3):
        put(place, written)
    memory = fsspec.filesystem("memory")
    found = memory.find(place) if place.startswith("memory") else [str(p) for p in Path(place).rglob("*")]
    assert len({name.split("/")[-1] for name in found if name.endswith(".tree.json")}) == 1
    assert len({part for name in found for part in name.split("/") if part.endswith(".tree.json.d")}) == 1


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda root: (root / "out").symlink_to("/etc/passwd"), "a link to '/etc/passwd', out of the folder"),
        (lambda root: (root / "deep/out").symlink_to("../../other"), "a link to '../../other', out of the folder"),
        (lambda root: (root / "gone").symlink_to("/nowhere"), "a link to '/nowhere', out of"),
        (lambda root: os.mkfifo(root / "pipe"), "is neither a file nor a folder nor a link"),
        (lambda root: open(os.fsencode(root) + b"/\xff", "w").close(), "is not UTF-8"),
    ],
)
def test_what_cannot_be_kept_is_named_and_nothing_is_left(
    place: str, written: Path, spoil: Callable[[Path], object], why: str
) -> None:
    spoil(written)
    with pytest.raises(StorageError, match=why) as raised:
        put(place, written)
    assert "\n" not in str(raised.value)
    memory = fsspec.filesystem("memory")
    left = memory.find(place) if place.startswith("memory") else [p for p in Path(place).rglob("*.*") if p.is_file()]
    assert left == []
    assert not FsIOManager(place, "path").has_output(CONTEXT)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda file: os.truncate(file, 100),
    "emptied": lambda file: os.truncate(file, 0),
    "deleted": lambda file: file.unlink(),
    "another size": lambda file: file.write_bytes(b"x"),
    "a folder now": lambda file: without(file).mkdir(),
    "a link now": lambda file: without(file).symlink_to("/etc/passwd"),
    "written to": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "replaced": lambda file: without(file).write_bytes(bytes(200_000)),
}


def without(file: Path) -> Path:
    file.unlink()
    return file


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_copy_is_a_miss_that_names_the_file(
    tmp_path: Path, written: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    io_manager = FsIOManager(tmp_path / "outputs", "path")
    loaded = put(tmp_path / "outputs", written)
    file = loaded / "deep/weights.bin"
    file.chmod(0o644)
    DAMAGES[damage](file)
    if damage not in {"written to", "replaced"}:
        assert not io_manager.has_output(CONTEXT)
        assert str(file) in caplog.text
    with pytest.raises(OutputLostError, match=str(file)):
        get(io_manager)
    assert (put(tmp_path / "outputs", written) / "deep/weights.bin").stat().st_size == 200_000


def test_what_was_added_to_a_copy_is_seen(tmp_path: Path, written: Path) -> None:
    loaded = put(tmp_path / "outputs", written)
    (loaded / "deep/new").write_text("")
    with pytest.raises(OutputLostError, match=r"does not tell of .*deep/new, which is there"):
        get(FsIOManager(tmp_path / "outputs", "path"))


def test_a_copy_elsewhere_that_is_damaged_is_a_miss(written: Path) -> None:
    memory = fsspec.filesystem("memory")
    try:
        FsIOManager("memory://damaged", "path").handle_output(CONTEXT, written)
        (name,) = [name for name in memory.find("/damaged") if memory.size(name) == 200_000]
        memory.pipe_file(name, bytes(200_000))
        with pytest.raises(OutputLostError, match=r"weights\.bin', which does not hold what was stored"):
            get(FsIOManager("memory://damaged", "path"))
        with pytest.raises(OutputLostError, match="is not stored"):  # it has been set aside
            get(FsIOManager("memory://damaged", "path"))

        FsIOManager("memory://damaged", "path").handle_output(CONTEXT, written)
        (name,) = [each for each in memory.find("/damaged") if memory.size(each) == 200_000 and each != name]
        memory.rm_file(name)
        with pytest.raises(OutputLostError, match=r"weights\.bin', which is gone"):
            get(FsIOManager("memory://damaged", "path"))
    finally:
        memory.store.clear()


@pytest.mark.parametrize(
    "entry",
    [
        {"path": "../out", "kind": "file"},
        {"path": "/etc/passwd", "kind": "file"},
        {"path": "model/../../out", "kind": "file"},
        {"path": "other", "kind": "file"},
        {"path": "model/l", "kind": "link", "target": "../../out"},
        {"path": "model/l", "kind": "link", "target": "/etc/passwd"},
        {"path": "model/a\0b", "kind": "file"},
        {"path": "", "kind": "folder"},
    ],
)
def test_a_listing_that_leads_out_of_its_folder_is_not_followed(tmp_path: Path, entry: Any) -> None:
    from xxhash import xxh3_128_hexdigest

    (tmp_path / "model").mkdir()
    put(tmp_path / "outputs", tmp_path / "model")
    (listing,) = (tmp_path / "outputs").rglob("*.tree.json")
    raw = msgspec.json.encode([{"path": "model", "kind": "folder"}, entry])
    listing.write_bytes(raw)
    manifest = tmp_path / "outputs/versioned/ab/ab12.result.json"
    told = msgspec.json.decode(manifest.read_bytes()) | {"size": len(raw), "digest": xxh3_128_hexdigest(raw)}
    manifest.write_bytes(sealed(msgspec.json.encode(told)))
    with pytest.raises(OutputLostError, match="which is no place of its own"):
        get(FsIOManager(tmp_path / "outputs", "path"))


def test_what_was_fetched_goes_with_the_process(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from memo.contracts.io_manager import InputContext, OutputContext
from memo_iomanagers.filesystem import FsIOManager
Path("a.txt").write_text("a")
io_manager = FsIOManager("memory://fetched", "path")
context = OutputContext("step", "result", "v", "run")
io_manager.handle_output(context, Path("a.txt"))
first, second = (io_manager.load_input(InputContext("value", context)) for _ in range(2))
assert first == second and first.read_text() == "a"
print(first)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert not Path(ended.stdout.strip()).exists()
    assert not Path(ended.stdout.strip()).parent.exists()


# In a job.


def job_of(folder: Path, text: str, version: str) -> Any:
    @op(name="write", version=version, out=memo.Out(io_manager_key="files"))
    def write() -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "report.txt").write_text(text)
        return folder / "report.txt"

    @op(name="read", version="1")
    def read(path: Path) -> str:
        return path.read_text()

    @job(name="reporting", resource_defs={"files": path_io_manager})
    def reporting() -> None:
        read(write())

    return reporting


def started(result: Any) -> list[str]:
    return [event.step_key for event in result.all_events if event.kind == "STEP_START"]


def test_a_path_counts_by_what_it_leads_to(tmp_path: Path) -> None:
    home, folder = tmp_path / ".memo", tmp_path / "work"
    first = execute_job(job_of(folder, "one", "1"), home)
    assert first.output_for_node("read") == "one"
    assert first.output_for_node("write").read_text() == "one"
    shutil.rmtree(folder)
    assert started(execute_job(job_of(folder, "one", "1"), home)) == []
    assert started(execute_job(job_of(folder, "one", "2"), home)) == ["write"]
    changed = execute_job(job_of(folder, "two", "3"), home)
    assert started(changed) == ["write", "read"]
    assert changed.output_for_node("read") == "two"


def test_a_copy_that_is_gone_is_made_again(tmp_path: Path) -> None:
    home, folder = tmp_path / ".memo", tmp_path / "work"
    result = execute_job(job_of(folder, "one", "1"), home)
    result.output_for_node("write").unlink()
    plan = memo.plan_job(job_of(folder, "one", "1"), instance=home)
    assert [str(step.verdict) for step in plan.steps.values()] != ["REUSE", "REUSE"]


def test_verify_compares_what_paths_lead_to(tmp_path: Path) -> None:
    home, folder = tmp_path / ".memo", tmp_path / "work"
    execute_job(job_of(folder, "one", "1"), home)
    same = memo.verify_job(job_of(folder, "one", "1"), instance=home)
    assert [step.outcome for step in same.steps.values()] == ["SAME", "SAME"]
    other = memo.verify_job(job_of(folder, "two", "1"), instance=home)
    assert {key: step.outcome for key, step in other.steps.items()}["write"] == "DIFFERS"
