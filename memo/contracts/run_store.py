"""What the engine asks of the place where runs, events, materializations and recipes are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct, field

from memo.events import Event, RunStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = [
    "Acceptance",
    "Adoption",
    "Claim",
    "FileDigest",
    "ForeignHistory",
    "History",
    "KnownStamp",
    "Made",
    "Materialization",
    "OutputRecord",
    "Recipe",
    "RecipePart",
    "RunRecord",
    "RunStore",
    "RunUse",
    "Saving",
    "Standing",
    "UndeclaredRead",
    "acceptance_of",
]


class RecipePart(Struct, frozen=True, array_like=True, gc=False):
    """One named part of a step's version: what `memo why` compares.

    Attributes:
        kind: `code`, `config`, `resource`, `input` or `engine`.
        name: Within its kind: a function's qualified name, a config path, an input's name.
        hash: Of this part alone.
        detail: What to show when it changed: a value, a version.
        file: For code: where it stands.
        line: Its first line there.
        source_digest: For code: the digest under which the catalog keeps its text.
    """

    kind: str
    name: str
    hash: str
    detail: str = ""
    file: str | None = None
    line: int | None = None
    source_digest: str | None = None


class Recipe(Struct, frozen=True, array_like=True, gc=False):
    """Everything that a step's version was made of, by parts."""

    version: str
    parts: tuple[RecipePart, ...] = ()


class OutputRecord(Struct, frozen=True, gc=False):
    """One output of a step as it was stored.

    Attributes:
        kind: `value`; `nothing` for an ordering-only output; `skipped` for an optional one not yielded.
        version: The output's version, None in a run without memoization.
        content_digest: The digest of the value, None where it has none.
        size: Bytes stored, where the IO manager says.
        digest: Digest of the bytes stored, where the IO manager says.
        place: Where it is, in the IO manager's words.
        shared: Whether the shared place has this very content under the version.
        replaced: Whether it had another there before.
    """

    name: str
    kind: str = "value"
    version: str | None = None
    content_digest: str | None = None
    size: int | None = None
    digest: str | None = None
    place: str | None = None
    io_manager_key: str = "io_manager"
    shared: bool = False
    replaced: bool = False


class Materialization(Struct, frozen=True, gc=False):
    """One step having stored its outputs once.

    Attributes:
        version: The step's version, None in a run without memoization.
        local_key: The version less what comes from upstream: code, config, resources, literals.
        content_key: The version with upstream versions replaced by digests of content.
        seconds: How long the body took.
        started_at: Seconds since 1970.
    """

    run_id: str
    job_name: str
    step_key: str
    outputs: tuple[OutputRecord, ...]
    version: str | None = None
    local_key: str | None = None
    content_key: str | None = None
    recipe: Recipe | None = None
    seconds: float = 0.0
    started_at: float = 0.0
    attempt: int = 0


class RunRecord(Struct, frozen=True):
    """A run as it is kept.

    Attributes:
        steps: The plan's verdicts and what became of them: step key -> (verdict, reason, outcome).
            Outcomes are `success`, `failure`, `reused`, `skipped`, `blocked`, `unneeded`, `canceled`, or an empty
            string for a step that the run never came to.
        counts: Outcome -> how many steps.
        target: How the job is found again: `file.py:job`, or None where it was given as an object.
        run_config: As given.
        versions: Step key -> version, of every step of the job, whether the run selected it, ran it or reused it. Empty
            without memoization.
        host: The machine that ran it, where its history came from the shared place; None where it ran in this home.
    """

    run_id: str
    job_name: str
    status: RunStatus
    started_at: float
    ended_at: float | None = None
    target: str | None = None
    run_config: Any = None
    tags: dict[str, str] = field(default_factory=dict)
    parent_run_id: str | None = None
    root_run_id: str | None = None
    steps: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds_saved: float = 0.0
    pid: int | None = None
    versions: dict[str, str] = field(default_factory=dict)
    host: str | None = None


class RunUse(Struct, frozen=True):
    """What there is to know of a run when it is asked what may go.

    Attributes:
        version_set: By which its steps' versions are found (`RunStore.version_sets`); None in a run without.
        has_events: Whether anything is kept of what happened in it, but what steps were seen to read undeclared.
    """

    run_id: str
    job_name: str
    status: RunStatus
    started_at: float
    pid: int | None = None
    parent_run_id: str | None = None
    version_set: str | None = None
    has_events: bool = False


