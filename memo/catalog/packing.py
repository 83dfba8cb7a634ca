"""How what has no column of its own is kept: msgpack, compressed where that pays.

Recipes and events are kept as arrays in the order of their fields, the rest by name; either way a field that is later
added with a default leaves what was kept before readable.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from msgspec import Raw, Struct, structs
from msgspec.msgpack import Decoder, Encoder

from memo.contracts.run_store import Recipe
from memo.events import ErrorInfo, Event, EventType
from memo.hashing import Hasher

_PLAIN, _COMPRESSED = b"m", b"z"
_WORTH_COMPRESSING = 1024
"""Bytes. Below, the 10 microseconds that compressing takes are worth more than the bytes."""
_SCALARS: Any = (bool, int, float, str, bytes)
_DEEPEST = 50
"""Levels of nesting beyond which a value is kept as its repr."""


class _KeptEvent(Struct, array_like=True, gc=False):
    """An event as it is read back: by position, and with whatever keys its data were told under."""

    kind: EventType
    run_id: str
    at: float
    step_key: str | None = None
    attempt: int = 0
    message: str = ""
    data: dict[Any, Any] = {}
    error: ErrorInfo | None = None


def _stand_in(value: Any) -> Any:
    """Give msgpack something to keep in place of a value that it does not know."""
    for kind in _SCALARS:
        if isinstance(value, kind):
            return kind(value)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None) == ():
        return value.item()
    return _shown(value)


def _shown(value: object) -> str:
    try:
        return storable(repr(value))
    except Exception:  # noqa: BLE001 - a user's __repr__ may raise anything: a run is not lost to it
        return f"<{type(value).__qualname__} without a repr>"


_encoder = Encoder(enc_hook=_stand_in)
_exact_encoder = Encoder()
_any = Decoder()
_steps = Decoder(dict[str, tuple[str, str, str]])
_counts = Decoder(dict[str, int])
_texts = Decoder(dict[str, str])


@cache
def _events() -> Decoder[list[_KeptEvent]]:
    """Made when it is first used, as the next: to read the annotations of records takes a while."""
    return Decoder(list[_KeptEvent])


@cache
def _recipes() -> Decoder[Recipe]:
    return Decoder(Recipe)


def storable(text: str) -> str:
    r"""Write out as ``\udc80`` what is no character: the undecodable bytes in the name of a file."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _made_fit(value: Any, depth: int = 0) -> Any:
    """Rebuild a value from what msgpack can hold; whatever else there is becomes its repr."""
    if isinstance(value, Struct):
        value = structs.astuple(value) if value.__struct_config__.array_like else structs.asdict(value)
    fit: Any
    if depth > _DEEPEST:
        fit = _shown(value)
    elif isinstance(value, dict):
        fit = {storable(str(key)): _made_fit(item, depth + 1) for key, item in value.items()}
    elif isinstance(value, (list, tuple, set, frozenset)):
        fit = [_made_fit(item, depth + 1) for item in value]
    else:
        fit = _fit_scalar(value)
    return fit


def _fit_scalar(value: Any) -> Any:
    fit = value if value is None else _stand_in(value)
    if isinstance(fit, str):
        return storable(fit)
    if isinstance(fit, int) and not -(1 << 63) <= fit < 1 << 64:
        return str(fit)
    return fit


def _encoded(value: Any) -> bytes:
    try:
        return _encoder.encode(value)
    except (OverflowError, RecursionError, TypeError, UnicodeEncodeError):
        return _encoder.encode(_made_fit(value))


def _closed(encoded: bytes) -> bytes:
    if len(encoded) < _WORTH_COMPRESSING:
        return _PLAIN + encoded
    from zlib import compress

    return _COMPRESSED + compress(encoded, 1)


def pack(value: Any) -> bytes:
    """Turn a value into bytes. What msgpack has no form for is kept as its repr: it is there to be shown."""
    return _closed(_encoded(value))


def pack_exactly(value: Any) -> bytes:
    """Turn into bytes what consists of nothing but None, bools, floats, whole numbers, text, bytes and lists."""
    return _closed(_exact_encoder.encode(value))


def pack_some(value: Any) -> bytes | None:
    """Turn a value into bytes, and nothing (None, or an empty dict) into none."""
    return None if value is None or value == {} else pack(value)


def _opened(packed: bytes) -> bytes:
    if packed[:1] == _COMPRESSED:
        from zlib import decompress

        return decompress(packed[1:])
    return packed[1:]


def unpack(packed: bytes | None) -> Any:
    """Read what `pack` made; None where there was nothing."""
    return None if packed is None else _any.decode(_opened(packed))


def unpack_steps(packed: bytes | None) -> dict[str, tuple[str, str, str]]:
    """Read the steps of a run that `pack` made."""
    return {} if packed is None else _steps.decode(_opened(packed))


def unpack_counts(packed: bytes | None) -> dict[str, int]:
    """Read the counts of a run that `pack` made."""
    return {} if packed is None else _counts.decode(_opened(packed))


def pack_events(events: list[Event]) -> bytes:
    """Turn what happened one after another in a run into bytes."""
    try:
        encoded = _encoder.encode(events)
    except (OverflowError, RecursionError, TypeError, UnicodeEncodeError):
        # Each by itself: what one of them holds changes nothing of how the others are kept.
        encoded = _encoder.encode([Raw(_encoded(each)) for each in events])
    return _closed(encoded)


def unpack_events(packed: bytes) -> list[Event]:
    """Read what `pack_events` made."""
    return [
        Event(each.kind, each.run_id, each.at, each.step_key, each.attempt, each.message, each.data, each.error)
        for each in _events().decode(_opened(packed))
    ]


def pack_recipe(recipe: Recipe) -> bytes:
    """Turn a recipe into bytes: the same for the same recipe."""
    return _closed(_encoded(recipe))


def unpack_recipe(packed: bytes) -> Recipe:
    """Read what `pack_recipe` made."""
    return _recipes().decode(_opened(packed))


class VersionSet:
    """The versions of a run's steps as they are kept: under their digest, compressed only where they are new.

    Args:
        versions: Step key -> version.
    """

    def __init__(self, versions: dict[str, str]) -> None:
        self._encoded = _encoded(versions)
        hasher = Hasher()
        hasher.write(self._encoded)
        self.digest = hasher.hexdigest()

    def packed(self) -> bytes:
        """The bytes to keep."""
        return _closed(self._encoded)


def unpack_files(packed: bytes | None) -> dict[str, str]:
    """Read where the outputs of an adoption came from, that `pack` made."""
    return {} if packed is None else _texts.decode(_opened(packed))


def unpack_versions(packed: bytes | None) -> dict[str, str]:
    """Read the versions of a run's steps."""
    return {} if packed is None else _texts.decode(_opened(packed))


def pack_text(text: str) -> bytes:
    """Turn a source text into bytes."""
    return _closed(text.encode("utf-8", "surrogatepass"))


def unpack_text(packed: bytes) -> str:
    """Read what `pack_text` made; in old catalogs it is compressed whatever its length, and not marked as that."""
    from zlib import decompress

    if packed[:1] in {_PLAIN, _COMPRESSED}:
        return _opened(packed).decode("utf-8", "surrogatepass")
    return decompress(packed).decode("utf-8", "surrogatepass")
