"""Job and strategy to versions, in topological order: of every resource, every step and every output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.content import content_digest
from memo.contracts.version_strategy import BlindSpot, CodePart, CodeVersion, OpVersionContext, ResourceVersionContext
from memo.definition.families import STRATEGIES, family_member
from memo.definition.job import loaders_of, resource_order
from memo.definition.resource import InputManagerDefinition, IOManagerDefinition, ResourceDefinition
from memo.definition.source import Source
from memo.definition.step import (
    FromInputManager,
    FromJobInput,
    FromList,
    FromOutput,
    FromRunConfig,
    FromSource,
    FromValue,
)
from memo.errors import MemoError, VersionError
from memo.hashing import UnencodableError, digest, named_digest, value_digest, values_digest
from memo.versioning.recipes import shown_value
from memo.versioning.stamps import Stamps
from memo.versioning.versions import (
    NO_RESOURCES,
    GivenValue,
    OpVersion,
    ReadSource,
    ResourceVersion,
    StepVersion,
    Versions,
    wired_digest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.version_strategy import VersionStrategy
    from memo.definition.config_resolving import EnvironmentValue
    from memo.definition.job import JobDefinition
    from memo.definition.op import OpDefinition
    from memo.definition.run_config import RunConfig
    from memo.definition.step import Step

NO_CONFIG = value_digest(None)


def resolve_versions(
    job: JobDefinition,
    config: RunConfig,
    strategy: VersionStrategy,
    resource_defs: Mapping[str, ResourceDefinition],
    *,
    stamps: Stamps | None = None,
    accepted: Mapping[str, str] | None = None,
) -> Versions:
    """Determine the version of every step of a job.

    Args:
        job: The job.
        config: Of the run.
        strategy: What counts as the same code.
        resource_defs: The job's, with the engine's defaults.
        stamps: What external sources are now; looked for where left out.
        accepted: Versions in whose place another counts, because somebody said that it is as good.

    Raises:
        VersionError: The strategy gave no version for an op, or a value cannot be versioned.
        SourceError: An external source cannot be reached.
    """
    with strategy.planning():
        return _Resolution(job, config, strategy, resource_defs, stamps or Stamps(None), accepted or {}).run()


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
    """Determine `OpVersion.version` of some steps, as a worker does to see that its code is what was planned."""
    with strategy.planning():
        resolution = _Resolution(job, config, strategy, resource_defs, Stamps(None), {})
        return {key: resolution.op_version(job.steps[key])[0] for key in step_keys}


class _Resolution:
    """The state of one pass over a job."""

    def __init__(
        self,
        job: JobDefinition,
        config: RunConfig,
        strategy: VersionStrategy,
        definitions: Mapping[str, ResourceDefinition],
        stamps: Stamps,
        accepted: Mapping[str, str],
    ) -> None:
        self.job = job
        self.config = config
        self.strategy = strategy
        self.definitions = definitions
        self.stamps = stamps
        self.accepted = accepted
        self.resources: dict[str, ResourceVersion] = {}
        self.besides: dict[OpDefinition | ResourceDefinition, tuple[CodeVersion, ...]] = {}
        self.ops: dict[OpDefinition, OpVersion] = {}
        self.found: dict[str, StepVersion] = {}
        self.blind_spots: dict[str, tuple[BlindSpot, ...]] = {}
        self.reads_sources = False

    def run(self) -> Versions:
        for step in self.job.steps.values():
            self.found[step.key] = self.step(step)
        for key, resource in self.resources.items():
            _add_blind_spots(self.blind_spots, key, self.definitions[key], resource.code, *resource.besides)
        return Versions(self.found, self.resources, self.blind_spots, self.stamps.warnings, self.reads_sources)

    def op(self, step: Step) -> OpVersion:
        """What a step's op brings to its version. What depends on the op alone is asked and joined once."""
        config = self.config.ops.get(step.key)
        if config is not None:
            return self._op(step, config, self.config.environment.get(("ops", step.key), ()))
        found = self.ops.get(step.op)
        if found is None:
            found = self.ops[step.op] = self._op(step, None, ())
        return found

    def _op(self, step: Step, config: Any, environment: tuple[EnvironmentValue, ...]) -> OpVersion:
        version, code, besides = self.op_version(step)
        if code.blind_spots or besides or step.op.ignore:
            _add_blind_spots(self.blind_spots, step.op.name, step.op, code, *besides)
        if not step.op.required_resource_keys:
            return OpVersion(version, version, code, config, NO_RESOURCES, besides, environment)
        resources = {key: self.resource(key).version for key in sorted(step.op.required_resource_keys)}
        local_key = digest("local", version, named_digest("resources", resources.items()))
        return OpVersion(version, local_key, code, config, resources, besides, environment)

    def op_version(self, step: Step) -> tuple[str, CodeVersion, tuple[CodeVersion, ...]]:
        """The version of an op's code with its config, and those of the code and of what it depends on besides."""
        op = step.op
        config = self.config.ops.get(step.key)
        code = self.code_of(op, config)
        if config is None and not op.depends_on and len(op.output_names) == 1:  # as most are
            return code.version, code, ()
        besides = self.besides_of(op) if op.depends_on else ()
        # Their order counts, because a tuple that is returned is read in it.
        outputs = op.output_names if len(op.output_names) > 1 else ()
        own = code.version if not besides else digest("code", code.version, *[each.version for each in besides])
        return digest("op", own, self._value(config, lambda: f"{step.config_path}.config"), *outputs), code, besides

    def besides_of(self, definition: OpDefinition | ResourceDefinition) -> tuple[CodeVersion, ...]:
        """The versions of what a definition depends on and its code does not show, sources left out."""
        found = self.besides.get(definition)
        if found is None:
            found = self.besides[definition] = tuple(
                self._besides(each, definition) for each in definition.depends_on if not isinstance(each, Source)
            )
        return found

    def _besides(self, given: Any, definition: OpDefinition | ResourceDefinition) -> CodeVersion:
        resource = ResourceDefinition.hardcoded_resource(given)
        resource.ignore = definition.ignore
        word = self.strategy.get_resource_version(ResourceVersionContext(resource))
        if word is not None:
            return self._worded(word, resource, "op")
        found = self._given_value(given, lambda: f"{definition.where}, depends_on")
        return CodeVersion(found, (CodePart("value", "depends_on", found, shown_value(given)),))

    def read(self, sources: Iterable[Source]) -> tuple[ReadSource, ...]:
        """External sources that something depends on, each asked what it is now."""
        return tuple(ReadSource(each, self.stamps.of(each)) for each in sources)

    def step(self, step: Step) -> StepVersion:
        op = self.op(step)
        placed = step.op
        if placed.loadable_inputs or placed.depends_on or not _FROM_STEPS.issuperset(map(type, step.origins)):
            return self._fed(step, op)
        return self._versioned(step, op, op.local_key)  # as most are

    def _fed(self, step: Step, op: OpVersion) -> StepVersion:
        """The version of a step that reads something else than what other steps give."""
        loaders = loaders_of(step, self.definitions) if step.op.loadable_inputs else {}
        values: list[tuple[str, Any]] = []
        members: dict[tuple[str, int], str] | None = None
        wired: list[ReadSource] = []
        for name, origin in zip(step.op.input_names, step.origins, strict=True):
            if type(origin) is FromOutput or origin is None:
                pass
            elif type(origin) is FromList:
                for index, each in enumerate(origin.members):
                    if type(each) is not FromOutput:
                        members = members or {}
                        members[name, index] = self._member(step, name, each)
                    if type(each) is FromSource:
                        wired.append(ReadSource(each.source, self.stamps.of(each.source), f"{name}[{index}]"))
            elif type(origin) is FromSource:
                wired.append(ReadSource(origin.source, self.stamps.of(origin.source), name))
            else:
                values.append((name, self._value_of_input(step, name, origin)))
                continue
            if name in loaders:
                loader = loaders[name]
                values.append((f"{name} loaded by", GivenValue(self._loaded(step, name, loader), repr(loader))))
        local_key = _with_values(op.local_key, values) if values else op.local_key
        sources: tuple[ReadSource, ...] = ()
        if wired or step.op.depends_on:
            named = self.read(each for each in step.op.depends_on if isinstance(each, Source))
            sources = (*wired, *named)
            self.reads_sources |= bool(sources)
            by_input = named_digest("wired", [(each.input, each.digest) for each in wired])
            local_key = digest("reads", local_key, by_input, *[each.digest for each in named])
        return self._versioned(
            step,
            op,
            local_key,
            tuple(values),
            members,
            sources,
            tuple(sorted({*loaders.values()})) if loaders else (),
        )

    def _versioned(
        self,
        step: Step,
        op: OpVersion,
        local_key: str,
        values: tuple[tuple[str, Any], ...] = (),
        members: Mapping[tuple[str, int], str] | None = None,
        sources: tuple[ReadSource, ...] = (),
        loaders: tuple[str, ...] = (),
    ) -> StepVersion:
        version = wired_digest("step", local_key, step, members, self._upstream)
        stands = self.accepted.get(version)
        if stands is None:
            return StepVersion(version, local_key, op, step, values, members, sources, "", loaders)
        return StepVersion(stands, local_key, op, step, values, members, sources, version, loaders)

    def _upstream(self, source: FromOutput) -> str:
        """The version of an upstream output, as a part of another: no name of an output has a space in it."""
        return f"{source.output} {self.found[source.step].version}"

    def code_of(self, op: OpDefinition, config: Any) -> CodeVersion:
        if op.version is not None:
            return _declared(op.name, op.version)
        try:
            word = self.strategy.get_op_version(OpVersionContext(op, config))
        except (MemoError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise VersionError(
                f"{type(self.strategy).__name__} failed on it: {type(error).__name__}: {error}",
                where=op.where,
            ) from error
        return self._worded(word, op, "op")

    def _worded(self, word: str | CodeVersion | None, definition: Any, kind: str) -> CodeVersion:
        if isinstance(word, CodeVersion):
            if type(word.version) is str and word.version and _are_blind_spots(word.blind_spots):
                return word
        elif isinstance(word, str) and word:
            return _declared(definition.name, str(word))
        raise VersionError(
            f"{type(self.strategy).__name__} gave {word!r} as its version: give a non-empty string, "
            f"or a CodeVersion of one and of BlindSpots; or declare one with @{kind}(version=)",
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
                word = CodeVersion(self._value(definition.hardcoded_value, lambda: f"resources.{key}"))
            code = CodeVersion("") if word is None else self._worded(word, definition, "resource")
        besides = self.besides_of(definition)
        sources = self.read(each for each in definition.depends_on if isinstance(each, Source))
        version = digest(
            "resource",
            code.version,
            self._value(config, lambda: f"resources.{key}.config"),
            named_digest("requires", requires.items()),
            *[each.version for each in besides],
            *[each.digest for each in sources],
        )
        shown = shown_value(definition.hardcoded_value) if definition.is_hardcoded else None
        taken = self.config.environment.get(("resources", key), ())
        return ResourceVersion(version, code, config, requires, shown, besides, sources, taken)

    def _value_of_input(self, step: Step, name: str, source: Any) -> Any:
        """An input that comes from no other step: a scalar as it is, else what is known of it."""
        if type(source) is FromInputManager:
            return GivenValue(self._loaded(step, name, source.key), f"loaded by {source.key!r}")
        value = self._given(step, name, source)
        if type(value) in _SCALARS:
            return value
        return GivenValue(self._given_value(value, lambda: f"{step.where}, input {name!r}"), shown_value(value))

    def _member(self, step: Step, name: str, source: Any) -> str:
        """The digest of a member of a list that comes from no other step."""
        if type(source) is FromSource:
            return ReadSource(source.source, self.stamps.of(source.source), name).digest
        return self._given_value(self._given(step, name, source), lambda: f"{step.where}, input {name!r}")

    def _loaded(self, step: Step, name: str, key: str) -> str:
        """What an input manager makes of an input: it is the user's code, and counts as theirs."""
        config = self.config.input_configs.get((step.key, name))
        return digest(
            "loaded", self.resource(key).version, self._value(config, lambda: f"{step.where}, input {name!r}")
        )

    def _given(self, step: Step, name: str, source: Any) -> Any:
        if type(source) is FromValue:
            return source.value
        if type(source) is FromJobInput:
            return self.config.job_inputs[source.name]
        assert type(source) is FromRunConfig
        return self.config.inputs[step.key, name]

    def _value(self, value: Any, where: Callable[[], str]) -> str:
        """The version of plain data, and of records made of it by their fields."""
        if value is None:
            return NO_CONFIG
        try:
            return value_digest(value)
        except UnencodableError as unencodable:
            return self._object(value, where, str(unencodable))

    def _given_value(self, value: Any, where: Callable[[], str]) -> str:
        """The version of a value that is handed to an op, whose class may be the user's: its methods count too."""
        if is_plain(value):
            return self._value(value, where)
        return self._object(value, where, "")

    def _object(self, value: Any, where: Callable[[], str], unencodable: str) -> str:
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
            where=where(),
        )


_FROM_STEPS = frozenset({FromOutput, type(None)})
"""What an input comes from that adds nothing of its own to a version."""

_SCALARS = frozenset({type(None), bool, int, float, str})


def _with_values(local_key: str, values: Iterable[tuple[str, Any]]) -> str:
    """A local key that covers what a step is given too, by name."""
    known = [(name, value.digest) for name, value in values if type(value) is GivenValue]
    scalars = [each for each in values if type(each[1]) is not GivenValue]
    if known:
        local_key = digest("given", local_key, named_digest("inputs", known))
    return values_digest("scalars", local_key, sorted(scalars)) if scalars else local_key


def _are_blind_spots(found: object) -> bool:
    return isinstance(found, tuple) and (not found or all(isinstance(each, BlindSpot) for each in found))


def _add_blind_spots(
    known: dict[str, tuple[BlindSpot, ...]],
    name: str,
    definition: OpDefinition | ResourceDefinition,
    *codes: CodeVersion,
) -> None:
    found = [each for code in codes for each in code.blind_spots]
    unmet = definition.ignore.difference(*[code.ignored for code in codes]) if definition.ignore else ()
    found += [
        BlindSpot(
            f"ignore names {each!r}, and nothing that it reaches is called so",
            definition.location,
            remedy="take it out of ignore=, or name it as memo why does",
        )
        for each in sorted(unmet)
    ]
    if found:
        # Once for all steps of an op; an op and a resource may have one name.
        known[name] = tuple(dict.fromkeys([*known.get(name, ()), *found]))


_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})


def is_plain(value: Any) -> bool:
    """Whether a value is made of Python's own data types and nothing else."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is dict:
        return all(is_plain(each) for item in value.items() for each in item)
    return kind in {list, tuple, set, frozenset} and all(is_plain(each) for each in value)


def _declared(name: str, version: str) -> CodeVersion:
    """A version that somebody declared: "1" of one op is not "1" of another, so the name counts with it."""
    return CodeVersion(
        digest("declared", name, version), (CodePart("declared", name, digest("word", version), version),)
    )
