"""The IO managers of a run, asked and told in terms of steps: what is stored, store this, load that."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from time import time
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from msgspec import Struct
from msgspec.structs import replace

from memo.contracts.executor import Address
from memo.contracts.io_manager import InputContext, MemoizableIOManager, OutputContext, Provenance, run_log
from memo.contracts.run_store import OutputRecord
from memo.errors import OutputLostError
from memo.execution.environment import MARKERS
from memo.versioning import output_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from memo.contracts.executor import StepTask
    from memo.contracts.io_manager import IOManager
    from memo.contracts.sharing import Content, SharingIOManager
    from memo.definition.op import OpDefinition
    from memo.definition.ports import Out
    from memo.definition.step import Step
    from memo.execution.environment import RunEnvironment
    from memo.execution.resources import ResourceScope


_UNKNOWN = Provenance()


class MadeElsewhere(Struct, frozen=True):
    """What another home has made of a step, as it is in the shared place.

    Attributes:
        outputs: As they are recorded.
        run_id: The run that made them.
        seconds: How long the step's body took.
        started_at: Seconds since 1970.
        contexts: Of all that is stored of it, markers too.
        differs: Whether the home has any of it with another content.
    """

    outputs: tuple[OutputRecord, ...]
    run_id: str
    seconds: float
    started_at: float
    contexts: tuple[OutputContext, ...]
    differs: bool


_Output = tuple["Step", str, "Out", str]
"""Its step, its name, how it is declared, and the version of the step."""


_Shown: TypeAlias = "Callable[[Step, str, Out, str | None, str | None], OutputContext]"
"""Makes a step's output, by its name and as it is declared, of a version and a run, into what an IO manager sees."""


class _Asked(Sequence[OutputContext]):
    """The outputs that an IO manager is asked for: each made when it is looked at, as there may be as many as steps.

    Args:
        outputs: What they are made of.
        made: Makes one.
    """

    __slots__ = ("_made", "_outputs")

    def __init__(self, outputs: Sequence[_Output], made: Callable[[_Output], OutputContext]) -> None:
        self._outputs = outputs
        self._made = made

    def __len__(self) -> int:
        return len(self._outputs)

    def __iter__(self) -> Iterator[OutputContext]:
        return map(self._made, self._outputs)

    @overload
    def __getitem__(self, index: int) -> OutputContext: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[OutputContext]: ...
    def __getitem__(self, index: int | slice) -> OutputContext | Sequence[OutputContext]:
        if isinstance(index, slice):
            return _Asked(self._outputs[index], self._made)
        return self._made(self._outputs[index])


