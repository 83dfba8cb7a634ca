"""`memo adopt`: outputs made elsewhere, stored as a step's, marked until verified."""

from __future__ import annotations

import json
import pickle
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather, ipc

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace

ADOPTED = ("REUSE", "stored under this version", "adopted from old.json, not verified")
STORED = ("REUSE", "stored under this version", "")


def plan_of(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str, str]]:
    return {
        step["step"]: (step["verdict"], step["reason"], step["detail"]) for step in json.loads(done.stdout)["steps"]
    }


@pytest.fixture
def old(daily: Workspace) -> Workspace:
    """What `clean` would give with its default config, made elsewhere."""
    (daily.path / "old.json").write_text("5")
    return daily


def test_an_adopted_output_is_reused_and_marked(old: Workspace, ok: Memo) -> None:
    done = ok("adopt", "daily.py", "clean", "old.json")

    run_id = re.fullmatch(
        r"step 'clean': adopted result from old\.json in run ([0-9a-f]+); not verified\n"
        r"  to verify:  memo verify daily\.py --rerun --select clean\n",
        done.stdout,
    )
    assert run_id
    assert plan_of(ok("plan", "daily.py", "--json"))["clean"] == ADOPTED
    plan = ok("plan", "daily.py").stdout
    assert "stored under this version: adopted from old.json, not verified" in plan
    assert "1 to reuse (1 adopted, not verified)" in plan
    why = ok("why", "daily.py", "clean").stdout.splitlines()
    assert why[0].endswith("REUSE, stored under this version: adopted from old.json, not verified")
    assert re.fullmatch(rf"  adopted on .* in run {run_id[1]}: result from old\.json", why[1])
    assert why[2] == "  not verified: memo verify TARGET --rerun --select clean"
    assert why[-1].startswith(f"its outputs were last adopted, in run {run_id[1]} of ")
    assert json.loads(ok("why", "daily.py", "clean", "--json").stdout)["adopted"]["files"] == {"result": "old.json"}
    show = ok("show", run_id[1]).stdout
    assert "  adopted  nobody has verified it" in show
    assert re.search(r"success +clean +RUN +adopted from old\.json, not verified", show)
    assert json.loads(ok("show", run_id[1], "--json").stdout)["adopted"] == {"is_unverified": True}
    assert json.loads(ok("show", run_id[1], "--json").stdout)["tags"] == {"memo/adopted": "true"}

    ran = old.run("daily.py", output="report")
    assert (ran.ran, ran.value) == (["report"], "'5 rows'")


def test_a_step_that_gives_the_same_is_marked_as_verified(old: Workspace, ok: Memo) -> None:
    run_id = json.loads(ok("adopt", "daily.py", "clean", "old.json", "--json").stdout)["run_id"]
    ok("run", "daily.py", "--select", "load")
    ok("run", "daily.py")

    done = ok("verify", "daily.py", "--rerun")

    assert re.search(r"SAME +clean .* what was adopted is what it gives: verified", done.stdout)
    assert plan_of(ok("plan", "daily.py", "--json")) == {"load": STORED, "clean": STORED, "report": STORED}
    assert "adopted on" not in ok("why", "daily.py", "clean").stdout
    assert "  adopted  verified since, or made by a run" in ok("show", run_id).stdout
    again = json.loads(ok("verify", "daily.py", "--rerun", "--json").stdout)
    assert [step["vouched"] for step in again["steps"]] == [None, None, None]


def test_a_step_that_gives_something_else_keeps_the_mark(old: Workspace, ok: Memo, memo: Memo) -> None:
    (old.path / "old.json").write_text("4")
    ok("adopt", "daily.py", "clean", "old.json")
    ok("run", "daily.py", "--select", "load")

    done = memo("verify", "daily.py", "--rerun", "--select", "clean")

    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert re.search(r"DIFFERS +clean .* what was adopted is not what op 'clean' \(.*\) gives", lines[1])
    assert lines[2] == "  output 'result': 4 stored, 5 now"
    assert plan_of(ok("plan", "daily.py", "--json"))["clean"] == ADOPTED
    found = json.loads(memo("verify", "daily.py", "--rerun", "--select", "clean", "--json").stdout)
    assert found["nondeterministic_ops"] == []


