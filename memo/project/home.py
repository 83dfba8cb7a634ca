"""The home: the folder where runs, outputs and logs are kept, and how it is found."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from memo.contracts.io_manager import Storage
from memo.errors import HomeError
from memo.project.settings import Settings, StorageSettings, load_settings

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from memo.catalog import Catalog

HOME_VARIABLE = "MEMO_HOME"
_FOLDER = ".memo"


class Home:
    """A folder with a catalog, a storage and logs; a context manager that closes the catalog.

    Args:
        path: The folder; made at the first write.
        settings: With whom its outputs are shared, and how they are signed; with nobody and not where left out.
    """

    def __init__(self, path: str | os.PathLike[str], settings: StorageSettings | None = None) -> None:
        self.folder = os.path.abspath(path)
        """Its path, as a string."""
        shared = settings or StorageSettings()
        self.storage = Storage(
            os.path.join(self.folder, "storage"), shared.remote, shared.read_only, shared.signing_key_file
        )
        """Where outputs are stored that name no other place."""
        self._catalog: Catalog | None = None

    def __repr__(self) -> str:
        return f"Home({self.folder!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def logs_dir(self, run_id: str) -> str:
        """Where what the steps of a run print is kept."""
        return os.path.join(self.folder, "logs", run_id)

    @property
    def path(self) -> Path:
        """The folder."""
        from pathlib import Path

        return Path(self.folder)

    @property
    def cache_dir(self) -> str:
        """Where lies what only saves time: it may be deleted at any time."""
        return os.path.join(self.folder, "cache")

    @property
    def catalog(self) -> Catalog:
        """The catalog; its file is opened when it is first asked."""
        if self._catalog is None:
            from memo.catalog import Catalog

            self._catalog = Catalog.open(os.path.join(self.folder, "catalog.db"), read_only=not self.is_writable)
        return self._catalog

    @property
    def is_writable(self) -> bool:
        """Whether the folder can be written to, where it is there."""
        return not os.path.isdir(self.folder) or os.access(self.folder, os.W_OK)

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """Whether a place is the folder, or in it."""
        place, folder = os.path.realpath(path), os.path.realpath(self.folder)
        return place == folder or place.startswith(folder + os.sep)

    def make(self) -> None:
        """Make the folder where it is not there.

        Raises:
            HomeError: It cannot be made or written to.
        """
        try:
            os.makedirs(self.folder, exist_ok=True)
            ignore = os.path.join(self.folder, ".gitignore")
            if not os.path.exists(ignore):
                with open(ignore, "w", encoding="utf-8") as file:
                    file.write("*\n")
        except OSError as error:
            raise HomeError(
                f"the home cannot be written to ({error.strerror}): choose another with --home or {HOME_VARIABLE}",
                where=self.folder,
            ) from error
        if not os.access(self.folder, os.W_OK):
            raise HomeError(
                f"the home is read-only: choose another with --home or {HOME_VARIABLE}",
                where=self.folder,
            )

    def close(self) -> None:
        """Close the catalog."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None


def find_root(start: str | os.PathLike[str] | None = None) -> str:
    """Find the project's root, from a folder upward.

    It is the nearest one with ``memo.toml``, a ``pyproject.toml`` that holds ``[tool.memo]``, or a home; else the
    folder itself.
    """
    here = os.path.abspath(start or current_folder())
    for folder in _upward(here):
        if (
            os.path.isfile(os.path.join(folder, "memo.toml"))
            or os.path.isdir(os.path.join(folder, _FOLDER))
            or _holds_settings(os.path.join(folder, "pyproject.toml"))
        ):
            return folder
    return here


def _upward(folder: str) -> Iterator[str]:
    """A folder and all above it."""
    below = ""
    while folder != below:
        yield folder
        below, folder = folder, os.path.dirname(folder)


def current_folder() -> str:
    """The current folder.

    Raises:
        HomeError: It has been deleted.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise HomeError("the current folder is gone; go to one that is there") from None


def _holds_settings(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"[tool.memo" in file.read()
    except OSError:
        return False


def find_home(given: Home | str | os.PathLike[str] | None = None, settings: Settings | None = None) -> Home:
    """Find the home: as given, as ``MEMO_HOME`` says, as the settings say, else ``.memo`` at the project's root.

    Args:
        given: A home, or its folder.
        settings: The project's; read where left out.

    Raises:
        HomeError: It is a file.
        ConfigError: The settings cannot be read.
    """
    if isinstance(given, Home):
        return given
    root = find_root()
    settings = settings or load_settings(root)
    folder = given if given is not None else os.environ.get(HOME_VARIABLE)
    home = Home(folder or os.path.join(root, settings.home or _FOLDER), settings.storage)
    if os.path.exists(home.folder) and not os.path.isdir(home.folder):
        raise HomeError("the home is a file; it must be a folder", where=home.folder)
    return home


@contextmanager
def opened_home(
    given: Home | str | os.PathLike[str] | None = None, settings: Settings | None = None
) -> Generator[Home]:
    """Find the home for as long as a block lasts; one that is given as a `Home` stays open. See `find_home`."""
    home = find_home(given, settings)
    try:
        yield home
    finally:
        if home is not given:
            home.close()
