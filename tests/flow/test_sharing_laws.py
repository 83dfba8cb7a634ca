"""The laws with several homes that share one place: random graphs, edits, force and damage, in whichever home."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from memo import JobDefinition, SourceHashVersionStrategy, execute_job, graph, op
from memo.errors import OutputLostError
from memo.hashing import digest
from memo.project.home import Home
from memo.project.settings import StorageSettings
from tests.flow.test_laws import LOST, Model, config_of, edited, edits, make_job, models, same

SEQUENCES = int(os.environ.get("MEMO_LAW_SEQUENCES", "40" if os.environ.get("CI") else "25"))

PHASES = [Phase.explicit, Phase.generate]
"""Without shrinking: a sequence is seconds, and what a failing one did is told."""

STEPS = st.tuples(
    st.sampled_from(["one", "other", "reader"]),
    st.sampled_from(["edit", "edit", "edit", "meet", "force", "damage shared", "lose home", "lose catalog", "go on"]),
    edits().filter(lambda edit: edit[0] not in {"lose", "revert"}),
)


class Household:
    """Homes that share one place, each with the state of the code there."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder = folder
        self.shared = folder / "shared"
        self.models = dict.fromkeys(["one", "other", "reader"], model)

    def home(self, name: str) -> Path:
        return self.folder / name

    def run(self, name: str, force: Any = False) -> tuple[set[int], list[Any]]:
        model = self.models[name]
        settings = StorageSettings(str(self.shared), read_only=name == "reader")
        with Home(self.home(name), settings) as home:
            result = execute_job(
                make_job(model, SourceHashVersionStrategy()),
                instance=home,
                run_config=config_of(model),
                raise_on_error=True,
                force=force,
            )
            values: list[Any] = []
            for index in range(len(model.nodes)):
                gone = f"n{index}" in result.steps_with("unneeded")
                try:
                    values.append(LOST if gone else result.output_for_node(f"n{index}"))
                except OutputLostError:  # It is damaged in the shared place, as no step has noticed.
                    return self.run(name, force)
        return {int(key[1:]) for key in result.executed}, values

    def damage(self, which: int, amount: int) -> None:
        """Cut, garble or delete one of the shared files."""
        files = sorted(path for path in self.shared.rglob("*") if path.is_file())
        if files:
            path = files[which % len(files)]
            if amount % 3 == 0:
                path.unlink()
            elif amount % 3 == 1:
                path.write_bytes(path.read_bytes()[:-1])
            else:
                path.write_bytes(b"garbage")


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(models(most=15), st.lists(STEPS, min_size=2, max_size=8))
def test_every_home_has_what_a_full_run_gives(model: Model, sequence: list[tuple[str, str, Any]]) -> None:
    with TemporaryDirectory() as name:
        household = Household(Path(name), model)
        _, values = household.run("one")
        assert same(values, model.values())
        for who, what, edit in sequence:
            force: Any = False
            if what == "edit":
                household.models[who], _ = edited(household.models[who], edit)
            elif what == "meet":
                household.models[who] = household.models["one"]
            elif what == "force":
                force = [f"n{edit[1] % len(household.models[who].nodes)}"]
            elif what == "damage shared":
                household.damage(edit[1], edit[2])
            elif what == "lose home":
                shutil.rmtree(household.home(who), ignore_errors=True)
            elif what == "lose catalog":
                for path in household.home(who).glob("catalog.db*"):
                    path.unlink()
            _, values = household.run(who, force)
            assert same(values, household.models[who].values()), f"stale in {who} after {what} {edit}"
            ran, values = household.run(who)
            assert not ran, f"a second run in {who} ran {ran} after {what} {edit}"
            assert same(values, household.models[who].values())


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(models(most=15), st.lists(edits().filter(lambda edit: edit[0] not in {"lose", "revert"}), max_size=4))
def test_what_one_home_has_run_no_other_runs(model: Model, sequence: list[tuple[str, int, int]]) -> None:
    with TemporaryDirectory() as name:
        household = Household(Path(name), model)
        household.run("one")
        for edit in [None, *sequence]:
            if edit is not None:
                household.models["one"], _ = edited(household.models["one"], edit)
                household.run("one")
            for who in ("other", "reader"):
                household.models[who] = household.models["one"]
                ran, values = household.run(who)
                assert not ran
                assert same(values, household.models[who].values())


Drawing = tuple[tuple[bool, int, tuple[int, ...]], ...]
"""For each step: whether it gives another value each time, a constant in its code, and the steps that it reads."""


def drawn(drawing: Drawing) -> JobDefinition:
    """A job of steps that draw, and steps that combine what they read."""

    def make(index: int, draws: bool, constant: int) -> Any:
        def body(parts: list[str]) -> str:
            return os.urandom(8).hex() if draws else combined(constant, parts)

        return op(name=f"n{index}")(body)

    ops = [make(index, draws, constant) for index, (draws, constant, _) in enumerate(drawing)]

    @graph(name="drawn")
    def composed() -> None:
        handles: list[Any] = []
        for index, (_, _, reads) in enumerate(drawing):
            handles.append(ops[index]([handles[each] for each in reads]))

    return composed.to_job(version_strategy=SourceHashVersionStrategy())


def combined(constant: int, parts: list[str]) -> str:
    return digest("test", str(constant), *parts)


@st.composite
def drawings(draw: st.DrawFn) -> Drawing:
    found: list[tuple[bool, int, tuple[int, ...]]] = []
    for index in range(draw(st.integers(2, 6))):
        reads = draw(st.lists(st.integers(0, index - 1), min_size=1, max_size=2)) if index else []
        found.append((not index or draw(st.integers(0, 2)) == 0, index, tuple(reads)))
    return tuple(found)


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck), phases=PHASES)
@given(
    drawings(),
    st.lists(
        st.tuples(
            st.sampled_from(["one", "one", "other", "reader"]),
            st.sampled_from(["run", "force", "force", "edit", "apart", "lose home"]),
            st.integers(0, 2),
        ),
        min_size=4,
        max_size=10,
    ),
)
def test_no_home_reads_a_mixture_of_what_several_have_drawn(
    drawing: Drawing, sequence: list[tuple[str, str, int]]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        states = dict.fromkeys(["one", "other", "reader"], drawing)
        for who, what, which in sequence:
            index = which % len(drawing)
            if what == "edit":
                draws, constant, reads = states[who][index]
                states[who] = (*states[who][:index], (draws, constant + 1, reads), *states[who][index + 1 :])
            elif what == "lose home":
                shutil.rmtree(folder / who, ignore_errors=True)
            remote = None if what == "apart" else str(folder / "shared")
            for force in ([f"n{index}"], False) if what in {"force", "apart"} else (False,):
                with Home(folder / who, StorageSettings(remote, read_only=who == "reader")) as home:
                    result = execute_job(drawn(states[who]), instance=home, raise_on_error=True, force=force)
                    gone = result.steps_with("unneeded")
                    values = [
                        None if f"n{each}" in gone else result.output_for_node(f"n{each}")
                        for each in range(len(drawing))
                    ]
                for each, (draws, constant, reads) in enumerate(states[who]):
                    parts = [values[read] for read in reads]
                    if not draws and values[each] is not None and None not in parts:
                        expected = combined(constant, [str(part) for part in parts])
                        assert values[each] == expected, f"n{each} in {who} after {what} {which}, force {force}"
