"""External sources: what ops read that no op makes. A version counts what they hold."""

from __future__ import annotations

import os
import reprlib
from typing import TYPE_CHECKING, Any, Literal, overload

from memo.definition.definition import Definition, check_function
from memo.definition.names import NO_NAMES, called_at, check_instance, check_mapping, location_of, name_of
from memo.definition.ports import NO_VALUE
from memo.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from memo.definition.names import Where

OnUnreachable = Literal["fail", "last_known"]

_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})
_MOST_DIGITS = 9
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


class Source(Definition):
    """Something outside that ops read: a file, a folder, a URL, an environment variable, a table, the time.

    A source is wired in a graph's body as the output of an op is, and the op is handed its value; or it is named in
    ``depends_on`` of an op or resource that reaches it by itself. Either way the step runs again when what the source
    holds has changed.

    Attributes:
        name: How it is named in plans and explanations.
        on_unreachable: What to do when it cannot be reached: ``fail``, or go by what it was in the ``last_known`` run.
        example: A value of the type that a wired op is handed; NO_VALUE where that is unknown.

    >>> from memo import job, op
    >>> @op
    ... def count_lines(path: str) -> int:
    ...     with open(path) as lines:
    ...         return len(list(lines))
    >>> @job
    ... def counting():
    ...     count_lines(Source.file("flights.csv"))
    """

    kind = "source"
    example: Any = NO_VALUE

    def __init__(self, name: str, on_unreachable: OnUnreachable) -> None:
        if on_unreachable not in ("fail", "last_known"):  # no set: it may be of a type that no set takes
            raise DefinitionError(
                f"on_unreachable is {reprlib.repr(on_unreachable)}; it must be 'fail' or 'last_known'",
                where=called_at(),
            )
        self.name = name
        self._location = called_at()
        self.on_unreachable: OnUnreachable = on_unreachable

    @staticmethod
    def file(path: str | os.PathLike[str], *, on_unreachable: OnUnreachable = "fail") -> PathSource:
        """A file, by its content.

        Args:
            path: As the op would open it: a relative one begins at the current folder. A wired op is handed it as it
                is given here.
            on_unreachable: What to do when it cannot be read.
        """
        return PathSource(path, "file", on_unreachable)

    @staticmethod
    def folder(path: str | os.PathLike[str], *, on_unreachable: OnUnreachable = "fail") -> PathSource:
        """A folder, by the names and contents of all files in it, however deep. A wired op is handed its path."""
        return PathSource(path, "folder", on_unreachable)

    @staticmethod
    def glob(pattern: str, *, on_unreachable: OnUnreachable = "fail") -> GlobSource:
        """The files that a pattern fits, by their names and contents; ``**`` stands for any number of folders.

        A wired op is handed the list of their paths, sorted.
        """
        return GlobSource(pattern, on_unreachable)

    @staticmethod
    def url(
        url: str, storage_options: Mapping[str, Any] | None = None, *, on_unreachable: OnUnreachable = "fail"
    ) -> UrlSource:
        """An object behind a URL, through fsspec: by its version id, ETag or checksum, else by its content.

        Args:
            url: Any that fsspec knows: ``https://…``, ``s3://bucket/key``. A wired op is handed it.
            storage_options: For fsspec's file system. They are in no version, and are not stored.
            on_unreachable: What to do when it cannot be reached.
        """
        return UrlSource(url, storage_options, on_unreachable)

    @staticmethod
    def env(variable: str, default: str | None = None) -> EnvironmentSource:
        """An environment variable, by its value, which is stored nowhere but as a digest.

        Args:
            variable: Its name. A wired op is handed its value.
            default: Where it is not set; without, that is an error.
        """
        return EnvironmentSource(variable, default)

    @staticmethod
    def every(period: str, timezone: str = "UTC") -> TimeSource:
        """The time: changes once in a period.

        Args:
            period: ``"1 day"``, ``"6 hours"``, ``"2 weeks"``; of seconds, minutes, hours, days, weeks. Days begin at
                midnight, weeks on Monday; shorter periods are counted from midnight UTC.
            timezone: Whose midnight, as ``Europe/Berlin``.

        A wired op is handed the beginning of the period, as a `datetime` with that time zone.
        """
        return TimeSource(period, timezone)


