"""A run's config, checked against everything the job declares, with defaults filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from memo.definition.config import ABSENT, resolve_into
from memo.definition.ports import NO_VALUE
from memo.definition.resource import IOManagerDefinition
from memo.definition.step import FromJobInput, FromList, FromRunConfig
from memo.errors import ConfigError, ConfigProblem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.definition.job import JobDefinition
    from memo.definition.resource import ResourceDefinition
    from memo.definition.step import Step


class RunConfig(Struct, frozen=True):
    """The config of one run, resolved.

    Attributes:
        ops: Step key -> what ``context.op_config`` is; steps without config are not in it.
        resources: Resource key -> its config.
        inputs: (step key, input) -> the value given for an unconnected input.
        job_inputs: Values of the job's own inputs.
        input_configs: (step key, input) -> the config for the IO manager that loads it.
        output_configs: (step key, output) -> the config for the IO manager that stores it.
        executor: Settings of the executor.
    """

    ops: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    inputs: dict[tuple[str, str], Any] = field(default_factory=dict)
    job_inputs: dict[str, Any] = field(default_factory=dict)
    input_configs: dict[tuple[str, str], Any] = field(default_factory=dict)
    output_configs: dict[tuple[str, str], Any] = field(default_factory=dict)
    executor: dict[str, Any] = field(default_factory=dict)


ROOTS = ("ops", "resources", "inputs", "execution")


def merged(under: Any, over: Any) -> Any:
    """Lay one config over another: dicts are merged key by key, anything else is replaced."""
    if isinstance(under, dict) and isinstance(over, dict):
        return {**under, **{key: merged(under[key], value) if key in under else value for key, value in over.items()}}
    return over


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
    problems: list[ConfigProblem] = []
    given = merged(job.config or {}, run_config or {})
    root = _section(given, "", ROOTS, problems)
    found = RunConfig(executor=_executor(root.get("execution"), problems))
    _resources(resource_defs, root.get("resources"), found, problems)
    sections = _op_sections(job, root.get("ops"), problems)
    job_inputs = {**job.input_values, **_section(root.get("inputs"), "inputs", job.graph.input_names, problems), **(input_values or {})}
    for name in input_values or {}:
        if name not in job.graph.input_names:
            problems.append(ConfigProblem("input_values", f"job {job.name!r} has no input {name!r}.{did_you_mean(name, job.graph.input_names)}"))
    for step in job.steps.values():
        section = sections.get(step.key)
        if section is None and step.op.config_schema is None and step.op.preset_config is ABSENT:
            _step_inputs(step, {}, found, job_inputs, problems, {})
            continue
        _step(step, section or {}, resource_defs, found, job_inputs, problems)
    if problems:
        raise ConfigError(problems, where=f"job {job.name!r}")
    return found


def _section(value: Any, path: str, known: tuple[str, ...], problems: list[ConfigProblem]) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.append(ConfigProblem(path, f"must be a dict with {', '.join(known) or 'no entries'}, and is {value!r}"))
        return {}
    for key in value:
        if key not in known:
            problems.append(ConfigProblem(_join(path, key), f"unexpected config entry.{did_you_mean(str(key), known)}"))
    return {key: each for key, each in value.items() if key in known}


def _join(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _executor(value: Any, problems: list[ConfigProblem]) -> dict[str, Any]:
    config = _section(_section(value, "execution", ("config",), problems).get("config"), "execution.config", ("max_concurrent",), problems)
    if "max_concurrent" in config and (type(config["max_concurrent"]) is not int or config["max_concurrent"] < 1):
        problems.append(ConfigProblem("execution.config.max_concurrent", f"must be a whole number from 1 on, and is {config['max_concurrent']!r}"))
    return config


def _resources(
    definitions: Mapping[str, ResourceDefinition], value: Any, found: RunConfig, problems: list[ConfigProblem],
) -> None:
    given = _section(value, "resources", tuple(definitions), problems)
    for key, definition in definitions.items():
        path = f"resources.{key}"
        section = _section(given.get(key), path, ("config",), problems)
        _collect(definition, section.get("config", ABSENT), f"{path}.config", problems, found.resources, key)


def _collect(
    definition: Any, value: Any, path: str, problems: list[ConfigProblem], into: dict[Any, Any], key: Any,
) -> None:
    try:
        config = definition.resolve_config(value, path)
    except ConfigError as error:
        problems.extend(error.problems)
        return
    if config is not None:
        into[key] = config


def _op_sections(job: JobDefinition, value: Any, problems: list[ConfigProblem]) -> dict[str, dict[str, Any]]:
    """Find each step's section, down through nested graphs."""
    sections: dict[str, dict[str, Any]] = {}
    if not value:
        return sections
    tree: dict[str, Any] = {}
    for key in job.steps:
        here = tree
        *graphs, leaf = key.split(".")
        for each in graphs:
            here = here.setdefault(each, {})
        here[leaf] = None

    def walk(section: Any, known: dict[str, Any], prefix: str, path: str) -> None:
        for name, inner in _section(section, path, tuple(known), problems).items():
            at = f"{path}.{name}"
            if known[name] is None:
                sections[prefix + name] = _section(inner, at, ("config", "inputs", "outputs"), problems)
            else:
                walk(_section(inner, at, ("ops",), problems).get("ops"), known[name], f"{prefix}{name}.", f"{at}.ops")

    walk(value, tree, "", "ops")
    return sections


