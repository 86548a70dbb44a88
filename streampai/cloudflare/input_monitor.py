"""Watches one user's live input: is the encoder in?

It asks Cloudflare again and again, at a pace that suits who is looking and what
the account's budget allows, and keeps an ``AsyncValue`` that belongs to its parent.
It may crash and come back: the value, like the input, is still there.
"""

import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from enum import Enum
from zlib import crc32

import attrs
import trio
from trio_util import AsyncValue

from .. import names
from ..errors import (
    CloudflareRefused,
    CloudflareUnavailable,
    RateLimited,
    StorageUnavailable,
    StreampaiError,
)
from ..runtime import Backoff, Registry
from ..telemetry import Telemetry
from ..telemetry.events import InputStatusChecked, PlatformEventDropped
from .client import CloudflareClient
from .intents import IntentLog
from .limiter import Lane
from .models import InputState, InputStatus, LiveInput, StatusItem
from .provisioner import InputProvisioner, InputStore
from .status import STATUS_WORDS, missing_status, next_status, unknown_status

# Nobody looks: so many times the interval. It is also the pace when Cloudflare has
# refused our credentials, which no asking will change.
SLOW = 20
LONGEST_BACKOFF = 120.0
# A poll asked for by check_soon() keeps this part of the interval from the last one, so
# that a page reloaded over and over does not spend the account's budget.
SOONEST = 1 / 3
JITTER = 0.1
MISSING = "Cloudflare no longer has this live input."
MISSING_LIVE = f"{MISSING} A new one, with a new stream key, is made once the stream has ended."
SWITCHED_OFF = "The live input is switched off at Cloudflare."


class Attention(Enum):
    """How closely the input has to be watched; the parent decides."""

    WATCHING = "watching"
    LIVE = "live"
    GRACE = "grace"
    IDLE = "idle"


