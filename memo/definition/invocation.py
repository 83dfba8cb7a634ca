"""Calling an op directly, as a plain function, in tests and notebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.definition.types import fits, type_name
from memo.errors import InvocationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.definition.op import OpDefinition


def invoke(op_def: OpDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run an op's function with the given inputs.

    The context, where the op takes one, comes first: what `build_op_context` gives, or None where the op needs neither
    config nor resources. Returns what the function returns: for a generator the generator, for an async op the coroutine.

    Raises:
        InvocationError: The context or an input is missing, unknown or of the wrong type.
    """
    signature = op_def.signature
    given = dict(kwargs)
    rest = list(args)
    call: list[Any] = []
    if signature.takes_context:
        names = {"context", "_context", "context_", "_"} & given.keys()
        context = given.pop(names.pop()) if names else (rest.pop(0) if rest else None)
        call.append(_bound(op_def, context))
    elif op_def.config_schema is not None and op_def.preset_config is None:
        raise InvocationError("has a config schema and takes no context to read it from", where=op_def.where)
    names_in_order = [parameter.name for parameter in signature.parameters]
    if len(rest) > len(names_in_order):
        raise InvocationError(f"got {len(rest)} inputs and takes {len(names_in_order)}", where=op_def.where)
    for name, value in zip(names_in_order, rest, strict=False):
        if name in given:
            raise InvocationError(f"got the input {name!r} twice", where=op_def.where)
        given[name] = value
    for name in given:
        if name not in op_def.ins:
            raise InvocationError(f"has no input {name!r}.{did_you_mean(name, op_def.ins)}", where=op_def.where)
    values: dict[str, Any] = {}
    for name in names_in_order:
        given_in = op_def.ins[name]
        if name in given:
            values[name] = given[name]
        elif given_in.has_default_value:
            values[name] = given_in.default_value
        else:
            raise InvocationError(f"needs the input {name!r}", where=op_def.where)
        if not fits(values[name], given_in.dagster_type):
            raise InvocationError(
                f"the input {name!r} must be {type_name(given_in.dagster_type)} and is {type(values[name]).__name__}",
                where=op_def.where,
            )
    return op_def.compute_fn(*call, **values)


def _bound(op_def: OpDefinition, context: Any) -> Any:
    if context is None:
        if op_def.required_resource_keys or (op_def.config_schema is not None and op_def.config_schema.required):
            raise InvocationError(
                "needs a context: pass build_op_context(op_config=…, resources=…) as its first argument", where=op_def.where,
            )
        context = import_context()
    if not hasattr(context, "bind"):
        raise InvocationError(f"its first argument is the context, and it got {context!r}", where=op_def.where)
    return context.bind(op_def)


def import_context() -> Any:
    """Make an empty context."""
    from importlib import import_module

    return import_module("memo.execution.building").build_op_context()
