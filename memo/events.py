"""What can happen in a run, as frozen records."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class EventType(StrEnum):
    """The closed set of things that can happen in a run."""

    __hash__ = str.__hash__
    """Of the value, as it is compared by it; the one of enums is slow, and of the name."""

    RUN_START = "RUN_START"
    RUN_SUCCESS = "RUN_SUCCESS"
    RUN_FAILURE = "RUN_FAILURE"
    RUN_CANCELED = "RUN_CANCELED"
    STEP_START = "STEP_START"
    STEP_SUCCESS = "STEP_SUCCESS"
    STEP_FAILURE = "STEP_FAILURE"
    STEP_SKIPPED = "STEP_SKIPPED"
    STEP_REUSED = "STEP_REUSED"
    STEP_UP_FOR_RETRY = "STEP_UP_FOR_RETRY"
    STEP_RESTARTED = "STEP_RESTARTED"
    STEP_WAITING = "STEP_WAITING"
    """Another run is running it: `for_run`, `pid`, `host`, and `step`, as it is called there."""
    STEP_CANCELED = "STEP_CANCELED"
    LOADED_INPUT = "LOADED_INPUT"
    HANDLED_OUTPUT = "HANDLED_OUTPUT"
    OUTPUT_LOST = "OUTPUT_LOST"
    UNDECLARED_READ = "UNDECLARED_READ"
    LOG = "LOG"


class RunStatus(StrEnum):
    """Where a run stands."""

    STARTED = "STARTED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELED = "CANCELED"


class ErrorInfo(Struct, frozen=True, gc=False):
    """An exception as it is kept: enough to show it, and to say where in the user's files it happened."""

    kind: str
    """The class of the exception, as the user knows it."""
    message: str
    traceback: str
    """The frames of the user's own code, memo's left out."""
    cause: str | None = None


class Event(Struct, frozen=True, array_like=True, gc=False):
    """One thing that happened in a run; the catalog keeps its fields by position."""

    kind: EventType
    run_id: str
    at: float
    """Seconds since 1970."""
    step_key: str | None = None
    attempt: int = 0
    """0 for the first attempt of a step."""
    message: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    """Details by name: `output`, `input`, `version`, `reason`, `seconds`, `bytes`, `metadata`, …"""
    error: ErrorInfo | None = None

    @property
    def event_type_value(self) -> str:
        """The event's type as a string, under the name that Dagster gives it."""
        return self.kind.value

    @property
    def node_name(self) -> str | None:
        """The step's key, under the name that Dagster gives it."""
        return self.step_key
