"""W1 to W3: whole runs of a pipeline: cold, null, with one step changed, changed back, changed to an equal value.

Systems take turns in every phase, so that what else the machine does falls on all of them. Null runs are medians of
rounds; the first one of each system, which may compile or index, is not counted.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks.drivers.driver import steps_that_ran
from benchmarks.graphs import AS_WRITTEN, Change, make_graph
from benchmarks.measuring import bytes_on_disk, measure
from benchmarks.results import NOT_RUN, Result
from benchmarks.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.drivers.driver import Driver
    from benchmarks.graphs import Graph
    from benchmarks.measuring import Measured
    from benchmarks.session import Session

WORKLOAD = "runs"
PHASES = ("cold", "null", "leaf", "leaf back", "middle", "middle back", "equal")


class Cell(Struct, frozen=True):
    """Runs of one graph.

    Attributes:
        shape: Of the graph.
        count: Steps.
        rounds: Of null runs.
        changes: Whether steps are changed too.
        seconds: What a system may take for all of it, as it is expected to; others are not run, and reported so.
    """

    shape: str
    count: int
    rounds: int
    changes: bool
    seconds: float


QUICK = (
    Cell("layered", 10, 1, changes=False, seconds=25),
    Cell("layered", 100, 1, changes=True, seconds=16),
    Cell("layered", 1_000, 2, changes=False, seconds=28),
    Cell("layered", 10_000, 1, changes=False, seconds=20),
    Cell("fan", 100, 1, changes=False, seconds=2.5),
    Cell("chain", 100, 1, changes=False, seconds=2.5),
)
FULL = (
    *(Cell("layered", count, 5, changes=True, seconds=600) for count in (10, 100, 1_000)),
    *(Cell(shape, count, 3, changes=False, seconds=120) for shape in ("fan", "chain") for count in (100, 1_000)),
    Cell("layered", 10_000, 5, changes=True, seconds=150),
    Cell("layered", 100_000, 3, changes=False, seconds=300),
)


def measure_runs(session: Session) -> None:
    """Measure every cell."""
    for cell in FULL if session.is_full else QUICK:
        with session.folder("runs") as folder:
            _Interleaved(session, cell, folder).measure()


def expected_seconds(driver: Driver, cell: Cell) -> float:
    """What a system is expected to take for a cell, on a quiet machine."""
    nulls = cell.rounds + 1
    seconds = driver.start + cell.count * driver.cold + nulls * (driver.start + cell.count * driver.null)
    if cell.changes:
        seconds += 5 * driver.start + cell.count * (5 * driver.null + driver.cold)
    return seconds


def write_pipeline(driver: Driver, graph: Graph, change: Change, folder: Path) -> None:
    """Write the files of a pipeline; what is as it was keeps its time."""
    for name, text in driver.files(graph, change).items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def run_once(session: Session, driver: Driver, folder: Path, limit: float) -> tuple[Measured, int | None]:
    """Run a pipeline that has been written; gives what it took, and how many steps ran."""
    (folder / "log").unlink(missing_ok=True)
    command = driver.command(session.environment(driver.environment).programs)
    measured = measure(command, folder, limit=limit, environment=memo_environment(driver.environment))
    return measured, None if measured.problem else steps_that_ran(measured.output, folder)


def memo_environment(name: str) -> dict[str, str]:
    """What memo's processes need to find this checkout, where it is not installed but on the path."""
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": path} if name == "memo" and path else {}


class _Interleaved:
    """The phases of one cell."""

    def __init__(self, session: Session, cell: Cell, folder: Path) -> None:
        self.session = session
        self.cell = cell
        self.folder = folder
        self.graph = make_graph(cell.shape, cell.count)
        self.limit = max(240.0, 4 * cell.seconds)  # wall time, of a machine that may be busy
        self.drivers: list[Driver] = []

    def measure(self) -> None:
        cell = self.cell
        for driver in SYSTEMS.values():
            if self.session.measures(driver.name) and (problem := self._reason_not_to(driver)):
                self._without(driver, problem, self._phases())
            elif self.session.measures(driver.name):
                self.drivers.append(driver)
        self.phase("cold", AS_WRITTEN, cell.count)
        self.phase("", AS_WRITTEN, 0)
        for number in range(cell.rounds):
            self.phase("null", AS_WRITTEN, 0, number)
        if not cell.changes:
            return
        leaf, middle = self.graph.leaf(), self.graph.middle()
        cone = self.graph.cone(middle)
        self.phase("leaf", Change(leaf), 1)
        self.phase("leaf back", AS_WRITTEN, 0)
        self.phase("middle", Change(middle), cone)
        self.phase("middle back", AS_WRITTEN, 0)
        self.phase("equal", Change(middle, is_equal=True), 1)

    def _phases(self) -> Sequence[str]:
        return PHASES if self.cell.changes else PHASES[:2]

    def _reason_not_to(self, driver: Driver) -> str:
        problem = self.session.environment(driver.environment).problem
        if problem:
            return problem
        largest = driver.largest.get(self.cell.shape, self.cell.count)
        if self.cell.count > largest:
            return f"{NOT_RUN} over {largest} it grows with paths"
        seconds = expected_seconds(driver, self.cell)
        if seconds > self.cell.seconds:
            return f"{NOT_RUN} about {seconds:.0f} s"
        return ""

    def phase(self, phase: str, change: Change, expected: int, number: int = 0) -> None:
        """Run every system once; not counted where the phase has no name."""
        for driver in list(self.drivers):
            place = self.folder / driver.name.replace(" ", "_").replace(",", "")
            place.mkdir(exist_ok=True)
            write_pipeline(driver, self.graph, change, place)
            self.session.say(f"{self.cell.shape} {self.cell.count}: {phase or 'warm-up'} {driver.name}")
            measured, ran = run_once(self.session, driver, place, self.limit)
            if measured.problem:
                rest = self._phases()
                self._without(driver, measured.problem, rest[rest.index(phase) if phase else 1 :])
                self.drivers.remove(driver)
            elif phase:
                disk, files = bytes_on_disk(place) if phase == "cold" else (None, None)
                self.session.add(
                    Result(
                        WORKLOAD,
                        driver.name,
                        phase,
                        self.cell.shape,
                        self.cell.count,
                        number,
                        measured.cpu,
                        measured.wall,
                        measured.memory,
                        disk,
                        files,
                        ran,
                        expected,
                    )
                )

    def _without(self, driver: Driver, problem: str, phases: Sequence[str]) -> None:
        self.session.say(f"{self.cell.shape} {self.cell.count}: {driver.name}: {problem}")
        for phase in phases:
            self.session.add(Result(WORKLOAD, driver.name, phase, self.cell.shape, self.cell.count, problem=problem))
