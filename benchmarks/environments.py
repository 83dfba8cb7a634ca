"""Environments of memo and its peers, each with what it needs and nothing else, made by uv in a cache folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from benchmarks.systems import PINNED

CHECKOUT = Path(__file__).parents[1]


class Environment(Struct, frozen=True):
    """Where the programs of a system are.

    Attributes:
        programs: The folder.
        problem: Why it could not be made; empty where it could.
    """

    programs: Path
    problem: str = ""


def prepare(name: str, cache: Path) -> Environment:
    """Make an environment, or take the one that is there; memo's is made anew from this checkout."""
    if not name:
        return Environment(Path(sys.executable).parent)
    folder = cache / "envs" / name
    programs = folder / "bin"
    ours = ["--reinstall-package", "memo-pipelines", str(CHECKOUT)] if name == "memo" else []
    packages = [*PINNED[name], *ours]
    wanted = "\n".join([*packages, sys.version])
    ready = folder / "ready"
    if name != "memo" and ready.exists() and ready.read_text(encoding="utf-8") == wanted:
        return Environment(programs)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [_uv(), "venv", "--quiet", "--python", sys.executable, str(folder)],
        [_uv(), "pip", "install", "--quiet", "--compile-bytecode", "--python", str(programs / "python"), *packages],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return Environment(programs, f"could not be installed: {error}")
        if done.returncode:
            said = " ".join(done.stderr.split())
            return Environment(programs, f"could not be installed: {said[:200]}")
    ready.write_text(wanted, encoding="utf-8")
    return Environment(programs)


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv") or "uv"
