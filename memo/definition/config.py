"""Config schemas: what authors write after ``config_schema=``, compiled into config types.

A schema is a Python type, a dict of named entries, a list of one, one of the words below, or a class::

    {"limit": Field(int, default_value=5), "columns": [str], "mode": Enum("Mode", [EnumValue("fast")])}
"""

from __future__ import annotations

import os
import reprlib
from collections.abc import Hashable, Mapping, Sequence
from enum import Enum as PythonEnum
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NoReturn,
    Union,
    get_args,
    get_origin,
)

from msgspec import NODEFAULT, Meta, Struct, ValidationError, convert, structs

from memo.definition.config_resolving import ABSENT, Resolution, child_path, unshared
from memo.definition.config_types import (
    ANY,
    NO_SCHEMA,
    ChoiceType,
    ConfigType,
    ConstrainedType,
    FieldType,
    ListType,
    MapType,
    NoneableType,
    RecordType,
    ScalarType,
    SelectorType,
    ShapeType,
    SourceType,
)
from memo.errors import ConfigError, ConfigProblem, DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "ABSENT",
    "Array",
    "BoolSource",
    "ConfigType",
    "Enum",
    "EnumValue",
    "Field",
    "IntSource",
    "Map",
    "Noneable",
    "Permissive",
    "Selector",
    "Shape",
    "StringSource",
    "check_config",
    "compile_schema",
    "resolve",
    "resolve_into",
]

StringSource: Final = SourceType(ScalarType(str), "StringSource")
"""A str, or ``{"env": NAME}``."""

IntSource: Final = SourceType(ScalarType(int), "IntSource")
"""An int, or ``{"env": NAME}``."""

BoolSource: Final = SourceType(ScalarType(bool), "BoolSource")
"""A bool, or ``{"env": NAME}`` for a variable that holds true, false, 1 or 0 in any case."""


class Field(Struct, frozen=True):
    """An entry of a schema with a default, a description, or a word on whether it must be given.

    Attributes:
        config: The schema of its value.
        default_value: Used where the entry is left out; it must fit the schema.
        is_required: Unless given, True where there is no default and the schema has none of its own.
            False without a default means that an entry left out stays out.
        description: What it is for.
    """

    config: object
    default_value: Any = ABSENT
    is_required: bool | None = None
    description: str | None = None


class Shape(Struct, frozen=True):
    """A dict with these entries and no others; a plain dict means the same."""

    fields: Mapping[str, object]
    description: str | None = None


class Permissive(Struct, frozen=True):
    """A dict with these entries and any others; ``dict`` means ``Permissive()``."""

    fields: Mapping[str, object] | None = None
    description: str | None = None


class Selector(Struct, frozen=True):
    """A dict with exactly one of these entries."""

    fields: Mapping[str, object]
    description: str | None = None


class Array(Struct, frozen=True):
    """A list; ``[T]`` and ``list[T]`` mean the same."""

    inner_type: object


class Noneable(Struct, frozen=True):
    """None or a value of another type, and None where it is left out; ``T | None`` means the same."""

    inner_type: object


class Map(Struct, frozen=True):
    """A dict with any keys of one scalar type; ``{K: V}`` and ``dict[K, V]`` mean the same."""

    key_type: object
    inner_type: object
    key_label_name: str | None = None


class EnumValue(Struct, frozen=True):
    """A value of an `Enum`: as it is written in config, and what it stands for (itself, unless given)."""

    config_value: str
    python_value: Any = None
    description: str | None = None


class Enum(Struct, frozen=True):
    """One of a closed set of strings, each standing for a Python value."""

    name: str
    enum_values: Sequence[EnumValue]

    @classmethod
    def from_python_enum(cls, enum: type[PythonEnum], name: str | None = None) -> Enum:
        """Take the members of a Python enum by their names; the enum class itself means the same."""
        return cls(name or enum.__name__, [EnumValue(key, member) for key, member in enum.__members__.items()])


_WORDS = (Field, Shape, Permissive, Selector, Array, Noneable, Map, Enum, EnumValue, ConfigType)
_SCALARS = (int, float, str, bool)
_ALLOWED = (
    "int, float, str, bool, typing.Any, a dict of entries, dict, [T], list[T], tuple[T, ...], {K: V}, "
    "dict[K, V], T | None, Literal, Array, Map, Noneable, Shape, Permissive, Selector, Enum, StringSource, "
    "IntSource, BoolSource, a Python enum, a dataclass or msgspec Struct class, and Field around any of them"
)
_BARE: dict[Any, ConfigType] = {
    Any: ANY,
    object: ANY,
    dict: ShapeType({}, open=True),
    list: ListType(ANY),
    tuple: ListType(ANY, tuple),
}
_CONSTRAINTS = ("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length", "tz")


