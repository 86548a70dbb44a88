"""Statistics of one stream, in all and per platform. Pure: events in, numbers out.

One act counts once: a gift of five is five gifted subscriptions by its GIFT
event; the recipients' GIFT_RECEIVED events count nowhere.
"""

from collections import deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson

from ..events import (
    ChatMessageReceived,
    FollowReceived,
    PlatformEvent,
    RaidReceived,
    RewardRedeemed,
    SubscriptionKind,
    SubscriptionReceived,
    SupportReceived,
    ViewersCounted,
)

RATE_WINDOW = timedelta(minutes=1)
# Distinct chatters are counted exactly up to here, so that a chat storm cannot fill
# the memory; a show with more says "at least so many".
MAX_CHATTERS = 50_000


class PlatformStatistics:
    """The numbers of one platform."""

    __slots__ = (
        "_chatters",
        "_recent",
        "_viewer_samples",
        "_viewer_sum",
        "counts",
        "support",
        "units",
        "viewers_at",
        "viewers_now",
        "viewers_peak",
    )

    COUNTS = ("messages", "follows", "subscriptions", "gifted", "raids", "raiders", "redemptions")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(self.COUNTS, 0)
        self.support: dict[str, int] = {}
        self.units: dict[str, int] = {}
        self.viewers_now: int | None = None
        self.viewers_at: datetime | None = None
        self.viewers_peak = 0
        self._viewer_sum = 0
        self._viewer_samples = 0
        self._chatters: set[str] = set()
        # (second, messages in it): at most a minute's worth of entries.
        self._recent: deque[list[Any]] = deque(maxlen=61)

    def add(self, event: PlatformEvent) -> bool:
        """Count an event; False when it moves no number."""
        match event:
            case ChatMessageReceived():
                self.counts["messages"] += 1
                if len(self._chatters) < MAX_CHATTERS:
                    self._chatters.add(event.author.id)
                self._tick(event.received_at)
            case FollowReceived():
                self.counts["follows"] += 1
            case SubscriptionReceived(kind=SubscriptionKind.NEW | SubscriptionKind.RENEWAL):
                self.counts["subscriptions"] += 1
            case SubscriptionReceived(kind=SubscriptionKind.GIFT):
                self.counts["gifted"] += event.count
            case SupportReceived():
                self.units[event.unit] = self.units.get(event.unit, 0) + event.amount
                if event.money is not None:
                    currency = event.money.currency
                    self.support[currency] = self.support.get(currency, 0) + event.money.minor_units
            case RaidReceived():
                self.counts["raids"] += 1
                self.counts["raiders"] += event.viewers
            case RewardRedeemed():
                self.counts["redemptions"] += 1
            case ViewersCounted():
                self.viewers_now = event.viewers
                self.viewers_at = event.occurred_at
                self.viewers_peak = max(self.viewers_peak, event.viewers)
                self._viewer_sum += event.viewers
                self._viewer_samples += 1
            case _:
                return False
        return True

    def _tick(self, at: datetime) -> None:
        second = int(at.timestamp())
        if self._recent and self._recent[-1][0] >= second:
            self._recent[-1][1] += 1
        else:
            self._recent.append([second, 1])

    def messages_per_minute(self, now: datetime) -> int:
        since = (now - RATE_WINDOW).timestamp()
        return sum(count for second, count in self._recent if second > since)

    @property
    def chatters(self) -> int:
        return len(self._chatters)

    @property
    def viewers_average(self) -> float:
        return round(self._viewer_sum / self._viewer_samples, 1) if self._viewer_samples else 0.0

    def as_dict(self, now: datetime) -> dict[str, Any]:
        return {
            **self.counts,
            "chatters": self.chatters,
            "support": dict(self.support),
            "units": dict(self.units),
            "viewers_now": self.viewers_now,
            "viewers_at": self.viewers_at,
            "viewers_peak": self.viewers_peak,
            "viewers_average": self.viewers_average,
            "messages_per_minute": self.messages_per_minute(now),
        }

    def dump(self) -> dict[str, Any]:
        return {
            "counts": self.counts,
            "support": self.support,
            "units": self.units,
            "viewers": [self.viewers_peak, self._viewer_sum, self._viewer_samples],
            "chatters": sorted(self._chatters),
        }

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> "PlatformStatistics":
        statistics = cls()
        statistics.counts.update(stored["counts"])
        statistics.support.update(stored["support"])
        statistics.units.update(stored["units"])
        (
            statistics.viewers_peak,
            statistics._viewer_sum,
            statistics._viewer_samples,
        ) = stored["viewers"]
        statistics._chatters.update(stored["chatters"])
        return statistics


