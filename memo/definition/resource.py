"""Resources and IO managers: what ops are handed, made once for a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_origin, overload

from memo.contracts.io_manager import IOManager
from memo.definition.composition import current
from memo.definition.config import ABSENT, compile_schema
from memo.definition.definition import Definition, check_function
from memo.definition.names import (
    called_at,
    check_instance,
    check_resource_keys,
    check_version,
    doc_of,
    location_of,
    name_of,
)
from memo.definition.preset import Preset, preset_from, resolve_config
from memo.definition.signature import takes_context
from memo.definition.source import check_depends_on, check_ignore
from memo.errors import DefinitionError, InvocationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from memo.contracts.io_manager import InputContext, IOManagerSpec, OutputContext
    from memo.definition.config import ConfigType

_NOT_HARDCODED: Any = object()


class ResourceDefinition(Definition):
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
        depends_on: Sequence[Any] | None = None,
        ignore: Iterable[str] | None = None,
        name: str | None = None,
        hardcoded_value: Any = _NOT_HARDCODED,
    ) -> None:
        check_function(resource_fn, "resource")
        self.resource_fn = resource_fn
        self.is_hardcoded = hardcoded_value is not _NOT_HARDCODED
        self.hardcoded_value = hardcoded_value if self.is_hardcoded else None
        self.name = name or name_of(resource_fn)
        self._location = "" if name else location_of(resource_fn)
        self.description = description or doc_of(resource_fn)
        self.config_schema = _compiled(config_schema, self.where)
        self.required_resource_keys = check_resource_keys(required_resource_keys, self.where)
        self.version = check_version(version, self.where)
        self.depends_on = check_depends_on(depends_on, self.where)
        self.ignore = check_ignore(ignore, self.where)
        self.preset_config: Preset | None = None
        self.takes_context = takes_context(resource_fn, self.where)
        self.__name__ = self.name
        self.__doc__ = self.description

    @property
    def compute_fn(self) -> Callable[..., Any] | None:
        """The decorated function; None for a resource that is given, not made."""
        return None if self.is_hardcoded else self.resource_fn

    def resolve_config(self, given: Any, path: str) -> Any:
        """Check a config against the schema and fill in its defaults.

        Raises:
            ConfigError: With every problem and its path.
        """
        return resolve_config(self.config_schema, given, path, self.preset_config)

    def configured(self, config_or_config_fn: Any, config_schema: Any = None, description: str | None = None) -> Self:
        """Make a copy of this resource whose config is given here.

        Args:
            config_or_config_fn: The config, or a function from a new config to it.
            config_schema: Of the function's argument.
            description: Of the copy.

        Raises:
            DefinitionError: The config does not fit.
        """
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.config_schema, copy.preset_config = preset_from(config_or_config_fn, config_schema, self)
        copy.description = description or self.description
        return copy

    @staticmethod
    def hardcoded_resource(value: Any, description: str | None = None) -> ResourceDefinition:
        """Make a resource of a value that is at hand; it counts in versions by type and content."""
        return ResourceDefinition(
            lambda: value, description=description, name=type(value).__name__, hardcoded_value=value
        )

    @staticmethod
    def none_resource(description: str | None = None) -> ResourceDefinition:
        """Make a resource that is None."""
        return ResourceDefinition.hardcoded_resource(None, description)

    @staticmethod
    def string_resource(description: str | None = None) -> ResourceDefinition:
        """Make a resource that is the string given as its config."""
        return ResourceDefinition(
            _configured_string, config_schema=str, description=description, name="string_resource"
        )

    @staticmethod
    def mock_resource(description: str | None = None) -> ResourceDefinition:
        """Make a resource that is a `unittest.mock.MagicMock`."""
        return ResourceDefinition(_mock, description=description, name="mock_resource")

    def __call__(self, init_context: Any = None) -> Any:
        """Make the resource directly, as in a test, with a context from `build_init_resource_context`.

        The context's config is checked and its defaults are filled in. Gives what the function returns: for a generator
        the generator.

        Raises:
            ConfigError: The config does not fit.
            DefinitionError: Called in the body of a graph.
            InvocationError: The function takes a context, and none was given.
        """
        if current() is not None:
            raise DefinitionError(
                f"is a {self.kind}: name it in required_resource_keys, do not call it in a graph's body",
                where=self.where,
            )
        if not self.takes_context:
            return self.resource_fn()
        if init_context is None:
            raise InvocationError(
                "needs a context: pass build_init_resource_context(config=…, resources=…)", where=self.where
            )
        from copy import copy

        bound = copy(init_context)
        given = ABSENT if init_context.resource_config is None else init_context.resource_config
        bound.resource_config = self.resolve_config(given, "config")
        return self.resource_fn(bound)


def _configured_string(init_context: Any) -> str:
    return str(init_context.resource_config)


def _mock() -> Any:
    from unittest.mock import MagicMock

    return MagicMock()


class IOManagerDefinition(ResourceDefinition):
    """How an IO manager is made. The names of IO managers and their config are in no version.

    Attributes:
        spec: What a family offers, where it is made of that.
    """

    kind = "IO manager"
    spec: IOManagerSpec | None = None

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
        depends_on: Sequence[Any] | None = None,
        ignore: Iterable[str] | None = None,
        name: str | None = None,
        hardcoded_value: Any = _NOT_HARDCODED,
    ) -> None:
        super().__init__(
            resource_fn,
            config_schema,
            description,
            required_resource_keys,
            version,
            depends_on=depends_on,
            ignore=ignore,
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
        check_instance(value, IOManager, "hardcoded_io_manager's value", "an IOManager", "")
        return IOManagerDefinition(
            lambda: value, description=description, name=type(value).__name__, hardcoded_value=value
        )

    @staticmethod
    def from_spec(spec: IOManagerSpec) -> IOManagerDefinition:
        """Make a definition of what a family offers."""
        made = IOManagerDefinition(
            spec.create,
            config_schema=spec.config_schema,
            description=spec.description,
            required_resource_keys=spec.required_resource_keys,
            name=spec.name,
        )
        made.spec = spec
        return made


class InputManagerDefinition(IOManagerDefinition):
    """How an input is loaded from elsewhere, or in another way than its upstream output's IO manager would.

    Attributes:
        load_fn: Takes the `InputContext`, or nothing, and gives the value.
    """

    kind = "input manager"

    def __init__(
        self,
        load_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: Iterable[str] | None = None,
        version: str | None = None,
        *,
        input_config_schema: Any = None,
        depends_on: Sequence[Any] | None = None,
        ignore: Iterable[str] | None = None,
    ) -> None:
        super().__init__(
            load_fn,
            config_schema,
            description,
            required_resource_keys,
            version,
            input_config_schema=input_config_schema,
            depends_on=depends_on,
            ignore=ignore,
        )
        manager = _FunctionInputManager(load_fn if self.takes_context else lambda _: load_fn())
        self.load_fn = load_fn
        self.resource_fn = lambda: manager
        self.takes_context = False

    @property
    def compute_fn(self) -> Callable[..., Any]:
        """The decorated function, which loads."""
        return self.load_fn


class _FunctionInputManager(IOManager):
    """An IO manager that only loads, through the function that `input_manager` decorated."""

    def __init__(self, load: Callable[[InputContext], Any]) -> None:
        self._load = load

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        raise InvocationError(f"an input manager stores nothing, {type(obj).__name__} neither", where=repr(context))

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
        raise DefinitionError(
            f"resource_defs[{key!r}] is the class {value.__name__}; give an instance: {value.__name__}(…)",
            where=called_at(),
        )
    if isinstance(value, Definition):
        raise DefinitionError(
            f"resource_defs[{key!r}] is the {value.kind} {value.name!r}; give a resource", where=value.where
        )
    return ResourceDefinition.hardcoded_resource(value)


@overload
def resource(config_schema: Callable[..., Any]) -> ResourceDefinition: ...


@overload
def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
    *,
    depends_on: Sequence[Any] | None = None,
    ignore: Iterable[str] | None = None,
) -> Callable[[Callable[..., Any]], ResourceDefinition]: ...


def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
    *,
    depends_on: Sequence[Any] | None = None,
    ignore: Iterable[str] | None = None,
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
        depends_on: What it reaches in ways that cannot be seen; see `op`.
        ignore: The names of what is not to count though its code reaches it; see `op`.

    >>> @resource(config_schema={"path": str})
    ... def database(init_context):
    ...     connection = open(init_context.resource_config["path"])
    ...     yield connection
    ...     connection.close()
    """
    if _is_bare(config_schema):
        return ResourceDefinition(config_schema)

    def define(fn: Callable[..., Any]) -> ResourceDefinition:
        return ResourceDefinition(
            fn, config_schema, description, required_resource_keys, version, depends_on=depends_on, ignore=ignore
        )

    return define