def compile_schema(schema: object, *, where: str = "") -> ConfigType:
    """Compile what an author wrote into a config type.

    Args:
        schema: A schema; None accepts any config.
        where: The definition it belongs to, for the front of errors.

    Raises:
        DefinitionError: It is no schema, contains itself, or a default does not fit.

    >>> compile_schema({"limit": Field(int, default_value=5), "columns": [str]}).describe()
    '{limit: int = 5, columns: [str]}'
    """
    if schema is None:
        return NO_SCHEMA
    try:
        return _Compiler(where).entry(schema, "")
    except RecursionError:
        raise DefinitionError("the config schema is nested too deeply", where=where) from None


def resolve(config_type: ConfigType, value: Any, *, path: str, environ: Mapping[str, str] | None = None) -> Any:
    """Check a config value and fill in its defaults.

    Args:
        config_type: What `compile_schema` made of the schema.
        value: What the user gave; `ABSENT` for nothing.
        path: Where the value stands in the run config, as ``ops.clean.config``.
        environ: Where ``{"env": NAME}`` is looked up; `os.environ` unless given.

    Returns:
        The resolved value; None for an entry that was left out, may be, and has no default.

    Raises:
        ConfigError: With every problem found.

    >>> resolve(compile_schema({"limit": Field(int, default_value=5)}), ABSENT, path="ops.clean.config")
    {'limit': 5}
    """
    problems: list[ConfigProblem] = []
    resolved = resolve_into(config_type, value, path=path, problems=problems, environ=environ)
    if problems:
        raise ConfigError(problems)
    return resolved


def resolve_into(
    config_type: ConfigType,
    value: Any,
    *,
    path: str,
    problems: list[ConfigProblem],
    environ: Mapping[str, str] | None = None,
) -> Any:
    """As `resolve`, but append the problems to a list and go on; the result is None where there were any."""
    if value is ABSENT and config_type is NO_SCHEMA:
        return None
    resolution = Resolution(problems, os.environ if environ is None else environ)
    if value is ABSENT:
        resolved = config_type.resolve_absent(path, resolution)
    else:
        resolved = config_type.resolve_present(value, path, resolution)
    return None if resolution.flaws or resolved is ABSENT else resolved


def check_config(config_type: ConfigType, value: Any) -> list[ConfigProblem]:
    """What is wrong with a config, as far as that can be told without reading the environment."""
    problems: list[ConfigProblem] = []
    config_type.resolve_present(value, "", Resolution(problems, None))
    return problems


