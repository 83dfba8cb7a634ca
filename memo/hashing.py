"""The one canonical encoding for everything that goes into a version.

Type-tagged (1, 1.0, True and "1" differ), length-prefixed (no two lists of parts read alike), keyed
(nothing is sorted but what has no order). Digests are xxh3-128, as 32 hexadecimal digits: they guard
against accident, not against an adversary.
"""

from __future__ import annotations

from itertools import chain
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128, xxh3_128_hexdigest

if TYPE_CHECKING:
    from collections.abc import Iterable

RECIPE = 1
"""The number of the recipe below. It is part of every version, so a later memo can change the recipe
and still read what was stored under an older one."""

_RECIPE = f"{RECIPE}:"


class UnencodableError(TypeError):
    """A value of a type that the canonical encoding does not know."""


def digest(tag: str, *parts: str) -> str:
    """Hash strings in order, each with its length, under a tag that says what they are.

    >>> digest("pair", "ab", "c") == digest("pair", "a", "bc")
    False
    """
    return joined_digest(tag, "".join([f"{len(part)}:{part}" for part in parts]))


def joined_digest(tag: str, joined: str) -> str:
    """Hash under a tag what the caller has joined, so that no two lists of parts read alike; see `digest`.

    For what a plan does hundreds of thousands of times: joining takes longer than hashing.
    """
    return xxh3_128_hexdigest(f"{_RECIPE}{tag}:{joined}".encode("utf-8", "surrogatepass"))


def named_digest(tag: str, items: Iterable[tuple[str, str]]) -> str:
    """Hash (name, digest) pairs whose order means nothing, by name."""
    return digest(tag, *[part for item in sorted(items) for part in item])


def value_digest(value: object) -> str:
    """Hash a value by type and content.

    Knows None, bool, int, float, complex, str, bytes, date and time types, Decimal, Fraction, UUID,
    paths, ranges, enums, lists, tuples, dicts (in order), sets, dataclasses, named tuples and msgspec
    Structs. A subclass never counts as its parent.

    Raises:
        UnencodableError: The value, or something within it, is of another type.
    """
    out = bytearray()
    try:
        _encode(value, out)
    except RecursionError:
        raise UnencodableError("the value is nested too deeply, or contains itself") from None
    return xxh3_128_hexdigest(out)


def values_digest(tag: str, head: str, values: Iterable[tuple[str, object]]) -> str:
    """Hash a text and, behind it, named values by type and content, in order.

    Raises:
        UnencodableError: A value is of a type that `value_digest` does not know.
    """
    out = bytearray(f"{_RECIPE}{tag}:{len(head)}:{head}".encode("utf-8", "surrogatepass"))
    for name, value in values:
        _encode(name, out)
        _encode(value, out)
    return xxh3_128_hexdigest(out)


def _tagged(out: bytearray, tag: bytes, body: bytes) -> None:
    out += b"%b%d:%b" % (tag, len(body), body)


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _encode_many(tag: bytes, values: Iterable[object], count: int, out: bytearray) -> None:
    out += b"%b%d:" % (tag, count)
    for value in values:
        _encode(value, out)


def _encode_unordered(tag: bytes, values: Iterable[object], out: bytearray) -> None:
    digests = sorted(value_digest(value) for value in values)
    _tagged(out, tag, "".join(digests).encode())


def _encode(value: Any, out: bytearray) -> None:
    # The commonest first; each written out, as a plan encodes tens of thousands.
    kind = type(value)
    if kind is str:
        text = value.encode("utf-8", "surrogatepass")
        out += b"s%d:%b" % (len(text), text)
    elif kind is int:
        digits = b"%x" % value
        out += b"i%d:%b" % (len(digits), digits)
    elif value is None:
        out += b"N"
    elif kind is bool:
        out += b"T" if value else b"F"
    elif kind is float:
        _tagged(out, b"f", value.hex().encode())
    elif kind is bytes:
        _tagged(out, b"b", value)
    else:
        _encode_container(value, kind, out)


