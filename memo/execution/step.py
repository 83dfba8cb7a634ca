"""One attempt of one step: load its inputs, call the op, hand its outputs over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import nullcontext
from contextvars import ContextVar
from time import perf_counter, time
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from memo.contracts.executor import Address, InputFrom, SourceValue, StepOutcome
from memo.definition.job import sources_of
from memo.definition.ports import Output
from memo.definition.retry_policy import Failure, RetryRequested
from memo.definition.step import (
    FromInputManager,
    FromJobInput,
    FromList,
    FromOutput,
    FromRunConfig,
    FromSource,
    FromValue,
)
from memo.definition.types import fits, type_name
from memo.definition.wires import snapshot
from memo.errors import ExecutionError, OutputLostError, SourceChangedError, did_you_mean
from memo.events import Event, EventType
from memo.execution.context import OpExecutionContext
from memo.execution.failures import error_info
from memo.execution.streams import guarded, is_stream
from memo.execution.watching import Watch
from memo.versioning import UNREACHED, looks_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from memo.contracts.executor import StepTask
    from memo.contracts.run_store import OutputRecord
    from memo.definition.source import Source
    from memo.definition.step import Origin, Step
    from memo.execution.environment import RunEnvironment
    from memo.execution.resources import ResourceScope
    from memo.execution.storage import StepStorage

_PLAIN = frozenset({bool, bytes, dict, float, int, list, str, tuple, type(None)})
"""Types of values that are neither waited for nor awaited one by one: asking that of the classes takes long."""

CURRENT: ContextVar[StepAttempt | None] = ContextVar("memo_step", default=None)
"""The attempt that is running, for what is logged meanwhile."""


def inputs_of(
    step: Step, addresses: Mapping[str, Mapping[str, Address]], sources: Mapping[Source, Any]
) -> dict[str, InputFrom]:
    """Where the inputs of a step that come from other steps or from external sources are to be had from.

    Args:
        step: The step.
        addresses: Where the outputs of every step above it are: step key -> {output: address}.
        sources: What every external source gave when the plan was made.
    """

    def member(origin: Origin) -> Address | SourceValue | None:
        if type(origin) is FromOutput:
            return addresses[origin.step][origin.output]
        return SourceValue(sources[origin.source]) if type(origin) is FromSource else None

    found: dict[str, InputFrom] = {}
    for name, origin in zip(step.op.input_names, step.origins, strict=True):
        if type(origin) is FromOutput:
            found[name] = InputFrom((addresses[origin.step][origin.output],))
        elif type(origin) is FromSource:
            found[name] = InputFrom((member(origin),))
        elif type(origin) is FromList:
            found[name] = InputFrom(tuple([member(each) for each in origin.members]))
    return found


class _LostInputError(Exception):
    """A stored value that this step reads turned out not to be whole."""

    def __init__(self, address: Address, error: OutputLostError) -> None:
        super().__init__(str(error))
        self.address = address


class StepAttempt:
    """Runs one task; what happens is told to `emit` as it happens."""

    def __init__(
        self,
        task: StepTask,
        environment: RunEnvironment,
        scope: ResourceScope,
        storage: StepStorage,
        emit: Callable[[Event], None],
    ) -> None:
        self.task = task
        self.environment = environment
        self.scope = scope
        self.storage = storage
        self.step: Step = environment.job.steps[task.step_key]
        self._emit = emit
        outer = CURRENT.get()
        self.within: tuple[str, ...] = (task.run_id, *outer.within) if outer is not None else (task.run_id,)
        """The run, and those by whose steps it was started in this process."""

    def run(self) -> StepOutcome:
        """Run the attempt. Nothing that an op, resource or IO manager raises leaves here, but a keyboard interrupt."""
        started, begun = time(), perf_counter()
        first = self.task.attempt == 0
        self.event(EventType.STEP_START if first else EventType.STEP_RESTARTED)
        token = CURRENT.set(self)
        outputs: list[OutputRecord] = []
        try:
            outputs = self._outputs()
        except _LostInputError as lost:
            return StepOutcome(
                self.task.step_key, self.task.attempt, "lost", lost=(lost.address,), error=error_info(lost)
            )
        except RetryRequested as request:
            return self._failed(
                request.__cause__ or request,
                "retry",
                started,
                begun,
                retry_after=request.seconds_to_wait,
                max_retries=request.max_retries,
            )
        except Failure as failure:
            return self._failed(failure, "failure", started, begun, allow_retries=failure.allow_retries)
        except SourceChangedError as changed:
            # The plan knows the source as it was: another attempt under it would fail in the same way.
            return self._failed(changed, "failure", started, begun, allow_retries=False)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - the user's op: whatever it raises fails the step, not the run
            return self._failed(error, "failure", started, begun)
        finally:
            CURRENT.reset(token)
        seconds = perf_counter() - begun
        self.event(EventType.STEP_SUCCESS, data={"seconds": seconds})
        return StepOutcome(
            self.task.step_key,
            self.task.attempt,
            "success",
            tuple(outputs),
            seconds=seconds,
            started_at=started,
        )

    def _failed(
        self,
        error: BaseException,
        kind: Any,
        started: float,
        begun: float,
        **more: Any,
    ) -> StepOutcome:
        return StepOutcome(
            self.task.step_key,
            self.task.attempt,
            kind,
            error=error_info(error),
            seconds=perf_counter() - begun,
            started_at=started,
            exception=error,
            **more,
        )

    def event(self, kind: EventType, message: str = "", data: dict[str, Any] | None = None) -> None:
        """Tell that something happened."""
        message = message if type(message) is str else str(message)
        task = self.task
        self._emit(Event(kind, task.run_id, time(), task.step_key, task.attempt, message, data or {}))

    def log_event(self, message: str, data: dict[str, Any]) -> None:
        """Tell what the user's code wants kept."""
        self.event(EventType.LOG, message, data)

    # Inputs

    def _inputs(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        op = self.step.op
        for name, source in zip(op.input_names, self.step.origins, strict=True):
            given = op.ins[name]
            if source is None or given.is_nothing:
                continue
            value = self._input(name, source)
            if given.dagster_type is not None and not fits(value, given.dagster_type):
                raise ExecutionError(
                    f"the input {name!r} must be {type_name(given.dagster_type)} and is {type(value).__name__}",
                    where=self.step.where,
                )
            values[name] = value
        return values

    def _input(self, name: str, source: Origin) -> Any:
        given = self.task.inputs.get(name)
        members = given.members if given is not None else ()
        if type(source) is FromList:
            pairs = zip(source.members, members, strict=True)
            return [
                self._given(name, origin, member)
                for origin, member in pairs
                if type(member) is not Address or member.kind == "value"
            ]
        return self._given(name, source, members[0] if members else None)

    def _given(self, name: str, origin: Any, member: Address | SourceValue | None) -> Any:
        if type(member) is Address:
            return self._loaded(name, member)
        return snapshot(member.value) if type(member) is SourceValue else self._constant(name, origin)

    def _loaded(self, name: str, address: Address) -> Any:
        try:
            value = self.storage.load(self.environment.job.steps[address.step_key], address, self.step, name)
        except OutputLostError as lost:
            raise _LostInputError(address, lost) from lost
        self.event(EventType.LOADED_INPUT, data={"input": name, "from": f"{address.step_key}.{address.output}"})
        return value

    def _constant(self, name: str, source: Any) -> Any:
        config = self.environment.config
        if type(source) is FromInputManager:
            return self.storage.load_from_elsewhere(source.key, self.step, name)
        if type(source) is FromValue:
            value = source.value
        elif type(source) is FromJobInput:
            value = config.job_inputs[source.name]
        else:
            assert type(source) is FromRunConfig
            value = config.inputs[self.step.key, name]
        # An op that changed the definition's own value would change the versions of the next plan.
        return snapshot(value)

    # The op

    def _outputs(self) -> list[OutputRecord]:
        op = self.step.op
        values = self._inputs()
        context = self._context()
        given: dict[str, Output[Any]] = {}
        self._refuse_unreached()
        begun = perf_counter()
        call = (context,) if context is not None else ()
        # Nothing is stored before the op has come to its end: what stands under its version must be what a run gives
        # that did not fail.
        with self._watch():
            for output in self._results(op.compute_fn(*call, **values)):
                if output.output_name in given:
                    raise ExecutionError(f"gave the output {output.output_name!r} twice", where=self.step.where)
                self._check_type(output)
                given[output.output_name] = output
        self._guard_streams(given)
        seconds = perf_counter() - begun
        self._check_sources()
        for name, out in op.outs.items():
            if name not in given and out.is_required and not out.is_nothing:
                raise ExecutionError(
                    f"ended without giving its output {name!r}; yield Output(value, {name!r}), "
                    f"or declare Out(is_required=False)",
                    where=self.step.where,
                )
        records: list[OutputRecord] = []
        for name, out in op.outs.items():
            if name in given or out.is_nothing:
                output = given.pop(name) if name in given else Output(None, name)
                records.append(self._hand_over(output, seconds, context))
            else:
                records.append(self.storage.skip(self.step, name, self.task))
        return records

    def _context(self) -> OpExecutionContext | None:
        """What the op is handed, where it takes it; the resources that it requires are made in any case."""
        op = self.step.op
        if not op.takes_context and not op.required_resource_keys:
            return None
        resources = self.scope.namespace(op.required_resource_keys, self.step)
        if not op.takes_context:
            return None
        return OpExecutionContext(
            op_def=op,
            op_config=self.environment.config.ops.get(self.step.key),
            resources=resources,
            step_key=self.step.key,
            environment=self.environment,
            retry_number=self.task.attempt,
            tags=self.step.tags,
            on_event=self.log_event,
        )

    def _guard_streams(self, given: dict[str, Output[Any]]) -> None:
        """Do around the batches of streams, which are made while they are stored, what is done around the op.

        Args:
            given: The outputs; streams among them are replaced.
        """
        streams = {name: output for name, output in given.items() if is_stream(output.value)}
        if not streams:
            return
        if len({id(output.value) for output in streams.values()}) < len(streams):
            raise ExecutionError(
                f"gave one stream as {' and '.join(map(repr, streams))}, and a stream can be read once only: "
                f"make one for each, or return a table",
                where=self.step.where,
            )
        for name, output in streams.items():
            stream = guarded(output.value, self._watch(), self._check_sources)
            given[name] = Output(stream, name, output.metadata)

    def _watch(self) -> AbstractContextManager[object]:
        """Watch what the op reads, where its version is made of its code and not its author's word."""
        if self.task.op_version is None or self.step.op.version is not None:
            return nullcontext()
        return Watch(self)

    def _refuse_unreached(self) -> None:
        """Refuse to run on what was last known of a source: what comes of it would stand for what the source holds.

        Raises:
            SourceChangedError: A source could not be reached when the plan was made.
        """
        if UNREACHED in self.task.looks:
            source = sources_of(self.step, self.environment.resource_defs)[self.task.looks.index(UNREACHED)]
            raise SourceChangedError(
                f"the source {source.name!r} cannot be reached: what is stored is reused as last known, but this "
                f"step has to run; run again when the source is there",
                where=self.step.where,
            )

    def _check_sources(self) -> None:
        """Refuse what was read of sources that changed meanwhile: it is neither what was planned nor what is there.

        Raises:
            SourceChangedError: One looks other than when the plan was made.
        """
        if not any(self.task.looks):
            return
        sources = sources_of(self.step, self.environment.resource_defs)
        for source, planned in zip(sources, self.task.looks, strict=True):
            if planned and looks_now(source, self.environment.folder) != planned:
                raise SourceChangedError(
                    f"the source {source.name!r} was changed while the run went on, by a step or from outside; nothing "
                    f"of this step is stored: run again, and let no step write into what it depends on",
                    where=self.step.where,
                )

    def _results(self, returned: Any) -> Iterable[Output[Any]]:
        """Read what the op's function gave as outputs by name.

        What it gave decides, not how it is written: a decorator around it may have waited for it, or made a list of it.
        """
        if type(returned) in _PLAIN:
            yields = self.step.op.is_generator
        elif isinstance(returned, (Awaitable, AsyncIterator)):
            from memo.execution.asynchronous import finished

            yields = isinstance(returned, AsyncIterator)
            returned = finished(returned)
        else:
            yields = type(returned) is GeneratorType or self.step.op.is_generator
        if yields and isinstance(returned, Iterable):
            return map(self._named, returned)
        return self._returned(returned)

    def _named(self, given: Any) -> Output[Any]:
        outs = self.step.op.outs
        if not isinstance(given, Output):
            raise ExecutionError(
                f"yielded {type(given).__name__}; an op that is a generator yields Output(value, name)",
                where=self.step.where,
            )
        name = given.output_name
        if name not in outs and name == "result" and len(outs) == 1:
            name = next(iter(outs))
        if name not in outs:
            raise ExecutionError(
                f"gave the output {name!r}, which it does not declare.{did_you_mean(name, outs)}",
                where=self.step.where,
            )
        return given if name == given.output_name else Output(given.value, name, given.metadata)

    def _returned(self, value: Any) -> list[Output[Any]]:
        outs = self.step.op.outs
        if isinstance(value, Output):
            return [self._named(value)]
        carrying = [name for name, out in outs.items() if not out.is_nothing]
        if not carrying:
            if value is not None:
                raise ExecutionError(
                    f"returned {type(value).__name__}, and its outputs carry no value: annotate what it returns, "
                    f"or return nothing",
                    where=self.step.where,
                )
            return []
        if len(carrying) == 1:
            return [Output(value, carrying[0])]
        if value is None and all(not outs[name].is_required for name in carrying):
            return []
        if not isinstance(value, tuple) or len(value) != len(carrying):
            got = f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
            raise ExecutionError(
                f"returned {got} and has {len(carrying)} outputs ({', '.join(carrying)}): "
                f"return a tuple in their order, or yield Output(value, name)",
                where=self.step.where,
            )
        return [
            self._named(each) if isinstance(each, Output) else Output(each, name)
            for name, each in zip(carrying, value, strict=True)
        ]

    def _check_type(self, output: Output[Any]) -> None:
        expected = self.step.op.outs[output.output_name].dagster_type
        if expected is not None and not fits(output.value, expected):
            raise ExecutionError(
                f"the output {output.output_name!r} must be {type_name(expected)} and is {type(output.value).__name__}",
                where=self.step.where,
            )

    def _hand_over(self, output: Output[Any], seconds: float, context: OpExecutionContext | None) -> OutputRecord:
        name, value = output.output_name, output.value
        added = context.get_output_metadata(name) if context is not None else None
        metadata = {**added, **output.metadata} if added else dict(output.metadata)
        record = self.storage.store(
            self.step,
            name,
            value,
            self.task,
            seconds=seconds,
            metadata=metadata,
            on_event=self.log_event,
        )
        data: dict[str, Any] = {"output": name, "kind": record.kind}
        if record.version is not None:
            data["version"] = record.version
        if record.size is not None:
            data["bytes"] = record.size
        if metadata:
            data["metadata"] = {key: _keepable(each) for key, each in metadata.items()}
        self.event(EventType.HANDLED_OUTPUT, data=data)
        return record


def _keepable(value: Any) -> Any:
    """A fact as the catalog can keep it: plain data as it is, anything else as its text."""
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [_keepable(each) for each in value]
    if isinstance(value, dict):
        return {str(key): _keepable(each) for key, each in value.items()}
    return str(value)
