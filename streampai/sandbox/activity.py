"""How long the sandbox has been left alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Activity:
    """Requests in progress and open sockets, and when the last of them ended."""

    def __init__(self) -> None:
        self.open = 0
        self._since = trio.current_time()

    @contextmanager
    def busy(self) -> Iterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1
            self._since = trio.current_time()

    async def idle_for(self, seconds: float) -> None:
        """Return once nothing has been open for ``seconds``."""
        while True:
            left = seconds if self.open else self._since + seconds - trio.current_time()
            if left <= 0:
                return
            await trio.sleep(left)
