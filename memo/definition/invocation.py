"""Calling an op directly, as a plain function, in tests and notebooks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memo.definition.signature import CONTEXT_NAMES
from memo.definition.types import fits, type_name
from memo.definition.wires import snapshot
from memo.errors import InvocationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.definition.op import OpDefinition


def invoke(op_def: OpDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Run an op's function with the given inputs.

    The context, where the op takes one, comes first: what `build_op_context` gives, or None where the op needs neither
    config nor resources. Returns what the function returns: of a generator the generator, of an async op the coroutine.

    Raises:
        InvocationError: The context or an input is missing, unknown or of the wrong type.
    """
    rest, given = list(args), dict(kwargs)
    call: list[Any] = []
    if op_def.takes_context:
        call.append(_bound(op_def, _context(op_def, rest, given)))
    values = _values(op_def, _by_name(op_def, rest, given))
    return op_def.compute_fn(*call, **values)


def _context(op_def: OpDefinition, rest: list[Any], given: dict[str, Any]) -> Any:
    """Take the context out of what was given: by name, or the first by position."""
    for name in CONTEXT_NAMES - op_def.ins.keys():
        if name in given:
            return given.pop(name)
    return rest.pop(0) if rest else None


def _by_name(op_def: OpDefinition, rest: list[Any], given: dict[str, Any]) -> dict[str, Any]:
    names = op_def.input_names[: op_def.positional_count]
    if len(rest) > len(names):
        raise InvocationError(f"got {len(rest)} inputs and takes {len(names)}", where=op_def.where)
    for name in given:
        if name not in op_def.ins:
            raise InvocationError(f"has no input {name!r}.{did_you_mean(name, op_def.ins)}", where=op_def.where)
    for name, value in zip(names, rest, strict=False):
        if name in given:
            raise InvocationError(f"got the input {name!r} twice", where=op_def.where)
        given[name] = value
    return given


def _values(op_def: OpDefinition, given: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in op_def.input_names[: op_def.positional_count]:
        declared = op_def.ins[name]
        if name in given:
            values[name] = given[name]
        elif declared.has_default_value:
            # A copy: an op that changed the definition's own default would change later versions.
            values[name] = snapshot(declared.default_value)
        else:
            raise InvocationError(f"needs the input {name!r}; pass it", where=op_def.where)
        if not fits(values[name], declared.dagster_type):
            raise InvocationError(
                f"the input {name!r} must be {type_name(declared.dagster_type)} and is {type(values[name]).__name__}",
                where=op_def.where,
            )
    return values


def _bound(op_def: OpDefinition, context: Any) -> Any:
    if context is None:
        schema = op_def.config_schema
        if op_def.required_resource_keys or (schema is not None and schema.required):
            raise InvocationError(
                "needs a context: pass build_op_context(op_config=…, resources=…) as its first argument",
                where=op_def.where,
            )
        # Up the house by name, as in `JobDefinition.execute_in_process`: contexts belong to execution.
        context = import_module("memo.execution.building").build_op_context()
    if not hasattr(type(context), "bind"):
        raise InvocationError(
            f"takes the context first, and got {type(context).__name__}: pass build_op_context(…)", where=op_def.where
        )
    return context.bind(op_def)
