"""The encodings that a person can read: JSON, text and bytes as they are."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

from memo_iomanagers.encodings.encoding import CannotEncodeError, Encoding, Written, type_name

if TYPE_CHECKING:
    from memo_iomanagers.encodings.encoding import Writable
    from memo_iomanagers.stored import Stored

__all__ = ["BytesEncoding", "JsonEncoding", "TextEncoding"]

_DIGITS = 10**4000
"""Numbers below which Python reads back from their digits whatever it is set to."""


class JsonEncoding(Encoding):
    """What JSON has: dicts by text, lists, texts, numbers, True, False and None, each as itself."""

    name = "json"
    suffix = "data.json"
    takes = "dicts with keys of type str, lists, str, int, finite float, bool and None, and nothing derived from them"

    def refusal(self, value: Any) -> str | None:
        """Refuse what JSON would change, by the path to it."""
        pending = [("value", value)]
        seen: set[int] = set()
        while pending:
            path, part = pending.pop()
            kind = type(part)
            if kind is dict or kind is list:
                if id(part) in seen:  # what occurs twice would come back as two, and a circle not at all
                    return f"{path} occurs twice within it"
                seen.add(id(part))
                for key in part if kind is dict else ():
                    if type(key) is not str:
                        return f"{path} has the key {key!r:.60}, a {type_name(key)}"
                pending += [
                    (f"{path}[{key!r}]", each) for key, each in (part.items() if kind is dict else enumerate(part))
                ]
            elif kind is float and not isfinite(part):
                return f"{path} is {part}"
            elif kind is int and not -_DIGITS < part < _DIGITS:
                return f"{path} has more than 4,000 digits"
            elif part is not None and kind not in {str, bool, int, float}:
                return f"{path} is a {type_name(part)}"
        return None

    def dump(self, value: Any, file: Writable) -> Written:
        """Write one JSON text in ASCII."""
        import json

        try:
            text = json.dumps(value, allow_nan=False)
        except RecursionError:
            raise CannotEncodeError("the value is nested too deeply for JSON") from None
        file.write(text.encode("ascii"))
        return Written()

    def load(self, stored: Stored, form: str, wanted: object) -> Any:  # noqa: ARG002 - JSON tells its types
        """Read the JSON text."""
        import json

        return json.loads(stored.read())


class TextEncoding(Encoding):
    """A text, in UTF-8, its ends of lines as they are."""

    name = "text"
    suffix = "txt"
    takes = "str"

    def refusal(self, value: Any) -> str | None:
        """Refuse all but texts that UTF-8 has."""
        if type(value) is not str:
            return f"it is a {type_name(value)}"
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"it holds half of a surrogate pair, at {error.start}"
        return None

    def dump(self, value: Any, file: Writable) -> Written:
        """Write the text, in pieces: its bytes are not held beside it."""
        for start in range(0, len(value), 1 << 20):
            file.write(value[start : start + (1 << 20)].encode())
        return Written()

    def load(self, stored: Stored, form: str, wanted: object) -> Any:  # noqa: ARG002 - there is one type
        """Read the text."""
        return str(stored.read_only(), "utf-8")


class BytesEncoding(Encoding):
    """Bytes as they are."""

    name = "bytes"
    suffix = "bin"
    takes = "bytes and bytearray"

    def refusal(self, value: Any) -> str | None:
        """Refuse all but bytes and bytearrays."""
        return None if type(value) in {bytes, bytearray} else f"it is a {type_name(value)}"

    def dump(self, value: Any, file: Writable) -> Written:
        """Write them."""
        file.write(value)
        return Written("bytearray" if type(value) is bytearray else "")

    def load(self, stored: Stored, form: str, wanted: object) -> Any:  # noqa: ARG002 - the form is all that is asked for
        """Read them."""
        return bytearray(stored.read()) if form else stored.read()
