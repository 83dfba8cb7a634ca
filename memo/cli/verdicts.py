"""Verdicts as people read them: a step's, and a whole plan's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.cli.text import many, seconds_text
from memo.planning import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memo.planning import Plan, StepPlan

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


def warning_lines(plan: Plan, warnings: Mapping[str, tuple[str, ...]] | None = None) -> list[str]:
    """What the version strategy could not follow, and the like: one line an op.

    Args:
        plan: The plan.
        warnings: Those of the plan's to tell; all where left out.
    """
    lines: list[str] = []
    for op_name, (first, *rest) in (plan.warnings if warnings is None else warnings).items():
        more = f" (and {len(rest)} more)" if rest else ""
        lines.append(f"warning: op {op_name!r}: {first}{more}")
    return lines
