"""What was read in code objects and is kept in the home: it says what reading says, and gives way to damage."""

from __future__ import annotations

import ast
import marshal
import os
import subprocess
import sys
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xxhash import xxh3_128_digest

from memo.contracts.version_strategy import OpVersionContext
from memo_strategies import code_cache, code_reader
from memo_strategies.code_cache import CodeCache, content_key, way_of_reading
from memo_strategies.code_objects import nested_code
from memo_strategies.source_hash import SourceHashVersionStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, ModuleType

    from memo_strategies.code_objects import CodeSummary

LIBRARY = Path(sysconfig.get_path("stdlib"))
SAMPLE = sorted([*LIBRARY.glob("*.py"), *LIBRARY.glob("asyncio/*.py"), *LIBRARY.glob("email/*.py")])


def codes_of(path: Path) -> Iterator[CodeType]:
    code = compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    yield code
    yield from nested_code(code)


def file_in(folder: Path) -> Path:
    return folder / f"code-{sys.implementation.cache_tag}"


def written(folder: Path, *codes: CodeType) -> Path:
    """Read code objects through a cache, and write it."""
    cache = CodeCache(str(folder))
    for code in codes:
        cache.read(code)
    cache.write(str(folder))
    return file_in(folder)


def function(text: str, name: str = "written.py") -> CodeType:
    return next(nested_code(compile(text, name, "exec", dont_inherit=True)))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the code objects that were read, and not taken from a cache."""
    found: list[str] = []
    read = code_reader.read

    def noticed(code: CodeType) -> Any:
        found.append(code.co_name)
        return read(code)

    monkeypatch.setattr(code_reader, "read", noticed)
    return found


@pytest.mark.parametrize("part", range(4))
def test_what_is_kept_of_the_standard_library_is_what_reading_it_gives(part: int, tmp_path: Path) -> None:
    """Every code object with the content of another has its summary, wherever it stands, whoever loaded it."""
    sample = SAMPLE[part::4]
    fresh: dict[bytes | None, CodeSummary] = {}
    cache = CodeCache(str(tmp_path))
    for path in sample:
        for code in codes_of(path):
            key = content_key(code)
            assert key is not None
            found = cache.read(code)
            assert fresh.setdefault(key, found) == found
    cache.write(str(tmp_path))
    kept = CodeCache(str(tmp_path))
    for path in sample:
        first = next(codes_of(path))
        loaded: CodeType = marshal.loads(marshal.dumps(first))
        for code in (loaded, *nested_code(loaded)):
            moved = code.replace(co_filename="elsewhere.py", co_firstlineno=code.co_firstlineno + 7)
            assert kept.read(moved) == fresh[content_key(moved)]
    assert not kept.is_new
    assert len(fresh) > 1000


def test_reading_does_not_depend_on_what_the_key_leaves_out() -> None:
    for path in SAMPLE[::40]:
        for code in codes_of(path):
            bare = code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_stacksize=code.co_stacksize + 1)
            assert code_reader.read(bare) == code_reader.read(code)
            assert content_key(bare) == content_key(code)


CHANGES: list[tuple[str, Callable[[CodeType], dict[str, Any]]]] = [
    ("True for 1", lambda _: {"co_consts": (None, True, ("a", 0.0))}),
    ("1.0 for 1", lambda _: {"co_consts": (None, 1.0, ("a", 0.0))}),
    ("'1' for 1", lambda _: {"co_consts": (None, "1", ("a", 0.0))}),
    ("b'a' for 'a'", lambda _: {"co_consts": (None, 1, (b"a", 0.0))}),
    ("-0.0 for 0.0", lambda _: {"co_consts": (None, 1, ("a", -0.0))}),
    ("a tuple for a frozenset", lambda _: {"co_consts": (None, 1, frozenset(("a", 0.0)))}),
    ("a name", lambda code: {"co_names": tuple(f"{name}_" for name in code.co_names)}),
    ("a parameter", lambda code: {"co_varnames": tuple(f"{name}_" for name in code.co_varnames)}),
    ("a free variable", lambda code: {"co_freevars": tuple(f"{name}_" for name in code.co_freevars)}),
    ("instructions", lambda code: {"co_code": code.co_code[:-2] + b"\x09\x00"}),
    ("handlers", lambda _: {"co_exceptiontable": b""}),
    ("parameters by position", lambda _: {"co_posonlyargcount": 1}),
    ("its kind", lambda code: {"co_flags": code.co_flags ^ 0x20}),
    ("a lambda", lambda _: {"co_name": "<lambda>"}),
    ("what dataclasses made", lambda _: {"co_qualname": "__create_fn__.<locals>.f"}),
]


@pytest.mark.parametrize(("what", "change"), CHANGES, ids=[what for what, _ in CHANGES])
def test_what_reading_looks_at_is_in_the_key(what: str, change: Callable[[CodeType], dict[str, Any]]) -> None:
    text = (
        "def out(c):\n    def f(x):\n        try:\n            return g(x, c)\n        except E:\n            raise\n"
    )
    code = list(nested_code(compile(text, "f", "exec")))[1].replace(co_consts=(None, 1, ("a", 0.0)))
    other = code.replace(**change(code))
    assert content_key(other) != content_key(code), what
    assert content_key(code.replace(co_consts=(other,))) != content_key(code.replace(co_consts=(code,))), what


def test_constants_that_no_compiler_writes_are_read_each_time(tmp_path: Path, reads: list[str]) -> None:
    """Marshal writes any buffer as bytes: one would be taken for the other."""
    plain = function("def f():\n    return b'x'\n")
    cache = CodeCache(str(tmp_path))
    cache.read(plain)
    for held in (bytearray(b"x"), memoryview(b"x"), [b"x"], (bytearray(b"x"),), object()):
        strange = plain.replace(co_consts=tuple(held if each == b"x" else each for each in plain.co_consts))
        assert content_key(strange) is None
        assert content_key(plain.replace(co_consts=(strange,))) is None
    cache.read(plain.replace(co_consts=tuple(bytearray(b"x") if each == b"x" else each for each in plain.co_consts)))
    assert reads == ["f", "f"]


def test_a_name_with_half_a_character_is_read_each_time(tmp_path: Path) -> None:
    code = function("def f():\n    return __import__('\\ud800')\n")
    assert written(tmp_path, code).exists() is False
    assert code_reader.read(code).holes[0].argument == "\ud800"


def test_keys_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever the hash seed, and whether the code was compiled or loaded from a file of bytecode."""
    text = "def f(x):\n    return x in {'a', 'b', 'cc', 'd', 1, 2.5, None, ('e', 'f')}, [y for y in x], lambda: 1e400\n"
    (tmp_path / "written.py").write_text(text)
    program = "import written, memo_strategies.code_cache as c; print(c.content_key(written.f.__code__).hex())"
    found = set()
    for seed in ("0", "1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        run = [sys.executable, "-c", program]
        found.add(subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, check=True).stdout)
    assert len(found) == 1


