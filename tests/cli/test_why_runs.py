"""`memo why STEP --run A --run B`: what changed in a step between two runs of the past."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


def result(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def run(ok: Memo, *args: str) -> str:
    run_id = result(ok("run", "daily.py", "--json", *args))["run_id"]
    assert isinstance(run_id, str)
    return run_id


def between(ok: Memo, step: str, first: str, second: str) -> list[str]:
    """What is said of a step, less the line that names it."""
    told = ok("why", step, "--run", first, "--run", second).stdout.splitlines()
    assert told[0] == f"step {step!r} of job 'daily', between two runs:"
    return told[1:]


def became(told: list[str]) -> list[str]:
    """What is said to have become of the step in each run."""
    return [line.partition(": ")[2] for line in told[:2]]


def test_the_chain_goes_up_to_the_helper_that_changed_and_nothing_is_loaded(daily: Workspace, ok: Memo) -> None:
    first = run(ok)
    daily.edit("daily.py", "number // 2", "number // 8")
    second = run(ok)
    (daily.path / "daily.py").unlink()
    told = between(ok, "report", first, second)
    assert became(told) == ["ran (never run)", "ran (an upstream step runs: clean)"]
    assert told[0].startswith(f"  run {first} of ")
    assert told[1].startswith(f"  run {second} of ")
    assert told[2:] == [
        "what changed from the first to the second:",
        "  input number: still clean.result, of another version, of other content",
        "upstream step 'clean': first ran, then ran",
        "  code daily.half  (daily.py:4)",
        f"    --- daily.py (run {first})",
        f"    +++ daily.py (run {second})",
        "    @@ -4,2 +4,2 @@",
        "     def half(number):",
        "    -    return number // 2",
        "    +    return number // 8",
        "its output 'result' has other content",
    ]


def test_a_change_that_was_cut_off_by_content(daily: Workspace, ok: Memo) -> None:
    first = run(ok)
    daily.edit("daily.py", "return 20", "return int('20')")
    second = run(ok)
    third = run(ok)
    for later in (second, third):
        found = result(ok("why", "report", "--run", first, "--run", later, "--json"))
        assert [each["outcome"] for each in found["runs"]] == ["success", "reused"]
        assert found["same_version"] is False
        assert found["contents"] == {"result": "same"}
        assert [(each["kind"], each["content"], each["upstream"]) for each in found["changes"]] == [
            ("input", "same", "clean")
        ]
        clean, load = found["upstream"]
        assert (clean["step"], clean["changes"][0]["content"], clean["changes"][0]["upstream"]) == (
            "clean",
            "same",
            "load",
        )
        (code,) = load["changes"]
        assert (load["step"], code["kind"], code["name"], code["upstream"]) == ("load", "code", "daily.load", None)
        assert "+    return int('20')" in code["diff"]
    told = between(ok, "report", second, third)
    assert became(told) == ["reused (an upstream step runs: clean)", "reused (stored under this version)"]
    assert told[2:] == [
        "nothing changed in its recipe from the first to the second",
        "its output 'result' has the same content in both",
    ]


def test_config_by_path_and_the_runs_in_the_order_they_are_given(ok: Memo, daily: Workspace) -> None:
    first = run(ok)
    second = run(ok, "--set", "ops.clean.config.limit=4")
    assert "  config limit: 5 -> 4" in between(ok, "clean", first, second)
    assert "  config limit: 4 -> 5" in between(ok, "clean", second, first)
    assert "  config limit: 5 -> 4" in between(ok, "report", first, second)
    assert daily.home.exists()


@pytest.mark.usefixtures("daily")
def test_one_run_is_compared_with_the_one_before_it(ok: Memo, memo: Memo, workspace: Workspace) -> None:
    first = run(ok)
    done = memo("why", "clean", "--run", first)
    assert done.returncode == 2
    assert f"none before run {first} has a step 'clean'" in done.stderr
    workspace.write("other.py", "from memo import job\nfrom daily import load\n\n@job\ndef other():\n    load()\n")
    ok("run", "other.py:other")
    run(ok, "--set", "ops.clean.config.limit=4")
    told = ok("why", "clean", "--run", "last").stdout
    assert f"  run {first} of " in told
    assert "  config limit: 5 -> 4\n" in told


def test_the_present_is_compared_with_any_run(daily: Workspace, ok: Memo) -> None:
    first = run(ok)
    daily.edit("daily.py", "number // 2", "number // 4")
    run(ok)
    told = ok("why", "daily.py", "report", "--run", first).stdout.splitlines()
    assert told[0] == "step 'report' (daily.py:19): REUSE, stored under this version"
    # 20 // 4 is 5, and so is the limit to which 20 // 2 was cut.
    assert told[2:5] == [
        f"what changed since run {first}:",
        "  input number: still clean.result, of another version, of the same content",
        "upstream step 'clean': REUSE, stored under this version",
    ]
    assert "    +    return number // 4" in told
    assert not any(line.startswith("it last ran") for line in told)
    assert result(ok("why", "daily.py", "report", "--run", first, "--json"))["since_run"] == first
    same = ok("why", "daily.py", "load", "--run", first).stdout
    assert f"nothing changed in its recipe since run {first}\n" in same


FAILS = """
from memo import job, op

