"""Every error that a user of memo can meet.

MemoError
├── DefinitionError      an op, graph, job, resource or IO manager that cannot be right as written
├── ConfigError          run config that does not fit the schema; every problem at once, each with its path
├── InvocationError      an op, resource or result asked for something it cannot give
├── VersionError         a version could not be determined
│   └── SourceError      an external source is not what it was said to be
│       └── UnreachableError  it could not be reached: what was last known of it may do
├── SelectionError       a step selection that names nothing, or cannot be read
├── TargetError          no job could be loaded from what the command line named
├── HomeError            the home (``.memo``) cannot be used
│   └── NewerHomeError   it was written by a newer memo
├── RunNotFoundError     no run of that id in this home
├── StorageError         an output could not be stored or loaded
│   └── OutputLostError  what is stored is not whole, or is gone: a miss, never a value
├── MissingExtraError    an optional package is not installed
└── ExecutionError       a step could not be carried out, for a reason outside its body
    ├── MaxRetriesError  every attempt that the retry policy allows has failed
    ├── SourceChangedError  what the step read was changed while it ran
    └── WorkerDiedError  the process that ran the step died

Each says in one line what is wrong in the user's words, where, and what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "ConfigError",
    "ConfigProblem",
    "DefinitionError",
    "ExecutionError",
    "HomeError",
    "InvocationError",
    "MaxRetriesError",
    "MemoError",
    "MissingExtraError",
    "NewerHomeError",
    "OutputLostError",
    "RunNotFoundError",
    "SelectionError",
    "SourceChangedError",
    "SourceError",
    "StorageError",
    "TargetError",
    "UnreachableError",
    "VersionError",
    "WorkerDiedError",
    "did_you_mean",
]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or else which names there are.

    Returns:
        A sentence beginning with a space, or an empty string where nothing is known.
    """
    from difflib import get_close_matches

    names = sorted(set(known))
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean {close[0]!r}?"
    if not names:
        return ""
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f" There is: {shown}."


class MemoError(Exception):
    """The parent of every error memo raises on purpose.

    Args:
        what: One sentence in the user's words, with what to do about it.
        where: The place, as ``file:line``, an op, an output or a config path, or what tells it; shown in front.
    """

    def __init__(self, what: str, *, where: object = "") -> None:
        self.what = what
        self.where = str(where)
        super().__init__(what, self.where)

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process borders whole, whatever arguments a subclass takes."""
        return (_rebuilt, (type(self), self.args, self.__dict__))


def _rebuilt(kind: type[MemoError], args: tuple[object, ...], state: dict[str, object]) -> MemoError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class DefinitionError(MemoError):
    """An op, graph, job, resource or IO manager that cannot be right as written."""


class ConfigProblem:
    """One thing wrong with a run config: the path to it, and what is wrong there."""

    __slots__ = ("message", "path")

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        self.message = message

    def __repr__(self) -> str:
        return f"ConfigProblem({self.path!r}, {self.message!r})"

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class ConfigError(MemoError):
    """Run config that does not fit the schema.

    Attributes:
        problems: Everything that is wrong, each with its path (``ops.clean.config.limit``).
    """

    def __init__(self, problems: Sequence[ConfigProblem], *, where: str = "") -> None:
        self.problems = tuple(problems)
        head = f"{len(self.problems)} problems in the config: " if len(self.problems) > 1 else ""
        super().__init__(head + "; ".join(map(str, self.problems)), where=where)


class InvocationError(MemoError):
    """An op, a resource or a result was asked for something it cannot give."""


class VersionError(MemoError):
    """A version could not be determined."""


class SourceError(VersionError):
    """An external source is not what it was said to be, or could not be reached."""


class UnreachableError(SourceError):
    """An external source could not be reached: what was last known of it may do, where the user said so."""


class SelectionError(MemoError):
    """A step selection that names nothing, or cannot be read."""


class TargetError(MemoError):
    """No job could be loaded from what the command line named."""


class HomeError(MemoError):
    """The home, the ``.memo`` folder, cannot be used."""


class NewerHomeError(HomeError):
    """The home was written by a newer memo than this one."""


class RunNotFoundError(MemoError):
    """This home knows no run of that id."""


class StorageError(MemoError):
    """An output could not be stored or loaded."""


class OutputLostError(StorageError):
    """What is stored is not whole, or is gone. The engine treats it as a miss and runs the step again."""


class MissingExtraError(MemoError):
    """An optional package is needed and not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}: pip install 'memo-pipelines[{extra}]'",
        )


class ExecutionError(MemoError):
    """A step could not be carried out, for a reason outside its own body."""


class MaxRetriesError(ExecutionError):
    """Every attempt that the retry policy allows has failed."""


class SourceChangedError(ExecutionError):
    """An external source was changed while a step read it: what came of it is neither the old nor the new."""


class WorkerDiedError(ExecutionError):
    """The process that was running the step died."""