def test_a_run_of_the_step_takes_the_mark_away(old: Workspace, ok: Memo) -> None:
    (old.path / "old.json").write_text("4")
    ok("adopt", "daily.py", "clean", "old.json")
    assert old.run("daily.py", output="report").value == "'4 rows'"

    ran = old.run("daily.py", output="report", force="clean")

    assert ran.value == "'5 rows'", "what was made of the adopted output is not served"
    assert plan_of(ok("plan", "daily.py", "--json")) == {"load": STORED, "clean": STORED, "report": STORED}


def test_it_says_nothing_of_how_long_the_step_takes(old: Workspace, ok: Memo) -> None:
    ok("adopt", "daily.py", "clean", "old.json")

    steps = json.loads(ok("plan", "daily.py", "--json").stdout)["steps"]
    assert next(step["seconds"] for step in steps if step["step"] == "clean") is None


def test_what_is_stored_is_replaced_by_force_alone(old: Workspace, ok: Memo, memo: Memo) -> None:
    ok("run", "daily.py")
    (old.path / "old.json").write_text("4")

    refused = memo("adopt", "daily.py", "clean", "old.json")
    assert refused.returncode == 2
    assert "its outputs are stored already under its present version; to replace them, --force it" in refused.stderr
    assert plan_of(ok("plan", "daily.py", "--json"))["clean"] == STORED

    ok("adopt", "daily.py", "clean", "old.json", "--force")
    plan = plan_of(ok("plan", "daily.py", "--json"))
    assert plan["clean"] == ADOPTED
    assert plan["report"][0] == "RUN", "it was made of what was replaced"
    assert old.run("daily.py", output="report").value == "'4 rows'"

    (old.path / "old.json").write_text("5")
    ok("adopt", "daily.py", "clean", "old.json", "--force")
    assert old.run("daily.py", output="report").value == "'5 rows'"
    assert old.run("daily.py").ran == []


def test_it_is_for_the_config_given(old: Workspace, ok: Memo) -> None:
    config = ("--set", "ops.clean.config.limit=7")
    ok("adopt", "daily.py", "clean", "old.json", *config, "--tag", "team=data")

    assert plan_of(ok("plan", "daily.py", "--json", *config))["clean"] == ADOPTED
    assert plan_of(ok("plan", "daily.py", "--json"))["clean"][0] == "RUN"
    shown = json.loads(ok("show", "last", "--json").stdout)
    assert shown["tags"] == {"team": "data", "memo/adopted": "true"}
    assert shown["run_config"] == {"ops": {"clean": {"config": {"limit": 7}}}}


def test_what_changes_afterwards_is_explained_against_it(old: Workspace, ok: Memo) -> None:
    ok("adopt", "daily.py", "clean", "old.json")
    old.edit("daily.py", "number // 2", "number // 4")

    assert plan_of(ok("plan", "daily.py", "--json"))["clean"] == ("RUN", "code changed", "daily.half")
    assert "-    return number // 2" in ok("why", "daily.py", "clean").stdout


def test_an_accepted_step_is_not_adopted(old: Workspace, ok: Memo, memo: Memo) -> None:
    ok("run", "daily.py")
    old.edit("daily.py", "number // 2", "number // 4")
    ok("accept", "daily.py", "clean", "--reason", "equal")

    done = memo("adopt", "daily.py", "clean", "old.json", "--force")

    assert done.returncode == 2
    assert "accepted as equal to another (acceptance 1)" in done.stderr
    assert "memo accept --revoke 1" in done.stderr


# Kinds of files

KINDS = """
from typing import Any, Optional

import pandas as pd
import pyarrow as pa
from memo import Nothing, Out, Output, job, op


@op
def number() -> int:
    return 0


@op
def anything():
    return None


@op
def text() -> str:
    return ""


@op
def raw() -> bytes:
    return b""


@op
def table() -> pa.Table:
    return pa.table({})


@op
def frame() -> pd.DataFrame:
    return pd.DataFrame()


@op
def perhaps() -> Optional[pd.DataFrame]:
    return pd.DataFrame({"other": []})


@op(out={"train": Out(), "test": Out(is_required=False), "done": Out(Nothing)})
def split():
    yield Output(1, "train")


@op(out={"done": Out(Nothing)})
def touch():
    yield Output(None, "done")


@op
def look(number, anything, text, raw, table, frame, perhaps, train):
    found = [number, anything, text, raw, table, frame, perhaps, train]
    return [(type(each).__name__, each.to_pylist() if isinstance(each, pa.Table)
             else each.to_dict("list") if isinstance(each, pd.DataFrame) else str(each)) for each in found]


@job
def kinds():
    touch()
    look(number(), anything(), text(), raw(), table(), frame(), perhaps(), split().train)
"""


