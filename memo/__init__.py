"""make for data, in Python: pipelines that run again only what changed, and say why.

Every name is imported when it is first used, so that ``import memo`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memo.contracts.io_manager import (
        InputContext,
        IOManager,
        MemoizableIOManager,
        OutputContext,
    )
    from memo.contracts.version_strategy import (
        CodePart,
        CodeVersion,
        OpVersionContext,
        ResourceVersionContext,
        VersionStrategy,
    )
    from memo.definition.config import (
        Array,
        BoolSource,
        Enum,
        EnumValue,
        Field,
        IntSource,
        Map,
        Noneable,
        Permissive,
        Selector,
        Shape,
        StringSource,
    )
    from memo.definition.graph import GraphDefinition, graph
    from memo.definition.job import (
        ExecutorDefinition,
        JobDefinition,
        in_process_executor,
        job,
        multiprocess_executor,
    )
    from memo.definition.op import OpDefinition, op
    from memo.definition.ports import GraphIn, GraphOut, In, Nothing, Out, Output
    from memo.definition.resource import (
        InputManagerDefinition,
        IOManagerDefinition,
        ResourceDefinition,
        input_manager,
        io_manager,
        resource,
    )
    from memo.definition.retry_policy import Backoff, Failure, Jitter, RetryPolicy, RetryRequested
    from memo.errors import MemoError
    from memo.events import Event, EventType, RunStatus
    from memo.execution.building import (
        build_init_resource_context,
        build_input_context,
        build_op_context,
        build_output_context,
        build_resources,
    )
    from memo.execution.context import InitResourceContext, OpExecutionContext
    from memo.execution.result import RunResult
    from memo.planning import Plan, Reason, StepPlan, Verdict
    from memo.project.front import SourceHashVersionStrategy, fs_io_manager, mem_io_manager
    from memo.project.home import Home
    from memo.project.reexecution import ReexecutionOptions
    from memo.project.running import execute_job, plan_job
    from memo.tags import MAX_RETRIES_TAG, MEMOIZED_RUN_TAG, PRIORITY_TAG, RETRY_STRATEGY_TAG

_PLACES = {
    "memo.contracts.io_manager": ("IOManager", "InputContext", "MemoizableIOManager", "OutputContext"),
    "memo.contracts.version_strategy": (
        "CodePart",
        "CodeVersion",
        "OpVersionContext",
        "ResourceVersionContext",
        "VersionStrategy",
    ),
    "memo.definition.config": (
        "Array",
        "BoolSource",
        "Enum",
        "EnumValue",
        "Field",
        "IntSource",
        "Map",
        "Noneable",
        "Permissive",
        "Selector",
        "Shape",
        "StringSource",
    ),
    "memo.definition.graph": ("GraphDefinition", "graph"),
    "memo.definition.job": (
        "ExecutorDefinition",
        "JobDefinition",
        "in_process_executor",
        "job",
        "multiprocess_executor",
    ),
    "memo.definition.op": ("OpDefinition", "op"),
    "memo.definition.ports": ("GraphIn", "GraphOut", "In", "Nothing", "Out", "Output"),
    "memo.definition.resource": (
        "IOManagerDefinition",
        "InputManagerDefinition",
        "ResourceDefinition",
        "input_manager",
        "io_manager",
        "resource",
    ),
    "memo.definition.retry_policy": ("Backoff", "Failure", "Jitter", "RetryPolicy", "RetryRequested"),
    "memo.errors": ("MemoError",),
    "memo.events": ("Event", "EventType", "RunStatus"),
    "memo.execution.building": (
        "build_init_resource_context",
        "build_input_context",
        "build_op_context",
        "build_output_context",
        "build_resources",
    ),
    "memo.execution.context": ("InitResourceContext", "OpExecutionContext"),
    "memo.execution.result": ("RunResult",),
    "memo.planning": ("Plan", "Reason", "StepPlan", "Verdict"),
    "memo.project.front": ("SourceHashVersionStrategy", "fs_io_manager", "mem_io_manager"),
    "memo.project.home": ("Home",),
    "memo.project.reexecution": ("ReexecutionOptions",),
    "memo.project.running": ("execute_job", "plan_job"),
    "memo.tags": ("MAX_RETRIES_TAG", "MEMOIZED_RUN_TAG", "PRIORITY_TAG", "RETRY_STRATEGY_TAG"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    place = _PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module 'memo' has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(place), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACE_OF})
