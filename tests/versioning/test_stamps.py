"""Stamps of sources that are no files, and what is last known of those that cannot be reached."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from memo import Source, source
from memo.catalog import Catalog
from memo.errors import SourceError
from memo.versioning.stamps import UNREACHED, Stamps, looks_now, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memo.versioning.stamps import Stamp


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    with Catalog.open(tmp_path / "home" / "catalog.db") as found:
        yield found


def stamp(given: Source, catalog: Catalog | None = None) -> Stamp:
    """What a source is now, as a run finds and keeps it."""
    stamps = Stamps(catalog)
    found = stamps.of(given)
    if catalog is not None:
        stamps.keep(catalog)
    return found


def begin(period: str, zone: str, now: str) -> str:
    """The beginning of the period that a moment is in, as it is shown."""
    moment = datetime.fromisoformat(now)
    assert moment.tzinfo is not None
    return Stamps(None, now=moment.timestamp()).of(Source.every(period, zone)).shown


# The time

PERIODS = [
    # Days begin at midnight, to the second.
    ("1 day", "UTC", "2026-11-20T00:00:00+00:00", "2026-11-20T00:00:00+00:00"),
    ("1 day", "UTC", "2026-11-20T23:59:59.999+00:00", "2026-11-20T00:00:00+00:00"),
    ("1 day", "Europe/Berlin", "2026-11-20T22:59:59+00:00", "2026-11-20T00:00:00+01:00"),
    ("1 day", "Europe/Berlin", "2026-11-20T23:00:00+00:00", "2026-11-21T00:00:00+01:00"),
    ("1 day", "Pacific/Kiritimati", "2026-11-20T10:00:00+00:00", "2026-11-21T00:00:00+14:00"),
    ("1 day", "America/Los_Angeles", "2026-11-20T07:59:59+00:00", "2026-11-19T00:00:00-08:00"),
    # Clocks put on: a day of 23 hours.
    ("1 day", "Europe/Berlin", "2026-03-28T22:59:59+00:00", "2026-03-28T00:00:00+01:00"),
    ("1 day", "Europe/Berlin", "2026-03-28T23:00:00+00:00", "2026-03-29T00:00:00+01:00"),
    ("1 day", "Europe/Berlin", "2026-03-29T21:59:59+00:00", "2026-03-29T00:00:00+01:00"),
    ("1 day", "Europe/Berlin", "2026-03-29T22:00:00+00:00", "2026-03-30T00:00:00+02:00"),
    # Clocks put back: a day of 25 hours.
    ("1 day", "Europe/Berlin", "2026-10-24T22:00:00+00:00", "2026-10-25T00:00:00+02:00"),
    ("1 day", "Europe/Berlin", "2026-10-25T22:59:59+00:00", "2026-10-25T00:00:00+02:00"),
    ("1 day", "Europe/Berlin", "2026-10-25T23:00:00+00:00", "2026-10-26T00:00:00+01:00"),
    # A day without midnight: clocks were put on at that moment.
    ("1 day", "America/Sao_Paulo", "2018-11-04T02:59:59+00:00", "2018-11-03T00:00:00-03:00"),
    ("1 day", "America/Sao_Paulo", "2018-11-04T03:00:00+00:00", "2018-11-04T00:00:00-03:00"),
    # Several days are counted on, over months and changes of clocks.
    ("2 days", "UTC", "2026-11-18T23:59:59+00:00", "2026-11-17T00:00:00+00:00"),
    ("2 days", "UTC", "2026-11-19T00:00:00+00:00", "2026-11-19T00:00:00+00:00"),
    ("2 days", "UTC", "2026-11-20T23:59:59+00:00", "2026-11-19T00:00:00+00:00"),
    ("2 days", "Europe/Berlin", "2026-10-25T22:59:59+00:00", "2026-10-24T00:00:00+02:00"),
    ("2 days", "Europe/Berlin", "2026-10-25T23:00:00+00:00", "2026-10-26T00:00:00+01:00"),
    ("2 days", "Europe/Berlin", "2026-10-27T22:59:59+00:00", "2026-10-26T00:00:00+01:00"),
    # Weeks begin on Monday.
    ("1 week", "UTC", "2026-11-20T12:00:00+00:00", "2026-11-16T00:00:00+00:00"),
    ("1 week", "UTC", "2026-11-22T23:59:59+00:00", "2026-11-16T00:00:00+00:00"),
    ("1 week", "UTC", "2026-11-23T00:00:00+00:00", "2026-11-23T00:00:00+00:00"),
    ("1 week", "Asia/Tokyo", "2026-11-22T15:00:00+00:00", "2026-11-23T00:00:00+09:00"),
    ("2 weeks", "UTC", "2026-11-20T12:00:00+00:00", "2026-11-09T00:00:00+00:00"),
    ("2 weeks", "UTC", "2026-11-22T23:59:59+00:00", "2026-11-09T00:00:00+00:00"),
    ("2 weeks", "UTC", "2026-11-23T00:00:00+00:00", "2026-11-23T00:00:00+00:00"),
    # Shorter ones are counted from midnight UTC, and shown as the clock on the wall says.
    ("6 hours", "UTC", "2026-11-20T11:59:59+00:00", "2026-11-20T06:00:00+00:00"),
    ("6 hours", "UTC", "2026-11-20T12:00:00+00:00", "2026-11-20T12:00:00+00:00"),
    ("6 hours", "Europe/Berlin", "2026-11-20T12:00:00+00:00", "2026-11-20T13:00:00+01:00"),
    ("90 minutes", "UTC", "2026-11-20T02:59:59+00:00", "2026-11-20T01:30:00+00:00"),
    ("15 minutes", "Asia/Kathmandu", "2026-11-20T00:14:59+00:00", "2026-11-20T05:45:00+05:45"),
    ("1 second", "UTC", "2026-11-20T00:00:01.999+00:00", "2026-11-20T00:00:01+00:00"),
    # Twice the same time on the wall.
    ("1 hour", "Europe/Berlin", "2026-10-25T00:30:00+00:00", "2026-10-25T02:00:00+02:00"),
    ("1 hour", "Europe/Berlin", "2026-10-25T01:30:00+00:00", "2026-10-25T02:00:00+01:00"),
    # Before it all began.
    ("1 day", "UTC", "1969-12-31T23:59:59+00:00", "1969-12-31T00:00:00+00:00"),
    ("1 week", "UTC", "1969-12-28T12:00:00+00:00", "1969-12-22T00:00:00+00:00"),
    ("999999999 weeks", "UTC", "2026-11-20T12:00:00+00:00", "1970-01-05T00:00:00+00:00"),
]


@pytest.mark.parametrize(("period", "zone", "now", "expected"), PERIODS)
def test_a_period_begins(period: str, zone: str, now: str, expected: str) -> None:
    assert begin(period, zone, now) == expected


def test_the_hour_that_comes_twice_is_two() -> None:
    hourly = Source.every("1 hour", "Europe/Berlin")
    first, second = (
        Stamps(None, now=datetime(2026, 10, 25, hour, 30, tzinfo=UTC).timestamp()).of(hourly) for hour in (0, 1)
    )
    assert first.digest != second.digest
    assert first.value.replace(tzinfo=None) == second.value.replace(tzinfo=None)


def test_an_op_is_handed_the_beginning_of_the_period() -> None:
    found = Stamps(None, now=0.0).of(Source.every("1 day", "Europe/Berlin"))
    assert found.value == datetime(1970, 1, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert found.value.tzinfo == ZoneInfo("Europe/Berlin")
    assert found.looks == looks_now(Source.every("1 day")) == ""


@given(
    now=st.integers(0, 4_000_000_000),
    later=st.integers(0, 8 * 86400),
    period=st.sampled_from(["1 hour", "1 day", "2 days", "1 week", "45 seconds"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_time_goes_on_in_periods(now: int, later: int, period: str, zone: str) -> None:
    every = Source.every(period, zone)
    first, second = (Stamps(None, now=float(at)).of(every) for at in (now, now + later))
    assert first.value.timestamp() <= now
    assert now - first.value.timestamp() < every.seconds + 7200
    assert first.value <= second.value
    assert (first.digest == second.digest) == (first.value.timestamp() == second.value.timestamp())


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "", "Europe", "../Berlin", "\0", "a" * 5000])
def test_a_time_zone_that_is_none(zone: str) -> None:
    with pytest.raises(SourceError, match=r"^source 'every 1 day' \(.*test_stamps\.py:\d+\): names the time zone '"):
        stamp(Source.every("1 day", zone))


# The environment


def test_a_variable_counts_by_its_value_which_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    token = Source.env("MEMO_TEST_TOKEN")
    monkeypatch.setenv("MEMO_TEST_TOKEN", "hunter2")
    first = stamp(token)
    assert first.value == "hunter2"
    assert first.shown == f"a value of digest {first.digest[:8]}"
    assert "hunter2" not in f"{first.shown}{first.digest}{first.looks}{first.members}{token!r}{token.name}"
    assert stamp(Source.env("MEMO_TEST_TOKEN", "other")) == first

    monkeypatch.setenv("MEMO_TEST_TOKEN", "hunter3")
    assert stamp(token).digest != first.digest
    monkeypatch.setenv("MEMO_TEST_TOKEN", "")
    assert stamp(token).value == ""


def test_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMO_TEST_TOKEN", raising=False)
    with pytest.raises(
        SourceError,
        match=r"^source '\$MEMO_TEST_TOKEN' \(.*test_stamps\.py:\d+\): is not set in the environment; set it, or give "
        r"a default: Source\.env\('MEMO_TEST_TOKEN', default=…\)$",
    ):
        stamp(Source.env("MEMO_TEST_TOKEN"))
    default = stamp(Source.env("MEMO_TEST_TOKEN", "eu"))
    assert default.value == "eu"
    monkeypatch.setenv("MEMO_TEST_TOKEN", "eu")
    assert stamp(Source.env("MEMO_TEST_TOKEN", "us")).digest == default.digest


def test_a_variable_that_is_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMO_TEST_TOKEN", "\udcff")
    assert stamp(Source.env("MEMO_TEST_TOKEN")).value == "\udcff"


# Functions

STAMPS: list[Any] = [
    "2026-11-20",
    "",
    0,
    0.0,
    -0.0,
    False,
    b"0",
    10**30,
    Decimal("0.0"),
    Decimal("0.00"),
    date(2026, 11, 20),
    datetime(2026, 11, 20),  # noqa: DTZ001 - as a database may give it
    datetime(2026, 11, 20, tzinfo=UTC),
    datetime(2026, 11, 20, tzinfo=ZoneInfo("Europe/Berlin")),
    ["a", "b"],
    ("a", "b"),
    ["ab"],
    {"a": 1},
    timedelta(1),
]


def test_a_function_counts_by_what_it_gives() -> None:
    found = [stamp(source(lambda value=value: value)) for value in STAMPS]  # type: ignore[misc]
    assert len({each.digest for each in found}) == len(STAMPS)
    for each, value in zip(found, STAMPS, strict=True):
        assert each.value is value
        assert each.shown == repr(value)
        assert stamp(source(lambda value=value: value)) == each  # type: ignore[misc]


class Odd:
    pass


@pytest.mark.parametrize(
    "value", [np.float64(1.0), np.int64(1), np.arange(3), Odd(), object(), lambda: 1, Odd, [Odd()]]
)
def test_what_is_no_stamp(value: Any) -> None:
    @source
    def watermark() -> Any:
        return value

    with pytest.raises(SourceError) as refused:
        stamp(watermark)
    told = str(refused.value)
    assert re.match(
        rf"source 'watermark' \(.*test_stamps\.py:\d+\): gave a {type(value).__name__} as its stamp: ", told
    )
    assert told.endswith("has no canonical encoding; give a string, a number or a time")


def test_a_value_that_contains_itself_is_no_stamp() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(SourceError, match="gave a list as its stamp: the value is nested too deeply"):
        stamp(source(lambda: endless))


def test_none_is_no_stamp() -> None:
    with pytest.raises(SourceError, match="gave None; it must give a stamp: a string, a number or a time"):
        stamp(source(lambda: None))


def test_a_function_that_raises() -> None:
    @source
    def watermark() -> str:
        raise ValueError("no table 'orders'\n  LINE 1: select max(updated_at)\n")

    with pytest.raises(SourceError) as refused:
        stamp(watermark)
    assert re.fullmatch(
        r"source 'watermark' \(.*test_stamps\.py:\d+\): raised ValueError: no table 'orders' LINE 1: select "
        r"max\(updated_at\)",
        str(refused.value),
    )
    assert isinstance(refused.value.__cause__, ValueError)

    @source
    def silent() -> str:
        raise KeyError

    with pytest.raises(SourceError, match=r"raised KeyError$"):
        stamp(silent)


def test_a_function_that_takes_an_argument() -> None:
    with pytest.raises(SourceError, match=r"raised TypeError: .* missing 1 required positional argument: 'day'"):
        stamp(source(lambda day: day))  # type: ignore[arg-type,misc]


def test_an_asynchronous_function() -> None:
    @source
    async def watermark() -> str:
        return "x"

    for ask in (stamp, value_of):
        with pytest.raises(SourceError, match=r"is asynchronous; let its function wait: asyncio.run"):
            ask(watermark)

    async def asked() -> str:
        return "x"

    assert stamp(source(lambda: asyncio.run(asked()))).value == "x"


def test_an_interrupt_is_none_of_our_errors() -> None:
    def interrupted() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stamp(source(interrupted, on_unreachable="last_known"))  # type: ignore[call-overload]


def test_a_source_is_asked_once_a_plan() -> None:
    asked = []

    @source
    def watermark() -> int:
        asked.append(1)
        return len(asked)

    stamps = Stamps(None)
    assert [stamps.of(watermark).value, stamps.of(watermark).value] == [1, 1]
    assert Stamps(None).of(watermark).value == 2


# URLs


class Identified(MemoryFileSystem):  # type: ignore[misc]
    """Objects in memory that tell what identifies their content."""

    protocol = "identified"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    told: ClassVar[dict[str, Any]] = {}
    opened: ClassVar[list[str]] = []

    def __init__(self, password: str = "", **more: Any) -> None:
        super().__init__(**more)
        self.password = password

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        if self.password == "wrong":
            raise PermissionError
        return {"name": path, "size": 1, "type": "file", **self.told}

    def _open(self, path: str, *args: Any, **kwargs: Any) -> Any:
        self.opened.append(path)
        return super()._open(path, *args, **kwargs)


fsspec.register_implementation("identified", Identified)


@pytest.fixture
def told() -> Iterator[dict[str, Any]]:
    Identified.store["/a"] = None
    with Identified().open("identified://a", "wb") as out:
        out.write(b"1")
    Identified.opened.clear()
    yield Identified.told
    Identified.told.clear()


@pytest.mark.parametrize(
    "name", ["version_id", "VersionId", "generation", "ETag", "etag", "md5Hash", "content_md5", "crc32c"]
)
def test_an_object_counts_by_what_its_file_system_says(name: str, told: dict[str, Any]) -> None:
    told[name] = "one"
    first = stamp(Source.url("identified://a"))
    assert first.shown == f"{name} one"
    assert first.value == "identified://a"
    told["created"] = "another time"
    assert stamp(Source.url("identified://a")) == first
    told[name] = "two"
    assert stamp(Source.url("identified://a")).digest != first.digest
    assert Identified.opened == []


def test_the_surest_identity_counts(told: dict[str, Any]) -> None:
    told.update({"ETag": "e", "version_id": "v"})
    assert stamp(Source.url("identified://a")).shown == "version_id v"


@pytest.mark.parametrize("nothing", [None, "", "null"])
def test_an_identity_that_says_nothing_is_none(nothing: Any, told: dict[str, Any]) -> None:
    """A bucket without versions calls each of them null."""
    told.update({"VersionId": nothing, "ETag": "e"})
    assert stamp(Source.url("identified://a")).shown == "ETag e"
    told["ETag"] = nothing
    assert stamp(Source.url("identified://a")).shown.startswith("1 byte of digest ")
    assert Identified.opened


def test_an_object_without_identity_counts_by_its_content() -> None:
    memory = fsspec.filesystem("memory")
    url = Source.url("memory://orders/a.csv")
    memory.pipe("/orders/a.csv", b"1" * 3_000_000)
    first = stamp(url)
    assert first.shown.startswith("3,000,000 bytes of digest ")
    memory.pipe("/orders/a.csv", b"1" * 3_000_000)
    assert stamp(url) == first
    memory.pipe("/orders/a.csv", b"1" * 2_999_999 + b"2")
    assert stamp(url).digest != first.digest
    memory.rm("/orders/a.csv")
    with pytest.raises(SourceError, match=r"cannot be reached: FileNotFoundError: /orders/a\.csv$"):
        stamp(url)


def test_a_file_url_counts_as_the_file_does(tmp_path: Path) -> None:
    path = tmp_path / "a b.csv"
    path.write_bytes(b"1")
    assert stamp(Source.url(f"file://{path}")).digest == stamp(Source.file(path)).digest
    with pytest.raises(SourceError, match=r"cannot be reached: FileNotFoundError: .*gone"):
        stamp(Source.url(f"file://{tmp_path}/gone"))
    with pytest.raises(SourceError, match=r"cannot be reached: IsADirectoryError: .*Is a directory"):
        stamp(Source.url(f"file://{tmp_path}"))


def test_storage_options_are_used_and_do_not_count(told: dict[str, Any], catalog: Catalog, tmp_path: Path) -> None:
    told["ETag"] = "e"
    plain = stamp(Source.url("identified://a"))
    given = Source.url("identified://a", {"password": "xyzzy-secret"}, on_unreachable="last_known")
    assert stamp(given, catalog) == plain
    kept = b"".join(path.read_bytes() for path in (tmp_path / "home").iterdir())
    assert b"ETag e" in kept
    assert b"xyzzy" not in kept
    with pytest.raises(SourceError, match=r"cannot be reached: PermissionError$"):
        stamp(Source.url("identified://a", {"password": "wrong"}))


def test_a_protocol_that_nobody_knows() -> None:
    with pytest.raises(SourceError, match=r"source 'gopher://a' \(.*\): cannot be reached: ValueError: .*gopher"):
        stamp(Source.url("gopher://a"))


class Server(BaseHTTPRequestHandler):
    """A web server with one page."""

    status = 200
    content = b"1"
    etag = ""
    head = True
    asked: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self.asked.append("HEAD")
        if self.head:
            self.answer()
        else:
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:
        self.asked.append("GET")
        self.answer()
        if self.status == 200:
            self.wfile.write(self.content)

    def answer(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.content) if self.status == 200 else 0))
        if self.etag:
            self.send_header("ETag", self.etag)
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


@contextmanager
def serving() -> Iterator[tuple[type[Server], str]]:
    class Handler(Server):
        asked: ClassVar[list[str]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Handler, f"http://127.0.0.1:{server.server_port}/a.csv"
        finally:
            server.shutdown()
            thread.join()


def test_a_page_with_an_etag_is_not_fetched() -> None:
    with serving() as (server, url):
        server.etag = '"one"'
        first = stamp(Source.url(url))
        assert first.shown == 'ETag "one"'
        server.content = b"22"
        assert stamp(Source.url(url)).digest == first.digest
        server.etag = '"two"'
        assert stamp(Source.url(url)).digest != first.digest
        assert "GET" not in server.asked


def test_a_page_without_an_etag_counts_by_its_content() -> None:
    with serving() as (server, url):
        server.content = b"1" * 7_000_000
        first = stamp(Source.url(url))
        assert first.shown.startswith("7,000,000 bytes of digest ")
        assert stamp(Source.url(url)) == first
        server.content = b"1" * 6_999_999 + b"2"
        assert stamp(Source.url(url)).digest != first.digest


def test_a_server_that_knows_no_head() -> None:
    with serving() as (server, url):
        server.head = False
        server.etag = '"one"'
        assert stamp(Source.url(url)).shown == 'ETag "one"'


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, "ClientResponseError: 404, message='Not Found'"),
        (500, "ClientResponseError: 500, message='Internal Server Error'"),
        (403, "ClientResponseError: 403, message='Forbidden'"),
    ],
)
def test_a_page_that_is_not_given(status: int, told: str) -> None:
    with serving() as (server, url):
        server.status = status
        with pytest.raises(SourceError) as refused:
            stamp(Source.url(url))
    assert re.match(rf"source '{url}' \(.*test_stamps\.py:\d+\): cannot be reached: {told}", str(refused.value))
    assert "\n" not in str(refused.value)


def test_a_server_that_is_not_there() -> None:
    with serving() as (_, url):
        pass
    with pytest.raises(SourceError, match=r"cannot be reached: ClientConnectorError: Cannot connect to host 127.0.0.1"):
        stamp(Source.url(url))


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from memo import Source
from memo.errors import MissingExtraError
from memo.versioning.stamps import Stamps
try:
    Stamps(None).of(Source.url(sys.argv[2], on_unreachable="last_known"))
except MissingExtraError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("aiohttp", "http://127.0.0.1:1/a", "http"),
        ("aiohttp", "https://127.0.0.1:1/a", "http"),
        ("aiohttp", "simplecache::http://127.0.0.1:1/a", "http"),
        ("s3fs", "s3://bucket/a", "s3"),
        ("gcsfs", "gs://bucket/a", "gcs"),
        ("adlfs", "abfs://bucket/a", "azure"),
    ],
)
def test_a_package_that_is_not_installed(module: str, url: str, extra: str) -> None:
    found = subprocess.run([sys.executable, "-c", MISSING, module, url], check=True, capture_output=True, text=True)
    assert re.fullmatch(
        rf"source '{url}' \(.*\) needs the package '{module}': pip install 'memo-pipelines\[{extra}\]'\n", found.stdout
    ), found.stdout + found.stderr


# What is last known


def unreachable(given: Source, catalog: Catalog) -> tuple[Stamp, str]:
    """What a source is taken for, and the warning."""
    stamps = Stamps(catalog)
    found = stamps.of(given)
    stamps.keep(catalog)
    ((name, (warning,)),) = stamps.warnings.items()
    assert name == given.name
    assert warning.startswith(given.where)
    assert "\n" not in warning
    return found, warning


def test_a_file_as_last_known(tmp_path: Path, catalog: Catalog) -> None:
    path = tmp_path / "data.csv"
    given = Source.file(path, on_unreachable="last_known")
    with pytest.raises(
        SourceError,
        match=r"is not there \(.*data\.csv\); make it, or correct its path; and what it was is not known from a run be",
    ):
        stamp(given, catalog)
    path.write_bytes(b"1")
    before = stamp(given, catalog)
    path.unlink()
    found, warning = unreachable(given, catalog)
    assert (found.digest, found.shown, found.value) == (before.digest, before.shown, path)
    assert warning.endswith(f"taken as it was in the last run that reached it ({before.shown})")
    path.write_bytes(b"1")
    assert stamp(given, catalog).digest == before.digest
    path.write_bytes(b"2")
    after = stamp(given, catalog)
    path.unlink()
    assert unreachable(given, catalog)[0].digest == after.digest != before.digest


def test_a_path_is_handed_on_as_it_is_written_now(tmp_path: Path, catalog: Catalog) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"1")
    stamp(Source.file(path, on_unreachable="last_known"), catalog)
    path.unlink()
    assert unreachable(Source.file(str(path), on_unreachable="last_known"), catalog)[0].value == str(path)


def test_a_folder_and_a_pattern_as_last_known(tmp_path: Path, catalog: Catalog) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_bytes(b"1")
    given = Source.folder(raw, on_unreachable="last_known")
    pattern = Source.glob(str(raw / "*.csv"), on_unreachable="last_known")
    before = [stamp(each, catalog) for each in (given, pattern)]
    raw.rename(tmp_path / "unmounted")
    after = [unreachable(each, catalog)[0] for each in (given, pattern)]
    assert [each.digest for each in after] == [each.digest for each in before]
    assert after[1].value == [str(raw / "a.csv")]


def test_a_url_as_last_known(catalog: Catalog) -> None:
    with serving() as (server, url):
        given = Source.url(url, on_unreachable="last_known")
        server.status = 500
        with pytest.raises(SourceError, match=r"500, .*; and what it was is not known from a run before"):
            stamp(given, catalog)
        server.status = 200
        before = stamp(given, catalog)
    found, warning = unreachable(given, catalog)
    assert found == replace(before, looks=UNREACHED)
    assert "cannot be reached: ClientConnectorError" in warning


VALUES: list[Any] = [
    "2026-11-20",
    b"\x00\xff",
    7,
    -(10**30),
    0.1,
    True,
    Decimal("1.50"),
    date(2026, 11, 20),
    datetime(2026, 11, 20, 9, 30, 0, 1),  # noqa: DTZ001 - as a database may give it
    datetime(2026, 11, 20, tzinfo=UTC),
    datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    [1, ("a", None), {"k": b"v"}],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_function_as_last_known_keeps_its_type(value: Any, catalog: Catalog) -> None:
    answers: list[Any] = [value]

    @source(on_unreachable="last_known")
    def watermark() -> Any:
        return answers[0]

    @source(on_unreachable="last_known", name="watermark")
    def fails() -> Any:
        raise TimeoutError("no answer")

    with pytest.raises(SourceError, match="raised TimeoutError: no answer; and what it was is not known from a run be"):
        stamp(fails, catalog)
    before = stamp(watermark, catalog)
    found, warning = unreachable(fails, catalog)
    assert found == replace(before, looks=UNREACHED)
    assert type(found.value) is type(value)
    assert repr(found.value) == repr(value)
    assert "raised TimeoutError: no answer; taken as it was in the last run that reached it" in warning


def test_without_a_catalog_nothing_is_known() -> None:
    @source(on_unreachable="last_known")
    def watermark() -> Any:
        raise TimeoutError

    with pytest.raises(SourceError, match="raised TimeoutError; and what it was is not known"):
        stamp(watermark)


@pytest.mark.parametrize("value", [{1, 2}, timedelta(1), 1j])
def test_a_value_that_cannot_be_kept(value: Any, catalog: Catalog) -> None:
    """It can be told apart, which is all that is needed where nothing is to be kept."""
    assert stamp(source(lambda: value), catalog).value == value

    @source(on_unreachable="last_known")
    def watermark() -> Any:
        return value

    with pytest.raises(
        SourceError, match=r"^source 'watermark' \(.*test_stamps\.py:\d+\): gave what cannot be kept as last known: "
    ):
        stamp(watermark, catalog)


def test_a_mistake_is_not_taken_for_a_server_that_is_down(tmp_path: Path, catalog: Catalog) -> None:
    answers: list[Any] = ["monday"]

    @source(on_unreachable="last_known")
    def watermark() -> Any:
        return answers[0]

    stamp(watermark, catalog)
    for wrong in (None, object()):
        answers[0] = wrong
        with pytest.raises(SourceError, match="gave "):
            stamp(watermark, catalog)

    path = tmp_path / "data"
    path.write_bytes(b"1")
    given = Source.file(path, on_unreachable="last_known")
    stamp(given, catalog)
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceError, match="is a folder; for all that is in it there is"):
        stamp(given, catalog)


def test_no_source_is_taken_for_another_of_its_name(
    tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names are for people: two modules may have an `orders` each, and a file may be called so too."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "orders").write_bytes(b"1")

    def orders() -> str:
        return "monday"

    stamp(source(orders, on_unreachable="last_known"), catalog)  # type: ignore[call-overload]
    stamp(Source.file("orders", on_unreachable="last_known"), catalog)

    def others() -> str:
        raise TimeoutError

    others.__module__ = "another"
    monkeypatch.chdir(tmp_path / "there")
    for other in (
        source(others, name="orders", on_unreachable="last_known"),  # type: ignore[call-overload]
        Source.file("orders", on_unreachable="last_known"),
        Source.folder("../here/gone", on_unreachable="last_known"),
    ):
        with pytest.raises(SourceError, match="and what it was is not known from a run before"):
            stamp(other, catalog)


def test_two_functions_of_one_name_in_one_plan(catalog: Catalog) -> None:
    def made(table: str, name: str | None = None) -> Any:
        @source(name=name, on_unreachable="last_known")
        def watermark() -> str:
            return table

        return watermark

    stamps = Stamps(catalog)
    stamps.of(made("a"))
    with pytest.raises(
        SourceError, match=r"is called as another source is \(.*test_stamps\.py:\d+\), .*; give each its own: @source\("
    ):
        stamps.of(made("b"))
    named = Stamps(catalog)
    assert [named.of(made(each, each)).value for each in ("a", "b")] == ["a", "b"]


def test_the_same_file_twice_in_one_plan(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "a").write_bytes(b"1")
    stamps = Stamps(catalog)
    both = [stamps.of(Source.file(tmp_path / "a", on_unreachable="last_known")) for _ in range(2)]
    assert both[0] == both[1]
    stamps.keep(catalog)


def test_nothing_is_written_where_nothing_changed(catalog: Catalog) -> None:
    @source(on_unreachable="last_known")
    def watermark() -> str:
        return "monday"

    stamp(watermark, catalog)
    stamps = Stamps(catalog)
    stamps.of(watermark)
    assert stamps._reached == {}