def _is_bare(first: Any) -> bool:
    """Whether a decorator was used without parentheses: its first argument is the function, not a config schema."""
    return callable(first) and not isinstance(first, type) and get_origin(first) is None


@overload
def io_manager(config_schema: Callable[..., IOManager]) -> IOManagerDefinition: ...


@overload
def io_manager(
    config_schema: Any = None,
    description: str | None = None,
    output_config_schema: Any = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    *,
    version: str | None = None,
) -> Callable[[Callable[..., IOManager]], IOManagerDefinition]: ...


def io_manager(
    config_schema: Any = None,
    description: str | None = None,
    output_config_schema: Any = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    *,
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
    *,
    depends_on: Sequence[Any] | None = None,
    ignore: Iterable[str] | None = None,
) -> Callable[[Callable[..., Any]], InputManagerDefinition]: ...


def input_manager(
    config_schema: Any = None,
    description: str | None = None,
    input_config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    version: str | None = None,
    *,
    depends_on: Sequence[Any] | None = None,
    ignore: Iterable[str] | None = None,
) -> InputManagerDefinition | Callable[[Callable[..., Any]], InputManagerDefinition]:
    """Make a function that loads an input, named by ``In(input_manager_key=)``.

    The function takes the `InputContext` and returns the value. For an input that nothing is connected to, its code,
    its config and the input's config are what the input's version is made of. ``depends_on`` and ``ignore`` as in `op`.
    """
    if _is_bare(config_schema):
        return InputManagerDefinition(config_schema)

    def define(fn: Callable[..., Any]) -> InputManagerDefinition:
        return InputManagerDefinition(
            fn,
            config_schema,
            description,
            required_resource_keys,
            version,
            input_config_schema=input_config_schema,
            depends_on=depends_on,
            ignore=ignore,
        )

    return define
