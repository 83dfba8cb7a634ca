"""Ops: a function with named inputs and outputs, config, resources and a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import PendingNode, current
from memo.definition.config import ABSENT, compile_schema, resolve
from memo.definition.names import check_name, check_tags, described, location_of
from memo.definition.ports import DEFAULT_OUTPUT, NO_VALUE, In, Nothing, Out, Output
from memo.definition.retry_policy import RetryPolicy
from memo.definition.signature import Signature, read_signature, resolved
from memo.errors import DefinitionError, InvocationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.definition.config import ConfigType


class OpDefinition:
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
        preset_config: Any = ABSENT,
    ) -> None:
        self.compute_fn = compute_fn
        self.name = name
        self.ins = ins
        self.outs = outs
        self.signature = signature
        self.description = description
        self.config_schema = config_schema
        self.required_resource_keys = required_resource_keys
        self.tags = tags
        self.version = version
        self.retry_policy = retry_policy
        self.preset_config = preset_config
        self.location = location_of(compute_fn)
        self.__name__ = name
        self.__doc__ = description

    def __repr__(self) -> str:
        return f"<op {self.name!r}>"

    @property
    def where(self) -> str:
        """The op and its place in the user's files, for the front of an error."""
        return described(self.kind, self.name, location=self.location)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Every input, those of type Nothing last."""
        return tuple(self.ins)

    @property
    def positional_count(self) -> int:
        """How many inputs can be given by position."""
        return sum(not each.is_nothing for each in self.ins.values())

    @property
    def output_names(self) -> tuple[str, ...]:
        """Every output, in order."""
        return tuple(self.outs)

    def resolve_config(self, given: Any, path: str) -> Any:
        """Check a config against the op's schema and fill in its defaults.

        Raises:
            ConfigError: With every problem and its path.
        """
        if self.preset_config is not ABSENT:
            return resolve_preset(self.preset_config, self.config_schema, given, path)
        return resolve(self.config_schema, given, path=path) if self.config_schema else _unchecked(given)

    def alias(self, name: str) -> PendingNode:
        """Place this op under another name: ``add.alias("add_tax")(a, b)``."""
        return PendingNode(self).alias(name)

    def tag(self, tags: Mapping[str, object]) -> PendingNode:
        """Place this op with more tags."""
        return PendingNode(self).tag(tags)

    def with_retry_policy(self, policy: RetryPolicy) -> PendingNode:
        """Place this op with a retry policy of its own."""
        return PendingNode(self).with_retry_policy(policy)

    def configured(
        self, config_or_config_fn: Any, *, name: str | None = None, config_schema: Any = None, description: str | None = None,
    ) -> OpDefinition:
        """Make a copy of this op whose config is given here.

        Args:
            config_or_config_fn: The config, or a function from the new, usually smaller, config to it.
            name: Of the copy; this op's where left out.
            config_schema: Of the function's argument.
            description: Of the copy.
        """
        schema, preset = preset_from(config_or_config_fn, config_schema, self.resolve_config, self.where)
        return OpDefinition(
            self.compute_fn,
            name=check_name(name, "an op", self.where) if name else self.name,
            ins=self.ins,
            outs=self.outs,
            signature=self.signature,
            description=description or self.description,
            config_schema=schema,
            required_resource_keys=self.required_resource_keys,
            tags=self.tags,
            version=self.version,
            retry_policy=self.retry_policy,
            preset_config=preset,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        composition = current()
        if composition is not None:
            return composition.place(self, args, kwargs, None, {}, None)
        from memo.definition.invocation import invoke

        return invoke(self, args, kwargs)


def _unchecked(given: Any) -> Any:
    return None if given is ABSENT else given


def preset_from(
    config_or_fn: Any, config_schema: Any, resolve_inner: Callable[[Any, str], Any], where: str,
) -> tuple[ConfigType | None, Any]:
    """Read the arguments of ``.configured``: the schema that is left, and what makes the inner config."""
    if callable(config_or_fn):
        return compile_schema(config_schema, where=where) if config_schema is not None else None, (
            lambda given, path: resolve_inner(config_or_fn(given), path)
        )
    value = resolve_inner(config_or_fn, f"{where}.configured")
    return None, lambda _given, _path: value


def resolve_preset(preset: Any, schema: ConfigType | None, given: Any, path: str) -> Any:
    """Give the config of a configured definition."""
    return preset(resolve(schema, given, path=path) if schema else _unchecked(given), path)


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
        fn_name = getattr(fn, "__name__", None) or type(fn).__name__
        where = described("op", name or fn_name, fn)
        signature = read_signature(fn, where)
        if version is not None and (type(version) is not str or not version):
            raise DefinitionError(f"version is {version!r}; it must be a non-empty string", where=where)
        if retry_policy is not None and not isinstance(retry_policy, RetryPolicy):
            raise DefinitionError(f"retry_policy is {retry_policy!r}; it must be a RetryPolicy", where=where)
        return OpDefinition(
            fn,
            name=check_name(name if name is not None else fn_name, "an op", where),
            ins=_inputs(signature, ins or {}, fn, where),
            outs=_outputs(signature, out, where),
            signature=signature,
            description=description or getattr(fn, "__doc__", None),
            config_schema=compile_schema(config_schema, where=where) if config_schema is not None else None,
            required_resource_keys=check_resource_keys(required_resource_keys, where),
            tags=check_tags(tags, where),
            version=version,
            retry_policy=retry_policy,
        )

    if compute_fn is None:
        return define
    if not callable(compute_fn):
        raise DefinitionError(f"op() got {compute_fn!r}; it decorates a function")
    return define(compute_fn)


def check_resource_keys(keys: Iterable[str] | None, where: str) -> frozenset[str]:
    """Take the keys of required resources.

    Raises:
        DefinitionError: They are not a set or list of legal names.
    """
    if keys is None:
        return frozenset()
    if isinstance(keys, str):
        raise DefinitionError(f'required_resource_keys is {keys!r}; write a set: {{"{keys}"}}', where=where)
    return frozenset(check_name(key, "a resource", where) for key in keys)


def _inputs(signature: Signature, declared: Mapping[str, In], fn: Any, where: str) -> dict[str, In]:
    arguments = {parameter.name: parameter for parameter in signature.parameters}
    found: dict[str, In] = {}
    for each in signature.parameters:
        given = declared.get(each.name, In())
        if not isinstance(given, In):
            raise DefinitionError(f"ins[{each.name!r}] is {given!r}; it must be an In", where=where)
        if given.is_nothing:
            raise DefinitionError(
                f"the input {each.name!r} is of type Nothing and carries no value, so it cannot be an argument of the function",
                where=where,
            )
        check_name(each.name, "an input", where)
        given_type = given.dagster_type
        annotation = each.annotation if given_type is None else given_type
        if annotation is Nothing or annotation == "Nothing":
            raise DefinitionError(
                f"the argument {each.name!r} is annotated Nothing and would carry no value: declare it with "
                f"ins={{{each.name!r}: In(Nothing)}} and drop the argument",
                where=where,
            )
        default = given.default_value if given.has_default_value else each.default
        found[each.name] = In(
            None if annotation is None else resolved(annotation, fn),
            given.description,
            default,
            given.metadata,
            given.input_manager_key,
        )
    for input_name, given in declared.items():
        if input_name in arguments:
            continue
        check_name(input_name, "an input", where)
        if not isinstance(given, In):
            raise DefinitionError(f"ins[{input_name!r}] is {given!r}; it must be an In", where=where)
        if not given.is_nothing:
            raise DefinitionError(
                f"ins names {input_name!r}, which is no argument of the function.{did_you_mean(input_name, arguments)} "
                f"(An input without an argument must be In(Nothing).)",
                where=where,
            )
        found[input_name] = given
    return found


def _outputs(signature: Signature, out: Out | Mapping[str, Out] | None, where: str) -> dict[str, Out]:
    returns = signature.returns
    if out is None or isinstance(out, Out):
        if signature.is_generator:
            returns = NO_VALUE
        return {DEFAULT_OUTPUT: _typed(out or Out(), returns)}
    if not hasattr(out, "items"):
        raise DefinitionError(f"out is {out!r}; it must be an Out, or a dict of them by name", where=where)
    outs = dict(out.items())
    for output_name, each in outs.items():
        check_name(output_name, "an output", where)
        if not isinstance(each, Out):
            raise DefinitionError(f"out[{output_name!r}] is {each!r}; it must be an Out", where=where)
    if len(outs) == 1 and not signature.is_generator:
        ((only, each),) = outs.items()
        return {only: _typed(each, returns)}
    members = _tuple_members(returns)
    if members is None or signature.is_generator:
        return outs
    if len(members) != len(outs):
        raise DefinitionError(
            f"is annotated to return {len(members)} values and declares {len(outs)} outputs ({', '.join(outs)})",
            where=where,
        )
    return {
        output_name: _typed(each, member) for (output_name, each), member in zip(outs.items(), members, strict=True)
    }


def _typed(out: Out, returns: Any) -> Out:
    """Give an output the type of the return annotation where it has none of its own."""
    if out.dagster_type is not None or returns is NO_VALUE:
        return out
    if getattr(returns, "__origin__", None) is Output:
        returns = returns.__args__[0]
    elif returns is Output:
        returns = None
    elif returns is None or returns is type(None):
        returns = Nothing
    return Out(returns, out.description, out.is_required, out.io_manager_key, out.metadata)


def _tuple_members(returns: Any) -> tuple[Any, ...] | None:
    if getattr(returns, "__origin__", None) is not tuple:
        return None
    members: tuple[Any, ...] = returns.__args__
    return None if len(members) == 2 and members[1] is Ellipsis else members