class StepStorage:
    """Stores, loads and looks for the outputs of steps, through the IO manager of each."""

    def __init__(self, environment: RunEnvironment, scope: ResourceScope) -> None:
        self._environment = environment
        self._scope = scope
        self._resources: dict[str, Any] = {}
        self._shown: dict[str, _Shown] = {}
        self._answering: dict[str, bool] = {}
        """Whether the IO manager of a key can say what it has stored."""
        self._sharing: dict[str, bool] = {}

    def sweep(self) -> None:
        """Have what killed runs left half-stored removed, by the IO managers that the plan needed."""
        for key, manager in self._scope.io_managers.items():
            try:
                manager.sweep()
            except Exception:  # noqa: BLE001 - an IO manager may be the user's; what it leaves lying is no failure
                run_log().warning("the IO manager %r could not remove what killed runs left", key, exc_info=True)

    # What planning asks

    def memoizable(self, op: OpDefinition) -> bool:
        """Whether every IO manager of the op's outputs can say what it has stored."""
        key = op.io_manager_key
        if key is not None:
            return self._answering[key] if key in self._answering else self._answers(key)
        return all(out.is_nothing or self._answers(out.io_manager_key) for out in op.outs.values())

    def _answers(self, key: str) -> bool:
        found = self._answering[key] = isinstance(self._scope.get(key), MemoizableIOManager)
        return found

    def is_shared(self, step: Step) -> bool:
        """Whether what the step stores can be loaded by other processes."""
        for out in step.op.outs.values():
            if out.is_nothing:
                continue
            key = out.io_manager_key
            shares = self._sharing.get(key)
            if shares is None:
                shares = self._sharing[key] = self._scope.get(key).shares_between_processes()
            if not shares:
                return False
        return True

    def stored(self, wanted: Sequence[tuple[Step, str]]) -> Sequence[bool]:
        """For each (step, step version), whether all its outputs are stored under that version.

        Every IO manager is asked once, for all of its outputs.
        """
        asked: dict[str, tuple[list[_Output], list[int]]] = {}
        optional: list[tuple[int, Step, str, str]] = []
        answers = [True] * len(wanted)
        for index, (step, version) in enumerate(wanted):
            for name, out in step.op.outs.items():
                key = out.io_manager_key
                if out.is_nothing:
                    key = MARKERS
                elif not out.is_required:
                    optional.append((index, step, name, version))
                    continue
                if key not in asked:
                    asked[key] = ([], [])
                outputs, indexes = asked[key]
                outputs.append((step, name, out, version))
                indexes.append(index)
        for key, (outputs, indexes) in asked.items():
            contexts = _Asked(outputs, self._asking(key))
            for index, there in zip(indexes, self._memoizable(key).has_outputs(contexts), strict=True):
                if not there:
                    answers[index] = False
        for index, step, name, version in optional:
            answers[index] = answers[index] and self._optional_stored(step, name, output_version(version, name))
        return answers

    def _asking(self, key: str) -> Callable[[_Output], OutputContext]:
        """What makes an output into what the IO manager of this key is asked for, without a run."""
        shown = self._shown_by(key)

        def asked_for(output: _Output) -> OutputContext:
            step, name, out, version = output
            return shown(step, name, out, output_version(version, name), None)

        return asked_for

    def _optional_stored(self, step: Step, name: str, version: str) -> bool:
        """Whether the marker of an optional output says that it was skipped, or it was yielded and is stored."""
        kind = self.optional_kind(step, name, version)
        if kind is None or kind == "skipped":
            return kind is not None
        out = step.op.outs[name]
        return bool(
            self._memoizable(out.io_manager_key).has_outputs([self.context(step, name, out, version=version)])[0]
        )

    def optional_kind(self, step: Step, name: str, version: str) -> str | None:
        """`value` or `skipped`, as the marker of an optional output says; None where there is no marker."""
        markers = self._memoizable(MARKERS)
        context = self.context(step, name, step.op.outs[name], version=version, marker=True)
        if not markers.has_outputs([context])[0]:
            return None
        try:
            return str(markers.load_input(InputContext(name, context)))
        except OutputLostError as lost:
            context.log.warning("%s", lost)
            return None

    def stored_digests(self, step: Step, version: str) -> Mapping[str, str | None]:
        """What the IO managers themselves know of the content of a stored step's outputs."""
        found: dict[str, str | None] = {}
        for name, out in step.op.outs.items():
            if out.is_nothing or not out.is_required:
                continue
            context = self.context(step, name, out, version=output_version(version, name))
            found[name] = self._memoizable(out.io_manager_key).content_digests([context])[0]
        return found

    def skipped_outputs(self, step: Step, version: str) -> frozenset[str]:
        """The optional outputs that a stored step did not yield."""
        return frozenset(
            name
            for name, out in step.op.outs.items()
            if not (out.is_required or out.is_nothing)
            and self.optional_kind(step, name, output_version(version, name)) == "skipped"
        )

    def addresses(self, step: Step, version: str) -> dict[str, Address]:
        """Where the outputs of a step are that is stored under this version."""
        found: dict[str, Address] = {}
        for name, out in step.op.outs.items():
            at, kind = output_version(version, name), "value"
            if out.is_nothing:
                kind = "nothing"
            elif not out.is_required:
                kind = self.optional_kind(step, name, at) or kind
            found[name] = Address(step.key, name, at, None, kind)
        return found

    # What running a step needs

    def store(
        self,
        step: Step,
        name: str,
        value: Any,
        task: StepTask,
        *,
        seconds: float,
        metadata: dict[str, Any],
        on_event: Callable[[str, dict[str, Any]], None],
        adopted_from: str | None = None,
    ) -> OutputRecord:
        """Store a value that a step gave, under the step's version or under the run."""
        out = step.op.outs[name]
        version = output_version(task.version, name) if task.version is not None else None
        digest = self._take_digest(value) if task.is_compared and not out.is_nothing else None
        provenance = self._provenance(task, seconds=seconds, adopted_from=adopted_from, content=digest)
        if out.is_nothing:
            return self._mark(step, name, task, replace(provenance, marks="nothing"))
        context = self.context(
            step,
            name,
            out,
            version=version,
            run_id=task.run_id,
            provenance=provenance,
            task=task,
            on_event=on_event,
        )
        if "pyarrow" in sys.modules:
            value = _watched_stream(value, context, digested=task.is_compared, seconds=seconds)
        manager: IOManager = self._scope.get(out.io_manager_key)
        returned = manager.handle_output(context, value)
        if type(returned) is GeneratorType:
            for each in returned:
                metadata.update(each)
        metadata.update(context.logged_metadata)
        mark = None
        if not out.is_required:
            mark = self._mark(step, name, task, replace(provenance, content_digest=None, marks="value"))
        stored = context.stored
        digest = context.provenance.content_digest
        if stored and stored.content_digest and task.is_compared:
            digest = stored.content_digest
        return OutputRecord(
            name,
            "value",
            version,
            digest,
            stored.size if stored else None,
            stored.digest if stored else None,
            stored.place if stored else None,
            out.io_manager_key,
            shared=stored is not None and stored.shared and (mark is None or mark.shared),
            replaced=stored is not None and stored.replaced,
        )

    @cached_property
    def _take_digest(self) -> Callable[[object], str | None]:
        from memo.content.digesting import take_digest  # which needs pickle: a run that stores nothing does not

        return take_digest

    def skip(self, step: Step, name: str, task: StepTask) -> OutputRecord:
        """Record that an optional output was not yielded."""
        return self._mark(step, name, task, replace(self._provenance(task), marks="skipped"))

    def _mark(self, step: Step, name: str, task: StepTask, provenance: Provenance) -> OutputRecord:
        version, kind, stored = None, provenance.marks, None
        assert kind is not None
        if task.version is not None:
            version = output_version(task.version, name)
            context = self.context(
                step,
                name,
                step.op.outs[name],
                version=version,
                run_id=task.run_id,
                provenance=provenance,
                marker=True,
                task=task,
            )
            self._memoizable(MARKERS).handle_output(context, kind)
            stored = context.stored
        return OutputRecord(
            name,
            kind,
            version,
            io_manager_key=MARKERS,
            digest=stored.digest if stored is not None and stored.shared else None,
            shared=stored is not None and stored.shared,
            replaced=stored is not None and stored.replaced,
        )

    def _provenance(
        self,
        task: StepTask,
        *,
        seconds: float | None = None,
        adopted_from: str | None = None,
        content: str | None = None,
    ) -> Provenance:
        """Where what a task gives comes from, as far as it is known before it is given."""
        return Provenance(
            self._environment.job.name,
            task.content_key,
            content_digest=content,
            seconds=seconds,
            created_at=time(),
            step_version=task.version,
            local_key=task.local_key,
            adopted_from=adopted_from,
        )

    def load(self, producer: Step, address: Address, reader: Step | None, input_name: str) -> Any:
        """Load a stored output, for an input of a step or for a result that is read from outside.

        Raises:
            OutputLostError: It is not whole, or gone.
        """
        name = address.output
        out = producer.op.outs[name]
        key = out.io_manager_key
        shown = self._shown_by(MARKERS if out.is_nothing else key)
        upstream = shown(producer, name, out, address.version, address.run_id)
        upstream.digest = address.digest
        if reader is not None:
            key = reader.op.ins[input_name].input_manager_key or key
        return self._load(key, upstream, reader, input_name)

    def load_from_elsewhere(self, key: str, reader: Step, input_name: str) -> Any:
        """Load an unconnected input through its input manager."""
        return self._load(key, None, reader, input_name)

    def _load(self, key: str, upstream: OutputContext | None, reader: Step | None, input_name: str) -> Any:
        manager: IOManager = self._scope.get(key)
        environment = self._environment
        config = environment.config
        resources, resource_config = self._resources_of(key), config.resources.get(key)
        job_name = environment.job.name
        if reader is None:
            context = InputContext(
                input_name, upstream, resources=resources, resource_config=resource_config, job_name=job_name
            )
        else:
            op = reader.op
            given, configs = op.ins[input_name], config.input_configs
            context = InputContext(
                input_name,
                upstream,
                reader.key,
                configs.get((reader.key, input_name)) if configs else None,
                given.metadata,
                given.dagster_type,
                op,
                resources,
                resource_config,
                job_name,
            )
        return manager.load_input(context)

    def context(
        self,
        step: Step,
        name: str,
        out: Out,
        *,
        version: str | None = None,
        run_id: str | None = None,
        provenance: Provenance = _UNKNOWN,
        marker: bool = False,
        task: StepTask | None = None,
        on_event: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> OutputContext:
        """One output of a step as IO managers see it."""
        key = MARKERS if marker or out.is_nothing else out.io_manager_key
        context = self._shown_by(key)(step, name, out, version, run_id)
        if marker and not out.is_nothing:
            context.name = name + ".marker"
        context.provenance = provenance
        context.on_event = on_event
        if task is not None:
            context.shares, context.replaces = task.shares, task.replaces
        return context

    def _shown_by(self, key: str) -> _Shown:
        """What makes an output into what the IO manager of this key is shown; planning does that of every output."""
        found = self._shown.get(key)
        if found is not None:
            return found
        environment = self._environment
        configs, resource_config = environment.config.output_configs, environment.config.resources.get(key)
        resources, job_name = self._resources_of(key), environment.job.name

        def shown(step: Step, name: str, out: Out, version: str | None, run_id: str | None) -> OutputContext:
            config = configs.get((step.key, name)) if configs else None
            return OutputContext(
                step.key,
                name,
                version,
                run_id,
                None,
                config,
                out.metadata,
                out.dagster_type,
                step.op,
                resources,
                resource_config,
                job_name,
            )

        self._shown[key] = shown
        return shown

    # What sharing needs

    def shares(self, step: Step) -> bool:
        """Whether all that the step stores goes through IO managers that share it."""
        return all(
            _as_sharing(self._scope.get(MARKERS if out.is_nothing else out.io_manager_key)) is not None
            for out in step.op.outs.values()
        )

    def share(self, step: Step, version: str) -> bool | None:
        """Put the stored outputs of a step into the shared place; see `SharingIOManager.share`."""
        answers: list[bool | None] = []
        for name, address in self.addresses(step, version).items():
            out = step.op.outs[name]
            if out.is_nothing or not out.is_required:
                answers.append(
                    self._share(MARKERS, self.context(step, name, out, version=address.version, marker=True))
                )
            if address.kind == "value":
                answers.append(self._share(out.io_manager_key, self.context(step, name, out, version=address.version)))
        return None if None in answers else all(answers)

    def _share(self, key: str, context: OutputContext) -> bool | None:
        manager = _as_sharing(self._scope.get(key))
        assert manager is not None
        return manager.share([context])

    def made_elsewhere(
        self, step: Step, version: str, content_key: str, *, of_one_run: bool = False
    ) -> MadeElsewhere | None:
        """What the shared place has of a step, if it was made of the same content.

        Args:
            step: The step.
            version: Its version.
            content_key: What it must have been made of.
            of_one_run: Whether all outputs must have been stored by one run.
        """
        manager = self.sharing
        assert manager is not None
        contexts: list[OutputContext] = []
        contents: list[Content] = []
        records: list[OutputRecord] = []
        for name, out in step.op.outs.items():
            kind, at = "value", output_version(version, name)
            for marker in [True] * (out.is_nothing or not out.is_required) + [False] * (not out.is_nothing):
                if kind == "skipped":
                    continue
                context = self.context(step, name, out, version=at, marker=marker)
                (found,) = manager.there([context])
                if found is None or found.content_key != content_key or marker is (found.marks is None):
                    return None
                contexts.append(context)
                contents.append(found)
                kind = found.marks or kind
            last = contents[-1]
            records.append(
                OutputRecord(
                    name,
                    kind,
                    at,
                    last.content_digest,
                    last.size if kind == "value" else None,
                    last.digest,
                    io_manager_key=out.io_manager_key if kind == "value" else MARKERS,
                    shared=True,
                )
            )
        runs = {content.run_id for content in contents}
        if of_one_run and (len(runs) > 1 or None in runs):
            return None
        differs = any(
            here is not None and not here.equals(there)
            for here, there in zip(manager.here(contexts), contents, strict=True)
        )
        seconds = max([content.seconds or 0.0 for content in contents], default=0.0)
        created_at = max([content.created_at or 0.0 for content in contents], default=0.0)
        return MadeElsewhere(
            tuple(records),
            next((content.run_id for content in contents if content.run_id), ""),
            seconds,
            created_at - seconds,
            tuple(contexts),
            differs,
        )

    def take_elsewhere(self, found: MadeElsewhere) -> None:
        """Let go of what the home has, so that what the shared place has counts."""
        assert self.sharing is not None
        self.sharing.forget_here(found.contexts)

    @property
    def sharing(self) -> SharingIOManager | None:
        """The IO manager that knows of all shared outputs, whichever stored them; None where nothing is shared."""
        return _as_sharing(self._scope.get(MARKERS))

    def _resources_of(self, key: str) -> Any:
        """What an IO manager's own definition requires, for the contexts it is shown."""
        if key not in self._resources:
            definition = self._environment.resource_defs[key]
            self._resources[key] = self._scope.namespace(definition.required_resource_keys, definition.where)
        return self._resources[key]

    def _memoizable(self, key: str) -> MemoizableIOManager:
        manager = self._scope.get(key)
        assert isinstance(manager, MemoizableIOManager)
        return manager


def _watched_stream(value: Any, context: OutputContext, *, digested: bool, seconds: float) -> Any:
    """A value; of a stream, one that tells what is known of it only at its end."""
    from memo.execution.streams import Digested, is_stream

    if not is_stream(value):
        return value
    provenance = context.provenance

    def tell() -> None:
        """At the stream's end, and so before the IO manager can say that it is stored."""
        spent = seconds + passing.seconds
        context.provenance = replace(provenance, content_digest=passing.content_digest, seconds=spent)

    passing = Digested(value, digested=digested, at_end=tell)
    return passing.stream


def _as_sharing(manager: object) -> SharingIOManager | None:
    """The IO manager, if it shares what it stores; as long as nobody has imported the contract, none does."""
    if "memo.contracts.sharing" not in sys.modules:
        return None
    from memo.contracts.sharing import SharingIOManager

    return manager if isinstance(manager, SharingIOManager) else None
