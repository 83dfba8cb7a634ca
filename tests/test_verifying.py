"""`verify_job`: stored steps run again, nothing is stored, and what differs is named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from memo import (
    MEMOIZED_RUN_TAG,
    Failure,
    In,
    MemoError,
    MemoizableIOManager,
    Nothing,
    Out,
    Output,
    RetryPolicy,
    execute_job,
    io_manager,
    job,
    op,
    verify_job,
)
from memo.project.verifying import VerifyOutcome
from memo.versioning import output_version

if TYPE_CHECKING:
    from pathlib import Path

    from memo.definition.job import JobDefinition
    from memo.project.verifying import OutputVerification, Verification

SAME, DIFFERS = VerifyOutcome.SAME, VerifyOutcome.DIFFERS


@dataclass
class Fit:
    weights: Any
    name: str


def tick() -> int:
    """What ops under test read that no version covers."""
    return int(os.environ["MEMO_TEST_TICK"])


@pytest.fixture(autouse=True)
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_TEST_TICK", "0")


def stored(definition: JobDefinition, home: Path, **arguments: Any) -> None:
    assert execute_job(definition, home, **arguments).success


def verified(definition: JobDefinition, home: Path, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> Verification:
    """Verify with another tick than that at which the job ran."""
    monkeypatch.setenv("MEMO_TEST_TICK", "1")
    return verify_job(definition, instance=home, **arguments)


def outcomes(made: Verification) -> dict[str, str]:
    return {key: step.outcome.value for key, step in made.steps.items()}


def first(made: Verification, key: str) -> OutputVerification:
    return made.steps[key].outputs[0]


def files(home: Path) -> dict[str, bytes]:
    """Everything in the home but what SQLite keeps beside its file while it is open."""
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file() and "-" not in path.suffix}


@op
def steady() -> dict[str, float]:
    return {"a": float("nan"), "b": 1.0}


@op
def wavering() -> dict[str, Any]:
    return {"rows": [1, {"fare": tick()}], "note": "too long to stand in the manifest" * 100}


@op
def reading(given) -> Any:
    return given["rows"][1]["fare"] * 10


@job
def mixed():
    steady()
    reading(wavering())


def test_the_op_and_the_place_are_named(tmp_path, monkeypatch) -> None:
    stored(mixed, tmp_path)
    before = files(tmp_path)
    made = verified(mixed, tmp_path, monkeypatch)
    # `reading` reads what is stored, so that it is not blamed for what stands above it.
    assert outcomes(made) == {"steady": "SAME", "wavering": "DIFFERS", "reading": "SAME"}
    found = first(made, "wavering")
    assert (found.output, found.path, found.what, found.stored, found.given) == (
        "result",
        "['rows'][1]['fare']",
        "value",
        "0",
        "1",
    )
    assert str(found) == "output 'result': ['rows'][1]['fare']: 0 stored, 1 now"
    ((name, location),) = made.nondeterministic_ops
    assert name == "wavering"
    file, _, line = location.rpartition(":")
    assert file.endswith("test_verifying.py")
    with open(__file__, encoding="utf-8") as source:
        lines = source.read().splitlines()
    assert "wavering" in "".join(lines[int(line) - 1 : int(line) + 1])
    assert not made.success
    assert files(tmp_path) == before


def test_where_all_is_deterministic_all_is_well(tmp_path) -> None:
    stored(mixed, tmp_path)
    made = verify_job(mixed, instance=tmp_path)
    assert set(outcomes(made).values()) == {"SAME"}
    assert made.success
    assert made.nondeterministic_ops == ()
    assert all(step.seconds is not None for step in made.steps.values())


def test_what_is_not_stored_is_said_to_be_so_and_does_not_run(tmp_path, monkeypatch) -> None:
    made = verified(mixed, tmp_path, monkeypatch)
    assert set(outcomes(made).values()) == {"NOT_STORED"}
    assert made.steps["steady"].detail == "never run"
    assert made.success
    stored(mixed, tmp_path, op_selection="steady")
    made = verified(mixed, tmp_path, monkeypatch)
    assert outcomes(made) == {"steady": "SAME", "wavering": "NOT_STORED", "reading": "NOT_STORED"}


def test_a_selected_step_reads_what_is_stored_of_others(tmp_path, monkeypatch) -> None:
    stored(mixed, tmp_path)
    made = verified(mixed, tmp_path, monkeypatch, op_selection="reading")
    assert outcomes(made) == {"reading": "SAME"}


def stored_files(home: Path, key: str) -> list[Path]:
    """The files in which the outputs of a step of `mixed` are kept."""
    version = execute_job(mixed, home).plan.steps[key].version
    assert version is not None
    name = output_version(version, "result")
    found = [path for path in (home / "storage").rglob("*") if path.is_file() and name in str(path)]
    assert found
    return found


def test_a_step_whose_input_is_gone_is_not_run(tmp_path, monkeypatch) -> None:
    stored(mixed, tmp_path)
    for path in stored_files(tmp_path, "wavering"):
        path.unlink()
    made = verified(mixed, tmp_path, monkeypatch)
    assert outcomes(made) == {"steady": "SAME", "wavering": "NOT_STORED", "reading": "NOT_STORED"}
    assert made.steps["reading"].detail == "the output of 'wavering', which it reads, is not stored"


def test_a_step_whose_input_is_broken_is_not_blamed(tmp_path, monkeypatch) -> None:
    stored(mixed, tmp_path)
    (value,) = [path for path in stored_files(tmp_path, "wavering") if path.suffix == ".pkl"]
    data = value.read_bytes()
    value.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    made = verified(mixed, tmp_path, monkeypatch)
    assert outcomes(made) == {"steady": "SAME", "wavering": "NOT_COMPARABLE", "reading": "NOT_STORED"}
    assert made.steps["reading"].detail.startswith("output 'result' of step 'wavering': ")
    assert "what is stored cannot be loaded (OutputLostError: " in str(first(made, "wavering"))
    assert made.success


def test_values_of_every_kind(tmp_path, monkeypatch) -> None:
    @op
    def frame():
        return pd.DataFrame({"fare": [1.0, 2.0 + tick()], "who": ["a", "b"]})

    @op
    def array():
        return np.arange(6.0).reshape(2, 3) + np.array([0, 0, tick()])

    @op
    def text():
        return f"first\nat {tick()}\nlast"

    @op
    def model():
        return [Fit(np.array([1.0, float("nan")]), "x"), Fit(np.array([1.0, tick()]), "y")]

    @op
    def unordered():
        return {f"s{number}" for number in range(50)}

    @job
    def kinds():
        frame()
        array()
        text()
        model()
        unordered()

    stored(kinds, tmp_path)
    assert set(outcomes(verify_job(kinds, instance=tmp_path)).values()) == {"SAME"}
    made = verified(kinds, tmp_path, monkeypatch)
    assert made.steps["unordered"].outcome is SAME
    found = {key: str(step.outputs[0]) for key, step in made.steps.items() if step.outputs}
    assert found == {
        "frame": "output 'result': column 'fare' row 1: 2.0 stored, 3.0 now",
        "array": "output 'result': [0, 2]: 2.0 stored, 3.0 now",
        "text": "output 'result': line 2: 'at 0' stored, 'at 1' now",
        "model": "output 'result': [1].weights[1]: 0.0 stored, 1.0 now",
    }


class Cached:
    """Leaves out of its pickle what it holds for itself."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.cache: dict[str, int] = {"square": number**2}

    def __getstate__(self) -> dict[str, Any]:
        return {"number": self.number}


