"""Job and strategy to versions, in topological order: of every resource, every step and every output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.content import content_digest
from memo.contracts.run_store import Recipe, RecipePart
from memo.contracts.version_strategy import CodePart, CodeVersion, OpVersionContext, ResourceVersionContext
from memo.definition.families import STRATEGIES, family_member
from memo.definition.job import resource_order
from memo.definition.resource import InputManagerDefinition, IOManagerDefinition, ResourceDefinition
from memo.definition.step import (
    FromInputManager,
    FromJobInput,
    FromList,
    FromOutput,
    FromRunConfig,
    FromValue,
)
from memo.errors import MemoError, VersionError
from memo.hashing import UnencodableError, digest, named_digest, value_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.version_strategy import VersionStrategy
    from memo.definition.job import JobDefinition
    from memo.definition.op import OpDefinition
    from memo.definition.run_config import RunConfig
    from memo.definition.step import Step

NO_CONFIG = value_digest(None)


class ResourceVersion(Struct, frozen=True):
    """The version of a resource, with what it is made of."""

    version: str
    code: CodeVersion
    config: Any
    requires: dict[str, str]
    shown: str | None = None
    """What to show of a resource that is a given value."""


class StepVersion(Struct, frozen=True):
    """The version of a step, with what it is made of.

    Attributes:
        version: H(local key, each input's upstream version).
        local_key: H(op version, resources, inputs that come from no other step).
        op_version: H(code, config).
        code: What the strategy said, or what the op declares.
        config: The op's config, resolved.
        resources: Key -> version of each resource it requires.
        inputs: For each input its members: the output of another step, or the digest of a value.
        values: For each input that comes from no other step: its name, its digest, what to show of it.
    """

    version: str
    local_key: str
    op_version: str
    code: CodeVersion
    config: Any
    resources: dict[str, str]
    inputs: tuple[tuple[str, bool, tuple[FromOutput | str, ...]], ...]
    values: tuple[tuple[str, str, str], ...]


class Versions(Struct, frozen=True):
    """The versions of a job under one config.

    Attributes:
        steps: By step key, in topological order.
        resources: By resource key, those that count.
        warnings: What the strategy could not follow, by the name of the op or the key of the resource.
    """

    steps: dict[str, StepVersion]
    resources: dict[str, ResourceVersion]
    warnings: dict[str, tuple[str, ...]]

    def output(self, step_key: str, output: str) -> str:
        """The version of one output."""
        return output_version(self.steps[step_key].version, output)


def output_version(step_version: str, output: str) -> str:
    """H(output name, step version)."""
    return digest("output", output, step_version)


def content_key(step: StepVersion, digest_of: Callable[[FromOutput], str]) -> str:
    """The step's version with each upstream version replaced by the digest of that output's content.

    Args:
        step: The step.
        digest_of: The content digest of an upstream output, or its version where it has none: it then counts by
            version.
    """
    return _joined("content", step.local_key, step.inputs, digest_of)


def _joined(
    tag: str,
    local_key: str,
    inputs: tuple[tuple[str, bool, tuple[FromOutput | str, ...]], ...],
    of: Callable[[FromOutput], str],
) -> str:
    parts = [local_key]
    for name, is_list, members in inputs:
        parts.append(name)
        parts.append(f"[{len(members)}" if is_list else "-")
        parts.extend([member if type(member) is str else of(member) for member in members])  # type: ignore[arg-type]
    return digest(tag, *parts)


def resolve_versions(
    job: JobDefinition,
    config: RunConfig,
    strategy: VersionStrategy,
    resource_defs: Mapping[str, ResourceDefinition],
) -> Versions:
    """Determine the version of every step of a job.

    Raises:
        VersionError: The strategy gave no version for an op, or a value cannot be versioned.
    """
    with strategy.planning():
        return _Resolution(job, config, strategy, resource_defs).run()


def strategy_of(job: JobDefinition) -> VersionStrategy:
    """The job's version strategy, or the one that looks at the source."""
    if job.version_strategy is not None:
        return job.version_strategy
    strategy: VersionStrategy = family_member(STRATEGIES, "source_hash")()
    return strategy


def op_versions(
    job: JobDefinition,
    config: RunConfig,
    strategy: VersionStrategy,
    resource_defs: Mapping[str, ResourceDefinition],
    step_keys: Iterable[str],
) -> dict[str, str]:
    """Determine `StepVersion.op_version` of some steps, as a worker does to see that its code is what was planned."""
    with strategy.planning():
        resolution = _Resolution(job, config, strategy, resource_defs)
        return {key: resolution.op_version(job.steps[key])[1] for key in step_keys}


class _Resolution:
    """The state of one pass over a job."""

    def __init__(
        self,
        job: JobDefinition,
        config: RunConfig,
        strategy: VersionStrategy,
        definitions: Mapping[str, ResourceDefinition],
    ) -> None:
        self.job = job
        self.config = config
        self.strategy = strategy
        self.definitions = definitions
        self.resources: dict[str, ResourceVersion] = {}
        self.codes: dict[int, CodeVersion] = {}
        self.found: dict[str, StepVersion] = {}
        self.outputs: dict[tuple[str, str], str] = {}

    def run(self) -> Versions:
        for step in self.job.steps.values():
            self.found[step.key] = self.step(step)
        warnings = {
            step.op.name: code.warnings
            for step in self.job.steps.values()
            if (code := self.found[step.key].code).warnings
        }
        warnings |= {key: found.code.warnings for key, found in self.resources.items() if found.code.warnings}
        return Versions(self.found, self.resources, warnings)

    def op_version(self, step: Step) -> tuple[CodeVersion, str]:
        config = self.config.ops.get(step.key)
        code = self.code_of(step.op, config)
        # Their order counts, because a tuple that is returned is read in it.
        outputs = step.op.output_names if len(step.op.output_names) > 1 else ()
        return code, digest("op", code.version, self._value(config, step.config_path + ".config"), *outputs)

    def step(self, step: Step) -> StepVersion:
        config = self.config.ops.get(step.key)
        code, op_version = self.op_version(step)
        resources = {key: self.resource(key).version for key in sorted(step.op.required_resource_keys)}
        inputs: list[tuple[str, bool, tuple[FromOutput | str, ...]]] = []
        values: list[tuple[str, str, str]] = []
        for name, source in step.inputs.items():
            if type(source) is FromOutput:
                inputs.append((name, False, (source,)))
            elif type(source) is FromList:
                members = tuple(
                    each if type(each) is FromOutput else self._input(step, name, each) for each in source.members
                )
                inputs.append((name, True, members))
            else:
                values.append((name, self._input(step, name, source), self._show(step, name, source)))
                continue
            manager = step.op.ins[name].input_manager_key
            if manager is not None and isinstance(self.definitions[manager], InputManagerDefinition):
                values.append((f"{name} loaded by", self._loaded(step, name, manager), repr(manager)))
        local_key = digest(
            "local",
            op_version,
            named_digest("resources", resources.items()) if resources else "",
            named_digest("inputs", [(name, found) for name, found, _ in values]) if values else "",
        )
        frozen = tuple(inputs)
        version = _joined("step", local_key, frozen, self._upstream)
        return StepVersion(version, local_key, op_version, code, config, resources, frozen, tuple(values))

    def _upstream(self, source: FromOutput) -> str:
        at = (source.step, source.output)
        found = self.outputs.get(at)
        if found is None:
            found = self.outputs[at] = output_version(self.found[source.step].version, source.output)
        return found

    def code_of(self, op: OpDefinition, config: Any) -> CodeVersion:
        # One word for an op wherever it is placed: only its config, which a strategy may look at, can differ.
        at = id(op)
        if config is None and at in self.codes:
            return self.codes[at]
        if op.version is not None:
            found = _declared(op.name, op.version)
        else:
            try:
                word = self.strategy.get_op_version(OpVersionContext(op, config))
            except MemoError:
                raise
            except Exception as error:
                raise VersionError(
                    f"{type(self.strategy).__name__} failed on it: {type(error).__name__}: {error}",
                    where=op.where,
                ) from error
            found = self._worded(word, op, "op")
        if config is None:
            self.codes[at] = found
        return found

    def _worded(self, word: str | CodeVersion | None, definition: Any, kind: str) -> CodeVersion:
        if isinstance(word, CodeVersion):
            return word
        if type(word) is str and word:
            return _declared(definition.name, word)
        raise VersionError(
            f"{type(self.strategy).__name__} gave {word!r} as its version: give a non-empty string, "
            f"or declare one with "
            f"@{kind}(version=)",
            where=definition.where,
        )

    def resource(self, key: str) -> ResourceVersion:
        if key not in self.resources:
            for each in resource_order(self.definitions, [key], self.job.where):
                if each not in self.resources:
                    self.resources[each] = self._resource(each)
        return self.resources[key]

    def _resource(self, key: str) -> ResourceVersion:
        definition = self.definitions[key]
        config = self.config.resources.get(key)
        requires = {each: self.resources[each].version for each in sorted(definition.required_resource_keys)}
        if definition.version is not None:
            code = _declared(definition.name, definition.version)
        elif isinstance(definition, IOManagerDefinition) and not isinstance(definition, InputManagerDefinition):
            code = CodeVersion("io manager")
        else:
            word = self.strategy.get_resource_version(ResourceVersionContext(definition, config))
            if word is None and definition.is_hardcoded:
                word = CodeVersion(self._value(definition.hardcoded_value, f"resources.{key}"))
            code = CodeVersion("") if word is None else self._worded(word, definition, "resource")
        version = digest(
            "resource",
            code.version,
            self._value(config, f"resources.{key}.config"),
            named_digest("requires", requires.items()),
        )
        shown = shown_value(definition.hardcoded_value) if definition.is_hardcoded else None
        return ResourceVersion(version, code, config, requires, shown)

    def _input(self, step: Step, name: str, source: Any) -> str:
        where = f"{step.where}, input {name!r}"
        if type(source) is FromInputManager:
            return self._loaded(step, name, source.key)
        return self._given_value(self._given(step, name, source), where)

    def _loaded(self, step: Step, name: str, key: str) -> str:
        """What an input manager makes of an input: it is the user's code, and counts as theirs."""
        config = self.config.input_configs.get((step.key, name))
        return digest("loaded", self.resource(key).version, self._value(config, f"{step.where}, input {name!r}"))

    def _given(self, step: Step, name: str, source: Any) -> Any:
        if type(source) is FromValue:
            return source.value
        if type(source) is FromJobInput:
            return self.config.job_inputs[source.name]
        assert type(source) is FromRunConfig
        return self.config.inputs[step.key, name]

    def _show(self, step: Step, name: str, source: Any) -> str:
        if type(source) is FromInputManager:
            return f"loaded by {source.key!r}"
        return shown_value(self._given(step, name, source))

    def _value(self, value: Any, where: str) -> str:
        """The version of plain data, and of records made of it by their fields."""
        if value is None:
            return NO_CONFIG
        try:
            return value_digest(value)
        except UnencodableError as unencodable:
            return self._object(value, where, str(unencodable))

    def _given_value(self, value: Any, where: str) -> str:
        """The version of a value that is handed to an op, whose class may be the user's: its methods count too."""
        if is_plain(value):
            return self._value(value, where)
        return self._object(value, where, "")

    def _object(self, value: Any, where: str, unencodable: str) -> str:
        given = ResourceDefinition.hardcoded_resource(value)
        word = self.strategy.get_resource_version(ResourceVersionContext(given))
        if word is not None:
            return digest("object", self._worded(word, given, "resource").version)
        found = content_digest(value)
        if found is not None:
            return digest("content", found)
        if not unencodable:
            return self._value(value, where)
        raise VersionError(
            f"{type(self.strategy).__name__} cannot tell its version: {unencodable}; make it in an op, or give plain "
            f"data",
            where=where,
        )


_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})