@op
def load() -> int:
    return 20

@op
def clean(number: int) -> int:
    return number // 2

@op
def report(number: int) -> str:
    return f"{number} rows"

@job
def daily():
    report(clean(load()))
"""


def test_a_step_that_failed_and_those_behind_it(workspace: Workspace, ok: Memo, memo: Memo) -> None:
    workspace.write("daily.py", FAILS)
    first = run(ok)
    workspace.edit("daily.py", "number // 2", "number // 0")
    assert memo("run", "daily.py").returncode == 1
    (workspace.path / "daily.py").unlink()
    told = between(ok, "clean", first, "last")
    assert became(told) == ["ran (never run)", "failed (code changed: daily.clean)"]
    assert told[-2:] == ["    -    return number // 2", "    +    return number // 0"]
    told = between(ok, "report", first, "last")
    assert became(told)[1] == "blocked by a failed step above it (an upstream step runs: clean)"
    assert told[3] == "  input number: still clean.result, of another version"
    assert told[4] == "upstream step 'clean': first ran, then failed"
    assert told[-1] == "    +    return number // 0"


def test_a_run_that_was_killed(workspace: Workspace, ok: Memo) -> None:
    workspace.write("daily.py", FAILS)
    first = run(ok)
    workspace.edit("daily.py", "return 20", "return 30")
    workspace.edit("daily.py", "number // 2", "__import__('os').kill(__import__('os').getpid(), 9)")
    assert workspace.memo("run", "daily.py").returncode == -signal.SIGKILL
    told = between(ok, "clean", first, "last")
    assert became(told) == ["ran (never run)", "in a run that did not end"]
    assert told[2:] == [
        "what it was made of is not kept on both sides, and what changed cannot be told, from the first to the second"
    ]
    assert result(ok("why", "clean", "--run", first, "--run", "last", "--json"))["changes"] is None


def test_a_forced_step_that_is_not_deterministic(workspace: Workspace, ok: Memo) -> None:
    workspace.write("daily.py", FAILS)
    workspace.write("number.txt", "20")
    workspace.edit("daily.py", "return 20", "return int(open('number.txt').read())")
    first = run(ok)
    workspace.write("number.txt", "8")
    second = run(ok, "--force", "load")
    told = between(ok, "load", first, second)
    assert became(told) == ["ran (never run)", "ran (forced)"]
    assert told[2:] == [
        "nothing changed in its recipe from the first to the second",
        "its output 'result' has other content",
        "  it is not deterministic, or reads what its version does not cover",
    ]
    told = between(ok, "report", first, second)
    assert told[2:] == [
        "what changed from the first to the second:",
        "  input number: still clean.result, of the same version, of other content",
        "upstream step 'clean': first ran, then ran",
        "  input number: still load.result, of the same version, of other content",
        "upstream step 'load': first ran, then ran",
        "  nothing changed in its recipe: it is not deterministic, or reads what its version does not cover",
        "its output 'result' has other content",
    ]


def test_a_renamed_step_is_followed(workspace: Workspace, ok: Memo) -> None:
    workspace.write("daily.py", FAILS)
    first = run(ok)
    workspace.edit("daily.py", "report(clean(load()))", "report(clean.alias('tidy')(load()))")
    renamed = run(ok)
    told = ok("why", "tidy", "--run", first, "--run", renamed).stdout.splitlines()
    assert told[0] == "step 'tidy' of job 'daily', between two runs:"
    assert ", as 'clean': ran (never run)" in told[1]
    assert told[2].endswith(": reused (stored under this version)")
    assert told[3] == "nothing changed in its recipe from the first to the second"
    workspace.edit("daily.py", "number // 2", "number // 4")
    changed = run(ok)
    told = between(ok, "report", first, changed)
    assert told[3] == "  input number: clean.result -> tidy.result, of other content"
    assert told[4] == "upstream step 'tidy', which was 'clean': first ran, then ran"
    assert told[-2] == "    +    return number // 4"
    assert "  input number: still tidy.result, of another version, of other content" in between(
        ok, "report", renamed, changed
    )


def test_steps_that_a_run_did_not_select(daily: Workspace, ok: Memo) -> None:
    first = run(ok)
    second = run(ok, "--select", "load")
    told = between(ok, "report", first, second)
    assert became(told) == ["ran (never run)", "not selected"]
    daily.edit("daily.py", "return 20", "return 8")
    third = run(ok, "--select", "load,clean")
    assert "upstream step 'load': first reused, then ran" in between(ok, "clean", second, third)


def test_a_list_of_inputs_names_the_member(workspace: Workspace, ok: Memo) -> None:
    workspace.write(
        "daily.py",
        """
        from memo import job, op

        @op
        def one():
            return 1

        @op
        def two():
            return 2

        @op
        def add(numbers: list):
            return sum(numbers)

        @job
        def daily():
            add([one(), two()])
        """,
    )
    first = run(ok)
    workspace.edit("daily.py", "return 2", "return 3")
    second = run(ok)
    told = between(ok, "add", first, second)
    assert told[3:5] == [
        "  input numbers[1]: still two.result, of another version, of other content",
        "upstream step 'two': first ran, then ran",
    ]


def test_another_version_of_a_package(workspace: Workspace, ok: Memo) -> None:
    workspace.write("daily.py", FAILS)
    workspace.edit("daily.py", "from memo import job, op", "import numbers_of\nfrom memo import job, op")
    workspace.edit("daily.py", "number // 2", "numbers_of.twice(number)")
    runs = []
    for version in ("1.0", "2.0"):
        site = f"env{version}/site-packages"
        workspace.write(f"{site}/numbers_of/__init__.py", "def twice(number):\n    return number * 2\n")
        workspace.write(f"{site}/numbers_of-{version}.dist-info/METADATA", f"Name: numbers-of\nVersion: {version}\n")
        workspace.write(f"{site}/numbers_of-{version}.dist-info/RECORD", "numbers_of/__init__.py,,\n")
        done = ok("run", "daily.py", "--json", PYTHONPATH=str(workspace.path / site))
        runs.append(result(done)["run_id"])
    told = between(ok, "report", *runs)
    assert told[3:] == [
        "  input number: still clean.result, of another version, of the same content",
        "upstream step 'clean': first ran, then ran",
        "  code numbers-of: 1.0 -> 2.0",
        "its output 'result' has the same content in both",
    ]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("return number // 2", "return number // 4", "  code far.half  (far.py:8)"),
        ("LIMIT = 5", "LIMIT = 6", "  code far.LIMIT: 5 -> 6"),
        ("least = 0", "least = 1", "  code far.Bounds.least: 0 -> 1"),
    ],
)
def test_what_changed_two_modules_away(workspace: Workspace, ok: Memo, old: str, new: str, named: str) -> None:
    workspace.write(
        "far.py",
        """
        LIMIT = 5


        class Bounds:
            least = 0


        def half(number):
            return number // 2
        """,
    )
    workspace.write(
        "near.py",
        """
        import far


        def bounded(number):
            return max(min(far.half(number), far.LIMIT), far.Bounds().least)
        """,
    )
    workspace.write("daily.py", FAILS)
    workspace.edit("daily.py", "from memo import job, op", "from near import bounded\nfrom memo import job, op")
    workspace.edit("daily.py", "number // 2", "bounded(number)")
    first = run(ok)
    workspace.edit("far.py", old, new)
    second = run(ok)
    told = between(ok, "report", first, second)
    above = told[told.index("upstream step 'clean': first ran, then ran") + 1 :]
    assert above[0] == named
    if "half" in named:
        assert f"    -    {old}" in above
        assert f"    +    {new}" in above


def test_a_long_chain_shows_a_dozen_of_the_steps_between(workspace: Workspace, ok: Memo) -> None:
    ops = "\n".join(f"s{number} = op(name='s{number}')(lambda x: x + 1)" for number in range(1, 40))
    calls = "s0()"
    for number in range(1, 40):
        calls = f"s{number}({calls})"
    workspace.write(
        "daily.py",
        f"from memo import job, op\n@op\ndef s0():\n    return 20\n{ops}\n@job\ndef daily():\n    {calls}\n",
    )
    first = run(ok)
    workspace.edit("daily.py", "return 20", "return 21")
    second = run(ok)
    told = between(ok, "s39", first, second)
    above = [line.split("'")[1] for line in told if line.startswith("upstream step")]
    assert above == [*[f"s{number}" for number in range(38, 26, -1)], "s0"]
    assert "    +    return 21" in told
    assert "and 26 more upstream steps, in which nothing changed but such inputs" in told
    found = result(ok("why", "s39", "--run", first, "--run", second, "--json"))
    assert [each["step"] for each in found["upstream"]] == [f"s{number}" for number in range(38, -1, -1)]


def test_steps_of_a_run_and_files_are_completed(daily: Workspace, ok: Memo) -> None:
    def completed(*words: str) -> list[str]:
        done = daily.memo(
            _MEMO_COMPLETE="bash_complete", COMP_WORDS=" ".join(("memo", *words)), COMP_CWORD=str(len(words))
        )
        return done.stdout.splitlines()

    assert completed("why", "--run", "last", "re") == [""]
    run(ok)
    assert completed("why", "--run", "last", "re") == ["plain,report"]
    assert "plain,last" in completed("why", "report", "--run", "")
    assert completed("why", "dai") == ["file,dai"]


# Bad input


@pytest.mark.usefixtures("daily")
def test_runs_and_steps_that_are_not_there(ok: Memo, memo: Memo) -> None:
    first = run(ok)
    off = run(ok, "--no-memo")
    for args, said in [
        (
            ["why", "reprot", "--run", first, "--run", first],
            f"run {first} has no step 'reprot'. Did you mean 'report'?",
        ),
        (["why", "report", "--run", first, "--run", "nope"], "nope"),
        (["why", "report", "--run", first, "--run", off], f"run {off} was without memoization"),
        (["why", "report", "--run", off], f"run {off} was without memoization"),
        (["why", "daily.py", "report", "--run", off], f"run {off} was without memoization"),
        (
            ["why", "daily.py", "report", "--run", first, "--tag", "memo/is_memoized_run=false"],
            "memoization is off: step 'report' has no version now",
        ),
        (["why", "report", *["--run", first] * 3], "--run is given 3 times; two runs are compared at most"),
        (["why", "report", "--run", first, "--set", "a=1"], "--job, --config, --set and --tag are for TARGET"),
        (["why", "daily.py"], "STEP is missing: memo why TARGET STEP, or memo why STEP --run A --run B"),
        (["why"], "Missing argument"),
    ]:
        done = memo(*args)
        assert done.returncode == 2, args
        assert said in done.stderr, args
        assert "Traceback" not in done.stderr
        assert done.stdout == ""


def test_a_home_without_runs(workspace: Workspace, memo: Memo) -> None:
    done = memo("why", "report", "--run", "last")
    assert done.returncode == 2
    assert f"the home {workspace.home} knows no run yet" in done.stderr
    assert not workspace.home.exists()


def test_two_runs_are_compared_without_planning_or_executing(daily: Workspace, ok: Memo) -> None:
    first, second = run(ok), run(ok)
    program = "import sys; from memo.cli.program import run_program; run_program(sys.argv[1:]); print(*sys.modules)"
    done = daily.python("-c", program, "why", "report", "--run", first, "--run", second)
    modules = set(done.stdout.splitlines()[-1].split())
    assert not {"daily", "memo.execution", "memo.project.running"} & modules
