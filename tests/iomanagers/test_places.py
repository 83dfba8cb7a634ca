"""Places: files that appear whole, files that are created by one alone, and what a listing tells."""

from __future__ import annotations

import errno
import os
from threading import Barrier, Thread
from typing import TYPE_CHECKING, Any

import fsspec
import pytest

from memo_iomanagers.places import Place, place_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["folder", "memory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        yield place_at(tmp_path / "place")
    elif request.param == "memory":
        yield place_at(f"memory://{tmp_path.name}/place")
        fsspec.filesystem("memory").store.clear()
    else:
        yield request.getfixturevalue("s3_place")


def put(place: Place, path: str, data: bytes, **options: Any) -> bool:
    return place.put(path, data, aside=f"{path}.aside", **options)


def test_a_file_is_put_in_place_of_another(place: Place) -> None:
    assert put(place, "a/b/file", b"one")
    assert put(place, "a/b/file", b"three")
    assert place.read("a/b/file") == b"three"
    assert place.size("a/b/file") == 5
    assert dict(place.list("")) == {"a/b/file": 5}


def test_a_file_is_put_only_where_there_is_none(place: Place) -> None:
    assert put(place, "a/b/file", b"one", replace=False)
    assert not put(place, "a/b/file", b"three", replace=False)
    assert place.read("a/b/file") == b"one"
    assert dict(place.list("")) == {"a/b/file": 3}
    place.remove("a/b/file")
    assert put(place, "a/b/file", b"three", replace=False)
    assert place.read("a/b/file") == b"three"


def who_created(place: Place, path: str) -> list[int]:
    at_once, created = Barrier(8), dict[int, bool]()

    def create(who: int) -> None:
        at_once.wait()
        created[who] = place.put(path, b"%d" % who, aside=f"{path}.{who}", replace=False)

    threads = [Thread(target=create, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [who for who, it_did in created.items() if it_did]


def test_of_many_that_create_a_file_one_does(place: Place) -> None:
    paths = [f"claims/{number}" for number in range(5)]
    for path in paths:
        (first,) = who_created(place, path)
        assert place.read(path) == b"%d" % first
    assert sorted(place.list("")) == paths


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_is_created_on_a_file_system_without_hard_links(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    place = place_at(tmp_path)
    assert put(place, "a/file", b"one", replace=False)
    assert not put(place, "a/file", b"two", replace=False)
    assert place.read("a/file") == b"one"
    assert dict(place.list("")) == {"a/file": 3}


def test_a_file_that_cannot_be_created_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, "Quota exceeded")

    monkeypatch.setattr(os, "link", link)
    place = place_at(tmp_path)
    with pytest.raises(OSError, match="Quota exceeded"):
        put(place, "a/file", b"one", replace=False)
    assert place.list("") == {}


def test_a_listing_holds_what_begins_so_however_deep_it_lies(place: Place) -> None:
    paths = ["versioned/ab/ab1.json", "versioned/ab/ab2.json", "versioned/ac/x/y.json", "versioned2/z", "runs/r/s.json"]
    for size, path in enumerate(paths):
        put(place, path, bytes(size))
    assert dict(place.list("versioned/")) == {paths[0]: 0, paths[1]: 1, paths[2]: 2}
    assert dict(place.list("versioned")) == {paths[0]: 0, paths[1]: 1, paths[2]: 2, paths[3]: 3}
    assert dict(place.list("versioned/ab/ab2")) == {paths[1]: 1}
    assert dict(place.list("versioned/a")) == {paths[0]: 0, paths[1]: 1, paths[2]: 2}
    assert sorted(place.list("")) == sorted(paths)
    assert place.list("nothing/at/all") == {}
    assert place.list("versioned/ab/ab1.json/deeper/") == {}


def test_a_view_tells_what_is_there(place: Place) -> None:
    paths = [f"versioned/{number:02}/{number:02}.json" for number in range(30)]
    for path in paths[:20]:
        put(place, path, b"x" * 3)
    for wanted in (paths[18:22], paths):
        view = place.view(wanted)
        for path in wanted:
            if path in paths[:20]:
                assert (view.has(path), view.size(path), view.read(path)) == (True, 3, b"xxx")
            else:
                assert not view.has(path)
                with pytest.raises(FileNotFoundError):
                    view.size(path)
                with pytest.raises(FileNotFoundError):
                    view.read(path)


def test_many_files_are_fetched_and_those_that_are_not_there_left_out(place: Place) -> None:
    put(place, "a/1", b"one")
    put(place, "b/2", b"")
    assert dict(place.fetch(["a/1", "a/2", "b/2", "c/d/e"])) == {"a/1": b"one", "b/2": b""}
    assert place.fetch([]) == {}


def test_what_is_not_there(place: Place) -> None:
    put(place, "a/file", b"one")
    for path in ("a/fil", "a/file2", "b/file"):
        with pytest.raises(FileNotFoundError):
            place.read(path)
        with pytest.raises(FileNotFoundError):
            place.size(path)
        place.remove(path)
    assert dict(place.list("")) == {"a/file": 3}


def test_a_folder_is_removed_with_all_that_is_in_it(place: Place) -> None:
    for path in ("a/b/1", "a/b/c/2", "a/b2/3"):
        put(place, path, b"x")
    place.remove_folder("a/b")
    place.remove_folder("nothing")
    assert sorted(place.list("")) == ["a/b2/3"]


def test_a_file_that_is_given_up_is_not_there(place: Place) -> None:
    for size in (10, 6_000_000):
        file = place.create("a/file")
        file.write(bytes(size))
        file.abandon()
        assert place.list("") == {}
    file = place.create("a/file")
    file.write(bytes(10))
    file.close()
    assert dict(place.list("")) == {"a/file": 10}
    file.abandon()
    assert place.list("") == {}
