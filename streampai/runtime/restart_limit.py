"""How often is too often."""

from collections import deque


class RestartLimit:
    """At most ``max_restarts`` in any span of ``max_seconds``: the window slides."""

    __slots__ = ("_times", "max_restarts", "max_seconds")

    def __init__(self, max_restarts: int, max_seconds: float) -> None:
        self.max_restarts = max_restarts
        self.max_seconds = max_seconds
        self._times: deque[float] = deque()

    def allow(self, now: float) -> bool:
        """Count one more; False when that is too many."""
        self._times.append(now)
        while self._times[0] < now - self.max_seconds:
            self._times.popleft()
        return len(self._times) <= self.max_restarts

    def clear(self) -> None:
        self._times.clear()
