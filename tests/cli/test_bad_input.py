"""What a user can get wrong: one clear message with the way out, the right exit code, nothing stored lost."""

from __future__ import annotations

import os
import re
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace

FILES = {
    "syntax.py": "from memo import op\n\ndef f(:\n    pass\n",
    "imports_syntax.py": "import syntax\n",
    "imports_nothing.py": "import no_such_module\n",
    "raises.py": "def boom():\n    raise RuntimeError('at import')\n\nboom()\n",
    "exits.py": "import sys\nsys.exit(3)\n",
    "no_job.py": "x = 1\n",
    "several.py": (
        "from memo import job, op\n@op\ndef one(): return 1\n@job\ndef daily(): one()\n@job\ndef weekly(): one()\n"
    ),
    "cycle.py": "from memo import job, op\n@op\ndef one(x): return 1\n@job\ndef daily(): one(no_such_name)\n",
    "unknown_input.py": "from memo import job, op\n@op\ndef one(x): return 1\n@job\ndef daily(): one(y=1)\n",
    "bad_tag.py": (
        "from memo import job, op\n@op\ndef one(): return 1\n"
        "@job(tags={'memo/is_memoized_run': 'perhaps'})\ndef daily(): one()\n"
    ),
}

TARGETS = [
    (["nothere.py"], "nothere.py: there is no such file; name a Python file, or a module as package.module"),
    (["folder/"], "folder/: is a folder, not a file"),
    (["nothere"], "nothere: there is no module 'nothere' here."),
    (["several"], "several: defines several jobs; name one: several:daily (daily, weekly)"),
    (["syntax"], "syntax.py:3: syntax error: invalid syntax"),
    (["syntax.py"], "syntax.py:3: syntax error: invalid syntax"),
    (["imports_syntax.py"], "syntax.py:3: syntax error: invalid syntax"),
    (["imports_nothing.py"], "imports_nothing.py: importing it failed: No module named 'no_such_module'"),
    (["raises.py"], "raises.py: importing it failed: RuntimeError: at import"),
    (["raises"], "raises: importing it failed: RuntimeError: at import"),
    (["exits.py"], "exits.py: importing it failed: SystemExit: 3"),
    (["no_job.py"], "no_job.py: defines no job: decorate a function with @job, or assign graph.to_job() to a name"),
    (["several.py"], "several.py: defines several jobs; name one: several.py:daily (daily, weekly)"),
    (["several.py:dayly"], "several.py: defines no job 'dayly'. Did you mean 'daily'?"),
    (["several.py", "--job", "dayly"], "several.py: defines no job 'dayly'. Did you mean 'daily'?"),
    (["several.py:daily", "--job", "weekly"], "names the job 'daily' and --job names 'weekly'; name one"),
    ([":daily"], "the target ':daily' names no file or module; write file.py:job or package.module:job"),
    (["cycle.py"], "importing it failed: NameError: name 'no_such_name' is not defined"),
    (["unknown_input.py"], "'y'"),
    (["bad_tag.py"], "'memo/is_memoized_run' is 'perhaps'; it must be true or false"),
]


def one_message(done: CompletedProcess[str], said: str) -> str:
    """Check that there is one message and nothing else; give its other lines."""
    err = done.stderr
    assert done.returncode == 2, err
    assert done.stdout == ""
    first, _, more = err.partition("\n")
    assert first.startswith("error: ")
    assert said in first
    assert err.count("error: ") - err.count("syntax error: ") == 1
    assert "Traceback" not in err
    assert "/memo/" not in more
    return more


@pytest.fixture
def bad(workspace: Workspace) -> Workspace:
    for name, text in FILES.items():
        workspace.write(name, text)
    (workspace.path / "folder").mkdir()
    return workspace


@pytest.mark.parametrize(("args", "said"), TARGETS, ids=[" ".join(args) for args, _ in TARGETS])
def test_targets(bad: Workspace, memo: Memo, args: list[str], said: str) -> None:
    one_message(memo("run", *args), said)
    assert not bad.home.exists()


