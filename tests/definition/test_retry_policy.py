from __future__ import annotations

import pickle
from typing import Any

import pytest

from memo import Backoff, Failure, Jitter, RetryPolicy, RetryRequested
from memo.errors import DefinitionError, InvocationError


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy(4), [0, 0, 0, 0]),
        (RetryPolicy(4, delay=2), [2, 2, 2, 2]),
        (RetryPolicy(4, delay=2, backoff=Backoff.LINEAR), [2, 4, 6, 8]),
        (RetryPolicy(4, delay=2, backoff=Backoff.EXPONENTIAL), [2, 6, 14, 30]),
        (RetryPolicy(4, delay=0.5, backoff=Backoff.EXPONENTIAL), [0.5, 1.5, 3.5, 7.5]),
        (RetryPolicy(4, delay=0, backoff=Backoff.EXPONENTIAL), [0, 0, 0, 0]),
    ],
)
def test_the_delays_are_dagsters(policy: RetryPolicy, expected: list[float]) -> None:
    assert [policy.delay_before(retry) for retry in (1, 2, 3, 4)] == expected


@pytest.mark.parametrize(
    ("jitter", "random", "expected"),
    [
        (Jitter.FULL, 0.0, 0),
        (Jitter.FULL, 0.5, 7),
        (Jitter.FULL, 1.0, 14),
        (Jitter.PLUS_MINUS, 0.0, 12),
        (Jitter.PLUS_MINUS, 0.5, 14),
        (Jitter.PLUS_MINUS, 1.0, 16),
    ],
)
def test_jitter_spreads_the_third_delay(jitter: Jitter, random: float, expected: float) -> None:
    policy = RetryPolicy(3, delay=2, backoff=Backoff.EXPONENTIAL, jitter=jitter)

    assert policy.delay_before(3, random=lambda: random) == expected


def test_the_standard_random_number_stays_within_the_bounds() -> None:
    full, plus_minus = RetryPolicy(1, delay=2, jitter=Jitter.FULL), RetryPolicy(1, delay=2, jitter=Jitter.PLUS_MINUS)

    for _ in range(100):
        assert 0 <= full.delay_before(1) <= 2
        assert 0 <= plus_minus.delay_before(1) <= 4


@pytest.mark.parametrize("delay", [0, 0.0, 1e-9, 2.5])
def test_a_retry_beyond_all_numbers_has_a_delay(delay: float) -> None:
    policy = RetryPolicy(5_000, delay=delay, backoff=Backoff.EXPONENTIAL)

    assert policy.delay_before(5_000) >= policy.delay_before(10)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"max_retries": -1}, "max_retries is -1; it must be a whole number from 0 on"),
        ({"max_retries": 1.5}, "max_retries is 1.5"),
        ({"max_retries": "3"}, "max_retries is '3'"),
        ({"max_retries": True}, "max_retries is True"),
        ({"max_retries": None}, "max_retries is None"),
        ({"delay": -1}, "delay is -1; it must be seconds, from 0 on"),
        ({"delay": "1"}, "delay is '1'"),
        ({"delay": True}, "delay is True"),
        ({"delay": float("nan")}, "delay is nan"),
        ({"delay": float("inf")}, "delay is inf"),
        ({"backoff": Backoff.LINEAR}, "backoff needs a delay to grow from; give delay="),
        ({"jitter": Jitter.FULL}, "jitter needs a delay to spread; give delay="),
        ({"delay": 1, "backoff": "LINEAR"}, "backoff is 'LINEAR'; it must be Backoff.LINEAR or Backoff.EXPONENTIAL"),
        ({"delay": 1, "jitter": "FULL"}, "jitter is 'FULL'; it must be Jitter.FULL or Jitter.PLUS_MINUS"),
    ],
)
def test_a_policy_that_cannot_be_right_is_refused_with_its_line(kwargs: Any, words: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        RetryPolicy(**kwargs)

    assert words in str(refused.value)
    assert "test_retry_policy.py:" in refused.value.where


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("3",), "RetryRequested: max_retries is '3'"),
        ((-1,), "RetryRequested: max_retries is -1"),
        ((1, -1), "RetryRequested: seconds_to_wait is -1"),
        ((1, "2"), "RetryRequested: seconds_to_wait is '2'"),
    ],
)
def test_a_request_that_cannot_be_right_is_refused_with_its_line(args: Any, words: str) -> None:
    with pytest.raises(InvocationError) as refused:
        RetryRequested(*args)

    assert words in str(refused.value)
    assert "test_retry_policy.py:" in refused.value.where


def test_a_policy_shows_itself_and_is_brought_over_whole() -> None:
    policy = RetryPolicy(2, delay=1, jitter=Jitter.FULL)
    again = pickle.loads(pickle.dumps(policy))

    assert repr(policy) == repr(again) == "RetryPolicy(max_retries=2, delay=1, backoff=None, jitter=Jitter.FULL)"


def test_requests_and_failures_are_brought_over_whole() -> None:
    request = pickle.loads(pickle.dumps(RetryRequested(3, 0.5)))
    failure = pickle.loads(pickle.dumps(Failure("too old", {"days": 3}, allow_retries=False)))

    assert (request.max_retries, request.seconds_to_wait) == (3, 0.5)
    assert (failure.description, failure.metadata, failure.allow_retries) == ("too old", {"days": 3}, False)
    assert str(failure) == "too old"
    assert (RetryRequested().max_retries, RetryRequested().seconds_to_wait) == (1, None)
    assert Failure().allow_retries
