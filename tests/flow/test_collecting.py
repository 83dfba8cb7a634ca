"""Letting outputs go: nothing that is needed, nothing wrong afterwards, and nothing made again that nothing needs."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memo import (
    MEMOIZED_RUN_TAG,
    Home,
    JobDefinition,
    MemoError,
    SourceHashVersionStrategy,
    accept_version,
    adopt_outputs,
    execute_job,
    job,
    op,
    plan_job,
    revoke_acceptance,
)
from memo.project.checking import check_storage
from memo.project.collecting import Collection, Limits, collect_garbage
from memo.project.holdings import take_stock
from memo.project.rebuilding import rebuild_catalog
from tests.flow.test_laws import Model, Pipeline, edited, edits, models, same

if TYPE_CHECKING:
    from tests.conftest import Workspace

SEQUENCES = int(os.environ.get("MEMO_LAW_SEQUENCES", "30" if os.environ.get("CI") else "20"))

ALL = Limits(max_size=0, vouched=True)


def bytes_below(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_symlink() or path.is_file())


def held(home: Path) -> set[str]:
    """The step versions that are stored."""
    with Home(home) as opened:
        return {step.version for step in take_stock(opened).steps if step.version is not None}


def used_by_latest(home: Path, count: int) -> set[str]:
    """The step versions that the latest runs stood on, those they were stored under among them."""
    with Home(home) as opened:
        runs = [opened.catalog.get_run(run.run_id) for run in opened.catalog.list_runs(limit=count)]
        versions = {version for run in runs if run is not None for version in run.versions.values()}
        return versions | set(opened.catalog.aliases(list(versions)).values())


def collect(home: Path, limits: Limits, **arguments: Any) -> Collection:
    """Collect, and see that what is told of it is so."""
    before = held(home)
    expected = collect_garbage(limits, instance=home, dry_run=True)
    assert held(home) == before, "a dry run let something go"
    done = collect_garbage(limits, instance=home, **arguments)
    assert [each.step.version for each in done.evicted] == [each.step.version for each in expected.evicted]
    assert held(home) == before - {each.step.version for each in done.evicted}
    assert done.after == expected.after == bytes_below(home / "storage")
    return done


CHANGES = edits().filter(lambda edit: edit[0] != "lose")

LIMITS = st.builds(
    Limits,
    st.none() | st.integers(1, 3),
    st.none() | st.integers(0, 40_000),
    st.none() | st.sampled_from([0.0, 1e9]),
).filter(lambda limits: limits != Limits())


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(most=15), st.lists(CHANGES | LIMITS, min_size=1, max_size=8))
def test_whatever_goes_values_are_right_and_latest_runs_keep_theirs(model: Model, sequence: list[Any]) -> None:
    with TemporaryDirectory() as name:
        pipeline = Pipeline(Path(name), SourceHashVersionStrategy())
        pipeline.run(model)
        past = [model]
        for each in sequence:
            if isinstance(each, Limits):
                before, latest = held(pipeline.home), stood_on(pipeline.home)
                done = collect(pipeline.home, each)
                kept = used_by_latest(pipeline.home, each.keep_runs or 0)
                assert before & kept <= held(pipeline.home), f"{each} took what a latest run used"
                if each.max_size is not None and each.keep_runs is None:
                    # This process keeps notes of what it is storing as long as it lives.
                    assert done.after - bytes_below(pipeline.home / "storage" / "writing") <= each.max_size
                plan_says_nothing_wrong = check_storage(instance=pipeline.home)
                assert not plan_says_nothing_wrong.damaged
                if each.keep_runs is not None and latest <= before:
                    assert not pipeline.run(model)[0], "what the latest run stood on was kept, and ran again"
            elif each[0] == "revert":
                model = past[each[1] % len(past)]
            else:
                model, _ = edited(model, each)
            ran, values = pipeline.run(model)
            assert same(values, model.values()), f"stale after {each}"
            ran, values = pipeline.run(model)
            assert not ran, f"a second run ran {ran} after {each}"
            with Home(pipeline.home) as opened:
                assert take_stock(opened).size == bytes_below(pipeline.home / "storage")
            past.append(model)


def stood_on(home: Path) -> set[str]:
    """The step versions under which what the latest run stood on was stored."""
    with Home(home) as opened:
        run = opened.catalog.get_run(opened.catalog.list_runs(limit=1)[0].run_id)
        assert run is not None
        equal = opened.catalog.aliases(list(run.versions.values()))
        return {equal.get(version, version) for version in run.versions.values()}


@settings(max_examples=SEQUENCES, deadline=None, suppress_health_check=list(HealthCheck))
@given(models(most=15), st.lists(CHANGES, max_size=4))
def test_a_rebuilt_catalog_reuses_and_cuts_off(model: Model, sequence: list[Any]) -> None:
    with TemporaryDirectory() as name:
        pipeline = Pipeline(Path(name), SourceHashVersionStrategy())
        pipeline.run(model)
        for each in sequence:
            model, _ = edited(model, each)
            pipeline.run(model)
        for path in pipeline.home.glob("catalog.db*"):
            path.unlink()
        rebuild_catalog(instance=pipeline.home)
        ran, values = pipeline.run(model)
        assert not ran
        assert same(values, model.values())
        changed, touched = edited(model, ("padding", 0, 0))
        # The same value from other code: what reads it is cut off, as the manifests tell its content.
        ran, values = pipeline.run(changed)
        assert ran <= touched
        assert same(values, changed.values())


# A pipeline to hold in the hand.


class Chain:
    """Three steps in a row of different cost, whose code is what the test says it is now."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.code = {"load": 1, "clean": 1, "report": 1}
        self.gives = 10
        self.seen: list[str] = []

    def job(self) -> JobDefinition:
        seen, gives, code = self.seen, self.gives, dict(self.code)

        @op(version=f"load {code['load']}")
        def load() -> list[int]:
            seen.append("load")
            return [gives] * 1000

        @op(version=f"clean {code['clean']}")
        def clean(rows: list[int]) -> list[int]:
            seen.append("clean")
            return [row // 10 for row in rows]

        @op(version=f"report {code['report']}")
        def report(rows: list[int]) -> int:
            seen.append("report")
            return sum(rows) + code["report"]

        @job
        def daily() -> None:
            report(clean(load()))

        return daily

    def run(self, **arguments: Any) -> tuple[list[str], Any]:
        self.seen.clear()
        result = execute_job(self.job(), self.home, raise_on_error=True, **arguments)
        return list(self.seen), result.output_for_node("report")

    def plan(self) -> dict[str, tuple[str, str]]:
        plan = plan_job(self.job(), instance=self.home)
        return {key: (step.verdict.value, step.reason.value) for key, step in plan.steps.items()}

    def lose(self, *keys: str) -> None:
        """Let the outputs of some steps go, and of no others, by limits that fit no others."""
        from memo.project.holdings import home_io_manager

        with Home(self.home) as home:
            io_manager = home_io_manager(home)
            for step in take_stock(home).steps:
                if step.step_key in keys:
                    assert [io_manager.discard(stored) for stored in step.stored]


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "home")