@pytest.mark.parametrize("command", [["plan"], ["graph"], ["why", "--json"]])
@pytest.mark.usefixtures("bad")
def test_targets_of_other_commands(memo: Memo, command: list[str]) -> None:
    step = ["load"] if command[0] == "why" else []
    one_message(memo(*command, "raises.py", *step), "raises.py: importing it failed: RuntimeError: at import")


@pytest.mark.parametrize("target", ["syntax.py", "imports_syntax.py"])
@pytest.mark.usefixtures("bad")
def test_a_syntax_error_shows_the_line(memo: Memo, target: str) -> None:
    more = one_message(memo("run", target), "syntax error")
    assert [line.strip() for line in more.splitlines()] == ["def f(:", "^"]


@pytest.mark.parametrize("target", ["raises.py", "raises"])
def test_an_error_at_import_shows_the_users_own_frames(bad: Workspace, memo: Memo, target: str) -> None:
    more = one_message(memo("run", target), "at import")
    file = bad.path / "raises.py"
    assert more.splitlines() == [
        f'  File "{file}", line 4, in <module>',
        "    boom()",
        f'  File "{file}", line 2, in boom',
        "    raise RuntimeError('at import')",
    ]


@pytest.mark.usefixtures("bad")
def test_debug_shows_the_whole_traceback(memo: Memo) -> None:
    done = memo("run", "raises.py", "--debug")
    assert done.returncode == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert "reference.py" in done.stderr
    assert "error: raises.py: importing it failed" in done.stderr


CONFIG: dict[str, str | bytes] = {
    "unclosed.toml": "[ops.clean.config]\nlimit = [1,\n",
    "malformed.toml": "[ops.clean.config]\n\nlimit = = 3\n",
    "malformed.json": '{\n "ops":\n  {"clean": }}\n',
    "short.json": '{\n "ops": {',
    "malformed.yaml": "ops:\n  clean:\n    config: {limit: 1\n  x: [\n",
    "tabs.yaml": "ops:\n\tclean: 1\n",
    "latin.toml": "[ops]\n# gr\xf6\xdfer\n".encode("latin-1"),
    "list.json": "[1, 2]",
    "config.ini": "[ops]\n",
    "wrong_type.toml": '[ops.clean.config]\nlimit = "5"\n',
    "unknown.toml": "[ops.clean.config]\nlimt = 5\n",
    "unknown_op.toml": "[ops.cleen.config]\nlimit = 5\n",
    "several.toml": '[ops.clean.config]\nlimit = "5"\nlimt = 5\n[opps]\n[resources.db.config]\n',
}

CONFIG_CASES = [
    (["-c", "unclosed.toml"], "unclosed.toml:3: TOML cannot be read: "),
    (["-c", "malformed.toml"], "malformed.toml:3: TOML cannot be read: Invalid value"),
    (["-c", "malformed.json"], "malformed.json:3: JSON cannot be read: "),
    (["-c", "short.json"], "short.json:2: JSON cannot be read: "),
    (["-c", "malformed.yaml"], "malformed.yaml:4: YAML cannot be read: "),
    (["-c", "tabs.yaml"], "tabs.yaml:2: YAML cannot be read: "),
    (["-c", "latin.toml"], "latin.toml:2: is not UTF-8 text"),
    (["-c", "list.json"], "list.json: must hold a mapping with ops, resources, inputs or execution, and holds list"),
    (["-c", "config.ini"], "config.ini: run config is read from files ending in .toml, .yaml, .yml, .json"),
    (["-c", "nothere.toml"], "nothere.toml: there is no such file"),
    (["-c", "folder.toml"], "folder.toml: cannot be read: Is a directory"),
    (["-c", "wrong_type.toml"], "ops.clean.config.limit: Expected int, got str '5'"),
    (["-c", "unknown.toml"], "ops.clean.config.limt: Unexpected config entry 'limt'. Did you mean 'limit'?"),
    (["-c", "unknown_op.toml"], "ops.cleen: unexpected config entry. Did you mean 'clean'?"),
    (["--set", "ops.clean.config.limit=many"], "ops.clean.config.limit: Expected int, got str 'many'"),
    (["--set", "ops.clean.config.limit"], "--set ops.clean.config.limit: cannot be read: write --set ops."),
    (["--set", "ops..limit=1"], "--set ops..limit=1: cannot be read"),
    (
        ["--set", "ops.clean=1", "--set", "ops.clean.config.limit=1"],
        "ops.clean is 1 already, so nothing can be set below",
    ),
    (["--tag", "team"], "--tag 'team' cannot be read: write --tag name=value"),
    (["--tag", "memo/is_memoized_run=perhaps"], "the run's tag 'memo/is_memoized_run' is 'perhaps'"),
    (["--tag", "memo/max_retries=x"], "the tag 'memo/max_retries' is 'x'; it must be a whole number"),
    (["--select", "cleen"], "the selection 'cleen' names no step of this job. Did you mean 'clean'?"),
    (["--select", "clean"], "'load', which is neither selected nor stored"),
    (["--force", "cleen"], "the selection 'cleen' names no step of this job. Did you mean 'clean'?"),
]


