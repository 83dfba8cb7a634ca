"""Ops: a function with named inputs and outputs, config, resources and a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import PLAIN, Placeable, current
from memo.definition.config import compile_schema
from memo.definition.definition import check_function
from memo.definition.inference import inputs_of, outputs_of
from memo.definition.names import (
    check_instance,
    check_mapping,
    check_name,
    check_resource_keys,
    check_tags,
    check_version,
    described,
    doc_of,
    location_of,
    name_of,
)
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
        compute_fn: The decorated function.
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
        ins: dict[str, In],
        outs: dict[str, Out],
        signature: Signature,
        description: str | None,
        config_schema: ConfigType | None,
        required_resource_keys: frozenset[str],
        tags: dict[str, str],
        version: str | None,
        retry_policy: RetryPolicy | None,
        preset_config: Preset | None = None,
        depends_on: tuple[Any, ...] = (),
        ignore: frozenset[str] = frozenset(),
    ) -> None:
        self.compute_fn = compute_fn
        self.name = name
        self.location = location_of(compute_fn)
        self.ins = ins
        self.outs = outs
        self.input_names = tuple(ins)
        self.positional_count = len(signature.parameters)
        self.output_names = tuple(outs)
        self.signature = signature
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
            signature=self.signature,
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
            return composition.place(self, args, kwargs, PLAIN)
        from memo.definition.invocation import invoke

        return invoke(self, args, kwargs)


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

    def define(fn: Callable[..., Any]) -> OpDefinition:
        check_function(fn, "op")
        fn_name = name_of(fn)
        where = described("op", name or fn_name, fn)
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
            config_schema=None if config_schema is None else compile_schema(config_schema, where=where),
            required_resource_keys=check_resource_keys(required_resource_keys, where),
            tags=check_tags(tags, where),
            version=check_version(version, where),
            retry_policy=retry_policy,
            depends_on=check_depends_on(depends_on, where),
            ignore=check_ignore(ignore, where),
        )

    return define if compute_fn is None else define(compute_fn)
