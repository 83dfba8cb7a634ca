"""Versions and what is stored to a plan: for every step one verdict, with its reason.

The plan is exact where it can be: versions say before anything runs what is stored. Where an upstream step will run,
its value may come out equal, and then what stands below need not run; such a step is MAYBE, and execution decides it
by its content key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.definition.step import FromList, FromOutput
from memo.errors import SelectionError
from memo.planning.plan import Plan, Reason, StepPlan, Verdict
from memo.planning.stored import StoredSteps
from memo.versioning import Recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from memo.contracts.executor import Address
    from memo.contracts.run_store import History, Recipe
    from memo.definition.job import JobDefinition
    from memo.definition.source import Source
    from memo.definition.step import Step
    from memo.planning.stored import Stores
    from memo.versioning import Versions


REUSE, RUN, MAYBE = Verdict.REUSE, Verdict.RUN, Verdict.MAYBE
STORED = Reason.STORED

_RUNS_ANYWAY = frozenset({Reason.FORCED, Reason.UNFINISHED, Reason.NOT_MEMOIZABLE})
"""Why a step runs whose version is known, and whose value may all the same be another than before."""

_CHANGE_OF_KIND = (
    ("code", Reason.CODE_CHANGED),
    ("config", Reason.CONFIG_CHANGED),
    ("resource", Reason.RESOURCE_CHANGED),
    ("source", Reason.SOURCE_CHANGED),
    ("time", Reason.EXPIRED),
    ("input", Reason.INPUT_CHANGED),
)


def plan_without_memoization(
    job: JobDefinition,
    selected: Iterable[str],
    reason: Reason,
    outside: dict[str, dict[str, Address]] | None = None,
    sources: Mapping[Source, Any] | None = None,
) -> Plan:
    """Plan to run every selected step, reusing nothing and storing nothing under a version."""
    chosen = frozenset(selected)
    steps = {key: StepPlan(key, Verdict.RUN, reason) for key in job.steps if key in chosen}
    _check_boundary(job, steps, outside or {})
    return Plan(job.name, False, steps, outside=outside or {}, sources=dict(sources or {}))


def make_plan(
    job: JobDefinition,
    versions: Versions,
    stores: Stores,
    history: History,
    *,
    selected: frozenset[str],
    forced: frozenset[str] = frozenset(),
    outside: Mapping[str, dict[str, Address]] | None = None,
    accepted: Mapping[str, str] | None = None,
    forecast: bool = False,
) -> Plan:
    """Decide for every selected step whether it runs.

    Args:
        job: The job.
        versions: Of all its steps.
        stores: Its IO managers, ready to be asked.
        history: The catalog.
        selected: The steps to decide on.
        forced: Those to run whatever is stored.
        outside: Known places of outputs of steps that are not selected, as of a parent run.
        accepted: Why versions were accepted in whose place others count: version -> the user's reason.
        forecast: Look up how long each step takes.

    Raises:
        SelectionError: A selected step reads from one that is neither selected nor stored.
    """
    return _Planner(
        job, versions, stores, history, selected, forced, dict(outside or {}), accepted or {}, forecast
    ).plan()


class _Planner:
    """The state of one planning pass."""

    def __init__(
        self,
        job: JobDefinition,
        versions: Versions,
        stores: Stores,
        history: History,
        selected: frozenset[str],
        forced: frozenset[str],
        outside: dict[str, dict[str, Address]],
        accepted: Mapping[str, str],
        forecast: bool,
    ) -> None:
        self.job = job
        self.versions = versions
        self.stores = stores
        self.history = history
        chosen = job.steps
        if len(selected) < len(chosen):
            chosen = {key: step for key, step in chosen.items() if key in selected}
        self.order = list(chosen)
        self.selected = selected
        self.forced = forced & selected
        self.outside = outside
        self.accepted = accepted
        self.decided: dict[str, StepPlan] = {}
        # First of all: whatever is stored after it, the plan may miss.
        self.mark = history.mark()
        self.seconds = history.seconds(job.name, self.order) if forecast else {}
        self.adopted = history.adopted()
        self.known = StoredSteps(job, versions, stores, history, self.order)
        self.torn: frozenset[str] = frozenset()
        self.shaken: set[str] = set()
        """Steps whose stored readers may not be what they would be now: what runs though its version is known, and
        what stands below that."""
        self.skipped: set[FromOutput] = set()
        """Optional outputs of stored steps that were not yielded, and all outputs of steps skipped for want of them."""
        # One of each, as they are few where steps are many.
        ops = {step.op for step in chosen.values()}
        memoizable = stores.memoizable
        plain_ops = {op for op in ops if not memoizable(op)}
        apart = [op for op in ops if op.io_manager_key is None]
        self.optional_ops = {op for op in apart if not all(out.is_required for out in op.outs.values())}
        self.plain: set[str] = set()
        """The steps whose outputs nobody can say to be stored."""
        if plain_ops:
            self.plain = {key for key, step in chosen.items() if step.op in plain_ops}

    def plan(self) -> Plan:
        known, plain = self.known, self.plain
        known.find([key for key in self.order if key not in plain] if plain else self.order)
        known.find_outside(self.outside)
        known.find_withdrawn(plain)
        self.torn = known.torn()
        self.forced |= self.torn
        outdated = known.outdated()
        self.shaken = {*outdated, *plain, *(key for key in known.withdrawn if key not in known.stored_as)}
        pending = self._decide_at_once(plain, outdated)
        if pending:
            self._decide_pending(pending, outdated)
        if pending or self.forced or self.shaken:  # else nothing runs
            self._find_twins()
            self._load_digests_to_know()
            _check_boundary(self.job, self.decided, self.outside)
        return Plan(
            self.job.name,
            True,
            {key: self.decided[key] for key in self.order} if pending else self.decided,
            self.versions,
            self.outside,
            known.digests,
            self.forced,
            self._sources(),
            known.aliases,
            self.mark,
            frozenset(known.unfinished),
        )

    def _sources(self) -> dict[Source, Any]:
        """What the ops are handed that external sources are wired to."""
        if not self.versions.reads_sources:
            return {}
        steps = (self.versions.steps[key] for key in self.order)
        return {each.source: each.stamp.value for step in steps for each in step.sources}

    def _decide_at_once(self, plain: set[str], outdated: Mapping[str, str]) -> list[str]:
        """Decide what needs no look at the history; gives the steps that do, in order."""
        if self.forced or self.shaken:
            return [key for key in self.order if not self._decided_below(key, plain, outdated)]
        pending: list[str] = []
        stored_as, seconds, steps = self.known.stored_as, self.seconds.get, self.versions.steps
        is_simple = not (self.known.withdrawn or self.adopted or self.optional_ops)
        for key in self.order:
            version = stored_as.get(key)
            if version is not None:
                found = steps[key]
                if is_simple and not found.computed:  # as nearly all are, by the hundred thousand
                    self.decided[key] = StepPlan(key, REUSE, STORED, "", found.version, version, False, seconds(key))
                else:
                    self._decide_stored(key)
            elif not self._decided_as_skipped(key):
                pending.append(key)
        return pending

    def _decided_below(self, key: str, plain: set[str], outdated: Mapping[str, str]) -> bool:
        """Decide on a step where something runs though its version is known; False where that takes more."""
        above = [parent for parent in self.known.parents[key] if parent in self.forced or parent in self.shaken]
        if key in self.forced:
            self._decide(key, Verdict.RUN, Reason.UNFINISHED if key in self.torn else Reason.FORCED)
        elif key in plain:
            self._decide(key, Verdict.RUN, Reason.NOT_MEMOIZABLE)
        elif key in outdated:
            return False
        elif above:
            self.shaken.add(key)
            if key not in self.known.stored_as:
                return False
            self._decide(key, Verdict.MAYBE, Reason.UPSTREAM_RUNS, above[0])
        elif key in self.known.stored_as:
            self._decide_stored(key)
        else:
            return self._decided_as_skipped(key)
        return True

    def _decided_as_skipped(self, key: str) -> bool:
        """Skip a step for want of an optional output that was not yielded, and with it what it would give."""
        if not self.skipped or not lacks_input(self.job.steps[key], self.skipped.__contains__):
            return False
        self._decide(key, Verdict.UNNEEDED, Reason.SKIPPED)
        self.skipped.update(FromOutput(key, name) for name in self.job.steps[key].op.outs)
        return True

    def _decide(
        self,
        key: str,
        verdict: Verdict,
        reason: Reason,
        detail: str = "",
        *,
        on_demand: bool = False,
    ) -> None:
        self.decided[key] = StepPlan(
            key,
            verdict,
            reason,
            detail,
            self._version(key),
            self.known.stored_as.get(key) if verdict is Verdict.REUSE else None,
            on_demand,
            self.seconds.get(key),
        )

    def _decide_stored(self, key: str) -> None:
        """Reuse what is stored under the step's version, and say whose word it rests on where it is not memo's."""
        found, stored_as = self.versions.steps[key], self.known.stored_as[key]
        reason, detail = STORED, ""
        if found.computed:
            reason, detail = Reason.ACCEPTED, self.accepted.get(found.computed, "")
        elif key in self.known.withdrawn:
            reason = Reason.SAME_CONTENT
        elif stored_as in self.adopted:
            detail = f"adopted from {', '.join(self.adopted[stored_as].files.values())}, not verified"
        self.decided[key] = StepPlan(
            key, REUSE, reason, detail, found.version, stored_as, seconds=self.seconds.get(key)
        )
        if self.optional_ops and found.step.op in self.optional_ops:
            names = self.stores.skipped_outputs(found.step, stored_as)
            self.skipped.update(FromOutput(key, name) for name in names)

    def _version(self, key: str) -> str:
        return self.versions.steps[key].version

    def _decide_pending(self, pending: list[str], outdated: Mapping[str, str]) -> None:
        """Decide what is not stored: forward whether it is new or lost, backward whether anything needs it."""
        steps = self.versions.steps
        known_local = self.history.known_local_keys([steps[key].local_key for key in pending])
        lost = set(self.history.content_digests([self.known.known_as(key) for key in pending]))
        tentative: dict[str, tuple[Verdict, Reason, str]] = {}
        self.known.load_digests(pending)
        for key in pending:
            unsettled = [parent for parent in self.known.parents[key] if self._unsettled(parent, tentative)]
            if unsettled:
                known = steps[key].local_key in known_local
                tentative[key] = (MAYBE, Reason.UPSTREAM_RUNS, unsettled[0]) if known else (RUN, Reason.NEVER_RUN, "")
            elif self._version(key) in lost and key not in outdated:
                tentative[key] = (RUN, Reason.OUTPUT_MISSING, "")
            elif steps[key].local_key in known_local and self.known.find_by_content(key):
                self._decide(key, Verdict.REUSE, Reason.SAME_CONTENT)
            elif self.known.equal.get(key) in lost:
                tentative[key] = (RUN, Reason.OUTPUT_MISSING, "")
            elif key in outdated:
                tentative[key] = (RUN, Reason.INPUT_CHANGED, outdated[key])
            else:
                tentative[key] = (RUN, Reason.NEVER_RUN, "")
        self._keep_needed(tentative)
        self._name_changes(tentative)

    def _unsettled(self, parent: str, tentative: Mapping[str, tuple[Verdict, Reason, str]]) -> bool:
        """Whether the content of a step's outputs is only known once it has run."""
        if parent in tentative:
            return tentative[parent][1] is not Reason.OUTPUT_MISSING
        decided = self.decided.get(parent)
        return decided is not None and (decided.verdict is Verdict.MAYBE or decided.reason in _RUNS_ANYWAY)

    def _keep_needed(self, tentative: dict[str, tuple[Verdict, Reason, str]]) -> None:
        """Go backward from what must be there: the last steps, the job's outputs, and what running steps read."""
        goals = self._goals()
        needed_by: dict[str, Verdict] = {}
        for key in reversed(self.order):
            if key in tentative:
                verdict, reason, detail = tentative[key]
                need = Verdict.RUN if key in goals else needed_by.get(key)
                on_demand = False
                if need is None:
                    verdict, reason = Verdict.UNNEEDED, Reason.NOT_READ
                elif reason is Reason.OUTPUT_MISSING:
                    verdict, on_demand = need, need is Verdict.MAYBE
                self._decide(key, verdict, reason, detail, on_demand=on_demand)
            verdict = self.decided[key].verdict
            if verdict in {Verdict.RUN, Verdict.MAYBE}:
                for parent in self.known.parents[key]:
                    if needed_by.get(parent) is not Verdict.RUN:
                        needed_by[parent] = verdict

    def _goals(self) -> set[str]:
        read = {parent for parents in self.known.parents.values() for parent in parents}
        given = {source.step for source in self.job.outputs.values() if type(source) is FromOutput}
        return {key for key in self.order if key not in read or key in given}

    def _find_twins(self) -> None:
        """Of several steps with one version, let the first run and the others wait for it."""
        first: dict[object, str] = {}
        for key in self.order:
            step = self.decided[key]
            if step.verdict not in {Verdict.RUN, Verdict.MAYBE} or step.reason is Reason.NOT_MEMOIZABLE:
                continue
            stores = tuple(
                (name, out.io_manager_key, out.is_nothing) for name, out in self.job.steps[key].op.outs.items()
            )
            owner = first.setdefault((step.version, stores), key)
            if owner != key:
                self._decide(key, Verdict.MAYBE, Reason.SAME_VERSION, owner, on_demand=step.on_demand)

    def _name_changes(self, tentative: Mapping[str, tuple[Verdict, Reason, str]]) -> None:
        """Say what changed in the steps that run anew, against the recipe of the last time."""
        anew = [key for key in tentative if self.decided[key].reason is Reason.NEVER_RUN]
        last = self.history.last_recipes(self.job.name, anew)
        recipes = Recipes(self.versions)
        for key in anew:
            if key in last:
                reason, detail = difference(last[key], recipes.of(key))
                self._decide(key, Verdict.RUN, reason, detail)

    def _load_digests_to_know(self) -> None:
        """Look up what execution will need to compute content keys: the content of what MAYBE steps read."""
        maybe = [key for key, step in self.decided.items() if step.verdict is Verdict.MAYBE]
        running = [key for key, step in self.decided.items() if step.verdict is Verdict.RUN]
        if maybe or running:
            self.known.load_digests([*maybe, *running])


