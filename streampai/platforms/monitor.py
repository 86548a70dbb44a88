"""The one loop that all platforms share: ``platform_monitor/{user}/{platform}``.

Connects, turns notifications into events and hands them over; when the
connection ends it waits and connects again, for ever. It tells every change of
its own state as an event, names what a break made it miss, and counts viewers
while it is connected.
"""

import math
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import trio

from .. import names
from ..errors import (
    BadRequest,
    PlatformRefused,
    PlatformUnavailable,
    RateLimited,
    ReloginNeeded,
    StreampaiError,
)
from ..events import (
    MonitorStatus,
    MonitorStatusChanged,
    PlatformEvent,
    PlatformStreamEnded,
    PlatformStreamStarted,
    ViewersCounted,
    event_id,
)
from ..runtime import Backoff, CircuitBreaker, Registry
from ..settings import PlatformSettings
from ..telemetry import Telemetry
from ..telemetry.events import MonitorStateChanged, PlatformEventDropped
from .platform import Account, Emit, Notifications, Now, Source

# What is told of an unreadable payload: enough to find it in the platform's reference.
SAMPLE_LENGTH = 200
# A stream that the platform does not list for so long has ended, though nobody
# said so: the word fell into a gap. Twitch's list lags by up to a few minutes.
GONE_AFTER = 300.0


