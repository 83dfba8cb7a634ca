"""History that travels between homes: what a run stored and shared, written beside the outputs, and taken in elsewhere.

The history of a run is put into the shared place as segments, objects that are never changed: with the materializations
of what the run put there, what they were made of, and the source texts. Before a home plans, it takes in the segments
that it has not seen: so cutoff by content, `memo why` and forecasts work there as if it had run the steps itself.

What one home knows of a version must be of the content that it will load. So of two contents of one version the one
counts that was put last, there and here: where a segment tells of another content than this home has, the shared place
is asked which it holds, and if it is the segment's, the home lets go of its own. The version then counts as replaced,
as after force, and what was made of the other content is compared by its content key. What a run is about to replace is
told before it is done: should the run be killed between the two, everybody makes it anew.
"""

from __future__ import annotations

import os
from threading import Event, Lock, Thread
from time import time_ns
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, Struct, ValidationError
from msgspec.structs import replace

from memo.contracts.io_manager import OutputContext, run_log
from memo.contracts.run_store import ForeignHistory, Materialization, OutputRecord, Recipe, RunRecord
from memo.contracts.sharing import Content
from memo.errors import HomeError, RunNotFoundError
from memo.hashing import digest
from memo.planning import Verdict
from memo.versioning import output_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from memo.contracts.run_store import RunStore
    from memo.contracts.sharing import SharedObjects, SharingIOManager
    from memo.definition.job import JobDefinition
    from memo.execution.storage import StepStorage
    from memo.planning import Plan

__all__ = ["SharedHistory", "share_stored", "take_in"]

SEGMENTS_TAKEN_IN = 50
"""How many segments a home takes in before a plan: the newest. What older ones tell of, it does without."""

SECONDS_BETWEEN_SEGMENTS = 10.0
"""How often a run that goes on tells of itself."""

_HISTORY = "history"
_REPLACED = "=replaced"
_FORMAT = 1
_LARGEST = 1 << 30
"""Bytes that a segment may have when it is unpacked."""


class _Alias(Struct, frozen=True, array_like=True):
    """A version found equal to another by content.

    Attributes:
        contents: What was stored under the other: where that is another now, they are no longer equal.
    """

    step_key: str
    version: str
    stored_version: str
    recipe: Recipe | None
    contents: dict[str, str | None]


class Segment(Struct, frozen=True):
    """A part of the history of one run, as it is put into the shared place.

    Attributes:
        replacing: Versions that the run is about to replace.
        settled: Those of them that it did not replace after all.
    """

    format: int
    host: str
    run: RunRecord
    materializations: tuple[Materialization, ...] = ()
    aliases: tuple[_Alias, ...] = ()
    sources: dict[str, bytes] = {}
    replacing: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()


def _folder(job_name: str) -> str:
    plain = job_name.isascii() and job_name.isidentifier() and len(job_name) <= 64
    return job_name if plain else digest("job", job_name)


def _folder_of(name: str) -> str:
    return name.removeprefix(f"{_HISTORY}/").partition("/")[0]


def _moment(name: str) -> str:
    """What segments are ordered by: the time at which they were made, as their makers had it."""
    return name.rpartition("/")[2]


def _packed(segment: Segment) -> bytes:
    from zlib import compress

    from msgspec.msgpack import encode

    try:
        return compress(encode(segment), 3)
    except UnicodeEncodeError:  # the undecodable bytes of a file's name in a recipe
        plain = tuple([replace(each, recipe=None) for each in segment.materializations])
        return compress(encode(replace(segment, materializations=plain, aliases=())), 3)


def _unpacked(data: bytes) -> Segment:
    """Read a segment.

    Raises:
        ValueError: It is none, or is of a newer memo; as the end of a sentence.
    """
    import zlib

    from msgspec.msgpack import decode

    try:
        unpacking = zlib.decompressobj()
        found = decode(unpacking.decompress(data, _LARGEST), type=Segment)
    except (zlib.error, DecodeError, ValidationError, UnicodeDecodeError) as error:
        raise ValueError(f"is no segment of history ({error})") from None
    if found.format != _FORMAT:
        raise ValueError(f"has format {found.format}, and this memo reads format {_FORMAT}")
    return found


# Taking in


