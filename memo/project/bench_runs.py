"""The runs of a bench: one after another, each a process of its own, and what is read off each kind of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.errors import InvocationError
from memo.planning import Verdict
from memo.project.bench_figures import Comparison, Stage, StepCost, changed_steps, step_costs, where_of
from memo.project.bench_target import text_of
from memo.project.home import Home
from memo.project.measuring import measure
from memo.project.settings import REMOTE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from memo.contracts.run_store import RunRecord
    from memo.definition.reference import JobReference
    from memo.project.measuring import Process, Start


class BenchFailedError(Exception):
    """A run that was to be measured did not come to its end.

    Attributes:
        exit_code: Of the run; negative where a signal ended it, and 0 where it left before it had told what it did.
        told: What it told at the end.
    """

    def __init__(self, stage: str, exit_code: int, told: Sequence[str]) -> None:
        super().__init__(stage)
        self.stage = stage
        self.exit_code = exit_code
        self.told = told


class Runner:
    """Starts the runs, one after another, all in one home but for those that are cold."""

    def __init__(
        self,
        reference: JobReference,
        scratch: Path,
        options: Sequence[str],
        start: Start,
        moved: Sequence[str],
        listen: Callable[[str, str], None],
    ) -> None:
        self.workers = 0
        self._reference = reference
        self._scratch = scratch
        self._options = options
        self._moved = moved
        self._listen = listen
        self._target = scratch / "target" / "memo_bench_target.py"
        self._home = scratch / "home"
        self._edits = 0
        # Nothing is taken from, or put into, what the project shares.
        self._start = replace(start, environment={**start.environment, REMOTE_VARIABLE: ""})

    def cold(self, times: int) -> tuple[Stage, tuple[StepCost, ...]]:
        """Run with nothing stored. Each time is profiled: a run that takes long is not made twice for that."""
        self._write_target()
        measured: list[Process] = []
        for number in range(times):
            if number:
                from shutil import rmtree

                rmtree(self._home)
            measured.append(self._run("cold", profiled=True))
        self._cold = self._record()
        return self._stage("cold", measured), step_costs(self._trace("cold"))

    def null(self, times: int) -> tuple[Stage, dict[str, str]]:
        """Run with all stored, several times, and once more for the profile."""
        measured = [self._run("null") for _ in range(times)]
        self._run("null", profiled=True)
        steps = self._record().steps.items()
        always = {key: reason for key, (_, reason, outcome) in steps if outcome == "success"}
        return self._stage("null", measured), always

    def edit(self, step: str, times: int) -> tuple[Stage, dict[str, Comparison]]:
        """Run with the op of a step edited, anew each time, and once more for the profile.

        Returns:
            What was measured, and the steps that came out otherwise than in the cold run.
        """
        measured: list[Process] = []
        for number in range(times + 1):
            self._edits += 1
            self._write_target(step)
            taken = self._run("edit", profiled=number == times)
            if number < times:
                measured.append(taken)
        self._write_target()
        with Home(self._home) as home:
            runs = [home.catalog.materializations(each.run_id) for each in (self._cold, self._record())]
        return self._stage("edit", measured), changed_steps(*runs)

    def _write_target(self, edited: str | None = None) -> None:
        given = (self._reference.place, self._reference.job)
        text = text_of(*given, in_home=self._moved, edited=edited, edit=self._edits)
        try:
            self._target.parent.mkdir(exist_ok=True)
            self._target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InvocationError(
                f"nothing can be written there ({error.strerror}): work elsewhere, with --scratch or TMPDIR",
                where=str(self._scratch),
            ) from error

    def _run(self, stage: str, *, profiled: bool = False) -> Process:
        args = ["run", str(self._target), "--home", str(self._home), *self._options]
        profile = self._scratch / f"{stage}.json"
        if profiled:
            profile.unlink(missing_ok=True)
            args += ["--profile", str(profile)]
        done = measure(args, self._start, lambda line: self._listen(stage, line))
        # An op that ends the process ends it before the profile is written.
        if done.exit_code or (profiled and not profile.stat().st_size):
            raise BenchFailedError(stage, done.exit_code, done.told)
        if profiled:
            self._last = done
        return done

    def _stage(self, name: str, measured: Sequence[Process]) -> Stage:
        """Put together what was measured, and what is known of the run that was profiled, which is the last."""
        record, trace = self._record(), self._trace(name)
        outcomes = {key: outcome for key, (_, _, outcome) in record.steps.items()}
        reused = sum(outcome == "reused" for outcome in outcomes.values())
        planned = sum(
            verdict == Verdict.MAYBE.value and outcome == "reused" for verdict, _, outcome in record.steps.values()
        )
        ran = frozenset(key for key, outcome in outcomes.items() if outcome == "success")
        sizes = [each.bytes for each in step_costs(trace) if each.bytes is not None]
        where, in_workers = where_of(trace, self._last.began_ns)
        return Stage(
            name,
            tuple([each.wall for each in measured]),
            tuple([each.cpu for each in measured]),
            max(each.memory for each in measured),
            sum(sizes) if sizes or not ran else None,
            ran,
            planned,
            reused - planned,
            len(outcomes) - reused - len(ran),
            where,
            in_workers,
        )

    def _trace(self, stage: str) -> Mapping[str, Any]:
        import msgspec

        found: Mapping[str, Any] = msgspec.json.decode((self._scratch / f"{stage}.json").read_bytes())
        self.workers = max(self.workers, found["otherData"]["workers"])
        return found

    def _record(self) -> RunRecord:
        with Home(self._home) as home:
            (latest,) = home.catalog.list_runs(limit=1)
            found = home.catalog.get_run(latest.run_id)
        assert found is not None
        return found


__all__ = ["BenchFailedError", "Runner"]
