"""`memo accept`: declared, shown with its diff, listed, revoked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Memo
    from tests.conftest import Workspace

REASON = "only how it halves"


@pytest.fixture
def edited(daily: Workspace, ok: Memo) -> Workspace:
    """The three steps have run, and then the helper of the second was edited."""
    ok("run", "daily.py")
    daily.edit("daily.py", "number // 2", "int(number / 2)")
    return daily


def verdicts(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    return {step["step"]: (step["verdict"], step["reason"]) for step in json.loads(done.stdout)["steps"]}


def settled(text: str) -> list[str]:
    """Lines without what changes: times and ids."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r"\b[0-9a-f]{19}\b", "RUN", text)
    return re.sub(r"(<1|\d+(\.\d+)?) (ms|s)\b", "T", text).splitlines()


def test_an_accepted_step_is_shown_with_its_diff_and_reused(edited: Workspace, ok: Memo) -> None:
    done = ok("accept", "daily.py", "clean", "--reason", f"  {REASON}\n")

    lines = settled(done.stdout)
    assert re.fullmatch(r"step 'clean' \(.*daily\.py:\d+\): REUSE, accepted as equal(: .*)?", lines[0])
    assert lines[1:] == [
        f"  accepted on TIME: {REASON}",
        "  acceptance 1; to take it back: memo accept --revoke 1",
        "  usually takes T",
        "what changed and was accepted:",
        "  code daily.half  (daily.py:4)",
        "    --- daily.py (before)",
        "    +++ daily.py (now)",
        "    @@ -4,2 +4,2 @@",
        "     def half(number):",
        "    -    return number // 2",
        "    +    return int(number / 2)",
        "it last ran in run RUN of TIME for the first time",
    ]
    assert settled(ok("why", "daily.py", "clean").stdout) == lines
    plan = ok("plan", "daily.py").stdout
    assert re.search(r"REUSE +clean +accepted as equal", plan)
    assert plan.splitlines()[-1] == "daily: 0 steps to run, 3 to reuse (1 accepted as equal)"
    run = ok("run", "daily.py", "-v").stderr + ok("show", "last").stdout
    assert re.search(r"clean: reused \(accepted as equal.*\)", run)
    assert "3 reused" in run


def test_a_later_edit_runs(edited: Workspace, ok: Memo) -> None:
    ok("accept", "daily.py", "clean", "--reason", REASON)
    edited.edit("daily.py", "int(number / 2)", "int(number / 4)")

    plan = ok("plan", "daily.py", "--json")
    assert verdicts(plan)["clean"] == ("RUN", "code changed")
    assert "accepted" not in ok("why", "daily.py", "clean").stdout


def test_list_and_revoke(edited: Workspace, ok: Memo) -> None:
    assert ok("accept", "--list").stdout == ""
    assert json.loads(ok("accept", "--list", "--json").stdout) == []
    ok("accept", "daily.py", "clean", "--reason", REASON)
    assert settled(ok("accept", "--list").stdout) == [
        "ID  JOB    STEP   ACCEPTED             STATE  REASON",
        f"1   daily  clean  TIME  holds  {REASON}",
    ]

    revoked = ok("accept", "--revoke", "1")

    assert revoked.stdout == f"acceptance 1 of step 'clean' in job 'daily' is revoked: {REASON}\n"
    assert verdicts(ok("plan", "daily.py", "--json"))["clean"] == ("RUN", "code changed")
    header, line = settled(ok("accept", "--list", "--job", "daily").stdout)
    assert "revoked TIME" in line
    assert REASON in line
    assert header.split() == ["ID", "JOB", "STEP", "ACCEPTED", "STATE", "REASON"]
    assert "nothing of job 'other' was accepted" in ok("accept", "--list", "--job", "other").stderr
    assert ok("run", "daily.py").stderr.count("ran in") == 1


def test_json(edited: Workspace, ok: Memo) -> None:
    made: Any = json.loads(ok("accept", "daily.py", "clean", "--reason", REASON, "--json").stdout)
    (change,) = made.pop("changes")
    assert (change["kind"], change["name"]) == ("code", "daily.half")
    assert "+    return int(number / 2)" in change["diff"]
    assert json.loads(ok("accept", "--list", "--json").stdout) == [made]
    assert {name: made[name] for name in ("id", "job", "step", "reason", "revoked_at")} == {
        "id": 1,
        "job": "daily",
        "step": "clean",
        "reason": REASON,
        "revoked_at": None,
    }

    why = json.loads(ok("why", "daily.py", "clean", "--json").stdout)
    assert why["accepted"] == made
    assert why["version"] == made["stored_version"]
    assert why["changes"] == [change]
    assert json.loads(ok("why", "daily.py", "load", "--json").stdout)["accepted"] is None

    revoked = json.loads(ok("accept", "--revoke", "1", "--json").stdout)
    assert revoked == {**made, "revoked_at": revoked["revoked_at"]}
    assert revoked["revoked_at"] >= made["at"]


