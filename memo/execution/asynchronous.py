"""Running async ops to their end, with or without an event loop around."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine


def finished(awaitable: Any) -> Any:
    """Wait for a coroutine's value, or for all that an async generator yields, as a list.

    Where an event loop is running in this thread, as in a notebook, it is waited for in another thread.

    Raises:
        BaseException: Whatever the coroutine raises.
    """
    whole: Coroutine[Any, Any, Any] = _listed(awaitable) if hasattr(awaitable, "__aiter__") else awaitable
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(whole)
    found: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            found.append(asyncio.run(whole))
        except BaseException as error:  # noqa: BLE001 - carried over to the waiting thread, which raises it
            raised.append(error)

    thread = Thread(target=run, name="memo async op")
    thread.start()
    thread.join()
    if raised:
        raise raised[0]
    return found[0]


async def _listed(iterator: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in iterator]