class PathSource(Source):
    """A file or a folder.

    Attributes:
        path: As given.
        expected: What must be there; None where either may be.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        expected: Literal["file", "folder"] | None,
        on_unreachable: OnUnreachable = "fail",
    ) -> None:
        super().__init__(_text_of_path(path), on_unreachable)
        # As given, because a wired op is handed it, if it is a path as the standard library knows them.
        self.path = path if type(path).__module__.startswith("pathlib") else self.name
        self.expected = expected
        self.example = self.path


class GlobSource(Source):
    """The files that a pattern fits; its name is the pattern."""

    example: Any = []  # noqa: RUF012 - an example of what an op is handed, which nobody changes

    def __init__(self, pattern: str, on_unreachable: OnUnreachable = "fail") -> None:
        super().__init__(_text_of_path(pattern), on_unreachable)


class UrlSource(Source):
    """An object that fsspec reaches; its name is the URL without what may be secret: a user, a password, a query.

    Attributes:
        address: The URL as given.
    """

    def __init__(
        self, url: str, storage_options: Mapping[str, Any] | None = None, on_unreachable: OnUnreachable = "fail"
    ) -> None:
        found = str.__str__(check_instance(url, str, "the URL of a source", "a string", ""))
        if "://" not in found:
            raise DefinitionError(
                f"Source.url() got {found!r}; give a URL, as s3://bucket/key, or use Source.file()", where=called_at()
            )
        scheme, _, rest = found.partition("://")
        host, slash, path = rest.partition("/")
        path, question, _ = path.partition("?")
        super().__init__(f"{scheme}://{host.rpartition('@')[2]}{slash}{path}{question and '?…'}", on_unreachable)
        self.address = self.example = found
        options = {} if storage_options is None else storage_options
        self.storage_options = dict(check_mapping(options, f"storage_options of {self.name}", ""))


class EnvironmentSource(Source):
    """An environment variable."""

    example = ""

    def __init__(self, variable: str, default: str | None = None) -> None:
        name = str.__str__(check_instance(variable, str, "the variable of a source", "a string", ""))
        if not name or "=" in name or "\0" in name:
            raise DefinitionError(f"Source.env() got {name!r}; give the name of a variable", where=called_at())
        if default is not None:
            must = "a string, as a variable's value is one"
            default = str.__str__(check_instance(default, str, f"the default of ${name}", must, ""))
        super().__init__(f"${name}", "fail")
        self.variable = name
        self.default = default


class TimeSource(Source):
    """The time, in periods.

    Attributes:
        seconds: How long a period is.
        timezone: In which days begin.
    """

    def __init__(self, period: str, timezone: str = "UTC") -> None:
        self.seconds = _seconds_of(period)
        self.timezone = check_instance(timezone, str, "the timezone of a source", "a name, as 'Europe/Berlin'", "")
        super().__init__(f"every {period.strip()}", "fail")

    @property
    def example(self) -> Any:  # made when asked for: datetime costs a millisecond to import
        """Any time."""
        from datetime import UTC, datetime

        return datetime.fromtimestamp(0, UTC)


class FunctionSource(Source):
    """A function of the user's that tells a stamp: whatever it gives, the source has changed when that has.

    Attributes:
        stamp_fn: Takes no argument.
    """

    def __init__(self, stamp_fn: Callable[[], Any], name: str | None, on_unreachable: OnUnreachable = "fail") -> None:
        check_function(stamp_fn, "source")
        named = None if name is None else check_instance(name, str, "the name of a source", "a string", "")
        super().__init__(named or name_of(stamp_fn), on_unreachable)
        self._location = location_of(stamp_fn)
        self.stamp_fn = stamp_fn
        self.__name__ = self.name
        self.__doc__ = getattr(stamp_fn, "__doc__", None)
        self.__wrapped__ = stamp_fn

    def __call__(self) -> Any:
        """Ask it, as in a test; in a graph's body the source itself, which is then wired."""
        from memo.definition.composition import current  # which imports this room

        return self if current() is not None else self.stamp_fn()


def _text_of_path(path: object) -> str:
    try:
        found: Any = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        found = None
    if not isinstance(found, str) or not found or "\0" in found:
        raise DefinitionError(f"a source got {reprlib.repr(path)} as its path; give a string", where=called_at())
    if "://" in found:
        raise DefinitionError(f"a source got {found!r} as its path; use Source.url()", where=called_at())
    return str.__str__(found)  # a class that extends str has no canonical encoding


def _seconds_of(period: object) -> int:
    count, _, unit = period.strip().partition(" ") if isinstance(period, str) else ("", "", "")
    seconds = _SECONDS.get(unit.strip().removesuffix("s"))
    if seconds is None or not count.isdecimal() or len(count) > _MOST_DIGITS or not int(count):
        raise DefinitionError(
            f"every() got {reprlib.repr(period)}; give a number and a unit, as '1 day': "
            f"{', '.join(f'{each}s' for each in _SECONDS)}",
            where=called_at(),
        )
    return int(count) * seconds