def take_in(storage: StepStorage, store: RunStore, job_name: str, *, before: Callable[[], object]) -> None:
    """Take in what other homes have told of a job since the last time.

    Args:
        storage: The IO managers of the run that is planned.
        store: The catalog.
        job_name: Of the job.
        before: Done before anything is written.
    """
    manager = storage.sharing
    if manager is None:
        return
    objects = manager.objects
    names = [name for name in objects.names(_HISTORY) if _folder_of(name) in {_folder(job_name), _REPLACED}]
    seen = store.seen_segments(names) if names else set()
    new = sorted([name for name in names if name not in seen], key=_moment)
    if not new:
        return
    before()
    # They count in their order: what is older than what has been taken in is never taken in later.
    own = [name for name in new if _folder_of(name) != _REPLACED]
    since = _moment(own[-SEGMENTS_TAKEN_IN]) if len(own) > SEGMENTS_TAKEN_IN else ""
    wanted = [name for name in new if _folder_of(name) == _REPLACED or _moment(name) >= since]
    store.add_segments(sorted({*new} - {*wanted}))
    found = objects.fetch(wanted)
    distrusted = objects.distrusted(wanted)
    for name in wanted:
        if not objects.is_up:
            return
        if name in distrusted:
            continue  # The key of this home may be the wrong one: with the right one they count.
        segment = _segment(name, found.get(name))
        if segment is None or _is_of_this_home(store, segment.run.run_id):
            store.add_segments([name])
            continue
        is_whole = segment.run.job_name == job_name and _moment(name) >= since
        foreign = _sifted(segment, store, manager) if is_whole else _of_replacing(segment)
        if foreign is not None:
            store.add_segments([name], foreign)


def _of_replacing(segment: Segment) -> ForeignHistory:
    """What a segment tells of what was replaced, and nothing of what took its place: that may have been so since."""
    made = [each.version for each in segment.materializations if each.version is not None]
    return ForeignHistory(
        replace(segment.run, host=segment.host),
        replaced=_replaced(segment),
        replacing=segment.replacing,
        settled=(*segment.settled, *made),
    )


def _replaced(segment: Segment) -> tuple[str, ...]:
    return tuple(
        each.version
        for each in segment.materializations
        if each.version is not None and any(record.replaced for record in each.outputs)
    )


def _segment(name: str, data: bytes | None) -> Segment | None:
    if data is None:
        return None
    try:
        return _unpacked(data)
    except ValueError as error:
        run_log().warning("the shared history %s %s; it is passed over", name, error)
        return None


def _is_of_this_home(store: RunStore, run_id: str) -> bool:
    try:
        known = store.get_run(run_id)
    except RunNotFoundError:
        return False
    return known is not None and known.run_id == run_id and known.host is None


def _sifted(segment: Segment, store: RunStore, manager: SharingIOManager) -> ForeignHistory | None:
    """What of a segment is new here; None where the shared place could not be asked about it."""
    versions = [each.version for each in segment.materializations if each.version is not None]
    stored_as = [each.stored_version for each in segment.aliases]
    known = {version: dict(contents) for version, contents in store.content_digests([*versions, *stored_as]).items()}
    keys = store.content_keys(versions)
    kept: list[Materialization] = []
    told: list[str] = []
    for made in segment.materializations:
        if made.version is None:
            continue
        contents = {record.name: record.content_digest for record in made.outputs}
        contexts = [_context(made, record) for record in made.outputs]
        here = manager.here(contexts)
        is_other = any(
            content is not None and not content.equals(_content_of(record))
            for content, record in zip(here, made.outputs, strict=True)
        )
        if is_other or known.get(made.version, contents) != contents:
            there = manager.there(contexts)
            if not manager.objects.is_up:
                return None
            if not all(
                content is not None and content.equals(_content_of(record))
                for content, record in zip(there, made.outputs, strict=True)
            ):
                told.append(made.version)
                continue
            store.begin_replacing(made.run_id, [made.version])
            manager.forget_here(contexts)
        elif made.version in known and keys.get(made.version) == made.content_key:
            store.add_shared([made.version])
            told.append(made.version)
            continue
        known[made.version] = contents
        kept.append(made)
    aliases = [
        (each.step_key, each.version, each.stored_version, each.recipe)
        for each in segment.aliases
        if None not in each.contents.values() and known.get(each.stored_version) == each.contents
    ]
    return ForeignHistory(
        replace(segment.run, host=segment.host),
        tuple(kept),
        tuple(aliases),
        {digest: text.decode("utf-8", "surrogatepass") for digest, text in segment.sources.items()},
        _replaced(segment),
        segment.replacing,
        (*segment.settled, *told),
    )


