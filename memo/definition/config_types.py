"""Config types: what each accepts as a config value and resolves it to, with every problem noted."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct, ValidationError, convert

from memo.definition.config_resolving import (
    ABSENT,
    EnvironmentValue,
    Resolution,
    child_path,
    take_from_environment,
    unshared,
)
from memo.errors import did_you_mean

__all__ = ["NO_SCHEMA", "ConfigType"]


def _said(error: Exception) -> str:
    text = str(error)
    return text if text and isinstance(error, ValueError) else f"{type(error).__name__}{text and f': {text}'}"


class ConfigType(Struct, frozen=True, kw_only=True):
    """What a config value must be; ``description`` holds the author's words on it."""

    description: str = ""

    @property
    def required(self) -> bool:
        """Whether it must be given; False where leaving it out has a meaning."""
        return True

    def describe(self) -> str:
        """Say in one line what is accepted: ``{limit: int = 5, columns: [str], mode: str?}``."""
        raise NotImplementedError

    def sample(self) -> Any:
        """A minimal value as a user would write it, with required entries only."""
        raise NotImplementedError

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        """Resolve a value that was given; what comes back counts only if no flaw was noted."""
        raise NotImplementedError

    def resolve_absent(self, path: str, resolution: Resolution) -> Any:
        """Resolve an entry that was left out; `ABSENT` where it stays out."""
        return resolution.missing(self, path)


class AnyType(ConfigType, frozen=True):
    """Anything but what contains itself; dicts, lists and tuples are copied, so that steps share none."""

    def describe(self) -> str:
        return "Any"

    def sample(self) -> Any:
        return "..."

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        try:
            return _copied(value, path, resolution, {})
        except RecursionError:
            return resolution.problem(path, "The value is nested too deeply")


def _copied(value: Any, path: str, resolution: Resolution, copies: dict[int, Any]) -> Any:
    """Copy plain containers; ``copies`` holds each by the id of its original, `ABSENT` until it is whole."""
    kind = type(value)
    if kind not in {dict, list, tuple}:
        return value
    if id(value) in copies:
        copy = copies[id(value)]
        return resolution.problem(path, "The value contains itself") if copy is ABSENT else copy
    copies[id(value)] = ABSENT
    if kind is dict:
        copy = {key: _copied(item, child_path(path, key), resolution, copies) for key, item in value.items()}
    else:
        copy = kind([_copied(item, f"{path}[{at}]", resolution, copies) for at, item in enumerate(value)])
    copies[id(value)] = copy
    return copy


_SAMPLES: dict[type, Any] = {int: 0, float: 0.0, str: "...", bool: False}
_BOOLS = {"true": True, "1": True, "false": False, "0": False}
_EXACT: dict[type, Callable[[Any], Any]] = {str: str.__str__, int: int.__int__, float: float.__float__}


class ScalarType(ConfigType, frozen=True):
    """An int, float, str or bool; an int is a float too, a bool is not an int."""

    kind: type

    def describe(self) -> str:
        return self.kind.__name__

    def sample(self) -> Any:
        return _SAMPLES[self.kind]

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        kind = self.kind
        if type(value) is kind:
            return value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            try:
                return int.__float__(value)
            except OverflowError:
                return resolution.problem(path, "The int is too large for a float")
        if isinstance(value, kind) and not isinstance(value, bool):
            # Versions count exact types, so a subclass (a member of a str enum, say) becomes the builtin.
            return _EXACT[kind](value)
        from_env = isinstance(value, Mapping) and set(value) == {"env"}
        hint = "; only StringSource, IntSource and BoolSource read the environment" if from_env else ""
        return resolution.mismatch(self, value, path, hint)


class SourceType(ConfigType, frozen=True):
    """A scalar, or ``{"env": NAME}`` for the variable that holds it; the name is what users know it by."""

    scalar: ScalarType
    name: str

    def describe(self) -> str:
        return self.name

    def sample(self) -> Any:
        return self.scalar.sample()

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        if not isinstance(value, Mapping):
            return self.scalar.resolve_present(value, path, resolution)
        name, kind = value.get("env"), self.scalar.describe()
        if len(value) != 1 or not isinstance(name, str):
            got = reprlib.repr(dict(value))
            return resolution.problem(path, f"Expected {kind} or {{'env': 'NAME'}}, got dict {got}")
        if resolution.environ is None:
            resolution.flaws += 1
            return ABSENT
        if name not in resolution.environ:
            return resolution.problem(path, f"The environment variable {name!r} is not set")
        text = resolution.environ[name]
        take_from_environment(EnvironmentValue(path, name, text))
        try:
            return _BOOLS[text.lower()] if kind == "bool" else self.scalar.kind(text)
        except (KeyError, ValueError):  # what the variable holds may be a secret, so it is not shown
            message = f"The environment variable {name!r} does not hold a value of type {kind}"
            return resolution.problem(path, message)


