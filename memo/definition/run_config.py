"""A run's config, checked against everything the job declares, with defaults filled in."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from memo.definition.config import ABSENT, resolve_into
from memo.definition.config_resolving import EnvironmentValue, taken_from_environment
from memo.definition.config_types import FieldType, NoneableType, SelectorType, ShapeType
from memo.definition.ports import DEFAULT_IO_MANAGER_KEY, NO_VALUE
from memo.definition.resource import IOManagerDefinition
from memo.definition.source import source_within
from memo.definition.step import FromInputManager, FromJobInput, FromList, FromRunConfig, config_path
from memo.definition.types import fits, type_name
from memo.errors import ConfigError, ConfigProblem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from memo.definition.config import ConfigType
    from memo.definition.job import JobDefinition
    from memo.definition.op import OpDefinition
    from memo.definition.resource import ResourceDefinition
    from memo.definition.step import Origin, Step


class RunConfig(Struct, frozen=True):
    """The config of one run, resolved.

    Attributes:
        ops: Step key -> what ``context.op_config`` is; steps without config are not in it.
        resources: Resource key -> its config.
        inputs: (step key, input) -> the value of an unconnected input: as given, or its default.
        job_inputs: Values of the job's own inputs.
        input_configs: (step key, input) -> the config for the IO manager that loads it.
        output_configs: (step key, output) -> the config for the IO manager that stores it.
        executor: Settings of the executor.
        environment: (``ops``, step key) or (``resources``, resource key) -> what of its config came from the
            environment.
    """

    ops: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    inputs: dict[tuple[str, str], Any] = field(default_factory=dict)
    job_inputs: dict[str, Any] = field(default_factory=dict)
    input_configs: dict[tuple[str, str], Any] = field(default_factory=dict)
    output_configs: dict[tuple[str, str], Any] = field(default_factory=dict)
    executor: dict[str, Any] = field(default_factory=dict)
    environment: dict[tuple[str, str], tuple[EnvironmentValue, ...]] = field(default_factory=dict)


ROOTS = ("ops", "resources", "inputs", "execution")


_Path = tuple[str, ...]


def merged(under: Any, over: Any, *, choices: Collection[_Path] = (), at: _Path = ()) -> Any:
    """Lay one config over another: dicts are merged key by key, anything else is replaced.

    Args:
        under: The config that gives way.
        over: The one that is laid over it.
        choices: The paths of dicts that choose one of several entries: another choice takes the place of the first.
        at: The path of both.
    """
    if not isinstance(under, dict) or not isinstance(over, dict) or (at in choices and under.keys() != over.keys()):
        return over
    found = dict(under)
    for key, value in over.items():
        inner = (*at, str(key))
        found[key] = merged(under[key], value, choices=choices, at=inner) if key in under else value
    return found


def _choices(job: JobDefinition, resource_defs: Mapping[str, ResourceDefinition]) -> frozenset[_Path]:
    """Where a run config of this job chooses one of several entries."""
    found: set[_Path] = set()
    for step in job.steps.values():
        if step.op.config_schema is not None:
            found.update(_choices_in(step.op.config_schema, (*step.config_path.split("."), "config")))
    for key, definition in resource_defs.items():
        if definition.config_schema is not None:
            found.update(_choices_in(definition.config_schema, ("resources", key, "config")))
    return frozenset(found)


def _choices_in(schema: ConfigType, at: _Path) -> Iterator[_Path]:
    if isinstance(schema, FieldType | NoneableType):
        yield from _choices_in(schema.inner, at)
    elif isinstance(schema, ShapeType | SelectorType):
        if isinstance(schema, SelectorType):
            yield at
        for name, entry in schema.fields.items():
            yield from _choices_in(entry, (*at, name))


def resolve_run_config(
    job: JobDefinition,
    resource_defs: Mapping[str, ResourceDefinition],
    run_config: Any = None,
    input_values: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Check a run config, laid over the job's own, and fill in the defaults.

    Args:
        job: The job.
        resource_defs: The job's, with the engine's defaults.
        run_config: As the user gave it.
        input_values: Values for the job's inputs, given in Python.

    Raises:
        ConfigError: With every problem, each with its path.
    """
    given = {} if run_config is None else run_config
    if job.config:
        given = merged(job.config, given, choices=_choices(job, resource_defs) if given else frozenset())
    resolving = _Resolving(_Sections(job, resource_defs, given), input_values or {})
    found = resolving.run()
    if resolving.problems:
        raise ConfigError(resolving.problems, where=f"job {job.name!r}")
    return found


def unknown_entries(job: JobDefinition, run_config: Any) -> list[ConfigProblem]:
    """What in a run config names nothing in the job; for a default config, which need not be whole."""
    return _Sections(job, job.resource_defs, run_config).problems


