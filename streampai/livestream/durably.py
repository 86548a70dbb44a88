"""Writing down what has been decided, for as long as it takes."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ..errors import StorageUnavailable
from ..runtime import Backoff

T = TypeVar("T")


async def durably(write: Callable[[], Awaitable[T]]) -> T:
    """Call ``write`` until the store takes it.

    For what follows a command that was accepted: it can no longer be refused, and a
    crash would not mend a full disk. Cancelling gives up; the row may be written or not.
    """
    backoff = Backoff(0.1, 5.0)
    while True:
        try:
            return await write()
        except StorageUnavailable:
            await trio.sleep(backoff.next())
