"""Ops: a function with named inputs and outputs, config, resources and a version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, overload

from memo.definition.composition import Placeable, current
from memo.definition.config import compile_schema
from memo.definition.definition import check_function
from memo.definition.inference import NO_INPUTS, PLAIN_OUTPUTS, inputs_of, outputs_of
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
from memo.definition.ports import DEFAULT_IO_MANAGER_KEY
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

    # What most ops have in common stands here, and each keeps only what is its own: a job may have a hundred thousand.
    outs: Mapping[str, Out] = PLAIN_OUTPUTS
    output_names: tuple[str, ...] = tuple(PLAIN_OUTPUTS)
    io_manager_key: str | None = DEFAULT_IO_MANAGER_KEY
    loadable_inputs: tuple[str, ...] = ()
    is_configurable = False
    takes_context = False
    is_generator = False
    is_async = False
    config_schema: ConfigType | None = None
    required_resource_keys: frozenset[str] = NO_NAMES
    tags: Mapping[str, str] = NO_TAGS
    version: str | None = None
    retry_policy: RetryPolicy | None = None
    preset_config: Preset | None = None
    depends_on: tuple[Any, ...] = ()
    ignore: frozenset[str] = NO_NAMES
    _description: str | None = None

    def __init__(
        self,
        compute_fn: Callable[..., Any],
        name: str,
        ins: Mapping[str, In],
        outs: Mapping[str, Out],
        signature: Signature,
        **said: Any,
    ) -> None:
        """Make an op.

        Args:
            compute_fn: The decorated function.
            name: Of the op.
            ins: Its inputs.
            outs: Its outputs.
            signature: Of the function.
            said: What it has that most ops have not, by the names of its attributes.
        """
        self.compute_fn = compute_fn
        self.name = name
        self.ins = ins
        names = signature.names
        self.input_names = names if len(ins) == len(names) else tuple(ins)
        self.positional_count = len(names)
        self.__wrapped__ = compute_fn
        self.__name__ = name_of(compute_fn)
        self.__qualname__ = getattr(compute_fn, "__qualname__", self.__name__)
        self.__module__ = getattr(compute_fn, "__module__", "")
        self.__doc__ = doc_of(compute_fn)
        if outs is not PLAIN_OUTPUTS:
            self.outs = outs
            self.output_names = tuple(outs)
            self.io_manager_key = _io_manager_key(outs)
        if signature.takes_context:
            self.takes_context = True
        if signature.is_generator:
            self.is_generator = True
        if signature.is_async:
            self.is_async = True
        if said:
            for each, value in said.items():
                setattr(self, each, value)
            self.is_configurable = any([self.config_schema is not None, self.preset_config, self.loadable_inputs])

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
        said = {each: value for each, value in vars(self).items() if each in _SAID}
        said |= {"config_schema": schema, "preset_config": preset}
        if description:
            said["_description"] = description
        return OpDefinition(
            self.compute_fn,
            self.name if name is None else check_name(name, "an op", self.where),
            self.ins,
            self.outs,
            read_signature(self.compute_fn, self.where),
            **said,
        )

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Place it, in a graph's body; elsewhere run its function."""
        composition = current()
        if composition is not None:
            return composition.place(self, args, kwargs)
        from memo.definition.invocation import invoke

        return invoke(self, args, kwargs)


_SAID = frozenset(
    {
        "_description",
        "depends_on",
        "ignore",
        "loadable_inputs",
        "required_resource_keys",
        "retry_policy",
        "tags",
        "version",
    }
)
"""What an op may have that most have not, its config left out."""


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
    if compute_fn is not None:
        return _define(
            compute_fn,
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
    return partial(
        _define,
        name=name,
        description=description,
        ins=ins,
        out=out,
        config_schema=config_schema,
        required_resource_keys=required_resource_keys,
        tags=tags,
        version=version,
        depends_on=depends_on,
        ignore=ignore,
        retry_policy=retry_policy,
    )


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
    check_function(fn, "op")
    fn_name = name_of(fn)
    where = Described("op", name or fn_name, fn)
    signature = read_signature(fn, where)
    op_name = check_name(fn_name if name is None else name, "an op", where)
    found_ins = inputs_of(signature, NO_INPUTS if ins is None else check_mapping(ins, "ins", where), where)
    found_outs = outputs_of(signature, out, where)
    # Nothing is asked of what is not said: a job may have a hundred thousand ops.
    said: dict[str, Any] = {}
    if ins is not None:
        said["loadable_inputs"] = tuple([each for each in found_ins if found_ins[each].input_manager_key is not None])
    if description is not None:
        said["_description"] = description
    if config_schema is not None:
        said["config_schema"] = compile_schema(config_schema, where=str(where))
    if required_resource_keys is not None:
        said["required_resource_keys"] = check_resource_keys(required_resource_keys, where)
    if tags:
        said["tags"] = check_tags(tags, where)
    if version is not None:
        said["version"] = check_version(version, where)
    if retry_policy is not None:
        said["retry_policy"] = check_instance(retry_policy, RetryPolicy, "retry_policy", "a RetryPolicy", where)
    if depends_on is not None:
        said["depends_on"] = check_depends_on(depends_on, where)
    if ignore is not None:
        said["ignore"] = check_ignore(ignore, where)
    return OpDefinition(fn, op_name, found_ins, found_outs, signature, **said)