class Keen:
    """Compares all that it holds."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.cache: int | None = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keen) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return self.number

    def __reduce__(self) -> Any:
        return bare_keen, (self.number,)


def bare_keen(number: int) -> Keen:
    made = Keen(number)
    made.cache = None
    return made


def test_what_pickle_leaves_out_is_no_difference(tmp_path, monkeypatch) -> None:
    @op
    def cached():
        return Cached(3)

    @op
    def keen():
        return [Keen(3)]

    @op
    def unkeen():
        return [Keen(3 + tick())]

    @job
    def caches():
        cached()
        keen()
        unkeen()

    stored(caches, tmp_path)
    made = verified(caches, tmp_path, monkeypatch)
    assert outcomes(made) == {"cached": "SAME", "keen": "SAME", "unkeen": "DIFFERS"}


def test_outputs_by_name_and_optional_ones(tmp_path, monkeypatch) -> None:
    @op(out={"one": Out(), "two": Out(), "three": Out(is_required=False), "four": Out(is_required=False)})
    def many():
        yield Output(1, "one")
        yield Output(2 + tick(), "two")
        yield Output(3, "three" if tick() else "four")

    @job
    def outputs():
        many()

    stored(outputs, tmp_path)
    made = verified(outputs, tmp_path, monkeypatch)
    assert [str(each) for each in made.steps["many"].outputs] == [
        "output 'two': 2 stored, 3 now",
        "output 'three': output not yielded stored, yielded now",
        "output 'four': output yielded stored, not yielded now",
    ]


def test_a_value_changed_after_it_was_yielded_is_compared_as_it_is_stored(tmp_path) -> None:
    @op(out={"one": Out(), "two": Out()})
    def growing():
        rows = [1]
        yield Output(rows, "one")
        rows.append(2)
        yield Output(rows, "two")

    @job
    def grown():
        growing()

    stored(grown, tmp_path)
    assert outcomes(verify_job(grown, instance=tmp_path)) == {"growing": "SAME"}


def test_fan_in_literals_config_and_context(tmp_path, monkeypatch) -> None:
    @op(config_schema={"times": int})
    def scaled(context, number: int) -> int:
        return number * context.op_config["times"]

    @op
    def total(numbers: list[int], more: int) -> int:
        return sum(numbers) + more

    @job
    def fanned():
        total([scaled(number=2), scaled.alias("again")(number=3)], more=5)

    config = {"ops": {"scaled": {"config": {"times": 2}}, "again": {"config": {"times": 3}}}}
    stored(fanned, tmp_path, run_config=config)
    made = verified(fanned, tmp_path, monkeypatch, run_config=config)
    assert outcomes(made) == {"scaled": "SAME", "again": "SAME", "total": "SAME"}
    config["ops"]["scaled"]["config"]["times"] = 9
    made = verified(fanned, tmp_path, monkeypatch, run_config=config)
    assert outcomes(made) == {"scaled": "NOT_STORED", "again": "SAME", "total": "NOT_STORED"}
    assert made.steps["scaled"].detail == "config changed: times"


def test_a_step_without_a_value_does_not_run(tmp_path, monkeypatch) -> None:
    @op(out=Out(Nothing))
    def effect():
        assert not tick(), "ran again"

    @op(ins={"start": In(Nothing)})
    def after() -> int:
        return 1

    @job
    def effects():
        after(start=effect())

    stored(effects, tmp_path)
    assert outcomes(verified(effects, tmp_path, monkeypatch)) == {"effect": "NO_VALUE", "after": "SAME"}


def test_a_step_that_fails_now_is_told_with_its_error(tmp_path, monkeypatch) -> None:
    @op
    def brittle():
        if tick():
            raise Failure("the service is gone")
        return 1

    @job
    def breaking():
        brittle()

    stored(breaking, tmp_path)
    made = verified(breaking, tmp_path, monkeypatch)
    assert outcomes(made) == {"brittle": "FAILED"}
    assert "the service is gone" in made.steps["brittle"].detail
    assert not made.success


def test_a_retry_policy_counts(tmp_path, monkeypatch) -> None:
    @op(retry_policy=RetryPolicy(max_retries=2))
    def flaky(context):
        if context.retry_number < 2:
            raise ValueError("not yet")
        return 1

    @job
    def retried():
        flaky()

    stored(retried, tmp_path)
    assert outcomes(verify_job(retried, instance=tmp_path)) == {"flaky": "SAME"}


class Kept(MemoizableIOManager):
    """Keeps texts, and tells how often it was handed something."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, ...], Any] = {}
        self.handed = 0
        self.broken = False

    def handle_output(self, context, obj) -> None:
        self.handed += 1
        self.texts[tuple(context.get_identifier())] = obj

    def load_input(self, context) -> Any:
        if self.broken:
            raise OSError("the disk is gone")
        return self.texts[tuple(context.get_identifier())]

    def has_output(self, context) -> bool:
        return tuple(context.get_identifier()) in self.texts


