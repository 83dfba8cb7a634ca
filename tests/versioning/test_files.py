"""Files as sources: what makes a digest another one, and what does not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memo import Source
from memo.catalog import Catalog
from memo.errors import SourceError
from memo.versioning.files import FileDigests, files_of_glob, files_of_path
from memo.versioning.stamps import Stamps, looks_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from memo.contracts.run_store import FileDigest
    from memo.definition.source import PathSource
    from memo.versioning.files import FoundFile
    from memo.versioning.stamps import Stamp

LONG_AGO = 1_600_000_000_000_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with Catalog.open(tmp_path_factory.mktemp("home") / "catalog.db") as found:
        yield found


def stamp(source: Source) -> Stamp:
    return Stamps(None).of(source)


def write(path: str | Path, content: str | bytes = "") -> Path:
    """Write a file, and the folders it stands in."""
    found = Path(path)
    found.parent.mkdir(parents=True, exist_ok=True)
    found.write_bytes(content.encode() if isinstance(content, str) else content)
    return found


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let a minute pass, as far as the settling of files is concerned."""
    later = time.time_ns() + 60_000_000_000
    return lambda: monkeypatch.setattr("memo.versioning.files.time_ns", lambda: later)


# One file


def test_a_file_counts_by_its_content(folder: Path) -> None:
    source = Source.file("data.csv")
    write("data.csv", "1\n")
    first = stamp(source)
    assert first.shown.startswith("2 bytes of digest ")
    assert first.value == "data.csv"
    assert first.members == ()

    os.utime("data.csv")
    touched = stamp(source)
    assert touched.digest == first.digest
    assert touched.looks != first.looks

    write("data.csv", "2\n")
    assert stamp(source).digest != first.digest
    write("data.csv", "1\n")
    assert stamp(source).digest == first.digest


def test_the_place_of_a_file_does_not_count(folder: Path) -> None:
    write("a/data.csv", "1")
    write("b/other.csv", "1")
    assert stamp(Source.file("a/data.csv")).digest == stamp(Source.file(folder / "b" / "other.csv")).digest


def test_a_file_is_not_taken_for_a_folder_that_holds_it(folder: Path) -> None:
    write("a/data.csv", "1")
    assert stamp(Source.file("a/data.csv")).digest != stamp(Source.folder("a")).digest
    assert stamp(Source.glob("a/data.csv")).digest == stamp(Source.folder("a")).digest


def test_an_empty_file_is_a_file(folder: Path) -> None:
    write("a")
    assert stamp(Source.file("a")).shown.startswith("0 bytes of digest ")