def test_verify_says_what_was_accepted_and_is_not_equal(edited: Workspace, ok: Memo, memo: Memo) -> None:
    ok("accept", "daily.py", "clean", "--reason", REASON)
    assert "3 gave the same" in ok("verify", "daily.py", "--rerun").stdout
    edited.edit("daily.py", "int(number / 2)", "int(number / 20)")
    ok("accept", "daily.py", "clean", "--reason", "mistaken")

    done = memo("verify", "daily.py", "--rerun")

    assert done.returncode == 1
    assert re.search(r"DIFFERS +clean .* what was accepted as equal is not what op 'clean' \(.*\) gives", done.stdout)
    assert "memo run --force clean, or memo accept --revoke" in done.stdout
    found = json.loads(memo("verify", "daily.py", "--rerun", "--json").stdout)
    assert found["nondeterministic_ops"] == []
    assert [step["vouched"] for step in found["steps"]] == [None, "accepted", None]


def test_a_change_of_config_is_accepted_with_the_config_given(edited: Workspace, ok: Memo) -> None:
    config = ("--set", "ops.clean.config.limit=7")
    assert (
        "config limit: 5 -> 7"
        in ok("accept", "daily.py", "clean", "--reason", "both are never reached", *config).stdout
    )

    assert verdicts(ok("plan", "daily.py", "--json", *config))["clean"] == ("REUSE", "accepted as equal")
    assert verdicts(ok("plan", "daily.py", "--json"))["clean"] == ("RUN", "code changed")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "TARGET and STEP are missing"),
        (["daily.py"], "TARGET and STEP are missing"),
        (["daily.py", "clean"], "say why the step gives the same as before"),
        (["daily.py", "clean", "--reason", " "], "the reason is empty"),
        (["daily.py", "cleen", "--reason", "x"], "has no step 'cleen'. Did you mean 'clean'?"),
        (["daily.py", "load", "--reason", "x"], "there is nothing to accept"),
        (["nowhere.py", "clean", "--reason", "x"], "nowhere.py"),
        (["daily.py", "clean", "--reason", "x", "--run", "zz"], "there is no run 'zz'"),
        (["daily.py", "clean", "--reason", "x", "--tag", "memo/is_memoized_run=false"], "turn memoization off"),
        (["daily.py", "clean", "--reason", "x", "--set", "ops.clean.config.limit=many"], "limit"),
        (["--revoke", "7"], "there is no acceptance 7"),
        (["--revoke", "0"], "0 is not in the range"),
        (["--revoke", "one"], "'one' is not a valid integer"),
        (["--revoke", "99999999999999999999"], "there is no acceptance 99999999999999999999"),
        (["--list", "--revoke", "1"], "stand alone"),
        (["--list", "daily.py"], "stand alone"),
        (["--revoke", "1", "--reason", "x"], "stand alone"),
        (["--revoke", "1", "--job", "daily"], "stand alone"),
    ],
)
def test_bad_input_exits_with_2(edited: Workspace, memo: Memo, args: list[str], said: str) -> None:
    done = memo("accept", *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert json.loads(memo("accept", "--list", "--json").stdout) == []


def test_nothing_is_made_where_there_is_no_home(daily: Workspace, memo: Memo) -> None:
    assert memo("accept", "--list").returncode == 0
    assert memo("accept", "--revoke", "1").returncode == 2
    assert memo("accept", "daily.py", "clean", "--reason", "x").returncode == 2
    assert not daily.home.exists()


def test_two_processes_accept_the_same_at_once(edited: Workspace, ok: Memo) -> None:
    """One acceptance holds, whoever was first; the other process is told, or took its place."""
    command = [sys.executable, "-m", "memo", "accept", "daily.py", "clean", "--reason"]
    processes = [
        subprocess.Popen([*command, word], cwd=edited.path, env=edited.environment(), stderr=subprocess.PIPE, text=True)
        for word in ("one", "two")
    ]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0 or "accepted already" in said, said
    assert 0 in [process.returncode for process in processes]

    found = json.loads(ok("accept", "--list", "--json").stdout)
    assert len([each for each in found if each["revoked_at"] is None]) == 1
    assert verdicts(ok("plan", "daily.py", "--json"))["clean"] == ("REUSE", "accepted as equal")
    for each in found:
        if each["revoked_at"] is None:
            ok("accept", "--revoke", str(each["id"]))
    assert verdicts(ok("plan", "daily.py", "--json"))["clean"] == ("RUN", "code changed")


def test_revoked_by_another_process_while_a_run_is_planned_from_it(edited: Workspace, ok: Memo) -> None:
    """A run keeps to its plan; what it stored in the other's place meanwhile is made again."""
    edited.edit("daily.py", "int(number / 2)", "number // 10")
    ok("accept", "daily.py", "clean", "--reason", "mistaken")
    edited.write(
        "revoke.py",
        """
        import subprocess, sys
        from memo import execute_job
        from daily import daily

        def revoke(plan, run_id):
            subprocess.run([sys.executable, "-m", "memo", "accept", "--revoke", "1"], check=True)

        print(execute_job(daily, force="clean", on_plan=revoke).executed)
        """,
    )
    assert "clean" in edited.python("revoke.py").stdout
    assert edited.run("daily.py", output="report").value == "'2 rows'"
    edited.edit("daily.py", "number // 10", "number // 2")

    assert edited.run("daily.py", output="report").value == "'5 rows'"
