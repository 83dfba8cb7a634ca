"""`memo why`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from memo.cli.completing import complete_step
from memo.cli.failures import guarded
from memo.cli.options import common_options, config_options, target_argument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.catalog import Catalog
    from memo.contracts.run_store import Materialization, Recipe, RunRecord
    from memo.definition.job import JobDefinition
    from memo.explaining import Change
    from memo.planning import Plan, StepPlan

_LATEST_RUNS = 50
"""How many of the job's latest runs are looked through for those in which the step ran."""


@click.command()
@target_argument
@click.argument("step", metavar="STEP", shell_complete=complete_step)
@config_options
@common_options
@guarded
def why(
    target: str,
    job: str | None,
    step: str,
    config_files: tuple[str, ...],
    assignments: tuple[str, ...],
    tags: tuple[str, ...],
    home: str | None,
    as_json: bool,
) -> int:
    """Explain one step's verdict: what changed, with a diff.

    It says what a run would do with the step now. The step's recipe is compared with that of the last time: code with a
    diff of its text, config by its path, inputs with what becomes of the step that they come from. For a step that is
    reused it tells when it ran last, and why it did.
    """
    from memo.cli.config_files import read_run_config, read_tags
    from memo.cli.opening import load_job
    from memo.cli.standard_output import kept_for_result
    from memo.cli.text import out, out_json
    from memo.project.home import find_home
    from memo.project.running import plan_job

    run_config = read_run_config(config_files, assignments)
    found_tags = read_tags(tags)
    opened = find_home(home)
    try:
        with kept_for_result():
            found, _ = load_job(target, job)
            made = plan_job(found, run_config=run_config, tags=found_tags, instance=opened)
        if step not in made.steps:
            from memo.errors import SelectionError, did_you_mean

            raise SelectionError(f"job {found.name!r} has no step {step!r}.{did_you_mean(step, made.steps)}")
        answer = _Answer(found, made, made.steps[step], opened.catalog)
    finally:
        opened.close()
    if as_json:
        out_json(answer.json())
    else:
        for line in answer.lines():
            out(line)
    return 0


