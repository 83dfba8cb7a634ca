"""The catalog as the engine sees it: the contract `RunStore` over one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memo.catalog import claiming, history, recording, vouching
from memo.catalog.connection import Database

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from os import PathLike
    from types import TracebackType
    from typing import Self

    from memo.contracts.run_store import (
        Acceptance,
        Adoption,
        Claim,
        FileDigest,
        ForeignHistory,
        KnownStamp,
        Made,
        Materialization,
        Recipe,
        RunRecord,
        RunUse,
        Saving,
        Standing,
        UndeclaredRead,
    )
    from memo.events import Event


class Catalog:
    """Runs, events, materializations and recipes in one SQLite file.

    The file is opened when something is first asked or written, and created when something is first written.
    Several processes may use it at once, and several threads one catalog. Deleting the file loses the history
    of runs and nothing else.

    Every method raises:
        HomeError: The file cannot be used; says why and what to do.
        NewerHomeError: The file was written by a newer memo.

    >>> with Catalog.open(".memo/catalog.db") as catalog:
    ...     for run in catalog.list_runs(limit=3):
    ...         print(run.run_id, run.status)
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, path: str | PathLike[str], *, read_only: bool = False) -> Self:
        """Name the file to work with. Nothing is opened or created yet.

        Args:
            path: Of the file. One that does not exist answers every question with nothing.
            read_only: Refuse writes, leave the file as it is, and read it even in a folder that may not be
                written.
        """
        return cls(Database(path, read_only=read_only))

    def close(self) -> None:
        """Leave the file."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def aliases(self, versions: Sequence[str]) -> Mapping[str, str]:
        """Step versions known to equal another by content: version -> the version it is stored under.

        A version materialized after it was found to equal another is stored under itself again: no alias.
        """
        return self._database.ask(lambda connection: history.aliases(connection, versions), {}) if versions else {}

    def withdrawn_aliases(self, versions: Sequence[str]) -> set[str]:
        """Those of these that were known to equal another, whose content has been replaced since."""
        if not versions:
            return set()
        return self._database.ask(lambda connection: history.withdrawn_aliases(connection, versions), set())

    def content_digests(self, versions: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        """For step versions that were materialized: version -> {output name: content digest}."""
        if not versions:
            return {}
        return self._database.ask(lambda connection: history.content_digests(connection, versions), {})

    def find_contents(self, content_keys: Sequence[str]) -> Mapping[str, str]:
        """Content key -> the step version it is stored under (the latest)."""
        if not content_keys:
            return {}
        return self._database.ask(lambda connection: history.find_contents(connection, content_keys), {})

    def content_keys(self, versions: Sequence[str]) -> Mapping[str, str]:
        """For step versions that were materialized: version -> the content key of what is stored under it now."""
        if not versions:
            return {}
        return self._database.ask(lambda connection: history.content_keys(connection, versions), {})

    def replaced(self) -> set[str]:
        """The versions whose stored content was once replaced by another."""
        return self._database.ask(history.replaced, set())

    def unfinished(self) -> set[str]:
        """The versions that a run began to replace, and did not record that it had."""
        return self._database.ask(history.unfinished, set())

    def known_local_keys(self, local_keys: Sequence[str]) -> set[str]:
        """Which of these have ever been materialized."""
        if not local_keys:
            return set()
        return self._database.ask(lambda connection: history.known_local_keys(connection, local_keys), set())

    def last_recipes(self, job_name: str, step_keys: Sequence[str]) -> Mapping[str, Recipe]:
        """The recipe with which each step was last materialized or reused-by-content in this job."""
        if not step_keys:
            return {}
        return self._database.ask(lambda connection: history.last_recipes(connection, job_name, step_keys), {})

    def seconds(self, job_name: str, step_keys: Sequence[str]) -> Mapping[str, float]:
        """How long each step's body took, the median of its latest five runs."""
        if not step_keys:
            return {}
        return self._database.ask(lambda connection: history.seconds(connection, job_name, step_keys), {})

    def file_digests(self, paths: Sequence[str]) -> Mapping[str, FileDigest]:
        """What is known of the content of files, by absolute path."""
        if not paths:
            return {}
        from memo.catalog import outside

        return self._database.ask(lambda connection: outside.file_digests(connection, paths), {})

    def known_stamps(self, sources: Sequence[str]) -> Mapping[str, KnownStamp]:
        """What external sources were when they were last reached, by the source's name."""
        if not sources:
            return {}
        from memo.catalog import outside

        return self._database.ask(lambda connection: outside.known_stamps(connection, sources), {})

    def shared(self, versions: Sequence[str]) -> set[str]:
        """Those of these of which the shared place has what is known of them here, as far as this home has seen."""
        if not versions:
            return set()
        from memo.catalog import sharing

        return self._database.ask(lambda connection: sharing.shared(connection, versions), set())

    def mark(self) -> int:
        """How far the history has come: a number that grows with everything that is stored."""
        return self._database.ask(recording.latest_id, 0)

    def accepted(self) -> Mapping[str, str]:
        """The acceptances that hold: version -> the stored version that stands for it."""
        return self._database.ask(vouching.accepted, {})

    def adopted(self) -> Mapping[str, Adoption]:
        """The step versions whose outputs were adopted and have not been made or verified since, by version."""
        return self._database.ask(vouching.adopted, {})

    def add_run(self, run: RunRecord) -> None:
        """Add a run, or replace what is kept of it."""
        versions = recording.version_set(run)
        row = recording.run_row(run, versions)
        self._database.write(lambda connection: recording.add_run(connection, run, row, versions))

    def add_events(self, events: Iterable[Event]) -> None:
        """Append events, in one transaction."""
        rows = recording.event_rows(events)
        if rows:
            self._database.write(lambda connection: recording.add_events(connection, rows))

    def add_materializations(
        self,
        materializations: Iterable[Materialization],
        sources: Mapping[str, str],
        *,
        claimed: Collection[str] = (),
    ) -> None:
        """Add materializations with their recipes, and source texts by digest, in one transaction.

        A run keeps one materialization a step, the latest. The claims on the `claimed` versions end with it; a version
        of which another run has stored another content meanwhile counts as unfinished.
        """
        rows = recording.StepRows()
        for materialization in materializations:
            rows.add_materialization(materialization)
        if rows.by_step or sources:
            self._database.write(lambda connection: recording.add_materializations(connection, rows, sources, claimed))

    def claim(self, wanted: Claim, *, since: int | None, gone: Claim | None = None) -> Claim | Made:
        """Claim a version that is about to be run, in one transaction; see `RunStore.claim`."""
        return self._database.write(lambda connection: claiming.claim(connection, wanted, since, gone))

    def claim_free(self, wanted: Sequence[Claim], *, since: int | None) -> Collection[str]:
        """Claim those versions that nothing speaks against, in one transaction; see `RunStore.claim_free`."""
        return self._database.write(lambda connection: claiming.claim_free(connection, wanted, since))

    def claims(self, versions: Sequence[str]) -> Mapping[str, Claim]:
        """The claims that there are on these versions, whatever they are worth."""
        return self._database.ask(lambda connection: claiming.claims(connection, versions), {}) if versions else {}

    def all_claims(self) -> Sequence[Claim]:
        """The claims that there are, whatever they are worth."""
        return self._database.ask(claiming.all_claims, [])

    def forget_claims(self, gone: Sequence[Claim]) -> None:
        """End claims that are known to be worth nothing any more, each if it still is exactly as it was then."""
        if gone:
            self._database.write(lambda connection: claiming.forget(connection, gone))

    def renew_claims(self, run_id: str, now: float, lease_until: float) -> None:
        """Renew all claims of a run, in one transaction; those that nobody has renewed for a day are forgotten."""
        self._database.write(lambda connection: claiming.renew(connection, run_id, now, lease_until))

    def release_claims(self, run_id: str, versions: Iterable[str]) -> None:
        """End claims of a run on versions that it has not stored."""
        self._database.write(lambda connection: claiming.release(connection, run_id, versions))

    def begin_replacing(self, run_id: str, versions: Sequence[str]) -> None:
        """Record, before it is done, that what is stored under these versions is going to be replaced."""
        if versions:
            self._database.write(lambda connection: recording.begin_replacing(connection, run_id, versions))

    def add_aliases(self, aliases: Iterable[tuple[str, str, str, str, Recipe | None]]) -> None:
        """Record (run id, step key, version, stored version, recipe): equal by content, in one transaction.

        A run keeps one alias a step, the latest.
        """
        rows = recording.StepRows()
        for alias in aliases:
            rows.add_alias(*alias)
        if rows.by_step:
            self._database.write(lambda connection: recording.add_aliases(connection, rows))

    def add_recipes(self, recipes: Iterable[Recipe], sources: Mapping[str, str]) -> None:
        """Keep what versions are made of that were never stored, and source texts by digest, in one transaction."""
        rows = [recording.recipe_row(recipe) for recipe in recipes]
        if rows or sources:
            self._database.write(lambda connection: recording.add_recipes(connection, rows, sources))

    def add_shared(self, versions: Iterable[str]) -> None:
        """Record that the shared place has what is known here of these versions."""
        from memo.catalog import sharing

        given = list(versions)
        self._database.write(lambda connection: sharing.add_shared(connection, given))

    def seen_segments(self, names: Sequence[str]) -> set[str]:
        """Which of these segments of history this home has taken in, or has put there itself."""
        if not names:
            return set()
        from memo.catalog import sharing

        return self._database.ask(lambda connection: sharing.seen_segments(connection, names), set())

    def add_segments(self, names: Sequence[str], foreign: ForeignHistory | None = None) -> None:
        """Record that segments have been seen, and take in what one of them holds, in one transaction."""
        from memo.catalog import sharing

        rows = None if foreign is None else sharing.ForeignRows(foreign)
        if names:
            self._database.write(lambda connection: sharing.add_segments(connection, names, rows))

    def latest(self, versions: Sequence[str]) -> Mapping[str, Materialization]:
        """What was last stored under each of these versions, with its recipe."""
        if not versions:
            return {}
        from memo.catalog import sharing

        return self._database.ask(lambda connection: sharing.latest(connection, versions), {})

    def keep_file_digests(self, digests: Mapping[str, FileDigest]) -> None:
        """Keep what files hold, by absolute path, in one transaction."""
        if not digests:
            return
        from memo.catalog import outside

        rows = outside.file_rows(digests)
        self._database.write(lambda connection: outside.keep_file_digests(connection, rows))

    def keep_stamps(self, stamps: Mapping[str, KnownStamp]) -> None:
        """Keep what external sources were found to be, by the source's name, in one transaction.

        Raises:
            ValueError: The value of one could not be given back as it is: it is neither plain data, nor bytes, a
                Decimal, a path, a date or a time, nor made of those.
        """
        if not stamps:
            return
        from memo.catalog import outside

        rows = outside.stamp_rows(stamps)
        self._database.write(lambda connection: outside.keep_stamps(connection, rows))

    def add_acceptance(self, acceptance: Acceptance) -> int:
        """Add an acceptance, whatever id it has, and give its id. One of the same version takes an older one's place.

        The older one is revoked at the time of the new one.
        """
        return self._database.write(lambda connection: vouching.add_acceptance(connection, acceptance))

    def acceptances(self, job_name: str | None = None) -> Sequence[Acceptance]:
        """All acceptances, revoked ones too, the latest first."""
        return self._database.ask(lambda connection: vouching.acceptances(connection, job_name), [])

    def revoke(self, acceptance_id: int, at: float) -> Acceptance | None:
        """Revoke an acceptance; None where there is none of this id that holds.

        What has been stored under the stored version since it was accepted is no longer trusted to be that version's:
        it counts as unfinished.
        """
        return self._database.write(lambda connection: vouching.revoke(connection, acceptance_id, at))

    def add_adoption(self, adoption: Adoption) -> None:
        """Record that outputs were adopted; a materialization of the version by another run takes it away."""
        self._database.write(lambda connection: vouching.add_adoption(connection, adoption))

    def verified(self, version: str) -> None:
        """Record that what was adopted under a version is what the step gives."""
        self._database.write(lambda connection: vouching.verified(connection, version))

    def undeclared_reads(self, job_name: str) -> Sequence[UndeclaredRead]:
        """What steps of a job were seen to read in all runs, in the order it was recorded."""
        from memo.catalog import outside

        return self._database.ask(lambda connection: outside.undeclared_reads(connection, job_name), [])

    def get_run(self, run_id: str) -> RunRecord | None:
        """The run of this id, or of the only id that begins so.

        Raises:
            RunNotFoundError: Several ids begin so, and none is this.
        """
        from memo.catalog import reading

        return self._database.ask(lambda connection: reading.get_run(connection, run_id), None)

    def list_runs(self, *, job_name: str | None = None, limit: int = 50) -> Sequence[RunRecord]:
        """The latest runs first, each without its steps and their versions: `get_run` reads those."""
        from memo.catalog import reading

        return self._database.ask(lambda connection: reading.list_runs(connection, job_name, limit), [])

    def events(self, run_id: str, *, step_key: str | None = None) -> Sequence[Event]:
        """The events of a run in the order they were recorded."""
        from memo.catalog import reading

        return self._database.ask(lambda connection: reading.events(connection, run_id, step_key), [])

    def materializations(self, run_id: str) -> Sequence[Materialization]:
        """What a run stored, in order."""
        from memo.catalog import reading

        return self._database.ask(lambda connection: reading.materializations(connection, run_id), [])

    def run_uses(self) -> Sequence[RunUse]:
        """All runs, the latest first."""
        from memo.catalog import housekeeping

        return self._database.ask(housekeeping.run_uses, [])

    def version_sets(self, names: Collection[str]) -> Mapping[str, Collection[str]]:
        """The step versions that runs stood on, by `RunUse.version_set`."""
        if not names:
            return {}
        from memo.catalog import housekeeping

        return self._database.ask(lambda connection: housekeeping.version_sets(connection, names), {})

    def stored_elsewhere(self, folder: str) -> Mapping[str, int]:
        """How many versions of outputs this home ever stored outside of a folder, by the key of the IO manager."""
        from memo.catalog import housekeeping

        return self._database.ask(lambda connection: housekeeping.stored_elsewhere(connection, folder), {})

    def stored_by_others(self) -> Collection[str]:
        """The versions of outputs that other homes stored, all in the shared place, as far as this home has seen."""
        from memo.catalog import housekeeping

        nothing: set[str] = set()
        return self._database.ask(housekeeping.stored_by_others, nothing)

    def forget_events(self, run_ids: Collection[str]) -> None:
        """Remove what happened in runs, in one transaction; what steps were seen to read undeclared stays known."""
        from memo.catalog import housekeeping

        if run_ids:
            self._database.write(lambda connection: housekeeping.forget_events(connection, run_ids))

    def shrink(self) -> None:
        """Give room in the file back that is not used any more, where that is worth it; nobody else may use it."""
        from memo.catalog import housekeeping

        self._database.ask(housekeeping.shrink, None)

    def check(self) -> None:
        """Read the whole file.

        Raises:
            HomeError: It is damaged.
        """
        from memo.catalog import housekeeping

        self._database.ask(housekeeping.check, None)

    def add_rebuilt(
        self, materializations: Iterable[Materialization], adoptions: Iterable[Adoption], unfinished: Sequence[str]
    ) -> None:
        """Add what was read from the manifests of stored outputs to an empty catalog, in one transaction.

        What stands above a step may have been replaced since the step ran, by force, and nobody knows: so each plan
        compares the content that a step was made of before it reuses it. The `unfinished` versions are not whole.
        """
        from memo.catalog import housekeeping

        rows = recording.StepRows()
        for materialization in materializations:
            rows.add_materialization(materialization)
        marks = list(adoptions)
        self._database.write(lambda connection: housekeeping.add_rebuilt(connection, rows, marks, unfinished))

    def standing(self, run: RunRecord, step_key: str) -> Standing | None:
        """How a step stood in a run, read with `get_run`; None where the run knew no version of such a step."""
        from memo.catalog import standing

        return self._database.ask(lambda connection: standing.standing(connection, run, step_key), None)

    def last_run_of(self, job_name: str, step_key: str) -> str | None:
        """The latest run that left a recipe of the step: the one whose recipe `last_recipes` gives."""
        from memo.catalog import standing

        return self._database.ask(lambda connection: standing.last_run_of(connection, job_name, step_key), None)

    def savings(self) -> Sequence[Saving]:
        """What reuse saved, by month and job, in this order."""
        from memo.catalog import reading

        return self._database.ask(reading.savings, [])

    def source(self, digest: str) -> str | None:
        """A source text by its digest."""
        from memo.catalog import reading

        return self._database.ask(lambda connection: reading.source(connection, digest), None)
