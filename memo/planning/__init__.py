"""Plan: versions and what is stored to a verdict, with its reason, for every step."""

from memo.planning.plan import Plan, Reason, StepPlan, Verdict
from memo.planning.planner import difference, lacks_input, make_plan, plan_without_memoization
from memo.planning.stored import Stores

__all__ = [
    "Plan",
    "Reason",
    "StepPlan",
    "Stores",
    "Verdict",
    "difference",
    "lacks_input",
    "make_plan",
    "plan_without_memoization",
]
