"""With a key nothing counts but what it has signed, and nothing is opened before that is known."""

from __future__ import annotations

import json
import os
import pickle
import re
from base64 import b64encode
from io import BytesIO
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xxhash import xxh3_128_hexdigest

from memo.contracts.io_manager import InputContext, OutputContext, Provenance, Storage
from memo.errors import OutputLostError, StorageError
from memo_iomanagers import signing
from memo_iomanagers.filesystem import FsIOManager
from memo_iomanagers.manifest import sealed
from memo_iomanagers.offered import FS, PATH, TEXT
from memo_iomanagers.places import place_at
from memo_iomanagers.signing import SignatureError, SigningKey, key_of, sign, verify
from memo_iomanagers.stored import Stored

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Workspace
    from tests.iomanagers.conftest import CountingFileSystem

KEY = b"0123456789abcdef0123456789abcdef"
OTHER_KEY = b"another key, as long as it must be"
LARGE = 300_000
"""Bytes of a value that is mapped rather than read."""


def output(name: str = "result", version: str | None = "ab12", **more: Any) -> OutputContext:
    return OutputContext("step", name, version, "run-1", provenance=Provenance("job", "ck", "cd", 1.5), **more)


def load(io_manager: FsIOManager, context: OutputContext) -> Any:
    return io_manager.load_input(InputContext("value", context))


