from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest

from memo import build_op_context, build_resources
from memo.testing import MemoizableIOManagerConformance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memo.contracts.io_manager import MemoizableIOManager

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def flights(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the example."""
    monkeypatch.syspath_prepend(EXAMPLES)
    yield lambda name: importlib.import_module(f"flights.{name}")
    for name in [name for name in sys.modules if name.partition(".")[0] == "flights"]:
        del sys.modules[name]


@pytest.fixture
def pipeline(flights: Any) -> Any:
    return flights("pipeline")


@pytest.fixture
def context(pipeline: Any) -> Iterator[Any]:
    with build_resources({"duckdb": pipeline.duckdb}) as made:
        yield lambda config=None: build_op_context(resources={"duckdb": made.duckdb}, op_config=config)


DEPARTURES = pa.table(
    {
        "time_hour": [1, 2, 3, 4],
        "carrier": ["AA", "UA", "AA", "AA"],
        "flight": [1, 2, 3, 4],
        "origin": ["EWR", "JFK", "JFK", "JFK"],
        "dest": ["LAX", "SFO", "LAX", "LAX"],
        "hour": [5, 6, 6, 6],
        "delay": [14, 15, -3, 90],
    }
)


def test_flights_that_did_not_depart_are_left_out(pipeline: Any, context: Any) -> None:
    table = DEPARTURES.rename_columns({"delay": "dep_delay"}).set_column(6, "dep_delay", [[None, 3, None, 0]])
    cleaned = pipeline.clean_flights(context(), table)
    assert cleaned.column("delay").to_pylist() == [3, 0]
    assert cleaned.column("flight").to_pylist() == [2, 4]


def test_a_delay_of_the_threshold_counts(pipeline: Any, context: Any) -> None:
    marked, threshold = pipeline.mark_delayed(context(), DEPARTURES)
    assert threshold == 15
    assert marked.column("delayed").to_pylist() == [False, True, False, True]
    marked, threshold = pipeline.mark_delayed(context({"threshold_minutes": 16}), DEPARTURES)
    assert threshold == 16
    assert marked.column("delayed").to_pylist() == [False, False, False, True]


def test_delays_are_shares_of_departures(pipeline: Any, context: Any) -> None:
    marked, _ = pipeline.mark_delayed(context(), DEPARTURES)
    airlines = pa.table({"carrier": ["AA", "UA"], "name": ["American", "United"]})
    assert pipeline.delays_by_carrier(context(), marked, airlines).to_pylist() == [
        {"name": "United", "departures": 1, "share": 1.0},
        {"name": "American", "departures": 3, "share": pytest.approx(1 / 3)},
    ]


def test_destinations_and_hours_with_few_departures_are_not_ranked(pipeline: Any, context: Any) -> None:
    marked, _ = pipeline.mark_delayed(context(), pa.concat_tables([DEPARTURES] * 200))
    airports = pa.table(
        {"faa": ["LAX", "SFO"], "name": ["Los Angeles", "San Francisco"], "lat": [33.9, 37.6], "lon": [-118.4, -122.4]}
    )
    (only,) = pipeline.delays_by_destination(context(), marked, airports).to_pylist()
    assert (only["dest"], only["departures"], only["share"]) == ("LAX", 600, pytest.approx(1 / 3))
    marked, _ = pipeline.mark_delayed(context(), pa.concat_tables([DEPARTURES] * 50))
    assert pipeline.delays_by_hour(context(), marked).to_pylist() == [
        {"origin": "JFK", "hour": 6, "departures": 150, "share": pytest.approx(2 / 3)}
    ]


def test_impossible_and_missing_weather_is_left_out(pipeline: Any, context: Any) -> None:
    weather = pa.table(
        {
            "origin": ["EWR", "EWR", "JFK", "JFK"],
            "time_hour": [1, 2, 2, 3],
            "temp": [30.0, 31.0, 32.0, None],
            "wind_speed": [1048.4, 10.0, 42.6, 5.0],
        }
    )
    cleaned = pipeline.clean_weather(context(), weather)
    assert cleaned.column("temp").to_pylist() == [31.0, 32.0]
    joined = pipeline.join_weather(context(), DEPARTURES, cleaned)
    assert [(row["flight"], row["temp"]) for row in joined.to_pylist()] == [(2, 32.0)]


def test_aircraft_of_unknown_age_are_left_out(pipeline: Any, context: Any) -> None:
    departures = DEPARTURES.append_column("tailnum", [["N1", "N2", "N3", None]])
    planes = pa.table({"tailnum": ["N1", "N2"], "year": [2003, None]})
    joined = pipeline.join_planes(context(), departures, planes)
    assert [(row["flight"], row["age"]) for row in joined.to_pylist()] == [(1, 10)]


def test_least_squares_finds_the_line_the_data_was_made_of(flights: Any) -> None:
    model = flights("model")
    random = np.random.default_rng(2013)
    columns = {name: random.normal(50, 10, 500) for name in model.FEATURES}
    delay = 7 + 2 * columns["hour"] - 0.5 * columns["visib"]
    found = model.fit(pa.table({**columns, "delay": delay}), "delay")
    assert found["departures"] == 500
    assert found["r_squared"] == pytest.approx(1)
    assert found["mean_delay"] == pytest.approx(delay.mean())
    first, second, *others = found["effects"]
    assert (first["feature"], first["amount"], first["per_amount"]) == ("Hour of the day", "1 hour", pytest.approx(2))
    assert (second["feature"], second["per_amount"]) == ("Visibility", pytest.approx(-0.5))
    assert second["per_deviation"] == pytest.approx(-0.5 * columns["visib"].std())
    assert [effect["per_deviation"] for effect in others] == pytest.approx([0] * 6, abs=1e-9)


def test_names_are_escaped(flights: Any) -> None:
    charts, page = flights("charts"), flights("page")
    svg = charts.bar_chart([charts.Bar("<Tom & Jerry>", 1.0, "a < b")], axis='"%"')
    assert "<Tom & Jerry>" in [element.text for element in ET.fromstring(svg)]
    text = page.page("<t>", "a & b", {"<x>": "1"}, [page.Figure(title="<f>", takeaway="x < y", body=svg)], "s & t")
    assert "<t>" not in text
    assert "<f>" not in text


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 43, [0, 10, 20, 30, 40, 50]),
        (-1.31, 8.72, [-2.5, 0, 2.5, 5, 7.5, 10]),
        (0, 0.9, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (12, 12, [12, 13]),
        (0, 0, [0, 1]),
    ],
)
def test_ticks_are_round_and_span_the_range(flights: Any, low: float, high: float, marks: list[float]) -> None:
    assert flights("charts").ticks(low, high) == pytest.approx(marks)


def test_without_the_data_the_remedy_is_named(flights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = flights("dataset")
    monkeypatch.setattr(dataset, "PACKAGE", "no_such_package_of_flights")
    assert dataset.release() == ""
    with pytest.raises(FileNotFoundError, match="pip install no_such_package_of_flights"):
        dataset.Dataset.installed()


class TestHtmlFileIOManager(MemoizableIOManagerConformance):
    values = ("<p>one</p>\r\n", "", "größer 😀", "x" * 100_000)

    @pytest.fixture(autouse=True)
    def _module(self, flights: Any) -> None:
        self.store_module = flights("report_store")

    def make_io_manager(self, folder: Path) -> MemoizableIOManager:
        made: MemoizableIOManager = self.store_module.HtmlFileIOManager(folder / "reports")
        return made

    def failing_value(self) -> Any:
        return "x" * 100_000 + "\ud800"

    def damage(self, folder: Path) -> None:
        for path in (folder / "reports").iterdir():
            path.unlink()