class ChoiceType(ConfigType, frozen=True):
    """One of a closed set of values; in the table by (type, value), which keeps 1 and True apart."""

    choices: tuple[Any, ...]
    table: dict[tuple[type, Any], Any]

    def describe(self) -> str:
        return " | ".join(map(repr, self.choices))

    def sample(self) -> Any:
        return self.choices[0]

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        try:
            return self.table[type(value), value]
        except (KeyError, TypeError):  # a TypeError is a list or dict, which has no hash
            if not isinstance(value, str) or not all(isinstance(choice, str) for choice in self.choices):
                return resolution.mismatch(self, value, path)
        text = str.__str__(value)
        if (str, text) in self.table:
            return self.table[str, text]
        hint = did_you_mean(text, self.choices)
        return resolution.problem(path, f"{reprlib.repr(text)} is not one of the choices.{hint}")


class NoneableType(ConfigType, frozen=True):
    """None, or a value of another type."""

    inner: ConfigType

    def describe(self) -> str:
        return f"{self.inner.describe()} | None"

    def sample(self) -> Any:
        return self.inner.sample()

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        return None if value is None else self.inner.resolve_present(value, path, resolution)


class ListType(ConfigType, frozen=True):
    """A list; or, where the kind is tuple, a list or tuple that becomes a tuple."""

    inner: ConfigType
    kind: type[list[Any] | tuple[Any, ...]] = list

    def describe(self) -> str:
        inner = self.inner.describe()
        return f"[{inner}]" if self.kind is list else f"({inner}, ...)"

    def sample(self) -> Any:
        return [self.inner.sample()]

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        if not isinstance(value, list | self.kind):
            return resolution.mismatch(self, value, path)
        members: list[Any] = list(value)
        resolve = self.inner.resolve_present
        return self.kind([resolve(item, f"{path}[{at}]", resolution) for at, item in enumerate(members)])


class MapType(ConfigType, frozen=True):
    """A dict with keys and values of one type each, in the user's order; keys are scalars or choices."""

    key: ConfigType
    inner: ConfigType

    def describe(self) -> str:
        return f"dict[{self.key.describe()}, {self.inner.describe()}]"

    def sample(self) -> Any:
        return {self.key.sample(): self.inner.sample()}

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        if not isinstance(value, Mapping):
            return resolution.mismatch(self, value, path)
        resolved: dict[Any, Any] = {}
        for given, item in value.items():
            at = child_path(path, given)
            before = len(resolution.problems)
            key = self.key.resolve_present(given, at, resolution)
            for problem in resolution.problems[before:]:
                problem.message = f"As a key: {problem.message}"
            if key is not ABSENT and key in resolved:
                resolution.problem(at, "Another entry has the same key, written otherwise")
            resolved[key] = self.inner.resolve_present(item, at, resolution)
        return resolved


class ShapeType(ConfigType, frozen=True):
    """A dict with named entries, resolved in the order of the schema; an open one takes more, as they are."""

    fields: dict[str, ConfigType]
    open: bool = False

    @property
    def required(self) -> bool:
        return any(entry.required for entry in self.fields.values())

    def describe(self) -> str:
        entries = [f"{name}: {entry.describe()}" for name, entry in self.fields.items()]
        return "{" + ", ".join([*entries, "..."] if self.open else entries) + "}"

    def sample(self) -> Any:
        return {name: entry.sample() for name, entry in self.fields.items() if entry.required}

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        if not isinstance(value, Mapping):
            return resolution.mismatch(self, value, path)
        resolved: dict[Any, Any] = {}
        for name, entry in self.fields.items():
            at = child_path(path, name)
            if name in value:
                found = entry.resolve_present(value[name], at, resolution)
            else:
                found = entry.resolve_absent(at, resolution)
            if found is not ABSENT:
                resolved[name] = found
        for name in value:
            if name in self.fields:
                continue
            if self.open:
                resolved[name] = ANY.resolve_present(value[name], child_path(path, name), resolution)
            else:
                resolution.unexpected(name, self.fields, child_path(path, name))
        return resolved

    def resolve_absent(self, path: str, resolution: Resolution) -> Any:
        return resolution.missing(self, path) if self.required else self.resolve_present({}, path, resolution)


