"""Ops: a function with named inputs and outputs, config, resources and a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import Placeable, current
from memo.definition.config import compile_schema
from memo.definition.definition import check_function
from memo.definition.inference import inputs_of, outputs_of
from memo.definition.names import (
    NO_NAMES,
    NO_TAGS,
    Described,
    check_instance,
    check_mapping,
    check_name,
    check_resource_keys,
    check_tags,
    check_version,
    doc_of,
    location_of,
    name_of,
)
from memo.definition.ports import DEFAULT_OUTPUT
from memo.definition.preset import Preset, preset_from, resolve_config
from memo.definition.retry_policy import RetryPolicy
from memo.definition.signature import Signature, read_signature
from memo.definition.source import check_depends_on, check_ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from memo.definition.config import ConfigType
    from memo.definition.ports import In, Out


class OpDefinition(Placeable):
    """A function made part of pipelines by `op`.

    Called in the body of a graph or job it is placed there; called elsewhere it runs directly, as a plain
    function does, with a context from `build_op_context` where it takes one.

    Attributes:
        ins: Its inputs by name, in the order of the function's arguments, those of type Nothing last.
        outs: Its outputs by name, in order.
        loadable_inputs: The inputs that an input manager may load.
        is_configurable: Whether a run config may say anything of it besides values for unconnected inputs.
        io_manager_key: The IO manager of its outputs, where all have the same, are required and carry a value; None
            where each must be looked at.
        compute_fn: The decorated function.
        takes_context: Whether its first argument is the context.
        is_generator: Whether it yields its outputs.
        depends_on: What counts in its version besides: functions, classes, modules, other objects, and sources.
        ignore: The names of what does not count, though its code reaches it.
    """

    kind = "op"
    hardcoded_value = None

    def __init__(
        self,
        compute_fn: Callable[..., Any],
        *,
        name: str,
        ins: Mapping[str, In],
        outs: Mapping[str, Out],
        signature: Signature,
        description: str | None,
        config_schema: ConfigType | None,
        required_resource_keys: frozenset[str],
        tags: Mapping[str, str],
        version: str | None,
        retry_policy: RetryPolicy | None,
        preset_config: Preset | None = None,
        depends_on: tuple[Any, ...] = (),
        ignore: frozenset[str] = frozenset(),
    ) -> None:
        self.compute_fn = compute_fn
        self.name = name
        self.ins = ins
        self.outs = outs
        self.positional_count = len(signature.names)
        self.input_names = signature.names if len(ins) == self.positional_count else tuple(ins)
        output_names = tuple(outs)
        self.output_names = _RESULT if output_names == _RESULT else output_names
        self.loadable_inputs = tuple([name for name in ins if ins[name].input_manager_key is not None])
        self.is_configurable = config_schema is not None or preset_config is not None or len(self.loadable_inputs) > 0
        self.io_manager_key = _io_manager_key(outs)
        self.takes_context = signature.takes_context
        self.is_generator = signature.is_generator
        self.is_async = signature.is_async
        self.config_schema = config_schema
        self.required_resource_keys = required_resource_keys
        self.tags = tags
        self.version = version
        self.retry_policy = retry_policy
        self.preset_config = preset_config
        self.depends_on = depends_on
        self.ignore = ignore
        self.__name__ = name_of(compute_fn)
        self.__qualname__ = getattr(compute_fn, "__qualname__", self.__name__)
        self.__module__ = getattr(compute_fn, "__module__", "")
        self.__doc__ = doc_of(compute_fn)
        self.__wrapped__ = compute_fn
        self._description = description

    @property
    def location(self) -> str:
        """Where its function stands, as ``file:line``; empty where that is unknown."""
        return location_of(self.compute_fn)

    @property
    def description(self) -> str | None:
        """What it does: as given, or its docstring."""
        return self._description or _cleaned(self.__doc__)

    def declared(self, input_name: str) -> In:
        """How an input is declared."""
        return self.ins[input_name]

    def resolve_config(self, given: Any, path: str) -> Any:
        """Check a config against the op's schema and fill in its defaults.

        Raises:
            ConfigError: With every problem and its path.
        """
        return resolve_config(self.config_schema, given, path, self.preset_config)

    def configured(
        self,
        config_or_config_fn: Any,
        name: str | None = None,
        config_schema: Any = None,
        description: str | None = None,
    ) -> OpDefinition:
        """Make a copy of this op whose config is given here.

        Args:
            config_or_config_fn: The config, or a function from the new, usually smaller, config to it.
            name: Of the copy; this op's where left out.
            config_schema: Of the function's argument.
            description: Of the copy.

        Raises:
            DefinitionError: The config does not fit.
        """
        schema, preset = preset_from(config_or_config_fn, config_schema, self)
        return OpDefinition(
            self.compute_fn,
            name=self.name if name is None else check_name(name, "an op", self.where),
            ins=self.ins,
            outs=self.outs,
            signature=read_signature(self.compute_fn, self.where),
            description=description or self._description,
            config_schema=schema,
            required_resource_keys=self.required_resource_keys,
            tags=self.tags,
            version=self.version,
            retry_policy=self.retry_policy,
            preset_config=preset,
            depends_on=self.depends_on,
            ignore=self.ignore,
        )

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Place it, in a graph's body; elsewhere run its function."""
        composition = current()
        if composition is not None:
            return composition.place(self, args, kwargs)
        from memo.definition.invocation import invoke

        return invoke(self, args, kwargs)


