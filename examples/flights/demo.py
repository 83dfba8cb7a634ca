"""What `make demo` runs: the pipeline cold, then again, then after one edit of its config and one of its code.

Each run is a process of its own, in a scratch copy of the pipeline. What must run each time is written down here; where
another step runs, or one does not, the demo fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, NoReturn

HERE = Path(__file__).resolve().parent
SCRATCH = Path(".memo-demo").resolve()
PIPELINE = SCRATCH / "flights" / "pipeline.py"

THRESHOLD = "ops.mark_delayed.config.threshold_minutes=30"
READS_THRESHOLD = {
    "mark_delayed",
    "summarize",
    "delays_by_carrier",
    "delays_by_hour",
    "delays_by_destination",
    "draw_carriers",
    "draw_hours",
    "draw_destinations",
    "draw_map",
    "write_report",
}
"""The step whose config is changed, and all that come after it."""

HELPER = ("thickness = 18", "thickness = 22")
CALLS_HELPER = {"draw_carriers", "draw_destinations", "draw_model", "write_report"}
"""The steps that draw with `bar_chart`, in which this line stands, and the one that comes after them."""


class Run(NamedTuple):
    """One run: what was changed before it, which steps ran, which were reused, and the seconds of the process."""

    name: str
    change: str
    ran: list[str]
    reused: list[str]
    seconds: float


def main() -> None:
    """Run all of it and print what happened."""
    if SCRATCH.exists():
        shutil.rmtree(SCRATCH)
    shutil.copytree(HERE, PIPELINE.parent, ignore=shutil.ignore_patterns("demo.py", "__pycache__"))
    (SCRATCH / ".gitignore").write_text("*\n", encoding="utf-8")

    cold = memo_run("cold", "nothing is stored yet")
    every = {*cold.ran, *cold.reused}
    expect(cold, every)
    again = memo_run("again", "nothing")
    expect(again, set())
    config = memo_run("config", "the threshold is 30 minutes, not 15", "--set", THRESHOLD)
    expect(config, READS_THRESHOLD)
    edit(PIPELINE.parent / "charts.py", *HELPER)
    code = memo_run("code", "bar_chart() in charts.py draws thicker bars")
    expect(code, CALLS_HELPER)

    show([cold, again, config, code], steps=len(every))
    report = max(SCRATCH.glob("reports/*.html"), key=lambda path: path.stat().st_mtime_ns, default=None)
    if report is None:
        fail(f"no report was written under {SCRATCH / 'reports'}")
    print(f"\nThe report: {report}")


def memo_run(name: str, change: str, *options: str) -> Run:
    """Run the pipeline with `memo run`, in a new process that imports it as it is now."""
    command = [sys.executable, "-m", "memo", "run", str(PIPELINE), "--json", *options]
    environment = os.environ | {"MEMO_HOME": str(SCRATCH / ".memo")}
    print(f"running: memo run {PIPELINE.relative_to(SCRATCH)} {' '.join(options)}".rstrip(), flush=True)
    start = perf_counter()
    done = subprocess.run(  # noqa: S603 - the command is ours
        command,
        cwd=SCRATCH,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = perf_counter() - start
    if done.returncode:
        fail(f"the run {name!r} failed with exit code {done.returncode}:\n{done.stderr}")
    steps: dict[str, dict[str, Any]] = json.loads(done.stdout)["steps"]
    ran = [step for step, what in steps.items() if what["outcome"] == "success"]
    reused = [step for step, what in steps.items() if what["outcome"] == "reused"]
    if len(ran) + len(reused) != len(steps):
        fail(f"in the run {name!r} steps neither ran nor were reused: {sorted({*steps} - {*ran, *reused})}")
    return Run(name, change, ran, reused, seconds)


def edit(file: Path, before: str, after: str) -> None:
    """Change the one place in a file where this text stands."""
    text = file.read_text(encoding="utf-8")
    if text.count(before) != 1:
        fail(f"{file} holds {before!r} {text.count(before)} times; the demo edits it in one place")
    file.write_text(text.replace(before, after), encoding="utf-8")


def expect(run: Run, steps: set[str]) -> None:
    """Fail unless exactly these steps ran, and all others were reused."""
    if set(run.ran) != steps:
        fail(
            f"in the run {run.name!r} other steps ran than should have: too many {sorted(set(run.ran) - steps)}, "
            f"missing {sorted(steps - set(run.ran))}",
        )


def show(runs: list[Run], *, steps: int) -> None:
    """Print the runs as a table, and under it which steps ran."""
    head = ("run", "what changed", "steps run", "reused", "seconds")
    rows = [(run.name, run.change, str(len(run.ran)), str(len(run.reused)), f"{run.seconds:.2f}") for run in runs]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    print()
    for row in (head, tuple("-" * width for width in widths), *rows):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells))
    print()
    for run in runs:
        ran = f"all {steps} steps" if len(run.ran) == steps else ", ".join(run.ran) or "no step"
        print(f"{run.name}: {ran} ran")


def fail(message: str) -> NoReturn:
    """End the demo with an error."""
    sys.exit(f"demo: {message}")


if __name__ == "__main__":
    main()
