"""A resource as a family offers it: ready to be put under a resource key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

__all__ = ["ResourceSpec"]


class ResourceSpec(Struct, frozen=True):
    """A resource as a family offers it through an entry point of the group ``memo.resources``.

    Attributes:
        create: Given the init context (``resource_config``, ``resources``), makes the resource.
        version: Of what it does for the ops that use it, whatever its code; its config counts beside it.
        config_schema: A msgspec Struct, whose defaults make fields optional; None takes no config.
        required_resource_keys: The resources that `create` reads from ``resources``.
    """

    name: str
    create: Callable[[Any], Any]
    version: str
    config_schema: type[Struct] | None = None
    required_resource_keys: frozenset[str] = frozenset()
    description: str = ""