def test_a_file_is_read_by_blocks(folder: Path) -> None:
    # A program that may not use as much memory as the file is large.
    with open("large", "wb") as large:
        large.truncate(1 << 28)
    code = """
import resource
from memo import Source
from memo.versioning.stamps import Stamps
stamps, source = Stamps(None), Source.file("large")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert stamps.of(source).shown.startswith("268,435,456 bytes")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(found.stdout) < 50_000  # kilobytes


# What is known of a file


def test_a_settled_file_is_read_once(folder: Path, catalog: Catalog, settled: Callable[[], None]) -> None:
    source = Source.file("data.csv")
    path = write("data.csv", "1")
    settled()
    first = Stamps(catalog)
    found = first.of(source)
    first.keep(catalog)
    assert list(catalog.file_digests([str(folder / path)])) == [str(folder / path)]

    second = Stamps(catalog)
    assert second.of(source) == found
    assert second._files.read == {}


def test_what_is_known_is_gone_by_and_not_the_content(
    folder: Path, catalog: Catalog, settled: Callable[[], None]
) -> None:
    """The proof that a settled file is not read again: a lie in the catalog is believed."""
    from memo.contracts.run_store import FileDigest

    source = Source.file("data.csv")
    write("data.csv", "1")
    settled()
    (file,) = files_of_path(source)
    catalog.keep_file_digests({file.path: FileDigest(file.looks, "f" * 32)})
    assert "ffffffff" in Stamps(catalog).of(source).shown
    os.utime("data.csv", ns=(LONG_AGO, LONG_AGO))
    assert "ffffffff" not in Stamps(catalog).of(source).shown


def test_a_file_written_just_now_is_not_trusted_by_its_times(folder: Path, catalog: Catalog) -> None:
    source = Source.file("data.csv")
    write("data.csv", "1")
    (file,) = files_of_path(source)
    assert not file.is_settled
    stamps = Stamps(catalog)
    stamps.of(source)
    stamps.keep(catalog)
    assert catalog.file_digests([file.path]) == {}

    # Old by its own word, and changed just now.
    os.utime("data.csv", ns=(LONG_AGO, LONG_AGO))
    (file,) = files_of_path(source)
    assert not file.is_settled


def test_a_file_of_the_future_is_not_trusted(folder: Path) -> None:
    write("data.csv")
    ahead = time.time_ns() + 10**18
    os.utime("data.csv", ns=(ahead, ahead))
    assert [each.is_settled for each in files_of_path(Source.file("data.csv"))] == [False]


def test_an_edit_of_the_same_length_with_its_time_put_back_is_seen(
    folder: Path, catalog: Catalog, settled: Callable[[], None]
) -> None:
    source = Source.file("data.csv")
    write("data.csv", "1")
    os.utime("data.csv", ns=(LONG_AGO, LONG_AGO))
    settled()
    stamps = Stamps(catalog)
    before = stamps.of(source)
    stamps.keep(catalog)

    wait_for_a_later_time(folder)
    write("data.csv", "2")
    os.utime("data.csv", ns=(LONG_AGO, LONG_AGO))
    assert os.stat("data.csv").st_mtime_ns == LONG_AGO
    assert Stamps(catalog).of(source).digest != before.digest


def test_a_file_replaced_by_another_of_the_same_times_is_seen(
    folder: Path, catalog: Catalog, settled: Callable[[], None]
) -> None:
    source = Source.file("data.csv")
    write("data.csv", "1")
    write("new.csv", "2")
    settled()
    stamps = Stamps(catalog)
    before = stamps.of(source)
    stamps.keep(catalog)
    os.rename("new.csv", "data.csv")
    assert Stamps(catalog).of(source).digest != before.digest


# A folder


def test_a_folder_counts_by_names_and_contents(folder: Path) -> None:
    source = Source.folder("raw")
    write("raw/a", "1")
    write("raw/sub/b", "2")
    first = stamp(source)
    assert first.value == "raw"
    assert [(path, shown.split(" of ")[0]) for path, _, shown in first.members] == [
        ("raw/a", "1 byte"),
        ("raw/sub/b", "1 byte"),
    ]
    assert first.shown.startswith("2 files, 2 bytes of digest ")

    seen = {first.digest}

    def changed() -> bool:
        found = stamp(source).digest
        was_there = found in seen
        seen.add(found)
        return not was_there

    os.rename("raw/a", "raw/c")
    assert changed()
    os.rename("raw/c", "raw/sub/a")
    assert changed()
    os.rename("raw/sub/a", "raw/.a")
    assert changed()
    write("raw/new", "")
    assert changed()
    write("raw/new", "x")
    assert changed()
    os.remove("raw/new")
    assert not changed()
    os.rename("raw/.a", "raw/a")
    assert stamp(source).digest == first.digest


def test_swapped_contents_are_a_change(folder: Path) -> None:
    write("raw/a", "1")
    write("raw/b", "2")
    before = stamp(Source.folder("raw"))
    write("raw/a", "2")
    write("raw/b", "1")
    assert stamp(Source.folder("raw")).digest != before.digest


def test_names_do_not_run_into_contents(folder: Path) -> None:
    write("one/ab", "c")
    write("two/a", "bc")
    write("three/a/b", "c")
    assert len({stamp(Source.folder(each)).digest for each in ("one", "two", "three")}) == 3


def test_a_folder_counts_the_same_wherever_it_is(folder: Path) -> None:
    for place in ("here", "there/deep"):
        write(f"{place}/b", "2")
        write(f"{place}/sub/a", "1")
    assert stamp(Source.folder("here")).digest == stamp(Source.folder(folder / "there" / "deep")).digest
    assert stamp(Source.folder("here/")).digest == stamp(Source.folder("./here")).digest


def test_an_empty_folder(folder: Path) -> None:
    os.mkdir("raw")
    found = stamp(Source.folder("raw"))
    assert found.shown.startswith("0 files, 0 bytes of digest ")
    os.makedirs("raw/empty/too")
    assert stamp(Source.folder("raw")).digest == found.digest
    write("raw/empty/too/a")
    assert stamp(Source.folder("raw")).digest != found.digest


def test_the_single_files_of_a_large_folder_are_not_kept(folder: Path) -> None:
    for number in range(201):
        write(f"raw/{number}")
    assert stamp(Source.folder("raw")).members == ()
    os.remove("raw/0")
    assert len(stamp(Source.folder("raw")).members) == 200


NAMES = ["a b", "line\nbreak", "[ab]*?", "ümläut", "-rf", "%s{}", "back\\slash", os.fsdecode(b"\xff\xfe"), "a" * 255]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_of_every_kind(name: str, folder: Path, catalog: Catalog, settled: Callable[[], None]) -> None:
    from glob import escape

    write(f"raw/{name}", "1")
    settled()
    sources = (Source.folder("raw"), Source.file(f"raw/{name}"), Source.glob(f"raw/{escape(name)}"))
    first = Stamps(catalog)
    found = [first.of(each) for each in sources]
    first.keep(catalog)
    assert found[2].value == [f"raw/{name}"]
    assert found[0].digest == found[2].digest

    second = Stamps(catalog)
    assert [second.of(each) for each in sources] == found
    assert second._files.read == {}


def test_an_error_about_a_name_that_is_no_text_can_be_printed(folder: Path) -> None:
    os.mkdir("raw")
    name = os.fsdecode(b"\xff\n")
    os.mkfifo(f"raw/{name}")
    with pytest.raises(SourceError) as refused:
        stamp(Source.folder("raw"))
    assert "it is no regular file" in str(refused.value)


# Links


def test_a_link_to_a_file_counts_by_what_it_points_to(folder: Path) -> None:
    write("data.csv", "1")
    os.mkdir("raw")
    os.symlink("../data.csv", "raw/data.csv")
    os.symlink("data.csv", "link.csv")
    files = stamp(Source.folder("raw"))
    one = stamp(Source.file("link.csv"))
    write("data.csv", "2")
    assert stamp(Source.folder("raw")).digest != files.digest
    assert stamp(Source.file("link.csv")).digest != one.digest


def test_a_link_put_to_another_file_of_equal_content_is_no_change(folder: Path) -> None:
    write("one.csv", "1")
    write("two.csv", "1")
    os.symlink("one.csv", "link.csv")
    before = stamp(Source.file("link.csv")).digest
    os.remove("link.csv")
    os.symlink("two.csv", "link.csv")
    assert stamp(Source.file("link.csv")).digest == before


def test_a_link_to_a_folder_is_followed(folder: Path) -> None:
    write("elsewhere/a", "1")
    os.mkdir("raw")
    os.symlink("../elsewhere", "raw/sub")
    os.symlink("elsewhere", "top")
    found = stamp(Source.folder("raw"))
    assert [path for path, _, _ in found.members] == ["raw/sub/a"]
    assert [path for path, _, _ in stamp(Source.folder("top")).members] == ["top/a"]
    write("elsewhere/a", "2")
    assert stamp(Source.folder("raw")).digest != found.digest


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_a_folder_that_is_there_twice_counts_alike_on_every_disk(names: tuple[str, str], folder: Path) -> None:
    """The order in which a folder lists its own is that of the disk, here of creation or not."""
    digests = []
    for place in ("one", "two"):
        for name in names if place == "one" else reversed(names):
            os.makedirs(f"{place}/{name}s")
        write(f"{place}/as/x", "1")
        os.symlink("as", f"{place}/{names[0]}_link")
        digests.append(stamp(Source.folder(place)))
    assert digests[0].digest == digests[1].digest
    assert any(path.endswith("/x") for path, _, _ in digests[0].members)


def test_the_order_of_the_disk_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("raw/real/x", "1")
    os.symlink("real", "raw/link")
    listed = os.scandir
    found = []
    for reverse in (False, True):

        class Ordered:
            def __init__(self, path: str, reverse: bool = reverse) -> None:
                with listed(path) as entries:
                    self.entries = iter(sorted(entries, key=lambda each: each.name, reverse=reverse))

            def __enter__(self) -> Iterator[os.DirEntry[str]]:
                return self.entries

            def __exit__(self, *exc: object) -> None: ...

            def __iter__(self) -> Iterator[os.DirEntry[str]]:
                return self.entries

            def __next__(self) -> os.DirEntry[str]:
                return next(self.entries)

        monkeypatch.setattr(os, "scandir", Ordered)
        found.append(stamp(Source.folder("raw")))
    assert found[0] == found[1]


def test_links_that_go_round_end(folder: Path) -> None:
    write("raw/a", "1")
    write("raw/sub/b", "2")
    os.symlink(".", "raw/self")
    os.symlink("..", "raw/sub/up")
    os.symlink("..", "raw/out")  # the folder above, in which this one is again
    found = stamp(Source.folder("raw"))
    assert {path for path, _, _ in found.members} >= {"raw/a", "raw/sub/b"}
    write("raw/sub/b", "3")
    assert stamp(Source.folder("raw")).digest != found.digest


def test_many_links_among_folders_take_no_time(folder: Path) -> None:
    """Paths through a mesh of links are without number."""
    for number in range(30):
        write(f"raw/{number}/file", str(number))
        for other in range(30):
            os.symlink(f"../{other}", f"raw/{number}/to{other}")
    found = files_of_path(Source.folder("raw"))
    assert {each.path for each in found if each.link is None} >= {str(folder / f"raw/{n}/file") for n in range(30)}


@pytest.mark.parametrize("target", ["nothing", "loop", "file/below", "/nowhere/at/all"])
def test_a_link_to_nothing_in_a_folder_counts_by_where_it_points(target: str, folder: Path) -> None:
    write("raw/file", "1")
    without = stamp(Source.folder("raw"))
    os.symlink(target, "raw/loop")
    found = stamp(Source.folder("raw"))
    assert found.digest != without.digest
    assert stamp(Source.folder("raw")) == found
    os.remove("raw/loop")
    os.symlink("another", "raw/loop")
    assert stamp(Source.folder("raw")).digest != found.digest


def test_a_link_to_nothing_by_itself_is_not_there(folder: Path) -> None:
    os.symlink("nothing", "link")
    os.symlink("loop", "loop")
    with pytest.raises(SourceError, match=r"source .link. \(.*\): is not there \(.*link\); make it"):
        stamp(Source.file("link"))
    with pytest.raises(SourceError, match=r"source 'loop' \(.*\): cannot be read: Too many levels of symbolic links"):
        stamp(Source.file("loop"))


# What is no file


def test_what_is_not_there(folder: Path) -> None:
    write("file")
    os.mkdir("raw")
    table: list[tuple[PathSource, str]] = [
        (Source.file("gone"), "is not there (.*/gone); make it, or correct its path"),
        (Source.folder("gone"), "is not there (.*/gone); make it, or correct its path"),
        (Source.file("file/below"), "cannot be read: Not a directory (.*/file/below)"),
        (Source.file("raw"), "is a folder; for all that is in it there is Source.folder()"),
        (Source.folder("file"), "is no folder; for a file there is Source.file()"),
    ]
    for source, told in table:
        pattern = told.replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(SourceError, match=rf"^source '.*' \(.*test_files\.py:\d+\): {pattern}$"):
            stamp(source)
        assert looks_now(source) == "gone"


def test_what_is_no_regular_file_is_not_opened(folder: Path) -> None:
    os.makedirs("raw")
    os.mkfifo("raw/pipe")
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind("socket")
        for source in (
            Source.folder("raw"),
            Source.file("raw/pipe"),
            Source.glob("raw/*"),
            Source.file("socket"),
            Source.file("/dev/null"),
        ):
            with pytest.raises(SourceError, match=r"cannot be read: it is no regular file \(/.*\)$"):
                stamp(source)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read(folder: Path) -> None:
    write("raw/a").chmod(0)
    for source in (Source.folder("raw"), Source.file("raw/a"), Source.glob("raw/*")):
        with pytest.raises(SourceError, match=r"cannot be read: Permission denied \(.*a\)"):
            stamp(source)
    os.chmod("raw", 0)
    for source in (Source.folder("raw"), Source.file("raw/a"), Source.glob("raw/*")):
        with pytest.raises(SourceError, match=r"cannot be read: Permission denied"):
            stamp(source)
    os.chmod("raw", 0o700)


def test_what_the_superuser_may_not_read_either(folder: Path) -> None:
    """A file of the kernel's that is a regular one and refuses to be read."""
    refusing = Path("/proc/self/mem")
    if not refusing.exists():
        pytest.skip("there is no /proc")
    with pytest.raises(SourceError, match=r"source '/proc/self/mem' \(.*\): cannot be read: Input/output error"):
        stamp(Source.file(refusing))


