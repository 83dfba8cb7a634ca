"""One run from its start to its end: its record, its events, its loop."""

from __future__ import annotations

import os
from collections import Counter
from time import time
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.events import Event, EventType, RunStatus
from memo.execution.loop import RunLoop
from memo.execution.recording import Recorder
from memo.execution.result import RunResult
from memo.versioning import Recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memo.contracts.executor import Address, Executor
    from memo.contracts.run_store import Claim, History, RunRecord, RunStore
    from memo.contracts.sharing import SharingIOManager
    from memo.execution.claims import Claims
    from memo.execution.environment import RunEnvironment
    from memo.execution.keeping import Keeper
    from memo.execution.sharing import Shared, SharedHistory
    from memo.execution.storage import StepStorage
    from memo.planning import Plan, Reason, Verdict

_LEFT_UNDONE = frozenset({"failure", "blocked", "canceled", "skipped"})
"""The outcomes of steps that stored nothing, and whose recipe is kept so that it can be told later what was changed."""


def new_run_id() -> str:
    """Make an id for a run: its time, so that ids sort, and 32 random bits."""
    return f"{int(time() * 1000):011x}{os.urandom(4).hex()}"


def carry_out(
    plan: Plan,
    environment: RunEnvironment,
    *,
    executor: Callable[[Callable[[Event], None]], Executor],
    storage: StepStorage,
    history: History | None,
    store: RunStore | None,
    record: RunRecord,
    listen: Callable[[Event], None],
    load: Callable[[Address], Any],
    shared: Shared | None = None,
) -> tuple[RunResult, RunLoop]:
    """Run a plan and record it.

    A run that has nothing to do is written once, when it ends; any other also when it starts, so that a run that was
    killed is known to have been.

    Args:
        plan: What to do.
        environment: Of the run.
        executor: Makes the executor, given where events of running steps go.
        storage: The run's IO managers.
        history: Asked what is stored under a content key.
        store: Where the run is recorded; None to leave nothing behind.
        record: The run as it starts.
        listen: Told every event as it happens.
        load: Loads an output for the result.
        shared: What is known of the shared place; None where nothing is put there.

    Raises:
        KeyboardInterrupt: Passed on, after the run has been recorded as canceled.
    """
    if plan.versions is not None:
        record = replace(record, versions={key: step.version for key, step in plan.versions.steps.items()})
    telling = _telling(plan, storage, store, record, shared)
    recorder = Recorder(store, listen, telling, Recipes(plan.versions) if plan.versions is not None else None)
    if store is not None and not plan.is_null:
        store.add_run(replace(record, steps=_steps(plan, dict.fromkeys(plan.steps, ""))))
    recorder.tell(Event(EventType.RUN_START, record.run_id, record.started_at))
    running = executor(recorder.tell)
    claims = _claims(plan, store, recorder, record.run_id, storage.sharing if shared is not None else None)
    keeper = _keeper(recorder, claims) if claims is not None else None
    loop = RunLoop(
        environment.job,
        plan,
        run_id=record.run_id,
        executor=running,
        storage=storage,
        history=history,
        recorder=recorder,
        claims=claims,
        shared=shared.steps if shared is not None else None,
    )
    status = RunStatus.CANCELED
    try:
        if keeper is not None:
            keeper.start()
        loop.run()
        failed = "failure" in loop.outcomes.values()
        status = RunStatus.FAILURE if failed else RunStatus.SUCCESS
    finally:
        running.stop(kill=status is RunStatus.CANCELED)
        if keeper is not None:
            keeper.stop()
        ended = _ended(plan, loop, record, status)
        kind = {
            RunStatus.SUCCESS: EventType.RUN_SUCCESS,
            RunStatus.FAILURE: EventType.RUN_FAILURE,
            RunStatus.CANCELED: EventType.RUN_CANCELED,
        }[status]
        recorder.tell(Event(kind, record.run_id, ended.ended_at or 0.0))
        if store is not None:
            if plan.aliases or not plan.is_null:
                recorder.write()
                _keep_undone(plan, loop, store)
            if claims is not None:
                claims.close()
            store.add_run(ended)
            if telling is not None:
                telling.end(ended)
    job = environment.job
    inputs = {**job.input_defaults, **environment.config.job_inputs}
    return RunResult(job, plan, ended, recorder.events, loop.outputs.addresses.of, loop.errors, inputs, load), loop


