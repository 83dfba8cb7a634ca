"""Whether a failed attempt is made again, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.executor import StepOutcome
    from memo.definition.retry_policy import RetryPolicy


class Retry(Struct, frozen=True):
    """What follows a failed attempt.

    Attributes:
        after: Seconds to wait before the next attempt; None where there is none.
        exhausted: How many retries were allowed, where it is they that have run out.
    """

    after: float | None
    exhausted: int | None = None


def retry_after(
    outcome: StepOutcome, policy: RetryPolicy | None, *, random: Callable[[], float] | None = None
) -> Retry:
    """Decide on a failed attempt.

    What the op itself asked for counts before the policy: ``Failure(allow_retries=False)`` ends it, `RetryRequested`
    brings its own count and wait. A worker that died counts as a failed attempt.

    Args:
        outcome: Of the attempt.
        policy: Of the step; None for no retries.
        random: A number from 0 to 1, for the jitter.
    """
    made = outcome.attempt
    if not outcome.allow_retries:
        return Retry(None)
    if outcome.kind == "retry":
        allowed = outcome.max_retries or 0
        return Retry(outcome.retry_after or 0.0) if made < allowed else Retry(None, allowed)
    if policy is None:
        return Retry(None)
    if made >= policy.max_retries:
        return Retry(None, policy.max_retries)
    return Retry(policy.delay_before(made + 1, random=random))