@pytest.fixture
def kinds(workspace: Workspace) -> Workspace:
    workspace.write("kinds.py", KINDS)
    return workspace


def write_stream(path: Path, table: pa.Table) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)


def test_every_kind_of_file(kinds: Workspace, ok: Memo) -> None:
    table = pa.table({"a": [1, 2]})
    there = kinds.path / "a=1"  # which a reader of whole folders would take for a partition
    there.mkdir()
    (there / "n.json").write_text("7")
    np.save(there / "n.npy", np.arange(3))
    (there / "n.npy").rename(there / "n.NPY")
    (there / "t.txt").write_bytes("één\r\n".encode())
    (there / "r.bin").write_bytes(b"\x00\xff")
    pq.write_table(table, there / "t.parquet")
    feather.write_feather(table, str(there / "t.feather"))
    write_stream(there / "t.arrow", table)
    (there / "s.pkl").write_bytes(pickle.dumps({1, 2}))
    for step, file in {
        "number": "n.json",
        "anything": "n.NPY",
        "text": "t.txt",
        "raw": "r.bin",
        "table": "t.arrow",
        "frame": "t.parquet",
        "perhaps": "t.feather",
    }.items():
        ok("adopt", "kinds.py", step, f"a=1/{file}")
    ok("adopt", "kinds.py", "split", "train=a=1/s.pkl", "--trust-pickle")

    ran = kinds.run("kinds.py", output="look")

    assert ran.ran == ["look", "touch"]
    assert ran.value == str(
        [
            ("int", "7"),
            ("ndarray", "[0 1 2]"),
            ("str", "één\r\n"),
            ("bytes", "b'\\x00\\xff'"),
            ("Table", [{"a": 1}, {"a": 2}]),
            ("DataFrame", {"a": [1, 2]}),
            ("DataFrame", {"a": [1, 2]}),
            ("set", "{1, 2}"),
        ]
    )
    assert plan_of(ok("plan", "kinds.py", "--json"))["split"][2] == "adopted from a=1/s.pkl, not verified"


def test_all_outputs_of_an_op_come_together(kinds: Workspace, ok: Memo) -> None:
    (kinds.path / "a.json").write_text("1")
    (kinds.path / "b.json").write_text("2")

    done = ok("adopt", "kinds.py", "split", "test=b.json", "train=a.json", "--json")

    assert json.loads(done.stdout)["files"] == {"test": "b.json", "train": "a.json"}
    program = "from memo import Home; h = Home('.memo'); r = h.catalog.list_runs()[0].run_id; "
    shown = kinds.python(
        "-c", program + "print([(o.name, o.kind) for m in h.catalog.materializations(r) for o in m.outputs])"
    )
    assert shown.stdout.strip() == "[('train', 'value'), ('test', 'value'), ('done', 'nothing')]"


