"""From a job and a wish to a plan: config resolved, IO managers made, versions told, verdicts decided."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from memo.contracts.executor import Address
from memo.definition.resource import as_resource
from memo.execution.environment import RunEnvironment, make_environment
from memo.execution.resources import ResourceScope
from memo.execution.run import new_run_id
from memo.execution.storage import StepStorage
from memo.planning import Plan, Reason, Verdict, make_plan, plan_without_memoization
from memo.tags import memoization_wish
from memo.versioning import Stamps, resolve_versions, strategy_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memo.contracts.run_store import History
    from memo.contracts.version_strategy import VersionStrategy
    from memo.definition.job import JobDefinition
    from memo.project.home import Home


class Wish(Struct, frozen=True):
    """What a run is asked to be.

    Attributes:
        run_config: Laid over the job's own.
        tags: Of the run, checked.
        selection: Which steps; None for all.
        force: True to run all of them whatever is stored, or a selection of those to run so.
        input_values: Values of the job's inputs.
        memoize_by_default: Whether a job without strategy and tag is memoized.
        outside: Known places of outputs of steps that are not selected.
        selected: The steps themselves, where they are known and not to be read from a selection.
        reason: Why the steps of a run without memoization run.
        forecast: Whether to look up how long steps take.
    """

    run_config: Any = None
    tags: dict[str, str] = {}
    selection: tuple[str, ...] | None = None
    force: bool | tuple[str, ...] = False
    input_values: Mapping[str, Any] | None = None
    memoize_by_default: bool = False
    outside: dict[str, dict[str, Address]] = {}
    selected: frozenset[str] | None = None
    reason: Reason = Reason.MEMOIZATION_OFF
    forecast: bool = False


class Prepared:
    """A plan with all that is needed to carry it out; a context manager that ends its resources.

    Attributes:
        stamps: What external sources were found to be.
        strategy: What told the versions; None where none were asked for.
    """

    def __init__(
        self,
        plan: Plan,
        environment: RunEnvironment,
        scope: ResourceScope,
        storage: StepStorage,
        history: History | None,
        stamps: Stamps,
        strategy: VersionStrategy | None,
    ) -> None:
        self.plan = plan
        self.environment = environment
        self.scope = scope
        self.storage = storage
        self.history = history
        self.stamps = stamps
        self.strategy = strategy

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.scope.close()


def is_memoized(job: JobDefinition, tags: Mapping[str, str], *, by_default: bool) -> bool:
    """Whether a run is memoized: as its tag says, as the job's says, where the job has a strategy, by default."""
    wish = memoization_wish(job.tags, tags, where=job.where)
    return wish if wish is not None else by_default or job.version_strategy is not None


def prepare(job: JobDefinition, wish: Wish, *, home: Home | None, run_id: str | None = None) -> Prepared:
    """Make the plan of a run.

    Args:
        job: The job.
        wish: What the run is asked to be.
        home: Where outputs and history are; None for a run that keeps nothing.
        run_id: Of the run; made up where left out.

    Raises:
        MemoError: The config, the selection, a version or an IO manager is not as it must be.
    """
    memoized = is_memoized(job, wish.tags, by_default=wish.memoize_by_default)
    environment = make_environment(
        job,
        run_id=run_id or new_run_id(),
        run_config=wish.run_config,
        input_values=wish.input_values,
        tags=wish.tags,
        storage=home.storage if home else None,
        logs_dir=home.logs_dir(run_id) if home and run_id else None,
    )
    scope = ResourceScope(environment)
    storage = StepStorage(environment, scope)
    stamps = Stamps(home.catalog if home else None)
    strategy = strategy_of(job) if memoized else None
    try:
        if strategy is not None and home is not None:
            strategy.recall_from(home.cache_dir)
        if memoized and home is not None and home.storage.remote is not None and home.is_writable:
            from memo.execution.sharing import take_in

            take_in(storage, home.catalog, job.name, before=home.make)
        plan = _plan(job, wish, environment, storage, home, stamps, strategy)
    except BaseException:
        scope.close()
        raise
    return Prepared(plan, environment, scope, storage, home.catalog if home else None, stamps, strategy)


def _plan(
    job: JobDefinition,
    wish: Wish,
    environment: RunEnvironment,
    storage: StepStorage,
    home: Home | None,
    stamps: Stamps,
    strategy: VersionStrategy | None,
) -> Plan:
    selected = wish.selected
    if selected is None:
        selected = _selected(job, wish.selection)
    if strategy is None:
        wired = {each: value_of(each) for each in {each for key in selected for each in job.steps[key].wired()}}
        return plan_without_memoization(job, selected, wish.reason, wish.outside, wired)
    assert home is not None
    forced = frozenset[str]()
    if wish.force is True:
        forced = selected
    elif wish.force is not False:
        forced = _selected(job, wish.force)
    catalog = home.catalog
    accepted = dict(catalog.accepted())
    told = catalog.acceptances() if accepted else ()
    reasons = {each.version: each.reason for each in told if each.revoked_at is None}
    while True:
        versions = resolve_versions(
            job,
            environment.config,
            strategy,
            environment.resource_defs,
            stamps=stamps,
            accepted=accepted,
        )
        plan = make_plan(
            job,
            versions,
            storage,
            catalog,
            selected=selected,
            forced=forced,
            accepted=reasons,
            outside=wish.outside,
            forecast=wish.forecast,
        )
        if not accepted:
            return plan
        # What runs is not stored under the version that was accepted: it would be taken for what the other code gives.
        may_run = (key for key, step in plan.steps.items() if step.verdict in {Verdict.RUN, Verdict.MAYBE})
        runs = [computed for key in may_run if (computed := versions.steps[key].computed)]
        if not runs:
            return plan
        for version in runs:
            del accepted[version]


def _selected(job: JobDefinition, selection: tuple[str, ...] | None) -> frozenset[str]:
    if selection is None:
        return frozenset(job.steps)
    from memo.definition.selection import select_steps

    return select_steps(job.steps, selection)


def with_resources(job: JobDefinition, resources: Mapping[str, Any] | None) -> JobDefinition:
    """The job with some of its resources replaced."""
    if not resources:
        return job
    return job.with_resources({key: as_resource(value, key) for key, value in resources.items()})


def selection_of(given: Iterable[str] | str | None) -> tuple[str, ...] | None:
    """Take a selection as clauses."""
    if given is None:
        return None
    return tuple(given.replace(",", " ").split()) if isinstance(given, str) else tuple(given)