def lacks_input(step: Step, was_skipped: Callable[[FromOutput], bool]) -> bool:
    """Whether a step must be skipped: an output it reads was not yielded, or none of those in a list."""
    for source in step.origins:
        if type(source) is FromOutput and was_skipped(source):
            return True
        if type(source) is FromList and source.members:
            outputs = [member for member in source.members if type(member) is FromOutput]
            if len(outputs) == len(source.members) and all(was_skipped(member) for member in outputs):
                return True
    return False


def difference(old: Recipe, new: Recipe) -> tuple[Reason, str]:
    """Name the first kind of part in which two recipes differ, and which parts those are.

    A part that has another name and the same hash was renamed or moved, and is no difference.
    """
    before = {(part.kind, part.name): part.hash for part in old.parts}
    after = {(part.kind, part.name): part.hash for part in new.parts}
    gone = {(kind, found) for (kind, name), found in before.items() if (kind, name) not in after}
    came = {(kind, found) for (kind, name), found in after.items() if (kind, name) not in before}
    moved = gone & came
    changed = [
        (kind, name)
        for kind, name in {**before, **after}
        if before.get((kind, name)) != after.get((kind, name))
        and not {(kind, before.get((kind, name))), (kind, after.get((kind, name)))} & moved
    ]
    for kind, reason in _CHANGE_OF_KIND:
        names = [name for found, name in changed if found == kind]
        if names:
            return reason, ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return Reason.CODE_CHANGED, "what versions are made of, in memo itself"


def _check_boundary(job: JobDefinition, steps: Mapping[str, StepPlan], outside: Mapping[str, object]) -> None:
    for key, step in steps.items():
        if step.verdict in {Verdict.REUSE, Verdict.UNNEEDED}:
            continue
        for parent in job.steps[key].parents():
            if parent not in steps and parent not in outside:
                raise SelectionError(
                    f"{job.steps[key].where} is selected and reads from {parent!r}, which is neither selected nor "
                    f"stored: select '*{key}', or run {parent!r} first",
                )
