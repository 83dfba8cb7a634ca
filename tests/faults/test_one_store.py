"""One output being stored: killed before every single call that it makes, and every one of them failing in turn."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import sys
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

from memo.contracts.io_manager import InputContext, OutputContext
from memo.errors import StorageError
from memo_iomanagers.filesystem import FsIOManager
from tests.faults.conftest import half_stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.conftest import Starter

CONTEXT = OutputContext("step", "result", "ab12", "run")
LARGE = 300_000


def folder_at(path: Path, text: str) -> Path:
    path.mkdir(exist_ok=True)
    (path / "few").write_text(text)
    (path / "in").mkdir(exist_ok=True)
    (path / "in" / "many").write_text(text * LARGE)
    (path / "link").unlink(missing_ok=True)
    (path / "link").symlink_to("in/many")
    return path


VALUES: dict[str, tuple[str, Callable[[Path, str], Any]]] = {
    "small": ("auto", lambda _, text: [text]),
    "large": ("auto", lambda _, text: text * LARGE),
    "array": ("auto", lambda _, text: np.full(LARGE, ord(text))),
    "folder": ("path", lambda path, text: folder_at(path / "made", text)),
}


def content(value: Any) -> Any:
    if isinstance(value, Path):
        return [(path.name, path.read_text()) for path in sorted(value.rglob("*")) if path.is_file()]
    return value.tolist() if isinstance(value, np.ndarray) else value


def load(storage: Path, encoding: str) -> Any:
    return content(FsIOManager(storage, encoding).load_input(InputContext("value", CONTEXT)))


STORE = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.faults.test_one_store import CONTEXT, VALUES
    from memo_iomanagers.filesystem import FsIOManager
    encoding, make = VALUES[{kind!r}]
    value = make(Path.cwd(), {text!r})
    manager = FsIOManager(Path("storage"), encoding)
    manager.handle_output(CONTEXT, value)
"""


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "replacing"])
def test_killed_before_every_call_it_leaves_what_was_and_nothing_else(
    tmp_path: Path, starter: Starter, kind: str, replaces: bool
) -> None:
    encoding, make = VALUES[kind]
    storage = tmp_path / "storage"
    old, new = content(make(tmp_path, "o")), content(make(tmp_path, "n"))
    code = dedent(STORE.format(root=str(Path(__file__).parents[2]), kind=kind, text="n"))
    before = tmp_path / "before"
    if replaces:
        FsIOManager(before, encoding).handle_output(CONTEXT, make(tmp_path, "o"))
        gc.collect()
    seen = set()
    call = 0
    code_of_end = -9
    while code_of_end == -9:
        # A folder is stored by three times as many calls, alike for each file; an array by the calls of what is large.
        call += {"folder": 3, "array": 2}.get(kind, 1)
        shutil.rmtree(storage, ignore_errors=True)
        if replaces:
            shutil.copytree(before, storage, symlinks=True)
        # The calls by which Python finds the code to run are none of the store's.
        armed = code.replace("manager.h", f"from __main__ import Fuse; Fuse({call}, 'told').light(); manager.h")
        process = starter.start(tmp_path, code=armed)
        code_of_end = process.code()
        assert code_of_end in {0, -9}, process.text()

        manager = FsIOManager(storage, encoding)
        manager.sweep()

        assert half_stored(storage) == [], f"before call {call}"
        there = manager.has_output(CONTEXT)
        assert there or not replaces, f"before call {call}: what was there is lost"
        if there:
            found = load(storage, encoding)
            assert found in (old, new), f"before call {call}"
            seen.add(json.dumps(found))
    assert call > 12
    assert content(load(storage, encoding)) == new
    assert len(seen) == (2 if replaces else 1)


FAILING = frozenset({"open", "write", "mkdir", "replace", "symlink", "close", "chmod", "utime", "ftruncate", "stat"})


class Failure:
    """Has one call of those that can fail raise an error.

    Args:
        at: Which one, counted from 1.
        number: The error's.
    """

    def __init__(self, at: int, number: int) -> None:
        self.left = at
        self.number = number

    def __enter__(self) -> Self:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)

    def _called(self, _frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in FAILING and getattr(called, "__module__", "") == "posix":
            self.left -= 1
            if self.left == 0:
                raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full disk", "failing disk"])
@pytest.mark.parametrize("replaces", [False, True], ids=["new", "replacing"])
def test_whatever_call_fails_what_was_stays_and_nothing_half_stored(
    tmp_path: Path, kind: str, number: int, replaces: bool
) -> None:
    encoding, make = VALUES[kind]
    old, new = content(make(tmp_path, "o")), make(tmp_path, "n")
    before = tmp_path / "before"
    if replaces:
        FsIOManager(before, encoding).handle_output(CONTEXT, make(tmp_path, "o"))
        gc.collect()
    make(tmp_path, "n")
    call = 0
    failed = 0
    while True:
        call += 1
        storage = tmp_path / f"storage-{call}"
        if replaces:
            shutil.copytree(before, storage, symlinks=True)
        manager = FsIOManager(storage, encoding)
        failure = Failure(call, number)
        try:
            with failure:
                manager.handle_output(CONTEXT, new)
        except StorageError as error:
            failed += 1
            told = str(error)
            assert told.startswith("output 'result' of step 'step': ")
            assert "\n" not in told
            left = [each for each in half_stored(storage) if not each.startswith("writing/")]
            assert left == [], f"call {call}: {told}"
            assert manager.has_output(CONTEXT) is replaces, f"call {call}: {told}"
            if replaces:
                assert load(storage, encoding) == old
            manager.handle_output(CONTEXT, new)
        assert load(storage, encoding) == content(new), f"call {call}"
        if failure.left > 0:
            break
    assert failed > 4
