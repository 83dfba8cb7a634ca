"""The walk over a plan: what is ready goes to the executor, what comes back settles what stands below."""

from __future__ import annotations

from collections import deque
from enum import Enum
from functools import cached_property, partial
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from memo.contracts.executor import StepTask
from memo.contracts.run_store import Claim
from memo.events import ErrorInfo, Event, EventType
from memo.execution.outputs import RunOutputs
from memo.execution.recording import PlannedReuse, told_of_reuse
from memo.planning import Reason, Verdict
from memo.tags import PRIORITY_TAG, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType

    from memo.contracts.executor import Address, Executor, StepOutcome
    from memo.contracts.run_store import History
    from memo.definition.job import JobDefinition
    from memo.definition.source import Source
    from memo.definition.step import Step
    from memo.execution.claims import Claims
    from memo.execution.recording import Recorder
    from memo.execution.storage import StepStorage
    from memo.planning import Plan
    from memo.planning.plan import StepPlan


class Phase(Enum):
    """Where a step of the run stands."""

    DORMANT = "not wanted unless a step that runs reads it"
    UNDECIDED = "waits for the content of its inputs, which decides whether it runs"
    TO_RUN = "will run, and waits for its inputs to be stored"
    READY = "could start"
    RUNNING = "with the executor"
    RESTING = "waits before another attempt"
    HELD = "waits for another run, which is running it"
    ENDED = "has an outcome"


_TO_COME = frozenset({Phase.UNDECIDED, Phase.TO_RUN, Phase.READY, Phase.RUNNING, Phase.RESTING, Phase.HELD})
"""The phases of steps that will have an outcome."""

_UNGIVEN = frozenset({"failure", "blocked", "canceled"})
"""The outcomes of steps that leave what reads them without an input."""

_LOSSES_BEFORE_FAILURE = 3
"""How often one step may find an input lost: an IO manager may lose whatever it is given."""


