"""The executor that runs steps one after another in this process."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from memo.contracts.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from memo.contracts.executor import StepOutcome, StepTask


class InProcessExecutor(Executor):
    """Runs one step at a time, here, when its outcome is waited for."""

    def __init__(self, run_step: Callable[[StepTask], StepOutcome]) -> None:
        self._run_step = run_step
        self._waiting: list[StepTask] = []

    @property
    def free(self) -> int:
        """One, while nothing waits."""
        return 1 - len(self._waiting)

    def submit(self, task: StepTask) -> None:
        """Take a task; it runs when outcomes are waited for."""
        self._waiting.append(task)

    def outcomes(self, timeout: float | None) -> Sequence[StepOutcome]:
        """Run the task that waits, or sleep."""
        if self._waiting:
            return [self._run_step(self._waiting.pop(0))]
        sleep(timeout or 0)
        return []

    def stop(self, *, kill: bool = False) -> Sequence[StepOutcome]:  # noqa: ARG002 - nothing is running when it is called
        """Forget what waits."""
        self._waiting.clear()
        return []