# A pattern


def test_a_pattern_counts_by_names_and_contents_of_what_it_fits(folder: Path) -> None:
    write("raw/a.csv", "1")
    write("raw/sub/b.csv", "2")
    write("raw/c.txt", "3")
    source = Source.glob("raw/**/*.csv")
    found = stamp(source)
    assert found.value == ["raw/a.csv", "raw/sub/b.csv"]
    assert [path for path, _, _ in found.members] == found.value
    assert stamp(Source.glob("raw/*.csv")).value == ["raw/a.csv"]

    write("raw/c.txt", "4")
    assert stamp(source).digest == found.digest
    write("raw/sub/b.csv", "3")
    assert stamp(source).digest != found.digest
    write("raw/sub/b.csv", "2")
    os.rename("raw/a.csv", "raw/z.csv")
    assert stamp(source).digest != found.digest


def test_a_pattern_that_fits_nothing(folder: Path) -> None:
    write("raw/a.txt")
    found = stamp(Source.glob("raw/**/*.csv"))
    assert found.value == []
    assert found.shown.startswith("0 files, 0 bytes of digest ")
    assert looks_now(Source.glob("raw/**/*.csv")) == found.looks


def test_a_pattern_in_a_folder_that_is_not_there(folder: Path) -> None:
    """A folder that is not mounted, or a slip of the pen, is no empty one."""
    write("file")
    for pattern, told in (
        ("rwa/*.csv", r"is not there \(rwa/\); make it, or correct its path"),
        ("/nowhere/**", r"is not there \(/nowhere/\); make it, or correct its path"),
        ("file/*.csv", r"cannot be read: Not a directory \(file/\)"),
        ("rwa/a.csv", r"is not there \(rwa/\)"),
    ):
        with pytest.raises(SourceError, match=rf"source '.*' \(.*test_files\.py:\d+\): {told}"):
            stamp(Source.glob(pattern))


