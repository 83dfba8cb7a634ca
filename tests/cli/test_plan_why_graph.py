"""`memo plan`, `memo why` and `memo graph`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def columns(done: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The rows of a table without its header and its closing line, their cells apart."""
    return [re.split(r" {2,}", line) for line in done.stdout.splitlines()[1:-1]]


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


# plan


def test_a_plan_changes_nothing_on_disk(daily: Workspace, ok: Memo) -> None:
    done = ok("plan", "daily.py")
    assert columns(done) == [["RUN", key, "never run"] for key in ("load", "clean", "report")]
    assert done.stdout.splitlines()[-1] == "daily: 3 steps to run, 0 to reuse"
    assert done.stderr == ""
    assert not daily.home.exists()


def test_a_plan_has_a_line_a_step_with_reason_and_seconds(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "timed.py",
        """
        from memo import job, op

        @op
        def load():
            return 1

        @op
        def clean(number):
            return number

        @op
        def report(number):
            return number

        @job
        def timed():
            report(clean(load()))
        """,
    )
    ok("run", "timed.py")
    # What the steps took, as if it had been long enough to be worth saying.
    import sqlite3

    with sqlite3.connect(workspace.home / "catalog.db") as connection:
        for step, seconds in (("load", 41.0), ("clean", 4.2), ("report", 0.5)):
            connection.execute("UPDATE materializations SET seconds = ? WHERE step_key = ?", (seconds, step))
    connection.close()
    workspace.edit("timed.py", "def clean(number):\n    return number", "def clean(number):\n    return number + 1")
    done = ok("plan", "timed.py")
    assert columns(done) == [
        ["REUSE", "load", "stored under this version", "41 s"],
        ["RUN", "clean", "code changed: timed.clean", "4.2 s"],
        ["MAYBE", "report", "an upstream step runs: clean", "0.50 s"],
    ]
    header = done.stdout.splitlines()[0]
    by_column = {name: header.index(name) + len(name) for name in ("TAKES", "SAVES")}
    lines = done.stdout.splitlines()
    assert lines[1].endswith("41 s")
    assert len(lines[1]) == by_column["SAVES"]
    assert len(lines[2]) == by_column["TAKES"]
    assert lines[-1] == "timed: 1 step to run (about 4.2 s), 1 maybe (about 0.50 s), 1 to reuse (saves 41 s)"
    found = result(ok("plan", "timed.py", "--json"))
    assert found["counts"] == {"RUN": 1, "REUSE": 1, "MAYBE": 1, "UNNEEDED": 0}
    assert (found["seconds_to_run"], found["seconds_maybe"], found["seconds_saved"]) == (4.2, 0.5, 41.0)
    clean = found["steps"][1]
    assert (clean["step"], clean["verdict"], clean["reason"], clean["detail"]) == (
        "clean",
        "RUN",
        "code changed",
        "timed.clean",
    )


