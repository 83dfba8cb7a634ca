"""`memo ls`, `memo du`, `memo gc`, `memo verify` of bytes, `memo rebuild-catalog`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.test_program import completed

if TYPE_CHECKING:
    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def columns(line: str) -> list[str]:
    return re.split(r" {2,}", line.strip())


def stored_files(workspace: Workspace) -> list[Path]:
    return [path for path in (workspace.home / "storage").rglob("*") if path.is_file()]


DISTANT = """
    from memo import fs_io_manager, job, op

    @op
    def far():
        return 1

    @job(resource_defs={"io_manager": fs_io_manager.configured({"base_dir": "outside"})})
    def distant():
        far()
"""


@pytest.fixture
def two(daily: Workspace, ok: Memo) -> Workspace:
    """Three steps that have run, and two of them again after an edit; the third was cut off.

    All values are too large to stand in their manifests.
    """
    daily.edit("daily.py", "return 20", "return 20 << 20_000")
    daily.edit("daily.py", 'context.op_config["limit"])', 'context.op_config["limit"]) << 20_000')
    daily.edit("daily.py", "{number}", "{number:x}")
    ok("run", "daily.py")
    daily.edit("daily.py", "return 20", "return 21")
    ok("run", "daily.py")
    return daily


# What is there


def test_ls_lists_each_output(two: Workspace, ok: Memo) -> None:
    header, *lines, last = ok("ls").stdout.splitlines()
    assert columns(header) == ["STEP", "OUTPUT", "VERSION", "SIZE", "AGE", "TO MAKE AGAIN", "JOB"]
    assert sorted(columns(line)[0] for line in lines) == ["clean", "clean", "load", "load", "report"]
    assert all(re.fullmatch(r"[0-9a-f]{12}", columns(line)[2]) for line in lines)
    assert {columns(line)[-1] for line in lines} == {"daily"}
    assert re.fullmatch(r"5 outputs, (.* kB); \1 in all", last)


def test_ls_of_a_target_says_what_its_plan_needs(two: Workspace, ok: Memo) -> None:
    header, *lines, _ = ok("ls", "daily.py").stdout.splitlines()
    assert columns(header)[0] == "STATE"
    states = sorted(tuple(columns(line)[:2]) for line in lines)
    assert states == [
        ("current", "clean"),
        ("current", "load"),
        ("current", "report"),  # under its former version, as its inputs have the same content
        ("outdated", "clean"),
        ("outdated", "load"),
    ]
    found = result(ok("ls", "daily.py", "--json", "--set", "ops.clean.config.limit=4"))
    assert sorted(each["step"] for each in found["outputs"] if each["current"]) == ["load"]


def test_ls_filters_sorts_and_limits(two: Workspace, ok: Memo) -> None:
    two.write(
        "other.py",
        """
        from memo import Out, job, op

        @op(out=Out())
        def big():
            return b"x" * 9000

        @job
        def second():
            big()
        """,
    )
    ok("run", "other.py")
    found = result(ok("ls", "--json"))
    assert [each["output_bytes"] for each in found["outputs"]] == sorted(
        (each["output_bytes"] for each in found["outputs"]), reverse=True
    )
    assert found["outputs"][0]["step"] == "big"
    assert found["total_bytes"] == sum(path.stat().st_size for path in stored_files(two))
    used = [each["used_at"] for each in result(ok("ls", "--json", "--sort", "age"))["outputs"]]
    assert used == sorted(used)
    assert [each["step"] for each in result(ok("ls", "--json", "--job", "second"))["outputs"]] == ["big"]
    only = result(ok("ls", "--json", "--step", "load", "--limit", "1"))
    assert ([each["step"] for each in only["outputs"]], only["count"]) == (["load"], 2)
    assert "2 outputs" in ok("ls", "--step", "load", "--limit", "1").stdout
    assert "1 of them shown" in ok("ls", "--step", "load", "--limit", "1").stdout
    assert ok("ls", "--job", "third").stdout == ""
    assert completed(two, "ls", "--job", "s") == ["second"]


def test_markers_are_told_with_their_outputs(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "pipeline.py",
        """
        from memo import In, Nothing, Out, Output, job, op

        @op(out={"yes": Out(is_required=False), "no": Out(is_required=False)})
        def perhaps():
            yield Output(1, "yes")

        @op(ins={"after": In(Nothing)}, out=Out(Nothing))
        def tell():
            pass

        @job
        def marks():
            yes, no = perhaps()
            tell(after=yes)
        """,
    )
    ok("run", "pipeline.py")
    found = {(each["step"], each["output"]): each["kind"] for each in result(ok("ls", "--json"))["outputs"]}
    assert found == {("perhaps", "yes"): "value", ("perhaps", "no"): "skipped", ("tell", "result"): "nothing"}
    (workspace.home / "catalog.db").unlink()
    assert "a new catalog of 2 steps with 4 outputs" in ok("rebuild-catalog").stdout
    plan = result(ok("plan", "pipeline.py", "--json"))
    assert {step["verdict"] for step in plan["steps"]} == {"REUSE"}
    ok("gc", "--older-than", "0s")
    assert result(ok("ls", "--json"))["outputs"] == []


def test_du_sums_up_by_job_step_and_age(two: Workspace, ok: Memo) -> None:
    total = sum(path.stat().st_size for path in stored_files(two))
    for by, names in (("job", {"daily"}), ("step", {"load", "clean", "report"}), ("age", {"used within a day"})):
        found = result(ok("du", "--by", by, "--json"))
        assert {each[by] for each in found["groups"]} == names
        assert sum(each["bytes"] for each in found["groups"]) == found["total_bytes"] == total
        assert sum(each["outputs"] for each in found["groups"]) == 5
    header, line, last = ok("du").stdout.splitlines()
    assert columns(header) == ["JOB", "OUTPUTS", "SIZE", "TO MAKE AGAIN"]
    assert columns(line)[:2] == ["daily", "5"]
    assert columns(last)[:2] == ["total", "5"]


def test_du_tells_what_else_takes_room_and_what_is_not_counted(two: Workspace, ok: Memo) -> None:
    storage = two.home / "storage"
    (storage / "delta").mkdir()
    (storage / "delta/part").write_bytes(b"x" * 1000)
    (storage / "data/left.0123.pkl").write_bytes(b"x" * 10)
    two.write("elsewhere.py", DISTANT)
    ok("run", "elsewhere.py")
    found = result(ok("du", "--json"))
    assert (found["other_bytes"], found["unnamed_bytes"]) == (1000, 10)
    assert found["not_counted"] == {"io_manager": 1}
    assert found["total_bytes"] == sum(path.stat().st_size for path in stored_files(two))
    done = ok("du")
    assert "databases and tables, not counted by step" in done.stdout
    assert "of no output: `memo gc` removes them" in done.stdout
    assert "not counted: 1 output stored by 'io_manager' outside of the home's own files" in done.stderr


@pytest.mark.parametrize("command", [["ls"], ["du"], ["gc", "--keep-runs", "1"], ["verify"]])
def test_an_empty_home_is_no_error(workspace: Workspace, ok: Memo, command: list[str]) -> None:
    ok(*command)
    ok(*command, "--json")
    assert not workspace.home.exists()


# What goes


def test_gc_says_what_goes_and_what_it_costs(two: Workspace, ok: Memo) -> None:
    dry = ok("gc", "--keep-runs", "1", "--dry-run").stdout
    header, first, second, *rest = dry.splitlines()
    assert columns(header) == ["STEP", "VERSION", "SIZE", "AGE", "TO MAKE AGAIN", "JOB"]
    assert {columns(first)[0], columns(second)[0]} == {"load", "clean"}
    assert re.match(r"would go: the outputs of 2 steps, .* kB; making them all again takes ", rest[0])
    assert re.match(r"would go: logs and events of 1 run, ", rest[1])
    assert re.match(r"kept: .* as a latest run used it", rest[2])
    assert re.fullmatch(r".* would be left of .*", rest[3])
    assert len(result(ok("ls", "--json"))["outputs"]) == 5
    done = ok("gc", "--keep-runs", "1").stdout
    assert (
        done.replace("gone", "would go").replace("are left", "would be left").splitlines()[3:] == dry.splitlines()[3:]
    )
    assert len(result(ok("ls", "--json"))["outputs"]) == 3
    assert {step["verdict"] for step in result(ok("plan", "daily.py", "--json"))["steps"]} == {"REUSE"}
    assert len(result(ok("runs", "--json"))) == 2
    assert "was removed by `memo gc`" in ok("logs", result(ok("runs", "--json"))[1]["run_id"]).stderr


def test_gc_as_json(two: Workspace, ok: Memo) -> None:
    found = result(ok("gc", "--max-size", "0", "--json"))
    assert len(found["evicted"]) == 5
    assert found["bytes_after"] == 0
    assert found["is_met"] is True
    assert {"job", "step", "version", "bytes", "seconds", "used_at"} <= found["evicted"][0].keys()
    assert stored_files(two) == []


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "say what may stay"),
        (["--dry-run"], "say what may stay"),
        (["--keep-runs", "0"], "0 is not in the range"),
        (["--max-size", "5XB"], "'5XB' is no size; write one as 500MB, 50GB or 1.5TiB"),
        (["--max-size", "-5"], "'-5' is no size"),
        (["--max-size", "nanGB"], "is no size"),
        (["--older-than", "30"], "'30' is no age; write one as 30d, 12h, 2w or 90s"),
        (["--older-than", "d"], "'d' is no age"),
    ],
)
def test_gc_of_bad_input(two: Workspace, memo: Memo, args: list[str], said: str) -> None:
    done = memo("gc", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(stored_files(two)) == 10


@pytest.mark.parametrize(
    ("given", "size"), [("50GB", 50e9), ("1.5TiB", 1.5 * 2**40), ("12", 12), ("7kb", 7000), ("2 MiB", 2 * 2**20)]
)
def test_sizes(given: str, size: float) -> None:
    from memo.cli.amounts import size_option

    assert size_option(None, None, given) == size  # type: ignore[arg-type]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_gc_of_a_home_that_may_not_be_written(two: Workspace, memo: Memo) -> None:
    two.home.chmod(0o555)
    try:
        done = memo("gc", "--keep-runs", "1")
    finally:
        two.home.chmod(0o755)
    assert done.returncode == 2
    assert "the home is read-only" in done.stderr


def test_gc_that_is_interrupted_leaves_what_is_left_whole(two: Workspace, ok: Memo) -> None:
    ready = two.path / "ready"
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from memo_iomanagers import stocktaking\n"
        "remove = stocktaking._remove\n"
        f"def slow(place, path):\n    remove(place, path)\n    Path({str(ready)!r}).touch()\n    time.sleep(60)\n"
        "stocktaking._remove = slow\n"
        "from memo.cli.program import run_program\n"
        "sys.exit(run_program(['gc', '--max-size', '0']))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=two.path, env=two.environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 60
        while not ready.exists():
            assert time.monotonic() < end
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == "interrupted\n"
    finally:
        process.kill()
    assert process.returncode == 130
    found = result(ok("ls", "--json"))
    assert (len(found["outputs"]), found["damaged_bytes"]) == (4, 0)
    assert found["unnamed_bytes"] > 0
    ok("verify")
    ok("run", "daily.py")


# What is damaged


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_verify_finds_a_flipped_byte_and_moves_it_aside(two: Workspace, ok: Memo, memo: Memo) -> None:
    assert ok("verify").stdout.endswith("all as they were stored\n")
    data = min((two.home / "storage/data").rglob("*.pkl"))
    manifest = max((two.home / "storage/versioned").rglob("*.json"))
    flip(data)
    flip(manifest)
    left = memo("verify", "--no-quarantine")
    assert left.returncode == 1
    assert left.stdout.count("DAMAGED") == left.stdout.count("left where it is") == 2
    assert "its digest differs" in left.stdout
    done = memo("verify")
    assert done.returncode == 1
    assert done.stdout.count("moved to ") == 2
    assert re.search(r"5 outputs read, .* kB: 2 damaged", done.stdout)
    assert not data.exists()
    assert len(list((two.home / "storage/quarantine").iterdir())) == 2
    assert ok("verify").stdout.startswith("3 outputs read")
    again = ok("run", "daily.py")
    assert "Traceback" not in again.stderr
    assert "in quarantine" in ok("du").stdout


def test_verify_as_json(two: Workspace, memo: Memo) -> None:
    data = min((two.home / "storage/data").rglob("*.pkl"))
    flip(data)
    done = memo("verify", "--json")
    assert done.returncode == 1
    (damaged,) = result(done)["damaged"]
    assert damaged["place"] == str(data)
    assert damaged["step"] in {"load", "clean", "report"}
    assert Path(damaged["moved_to"], data.name).is_file()
    assert Path(damaged["moved_to"], "manifest.json").is_file()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--rerun"], "--rerun runs the steps of a job again: name it"),
        (["daily.py"], "say how to verify: --rerun runs its stored steps again"),
        (["daily.py", "--rerun", "--no-quarantine"], "--no-quarantine is for damaged bytes"),
        (["--select", "load", "--sample", "10%"], "--select, --sample goes with a TARGET and --rerun"),
    ],
)
def test_verify_of_bad_input(two: Workspace, memo: Memo, args: list[str], said: str) -> None:
    done = memo("verify", *args)
    assert done.returncode == 2
    assert said in done.stderr


# A lost catalog


@pytest.mark.parametrize("harm", ["lost", "garbled", "cut", "foreign"])
def test_a_lost_catalog_is_made_anew(two: Workspace, ok: Memo, harm: str) -> None:
    catalog = two.home / "catalog.db"
    whole = catalog.read_bytes()
    if harm == "lost":
        catalog.unlink()
    else:
        catalog.write_bytes(
            {
                "garbled": whole[:4096] + bytes(len(whole) - 4096),
                "cut": whole[: len(whole) // 2],
                "foreign": b"something else" * 100,
            }[harm]
        )
    done = ok("rebuild-catalog")
    assert done.stdout.startswith("a new catalog of 5 steps with 5 outputs\n")
    assert "not in it" in done.stderr
    aside = list(two.home.glob("catalog.db.*.damaged"))
    assert len(aside) == (harm != "lost")
    assert not aside or f"the old one is {aside[0]}" in done.stdout
    assert sorted(path.name for path in two.home.glob("catalog.db*.rebuilding*")) == []
    plan = result(ok("plan", "daily.py", "--json"))
    assert {step["verdict"] for step in plan["steps"]} == {"REUSE"}
    du = result(ok("du", "--json"))
    assert du["groups"][0]["seconds"] > 0
    # Other code that gives the same value: what reads it is cut off.
    two.edit("daily.py", "return 21", 'return int("21")')
    ran = ok("run", "daily.py").stderr
    assert "1 step run, 2 reused" in ran
    ok("rebuild-catalog", "--force", "--json")


def test_a_catalog_that_can_be_read_is_left(two: Workspace, memo: Memo, ok: Memo) -> None:
    done = memo("rebuild-catalog")
    assert done.returncode == 2
    assert "the catalog can be read" in done.stderr
    assert "--force" in done.stderr
    assert len(result(ok("runs", "--json"))) == 2


def test_there_must_be_a_home(workspace: Workspace, memo: Memo) -> None:
    done = memo("rebuild-catalog")
    assert done.returncode == 2
    assert "there is no home here" in done.stderr


def test_what_force_replaced_is_not_reused_after_a_rebuild(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "pipeline.py",
        """
        from pathlib import Path
        from memo import job, op

        @op(version="1")
        def number():
            return int(Path("number.txt").read_text())

        @op(version="1")
        def double(x):
            return 2 * x

        @job
        def numbers():
            double(number())
        """,
    )
    (workspace.path / "number.txt").write_text("1")
    ok("run", "pipeline.py")
    (workspace.path / "number.txt").write_text("2")
    ok("run", "pipeline.py", "--force", "number", "--select", "number")
    (workspace.home / "catalog.db").unlink()
    ok("rebuild-catalog")
    assert workspace.run(output="double").value == "4"


def test_a_step_whose_outputs_are_of_two_runs_is_made_again(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "pipeline.py",
        """
        import os
        from memo import Out, job, op

        @op(out={"a": Out(), "b": Out()})
        def pair():
            token = os.urandom(5000).hex()
            return token, token

        @op
        def agree(a, b):
            return a == b

        @job
        def pairs():
            agree(*pair())
        """,
    )
    ok("run", "pipeline.py")
    kept = {path: path.read_bytes() for path in stored_files(workspace) if ".a." in path.name}
    assert len(kept) == 2
    ok("run", "pipeline.py", "--force", "pair")
    for path in stored_files(workspace):
        if ".a." in path.name:
            path.unlink()
    for path, data in kept.items():
        path.write_bytes(data)
    (workspace.home / "catalog.db").unlink()
    assert "1 step not whole" in ok("rebuild-catalog").stdout
    ran = workspace.run(output="agree")
    assert (ran.ran, ran.value) == (["agree", "pair"], "True")


# Beside what is whole


def test_verify_and_gc_keep_the_data_of_a_damaged_manifest(two: Workspace, ok: Memo, memo: Memo) -> None:
    manifest = max((two.home / "storage/versioned").rglob("*.json"))
    manifest.write_bytes(manifest.read_bytes()[:40])
    (data,) = (two.home / "storage/data").rglob(f"{manifest.name.removesuffix('.json')}.*")
    for path in data.parent.iterdir():
        os.utime(path, (1000, 1000))
    assert result(ok("du", "--json"))["unnamed_bytes"] == 0
    ok("gc", "--older-than", "52w")
    assert data.exists()
    assert memo("verify").returncode == 1
    assert [path.name for path in (two.home / "storage/quarantine").rglob("*.pkl")] == [data.name]


def test_verify_tells_all_that_is_damaged_where_nothing_can_be_moved(two: Workspace, memo: Memo) -> None:
    for manifest in (two.home / "storage/versioned").rglob("*.json"):
        flip(manifest)
    (two.home / "storage/quarantine").write_text("a file in the way")
    done = memo("verify")
    assert done.returncode == 1
    assert done.stdout.count("DAMAGED") == done.stdout.count("could not be moved aside") == 5
    assert done.stdout.endswith("5 damaged\n")
    assert all(
        "stands where a folder should be" in each["not_moved"] for each in result(memo("verify", "--json"))["damaged"]
    )
    assert "quarantine is" not in memo("verify", "--no-quarantine").stdout


def test_verify_says_what_it_did_not_look_at(workspace: Workspace, ok: Memo) -> None:
    workspace.write("elsewhere.py", DISTANT)
    ok("run", "elsewhere.py")
    said = "not looked at: 1 output stored by 'io_manager' outside of the home's own files"
    assert said in ok("verify").stdout
    assert result(ok("verify", "--json"))["not_looked_at"] == {"io_manager": 1}
    (workspace.home / "catalog.db").write_bytes(b"something else" * 100)
    done = ok("verify")
    assert "not known: the catalog cannot be read" in done.stderr


def test_what_another_key_signed_is_told_as_such(daily: Workspace, ok: Memo, memo: Memo) -> None:
    ok("run", "daily.py", MEMO_SIGNING_KEY="a" * 32)
    other = {"MEMO_SIGNING_KEY": "b" * 32}
    assert "not signed with this key" in ok("du", **other).stdout
    assert "damaged" not in ok("du", **other).stdout
    assert result(ok("ls", "--json", **other))["untrusted_bytes"] > 0
    done = memo("verify", **other)
    assert done.returncode == 1
    assert done.stdout.count("UNSIGNED output ") == 3
    assert "output 'result' of step 'load': versioned/" in done.stdout
    assert "0 outputs read, 0 B: 3 outputs not signed with this key and left as they are\n" in done.stdout
    assert {each["step"] for each in result(memo("verify", "--json", **other))["not_signed"]} == {
        "load",
        "clean",
        "report",
    }
    assert "the outputs of 3 steps" in ok("gc", "--older-than", "0s", **other).stdout
    ok("verify", **other)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_cannot_be_read_is_named(two: Workspace, memo: Memo, ok: Memo) -> None:
    manifest = max((two.home / "storage/versioned").rglob("*.json"))
    manifest.chmod(0)
    for command in (["ls"], ["du"], ["gc", "--older-than", "0s"]):
        assert f"{manifest} could not be read: permission is denied" in ok(*command).stderr
    done = memo("verify")
    assert done.returncode == 1
    assert f"UNREAD   {manifest} could not be read: permission is denied" in done.stdout
    assert f"{manifest}: it could not be read" in memo("rebuild-catalog", "--force").stderr


def test_young_files_of_no_output_are_said_to_stay(two: Workspace, ok: Memo) -> None:
    left = two.home / "storage/data/versioned/left.0123456789abcdef.pkl"
    left.write_bytes(b"x" * 10)
    assert "once they are older than 10 s, and than any running run" in ok("du").stdout
    assert "kept: 10 B, as it is of no output, and younger than 10 s" in ok("gc", "--older-than", "52w").stdout
    os.utime(left, (1000, 1000))
    assert "of no output, 10 B" in ok("gc", "--older-than", "52w").stdout
    assert not left.exists()


def test_a_damaged_catalog_is_told_with_its_cure(two: Workspace, memo: Memo, ok: Memo) -> None:
    catalog = two.home / "catalog.db"
    catalog.write_bytes(b"something else" * 100)
    for command in (["ls"], ["du"], ["gc", "--max-size", "0"], ["runs"], ["plan", "daily.py"]):
        done = memo(*command)
        assert done.returncode == 2
        assert "`memo rebuild-catalog`" in done.stderr
    catalog.write_bytes(b"")
    assert "a new catalog of 5 steps" in ok("rebuild-catalog").stdout
    catalog_before = {path.name for path in two.home.glob("catalog.db.*.damaged")}
    made = result(ok("rebuild-catalog", "--force", "--json"))
    assert made["aside"].endswith(".replaced")
    assert {path.name for path in two.home.glob("catalog.db.*.damaged")} == catalog_before


def test_a_catalog_is_not_made_anew_while_a_run_has_the_deleted_one_open(two: Workspace, memo: Memo, ok: Memo) -> None:
    program = (
        "import sys\n"
        "from memo import Home\n"
        f"home = Home({str(two.home)!r})\n"
        "home.catalog.list_runs()\n"
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=two.path,
        env=two.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        (two.home / "catalog.db").unlink()
        done = memo("rebuild-catalog")
        process.communicate("")
    assert done.returncode == 2
    assert f"process {process.pid} has the catalog open" in done.stderr
    ok("rebuild-catalog")