def test_no_io_manager_is_handed_anything(tmp_path, monkeypatch) -> None:
    kept = Kept()

    @io_manager
    def keeping():
        return kept

    @job(resource_defs={"io_manager": keeping})
    def elsewhere():
        steady()
        reading(wavering())

    stored(elsewhere, tmp_path)
    assert kept.handed == 3
    made = verified(elsewhere, tmp_path, monkeypatch)
    assert outcomes(made) == {"steady": "SAME", "wavering": "DIFFERS", "reading": "SAME"}
    assert kept.handed == 3
    kept.broken = True
    made = verified(elsewhere, tmp_path, monkeypatch, op_selection="wavering")
    assert outcomes(made) == {"wavering": "NOT_COMPARABLE"}
    assert str(first(made, "wavering")) == (
        "output 'result': what is stored cannot be loaded (OSError: the disk is gone)"
    )
    assert made.success


class Lists(Kept):
    """Gives tuples back as lists, as JSON does."""

    def load_input(self, context) -> Any:
        return list(super().load_input(context))


def test_an_io_manager_that_gives_back_another_type_makes_no_difference(tmp_path, monkeypatch) -> None:
    kept = Lists()

    @io_manager
    def keeping():
        return kept

    @op
    def pair():
        return 1, 2.5

    @op
    def drifting():
        return 1, tick()

    @job(resource_defs={"io_manager": keeping})
    def lossy():
        pair()
        drifting()

    stored(lossy, tmp_path)
    assert outcomes(verified(lossy, tmp_path, monkeypatch)) == {"pair": "SAME", "drifting": "DIFFERS"}


