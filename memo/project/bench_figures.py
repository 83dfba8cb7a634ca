"""What was measured of a job, and what it says: by kind of run, by part of a run, by step."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from memo.contracts.run_store import Materialization
    from memo.definition.job import JobDefinition

WHERE = {
    "start": "start Python, import memo",
    "import": "import the job's module, and others",
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
    "waiting": "wait to retry, or for another run",
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
        stored: Bytes of what one run stored; None where the IO managers do not say.
        ran: The steps that ran, in the last run, as are the following.
        cut_off: How many might have run, and did not: what they read came out with the content it had before.
        reused: How many else were reused.
        left_out: How many neither ran nor were reused: nothing that runs reads them, or what they read was not given.
        where: Seconds of the run's own thread by what it was at; and in its workers, all together.
    """

    name: str
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    memory: int
    stored: int | None
    ran: frozenset[str]
    cut_off: int
    reused: int
    left_out: int
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
        seconds: All of it, with what it waited before other attempts.
        load: Seconds to load what it reads. Of these, and of the following, what takes less than 0.1 ms is left out.
        run: Seconds of its op's own code.
        store: Seconds to store what it gave, its digest included.
        imports: Seconds to import what had not been needed before, within any of these; none of them counts it.
        wait: Seconds that it waited before other attempts.
        bytes: What is stored of it; None where the IO manager does not say.
    """

    key: str
    seconds: float
    load: float
    run: float
    store: float
    imports: float
    wait: float
    bytes: int | None


Comparison = Literal["other", "unknown"]
"""How what a step gave stands to what it gave before, unless it is the same; unknown where it has no digest."""


class Forecast(Struct, frozen=True):
    """What a run would take after an edit that changes a value all the way down.

    Attributes:
        steps: How many steps would run.
        seconds: What the edit took that was measured, and those of the steps that did not run in it: as in the cold
            run, as many at once as did then.
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
        unsteady: Steps of this op that came out otherwise though nothing in them, or in what they read, had changed.
        workers: How many worker processes there were; 0 for none.
    """

    job_name: str
    cold: Stage
    null: Stage
    edit: Stage
    steps: tuple[StepCost, ...]
    always: dict[str, str]
    edited: str
    op_name: str
    unsteady: dict[str, Comparison]
    forecast: Forecast
    workers: int

    @property
    def saved(self) -> float:
        """Seconds that reuse saves when nothing has changed."""
        return self.cold.seconds - self.null.seconds


def changed_steps(before: Iterable[Materialization], after: Iterable[Materialization]) -> dict[str, Comparison]:
    """The steps that gave something else than before, or perhaps did."""
    known = {each.step_key: _given(each) for each in before}
    found: dict[str, Comparison] = {}
    for each in after:
        given = _given(each)
        if any(digest is None for kind, digest in given.values() if kind == "value"):
            found[each.step_key] = "unknown"
        elif given != known.get(each.step_key):
            found[each.step_key] = "other"
    return found


def _given(made: Materialization) -> dict[str, tuple[str, str | None]]:
    return {output.name: (output.kind, output.content_digest) for output in made.outputs}


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
            category, key = row["cat"], row["args"]["step"] if row["cat"] in {"step", "retry"} else None
            if key is not None:
                whole[key] = whole.get(key, 0.0) + row["dur"]
                sizes[key] = row["args"].get("bytes", sizes.get(key))
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
                seconds(key, "import"),
                seconds(key, "retry"),
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
    edit: Stage,
    workers: int,
) -> Forecast:
    """What a run would take in which all runs that stands below the steps of an op.

    It is more than that of the steps: a run in which any step runs imports and opens what one with nothing to do does
    not, which is in no step's seconds, but in those of the edit.
    """
    seconds = {each.key: 0.0 if each.key in edit.ran else each.seconds for each in steps}
    op = job.steps[edited].op
    chains: dict[str, float] = {}
    for key in selected:
        above = [chains[parent] for parent in job.steps[key].parents() if parent in chains]
        if above or job.steps[key].op is op:
            chains[key] = seconds.get(key, 0.0) + max(above, default=0.0)
    work = sum(seconds.get(key, 0.0) for key in chains)
    return Forecast(len(chains), edit.seconds + max(work / max(1, workers), max(chains.values(), default=0.0)))


__all__ = [
    "WHERE",
    "Bench",
    "Comparison",
    "Forecast",
    "Stage",
    "StepCost",
    "changed_steps",
    "forecast_of",
    "step_costs",
    "where_of",
]
