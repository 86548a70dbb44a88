"""A token bucket: a service's rate limit, kept in the path of every call.

bucket = TokenBucket(rate=4.0, burst=20, name="cloudflare")
await bucket.acquire()
...
bucket.penalise(retry_after)     # the service said so
"""

import heapq
import itertools
import math
from collections.abc import Callable

import trio


class _Waiter:
    __slots__ = ("amount", "number", "priority", "wake")

    def __init__(self, priority: int, number: int, amount: float) -> None:
        self.priority = priority
        self.number = number
        self.amount = amount
        self.wake = trio.Event()

    def __lt__(self, other: "_Waiter") -> bool:
        return (self.priority, self.number) < (other.priority, other.number)


class TokenBucket:
    """Lets ``rate`` tokens a second through, and at most ``burst`` at once after a quiet time.

    Waiting tasks are served by priority, lower first, and in their order
    within one; an expensive one at the front is not overtaken by cheap ones.
    ``on_wait(name, seconds)`` is called when a call is about to be held back,
    with the time it expects to wait; it must not raise.
    """

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        name: str,
        on_wait: Callable[[str, float], None] | None = None,
    ) -> None:
        if rate <= 0 or burst <= 0:
            raise ValueError(f"rate={rate!r}, burst={burst!r}: expected both > 0")
        self.name = name
        self._rate = rate
        self._burst = burst
        self._on_wait = on_wait
        self._tokens = float(burst)
        self._counted_at = -math.inf
        self._blocked_until = -math.inf
        # Bounded by the number of tasks that call: each waits in it at most once.
        self._queue: list[_Waiter] = []
        self._numbers = itertools.count()

    @property
    def available(self) -> float:
        """Tokens that could be taken this moment; 0 during a penalty."""
        now = trio.current_time()
        if now < self._blocked_until:
            return 0.0
        self._refill(now)
        return self._tokens

    @property
    def waiting(self) -> int:
        """How many tasks are being held back."""
        return len(self._queue)

    async def acquire(self, n: float = 1, *, priority: int = 0) -> None:
        """Take ``n`` tokens, waiting for one's turn. When cancelled, none has been taken."""
        if not 0 < n <= self._burst:
            raise ValueError(f"n={n!r}: expected more than 0 and at most burst={self._burst!r}")
        await trio.lowlevel.checkpoint()
        waiter = _Waiter(priority, next(self._numbers), n)
        heapq.heappush(self._queue, waiter)
        if self._on_wait is not None:
            wait = self._expected_wait(waiter)
            if wait > 0:
                self._on_wait(self.name, wait)
        try:
            await self._wait_for_turn(waiter)
            self._tokens -= n
        finally:
            self._queue.remove(waiter)
            heapq.heapify(self._queue)
            self._wake_first()

    def penalise(self, seconds: float) -> None:
        """Nobody passes for so long from now. A shorter penalty never ends a longer one."""
        # Who sleeps already looks again when it wakes, so nobody need be told.
        self._blocked_until = max(self._blocked_until, trio.current_time() + seconds)

    async def _wait_for_turn(self, waiter: _Waiter) -> None:
        while True:
            wait = math.inf
            if self._queue[0] is waiter:
                wait = self._time_until(waiter.amount)
                if wait <= 0:
                    return
            with trio.move_on_after(wait):
                await waiter.wake.wait()
            waiter.wake = trio.Event()

    def _time_until(self, amount: float) -> float:
        now = trio.current_time()
        self._refill(now)
        missing = amount - self._tokens
        # Rounding must not leave a wait too short for the clock to notice.
        filled = missing / self._rate if missing > 1e-9 else 0.0
        return max(filled, self._blocked_until - now)

    def _expected_wait(self, waiter: _Waiter) -> float:
        return self._time_until(sum(w.amount for w in self._queue if not waiter < w))

    def _refill(self, now: float) -> None:
        if self._counted_at == -math.inf:
            self._counted_at = now
        self._tokens = min(self._burst, self._tokens + (now - self._counted_at) * self._rate)
        self._counted_at = now

    def _wake_first(self) -> None:
        if self._queue:
            self._queue[0].wake.set()
