"""Verdicts as people read them: a step's, and a whole plan's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.cli.text import many, seconds_text
from memo.planning import Verdict

if TYPE_CHECKING:
    from memo.planning import Plan, StepPlan

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
        parts.append(f"{len(reused):,} to reuse" + (f" (saves {seconds_text(saved)})" if saved >= 0.1 else ""))
    if unneeded:
        parts.append(f"{unneeded:,} unneeded")
    if not plan.memoized:
        parts.append("memoization off")
    return ", ".join(parts)


def _about(steps: list[StepPlan]) -> str:
    known = [step.seconds for step in steps if step.seconds is not None]
    if not known:
        return ""
    return f" ({'about' if len(known) == len(steps) else 'at least'} {seconds_text(sum(known))})"


def warning_lines(plan: Plan) -> list[str]:
    """What the version strategy could not follow, one line an op."""
    lines: list[str] = []
    for op_name, warnings in plan.warnings.items():
        more = f" (and {len(warnings) - 1} more)" if len(warnings) > 1 else ""
        lines.append(f"warning: op {op_name!r}: {warnings[0]}{more}")
    return lines