@overload
def source(stamp_fn: Callable[[], Any]) -> FunctionSource: ...


@overload
def source(
    stamp_fn: None = None, *, name: str | None = None, on_unreachable: OnUnreachable = "fail"
) -> Callable[[Callable[[], Any]], FunctionSource]: ...


def source(
    stamp_fn: Callable[[], Any] | None = None, *, name: str | None = None, on_unreachable: OnUnreachable = "fail"
) -> FunctionSource | Callable[[Callable[[], Any]], FunctionSource]:
    """Make a function a source: what it gives is the stamp of something outside, a table's or query's watermark.

    The function is asked once whenever a run is planned. The steps that the source is wired to, or that name it in
    ``depends_on``, run again when it gives something else than before. A wired op is handed what it gave.

    Args:
        stamp_fn: The function, where the decorator is used bare. It takes no argument, and gives a string, a number,
            bytes, a date or a time.
        name: How the source is named in plans; the function's name where left out.
        on_unreachable: What to do when the function raises: ``fail``, or go by what it gave in the ``last_known`` run.

    >>> @source
    ... def orders():
    ...     return "2026-11-20 09:30"  # select max(updated_at) from orders
    >>> orders()
    '2026-11-20 09:30'
    """

    def define(fn: Callable[[], Any]) -> FunctionSource:
        return FunctionSource(fn, name, on_unreachable)

    return define if stamp_fn is None else define(stamp_fn)


def refuse_source(value: object, what: str, where: Where) -> None:
    """Refuse a source where a value is expected: it would count by what it is called, not by what it holds.

    Raises:
        DefinitionError: The value is a source, or one stands in it.
    """
    found = source_within(value)
    if found is not None:
        verb = "is" if found is value else "holds"
        raise DefinitionError(
            f"{what} {verb} the source {found.name!r}; pass a source to the op in a graph's body, or name it in "
            f"depends_on",
            where=where,
        )


def source_within(value: object) -> Source | None:
    """The first source that a value is, or that stands in its lists, tuples, dicts and sets."""
    if isinstance(value, Source):
        return value
    if type(value) not in _CONTAINERS:
        return None
    todo, seen = [value], set[int]()
    for each in todo:
        if isinstance(each, Source):
            return each
        if id(each) not in seen:
            seen.add(id(each))
            if type(each) is dict:
                todo += [*each, *each.values()]
            elif type(each) in _CONTAINERS:
                todo += each  # type: ignore[arg-type]
    return None


def check_depends_on(given: object, where: Where) -> tuple[Any, ...]:
    """Take what ``depends_on`` lists: sources as they are, paths as sources, and whatever else as an object.

    Raises:
        DefinitionError: It is no list, or names what no version could be made of.
    """
    if given is None:
        return ()
    if not isinstance(given, list | tuple):
        raise DefinitionError(
            f"depends_on is {reprlib.repr(given)}; it must be a list of functions, classes, modules, paths and sources",
            where=where,
        )
    found: list[Any] = []
    for each in given:
        if isinstance(each, str | bytes | os.PathLike):
            found.append(PathSource(each, None))  # type: ignore[arg-type] # which refuses bytes
        elif isinstance(each, Definition) and not isinstance(each, Source):
            if getattr(each, "compute_fn", None) is None:
                raise DefinitionError(
                    f"depends_on names the {each.kind} {each.name!r}; name functions, classes, modules, paths and "
                    f"sources",
                    where=where,
                )
            found.append(each.compute_fn)  # type: ignore[attr-defined]
        else:
            if not isinstance(each, Source):
                refuse_source(each, f"{reprlib.repr(each)} in depends_on", where)
            found.append(each)
    return tuple(found)


def check_ignore(given: object, where: Where) -> frozenset[str]:
    """Take the names that ``ignore`` lists.

    Raises:
        DefinitionError: It is no list of names.
    """
    if given is None:
        return NO_NAMES
    names: Any = given
    if isinstance(given, str) or not isinstance(given, list | tuple | set | frozenset):
        raise DefinitionError(f"ignore is {reprlib.repr(given)}; it must be a list of names", where=where)
    for each in names:
        if not isinstance(each, str) or not each:
            raise DefinitionError(f"ignore names {reprlib.repr(each)}; it must name things by strings", where=where)
    return frozenset(names)