class Standing(Struct, frozen=True):
    """How a step stood in a run, whether it ran there, was reused or never came to run.

    Attributes:
        version: Of the step.
        recipe: What that version was made of; None where it is not kept, as of a step that a killed run left undone.
        contents: The content digest of each output as its readers were given it, None where it has none; empty where
            nothing was given.
    """

    version: str
    recipe: Recipe | None = None
    contents: dict[str, str | None] = field(default_factory=dict)


class Saving(Struct, frozen=True):
    """What reuse saved a job in one month.

    Attributes:
        month: In local time, as `2026-11`.
        runs: How many runs began in it.
        reused: How many steps they reused.
        seconds_saved: How long the bodies of those steps would have taken.
    """

    month: str
    job_name: str
    runs: int
    reused: int
    seconds_saved: float


class FileDigest(Struct, frozen=True):
    """What a file held when it was last read to the end.

    Attributes:
        looks: Its size, times and inode then: while it looks so, it need not be read again.
        digest: Of its content.
    """

    looks: str
    digest: str


class KnownStamp(Struct, frozen=True):
    """What an external source was when it was last reached.

    Attributes:
        digest: What counts in versions.
        shown: What to show of it.
        value: What ops are handed: plain data, or a date or time.
        at: When, in seconds since 1970.
    """

    digest: str
    shown: str
    value: Any
    at: float


class Acceptance(Struct, frozen=True):
    """Somebody's word that one version of a step is as good as another, which is stored.

    Attributes:
        id: Its number, by which it is revoked.
        version: The version that the step's code, config and inputs make.
        stored_version: The one that stands for it.
        reason: In the user's words.
        at: Seconds since 1970.
        revoked_at: None while it holds.
    """

    id: int
    job_name: str
    step_key: str
    version: str
    stored_version: str
    reason: str
    at: float
    revoked_at: float | None = None


def acceptance_of(acceptances: Iterable[Acceptance], version: str) -> Acceptance | None:
    """The one of these that holds for a version, by which another stands in its place."""
    return next((each for each in acceptances if each.version == version and each.revoked_at is None), None)


class Adoption(Struct, frozen=True):
    """A step version whose outputs memo did not make, but was given. Whether they are right nobody has seen.

    Attributes:
        version: The step version that they are stored under.
        files: Where each output came from: output -> file, or what else was said of it.
    """

    version: str
    run_id: str
    files: dict[str, str]
    at: float


class Claim(Struct, frozen=True):
    """A run's word that it is running a step version: others that need it wait, and reuse what it stores.

    Attributes:
        step_key: What the version is called in the run.
        host: The machine as it has been up since, and its space of process ids.
        pid: Of the process that has the run.
        pid_started: When that process began, in words that are the same for it only; empty where that is unknown.
        lease_until: When the claim has run out if it is not renewed, in seconds since 1970.
    """

    version: str
    run_id: str
    step_key: str
    host: str
    pid: int
    pid_started: str
    lease_until: float


class Made(Struct, frozen=True):
    """Word that a run has stored a version that another was about to run.

    Attributes:
        mark: As of `History.mark`, just after it.
    """

    run_id: str
    mark: int


class UndeclaredRead(Struct, frozen=True):
    """Something that a step was seen to read and that its version does not cover.

    Attributes:
        op_version: Of the op that read it: its code and config.
        kind: `file`, `environment`, `network`, `process`.
        what: The path, variable, host or command.
        where: The user's line, as ``file:line``; empty where that is unknown.
    """

    run_id: str
    step_key: str
    op_version: str
    kind: str
    what: str
    where: str = ""


class ForeignHistory(Struct, frozen=True):
    """What a home takes in of a run of another home.

    Attributes:
        run: With the versions of its steps and the host that it ran on.
        materializations: What it stored, all of it in the shared place.
        aliases: (step key, version, stored version, recipe): equal by content.
        sources: Source texts by digest.
        replaced: Versions whose content took the place of another: what was made of that one is known to be outdated.
        replacing: Versions that it was about to replace, of which nobody knows any more which content is there.
        settled: Versions of which that is known again.
    """

    run: RunRecord
    materializations: tuple[Materialization, ...] = ()
    aliases: tuple[tuple[str, str, str, Recipe | None], ...] = ()
    sources: dict[str, str] = field(default_factory=dict)
    replaced: tuple[str, ...] = ()
    replacing: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