def _step(
    step: Step,
    section: dict[str, Any],
    resource_defs: Mapping[str, ResourceDefinition],
    found: RunConfig,
    job_inputs: Mapping[str, Any],
    problems: list[ConfigProblem],
) -> None:
    path = step.config_path
    config = section.get("config", ABSENT)
    if config is not ABSENT and step.op.config_schema is None and step.op.preset_config is not ABSENT:
        problems.append(ConfigProblem(f"{path}.config", f"the op {step.op.name!r} was configured where it is defined and takes no config"))
    else:
        _collect(step.op, config, f"{path}.config", problems, found.ops, step.key)
    inputs = _section(section.get("inputs"), f"{path}.inputs", tuple(step.op.ins), problems)
    _step_inputs(step, inputs, found, job_inputs, problems, resource_defs)
    outputs = _section(section.get("outputs"), f"{path}.outputs", tuple(step.op.outs), problems)
    for name, out in step.op.outs.items():
        definition = resource_defs.get(out.io_manager_key)
        schema = definition.output_config_schema if isinstance(definition, IOManagerDefinition) else None
        value = outputs.get(name, ABSENT)
        if schema is not None:
            config = resolve_into(schema, value, path=f"{path}.outputs.{name}", problems=problems)
            found.output_configs[step.key, name] = config
        elif value is not ABSENT:
            problems.append(ConfigProblem(f"{path}.outputs.{name}", f"the IO manager {out.io_manager_key!r} takes no config for outputs"))


def _step_inputs(
    step: Step,
    given: dict[str, Any],
    found: RunConfig,
    job_inputs: Mapping[str, Any],
    problems: list[ConfigProblem],
    resource_defs: Mapping[str, ResourceDefinition],
) -> None:
    for name, source in step.inputs.items():
        at = f"{step.config_path}.inputs.{name}"
        value = given.get(name, ABSENT)
        if type(source) is FromRunConfig:
            if value is ABSENT:
                problems.append(
                    ConfigProblem(at, f"the input {name!r} of {step.where} is not connected: connect it, give it a default, or give it here"),
                )
            else:
                only = isinstance(value, dict) and value.keys() == {"value"}
                found.inputs[step.key, name] = value["value"] if only else value
            continue
        _job_input_values(source, found, job_inputs, problems)
        manager = step.op.ins[name].input_manager_key
        definition = resource_defs.get(manager) if manager else None
        schema = definition.input_config_schema if isinstance(definition, IOManagerDefinition) else None
        if schema is not None:
            found.input_configs[step.key, name] = resolve_into(schema, value, path=at, problems=problems)
        elif value is not ABSENT:
            problems.append(ConfigProblem(at, f"the input {name!r} is connected in the graph, so it takes no config here"))


def _job_input_values(source: Any, found: RunConfig, given: Mapping[str, Any], problems: list[ConfigProblem]) -> None:
    members = source.members if type(source) is FromList else (source,)
    for each in members:
        if type(each) is not FromJobInput or each.name in found.job_inputs:
            continue
        value = given.get(each.name, each.default)
        if value is NO_VALUE:
            if not any(problem.path == f"inputs.{each.name}" for problem in problems):
                problems.append(ConfigProblem(f"inputs.{each.name}", "the job's input has no value: give it here, in input_values, or as a default"))
        else:
            found.job_inputs[each.name] = value