class Statistics:
    """The numbers of one stream. ``revision`` grows with every change."""

    def __init__(self, session_id: str | None = None, since: datetime | None = None) -> None:
        self.session_id = session_id
        self.since = since
        self.revision = 0
        self.platforms: dict[str, PlatformStatistics] = {}
        # The total's peak is a peak of sums, not a sum of peaks.
        self.viewers_peak = 0
        self._total_sum = 0
        self._total_samples = 0

    def add(self, event: PlatformEvent) -> bool:
        """Count one event that has not been counted before; True when a number moved."""
        platform = self.platforms.get(event.platform)
        if platform is None:
            platform = self.platforms[event.platform] = PlatformStatistics()
        if not platform.add(event):
            return False
        if isinstance(event, ViewersCounted):
            viewers = self.viewers_now or 0
            self.viewers_peak = max(self.viewers_peak, viewers)
            self._total_sum += viewers
            self._total_samples += 1
        self.revision += 1
        return True

    @property
    def viewers_now(self) -> int | None:
        """The sum of what is known; None when no platform has told."""
        known = [p.viewers_now for p in self.platforms.values() if p.viewers_now is not None]
        return sum(known) if known else None

    def total(self, now: datetime) -> dict[str, Any]:
        parts = list(self.platforms.values())
        ages = [p.viewers_at for p in parts if p.viewers_at is not None]
        return {
            **{name: sum(p.counts[name] for p in parts) for name in PlatformStatistics.COUNTS},
            "chatters": sum(p.chatters for p in parts),
            "support": _sum_by_key(p.support for p in parts),
            "units": _sum_by_key(p.units for p in parts),
            "viewers_now": self.viewers_now,
            # The sum is as old as its oldest part.
            "viewers_at": min(ages, default=None),
            "viewers_peak": self.viewers_peak,
            "viewers_average": (
                round(self._total_sum / self._total_samples, 1) if self._total_samples else 0.0
            ),
            "messages_per_minute": sum(p.messages_per_minute(now) for p in parts),
        }

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """The snapshot that browsers get on ``user_stream:{user}:statistics``."""
        return {
            "revision": self.revision,
            "session_id": self.session_id,
            "since": self.since,
            "total": self.total(now),
            "platforms": {name: p.as_dict(now) for name, p in self.platforms.items()},
        }

    def dump(self, sequence: int) -> bytes:
        """What storage keeps: these numbers hold all events up to ``sequence``.

        A restart loads them and counts the stored events that came later, so the
        numbers need not be written with every event.
        """
        return orjson.dumps(
            {
                "sequence": sequence,
                "revision": self.revision,
                "total": [self.viewers_peak, self._total_sum, self._total_samples],
                "platforms": {name: p.dump() for name, p in self.platforms.items()},
            }
        )

    @classmethod
    def load(
        cls, data: bytes, session_id: str | None, since: datetime | None
    ) -> tuple["Statistics", int]:
        """The numbers that ``dump`` wrote, and the sequence they reach."""
        stored = orjson.loads(data)
        statistics = cls(session_id, since)
        statistics.revision = stored["revision"]
        (
            statistics.viewers_peak,
            statistics._total_sum,
            statistics._total_samples,
        ) = stored["total"]
        for name, platform in stored["platforms"].items():
            statistics.platforms[name] = PlatformStatistics.load(platform)
        return statistics, stored["sequence"]


def _sum_by_key(parts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for key, value in part.items():
            total[key] = total.get(key, 0) + value
    return total
