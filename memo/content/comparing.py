"""Where two values first differ: by path, element, row or line, whatever their classes say of equality.

Values of one class are walked side by side, depth first, without recursion. NaN equals NaN, sets have no order, and
what a class says with ``==`` counts where it says that they are equal. Objects that say no such thing are compared by
what pickle would write of them, attribute by attribute. NumPy, pandas and Arrow have rooms of their own
(`comparing_arrays`, `comparing_frames`, `comparing_tables`), imported when a value is of theirs.
"""

from __future__ import annotations

import copyreg
from collections import deque
from importlib import import_module
from math import copysign, isnan
from reprlib import Repr
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WALKS", "Difference", "Incomparable", "Item", "first_difference", "prefixed", "short"]

NOTHING = "nothing"
"""Stands for a value that one side does not have."""

_ROOMS = {
    "numpy": "memo.content.comparing_arrays",
    "pandas": "memo.content.comparing_frames",
    "pyarrow": "memo.content.comparing_tables",
}

_WIDTH = 80
"""How many characters of a value are shown."""

_ABSENT = object()

_MATCHED = 256
"""How many members of two sets are tried against each other, where nothing but their content tells them apart."""

_PLAIN = frozenset({int, bool, str, bytes, float})
"""Of these, == says all there is to say, but for zeros of type float, which have a sign."""


class Difference(Struct, frozen=True):
    """The first place where two values differ.

    Attributes:
        path: ``["trips"][3].name``, ``["trips"] column 'fare' row 3``; empty for the value itself.
        what: What differs there: ``value``, ``type``, ``length``, ``keys``, ``dtype`` and the like.
        stored: The first of the two, shortened.
        given: The second, shortened.

    >>> str(first_difference({"a": [1, 2]}, {"a": [1, 3]}))
    "['a'][1]: 2 stored, 3 now"
    """

    path: str
    what: str
    stored: str
    given: str

    def __str__(self) -> str:
        what = "" if self.what == "value" else self.what + " "
        said = f"{what}{self.stored} stored, {self.given} now"
        return f"{self.path}: {said}" if self.path else said


class Incomparable(Struct, frozen=True):
    """Of a part of two values it cannot be said whether they are equal.

    Attributes:
        path: As in `Difference`.
        why: What is in the way.
    """

    path: str
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}" if self.path else self.why


if TYPE_CHECKING:
    Item = tuple[str, Any, Any] | Difference | Incomparable
    """What the walk of two values gives: two parts to be compared, with their place; or a verdict."""
    Walk = Callable[[Any, Any], Iterator[Item]]
    _Path = tuple["_Path", str] | None
else:
    Item = Any

WALKS: dict[type, Walk] = {}
"""How instances of a class, and of its subclasses, are taken apart; the rooms above add to it."""


def first_difference(stored: object, given: object) -> Difference | Incomparable | None:
    """Find the first place where two values differ.

    Args:
        stored: What was.
        given: What is.

    Returns:
        The place; or the first part that cannot be compared, where no other part differs; or None where they are equal.
    """
    unclear: Incomparable | None = None
    seen: dict[tuple[int, int], tuple[object, object]] = {}
    stack: list[tuple[_Path, Iterator[Item]]] = [(None, iter([("", stored, given)]))]
    while stack:
        path, items = stack[-1]
        try:
            item = next(items, None)
        except Exception as error:  # noqa: BLE001 - the user's objects: whatever they raise says that they cannot be compared
            item = Incomparable("", f"comparing it raised {type(error).__name__}: {error}")
            stack[-1] = (path, iter(()))
        if item is None:
            stack.pop()
        elif isinstance(item, Difference):
            return replace(item, path=_text_of(path, item.path))
        elif isinstance(item, Incomparable):
            unclear = unclear or replace(item, path=_text_of(path, item.path))
        else:
            place, one, other = item
            if one is other or (type(one) in _PLAIN and type(one) is type(other) and one and one == other):
                continue
            # Held in `seen`, so that no other object gets its id meanwhile.
            if (id(one), id(other)) not in seen:
                seen[id(one), id(other)] = (one, other)
                stack.append(((path, place), _walk(one, other)))
    return unclear