_RESULT = (DEFAULT_OUTPUT,)
"""The names of most ops' outputs, shared."""


def _io_manager_key(outs: Mapping[str, Out]) -> str | None:
    key: str | None = None
    for out in outs.values():
        if out.is_nothing or not out.is_required or (key is not None and key != out.io_manager_key):
            return None
        key = out.io_manager_key
    return key


def _cleaned(doc: str | None) -> str | None:
    if doc is None:
        return None
    from inspect import cleandoc

    return cleandoc(doc)


@overload
def op(compute_fn: Callable[..., Any]) -> OpDefinition: ...


@overload
def op(
    compute_fn: None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    ins: Mapping[str, In] | None = None,
    out: Out | Mapping[str, Out] | None = None,
    config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    tags: Mapping[str, object] | None = None,
    version: str | None = None,
    depends_on: Sequence[Any] | None = None,
    ignore: Iterable[str] | None = None,
    retry_policy: RetryPolicy | None = None,
) -> Callable[[Callable[..., Any]], OpDefinition]: ...


def op(
    compute_fn: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    ins: Mapping[str, In] | None = None,
    out: Out | Mapping[str, Out] | None = None,
    config_schema: Any = None,
    required_resource_keys: Iterable[str] | None = None,
    tags: Mapping[str, object] | None = None,
    version: str | None = None,
    depends_on: Sequence[Any] | None = None,
    ignore: Iterable[str] | None = None,
    retry_policy: RetryPolicy | None = None,
) -> OpDefinition | Callable[[Callable[..., Any]], OpDefinition]:
    """Make a function an op: a unit of work with named inputs and outputs.

    The arguments are the inputs; a first argument named ``context`` is the context. Annotations are checked when the
    op runs. One return value is the output ``result``; several outputs are declared with ``out=`` and returned as a
    tuple in their order, or yielded as `Output`. Functions may be async or generators.

    Args:
        compute_fn: The function, where the decorator is used bare.
        name: The function's name where left out.
        description: The function's docstring where left out.
        ins: More about inputs, by name; also the only way to declare one of type `Nothing`.
        out: One `Out`, or the outputs by name, in order.
        config_schema: What ``context.op_config`` must look like: a type, a dict of types, `Field` …, or a dataclass or
            msgspec Struct.
        required_resource_keys: The resources read from ``context.resources``.
        tags: For example ``{"memo/priority": 5}``.
        version: Any non-empty string; counts in place of what the version strategy would say of the code.
        depends_on: What the op reaches in ways that cannot be seen: functions, classes, modules and other objects,
            which count as if its code named them; paths of files and folders; and `Source`.
        ignore: The names of what is not to count though the code reaches it, as `memo why` shows them:
            ``helpers.LOG_LEVEL``, ``numpy``.
        retry_policy: What to do when the op fails.

    Raises:
        DefinitionError: The definition cannot be right as written.

    >>> @op
    ... def add(a: int, b: int = 1) -> int:
    ...     return a + b
    >>> add(2)
    3
    """
    said = (
        name,
        description,
        ins,
        out,
        config_schema,
        required_resource_keys,
        tags,
        version,
        depends_on,
        ignore,
        retry_policy,
    )
    if compute_fn is not None:
        return _define(compute_fn, *said)

    def define(fn: Callable[..., Any]) -> OpDefinition:
        return _define(fn, *said)

    return define


def _define(
    fn: Callable[..., Any],
    name: str | None,
    description: str | None,
    ins: Mapping[str, In] | None,
    out: Out | Mapping[str, Out] | None,
    config_schema: Any,
    required_resource_keys: Iterable[str] | None,
    tags: Mapping[str, object] | None,
    version: str | None,
    depends_on: Sequence[Any] | None,
    ignore: Iterable[str] | None,
    retry_policy: RetryPolicy | None,
) -> OpDefinition:
    # Nothing is asked of what is not said: a job may have a hundred thousand ops.
    check_function(fn, "op")
    fn_name = name_of(fn)
    where = Described("op", name or fn_name, fn)
    signature = read_signature(fn, where)
    if retry_policy is not None:
        check_instance(retry_policy, RetryPolicy, "retry_policy", "a RetryPolicy", where)
    return OpDefinition(
        fn,
        name=check_name(fn_name if name is None else name, "an op", where),
        ins=inputs_of(signature, {} if ins is None else check_mapping(ins, "ins", where), where),
        outs=outputs_of(signature, out, where),
        signature=signature,
        description=description,
        config_schema=None if config_schema is None else compile_schema(config_schema, where=str(where)),
        required_resource_keys=(
            NO_NAMES if required_resource_keys is None else check_resource_keys(required_resource_keys, where)
        ),
        tags=check_tags(tags, where) if tags else NO_TAGS,
        version=None if version is None else check_version(version, where),
        retry_policy=retry_policy,
        depends_on=() if depends_on is None else check_depends_on(depends_on, where),
        ignore=NO_NAMES if ignore is None else check_ignore(ignore, where),
    )
