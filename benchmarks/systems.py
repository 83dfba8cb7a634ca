"""The systems that are measured, and the environment of each: memo, its peers, and the floor."""

from __future__ import annotations

from benchmarks.drivers import dagster_memoized, doit, floor, hamilton, joblib_memory, memo_ops, prefect, pytask, redun
from benchmarks.drivers.build_tools import MAKE, NINJA, SNAKEMAKE

SYSTEMS = {
    driver.name: driver
    for driver in (
        floor.DRIVER,
        memo_ops.OPS,
        memo_ops.PLACED_OPS,
        NINJA,
        MAKE,
        doit.DRIVER,
        joblib_memory.DRIVER,
        hamilton.DRIVER,
        SNAKEMAKE,
        dagster_memoized.DRIVER,
        redun.DRIVER,
        pytask.DRIVER,
        prefect.DRIVER,
    )
}

PINNED = {
    "memo": ("numpy==2.4.6", "pandas==3.1.1"),
    "light": ("joblib==1.6.0", "doit==0.37.0", "ninja==1.13.2", "xxhash==4.1.0"),
    "values": ("joblib==1.6.0", "numpy==2.4.6", "pandas==3.1.1", "xxhash==4.1.0"),
    "hamilton": ("apache-hamilton==1.90.0", "pandas==3.1.1", "pyarrow==26.0.1"),
    "pytask": ("pytask==0.6.0",),
    "s3": ("moto[server]==5.2.5",),
    "redun": ("redun==0.44.1", "pandas==3.1.1"),
    "snakemake": ("snakemake==9.27.0",),
    "prefect": ("prefect==3.7.2", "fastapi==0.115.14"),
    "dagster": (
        "dagster==1.2.7",
        "pendulum==2.1.2",
        "pydantic==1.10.21",
        "universal_pathlib==0.0.23",
        "fsspec==2023.12.2",
        "sqlalchemy==1.4.54",
        "protobuf==4.25.8",
        "grpcio==1.62.3",
        "grpcio-health-checking==1.62.3",
        "click==8.1.8",
        "croniter==1.4.1",
        "python-dateutil==2.9.0.post0",
        "pytz==2024.2",
        "watchdog==3.0.0",
        "alembic==1.13.3",
        "typing_extensions==4.12.2",
        "packaging==24.2",
        "setuptools==65.5.0",
    ),
}
"""What each environment is made of; that of memo of this checkout too, beside the frames it is given to store."""