def test_a_later_process_reads_only_what_is_new(tmp_path: Path, reads: list[str]) -> None:
    first, second = function("def first(): return 1"), function("def second(): return 2")
    written(tmp_path, first)
    written(tmp_path, first, second)
    written(tmp_path, first, second)
    assert reads == ["first", "second"]


def test_nothing_is_written_where_nothing_new_was_read(tmp_path: Path) -> None:
    code = function("def f(): return 1")
    path = written(tmp_path, code)
    before = path.stat().st_mtime_ns, path.stat().st_ino
    written(tmp_path, code)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:31],
        lambda content: content[:32],
        lambda content: content[:-1],
        lambda content: content + b"\x00",
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
        lambda content: bytes([content[0] ^ 1]) + content[1:],
        lambda content: b"\x00" * len(content),
    ],
    ids=["empty", "head", "no body", "cut", "longer", "first entry", "last entry", "another way of reading", "zeros"],
)
def test_a_damaged_file_counts_as_none(damage: Callable[[bytes], bytes], tmp_path: Path, reads: list[str]) -> None:
    code = function("def f(): return 1")
    path = written(tmp_path, code)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    written(tmp_path, code)
    assert reads == ["f", "f"]
    assert path.read_bytes() == whole


def test_every_flipped_byte_is_noticed(tmp_path: Path, reads: list[str]) -> None:
    code = function("def f(): return 1")
    path = written(tmp_path, code)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        CodeCache(str(tmp_path)).read(code)
    assert len(reads) == len(whole) + 1


@pytest.mark.parametrize("entry", [b"\xc0", b"\x91\x01", b"\xa1x"], ids=["nothing", "a number for a hash", "a text"])
def test_an_entry_that_is_no_summary_is_read_anew(entry: bytes, tmp_path: Path, reads: list[str]) -> None:
    """Somebody made it: its digest fits."""
    code = function("def f(): return 1")
    path = written(tmp_path, code)
    body = b"\x81\xc4\x10" + (content_key(code) or b"") + entry
    way = path.read_bytes()[:16]
    path.write_bytes(way + xxh3_128_digest(body) + body)
    assert CodeCache(str(tmp_path)).read(code) == code_reader.read(code)
    path.write_bytes(way + xxh3_128_digest(entry) + entry)
    assert CodeCache(str(tmp_path)).read(code) == code_reader.read(code)


