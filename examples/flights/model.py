"""A linear model of the delay at departure, fitted by least squares.

It is plain data: what passes between ops and is plain, memo can compare by content. Where an edit gives the same model
again, nothing that reads it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import pyarrow as pa

FEATURES = {
    "hour": ("Hour of the day", 1, "hour"),
    "precip": ("Precipitation", 0.1, "inch/h"),
    "humid": ("Relative humidity", 10, "%"),
    "wind_speed": ("Wind speed", 10, "mph"),
    "visib": ("Visibility", 1, "mile"),
    "temp": ("Temperature", 10, "°F"),
    "age": ("Age of the aircraft", 10, "years"),
    "distance": ("Distance of the flight", 1000, "miles"),
}
"""Column -> what it is, and an amount of it that means something to people, with its unit."""


class Effect(TypedDict):
    """What one feature does to the delay, the others held still.

    Attributes:
        amount: Such as `0.1 inch/h`.
        per_amount: Minutes of delay for this amount more.
        per_deviation: Minutes of delay for one standard deviation more: comparable between features.
    """

    feature: str
    amount: str
    per_amount: float
    per_deviation: float


class DelayModel(TypedDict):
    """The fitted model.

    Attributes:
        effects: Of each feature, the largest first.
        mean_delay: Minutes, where every feature is at its mean.
        r_squared: The share of the variance of delays that the model explains.
        departures: How many it was fitted to.
    """

    effects: list[Effect]
    mean_delay: float
    r_squared: float
    departures: int


def fit(table: pa.Table, target: str) -> DelayModel:
    """Fit the target column, in minutes, to the columns named in `FEATURES`; none of them holds nulls."""
    import numpy as np

    def numbers(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        # Not to_numpy(), which imports pandas wherever that is installed.
        return np.from_dlpack(table.column(name).combine_chunks()).astype(np.float64)

    values, delay = np.column_stack([numbers(name) for name in FEATURES]), numbers(target)
    deviations = values.std(axis=0)
    design = np.column_stack([np.ones(len(delay)), (values - values.mean(axis=0)) / deviations])
    solution, *_ = np.linalg.lstsq(design, delay)
    residuals = delay - design @ solution
    effects = [
        Effect(
            feature=feature,
            amount=f"{amount:,} {unit}",
            per_amount=float(slope / deviation * amount),
            per_deviation=float(slope),
        )
        for (feature, amount, unit), slope, deviation in zip(FEATURES.values(), solution[1:], deviations, strict=True)
    ]
    return DelayModel(
        effects=sorted(effects, key=lambda effect: -abs(effect["per_deviation"])),
        mean_delay=float(solution[0]),
        r_squared=float(1 - residuals.var() / delay.var()),
        departures=len(delay),
    )
