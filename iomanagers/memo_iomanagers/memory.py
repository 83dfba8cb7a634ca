"""The IO manager that keeps outputs in the memory of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memo.contracts.io_manager import IOManagerSpec, MemoizableIOManager
from memo.errors import OutputLostError
from memo_iomanagers.encodings.tables import READER, as_wanted, form_of
from memo_iomanagers.telling import where_of

if TYPE_CHECKING:
    from memo.contracts.io_manager import InputContext, OutputContext

__all__ = ["MEM", "MemIOManager"]


class MemIOManager(MemoizableIOManager):
    """Keeps the values themselves, as long as it lives.

    What a reader changes in a value, the next reader sees changed. A stream of batches, which can be read once
    only, is kept as the table it makes; every reader gets a stream of its own.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[object, ...], Any] = {}

    def shares_between_processes(self) -> bool:
        """Memory is not shared."""
        return False

    def handle_output(self, context: OutputContext, obj: Any) -> None:
        """Keep a value, in place of the one kept under the same name if there is one."""
        self._values[_key(context)] = _Table(obj.read_all()) if form_of(obj) == READER else obj

    def load_input(self, context: InputContext) -> Any:
        """Give the value of ``context.upstream_output``.

        Raises:
            OutputLostError: It is not kept here.
        """
        context.get_identifier()
        output = context.upstream_output
        assert output is not None
        try:
            value = self._values[_key(output)]
        except KeyError:
            raise OutputLostError(
                "is not in the memory of this process",
                where=where_of(output),
            ) from None
        return as_wanted(value.table.to_reader() if type(value) is _Table else value, context.dagster_type)

    def has_output(self, context: OutputContext) -> bool:
        """Say whether the output is kept here."""
        return _key(context) in self._values


class _Table:
    """What a stream was made of."""

    __slots__ = ("table",)

    def __init__(self, table: Any) -> None:
        self.table = table


def _key(context: OutputContext) -> tuple[object, ...]:
    return (context.version is None, *context.get_identifier())


MEM = IOManagerSpec(
    name="mem",
    create=lambda _init_context: MemIOManager(),
    description="Keeps outputs in the memory of the process, for one run.",
    in_home=lambda config: config,
)
"""What the entry point `mem` offers."""
