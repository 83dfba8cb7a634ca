"""What an executor is given and must give back: ready steps in, outcomes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct, field

from memo.contracts.run_store import OutputRecord
from memo.events import ErrorInfo, Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Address",
    "Executor",
    "Gathered",
    "InputFrom",
    "SourceValue",
    "Span",
    "StepOutcome",
    "StepRunner",
    "StepTask",
]


class Address(Struct, frozen=True):
    """Where one output is stored: under its version, or under the run that made it.

    Attributes:
        kind: As in `OutputRecord.kind`.
        digest: As in `OutputRecord.digest`, where this run has stored it.
    """

    step_key: str
    output: str
    version: str | None = None
    run_id: str | None = None
    kind: str = "value"
    digest: str | None = None


class SourceValue(Struct, frozen=True):
    """What an external source gave when the plan was made."""

    value: Any


class InputFrom(Struct, frozen=True):
    """Where one input of a task is to be loaded from.

    Attributes:
        members: The stored outputs and what sources gave, in order; None at the place of a literal in a fan-in, whose
            value stands in the definition.
    """

    members: tuple[Address | SourceValue | None, ...]


class StepTask(Struct, frozen=True):
    """One attempt of one step. It crosses process borders, so it holds names and addresses, no values of outputs.

    Attributes:
        inputs: For the inputs that come from upstream steps and external sources.
        version: The step's version, None where nothing is to be stored under a version.
        looks: What the files of the sources looked like that the step reads, when the plan was made.
        is_compared: Whether the content of its outputs is to be told, because steps that read them may be cut off.
        op_version: What the strategy said of the op's code when the plan was made; a worker that finds
            other code refuses to run it under this version.
        local_key: The step's version less what comes from upstream, to be kept beside what it stores.
        shares: Whether its outputs may be put into the shared place.
        replaces: Whether they take the place of what is shared under the version.
    """

    run_id: str
    step_key: str
    attempt: int = 0
    inputs: dict[str, InputFrom] = field(default_factory=dict)
    version: str | None = None
    content_key: str | None = None
    op_version: str | None = None
    looks: tuple[str, ...] = ()
    is_compared: bool = False
    local_key: str | None = None
    shares: bool = False
    replaces: bool = False


class Span(Struct, frozen=True):
    """What a thread was at for a while, as it is gathered for a profile.

    Attributes:
        name: What it was at.
        category: What that counts as: `load`, `run`, `store` and the like.
        start: Nanoseconds on a clock that all processes of the machine share.
        duration: Nanoseconds.
        thread: Its number in the system.
        step: The step that it was at.
        facts: What else there is to tell of it.
    """

    name: str
    category: str
    start: int
    duration: int
    thread: int
    step: str | None = None
    facts: dict[str, Any] = {}


class Gathered(Struct, frozen=True):
    """What a worker process has gathered for a profile since it was last asked.

    Attributes:
        totals: Nanoseconds that each category took by itself, short spans included.
        threads: The name of each thread.
    """

    pid: int
    spans: tuple[Span, ...]
    totals: dict[str, int]
    threads: dict[int, str]


class StepOutcome(Struct, frozen=True):
    """What came of one attempt.

    Attributes:
        kind: `success`; `failure`, final or to be retried as the policy says; `retry`, asked for by the op
            itself; `lost`, where an input's stored value turned out not to be whole; `died`, where the worker did;
            `canceled`.
        events: In the order they happened.
        allow_retries: False where the op raised ``Failure(allow_retries=False)``.
        retry_after: Seconds to wait, where the op asked for it.
        max_retries: The op's own count, where it asked for a retry.
        lost: The addresses that could not be loaded.
        exception: The exception itself, where it could be brought over.
        gathered: Where the time of its process went, where a profile was asked for.
    """

    step_key: str
    attempt: int
    kind: Literal["success", "failure", "retry", "lost", "died", "canceled"]
    outputs: tuple[OutputRecord, ...] = ()
    events: tuple[Event, ...] = ()
    error: ErrorInfo | None = None
    allow_retries: bool = True
    retry_after: float | None = None
    max_retries: int | None = None
    lost: tuple[Address, ...] = ()
    seconds: float = 0.0
    started_at: float = 0.0
    exception: BaseException | None = None
    gathered: Gathered | None = None


if TYPE_CHECKING:
    StepRunner = Callable[[StepTask], StepOutcome]
    """Runs one attempt in this process."""
else:
    StepRunner = Any


class Executor(ABC):
    """Runs steps. It decides neither what runs nor in which order."""

    @property
    @abstractmethod
    def free(self) -> int:
        """How many more tasks could start at once."""

    @abstractmethod
    def submit(self, task: StepTask) -> None:
        """Take a task whose inputs are all stored."""

    @abstractmethod
    def outcomes(self, timeout: float | None) -> Sequence[StepOutcome]:
        """Wait until a submitted task has ended, or for so many seconds; empty when the time is up."""

    @abstractmethod
    def stop(self, *, kill: bool = False) -> Sequence[StepOutcome]:
        """End it: let the running tasks finish, or kill them; the outcomes of those that were running."""