class _Answer:
    """All there is to say of one step; made while the catalog is open."""

    def __init__(self, job: JobDefinition, plan: Plan, step: StepPlan, catalog: Catalog) -> None:
        self.job = job
        self.plan = plan
        self.step = step
        self.where = job.steps[step.key].where
        self.changes: tuple[Change, ...] = ()
        self.known = False
        """Whether there is an earlier recipe to compare with."""
        if plan.versions is not None and step.verdict.value != "REUSE":
            from memo.versioning import recipe_of

            texts: dict[str, str] = {}
            now = recipe_of(step.key, plan.versions, texts)
            last = catalog.last_recipes(job.name, [step.key]).get(step.key)
            if last is not None:
                self.known = True
                self.changes = _explained(last, now, texts, catalog)
        self.last = _last_time(job.name, step.key, catalog)

    def lines(self) -> Iterator[str]:
        from memo.cli.text import seconds_text, time_text
        from memo.cli.verdicts import reason_text
        from memo.planning import Reason

        yield f"{self.where}: {self.step.verdict.value}, {reason_text(self.step)}"
        if self.step.seconds is not None:
            yield f"  usually takes {seconds_text(self.step.seconds)}"
        for warning in self.plan.warnings.get(self.job.steps[self.step.key].op.name, ()):
            yield f"  warning: {warning}"
        if self.changes:
            yield "what changed since the last time:"
            yield from self._change_lines(self.changes, now=True)
        elif self.known:
            yield "nothing changed in its recipe since the last time"
        if self.last is not None:
            record, reason, changes = self.last
            first = reason == Reason.NEVER_RUN.value
            shown = "for the first time" if first else f"because: {reason}" if reason else ""
            yield f"it last ran in run {record.run_id} of {time_text(record.started_at)} {shown}".rstrip()
            if self.step.verdict.value in {"REUSE", "UNNEEDED"}:
                yield from self._change_lines(changes, now=False)
        elif not self.known:
            yield "it has not run in this home"

    def _change_lines(self, changes: tuple[Change, ...], *, now: bool) -> Iterator[str]:
        for change in changes:
            yield f"  {change.kind} {change.name}{_what(change)}{f'  ({change.place})' if change.place else ''}"
            if change.kind == "input" and now:
                yield from (f"    {line}" for line in self._upstream_lines(change))
            if change.same_text:
                yield "    its text is the same: what it is compiled to is not, as under another Python"
            yield from (f"    {_diff_line(line)}" for line in change.diff.splitlines())

    def _upstream_lines(self, change: Change) -> Iterator[str]:
        """What becomes of the step that an input comes from, and up from there to where something else changed."""
        from memo.cli.verdicts import reason_text

        source = (change.after or "").rpartition(".")[0]
        if source not in self.job.steps:
            return
        seen: set[str] = set()
        todo = [source]
        while todo:
            key = todo.pop(0)
            if key in seen:
                continue
            seen.add(key)
            found = self.plan.steps[key]
            yield f"{key}: {found.verdict.value}, {reason_text(found)}"
            if found.reason.name in {"INPUT_CHANGED", "UPSTREAM_RUNS"}:
                todo += [
                    each.step
                    for each in self.job.steps[key].upstream()
                    if self.plan.steps[each.step].verdict.value in {"RUN", "MAYBE"}
                ]

    def json(self) -> dict[str, Any]:
        last = None
        if self.last is not None:
            record, reason, changes = self.last
            last = {
                "run_id": record.run_id,
                "started_at": record.started_at,
                "reason": reason,
                "changes": [_change_json(each) for each in changes],
            }
        return {
            "job": self.job.name,
            "step": self.step.key,
            "where": self.where,
            "verdict": self.step.verdict,
            "reason": self.step.reason.value,
            "detail": self.step.detail,
            "seconds": self.step.seconds,
            "version": self.step.version,
            "changes": [_change_json(each) for each in self.changes] if self.known else None,
            "last_ran": last,
        }


def _change_json(change: Change) -> dict[str, Any]:
    return {name: getattr(change, name) for name in change.__struct_fields__}


def _what(change: Change) -> str:
    """From what to what."""
    if change.how == "added":
        return f": {change.after}, not reached before" if change.after else ": not reached before"
    if change.how == "removed":
        return f": {change.before}, no longer reached" if change.before else ": no longer reached"
    if change.before != change.after:
        return f": {change.before or 'nothing'} -> {change.after or 'nothing'}"
    if change.kind == "input":
        return f": still {change.after}, of another version"
    return f": {change.after}, changed" if change.after and not change.diff else ""


def _diff_line(line: str) -> str:
    import sys

    from memo.cli.text import styled

    style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return styled(line, style, sys.stdout)


def _explained(old: Recipe, new: Recipe, texts: dict[str, str], catalog: Catalog) -> tuple[Change, ...]:
    from memo.explaining import explain

    return explain(old, new, lambda digest: texts.get(digest) or catalog.source(digest))


def _last_time(job_name: str, key: str, catalog: Catalog) -> tuple[RunRecord, str, tuple[Change, ...]] | None:
    """The latest run in which the step ran, why it did, and what had changed since the time before."""
    found: list[tuple[RunRecord, Materialization]] = []
    for record in catalog.list_runs(job_name=job_name, limit=_LATEST_RUNS):
        if record.counts and not record.counts.get("success"):
            continue
        found += [(record, each) for each in catalog.materializations(record.run_id) if each.step_key == key]
        if len(found) == 2:
            break
    if not found:
        return None
    record, latest = found[0]
    whole = catalog.get_run(record.run_id)
    reason = whole.steps[key][1] if whole is not None and key in whole.steps else ""
    before = found[1][1].recipe if len(found) > 1 else None
    changes = _explained(before, latest.recipe, {}, catalog) if before is not None and latest.recipe is not None else ()
    return record, reason, changes