def test_lost_intermediates_are_made_again_when_something_needs_them(chain: Chain) -> None:
    chain.run()
    chain.lose("load", "clean")
    lost = ("UNNEEDED", "outputs gone, and nothing that runs reads them")
    plan = chain.plan()
    assert {key: verdict for key, (verdict, _) in plan.items()} == {
        "load": lost[0],
        "clean": lost[0],
        "report": "REUSE",
    }
    assert chain.run() == ([], 1001)
    chain.code["report"] = 2
    assert {key: verdict for key, (verdict, _) in chain.plan().items()} == dict.fromkeys(chain.code, "RUN")
    assert chain.run() == (["load", "clean", "report"], 1002)
    chain.lose("load")
    chain.code["report"] = 3
    assert chain.run() == (["report"], 1003)


def test_two_collections_at_once_count_what_is_there(chain: Chain) -> None:
    chain.run()
    others: list[Collection] = []

    def meanwhile(_: object) -> None:
        if not others:
            others.append(collect_garbage(Limits(max_size=0), instance=chain.home))

    done = collect_garbage(Limits(max_size=0), instance=chain.home, on_evict=meanwhile)
    assert len(done.evicted) == 1
    assert len(others[0].evicted) == 2
    assert done.after == others[0].after == bytes_below(chain.home / "storage")


def test_what_is_lost_and_known_by_another_name_is_no_news(chain: Chain) -> None:
    chain.run()
    chain.gives, chain.code["load"] = 11, 2
    assert chain.run() == (["load", "clean"], 1001)  # `report` was cut off: it is stored under its former version
    collect(chain.home, ALL)
    assert chain.plan() == dict.fromkeys(chain.code, ("RUN", "stored output missing"))
    assert chain.run() == (["load", "clean", "report"], 1001)
    chain.lose("clean")
    chain.code["report"] = 2
    assert chain.run() == (["clean", "report"], 1002)


