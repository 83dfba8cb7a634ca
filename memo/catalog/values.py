"""Values that must come back as what they were: each type that msgpack would take for another stands under a tag."""

from __future__ import annotations

from typing import Any

from msgspec import ValidationError

from memo.catalog.packing import pack_exactly, unpack

_WHOLE_NUMBERS = range(-(1 << 63), 1 << 64)
"""Those that msgpack has a form for."""

_KEPT = "plain data, bytes, a Decimal, a path, a date or a time"


def pack_value(value: Any) -> bytes:
    """Turn plain data, bytes, decimal numbers, paths, dates and times into bytes.

    Raises:
        ValueError: The value, or something in it, is of another type, contains itself, or has a time zone of its own.
    """
    try:
        return pack_exactly(_tagged(value))
    except RecursionError:
        raise ValueError("a value that is nested too deeply, or contains itself, cannot be kept") from None


def unpack_value(packed: bytes) -> Any:
    """Read what `pack_value` made.

    Raises:
        MsgspecError: It is something else.
    """
    found = unpack(packed)
    try:
        return _untagged(found)
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValidationError(f"what is kept is no value: {error}") from error


def _tagged(value: Any) -> Any:
    """Write a value as what msgpack gives back unchanged, and all else as a list of a tag and what stands behind it."""
    kind = type(value)
    if value is None or kind in {bool, float, bytes}:
        return value
    if kind is int:
        return value if value in _WHOLE_NUMBERS else ["int", hex(value)]
    if kind is str:
        # What is no character, as in the names of files.
        return value if _is_text(value) else ["str", value.encode("utf-8", "surrogatepass")]
    if kind is list or kind is tuple:
        return [kind.__name__, [_tagged(each) for each in value]]
    if kind is dict:
        return ["dict", [[_tagged(key), _tagged(each)] for key, each in value.items()]]
    return _tagged_rarely(value, kind)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tagged_rarely(value: Any, kind: type) -> list[Any]:
    module = kind.__module__
    if module == "datetime" and kind.__name__ == "date":
        return ["date", value.isoformat()]
    if module == "datetime" and kind.__name__ in {"datetime", "time"}:
        return [kind.__name__, value.replace(tzinfo=None).isoformat(), value.fold, _tagged_zone(value.tzinfo)]
    if module == "decimal" and kind.__name__ == "Decimal":
        return ["Decimal", str(value)]
    if module in {"pathlib", "pathlib._local"}:
        return [kind.__name__, _tagged(str(value))]
    raise ValueError(f"a value of type {module}.{kind.__qualname__} cannot be kept; give {_KEPT}")


def _tagged_zone(zone: Any) -> list[Any] | None:
    if zone is None:
        return None
    kind = type(zone)
    if kind.__module__ == "datetime" and kind.__name__ == "timezone":
        offset, *name = zone.__getinitargs__()
        return ["timezone", offset.days, offset.seconds, offset.microseconds, *name]
    if kind.__module__ == "zoneinfo" and kind.__name__ == "ZoneInfo" and zone.key is not None:
        return ["ZoneInfo", zone.key]
    raise ValueError(f"a time in the zone {zone!r} cannot be kept; give one in UTC, or in a ZoneInfo")


def _untagged(kept: Any) -> Any:
    if type(kept) is not list:
        return kept
    found: Any
    match kept:
        case ["list", list(items)]:
            found = [_untagged(each) for each in items]
        case ["tuple", list(items)]:
            found = tuple([_untagged(each) for each in items])
        case ["dict", list(pairs)]:
            found = {_untagged(key): _untagged(each) for key, each in pairs}
        case ["int", str(text)]:
            found = int(text, 16)
        case ["str", bytes(text)]:
            found = text.decode("utf-8", "surrogatepass")
        case _:
            found = _untagged_rarely(kept)
    return found


def _untagged_rarely(kept: list[Any]) -> Any:
    match kept:
        case ["datetime" | "time" as tag, text, fold, zone]:
            import datetime as dt

            return getattr(dt, tag).fromisoformat(text).replace(fold=fold, tzinfo=_untagged_zone(zone))
        case ["date", text]:
            from datetime import date

            return date.fromisoformat(text)
        case ["Decimal", text]:
            from decimal import Decimal

            return Decimal(text)
        case ["PosixPath" | "WindowsPath" | "PurePosixPath" | "PureWindowsPath" as tag, text]:
            import pathlib

            return getattr(pathlib, tag)(_untagged(text))
        case _:
            raise ValueError(f"nothing stands under {kept[:1]!r}")


def _untagged_zone(kept: Any) -> Any:
    match kept:
        case None:
            return None
        case ["ZoneInfo", key]:
            from zoneinfo import ZoneInfo

            return ZoneInfo(key)
        case ["timezone", days, seconds, microseconds, *name]:
            from datetime import timedelta, timezone

            return timezone(timedelta(days, seconds, microseconds), *name)
        case _:
            raise ValueError(f"{kept!r} is no time zone")
