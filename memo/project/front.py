"""What the front door takes from the families, made of what they offer when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.definition.families import IO_MANAGERS, RESOURCES, STRATEGIES, family_member
from memo.definition.resource import IOManagerDefinition, ResourceDefinition

if TYPE_CHECKING:
    from memo.contracts.resource import ResourceSpec
    from memo.contracts.version_strategy import VersionStrategy

    arrow_io_manager: IOManagerDefinition
    delta_io_manager: IOManagerDefinition
    duckdb_io_manager: IOManagerDefinition
    fs_io_manager: IOManagerDefinition
    json_io_manager: IOManagerDefinition
    mem_io_manager: IOManagerDefinition
    numpy_io_manager: IOManagerDefinition
    parquet_io_manager: IOManagerDefinition
    path_io_manager: IOManagerDefinition
    postgres_io_manager: IOManagerDefinition
    s3_pickle_io_manager: IOManagerDefinition
    s3_resource: ResourceDefinition
    text_io_manager: IOManagerDefinition
    DeclaredVersionStrategy: type[VersionStrategy]
    SourceHashVersionStrategy: type[VersionStrategy]


_IO_MANAGERS = frozenset(
    {"arrow", "delta", "duckdb", "fs", "json", "mem", "numpy", "parquet", "path", "postgres", "s3_pickle", "text"}
)
_RESOURCES = {"s3_resource": "s3"}
_STRATEGIES = {"DeclaredVersionStrategy": "declared", "SourceHashVersionStrategy": "source_hash"}


def __getattr__(name: str) -> Any:
    if name in _STRATEGIES:
        found: Any = family_member(STRATEGIES, _STRATEGIES[name])
    elif name in _RESOURCES:
        found = _resource(family_member(RESOURCES, _RESOURCES[name]))
    elif name.removesuffix("_io_manager") in _IO_MANAGERS and name.endswith("_io_manager"):
        found = IOManagerDefinition.from_spec(family_member(IO_MANAGERS, name.removesuffix("_io_manager")))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _resource(spec: ResourceSpec) -> ResourceDefinition:
    return ResourceDefinition(
        spec.create,
        config_schema=spec.config_schema,
        description=spec.description,
        required_resource_keys=spec.required_resource_keys,
        version=spec.version,
        name=spec.name,
    )
