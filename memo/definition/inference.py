"""What an op's inputs and outputs are: read from its signature and annotations, and from ``ins`` and ``out``."""

from __future__ import annotations

import reprlib
import typing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from memo.definition.names import check_instance, check_mapping, check_name
from memo.definition.ports import DEFAULT_OUTPUT, NO_VALUE, In, Nothing, Out, Output
from memo.definition.source import refuse_source
from memo.definition.types import fits, type_name
from memo.errors import DefinitionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.definition.names import Where
    from memo.definition.signature import Signature


def inputs_of(signature: Signature, declared: Mapping[str, Any], where: Where) -> Mapping[str, In]:
    """Take an op's inputs from its arguments and from ``ins``; those of type Nothing last.

    Raises:
        DefinitionError: The two do not agree, or an input cannot be right.
    """
    annotations, defaults = signature.annotations, signature.defaults
    if not (annotations or defaults or declared):
        return _plain_inputs(signature.names, where)
    found: dict[str, In] = {}
    for name in signature.names:
        _check_argument(name, where)
        if name in annotations or name in defaults or name in declared:
            annotation, default = annotations.get(name), defaults.get(name, NO_VALUE)
            found[name] = _input(name, annotation, default, declared.get(name), signature, where)
        else:
            found[name] = _PLAIN_INPUT
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


def _check_argument(name: str, where: Where) -> None:
    if not name.isascii():  # it is legal otherwise
        check_name(name, "an input", where)


def _plain_inputs(names: tuple[str, ...], where: Where) -> Mapping[str, In]:
    """Inputs of which nothing is said: the same for all ops whose arguments are called so."""
    found = _known_inputs.get(names)
    if found is None:
        for name in names:
            _check_argument(name, where)
        found = MappingProxyType(dict.fromkeys(names, _PLAIN_INPUT))
        if len(_known_inputs) < _MOST_KNOWN:
            _known_inputs[names] = found
    return found


_known_inputs: dict[tuple[str, ...], Mapping[str, In]] = {}
_MOST_KNOWN = 1000

_PLAIN_INPUT = In()
PLAIN_OUTPUTS: Mapping[str, Out] = MappingProxyType({DEFAULT_OUTPUT: Out()})
"""Of which nothing is said. Most inputs and outputs of untyped code are, so that they are shared."""

NO_INPUTS: Mapping[str, In] = MappingProxyType({})


def _input(name: str, annotation: Any, default: Any, given: Any, signature: Signature, where: Where) -> In:
    if given is None:
        given = _PLAIN_INPUT
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
    if default is not NO_VALUE:
        refuse_source(default, f"the default of the input {name!r}", where)
        if not fits(default, expected):
            raise DefinitionError(
                f"the input {name!r} must be {type_name(expected)}, and its default is {reprlib.repr(default)}; give "
                f"another default, or annotate what it may be: {type_name(expected)} | {type(default).__name__}",
                where=where,
            )
    return In(expected, given.description, default, given.metadata, given.input_manager_key)


def outputs_of(signature: Signature, out: object, where: Where) -> Mapping[str, Out]:
    """Take an op's outputs from its return annotation and from ``out``.

    Raises:
        DefinitionError: The two do not agree, or an output cannot be right.
    """
    # What a generator returns says nothing of what it yields.
    returns = NO_VALUE
    if "return" in signature.annotations and not signature.is_generator:
        returns = signature.resolved(signature.returns)
    if out is None and returns is NO_VALUE:
        return PLAIN_OUTPUTS
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


def _tuple_members(returns: Any, names: list[str], where: Where) -> dict[str, Any]:
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
