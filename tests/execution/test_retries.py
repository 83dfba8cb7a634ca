"""Retries: when, how often, how long between; with a clock and an executor of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from memo import Backoff, EventType, Jitter, RetryPolicy, job, op
from memo.contracts.executor import Executor, StepOutcome, StepTask
from memo.events import ErrorInfo
from memo.execution.loop import RunLoop
from memo.execution.recording import Recorder
from memo.execution.retries import retry_after
from memo.planning import Reason, plan_without_memoization

LINEAR, EXPONENTIAL = Backoff.LINEAR, Backoff.EXPONENTIAL


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        (RetryPolicy(3), [0, 0, 0]),
        (RetryPolicy(3, delay=2), [2, 2, 2]),
        (RetryPolicy(4, delay=2, backoff=LINEAR), [2, 4, 6, 8]),
        (RetryPolicy(4, delay=2, backoff=EXPONENTIAL), [2, 6, 14, 30]),
        (RetryPolicy(3, delay=2, jitter=Jitter.FULL), [0.5, 0.5, 0.5]),
        (RetryPolicy(3, delay=2, backoff=EXPONENTIAL, jitter=Jitter.FULL), [0.5, 1.5, 3.5]),
        (RetryPolicy(3, delay=2, jitter=Jitter.PLUS_MINUS), [1, 1, 1]),
        (RetryPolicy(3, delay=2, backoff=LINEAR, jitter=Jitter.PLUS_MINUS), [1, 3, 5]),
    ],
)
def test_delays_follow_the_formulas(policy: RetryPolicy, delays: list[float]) -> None:
    assert [policy.delay_before(n + 1, random=lambda: 0.25) for n in range(len(delays))] == delays


def outcome(attempt: int, **more: Any) -> StepOutcome:
    return StepOutcome("s", attempt, more.pop("kind", "failure"), **more)


def test_a_policy_of_n_retries_allows_n_plus_one_attempts() -> None:
    policy = RetryPolicy(2)

    assert [retry_after(outcome(n), policy).after for n in range(3)] == [0, 0, None]
    assert retry_after(outcome(2), policy).exhausted == 2


def test_what_the_op_asks_for_counts_before_the_policy() -> None:
    assert retry_after(outcome(0, allow_retries=False), RetryPolicy(5)).after is None
    asked = outcome(1, kind="retry", max_retries=2, retry_after=7.0)
    assert retry_after(asked, RetryPolicy(0)).after == 7.0
    assert retry_after(outcome(2, kind="retry", max_retries=2), RetryPolicy(9)).exhausted == 2


def test_a_worker_that_died_counts_as_a_failed_attempt() -> None:
    assert retry_after(outcome(0, kind="died"), RetryPolicy(1)).after == 0
    assert retry_after(outcome(0, kind="died"), None).after is None


class FakeExecutor(Executor):
    """Fails each step as often as it is told; time passes only when it is waited for."""

    def __init__(self, failures: dict[str, int]) -> None:
        self.failures = failures
        self.now = 0.0
        self.waiting: list[StepTask] = []
        self.started: list[tuple[float, str, int]] = []

    def clock(self) -> float:
        return self.now

    @property
    def free(self) -> int:
        return 2 - len(self.waiting)

    def submit(self, task: StepTask) -> None:
        self.started.append((self.now, task.step_key, task.attempt))
        self.waiting.append(task)

    def outcomes(self, timeout: float | None) -> list[StepOutcome]:
        if not self.waiting:
            assert timeout is not None
            self.now += timeout
            return []
        task = self.waiting.pop(0)
        if task.attempt < self.failures.get(task.step_key, 0):
            return [StepOutcome(task.step_key, task.attempt, "failure", error=ErrorInfo("OSError", "down", ""))]
        return [StepOutcome(task.step_key, task.attempt, "success")]

    def stop(self, *, kill: bool = False) -> list[StepOutcome]:
        return []


@op(retry_policy=RetryPolicy(3, delay=10, backoff=Backoff.LINEAR))
def flaky() -> None:
    """Fail, as the executor says."""


@op
def steady() -> None:
    """Succeed."""


@op
def plain() -> None:
    """Have no policy."""


@job(op_retry_policy=RetryPolicy(1))
def retrying() -> None:
    flaky()
    steady()
    flaky.with_retry_policy(RetryPolicy(0)).alias("placed")()
    plain()


def run_with(failures: dict[str, int]) -> tuple[RunLoop, FakeExecutor, list[Any]]:
    executor = FakeExecutor(failures)
    seen: list[Any] = []
    plan = plan_without_memoization(retrying, retrying.steps, Reason.MEMOIZATION_OFF)
    loop = RunLoop(
        retrying,
        plan,
        run_id="r",
        executor=executor,
        storage=None,  # type: ignore[arg-type] # nothing is stored
        history=None,
        recorder=Recorder(None, seen.append),
        clock=executor.clock,
    )
    loop.run()
    return loop, executor, seen


def test_other_steps_run_while_one_rests() -> None:
    loop, executor, seen = run_with({"flaky": 2})

    assert loop.outcomes == {"flaky": "success", "steady": "success", "placed": "success", "plain": "success"}
    assert executor.started == [
        (0, "flaky", 0),
        (0, "steady", 0),
        (0, "placed", 0),
        (0, "plain", 0),
        (10, "flaky", 1),
        (30, "flaky", 2),
    ]
    waits = [event.data["seconds_to_wait"] for event in seen if event.kind is EventType.STEP_UP_FOR_RETRY]
    assert waits == [10, 20]


def test_the_policy_of_the_placed_op_counts_before_the_ops_and_that_before_the_jobs() -> None:
    loop, executor, _ = run_with({"flaky": 9, "placed": 9, "plain": 9})

    attempts = [key for _, key, _ in executor.started]
    assert [attempts.count(key) for key in ("flaky", "placed", "plain")] == [4, 1, 2]
    assert loop.outcomes["flaky"] == loop.outcomes["placed"] == loop.outcomes["plain"] == "failure"


def test_running_out_of_retries_is_said() -> None:
    _, _, seen = run_with({"flaky": 9})

    failure = next(event for event in seen if event.kind is EventType.STEP_FAILURE)
    assert failure.data["exceeded_max_retries"] == 3
