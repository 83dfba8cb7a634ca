"""Ops: a function with named inputs and outputs, config, resources and a version."""

from __future__ import annotations

import reprlib
import typing
from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import PLAIN, Placeable, current
from memo.definition.config import compile_schema
from memo.definition.definition import Definition
from memo.definition.names import (
    called_at,
    check_instance,
    check_mapping,
    check_name,
    check_tags,
    described,
    doc_of,
    location_of,
    name_of,
)
from memo.definition.ports import DEFAULT_OUTPUT, NO_VALUE, In, Nothing, Out, Output
from memo.definition.preset import Preset, preset_from, resolve_config
from memo.definition.retry_policy import RetryPolicy
from memo.definition.signature import Signature, read_signature
from memo.definition.types import fits, type_name
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.definition.config import ConfigType


class OpDefinition(Placeable):
    """A function made part of pipelines by `op`.

    Called in the body of a graph or job it is placed there; called elsewhere it runs directly, as a plain
    function does, with a context from `build_op_context` where it takes one.

    Attributes:
        ins: Its inputs by name, in the order of the function's arguments, those of type Nothing last.
        outs: Its outputs by name, in order.
        compute_fn: The decorated function.
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
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
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
            ins=_inputs(signature, {} if ins is None else check_mapping(ins, "ins", where), where),
            outs=_outputs(signature, out, where),
            signature=signature,
            description=description,
            config_schema=None if config_schema is None else compile_schema(config_schema, where=where),
            required_resource_keys=check_resource_keys(required_resource_keys, where),
            tags=check_tags(tags, where),
            version=check_version(version, where),
            retry_policy=retry_policy,
        )

    return define if compute_fn is None else define(compute_fn)


def check_function(fn: object, decorator: str) -> None:
    """Refuse what a decorator cannot make a definition of.

    Raises:
        DefinitionError: It is no function, or a definition already.
    """
    if isinstance(fn, Definition):
        raise DefinitionError(f"is made already; @{decorator} decorates a plain function", where=fn.where)
    if not callable(fn):
        raise DefinitionError(
            f"@{decorator} decorates a function, and got {reprlib.repr(fn)}; give all else by name", where=called_at()
        )


def check_version(version: object, where: str) -> str | None:
    """Take a declared version.

    Raises:
        DefinitionError: It is no string, or an empty one.
    """
    if version is None or (isinstance(version, str) and version):
        return version
    raise DefinitionError(f"version is {reprlib.repr(version)}; it must be a non-empty string", where=where)


def check_resource_keys(keys: object, where: str) -> frozenset[str]:
    """Take the keys of required resources.

    Raises:
        DefinitionError: They are not a set or list of legal names.
    """
    if keys is None:
        return frozenset()
    if isinstance(keys, str):
        raise DefinitionError(f'required_resource_keys is {keys!r}; write a set: {{"{keys}"}}', where=where)
    try:
        found: list[Any] = list(keys)  # type: ignore[call-overload]
    except TypeError:
        raise DefinitionError(
            f"required_resource_keys is {reprlib.repr(keys)}; it must be a set of names", where=where
        ) from None
    return frozenset([check_name(key, "a resource", where) for key in found])


def _inputs(signature: Signature, declared: Mapping[str, Any], where: str) -> dict[str, In]:
    found: dict[str, In] = {}
    for each in signature.parameters:
        check_name(each.name, "an input", where)
        found[each.name] = _input(each.name, each.annotation, each.default, declared.get(each.name), signature, where)
    for name, given in declared.items():
        if name in found:
            continue
        check_name(name, "an input", where)
        if not check_instance(given, In, f"ins[{name!r}]", "an In", where).is_nothing:
            raise DefinitionError(
                f"ins names {name!r}, which is no argument of the function.{did_you_mean(name, found)} "
                f"(An input without an argument must be In(Nothing).)",
                where=where,
            )
        found[name] = given
    return found


def _input(name: str, annotation: Any, default: Any, given: Any, signature: Signature, where: str) -> In:
    if given is None:
        given = In()
    elif check_instance(given, In, f"ins[{name!r}]", "an In", where).is_nothing:
        raise DefinitionError(
            f"the input {name!r} is of type Nothing and carries no value, so it cannot be an argument of the function; "
            f"drop the argument",
            where=where,
        )
    expected = signature.resolved(annotation if given.dagster_type is None else given.dagster_type)
    if expected is Nothing:
        raise DefinitionError(
            f"the argument {name!r} is annotated Nothing and would carry no value: declare it with "
            f"ins={{{name!r}: In(Nothing)}} and drop the argument",
            where=where,
        )
    if given.has_default_value:
        default = given.default_value
    if default is not NO_VALUE and not fits(default, expected):
        raise DefinitionError(
            f"the input {name!r} must be {type_name(expected)}, and its default is {reprlib.repr(default)}; give "
            f"another default, or annotate what it may be: {type_name(expected)} | {type(default).__name__}",
            where=where,
        )
    return In(expected, given.description, default, given.metadata, given.input_manager_key)


def _outputs(signature: Signature, out: object, where: str) -> dict[str, Out]:
    # What a generator returns says nothing of what it yields.
    returns = NO_VALUE if signature.is_generator else signature.resolved(signature.returns)
    if out is None or isinstance(out, Out):
        return {DEFAULT_OUTPUT: _typed(out or Out(), returns)}
    outs: dict[str, Out] = {}
    for name, each in check_mapping(out, "out", where, "an Out, or a dict of them by name").items():
        outs[check_name(name, "an output", where)] = check_instance(each, Out, f"out[{name!r}]", "an Out", where)
    carrying = [name for name, each in outs.items() if not each.is_nothing]
    if len(carrying) == 1:
        return {name: _typed(each, returns) if name in carrying else each for name, each in outs.items()}
    members = _tuple_members(returns, carrying, where)
    return {**outs, **{name: _typed(outs[name], member) for name, member in members.items()}}


def _typed(out: Out, returns: Any) -> Out:
    """Give an output the type of the return annotation where it has none of its own."""
    if out.dagster_type is not None or returns is NO_VALUE:
        return out
    if typing.get_origin(returns) is Output:
        returns = typing.get_args(returns)[0]
    elif returns is Output:
        returns = Any
    if returns is None or returns is type(None):
        returns = Nothing
    return Out(returns, out.description, out.is_required, out.io_manager_key, out.metadata)


_SINGLE = frozenset({list, dict, set, str, bytes, int, float, bool})
"""Types of which a value is never a tuple of outputs."""


def _tuple_members(returns: Any, names: list[str], where: str) -> dict[str, Any]:
    """What the annotation says of each of several outputs.

    Raises:
        DefinitionError: It says that something else is returned than so many values.
    """
    origin = typing.get_origin(returns)
    if origin is tuple:
        members = typing.get_args(returns)
        if len(members) == 2 and members[1] is Ellipsis:
            return {}
        if len(members) == len(names):
            return dict(zip(names, members, strict=True))
        said = f"{len(members)} values"
    elif isinstance(origin or returns, type) and (origin or returns) in _SINGLE:
        said = type_name(returns)
    else:
        return {}
    raise DefinitionError(
        f"is annotated to return {said} and declares {len(names)} outputs that carry a value ({', '.join(names)}): "
        f"return a tuple of them in their order, or yield Output(value, name)",
        where=where,
    )
