"""The project's settings: ``memo.toml``, or ``[tool.memo]`` in ``pyproject.toml``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.errors import ConfigError, ConfigProblem, did_you_mean

if TYPE_CHECKING:
    from pathlib import Path


class Settings(Struct, frozen=True):
    """What a project may set.

    Attributes:
        home: The home's folder, relative to the file.
        max_concurrent: How many steps run at once; more than 1 runs them in worker processes.
        max_retries: How many times a failed run is started again.
    """

    home: str | None = None
    max_concurrent: int = 1
    max_retries: int = 0


def load_settings(root: Path) -> Settings:
    """Read the settings at the project's root; all are the defaults where there is no file.

    Raises:
        ConfigError: The file cannot be read, or holds something else than settings.
    """
    own = root / "memo.toml"
    if own.is_file():
        return _settings(_parsed(own), str(own))
    shared = root / "pyproject.toml"
    if shared.is_file() and b"[tool.memo" in shared.read_bytes():
        return _settings(_parsed(shared).get("tool", {}).get("memo", {}), f"{shared} [tool.memo]")
    return Settings()


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError([ConfigProblem("", f"cannot be read: {error}")], where=str(path)) from error


def _settings(found: dict[str, Any], where: str) -> Settings:
    import msgspec

    names = [each.name for each in msgspec.structs.fields(Settings)]
    problems = [
        ConfigProblem(name, f"is no setting.{did_you_mean(name, names)}") for name in found if name not in names
    ]
    if problems:
        raise ConfigError(problems, where=where)
    try:
        settings = msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError([ConfigProblem("", str(error))], where=where) from None
    if settings.max_concurrent < 1 or settings.max_retries < 0:
        raise ConfigError([ConfigProblem("", "max_concurrent is from 1 on, max_retries from 0 on")], where=where)
    return settings
