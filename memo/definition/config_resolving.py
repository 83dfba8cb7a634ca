"""The resolving of config values: the problems that are noted, and what is taken from the environment."""

from __future__ import annotations

import reprlib
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memo.errors import ConfigProblem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from memo.definition.config_types import ConfigType

__all__ = [
    "ABSENT",
    "EnvironmentValue",
    "Resolution",
    "child_path",
    "take_from_environment",
    "taken_from_environment",
    "unshared",
]


class _Absent:
    """The type of `ABSENT`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        """Stay the one object when copied or sent to another process."""
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of a config entry that was left out, which is not the same as None."""


class EnvironmentValue(NamedTuple):
    """A config value that was taken from the environment, and may be a secret.

    Attributes:
        path: Where it stands in its config, as ``db.password``; empty where the whole config may be made of it.
        variable: The variable's name.
        text: What the variable holds.
    """

    path: str
    variable: str
    text: str


_taken: ContextVar[list[EnvironmentValue] | None] = ContextVar("taken from the environment", default=None)


@contextmanager
def taken_from_environment() -> Generator[list[EnvironmentValue]]:
    """Gather what is taken from the environment while configs are resolved."""
    found: list[EnvironmentValue] = []
    token = _taken.set(found)
    try:
        yield found
    finally:
        _taken.reset(token)
        outer = _taken.get()
        if outer is not None:
            outer += found


def take_from_environment(taken: EnvironmentValue) -> None:
    """Tell those who gather what is taken from the environment."""
    found = _taken.get()
    if found is not None:
        found.append(taken)


class Resolution:
    """One resolving in progress: where problems go and environment variables come from.

    Args:
        problems: Problems are appended here.
        environ: The environment; None while a definition's defaults are checked, when none is read.

    Attributes:
        flaws: How many values could not be made so far: problems, and variables left unread.
    """

    __slots__ = ("environ", "flaws", "problems")

    def __init__(self, problems: list[ConfigProblem], environ: Mapping[str, str] | None) -> None:
        self.problems = problems
        self.environ = environ
        self.flaws = 0

    def problem(self, path: str, message: str) -> Any:
        """Note a problem; gives `ABSENT`, for the value that could not be made."""
        self.flaws += 1
        self.problems.append(ConfigProblem(path, message))
        return ABSENT

    def mismatch(self, expected: ConfigType, value: Any, path: str, hint: str = "") -> Any:
        """Note a value of the wrong type."""
        got = "None" if value is None else f"{type(value).__name__} {reprlib.repr(value)}"
        return self.problem(path, f"Expected {_brief(expected)}, got {got}{hint}")

    def missing(self, expected: ConfigType, path: str) -> Any:
        """Note an entry that was left out and may not be."""
        name = "" if path.endswith("]") else path.rpartition(".")[2]
        sample = {name: expected.sample()} if name else expected.sample()
        note = f" ({expected.description})" if expected.description else ""
        message = f"Missing required config entry of type {_brief(expected)}{note}, for example {sample!r}"
        return self.problem(path, message)

    def unexpected(self, name: object, known: Mapping[str, ConfigType], path: str) -> Any:
        """Note an entry that the schema does not have."""
        if not known:
            rest = ": no entries are expected here"
        else:
            rest = f".{did_you_mean(name, known)}" if isinstance(name, str) else ": names are strings"
        return self.problem(path, f"Unexpected config entry {reprlib.repr(name)}{rest}")


def child_path(path: str, key: object) -> str:
    """The path of an entry: ``.name`` where that reads well, else ``[key]``."""
    if isinstance(key, str) and key.replace("-", "_").isidentifier():
        return f"{path}.{key}" if path else key
    return f"{path}[{key!r}]" if isinstance(key, str) else f"{path}[{reprlib.repr(key)}]"


def unshared(value: Any) -> Any:
    """A deep copy, so that what one step does to its config is not seen by another."""
    if value is None or type(value) in {bool, int, float, str}:
        return value
    from copy import deepcopy

    return deepcopy(value)


def _brief(config_type: ConfigType) -> str:
    text = config_type.describe()
    return text if len(text) <= 120 else text[:119] + "…"