def prefixed(place: str, items: Iterator[Item]) -> Iterator[Item]:
    """The items of a walk, each at a place below another."""
    for item in items:
        if isinstance(item, Difference | Incomparable):
            yield replace(item, path=place + item.path)
        else:
            yield place + item[0], item[1], item[2]


def short(value: object) -> str:
    """A value on one line, shortened, whatever its class does when asked."""
    try:
        text = _REPR.repr(value)
    except Exception:  # noqa: BLE001 - a strange object: its class has to do
        return f"<{_name(type(value))}>"
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"


_REPR = Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = _WIDTH


def _text_of(path: _Path, last: str) -> str:
    places = [last]
    while path is not None:
        path, place = path
        places.append(place)
    return "".join(reversed(places)).strip()


def _name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _walk(stored: Any, given: Any) -> Iterator[Item]:
    kind = type(stored)
    if stored is None or given is None:
        yield Difference("", "value", short(stored), short(given))
        return
    if kind is not type(given):
        yield Difference("", "type", _name(kind), _name(type(given)))
        return
    for base in kind.__mro__:
        room = _ROOMS.get(base.__module__.partition(".")[0])
        if room is not None:
            import_module(room)
        walk = WALKS.get(base)
        if walk is not None:
            yield from walk(stored, given)
            # A subclass of a container may hold more than its members.
            if base in _CONTAINERS and kind is not base:
                yield from _states(stored, given)
            return


# Plain values


def _plain(stored: Any, given: Any) -> Iterator[Item]:
    if stored != given:
        yield Difference("", "value", short(stored), short(given))


def _same_float(stored: float, given: float) -> bool:
    if isnan(stored) or isnan(given):
        return isnan(stored) and isnan(given)
    return stored == given and copysign(1.0, stored) == copysign(1.0, given)


def _floats(stored: float, given: float) -> Iterator[Item]:
    if not _same_float(stored, given):
        yield Difference("", "value", float.__repr__(stored), float.__repr__(given))


def _complexes(stored: complex, given: complex) -> Iterator[Item]:
    if not (_same_float(stored.real, given.real) and _same_float(stored.imag, given.imag)):
        yield Difference("", "value", short(stored), short(given))


def _texts(stored: str, given: str) -> Iterator[Item]:
    if str.__eq__(stored, given):
        return
    if "\n" not in stored and "\n" not in given:
        yield Difference("", "value", *_around(stored, given))
        return
    before, after = stored.split("\n"), given.split("\n")
    for number, (one, other) in enumerate(zip(before, after, strict=False), start=1):
        if one != other:
            yield Difference(f" line {number}", "value", *_around(one, other))
            return
    number = min(len(before), len(after))
    ends = [short(lines[number]) if len(lines) > number else NOTHING for lines in (before, after)]
    yield Difference(f" line {number + 1}", "value", *ends)


def _bytes(stored: Any, given: Any) -> Iterator[Item]:
    if stored != given:
        at = _first_unequal(stored, given)
        yield Difference(f" byte {at}", "value", *[short(bytes(each[at : at + 12])) for each in (stored, given)])


def _around(stored: str, given: str) -> tuple[str, str]:
    """The parts of two unequal lines around the first character that differs."""
    if max(len(stored), len(given)) <= _WIDTH - 2:
        return repr(stored), repr(given)
    start = max(0, _first_unequal(stored, given) - 20)
    cut = [repr(each[start : start + 50]) for each in (stored, given)]
    lead = "…" if start else ""
    return lead + cut[0], lead + cut[1]


def _first_unequal(stored: Any, given: Any) -> int:
    pairs = enumerate(zip(stored, given, strict=False))
    return next((at for at, (one, other) in pairs if one != other), min(len(stored), len(given)))


