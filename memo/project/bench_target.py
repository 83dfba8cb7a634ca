"""The job that a measured process runs: the user's own, kept where it is measured, with an edit of one op where asked.

It is imported by a file that `memo bench` writes, in the process of the run and in its workers alike.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from memo.definition.reference import JobReference
from memo.definition.resource import IOManagerDefinition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo.definition.job import JobDefinition


def bench_job(
    place: str, job: str | None, *, in_home: Iterable[str] = (), edited: str | None = None, edit: int = 0
) -> JobDefinition:
    """Load a job to be measured.

    Args:
        place: The user's file or module.
        job: The job in it.
        in_home: The keys of IO managers that are to keep in the home what they are configured to keep elsewhere.
        edited: A step whose op is to count as edited: its version becomes another, what it does stays.
        edit: Tells one edit from another.
    """
    found = JobReference(place, job).load()
    for key in in_home:
        found.resource_defs[key] = _in_home(found.resource_defs[key])
    if edited is not None:
        op = found.steps[edited].op
        op.depends_on = (*op.depends_on, f"edited by memo bench: {edit}")
    return found


def text_of(
    place: str, job: str | None, *, in_home: Iterable[str] = (), edited: str | None = None, edit: int = 0
) -> str:
    """The text of the file by which a process finds the job."""
    given = f"{place!r}, {job!r}, in_home={list(in_home)!r}, edited={edited!r}, edit={edit}"
    return f"from memo.project.bench_target import bench_job\n\njob = bench_job({given})\n"


def _in_home(definition: Any) -> IOManagerDefinition:
    assert isinstance(definition, IOManagerDefinition)
    spec = definition.spec
    assert spec is not None
    in_home = spec.in_home
    assert in_home is not None

    def create(context: Any) -> Any:
        context.resource_config = in_home(context.resource_config)
        return spec.create(context)

    moved = copy(definition)
    moved.resource_fn = create
    return moved


__all__ = ["bench_job", "text_of"]
