"""Retries as data: how often, how long between, with which jitter; and how an op asks for them."""

from __future__ import annotations

import reprlib
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Any

from memo.definition.names import called_at, check_instance
from memo.errors import DefinitionError, InvocationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.errors import MemoError


class Backoff(Enum):
    """How the delay grows with the number of the retry, counted from 1."""

    LINEAR = "LINEAR"
    """n x delay."""
    EXPONENTIAL = "EXPONENTIAL"
    """(2^n - 1) x delay."""


class Jitter(Enum):
    """How the delay is spread, so that many steps do not try again at the same moment."""

    FULL = "FULL"
    """Anywhere between zero and the delay."""
    PLUS_MINUS = "PLUS_MINUS"
    """The delay, plus or minus up to the policy's own delay."""


class RetryPolicy:
    """What to do when an op fails.

    The policy of a placed op counts before that of the op, and that before the job's.

    Args:
        max_retries: How many times to try again; N retries are N + 1 attempts.
        delay: Seconds before trying again.
        backoff: How the delay grows; needs a delay.
        jitter: How the delay is spread; needs a delay.

    >>> RetryPolicy(max_retries=3, delay=2, backoff=Backoff.EXPONENTIAL).delay_before(3, random=lambda: 0.5)
    14
    """

    __slots__ = ("backoff", "delay", "jitter", "max_retries")

    def __init__(
        self,
        max_retries: int = 1,
        delay: float | None = None,
        backoff: Backoff | None = None,
        jitter: Jitter | None = None,
    ) -> None:
        _check_count(max_retries, "RetryPolicy: max_retries", DefinitionError)
        if delay is not None:
            _check_seconds(delay, "RetryPolicy: delay", DefinitionError)
        elif backoff is not None or jitter is not None:
            word = "backoff needs a delay to grow from" if backoff is not None else "jitter needs a delay to spread"
            raise DefinitionError(f"RetryPolicy: {word}; give delay=", where=called_at())
        if backoff is not None:
            check_instance(backoff, Backoff, "RetryPolicy: backoff", "Backoff.LINEAR or Backoff.EXPONENTIAL", "")
        if jitter is not None:
            check_instance(jitter, Jitter, "RetryPolicy: jitter", "Jitter.FULL or Jitter.PLUS_MINUS", "")
        self.max_retries = max_retries
        self.delay = delay
        self.backoff = backoff
        self.jitter = jitter

    def __repr__(self) -> str:
        return (
            f"RetryPolicy(max_retries={self.max_retries}, delay={self.delay}, "
            f"backoff={self.backoff}, jitter={self.jitter})"
        )

    def delay_before(self, retry: int, *, random: Any = None) -> float:
        """Seconds to wait before the retry of this number, from 1 on (Dagster's formulas).

        Args:
            retry: 1 for the first retry.
            random: Gives a number from 0 to 1; the standard generator where left out.
        """
        if self.delay is None:
            return 0
        if self.backoff is Backoff.LINEAR:
            base = retry * self.delay
        elif self.backoff is Backoff.EXPONENTIAL:
            base = (2 ** min(retry, 64) - 1) * self.delay  # beyond, a number too large for a float, and no wait ends
        else:
            base = self.delay
        if self.jitter is None:
            return base
        if random is None:
            from random import random as standard

            random = standard
        if self.jitter is Jitter.FULL:
            return float(random() * base)
        return float(max(0.0, base + 2 * random() * self.delay - self.delay))


def _check_count(value: object, what: str, error: type[MemoError]) -> None:
    if type(value) is not int or value < 0:
        raise error(f"{what} is {reprlib.repr(value)}; it must be a whole number from 0 on", where=called_at())


def _check_seconds(value: object, what: str, error: type[MemoError]) -> None:
    if type(value) is bool or not isinstance(value, int | float) or not 0 <= value < inf:
        raise error(f"{what} is {reprlib.repr(value)}; it must be seconds, from 0 on", where=called_at())


class RetryRequested(Exception):  # noqa: N818 - Dagster's name: a request, not an error
    """Raised by an op to be tried again, whatever the retry policy says.

    Args:
        max_retries: How many times at most.
        seconds_to_wait: Before the next attempt.

    Raises:
        InvocationError: One of the two is no such number.
    """

    def __init__(self, max_retries: int = 1, seconds_to_wait: float | None = None) -> None:
        _check_count(max_retries, "RetryRequested: max_retries", InvocationError)
        if seconds_to_wait is not None:
            _check_seconds(seconds_to_wait, "RetryRequested: seconds_to_wait", InvocationError)
        super().__init__(max_retries, seconds_to_wait)
        self.max_retries = max_retries
        self.seconds_to_wait = seconds_to_wait


class Failure(Exception):  # noqa: N818 - Dagster's name
    """Raised by an op to fail with a description and facts.

    Args:
        description: What went wrong.
        metadata: Facts by name, kept with the run.
        allow_retries: False fails the step at once, whatever the retry policy says.
    """

    def __init__(
        self,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        allow_retries: bool = True,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.metadata = dict(metadata or {})
        self.allow_retries = allow_retries

    def __reduce__(self) -> tuple[Any, ...]:
        return (Failure, (self.description, self.metadata, self.allow_retries))
