"""A version taken apart: each part by name with its own hash, as the catalog keeps it and `memo why` compares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.content import content_digest
from memo.contracts.run_store import Recipe, RecipePart
from memo.definition.config_resolving import EnvironmentValue, child_path
from memo.definition.source import TimeSource
from memo.definition.step import FromList, FromOutput
from memo.hashing import UnencodableError, digest, value_digest
from memo.versioning.versions import GivenValue

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from memo.contracts.version_strategy import CodeVersion
    from memo.versioning.versions import ReadSource, StepVersion, Versions


def shown_value(value: Any) -> str:
    """What to show of a value when it changed: its repr, shortened; its type where it has no simple repr."""
    if isinstance(value, str | int | float | bool | bytes | list | tuple | dict | set | frozenset | type(None)):
        try:
            text = repr(value)
        except Exception:  # noqa: BLE001 - a user's object within: its repr may raise anything
            return type(value).__name__
        return text if len(text) <= 200 else text[:197] + "..."
    return type(value).__name__


def recipe_of(step_key: str, versions: Versions, texts: dict[str, str] | None = None) -> Recipe:
    """Take a step's version apart, as the catalog keeps it and `memo why` compares it.

    Args:
        step_key: The step.
        versions: Of its job.
        texts: Where given, the source text of every part is read now and put here by its digest.
    """
    return Recipes(versions).of(step_key, texts)


class Recipes:
    """Takes the versions of a job's steps apart, code that many of them have in common once.

    Args:
        versions: Of the job.
    """

    def __init__(self, versions: Versions) -> None:
        self._versions = versions
        self._code: dict[tuple[int, str, bool], tuple[tuple[RecipePart, ...], dict[str, str]]] = {}
        """The parts and the texts, by what the strategy said of the code, which the versions keep alive."""
        self._outputs: dict[tuple[str, str], tuple[str, str]] = {}
        """What there is to tell of an output that is read: its version, and which it is."""

    def of(self, step_key: str, texts: dict[str, str] | None = None) -> Recipe:
        """Take the version of one step apart, as `recipe_of`."""
        versions = self._versions
        step = versions.steps[step_key]
        of_code = self._code_parts("code", "", step.op.code, texts)
        parts = [*of_code]
        for code in step.op.besides:
            parts += self._code_parts("code", "", code, texts)
        if step.op.config is not None:
            parts += _config_parts("config", "", step.op.config, step.op.environment)
        if step.sources:
            parts += _source_parts("", step.sources)
        for key in versions.required(step.reached) if step.op.resources or step.loaders else ():
            found = versions.resources[key]
            for code in (found.code, *found.besides):
                parts += self._code_parts("resource", f"{key}: ", code, texts)
            parts += _source_parts(f"{key}: ", found.sources)
            parts += _config_parts("resource", f"{key}: config", found.config, found.environment)
            if found.shown is not None:
                parts.append(RecipePart("resource", f"{key}: value", found.code.version, found.shown))
            requires = digest("requires", *found.requires)
            parts.append(RecipePart("resource", f"{key}: requires", requires, ", ".join(found.requires)))
        if len(parts) > len(of_code):
            # Parts of one code differ, and so do inputs.
            parts = _told_apart(parts)
        parts += self._input_parts(step)
        return Recipe(step.version, tuple(parts))

    def _input_parts(self, step: StepVersion) -> list[RecipePart]:
        parts: list[RecipePart] = []
        for name, origin in zip(step.step.op.input_names, step.step.origins, strict=True):
            if type(origin) is FromOutput:
                parts.append(self._upstream_part(name, origin))
            elif type(origin) is FromList:
                for index, member in enumerate(origin.members):
                    label = f"{name}[{index}]"
                    if type(member) is FromOutput:
                        parts.append(self._upstream_part(label, member))
                    else:
                        assert step.members is not None
                        parts.append(RecipePart("input", label, step.members[name, index], "a value"))
        for name, value in step.values:
            known = value if type(value) is GivenValue else GivenValue(value_digest(value), shown_value(value))
            parts.append(RecipePart("input", name, known.digest, known.shown))
        return parts

    def _upstream_part(self, name: str, source: FromOutput) -> RecipePart:
        at = (source.step, source.output)
        told = self._outputs.get(at)
        if told is None:
            told = self._outputs[at] = (self._versions.output(*at), f"{source.step}.{source.output}")
        return RecipePart("input", name, *told)

    def _code_parts(
        self, kind: str, prefix: str, code: CodeVersion, texts: dict[str, str] | None
    ) -> tuple[RecipePart, ...]:
        at = (id(code), prefix, texts is None)
        known = self._code.get(at)
        if known is None:
            read: dict[str, str] = {}
            parts = _told_apart(_code_parts(kind, prefix, code, None if texts is None else read))
            known = self._code[at] = (tuple(parts), read)
        if texts is not None:
            texts.update(known[1])
        return known[0]


def _told_apart(parts: list[RecipePart]) -> list[RecipePart]:
    """Give parts of one kind and name that differ names of their own: of several closures in ``depends_on``, say."""
    if len({(part.kind, part.name) for part in parts}) == len(parts):
        return parts
    count: dict[tuple[str, str], int] = {}
    known: set[tuple[str, str, str]] = set()
    found: list[RecipePart] = []
    for part in parts:
        if (part.kind, part.name, part.hash) in known:
            continue
        known.add((part.kind, part.name, part.hash))
        number = count[part.kind, part.name] = count.get((part.kind, part.name), 0) + 1
        found.append(part if number == 1 else replace(part, name=f"{part.name} ({number})"))
    return found


def _source_parts(prefix: str, sources: Iterable[ReadSource]) -> list[RecipePart]:
    """One part for each source, or for each of its files where they are not too many."""
    found: list[RecipePart] = []
    for number, each in enumerate(sources):
        kind = "time" if isinstance(each.source, TimeSource) else "source"
        name = f"{prefix}{each.input}: {each.source.name}" if each.input else prefix + each.source.name
        # Which it is counts too: two sources that change places are two changes.
        at = each.input or str(number)
        stamp = each.stamp
        found.append(RecipePart(kind, name, digest("source", at, each.digest), stamp.shown))
        found += [RecipePart("file", path, digest("file", at, held), shown) for path, held, shown in stamp.members]
    return found


def _code_parts(kind: str, prefix: str, code: CodeVersion, texts: dict[str, str] | None) -> list[RecipePart]:
    found: list[RecipePart] = []
    for part in code.parts:
        name = None
        if texts is not None and part.source is not None:
            text = part.source()
            if text is not None:
                name = digest("source", text)
                texts[name] = text
        found.append(RecipePart(kind, prefix + part.name, part.hash, part.detail, part.file, part.line, name))
    return found or [RecipePart(kind, f"{prefix}version", code.version, code.version)]


def _config_parts(
    kind: str, path: str, value: Any, environment: Sequence[EnvironmentValue], *, at: str = "", is_made: bool = False
) -> list[RecipePart]:
    """One part for each leaf of a config, so that `memo why` can name the path.

    What came from the environment may be a secret, and is not shown: recipes are kept, and shared.

    Args:
        kind: Of the parts.
        path: The name of the value.
        value: The config, or a part of it.
        environment: What of the config came from the environment.
        at: Where the value stands in the config.
        is_made: Whether it is an attribute of an object, which may have been made of any that its class was given.
    """
    if value is None:
        return []
    fields = getattr(type(value), "__struct_fields__", None) or getattr(type(value), "__dataclass_fields__", None)
    within = [each for each in environment if not at or each.path == at or each.path.startswith((f"{at}.", f"{at}["))]
    if fields is not None:
        value = {name: getattr(value, name) for name in fields}
        is_made = is_made or bool(within)
    if isinstance(value, dict) and value and all(isinstance(key, str) for key in value):
        return [
            part
            for key, each in value.items()
            for part in _config_parts(
                kind,
                f"{path}.{key}" if path else str(key),
                each,
                environment,
                at=child_path(at, key),
                is_made=is_made,
            )
        ]
    try:
        found = value_digest(value)
    except UnencodableError:
        found = content_digest(value) or ""
    hidden = {each.variable: None for each in environment if not each.path or each in within}
    if is_made:
        hidden |= {each.variable: None for each in environment if each.text in str(value)}
    shown = f"from the environment: {', '.join(hidden)} ({found[:8]})" if hidden else shown_value(value)
    return [RecipePart(kind, path or "config", found, shown)]
