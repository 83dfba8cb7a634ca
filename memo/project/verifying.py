"""Running stored steps again, to see whether they give again what is stored."""

from __future__ import annotations

from enum import StrEnum
from time import sleep
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from memo.content import content_digest
from memo.content.comparing import Difference, Incomparable, first_difference
from memo.contracts.executor import StepTask
from memo.contracts.run_store import OutputRecord
from memo.definition.names import check_tags
from memo.definition.selection import select_steps
from memo.errors import DefinitionError, HomeError, InvocationError
from memo.execution.logs import RunLog
from memo.execution.retries import retry_after
from memo.execution.step import StepAttempt, inputs_of
from memo.execution.storage import StepStorage
from memo.execution.streams import is_stream
from memo.hashing import digest
from memo.planning import Reason, Verdict
from memo.project.home import Home, opened_home
from memo.project.preparing import Prepared, Wish, prepare, selection_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.executor import Address, StepOutcome
    from memo.contracts.io_manager import IOManager
    from memo.definition.job import JobDefinition
    from memo.definition.step import Step
    from memo.events import Event

__all__ = ["OutputVerification", "StepVerification", "Verification", "VerifyOutcome", "verify_job"]


class VerifyOutcome(StrEnum):
    """What came of a step that was to be verified; the closed set."""

    SAME = "SAME"
    """It gave again what is stored."""
    DIFFERS = "DIFFERS"
    """It gave something else: its op is not deterministic, or reads what its version does not know of."""
    FAILED = "FAILED"
    """It was stored, and fails now."""
    NOT_COMPARABLE = "NOT_COMPARABLE"
    """It ran, and of a part of what it gave nothing can say whether it is equal."""
    NOT_STORED = "NOT_STORED"
    """It did not run: its outputs, or what it reads, are not stored."""
    NO_VALUE = "NO_VALUE"
    """It did not run: its outputs carry no value that could be compared."""
    NOT_SAMPLED = "NOT_SAMPLED"
    """It did not run: it is not in the sample."""


class OutputVerification(Struct, frozen=True):
    """An output that did not come out as it is stored, or of which that cannot be said.

    Attributes:
        output: Its name.
        path: Where in the value: ``["trips"][3].name``, ``column 'fare' row 3``; empty for the value itself.
        what: What differs there: ``value``, ``type``, ``length`` and the like; empty where it cannot be compared.
        stored: What is stored there, shortened.
        given: What came of running it again, shortened.
        not_comparable: Why it cannot be compared; None where it differs.
    """

    output: str
    path: str
    what: str = ""
    stored: str = ""
    given: str = ""
    not_comparable: str | None = None

    def __str__(self) -> str:
        head = f"output {self.output!r}"
        if self.not_comparable is not None:
            return f"{head}: {Incomparable(self.path, self.not_comparable)}"
        return f"{head}: {Difference(self.path, self.what, self.stored, self.given)}"


class StepVerification(Struct, frozen=True):
    """What came of one step.

    Attributes:
        op_name: Of the op.
        location: Where the op stands, as ``file:line``.
        detail: Why it did not run, or with what it failed.
        outputs: Those that did not come out as they are stored.
        seconds: How long its body took; None where it did not run.
        vouched: `adopted` or `accepted` where it is somebody's word that what is stored is what the step gives; else
            empty.
    """

    key: str
    outcome: VerifyOutcome
    op_name: str
    location: str
    detail: str = ""
    outputs: tuple[OutputVerification, ...] = ()
    seconds: float | None = None
    vouched: Literal["adopted", "accepted", ""] = ""


