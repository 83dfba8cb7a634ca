"""`memo logs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memo.cli.completing import complete_step
from memo.cli.failures import guarded
from memo.cli.options import common_options, run_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memo.contracts.run_store import RunRecord
    from memo.events import Event
    from memo.project.home import Home


@click.command()
@run_argument
@click.argument("step", metavar="[STEP]", required=False, shell_complete=complete_step)
@common_options
@guarded
def logs(run_id: str, step: str | None, home: str | None, as_json: bool) -> int:
    """Print what the steps of a run printed and logged, and their errors.

    RUN is a run's id, the beginning of one, or `last`.
    """
    from memo.cli.opening import find_run
    from memo.cli.text import out_json, tell
    from memo.project.home import find_home

    opened = find_home(home)
    try:
        record = find_run(opened, run_id)
        events = opened.catalog.events(record.run_id, step_key=step)
        was_removed = _was_removed(opened, record)
    finally:
        opened.close()
    found = [_StepLog(opened, record, key, events) for key in _steps(opened, record, events, step)]
    if as_json:
        out_json({each.key: each.json() for each in found})
        return 0
    written = [each for each in found if not each.is_empty]
    if not written:
        who = f"step {step!r} printed nothing" if step else "no step printed anything"
        tell(
            "what its steps printed and logged was removed by `memo gc`"
            if was_removed
            else f"{who} in run {record.run_id}"
        )
    for each in written:
        each.write()
    return 0


def _was_removed(home: Home, record: RunRecord) -> bool:
    """Whether what happened in a run was recorded, and is no longer."""
    ran = record.counts.get("success", 0) + record.counts.get("failure", 0)
    return ran > 0 and not any(event.kind.value == "RUN_START" for event in home.catalog.events(record.run_id))


def _steps(home: Home, record: RunRecord, events: Sequence[Event], step: str | None) -> list[str]:
    """The steps to print: those of the run, and where it was killed those that left something."""
    folder = Path(home.logs_dir(record.run_id))
    kept = sorted(path.stem for path in folder.iterdir()) if folder.is_dir() else []
    known = {
        **record.steps,
        **dict.fromkeys(event.step_key for event in events if event.step_key),
        **dict.fromkeys(kept),
    }
    if step is None:
        return list(known)
    if step not in known:
        from memo.errors import SelectionError, did_you_mean

        raise SelectionError(f"run {record.run_id} has no step {step!r}.{did_you_mean(step, known)}")
    return [step]


class _StepLog:
    """What one step left: the files of its output, what it logged, its error."""

    def __init__(self, home: Home, record: RunRecord, key: str, events: Sequence[Event]) -> None:
        from memo.execution.logs import kept_at

        self.key = key
        files = [(name, Path(kept_at(home.logs_dir(record.run_id), key, name))) for name in ("out", "err")]
        self.printed = [(name, path) for name, path in files if path.is_file() and path.stat().st_size]
        own = [event for event in events if event.step_key == key]
        self.logged = [event for event in own if event.kind.value == "LOG"]
        self.errors = [event for event in own if event.error is not None]

    @property
    def is_empty(self) -> bool:
        """Whether it left nothing."""
        return not (self.printed or self.logged or self.errors)

    def write(self) -> None:
        """Print it; files go out as they are, whatever they hold and however long they are."""
        from shutil import copyfileobj

        from memo.cli.summary import failure_lines
        from memo.cli.text import out, styled, time_text

        for name, path in self.printed:
            out(styled(f"== {self.key}, standard {'output' if name == 'out' else 'error'} ==", "bold", sys.stdout))
            sys.stdout.flush()
            with path.open("rb") as file:
                copyfileobj(file, sys.stdout.buffer)
                file.seek(-1, 2)
                ends = file.read(1) == b"\n"
            sys.stdout.buffer.flush()
            if not ends:
                out()
        if self.logged:
            out(styled(f"== {self.key}, logged ==", "bold", sys.stdout))
        for event in self.logged:
            out(f"{time_text(event.at)} {event.data.get('level', 'EVENT')} {event.message}{_facts(event.data)}")
        for event in self.errors:
            assert event.error is not None
            out(styled(f"== {self.key}, attempt {event.attempt + 1} ==", "bold", sys.stdout))
            for line in failure_lines(self.key, event.error, None):
                out(line)

    def json(self) -> dict[str, Any]:
        """All of it as plain data."""
        texts = {name: path.read_text(encoding="utf-8", errors="backslashreplace") for name, path in self.printed}
        return {
            "stdout": texts.get("out", ""),
            "stderr": texts.get("err", ""),
            "log": [{"at": event.at, "message": event.message, **event.data} for event in self.logged],
            "errors": [event.error for event in self.errors],
        }


def _facts(data: dict[str, Any]) -> str:
    facts = ", ".join(f"{name}={value!r}" for name, value in data.items() if name != "level")
    return f" ({facts})" if facts else ""