def test_a_pattern_names_no_file_twice(folder: Path) -> None:
    write("raw/sub/b.csv", "2")
    assert stamp(Source.glob("raw/**/**/*.csv")).value == ["raw/sub/b.csv"]


def test_hidden_files_fit_only_a_pattern_that_says_so(folder: Path) -> None:
    write("raw/.hidden", "1")
    write("raw/.folder/a", "1")
    assert stamp(Source.glob("raw/**")).value == []
    assert stamp(Source.glob("raw/.*")).value == ["raw/.hidden"]
    assert [path for path, _, _ in stamp(Source.folder("raw")).members] == ["raw/.folder/a", "raw/.hidden"]


@pytest.mark.parametrize(
    "pattern",
    ["raw/*", "raw/**", "./raw/*", "raw//*", "raw///*", "raw/./*", "raw/sub/../*", "{top}/raw/*", "{top}//raw//*"],
)
def test_however_a_pattern_is_written_names_count(pattern: str, folder: Path) -> None:
    write("raw/sub/.keep")
    write("raw/ab", "1")
    source = Source.glob(pattern.format(top=folder))
    before = stamp(source)
    os.rename("raw/ab", "raw/bb")
    after = stamp(source)
    assert before.digest != after.digest
    assert [file.name for file in files_of_glob(source)] == ["bb"]


