"""Resources and IO managers: what ops are handed, made once for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from memo.contracts.io_manager import IOManager
from memo.definition.composition import current
from memo.definition.config import ABSENT, compile_schema, resolve
from memo.definition.names import described, location_of
from memo.definition.op import check_resource_keys, preset_from, resolve_preset
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memo.contracts.io_manager import InputContext, IOManagerSpec
    from memo.definition.config import ConfigType

_NOT_HARDCODED: Any = object()


class ResourceDefinition:
    """How a resource is made: a function from its config and the resources it requires.

    Attributes:
        resource_fn: Takes the init context, or nothing. A generator function is torn down after the run: what
            follows its ``yield`` runs in the reverse order of making.
        hardcoded_value: The value of a resource that is not made but given.
    """

    kind = "resource"

    def __init__(
        self,
        resource_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: Iterable[str] | None = None,
        version: str | None = None,
        *,
        name: str | None = None,
        hardcoded_value: Any = _NOT_HARDCODED,
        preset_config: Any = ABSENT,
    ) -> None:
        self.resource_fn = resource_fn
        self.name = name or getattr(resource_fn, "__name__", None) or type(resource_fn).__name__
        self.location = location_of(resource_fn)
        self.description = description or getattr(resource_fn, "__doc__", None)
        self.config_schema: ConfigType | None = (
            compile_schema(config_schema, where=self.where) if config_schema is not None else None
        )
        self.required_resource_keys = check_resource_keys(required_resource_keys, self.where)
        if version is not None and (type(version) is not str or not version):
            raise DefinitionError(f"version is {version!r}; it must be a non-empty string", where=self.where)
        self.version = version
        self.is_hardcoded = hardcoded_value is not _NOT_HARDCODED
        self.hardcoded_value = hardcoded_value if self.is_hardcoded else None
        self.preset_config = preset_config
        self.takes_context = _takes_context(resource_fn)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name!r}>"

    @property
    def where(self) -> str:
        """The resource and its place in the user's files, for the front of an error."""
        return described(self.kind, self.name, location=self.location)

    @property
    def compute_fn(self) -> Callable[..., Any] | None:
        """The decorated function; None for a resource that is given, not made."""
        return None if self.is_hardcoded else self.resource_fn

    def resolve_config(self, given: Any, path: str) -> Any:
        """Check a config against the schema and fill in its defaults.

        Raises:
            ConfigError: With every problem and its path.
        """
        if self.preset_config is not ABSENT:
            return resolve_preset(self.preset_config, self.config_schema, given, path)
        if self.config_schema is None:
            return None if given is ABSENT else given
        return resolve(self.config_schema, given, path=path)

    def configured(self, config_or_config_fn: Any, config_schema: Any = None, description: str | None = None) -> Any:
        """Make a copy of this resource whose config is given here.

        Args:
            config_or_config_fn: The config, or a function from a new config to it.
            config_schema: Of the function's argument.
            description: Of the copy.
        """
        schema, preset = preset_from(config_or_config_fn, config_schema, self.resolve_config, self.where)
        copy: Any = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.config_schema = schema
        copy.preset_config = preset
        copy.description = description or self.description
        return copy

    @staticmethod
    def hardcoded_resource(value: Any, description: str | None = None) -> ResourceDefinition:
        """Make a resource of a value that is at hand; it counts in versions by type and content."""
        return ResourceDefinition(
            lambda: value, description=description, name=type(value).__name__, hardcoded_value=value,
        )

    @staticmethod
    def none_resource(description: str | None = None) -> ResourceDefinition:
        """Make a resource that is None."""
        return ResourceDefinition.hardcoded_resource(None, description)

    @staticmethod
    def string_resource(description: str | None = None) -> ResourceDefinition:
        """Make a resource that is the string given as its config."""
        return ResourceDefinition(_configured_string, config_schema=str, description=description, name="string_resource")

    @staticmethod
    def mock_resource(description: str | None = None) -> ResourceDefinition:
        """Make a resource that is a `unittest.mock.MagicMock`."""
        return ResourceDefinition(_mock, description=description, name="mock_resource")

    def __call__(self, init_context: Any = None) -> Any:
        """Make the resource directly, as in a test, with a context from `build_init_resource_context`."""
        if current() is not None:
            raise DefinitionError("is a resource: name it in required_resource_keys, do not call it here", where=self.where)
        return self.resource_fn(init_context) if self.takes_context else self.resource_fn()