class _Compiler:
    """Compiles one schema. Its methods take a part of it, and where that part is (``at``)."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.within: set[int] = set()
        """The ids of the parts that the current part is in."""
        self.from_env = False
        """Whether every scalar may come from the environment, as it may within a class."""

    def refuse(self, at: str, message: str) -> NoReturn:
        raise DefinitionError(f"the config schema{at and f' at {at}'} {message}", where=self.where) from None

    def entry(self, schema: object, at: str) -> ConfigType:
        """Compile what may be left out: an entry of a dict, or the schema as a whole."""
        return self.field(schema if isinstance(schema, Field) else Field(schema), at)

    def field(self, field: Field, at: str) -> ConfigType:
        inner, default = self.part(field.config, at), field.default_value
        description = field.description or inner.description
        is_required: Any = field.is_required
        if is_required not in (None, True, False):
            self.refuse(at, f"has is_required={is_required!r}; it must be True or False")
        if default is ABSENT and is_required is None:
            if not isinstance(inner, NoneableType):
                return structs.replace(inner, description=description) if description else inner
            default = None
        if default is not ABSENT and is_required:
            self.refuse(at, "is required and has a default: give is_required or default_value, not both")
        default = self.checked(inner, default, at)
        return FieldType(inner, default, is_required=is_required, description=description)

    def checked(self, inner: ConfigType, default: Any, at: str) -> Any:
        """A copy of a default, once it is known to fit."""
        if default is ABSENT:
            return ABSENT
        problems = check_config(inner, default)
        if problems:
            self.refuse(at, f"has a default that does not fit: {'; '.join(map(str, problems))}")
        try:
            return unshared(default)
        except Exception as error:  # noqa: BLE001 - copying runs code of the value's class
            self.refuse(at, f"has a default that cannot be copied: {type(error).__name__}: {error}")

    def part(self, schema: object, at: str) -> ConfigType:
        """Compile what must be there."""
        if isinstance(schema, ConfigType):
            return schema
        if id(schema) in self.within:
            self.refuse(at, "contains itself; where the nesting has no end, use typing.Any or Permissive")
        self.within.add(id(schema))
        try:
            if isinstance(schema, type):
                return self.of_class(schema, at)
            return self.of_word(schema, at) if get_origin(schema) is None else self.of_hint(schema, at)
        finally:
            self.within.discard(id(schema))

    def of_class(self, cls: type, at: str) -> ConfigType:
        if cls in _SCALARS:
            scalar = ScalarType(cls)
            return SourceType(scalar, cls.__name__) if self.from_env else scalar
        if cls in _BARE:
            return _BARE[cls]
        if issubclass(cls, PythonEnum):
            return self.of_enum(Enum.from_python_enum(cls), at)
        if not issubclass(cls, _WORDS) and (issubclass(cls, Struct) or hasattr(cls, "__dataclass_fields__")):
            return self.of_record(cls, at)
        return self.refuse_type(cls, at)

    def of_word(self, schema: Any, at: str) -> ConfigType:  # noqa: C901, PLR0911 - a case a word
        match schema:
            case Mapping():
                if len(schema) == 1 and not isinstance(key := next(iter(schema)), str):
                    return self.of_map(key, schema[key], at)
                return ShapeType(self.entries(schema, at))
            case Shape() | Permissive():
                fields = {} if schema.fields is None else schema.fields
                is_open = isinstance(schema, Permissive)
                return ShapeType(self.entries(fields, at), is_open, description=schema.description or "")
            case Selector():
                if not (options := self.entries(schema.fields, at)):
                    self.refuse(at, "is a Selector without entries to choose from")
                return SelectorType(options, description=schema.description or "")
            case list():
                if len(schema) != 1:
                    self.refuse(at, f"is a list of {len(schema)}; write [T] for a list whose members are T")
                return ListType(self.part(schema[0], f"{at}[]"))
            case Array():
                return ListType(self.part(schema.inner_type, f"{at}[]"))
            case Noneable():
                return self.of_optional(schema.inner_type, at)
            case Map():
                return self.of_map(schema.key_type, schema.inner_type, at)
            case Enum():
                return self.of_enum(schema, at)
            case _:
                return self.refuse_type(schema, at)

    def of_hint(self, hint: Any, at: str) -> ConfigType:  # noqa: PLR0911 - a return a form
        origin: Any = get_origin(hint)
        members = get_args(hint)
        if not members and origin is not tuple:  # a bare typing.List; tuple[()] is no bare tuple
            return self.part(origin, at)
        if origin is Annotated:
            return self.constrained(self.part(members[0], at), members[1:], at)
        if origin is Literal:
            if not all(value is None or type(value) in {str, int, bool} for value in members):
                self.refuse(at, f"is {hint}: a Literal is of str, int, bool and None")
            return ChoiceType(members, {(type(value), value): value for value in members})
        if origin in {Union, UnionType}:
            first, *others = [member for member in members if member is not NoneType]
            if others:
                self.refuse(at, f"is {hint}: of unions only T | None is allowed; see Selector")
            return self.of_optional(first, at)
        if origin is list or (origin is tuple and members[1:] == (...,)):
            return ListType(self.part(members[0], f"{at}[]"), origin)
        if origin is dict:
            return self.of_map(members[0], members[1], at)
        return self.refuse_type(hint, at)

    def entries(self, fields: Any, at: str) -> dict[str, ConfigType]:
        if not isinstance(fields, Mapping):
            self.refuse(at, f"must name its entries in a dict, not in {_named(fields)}")
        for name in fields:
            if not isinstance(name, str):
                self.refuse(at, f"has an entry named {_named(name)}: names are strings; {{K: V}} stands alone")
        return {name: self.entry(inner, child_path(at, name)) for name, inner in fields.items()}

    def of_optional(self, inner_type: object, at: str) -> ConfigType:
        inner = self.part(inner_type, at)
        return inner if isinstance(inner, NoneableType) else NoneableType(inner)

    def of_map(self, key_type: object, inner_type: object, at: str) -> ConfigType:
        from_env, self.from_env = self.from_env, False  # a dict has no hash, so it is no key
        key = self.part(key_type, f"{at}[]")
        self.from_env = from_env
        if not isinstance(key, ScalarType | ChoiceType):
            self.refuse(at, f"has keys of type {key.describe()}: keys are scalars, an enum or a Literal")
        if isinstance(key, ChoiceType) and not all(isinstance(each, Hashable) for each in key.table.values()):
            self.refuse(at, "has keys of an Enum that stand for values which have no hash")
        return MapType(key, self.part(inner_type, f"{at}[]"))

    def of_enum(self, word: Enum, at: str) -> ConfigType:
        values: list[Any] = list(word.enum_values)
        table: dict[tuple[type, Any], Any] = {}
        for value in values:
            if not isinstance(value, EnumValue) or type(value.config_value) is not str:
                self.refuse(at, f"is an Enum with {_named(value)}; its values are EnumValue('a string')")
            if (str, value.config_value) in table:
                self.refuse(at, f"is an Enum with {value.config_value!r} twice")
            meant = value.config_value if value.python_value is None else value.python_value
            table[str, value.config_value] = meant
            if isinstance(meant, PythonEnum):
                table[type(meant), meant] = meant
        if not values:
            self.refuse(at, f"is the Enum {word.name!r}, which has no values")
        return ChoiceType(tuple(value.config_value for value in values), table)

    def constrained(self, inner: ConfigType, metadata: Sequence[object], at: str) -> ConfigType:
        constraints = [
            each
            for each in metadata
            if isinstance(each, Meta) and any(getattr(each, name) is not None for name in _CONSTRAINTS)
        ]
        if not constraints:
            return inner
        if isinstance(inner, NoneableType):
            return NoneableType(self.constrained(inner.inner, constraints, at))
        if type(inner) not in {ScalarType, SourceType, ListType, MapType, ShapeType}:
            self.refuse(at, f"has msgspec.Meta constraints on {inner.describe()}, where they mean nothing")
        annotated: Any = Annotated
        hint = annotated[type(inner.sample()), *constraints]
        try:
            convert(inner.sample(), hint)
        except ValidationError:
            pass  # a sample need not keep to the constraints
        except TypeError as error:
            self.refuse(at, f"has a constraint that does not apply: {error}")
        return ConstrainedType(inner, hint)

    def of_record(self, cls: type, at: str) -> ConfigType:
        from_env, self.from_env = self.from_env, True
        fields: dict[str, ConfigType] = {}
        parameters: dict[str, str] = {}
        try:
            declared = list(_fields_of(cls))
        except (NameError, TypeError, AttributeError) as error:
            self.refuse(at, f"is the class {cls.__name__}, whose annotations cannot be read: {error}")
        for name, parameter, hint, default, factory in declared:
            place = child_path(at or cls.__name__, name)
            inner = self.part(hint, place)
            given = default is not ABSENT or factory is not None
            fields[name] = FieldType(inner, self.checked(inner, default, place), factory, None if given else True)
            parameters[name] = parameter
        self.from_env = from_env
        return RecordType(fields, cls=cls, parameters=parameters)

    def refuse_type(self, schema: Any, at: str) -> NoReturn:
        hint = ""
        if isinstance(schema, Field):
            hint = "Field stands around an entry of a dict or a whole schema, not within another type. "
        elif isinstance(schema, _SCALARS):
            hint = f"For a default, write Field({type(schema).__name__}, default_value={schema!r}). "
        elif isinstance(schema, type) and issubclass(schema, _WORDS):
            hint = f"Write {schema.__name__}(...). "
        self.refuse(at, f"is {_named(schema)}, which is no config type. {hint}Allowed: {_ALLOWED}")


def _named(schema: object) -> str:
    return f"the class {schema.__qualname__}" if isinstance(schema, type) else reprlib.repr(schema)


def _fields_of(cls: Any) -> Iterator[tuple[str, str, Any, Any, Callable[[], Any] | None]]:
    """The parameters of a record class: name in config, name in Python, type, default, default factory."""
    if issubclass(cls, Struct):
        for spec in structs.fields(cls):
            default = ABSENT if spec.default is NODEFAULT else spec.default
            factory = None if spec.default_factory is NODEFAULT else spec.default_factory
            yield spec.encode_name, spec.name, spec.type, default, factory
        return
    from dataclasses import MISSING, InitVar
    from typing import get_type_hints

    hints = get_type_hints(cls, include_extras=True)
    for name, field in cls.__dataclass_fields__.items():
        hint = hints[name]
        if not field.init or hint is ClassVar or get_origin(hint) is ClassVar:
            continue
        default = ABSENT if field.default is MISSING else field.default
        factory = None if field.default_factory is MISSING else field.default_factory
        yield name, name, hint.type if isinstance(hint, InitVar) else hint, default, factory
