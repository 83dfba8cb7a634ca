"""Why a step is as it is, in words and as JSON: now against a run, or one run against another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.cli.changes import link_lines, links_json
from memo.cli.vouched import acceptance_in, acceptance_json, adoption_json, word_lines
from memo.tags import ADOPTED_TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.catalog import Catalog
    from memo.contracts.run_store import RunRecord, Standing
    from memo.contracts.version_strategy import BlindSpot
    from memo.definition.job import JobDefinition
    from memo.explaining import Link, Side
    from memo.planning import Plan, StepPlan
    from memo.versioning import Versions

_LATEST_RUNS = 50
"""How many of the job's latest runs are looked through for those in which the step ran."""

_OUTCOMES = {
    "success": "ran",
    "failure": "failed",
    "reused": "reused",
    "skipped": "skipped",
    "blocked": "blocked by a failed step above it",
    "unneeded": "not needed",
    "canceled": "canceled",
}


def step_in(record: RunRecord, step: str) -> None:
    """See that a run knows a version of a step.

    Raises:
        SelectionError: It has no such step, or had no versions at all.
    """
    from memo.errors import SelectionError, did_you_mean

    if not record.versions:
        raise SelectionError(
            f"run {record.run_id} was without memoization: its steps had no versions, and there is nothing to compare"
        )
    if step not in record.versions:
        raise SelectionError(f"run {record.run_id} has no step {step!r}.{did_you_mean(step, record.versions)}")


def side_of(record: RunRecord, catalog: Catalog) -> Side:
    """A run of the past, as one side of a comparison."""
    from memo.explaining import Side

    return Side(record.versions, lambda key: catalog.standing(record, key))


def _open_spots(job: JobDefinition, versions: Versions, step: str, catalog: Catalog) -> list[BlindSpot]:
    from memo.project.linting import open_spots

    return open_spots(job, versions, catalog).get(job.steps[step].op.name, [])


