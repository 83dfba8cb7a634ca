"""W8: what a null run costs as other things grow: the history, what else is stored, the bytes of its own outputs.

How it grows with steps is seen in the runs (W1).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.drivers import memo_ops
from benchmarks.graphs import AS_WRITTEN, make_graph
from benchmarks.measuring import bytes_on_disk, measure
from benchmarks.results import Result
from benchmarks.workloads.runs import memo_environment, write_pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

WORKLOAD = "growth"
STEPS = 20
QUICK_RUNS, FULL_RUNS = (0, 100, 1_000), (0, 1_000, 10_000, 100_000)
QUICK_STORED, FULL_STORED = (0, 1_000), (0, 1_000, 10_000, 100_000)
QUICK_BYTES, FULL_BYTES = (1_000, 1_000_000, 64_000_000), (1_000, 1_000_000, 64_000_000, 640_000_000)

MANY_RUNS = """\
import sys
from memo import execute_job
from pipeline import bench
for number in range(int(sys.argv[1])):
    assert execute_job(bench).success
"""

LARGE = """\
import numpy as np
from memo import job, op

@op
def first():
    return np.random.default_rng(7).random({count})

@op
def second(values):
    return values + 1

@job
def bench():
    second(first())
"""


def measure_growth(session: Session) -> None:
    """Grow one thing after the other."""
    with session.folder("history") as folder:
        write_pipeline(memo_ops.OPS, make_graph("layered", STEPS), AS_WRITTEN, folder)
        (folder / "many_runs.py").write_text(MANY_RUNS, encoding="utf-8")
        had = 0
        for runs in FULL_RUNS if session.is_full else QUICK_RUNS:
            session.say(f"growth: {runs} runs in the history")
            _run(folder, ["many_runs.py", str(max(1, runs - had))], limit=3600)
            had = runs
            disk, _ = bytes_on_disk(folder / ".memo")
            for phase, arguments in (
                ("null run, by runs in the history", ["run", "pipeline.py"]),
                ("memo plan, by runs in the history", ["plan", "pipeline.py"]),
                ("memo runs, by runs in the history", ["runs"]),
            ):
                _measure(session, folder, phase, runs, ["-m", "memo", *arguments], disk)
    with session.folder("stored") as folder:
        small, other = folder / "small", folder / "other"
        write_pipeline(memo_ops.OPS, make_graph("layered", STEPS), AS_WRITTEN, small)
        for stored in FULL_STORED if session.is_full else QUICK_STORED:
            session.say(f"growth: {stored} other outputs stored")
            if stored:
                write_pipeline(memo_ops.PLACED_OPS, make_graph("layered", stored), AS_WRITTEN, other)
                home = ["--home", str(small / ".memo")]
                _run(other, ["-m", "memo", "run", "pipeline.py", *home], limit=3600)
            _run(small, ["-m", "memo", "run", "pipeline.py"])
            _measure(
                session, small, "null run, by other outputs stored", stored, ["-m", "memo", "run", "pipeline.py"], None
            )
    for size in FULL_BYTES if session.is_full else QUICK_BYTES:
        with session.folder("bytes") as folder:
            session.say(f"growth: outputs of {size:,} bytes")
            (folder / "memo.toml").touch()
            (folder / "pipeline.py").write_text(LARGE.format(count=size // 8), encoding="utf-8")
            _run(folder, ["-m", "memo", "run", "pipeline.py"], limit=600)
            _measure(
                session, folder, "null run, by bytes of its outputs", size, ["-m", "memo", "run", "pipeline.py"], None
            )


def _run(folder: Path, arguments: list[str], limit: float = 120) -> None:
    measured = measure([sys.executable, *arguments], folder, limit=limit, environment=_path(folder))
    if measured.problem:
        raise SystemExit(f"{' '.join(arguments)}: {measured.problem}\n{measured.output}")


def _measure(session: Session, folder: Path, phase: str, size: int, arguments: list[str], disk: int | None) -> None:
    for number in range(8 if session.is_full else 4):
        measured = measure([sys.executable, *arguments], folder, environment=_path(folder))
        if not number and not measured.problem:
            continue  # the first one compiles
        session.add(
            Result(
                WORKLOAD,
                "memo",
                phase,
                size=size,
                round=number,
                cpu=measured.cpu,
                wall=measured.wall,
                memory=measured.memory,
                disk=disk,
                problem=measured.problem,
            )
        )


def _path(folder: Path) -> dict[str, str]:
    path = memo_environment("memo").get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{folder}:{path}".rstrip(":")}