BAD: dict[str, tuple[dict[str, bytes], list[str], str]] = {
    "csv": (
        {"a.csv": b"a\n1\n"},
        ["table", "a.csv"],
        "does not say what types its columns have; convert it to Parquet",
    ),
    "pickle": ({"a.pkl": b""}, ["anything", "a.pkl"], "runs whatever code its writer put in"),
    "broken pickle": (
        {"a.pkl": b"x"},
        ["anything", "a.pkl", "--trust-pickle"],
        "does not hold what .pkl says (Unpickling",
    ),
    "no suffix": ({"data": b"1"}, ["anything", "data"], "a file without a suffix says nothing of what is in it"),
    "unknown suffix": ({"a.xlsx": b"1"}, ["anything", "a.xlsx"], "the suffix '.xlsx' says nothing"),
    "no file": ({}, ["anything", "a.json"], "a.json: there is no such file"),
    "folder": ({"a.json/b": b""}, ["anything", "a.json"], "it is a folder"),
    "no json": ({"a.json": b"{"}, ["anything", "a.json"], "does not hold what .json says (JSONDecodeError"),
    "no text": ({"a.txt": b"\xff"}, ["text", "a.txt"], "does not hold what .txt says (UnicodeDecodeError"),
    "no parquet": ({"a.parquet": b"PAR1"}, ["table", "a.parquet"], "does not hold what .parquet says (ArrowInvalid"),
    "no arrow": ({"a.arrow": b"ARROW"}, ["table", "a.arrow"], "does not hold what .arrow says (ArrowInvalid"),
    "no array": ({"a.npy": b"\x93NUMPY"}, ["anything", "a.npy"], "does not hold what .npy says (ValueError"),
    "another type": ({"a.json": b'"x"'}, ["number", "a.json"], "must be int, and what was given is str"),
    "no frame": ({"a.json": b"[]"}, ["frame", "a.json"], "must be DataFrame, and what was given is list"),
    "which output": (
        {"a.json": b"1"},
        ["split", "a.json"],
        "names none of its outputs (train, test); give OUTPUT=FILE",
    ),
    "wrong output": ({"a.json": b"1"}, ["split", "trian=a.json"], "Did you mean 'train'?"),
    "output twice": ({"a.json": b"1"}, ["number", "a.json", "result=a.json"], "its output 'result' is given twice"),
    "output missing": ({"a.json": b"1"}, ["split", "test=a.json"], "there is no value for its output 'train'"),
    "no value": ({"a.json": b"1"}, ["split", "train=a.json", "done=a.json"], "'done' carries no value"),
    "no values": ({"a.json": b"1"}, ["touch", "done=a.json"], "'done' carries no value"),
    "unknown step": ({"a.json": b"1"}, ["nubmer", "a.json"], "has no step 'nubmer'. Did you mean 'number'?"),
    "memoization off": (
        {"a.json": b"1"},
        ["number", "a.json", "--tag", "memo/is_memoized_run=false"],
        "memoization off",
    ),
    "no files": ({}, ["number"], "Missing argument 'FILE...'"),
}


@pytest.mark.parametrize(("files", "args", "said"), BAD.values(), ids=BAD)
def test_bad_input_exits_with_2_and_leaves_nothing(
    kinds: Workspace, memo: Memo, files: dict[str, bytes], args: list[str], said: str
) -> None:
    for name, held in files.items():
        path = kinds.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(held)

    done = memo("adopt", "kinds.py", *args)

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not kinds.home.exists()


def test_an_array_of_objects_is_refused(kinds: Workspace, memo: Memo) -> None:
    np.save(kinds.path / "a.npy", np.array([{}], dtype=object))
    done = memo("adopt", "kinds.py", "anything", "a.npy")
    assert done.returncode == 2
    assert "allow_pickle=False" in done.stderr


def test_a_table_becomes_a_data_frame_of_polars_where_the_op_says_so(workspace: Workspace, ok: Memo) -> None:
    """Polars is not among the packages of these tests: what stands for it has its names, and no more."""
    workspace.write(
        "polars.py",
        """
        class DataFrame:
            def __init__(self, columns):
                self.columns = columns

            def lazy(self):
                return LazyFrame(self.columns)


        class LazyFrame(DataFrame):
            pass


        def from_arrow(table):
            return DataFrame(table.to_pydict())
        """,
    )
    workspace.write(
        "frames.py",
        """
        import polars as pl
        from memo import job, op

        @op(version="1")
        def eager() -> pl.DataFrame:
            return None

        @op(version="1")
        def lazy() -> pl.LazyFrame | None:
            return None

        @op(version="1")
        def look(eager, lazy) -> str:
            return f"{type(eager).__name__} {type(lazy).__name__} {eager.columns} {lazy.columns}"

        @job
        def frames():
            look(eager(), lazy())
        """,
    )
    pq.write_table(pa.table({"a": [1]}), workspace.path / "a.parquet")
    for step in ("eager", "lazy"):
        ok("adopt", "frames.py", step, "a.parquet")

    assert workspace.run("frames.py", output="look").value == repr("DataFrame LazyFrame {'a': [1]} {'a': [1]}")


