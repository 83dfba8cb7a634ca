from memo.contracts.io_manager import (
    InputContext as InputContext,
)
from memo.contracts.io_manager import (
    IOManager as IOManager,
)
from memo.contracts.io_manager import (
    MemoizableIOManager as MemoizableIOManager,
)
from memo.contracts.io_manager import (
    OutputContext as OutputContext,
)
from memo.contracts.version_strategy import (
    BlindSpot as BlindSpot,
)
from memo.contracts.version_strategy import (
    CodePart as CodePart,
)
from memo.contracts.version_strategy import (
    CodeVersion as CodeVersion,
)
from memo.contracts.version_strategy import (
    OpVersionContext as OpVersionContext,
)
from memo.contracts.version_strategy import (
    ResourceVersionContext as ResourceVersionContext,
)
from memo.contracts.version_strategy import (
    VersionStrategy as VersionStrategy,
)
from memo.definition.config import (
    Array as Array,
)
from memo.definition.config import (
    BoolSource as BoolSource,
)
from memo.definition.config import (
    Enum as Enum,
)
from memo.definition.config import (
    EnumValue as EnumValue,
)
from memo.definition.config import (
    Field as Field,
)
from memo.definition.config import (
    IntSource as IntSource,
)
from memo.definition.config import (
    Map as Map,
)
from memo.definition.config import (
    Noneable as Noneable,
)
from memo.definition.config import (
    Permissive as Permissive,
)
from memo.definition.config import (
    Selector as Selector,
)
from memo.definition.config import (
    Shape as Shape,
)
from memo.definition.config import (
    StringSource as StringSource,
)
from memo.definition.graph import GraphDefinition as GraphDefinition
from memo.definition.graph import graph as graph
from memo.definition.job import (
    ExecutorDefinition as ExecutorDefinition,
)
from memo.definition.job import (
    JobDefinition as JobDefinition,
)
from memo.definition.job import (
    in_process_executor as in_process_executor,
)
from memo.definition.job import (
    job as job,
)
from memo.definition.job import (
    multiprocess_executor as multiprocess_executor,
)
from memo.definition.op import OpDefinition as OpDefinition
from memo.definition.op import op as op
from memo.definition.ports import (
    GraphIn as GraphIn,
)
from memo.definition.ports import (
    GraphOut as GraphOut,
)
from memo.definition.ports import (
    In as In,
)
from memo.definition.ports import (
    Nothing as Nothing,
)
from memo.definition.ports import (
    Out as Out,
)
from memo.definition.ports import (
    Output as Output,
)
from memo.definition.resource import (
    InputManagerDefinition as InputManagerDefinition,
)
from memo.definition.resource import (
    IOManagerDefinition as IOManagerDefinition,
)
from memo.definition.resource import (
    ResourceDefinition as ResourceDefinition,
)
from memo.definition.resource import (
    input_manager as input_manager,
)
from memo.definition.resource import (
    io_manager as io_manager,
)
from memo.definition.resource import (
    resource as resource,
)
from memo.definition.retry_policy import (
    Backoff as Backoff,
)
from memo.definition.retry_policy import (
    Failure as Failure,
)
from memo.definition.retry_policy import (
    Jitter as Jitter,
)
from memo.definition.retry_policy import (
    RetryPolicy as RetryPolicy,
)
from memo.definition.retry_policy import (
    RetryRequested as RetryRequested,
)
from memo.definition.source import (
    Source as Source,
)
from memo.definition.source import (
    source as source,
)
from memo.errors import MemoError as MemoError
from memo.errors import OutputLostError as OutputLostError
from memo.events import Event as Event
from memo.events import EventType as EventType
from memo.events import RunStatus as RunStatus
from memo.execution.building import (
    build_init_resource_context as build_init_resource_context,
)
from memo.execution.building import (
    build_input_context as build_input_context,
)
from memo.execution.building import (
    build_op_context as build_op_context,
)
from memo.execution.building import (
    build_output_context as build_output_context,
)
from memo.execution.building import (
    build_resources as build_resources,
)
from memo.execution.context import InitResourceContext as InitResourceContext
from memo.execution.context import OpExecutionContext as OpExecutionContext
from memo.execution.result import RunResult as RunResult
from memo.planning import Plan as Plan
from memo.planning import Reason as Reason
from memo.planning import StepPlan as StepPlan
from memo.planning import Verdict as Verdict
from memo.project.accepting import accept_version as accept_version
from memo.project.accepting import revoke_acceptance as revoke_acceptance
from memo.project.adopting import adopt_outputs as adopt_outputs
from memo.project.front import (
    DeclaredVersionStrategy as DeclaredVersionStrategy,
)
from memo.project.front import (
    SourceHashVersionStrategy as SourceHashVersionStrategy,
)
from memo.project.front import (
    arrow_io_manager as arrow_io_manager,
)
from memo.project.front import (
    delta_io_manager as delta_io_manager,
)
from memo.project.front import (
    duckdb_io_manager as duckdb_io_manager,
)
from memo.project.front import (
    fs_io_manager as fs_io_manager,
)
from memo.project.front import (
    json_io_manager as json_io_manager,
)
from memo.project.front import (
    mem_io_manager as mem_io_manager,
)
from memo.project.front import (
    numpy_io_manager as numpy_io_manager,
)
from memo.project.front import (
    parquet_io_manager as parquet_io_manager,
)
from memo.project.front import (
    path_io_manager as path_io_manager,
)
from memo.project.front import (
    postgres_io_manager as postgres_io_manager,
)
from memo.project.front import (
    s3_pickle_io_manager as s3_pickle_io_manager,
)
from memo.project.front import (
    s3_resource as s3_resource,
)
from memo.project.front import (
    text_io_manager as text_io_manager,
)
from memo.project.home import Home as Home
from memo.project.reexecution import ReexecutionOptions as ReexecutionOptions
from memo.project.running import execute_job as execute_job
from memo.project.running import plan_job as plan_job
from memo.project.verifying import verify_job as verify_job
from memo.tags import (
    MAX_RETRIES_TAG as MAX_RETRIES_TAG,
)
from memo.tags import (
    MEMOIZED_RUN_TAG as MEMOIZED_RUN_TAG,
)
from memo.tags import (
    PRIORITY_TAG as PRIORITY_TAG,
)
from memo.tags import (
    RETRY_STRATEGY_TAG as RETRY_STRATEGY_TAG,
)

__version__: str