class PlatformMonitor:
    """Watches one account for as long as ``run`` runs.

    ``emit`` waits while the receiver is busy, and then the platform's socket
    fills, as it should. ``breaker`` and ``alive_until`` (the last moment for
    which nothing was missed) outlive a monitor that crashed: the parent keeps
    them. ``alive_until`` is None when nothing has been heard yet.
    """

    def __init__(
        self,
        *,
        user_id: int,
        platform: str,
        account: Account,
        emit: Emit,
        registry: Registry,
        settings: PlatformSettings,
        telemetry: Telemetry,
        now: Now,
        breaker: CircuitBreaker,
        alive_until: datetime | None = None,
    ) -> None:
        self.key = names.platform_monitor(user_id, platform)
        self.alive_until = alive_until
        self._user_id = user_id
        self._platform = platform
        self._account = account
        self._emit = emit
        self._registry = registry
        self._settings = settings
        self._telemetry = telemetry
        self._now = now
        self._breaker = breaker
        self._backoff = Backoff(settings.backoff_base, settings.backoff_cap)
        # Somebody wants the next attempt at once.
        self._hurry = False
        self._wake = trio.Event()
        # Set while connected.
        self._listening: trio.CancelScope | None = None
        self._lacking: tuple[str, ...] = ()
        # Since when something that was heard has not been handed over; None: nothing is owed.
        self._owing_since: float | None = None
        # When the stream was last known to be live; None when it has ended.
        self._seen_live: float | None = None

    async def run(
        self, *, task_status: trio.TaskStatus["PlatformMonitor"] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Watch until cancelled. Raises only what is a bug, its own or the platform's code's."""
        with self._registry.registered(self.key, self):
            task_status.started(self)
            while True:
                await self._wait_for_breaker()
                self._hurry = False
                try:
                    await self._connect_and_listen()
                except ReloginNeeded as exc:
                    await self._tell(MonitorStatus.RELOGIN_NEEDED, exc.message)
                    await self._pause(math.inf)
                except StreampaiError as exc:
                    wait = self._wait_after(exc)
                    retry_at = self._now() + timedelta(seconds=wait)
                    await self._tell(MonitorStatus.WAITING, exc.message, retry_at=retry_at)
                    await self._pause(wait)

    def retry_now(self) -> None:
        """Cut a wait short, the breaker's included. Does nothing while connected."""
        if self._listening is None:
            self._hurry = True
            self._wake.set()

    def account_changed(self) -> None:
        """The account was connected anew: try it, or ask again for what it lacked before."""
        if self._listening is None:
            self.retry_now()
        elif self._lacking:
            self._listening.cancel()

    # --- Waiting -----------------------------------------------------------

    async def _wait_for_breaker(self) -> None:
        while not self._hurry and (rest := self._breaker.allow()) > 0:
            await self._pause(rest)

    async def _pause(self, seconds: float) -> None:
        if self._hurry:
            return
        self._wake = trio.Event()
        with trio.move_on_after(seconds):
            await self._wake.wait()

    def _wait_after(self, error: StreampaiError) -> float:
        """Seconds until the next attempt; only what says that the platform fails counts as failure."""
        wait = self._backoff.next()
        if isinstance(error, RateLimited):
            return max(wait, error.retry_after)
        if isinstance(error, PlatformRefused):
            # The same will be refused again until somebody changes something over there.
            return self._settings.backoff_cap
        self._breaker.failure()
        return max(wait, self._breaker.allow()) if self._breaker.state == "open" else wait

    # --- A connection ------------------------------------------------------

    async def _connect_and_listen(self) -> None:
        """Returns when the account has changed; otherwise raises why the connection ended."""
        await self._tell(MonitorStatus.CONNECTING)
        source = self._account.source()
        async with source.open() as notifications:
            connected_at = trio.current_time()
            self._hurry = False
            self._breaker.success()
            try:
                await self._tell_connected(notifications)
                reason = await self._attend(source, notifications)
            finally:
                self._listening = None
                self._note_life(notifications)
                if trio.current_time() - connected_at >= self._settings.monitor_timeout:
                    # A connection that is lost at once again must not be made at once again.
                    self._backoff.reset()
        if reason is not None:
            raise reason

    async def _attend(
        self, source: Source, notifications: Notifications
    ) -> PlatformUnavailable | None:
        reason: PlatformUnavailable | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                self._count_viewers,
                notifications,
                name=names.task_name((*self.key, "viewers")),
            )
            with trio.CancelScope() as self._listening:
                reason = await self._listen(source, notifications)
            nursery.cancel_scope.cancel()
        return reason

    async def _listen(self, source: Source, notifications: Notifications) -> PlatformUnavailable:
        """Hand over what comes until nothing comes any more. A source that broke names the reason itself."""
        self._owing_since = None
        while True:
            try:
                notification = await self._next(notifications)
            except trio.EndOfChannel:
                return PlatformUnavailable("the platform ended the connection")
            except trio.TooSlowError:
                return PlatformUnavailable("the platform has been silent for too long")
            if self._owing_since is None:
                self._owing_since = trio.current_time()
            for event in self._read(source, notification):
                if isinstance(event, PlatformStreamStarted):
                    self._seen_live = trio.current_time()
                elif isinstance(event, PlatformStreamEnded):
                    self._seen_live = None
                await self._emit(event)
            if not notifications.channel.statistics().current_buffer_used:
                self._owing_since = None

    async def _next(self, notifications: Notifications) -> Any:
        """The next notification. Raises TooSlowError after silence, EndOfChannel.

        Time that we spent handing over is no silence of the platform.
        """
        waiting_since = trio.current_time()
        while True:
            limit = max(self._settings.monitor_timeout, notifications.keepalive)
            deadline = max(waiting_since, notifications.last_heard) + limit
            if trio.current_time() >= deadline:
                raise trio.TooSlowError
            with trio.move_on_at(deadline):
                return await notifications.channel.receive()

    def _read(self, source: Source, notification: Any) -> list[PlatformEvent]:
        try:
            return list(source.normalise(notification, self._now()))
        except BadRequest as exc:
            sample = exc.message
        except (LookupError, TypeError, ValueError, AttributeError) as exc:
            # A shape that nobody foresaw. It is one payload of many, and the
            # next is no worse for it.
            sample = f"{type(notification).__name__}: {type(exc).__name__}"
        self._telemetry.emit(
            PlatformEventDropped(
                user_id=self._user_id,
                platform=self._platform,
                reason="unreadable",
                sample=sample[:SAMPLE_LENGTH],
            )
        )
        return []

    async def _count_viewers(self, notifications: Notifications) -> None:
        while True:
            wait = self._settings.viewers_interval
            try:
                await self._tell_viewers(await self._account.viewers())
            except RateLimited as exc:
                wait = max(wait, exc.retry_after)
            except StreampaiError:
                # Telemetry has the call's outcome; the connection is not in question.
                pass
            if notifications.not_subscribed != self._lacking:
                self._lacking = notifications.not_subscribed
                await self._tell(MonitorStatus.CONNECTED)
            await trio.sleep(wait)

    async def _tell_viewers(self, viewers: int | None) -> None:
        now = trio.current_time()
        if viewers is not None:
            self._seen_live = now
            await self._emit(ViewersCounted(**self._common(f"viewers:{uuid4()}"), viewers=viewers))
        elif self._seen_live is not None and now - self._seen_live >= GONE_AFTER:
            self._seen_live = None
            await self._emit(PlatformStreamEnded(**self._common(f"gone:{uuid4()}")))

    # --- Telling -----------------------------------------------------------

    def _note_life(self, notifications: Notifications) -> None:
        until = notifications.last_heard
        if self._owing_since is not None:
            # What was heard and not handed over is lost as well.
            until = min(until, self._owing_since)
        silence = trio.current_time() - until
        self.alive_until = self._now() - timedelta(seconds=silence)

    async def _tell_connected(self, notifications: Notifications) -> None:
        self._lacking = notifications.not_subscribed
        if self.alive_until is None or notifications.missed_nothing:
            await self._tell(MonitorStatus.CONNECTED)
        else:
            await self._tell(
                MonitorStatus.CONNECTED,
                missed_from=self.alive_until,
                missed_until=self._now(),
            )

    async def _tell(
        self,
        status: MonitorStatus,
        reason: str = "",
        *,
        retry_at: datetime | None = None,
        missed_from: datetime | None = None,
        missed_until: datetime | None = None,
    ) -> None:
        self._telemetry.emit(
            MonitorStateChanged(
                user_id=self._user_id, platform=self._platform, status=status.value, reason=reason
            )
        )
        await self._emit(
            MonitorStatusChanged(
                **self._common(f"monitor:{uuid4()}"),
                status=status,
                reason=reason,
                retry_at=retry_at,
                breaker=self._breaker.state,
                missed_from=missed_from,
                missed_until=missed_until,
                not_subscribed=self._lacking if status is MonitorStatus.CONNECTED else (),
            )
        )

    def _common(self, native_id: str) -> dict[str, Any]:
        now = self._now()
        return {
            "id": event_id(self._platform, native_id),
            "platform": self._platform,
            "user_id": self._user_id,
            "occurred_at": now,
            "received_at": now,
        }
