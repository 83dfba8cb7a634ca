"""make for data, in Python: pipelines that run again only what changed, and say why.

Every name is imported when it is first used, so that ``import memo`` costs next to nothing. ``__init__.pyi`` says
the same to type checkers.
"""

from __future__ import annotations

__version__ = "0.1.0"

_PLACES = {
    "Array": "definition.config",
    "Backoff": "definition.retry_policy",
    "BlindSpot": "contracts.version_strategy",
    "BoolSource": "definition.config",
    "CodePart": "contracts.version_strategy",
    "CodeVersion": "contracts.version_strategy",
    "DeclaredVersionStrategy": "project.front",
    "Enum": "definition.config",
    "EnumValue": "definition.config",
    "Event": "events",
    "EventType": "events",
    "ExecutorDefinition": "definition.job",
    "Failure": "definition.retry_policy",
    "Field": "definition.config",
    "GraphDefinition": "definition.graph",
    "GraphIn": "definition.ports",
    "GraphOut": "definition.ports",
    "Home": "project.home",
    "IOManager": "contracts.io_manager",
    "IOManagerDefinition": "definition.resource",
    "In": "definition.ports",
    "InitResourceContext": "execution.context",
    "InputContext": "contracts.io_manager",
    "InputManagerDefinition": "definition.resource",
    "IntSource": "definition.config",
    "Jitter": "definition.retry_policy",
    "JobDefinition": "definition.job",
    "MAX_RETRIES_TAG": "tags",
    "MEMOIZED_RUN_TAG": "tags",
    "Map": "definition.config",
    "MemoError": "errors",
    "MemoizableIOManager": "contracts.io_manager",
    "Noneable": "definition.config",
    "Nothing": "definition.ports",
    "OpDefinition": "definition.op",
    "OpExecutionContext": "execution.context",
    "OpVersionContext": "contracts.version_strategy",
    "Out": "definition.ports",
    "Output": "definition.ports",
    "OutputContext": "contracts.io_manager",
    "OutputLostError": "errors",
    "PRIORITY_TAG": "tags",
    "Permissive": "definition.config",
    "Plan": "planning",
    "RETRY_STRATEGY_TAG": "tags",
    "Reason": "planning",
    "ReexecutionOptions": "project.reexecution",
    "ResourceDefinition": "definition.resource",
    "ResourceVersionContext": "contracts.version_strategy",
    "RetryPolicy": "definition.retry_policy",
    "RetryRequested": "definition.retry_policy",
    "RunResult": "execution.result",
    "RunStatus": "events",
    "Selector": "definition.config",
    "Shape": "definition.config",
    "Source": "definition.source",
    "SourceHashVersionStrategy": "project.front",
    "StepPlan": "planning",
    "StringSource": "definition.config",
    "Verdict": "planning",
    "VersionStrategy": "contracts.version_strategy",
    "accept_version": "project.accepting",
    "adopt_outputs": "project.adopting",
    "arrow_io_manager": "project.front",
    "build_init_resource_context": "execution.building",
    "build_input_context": "execution.building",
    "build_op_context": "execution.building",
    "build_output_context": "execution.building",
    "build_resources": "execution.building",
    "delta_io_manager": "project.front",
    "duckdb_io_manager": "project.front",
    "execute_job": "project.running",
    "fs_io_manager": "project.front",
    "graph": "definition.graph",
    "in_process_executor": "definition.job",
    "input_manager": "definition.resource",
    "io_manager": "definition.resource",
    "job": "definition.job",
    "json_io_manager": "project.front",
    "mem_io_manager": "project.front",
    "multiprocess_executor": "definition.job",
    "numpy_io_manager": "project.front",
    "op": "definition.op",
    "parquet_io_manager": "project.front",
    "path_io_manager": "project.front",
    "plan_job": "project.running",
    "postgres_io_manager": "project.front",
    "resource": "definition.resource",
    "revoke_acceptance": "project.accepting",
    "s3_pickle_io_manager": "project.front",
    "s3_resource": "project.front",
    "source": "definition.source",
    "text_io_manager": "project.front",
    "verify_job": "project.verifying",
}

__all__ = [*_PLACES]  # noqa: PLE0604 # pyright: ignore[reportUnsupportedDunderAll] - the stub is what checkers read


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'memo' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module(f"memo.{place}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