def test_a_plan_takes_the_wishes_of_a_run(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.write("config.toml", "[ops.clean.config]\nlimit = 4\n")
    assert columns(ok("plan", "daily.py", "-c", "config.toml"))[1][:3] == ["RUN", "clean", "config changed: limit"]
    assert columns(ok("plan", "daily.py", "--force", "load"))[0][:3] == ["RUN", "load", "forced"]
    assert [row[1] for row in columns(ok("plan", "daily.py", "--select", "clean*"))] == ["clean", "report"]
    off = ok("plan", "daily.py", "--no-memo")
    assert {(row[0], row[2]) for row in columns(off)} == {("RUN", "memoization off")}
    assert off.stdout.splitlines()[-1].endswith("3 steps to run, memoization off")


def test_what_a_lost_output_does_to_a_plan(daily: Workspace, ok: Memo) -> None:
    import shutil

    ok("run", "daily.py")
    shutil.rmtree(daily.home / "storage")
    assert {(row[0], row[2]) for row in columns(ok("plan", "daily.py"))} == {("RUN", "stored output missing")}


@pytest.mark.parametrize("command", [["plan"], ["graph"], ["why", "load"]])
def test_what_the_users_file_prints_is_no_part_of_a_result(daily: Workspace, ok: Memo, command: list[str]) -> None:
    daily.write("prints.py", "print('imported')\nfrom daily import *\n")
    done = ok(command[0], "prints.py:daily", *command[1:], "--json")
    assert result(done)["job"] == "daily"
    assert done.stderr == "imported\n"


# why


def test_why_code_changed(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "def half(number):\n    return number // 2", "def half(number):\n    return number // 4")
    told = ok("why", "daily.py", "clean").stdout.splitlines()
    assert told[0] == "step 'clean' (daily.py:14): RUN, code changed: daily.half"
    start = told.index("what changed since the last time:")
    assert told[start + 1 : start + 8] == [
        "  code daily.half  (daily.py:4)",
        "    --- daily.py (before)",
        "    +++ daily.py (now)",
        "    @@ -4,2 +4,2 @@",
        "     def half(number):",
        "    -    return number // 2",
        "    +    return number // 4",
    ]
    assert told[start + 8].startswith("it last ran in run ")
    assert told[start + 8].endswith(" for the first time")


@pytest.mark.usefixtures("daily")
def test_why_config_changed(ok: Memo) -> None:
    ok("run", "daily.py")
    done = ok("why", "daily.py", "clean", "--set", "ops.clean.config.limit=4")
    assert "step 'clean' (daily.py:14): RUN, config changed: limit\n" in done.stdout
    assert "  config limit: 5 -> 4\n" in done.stdout


def test_why_an_input_changed_names_the_step_above_and_what_changed_there(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "return 20", "return 8")
    told = ok("why", "daily.py", "report").stdout.splitlines()
    assert told[0] == "step 'report' (daily.py:19): MAYBE, an upstream step runs: clean"
    start = told.index("what changed since the last time:")
    assert told[start + 1 : start + 12] == [
        "  input number: still clean.result, of another version",
        "upstream step 'clean': MAYBE, an upstream step runs: load",
        "  input number: still load.result, of another version",
        "upstream step 'load': RUN, code changed: daily.load",
        "  code daily.load  (daily.py:8)",
        "    --- daily.py (before)",
        "    +++ daily.py (now)",
        "    @@ -8,4 +8,4 @@",
        "     @op",
        "     def load() -> int:",
        '         print("loading")',
    ]
    assert told[start + 12 : start + 14] == ["    -    return 20", "    +    return 8"]


def test_why_an_input_changed_says_whether_its_content_did(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "return 20", "return int('20')")
    ok("run", "daily.py", "--select", "load,clean")
    daily.edit("daily.py", "number} rows", "number} lines")
    told = ok("why", "daily.py", "report").stdout.splitlines()
    assert told[0] == "step 'report' (daily.py:19): RUN, code changed: daily.report"
    assert told.count("  input number: still clean.result, of another version, of the same content") == 1
    assert '    +    return f"{number} lines"' in told
    above = told.index("upstream step 'clean': REUSE, stored under this version")
    assert told[above + 1] == "  input number: still load.result, of another version, of the same content"
    assert told[above + 2] == "upstream step 'load': REUSE, stored under this version"
    assert "    +    return int('20')" in told[above:]
    found = result(ok("why", "daily.py", "report", "--json"))
    assert [(each["kind"], each["content"], each["upstream"]) for each in found["changes"]] == [
        ("code", None, None),
        ("input", "same", "clean"),
    ]
    assert [(each["step"], each["verdict"]) for each in found["upstream"]] == [("clean", "REUSE"), ("load", "REUSE")]


def test_why_code_changed_after_the_step_was_found_equal_by_content(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "return 20", "return int('20')")
    ok("run", "daily.py")
    daily.edit("daily.py", "number} rows", "number} lines")
    told = ok("why", "daily.py", "report").stdout.splitlines()
    assert '    -    return f"{number} rows"' in told
    assert '    +    return f"{number} lines"' in told
    assert not any("input" in line for line in told)


def test_why_rewired(workspace: Workspace, ok: Memo) -> None:
    text = """
        from memo import job, op

        @op
        def one():
            return 1

        @op
        def ten():
            return 10

        @op
        def sub(a, b):
            return a - b

        @job
        def difference():
            sub(one(), ten())
        """
    workspace.write("difference.py", text)
    ok("run", "difference.py")
    workspace.edit("difference.py", "sub(one(), ten())", "sub(ten(), one())")
    told = ok("why", "difference.py", "sub").stdout
    assert "RUN, input changed: a, b" in told
    assert "  input a: one.result -> ten.result, of other content\n" in told
    assert "  input b: ten.result -> one.result, of other content\n" in told
    assert "upstream" not in told


def test_why_nothing_runs_tells_when_it_ran_last_and_why(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "number // 2", "number // 8")
    ok("run", "daily.py")
    ok("run", "daily.py")
    told = ok("why", "daily.py", "clean").stdout.splitlines()
    assert told[0] == "step 'clean' (daily.py:14): REUSE, stored under this version"
    assert re.search(r"it last ran in run [0-9a-f]{19} of .+ because: code changed", told[2])
    assert told[-2:] == ["    -    return number // 2", "    +    return number // 8"]


def test_why_of_a_step_that_has_never_run(daily: Workspace, ok: Memo) -> None:
    told = ok("why", "daily.py", "clean").stdout.splitlines()
    assert told == ["step 'clean' (daily.py:14): RUN, never run", "it has not run in this home"]
    assert not daily.home.exists()


@pytest.mark.usefixtures("daily")
def test_why_with_memoization_off(ok: Memo) -> None:
    ok("run", "daily.py")
    told = ok("why", "daily.py", "clean", "--tag", "memo/is_memoized_run=false").stdout
    assert told.startswith("step 'clean' (daily.py:14): RUN, memoization off\n")


def test_why_as_json(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    daily.edit("daily.py", "number // 2", "number // 4")
    found = result(ok("why", "daily.py", "clean", "--set", "ops.clean.config.limit=4", "--json"))
    assert (found["step"], found["verdict"], found["reason"]) == ("clean", "RUN", "code changed")
    code, config = found["changes"]
    assert (code["kind"], code["name"], code["how"]) == ("code", "daily.half", "changed")
    assert code["file"] == str(daily.path / "daily.py")
    assert code["line"] == 4
    assert "+    return number // 4" in code["diff"]
    assert (config["kind"], config["name"], config["before"], config["after"]) == ("config", "limit", "5", "4")
    assert found["last_ran"]["reason"] == "never run"


def test_a_resource_that_changed(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "with_resource.py",
        """
        from memo import job, op, resource

        @resource(config_schema={"url": str})
        def server(context):
            return context.resource_config["url"]

        @op(required_resource_keys={"server"})
        def load(context):
            return context.resources.server

        @job(resource_defs={"server": server}, config={"resources": {"server": {"config": {"url": "one"}}}})
        def daily():
            load()
        """,
    )
    ok("run", "with_resource.py")
    done = ok("why", "with_resource.py", "load", "--set", "resources.server.config.url=two")
    assert "RUN, resource changed: server: config.url\n" in done.stdout
    assert "  resource server: config.url: 'one' -> 'two'\n" in done.stdout


# graph


@pytest.fixture
def nested(workspace: Workspace) -> Workspace:
    workspace.write(
        "nested.py",
        """
        from memo import GraphOut, In, Nothing, Out, graph, job, op

        @op(out={"low": Out(), "high": Out()})
        def split():
            return 1, 2

        @op
        def end(number):
            return number

        @op
        def wait() -> None:
            pass

        @op(ins={"after": In(Nothing)})
        def join(numbers: list):
            return sum(numbers)

        @graph
        def middle(number):
            return end(number)

        @job
        def nested():
            low, high = split()
            join([middle(low), end(high), end.alias("again")(high)], after=wait())
        """,
    )
    return workspace


@pytest.mark.usefixtures("nested")
def test_graph_as_text(ok: Memo) -> None:
    lines = ok("graph", "nested.py").stdout.splitlines()
    assert lines[0] == "job nested: 6 steps"
    drawn = {line.split("<-")[0].strip(): line.partition("<- ")[2] for line in lines[1:]}
    assert drawn == {
        "split": "",
        "middle.end": "split.low",
        "end": "split.high",
        "again": "split.high",
        "wait": "",
        "join": "middle.end, end, again, (wait)",
    }


@pytest.mark.usefixtures("nested")
def test_graph_as_mermaid(ok: Memo) -> None:
    lines = [line.strip() for line in ok("graph", "nested.py", "--format", "mermaid").stdout.splitlines()]
    assert lines[0] == "flowchart TD"
    assert 'subgraph step_middle_graph ["middle"]' in lines
    assert lines[lines.index('subgraph step_middle_graph ["middle"]') + 1] == 'step_middle__end["end"]'
    assert "step_split -->|low| step_middle__end" in lines
    assert "step_wait -.-> step_join" in lines
    assert lines.count("end") == 1


@pytest.mark.usefixtures("nested")
def test_graph_as_dot(ok: Memo) -> None:
    text = ok("graph", "nested.py", "--format", "dot").stdout
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == 'digraph "nested" {'
    assert 'subgraph "cluster_middle" {' in lines
    assert '"split" -> "middle.end" [label="low"];' in lines
    assert '"wait" -> "join" [style=dashed];' in lines
    assert text.count("{") == text.count("}")


@pytest.mark.usefixtures("nested")
def test_graph_as_json(ok: Memo) -> None:
    found = result(ok("graph", "nested.py", "--json"))
    steps = {each["step"]: each for each in found["steps"]}
    assert steps["middle.end"]["op"] == "end"
    assert steps["middle.end"]["inputs"] == [{"step": "split", "output": "low"}]
    assert steps["split"]["outputs"] == ["low", "high"]
    assert steps["split"]["location"] == "nested.py:3"
