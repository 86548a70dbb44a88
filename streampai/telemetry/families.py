"""Metrics that are kept as plain numbers and made into Prometheus' families when asked for.

What happens per chat message costs a dictionary look-up here, not a labelled
counter; what stands now is a dictionary that the telemetry events keep true.
"""

import resource
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from . import events

_LATENCY_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
_MAX_LABEL_VALUES = 64


class Words:
    """The values a label may take: the first so many that come, then ``other``."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def __call__(self, word: str) -> str:
        # A name such as platform_monitor/42/twitch is one kind of thing: its first word.
        kind = word.partition("/")[0]
        if kind in self._known:
            return kind
        if len(self._known) >= _MAX_LABEL_VALUES:
            return "other"
        self._known.add(kind)
        return kind


class EventRates(Collector):
    """Platform events by platform and kind, and their way through the house per platform."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._counts: dict[tuple[str, str], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def processed(self, event: events.PlatformEventProcessed) -> None:
        key = (event.platform, event.kind)
        if key not in self._counts:
            key = (self._words(event.platform), self._words(event.kind))
            self._counts.setdefault(key, 0)
            self._buckets.setdefault(key[0], [0] * (len(_LATENCY_BUCKETS) + 1))
            self._sums.setdefault(key[0], 0.0)
        self._counts[key] += 1
        self._buckets[key[0]][bisect_left(_LATENCY_BUCKETS, event.latency)] += 1
        self._sums[key[0]] += event.latency

    def collect(self) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "streampai_platform_events",
            "Platform events counted and published.",
            labels=("platform", "kind"),
        )
        for key, count in self._counts.items():
            counts.add_metric(key, count)
        yield counts
        latency = HistogramMetricFamily(
            "streampai_platform_event_latency_seconds",
            "From an event's arrival until it is published.",
            labels=("platform",),
        )
        for platform, buckets in self._buckets.items():
            total, rows = 0, []
            for bound, count in zip((*map(str, _LATENCY_BUCKETS), "+Inf"), buckets, strict=True):
                total += count
                rows.append((bound, total))
            latency.add_metric((platform,), rows, self._sums[platform])
        yield latency


class Standing(Collector):
    """What stands now: users, their streams, their monitors and breakers, browsers, memory."""

    def __init__(self) -> None:
        self.users: dict[int, str] = {}
        self.monitors: dict[int, dict[str, str]] = {}
        self.breakers: dict[int, dict[str, str]] = {}
        self.browsers = 0
        self.lag = 0.0

    def user_ended(self, user_id: int) -> None:
        self.users.pop(user_id, None)
        self.monitors.pop(user_id, None)
        self.breakers.pop(user_id, None)

    @staticmethod
    def _memory() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def collect(self) -> Iterator[Metric]:
        def gauge(name: str, text: str, value: float) -> Metric:
            return GaugeMetricFamily(f"streampai_{name}", text, value=value)

        yield gauge("user_sessions", "Users whose tree is up.", len(self.users))
        yield gauge("websocket_clients", "Connected browsers.", self.browsers)
        yield gauge("loop_lag_last_seconds", "Event-loop lag as measured last.", self.lag)
        yield gauge(
            "memory_per_user_bytes",
            "Resident memory of the whole process over its users; 0 without users.",
            self._memory() / len(self.users) if self.users else 0,
        )
        states = GaugeMetricFamily("streampai_users", "Users by stream state.", labels=("state",))
        # All four always, so that a graph shows zero and not a gap.
        by_state = Counter({"offline": 0, "ready": 0, "streaming": 0, "ending": 0})
        by_state.update(self.users.values())
        for state, count in by_state.items():
            states.add_metric((state,), count)
        yield states
        for name, text, standing in (
            ("monitors", "Platform monitors by what they do.", self.monitors),
            ("breakers", "Circuit breakers that are not closed.", self.breakers),
        ):
            family = GaugeMetricFamily(f"streampai_{name}", text, labels=("platform", "status"))
            pairs = Counter(pair for user in standing.values() for pair in user.items())
            for pair, count in pairs.items():
                family.add_metric(pair, count)
            yield family
