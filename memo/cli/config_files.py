"""Run config as the command line gives it: files in TOML, YAML or JSON, and single values."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from memo.errors import ConfigError, ConfigProblem, MissingExtraError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS = (".toml", ".yaml", ".yml", ".json")


def read_run_config(files: Iterable[str], assignments: Iterable[str] = ()) -> dict[str, Any] | None:
    """Read config files, each laid over those before it, and the single values over all.

    Args:
        files: Paths ending in .toml, .yaml, .yml or .json.
        assignments: ``ops.clean.config.limit=5``, the value as JSON or else as the string that it is.

    Returns:
        The run config; None where nothing is given.

    Raises:
        ConfigError: A file cannot be read or is malformed, at which line; or an assignment cannot be read.
        MissingExtraError: A file is YAML, and PyYAML is not installed.
    """
    from memo.definition.run_config import merged

    found: dict[str, Any] | None = None
    for path in files:
        found = merged(found or {}, _read(path))
    for text in assignments:
        found = merged(found or {}, _assigned(text, found or {}))
    return found


def read_tags(pairs: Iterable[str]) -> dict[str, object]:
    """Read tags given as ``key=value``.

    Raises:
        TargetError: One has no ``=``.
    """
    found: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise TargetError(f"--tag {pair!r} cannot be read: write --tag name=value")
        found[name] = value
    return found


def _wrong(path: str, message: str, line: int | None = None) -> ConfigError:
    return ConfigError([ConfigProblem("", message)], where=f"{path}:{line}" if line else path)


def _read(path: str) -> dict[str, Any]:
    kind = os.path.splitext(path)[1].lower()
    if kind not in _KINDS:
        raise _wrong(path, f"run config is read from files ending in {', '.join(_KINDS)}")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise _wrong(path, "there is no such file") from None
    except OSError as error:
        raise _wrong(path, f"cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(path, f"is not UTF-8 text ({error.reason})", data[: error.start].count(b"\n") + 1) from None
    found = {".toml": _toml, ".json": _json}.get(kind, _yaml)(path, text)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise _wrong(
            path, f"must hold a mapping with ops, resources, inputs or execution, and holds {type(found).__name__}"
        )
    return found


def _toml(path: str, text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, at = str(error).rpartition(" (at ")
        line = at.partition("line ")[2].partition(",")[0]
        if line.isdigit():
            raise _wrong(path, f"TOML cannot be read: {message}", int(line)) from None
        # Without a line where it is the end of the file that came too soon.
        raise _wrong(path, f"TOML cannot be read: {error}", text.count("\n") + 1) from None


def _json(path: str, text: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        message, _, at = str(error).rpartition(" (byte ")
        if at.rstrip(")").isdigit():
            line = text.encode()[: int(at.rstrip(")"))].count(b"\n") + 1
            raise _wrong(path, f"JSON cannot be read: {message.removeprefix('JSON is malformed: ')}", line) from None
        raise _wrong(path, f"JSON cannot be read: {error}", text.count("\n") + 1) from None


def _yaml(path: str, text: str) -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise MissingExtraError("pyyaml", "yaml", f"reading {path}") from None

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error).partition("\n")[0]
        context = getattr(error, "context", None)
        raise _wrong(
            path,
            f"YAML cannot be read: {f'{context}, ' if context else ''}{message}",
            mark.line + 1 if mark is not None else None,
        ) from None


def _assigned(text: str, under: dict[str, Any]) -> dict[str, Any]:
    """Read one assignment as a config of its own."""
    path, equals, written = text.partition("=")
    names = path.split(".")
    if not equals or not all(names):
        raise _wrong(f"--set {text}", "cannot be read: write --set ops.clean.config.limit=5")
    here: Any = under
    for depth, name in enumerate(names[:-1], start=1):
        here = here.get(name) if isinstance(here, dict) else None
        if here is not None and not isinstance(here, dict):
            at = ".".join(names[:depth])
            raise _wrong(f"--set {text}", f"{at} is {here!r} already, so nothing can be set below it")
    value = _value(written)
    for name in reversed(names):
        value = {name: value}
    return value  # type: ignore[no-any-return] # a path has at least one name


def _value(written: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(written)
    except msgspec.DecodeError:
        return written