class Verification(Struct, frozen=True):
    """What came of running the stored steps of a job again.

    Attributes:
        steps: Every selected step, in topological order.
        sample: The share of the steps that could be run which was.
        seed: What the sample was drawn with.
    """

    job_name: str
    steps: dict[str, StepVerification]
    sample: float
    seed: int

    def count(self, outcome: VerifyOutcome) -> int:
        """How many steps came out so."""
        return sum(step.outcome is outcome for step in self.steps.values())

    @property
    def success(self) -> bool:
        """Whether no step that ran gave something else or failed."""
        return not self.count(VerifyOutcome.DIFFERS) and not self.count(VerifyOutcome.FAILED)

    @property
    def nondeterministic_ops(self) -> tuple[tuple[str, str], ...]:
        """The ops that gave something else than before, each with its ``file:line``.

        Those are not among them that gave something else than what was adopted, or accepted as equal.
        """
        differing = [step for step in self.steps.values() if step.outcome is VerifyOutcome.DIFFERS and not step.vouched]
        return tuple(dict.fromkeys((step.op_name, step.location) for step in differing))


def verify_job(
    job: JobDefinition,
    *,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    op_selection: Iterable[str] | str | None = None,
    sample: float = 1.0,
    seed: int | None = None,
    input_values: Mapping[str, Any] | None = None,
    instance: Home | str | os.PathLike[str] | None = None,
    on_step: Callable[[StepVerification], None] | None = None,
) -> Verification:
    """Run stored steps of a job again, each with its stored inputs, and compare what they give with what is stored.

    Nothing is stored, and nothing recorded but that outputs that were adopted are what their step gives: what a step
    gives is compared when it gives it, and no IO manager is handed it. What the ops themselves write elsewhere, they
    write again. The steps run one after another, in this process.

    What has the digest that was recorded when the step ran is the same. Anything else is compared with what the IO
    manager loads: by its digest, then part by part. Instances of the user's own classes have no digest; an IO manager
    that gives them back as something else makes them differ.

    Args:
        job: The job.
        run_config: Config for ops and resources, as it was when the steps ran.
        tags: Of the run in which the steps run again.
        op_selection: Which steps; all where left out.
        sample: The share of the steps that are stored which are to run, above 0 and up to 1; at least one runs.
        seed: Draws the same sample again; chosen at random where left out.
        input_values: Values for the job's inputs.
        instance: The home; found from the current folder where left out.
        on_step: Told what came of each step as soon as it is known.

    Returns:
        What came of each step: ``verification.steps[key].outcome``, and where its outputs first differ.

    Raises:
        InvocationError: The sample is no share.
        MemoError: The config, the selection, a version or an IO manager is not as it must be.

    >>> verify_job(daily, sample=0.1).nondeterministic_ops  # doctest: +SKIP
    (('split', 'flights.py:40'),)
    """
    if not 0.0 < sample <= 1.0:
        raise InvocationError(f"the sample is {sample!r}; give the share of the steps to run, above 0 and up to 1")
    wish = Wish(run_config, check_tags(tags, job.where), None, input_values=input_values, memoize_by_default=True)
    chosen = selection_of(op_selection)
    selected = frozenset(job.steps) if chosen is None else select_steps(job.steps, chosen)
    if seed is None:
        from secrets import randbits

        seed = randbits(32)
    # All steps are planned, so that it is known where those are stored that the selected ones read.
    with opened_home(instance) as home, prepare(job, wish, home=home) as prepared, RunLog():
        if not prepared.plan.memoized:
            raise DefinitionError(
                "its tags turn memoization off, so that nothing is stored that could be verified; leave the tag out",
                where=job.where,
            )
        verifier = _Verifier(job, prepared, home)
        sampled = _sample([key for key in job.steps if key in selected and key in verifier.runnable], sample, seed)
        found: dict[str, StepVerification] = {}
        for key in (key for key in job.steps if key in selected):
            found[key] = verifier.verify(key, sampled)
            if on_step is not None:
                on_step(found[key])
    return Verification(job.name, found, sample, seed)


def _sample(keys: list[str], share: float, seed: int) -> frozenset[str]:
    """Draw a share of some steps. Which is drawn of two does not hang on what other steps there are."""
    drawn = sorted(keys, key=lambda key: digest("verify", str(seed), key))
    return frozenset(drawn[: max(1, round(share * len(keys)))])


