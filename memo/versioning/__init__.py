"""Version: job and strategy to a version for every resource, step and output."""

from memo.versioning.recipes import Recipes, recipe_of, shown_value
from memo.versioning.resolution import op_versions, resolve_versions, strategy_of
from memo.versioning.stamps import UNREACHED, Stamps, looks_now, value_of
from memo.versioning.versions import OpVersion, ResourceVersion, StepVersion, Versions, content_key, output_version

__all__ = [
    "UNREACHED",
    "OpVersion",
    "Recipes",
    "ResourceVersion",
    "Stamps",
    "StepVersion",
    "Versions",
    "content_key",
    "looks_now",
    "op_versions",
    "output_version",
    "recipe_of",
    "resolve_versions",
    "shown_value",
    "strategy_of",
    "value_of",
]