def is_plain(value: Any) -> bool:
    """Whether a value is made of Python's own data types and nothing else."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        return all(is_plain(each) for item in value.items() for each in item)
    return kind in {list, tuple, set, frozenset} and all(is_plain(each) for each in value)


def shown_value(value: Any) -> str:
    """What to show of a value when it changed: its repr, shortened; its type where it has no simple repr."""
    if isinstance(value, str | int | float | bool | bytes | list | tuple | dict | set | frozenset | type(None)):
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - a user's object within: its repr may raise anything
            return type(value).__name__
        return text if len(text) <= 200 else text[:197] + "..."
    return type(value).__name__


def _declared(name: str, version: str) -> CodeVersion:
    """A version that somebody declared: "1" of one op is not "1" of another, so the name counts with it."""
    return CodeVersion(
        digest("declared", name, version), (CodePart("declared", name, digest("word", version), version),)
    )


def recipe_of(step_key: str, versions: Versions, texts: dict[str, str] | None = None) -> Recipe:
    """Take a step's version apart, as the catalog keeps it and `memo why` compares it.

    Args:
        step_key: The step.
        versions: Of its job.
        texts: Where given, the source text of every part is read now and put here by its digest.
    """
    step = versions.steps[step_key]
    parts = [*_code_parts("code", "", step.code, texts), *_config_parts("config", "", step.config)]
    for key in _all_required(step.resources, versions):
        found = versions.resources[key]
        parts += _code_parts("resource", f"{key}: ", found.code, texts)
        parts += _config_parts("resource", f"{key}: config", found.config)
        if found.shown is not None:
            parts.append(RecipePart("resource", f"{key}: value", found.code.version, found.shown))
        parts.append(
            RecipePart("resource", f"{key}: requires", digest("requires", *found.requires), ", ".join(found.requires))
        )
    for name, is_list, members in step.inputs:
        for index, member in enumerate(members):
            label = f"{name}[{index}]" if is_list else name
            if type(member) is FromOutput:
                parts.append(
                    RecipePart(
                        "input",
                        label,
                        versions.output(member.step, member.output),
                        f"{member.step}.{member.output}",
                    ),
                )
            else:
                parts.append(RecipePart("input", label, str(member), "a value"))
    parts += [RecipePart("input", name, found, shown) for name, found, shown in step.values]
    return Recipe(step.version, tuple(parts))


def _all_required(direct: Mapping[str, str], versions: Versions) -> list[str]:
    found: dict[str, None] = {}
    todo = list(direct)
    while todo:
        key = todo.pop()
        if key not in found:
            found[key] = None
            todo.extend(versions.resources[key].requires)
    return sorted(found)


def _code_parts(kind: str, prefix: str, code: CodeVersion, texts: dict[str, str] | None) -> list[RecipePart]:
    if not code.parts:
        return [RecipePart(kind, f"{prefix}version", code.version, code.version)]
    found: list[RecipePart] = []
    for part in code.parts:
        text = part.source() if texts is not None and part.source is not None else None
        name = None
        if text is not None and texts is not None:
            name = digest("source", text)
            texts[name] = text
        found.append(RecipePart(kind, prefix + part.name, part.hash, part.detail, part.file, part.line, name))
    return found


def _config_parts(kind: str, path: str, value: Any) -> list[RecipePart]:
    """One part for each leaf of a config, so that `memo why` can name the path."""
    fields = getattr(type(value), "__struct_fields__", None) or getattr(type(value), "__dataclass_fields__", None)
    if fields is not None:
        value = {name: getattr(value, name) for name in fields}
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        return [
            part
            for key, each in value.items()
            for part in _config_parts(kind, f"{path}.{key}" if path else str(key), each)
        ]
    if value is None:
        return []
    try:
        found = value_digest(value)
    except UnencodableError:
        found = content_digest(value) or ""
    return [RecipePart(kind, path or "config", found, shown_value(value))]
