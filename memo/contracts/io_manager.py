"""What an IO manager is shown and must do: store a step's outputs, load them, say which are there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.errors import InvocationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from logging import Logger

__all__ = [
    "IOManager",
    "IOManagerSpec",
    "InputContext",
    "MemoizableIOManager",
    "OutputContext",
    "Provenance",
    "Storage",
    "StoredValue",
    "check_segment",
]


class Provenance(Struct, frozen=True, omit_defaults=True):
    """Where a stored output comes from; an IO manager that keeps manifests keeps it there.

    Attributes:
        content_key: The step's version with each upstream version replaced by the digest of its content.
        content_digest: The digest of the value, None where it has none.
        seconds: How long the step's body took.
        created_at: Seconds since 1970.
        step_version: The version of the step, of which the output's is made.
        local_key: That version less what comes from upstream.
        marks: Of a marker, what it says of its output: `nothing`, `skipped` or `value`; None of a value.
        adopted_from: Where a value came from that the step did not make.
    """

    job_name: str = ""
    content_key: str | None = None
    content_digest: str | None = None
    seconds: float | None = None
    created_at: float | None = None
    step_version: str | None = None
    local_key: str | None = None
    marks: str | None = None
    adopted_from: str | None = None


class StoredValue(Struct, frozen=True):
    """What an IO manager may report of a value it stored, through `OutputContext.report_stored`.

    Attributes:
        place: Where it is, as people find it.
        size: In bytes.
        digest: Of those bytes.
        content_digest: The digest of the value's content, which then counts instead of what the value itself would
            tell: of a path, what it leads to.
        shared: Whether the shared place now has this very content under the output's version.
        replaced: Whether it had another before.
    """

    place: str | None = None
    size: int | None = None
    digest: str | None = None
    content_digest: str | None = None
    shared: bool = False
    replaced: bool = False


def run_log() -> Logger:
    """The logger whose messages are shown and kept with the run."""
    from logging import getLogger

    return getLogger("memo.run")


class OutputContext(Struct, eq=False):
    """One output of one step, as an IO manager sees it when storing it, loading it or looking for it.

    Attributes:
        step_key: The step, dotted within graphs (``report.charts``).
        name: The output's name; ``result`` where there is only one.
        version: The output's version, None where the run is not memoized.
        run_id: The run that stores or stored it; None while planning.
        mapping_key: Set for one of several dynamic outputs.
        config: The output's own config from the run config (``ops.<op>.outputs.<output>``).
        metadata: What ``Out(metadata=)`` says.
        dagster_type: The type the output was declared with, None where it has none.
        op_def: The op's definition.
        resources: What ``@io_manager(required_resource_keys=)`` asked for, by attribute.
        resource_config: The IO manager's own config.
        provenance: Where the value comes from.
        shares: Whether what is stored may be put into the shared place: what it was made of is there too.
        replaces: Whether it is made anew whatever is stored, and takes the place of what is shared under its version.
        digest: Of the bytes of one that is loaded, as `StoredValue.digest` told it to the run that loads it; None where
            that run has not stored it.
        on_event: Told of the events of `log_event`.
        stored: What the IO manager has reported of the stored value.
        logged_metadata: What it has added to that.
    """

    # A Struct for its constructor: planning makes one of every output of every step.

    step_key: str
    name: str
    version: str | None = None
    run_id: str | None = None
    mapping_key: str | None = None
    config: Any = None
    metadata: Mapping[str, Any] = {}
    dagster_type: Any = None
    op_def: Any = None
    resources: Any = None
    resource_config: Any = None
    job_name: str = ""
    provenance: Provenance = Provenance()
    shares: bool = False
    replaces: bool = False
    digest: str | None = None
    on_event: Callable[[str, dict[str, Any]], None] | None = None
    stored: StoredValue | None = None
    logged_metadata: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"OutputContext({self.step_key!r}, {self.name!r}, version={self.version!r})"

    @property
    def log(self) -> Logger:
        """A logger whose messages are kept with the run."""
        return run_log()

    def get_identifier(self) -> list[str]:
        """Name the output uniquely, as path segments.

        With a version: ``["versioned_outputs", version, name]``, plus the mapping key. Neither the job nor
        the step is in it, so that renaming them, or sharing a storage between jobs, is a hit. Without a
        version: ``[run_id, step_key, name]``. Segments come from users: check them before using them as paths.
        """
        if self.version is None:
            return self.get_run_scoped_output_identifier()
        found = ["versioned_outputs", self.version, self.name]
        return [*found, self.mapping_key] if self.mapping_key else found

    def get_run_scoped_output_identifier(self) -> list[str]:
        """Name the output uniquely within the run that made it, version or not.

        Raises:
            InvocationError: There is no run, as while planning.
        """
        if self.run_id is None:
            raise InvocationError(
                "there is no run yet: an output is known by its version while planning",
                where=f"output {self.name!r} of step {self.step_key!r}",
            )
        found = [self.run_id, self.step_key, self.name]
        return [*found, self.mapping_key] if self.mapping_key else found

    def add_output_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add facts about the stored output, shown by ``memo show``."""
        self.logged_metadata.update(metadata)

    def report_stored(self, stored: StoredValue) -> None:
        """Tell the engine where the value went, how many bytes it took and their digest."""
        self.stored = stored

    def log_event(self, message: str, **data: Any) -> None:
        """Record an event of this output in the run's log."""
        if self.on_event is not None:
            self.on_event(message, data)


