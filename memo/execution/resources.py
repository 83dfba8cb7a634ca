"""Making resources when they are first needed, and ending them in the reverse order."""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any, Self

from memo.contracts.io_manager import IOManager, run_log
from memo.definition.job import resource_order
from memo.errors import ExecutionError
from memo.execution.context import InitResourceContext, Resources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memo.definition.resource import ResourceDefinition
    from memo.definition.step import Step
    from memo.execution.environment import RunEnvironment


class ResourceScope:
    """The resources of one process of one run; a context manager that ends them."""

    def __init__(self, environment: RunEnvironment) -> None:
        self._environment = environment
        self._made: dict[str, Any] = {}
        self._namespaces: dict[tuple[str | Step, frozenset[str]], Resources] = {}
        self._endings: list[tuple[str, Callable[[], None]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def get(self, key: str) -> Any:
        """A resource, made with all that it requires if it is not there yet.

        Raises:
            ExecutionError: A generator resource yielded nothing, or another time than once.
            Exception: Whatever the resource's own function raises.
        """
        if key not in self._made:
            definitions = self._environment.resource_defs
            for each in resource_order(definitions, [key], self._environment.job.where):
                if each not in self._made:
                    self._made[each] = self._make(each, definitions[each])
        return self._made[key]

    def namespace(self, keys: Iterable[str], owner: str | Step) -> Resources:
        """The resources of these keys, for a context."""
        if not keys:
            return Resources({}, owner)
        at = (owner, frozenset(keys))
        if at not in self._namespaces:
            self._namespaces[at] = Resources({key: self.get(key) for key in sorted(at[1])}, owner)
        return self._namespaces[at]

    def _make(self, key: str, definition: ResourceDefinition) -> Any:
        if definition.is_hardcoded:
            return definition.hardcoded_value
        context = InitResourceContext(
            self._environment.config.resources.get(key),
            Resources({each: self._made[each] for each in definition.required_resource_keys}, definition.where),
            definition,
            self._environment.run_id,
            self._environment.storage,
        )
        made = definition.resource_fn(context) if definition.takes_context else definition.resource_fn()
        if type(made) is GeneratorType:
            return self._from_generator(key, definition, made)
        if type(made).__name__ == "_GeneratorContextManager":
            value = made.__enter__()
            self._endings.append((key, lambda: made.__exit__(None, None, None)))
            return value
        return made

    def _from_generator(self, key: str, definition: ResourceDefinition, generator: Any) -> Any:
        try:
            value = next(generator)
        except StopIteration:
            raise ExecutionError(
                "yielded nothing; a generator resource yields its value once", where=definition.where
            ) from None

        def end() -> None:
            for _ in generator:
                generator.close()
                raise ExecutionError(
                    "yielded a second time; what follows the yield is its teardown", where=definition.where
                )

        self._endings.append((key, end))
        return value

    @property
    def to_end(self) -> list[str]:
        """The resources made so far that have something to do at their end."""
        return [key for key, _ in self._endings]

    def close(self) -> None:
        """End all resources, the last made first; one that fails to end is warned about."""
        while self._endings:
            key, end = self._endings.pop()
            self._made.pop(key, None)
            try:
                end()
            except Exception as error:  # noqa: BLE001 - the user's teardown: the other resources must still be ended
                from memo.execution.failures import message_of, user_traceback

                run_log().error(
                    "the resource %r failed to end: %s\n%s", key, message_of(error), user_traceback(error.__traceback__)
                )
        self._namespaces.clear()

    @property
    def io_managers(self) -> dict[str, IOManager]:
        """Those made so far."""
        return {key: made for key, made in self._made.items() if isinstance(made, IOManager)}

    def reopened(self) -> ResourceScope:
        """A new scope with those IO managers of this one that needed no ending, and what they hold in memory."""
        scope = ResourceScope(self._environment)
        scope._made.update(self.io_managers)
        return scope