class CloudflareInputMonitor:
    """Registered as ``cloudflare_input/{user}`` while it runs.

    ``interval`` is in seconds and what is wished; see :class:`.limiter.PollPlan` for
    what is got. ``attention`` is asked before every pause: when its answer changes,
    call ``check_soon()``.
    """

    def __init__(
        self,
        *,
        user_id: int,
        name: str,
        client: CloudflareClient,
        store: InputStore,
        intents: IntentLog,
        status: AsyncValue[InputStatus],
        attention: Callable[[], Attention],
        interval: float,
        now: Callable[[], datetime],
        telemetry: Telemetry,
        registry: Registry,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.key = names.cloudflare_input(user_id)
        self._user_id = user_id
        self._client = client
        self._provisioner = InputProvisioner(
            user_id=user_id, name=name, client=client, store=store, intents=intents
        )
        self._status = status
        self._attention = attention
        self._interval = interval
        self._now = now
        self._telemetry = telemetry
        self._registry = registry
        self._rng = rng
        self._backoff = Backoff(interval, max(interval, LONGEST_BACKOFF), rng=rng)
        self._wake = trio.Event()
        self._asked_at = 0.0
        self._reported_words: set[str] = set()

    @property
    def live_input(self) -> LiveInput | None:
        """The input with its credentials; None until there is one and after it was lost."""
        return self._provisioner.live_input

    def check_soon(self) -> None:
        """Somebody has a reason to believe that something changed; asks once for all who call."""
        self._wake.set()

    async def rotate_key(self) -> LiveInput:
        """New credentials on request; the encoder that uses the old ones is cut off.

        Runs in the caller's task. Raises CloudflareRefused (``input_missing`` too),
        CloudflareUnavailable, RateLimited, StorageUnavailable.
        """
        return await self._provisioner.rotate()

    async def run(
        self, *, task_status: trio.TaskStatus["CloudflareInputMonitor"] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Ask for ever. Started after the first answer or failure; raises AlreadyRegistered."""
        with self._registry.registered(self.key, self):
            try:
                # Trees that start together must not ask in step ever after.
                delay = await self._check(self._lane(self._status.value)) * self._phase()
                task_status.started(self)
                while True:
                    lane = await self._pause(delay)
                    delay = await self._check(lane)
            finally:
                self._client.budget.polls.forget(self.key)

    def _phase(self) -> float:
        return 0.1 + 0.9 * crc32(names.task_name(self.key).encode()) / 2**32

    async def _pause(self, delay: float) -> Lane:
        """Wait for the next poll, or for check_soon(); the lane it is to take."""
        due = trio.current_time() + delay
        with trio.move_on_at(due):
            await self._wake.wait()
        if not self._wake.is_set():
            return self._lane(self._status.value)
        self._wake = trio.Event()
        await trio.sleep_until(min(due, self._asked_at + self._interval * SOONEST))
        return Lane.CONFIRM

    async def _check(self, lane: Lane) -> float:
        """Ask once and publish what is known then; the seconds until the next time."""
        began = self._asked_at = trio.current_time()
        before = self._status.value
        try:
            status = await self._ask(lane, before)
        except (
            CloudflareUnavailable,
            CloudflareRefused,
            RateLimited,
            StorageUnavailable,
        ) as error:
            status = unknown_status(before, error.message)
            delay = self._delay_after(error)
        else:
            delay = self._delay(status)
        self._status.value = attrs.evolve(status, next_check_in=round(delay, 1))
        self._telemetry.emit(
            InputStatusChecked(
                user_id=self._user_id,
                state=status.state.value,
                duration=trio.current_time() - began,
            )
        )
        return delay

    async def _ask(self, lane: Lane, before: InputStatus) -> InputStatus:
        if self._provisioner.gone and self._attention() in (Attention.LIVE, Attention.GRACE):
            return attrs.evolve(before, reason=MISSING_LIVE, checking_failed="")
        live_input = await self._provisioner.ensure()
        try:
            current, item, date = await self._client.get_input(live_input.uid, lane=lane)
        except CloudflareRefused as error:
            if error.code != "input_missing":
                raise
            self._provisioner.forget(live_input.uid)
            live = self._attention() in (Attention.LIVE, Attention.GRACE)
            return missing_status(self._now(), MISSING_LIVE if live else MISSING)
        self._report_unknown_word(item)
        status = next_status(before, item, now=self._now(), server_date=date)
        if not current.enabled:
            status = attrs.evolve(status, reason=SWITCHED_OFF)
        # What was seen is true even when it cannot be stored: the old key then stays in
        # memory, so that the next poll sees the difference again and tries again.
        with suppress(StorageUnavailable):
            await self._provisioner.update(current)
        return status

    def _lane(self, status: InputStatus) -> Lane:
        connected = status.state is InputState.CONNECTED
        match self._attention():
            case Attention.IDLE:
                return Lane.IDLE
            case Attention.LIVE if connected:
                return Lane.STREAMING
            case Attention.WATCHING:
                return Lane.READY if connected else Lane.WAITING
        return Lane.GRACE

    def _delay(self, status: InputStatus) -> float:
        lane = self._lane(status)
        wished = self._interval * (SLOW if lane is Lane.IDLE else 1)
        delay = self._client.budget.polls.wish(self.key, lane, wished)
        if self._provisioner.gone:
            # Should Cloudflare lose what it has just made, this must not make more and more.
            delay += self._backoff.next()
        else:
            self._backoff.reset()
        return delay * (1 - JITTER + 2 * JITTER * self._rng())

    def _delay_after(self, error: StreampaiError) -> float:
        if isinstance(error, RateLimited):
            # Commands go first when the block ends.
            return max(self._interval, error.retry_after) + self._interval * self._rng()
        if isinstance(error, CloudflareRefused) and error.details.get("status") in (401, 403):
            return self._interval * SLOW
        return self._interval + self._backoff.next()

    def _report_unknown_word(self, item: StatusItem | None) -> None:
        """Once per word and life; the words come from outside, so only so many are kept."""
        if item is None or item.word in STATUS_WORDS or item.word in self._reported_words:
            return
        if len(self._reported_words) < 20:
            self._reported_words.add(item.word)
            self._telemetry.emit(
                PlatformEventDropped(
                    user_id=self._user_id,
                    platform="cloudflare",
                    reason="unreadable",
                    sample=f"status {item.word[:64]!r}",
                )
            )
