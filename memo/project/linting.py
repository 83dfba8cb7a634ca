"""What a job's ops read that their versions do not cover: what was seen in past runs, and what no walk can follow.

A finding stands until it is covered or the code is gone:

- What a step was seen to read counts while the op is as it was then (its code and config), and is dropped when the
  step's sources cover it now.
- What the version strategy could not follow counts as long as the code is so, with one exception: that a line reads
  the world. Such a line is settled where the op declares a source of that kind, or where all its steps have run as they
  are now: what it reads is watched then, and reported by itself. A line that may leave the reading to a library written
  in C, whose files nobody tells, is settled by a source alone; so are the lines of resources, which are not watched
  while they are made, and those of ops that start worker processes, in which nobody watches.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.job import sources_of
from memo.definition.names import check_tags
from memo.definition.source import Source
from memo.errors import DefinitionError
from memo.execution.attribution import shown_path
from memo.execution.coverage import ENVIRONMENT, FILE, NETWORK, WHOLE_ENVIRONMENT, WORKERS, Coverage, said
from memo.execution.watching import MORE
from memo.project.home import current_folder, opened_home
from memo.project.preparing import Wish, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memo.catalog import Catalog
    from memo.contracts.run_store import UndeclaredRead
    from memo.contracts.version_strategy import BlindSpot
    from memo.definition.job import JobDefinition
    from memo.definition.step import Step
    from memo.project.home import Home
    from memo.project.preparing import Prepared
    from memo.versioning import OpVersion, ResourceVersion, Versions

__all__ = ["Finding", "LintReport", "is_open", "lint_job", "open_spots", "spots_of"]


class Finding(Struct, frozen=True):
    """One thing that a version does not cover.

    Attributes:
        owner: The op's name, or the resource's key.
        location: Where that stands, as ``file:line``.
        kind: `file`, `environment`, `network`, `process`, or `code` for what could not be followed.
        what: The path, variable, host or program; of code, what is there.
        where: The line that reads it, as ``file:line``; empty where that is unknown.
        message: What happens there: ``reads the file 'data.csv'``.
        remedy: What to do about it.
        steps: Those that were seen to do it; empty for what the walk could not follow.
    """

    owner: str
    location: str
    kind: str
    what: str
    where: str
    message: str
    remedy: str
    steps: tuple[str, ...] = ()


class LintReport(Struct, frozen=True):
    """What a job's versions do not cover, as far as it is known.

    Attributes:
        findings: By op, in the order of the job, then what was seen before what could not be followed.
        never_run: The steps that have not run as they are now, so that nothing is known of what they read.
        unwatched: The ops that start worker processes, so that not all is known of what they read.
    """

    job_name: str
    findings: tuple[Finding, ...]
    never_run: tuple[str, ...]
    unwatched: tuple[str, ...]

    @property
    def is_clean(self) -> bool:
        """Whether there is no finding."""
        return not self.findings


def lint_job(
    job: JobDefinition,
    *,
    run_config: Any = None,
    tags: Mapping[str, object] | None = None,
    input_values: Mapping[str, Any] | None = None,
    instance: Home | str | os.PathLike[str] | None = None,
) -> LintReport:
    """Tell what the steps of a job read that their versions do not cover. Nothing runs.

    Ops that declare ``version=`` are left out: what they read, their author vouches for.

    Args:
        job: The job.
        run_config: Config for ops and resources, which counts in the versions of ops.
        tags: Of the run that is looked at.
        input_values: Values for the job's inputs.
        instance: The home; found from the current folder where left out.

    Raises:
        MemoError: The config, a version or an IO manager is not as it must be.

    >>> lint_job(daily).is_clean  # doctest: +SKIP
    True
    """
    wish = Wish(run_config, check_tags(tags, job.where), None, input_values=input_values, memoize_by_default=True)
    with opened_home(instance) as home, prepare(job, wish, home=home) as prepared:
        if prepared.plan.versions is None:
            raise DefinitionError(
                "its tags turn memoization off, so that nothing has a version that could lack something; leave the tag "
                "out",
                where=job.where,
            )
        return _Linter(job, prepared, prepared.plan.versions, home).report()


def is_open(spot: BlindSpot, coverage: Coverage, *, watched: bool) -> bool:
    """Whether it is still not known what is behind a blind spot.

    Args:
        spot: In the code of an op or resource.
        coverage: Of the sources of what it belongs to.
        watched: Whether all that ran of it was watched.
    """
    return not coverage.has_kind(spot.kind) and not (watched and spot.shows)


def open_spots(job: JobDefinition, versions: Versions, catalog: Catalog) -> dict[str, list[BlindSpot]]:
    """The blind spots behind which nobody knows what is, by the op's name or the resource's key.

    Nothing is behind one of an op whose steps have all run as they are now, where what it does would have been seen.
    """
    watched = _watched(job, versions, catalog)
    read = [(step.op.name, versions.sources(key), step.op.name in watched) for key, step in job.steps.items()]
    read += [(key, list(resource.sources), False) for key, resource in versions.resources.items()]
    found: dict[str, dict[BlindSpot, None]] = {}
    for name, sources, is_watched in read:
        coverage = Coverage([each.source for each in sources], "")
        for spot in versions.blind_spots.get(name, ()):
            if is_open(spot, coverage, watched=is_watched):
                found.setdefault(name, {})[spot] = None
    return {name: list(spots) for name, spots in found.items()}


def _watched(job: JobDefinition, versions: Versions, catalog: Catalog) -> set[str]:
    """The ops whose steps have all run as they are now, with nothing in them that nobody watches."""
    steps = {key: found for key, found in versions.steps.items() if key in job.steps}
    known = catalog.known_local_keys(list(dict.fromkeys(found.local_key for found in steps.values())))
    with_workers = {read.op_version for read in catalog.undeclared_reads(job.name) if read.what == WORKERS}
    unseen = {
        job.steps[key].op.name
        for key, found in steps.items()
        if found.local_key not in known or found.op.version in with_workers
    }
    return {job.steps[key].op.name for key in steps} - unseen


def spots_of(found: OpVersion | ResourceVersion) -> list[BlindSpot]:
    """The blind spots in the code of a step or resource, and of what it depends on."""
    return [spot for code in (found.code, *found.besides) for spot in code.blind_spots]


class _Linter:
    """One look at a job."""

    def __init__(self, job: JobDefinition, prepared: Prepared, versions: Versions, home: Home) -> None:
        self._job = job
        self._definitions = prepared.environment.resource_defs
        self._versions = versions
        self._folder = current_folder()
        self._coverages = {
            key: Coverage(sources_of(step, self._definitions), self._folder) for key, step in job.steps.items()
        }
        local_keys = {key: found.local_key for key, found in versions.steps.items()}
        known = home.catalog.known_local_keys(list(dict.fromkeys(local_keys.values())))
        self._has_run = {key for key, local_key in local_keys.items() if local_key in known}
        self._reads: dict[str, list[UndeclaredRead]] = {}
        for read in home.catalog.undeclared_reads(job.name):
            self._reads.setdefault(read.op_version, []).append(read)

    def report(self) -> LintReport:
        """All findings."""
        ops: dict[str, list[Step]] = {}
        for step in self._job.steps.values():
            if step.op.version is None:
                ops.setdefault(step.op.name, []).append(step)
        findings: list[Finding] = []
        unwatched: list[str] = []
        for name, steps in ops.items():
            seen, has_workers = self._seen(name, steps)
            if has_workers:
                unwatched.append(name)
            findings += [*seen, *self._not_followed(name, steps, seen, has_workers=has_workers)]
        of_ops = tuple(findings)
        for key in self._versions.resources:
            if key not in ops:
                findings += self._of_resource(key, of_ops)
        never_run = [step.key for steps in ops.values() for step in steps if step.key not in self._has_run]
        return LintReport(self._job.name, tuple(findings), tuple(never_run), tuple(unwatched))

    def _seen(self, name: str, steps: Sequence[Step]) -> tuple[list[Finding], bool]:
        """What the steps of an op were seen to read; and whether they start processes in which nobody watches."""
        by_read: dict[tuple[str, str, str], list[str]] = {}
        for step in steps:
            for read in self._reads.get(self._versions.steps[step.key].op.version, ()):
                if not self._coverages[step.key].covers(read.kind, read.what):
                    keys = by_read.setdefault((read.kind, read.what, read.where), [])
                    if step.key not in keys:
                        keys.append(step.key)
        found = [
            Finding(
                name,
                steps[0].op.location,
                kind,
                what,
                where,
                said(kind, what),
                _remedy(kind, what, name, self._folder),
                tuple(keys),
            )
            for (kind, what, where), keys in by_read.items()
            if what not in {WORKERS, MORE}
        ]
        more = next((at for at in by_read if at[1] == MORE), None)
        if found and more is not None:
            remedy = "run it again when what is named here is declared, and the rest is named"
            found.append(
                Finding(
                    name,
                    steps[0].op.location,
                    more[0],
                    MORE,
                    "",
                    "reads more than is named here",
                    remedy,
                    tuple(by_read[more]),
                )
            )
        return found, any(what == WORKERS for _, what, _ in by_read)

    def _not_followed(
        self, name: str, steps: Sequence[Step], seen: Sequence[Finding], *, has_workers: bool
    ) -> list[Finding]:
        watched = not has_workers and all(step.key in self._has_run for step in steps)
        coverages = [self._coverages[step.key] for step in steps]
        return self._still_open(name, steps[0].op.location, coverages, seen, watched=watched)

    def _of_resource(self, key: str, findings: Sequence[Finding]) -> list[Finding]:
        definition = self._definitions[key]
        sources = [each for each in definition.depends_on if isinstance(each, Source)]
        coverage = Coverage(sources, self._folder)
        return self._still_open(key, definition.location, [coverage], findings, watched=False)

    def _still_open(
        self, owner: str, location: str, coverages: Sequence[Coverage], told: Sequence[Finding], *, watched: bool
    ) -> list[Finding]:
        """The blind spots behind which nobody knows what is, of lines of which not more is told already."""
        lines = {(each.kind, each.where) for each in told}
        found = [
            self._finding(owner, location, spot)
            for spot in self._versions.blind_spots.get(owner, ())
            if any(is_open(spot, coverage, watched=watched) for coverage in coverages)
        ]
        return [each for each in found if (each.kind, each.where) not in lines]

    def _finding(self, owner: str, location: str, spot: BlindSpot) -> Finding:
        where = shown_path(spot.where, self._folder)
        watch = "; or run it, and see here what it read" if spot.shows else ""
        return Finding(owner, location, spot.kind, spot.what, where, spot.what, spot.remedy + watch)


def _remedy(kind: str, what: str, op_name: str, folder: str) -> str:
    """What to do about something that was read."""
    if kind == FILE:
        source = _file_source(what, folder)
    elif kind == ENVIRONMENT:
        if what == WHOLE_ENVIRONMENT:
            return "read the variables that it needs by name, and declare each: depends_on=[Source.env('NAME')]"
        source = f"Source.env({what!r})"
    elif kind == NETWORK and "://" in what:
        source = f"Source.url({what!r})"
    elif kind == NETWORK:
        return "declare what it loads: depends_on=[Source.url(…)], or a @source function that tells when it has changed"
    else:
        return (
            "declare a @source function that tells the program's version and what it reads, or version= and raise it "
            "when what the program gives changes"
        )
    return f"declare it: depends_on=[{source}], or wire it: {op_name}({source})"


def _file_source(what: str, folder: str) -> str:
    if what.endswith(os.sep):
        return f"Source.folder({what.rstrip(os.sep) or os.sep!r})"
    # A file that need not be there: that it is not was an input too, which a pattern takes for what it is.
    kind = "file" if os.path.exists(os.path.join(folder, what)) else "glob"
    return f"Source.{kind}({what!r})"