def _configured_string(init_context: Any) -> str:
    return str(init_context.resource_config)


def _mock() -> Any:
    from unittest.mock import MagicMock

    return MagicMock()


def _takes_context(fn: Any) -> bool:
    code = getattr(fn, "__code__", None)
    if code is not None and not hasattr(fn, "__wrapped__"):
        return bool(code.co_argcount) and len(fn.__defaults__ or ()) < code.co_argcount
    from inspect import signature

    return any(each.default is each.empty for each in signature(fn).parameters.values())


class IOManagerDefinition(ResourceDefinition):
    """How an IO manager is made. The names of IO managers and their config are in no version."""

    kind = "IO manager"

    def __init__(
        self,
        resource_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: Iterable[str] | None = None,
        version: str | None = None,
        *,
        output_config_schema: Any = None,
        input_config_schema: Any = None,
        name: str | None = None,
        hardcoded_value: Any = _NOT_HARDCODED,
    ) -> None:
        super().__init__(
            resource_fn,
            config_schema,
            description,
            required_resource_keys,
            version,
            name=name,
            hardcoded_value=hardcoded_value,
        )
        self.output_config_schema = _compiled(output_config_schema, self.where)
        self.input_config_schema = _compiled(input_config_schema, self.where)

    @staticmethod
    def hardcoded_io_manager(value: IOManager, description: str | None = None) -> IOManagerDefinition:
        """Make an IO manager definition of an IO manager that is at hand.

        Raises:
            DefinitionError: The value is no IO manager.
        """
        if not isinstance(value, IOManager):
            raise DefinitionError(f"{value!r} is no IOManager")
        return IOManagerDefinition(
            lambda: value, description=description, name=type(value).__name__, hardcoded_value=value,
        )

    @staticmethod
    def from_spec(spec: IOManagerSpec) -> IOManagerDefinition:
        """Make a definition of what a family offers."""
        return IOManagerDefinition(
            lambda init_context: spec.create(init_context),
            config_schema=spec.config_schema,
            description=spec.description,
            required_resource_keys=spec.required_resource_keys,
            name=spec.name,
        )


class InputManagerDefinition(IOManagerDefinition):
    """How an input is loaded from elsewhere, or in another way than its upstream output's IO manager would."""

    kind = "input manager"
    load_fn: Callable[..., Any]

    @property
    def compute_fn(self) -> Callable[..., Any]:
        """The decorated function, which loads."""
        return self.load_fn


class _FunctionInputManager(IOManager):
    """An IO manager that only loads, through the function that `input_manager` decorated."""

    def __init__(self, load: Callable[[InputContext], Any]) -> None:
        self._load = load

    def handle_output(self, context: Any, obj: Any) -> None:
        raise DefinitionError(f"an input manager stores nothing, and {context!r} names it as io_manager_key")

    def load_input(self, context: InputContext) -> Any:
        return self._load(context)


def _compiled(schema: Any, where: str) -> ConfigType | None:
    return compile_schema(schema, where=where) if schema is not None else None


def as_resource(value: Any, key: str) -> ResourceDefinition:
    """Take what stands in ``resource_defs``: a definition, or a value to be used as it is."""
    if isinstance(value, ResourceDefinition):
        return value
    if isinstance(value, IOManager):
        return IOManagerDefinition.hardcoded_io_manager(value)
    if isinstance(value, type) and issubclass(value, IOManager):
        raise DefinitionError(f"resource_defs[{key!r}] is the class {value.__name__}; give an instance: {value.__name__}(…)")
    return ResourceDefinition.hardcoded_resource(value)