def _telling(
    plan: Plan, storage: StepStorage, store: RunStore | None, record: RunRecord, shared: Shared | None
) -> SharedHistory | None:
    """What tells other homes of a run, where it has anything to tell."""
    if store is None or shared is None or storage.sharing is None or not storage.sharing.objects.takes:
        return None
    if plan.is_null and not (shared.put or plan.aliases):
        return None
    from memo.execution.sharing import SharedHistory, told_of

    telling = SharedHistory(storage.sharing.objects, store, record)
    for run, made, sources in told_of(shared.put, store):
        telling.tell_of(run, made, sources)
    forced = [plan.steps[key].version for key in plan.forced]
    telling.begin([version for version in forced if version is not None])
    return telling


def _claims(
    plan: Plan, store: RunStore | None, recorder: Recorder, run_id: str, sharing: SharingIOManager | None
) -> Claims | None:
    """The claims of a run, where it may run what another run of the home may want too, or one of another home."""
    if store is None or plan.versions is None or plan.is_null:
        return None
    from memo.execution.claims import LEASE_SECONDS, Claims
    from memo.execution.processes import this_process
    from memo.execution.step import CURRENT

    def tell(key: str, claim: Claim) -> None:
        named = f", which is running it as {claim.step_key!r}" if claim.step_key != key else ", which is running it"
        host = claim.host.partition(" ")[0]
        at = f"pid {claim.pid}" if claim.host == this_process().host else f"pid {claim.pid} on {host}"
        message = f"waits for run {claim.run_id} ({at}){named}"
        data = {"for_run": claim.run_id, "pid": claim.pid, "host": claim.host, "step": claim.step_key}
        recorder.tell(Event(EventType.STEP_WAITING, run_id, time(), key, message=message, data=data))

    outer = CURRENT.get()
    shared = None
    if sharing is not None:
        from memo.execution.shared_claims import SharedClaims

        shared = SharedClaims(sharing.objects, lease=LEASE_SECONDS)
    return Claims(store, run_id, within=outer.within if outer is not None else (), on_wait=tell, shared=shared)


def _keeper(recorder: Recorder, claims: Claims) -> Keeper:
    from memo.execution.keeping import Keeper

    return Keeper(recorder, claims)


def _steps(
    plan: Plan, outcomes: Mapping[str, str], reasons: Mapping[str, str] | None = None
) -> dict[str, tuple[str, str, str]]:
    """The plan's verdicts and reasons, or later ones, with what became of each step, as a run's record keeps them."""
    found: dict[str, tuple[str, str, str]] = {}
    told: tuple[Verdict, Reason, str, str] | None = None
    entry = ("", "", "")
    for key, step in plan.steps.items():
        # One for all in a row of which it says the same: they are few.
        same = (step.verdict, step.reason, step.detail, outcomes[key])
        if same != told:
            told = same
            reason = f"{step.reason.value}: {step.detail}" if step.detail else step.reason.value
            entry = (step.verdict.value, reason, outcomes[key])
        found[key] = entry
    for key, reason in (reasons or {}).items():
        verdict, _, outcome = found[key]
        found[key] = (verdict, reason, outcome)
    return found


def _keep_undone(plan: Plan, loop: RunLoop, store: RunStore) -> None:
    if plan.versions is None:
        return
    texts: dict[str, str] = {}
    recipes = Recipes(plan.versions)
    undone = [recipes.of(key, texts) for key, end in loop.outcomes.items() if end in _LEFT_UNDONE]
    store.add_recipes(undone, texts)


def _ended(plan: Plan, loop: RunLoop, record: RunRecord, status: RunStatus) -> RunRecord:
    ended = zip(plan.steps.values(), loop.outcomes.values(), strict=True)
    saved = sum([step.seconds or 0.0 for step, outcome in ended if outcome == "reused"])
    counts = Counter(loop.outcomes.values())
    del counts[""]
    return replace(
        record,
        status=status,
        ended_at=time(),
        steps=_steps(plan, loop.outcomes, loop.reasons),
        counts=dict(counts),
        seconds_saved=saved,
    )
