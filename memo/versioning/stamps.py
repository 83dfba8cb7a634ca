"""What external sources are now: a stamp for each, asked for once a plan."""

from __future__ import annotations

import os
from collections.abc import Coroutine
from time import time
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.contracts.run_store import KnownStamp
from memo.definition.ports import NO_VALUE
from memo.definition.source import (
    EnvironmentSource,
    FunctionSource,
    GlobSource,
    PathSource,
    Source,
    TimeSource,
    UrlSource,
)
from memo.errors import MissingExtraError, SourceError, UnreachableError
from memo.hashing import Hasher, UnencodableError, digest, value_digest
from memo.versioning.files import FileDigests, files_of_glob, files_of_path, looks_of, matches_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from memo.contracts.run_store import History, RunStore
    from memo.versioning.files import FoundFile

_MOST_FILES_SHOWN = 200
"""Of a source of more files than this, explanations do not name the single ones."""


UNREACHED = "unreached"
"""What a source looks like that was taken as it was last known."""


class Stamp(Struct, frozen=True):
    """What a source was found to be.

    Attributes:
        digest: Changes when, and only when, what the source holds does.
        shown: What to show of it.
        value: What an op is handed that it is wired to.
        looks: What it looks like from outside, by which a change shows while a step reads it: of files and variables;
            empty of others.
        members: Of several files: the path of each, the digest of its content, and what to show of it.
    """

    digest: str
    shown: str
    value: Any = None
    looks: str = ""
    members: tuple[tuple[str, str, str], ...] = ()


def looks_now(source: Source, folder: str = "") -> str:
    """What a source looks like from outside now: its files, the value of a variable; empty for the others.

    Args:
        source: The source.
        folder: Where relative paths begin; the current one where left out.
    """
    try:
        if isinstance(source, PathSource):
            return looks_of(files_of_path(source, folder))
        if isinstance(source, GlobSource):
            return looks_of(files_of_glob(source, folder))
        return value_digest(_variable(source)) if isinstance(source, EnvironmentSource) else ""
    except SourceError:  # whoever compares finds that they look otherwise than when they were there
        return "gone"


def value_of(source: Source, now: float | None = None) -> Any:
    """What an op is handed that a source is wired to, without a look at what the source holds.

    Raises:
        SourceError: It cannot be reached.
    """
    if isinstance(source, PathSource):
        return source.path
    if isinstance(source, GlobSource):
        return matches_of(source)
    if isinstance(source, UrlSource):
        return source.address
    if isinstance(source, EnvironmentSource):
        return _variable(source)
    if isinstance(source, TimeSource):
        return _period(source, time() if now is None else now)
    assert isinstance(source, FunctionSource)
    return _asked(source)


