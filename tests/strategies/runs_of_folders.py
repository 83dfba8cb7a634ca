"""Run a job around the op in each folder given, and print what was planned and what ran, as JSON: run by the tests
in processes of its own.

What memo needs is imported once; each folder then has a child of its own, forked before any of its modules is imported.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memo import execute_job

if TYPE_CHECKING:
    from memo.planning.plan import Plan

JOB_FILE = "job_around_op.py"

_JOB = """
from memo import job, op
from ops import op as edited


@op
def above() -> int:
    return 1


@op
def around(number: int) -> str:
    return f"{type(edited)} {number}"  # reached, never called: whatever it does, this step succeeds


@op
def beside(number: int) -> int:
    return number + 1


@job
def job_around_op():
    number = above()
    around(number)
    beside(number)
"""


def import_what_runs_need() -> None:
    """Import what every child would import for itself: it is most of the time that a run takes."""
    for name in ("memo.catalog", "memo.execution", "memo.project", "memo_iomanagers", "memo_strategies", "sqlite3"):
        package = importlib.import_module(name)
        for module in pkgutil.iter_modules(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    gc.freeze()  # what is shared with the children is not theirs to go through


def run(folder: Path, home: str) -> dict[str, Any]:
    """Import what the folder holds and run the job around its ``op``."""
    sys.dont_write_bytecode = True
    os.chdir(folder)
    Path(JOB_FILE).write_text(_JOB, encoding="utf-8")
    for file in folder.glob("*.py"):
        sys.modules.pop(file.stem, None)  # a user's queue.py comes before the one that memo has imported
    sys.path[:0] = [str(folder), str(folder / "site-packages")]
    verdicts: dict[str, str] = {}

    def look(plan: Plan, _: str) -> None:
        verdicts.update({name: step.verdict.value for name, step in plan.steps.items()})

    job = importlib.import_module(Path(JOB_FILE).stem).job_around_op
    result = execute_job(job, home, on_plan=look, raise_on_error=True)
    return {"verdicts": verdicts, "ran": sorted(result.executed), "reused": sorted(result.reused)}


def run_in_child(folder: str, home: str) -> tuple[int, int]:
    """Run a folder's job in a fork of this process; gives its id, and where the answer can be read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        answer = run(Path(folder), home)
    except BaseException:  # noqa: BLE001 - whatever it is, the child ends here and its parent is told
        answer = {"error": traceback.format_exc()[-4000:]}
    os.write(writing, json.dumps(answer).encode())  # the pipe holds it until it is read
    os._exit(0)


def run_all(folders: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Run every folder's job, as many at once as there are processors: what came of each, by folder."""
    answers: dict[str, dict[str, Any]] = {}
    waiting = list(folders.items())
    running: dict[int, tuple[str, int]] = {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            folder, home = waiting.pop()
            child, reading = run_in_child(folder, home)
            running[child] = folder, reading
        ended, _ = os.wait()
        folder, reading = running.pop(ended)
        with open(reading, encoding="utf-8") as stream:
            answers[folder] = json.loads(stream.read() or '{"error": "the child ended without a word"}')
    return answers


def needed(folder: str) -> str:
    """The package that an edit says it needs, the line that the table writes so."""
    first = (Path(folder) / "ops.py").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# needs ") if first.startswith("# needs ") else ""


if __name__ == "__main__":
    out, sys.stdout = sys.stdout, sys.stderr  # what the folders' modules print is not the answer
    import_what_runs_need()
    given: dict[str, str] = json.load(sys.stdin)
    answers: dict[str, dict[str, Any]] = {}
    for package in sorted({needed(folder) for folder in given}):
        if package:  # it would take every child a second
            importlib.import_module(package)
            gc.freeze()
        answers |= run_all({folder: home for folder, home in given.items() if needed(folder) == package})
    print(json.dumps(answers), file=out)
