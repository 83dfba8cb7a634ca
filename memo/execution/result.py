"""What a run gave: whether it succeeded, what happened, and every output, the reused ones too."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from memo.definition.step import FromJobInput, FromOutput, FromValue
from memo.errors import InvocationError, did_you_mean
from memo.events import ErrorInfo, Event, EventType, RunStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.executor import Address
    from memo.contracts.run_store import RunRecord
    from memo.definition.job import JobDefinition
    from memo.planning import Plan


class RunResult:
    """The result of a run.

    Attributes:
        record: The run as the catalog keeps it: id, status, times, tags, what became of each step.
        plan: What was decided before it ran.
        errors: The error of each step that failed.
    """

    def __init__(
        self,
        job: JobDefinition,
        plan: Plan,
        record: RunRecord,
        events: Iterable[Event],
        address_of: Callable[[FromOutput], Address | None],
        errors: Mapping[str, ErrorInfo],
        job_inputs: Mapping[str, Any],
        load: Callable[[Address], Any],
    ) -> None:
        self.job_def = job
        self.plan = plan
        self.record = record
        self._events = events
        self.errors = dict(errors)
        self._address_of = address_of
        self._job_inputs = job_inputs
        self._load = load

    def __repr__(self) -> str:
        return f"<run {self.run_id} of job {self.job_def.name!r}: {self.record.status}>"

    @property
    def success(self) -> bool:
        """Whether no step failed."""
        return self.record.status is RunStatus.SUCCESS

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.record.run_id

    @property
    def dagster_run(self) -> RunRecord:
        """The run's record, under the name that Dagster gives it."""
        return self.record

    def steps_with(self, *outcomes: str) -> list[str]:
        """The steps that ended so: `success`, `failure`, `reused`, `skipped`, `blocked`, `unneeded`, `canceled`."""
        return [key for key, (_, _, outcome) in self.record.steps.items() if outcome in outcomes]

    @property
    def executed(self) -> list[str]:
        """The steps whose ops ran to their end in this run."""
        return self.steps_with("success")

    @property
    def reused(self) -> list[str]:
        """The steps whose stored outputs were reused."""
        return self.steps_with("reused")

    def output_for_node(self, node_str: str, output_name: str = "result") -> Any:
        """Load the output of a step.

        Args:
            node_str: The step, dotted within graphs.
            output_name: The output.

        Raises:
            InvocationError: There is no such step or output, or it has no value in this run.
        """
        if node_str not in self.job_def.steps:
            raise InvocationError(
                f"job {self.job_def.name!r} has no step {node_str!r}.{did_you_mean(node_str, self.job_def.steps)}",
            )
        outs = self.job_def.steps[node_str].op.outs
        if output_name not in outs and output_name == "result" and len(outs) == 1:
            output_name = next(iter(outs))
        if output_name not in outs:
            raise InvocationError(f"step {node_str!r} has no output {output_name!r}.{did_you_mean(output_name, outs)}")
        address = self._address_of(FromOutput(node_str, output_name))
        if address is None:
            outcome = self.record.steps.get(node_str, ("", "", "not selected"))[2] or "not run"
            raise InvocationError(
                f"output {output_name!r} of step {node_str!r} has no value in this run: the step was {outcome}",
            )
        if address.kind == "skipped":
            raise InvocationError(f"output {output_name!r} of step {node_str!r} was not yielded in this run")
        return None if address.kind == "nothing" else self._load(address)

    def output_value(self, output_name: str = "result") -> Any:
        """Load an output of the job.

        Raises:
            InvocationError: The job has no such output, or it has no value in this run.
        """
        outputs = self.job_def.outputs
        if output_name not in outputs:
            raise InvocationError(
                f"job {self.job_def.name!r} has no output {output_name!r}: return it from the job's body."
                f"{did_you_mean(output_name, outputs)}",
            )
        source = outputs[output_name]
        if type(source) is FromOutput:
            return self.output_for_node(source.step, source.output)
        if type(source) is FromJobInput and source.name in self._job_inputs:
            return self._job_inputs[source.name]
        if type(source) is FromValue:
            return source.value
        raise InvocationError(
            f"output {output_name!r} of job {self.job_def.name!r} is an input of it that has no value in this run",
        )

    # Events

    @cached_property
    def all_events(self) -> tuple[Event, ...]:
        """Everything that happened, in order."""
        return tuple(self._events)

    def filter_events(self, event_filter: Callable[[Event], bool]) -> list[Event]:
        """The events for which a function is true."""
        return [event for event in self.all_events if event_filter(event)]

    @property
    def all_node_events(self) -> list[Event]:
        """The events of steps."""
        return [event for event in self.all_events if event.step_key is not None]

    def events_for_node(self, node_name: str) -> list[Event]:
        """The events of one step, or of the steps of a graph placed under this name."""
        return [
            event
            for event in self.all_node_events
            if event.step_key == node_name or str(event.step_key).startswith(f"{node_name}.")
        ]

    def is_node_success(self, node_str: str) -> bool:
        """Whether the step ran to its end, or was reused: its outputs are there."""
        return self._outcome(node_str) in {"success", "reused"}

    def is_node_reused(self, node_str: str) -> bool:
        """Whether the step's stored outputs were reused."""
        return self._outcome(node_str) == "reused"

    def is_node_failed(self, node_str: str) -> bool:
        """Whether the step failed."""
        return self._outcome(node_str) == "failure"

    def is_node_skipped(self, node_str: str) -> bool:
        """Whether the step was skipped, for want of an optional output."""
        return self._outcome(node_str) == "skipped"

    def is_node_untouched(self, node_str: str) -> bool:
        """Whether the step was never come to."""
        return self._outcome(node_str) in {"", "blocked", "unneeded"}

    def _outcome(self, node_str: str) -> str:
        return self.record.steps.get(node_str, ("", "", ""))[2]

    def get_failed_step_keys(self) -> set[str]:
        """The steps that failed."""
        return set(self.steps_with("failure"))

    def failure_data_for_node(self, node_str: str) -> ErrorInfo | None:
        """The error of a step, None where it did not fail."""
        return self.errors.get(node_str)

    def retry_attempts_for_node(self, node_str: str) -> int:
        """How many times a step was tried again."""
        return sum(event.kind is EventType.STEP_RESTARTED for event in self.events_for_node(node_str))

    def get_step_success_events(self) -> list[Event]:
        """The events of steps that ran to their end."""
        return self.filter_events(lambda event: event.kind is EventType.STEP_SUCCESS)

    def get_step_failure_events(self) -> list[Event]:
        """The events of steps that failed."""
        return self.filter_events(lambda event: event.kind is EventType.STEP_FAILURE)

    def get_step_skipped_events(self) -> list[Event]:
        """The events of steps that were skipped."""
        return self.filter_events(lambda event: event.kind is EventType.STEP_SKIPPED)

    def get_job_success_event(self) -> Event:
        """The event of the run's success.

        Raises:
            InvocationError: It did not succeed.
        """
        return self._only(EventType.RUN_SUCCESS)

    def get_job_failure_event(self) -> Event:
        """The event of the run's failure.

        Raises:
            InvocationError: It did not fail.
        """
        return self._only(EventType.RUN_FAILURE)

    def _only(self, kind: EventType) -> Event:
        found = self.filter_events(lambda event: event.kind is kind)
        if not found:
            raise InvocationError(f"run {self.run_id} has no event {kind}: it ended as {self.record.status}")
        return found[0]