class RunLoop:
    """Carries out a plan.

    Args:
        job: The job.
        plan: For it; obeyed, never remade.
        run_id: Of this run.
        executor: Runs the steps.
        storage: The run's IO managers.
        history: The catalog, asked what is stored under a content key; None without memoization.
        recorder: Told what happens.
        claims: What is claimed so that no other run of the home runs it too; None where no run could know.
        shared: The steps whose stored outputs are in the shared place; None where nothing is put there.
        clock: Seconds that only grow, for retries.
        random: A number from 0 to 1, for their jitter.
    """

    def __init__(
        self,
        job: JobDefinition,
        plan: Plan,
        *,
        run_id: str,
        executor: Executor,
        storage: StepStorage,
        history: History | None,
        recorder: Recorder,
        claims: Claims | None = None,
        shared: Iterable[str] | None = None,
        clock: Callable[[], float] = monotonic,
        random: Callable[[], float] | None = None,
    ) -> None:
        self.job = job
        self.plan = plan
        self.run_id = run_id
        self.executor = executor
        self.storage = storage
        self.history = history
        self.recorder = recorder
        self.claims = claims
        self.clock = clock
        self.random = random
        self.outcomes: dict[str, str] = dict.fromkeys(plan.steps, "")
        self.reasons: dict[str, str] = {}
        """Why a step's outcome is what it is, where the plan could not know."""
        self.outputs = RunOutputs(
            job, plan, run_id=run_id, storage=storage, history=history, recorder=recorder, shared=shared
        )
        self.errors: dict[str, ErrorInfo] = {}
        self.exceptions: dict[str, BaseException] = {}
        self._phase: dict[str, Phase] = {}
        self._attempt: dict[str, int] = {}
        self._losses: dict[tuple[str, ...], int] = {}
        self._lost: set[str] = set()
        self._waits_for: dict[str, set[str]] = {}
        self._waiters: dict[str, list[str]] = {}
        self._to_advance: deque[str] = deque()
        self._ready: list[tuple[int, int, str]] = []
        self._resting: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._marks: dict[str, int] = {}
        """For steps that were looked for after the plan was made: how far the history had come then."""

    @cached_property
    def _order(self) -> dict[str, int]:
        """The place of every step in the plan."""
        return {key: index for index, key in enumerate(self.plan.steps)}

    # What a run that has nothing to do never needs, and one that has needs for every step.

    @cached_property
    def _heap(self) -> ModuleType:
        import heapq

        return heapq

    @cached_property
    def _inputs_of(self) -> Callable[[Step, Mapping[str, Mapping[str, Address]], Mapping[Source, Any]], Any]:
        from memo.execution.step import inputs_of

        return inputs_of

    def run(self) -> None:
        """Walk the plan to its end.

        Raises:
            KeyboardInterrupt: Passed on after the running steps have been ended and everything finished recorded.
        """
        self._start()
        try:
            self._settle_all()
            while self._ready or self._running or self._resting or self._is_held_up:
                self._submit()
                for outcome in self.executor.outcomes(self._patience()):
                    self._take(outcome)
                self._wake()
                self._settle_all()
                self.recorder.write_if_due()
        except BaseException:
            self._cancel()
            raise
        for key, phase in self._phase.items():
            if phase is Phase.DORMANT:
                self.outcomes[key] = "unneeded"

    # Beginning and end

    def _start(self) -> None:
        reused = [step for step in self.plan.steps.values() if step.verdict is Verdict.REUSE]
        self._reuse_planned(reused)
        for key, step in self.plan.steps.items() if len(reused) < len(self.plan.steps) else ():
            if step.verdict is Verdict.REUSE:
                continue
            if step.reason is Reason.SKIPPED:
                self._skip(key)
            elif step.verdict is Verdict.UNNEEDED or step.on_demand:
                self._phase[key] = Phase.DORMANT
            else:
                self._phase[key] = Phase.UNDECIDED if step.verdict is Verdict.MAYBE else Phase.TO_RUN
                self._to_advance.append(key)
        self.outputs.record_planned_aliases()

    def _reuse_planned(self, steps: Sequence[StepPlan]) -> None:
        """End all that the plan reuses, at one moment: in a run with little to do, it is nearly all."""
        self.outputs.reuse_planned(steps)
        keys = [step.key for step in steps]
        self._phase = dict.fromkeys(keys, Phase.ENDED)
        self.outcomes.update(dict.fromkeys(keys, "reused"))
        self.recorder.tell_all(PlannedReuse(self.run_id, time(), steps))

    def _cancel(self) -> None:
        for outcome in self.executor.stop(kill=True):
            if outcome.kind == "success":
                self._take(outcome)
        for key in sorted(self._running, key=self._order.__getitem__):
            self._event(EventType.STEP_CANCELED, key)
            self.outcomes[key] = "canceled"
        self._running.clear()

    # Advancing

    def _settle_all(self) -> None:
        while self._to_advance:
            self._advance(self._to_advance.popleft())

    def _advance(self, key: str) -> None:
        """Take a step as far as it can go now."""
        if self._phase[key] is Phase.UNDECIDED and not self._decide(key):
            return
        if self._phase[key] is Phase.TO_RUN:
            self._prepare(key)

    def _decide(self, key: str) -> bool:
        """Decide by content whether a step runs. False while it waits, or where it turned out not to run."""
        planned = self.plan.steps[key]
        parents = self.job.steps[key].parents()
        twin = [planned.detail] if planned.reason is Reason.SAME_VERSION else []
        if self._wait(key, [each for each in (*parents, *twin) if self._phase.get(each) in _TO_COME]):
            return False
        if any(self.outcomes.get(parent) in _UNGIVEN for parent in parents):
            self._end(key, "blocked")
            return False
        if twin and self.outcomes.get(twin[0]) in {"success", "reused"}:
            self.outputs.reuse_twin(key, twin[0])
            self._reused(key, planned.version, Reason.SAME_VERSION, twin[0])
            return False
        stored_as = self.outputs.reuse_by_content(key)
        if stored_as is not None:
            self._reused(key, stored_as, Reason.SAME_CONTENT)
            return False
        self._phase[key] = Phase.TO_RUN
        return True

    def _prepare(self, key: str) -> None:
        """See that a step's inputs are stored, wake those that are lost, and queue it when they are there."""
        waits: list[str] = []
        step, phases, outcomes = self.job.steps[key], self._phase, self.outcomes
        ended = Phase.ENDED
        for parent in step.parents():
            phase = phases.get(parent)
            if phase is Phase.DORMANT:
                self._demand(parent)
                waits.append(parent)
            elif phase is not ended and phase is not None:
                waits.append(parent)
            elif outcomes.get(parent) in _UNGIVEN:
                self._end(key, "blocked")
                return
        if self._wait(key, waits):
            return
        if self.outputs.lacks_input(key):
            self._skip(key)
            return
        self._phase[key] = Phase.READY
        tags = step.tags
        priority = whole_number(tags, PRIORITY_TAG, 0, where=step.where) if PRIORITY_TAG in tags else 0
        self._heap.heappush(self._ready, (-priority, self._order[key], key))

    def _demand(self, key: str) -> None:
        """Let a step run whose outputs are gone, because a step that runs reads them."""
        self._phase[key] = Phase.TO_RUN
        self.outcomes[key] = ""
        self._to_advance.append(key)

    def _wait(self, key: str, for_keys: list[str]) -> bool:
        if not for_keys:
            return False
        self._waits_for[key] = set(for_keys)
        for each in self._waits_for[key]:
            self._waiters.setdefault(each, []).append(key)
        return True

    # Endings

    def _end(self, key: str, outcome: str) -> None:
        self._phase[key] = Phase.ENDED
        self.outcomes[key] = outcome
        for waiter in self._waiters.pop(key, ()):
            rest = self._waits_for[waiter]
            rest.discard(key)
            if not rest:
                self._to_advance.append(waiter)

    def _skip(self, key: str) -> None:
        self.outputs.skip(key)
        self._event(EventType.STEP_SKIPPED, key, message="an optional output that it reads was not yielded")
        self._end(key, "skipped")

    def _reused(self, key: str, stored_as: str | None, reason: Reason, detail: str = "") -> None:
        named = {"detail": detail} if detail else {}
        version = self.plan.steps[key].version
        self._event(EventType.STEP_REUSED, key, data=told_of_reuse(reason, stored_as, version) | named)
        self._end(key, "reused")

    def _reused_meanwhile(self, key: str, version: str, detail: str) -> None:
        """End a step that another run has made since the plan was."""
        self.reasons[key] = f"{Reason.MADE_MEANWHILE.value}: {detail}"
        self._reused(key, version, Reason.MADE_MEANWHILE, detail)

    # Starting

    def _submit(self) -> None:
        while self._ready and self.executor.free > 0:
            _, _, key = self._heap.heappop(self._ready)
            if not self._let_run(key):
                continue
            self._phase[key] = Phase.RUNNING
            self._running.add(key)
            task = self._task(key)
            if task.replaces and task.version is not None:
                self.recorder.replacing(self.run_id, task.version, shares=task.shares)
            self.executor.submit(task)

    def _let_run(self, key: str) -> bool:
        """Claim a step that other runs may want too. False where one of them is running it, or has made it."""
        planned = self.plan.steps[key]
        if self.claims is None or planned.version is None:
            return True
        shares = self.outputs.may_share(key)
        if (not shares and self.claims.begin(planned.version)) or not self._may_be_wanted(key):
            return True
        while True:
            since = self._mark_of(key)
            answer = self.claims.take(key, planned.version, since, shares=shares, next_up=partial(self._next_up, since))
            if answer is None:
                return not shares or since is None or not self._made_elsewhere(key, planned.version)
            if isinstance(answer, Claim):
                self._phase[key] = Phase.HELD
                return False
            if self.storage.stored([(self.job.steps[key], planned.version)])[0]:
                self.outputs.reuse_made(key, planned.version)
                self._reused_meanwhile(key, planned.version, f"run {answer.run_id}")
                return False
            self._marks[key] = answer.mark

    def _may_be_wanted(self, key: str) -> bool:
        """Whether other runs may want what a step gives."""
        planned = self.plan.steps[key]
        if planned.version is None or planned.reason is Reason.NOT_MEMOIZABLE:
            return False
        return self.storage.is_shared(self.job.steps[key])

    def _mark_of(self, key: str) -> int | None:
        """The mark after which a step may have been made by another run; None where it is to run anyway."""
        return None if self.plan.steps[key].reason is Reason.FORCED else self._marks.get(key, self.plan.mark)

    def _next_up(self, since: int | None, most: int) -> Iterator[tuple[str, str]]:
        """Steps that will start soon, and nothing but their turn is waited for, with their versions."""
        for _, _, key in self._ready[:most]:
            version = self.plan.steps[key].version
            may_wait = version is not None and self._may_be_wanted(key) and self._mark_of(key) == since
            if may_wait and version is not None and not self.outputs.may_share(key):
                yield key, version

    def _made_elsewhere(self, key: str, version: str) -> bool:
        """Reuse a step that another home has made since the plan was; asked once it is claimed for all homes."""
        assert self.claims is not None
        if not self.claims.is_shared(version):
            return False
        found = self.outputs.reuse_from_elsewhere(key, version)
        if found is None:
            return False
        self.claims.release(version)
        self._reused_meanwhile(key, version, f"run {found.run_id} of another home")
        return True

    def _task(self, key: str) -> StepTask:
        step = self.job.steps[key]
        planned = self.plan.steps[key]
        version = planned.version if planned.reason is not Reason.NOT_MEMOIZABLE else None
        versions = self.plan.versions
        found = versions.steps[key] if versions is not None and version is not None else None
        return StepTask(
            self.run_id,
            key,
            self._attempt.get(key, 0),
            self._inputs_of(step, self.outputs.addresses, self.plan.sources),
            version,
            self.outputs.begin(key) if found is not None else None,
            found.op.version if found is not None else None,
            versions.looks(key) if versions is not None else (),
            is_compared=versions is not None,
            local_key=found.local_key if found is not None else None,
            shares=version is not None and self.outputs.may_share(key),
            replaces=key in self.plan.forced or planned.reason is Reason.OUTPUT_MISSING or key in self._lost,
        )

    # Waiting

    @property
    def _is_held_up(self) -> bool:
        return self.claims is not None and self.claims.has_waiting

    def _patience(self) -> float | None:
        """How long to wait for outcomes: until the next step has rested, or another run may have ended, or for ever."""
        look = self.claims.next_look if self.claims is not None and self.claims.has_waiting else None
        times = [self._resting[0][0]] if self._resting else []
        times += [look] if look is not None else []
        if self._to_advance or not (times or self._running):
            # What was to start turned out to be made, and nothing would ever be heard.
            return 0.0
        return max(0.0, min(times) - self.clock()) if times else None

    def _wake(self) -> None:
        while self._resting and self._resting[0][0] <= self.clock():
            _, key = self._heap.heappop(self._resting)
            self._phase[key] = Phase.TO_RUN
            self._to_advance.append(key)
        for key in self.claims.look() if self.claims is not None and self.claims.has_waiting else ():
            self._phase[key] = Phase.TO_RUN
            self._to_advance.append(key)

    # What comes back

    def _take(self, outcome: StepOutcome) -> None:
        key = outcome.step_key
        self._running.discard(key)
        self.recorder.tell(*outcome.events)
        if outcome.kind == "success":
            self._succeeded(key, outcome)
        elif outcome.kind == "lost":
            self._lost_input(key, outcome)
        elif outcome.kind == "canceled":
            self._event(EventType.STEP_CANCELED, key)
            self._end(key, "canceled")
            raise KeyboardInterrupt
        else:
            self._failed(key, outcome)

    def _succeeded(self, key: str, outcome: StepOutcome) -> None:
        made = self.outputs.made(key, outcome)
        claimed = self.claims is not None and self.claims.stored(made.version)
        self.recorder.materialization(made, claimed=claimed)
        self._end(key, "success")

    def _lost_input(self, key: str, outcome: StepOutcome) -> None:
        """Run again the step whose stored output turned out not to be whole, and then this one."""
        lost = [address.step_key for address in outcome.lost]
        found = (key, *[f"{address.step_key}.{address.output}" for address in outcome.lost])
        self._losses[found] = self._losses.get(found, 0) + 1
        self._release(key)
        message = outcome.error.message if outcome.error else "a stored output was lost"
        self._event(EventType.OUTPUT_LOST, key, message=message, data={"lost": lost})
        if self._losses[found] >= _LOSSES_BEFORE_FAILURE or not all(self._can_run_again(each) for each in lost):
            self._event(EventType.STEP_FAILURE, key, message=message, error=outcome.error)
            self._fail(key, outcome)
            return
        self._lost.update(lost)
        for each in lost:
            if self.history is not None:
                # What was made before now is what was lost.
                self._marks[each] = self.history.mark()
            if self._phase[each] is Phase.ENDED:
                self._demand(each)
        self._phase[key] = Phase.TO_RUN
        self._to_advance.append(key)

    def _can_run_again(self, key: str) -> bool:
        """Whether what a step gave can be made anew; not what stands in another version's place, as it was accepted."""
        versions = self.plan.versions
        return key in self._phase and not (versions is not None and versions.steps[key].computed)

    def _failed(self, key: str, outcome: StepOutcome) -> None:
        from memo.execution.retries import retry_after

        step = self.job.steps[key]
        retry = retry_after(outcome, step.retry_policy or self.job.op_retry_policy, random=self.random)
        message = outcome.error.message if outcome.error else ""
        if retry.after is not None:
            self._event(
                EventType.STEP_UP_FOR_RETRY,
                key,
                message=message,
                data={"seconds_to_wait": retry.after},
                error=outcome.error,
                attempt=outcome.attempt,
            )
            self._attempt[key] = outcome.attempt + 1
            self._phase[key] = Phase.RESTING
            self._heap.heappush(self._resting, (self.clock() + retry.after, key))
            return
        data: dict[str, Any] = {"seconds": outcome.seconds}
        if retry.exhausted:
            data["exceeded_max_retries"] = retry.exhausted
        self._event(
            EventType.STEP_FAILURE,
            key,
            message=message,
            data=data,
            error=outcome.error,
            attempt=outcome.attempt,
        )
        self._fail(key, outcome)

    def _fail(self, key: str, outcome: StepOutcome) -> None:
        if outcome.error is not None:
            self.errors[key] = outcome.error
        if outcome.exception is not None:
            self.exceptions[key] = outcome.exception
        self._release(key)
        self._end(key, "failure")

    def _release(self, key: str) -> None:
        """Let other runs try a step that stored nothing here."""
        if self.claims is not None:
            self.claims.release(self.plan.steps[key].version)

    def _event(
        self,
        kind: EventType,
        key: str,
        *,
        message: str = "",
        data: dict[str, Any] | None = None,
        error: ErrorInfo | None = None,
        attempt: int = 0,
    ) -> None:
        self.recorder.tell(Event(kind, self.run_id, time(), key, attempt, message, data or {}, error))


__all__ = ["Phase", "RunLoop"]
