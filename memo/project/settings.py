"""The project's settings: ``memo.toml``, or ``[tool.memo]`` in ``pyproject.toml``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from memo.errors import ConfigError, ConfigProblem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator


class StorageSettings(Struct, frozen=True):
    """What a project may set of where outputs are kept.

    Attributes:
        remote: A folder, relative to the settings' file, or a URL under which outputs are shared with other homes; none
            where it is empty.
        read_only: Whether this home only takes from there.
        signing_key_file: The file of the key with which manifests are signed, relative to the settings' file; none
            where it is empty.
    """

    remote: str | None = None
    read_only: bool = False
    signing_key_file: str | None = None


class Settings(Struct, frozen=True):
    """What a project may set.

    Attributes:
        home: The home's folder, relative to the file.
        max_concurrent: How many steps run at once; more than 1 runs them in worker processes.
        max_retries: How many times a failed run is started again.
        storage: Where outputs are kept.
    """

    home: str | None = None
    max_concurrent: int = 1
    max_retries: int = 0
    storage: StorageSettings = StorageSettings()


REMOTE_VARIABLE = "MEMO_STORAGE_REMOTE"
READ_ONLY_VARIABLE = "MEMO_STORAGE_READ_ONLY"

_SCHEMES = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "http", "https", "file", "local", "memory", "sftp", "ssh"}
_TYPES = {"str": "a text", "bool": "true or false", "int": "a whole number", "object": "a table"}
"""What a setting must be, by what msgspec calls it."""


def load_settings(root: str | os.PathLike[str]) -> Settings:
    """Read the settings at the project's root; all are the defaults where there is no file.

    ``MEMO_STORAGE_REMOTE`` and ``MEMO_STORAGE_READ_ONLY`` (``0`` or ``1``) count before what the file says.

    Raises:
        ConfigError: The file cannot be read, or holds something else than settings.
    """
    own, shared = os.path.join(root, "memo.toml"), os.path.join(root, "pyproject.toml")
    settings, where = Settings(), ""
    if os.path.isfile(own):
        where = own
        settings = _settings(_parsed(own, _read(own)), where)
    elif os.path.isfile(shared) and b"[tool.memo" in (found := _read(shared)):
        where = f"{shared} [tool.memo]"
        settings = _settings(_parsed(shared, found).get("tool", {}).get("memo", {}), where)
    return replace(settings, storage=_of_this_machine(settings.storage, root, where))


def _of_this_machine(storage: StorageSettings, root: str | os.PathLike[str], where: str) -> StorageSettings:
    remote, said = os.environ.get(REMOTE_VARIABLE), (REMOTE_VARIABLE, "the environment")
    if remote is None:
        remote, said = storage.remote, ("storage.remote", where)
    storage = replace(
        storage,
        remote=_checked_remote((remote or "").strip(), *said) or None,
        signing_key_file=(storage.signing_key_file or "").strip() or None,
    )
    read_only = os.environ.get(READ_ONLY_VARIABLE)
    if read_only:
        if read_only not in {"0", "1"}:
            raise ConfigError(
                [ConfigProblem(READ_ONLY_VARIABLE, f"is {read_only!r}; it must be 0 or 1")], where="the environment"
            )
        storage = replace(storage, read_only=read_only == "1")
    if storage.remote is not None and "://" not in storage.remote:
        storage = replace(storage, remote=_below(root, storage.remote))
    if storage.signing_key_file is not None:
        storage = replace(storage, signing_key_file=_below(root, storage.signing_key_file))
    return storage


def _below(root: str | os.PathLike[str], place: str) -> str:
    from pathlib import Path

    return str(Path(root) / os.path.expanduser(place))


def _checked_remote(remote: str, name: str, where: str) -> str:
    """See that what is meant for a URL is not taken for a folder.

    Raises:
        ConfigError: It looks like a URL with a slip in it.
    """
    head, colon, rest = remote.partition(":")
    if not colon:
        head, slashes, rest = remote.partition("//")
        head = head if slashes else ""
    # One letter is a drive.
    is_meant = head in _SCHEMES or (bool(colon) and len(head) > 1 and head.isalnum() and rest.startswith("/"))
    if "://" in remote or not is_meant:
        return remote
    meant = f"{head}://{rest.lstrip('/')}"
    problem = ConfigProblem(name, f"is {remote!r}, which is neither a folder nor a URL. Did you mean {meant!r}?")
    raise ConfigError([problem], where=where)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error


def _parsed(path: str, data: bytes) -> dict[str, Any]:
    if not data.strip():
        # A file that only says where the project's root is.
        return {}
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except ValueError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> ConfigError:
    return ConfigError([ConfigProblem("", f"cannot be read: {error}")], where=path)


def _settings(found: dict[str, Any], where: str) -> Settings:
    import msgspec

    storage = found.get("storage")
    problems = [
        *_unknown(found, Settings, ""),
        *(_unknown(storage, StorageSettings, "storage.") if isinstance(storage, dict) else ()),
    ]
    if problems:
        raise ConfigError(problems, where=where)
    try:
        settings = msgspec.convert(found, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError([_mistyped(found, str(error))], where=where) from None
    if settings.max_concurrent < 1 or settings.max_retries < 0:
        raise ConfigError([ConfigProblem("", "max_concurrent is from 1 on, max_retries from 0 on")], where=where)
    return settings


def _mistyped(found: Any, told: str) -> ConfigProblem:
    """Say in the words of settings what msgspec tells of a wrong type."""
    expected, _, path = told.partition(", got ")
    name = path.partition("`$.")[2].rstrip("`")
    kind = _TYPES.get(expected.removeprefix("Expected ").strip("`").partition(" | ")[0])
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if kind is None or not name:
        return ConfigProblem(name, told)
    return ConfigProblem(name, f"is {found!r}; it must be {kind}")


def _unknown(found: dict[str, Any], of: type[Struct], prefix: str) -> Iterator[ConfigProblem]:
    names = of.__struct_fields__
    for name in found:
        if name not in names:
            yield ConfigProblem(f"{prefix}{name}", f"is no setting.{did_you_mean(name, names)}")