class History(Protocol):
    """What planning and execution ask about the past. Every question is asked for many at once."""

    def aliases(self, versions: Sequence[str]) -> Mapping[str, str]:
        """Step versions known to equal another by content: version -> the version it is stored under."""
        ...

    def withdrawn_aliases(self, versions: Sequence[str]) -> set[str]:
        """Those of these step versions that were known to equal another, whose content has been replaced since."""
        ...

    def content_digests(self, versions: Sequence[str]) -> Mapping[str, Mapping[str, str | None]]:
        """For step versions that were materialized: version -> {output name: content digest}."""
        ...

    def find_contents(self, content_keys: Sequence[str]) -> Mapping[str, str]:
        """Content key -> the step version it is stored under (the latest)."""
        ...

    def content_keys(self, versions: Sequence[str]) -> Mapping[str, str]:
        """For step versions that were materialized: version -> the content key of what is stored under it now."""
        ...

    def replaced(self) -> set[str]:
        """The versions whose stored content was once replaced by another, as by force."""
        ...

    def unfinished(self) -> set[str]:
        """The versions that a run began to replace, and did not record that it had."""
        ...

    def known_local_keys(self, local_keys: Sequence[str]) -> set[str]:
        """Which of these have ever been materialized."""
        ...

    def last_recipes(self, job_name: str, step_keys: Sequence[str]) -> Mapping[str, Recipe]:
        """The recipe with which each step was last materialized or reused-by-content in this job."""
        ...

    def seconds(self, job_name: str, step_keys: Sequence[str]) -> Mapping[str, float]:
        """How long each step's body took, the median of its latest runs."""
        ...

    def file_digests(self, paths: Sequence[str]) -> Mapping[str, FileDigest]:
        """What is known of the content of files, by absolute path."""
        ...

    def known_stamps(self, sources: Sequence[str]) -> Mapping[str, KnownStamp]:
        """What external sources were when they were last reached, by what tells a source from all others."""
        ...

    def shared(self, versions: Sequence[str]) -> set[str]:
        """Those of these of which the shared place has what is known of them here, as far as this home has seen."""
        ...

    def mark(self) -> int:
        """How far the history has come: a number that grows with everything that is stored."""
        ...

    def accepted(self) -> Mapping[str, str]:
        """The acceptances that hold: version -> the stored version that stands for it."""
        ...

    def adopted(self) -> Mapping[str, Adoption]:
        """The step versions whose outputs were adopted and have not been made or verified since, by version."""
        ...


