"""What a version strategy is shown, and what it answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = [
    "BlindSpot",
    "CodePart",
    "CodeVersion",
    "OpVersionContext",
    "ResourceVersionContext",
    "VersionStrategy",
    "VersionedDefinition",
]


class VersionedDefinition(Protocol):
    """What a strategy may rely on in an op, a resource or an IO manager definition."""

    @property
    def name(self) -> str:
        """The definition's name."""
        ...

    @property
    def where(self) -> str:
        """It and its place, for the front of an error: ``op 'clean' (flights.py:12)``."""
        ...

    @property
    def version(self) -> str | None:
        """What the author declared with ``version=``, if anything."""
        ...

    @property
    def compute_fn(self) -> Callable[..., Any] | None:
        """The decorated function; None for a resource made of a value (`hardcoded_resource`)."""
        ...

    @property
    def hardcoded_value(self) -> Any:
        """The value of a hardcoded resource."""
        ...

    @property
    def ignore(self) -> frozenset[str]:
        """The names of what its code reaches and is not to count; what it ``depends_on`` is counted by the engine."""
        ...


class OpVersionContext(Struct, frozen=True):
    """An op whose version is asked for.

    Attributes:
        op_def: The op's definition.
        op_config: Its config, resolved: defaults applied, environment read.
    """

    op_def: VersionedDefinition
    op_config: Any = None


class ResourceVersionContext(Struct, frozen=True):
    """A resource whose version is asked for; the resources it requires are counted by the engine."""

    resource_def: VersionedDefinition
    resource_config: Any = None


class CodePart(Struct, frozen=True):
    """One thing that the code of an op or resource reaches, with its own hash.

    Attributes:
        kind: `function`, `class`, `value`, `module`, `package`, `builtin`, `declared` or a strategy's own.
        name: Where the user finds it: `flights.helpers.clean`, `LIMIT`, `numpy`.
        hash: Changes when, and only when, the part does.
        detail: What to show when it changed: a value's repr, a package's version.
        file: The file it was read from, where there is one.
        line: Its first line in that file.
        source: A function without arguments that gives the text of the part as it was when it was hashed, or None
            where there is none. Called only for steps that will run, so that planning reads no file.
    """

    kind: str
    name: str
    hash: str
    detail: str = ""
    file: str | None = None
    line: int | None = None
    source: Any = None


class BlindSpot(Struct, frozen=True):
    """A place in code where a strategy cannot see what it depends on.

    Attributes:
        what: What is there: ``open() reads or writes a file``.
        where: As ``file:line``; empty where that is unknown.
        kind: What it reads: `file`, `environment`, `network`, `process`, `time`; `code` for whatever else there is.
        remedy: What to do about it.
        shows: Whether what is behind it shows when it runs, as a file does that Python itself opens.

    >>> print(BlindSpot("open() reads or writes a file", "flights.py:8"))
    flights.py:8: open() reads or writes a file
    """

    what: str
    where: str = ""
    kind: str = "code"
    remedy: str = "declare version= and raise it when that changes"
    shows: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class CodeVersion(Struct, frozen=True, gc=False):
    """A version, with the parts it is made of and what could not be followed.

    Attributes:
        version: Any non-empty string.
        parts: For `memo why`: the difference between two versions is the difference of their parts. Looked at only
            for steps that run.
        blind_spots: What could not be followed, each with its line and the remedy.
        ignored: Those of the definition's ``ignore`` that were met, and left out.
    """

    version: str
    parts: Sequence[CodePart] = ()
    blind_spots: tuple[BlindSpot, ...] = ()
    ignored: frozenset[str] = frozenset()


class VersionStrategy(ABC):
    """Decides what counts as "the same code".

    A job without a strategy is versioned by `SourceHashVersionStrategy` when it is run by ``memo run``.

    >>> class ByHand(VersionStrategy):
    ...     def get_op_version(self, context):
    ...         return {"clean": "3"}.get(context.op_def.name, "1")
    """

    @abstractmethod
    def get_op_version(self, context: OpVersionContext) -> str | CodeVersion:
        """Say the version of an op's code. Config, inputs and resources are counted by the engine."""

    def get_resource_version(self, context: ResourceVersionContext) -> str | CodeVersion | None:  # noqa: ARG002 - for overriding
        """Say the version of a resource's code; None where it does not count beyond its config."""
        return None

    def planning(self) -> AbstractContextManager[object]:
        """Enter around the versions of one plan.

        What a strategy finds out within may be kept until the plan ends, and no longer: in a live session code changes
        between two plans.
        """
        return nullcontext()

    def recall_from(self, folder: str) -> None:  # noqa: B027 - for overriding
        """Told before `planning` in which folder it may find what `keep_in` left there in earlier processes.

        It may save time with it, and must tell the same versions without: anyone may delete the folder at any time.
        """

    def keep_in(self, folder: str) -> None:  # noqa: B027 - for overriding
        """Told when a run starts, its plan being made, in which folder it may leave something for later processes.

        The folder is in the run's home, and may have to be made. Mere plans, and runs without a home, leave nothing.
        """