def manifests(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.json") if re.match(rb'\{"format"', path.read_bytes()))


def manifest_of(folder: Path, name: str) -> Path:
    return next(path for path in manifests(folder) if told(path)["output"] == name)


def told(manifest: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(manifest.read_bytes())
    return found


def data_of(manifest: Path) -> Path:
    root = next(parent for parent in manifest.parents if parent.name in {"outputs", "storage"})
    return next(root.rglob(told(manifest)["data"]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def signed(folder: Path) -> FsIOManager:
    return FsIOManager(folder, signing_key=KEY)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level("WARNING", "memo.run")

    def take() -> list[str]:
        taken = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return taken

    return take


class Bomb:
    """A pickle that, opened, leaves a mark."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


def fits(folder: Path, context: OutputContext, key: bytes | None = KEY) -> bool:
    """Whether an output counts, which all questions must answer alike."""
    fresh = FsIOManager(folder, signing_key=key)
    answers = {
        fresh.has_output(context),
        fresh.has_outputs([context])[0],
        fresh.content_digests([context])[0] is not None,
    }
    try:
        load(fresh, context)
    except OutputLostError:
        answers.add(False)
    else:
        answers.add(True)
    (answer,) = answers
    return answer


# Manifests.


def test_what_is_signed_is_there_with_the_key_and_without_one(signed: FsIOManager, folder: Path) -> None:
    signed.handle_output(output(), {"a": 1})
    assert fits(folder, output())
    assert fits(folder, output(), None)
    found = told(manifests(folder)[0])
    assert re.fullmatch("[0-9a-f]{64}", found["signature"])
    assert re.fullmatch("[0-9a-f]{64}", found["sha256"])


def test_without_a_key_nothing_is_signed(folder: Path) -> None:
    FsIOManager(folder).handle_output(output(), 1)
    assert not {"signature", "sha256"} & told(manifests(folder)[0]).keys()


def test_no_byte_of_a_manifest_can_be_changed(signed: FsIOManager, folder: Path) -> None:
    signed.handle_output(output(mapping_key="key"), 1)
    (manifest,) = manifests(folder)
    raw = manifest.read_bytes()
    for place in range(len(raw)):
        changed = bytearray(raw)
        changed[place] ^= 1
        manifest.write_bytes(changed)
        assert not fits(folder, output(mapping_key="key")), f"byte {place} of {raw!r} does not count"
    manifest.write_bytes(raw)
    assert fits(folder, output(mapping_key="key"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_edit_of_a_manifest_counts(signed: FsIOManager, folder: Path, data: st.DataObject) -> None:
    signed.handle_output(output(), 1)
    (manifest,) = manifests(folder)
    raw = manifest.read_bytes()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 90)))
    edited = raw[:start] + data.draw(st.binary(max_size=90)) + raw[end:]
    manifest.write_bytes(edited)
    assert fits(folder, output()) == (edited == raw)


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"encoding": "bytes"},
        {"size": 6},
        {"digest": "0" * 32},
        {"sha256": "0" * 64},
        {"output": "other"},
        {"step_key": "other"},
        {"version": "ab13"},
        {"run_id": "run-2"},
        {"mapping_key": "other"},
        {"form": "bytearray"},
        {"mtime_ns": 1},
        {"provenance": {"content_digest": "forged"}},
        {"added": 1},
        {"signature": None},
        {"signature": "0" * 64},
        {"signature": ""},
    ],
)
def test_no_field_of_a_manifest_can_be_changed(signed: FsIOManager, folder: Path, change: dict[str, Any]) -> None:
    signed.handle_output(output(), b"12345")
    (manifest,) = manifests(folder)
    before = told(manifest)
    signature = before.pop("signature")
    forged = {**before, **change, "signature": change.get("signature", signature)}
    if forged["signature"] is None:
        del forged["signature"]
    forged.pop("check", None)
    manifest.write_bytes(sealed(json.dumps(forged, separators=(",", ":")).encode()))
    assert not fits(folder, output())


def test_the_manifest_of_one_output_is_none_of_another(signed: FsIOManager, folder: Path) -> None:
    signed.handle_output(output("a"), 1)
    signed.handle_output(output("b"), 2)
    a, b = manifest_of(folder, "a"), manifest_of(folder, "b")
    a.write_bytes(b.read_bytes())
    assert not fits(folder, output("a"))


@pytest.mark.parametrize(
    ("value", "other"),
    [
        (b"1" * 5000, b"2" * 5000),
        (b"1" * LARGE, b"2" * LARGE),
        (np.arange(LARGE), np.arange(LARGE)[::-1].copy()),
        ({"k": [1.5] * 999}, {"k": [2.5] * 999}),
    ],
)
def test_data_cannot_be_swapped_between_outputs(signed: FsIOManager, folder: Path, value: Any, other: Any) -> None:
    signed.handle_output(output("a"), value)
    signed.handle_output(output("b"), other)
    first, second = (data_of(manifest_of(folder, name)) for name in "ab")
    times = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    aside = first.with_name("aside")
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    os.utime(first, ns=(times[0], times[0]))  # so that by its time nobody has written to it
    os.utime(second, ns=(times[1], times[1]))
    fresh = FsIOManager(folder, signing_key=KEY)
    for name in "ab":
        with pytest.raises(OutputLostError, match="does not hold what was signed"):
            load(fresh, output(name))


# Pickles.


def with_bomb(manifest: Path, canary: Path) -> dict[str, Any]:
    """Put a bomb in place of the data of an output, and tell its manifest for it, which is to be written."""
    said = told(manifest)
    bomb = pickle.dumps(Bomb(canary)).ljust(said["size"], b"\0")
    forged = {**said, "encoding": "pickle", "size": len(bomb), "digest": xxh3_128_hexdigest(bomb)}
    if "value" in said:
        return {**forged, "value": b64encode(bomb).decode()}
    data = data_of(manifest)
    former = data.stat()
    data.chmod(0o644)
    data.write_bytes(bomb)
    os.utime(data, ns=(former.st_mtime_ns, former.st_mtime_ns))
    return forged


def forge(manifest: Path, canary: Path, *, keep: tuple[str, ...] = ()) -> None:
    """Put a bomb in place of an output, with all that anybody can know of it."""
    forged = with_bomb(manifest, canary)
    for field in ("sha256", "signature"):
        if field not in keep:
            forged.pop(field, None)
    forged.pop("check", None)
    manifest.write_bytes(sealed(json.dumps(forged, separators=(",", ":")).encode()))


@pytest.mark.parametrize("keep", [(), ("sha256", "signature"), ("signature",)])
@pytest.mark.parametrize("value", [{"a": 1}, b"1" * 5000, b"1" * LARGE, pd.DataFrame({"a": np.arange(50_000.0)})])
def test_a_forged_pickle_is_never_opened(
    signed: FsIOManager, folder: Path, tmp_path: Path, value: Any, keep: tuple[str, ...]
) -> None:
    signed.handle_output(output(), value)
    canary = tmp_path / "canary"
    forge(manifests(folder)[0], canary, keep=keep)
    assert not fits(folder, output())
    signed.handle_output(output(), "new")
    assert not canary.exists()
    assert load(signed, output()) == "new"


def test_the_bomb_of_these_tests_goes_off(folder: Path, tmp_path: Path) -> None:
    io_manager = FsIOManager(folder)
    io_manager.handle_output(output(), {"a": 1})
    forge(manifests(folder)[0], tmp_path / "canary")
    load(io_manager, output())
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("size", [5000, LARGE])
def test_data_alone_cannot_be_replaced(folder: Path, tmp_path: Path, size: int, verify: bool) -> None:
    signed = FsIOManager(folder, signing_key=KEY, verify=verify)
    signed.handle_output(output(), {"a": b"x" * size})
    (manifest,) = manifests(folder)
    data = data_of(manifest)
    before = data.stat()
    data.write_bytes(pickle.dumps(Bomb(tmp_path / "canary")).ljust(before.st_size, b"\0"))
    os.utime(data, ns=(before.st_mtime_ns, before.st_mtime_ns))
    assert signed.has_output(output())  # planning opens no data; size and signature fit
    with pytest.raises(OutputLostError, match="does not hold what was signed"):
        load(signed, output())
    assert not (tmp_path / "canary").exists()
    assert not signed.has_output(output())


@pytest.mark.parametrize("size", [100, LARGE])
def test_what_was_hashed_is_what_is_read(tmp_path: Path, size: int) -> None:
    """Small files are read once; large ones of others are copied first (see below)."""
    file = BytesIO(b"a" * 100)
    stored = Stored(place_at(tmp_path), "data", file, 100, signed=True)
    stored.sha256()
    file.seek(0)
    file.write(b"b" * 100)
    assert stored.read() == bytes(stored.buffer()) == b"a" * 100


def test_a_file_that_others_can_write_to_is_copied_before_it_is_hashed(signed: FsIOManager, folder: Path) -> None:
    signed.handle_output(output(), np.arange(LARGE))
    data = data_of(manifests(folder)[0])
    data.chmod(0o666)
    loaded = load(signed, output())
    with data.open("r+b") as file:
        file.write(bytes(data.stat().st_size))
    assert np.array_equal(loaded, np.arange(LARGE))


def test_nobody_else_can_write_to_what_is_stored(signed: FsIOManager, folder: Path) -> None:
    before = os.umask(0)
    try:
        signed.handle_output(output(), np.arange(LARGE))
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o022 for path in folder.rglob("*") if path.is_file()} == {0}


# Paths.


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "model/deep").mkdir(parents=True)
    (tmp_path / "model/deep/weights").write_bytes(bytes(LARGE))
    (tmp_path / "model/config").write_text("a = 1")
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["deep/weights", "config"])
def test_no_file_of_a_signed_path_can_be_changed(folder: Path, tree: Path, name: str) -> None:
    signed = FsIOManager(folder, "path", signing_key=KEY)
    signed.handle_output(output(), tree)
    stored = load(signed, output()) / name
    before = stored.stat()
    stored.chmod(0o644)
    stored.write_bytes(b"b" * before.st_size)
    os.utime(stored, ns=(before.st_mtime_ns, before.st_mtime_ns))
    with pytest.raises(OutputLostError, match="its digest differs"):
        load(signed, output())


def test_a_listing_is_read_only_where_its_digest_fits(folder: Path, tree: Path, said: Callable[[], list[str]]) -> None:
    signed = FsIOManager(folder, "path", signing_key=KEY)
    signed.handle_output(output(), tree)
    listing = data_of(manifests(folder)[0])
    listing.write_bytes(re.sub(rb'"sha256":"[0-9a-f]{64}"', b'"sha256":"%s"' % (b"0" * 64), listing.read_bytes()))
    assert not signed.has_output(output())
    assert "does not hold what was signed" in said()[0]
    with pytest.raises(OutputLostError, match="does not hold what was signed"):
        load(signed, output())


def test_a_signed_path_far_away_is_checked_as_it_is_fetched(
    counting: type[CountingFileSystem], tree: Path, tmp_path: Path
) -> None:
    signed = FsIOManager("counting://outputs", "path", signing_key=KEY)
    signed.handle_output(output(), tree)
    side = next(name for name in counting.store if ".d/" in name and counting.store[name].size == LARGE)
    counting().pipe_file(side, b"b" * LARGE)
    with pytest.raises(OutputLostError, match="its digest differs"):
        load(signed, output())


def test_a_signature_changes_no_digest_of_content(folder: Path, tree: Path) -> None:
    signed, plain = (FsIOManager(folder, "path", signing_key=key) for key in (KEY, None))
    contexts = output("a"), output("b")
    signed.handle_output(contexts[0], tree)
    plain.handle_output(contexts[1], tree)
    assert contexts[0].provenance == contexts[1].provenance
    assert contexts[0].provenance.content_digest == signed.content_digest_of(output("c"), tree)


# What is reported.


def test_what_is_not_signed_is_reported_by_name(folder: Path, said: Callable[[], list[str]]) -> None:
    FsIOManager(folder).handle_output(output(), 1)
    name = manifests(folder)[0]
    fresh = FsIOManager(folder, signing_key=KEY)
    assert not fresh.has_output(output())
    assert said() == [f"{name} is not signed; it counts as not stored, and is made again when it is needed"]
    assert not fresh.has_output(output())
    assert fresh.content_digests([output()]) == [None]
    assert said() == [], "it was reported before"
    with pytest.raises(OutputLostError, match="is not signed; it counts as not stored"):
        load(fresh, output())


def test_a_signature_of_another_key_is_reported(folder: Path, said: Callable[[], list[str]]) -> None:
    FsIOManager(folder, signing_key=OTHER_KEY).handle_output(output(), 1)
    name = manifests(folder)[0]
    assert not FsIOManager(folder, signing_key=KEY).has_output(output())
    (line,) = said()
    assert line.startswith(f"{name} cannot be trusted: its signature does not fit the key; it counts as not stored")


def test_many_are_reported_in_a_line(folder: Path, said: Callable[[], list[str]]) -> None:
    contexts = [output(f"o{number}") for number in range(1_200)]
    for place, context in enumerate(contexts):
        FsIOManager(folder, signing_key=OTHER_KEY if place % 3 else None).handle_output(context, 1)
    fresh = FsIOManager(folder, signing_key=KEY)
    assert not any(fresh.has_outputs(contexts))
    assert fresh.content_digests(contexts) == [None] * len(contexts)
    unsigned, misfit = said()
    assert f"400 outputs in {folder}/ are not signed, the first is {folder}" in unsigned
    assert "they count as not stored" in unsigned
    assert "800 outputs in" in misfit
    assert "cannot be trusted: their signatures do not fit the key" in misfit


def test_many_that_are_asked_for_one_by_one_are_not_all_named(folder: Path, said: Callable[[], list[str]]) -> None:
    contexts = [output(f"o{number}") for number in range(100)]
    for context in contexts:
        FsIOManager(folder).handle_output(context, 1)
    fresh = FsIOManager(folder, signing_key=KEY)
    for context in contexts:
        assert not fresh.has_output(context)
    lines = said()
    assert len(lines) == 10
    assert lines[-1].endswith("further ones of this kind are not named")


def test_what_another_key_signed_is_left_where_it_is(folder: Path) -> None:
    other = FsIOManager(folder, signing_key=OTHER_KEY)
    other.handle_output(output(), 1)
    with pytest.raises(OutputLostError):
        load(FsIOManager(folder, signing_key=KEY), output())
    assert other.has_output(output())
    assert load(other, output()) == 1


def test_what_is_stored_anew_takes_the_place_of_what_is_not_signed(folder: Path, signed: FsIOManager) -> None:
    FsIOManager(folder).handle_output(output(), b"old" * LARGE)
    signed.handle_output(output(), b"new" * LARGE)
    assert load(signed, output()) == b"new" * LARGE
    kept = [path for top in ("versioned", "data") for path in (folder / top).rglob("*") if path.is_file()]
    assert len(kept) == 2


def test_far_away_too(counting: type[CountingFileSystem], said: Callable[[], list[str]]) -> None:
    FsIOManager("counting://outputs").handle_output(output(), 1)
    fresh = FsIOManager("counting://outputs", signing_key=KEY)
    with pytest.raises(OutputLostError, match="is not signed"):
        load(fresh, output())
    fresh.handle_output(output(), 2)
    assert load(fresh, output()) == 2
    assert load(FsIOManager("counting://outputs", signing_key=KEY), output()) == 2


# The key.


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(signing.VARIABLE, raising=False)


@pytest.mark.usefixtures("no_key")
def test_there_need_be_no_key() -> None:
    assert key_of(Storage()) is None


def same(first: SigningKey | None, second: SigningKey) -> bool:
    return first is not None and first.signature("a", b"b") == second.signature("a", b"b")


@pytest.mark.usefixtures("no_key")
def test_the_key_is_in_the_environment_or_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY + b"\n")
    file.chmod(0o600)
    storage = Storage(signing_key_file=str(file))
    assert same(key_of(storage), SigningKey(KEY))
    monkeypatch.setenv(signing.VARIABLE, f" {OTHER_KEY.decode()}\n")
    assert same(key_of(storage), SigningKey(OTHER_KEY))


@pytest.mark.parametrize(("key", "because"), [("", "is empty"), ("  ", "is empty"), ("x" * 15, "has 15 bytes")])
def test_a_weak_key_is_refused(key: str, because: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, key)
    with pytest.raises(StorageError, match=f"^{signing.VARIABLE}: the signing key {because}, and at least 16"):
        key_of(Storage())
    monkeypatch.delenv(signing.VARIABLE)
    (tmp_path / "key").write_text(key)
    with pytest.raises(StorageError, match=rf"key: the signing key {because}"):
        key_of(Storage(signing_key_file=str(tmp_path / "key")))
    with pytest.raises(StorageError, match="the signing key"):
        FsIOManager(tmp_path, signing_key=key.strip().encode())


@pytest.mark.usefixtures("no_key")
@pytest.mark.parametrize(("name", "because"), [("none", "No such file"), (".", "Is a directory")])
def test_a_key_file_that_cannot_be_read_is_said(tmp_path: Path, name: str, because: str) -> None:
    with pytest.raises(StorageError, match=f"the signing key cannot be read .{because}"):
        key_of(Storage(signing_key_file=str(tmp_path / name)))


@pytest.mark.usefixtures("no_key")
def test_a_key_file_that_others_can_read_is_said_once(tmp_path: Path, said: Callable[[], list[str]]) -> None:
    file = tmp_path / "key"
    file.write_bytes(KEY)
    file.chmod(0o644)
    for _ in range(3):
        assert key_of(Storage(signing_key_file=str(file)))
    assert said() == [f"{file}: others can read or change the signing key: chmod 600 it, and make a new one"]


@pytest.mark.parametrize("spec", [FS, PATH, TEXT])
def test_io_managers_that_are_offered_sign(spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.VARIABLE, KEY.decode())
    context = SimpleNamespace(resource_config=None, storage=Storage(str(tmp_path / "outputs")))
    (tmp_path / "file").touch()
    spec.create(context).handle_output(output(), str(tmp_path / "file"))
    assert "signature" in told(manifests(tmp_path / "outputs")[0])


def test_a_key_shows_nowhere(signed: FsIOManager) -> None:
    key = SigningKey(KEY)
    assert KEY.decode() not in f"{key!r} {key} {vars(signed)} {signed!r} {[getattr(key, n) for n in key.__slots__]}"
    for holder in (key, signed):
        with pytest.raises(TypeError, match="a signing key is not sent or stored"):
            pickle.dumps(holder)


# Envelopes.

names = st.text(max_size=20)


@given(st.binary(), names)
def test_what_is_in_an_envelope_comes_out_of_it(data: bytes, name: str) -> None:
    key = SigningKey(KEY)
    assert verify(sign(data, name, key), name, key) == data
    assert verify(sign(data, name, key), name, None) == data
    assert verify(sign(data, name, None), name, None) == data


@given(st.binary(max_size=40), st.data())
def test_no_byte_of_an_envelope_can_be_changed(data: bytes, draw: st.DataObject) -> None:
    key = SigningKey(KEY)
    envelope = bytearray(sign(data, "journal", key))
    envelope[draw.draw(st.integers(0, len(envelope) - 1))] ^= draw.draw(st.integers(1, 255))
    with pytest.raises(ValueError, match=r"is no whole envelope|cannot be trusted|is not signed"):
        verify(bytes(envelope), "journal", key)


def test_an_envelope_is_of_its_name_and_key() -> None:
    key = SigningKey(KEY)
    envelope = sign(b"data", "journal/a", key)
    for name, other in (("journal/b", key), ("journal/a", SigningKey(OTHER_KEY)), ("", key)):
        with pytest.raises(SignatureError, match="its signature does not fit the key"):
            verify(envelope, name, other)
    with pytest.raises(SignatureError, match="is not signed"):
        verify(sign(b"data", "journal/a", None), "journal/a", key)
    with pytest.raises(ValueError, match="is no whole envelope"):
        verify(b"data", "journal/a", key)


@given(names, st.binary(), names, st.binary())
def test_signatures_of_different_things_differ(name: str, data: bytes, other: str, more: bytes) -> None:
    key = SigningKey(KEY)
    assert (key.signature(name, data) == key.signature(other, more)) == ((name, data) == (other, more))


def test_a_signed_manifest_is_no_envelope_and_no_other_way_round(signed: FsIOManager, folder: Path) -> None:
    signed.handle_output(output(), 1)
    (manifest,) = manifests(folder)
    found = told(manifest)
    body = manifest.read_bytes().partition(b',"signature"')[0] + b"}"
    for name in ("", "manifest", "envelope manifest"):
        with pytest.raises(SignatureError):
            verify(b"memo-signed-1 %s\n%s" % (found["signature"].encode(), body), name, SigningKey(KEY))


# The command line.

PIPELINE = """
from memo import In, Nothing, Out, Output, job, op


@op
def load() -> dict:
    return {"rows": list(range(20))}


@op(out={"some": Out(is_required=False), "none": Out(is_required=False)})
def split(table: dict):
    yield Output(sum(table["rows"]), "some")


@op(out=Out(Nothing))
def check(table: dict):
    pass


@op
def report(total: int) -> str:
    return f"{total} in all"


@job
def daily():
    table = load()
    check(table)
    some, none = split(table)
    report(some)
"""


@pytest.fixture
def daily(workspace: Workspace) -> Workspace:
    workspace.write("daily.py", PIPELINE)
    return workspace


def verdicts(workspace: Workspace, **env: str) -> set[str]:
    done = workspace.memo("plan", "daily.py", "--json", **env)
    assert done.returncode == 0, done.stderr
    return {step["verdict"] for step in json.loads(done.stdout)["steps"]}


def bombs(workspace: Workspace, canary: Path, *, key: bytes | None = None) -> None:
    storage = workspace.path / ".memo/storage"
    for manifest in manifests(storage):
        forged = with_bomb(manifest, canary)
        forged.pop("signature", None)
        forged.pop("check", None)
        manifest.write_bytes(sealed(json.dumps(forged, separators=(",", ":")).encode()))


WITH_KEY = {"MEMO_SIGNING_KEY": KEY.decode()}
WITH_OTHER_KEY = {"MEMO_SIGNING_KEY": OTHER_KEY.decode()}


def test_a_key_that_is_set_later_and_changed(daily: Workspace) -> None:
    for env, jobs in (({}, "1"), (WITH_KEY, "1"), (WITH_OTHER_KEY, "2")):
        done = daily.memo("run", "daily.py", "-j", jobs, **env)
        assert done.returncode == 0, done.stderr
        assert "4 steps run, 0 reused" in done.stdout + done.stderr
        told_of = re.findall("is not signed|are not signed|does not fit the key|do not fit the key", done.stderr)
        assert len(told_of) <= 4
        assert bool(told_of) == bool(env)
        again = daily.memo("run", "daily.py", "-j", jobs, **env)
        assert "0 steps run, 4 reused" in again.stdout + again.stderr
        assert "sign" not in again.stderr
    assert verdicts(daily) == {"REUSE"}, "without a key signed outputs count as any"


def test_the_key_is_written_nowhere(daily: Workspace) -> None:
    daily.write("memo.toml", '[storage]\nsigning_key_file = "signing.key"\n')
    key = daily.path / "signing.key"
    key.write_bytes(KEY)
    key.chmod(0o600)
    assert daily.memo("run", "daily.py", "-j", "2").returncode == 0
    assert daily.memo("run", "daily.py", "--force", **WITH_OTHER_KEY).returncode == 0
    for path in (daily.path / ".memo").rglob("*"):
        if path.is_file():
            assert not {secret for secret in (KEY, OTHER_KEY) if secret in path.read_bytes()}, path
    key.write_bytes(b"short")
    done = daily.memo("run", "daily.py")
    assert done.returncode == 2
    assert "signing.key: the signing key has 5 bytes, and at least 16 are needed" in done.stderr


def test_with_a_key_no_command_opens_a_forged_pickle(daily: Workspace) -> None:
    assert daily.memo("run", "daily.py", **WITH_KEY).returncode == 0
    canary = daily.path / "canary"
    bombs(daily, canary)
    daily.write("old.json", '"190 in all"')
    for command in (
        ("plan", "daily.py"),
        ("why", "daily.py", "report"),
        ("adopt", "daily.py", "report", "old.json"),
        ("verify", "daily.py", "--rerun"),
        ("run", "daily.py", "--select", "report"),
        ("run", "daily.py", "-j", "2"),
    ):
        daily.memo(*command, **WITH_KEY)
        assert not canary.exists(), command
    assert verdicts(daily, **WITH_KEY) <= {"REUSE", "UNNEEDED"}


def test_looking_opens_no_pickle_even_without_a_key(daily: Workspace) -> None:
    assert daily.memo("run", "daily.py").returncode == 0
    canary = daily.path / "canary"
    bombs(daily, canary)
    for command in (
        ("plan", "daily.py"),
        ("why", "daily.py", "report"),
        ("runs",),
        ("show", "last"),
        ("logs", "last"),
        ("lint", "daily.py"),
        ("doctor",),
    ):
        daily.memo(*command)
        assert not canary.exists(), command
    daily.memo("run", "daily.py", "--force")
    assert not canary.exists()