def _context(made: Materialization, record: OutputRecord) -> OutputContext:
    name = f"{record.name}.marker" if record.kind == "skipped" else record.name
    return OutputContext(made.step_key, name, record.version)


def _content_of(record: OutputRecord) -> Content:
    return Content(record.digest or "", record.content_digest)


# Telling


class SharedHistory:
    """The history of one run on its way into the shared place.

    Args:
        objects: The place.
        store: The catalog.
        run: As it starts, with its versions.
        seconds: Between two segments.
    """

    def __init__(
        self,
        objects: SharedObjects,
        store: RunStore,
        run: RunRecord,
        *,
        seconds: float = SECONDS_BETWEEN_SEGMENTS,
    ) -> None:
        self._objects = objects
        self._store = store
        self._run = _outlined(run)
        self._seconds = seconds
        self._gathering = Lock()
        self._made: list[Materialization] = []
        self._sources: dict[str, str] = {}
        self._aliases: list[tuple[str, str, str, Recipe | None]] = []
        self._replacing: set[str] = set()
        self._count = 0
        self._ended = Event()
        self._thread = Thread(target=self._keep, name="memo history", daemon=True)

    def begin(self, replacing: Sequence[str]) -> None:
        """Begin: tell of what the run is about to replace, before it does."""
        self.replacing(replacing)
        self._thread.start()

    def replacing(self, versions: Sequence[str]) -> None:
        """Tell of what is about to be replaced, unless that has been told."""
        with self._gathering:
            new = tuple([version for version in versions if version not in self._replacing])
            self._replacing |= {*new}
        if new:
            self._push(Segment(_FORMAT, _host(), self._run, replacing=new))

    def tell_of(self, run: RunRecord, made: Sequence[Materialization], sources: Mapping[str, str]) -> None:
        """Tell at once of what another run stored, and this one has put into the shared place."""
        self._push(_segment_of(_outlined(run), made, sources, ()))

    def add(
        self,
        made: Iterable[Materialization] = (),
        sources: Mapping[str, str] | None = None,
        aliases: Iterable[Sequence[Any]] = (),
    ) -> None:
        """Take what has been recorded; of what was stored, only what is in the shared place travels."""
        with self._gathering:
            self._made += filter(_is_shared, made)
            self._sources.update(sources or {})
            self._aliases += [(key, version, stored, recipe) for key, version, stored, recipe in aliases]

    def end(self, run: RunRecord) -> None:
        """Tell the rest, once the run has ended and is recorded."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._run = replace(self._run, status=run.status, ended_at=run.ended_at)
        self._tell(is_last=True)

    def _keep(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._tell()
            except HomeError:  # The run itself finds out when it writes, and ends with it.
                return

    def _tell(self, *, is_last: bool = False) -> None:
        with self._gathering:
            made, self._made = self._made, []
            sources, self._sources = self._sources, {}
            aliases, self._aliases = self._aliases, []
            self._replacing -= {each.version for each in made if each.version is not None}
            settled = tuple(self._replacing) if is_last else ()
        if not (made or aliases or settled):
            return
        contents = self._store.content_digests([stored for _, _, stored, _ in aliases])
        found = [_Alias(*each, dict(contents.get(each[2], {}))) for each in aliases]
        told = self._push(replace(_segment_of(self._run, made, sources, found), settled=settled))
        if told:
            self._store.add_shared([each.version for each in made if each.version is not None])

    def _push(self, segment: Segment) -> bool:
        if not self._objects.takes:
            return False
        run_id = segment.run.run_id
        plain = run_id.isascii() and run_id.replace("-", "").replace("_", "").isalnum() and len(run_id) <= 64
        shown = run_id if plain else digest("run", run_id)
        # What was replaced concerns all jobs that have a step of that version.
        folder = (
            _REPLACED if segment.replacing or segment.settled or _replaced(segment) else _folder(segment.run.job_name)
        )
        name = f"{_HISTORY}/{folder}/{time_ns():016x}-{shown}-{self._count}"
        self._count += 1
        told = bool(self._objects.put(name, _packed(segment)))
        if told:
            self._store.add_segments([name])
        return told


def _outlined(run: RunRecord) -> RunRecord:
    """A run less what is nobody else's concern."""
    return replace(run, run_config=None, tags={}, target=None, steps={}, counts={}, pid=None)