class RecordType(ShapeType, frozen=True, kw_only=True):
    """The entries of a dataclass or Struct class, which become an instance; or an instance, copied.

    Attributes:
        cls: The class.
        parameters: Entry name -> the parameter of the class that takes it.
    """

    cls: type
    parameters: dict[str, str]

    def describe(self) -> str:
        return self.cls.__name__ + super().describe()

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        if isinstance(value, self.cls):
            try:
                return unshared(value)
            except Exception as error:  # noqa: BLE001 - copying runs code of the class
                return resolution.problem(path, f"It cannot be copied: {_said(error)}")
        before = resolution.flaws
        entries = super().resolve_present(value, path, resolution)
        if resolution.flaws > before:
            return ABSENT
        try:
            return self.cls(**{self.parameters[name]: entry for name, entry in entries.items()})
        except Exception as error:  # noqa: BLE001 - the class's own checks may raise anything
            return resolution.problem(path, f"{self.cls.__name__} refuses it: {_said(error)}")


class SelectorType(ConfigType, frozen=True):
    """A dict with exactly one of several entries."""

    fields: dict[str, ConfigType]

    @property
    def required(self) -> bool:
        return len(self.fields) > 1 or any(option.required for option in self.fields.values())

    def describe(self) -> str:
        return "one of {" + ", ".join(f"{name}: {each.describe()}" for name, each in self.fields.items()) + "}"

    def sample(self) -> Any:
        name, option = next(iter(self.fields.items()))
        return {name: option.sample()}

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        empty = value is None or (isinstance(value, Mapping) and not value)
        if empty and not self.required:
            return self.resolve_absent(path, resolution)
        if not isinstance(value, Mapping):
            return resolution.mismatch(self, value, path)
        if len(value) != 1:
            known, got = ", ".join(map(repr, self.fields)), ", ".join(map(reprlib.repr, value)) or "none"
            return resolution.problem(path, f"Expected exactly one of {known}; got {got}")
        name, given = next(iter(value.items()))
        at = child_path(path, name)
        if name not in self.fields:
            return resolution.unexpected(name, self.fields, at)
        option = self.fields[name]
        inner = option.inner if isinstance(option, FieldType) else option
        if given is None and isinstance(inner, ShapeType | SelectorType):
            given = {}  # ``storage: {filesystem: }`` in YAML chooses, and leaves the rest to the defaults
        return {name: option.resolve_present(given, at, resolution)}

    def resolve_absent(self, path: str, resolution: Resolution) -> Any:
        if self.required:
            return resolution.missing(self, path)
        name, option = next(iter(self.fields.items()))
        found = option.resolve_absent(child_path(path, name), resolution)
        return {name: None if found is ABSENT else found}


class ConstrainedType(ConfigType, frozen=True):
    """A type narrowed by `msgspec.Meta`; the hint is the builtin type of its values with that annotation."""

    inner: ConfigType
    hint: Any

    def describe(self) -> str:
        return self.inner.describe()

    def sample(self) -> Any:
        return self.inner.sample()

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        before = resolution.flaws
        resolved = self.inner.resolve_present(value, path, resolution)
        if resolution.flaws > before:
            return ABSENT
        try:
            convert(resolved, self.hint)
        except ValidationError as error:
            words = str(error).replace("`array`", "list").replace("`object`", "dict").replace("`", "")
            return resolution.problem(path, words)
        return resolved


class FieldType(ConfigType, frozen=True):
    """A type with what it means to leave it out.

    Attributes:
        inner: The type.
        default: As the user would have given it; `ABSENT` for none.
        factory: Makes the default, where it is a class's field that has a factory.
        is_required: True or False as the author says; None where there is a default.
    """

    inner: ConfigType
    default: Any = ABSENT
    factory: Callable[[], Any] | None = None
    is_required: bool | None = None

    @property
    def required(self) -> bool:
        return bool(self.is_required)

    def describe(self) -> str:
        if self.factory is not None:
            return f"{self.inner.describe()} = {getattr(self.factory, '__name__', '…')}()"
        if self.default is not ABSENT:
            return f"{self.inner.describe()} = {reprlib.repr(self.default)}"
        return self.inner.describe() + ("" if self.is_required else "?")

    def sample(self) -> Any:
        return self.inner.sample()

    def resolve_present(self, value: Any, path: str, resolution: Resolution) -> Any:
        return self.inner.resolve_present(value, path, resolution)

    def resolve_absent(self, path: str, resolution: Resolution) -> Any:
        default = unshared(self.default)
        if self.factory is not None:
            try:
                default = self.factory()
            except Exception as error:  # noqa: BLE001 - a user's function may raise anything
                return resolution.problem(path, f"The default could not be made: {_said(error)}")
        if default is not ABSENT:
            return self.inner.resolve_present(default, path, resolution)
        return resolution.missing(self, path) if self.is_required else ABSENT


ANY: Final = AnyType()
NO_SCHEMA: Final = FieldType(ANY, is_required=False)
"""Where there is no schema: anything is accepted as it is, and nothing needs to be given."""
