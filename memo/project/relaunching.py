"""Runs that follow others: what is left of a failed one, at the user's wish or by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from memo.errors import DefinitionError
from memo.events import RunStatus
from memo.planning import Reason
from memo.project.launching import launch
from memo.project.preparing import is_memoized, prepare
from memo.tags import (
    MAX_RETRIES_TAG,
    PARENT_RUN_ID_TAG,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    RETRY_STRATEGY_TAG,
    ROOT_RUN_ID_TAG,
    STEP_SELECTION_TAG,
    whole_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.run_store import RunRecord
    from memo.definition.job import JobDefinition
    from memo.definition.reference import JobReference
    from memo.events import Event
    from memo.execution.loop import RunLoop
    from memo.execution.result import RunResult
    from memo.planning import Plan
    from memo.project.home import Home
    from memo.project.preparing import Wish
    from memo.project.reexecution import ReexecutionOptions
    from memo.project.settings import Settings


class Relaunching:
    """Runs a job, and again when it failed, as tags and settings say."""

    def __init__(
        self,
        job: JobDefinition,
        reference: JobReference | None,
        home: Home,
        workers: int,
        settings: Settings,
        listen: Callable[[Event], None],
        on_plan: Callable[[Plan, str], None] | None,
    ) -> None:
        self.job = job
        self.reference = reference
        self.home = home
        self.workers = workers
        self.settings = settings
        self.listen = listen
        self.on_plan = on_plan

    def run(self, wish: Wish, options: ReexecutionOptions | None) -> tuple[RunResult, RunLoop]:
        """Run the job, and again for as long as it fails and may."""
        tags = {**self.job.tags, **wish.tags}
        allowed = whole_number(tags, MAX_RETRIES_TAG, self.settings.max_retries, where=self.job.where)
        strategy = tags.get(RETRY_STRATEGY_TAG, "FROM_FAILURE")
        if strategy not in {"FROM_FAILURE", "ALL_STEPS"}:
            raise DefinitionError(
                f"the tag {RETRY_STRATEGY_TAG!r} is {strategy!r}; it must be FROM_FAILURE or ALL_STEPS",
                where=self.job.where,
            )
        result, loop = self.once(wish, options)
        for number in range(1, allowed + 1):
            if result.record.status is not RunStatus.FAILURE:
                break
            from memo.project.reexecution import ReexecutionOptions

            again = ReexecutionOptions(result.run_id, is_from_failure=strategy == "FROM_FAILURE")
            result, loop = self.once(replace(wish, tags={**wish.tags, RETRY_NUMBER_TAG: str(number)}), again)
        return result, loop

    def once(self, wish: Wish, options: ReexecutionOptions | None) -> tuple[RunResult, RunLoop]:
        """Run the job one time, as what follows another run where the options say so."""
        parent = root = None
        if options is not None:
            wish, parent, root = self.again(wish, options)
        return launch(
            self.job,
            wish,
            home=self.home,
            run_id=None,
            workers=self.workers,
            target=self.reference,
            listen=self.listen,
            on_plan=self.on_plan,
            parent=parent,
            root=root,
        )

    def again(self, wish: Wish, options: ReexecutionOptions) -> tuple[Wish, str, str]:
        """The wish for a run that is to follow another."""
        from memo.definition.selection import select_steps
        from memo.project.reexecution import remainder_of

        left = remainder_of(self.home, self.job, options)
        parent, root = left.record.run_id, left.record.root_run_id or left.record.run_id
        tags = {**_own_tags(left.record), **wish.tags, PARENT_RUN_ID_TAG: parent, ROOT_RUN_ID_TAG: root}
        if options.is_from_failure:
            tags[RESUME_RETRY_TAG] = "true"
        if options.step_selection:
            tags[STEP_SELECTION_TAG] = ",".join(options.step_selection)
        if wish.run_config is None:
            wish = replace(wish, run_config=left.record.run_config)
        wish = replace(wish, tags=tags)
        if options.step_selection:
            return (
                replace(wish, selected=select_steps(self.job.steps, options.step_selection), outside=left.outside),
                parent,
                root,
            )
        if wish.selection is None and left.record.steps:
            wish = replace(wish, selected=frozenset(key for key in left.record.steps if key in self.job.steps))
        if not options.is_from_failure:
            return wish, parent, root
        if is_memoized(self.job, tags, by_default=True):
            # What finished is found again by its version, which also says whether it still counts; only what cannot be
            # found so is taken from the parent, and only if it was made of what it would be made of now.
            return self._without_finished_plain_steps(wish, left), parent, root
        return (
            replace(wish, selected=left.unfinished, outside=left.outside, reason=Reason.NOT_FINISHED),
            parent,
            root,
        )

    def _without_finished_plain_steps(self, wish: Wish, left: Any) -> Wish:
        with prepare(self.job, wish, home=self.home) as prepared:
            plan = prepared.plan
        keep = {
            key
            for key, step in plan.steps.items()
            if step.reason is Reason.NOT_MEMOIZABLE
            and key not in left.unfinished
            and key in left.outside
            and left.versions.get(key) == step.version
        }
        return replace(
            wish,
            selected=frozenset(plan.steps) - keep,
            outside={key: left.outside[key] for key in keep},
        )


def _own_tags(record: RunRecord) -> dict[str, str]:
    """The tags that a run was given, without what memo writes of its descent."""
    descent = {PARENT_RUN_ID_TAG, ROOT_RUN_ID_TAG, RESUME_RETRY_TAG, RETRY_NUMBER_TAG, STEP_SELECTION_TAG}
    return {name: value for name, value in record.tags.items() if name not in descent}