@pytest.fixture
def configured(daily: Workspace) -> Workspace:
    for name, content in CONFIG.items():
        (daily.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (daily.path / "folder.toml").mkdir()
    return daily


@pytest.mark.parametrize(("args", "said"), CONFIG_CASES, ids=[" ".join(args) for args, _ in CONFIG_CASES])
def test_config(configured: Workspace, memo: Memo, args: list[str], said: str) -> None:
    one_message(memo("run", "daily.py", *args), said)
    assert not configured.home.exists()


@pytest.mark.usefixtures("configured")
def test_every_problem_of_a_config_has_its_line(memo: Memo) -> None:
    more = one_message(memo("run", "daily.py", "-c", "several.toml"), "error: job 'daily': 4 problems in the config")
    assert [line.strip().partition(":")[0] for line in more.splitlines()] == [
        "opps",
        "resources.db",
        "ops.clean.config.limit",
        "ops.clean.config.limt",
    ]


@pytest.mark.usefixtures("daily")
def test_yaml_without_its_package_names_the_extra(workspace: Workspace, memo: Memo) -> None:
    workspace.write("config.yaml", "ops: {}\n")
    workspace.write("without/yaml.py", "raise ModuleNotFoundError(\"No module named 'yaml'\", name='yaml')\n")
    path = os.pathsep.join([str(workspace.path / "without"), os.environ.get("PYTHONPATH", "")])
    done = memo("run", "daily.py", "-c", "config.yaml", PYTHONPATH=path)
    one_message(done, "reading config.yaml needs the package 'pyyaml': pip install 'memo-pipelines[yaml]'")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["show", "0000"], "there is no run '0000' in the home"),
        (["show", "last"], "knows no run yet; `memo run TARGET` makes one"),
        (["logs", "0000"], "there is no run '0000' in the home"),
        (["retry", "0000"], "there is no run '0000' in the home"),
        (["why", "daily.py", "cleen"], "job 'daily' has no step 'cleen'. Did you mean 'clean'?"),
    ],
)
@pytest.mark.usefixtures("daily")
def test_runs_and_steps_that_are_not_there(memo: Memo, args: list[str], said: str) -> None:
    one_message(memo(*args), said)


