"""The limit on API requests that a whole account shares."""

import math

from .agenda import Agenda


class RequestLimit:
    """1,200 requests in five minutes; whoever goes over is shut out for a whole window."""

    def __init__(self, agenda: Agenda, *, quota: int, window: float) -> None:
        self._agenda = agenda
        self.quota = quota
        self.window = window
        self.blocked = 0
        self._opened = agenda.now()
        self._used = 0
        self._blocked_until = -math.inf

    def block(self, seconds: float) -> None:
        """Shut everybody out from now on, as if the quota had been used up."""
        self._blocked_until = self._agenda.now() + seconds

    def lift(self) -> None:
        self._blocked_until = -math.inf
        self._used = 0

    def spend(self) -> tuple[bool, dict[str, str]]:
        """Whether the request may pass, and the headers that say how things stand."""
        now = self._agenda.now()
        if now >= self._opened + self.window:
            self._opened, self._used = now, 0
        self._used += 1
        if self._used > self.quota and now >= self._blocked_until:
            self._blocked_until = now + self.window
        passes = now >= self._blocked_until
        until = self._opened + self.window if passes else self._blocked_until
        left, wait = max(0, self.quota - self._used), math.ceil(until - now - 1e-6)
        headers = {
            "Ratelimit": f'"default";r={left if passes else 0};t={wait}',
            "Ratelimit-Policy": f'"default";q={self.quota};w={math.ceil(self.window)}',
        }
        if not passes:
            self.blocked += 1
            headers["Retry-After"] = str(wait)
        return passes, headers