class Present:
    """All there is to say of one step as it is now; made while the catalog is open.

    Args:
        job: Of the step.
        plan: What a run would do now.
        step: The step's key.
        catalog: The history.
        since: The run to compare with; the last one in which the step was stored or found equal where left out.
    """

    def __init__(self, job: JobDefinition, plan: Plan, step: str, catalog: Catalog, since: RunRecord | None) -> None:
        self.job = job
        self.plan = plan
        self.step = plan.steps[step]
        self.where = job.steps[step].where
        self.since = since
        self.links: tuple[Link, ...] = ()
        self.spots: list[BlindSpot] = []
        self.elsewhere: RunRecord | None = None
        self.last = _last_time(job.name, step, catalog)
        self.accepted = acceptance_in(plan, step, catalog)
        self.adopted = catalog.adopted().get(self.step.stored_as or "")
        if plan.versions is None:
            if since is not None:
                from memo.errors import SelectionError

                raise SelectionError(
                    f"memoization is off: step {step!r} has no version now, to compare with that of run {since.run_id}"
                )
            return
        self.spots = _open_spots(job, plan.versions, step, catalog)
        key, before = self._before(catalog)
        latest = before or _run_of_last_recipe(job.name, step, catalog)
        if latest is not None and latest.host is not None:
            self.elsewhere = latest
        if since is not None:
            step_in(since, step)
        if before is not None and key in before.versions:
            from memo.explaining import explain_upward

            texts: dict[str, str] = {}
            now = _side_now(plan, catalog, texts)
            self.links = explain_upward(
                (key, step),
                side_of(before, catalog),
                now,
                lambda digest: texts.get(digest) or catalog.source(digest),
            )

    def _before(self, catalog: Catalog) -> tuple[str, RunRecord | None]:
        """The run to compare with and the step's key there: the one that was named, was accepted, or was the last."""
        key = self.step.key
        if self.since is not None:
            return key, self.since
        if self.accepted is not None:
            from memo.project.accepting import run_of_accepted

            return self.accepted.step_key, run_of_accepted(catalog, self.accepted)
        if self.step.verdict.value == "REUSE":
            return key, None
        return key, _run_of_last_recipe(self.job.name, key, catalog)

    @property
    def known(self) -> bool:
        """Whether there is an earlier recipe to compare with."""
        return bool(self.links) and self.links[0].known

    def lines(self) -> Iterator[str]:
        """What people read."""
        from memo.cli.text import seconds_text
        from memo.cli.verdicts import reason_text

        yield f"{self.where}: {self.step.verdict.value}, {reason_text(self.step)}"
        yield from word_lines(self.step.key, self.accepted, self.adopted)
        if self.step.seconds is not None:
            yield f"  usually takes {seconds_text(self.step.seconds)}"
        yield from self._spot_lines()
        if self.links:
            yield from link_lines(self.links, self._when(), self._verdict_of)
        if self.since is None:
            yield from self._last_lines()

    def _spot_lines(self) -> Iterator[str]:
        """What could not be followed in the op's code, each with the remedy."""
        from memo.cli.undeclared import said_spot

        for spot in self.spots:
            yield f"  not seen: what is behind {said_spot(spot)}; {spot.remedy}"

    def _when(self) -> str:
        if self.since is not None:
            return f"since run {self.since.run_id}"
        if self.elsewhere is not None:
            return f"since run {self.elsewhere.run_id} on {self.elsewhere.host or 'another machine'}"
        return "since the last time" if self.accepted is None else "and was accepted"

    def _last_lines(self) -> Iterator[str]:
        """When the step ran last, and why it did."""
        from memo.cli.text import time_text
        from memo.planning import Reason

        if self.elsewhere is not None:
            shown = f"run {self.elsewhere.run_id} of {time_text(self.elsewhere.started_at)}"
            yield f"it last ran in {shown} on {self.elsewhere.host or 'another machine'}, which shares it"
            return
        if self.last is None:
            if not self.known:
                yield "it has not run in this home"
            return
        record, reason, links = self.last
        at = f"in run {record.run_id} of {time_text(record.started_at)}"
        if ADOPTED_TAG in record.tags:
            yield f"its outputs were last adopted, {at}"
            return
        first = reason == Reason.NEVER_RUN.value
        shown = "for the first time" if first else f"because: {reason}" if reason else ""
        yield f"it last ran {at} {shown}".rstrip()
        if links and self.accepted is None and self.step.verdict.value in {"REUSE", "UNNEEDED"}:
            yield from link_lines(links, "since the time before", lambda link: _outcome(record, link.step))

    def _verdict_of(self, link: Link) -> str:
        from memo.cli.verdicts import reason_text

        found = self.plan.steps.get(link.step)
        return "not selected" if found is None else f"{found.verdict.value}, {reason_text(found)}"

    def json(self) -> dict[str, Any]:
        """What programs read."""
        last = None
        if self.last is not None:
            record, reason, links = self.last
            last = {
                "run_id": record.run_id,
                "started_at": record.started_at,
                "reason": reason,
                **links_json(links, lambda _: {}),
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
            "accepted": None if self.accepted is None else acceptance_json(self.accepted),
            "adopted": None if self.adopted is None else adoption_json(self.adopted),
            "since_run": self.since.run_id if self.since is not None else None,
            "elsewhere": None
            if self.elsewhere is None
            else {
                "run_id": self.elsewhere.run_id,
                "host": self.elsewhere.host,
                "started_at": self.elsewhere.started_at,
            },
            **links_json(self.links, self._link_json),
            "last_ran": last,
        }

    def _link_json(self, link: Link) -> dict[str, Any]:
        found = self.plan.steps.get(link.step)
        if found is None:
            return {"verdict": None, "reason": None, "detail": None}
        return {"verdict": found.verdict, "reason": found.reason.value, "detail": found.detail}


class Between:
    """What changed in one step between two runs, from the history alone; made while the catalog is open.

    Args:
        step: Its key in both runs, or in one of them where it was renamed.
        before: The run to compare with.
        after: The run that is compared.
        catalog: The history.
    """

    def __init__(self, step: str, before: RunRecord, after: RunRecord, catalog: Catalog) -> None:
        from memo.explaining import compare_contents, explain_upward

        self.before = before
        self.after = after
        self.keys = _keys(step, before, after)
        sides = side_of(before, catalog), side_of(after, catalog)
        self.links = explain_upward(
            self.keys,
            *sides,
            catalog.source,
            labels=(f"run {before.run_id}", f"run {after.run_id}"),
        )
        olds, news = (
            {} if found is None else found.contents
            for found in (side.standing(key) for side, key in zip(sides, self.keys, strict=True))
        )
        self.contents = {name: compare_contents(olds.get(name), news.get(name)) for name in {**news, **olds}}

    def lines(self) -> Iterator[str]:
        """What people read."""
        from memo.cli.text import time_text

        yield f"step {self.keys[1]!r} of job {self.after.job_name!r}, between two runs:"
        for record, key in zip((self.before, self.after), self.keys, strict=True):
            named = "" if key == self.keys[1] else f", as {key!r}"
            yield f"  run {record.run_id} of {time_text(record.started_at)}{named}: {_what_became(record, key)}"
        yield from link_lines(self.links, "from the first to the second", self._outcomes_of)
        for name, content in self.contents.items():
            if content == "same":
                yield f"its output {name!r} has the same content in both"
            elif content == "changed":
                yield f"its output {name!r} has other content"
        first = self.links[0]
        if "changed" in self.contents.values() and first.same_version and first.known and not first.changes:
            yield "  it is not deterministic, or reads what its version does not cover"

    def _outcomes_of(self, link: Link) -> str:
        return f"first {_outcome(self.before, link.step_before)}, then {_outcome(self.after, link.step)}"

    def json(self) -> dict[str, Any]:
        """What programs read."""
        first = self.links[0]
        return {
            "job": self.after.job_name,
            "step": self.keys[1],
            "runs": [_run_json(record, key) for record, key in zip((self.before, self.after), self.keys, strict=True)],
            "same_version": first.same_version,
            **links_json(self.links, lambda _: {}),
            "contents": self.contents,
        }