class _Verifier:
    """Runs the stored steps of a job."""

    def __init__(self, job: JobDefinition, prepared: Prepared, home: Home) -> None:
        self._job = job
        self._prepared = prepared
        self._store = home.catalog
        self._adopted = home.catalog.adopted()
        self._addresses: dict[str, Mapping[str, Address]] = {}
        assert prepared.history is not None
        reused = {
            key: step.stored_as
            for key, step in prepared.plan.steps.items()
            if step.verdict is Verdict.REUSE and step.stored_as is not None
        }
        for key, version in reused.items():
            self._addresses[key] = prepared.storage.addresses(job.steps[key], version)
        digests = prepared.history.content_digests(list(dict.fromkeys(reused.values())))
        self._digests = {key: digests.get(version, {}) for key, version in reused.items()}
        self._idle = {key: idle for key in job.steps if (idle := self._why_not(key)) is not None}
        self.runnable = frozenset(job.steps) - self._idle.keys()

    def verify(self, key: str, sampled: frozenset[str]) -> StepVerification:
        """Run a step again if it can be and is in the sample."""
        idle = self._idle.get(key)
        if idle is not None:
            return self._verification(key, *idle)
        if key not in sampled:
            return self._verification(key, VerifyOutcome.NOT_SAMPLED)
        return self._run(key)

    def _why_not(self, key: str) -> tuple[VerifyOutcome, str] | None:
        """Why a step cannot be run again, or there is no reason to."""
        step, plan = self._job.steps[key], self._prepared.plan.steps[key]
        if plan.reason is Reason.UPSTREAM_RUNS:
            return VerifyOutcome.NOT_STORED, f"its input from {plan.detail!r} is not known before that has run"
        if key not in self._addresses:
            return VerifyOutcome.NOT_STORED, f"{plan.reason.value}: {plan.detail}" if plan.detail else plan.reason.value
        missing = next((parent for parent in step.parents() if parent not in self._addresses), None)
        if missing is not None:
            return VerifyOutcome.NOT_STORED, f"the output of {missing!r}, which it reads, is not stored"
        if all(out.is_nothing for out in step.op.outs.values()):
            return VerifyOutcome.NO_VALUE, "its outputs are of type Nothing"
        return None

    def _verification(self, key: str, outcome: VerifyOutcome, detail: str = "", **more: Any) -> StepVerification:
        op = self._job.steps[key].op
        return StepVerification(key, outcome, op.name, op.location, detail, vouched=self._vouched(key), **more)

    def _vouched(self, key: str) -> Literal["adopted", "accepted", ""]:
        """Whose word it is that what is stored is what the step gives."""
        planned = self._prepared.plan.steps[key]
        if planned.stored_as in self._adopted:
            return "adopted"
        return "accepted" if planned.reason is Reason.ACCEPTED else ""

    def _end_adoption(self, key: str) -> str:
        """Record of outputs that were adopted that they are what the step gives; say what became of it."""
        version = self._prepared.plan.steps[key].stored_as
        if version is None or version not in self._adopted:
            return ""
        try:
            self._store.verified(version)
        except HomeError as error:
            return f"what was adopted is what it gives, which cannot be recorded: {error}"
        return "what was adopted is what it gives: verified"

    def _run(self, key: str) -> StepVerification:
        storage, outcome = self._attempts(key)
        if outcome.kind == "success":
            differing = [output for output in storage.found if output.not_comparable is None]
            kind = VerifyOutcome.DIFFERS if differing else VerifyOutcome.NOT_COMPARABLE
            if not storage.found:
                return self._verification(key, VerifyOutcome.SAME, self._end_adoption(key), seconds=outcome.seconds)
            return self._verification(key, kind, outputs=tuple(storage.found), seconds=outcome.seconds)
        assert outcome.error is not None
        if outcome.kind == "lost":
            return self._verification(key, VerifyOutcome.NOT_STORED, outcome.error.message)
        message = f"{outcome.error.kind}: {outcome.error.message}"
        return self._verification(key, VerifyOutcome.FAILED, message, seconds=outcome.seconds)

    def _attempts(self, key: str) -> tuple[_ComparingStorage, StepOutcome]:
        """Run a step until it succeeds, or as often as its retry policy allows."""
        environment, scope = self._prepared.environment, self._prepared.scope
        step = self._job.steps[key]
        policy = step.retry_policy or self._job.op_retry_policy
        plan = self._prepared.plan
        assert plan.versions is not None
        task = StepTask(
            environment.run_id,
            key,
            inputs=inputs_of(step, self._addresses, plan.sources),
            looks=plan.versions.looks(key),
        )
        while True:
            storage = _ComparingStorage(environment, scope, self._addresses[key], self._digests[key])
            outcome = StepAttempt(task, environment, scope, storage, _unheard).run()
            if outcome.kind in {"success", "lost"}:
                return storage, outcome
            wait = retry_after(outcome, policy).after
            if wait is None:
                return storage, outcome
            sleep(wait)
            task = replace(task, attempt=task.attempt + 1)


