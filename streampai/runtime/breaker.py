"""A circuit breaker: after enough failures in a row, stop asking for a while.

breaker = CircuitBreaker(failures=5, cooldown=30.0)
await trio.sleep(breaker.allow())     # in a loop until it answers 0
try:
    await connect()
except OSError:
    breaker.failure()
else:
    breaker.success()
"""

from collections.abc import Callable
from typing import Literal

import trio

BreakerState = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """closed → open after ``failures`` in a row → half_open after ``cooldown`` s → closed or open.

    Half open lets a single try through. If nobody says how that ended (its
    task was cancelled), another is let through after a further ``cooldown``.
    ``on_change(old, new)`` is called at each change; it must not raise.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        cooldown: float = 30.0,
        clock: Callable[[], float] = trio.current_time,
        on_change: Callable[[BreakerState, BreakerState], None] | None = None,
    ) -> None:
        if failures < 1 or cooldown <= 0:
            raise ValueError(f"failures={failures!r}, cooldown={cooldown!r}: expected both > 0")
        self._limit = failures
        self._cooldown = cooldown
        self._clock = clock
        self._on_change = on_change
        self._state: BreakerState = "closed"
        self._failures = 0
        # The moment the next try may be let through; meaningful unless closed.
        self._next_try = 0.0

    @property
    def state(self) -> BreakerState:
        return self._state

    def allow(self) -> float:
        """Seconds to wait before asking again; 0 means go, and then tell how it ended."""
        if self._state == "closed":
            return 0.0
        now = self._clock()
        if now < self._next_try:
            return self._next_try - now
        self._next_try = now + self._cooldown
        self._enter("half_open")
        return 0.0

    def success(self) -> None:
        """The try worked: forget earlier failures."""
        self._failures = 0
        self._enter("closed")

    def failure(self) -> None:
        """The try failed."""
        self._failures += 1
        # Half open they have been enough before, and none has been forgiven since.
        if self._failures >= self._limit:
            # Failures of tries that began before it opened do not prolong the wait.
            if self._state != "open":
                self._next_try = self._clock() + self._cooldown
            self._enter("open")

    def _enter(self, new: BreakerState) -> None:
        old, self._state = self._state, new
        if old != new and self._on_change is not None:
            self._on_change(old, new)
