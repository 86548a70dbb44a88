"""The telemetry events: a promise to whoever listens.

Each class is one event. ``name`` is its name in logs and metrics; the fields
are its measurements (numbers, durations in seconds) and its metadata (who,
which, why). Code emits where the thing happens; logs and metrics are
listeners. No field ever holds a secret or a chat text.
"""

from typing import ClassVar

import attrs


@attrs.frozen(kw_only=True)
class TelemetryEvent:
    name: ClassVar[str]


@attrs.frozen(kw_only=True)
class UserSessionStarted(TelemetryEvent):
    """A user's tree is up."""

    name: ClassVar[str] = "livestream_manager.user_session.started"
    user_id: int
    duration: float


@attrs.frozen(kw_only=True)
class UserSessionEnded(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.user_session.ended"
    user_id: int
    reason: str
    duration: float


@attrs.frozen(kw_only=True)
class StreamStateChanged(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.stream.state_changed"
    user_id: int
    old: str
    new: str
    reason: str


@attrs.frozen(kw_only=True)
class MonitorStarted(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.platform.monitor_started"
    user_id: int
    platform: str


@attrs.frozen(kw_only=True)
class MonitorStateChanged(TelemetryEvent):
    """A monitor connected, lost its connection or waits; ``status`` as on the page."""

    name: ClassVar[str] = "livestream_manager.platform.monitor_state_changed"
    user_id: int
    platform: str
    status: str
    reason: str


@attrs.frozen(kw_only=True)
class PlatformEventProcessed(TelemetryEvent):
    """An event was counted and published; ``latency`` from its arrival to then."""

    name: ClassVar[str] = "livestream_manager.platform.event_processed"
    user_id: int
    platform: str
    kind: str
    latency: float


@attrs.frozen(kw_only=True)
class PlatformEventDropped(TelemetryEvent):
    """``reason``: duplicate, stale, unreadable, lost (its server was restarting)."""

    name: ClassVar[str] = "livestream_manager.platform.event_dropped"
    user_id: int
    platform: str
    reason: str
    sample: str = ""


@attrs.frozen(kw_only=True)
class InputStatusChecked(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.cloudflare.input_status_checked"
    user_id: int
    state: str
    duration: float


@attrs.frozen(kw_only=True)
class OutputCreatedAtCloudflare(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.cloudflare.output_created"
    user_id: int
    platform: str
    duration: float


@attrs.frozen(kw_only=True)
class OutputDestroyedAtCloudflare(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.cloudflare.output_destroyed"
    user_id: int
    platform: str
    duration: float


@attrs.frozen(kw_only=True)
class ApiCallFinished(TelemetryEvent):
    """One HTTP call to a service; ``status`` is 0 when no answer came."""

    name: ClassVar[str] = "livestream_manager.api.call_finished"
    service: str
    operation: str
    status: int
    duration: float


@attrs.frozen(kw_only=True)
class TokenRefreshed(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.platform.token_refreshed"
    user_id: int
    platform: str
    outcome: str


@attrs.frozen(kw_only=True)
class SupervisorReported(TelemetryEvent):
    """``what``: started, exited, restarting, restart_failed, abandoned, limit_reached, delayed.

    A limit that was reached is ``supervisor``'s ("limit_reached": it fails) or the
    child's own ("delayed": it comes back after ``delay`` seconds); ``child`` crashed
    last, by ``reason``. ``error`` is what the crash ended with; its traceback goes
    to the log.
    """

    name: ClassVar[str] = "livestream_manager.supervisor.reported"
    supervisor: str
    child: str
    what: str
    reason: str
    error: BaseException | None = None
    delay: float | None = None


@attrs.frozen(kw_only=True)
class BreakerChanged(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.platform.breaker_changed"
    user_id: int
    platform: str
    old: str
    new: str


@attrs.frozen(kw_only=True)
class LimiterWaited(TelemetryEvent):
    """A token bucket held a call back for ``wait`` seconds."""

    name: ClassVar[str] = "livestream_manager.limiter.waited"
    limiter: str
    wait: float


@attrs.frozen(kw_only=True)
class BrowserConnected(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.browser.connected"
    user_id: int
    client: str


@attrs.frozen(kw_only=True)
class BrowserDisconnected(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.browser.disconnected"
    user_id: int
    client: str
    code: int
    reason: str


@attrs.frozen(kw_only=True)
class BrowserResumed(TelemetryEvent):
    """A browser asked for what it missed; ``recovered`` says whether it could be given whole."""

    name: ClassVar[str] = "livestream_manager.browser.resumed"
    topic: str
    recovered: bool
    publications: int


@attrs.frozen(kw_only=True)
class RequestRefused(TelemetryEvent):
    """Bad input from outside: logged once, without its content."""

    name: ClassVar[str] = "livestream_manager.web.request_refused"
    user_id: int | None
    code: str
    where: str


@attrs.frozen(kw_only=True)
class StorageWritten(TelemetryEvent):
    """One transaction of the writer: ``writes`` jobs in ``duration`` seconds."""

    name: ClassVar[str] = "livestream_manager.storage.written"
    writes: int
    duration: float


@attrs.frozen(kw_only=True)
class StorageFailed(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.storage.failed"
    reason: str


@attrs.frozen(kw_only=True)
class LoopLagMeasured(TelemetryEvent):
    name: ClassVar[str] = "livestream_manager.loop.lag_measured"
    lag: float
