"""What the front door takes from the families, made of what they offer when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.definition.families import IO_MANAGERS, STRATEGIES, family_member
from memo.definition.resource import IOManagerDefinition

if TYPE_CHECKING:
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
    text_io_manager: IOManagerDefinition
    DeclaredVersionStrategy: type[VersionStrategy]
    SourceHashVersionStrategy: type[VersionStrategy]


_IO_MANAGERS = frozenset(
    {"arrow", "delta", "duckdb", "fs", "json", "mem", "numpy", "parquet", "path", "postgres", "text"}
)
_STRATEGIES = {"DeclaredVersionStrategy": "declared", "SourceHashVersionStrategy": "source_hash"}


def __getattr__(name: str) -> Any:
    if name in _STRATEGIES:
        found: Any = family_member(STRATEGIES, _STRATEGIES[name])
    elif name.removesuffix("_io_manager") in _IO_MANAGERS and name.endswith("_io_manager"):
        found = IOManagerDefinition.from_spec(family_member(IO_MANAGERS, name.removesuffix("_io_manager")))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found
