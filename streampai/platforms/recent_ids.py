"""Which notifications have been seen: a memory bounded in time and in number."""

import trio


class RecentIds:
    """Remembers ids for ``lifetime`` seconds, at most ``capacity`` of them.

    Beyond the capacity the oldest is forgotten early; a duplicate that slips
    through is then dropped further on, by its event's natural id.
    """

    def __init__(self, *, lifetime: float, capacity: int) -> None:
        self._lifetime = lifetime
        self._capacity = capacity
        # A dict keeps the order of insertion, so the oldest stand first.
        self._times: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, item: str) -> bool:
        """False when ``item`` has been seen before."""
        now = trio.current_time()
        self._forget(now)
        if item in self._times:
            return False
        self._times[item] = now
        return True

    def _forget(self, now: float) -> None:
        while self._times:
            oldest, seen = next(iter(self._times.items()))
            if seen + self._lifetime > now and len(self._times) < self._capacity:
                return
            del self._times[oldest]