def _keys(step: str, before: RunRecord, after: RunRecord) -> tuple[str, str]:
    """The step's key in each run: the same, or that of the one step which has its version under another name."""
    holders = [record for record in (before, after) if step in record.versions]
    if len(holders) == 1 and before.versions and after.versions:
        here, there = (before, after) if step in before.versions else (after, before)
        version = here.versions[step]
        renamed = [key for key, each in there.versions.items() if each == version and key not in here.versions]
        if len(renamed) == 1:
            return (step, renamed[0]) if here is before else (renamed[0], step)
    for record in (before, after):
        step_in(record, step)
    return step, step


def _run_json(record: RunRecord, key: str) -> dict[str, Any]:
    verdict, reason, outcome = record.steps.get(key, (None, None, None))
    return {
        "run_id": record.run_id,
        "started_at": record.started_at,
        "step": key,
        "version": record.versions[key],
        "verdict": verdict,
        "reason": reason,
        "outcome": outcome,
    }


def _what_became(record: RunRecord, key: str) -> str:
    if ADOPTED_TAG in record.tags and key in record.steps:
        return record.steps[key][1]
    if key not in record.steps or not record.steps[key][2]:
        return _outcome(record, key)
    return f"{_outcome(record, key)} ({record.steps[key][1]})"


def _outcome(record: RunRecord, key: str) -> str:
    _, _, outcome = record.steps.get(key, ("", "", None))
    if record.ended_at is None and not outcome:
        return "in a run that did not end"
    return "not selected" if outcome is None else _OUTCOMES.get(outcome, "not come to")


def _side_now(plan: Plan, catalog: Catalog, texts: dict[str, str]) -> Side:
    """What a run would make now, as the newer side of a comparison."""
    from memo.contracts.run_store import Standing
    from memo.explaining import Side
    from memo.versioning import recipe_of

    versions = plan.versions
    assert versions is not None

    def standing(key: str) -> Standing | None:
        if key not in versions.steps:
            return None
        return Standing(versions.steps[key].version, recipe_of(key, versions, texts), _contents_now(plan, key, catalog))

    return Side({key: step.version for key, step in versions.steps.items()}, standing)


def _contents_now(plan: Plan, key: str, catalog: Catalog) -> dict[str, str | None]:
    """The content of a step's outputs as far as it is known before anything runs."""
    from memo.planning import Reason

    found: StepPlan | None = plan.steps.get(key)
    if found is not None and found.verdict.value in {"RUN", "MAYBE"} and found.reason is not Reason.OUTPUT_MISSING:
        return {}
    assert plan.versions is not None
    version = plan.versions.steps[key].version if found is None else found.stored_as or found.version or ""
    return dict(catalog.content_digests([version]).get(version, {}))


def _run_of_last_recipe(job_name: str, key: str, catalog: Catalog) -> RunRecord | None:
    run_id = catalog.last_run_of(job_name, key)
    return None if run_id is None else catalog.get_run(run_id)


def _last_time(job_name: str, key: str, catalog: Catalog) -> tuple[RunRecord, str, tuple[Link, ...]] | None:
    """The latest run in which the step ran, why it did, and what had changed since the time before."""
    from memo.explaining import explain_upward

    found: list[RunRecord] = []
    for record in catalog.list_runs(job_name=job_name, limit=_LATEST_RUNS):
        if record.counts and not record.counts.get("success"):
            continue
        if any(each.step_key == key for each in catalog.materializations(record.run_id)):
            found.append(catalog.get_run(record.run_id) or record)
        if len(found) == 2:
            break
    if not found:
        return None
    latest, *before = found
    reason = latest.steps[key][1] if key in latest.steps else ""
    links: tuple[Link, ...] = ()
    if before and key in before[0].versions and key in latest.versions:
        links = explain_upward((key, key), side_of(before[0], catalog), side_of(latest, catalog), catalog.source)
    return latest, reason, links