def test_a_pattern_counts_the_same_wherever_it_is(folder: Path) -> None:
    for place in ("here", "there/deep"):
        write(f"{place}/raw/a.csv", "1")
    assert (
        stamp(Source.glob("here/raw/*")).digest
        == stamp(Source.glob("there/deep/raw/*")).digest
        == stamp(Source.glob(str(folder / "here" / "raw" / "*"))).digest
    )


def test_patterns_at_the_top(folder: Path) -> None:
    write("a.csv", "1")
    write(".b.csv", "2")
    assert [file.name for file in files_of_glob(Source.glob("*.csv"))] == ["a.csv"]
    assert [file.name for file in files_of_glob(Source.glob(".*.csv"))] == [".b.csv"]
    assert [file.name for file in files_of_glob(Source.glob("a.csv"))] == ["a.csv"]
    assert looks_now(Source.glob("/*.no-such-file-here")) == stamp(Source.glob("*.nothing")).looks


def test_a_pattern_leaves_folders_out_and_takes_links_to_nothing(folder: Path) -> None:
    os.makedirs("raw/sub.csv")
    os.symlink("nothing", "raw/a.csv")
    source = Source.glob("raw/*.csv")
    first = stamp(source)
    assert first.value == ["raw/a.csv"]
    write("raw/nothing", "1")
    assert stamp(source).digest != first.digest


# What changes while it is read