# Containers


def _sequences(stored: Any, given: Any) -> Iterator[Item]:
    names = getattr(type(stored), "_fields", None) if isinstance(stored, tuple) else None
    for index, (one, other) in enumerate(zip(stored, given, strict=False)):
        yield f".{names[index]}" if names else f"[{index}]", one, other
    if len(stored) != len(given):
        yield Difference("", "length", str(len(stored)), str(len(given)))


def _dicts(stored: Any, given: Any) -> Iterator[Item]:
    theirs = {_settled(key): value for key, value in dict.items(given)}
    ours = {_settled(key): value for key, value in dict.items(stored)}
    if any(_by_identity(key) for key in ours.keys() ^ theirs.keys()):
        # Nothing but their content and their places tells such keys apart.
        yield " items", list(dict.items(stored)), list(dict.items(given))
        return
    for key, value in ours.items():
        if key in theirs:
            yield f"[{short(key)}]", value, theirs[key]
        else:
            yield Difference(f"[{short(key)}]", "value", short(value), NOTHING)
    for key, value in theirs.items():
        if key not in ours:
            yield Difference(f"[{short(key)}]", "value", NOTHING, short(value))
    for place, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one != other or type(one) is not type(other):
            yield Difference("", f"key number {place + 1}", short(one), short(other))


def _sets(stored: Any, given: Any) -> Iterator[Item]:
    ours, theirs = set(map(_settled, stored)), set(map(_settled, given))
    gone, new = ours - theirs, theirs - ours
    if len(gone) == len(new) and all(map(_by_identity, gone | new)):
        yield from _matched(gone, new)
        return
    if gone or new:
        texts = [min(map(short, each), default=NOTHING) for each in (gone, new)]
        yield Difference("", "member", *texts)


def _matched(gone: set[Any], new: set[Any]) -> Iterator[Item]:
    """Find for each member of a set its equal in another."""
    if len(gone) > _MATCHED:
        yield Incomparable("", f"holds {len(gone)} objects whose class defines no ==")
        return
    left = list(new)
    for member in gone:
        found = next((at for at, other in enumerate(left) if first_difference(member, other) is None), None)
        if found is None:
            yield Difference("", "member", short(member), short(left[0]))
            return
        del left[found]


class _NaN:
    """Stands for NaN where it is a key or a member, so that there is one of it."""

    def __repr__(self) -> str:
        return "nan"


_NAN = _NaN()


def _settled(key: Any) -> Any:
    """A key that is found again."""
    if isinstance(key, float):
        return _NAN if isnan(key) else key
    if type(key) is tuple:
        return tuple(map(_settled, key))
    return frozenset(map(_settled, key)) if type(key) is frozenset else key


def _by_identity(key: Any) -> bool:
    """Whether an object is not equal to what it is loaded as from where it is stored."""
    named = isinstance(key, type | FunctionType | BuiltinFunctionType | NoneType)
    return not named and not _defines(type(key), "__hash__")


# Objects


def _named(stored: Any, given: Any) -> Iterator[Item]:
    """Classes and functions: pickle writes their names alone."""
    texts = [f"{each.__module__}.{each.__qualname__}" for each in (stored, given)]
    if texts[0] != texts[1]:
        yield Difference("", "value", *texts)


def _objects(stored: Any, given: Any) -> Iterator[Item]:
    said = _said(stored, given)
    if said:
        return
    names = _field_names(type(stored))
    if names is not None:
        for name in names:
            yield from _values_at(f".{name}", getattr(stored, name, _ABSENT), getattr(given, name, _ABSENT))
        return
    try:
        parts = _reduced(stored), _reduced(given)
    except Exception as error:  # noqa: BLE001 - whatever an object raises when pickled: it cannot be
        if said is False:
            yield Difference("", "value", short(stored), short(given))
        else:
            yield Incomparable(
                "", f"{_name(type(stored))} defines no == and cannot be pickled ({type(error).__name__}: {error})"
            )
        return
    yield from _constructions(stored, given, parts)
    yield from _states(stored, given, parts)


