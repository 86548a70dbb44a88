"""Who may try how often: token buckets by key, asked without waiting.

throttle = Throttle(rate=1 / 30, burst=10)
if wait := throttle.take(name):
    raise RateLimited(retry_after=wait)
"""

from collections import OrderedDict
from collections.abc import Hashable

import trio


class Throttle:
    """A bucket of ``burst`` tokens for each key, refilled with ``rate`` tokens a second."""

    # Someone who invents keys must not be able to fill the memory. The key used
    # longest ago is forgotten first; its bucket is by then the fullest.
    MAX_KEYS = 10_000

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, key: Hashable, tokens: float = 1.0) -> float:
        """Takes ``tokens`` and answers 0.0, or takes nothing and answers how many seconds to wait."""
        now = trio.current_time()
        level, since = self._buckets.get(key, (self._burst, now))
        level = min(self._burst, level + (now - since) * self._rate)
        wait = 0.0 if level >= tokens else (tokens - level) / self._rate
        self._buckets[key] = (level if wait else level - tokens, now)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self.MAX_KEYS:
            self._buckets.popitem(last=False)
        return wait

    def give_back(self, key: Hashable) -> None:
        """Returns one token, for an attempt that turned out to be legitimate."""
        if key in self._buckets:
            level, since = self._buckets[key]
            self._buckets[key] = (min(self._burst, level + 1), since)
