"""How often is too often."""

import math

from .errors import InvalidSpec


class RestartLimit:
    """At most ``max_restarts`` in any span of ``max_seconds``: the window slides."""

    __slots__ = ("_times", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        # Oldest first, never longer than the limit and one. A list, because
        # most are empty for ever and an empty deque is ten times as large.
        self._times: list[float] = []

    def allow(self, now: float) -> bool:
        """Count one more; False when that is too many."""
        oldest = now - self.max_seconds
        self._times = [time for time in self._times if time >= oldest]
        self._times.append(now)
        return len(self._times) <= self.max_restarts

    def change(self, max_restarts: int, max_seconds: float) -> None:
        """What has been counted stays counted."""
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds

    def spent(self, now: float) -> int:
        """How many count at ``now``."""
        return sum(time >= now - self.max_seconds for time in self._times)

    def clear(self) -> None:
        self._times = []


def check_limit(max_restarts: int, max_seconds: float) -> None:
    """Raises InvalidSpec unless both are finite, the first ≥ 0 and the second > 0."""
    if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 0:
        raise InvalidSpec("max_restarts", max_restarts, "a whole number, at least 0")
    if not isinstance(max_seconds, int | float) or not 0 < max_seconds < math.inf:
        raise InvalidSpec("max_seconds", max_seconds, "seconds, more than 0 and finite")