def reading(source: PathSource, again: Callable[[], list[FoundFile]]) -> tuple[list[FoundFile], list[str]]:
    return FileDigests(None).of(files_of_path(source), again, source.where)


def test_a_file_that_changes_while_it_is_read_is_read_again(folder: Path) -> None:
    source = Source.file("data.csv")
    write("data.csv", "old")
    calls = []

    def again() -> list[FoundFile]:
        calls.append(1)
        if len(calls) == 1:
            write("data.csv", "newer")
        return files_of_path(source)

    files, (found,) = reading(source, again)
    assert files[0].size == 5
    assert len(calls) == 2
    _, (expected,) = reading(source, lambda: files_of_path(source))
    assert found == expected


def test_a_file_that_never_stays_is_refused(folder: Path) -> None:
    source = Source.folder("raw")
    write("raw/a")
    calls = []

    def again() -> list[FoundFile]:
        calls.append(1)
        write(f"raw/{len(calls)}")
        return files_of_path(source)

    with pytest.raises(SourceError, match=r"source 'raw' \(.*\): changes while it is read, again and again; wait"):
        reading(source, again)
    assert len(calls) < 10


def test_what_was_read_of_a_file_that_changed_is_not_kept_for_what_came_after(
    folder: Path, catalog: Catalog, settled: Callable[[], None]
) -> None:
    source = Source.file("data.csv")
    write("data.csv", "old")
    settled()
    digests = FileDigests(catalog)
    calls = []

    def again() -> list[FoundFile]:
        calls.append(1)
        if len(calls) == 1:
            os.remove("data.csv")
            write("data.csv", "new")
        return files_of_path(source)

    _, (found,) = digests.of(files_of_path(source), again, "")
    catalog.keep_file_digests(digests.read)
    _, (anew,) = FileDigests(None).of(files_of_path(source), lambda: files_of_path(source), "")
    assert found == anew
    kept: FileDigest = catalog.file_digests([str(folder / "data.csv")])[str(folder / "data.csv")]
    assert kept.digest == anew


def test_a_file_that_is_gone_before_it_is_read(folder: Path) -> None:
    source = Source.folder("raw")
    path = write("raw/a")
    files = files_of_path(source)
    os.remove(path)
    with pytest.raises(SourceError, match=r"is not there \(.*raw/a\)"):
        FileDigests(None).of(files, lambda: files, source.where)


# In general


TREES = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "ab", ".c"]), min_size=1, max_size=3).map("/".join),
    st.sampled_from(["", "1", "2", "12"]),
    max_size=5,
).filter(lambda tree: not any(other.startswith(f"{name}/") for name in tree for other in tree))


@settings(max_examples=100, deadline=None)
@given(one=TREES, two=TREES)
def test_digests_are_equal_as_names_and_contents_are(
    one: dict[str, str], two: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = []
    for tree in (one, two):
        top = tmp_path_factory.mktemp("tree")
        for name, content in tree.items():
            write(top / name, content)
        found.append(stamp(Source.folder(top)).digest)
    assert (found[0] == found[1]) == (one == two)


EDITS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "s/a"]), st.sampled_from(["write", "remove", "touch", "move"])), max_size=8
)


@settings(max_examples=50, deadline=None)
@given(edits=EDITS)
def test_through_all_edits_the_catalog_tells_what_reading_does(
    edits: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What is known of files never stands in the way of a change."""
    top = tmp_path_factory.mktemp("edits")
    source = Source.folder(top / "raw")
    write(top / "raw" / "s" / "keep")
    later = time.time_ns() + 3_600_000_000_000
    with Catalog.open(top / "catalog.db") as catalog, pytest.MonkeyPatch.context() as patch:
        patch.setattr("memo.versioning.files.time_ns", lambda: later)  # all is settled
        for number, (name, edit) in enumerate(edits):
            path = top / "raw" / name
            if edit == "write":
                write(path, str(number % 3))
            elif path.exists() and edit == "remove":
                path.unlink()
            elif path.exists() and edit == "touch":
                os.utime(path)
            elif path.exists():
                path.rename(top / "raw" / "a")
            stamps = Stamps(catalog)
            assert stamps.of(source) == stamp(source)
            stamps.keep(catalog)
            wait_for_a_later_time(top)


def wait_for_a_later_time(folder: Path) -> None:
    """Until the file system's clock, which goes by steps, has gone on."""
    before = os.stat(write(folder / "clock")).st_ctime_ns
    while os.stat(write(folder / "clock")).st_ctime_ns == before:
        pass