@overload
def resource(config_schema: Callable[..., Any]) -> ResourceDefinition: ...


@overload
def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> Callable[[Callable[..., Any]], ResourceDefinition]: ...


def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> ResourceDefinition | Callable[[Callable[..., Any]], ResourceDefinition]:
    """Make a function a resource: something that ops share, made once for a run.

    The function takes the init context (``resource_config``, ``resources``, ``run_id``, ``log``), or nothing.
    A generator function yields the resource once; what follows the yield is its teardown.

    Args:
        config_schema: What ``init_context.resource_config`` must look like.
        description: The function's docstring where left out.
        required_resource_keys: Resources it reads from ``init_context.resources``; they are made before it, and
            their versions count in its own.
        version: Counts in place of what the version strategy would say of its code.

    >>> @resource(config_schema={"path": str})
    ... def database(init_context):
    ...     connection = open(init_context.resource_config["path"])
    ...     yield connection
    ...     connection.close()
    """
    if _is_bare(config_schema):
        return ResourceDefinition(config_schema)

    def define(fn: Callable[..., Any]) -> ResourceDefinition:
        return ResourceDefinition(fn, config_schema, description, required_resource_keys, version)

    return define


def _is_bare(first: Any) -> bool:
    """Whether a decorator was used without parentheses: its first argument is the function."""
    return callable(first) and not isinstance(first, type) and hasattr(first, "__code__")


@overload
def io_manager(config_schema: Callable[..., IOManager]) -> IOManagerDefinition: ...


@overload
def io_manager(
    config_schema: Any = None,
    description: str | None = None,
    output_config_schema: Any = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> Callable[[Callable[..., IOManager]], IOManagerDefinition]: ...


def io_manager(
    config_schema: Any = None,
    description: str | None = None,
    output_config_schema: Any = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> IOManagerDefinition | Callable[[Callable[..., IOManager]], IOManagerDefinition]:
    """Make a function that returns an `IOManager` usable under a resource key.

    Args:
        config_schema: Of the manager: ``init_context.resource_config``.
        description: The function's docstring where left out.
        output_config_schema: Of each output it stores: ``ops.<op>.outputs.<output>``, read as ``context.config``.
        input_config_schema: Of each input it loads: ``ops.<op>.inputs.<input>``.
        required_resource_keys: Resources it reads from ``init_context.resources``, and from the contexts.
        version: Of an input manager; IO managers are in no version.
    """
    if _is_bare(config_schema):
        return IOManagerDefinition(config_schema)

    def define(fn: Callable[..., IOManager]) -> IOManagerDefinition:
        return IOManagerDefinition(
            fn,
            config_schema,
            description,
            required_resource_keys,
            version,
            output_config_schema=output_config_schema,
            input_config_schema=input_config_schema,
        )

    return define


@overload
def input_manager(config_schema: Callable[..., Any]) -> InputManagerDefinition: ...


@overload
def input_manager(
    config_schema: Any = None,
    description: str | None = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> Callable[[Callable[..., Any]], InputManagerDefinition]: ...


def input_manager(
    config_schema: Any = None,
    description: str | None = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
) -> InputManagerDefinition | Callable[[Callable[..., Any]], InputManagerDefinition]:
    """Make a function that loads an input, named by ``In(input_manager_key=)``.

    The function takes the `InputContext` and returns the value. For an input that nothing is connected to, its code,
    its config and the input's config are what the input's version is made of.
    """

    def define(fn: Callable[..., Any], config_schema: Any = None) -> InputManagerDefinition:
        found = InputManagerDefinition(
            fn,
            config_schema,
            description,
            required_resource_keys,
            version,
            input_config_schema=input_config_schema,
        )
        manager = _FunctionInputManager(fn)
        found.load_fn = fn
        found.resource_fn = lambda: manager
        found.takes_context = False
        return found

    if _is_bare(config_schema):
        return define(config_schema)
    return lambda fn: define(fn, config_schema)
