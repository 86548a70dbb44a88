"""Prometheus metrics: a listener that counts, and the text that ``/metrics`` answers.

Nothing is labelled by user. Labels come from the code's own words, and a label
that should still get out of hand is folded into ``other`` after so many values.
"""

from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import generate_latest

from . import events
from .bus import Telemetry
from .families import EventRates, Standing, Words

_CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COMMIT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """Attaches itself to ``telemetry``; ``render()`` is the exposition text of a registry of its own."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._words: dict[str, Words] = {}
        self._standing = Standing()
        self._rates = EventRates(Words())
        for collector in (self._standing, self._rates):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._make_counters()
        self._make_histograms()
        for cls, listener in self._listeners().items():
            telemetry.attach(listener, cls)

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"streampai_{name}", text, labels, registry=self._registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"streampai_{name}_seconds", text, labels, buckets=buckets, registry=self._registry
        )

    def _make_counters(self) -> None:
        self._dropped = self._counter(
            "platform_events_dropped", "Events not counted.", "platform", "reason"
        )
        self._calls = self._counter(
            "api_calls", "Calls to services by the answer's class.", "service", "outcome"
        )
        self._inputs = self._counter("input_checks", "Looks at a live input.", "state")
        self._outputs = self._counter(
            "outputs", "Live outputs made or removed.", "platform", "what"
        )
        self._tokens = self._counter("token_refreshes", "Token refreshes.", "platform", "outcome")
        self._reports = self._counter(
            "supervisor_reports", "Starts, exits and restarts.", "child", "what"
        )
        self._waits = self._counter("limiter_waits", "Calls held back by a limit.", "limiter")
        self._waited = self._counter("limiter_wait_seconds", "Seconds so waited.", "limiter")
        self._closed = self._counter("websocket_closed", "Browsers gone, by close code.", "code")
        self._resumed = self._counter("browser_resumes", "Recoveries of a topic.", "recovered")
        self._refused = self._counter("requests_refused", "Bad input from outside.", "code")
        self._storage_writes = self._counter("storage_writes", "Jobs written.")
        self._storage_failures = self._counter("storage_failures", "Writes the disk refused.")

    def _make_histograms(self) -> None:
        self._call_time = self._histogram(
            "api_call", "Time of a call to a service.", _CALL_BUCKETS, "service", "operation"
        )
        self._commit_time = self._histogram(
            "storage_commit", "One transaction of the writer.", _COMMIT_BUCKETS
        )
        self._lag_time = self._histogram("loop_lag", "Event-loop lag.", _LAG_BUCKETS)

    def _word(self, label: str, value: object) -> str:
        return self._words.setdefault(label, Words())(str(value))

    def _listeners(self) -> Mapping[type[Any], Callable[[Any], None]]:
        return {
            events.UserSessionStarted: self._user_started,
            events.UserSessionEnded: self._user_ended,
            events.StreamStateChanged: self._state_changed,
            events.MonitorStateChanged: self._monitor_changed,
            events.BreakerChanged: self._breaker_changed,
            events.PlatformEventProcessed: self._rates.processed,
            events.PlatformEventDropped: self._event_dropped,
            events.ApiCallFinished: self._call_finished,
            events.InputStatusChecked: self._input_checked,
            events.OutputCreatedAtCloudflare: self._output_created,
            events.OutputDestroyedAtCloudflare: self._output_destroyed,
            events.TokenRefreshed: self._token_refreshed,
            events.SupervisorReported: self._supervisor_reported,
            events.LimiterWaited: self._limiter_waited,
            events.BrowserConnected: self._browser_connected,
            events.BrowserDisconnected: self._browser_disconnected,
            events.BrowserResumed: self._browser_resumed,
            events.RequestRefused: self._request_refused,
            events.StorageWritten: self._storage_written,
            events.StorageFailed: self._storage_failed,
            events.LoopLagMeasured: self._lag_measured,
        }

    def _user_started(self, event: events.UserSessionStarted) -> None:
        self._standing.users.setdefault(event.user_id, "offline")

    def _user_ended(self, event: events.UserSessionEnded) -> None:
        self._standing.user_ended(event.user_id)

    def _state_changed(self, event: events.StreamStateChanged) -> None:
        self._standing.users[event.user_id] = event.new

    def _monitor_changed(self, event: events.MonitorStateChanged) -> None:
        monitors = self._standing.monitors.setdefault(event.user_id, {})
        if event.status == "stopped":
            monitors.pop(event.platform, None)
        else:
            monitors[event.platform] = event.status

    def _breaker_changed(self, event: events.BreakerChanged) -> None:
        breakers = self._standing.breakers.setdefault(event.user_id, {})
        if event.new == "closed":
            breakers.pop(event.platform, None)
        else:
            breakers[event.platform] = event.new

    def _event_dropped(self, event: events.PlatformEventDropped) -> None:
        self._dropped.labels(
            self._word("platform", event.platform), self._word("reason", event.reason)
        ).inc()

    def _call_finished(self, event: events.ApiCallFinished) -> None:
        service = self._word("service", event.service)
        outcome = f"{event.status // 100}xx" if event.status else "none"
        self._calls.labels(service, "429" if event.status == 429 else outcome).inc()
        self._call_time.labels(service, self._word("operation", event.operation)).observe(
            event.duration
        )

    def _input_checked(self, event: events.InputStatusChecked) -> None:
        self._inputs.labels(self._word("input", event.state)).inc()

    def _output_created(self, event: events.OutputCreatedAtCloudflare) -> None:
        self._outputs.labels(self._word("platform", event.platform), "created").inc()

    def _output_destroyed(self, event: events.OutputDestroyedAtCloudflare) -> None:
        self._outputs.labels(self._word("platform", event.platform), "destroyed").inc()

    def _token_refreshed(self, event: events.TokenRefreshed) -> None:
        self._tokens.labels(
            self._word("platform", event.platform), self._word("outcome", event.outcome)
        ).inc()

    def _supervisor_reported(self, event: events.SupervisorReported) -> None:
        self._reports.labels(self._word("child", event.child), self._word("what", event.what)).inc()

    def _limiter_waited(self, event: events.LimiterWaited) -> None:
        limiter = self._word("limiter", event.limiter)
        self._waits.labels(limiter).inc()
        self._waited.labels(limiter).inc(event.wait)

    def _browser_connected(self, _: events.BrowserConnected) -> None:
        self._standing.browsers += 1

    def _browser_disconnected(self, event: events.BrowserDisconnected) -> None:
        self._standing.browsers -= 1
        self._closed.labels(self._word("close", event.code)).inc()

    def _browser_resumed(self, event: events.BrowserResumed) -> None:
        self._resumed.labels("yes" if event.recovered else "no").inc()

    def _request_refused(self, event: events.RequestRefused) -> None:
        self._refused.labels(self._word("code", event.code)).inc()

    def _storage_written(self, event: events.StorageWritten) -> None:
        self._storage_writes.inc(event.writes)
        self._commit_time.observe(event.duration)

    def _storage_failed(self, _: events.StorageFailed) -> None:
        self._storage_failures.inc()

    def _lag_measured(self, event: events.LoopLagMeasured) -> None:
        self._standing.lag = event.lag
        self._lag_time.observe(max(event.lag, 0.0))
