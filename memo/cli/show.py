"""`memo show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.failures import guarded
from memo.cli.options import common_options, run_argument
from memo.tags import ADOPTED_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memo.contracts.run_store import Materialization, RunRecord
    from memo.events import ErrorInfo, Event

_STYLES = {
    "success": "green",
    "reused": "green",
    "failure": "red",
    "canceled": "yellow",
    "blocked": "yellow",
    "waiting": "yellow",
}
_MEMO_OWN = ("memo/parent_run_id", "memo/root_run_id", ADOPTED_TAG)


@click.command()
@run_argument
@common_options
@guarded
def show(run_id: str, home: str | None, as_json: bool) -> int:
    """Show one run: its steps, their reasons, its errors.

    RUN is a run's id, the beginning of one, or `last`.
    """
    from memo.cli.opening import find_run
    from memo.cli.text import out, out_json
    from memo.project.home import find_home

    opened = find_home(home)
    try:
        record = find_run(opened, run_id)
        stored = opened.catalog.materializations(record.run_id)
        events = opened.catalog.events(record.run_id)
        adopted = {each.run_id for each in opened.catalog.adopted().values()}
    finally:
        opened.close()
    found = _Shown(record, stored, events, is_unverified=record.run_id in adopted)
    if as_json:
        out_json(found.json())
    else:
        for line in found.lines():
            out(line)
    return 0


def _waiting(record: RunRecord, events: Sequence[Event]) -> dict[str, str]:
    """The steps of a run that wait for another run now, and for which."""
    from memo.cli.opening import status_of

    if status_of(record) != "RUNNING":
        return {}
    latest = {event.step_key: event for event in events if event.step_key is not None}
    return {key: event.message for key, event in latest.items() if event.kind.value == "STEP_WAITING"}


class _Shown:
    """A run, put together from its record, its events and what it stored."""

    def __init__(
        self,
        record: RunRecord,
        stored: Sequence[Materialization],
        events: Sequence[Event],
        *,
        is_unverified: bool,
    ) -> None:
        self.record = record
        self.adopted: dict[str, bool] | None = None
        if ADOPTED_TAG in record.tags:
            self.adopted = {"is_unverified": is_unverified}
        self.stored = {each.step_key: each for each in stored}
        self.errors: dict[str, ErrorInfo] = {}
        self.seconds: dict[str, float] = {each.step_key: each.seconds for each in stored}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.waiting = _waiting(record, events)
        outcomes = dict.fromkeys(self.waiting, "waiting")
        for event in events:
            if event.step_key is None:
                continue
            kind = event.kind.value
            if kind == "STEP_FAILURE":
                outcomes[event.step_key] = "failure"
                if event.error is not None:
                    self.errors[event.step_key] = event.error
                if "seconds" in event.data:
                    self.seconds[event.step_key] = event.data["seconds"]
            elif kind == "HANDLED_OUTPUT" and "metadata" in event.data:
                self.metadata.setdefault(event.step_key, {}).update(event.data["metadata"])
            elif kind in {"STEP_START", "STEP_RESTARTED", "STEP_SUCCESS", "STEP_REUSED", "STEP_SKIPPED"}:
                outcomes[event.step_key] = {
                    "STEP_SUCCESS": "success",
                    "STEP_REUSED": "reused",
                    "STEP_SKIPPED": "skipped",
                }.get(kind, "")
        # A run that was killed could not write what became of its steps: what is known is what happened.
        self.steps = {
            key: (verdict, reason, outcome or outcomes.get(key, ""))
            for key, (verdict, reason, outcome) in record.steps.items()
        }

    def _size(self, key: str) -> int | None:
        sizes = (
            [output.size for output in self.stored[key].outputs if output.size is not None]
            if key in self.stored
            else []
        )
        return sum(sizes) if sizes else None

    def _head_lines(self) -> Iterator[str]:
        import sys

        from memo.cli.opening import status_of
        from memo.cli.runs import STATUS_STYLES
        from memo.cli.text import styled, time_text

        record = self.record
        status = status_of(record)
        yield f"run {record.run_id} of job {record.job_name}: {styled(status, STATUS_STYLES[status], sys.stdout)}"
        yield f"  started  {time_text(record.started_at)}"
        if record.target:
            yield f"  target   {record.target}"
        if record.parent_run_id:
            root = f", root {record.root_run_id}" if record.root_run_id not in {None, record.parent_run_id} else ""
            yield f"  parent   {record.parent_run_id}{root}"
        if self.adopted is not None:
            since = "nobody has verified it" if self.adopted["is_unverified"] else "verified since, or made by a run"
            yield f"  adopted  {since}"
        tags = {name: value for name, value in record.tags.items() if name not in _MEMO_OWN}
        if tags:
            yield f"  tags     {', '.join(f'{name}={value}' for name, value in tags.items())}"
        if record.run_config is not None:
            import msgspec

            yield f"  config   {msgspec.json.encode(record.run_config).decode()}"

    def lines(self) -> Iterator[str]:
        from memo.cli.summary import failure_lines, summary_line
        from memo.cli.text import bytes_text, seconds_text, table

        record = self.record
        yield from self._head_lines()
        yield ""
        rows: list[tuple[str, ...]] = []
        for key, (verdict, reason, outcome) in self.steps.items():
            size = self._size(key)
            seconds = self.seconds.get(key)
            rows.append(
                (
                    outcome or "not reached",
                    key,
                    verdict,
                    reason,
                    seconds_text(seconds) if seconds is not None else "",
                    bytes_text(size) if size is not None else "",
                )
            )
        header = ("OUTCOME", "STEP", "VERDICT", "WHY", "TOOK", "STORED")
        yield from table(header, rows, styles=[_STYLES.get(row[0]) for row in rows], right=(4, 5))
        for key, facts in self.metadata.items():
            yield f"{key}: {', '.join(f'{name} = {value}' for name, value in facts.items())}"
        for key, message in self.waiting.items():
            yield f"{key}: {message}"
        if record.ended_at is not None:
            yield summary_line(record)
        for key, error in self.errors.items():
            if self.steps.get(key, ("", "", "failure"))[2] == "failure":
                yield ""
                yield from failure_lines(key, error, None)

    def json(self) -> dict[str, Any]:
        from memo.cli.summary import run_json

        return {
            **run_json(self.record),
            "steps": {
                key: {
                    "verdict": verdict,
                    "reason": reason,
                    "outcome": outcome,
                    "seconds": self.seconds.get(key),
                    "bytes": self._size(key),
                    "version": self.stored[key].version if key in self.stored else None,
                    "metadata": self.metadata.get(key, {}),
                }
                for key, (verdict, reason, outcome) in self.steps.items()
            },
            "errors": self.errors,
            "adopted": self.adopted,
        }