class Stamps:
    """The sources of one plan, each asked once.

    Args:
        history: Asked what is known of files, and of sources that cannot be reached; None where nothing is.
        now: Seconds since 1970, which is one moment for the whole plan.

    Attributes:
        warnings: Which sources were taken as they were last known, by name.
    """

    def __init__(self, history: History | None, now: float | None = None) -> None:
        self._history = history
        self._now = time() if now is None else now
        self._files = FileDigests(history)
        self._found: dict[Source, Stamp] = {}
        self._reached: dict[str, KnownStamp] = {}
        self._names: dict[str, Source] = {}
        self.warnings: dict[str, tuple[str, ...]] = {}

    def of(self, source: Source) -> Stamp:
        """The stamp of a source.

        Raises:
            SourceError: It cannot be reached, and the user did not say that what was last known of it may do.
        """
        found = self._found.get(source)
        if found is None:
            found = self._found[source] = self._reach(source)
        return found

    def keep(self, store: RunStore) -> None:
        """Write down what was read anew. Nothing, where every file looks as it did.

        Raises:
            SourceError: What a source gave is of a type that cannot be kept.
        """
        if self._files.read:
            store.keep_file_digests(self._files.read)
        for name, stamp in self._reached.items():
            try:
                store.keep_stamps({name: stamp})
            except ValueError as error:
                raise SourceError(
                    f"gave what cannot be kept as last known: {error}", where=self._names[name].where
                ) from None

    def _reach(self, source: Source) -> Stamp:
        if source.on_unreachable == "fail":
            return self._stamp(source)
        name = self._kept_as(source)
        # What is handed on of a path or URL is how it is written now, which may hold a password.
        is_asked = not isinstance(source, PathSource | UrlSource)
        known = self._history.known_stamps([name]).get(name) if self._history is not None else None
        try:
            found = self._stamp(source)
        except UnreachableError as error:
            if known is None:
                raise SourceError(
                    f"{error.what}; and what it was is not known from a run before", where=error.where
                ) from error
            warning = f"{error}; taken as it was in the last run that reached it ({known.shown})"
            self.warnings[source.name] = (*self.warnings.get(source.name, ()), warning)
            value = known.value if is_asked else value_of(source)
            return Stamp(known.digest, known.shown, value, UNREACHED)
        if known is None or known.digest != found.digest:
            self._reached[name] = KnownStamp(found.digest, found.shown, found.value if is_asked else None, self._now)
        return found

    def _kept_as(self, source: Source) -> str:
        """The name under which it is kept what a source was: no two sources may be taken for each other."""
        if isinstance(source, FunctionSource):
            name = f"{source.name} of {source.stamp_fn.__module__}"
        else:
            name = digest("url", source.address) if isinstance(source, UrlSource) else os.path.abspath(source.name)
        name = f"{type(source).__name__} {name}"
        if self._names.setdefault(name, source) is not source and isinstance(source, FunctionSource):
            raise SourceError(
                f"is called as another source is ({self._names[name].location}), and what is last known is kept by "
                f"name; give each its own: @source(name=…)",
                where=source.where,
            )
        return name

    def _stamp(self, source: Source) -> Stamp:
        if isinstance(source, PathSource):
            return self._files_stamp(lambda: files_of_path(source), source)
        if isinstance(source, GlobSource):
            return self._files_stamp(lambda: files_of_glob(source), source)
        if isinstance(source, UrlSource):
            return _url_stamp(source)
        value = value_of(source, self._now)
        try:
            found = value_digest(value)
        except UnencodableError as error:
            raise SourceError(
                f"gave a {type(value).__name__} as its stamp: {error}; give a string, a number or a time",
                where=source.where,
            ) from None
        if isinstance(source, EnvironmentSource):
            # The value may be a secret: it is handed to the op, and kept nowhere.
            return Stamp(found, f"a value of digest {found[:8]}", value, found)
        return Stamp(found, value.isoformat() if isinstance(source, TimeSource) else repr(value), value)

    def _files_stamp(self, find: Callable[[], list[FoundFile]], source: PathSource | GlobSource) -> Stamp:
        files, digests = self._files.of(find(), find, source.where)
        looks = looks_of(files)
        value = source.path if isinstance(source, PathSource) else [file.shown for file in files]
        held = list(zip(files, digests, strict=True))
        if len(files) == 1 and not files[0].name:
            return Stamp(digest("file", *digests), _shown(files[0].size, digests[0]), value, looks)
        whole = digest("files", *[part for file, each in held for part in (file.name, each)])
        members = tuple((file.shown, each, _shown(file.size, each)) for file, each in held)
        shown = f"{_counted(len(files), 'file')}, {_shown(sum(file.size for file in files), whole)}"
        return Stamp(whole, shown, value, looks, members if len(members) <= _MOST_FILES_SHOWN else ())


def _shown(size: int, found: str) -> str:
    return f"{_counted(size, 'byte')} of digest {found[:8]}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _variable(source: EnvironmentSource) -> str:
    value = os.environ.get(source.variable, source.default)
    if value is None:
        raise SourceError(
            f"is not set in the environment; set it, or give a default: Source.env({source.variable!r}, default=…)",
            where=source.where,
        )
    return value


