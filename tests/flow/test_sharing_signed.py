"""Homes that share a place and sign: what another key has signed, or none, is not used, and not destroyed either."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Ran
from tests.flow import test_sharing
from tests.flow.test_sharing import HELLO, LOUD, Machine, files

DRAWS = test_sharing.TestForce

KEY, WRONG = "a key of the team's, long enough", "another key, and it is as long"


class Signing(Machine):
    """A machine whose processes have a key in their environment."""

    def __init__(self, path: Path, remote: str, key: str | None = KEY, *, read_only: bool = False) -> None:
        super().__init__(path, remote, read_only=read_only)
        self.key = key

    def environment(self, **more: str) -> dict[str, str]:
        """As a user has it who was handed the key."""
        return super().environment(**({} if self.key is None else {"MEMO_SIGNING_KEY": self.key}), **more)

    def told(self, ran: Ran) -> list[str]:
        """What a run said of signatures."""
        return [line for line in ran.stderr.splitlines() if "signed" in line or "trusted" in line]


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def one(tmp_path: Path, shared: Path) -> Signing:
    return Signing(tmp_path / "one", f"file://{shared}")


def machine(one: Signing, name: str, key: str | None = KEY, *, read_only: bool = False) -> Signing:
    remote = f"file://{one.path.parent / 'shared'}"
    return Signing(one.path.parent / name, remote, key, read_only=read_only)


def test_with_the_key_everything_is_as_without(one: Signing) -> None:
    one.run()
    other = machine(one, "other")
    found = other.run(output="greet")
    assert (found.ran, found.value) == ([], HELLO)
    assert not other.told(found)

    other.edit_equally()
    assert other.run().ran == ["clean"]
    one.edit_equally()
    assert one.run().ran == []
    other.edit_otherwise()
    assert "strip().upper()" in other.memo("why", "pipeline.py", "clean").stdout
    assert other.run(output="greet", max_concurrent=2).value == LOUD


def test_force_travels_signed(one: Signing) -> None:
    other = machine(one, "other")
    for each in (one, other):
        each.write("pipeline.py", DRAWS.SOURCE)
    before = DRAWS.checked(one)
    assert DRAWS.checked(other) == before
    after = DRAWS.checked(other, force=["draw"])
    assert after != before
    assert DRAWS.checked(one) == after


@pytest.mark.parametrize("theirs", [WRONG, None], ids=["another key", "no key"])
def test_what_the_key_has_not_signed_is_not_used(one: Signing, shared: Path, theirs: str | None) -> None:
    stranger = machine(one, "stranger", theirs)
    stranger.run()
    before = files(shared)

    found = one.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet", "read"], HELLO)
    told = one.told(found)
    assert 1 <= len(told) <= 3, told
    assert any("history" in line for line in told)
    assert any("outputs in" in line or ".json" in line for line in told)
    after = files(shared)
    gone = {name for name, held in before.items() if after.get(name) != held}
    assert all(name.startswith("versioned/") for name in gone), "only manifests, by those of what was made anew"
    assert one.run(output="greet").ran == []
    found = machine(one, "friend").run(output="greet")
    assert (found.ran, found.value) == ([], HELLO), "what was made anew is signed"


@pytest.mark.parametrize("theirs", [WRONG, None], ids=["another key", "no key"])
def test_without_history_it_shows_when_it_is_read(one: Signing, shared: Path, theirs: str | None) -> None:
    machine(one, "stranger", theirs).run()
    for path in (shared / "history").rglob("*"):
        if path.is_file():
            path.unlink()
    one.edit_otherwise()
    found = one.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet", "read"], LOUD)
    assert len(one.told(found)) == 1

    again = machine(one, "again")
    for path in (shared / "history").rglob("*"):
        if path.is_file():
            path.unlink()
    _, said = again.start(output="greet").process.communicate()
    assert "OutputLostError" in said, "nothing but the result was read"
    assert again.run(output="greet").value == HELLO


def test_a_step_whose_many_inputs_are_all_not_signed_runs(one: Signing, shared: Path) -> None:
    source = """
        from memo import job, op

        def made(index):
            @op(name=f"part{index}")
            def body() -> int:
                return index
            return body

        PARTS = [made(index) for index in range(6)]

        @op
        def total(parts: list) -> int:
            return sum(parts)

        @job
        def many():
            total([part() for part in PARTS])
    """
    stranger = machine(one, "stranger", WRONG)
    for each in (one, stranger):
        each.write("pipeline.py", source)
    stranger.run()
    for path in (shared / "history").rglob("*"):
        if path.is_file():
            path.unlink()
    one.edit("pipeline.py", "sum(parts)", "sum(parts) + 1")
    found = one.run(output="total")
    assert (len(found.ran), found.value) == (7, "16")


def test_history_that_was_passed_over_counts_once_the_key_is_right(one: Signing) -> None:
    one.run()
    other = machine(one, "other", WRONG)
    assert len(other.memo("plan", "pipeline.py").stderr.splitlines()) <= 3
    other.key = KEY
    other.edit_equally()
    found = other.run(output="greet")
    assert (found.ran, found.value) == (["clean"], HELLO)


def test_a_claim_of_another_key_is_not_waited_for_and_not_removed(one: Signing, shared: Path) -> None:
    source = """
        import os
        from pathlib import Path
        from memo import job, op

        @op
        def slow() -> int:
            if (Path(__file__).parent / "die").exists():
                os._exit(9)
            return 1

        @job
        def dying():
            slow()
    """
    stranger = machine(one, "stranger", WRONG)
    for each in (one, stranger):
        each.write("pipeline.py", source)
    (stranger.path / "die").touch()
    stranger.start().process.communicate()
    claims = files(shared / "claims")
    assert len(claims) == 1

    found = one.run(output="slow")
    assert (found.ran, found.value) == (["slow"], "1")
    assert files(shared / "claims") == claims
    assert len(one.told(found)) == 1
    friend = machine(one, "friend")
    friend.write("pipeline.py", source)
    assert friend.run(output="slow").ran == []


def test_what_was_stored_before_does_not_take_the_place_of_what_others_signed(one: Signing, shared: Path) -> None:
    settings = (one.path / "memo.toml").read_text()
    (one.path / "memo.toml").write_text("")
    one.run()
    machine(one, "stranger", WRONG).run()
    before = files(shared)
    (one.path / "memo.toml").write_text(settings)

    found = one.run(output="greet")
    assert (found.ran, found.value) == ([], HELLO)
    assert files(shared) == before


def test_a_read_only_home_with_the_wrong_key_goes_on_by_itself(one: Signing, shared: Path) -> None:
    one.run()
    before = files(shared)
    reader = machine(one, "reader", WRONG, read_only=True)
    found = reader.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet", "read"], HELLO)
    assert 1 <= len(reader.told(found)) <= 3
    assert reader.run(output="greet").ran == []
    reader.edit_otherwise()
    found = reader.run(output="greet")
    assert (found.ran, found.value) == (["clean", "greet"], LOUD)
    assert files(shared) == before


def test_whoever_has_no_key_reads_what_was_signed(one: Signing) -> None:
    one.run()
    found = machine(one, "open", None).run(output="greet")
    assert (found.ran, found.value) == ([], HELLO)
