"""The settings of where outputs are shared, and what is said of wrong ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from memo.errors import ConfigError
from memo.project.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Memo
    from tests.conftest import Workspace


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MEMO_STORAGE_REMOTE", "MEMO_STORAGE_READ_ONLY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("given", ["", " ", "\t\n"])
def test_empty_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    (tmp_path / "memo.toml").write_text(
        f"[storage]\nremote = {json.dumps(given)}\nsigning_key_file = {json.dumps(given)}\n"
    )
    found = load_settings(tmp_path).storage
    assert (found.remote, found.signing_key_file) == (None, None)
    (tmp_path / "memo.toml").write_text('[storage]\nremote = "/shared"\n')
    monkeypatch.setenv("MEMO_STORAGE_REMOTE", given)
    assert load_settings(tmp_path).storage.remote is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("s3:/bucket/x", "s3://bucket/x"),
        ("s3//bucket/x", "s3://bucket/x"),
        ("s3:bucket/x", "s3://bucket/x"),
        ("s3:///", None),
        ("gs:/bucket", "gs://bucket"),
        ("s4:/bucket", "s4://bucket"),
        ("s3://bucket/x", None),
        ("shared//outputs", None),
        ("s3/bucket", None),
        ("C:/outputs", None),
        ("/mnt/a:b", None),
        ("a:b", None),
    ],
)
def test_what_is_meant_for_a_url_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, meant: str | None
) -> None:
    (tmp_path / "memo.toml").write_text(f"[storage]\nremote = {json.dumps(given)}\n")
    if meant is None:
        assert load_settings(tmp_path).storage.remote in {given, str(tmp_path / given)}
        return
    with pytest.raises(ConfigError) as told:
        load_settings(tmp_path)
    assert str(told.value).startswith(f"{tmp_path / 'memo.toml'}: ")
    assert f"storage.remote: is {given!r}" in str(told.value) or f"storage.remote is {given!r}" in str(told.value)
    assert f"Did you mean {meant!r}?" in str(told.value)
    monkeypatch.setenv("MEMO_STORAGE_REMOTE", given)
    with pytest.raises(ConfigError, match="MEMO_STORAGE_REMOTE"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("storage.remote = 5", "storage.remote is 5; it must be a text"),
        ("storage.read_only = 'yes'", "storage.read_only is 'yes'; it must be true or false"),
        ("storage = 3", "storage is 3; it must be a table"),
        ("max_concurrent = '2'", "max_concurrent is '2'; it must be a whole number"),
        ("home = true", "home is True; it must be a text"),
    ],
)
def test_a_wrong_type_is_told_in_the_words_of_settings(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "memo.toml").write_text(line)
    with pytest.raises(ConfigError) as told:
        load_settings(tmp_path)
    assert str(told.value).replace(": is", " is").endswith(said)


def test_a_url_of_no_kind_is_told_by_the_setting(daily: Workspace, memo: Memo) -> None:
    daily.write("memo.toml", '[storage]\nremote = "s4://bucket/x"\n')
    done = memo("run", "daily.py")
    assert done.returncode != 0
    assert "storage.remote in memo.toml or pyproject.toml: 's4://bucket/x' cannot be used" in done.stderr
    assert "base_dir" not in done.stderr
    done = memo("run", "daily.py", MEMO_STORAGE_REMOTE="s5://bucket/x")
    assert "MEMO_STORAGE_REMOTE 's5://bucket/x' cannot be used" in done.stderr


def test_what_is_shared_and_not_fetched_is_told_as_such(daily: Workspace, ok: Memo) -> None:
    daily.write("memo.toml", '[storage]\nremote = "shared"\n')
    ok("run", "daily.py")
    other = ["--home", "other"]
    assert "what other homes put into" in ok("ls", *other).stderr
    ok("run", "daily.py", *other)
    found = json.loads(ok("du", "--json", *other).stdout)
    assert (found["in_shared_place"], found["not_counted"]) == (3, {})
    for command in ("ls", "du"):
        assert "not counted: 3 outputs in the shared place" in ok(command, *other).stderr
    assert "outside of the home" not in ok("du", *other).stderr
    assert json.loads(ok("du", "--json").stdout)["in_shared_place"] == 0