def test_the_cheapest_to_make_again_for_its_bytes_goes_first(chain: Chain) -> None:
    chain.run()
    with Home(chain.home) as home:
        steps = {step.step_key: step for step in take_stock(home).steps}
        size = take_stock(home).size
    by_worth = sorted(steps.values(), key=lambda step: (step.seconds or 0.0) / step.size)
    done = collect(chain.home, Limits(max_size=size - 1))
    assert [each.step.step_key for each in done.evicted] == [by_worth[0].step_key]
    assert done.is_met
    assert done.evicted[0].seconds == by_worth[0].seconds == done.seconds
    done = collect(chain.home, Limits(max_size=0))
    assert [each.step.step_key for each in done.evicted] == [step.step_key for step in by_worth[1:]]


def test_age_counts_from_the_latest_run_that_used_it(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    chain.run()
    chain.code["report"] = 2
    chain.run()
    long_after = time() + 100 * 86400
    monkeypatch.setattr("memo.project.launching.time", lambda: long_after)
    chain.code["report"] = 3
    chain.run()
    monkeypatch.setattr("memo.project.collecting.time", lambda: long_after)
    done = collect(chain.home, Limits(older_than=30 * 86400.0))
    assert [each.step.step_key for each in done.evicted] == ["report", "report"]
    assert chain.run()[0] == []
    # The first two runs are as old: what happened in them goes, and what they were stays known.
    assert len(done.runs) == 2
    with Home(chain.home) as home:
        runs = home.catalog.list_runs()[1:]
        assert [bool(home.catalog.events(run.run_id)) for run in runs] == [True, False, False]
        assert not any(Path(home.logs_dir(run_id)).exists() for run_id in done.runs)
        first = home.catalog.get_run(done.runs[-1])
    assert first is not None
    assert first.steps["report"][2] == "success"


def test_what_the_latest_runs_used_stays(chain: Chain) -> None:
    for number in range(1, 5):
        chain.code["report"] = number
        chain.run()
    done = collect(chain.home, Limits(keep_runs=2))
    assert [each.step.step_key for each in done.evicted] == ["report", "report"]
    assert len(done.runs) == 2
    chain.code["report"] = 3
    assert chain.run()[0] == []
    # Of a job with fewer runs than are to be kept nobody knows what they would have used.
    assert collect(chain.home, Limits(keep_runs=9, max_size=0)).evicted == ()


def test_nothing_is_let_go_on_the_word_of_a_lost_history(chain: Chain) -> None:
    chain.run()
    for path in chain.home.glob("catalog.db*"):
        path.unlink()
    assert collect(chain.home, Limits(keep_runs=1)).evicted == ()
    rebuild_catalog(instance=chain.home)
    assert collect(chain.home, Limits(keep_runs=1)).evicted == ()
    assert len(collect(chain.home, Limits(older_than=-1.0)).evicted) == 3


def test_outputs_of_runs_without_memoization_cost_nothing_to_lose(chain: Chain) -> None:
    result = execute_job(chain.job(), chain.home, tags={MEMOIZED_RUN_TAG: "false"}, raise_on_error=True)
    assert collect(chain.home, Limits(keep_runs=1)).evicted == ()
    chain.run()
    done = collect(chain.home, Limits(keep_runs=1))
    assert [(each.step.run_id, each.step.version, each.seconds) for each in done.evicted] == [
        (result.run_id, None, 0.0)
    ] * 3
    assert not list((chain.home / "storage/runs").iterdir())
    assert chain.run()[0] == []


def test_files_of_no_output_go_when_they_are_old_enough(chain: Chain) -> None:
    chain.run()
    data = chain.home / "storage/data/versioned/zz"
    data.mkdir(parents=True)
    for name, age in (("old", 60.0), ("new", 0.0)):
        (data / f"{name}.pkl").write_bytes(b"left")
        os.utime(data / f"{name}.pkl", (time() - age, time() - age))
    (chain.home / "storage/memo.duckdb").write_bytes(b"a database")
    done = collect(chain.home, Limits(max_size=10**9))
    assert [each.path for each in done.unnamed] == ["data/versioned/zz/old.pkl"]
    assert sorted(path.name for path in data.iterdir()) == ["new.pkl"]
    assert (chain.home / "storage/memo.duckdb").exists()


def test_a_run_that_begins_meanwhile_makes_again_what_it_finds_gone(chain: Chain) -> None:
    chain.run()
    chain.code["report"] = 2
    gone: list[Collection] = []

    def collect_now(_plan: object, _run_id: str) -> None:
        gone.append(collect_garbage(ALL, instance=chain.home))

    assert chain.run(on_plan=collect_now) == (["clean", "report"], 1002) or chain.seen == ["load", "clean", "report"]
    assert len(gone[0].evicted) == 3
    assert chain.run()[1] == 1002


def test_an_interrupt_leaves_what_is_left_whole(chain: Chain) -> None:
    chain.run()

    def interrupt(_eviction: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect_garbage(ALL, instance=chain.home, on_evict=interrupt)
    assert len(held(chain.home)) == 2
    assert not check_storage(instance=chain.home).damaged
    assert chain.run()[1] == 1001


# What rests on somebody's word.


def test_an_adopted_output_stays_until_it_is_said_that_it_may_go(chain: Chain) -> None:
    adopt_outputs(chain.job(), "load", {"result": [10] * 1000}, files={"result": "rows.json"}, instance=chain.home)
    chain.run()
    done = collect(chain.home, Limits(max_size=0))
    assert "load" not in {each.step.step_key for each in done.evicted}
    assert done.kept == {"it was adopted, or accepted as another's equal": pytest.approx(done.after)}
    assert not done.is_met
    assert chain.run() == (["clean", "report"], 1001)
    for path in chain.home.glob("catalog.db*"):
        path.unlink()
    assert "load" not in {each.step.step_key for each in collect(chain.home, Limits(max_size=0)).evicted}
    rebuild_catalog(instance=chain.home)
    with Home(chain.home) as home:
        assert [each.files for each in home.catalog.adopted().values()] == [{"result": "rows.json"}]
    (evicted,) = collect(chain.home, ALL).evicted
    assert (evicted.step.step_key, evicted.seconds) == ("load", None)


def test_what_stands_for_an_accepted_version_stays(chain: Chain) -> None:
    chain.run()
    chain.code["clean"] = 2
    accepted = accept_version(chain.job(), "clean", "only renamed", instance=chain.home)
    chain.run()
    assert [each.step.step_key for each in collect(chain.home, Limits(max_size=0)).evicted] != []
    assert {step.step_key for step in steps_of(chain)} == {"clean"}
    assert chain.run() == (["report"], 1001)
    revoke_acceptance(accepted.id, instance=chain.home)
    collect(chain.home, Limits(max_size=0))
    assert steps_of(chain) == []
    assert chain.run() == (["load", "clean", "report"], 1001)


def test_an_accepted_version_that_was_let_go_all_the_same_is_made_by_the_present_code(chain: Chain) -> None:
    chain.run()
    chain.code["clean"] = 2
    accept_version(chain.job(), "clean", "only renamed", instance=chain.home)
    collect(chain.home, ALL)
    assert chain.run() == (["load", "clean", "report"], 1001)


def steps_of(chain: Chain) -> list[Any]:
    with Home(chain.home) as home:
        return list(take_stock(home).steps)


def test_there_must_be_a_limit(chain: Chain) -> None:
    with pytest.raises(MemoError, match="there is no limit"):
        collect_garbage(Limits(), instance=chain.home)


# Runs of other processes.

WAITING = """
    import os, time
    from pathlib import Path
    from memo import job, op

    HERE = Path(__file__).parent

    @op
    def first() -> int:
        return 1

    @op
    def waits(number: int) -> int:
        (HERE / "waits").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)
        return number + 1

    @op
    def last(number: int, first: int) -> int:
        return 10 * number + first

    @job
    def patient():
        start = first()
        last(waits(start), start)
"""


def wait_for(path: Path) -> None:
    from time import monotonic, sleep

    end = monotonic() + 60
    while not path.exists():
        assert monotonic() < end, f"{path} never came"
        sleep(0.01)


def test_what_a_run_of_another_process_needs_stays(workspace: Workspace) -> None:
    workspace.write("pipeline.py", WAITING)
    running = workspace.start(output="last")
    wait_for(workspace.path / "waits")
    done = collect_garbage(ALL, instance=workspace.home)
    assert done.evicted == ()
    assert list(done.kept) == ["a running run needs it"]
    with pytest.raises(MemoError, match=r"has the catalog open|goes on"):
        rebuild_catalog(instance=workspace.home, force=True)
    (workspace.path / "go").touch()
    ran = running.result()
    assert (ran.ran, ran.value) == (["first", "last", "waits"], "21")
    assert len(collect_garbage(ALL, instance=workspace.home).evicted) == 3


def test_a_killed_run_needs_nothing(workspace: Workspace) -> None:
    workspace.write("pipeline.py", WAITING)
    running = workspace.start()
    wait_for(workspace.path / "waits")
    running.kill()
    assert [each.step.step_key for each in collect_garbage(ALL, instance=workspace.home).evicted] == ["first"]
    (workspace.path / "go").touch()
    assert workspace.run(output="last").value == "21"