class _ComparingStorage(StepStorage):
    """Loads what steps read from where it is stored, and compares what one step gives instead of storing it.

    Attributes:
        found: The outputs that are not as they are stored.
    """

    def __init__(
        self,
        environment: Any,
        scope: Any,
        addresses: Mapping[str, Address],
        digests: Mapping[str, str | None],
    ) -> None:
        super().__init__(environment, scope)
        self._stored = addresses
        self._digests = digests
        self.found: list[OutputVerification] = []

    def store(
        self,
        step: Step,
        name: str,
        value: Any,
        task: StepTask,  # noqa: ARG002 - what is not stored needs none of these
        *,
        seconds: float,  # noqa: ARG002
        metadata: dict[str, Any],  # noqa: ARG002
        on_event: Callable[[str, dict[str, Any]], None],  # noqa: ARG002
        adopted_from: str | None = None,  # noqa: ARG002
    ) -> OutputRecord:
        """Compare a value with the one that is stored."""
        kind = self._stored[name].kind
        if kind == "skipped":
            self.found.append(OutputVerification(name, "", "output", "not yielded", "yielded"))
        elif kind == "value":
            self._compare(step, name, value)
        return OutputRecord(name, kind)

    def skip(self, step: Step, name: str, task: StepTask) -> OutputRecord:  # noqa: ARG002 - as above
        """Compare an output that was not yielded with what is stored."""
        if self._stored[name].kind != "skipped":
            self.found.append(OutputVerification(name, "", "output", "yielded", "not yielded"))
        return OutputRecord(name, "skipped")

    def _compare(self, step: Step, name: str, value: Any) -> None:
        if is_stream(value):
            value = value.read_all()
        told = self._stands_for(step, name, value)
        now = told or content_digest(value)
        if now is not None and now == self._digests.get(name):
            return
        try:
            stored = self.load(step, self._stored[name], None, name)
        except Exception as error:  # noqa: BLE001 - the user's IO manager and classes: whatever they raise, nothing is loaded
            why = f"what is stored cannot be loaded ({type(error).__name__}: {error})"
            self.found.append(OutputVerification(name, "", not_comparable=why))
            return
        if is_stream(stored):
            stored = stored.read_all()
        if now is not None and now == (self._stands_for(step, name, stored) or content_digest(stored)):
            return
        if told is not None:
            self.found.append(OutputVerification(name, "", "content", str(stored), str(value)))
            return
        found = first_difference(stored, value)
        if found is not None and now is None:
            found = first_difference(stored, _pickled(value))
        if isinstance(found, Difference):
            self.found.append(OutputVerification(name, found.path, found.what, found.stored, found.given))
        elif found is not None:
            self.found.append(OutputVerification(name, found.path, not_comparable=found.why))

    def _stands_for(self, step: Step, name: str, value: Any) -> str | None:
        out = step.op.outs[name]
        manager: IOManager = self._scope.get(out.io_manager_key)
        return manager.content_digest_of(self.context(step, name, out), value)


def _pickled(value: Any) -> Any:
    """A value as it comes back from pickle, which may leave out what it holds for itself alone, as caches."""
    import pickle

    try:
        return pickle.loads(pickle.dumps(value, protocol=5))  # noqa: S301 - what was written a moment before
    except Exception:  # noqa: BLE001 - whatever a strange object raises: it is compared as it is
        return value


def _unheard(_event: Event) -> None:
    """Tell nobody."""
