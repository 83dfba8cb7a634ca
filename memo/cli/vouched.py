"""What a reuse rests on where it is somebody's word: an acceptance or an adoption, in words and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.cli.text import time_text
from memo.contracts.run_store import acceptance_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.catalog import Catalog
    from memo.contracts.run_store import Acceptance, Adoption
    from memo.planning import Plan


def word_lines(step: str, accepted: Acceptance | None, adopted: Adoption | None) -> Iterator[str]:
    """Tell whose word it is, and how it is taken back or verified."""
    if accepted is not None:
        yield f"  accepted on {time_text(accepted.at)}: {accepted.reason}"
        yield f"  acceptance {accepted.id}; to take it back: memo accept --revoke {accepted.id}"
    if adopted is not None:
        files = ", ".join(f"{name} from {file}" for name, file in adopted.files.items())
        yield f"  adopted on {time_text(adopted.at)} in run {adopted.run_id}: {files}"
        yield f"  not verified: memo verify TARGET --rerun --select {step}"


def acceptance_json(acceptance: Acceptance) -> dict[str, Any]:
    """What programs read of an acceptance."""
    return {
        "id": acceptance.id,
        "job": acceptance.job_name,
        "step": acceptance.step_key,
        "version": acceptance.version,
        "stored_version": acceptance.stored_version,
        "reason": acceptance.reason,
        "at": acceptance.at,
        "revoked_at": acceptance.revoked_at,
    }


def adoption_json(adoption: Adoption) -> dict[str, Any]:
    """What programs read of an adoption that nothing has verified."""
    return {"run_id": adoption.run_id, "files": adoption.files, "at": adoption.at, "version": adoption.version}


def acceptance_in(plan: Plan, key: str, catalog: Catalog) -> Acceptance | None:
    """The acceptance by which another version stands in the place of the step's own."""
    computed = plan.versions.steps[key].computed if plan.versions is not None else ""
    return acceptance_of(catalog.acceptances(), computed) if computed else None
