"""make, ninja and Snakemake: a rule and a shell command a step, which writes its number to a file."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.drivers.driver import Driver

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.graphs import Change, Graph


def ninja_files(graph: Graph, change: Change) -> dict[str, str]:
    """A build edge a step; ninja compares commands."""
    lines = ["rule step", "  command = echo $value > $out && echo x >> log", ""]
    for step, parents in enumerate(graph.parents):
        lines.append(f"build o{step}: step {' '.join(f'o{parent}' for parent in parents)}")
        lines.append(f"  value = {step}{change.of(step)}")
    return {"build.ninja": "\n".join(lines) + "\n"}


def make_files(graph: Graph, change: Change) -> dict[str, str]:
    """A rule a step, with a source file each, as make compares times only."""
    lines = ["MAKEFLAGS += -r", ".SUFFIXES:", f"all: {' '.join(f'o{step}' for step in range(graph.count))}"]
    found = {}
    for step, parents in enumerate(graph.parents):
        lines.append(f"o{step}: src/{step} {' '.join(f'o{parent}' for parent in parents)}")
        lines.append(f"\t@echo {step} > $@ && echo x >> log")
        found[f"src/{step}"] = f"{step}{change.of(step)}"
    return {"Makefile": "\n".join(lines) + "\n", **found}


def snakemake_files(graph: Graph, change: Change) -> dict[str, str]:
    """A rule a step; Snakemake compares code."""
    read = {parent for parents in graph.parents for parent in parents}
    leaves = ", ".join(repr(f"o{step}") for step in range(graph.count) if step not in read)
    lines = ["rule all:", f"    input: {leaves}", ""]
    for step, parents in enumerate(graph.parents):
        lines.append(f"rule s{step}:")
        lines += [f"    input: {', '.join(repr(f'o{parent}') for parent in parents)}"] if parents else []
        told = f"echo {step}{change.of(step)} > {{output}} && echo x >> log"
        lines += [f"    output: 'o{step}'", f"    shell: '{told}'", ""]
    return {"Snakefile": "\n".join(lines)}


def ninja_command(programs: Path) -> list[str]:
    """Build all."""
    return [str(programs / "ninja"), "--quiet", "-j", "2"]


def make_command(programs: Path) -> list[str]:  # noqa: ARG001 - make is the machine's
    """Build all."""
    return [shutil.which("make") or "make", "-s", "-r", "-j", "2"]


def snakemake_command(programs: Path) -> list[str]:
    """Build all."""
    return [str(programs / "snakemake"), "-c", "2", "-q", "all", "--nocolor"]


NINJA = Driver(
    "ninja", "light", "a shell step", ninja_files, ninja_command, start=0.005, cold=0.001, null=5e-6, forgets=True
)
MAKE = Driver("make", "", "a shell step", make_files, make_command, start=0.005, cold=0.001, null=3e-5, forgets=True)
SNAKEMAKE = Driver(
    "Snakemake",
    "snakemake",
    "a shell step",
    snakemake_files,
    snakemake_command,
    start=0.9,
    cold=0.013,
    null=0.0006,
    forgets=True,
)