def wide(count: int) -> JobDefinition:
    @job
    def many():
        for number in range(count):
            wavering.alias(f"step_{number}")()

    return many


def test_a_sample_is_drawn_again_by_its_seed(tmp_path, monkeypatch) -> None:
    definition = wide(20)
    stored(definition, tmp_path)

    def drawn(**arguments: Any) -> set[str]:
        made = verified(definition, tmp_path, monkeypatch, **arguments)
        assert made.count(DIFFERS) + made.count(VerifyOutcome.NOT_SAMPLED) == 20
        return {key for key, step in made.steps.items() if step.outcome is DIFFERS}

    assert len(drawn(sample=0.1, seed=1)) == 2
    assert len(drawn(sample=0.001, seed=1)) == 1
    assert drawn(sample=0.3, seed=5) == drawn(sample=0.3, seed=5)
    assert len({frozenset(drawn(sample=0.1, seed=seed)) for seed in range(5)}) > 1
    assert drawn(sample=0.1, seed=5) < drawn(sample=0.3, seed=5)
    made = verified(definition, tmp_path, monkeypatch, sample=0.3)
    assert drawn(sample=0.3, seed=made.seed) == {key for key, step in made.steps.items() if step.outcome is DIFFERS}


@pytest.mark.parametrize("sample", [0.0, -1.0, 1.5, 10.0, float("nan")])
def test_a_sample_that_is_no_share_is_refused(tmp_path, sample) -> None:
    with pytest.raises(MemoError, match="give the share of the steps to run"):
        verify_job(mixed, instance=tmp_path, sample=sample)


def test_a_job_without_memoization_cannot_be_verified(tmp_path) -> None:
    with pytest.raises(MemoError, match="memoization off"):
        verify_job(mixed, instance=tmp_path, tags={MEMOIZED_RUN_TAG: "false"})


def test_each_step_is_told_as_it_is_known(tmp_path, monkeypatch) -> None:
    stored(mixed, tmp_path)
    told: list[str] = []
    verified(mixed, tmp_path, monkeypatch, on_step=lambda step: told.append(f"{step.key} {step.outcome}"))
    assert told == ["steady SAME", "wavering DIFFERS", "reading SAME"]
