"""The machine that figures are from, without its name, and the versions of what was measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.systems import PINNED


def about_machine() -> dict[str, Any]:
    """Processor, memory, system, Python; how busy it is now."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def about_versions() -> dict[str, str]:
    """What was measured: memo's commit, and what is pinned of its peers."""
    pinned = {name.partition("==")[0]: name.partition("==")[2] for names in PINNED.values() for name in names}
    shown = ("apache-hamilton", "dagster", "doit", "joblib", "ninja", "prefect", "pytask", "redun", "snakemake")
    found = {name: pinned[name] for name in shown}
    found["memo"] = f"{version('memo-pipelines')} ({_commit()})"
    found |= {name: version(name) for name in ("pyarrow", "duckdb", "xxhash", "msgspec", "click")}
    found["make"] = (_said("make", "--version").splitlines() or [""])[0].rpartition(" ")[2]
    return dict(sorted(found.items()))


def memory_folder() -> str | None:
    """Where files cost what the kernel makes of them and no disk is waited for, if there is such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - for folders with random names


def _commit() -> str:
    commit = _said("git", "rev-parse", "--short", "HEAD").strip() or "no commit"
    changed = _said("git", "status", "--porcelain", "--", "memo", "iomanagers", "strategies").strip()
    return f"{commit}, with changes" if changed else commit


def _said(*command: str) -> str:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1]
        ).stdout
    except OSError:
        return ""


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
