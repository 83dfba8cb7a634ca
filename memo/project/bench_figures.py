"""What was measured of a job, and what it says: by kind of run, by part of a run, by step."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memo.definition.job import JobDefinition

WHERE = {
    "start": "start Python, import memo",
    "import": "import the job's module",
    "definition": "define ops and jobs",
    "config": "resolve config",
    "sources": "look at sources",
    "versions": "versions of code and inputs",
    "plan": "plan",
    "storage check": "ask what is stored",
    "catalog": "catalog",
    "resources": "make resources",
    "load": "load inputs",
    "run": "the ops' own code",
    "digest": "digest what they gave",
    "store": "store it",
    "step": "around each step",
    "loop": "walk the plan",
    "telling": "events and progress",
    "starting workers": "start workers",
    "waiting for workers": "wait for workers",
    "rest": "all else",
}
"""What the categories of spans are called where their time is told, in the order of a run."""


class Stage(Struct, frozen=True):
    """A kind of run, measured once or several times.

    Attributes:
        name: `cold`, `null` or `edit`.
        wall: Seconds of the whole process, of each time.
        cpu: Seconds, user and system, with those of its workers.
        memory: Peak of the largest process in bytes, the highest of all times.
        stored: Bytes by which the home's storage grew.
        steps_run: How many steps ran, in the last of the times, as are the following.
        cut_off: How many might have run, and did not: what they read came out with the content it had before.
        reused: How many else were reused.
        where: Seconds of the run's own thread by what it was at; and in its workers, all together.
    """

    name: str
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    memory: int
    stored: int
    steps_run: int
    cut_off: int
    reused: int
    where: dict[str, float]
    in_workers: dict[str, float]

    @property
    def seconds(self) -> float:
        """The median of the seconds that it took."""
        return median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """The median of the CPU seconds."""
        return median(self.cpu)


class StepCost(Struct, frozen=True):
    """What one step cost in the cold run.

    Attributes:
        seconds: All of it.
        load: Seconds to load what it reads. Of these, and of the following, what takes less than 0.1 ms is left out.
        run: Seconds of its op's own code.
        store: Seconds to store what it gave, its digest included.
        bytes: What is stored of it; None where the IO manager does not say.
    """

    key: str
    seconds: float
    load: float
    run: float
    store: float
    bytes: int | None


class Forecast(Struct, frozen=True):
    """What a run would take after an edit that changes a value all the way down.

    Attributes:
        steps: How many steps would run.
        seconds: What they took in the cold run and what a run with nothing to do takes; as many at once as did then.
    """

    steps: int
    seconds: float


class Bench(Struct, frozen=True):
    """What was measured of a job.

    Attributes:
        steps: What each step that ran cold cost, in the order of the job.
        always: Steps that ran though nothing had changed, with the reason.
        edited: The step whose op counted as edited.
        op_name: Its op.
        workers: How many worker processes there were; 0 for none.
        check: Seconds that asking what is stored takes, of a run with nothing to do.
        read: The steps that others read.
    """

    job_name: str
    cold: Stage
    null: Stage
    edit: Stage
    steps: tuple[StepCost, ...]
    always: dict[str, str]
    edited: str
    op_name: str
    forecast: Forecast
    workers: int
    check: float
    read: frozenset[str]

    @property
    def saved(self) -> float:
        """Seconds that reuse saves when nothing has changed."""
        return self.cold.seconds - self.null.seconds

    @property
    def cheaper_to_run(self) -> tuple[StepCost, ...]:
        """The steps whose own code takes less than storing what it gives once, and asking for it in one later run.

        Not those that nobody reads: what they give is what the job is for.
        """
        share = self.check / max(1, len(self.steps))
        return tuple([each for each in self.steps if each.run < each.store + share and each.key in self.read])


def where_of(trace: Mapping[str, Any], began_ns: int) -> tuple[dict[str, float], dict[str, float]]:
    """Where the time of a profiled run went: seconds by category, of its own thread and of its workers.

    Args:
        trace: Of the run.
        began_ns: When its process was started, which is before it could look at a clock.
    """
    told = trace["otherData"]
    totals = told["totals_ns"]
    main, workers = (
        {each: part[each] / 1e9 for each in WHERE if each in part} for part in (totals["main"], totals["workers"])
    )
    main["start"] = main.get("start", 0.0) + max(0, told["began_ns"] - began_ns) / 1e9
    whole = told["ended_ns"] - min(began_ns, told["began_ns"]) - totals["main"].get("profile", 0)
    main["rest"] = max(0.0, whole / 1e9 - sum(main.values()))
    return main, workers


def step_costs(trace: Mapping[str, Any]) -> tuple[StepCost, ...]:
    """What each step cost, by the spans of a run in which all ran; what lies within a span is not its own time."""
    threads: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in trace["traceEvents"]:
        if row["ph"] == "X":
            threads.setdefault((row["pid"], row["tid"]), []).append(row)
    whole: dict[str, float] = {}
    own: dict[tuple[str, str], float] = {}
    sizes: dict[str, int | None] = {}
    for rows in threads.values():
        above: list[tuple[float, str, str | None]] = []  # where each span ends that is not over, its category, its step
        for row in sorted(rows, key=lambda each: (each["ts"], -each["dur"])):
            while above and above[-1][0] <= row["ts"]:
                above.pop()
            category, key = row["cat"], row["args"]["step"] if row["cat"] == "step" else None
            if key is not None:
                whole[key] = whole.get(key, 0.0) + row["dur"]
                sizes[key] = row["args"].get("bytes")
            elif above and (key := above[-1][2]) is not None:
                at = (key, above[-1][1])
                own[at] = own.get(at, 0.0) - row["dur"]
            if key is not None:
                own[key, category] = own.get((key, category), 0.0) + row["dur"]
            above.append((row["ts"] + row["dur"], category, key))

    def seconds(key: str, *categories: str) -> float:
        return sum(own.get((key, each), 0.0) for each in categories) / 1e6

    return tuple(
        [
            StepCost(
                key,
                took / 1e6,
                seconds(key, "load"),
                seconds(key, "run"),
                seconds(key, "store", "digest"),
                sizes[key],
            )
            for key, took in whole.items()
        ]
    )


def forecast_of(
    job: JobDefinition,
    selected: Sequence[str],
    edited: str,
    steps: Sequence[StepCost],
    null: float,
    workers: int,
) -> Forecast:
    """What a run would take in which all runs that stands below the steps of an op."""
    seconds = {each.key: each.seconds for each in steps}
    op = job.steps[edited].op
    chains: dict[str, float] = {}
    for key in selected:
        above = [chains[parent] for parent in job.steps[key].parents() if parent in chains]
        if above or job.steps[key].op is op:
            chains[key] = seconds.get(key, 0.0) + max(above, default=0.0)
    work = sum(seconds.get(key, 0.0) for key in chains)
    return Forecast(len(chains), null + max(work / max(1, workers), max(chains.values(), default=0.0)))


__all__ = ["WHERE", "Bench", "Forecast", "Stage", "StepCost", "forecast_of", "step_costs", "where_of"]
