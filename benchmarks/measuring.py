"""Measuring a whole process: CPU seconds with its children's, wall seconds, peak memory, bytes on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from msgspec import Struct

STARTER = Path(__file__).parent / "programs" / "starter.py"


class Measured(Struct, frozen=True):
    """What one run of a program took.

    Attributes:
        cpu: Seconds, user and system, of it and all it started.
        wall: Seconds.
        memory: Peak of the largest process, in bytes.
        output: What it printed.
        problem: Why the run does not count; empty where it does.
    """

    cpu: float
    wall: float
    memory: int
    output: str
    problem: str = ""


def measure(
    command: list[str], folder: Path, *, limit: float = 120.0, environment: dict[str, str] | None = None
) -> Measured:
    """Run a program in a folder to its end, or to a limit in seconds."""
    # A starter of its own keeps the harness's memory out of the figure.
    with tempfile.NamedTemporaryFile(prefix="bench-output-") as printed:
        wish = {
            "command": command,
            "folder": str(folder),
            "environment": {**clean_environment(), **(environment or {})},
            "limit": limit,
            "output": printed.name,
        }
        with subprocess.Popen(
            [sys.executable, "-I", "-S", str(STARTER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as starter:
            try:
                said, complained = starter.communicate(json.dumps(wish) + "\n")
            except BaseException:
                # It ends what it has started, and then itself.
                starter.terminate()
                raise
        output = Path(printed.name).read_text(encoding="utf-8", errors="replace")
    if starter.returncode:
        return Measured(0.0, 0.0, 0, output, _last_line(complained) or "could not be started")
    told = json.loads(said)
    problem = ""
    if told["over"]:
        problem = f"took more than {limit:g} s"
    elif told["exit"]:
        problem = f"exit code {told['exit']}: {_last_line(output)}"
    return Measured(told["cpu"], told["wall"], told["memory"], output, problem)


def clean_environment() -> dict[str, str]:
    """The environment of what is measured: as a user has it who keeps compiled modules, whoever runs the harness."""
    dropped = {"PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONUNBUFFERED", "VIRTUAL_ENV", "PYTHONHASHSEED"}
    kept = {key: value for key, value in os.environ.items() if key not in dropped and not key.startswith("MEMO_")}
    return {**kept, "DO_NOT_TRACK": "1", "NO_COLOR": "1"}


def bytes_on_disk(folder: Path) -> tuple[int, int]:
    """What a folder holds: bytes as the disk allots them, and how many files."""
    held = files = 0
    for path, _, names in os.walk(folder):
        for name in names:
            held += os.lstat(os.path.join(path, name)).st_blocks * 512
            files += 1
    return held, files


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
