"""The run tags that memo itself reads or writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMOIZED_RUN_TAG = "memo/is_memoized_run"
"""On a job or a run: "false" reuses nothing and stores nothing under a version; "true" asks for memoization."""

PRIORITY_TAG = "memo/priority"
"""On an op: a whole number; among ready steps the higher starts first."""

MAX_RETRIES_TAG = "memo/max_retries"
"""On a job or a run: how many times a failed run is started again."""

RETRY_STRATEGY_TAG = "memo/retry_strategy"
"""On a job or a run: FROM_FAILURE (the default) or ALL_STEPS."""

RETRY_NUMBER_TAG = "memo/retry_number"
PARENT_RUN_ID_TAG = "memo/parent_run_id"
ROOT_RUN_ID_TAG = "memo/root_run_id"
RESUME_RETRY_TAG = "memo/is_resume_retry"
STEP_SELECTION_TAG = "memo/step_selection"

ADOPTED_TAG = "memo/adopted"
"""On a run that stored outputs which it was given, and ran nothing."""


def memoization_wish(job_tags: Mapping[str, object], run_tags: Mapping[str, object], *, where: str = "") -> bool | None:
    """Read what the tags say of memoization; the run's word counts before the job's.

    Args:
        job_tags: Of the job.
        run_tags: Of the run.
        where: The job, for the error.

    Returns:
        True or False where a tag says so, None where neither does.

    Raises:
        DefinitionError: The tag is neither true nor false.
    """
    for owner, tags in (("run", run_tags), ("job", job_tags)):
        if MEMOIZED_RUN_TAG in tags:
            word = tags[MEMOIZED_RUN_TAG]
            read = {"true": True, "false": False}.get(str(word).strip().lower())
            if read is None:
                raise DefinitionError(
                    f"the {owner}'s tag {MEMOIZED_RUN_TAG!r} is {word!r}; it must be true or false",
                    where=where,
                )
            return read
    return None


def whole_number(tags: Mapping[str, object], name: str, default: int, *, where: str = "") -> int:
    """Read a tag that holds a whole number.

    Raises:
        DefinitionError: The tag holds something else.
    """
    word = tags.get(name, default)
    try:
        return int(str(word))
    except ValueError:
        raise DefinitionError(
            f"the tag {name!r} is {word!r}; it must be a whole number",
            where=where,
        ) from None