class _Sections:
    """A run config taken apart into what belongs to each resource, placed op and placed graph.

    Attributes:
        ops: Step key -> its section: ``config``, ``inputs``, ``outputs``.
        graphs: Key of a placed graph -> the values it gives for that graph's unconnected inputs.
        problems: Entries that name nothing, and sections that are no dicts.
    """

    def __init__(self, job: JobDefinition, resource_defs: Mapping[str, ResourceDefinition], given: Any) -> None:
        self.job = job
        self.resource_defs = resource_defs
        self.problems: list[ConfigProblem] = []
        self.ops: dict[str, dict[str, Any]] = {}
        self.graphs: dict[str, dict[str, Any]] = {}
        root = self.section(given, "", ROOTS)
        execution = self.section(root.get("execution"), "execution", ("config",))
        self.executor = self.section(execution.get("config"), "execution.config", ("max_concurrent",))
        self.inputs = self.section(root.get("inputs"), "inputs", job.graph.input_names)
        resources = self.section(root.get("resources"), "resources", (*resource_defs, DEFAULT_IO_MANAGER_KEY))
        self.resources = {key: self.section(each, f"resources.{key}", ("config",)) for key, each in resources.items()}
        if root.get("ops") is not None:
            self._walk(root["ops"], self._tree(), "", "ops")

    def section(self, value: Any, path: str, known: Collection[str]) -> dict[str, Any]:
        """The entries of a section that may be there; the others are problems."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            expected = ", ".join(sorted(known)[:8]) or "no entries"
            message = f"must be a dict with {expected}, and is {reprlib.repr(value)}"
            self.problems.append(ConfigProblem(path, message))
            return {}
        found: dict[str, Any] = {}
        for key, each in value.items():
            if key in known:
                found[key] = each
            else:
                hint = did_you_mean(str(key), known) or " Nothing is expected here."
                self.problems.append(ConfigProblem(_join(path, key), f"unexpected config entry.{hint}"))
        return found

    def _tree(self) -> dict[str, Any]:
        tree: dict[str, Any] = {}
        for key in self.job.steps:
            here = tree
            *graphs, leaf = key.split(".")
            for each in graphs:
                here = here.setdefault(each, {})
            here[leaf] = None
        return tree

    def _walk(self, section: Any, known: dict[str, Any], prefix: str, path: str) -> None:
        for name, inner in self.section(section, path, known).items():
            key, at = prefix + name, f"{path}.{name}"
            if known[name] is None:
                self.ops[key] = self.section(inner, at, ("config", "inputs", "outputs"))
                continue
            parts = self.section(inner, at, ("ops", "inputs"))
            if parts.get("inputs") is not None:
                self.graphs[key] = self.section(parts["inputs"], f"{at}.inputs", self._inputs_of_graph(key))
            self._walk(parts.get("ops"), known[name], f"{key}.", f"{at}.ops")

    def _inputs_of_graph(self, key: str) -> set[str]:
        return {
            source.name
            for step in self.job.steps.values()
            if step.key.startswith(f"{key}.")
            for source in step.origins
            if type(source) is FromRunConfig and source.graph == key
        }


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


class _Resolving:
    """The state of one pass over a job."""

    def __init__(self, sections: _Sections, input_values: Mapping[str, Any]) -> None:
        self.sections = sections
        self.job = sections.job
        self.resource_defs = sections.resource_defs
        self.problems = sections.problems
        self.found = RunConfig(executor=sections.executor)
        given = {name: _value(each) for name, each in sections.inputs.items()}
        self.job_inputs = {**self.job.input_values, **given, **input_values}
        self._input_values = input_values
        self._missing: set[str] = set()
        self._output_schemas = {
            key: definition.output_config_schema
            for key, definition in self.resource_defs.items()
            if isinstance(definition, IOManagerDefinition) and definition.output_config_schema is not None
        }

    def run(self) -> RunConfig:
        self._executor()
        for key, definition in self.resource_defs.items():
            given = self.sections.resources.get(key, {}).get("config", ABSENT)
            self._collect(definition, given, f"resources.{key}.config", "resources", key)
        for name in self._input_values:
            if name not in self.job.graph.input_names:
                hint = did_you_mean(str(name), self.job.graph.input_names)
                self._problem("input_values", f"job {self.job.name!r} has no input {name!r}.{hint}")
        for step in self._steps():
            section = self.sections.ops.get(step.key)
            if section is not None or step.op.config_schema is not None or step.op.preset_config is not None:
                self._step(step, section or {})
            if section or step.origins:
                self._inputs(step, (section or {}).get("inputs"))
            if section or self._output_schemas:
                self._outputs(step, (section or {}).get("outputs"))
        return self.found

    def _steps(self) -> Iterable[Step]:
        """The steps that there is something to resolve for, in the order of the job."""
        steps = self.job.steps
        if self._output_schemas:
            return steps.values()
        if not self.sections.ops:
            return [steps[key] for key in self.job.configurable]
        wanted = {*self.job.configurable, *self.sections.ops}
        return [step for key, step in steps.items() if key in wanted]

    def _problem(self, path: str, message: str) -> None:
        self.problems.append(ConfigProblem(path, message))

    def _executor(self) -> None:
        limit = self.sections.executor.get("max_concurrent", 1)
        if type(limit) is not int or limit < 1:
            self._problem(
                "execution.config.max_concurrent", f"must be a whole number from 1 on, and is {reprlib.repr(limit)}"
            )

    def _collect(
        self,
        definition: ResourceDefinition | OpDefinition,
        given: Any,
        path: str,
        kind: Literal["ops", "resources"],
        key: str,
    ) -> None:
        try:
            with taken_from_environment() as taken:
                config = definition.resolve_config(given, path)
        except ConfigError as error:
            self.problems.extend(error.problems)
            return
        if config is not None:
            self._refuse_source(config, path)
            (self.found.ops if kind == "ops" else self.found.resources)[key] = config
        if taken:
            within = [each._replace(path=each.path.removeprefix(path).removeprefix(".")) for each in taken]
            self.found.environment[kind, key] = tuple(within)

    def _step(self, step: Step, section: dict[str, Any]) -> None:
        config = section.get("config", ABSENT)
        self._collect(step.op, config, f"{step.config_path}.config", "ops", step.key)

    def _outputs(self, step: Step, section: Any) -> None:
        path = f"{step.config_path}.outputs"
        given = self.sections.section(section, path, step.op.outs)
        for name, out in step.op.outs.items():
            schema = self._output_schemas.get(out.io_manager_key)
            if schema is not None:
                found = self._resolved(schema, given.get(name, ABSENT), f"{path}.{name}")
                self.found.output_configs[step.key, name] = found
            elif name in given:
                self._problem(f"{path}.{name}", f"the IO manager {out.io_manager_key!r} takes no config for outputs")

    def _resolved(self, schema: ConfigType, value: Any, path: str) -> Any:
        return resolve_into(schema, value, path=path, problems=self.problems)

    def _inputs(self, step: Step, section: Any) -> None:
        path = f"{step.config_path}.inputs"
        inputs = step.inputs
        given = self.sections.section(section, path, inputs)
        for name, source in inputs.items():
            value = given.get(name, ABSENT)
            if type(source) is FromRunConfig:
                self._unconnected(step, name, source, value)
                continue
            self._job_inputs(step, name, source)
            schema = self._input_schema(step, name)
            if schema is not None:
                self.found.input_configs[step.key, name] = self._resolved(schema, value, f"{path}.{name}")
            elif value is not ABSENT:
                key = source.key if type(source) is FromInputManager else None
                why = f"is loaded by {key!r}, which takes no config for inputs" if key else "is connected in the graph"
                self._problem(f"{path}.{name}", f"the input {name!r} {why}, so it takes no config here")

    def _input_schema(self, step: Step, name: str) -> ConfigType | None:
        key = step.op.ins[name].input_manager_key
        definition = self.resource_defs.get(key) if key is not None else None
        return definition.input_config_schema if isinstance(definition, IOManagerDefinition) else None

    def _unconnected(self, step: Step, name: str, source: FromRunConfig, value: Any) -> None:
        at = f"{step.config_path}.inputs.{name}"
        if source.graph:
            if value is not ABSENT:
                self._problem(
                    at,
                    f"is the input {source.name!r} of graph {source.graph!r}: give it there, under "
                    f"{config_path(source.graph)}.inputs",
                )
            at = f"{config_path(source.graph)}.inputs.{source.name}"
            value = self.sections.graphs.get(source.graph, {}).get(source.name, ABSENT)
        if value is not ABSENT:
            found = _value(value)
            self._check_type(step, name, found, at)
        elif source.default is not NO_VALUE:
            found = source.default
        else:
            self._missing_value(
                at, f"the input {name!r} of {step.where} is not connected: connect it, give it a default, "
            )
            return
        self._refuse_source(found, at)
        self.found.inputs[step.key, name] = found

    def _refuse_source(self, value: Any, path: str) -> None:
        found = source_within(value)
        if found is not None:
            verb = "is" if found is value else "holds"
            self._problem(path, f"{verb} the source {found.name!r}; pass a source to the op in a graph's body")

    def _job_inputs(self, step: Step, name: str, source: Origin) -> None:
        for each in source.members if type(source) is FromList else (source,):
            if type(each) is not FromJobInput:
                continue
            value = self.job_inputs.get(each.name, self.job.input_defaults.get(each.name, NO_VALUE))
            at = f"inputs.{each.name}"
            if value is NO_VALUE:
                self._missing_value(at, "the job's input has no value: give it in input_values, as a default, ")
                continue
            self._refuse_source(value, at)
            self.found.job_inputs[each.name] = value
            if type(source) is FromJobInput:
                self._check_type(step, name, value, at)

    def _missing_value(self, path: str, what: str) -> None:
        if path not in self._missing:
            self._missing.add(path)
            self._problem(path, f"{what}or give it here")

    def _check_type(self, step: Step, name: str, value: Any, path: str) -> None:
        expected = step.op.ins[name].dagster_type
        if not fits(value, expected):
            self._problem(path, f"must be {type_name(expected)}, and is {type(value).__name__} {reprlib.repr(value)}")


def _value(given: Any) -> Any:
    """A value in a run config: as it is, or as ``{"value": …}``."""
    return given["value"] if isinstance(given, dict) and given.keys() == {"value"} else given