class RunStore(History, Protocol):
    """The catalog: history, and the writes of one run at a time."""

    def add_run(self, run: RunRecord) -> None:
        """Add a run, or replace what is kept of it."""
        ...

    def add_events(self, events: Iterable[Event]) -> None:
        """Append events, in one transaction."""
        ...

    def add_materializations(
        self,
        materializations: Iterable[Materialization],
        sources: Mapping[str, str],
        *,
        claimed: Collection[str] = (),
    ) -> None:
        """Add materializations with their recipes, and source texts by digest, in one transaction.

        Args:
            materializations: What was stored.
            sources: Source texts by digest.
            claimed: The versions among them that their run had claimed: the claims end in the same transaction. Where
                another run took one over meanwhile and has stored another content, nobody knows which stands there,
                and the version counts as unfinished.
        """
        ...

    def claim(self, wanted: Claim, *, since: int | None, gone: Claim | None = None) -> Claim | Made:
        """Claim a version that is about to be run, in one transaction.

        Args:
            wanted: The claim to make. A run may claim again what it has claimed.
            since: A mark: where another run has stored the version after it, that is the answer. None to run anyway.
            gone: The claim of another that is known to be worth nothing any more; it is taken over if it still is
                exactly as it was then.

        Returns:
            The claim that holds now, which is `wanted` or another's; or which run has made the version meanwhile.
        """
        ...

    def claim_free(self, wanted: Sequence[Claim], *, since: int | None) -> Collection[str]:
        """Claim many versions that are about to be run, in one transaction, those that nothing speaks against.

        Args:
            wanted: The claims to make.
            since: As of `claim`.

        Returns:
            The versions that are claimed now. The others have been claimed, or made, by another: `claim` tells by whom.
        """
        ...

    def claims(self, versions: Sequence[str]) -> Mapping[str, Claim]:
        """The claims that there are on these versions, whatever they are worth."""
        ...

    def all_claims(self) -> Sequence[Claim]:
        """The claims that there are, whatever they are worth."""
        ...

    def forget_claims(self, gone: Sequence[Claim]) -> None:
        """End claims that are known to be worth nothing any more, each if it still is exactly as it was then."""
        ...

    def renew_claims(self, run_id: str, now: float, lease_until: float) -> None:
        """Renew all claims of a run, in one transaction."""
        ...

    def release_claims(self, run_id: str, versions: Iterable[str]) -> None:
        """End claims of a run on versions that it has not stored."""
        ...

    def add_shared(self, versions: Iterable[str]) -> None:
        """Record that the shared place has what is known here of these versions."""
        ...

    def seen_segments(self, names: Sequence[str]) -> set[str]:
        """Which of these segments of history this home has taken in, or has put there itself."""
        ...

    def add_segments(self, names: Sequence[str], foreign: ForeignHistory | None = None) -> None:
        """Record that segments have been seen, and take in what one of them holds, in one transaction.

        What it says of a version counts from now on in the place of what was known.
        """
        ...

    def latest(self, versions: Sequence[str]) -> Mapping[str, Materialization]:
        """What was last stored under each of these versions, with its recipe."""
        ...

    def begin_replacing(self, run_id: str, versions: Sequence[str]) -> None:
        """Record, before it is done, that what is stored under these versions is going to be replaced.

        Their materializations end it: until then nobody can know which of the outputs are the old ones.
        """
        ...

    def add_aliases(self, aliases: Iterable[tuple[str, str, str, str, Recipe | None]]) -> None:
        """Record (run id, step key, version, stored version, recipe): equal by content, in one transaction."""
        ...

    def add_recipes(self, recipes: Iterable[Recipe], sources: Mapping[str, str]) -> None:
        """Keep what versions are made of that were never stored, and source texts by digest, in one transaction."""
        ...

    def keep_file_digests(self, digests: Mapping[str, FileDigest]) -> None:
        """Keep what files hold, by absolute path, in one transaction."""
        ...

    def keep_stamps(self, stamps: Mapping[str, KnownStamp]) -> None:
        """Keep what external sources were found to be, by what tells a source from all others, in one transaction."""
        ...

    def add_acceptance(self, acceptance: Acceptance) -> int:
        """Add an acceptance, whatever id it has, and give its id. It takes the place of an older one of its version."""
        ...

    def acceptances(self, job_name: str | None = None) -> Sequence[Acceptance]:
        """All acceptances, revoked ones too, the latest first."""
        ...

    def revoke(self, acceptance_id: int, at: float) -> Acceptance | None:
        """Revoke an acceptance; None where there is none of this id that holds.

        What has been stored under the stored version since it was accepted is no longer trusted to be that version's:
        it counts as unfinished.
        """
        ...

    def add_adoption(self, adoption: Adoption) -> None:
        """Record that outputs were adopted; a materialization of the version by a run takes it away."""
        ...

    def verified(self, version: str) -> None:
        """Record that what was adopted under a version is what the step gives."""
        ...

    def undeclared_reads(self, job_name: str) -> Sequence[UndeclaredRead]:
        """What steps of a job were seen to read in all runs, in the order it was recorded."""
        ...

    def get_run(self, run_id: str) -> RunRecord | None:
        """The run of this id, or of the only id that begins so."""
        ...

    def list_runs(self, *, job_name: str | None = None, limit: int = 50) -> Sequence[RunRecord]:
        """The latest runs first."""
        ...

    def events(self, run_id: str, *, step_key: str | None = None) -> Sequence[Event]:
        """The events of a run in the order they were recorded."""
        ...

    def materializations(self, run_id: str) -> Sequence[Materialization]:
        """What a run stored, in order."""
        ...

    def run_uses(self) -> Sequence[RunUse]:
        """All runs, the latest first."""
        ...

    def version_sets(self, names: Collection[str]) -> Mapping[str, Collection[str]]:
        """The step versions that runs stood on, by `RunUse.version_set`."""
        ...

    def stored_elsewhere(self, folder: str) -> Mapping[str, int]:
        """How many versions of outputs this home ever stored outside of a folder, by the key of the IO manager."""
        ...

    def stored_by_others(self) -> Collection[str]:
        """The versions of outputs that other homes stored, all in the shared place, as far as this home has seen."""
        ...

    def forget_events(self, run_ids: Collection[str]) -> None:
        """Remove what happened in runs, in one transaction; what steps were seen to read undeclared stays known."""
        ...

    def standing(self, run: RunRecord, step_key: str) -> Standing | None:
        """How a step stood in a run, read with `get_run`; None where the run knew no version of such a step."""
        ...

    def last_run_of(self, job_name: str, step_key: str) -> str | None:
        """The latest run that left a recipe of the step: the one whose recipe `last_recipes` gives."""
        ...

    def savings(self) -> Sequence[Saving]:
        """What reuse saved, by month and job, in this order."""
        ...

    def source(self, digest: str) -> str | None:
        """A source text by its digest."""
        ...
