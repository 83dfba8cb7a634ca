"""The program itself: its table of commands, its help, how little it imports, how it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING

import click
import pytest

from memo.cli.program import COMMANDS
from memo.cli.run import run
from memo.cli.running import is_plain_run, run_target

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    attribute = name.replace("-", "_")
    command = getattr(import_module(f"memo.cli.{attribute}"), attribute)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.help is not None
    first = command.help.partition("\n")[0]
    assert COMMANDS[name] == first
    options = {option.name: option.help for option in command.params if isinstance(option, click.Option)}
    assert all(options.values()), options
    assert "debug" in options


def test_help_lists_every_command_and_the_exit_codes(ok: Memo) -> None:
    shown = ok("--help").stdout
    for name, text in COMMANDS.items():
        assert f"{name} " in shown
        assert text.split(":", maxsplit=1)[0].rstrip(".") in " ".join(shown.split())
    assert "Exit codes: 0 all is well; 1 a step failed; 2 bad input; 130 interrupted." in " ".join(shown.split())


def imported_by(*args: str) -> set[str]:
    """The modules that a call of the command line has imported when it leaves."""
    program = "import sys; from memo.cli.program import run_program; run_program(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_no_command_and_no_engine() -> None:
    modules = {name for name in imported_by("--help") if name.startswith("memo")}
    assert modules == {"memo", "memo.cli", "memo.cli.program", "memo.errors"}


def test_help_of_a_command_imports_no_engine() -> None:
    modules = imported_by("run", "--help")
    assert not any(name.startswith(("memo.definition", "memo.project", "memo.planning", "msgspec")) for name in modules)


HEAVY = {"rich", "duckdb", "pyarrow", "fsspec", "numpy", "pandas", "yaml", "json", "tempfile", "asyncio", "subprocess"}

NEEDED_LATER = {
    "concurrent",
    "difflib",
    "fcntl",
    "heapq",
    "logging",
    "pathlib",
    "shlex",
    "shutil",
    "tomllib",
    "traceback",
    "urllib",
    "memo.catalog.failures",
    "memo.catalog.housekeeping",
    "memo.catalog.outside",
    "memo.catalog.reading",
    "memo.catalog.sharing",
    "memo.catalog.standing",
    "memo.cli.config_files",
    "memo.cli.undeclared",
    "memo.contracts.sharing",
    "memo.definition.selection",
    "memo.execution.claims",
    "memo.execution.failures",
    "memo.execution.keeping",
    "memo.execution.logs",
    "memo.execution.processes",
    "memo.execution.retries",
    "memo.execution.shared_claims",
    "memo.execution.sharing",
    "memo.execution.step",
    "memo.execution.streams",
    "memo.execution.watching",
    "memo.project.reexecution",
    "memo_iomanagers.storing",
    "memo_iomanagers.stored",
    "memo_iomanagers.writing",
}
"""What a run needs once a step runs, is asked for, or goes wrong."""


def test_a_run_with_nothing_to_do_imports_nothing_heavy_and_nothing_that_it_needs_only_later(
    daily: Workspace, ok: Memo
) -> None:
    ok("run", "daily.py")
    program = "import sys; from memo.cli.program import run_program; run_program(sys.argv[1:]); print(*sys.modules)"
    done = daily.python("-c", program, "run", "daily.py")
    assert not (HEAVY | NEEDED_LATER) & set(done.stdout.splitlines()[-1].split())


def test_a_run_without_options_needs_no_parser(daily: Workspace, ok: Memo) -> None:
    ok("run", "daily.py")
    program = (
        "import sys\nfrom memo.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    assert not end.code\nprint(*sys.modules)"
    )
    done = daily.python("-c", program, "run", "daily.py")
    modules = set(done.stdout.splitlines()[-1].split())
    assert not (HEAVY | NEEDED_LATER | {"click", "gettext", "memo.cli.program", "memo.cli.options"}) & modules


def test_a_run_without_options_is_the_run_that_the_parser_would_make() -> None:
    assert is_plain_run(["run", "x.py"])
    assert not any(map(is_plain_run, (["run"], ["run", "-h"], ["plan", "x.py"], ["run", "x.py", "-v"], [])))
    parsed = run.make_context("run", ["x.py"]).params
    assert (parsed.pop("target"), parsed.pop("debug")) == ("x.py", False)
    left_out = {
        name: each.default for name, each in signature(run_target).parameters.items() if each.kind is each.KEYWORD_ONLY
    }
    assert parsed == left_out


def cpu_ms(command: list[str]) -> float:
    """The least CPU that a program took, of several times."""
    times: list[float] = []
    for _ in range(7):
        quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=quiet)
        _, _, usage = os.wait4(pid, 0)
        times.append((usage.ru_utime + usage.ru_stime) * 1000)
    return min(times)


def test_help_is_there_within_80_ms_of_bare_python() -> None:
    bare = cpu_ms([sys.executable, "-c", "pass"])
    assert cpu_ms([sys.executable, "-m", "memo", "--help"]) - bare < 80


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_stream_that_the_shell_closed_is_no_file_of_memos(
    daily: Workspace, ok: Memo, closed: tuple[int, ...]
) -> None:
    # The catalog would be opened in its place, and be written to by whoever writes there.
    daily.write(
        "writes.py",
        """
        import os
        from memo import job, op

        @op
        def load() -> int:
            for number in (1, 2):
                os.write(number, b"not the catalog's")
            return 1

        @job
        def writes():
            load()
        """,
    )
    shell = " ".join(f"{number}>&-" for number in closed)
    command = f'"{sys.executable}" -m memo run writes.py --json {shell}'
    done = subprocess.run(
        ["sh", "-c", command], cwd=daily.path, env=daily.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert ('"status": "SUCCESS"' in done.stdout) == (1 not in closed)
    assert ok("run", "writes.py").stderr.startswith("load: reused")


@pytest.mark.usefixtures("daily")
def test_a_full_disk_under_what_is_told_stops_no_run(workspace: Workspace, ok: Memo) -> None:
    command = [sys.executable, "-m", "memo", "run", "daily.py"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=workspace.path, env=workspace.environment(), stderr=full, check=False)
    assert done.returncode == 0
    assert "0 steps run, 3 reused" in ok("run", "daily.py").stderr


def test_version(ok: Memo) -> None:
    from memo import __version__

    assert ok("--version").stdout == f"memo {__version__}\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["rnu", "x.py"], "there is no command 'rnu'. Did you mean 'run'?"),
        (["x.py"], "there is no command 'x.py'. To run it: memo run x.py"),
        (["run"], "Missing argument 'TARGET'"),
        (["run", "x.py", "--nope"], "No such option '--nope'"),
        (["run", "x.py", "-j", "0"], "0 is not in the range x>=1"),
        (["graph", "x.py", "--format", "png"], "'png' is not one of"),
    ],
)
def test_usage_errors(memo: Memo, args: list[str], said: str) -> None:
    done = memo(*args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_the_console_script_is_the_same_program() -> None:
    import tomllib
    from pathlib import Path

    import memo.cli

    root = Path(memo.cli.__file__).parents[2]
    scripts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, name = scripts["memo"].partition(":")
    assert getattr(import_module(module), name) is memo.cli.main


def test_a_reader_who_has_seen_enough_is_no_error(workspace: Workspace) -> None:
    names = "\n".join(f"    op_{number}()" for number in range(5000))
    ops = "\n".join(f"op_{number} = op(name='op_{number}')(lambda: 1)" for number in range(5000))
    workspace.write("wide.py", "from memo import job, op\n" + ops + "\n@job\ndef wide():\n" + names + "\n")
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -m memo graph wide.py | head -n 1', sys.executable],
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("job wide: 5,000 steps\n", "")


def test_a_run_goes_on_when_no_one_listens(workspace: Workspace) -> None:
    workspace.write(
        "loud.py",
        """
        from memo import job, op

        @op
        def loud(number):
            print("x" * 100_000)
            return number

        @op
        def last(number):
            open("done", "w").close()

        @job
        def talking():
            last(loud(1))
        """,
    )
    done = subprocess.run(
        ["/bin/sh", "-c", '{ "$0" -m memo run loud.py -v; echo $? > code; } 2>&1 >kept | true', sys.executable],
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert (workspace.path / "code").read_text() == "0\n"
    assert (workspace.path / "done").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(ok: Memo, shell: str) -> None:
    assert "_MEMO_COMPLETE" in ok("completion", shell).stdout


def completed(workspace: Workspace, *words: str) -> list[str]:
    """What bash would be offered for the last of these words."""
    done = workspace.memo(
        _MEMO_COMPLETE="bash_complete", COMP_WORDS=" ".join(("memo", *words)), COMP_CWORD=str(len(words))
    )
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_steps_and_runs_are_completed(daily: Workspace, ok: Memo) -> None:
    assert completed(daily, "ru") == ["run", "runs"]
    assert completed(daily, "why", "daily.py", "re") == ["report"]
    assert completed(daily, "accept", "daily.py", "re") == ["report"]
    assert completed(daily, "adopt", "daily.py", "re") == ["report"]
    assert completed(daily, "why", "nothere.py", "re") == []
    ok("run", "daily.py")
    runs = completed(daily, "show", "")
    assert runs[0] == "last"
    assert len(runs) == 2
    assert completed(daily, "logs", "last", "c") == ["clean"]
    assert set(completed(daily, "run", "daily.py", "--no")) == {"--no-memo"}


def test_module_and_script_agree(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "memo", "-h"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: memo [OPTIONS] COMMAND")
