"""The sandbox's clockwork: plain functions called later, by one task, in order.

Lags, grace periods and lifetimes hang on it, so a test may move all of them
forward at once with ``advance``.
"""

import heapq
from collections.abc import Callable
from itertools import count

import attrs
import trio

Act = Callable[[], None]


@attrs.define(eq=False)
class Entry:
    """Something that will be done. ``cancel`` may be called at any time, also afterwards."""

    act: Act
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


class Agenda:
    """Everything the sandbox means to do later.

    The heap holds a few entries per input, socket and token, all of them made
    by calls that the services themselves limit.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []
        self._number = count()
        self._shift = 0.0
        self._changed = trio.Event()

    def now(self) -> float:
        """Seconds on the sandbox's own clock, which ``advance`` moves."""
        return trio.current_time() + self._shift

    def after(self, seconds: float, act: Act) -> Entry:
        """Call ``act`` in ``seconds``; at once, before returning, when that is not positive."""
        entry = Entry(act)
        if seconds <= 0:
            act()
            return entry
        heapq.heappush(self._heap, (self.now() + seconds, next(self._number), entry))
        self._changed.set()
        return entry

    def advance(self, seconds: float) -> None:
        """Let everything due within ``seconds`` happen now."""
        self._shift += seconds
        self._changed.set()

    async def run(self) -> None:
        """Serve the agenda until cancelled."""
        while True:
            self._changed = trio.Event()
            while self._heap and self._heap[0][0] <= self.now():
                _, _, entry = heapq.heappop(self._heap)
                if not entry.cancelled:
                    entry.act()
            wait = self._heap[0][0] - self.now() if self._heap else float("inf")
            if self._changed.is_set():
                await trio.lowlevel.checkpoint()
                continue
            with trio.move_on_after(wait):
                await self._changed.wait()
