"""The budget of API requests, shared by everyone in the daemon.

Cloudflare allows 1,200 requests in five minutes per API user and answers one
too many by blocking that user, dashboard included, for minutes. So every call
takes a token here first, commands before polls, and the polls are spread so
thin that commands always find some left.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from enum import IntEnum

import trio

from ..errors import RateLimited
from ..runtime import TokenBucket
from ..telemetry import Telemetry
from ..telemetry.events import LimiterWaited

WINDOW = 300.0


class Lane(IntEnum):
    """Who goes first. The lanes after CONFIRM are polls."""

    STOP = 0
    START = 1
    CONFIRM = 2
    GRACE = 3
    WAITING = 4
    READY = 5
    STREAMING = 6
    IDLE = 7


POLLS_LOWEST_FIRST = (Lane.IDLE, Lane.STREAMING, Lane.READY, Lane.WAITING, Lane.GRACE)
# How far an interval may be stretched for others, in seconds. In grace there must be
# several looks within the five minutes; somebody who waits for the encoder to show up
# looks at the page; a lost encoder is noticed late but dated by Cloudflare.
LONGEST_INTERVAL: Mapping[Lane, float] = {
    Lane.GRACE: 60.0,
    Lane.WAITING: 180.0,
    Lane.READY: 60.0,
    Lane.STREAMING: 120.0,
    Lane.IDLE: 7200.0,
}
# Of the requests in a window; the rest is for commands and for confirming hints.
POLL_SHARE = 0.75
# Tokens that may be spent at once, as a part of the window's; what may be spent in
# the worst window is burst + rate × window, and that is made to be the setting.
BURST_SHARE = 1 / 17
# When Cloudflare's own count says that less than this part of the quota is left
# (others use the same account), polls are halved until its window is over.
LOW_QUOTA = 0.15


class PollPlan:
    """How often each input may be asked for, so that all together keep to ``requests`` a window.

    Pure but for the clock. While everybody's wishes fit, everybody gets what was
    wished; beyond that the least important lane is stretched first, each up to its
    longest interval, and when all are there, all equally.
    """

    def __init__(self, requests: float, *, clock: Callable[[], float] = trio.current_time) -> None:
        self._requests = requests
        self._clock = clock
        self._wishes: dict[Hashable, tuple[Lane, float]] = {}
        self._counts: Counter[tuple[Lane, float]] = Counter()
        self._factors: dict[Lane, float] | None = None
        self._halved_until = -float("inf")

    def wish(self, key: Hashable, lane: Lane, interval: float) -> float:
        """Ask for a poll of ``key`` every ``interval`` seconds; the interval it gets is returned."""
        wish = (lane, interval)
        if self._wishes.get(key) != wish:
            self.forget(key)
            self._wishes[key] = wish
            self._counts[wish] += 1
            self._factors = None
        if self._factors is None:
            self._factors = self._stretch()
        halved = 2.0 if self._clock() < self._halved_until else 1.0
        return interval * self._factors[lane] * halved

    def forget(self, key: Hashable) -> None:
        """``key`` is polled no longer; unknown keys are ignored."""
        if (wish := self._wishes.pop(key, None)) is not None:
            self._counts[wish] -= 1
            if not self._counts[wish]:
                del self._counts[wish]
            self._factors = None

    def halve(self, seconds: float) -> None:
        """Poll half as often for so long."""
        self._halved_until = max(self._halved_until, self._clock() + seconds)

    def _stretch(self) -> dict[Lane, float]:
        demand = dict.fromkeys(POLLS_LOWEST_FIRST, 0.0)
        longest = dict.fromkeys(POLLS_LOWEST_FIRST, 0.0)
        for (lane, interval), count in self._counts.items():
            demand[lane] += count * WINDOW / interval
            longest[lane] = max(longest[lane], interval)
        factors = dict.fromkeys(POLLS_LOWEST_FIRST, 1.0)
        excess = sum(demand.values()) - self._requests
        for lane in POLLS_LOWEST_FIRST:
            if excess <= 0:
                return factors
            if not demand[lane]:
                continue
            limit = max(1.0, LONGEST_INTERVAL[lane] / longest[lane])
            kept = max(demand[lane] / limit, demand[lane] - excess)
            factors[lane] = demand[lane] / kept
            excess -= demand[lane] - kept
        if excess > 0:
            everybody = (excess + self._requests) / self._requests
            factors = {lane: factor * everybody for lane, factor in factors.items()}
        return factors


class RequestBudget:
    """Tokens for requests, by lane, and the block that a 429 puts on all of them."""

    def __init__(
        self,
        requests_per_window: int,
        *,
        telemetry: Telemetry,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        burst = max(1.0, requests_per_window * BURST_SHARE)
        self._clock = clock
        self._bucket = TokenBucket(
            rate=(requests_per_window - burst) / WINDOW,
            burst=burst,
            name="cloudflare",
            on_wait=lambda name, wait: telemetry.emit(LimiterWaited(limiter=name, wait=wait)),
        )
        self._blocked_until = -float("inf")
        self.polls = PollPlan(requests_per_window * POLL_SHARE, clock=clock)

    @property
    def blocked_for(self) -> float:
        """Seconds until Cloudflare lets us ask again; 0 when it does."""
        return max(0.0, self._blocked_until - self._clock())

    async def acquire(self, lane: Lane, *, patience: float) -> None:
        """Wait for a token, at most ``patience`` seconds. Cancelling gives up the place.

        Raises RateLimited as soon as it is clear that the wait would be longer, so that
        whoever asks can say what waits and for how long instead of hanging in a block.
        """
        if self.blocked_for <= patience:
            with trio.move_on_after(patience):
                await self._bucket.acquire(priority=int(lane))
                return
        raise RateLimited(
            "Cloudflare's request limit is used up; this waits for it.",
            retry_after=round(self.blocked_for or 1.0, 1),
        )

    def block(self, seconds: float) -> None:
        """A 429: nobody may ask for so long."""
        self._blocked_until = max(self._blocked_until, self._clock() + seconds)
        self._bucket.penalise(seconds)

    def learn(self, *, remaining: int, quota: int, resets_in: float) -> None:
        """Cloudflare's own count of what is left, which includes what others spent."""
        if quota > 0 and remaining / quota < LOW_QUOTA:
            self.polls.halve(resets_in)
