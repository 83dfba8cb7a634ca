"""Why a value cannot be pickled, or a pickle not be loaded: the part of it that is to blame."""

from __future__ import annotations

import copyreg
import pickle
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from memo_iomanagers.encodings.encoding import type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Buffer = bytes | memoryview

__all__ = ["explain_dump", "explain_load"]

_TRIALS = 10_000
"""How many parts of a value are tried on the way to the one that cannot be pickled."""


def explain_dump(value: object, error: Exception) -> str:
    """Say which part of a value cannot be pickled, as the end of a sentence."""
    try:
        path, part = _culprit(value)
    except Exception:  # noqa: BLE001 - the user's code runs on the way, and the error that is at hand matters more
        path, part = "value", value
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if part is value:
        return f"a {type_name(value)} cannot be pickled ({said})"
    return f"{path}, a {type_name(part)}, cannot be pickled ({said})"


def explain_load(head: Buffer, buffers: Sequence[Buffer], error: Exception) -> tuple[bool, str]:
    """Say why a value could not be loaded from a pickle that is whole.

    Args:
        head: The pickle.
        buffers: Those that it leaves out.
        error: What loading it raised.

    Returns:
        Whether storing the value afresh is the remedy, as where a class was renamed since; and the end of
        a sentence.
    """
    if isinstance(error, pickle.UnpicklingError | EOFError):
        return True, f"is no pickle ({error})"
    from io import BytesIO

    reader = _NamingUnpickler(BytesIO(head), buffers=buffers)
    with suppress(Exception):  # only what the reader came upon counts
        reader.load()
    if reader.missing is not None:
        return True, f"needs {reader.missing}, which today's code does not have ({error})"
    what = _raised_in(error) or reader.latest or "the value"
    return False, f"cannot be rebuilt: {what} raised {type(error).__name__}: {error}"


class _NamingUnpickler(pickle.Unpickler):
    """Remembers the classes and functions that a pickle names."""

    latest: str | None = None
    missing: str | None = None

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        self.latest = f"{module_name}.{global_name}"
        try:
            return super().find_class(module_name, global_name)
        except (ImportError, AttributeError):
            self.missing = self.latest
            raise


def _raised_in(error: Exception) -> str | None:
    """Name the function of the user's that raised, if it was not the unpickler itself."""
    frame, last = error.__traceback__, None
    while frame is not None:
        frame, last = frame.tb_next, frame
    if last is None or str(last.tb_frame.f_globals.get("__name__")).startswith("memo_iomanagers."):
        return None
    code = last.tb_frame.f_code
    return f"{code.co_qualname} ({code.co_filename}:{last.tb_lineno})"


class _Nowhere:
    """Takes bytes and keeps none."""

    def write(self, data: object, /) -> None:
        """Take them."""


def _pickles(value: object) -> bool:
    try:
        pickle.Pickler(_Nowhere(), protocol=5).dump(value)
    except Exception:  # noqa: BLE001 - whatever it raises, it cannot be pickled
        return False
    return True


def _culprit(value: object) -> tuple[str, object]:
    """Follow what cannot be pickled down to the innermost part, with the path to it."""
    path, trials, on_the_way = "value", 0, {id(value)}
    while True:
        for step, part in _parts(value):
            trials += 1
            if trials > _TRIALS:
                return path, value
            if id(part) not in on_the_way and not _pickles(part):
                path, value = path + step, part
                on_the_way.add(id(part))
                break
        else:
            return path, value


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """The parts that pickling goes into, each with its step of the path."""
    if type(value) is dict:
        for key, part in value.items():
            yield f"[{_brief(key)}]", part
            yield f" key {_brief(key)}", key
    elif type(value) in {list, tuple}:
        for index, part in enumerate(value):
            yield f"[{index}]", part
    elif type(value) in {set, frozenset}:
        for part in value:
            yield f" member {_brief(part)}", part
    else:
        yield from _reduced_parts(value)


def _reduced_parts(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, type):
        return
    try:
        reducer = copyreg.dispatch_table.get(type(value))
        reduced: Any = reducer(value) if reducer is not None else value.__reduce_ex__(5)
    except Exception:  # noqa: BLE001 - then it is the value itself that cannot be pickled
        return
    if isinstance(reduced, str):
        return
    padded: list[Any] = [*reduced, None, None, None]
    arguments, state, items, pairs = padded[1:5]
    for named in state if isinstance(state, tuple) else (state,):
        if isinstance(named, dict):
            yield from ((f".{name}", part) for name, part in named.items())
        elif named is not None:
            yield " state", named
    yield from ((f"[{index}]", part) for index, part in enumerate(items or ()))
    yield from ((f"[{_brief(key)}]", part) for key, part in pairs or ())
    yield from ((f" argument {index}", part) for index, part in enumerate(arguments or ()))


def _brief(value: object) -> str:
    try:
        shown = repr(value)
    except Exception:  # noqa: BLE001 - a user's repr may raise anything
        shown = f"<{type_name(value)}>"
    return shown if len(shown) <= 60 else f"{shown[:57]}…"
