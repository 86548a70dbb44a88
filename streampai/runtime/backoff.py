"""Waiting longer after each failure, and never in step with others.

backoff = Backoff(1.0, 60.0)
while True:
    try:
        await connect()
        backoff.reset()
    except OSError:
        await trio.sleep(backoff.next())
"""

import random
from collections.abc import Callable

# 2.0 ** 1024 no longer fits into a float; the cap is reached long before.
MAX_EXPONENT = 60


class Backoff:
    """Exponential backoff with full jitter: the n-th wait is anywhere in 0…min(cap, base·2ⁿ) s.

    Full jitter, rather than a little of it, spreads a thousand clients that
    lost the same service at the same moment.
    """

    __slots__ = ("_rng", "attempt", "base", "cap")

    def __init__(
        self, base: float, cap: float, *, rng: Callable[[], float] = random.random
    ) -> None:
        if not 0 < base <= cap:
            raise ValueError(f"base={base!r}, cap={cap!r}: expected 0 < base <= cap")
        self.base = base
        self.cap = cap
        self.attempt = 0
        self._rng = rng

    def next(self) -> float:
        """Seconds to wait now; the next answer may be twice as long."""
        longest = min(self.cap, self.base * 2.0 ** min(self.attempt, MAX_EXPONENT))
        self.attempt += 1
        return self._rng() * longest

    def reset(self) -> None:
        """All is well again: begin with the shortest wait."""
        self.attempt = 0

    def fresh(self) -> "Backoff":
        """Another one with the same bounds that has not waited yet."""
        return Backoff(self.base, self.cap, rng=self._rng)
