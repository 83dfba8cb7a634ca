from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as harness
from benchmarks import report, results, tables
from benchmarks.__main__ import main
from benchmarks.figures import bytes_, medians, seconds, times
from benchmarks.plots import curves, log_bars
from benchmarks.results import Result, Results
from benchmarks.session import Session
from benchmarks.systems import SYSTEMS
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.edits import EDITS, verdict
from benchmarks.workloads.start_up import STARTS

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "benchmarks" / "published.parquet"

ROWS = (
    *(
        Result("runs", "memo", "null", "layered", 1000, each, cpu=cpu, wall=1.0, memory=10**7)
        for each, cpu in enumerate((0.1, 0.2, 0.9))
    ),
    Result("runs", "memo", "cold", "layered", 1000, cpu=1.0, disk=5000, files=3, ran=1000, expected=1000),
    Result("runs", "joblib", "null", "layered", 1000, cpu=0.4, memory=10**7),
    Result("runs", "redun", "null", "layered", 1000, problem="exit code 1: it's <gone>"),
    Result("edits", "memo", "comment", ran=0, expected=0),
    Result("edits", "joblib", "comment", ran=1, expected=0),
    Result("edits", "joblib", "constant", ran=0, expected=1),
)
FOUND = Results(ROWS, {"machine": {"processor": "it's a 'machine'"}, "versions": {"memo": "1"}})


def test_results_survive_parquet(tmp_path) -> None:
    results.write(FOUND, tmp_path / "results.parquet")
    assert results.read(tmp_path / "results.parquet") == FOUND


@pytest.mark.parametrize("name", ["nothere.parquet", "text.parquet", "cut.parquet", "other.parquet", "."])
def test_what_holds_no_results_is_refused_in_a_line(tmp_path, name, monkeypatch, capsys) -> None:
    import duckdb

    results.write(FOUND, tmp_path / "whole.parquet")
    (tmp_path / "text.parquet").write_text("no Parquet", encoding="utf-8")
    (tmp_path / "cut.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:500])
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT 1 AS one) TO '{tmp_path}/other.parquet' (FORMAT parquet)")
    monkeypatch.setattr("sys.argv", ["benchmarks", "--from", str(tmp_path / name)])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"error: --from: {tmp_path / name}: " in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--only", "memo,jobilb"], "--only: there is no system 'jobilb'. There is: floor; memo"),
        (["--scratch", "nothere"], "--scratch: nothere is no folder that can be written to"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_measures_nothing(args, said, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["benchmarks", *args])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    assert said in capsys.readouterr().err


def test_what_was_measured_before_an_interrupt_is_kept(tmp_path, monkeypatch) -> None:
    def interrupted(session: Session) -> None:
        for row in ROWS:
            session.add(row)
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "CACHE", tmp_path)
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    monkeypatch.setitem(WORKLOADS, "hashing", interrupted)
    results.write(FOUND, tmp_path / "results.parquet")
    with pytest.raises(KeyboardInterrupt):
        harness.measure(["hashing"], str(tmp_path), is_full=False, only=frozenset())
    assert results.read(tmp_path / "interrupted.parquet").rows == ROWS
    assert results.read(tmp_path / "results.parquet") == FOUND
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interrupted.parquet", "results.parquet"]


def test_medians_are_of_rounds_and_failures_stay(tmp_path) -> None:
    assert medians(FOUND, "runs", "null", shape="layered", size=1000) == {
        "memo": 0.2,
        "joblib": 0.4,
        "redun": "exit code 1: it's <gone>",
    }


def test_failures_of_memo_itself_are_told_and_left_out_rows_are_not() -> None:
    failed = Result("large values", "memo numpy", "store", problem="exit code 1: gone")
    left_out = Result("runs", "memo", "null", problem=f"{results.NOT_RUN} about 40 s")
    assert results.ours_failed(Results((*ROWS, failed, left_out), {})) == [failed]


def test_what_is_published_has_no_failure_of_memo_itself() -> None:
    assert results.ours_failed(results.read(PUBLISHED)) == []


def test_a_session_ends_with_the_tables_of_what_it_measured_and_no_others() -> None:
    found = Results((Result("start-up", "import memo", "start", cpu=0.01),), {"versions": {}})
    told = [line for line in tables.as_text(found).splitlines() if line.startswith("## ")]
    assert told == ["## start-up", "## budget"]


