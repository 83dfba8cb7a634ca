"""Spans: what is looked at, and that nothing is where nobody looks."""

from __future__ import annotations

import threading
from importlib import import_module
from time import perf_counter_ns
from types import BuiltinFunctionType, FunctionType

import pytest

from memo.execution.spans import STEP_SEAMS, WORKER_SEAMS, Seam, Spans, is_gathering
from memo.project.profiling import coordinator_seams


def work(number: int) -> int:
    return number + 1


class Thing:
    def call(self, key: str) -> str:
        return helper(key)


def helper(key: str) -> str:
    if key == "bad":
        raise ValueError(key)
    if key == "stop":
        raise StopIteration(key)
    return key.upper()


WORK = Seam(f"{__name__}:work", "work", shortest=0)
CALL = Seam(
    f"{__name__}:Thing.call",
    "outer",
    lambda _, key: (f"call {key}", key),
    0,
    lambda _, result: {"length": len(result or "")},
)
HELPER = Seam(f"{__name__}:helper", "inner", shortest=0)


@pytest.mark.parametrize("seam", [*coordinator_seams(), *WORKER_SEAMS], ids=lambda seam: seam.place)
def test_every_seam_is_there(seam: Seam) -> None:
    module, _, path = seam.place.partition(":")
    found = import_module(module)
    for name in path.split("."):
        found = vars(found)[name]
    assert isinstance(found, (FunctionType, BuiltinFunctionType))


def test_functions_are_themselves_again_afterwards() -> None:
    plain = work
    spans = Spans()
    with spans.gathering([WORK]):
        assert is_gathering()
        assert work is not plain
        assert work(1) == 2
    assert work is plain
    assert not is_gathering()
    assert work(1) == 2
    (span,) = spans.found
    assert (span.name, span.category, span.step) == ("work", "work", None)
    with pytest.raises(KeyError), Spans().gathering([WORK, Seam(f"{__name__}:nothing", "")]):
        pass
    assert work is plain


def test_spans_nest_and_own_time_is_counted_once() -> None:
    spans = Spans()
    before = perf_counter_ns()
    with spans.gathering([CALL, HELPER]):
        assert Thing().call("abc") == "ABC"
    inner, outer = spans.found
    assert (outer.name, outer.step, outer.facts) == ("call abc", "abc", {"length": 3})
    assert before <= outer.start <= inner.start
    assert inner.start + inner.duration <= outer.start + outer.duration <= perf_counter_ns()
    totals = {category: own for (_, category), own in spans.totals.items()}
    assert totals["inner"] == inner.duration
    assert totals["outer"] == outer.duration - inner.duration


@pytest.mark.parametrize(("key", "error"), [("bad", ValueError), ("stop", StopIteration)])
def test_what_is_raised_comes_through_and_is_told(key: str, error: type[Exception]) -> None:
    spans = Spans()
    with spans.gathering([CALL, HELPER]), pytest.raises(error, match=key):
        Thing().call(key)
    assert [span.category for span in spans.found] == ["inner", "outer"]


def test_what_is_short_is_only_summed() -> None:
    spans = Spans()
    with spans.gathering([Seam(f"{__name__}:work", "work", shortest=10**12)]):
        work(1)
    assert spans.found == []
    assert sum(spans.totals.values()) > 0


def test_threads_do_not_nest_in_one_another() -> None:
    spans = Spans()
    with spans.gathering([WORK]), spans.span("outside", "outside", shortest=0):
        other = threading.Thread(target=work, args=(1,), name="other one")
        other.start()
        other.join()
    inside, outside = spans.found
    assert inside.thread != outside.thread
    assert spans.threads[inside.thread] == "other one"
    assert spans.totals[outside.thread, "outside"] == outside.duration


def test_what_is_taken_is_told_once() -> None:
    spans = Spans()
    with spans.gathering([WORK]):
        work(1)
        first = spans.take()
        second = spans.take()
    assert [span.name for span in first.spans] == ["work"]
    assert first.totals["work"] == first.spans[0].duration
    assert (second.spans, second.totals) == ((), {})


def test_workers_look_at_all_that_steps_do() -> None:
    assert set(STEP_SEAMS) <= set(WORKER_SEAMS)