def _period(source: TimeSource, now: float) -> Any:
    """The beginning of the period that a moment is in."""
    from datetime import UTC, datetime, timedelta
    from zoneinfo import ZoneInfo

    try:
        zone = ZoneInfo(source.timezone)
    except (KeyError, ValueError, OSError):
        raise SourceError(
            f"names the time zone {source.timezone!r}, which this machine does not know; give one as Europe/Berlin",
            where=source.where,
        ) from None
    if source.seconds % 86400:
        return datetime.fromtimestamp(now // source.seconds * source.seconds, UTC).astimezone(zone)
    # Days are counted from a Monday, by the wall: they are 23 or 25 hours long when clocks are put on or back.
    monday = datetime(1970, 1, 5)  # noqa: DTZ001 - wall time on purpose
    days = source.seconds // 86400
    passed = (datetime.fromtimestamp(now, zone).replace(tzinfo=None) - monday).days
    return (monday + timedelta(days=passed // days * days)).replace(tzinfo=zone)


def _asked(source: FunctionSource) -> Any:
    try:
        found = source.stamp_fn()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as SystemExit, which would end memo without a word
        raise UnreachableError(f"raised {_described(error)}", where=source.where) from error
    if isinstance(found, Coroutine):
        found.close()
        raise SourceError("is asynchronous; let its function wait: asyncio.run(…)", where=source.where)
    if found is None or found is NO_VALUE:
        raise SourceError("gave None; it must give a stamp: a string, a number or a time", where=source.where)
    return found


_EXTRAS = {
    "http": "http",
    "https": "http",
    "s3": "s3",
    "s3a": "s3",
    "gs": "gcs",
    "gcs": "gcs",
    "abfs": "azure",
    "abfss": "azure",
    "az": "azure",
}

_IDENTITIES = (
    "version_id",
    "VersionId",
    "generation",
    "ETag",
    "etag",
    "md5Hash",
    "Content-MD5",
    "content_md5",
    "Digest",
    "crc32c",
)
"""What file systems call that which changes with an object's content, the surest first. Times are not among them:
most servers tell them by the second."""


def _url_stamp(source: UrlSource) -> Stamp:
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(source.address, **source.storage_options)
        system.invalidate_cache()
        info = system.info(path)
    except ImportError as error:
        extra = _EXTRAS.get(source.name.partition("://")[0].rpartition("::")[2])
        if extra is None:
            raise _unreachable(source, error) from error
        cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        raise MissingExtraError(cause.name or extra, extra, source.where) from error
    except Exception as error:  # a file system raises whatever its client does
        raise _unreachable(source, error) from error
    for name in _IDENTITIES:
        found = info.get(name)
        if found and found != "null":  # which is every version of a bucket that keeps none
            return Stamp(digest("object", name, str(found)), f"{name} {found}", source.address)
    hasher = Hasher()
    # From the beginning to the end in one go: many web servers give no part of a page.
    options = {"block_size": 0} if "http" in system.protocol else {}
    try:
        with system.open(path, "rb", **options) as stream:
            while block := stream.read(1 << 20):
                hasher.write(block)
    except Exception as error:  # as above
        raise _unreachable(source, error) from error
    return Stamp(digest("file", hasher.hexdigest()), _shown(hasher.size, hasher.hexdigest()), source.address)


def _unreachable(source: UrlSource, error: Exception) -> UnreachableError:
    # Some file systems call all that goes wrong a file that is not there, with nothing but its name.
    cause = error.__cause__ if isinstance(error.__cause__, Exception) and str(error) in source.address else error
    return UnreachableError(f"cannot be reached: {_described(cause)}", where=source.where)


def _described(error: BaseException) -> str:
    """What went wrong, in one line."""
    told = " ".join(str(error).split())
    return f"{type(error).__name__}: {told}" if told else type(error).__name__