def _segment_of(
    run: RunRecord, made: Sequence[Materialization], sources: Mapping[str, str], aliases: Sequence[_Alias]
) -> Segment:
    recipes = [each.recipe for each in made if each.recipe is not None]
    named = {part.source_digest for recipe in recipes for part in recipe.parts}
    return Segment(
        _FORMAT,
        run.host or _host(),
        run,
        tuple([replace(each, outputs=_travelling(each)) for each in made]),
        tuple(aliases),
        {digest: text.encode("utf-8", "surrogatepass") for digest, text in sources.items() if digest in named},
    )


def _host() -> str:
    return os.uname().nodename if os.name == "posix" else os.environ.get("COMPUTERNAME", "")


def _is_shared(made: Materialization) -> bool:
    return made.version is not None and all(record.shared for record in made.outputs)


def _travelling(made: Materialization) -> tuple[OutputRecord, ...]:
    return tuple([replace(record, place=None) for record in made.outputs])


# What is stored here and not there


class Shared(Struct, frozen=True):
    """What a run that is about to begin knows of the shared place.

    Attributes:
        steps: Those whose stored outputs are there.
        put: The versions that were put there just now.
        differing: Those of which other contents are there than here.
    """

    steps: frozenset[str]
    put: tuple[str, ...] = ()
    differing: tuple[str, ...] = ()


def share_stored(plan: Plan, job: JobDefinition, storage: StepStorage, store: RunStore) -> Shared:
    """Put what a plan reuses and the shared place does not have there, in the order in which it was made.

    So what an earlier run could not put there, or was killed before it did, or had made before anything was shared,
    gets there in the end. What was adopted and nobody verified stays at home, and what was made of it.
    """
    reused = {key: step.stored_as for key, step in plan.steps.items() if step.verdict is Verdict.REUSE}
    outside = {key: _step_version(plan, key) for key in plan.outside}
    versions = [version for version in (*reused.values(), *outside.values()) if version is not None]
    known = store.shared(versions)
    adopted = store.adopted() if known != set(versions) else {}
    shared = {key for key, version in {**reused, **outside}.items() if version in known}
    put: list[str] = []
    differing: list[str] = []
    for key, version in reused.items():
        step = job.steps[key]
        if version is None or version in known or version in adopted or not storage.shares(step):
            continue
        if any(parent not in shared and storage.shares(job.steps[parent]) for parent in step.parents()):
            continue
        answer = storage.share(step, version)
        if answer:
            shared.add(key)
            put.append(version)
        elif answer is False:
            differing.append(version)
    if put:
        store.add_shared(put)
    return Shared(frozenset(shared), tuple(put), tuple(differing))


def _step_version(plan: Plan, key: str) -> str | None:
    """The version that a step is stored under which was not selected; None where it is stored otherwise."""
    if plan.versions is None or key not in plan.versions.steps:
        return None
    version = plan.versions.steps[key].version
    is_own = all(address.version == output_version(version, name) for name, address in plan.outside[key].items())
    return version if is_own else None


def told_of(versions: Sequence[str], store: RunStore) -> list[tuple[RunRecord, list[Materialization], dict[str, str]]]:
    """What the catalog knows of versions that were put into the shared place after they were recorded, by run."""
    by_run: dict[str, list[Materialization]] = {}
    for each in store.latest(versions).values():
        shared = replace(each, outputs=tuple([replace(record, shared=True) for record in each.outputs]))
        by_run.setdefault(each.run_id, []).append(shared)
    found: list[tuple[RunRecord, list[Materialization], dict[str, str]]] = []
    for run_id, made in by_run.items():
        run = store.get_run(run_id)
        if run is None or run.run_id != run_id:
            continue
        named = {part.source_digest for each in made if each.recipe is not None for part in each.recipe.parts}
        texts = {digest: store.source(digest) for digest in named if digest is not None}
        found.append((run, made, {digest: text for digest, text in texts.items() if text is not None}))
    return found
