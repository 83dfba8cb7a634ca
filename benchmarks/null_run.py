"""A null run of 1,000 no-op ops against joblib.Memory on the same functions: whole processes, side by side.

Prints CPU seconds (user and system, children included) as medians of interleaved runs, and the ratio. Exits 1 where
memo needs more than joblib. Shape: layers as wide as the square root of the count, three parents each.
"""

from __future__ import annotations

import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 7


def layered(count: int) -> list[list[int]]:
    """The parents of each step, in topological order."""
    draw = random.Random(7)
    width = max(3, math.isqrt(count))
    parents: list[list[int]] = []
    for index in range(count):
        above = (index // width - 1) * width
        parents.append(sorted(draw.sample(range(above, above + width), 3)) if above >= 0 else [])
    return parents


def functions(parents: list[list[int]], decorator: str) -> str:
    """One function a step, each with a body of its own."""
    lines: list[str] = []
    for index, above in enumerate(parents):
        names = [f"a{place}" for place in range(len(above))]
        lines += [
            decorator,
            f"def s{index}({', '.join(names)}):",
            f"    return ({' + '.join([str(index), *names])}) % 1000003",
        ]
    return "\n".join(lines)


def calls(parents: list[list[int]], indent: str) -> str:
    """The wiring, which is the same text for a graph's body and for plain calls."""
    return "\n".join(
        f"{indent}v{index} = s{index}({', '.join(f'v{parent}' for parent in above)})"
        for index, above in enumerate(parents)
    )


def write(folder: Path) -> dict[str, list[str]]:
    """Write both pipelines; gives the command of each."""
    parents = layered(COUNT)
    memo = f"from memo import job, op\n{functions(parents, '@op')}\n@job\ndef bench():\n{calls(parents, '    ')}\n"
    (folder / "bench_memo.py").write_text(memo, encoding="utf-8")
    joblib = (
        "from joblib import Memory\nmemory = Memory('joblib_store', verbose=0)\n"
        f"{functions(parents, '@memory.cache')}\n"
        f"def main():\n{calls(parents, '    ')}\n"
    )
    (folder / "bench_joblib.py").write_text(joblib, encoding="utf-8")
    return {
        "memo": [sys.executable, "-m", "memo", "run", "bench_memo.py"],
        "joblib": [sys.executable, "-c", "import bench_joblib; bench_joblib.main()"],
        "python": [sys.executable, "-c", "pass"],
    }


def cpu_seconds(command: list[str], folder: Path) -> float:
    """CPU seconds of one whole process."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.stderr.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode()}")
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    """Measure and compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = write(folder)
        cold = {which: cpu_seconds(command, folder) for which, command in commands.items()}
        found: dict[str, list[float]] = {which: [] for which in commands}
        for _ in range(ROUNDS):
            for which, command in commands.items():
                found[which].append(cpu_seconds(command, folder))
    middle = {which: statistics.median(seconds) for which, seconds in found.items()}
    print(f"{COUNT} steps, CPU seconds of the whole process, median of {ROUNDS} interleaved runs")
    print(f"{'':10}{'cold':>10}{'null':>10}")
    for which in commands:
        print(f"{which:10}{cold[which]:>10.3f}{middle[which]:>10.3f}")
    ratio = middle["memo"] / middle["joblib"]
    print(f"null run, memo / joblib: {ratio:.2f}")
    return 0 if ratio <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