def test_what_another_python_or_another_memo_read_does_not_count(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = function("def f(): return 1")
    written(tmp_path, code)
    ours = way_of_reading()
    monkeypatch.setattr(sys, "version", sys.version.replace("3.", "4."))
    theirs = way_of_reading()
    assert theirs != ours
    monkeypatch.setattr(code_cache, "_WAY", theirs)
    written(tmp_path, code)
    written(tmp_path, code)
    assert reads == ["f", "f"]


def test_the_text_of_every_module_that_reads_is_in_the_way_of_reading(tmp_path: Path) -> None:
    """So that what an older memo kept is never taken for what this one would read."""
    found: set[str] = set()
    work = ["memo_strategies.code_cache", "memo_strategies.code_reader"]
    while work:
        name = work.pop()
        if name in found or name.startswith("memo.contracts"):
            continue
        found.add(name)
        tree = ast.parse(Path(str(sys.modules[name].__file__)).read_text(encoding="utf-8"))
        at_run_time = [each for each in tree.body if not isinstance(each, ast.If)]
        for node in (inner for each in at_run_time for inner in ast.walk(each)):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in {"memo", "memo_strategies"}:
                below = [f"{node.module}.{each.name}" for each in node.names]
                work += [each for each in below if each in sys.modules] or [str(node.module)]
    assert found == set(code_cache._READ_BY)

    fake = tmp_path / "reader.py"
    fake.write_text("A = 1\n")
    module = type(sys)("reader_of_a_test")
    module.__file__ = str(fake)
    sys.modules["reader_of_a_test"] = module
    try:
        before = way_of_reading(["reader_of_a_test"])
        fake.write_text("A = 2\n")
        assert way_of_reading(["reader_of_a_test"]) != before
        fake.unlink()
        assert way_of_reading(["reader_of_a_test"]) is None
    finally:
        del sys.modules["reader_of_a_test"]


def test_where_the_text_of_the_readers_is_not_at_hand_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_cache, "_WAY", None)
    assert not written(tmp_path, function("def f(): return 1")).exists()


def test_writers_at_the_same_time_leave_a_whole_file_and_no_drafts(tmp_path: Path) -> None:
    codes = [function(f"def f{at}(x): return x + {at}") for at in range(60)]
    wrong: list[object] = []

    def work(mine: list[CodeType]) -> None:
        for code in mine:
            cache = CodeCache(str(tmp_path))
            if cache.read(code) != code_reader.read(code):
                wrong.append(code)
            cache.write(str(tmp_path))

    threads = [threading.Thread(target=work, args=(codes[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    path = written(tmp_path, *codes)
    assert not wrong
    assert os.listdir(tmp_path) == [path.name]
    kept = CodeCache(str(tmp_path))
    assert [kept.read(code) for code in codes] == [code_reader.read(code) for code in codes]
    assert not kept.is_new


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    code = function("def f(): return 1")
    draft = tmp_path / f"{file_in(tmp_path).name}.5c8f3a0d"
    draft.write_bytes(b"half")
    other = tmp_path / "other"
    other.write_bytes(b"of somebody else")
    path = written(tmp_path, code)
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, other.name])


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [function(f"def f{at}(x): return x + {at}") for at in range(10)]
    size = len(code_cache._encode(code_reader.read(codes[0])))
    monkeypatch.setattr(code_cache, "_MOST_UNUSED", 3 * size)
    for code in codes:
        written(tmp_path, code)
    kept = CodeCache(str(tmp_path))
    kept.read(codes[6])  # used again
    new = function("def new(): return 1")
    kept.read(new)
    kept.write(str(tmp_path))
    known = set(code_cache._load(str(tmp_path)))
    assert known == {content_key(code) for code in (codes[6], *codes[7:], new)}


def test_a_folder_that_takes_no_files_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code = function("def f(): return 1")
    assert not written(tmp_path / "file", code).exists()
    (tmp_path / "other").mkdir()
    file_in(tmp_path / "other").mkdir()
    written(tmp_path / "other", code)
    assert os.listdir(tmp_path / "other") == [file_in(tmp_path).name]


TEXT = """
LIMIT = 1
def helper(x):
    return x + LIMIT
def op(x):
    from json import dumps
    return dumps([helper(each) for each in x])
"""


def test_a_strategy_takes_and_leaves_what_it_read(
    load: Callable[..., ModuleType], stand: Any, tmp_path: Path, reads: list[str]
) -> None:
    folder = tmp_path / "home" / "cache"

    def version(text: str, *, keeps: bool = True, recalls: bool = True) -> str:
        strategy = SourceHashVersionStrategy()
        context = OpVersionContext(stand(load(text).op))
        if recalls:
            strategy.recall_from(str(folder))
        with strategy.planning():
            found = strategy.get_op_version(context).version
        if keeps:
            strategy.keep_in(str(folder))
        return found

    alone = version(TEXT, recalls=False)
    assert not folder.exists()
    assert version(TEXT, keeps=False) == alone
    assert not folder.exists()
    assert version(TEXT) == alone
    assert file_in(folder).exists()
    reads.clear()
    assert version("# moved\n\n" + TEXT) == alone
    assert reads == []
    assert version(TEXT.replace("LIMIT = 1", "LIMIT = 2")) != alone  # what names stand for is looked up each time
    assert reads == []
    changed = version(TEXT.replace("x + LIMIT", "x - LIMIT"))
    assert changed not in {alone, ""}
    assert reads == ["helper"]