# From Python

PROGRAM = """
import os, signal, sys
from memo import Out, Output, adopt_outputs, job, op


class Fatal:
    def __reduce__(self):
        if os.path.exists("dies"):
            os.kill(os.getpid(), signal.SIGKILL)
        if os.path.exists("fails"):
            raise ValueError("cannot be pickled")
        return Fatal, ()


@op(out={"x": Out(), "y": Out()}, version="1")
def pair():
    yield Output("made", "x")
    yield Output(Fatal(), "y")


@op(version="1")
def read(x, y):
    return x


@job
def reading():
    read(*pair())


if __name__ == "__main__":
    import program  # pickles name the module that a class is in

    print(adopt_outputs(program.reading, "pair", {"x": sys.argv[1], "y": program.Fatal()}, force=True).files)
"""


@pytest.mark.parametrize("moment", ["dies", "fails"])
def test_what_is_cut_off_leaves_no_mixture(workspace: Workspace, ok: Memo, memo: Memo, moment: str) -> None:
    workspace.write("program.py", PROGRAM)
    assert workspace.run("program.py", output="read").value == "'made'"
    (workspace.path / moment).touch()

    done = workspace.python("program.py", "adopted", check=False)

    assert done.returncode == (-9 if moment == "dies" else 1)
    (workspace.path / moment).unlink()
    latest = json.loads(memo("runs", "--limit", "1", "--json").stdout)[0]
    assert latest["status"] == ("KILLED" if moment == "dies" else "FAILURE")
    ran = workspace.run("program.py", output="read")
    assert ran.plan["pair"] == ["RUN", "a run that was replacing its outputs did not finish"]
    assert ran.value == "'made'"

    assert workspace.python("program.py", "adopted").stdout == "{'x': 'a value', 'y': 'a value'}\n"
    assert workspace.run("program.py", output="read").value == "'adopted'"


def test_what_has_no_digest_is_told_apart_from_what_was_there(workspace: Workspace) -> None:
    """Instances of the user's own classes have no digest: what reads them runs again when others are adopted."""
    workspace.write(
        "program.py",
        """
        import sys
        from memo import adopt_outputs, job, op

        class Model:
            def __init__(self, name):
                self.name = name

        @op(version="1")
        def train() -> Model:
            return Model("made")

        @op(version="1")
        def use(model: Model) -> str:
            return model.name

        @job
        def using():
            use(train())

        if __name__ == "__main__":
            import program
            adopt_outputs(program.using, "train", {"result": program.Model(sys.argv[1])}, force=True)
        """,
    )
    assert workspace.run("program.py", output="use").value == "'made'"
    for name in ("one", "two"):
        workspace.python("program.py", name)
        assert workspace.run("program.py", output="use").value == f"'{name}'"
    assert workspace.run("program.py").ran == []


def test_what_would_be_kept_in_memory_is_refused(workspace: Workspace, memo: Memo) -> None:
    workspace.write(
        "memory.py",
        """
        from memo import job, mem_io_manager, op

        @op
        def number() -> int:
            return 1

        @job(resource_defs={"io_manager": mem_io_manager})
        def forgetful():
            number()
        """,
    )
    (workspace.path / "a.json").write_text("1")
    done = memo("adopt", "memory.py", "number", "a.json")
    assert done.returncode == 2
    assert "its output 'result' is kept in memory by 'io_manager'" in done.stderr


def test_an_output_is_adopted_before_what_is_above_it_has_run_and_reused_after_it_has(old: Workspace, ok: Memo) -> None:
    (old.path / "old.txt").write_text("5 rows")
    ok("adopt", "daily.py", "report", "old.txt")
    plan: Any = plan_of(ok("plan", "daily.py", "--json"))
    assert (plan["load"][0], plan["clean"][0], plan["report"][0]) == ("UNNEEDED", "UNNEEDED", "REUSE")

    ok("run", "daily.py", "--select", "load,clean")

    assert old.run("daily.py").ran == []
    assert "what was adopted is what it gives: verified" in ok("verify", "daily.py", "--rerun").stdout
