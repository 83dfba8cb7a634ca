"""Verdicts as people read them: a step's, and a whole plan's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.cli.text import many, seconds_text
from memo.planning import Reason, Verdict

if TYPE_CHECKING:
    from memo.definition.job import JobDefinition
    from memo.definition.reference import JobReference
    from memo.planning import Plan, StepPlan
    from memo.project.home import Home

_WORTH_SAYING = 0.1
"""Seconds below which a forecast is no news."""

VERDICT_STYLES = {"RUN": "yellow", "MAYBE": "cyan", "REUSE": "green", "UNNEEDED": "dim"}


def reason_text(step: StepPlan) -> str:
    """Why a step has its verdict, with what exactly."""
    return f"{step.reason.value}: {step.detail}" if step.detail else step.reason.value


def plan_text(plan: Plan) -> str:
    """Count a plan's verdicts, and say how long what runs is expected to take and what is reused would have."""
    running = [step for step in plan.steps.values() if step.verdict is Verdict.RUN]
    maybe = [step for step in plan.steps.values() if step.verdict is Verdict.MAYBE]
    reused = [step for step in plan.steps.values() if step.verdict is Verdict.REUSE]
    unneeded = plan.count(Verdict.UNNEEDED)
    parts = [f"{many(len(running), 'step')} to run{_about(running)}"]
    if maybe:
        parts.append(f"{len(maybe):,} maybe{_about(maybe)}")
    if plan.memoized:
        saved = sum(step.seconds or 0.0 for step in reused)
        notes = [f"{count:,} {word}" for word, count in _on_whose_word(reused).items() if count]
        notes += [f"saves {seconds_text(saved)}"] if saved >= _WORTH_SAYING else []
        parts.append(f"{len(reused):,} to reuse" + (f" ({', '.join(notes)})" if notes else ""))
    if unneeded:
        parts.append(f"{unneeded:,} unneeded")
    if not plan.memoized:
        parts.append("memoization off")
    return ", ".join(parts)


def _on_whose_word(reused: list[StepPlan]) -> dict[str, int]:
    """How many of the reused steps rest on somebody's word."""
    return {
        "accepted as equal": sum(step.reason is Reason.ACCEPTED for step in reused),
        # The one thing that there is to say of what is stored under the very version.
        "adopted, not verified": sum(step.reason is Reason.STORED and bool(step.detail) for step in reused),
    }


def _about(steps: list[StepPlan]) -> str:
    known = [step.seconds for step in steps if step.seconds is not None]
    total = sum(known)
    if total < _WORTH_SAYING:
        return ""
    return f" ({'about' if len(known) == len(steps) else 'at least'} {seconds_text(total)})"


def warning_lines(plan: Plan) -> list[str]:
    """Which sources were taken as they were last known, and why."""
    told = plan.versions.warnings if plan.versions is not None else {}
    return [f"warning: {each}" for warnings in told.values() for each in warnings]


def blind_spot_lines(
    job: JobDefinition, plan: Plan, reference: JobReference, home: Home, home_option: str | None
) -> list[str]:
    """What could not be followed in code and neither a declaration nor a run tells of: one line an op.

    Args:
        job: The job.
        plan: For it.
        reference: How the job was found.
        home: Whose history tells what steps were seen to read.
        home_option: The home as the command line gave it.
    """
    if plan.versions is None or not plan.versions.blind_spots:
        return []
    from memo.cli.undeclared import lint_hint, said_spot
    from memo.project.linting import open_spots

    hint = lint_hint(reference, home_option)
    return [
        f"{name}: {said_spot(first)}{f', and {len(rest)} more' if rest else ''}: {hint}"
        for name, (first, *rest) in open_spots(job, plan.versions, home.catalog).items()
    ]