class InputContext(Struct, eq=False):
    """One input of one step, as an IO manager sees it when loading a value for it.

    Attributes:
        name: The input's name.
        upstream_output: The output to load; None for an input manager that loads from elsewhere.
        step_key: The step that will read the value; None where a result is read from outside.
        config: The input's own config from the run config (``ops.<op>.inputs.<input>``).
        metadata: What ``In(metadata=)`` says.
        dagster_type: The type the input was declared with.
        resource_config: The IO manager's own config.
    """

    name: str
    upstream_output: OutputContext | None = None
    step_key: str | None = None
    config: Any = None
    metadata: Mapping[str, Any] = {}
    dagster_type: Any = None
    op_def: Any = None
    resources: Any = None
    resource_config: Any = None
    job_name: str = ""
    logged_metadata: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"InputContext({self.name!r}, upstream_output={self.upstream_output!r})"

    @property
    def log(self) -> Logger:
        """A logger whose messages are kept with the run."""
        return run_log()

    def get_identifier(self) -> list[str]:
        """Name the upstream output uniquely; see `OutputContext.get_identifier`.

        Raises:
            InvocationError: The input has no upstream output.
        """
        if self.upstream_output is None:
            raise InvocationError(f"the input {self.name!r} does not come from another step's output")
        return self.upstream_output.get_identifier()

    def add_input_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Add facts about the loaded input, shown by ``memo show``."""
        self.logged_metadata.update(metadata)


class IOManager(ABC):
    """Stores the outputs of steps and loads them for the steps that read them."""

    @abstractmethod
    def handle_output(self, context: OutputContext, obj: Any) -> Iterable[Mapping[str, Any]] | None:
        """Store a value. It counts as stored once this returns.

        May be a generator that yields metadata.
        """

    @abstractmethod
    def load_input(self, context: InputContext) -> Any:
        """Load the value of ``context.upstream_output``.

        Raises:
            OutputLostError: The stored output is not whole or is gone; the engine then runs its step again.
        """

    def content_digest_of(self, context: OutputContext, obj: Any) -> str | None:  # noqa: ARG002 - most need neither
        """The digest of what a value stands for, where that is not the value itself: of a path, what it leads to.

        It is the one that `handle_output` reports (`StoredValue.content_digest`). None where the value tells it.
        """
        return None

    def sweep(self) -> None:  # noqa: B027 - most leave nothing half-stored
        """Remove what runs that were killed left half-stored; called as a run starts, before it stores anything.

        It must be cheap where there is nothing to remove, and must not touch what living processes are storing.
        """

    def shares_between_processes(self) -> bool:
        """Whether a value stored by one process can be loaded by another; False for memory."""
        return True


class MemoizableIOManager(IOManager):
    """An IO manager that can say whether an output is stored under a version.

    ``has_output`` must be True only for outputs that are there whole: store aside, then make visible in one
    atomic move. An IO manager that takes values from elsewhere (`load_input` on an input without an upstream)
    need not be memoizable.
    """

    @abstractmethod
    def has_output(self, context: OutputContext) -> bool:
        """Say whether this output is stored, whole, under ``context.version``."""

    def has_outputs(self, contexts: Sequence[OutputContext]) -> Sequence[bool]:
        """Answer `has_output` for many at once; override where asking in bulk is cheaper.

        An answer that raises is not a hit.
        """
        return [self._answer(context) for context in contexts]

    def _answer(self, context: OutputContext) -> bool:
        try:
            return bool(self.has_output(context))
        except Exception:
            context.log.warning("has_output raised for %r: counted as a miss", context, exc_info=True)
            return False

    def content_digests(self, contexts: Sequence[OutputContext]) -> Sequence[str | None]:
        """The `Provenance.content_digest` of stored outputs, where this manager keeps it.

        Asked only when the catalog does not know, as after its loss.
        """
        return [None] * len(contexts)


def check_segment(segment: str) -> str:
    """Refuse a name that would leave the storage when used as one segment of a path.

    Raises:
        StorageError: The segment is empty, ``.`` or ``..``, or holds a slash or a control character.
    """
    if segment in {"", ".", ".."} or any(c in "/\\" or ord(c) < 32 or ord(c) == 127 for c in segment):
        raise StorageError(f"{segment!r} cannot be part of a stored output's name")
    return segment


class Storage(Struct, frozen=True):
    """Where a run's outputs are kept that name no other place, and with whom they are shared.

    Attributes:
        folder: The home's own storage folder; None where there is no home.
        remote: A folder or URL under which outputs are shared: what is not in the home's folder is looked for there,
            and what is made is put there too.
        read_only: Whether nothing is put there.
        signing_key_file: The file of the key with which manifests are signed, where one is named.
    """

    folder: str | None = None
    remote: str | None = None
    read_only: bool = False
    signing_key_file: str | None = None


class IOManagerSpec(Struct, frozen=True):
    """An IO manager as a family offers it through an entry point of the group ``memo.iomanagers``.

    Attributes:
        create: Given the init context (``resource_config``, ``resources``, ``storage``), makes the IO manager.
        config_schema: A msgspec Struct, whose defaults make fields optional; None takes no config.
        required_resource_keys: The resources that `create` reads from ``resources``.
        in_home: Given a config, the one by which all is kept in the home's storage, or in memory; the same where it is
            so already. None where it never is.
    """

    name: str
    create: Callable[[Any], IOManager]
    config_schema: type[Struct] | None = None
    required_resource_keys: frozenset[str] = frozenset()
    description: str = ""
    in_home: Callable[[Any], Any] | None = None