@pytest.mark.usefixtures("daily")
def test_a_step_that_a_run_does_not_have_opens_no_file(workspace: Workspace, memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    workspace.write("secret.out", "secret\n")
    one_message(
        memo("logs", "last", "../../../secret"), "has no step '../../../secret'. There is: clean, load, report."
    )


def test_the_beginning_of_several_ids_names_none(daily: Workspace, memo: Memo, ok: Memo) -> None:
    ok("run", "daily.py")
    ok("run", "daily.py")
    assert daily.home.exists()
    one_message(memo("show", "1"), "more than one run begins with '1'")


STEPS = {
    "unpicklable": (
        """
        @op
        def load():
            return lambda: 1
        """,
        r"failed: step 'load' \(bad.py:4\): .*cannot be stored: a function cannot be pickled",
    ),
    "wrong type": (
        """
        @op
        def load() -> int:
            return "x"
        """,
        r"failed: step 'load' \(bad.py:4\): the output 'result' must be int and is str",
    ),
    "no output": (
        """
        @op(out={"a": Out(), "b": Out()})
        def load():
            yield Output(1, "a")
        """,
        r"failed: step 'load' \(bad.py:4\): ended without giving its output 'b'",
    ),
    "exit": (
        """
        @op
        def load():
            sys.exit("enough")
        """,
        r"failed: step 'load' \(bad.py:4\): SystemExit: enough",
    ),
    "recursion": (
        """
        def again():
            return again()

        @op
        def load():
            return again()
        """,
        r"failed: step 'load' \(bad.py:7\): RecursionError: maximum recursion depth exceeded",
    ),
    "caused": (
        """
        @op
        def load():
            try:
                {}["x"]
            except KeyError as error:
                raise ValueError("no x") from error
        """,
        r"failed: step 'load' \(bad.py:4\): ValueError: no x(?s:.*)  caused by KeyError: 'x'",
    ),
}


@pytest.mark.parametrize("case", STEPS)
@pytest.mark.parametrize("concurrency", ["1", "2"])
def test_steps_that_fail(workspace: Workspace, memo: Memo, case: str, concurrency: str) -> None:
    text, said = STEPS[case]
    head = "import sys\nfrom memo import Out, Output, job, op\n"
    workspace.write("bad.py", head + dedent(text) + "\n@job\ndef daily():\n    load()\n")
    done = memo("run", "bad.py", "-j", concurrency)
    assert done.returncode == 1
    assert re.search(said, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert "memo/execution" not in done.stderr
    assert "memo retry " in done.stderr


def test_a_dead_worker_fails_its_step_and_says_how(workspace: Workspace, memo: Memo) -> None:
    workspace.write(
        "dying.py",
        """
        import os, signal
        from memo import job, op

        @op
        def load():
            os.kill(os.getpid(), signal.SIGKILL)

        @op
        def other():
            return 1

        @job
        def daily():
            load()
            other()
        """,
    )
    done = memo("run", "dying.py", "-j", "2")
    assert done.returncode == 1
    assert "failed: step 'load' (dying.py:4): the process that was running it was killed by SIGKILL" in done.stderr
    assert "daily: 1 step run, 0 reused, 1 failed" in done.stderr


def test_what_a_users_io_manager_raises_while_planning_is_told_with_its_frames(
    workspace: Workspace, memo: Memo
) -> None:
    workspace.write(
        "manager.py",
        """
        from memo import io_manager, job, op

        @io_manager
        def broken():
            raise RuntimeError("no server")

        @op
        def load():
            return 1

        @job(resource_defs={"io_manager": broken})
        def daily():
            load()
        """,
    )
    done = memo("run", "manager.py")
    assert done.returncode == 2
    assert "no server" in done.stderr
    assert "in broken" in done.stderr
    assert "memo/execution" not in done.stderr
    assert "bug in memo" not in done.stderr


@pytest.mark.usefixtures("daily")
def test_a_bug_in_memo_is_one_line_and_says_so(workspace: Workspace) -> None:
    program = (
        "import sys, memo.project.running\n"
        "def broken(*args, **options): raise KeyError('something of ours')\n"
        "memo.project.running.execute_job = broken\n"
        "from memo.cli.program import run_program\n"
        "sys.exit(run_program(['run', 'daily.py', *sys.argv[1:]]))\n"
    )
    # The stand-in is made in memo's own name, so that it counts as ours.
    workspace.write(
        "planted.py", f"exec(compile({program!r}, __import__('memo').__path__[0] + '/planted.py', 'exec'))\n"
    )
    done = workspace.python("planted.py", check=False)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("error: this is a bug in memo: KeyError: 'something of ours' (")
    assert "--debug" in second
    assert "Traceback" in workspace.python("planted.py", "--debug", check=False).stderr
