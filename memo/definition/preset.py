"""What ``.configured`` leaves: the config that a definition was given, or the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from memo.definition.config import ABSENT, check_config, compile_schema, resolve
from memo.definition.config_resolving import taken_from_environment
from memo.definition.config_types import NO_SCHEMA
from memo.errors import ConfigError, ConfigProblem, DefinitionError

if TYPE_CHECKING:
    from memo.definition.config import ConfigType
    from memo.definition.op import OpDefinition
    from memo.definition.resource import ResourceDefinition


class Preset(Struct, frozen=True, eq=False):
    """A config given in advance.

    Attributes:
        config: The config, or a function that makes it.
        resolve_inner: Checks it as the definition does that was configured, and fills in its defaults.
    """

    config: Any
    resolve_inner: Callable[[Any, str], Any]

    def resolve(self, schema: ConfigType | None, given: Any, path: str) -> Any:
        """Make the config that the code sees.

        Args:
            schema: Of what is still to be given.
            given: What the run config gives; ABSENT for nothing.
            path: Where that stands in the run config.

        Raises:
            ConfigError: What is given does not fit, or what is made of it does not.
        """
        if not callable(self.config):
            if given is not ABSENT:
                raise ConfigError([ConfigProblem(path, "was configured where it is defined, and takes no config here")])
            return self._checked(self.config, path)
        with taken_from_environment() as taken:
            outer = resolve_config(schema, given, path)
            # What the function makes of them, and where it puts it, cannot be known.
            taken[:] = [each._replace(path="") for each in taken]
        try:
            made = self.config(outer)
        except Exception as error:
            text = f"the function given to .configured failed on it: {type(error).__name__}: {error}"
            raise ConfigError([ConfigProblem(path, text)]) from error
        return self._checked(made, path)

    def _checked(self, config: Any, path: str) -> Any:
        try:
            return self.resolve_inner(config, "")
        except ConfigError as error:
            text = "does not fit, as .configured gives it: "
            raise ConfigError([ConfigProblem(path, text + str(each)) for each in error.problems]) from None


def resolve_config(schema: ConfigType | None, given: Any, path: str, preset: Preset | None = None) -> Any:
    """Check a definition's config and fill in its defaults; without a schema anything is taken as it is.

    Raises:
        ConfigError: With every problem and its path.
    """
    if preset is not None:
        return preset.resolve(schema, given, path)
    return resolve(schema or NO_SCHEMA, given, path=path)


def preset_from(
    config: Any, config_schema: Any, definition: OpDefinition | ResourceDefinition
) -> tuple[ConfigType | None, Preset]:
    """Read the arguments of ``.configured``.

    Args:
        config: The config, or a function that makes it.
        config_schema: Of the function's argument.
        definition: What is configured.

    Returns:
        The schema of what is still to be given, and the preset.

    Raises:
        DefinitionError: The config does not fit, as far as that can be told without reading the environment.
    """
    where, before = definition.where, definition.preset_config
    if before is not None and not callable(before.config):
        raise DefinitionError("is configured already, and takes no config; configure what it was made of", where=where)
    preset = Preset(config, definition.resolve_config)
    if callable(config):
        return None if config_schema is None else compile_schema(config_schema, where=where), preset
    if config_schema is not None:
        raise DefinitionError(
            ".configured got a config_schema and a config; a schema is for the argument of a function that makes the "
            "config",
            where=where,
        )
    problems = [] if definition.config_schema is None else check_config(definition.config_schema, config)
    if problems:
        raise DefinitionError(
            f"the config given to .configured does not fit: {'; '.join(map(str, problems))}", where=where
        )
    return None, preset