def _said(stored: Any, given: Any) -> bool | None:
    """What the class itself says with ==; None where it does not say."""
    if not _defines(type(stored), "__eq__"):
        return None
    try:
        found = stored == given
    except Exception:  # noqa: BLE001 - as where == of two arrays is asked for one answer
        return None
    return bool(found) if type(found).__name__ in {"bool", "bool_"} else None


def _defines(kind: type, name: str) -> bool:
    """Whether a class, or one that it is made of, says for itself what every object has."""
    return any(name in vars(base) for base in kind.__mro__[:-1])


def _field_names(kind: type) -> list[str] | None:
    """The fields of a dataclass, Struct or attrs class that count in a comparison; None where it is none of these."""
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields

        return [field.name for field in fields(kind) if field.compare]
    if hasattr(kind, "__struct_fields__"):
        return list(kind.__struct_fields__)
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else [each.name for each in attributes if each.eq]


def _reduced(value: Any) -> tuple[Any, ...]:
    """What pickle would write of an object: function, arguments, state, members, pairs."""
    reducer = copyreg.dispatch_table.get(type(value))
    found: Any = reducer(value) if reducer is not None else value.__reduce_ex__(4)
    if isinstance(found, str):
        found = (None, (found,))
    return (*found, None, None, None, None)[:5]


def _constructions(stored: Any, given: Any, parts: tuple[Any, Any]) -> Iterator[Item]:
    one, other = parts
    found = first_difference(one[:2], other[:2])
    if isinstance(found, Incomparable):
        yield replace(found, path="")
    elif found is not None:
        texts = short(stored), short(given)
        yield replace(found, path="") if texts[0] == texts[1] else Difference("", "value", *texts)


def _states(stored: Any, given: Any, parts: tuple[Any, Any] | None = None) -> Iterator[Item]:
    """The attributes of two objects and, where they are asked for with all their parts, their members."""
    one, other = parts or (_reduced(stored), _reduced(given))
    before, after = _attributes_in(one[2]), _attributes_in(other[2])
    if before is None or after is None:
        yield ".__getstate__()", one[2], other[2]
    else:
        for name in {**before, **after}:
            yield from _values_at(f".{name}", before.get(name, _ABSENT), after.get(name, _ABSENT))
    if parts is not None:
        yield "", list(one[3] or ()), list(other[3] or ())
        yield "", dict(one[4] or ()), dict(other[4] or ())


def _values_at(place: str, stored: Any, given: Any) -> Iterator[Item]:
    if stored is _ABSENT or given is _ABSENT:
        if stored is not given:
            texts = [NOTHING if each is _ABSENT else short(each) for each in (stored, given)]
            yield Difference(place, "value", *texts)
    else:
        yield place, stored, given


def _attributes_in(state: Any) -> dict[Any, Any] | None:
    """The attributes that a state names, those in slots too; None where it is a state of another kind."""
    if state is None:
        return {}
    if type(state) is dict:
        return state
    if type(state) is tuple and len(state) == 2 and type(state[1]) is dict and type(state[0]) in {dict, type(None)}:
        return {**(state[0] or {}), **state[1]}
    return None


_CONTAINERS = frozenset({list, tuple, deque, dict, set, frozenset})

WALKS.update(
    {
        object: _objects,
        int: _plain,
        float: _floats,
        complex: _complexes,
        str: _texts,
        bytes: _bytes,
        bytearray: _bytes,
        list: _sequences,
        tuple: _sequences,
        deque: _sequences,
        dict: _dicts,
        set: _sets,
        frozenset: _sets,
        type: _named,
        FunctionType: _named,
        BuiltinFunctionType: _named,
    }
)
