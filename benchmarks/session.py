"""One session of the harness: its folder, its environments, how long it may take, what it has found."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from benchmarks.environments import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.environments import Environment
    from benchmarks.results import Result


class Session:
    """What workloads share.

    Args:
        cache: Where environments are kept from session to session.
        scratch: Where pipelines run.
        is_full: Whether to take the time it needs, or minutes.
        only: The systems to measure; all where empty.
    """

    def __init__(self, cache: Path, scratch: Path, *, is_full: bool, only: frozenset[str] = frozenset()) -> None:
        self.cache = cache
        self.scratch = scratch
        self.is_full = is_full
        self.only = only
        self.rows: list[Result] = []
        self._environments: dict[str, Environment] = {}
        self._began = time.monotonic()

    def environment(self, name: str) -> Environment:
        """The environment of that name, made when it is first asked for."""
        if name not in self._environments:
            self.say(f"environment {name}" if name else "programs of this machine")
            self._environments[name] = prepare(name, self.cache)
        return self._environments[name]

    def measures(self, system: str) -> bool:
        """Whether a system is among those to measure, in whichever way its pipelines are written."""
        return not self.only or system.partition(",")[0] in self.only

    def add(self, row: Result) -> None:
        """Keep a row, rounded to what a clock can tell."""
        cpu, wall = (None if each is None else round(each, 6) for each in (row.cpu, row.wall))
        self.rows.append(replace(row, cpu=cpu, wall=wall))

    def say(self, text: str) -> None:
        """Tell whoever waits."""
        print(f"[{time.monotonic() - self._began:6.0f} s] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A folder for a while."""
        made = self.scratch / name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