def _encode_container(value: Any, kind: type, out: bytearray) -> None:
    if kind is list:
        _encode_many(b"l", value, len(value), out)
    elif kind is tuple:
        _encode_many(b"t", value, len(value), out)
    elif kind is dict:
        _encode_many(b"d", chain.from_iterable(value.items()), 2 * len(value), out)
    elif kind is set:
        _encode_unordered(b"S", value, out)
    elif kind is frozenset:
        _encode_unordered(b"Z", value, out)
    else:
        _encode_rare(value, kind, out)


def _encode_rare(value: Any, kind: type, out: bytearray) -> None:
    module = kind.__module__
    if kind is complex:
        _tagged(out, b"c", f"{value.real.hex()},{value.imag.hex()}".encode())
    elif kind is bytearray:
        _tagged(out, b"y", bytes(value))
    elif kind is range:
        _encode_many(b"r", (value.start, value.stop, value.step), 3, out)
    elif module == "datetime" and getattr(value, "tzinfo", None) is not None:
        # Apart, since a time zone may be of any class.
        out += b"w"
        _encode(value.replace(tzinfo=None), out)
        _encode(value.tzinfo, out)
    elif module == "zoneinfo" and value.key is None:
        raise UnencodableError("a time zone without a key, read from a file, has no canonical encoding")
    elif module in {"datetime", "decimal", "fractions", "uuid", "pathlib", "zoneinfo", "pathlib._local"}:
        # Their repr is exact, and made by the standard library: no user code runs.
        _tagged(out, b"q", _text(repr(value)))
    elif hasattr(kind, "_member_map_"):
        _tagged(out, b"e", _text(f"{kind.__qualname__}.{value._name_}"))
        _encode(value._value_, out)
    else:
        _encode_record(value, kind, out)


def _encode_record(value: Any, kind: type, out: bytearray) -> None:
    """Encode a dataclass, Struct or named tuple by the name of its class and its fields."""
    if "__dataclass_fields__" in kind.__dict__ and not _has_builtin_content(kind):
        names = _dataclass_names(value, kind)
    elif hasattr(type(kind), "__struct_fields__"):
        names = list(kind.__struct_fields__)  # type: ignore[attr-defined] # msgspec keeps it on the metaclass
    elif kind.__bases__ == (tuple,) and "_fields" in kind.__dict__:
        names = list(kind.__dict__["_fields"])
    else:
        name = f"{kind.__module__}.{kind.__qualname__}"
        raise UnencodableError(f"a value of type {name} has no canonical encoding")
    _tagged(out, b"C", _text(kind.__qualname__))
    try:
        parts = [part for name in names for part in (name, getattr(value, name))]
    except AttributeError as error:
        raise UnencodableError(f"a {kind.__qualname__} cannot be encoded: {error}") from None
    _encode_many(b"d", parts, len(parts), out)


def _dataclass_names(value: Any, kind: type) -> list[str]:
    """The fields of a dataclass instance, and whatever else was set on it that is no cached property."""
    from dataclasses import fields  # there is an instance of a dataclass, so this is imported already
    from functools import cached_property

    names = [field.name for field in fields(value)]
    others = sorted(getattr(value, "__dict__", {}).keys() - set(names))
    return names + [name for name in others if not isinstance(getattr(kind, name, None), cached_property)]


def _has_builtin_content(kind: type) -> bool:
    """Whether a class extends list, dict, an exception or another class written in C, whose content is in no field."""
    makers = (each.__dict__.get("__new__") for each in kind.__mro__ if each is not object)
    return any(isinstance(maker, BuiltinFunctionType) for maker in makers)


def bytes_digest(data: bytes) -> str:
    """Hash bytes as they are, as `Hasher` does."""
    return xxh3_128_hexdigest(data)


class Hasher:
    """A running xxh3-128 over bytes, for content that is written as it is hashed."""

    __slots__ = ("_state", "size")

    def __init__(self) -> None:
        self._state = xxh3_128()
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take the next bytes; returns how many there were, as a file's write does."""
        count = data.nbytes if isinstance(data, memoryview) else len(data)
        self._state.update(data)
        self.size += count
        return count

    def hexdigest(self) -> str:
        """The digest of everything written so far."""
        return str(self._state.hexdigest())