def test_what_is_started_belongs_to_systems_that_can_be_left_out() -> None:
    assert {system for system, _ in STARTS.values()} <= set(SYSTEMS)


def test_the_table_of_null_runs_shows_everyone() -> None:
    table = tables.null(FOUND)
    assert table.head == ("system", "1,000 steps", "to memo at 1,000", "memory at 1,000")
    assert table.rows == (
        ("memo", "200 ms", "1x", "10 MB"),
        ("joblib", "400 ms", "2x", "10 MB"),
        ("redun", "exit code 1: it's <gone>", "", "exit code 1: it's <gone>"),
    )


def test_the_table_of_edits_tells_stale_from_spurious() -> None:
    rows = {row[0]: row[2:] for row in tables.edits(FOUND).rows}
    assert rows["comment"] == ("right", "spurious")
    assert rows["constant"] == ("", "stale")
    assert rows["all"] == ("1 right", "1 stale, 1 spurious")


@pytest.mark.parametrize(
    ("ran", "changes", "expected"),
    [(True, True, "right"), (False, False, "right"), (True, False, "spurious"), (False, True, "stale")],
)
def test_verdicts(ran, changes, expected) -> None:
    assert verdict(ran=ran, changes=changes) == expected


def test_there_are_enough_edits_each_of_its_own() -> None:
    assert len(EDITS) >= 12
    assert len({edit.name for edit in EDITS}) == len(EDITS)
    assert all(edit.before != {**edit.before, **edit.after} for edit in EDITS)


def test_the_report_is_one_page_with_plots_and_no_markup_of_others() -> None:
    page = report.page(FOUND)
    assert page.count("<svg") >= 2
    assert "it&#x27;s &lt;gone&gt;" in page
    assert "<gone>" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")


def test_what_stands_between_markers_is_written() -> None:
    text = "before\n<!-- bench:null -->\nold\n<!-- /bench -->\nafter <!-- bench:mapped -->old<!-- /bench -->, end\n"
    written = tables.filled(text, FOUND)
    assert "old" not in written
    assert "| joblib | 400 ms | 2x | 10 MB |" in written
    assert written.endswith("after <!-- bench:mapped -->large ones are ready at once<!-- /bench -->, end\n")
    assert tables.filled(written, FOUND) == written


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_figures_of_pages_are_those_of_the_published_results(page) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert tables.filled(text, results.read(PUBLISHED)) == text, (
        "write it again: python -m benchmarks --from FILE --publish"
    )


def test_the_budget_tells_what_is_met_missed_and_not_measured() -> None:
    rows = (
        *FOUND.rows,
        Result("in process", "memo", "plan", "layered", 1000, cpu=0.02),
        Result("in process", "memo", "cold", "layered", 1000, cpu=0.5),
    )
    told = {row[0]: row[3:] for row in tables.budget(Results(rows, {})).rows}
    assert told["planning, in process, a step with an op of its own"] == ("20 us", "met")
    assert told["cold no-op step with an op of its own, in process"] == ("500 us", "MISSED")
    assert told["null run of 1,000, to joblib"] == ("0.5x", "met")
    assert told["null run of 100,000 steps, an op each"] == ("", "not measured")


def test_units() -> None:
    assert [seconds(each) for each in (123.4, 1.234, 0.01234, 0.0000123)] == ["123 s", "1.2 s", "12.3 ms", "12.3 us"]
    assert [bytes_(each) for each in (12, 12_345, 12_345_678, 640e6, 3.2e9)] == [
        "12 B",
        "12.3 kB",
        "12.3 MB",
        "640 MB",
        "3.2 GB",
    ]
    assert [times(each) for each in (0.456, 1.5, 12.3)] == ["0.46x", "1.5x", "12x"]


def test_bars_are_longer_for_more_and_name_what_is_missing() -> None:
    plot = log_bars({"memo": 0.01, "slow": 1.0, "gone": "not run"}, seconds)
    assert plot.count("<rect") == 2
    assert "not run" in plot
    assert log_bars({"gone": "not run"}, seconds) == ""


def test_curves_have_a_point_for_each_size() -> None:
    plot = curves({"memo": [(10, 0.1), (100, 0.2)], "other": [(10, 1.0)]}, "steps", seconds)
    assert plot.count("<circle") == 3
    assert curves({}, "steps", seconds) == ""
