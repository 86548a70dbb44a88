"""What the harness pretends: one user's stream, told by the contract's snapshots and events."""

import copy
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from .wire import Broker

USER = 1


def iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def destination(platform: str, title: str, **changes: Any) -> dict[str, Any]:
    return {
        "platform": platform,
        "title": title,
        "connected": True,
        "account": "northern_kiln",
        "enabled": True,
        "output": "none",
        "output_code": "",
        "output_reason": "",
        "monitor": "stopped",
        "monitor_reason": "",
        "retry_at": None,
        "breaker": "closed",
        "live": None,
        "encoder_timeout": 90.0,
        "chat_length": 500,
        "title_length": 140,
        "relogin": False,
        "since": None,
        **changes,
    }


def numbers(**changes: Any) -> dict[str, Any]:
    return {
        "messages": 0,
        "chatters": 0,
        "follows": 0,
        "subscriptions": 0,
        "gifted": 0,
        "raids": 0,
        "raiders": 0,
        "redemptions": 0,
        "support": {},
        "units": {},
        "viewers_now": None,
        "viewers_at": None,
        "viewers_peak": 0,
        "viewers_average": 0.0,
        "messages_per_minute": 0,
        **changes,
    }


class World:
    """State, statistics and events of one user; every change is published at once."""

    def __init__(self, *, skew: float = 0.0) -> None:
        self.skew = skew
        self.broker = Broker(self.snapshot)
        self.commands: list[tuple[str, dict[str, Any]]] = []
        self.events: list[dict[str, Any]] = []
        self.shows: list[dict[str, Any]] = []
        self.failing: dict[str, str] = {}
        self.signed_in = True
        self.sandbox_url: str | None = None
        self.key = "8f3d-live-canary-key"
        self._numbers = itertools.count(1)
        self.statistics: dict[str, Any] = {
            "revision": 1,
            "session_id": None,
            "since": None,
            "total": numbers(),
            "platforms": {},
        }
        self.state: dict[str, Any] = {
            "revision": 1,
            "user_id": USER,
            "state": "offline",
            "busy": "",
            "since": self.time(),
            "reason": "",
            "session_id": None,
            "started_at": None,
            "grace_ends_at": None,
            "input": {
                "state": "disconnected",
                "last_known": "disconnected",
                "since": self.time(-340),
                "checked_at": self.time(-4),
                "protocol": "rtmp",
                "reason": "",
                "next_check_in": 15.0,
                "ingest_url": "rtmps://live.example.net:443/live/",
                "provisioned": True,
            },
            "destinations": [
                destination("twitch", "Twitch"),
                destination("youtube", "YouTube", account="Northern Kiln", chat_length=200, title_length=100, encoder_timeout=60.0),
                destination("kick", "Kick", enabled=False, connected=False, account=""),
            ],
            "metadata": {"title": "Glazing the big vase, then raku at dusk", "category": "Pottery"},
            "interrupted": "",
            "simulated": False,
        }  # fmt: skip

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.skew)

    def time(self, seconds: float = 0.0) -> str:
        return iso(self.now() + timedelta(seconds=seconds))

    def snapshot(self, topic: str) -> Any:
        if topic.endswith(":statistics"):
            return copy.deepcopy(self.statistics)
        if topic.startswith("cloudflare_input:"):
            return copy.deepcopy(self.state["input"])
        return copy.deepcopy(self.state)

    def change(self, **changes: Any) -> None:
        """New values of the state's top keys; ``input`` and ``metadata`` are merged."""
        for key, value in changes.items():
            if key in ("input", "metadata"):
                self.state[key] = {**self.state[key], **value}
            else:
                self.state[key] = value
        self.state["revision"] += 1
        if "input" in changes:
            self.state["input"]["checked_at"] = changes["input"].get("checked_at", self.time())
            topic = f"cloudflare_input:{USER}"
            self.broker.publish(topic, self.snapshot(topic))
        self.broker.publish(f"user_stream:{USER}", copy.deepcopy(self.state))

    def change_destination(self, platform: str, **changes: Any) -> None:
        self.change(
            destinations=[
                {**each, **changes} if each["platform"] == platform else each
                for each in self.state["destinations"]
            ]
        )

    def count(self, **totals: Any) -> None:
        """New totals of the statistics; ``platforms`` replaces the parts."""
        self.statistics["platforms"] = totals.pop("platforms", self.statistics["platforms"])
        self.statistics["total"] = {**self.statistics["total"], **totals}
        self.statistics["revision"] += 1
        self.statistics["session_id"] = self.state["session_id"]
        topic = f"user_stream:{USER}:statistics"
        self.broker.publish(topic, self.snapshot(topic))

    def happen(self, kind: str, platform: str = "", /, *, ago: float = 0.0, **fields: Any) -> dict[str, Any]:  # fmt: skip
        """One event of ``kind``, on its platform's topic or on the lifecycle's."""
        sequence = next(self._numbers)
        event = {
            "type": kind,
            "sequence": sequence,
            "user_id": USER,
            "occurred_at": self.time(-ago),
            **fields,
        }
        topic = f"stream_lifecycle:{USER}"
        if platform:
            event = {"id": f"{platform}:{sequence}", "platform": platform, "received_at": event["occurred_at"], **event}  # fmt: skip
            if kind not in ("output_failed", "output_created", "events_lost"):
                topic = f"platform:{platform}:{USER}"
        self.events.append(event)
        self.broker.publish(topic, event)
        return event

    def say(self, name: str, text: str, platform: str = "twitch", **fields: Any) -> dict[str, Any]:
        """A chat message of somebody called ``name``."""
        author = {"id": f"id-{name}", "name": name, **fields.pop("author", {})}
        fields.setdefault("message_id", f"m{len(self.events)}")
        return self.happen("chat_message_received", platform, author=author, text=text, **fields)

    def encoder(self, connected: bool) -> None:
        word = "connected" if connected else "disconnected"
        self.change(
            input={"state": word, "last_known": word, "since": self.time()},
            **({"state": "ready" if connected else "offline"} if self.state["state"] in ("ready", "offline") else {}),
        )  # fmt: skip

    def lose_encoder(self, *, ago: float = 0.0, timeout: float = 300.0) -> None:
        """The encoder left a running stream: the disconnect clock starts."""
        self.change(
            input={"state": "disconnected", "last_known": "disconnected", "since": self.time(-ago)},
            grace_ends_at=self.time(timeout - ago),
        )
        self.happen("disconnect_clock_started", ends_at=self.state["grace_ends_at"], ago=ago)

    def go_live(self, *, ago: float = 0.0) -> None:
        """Streaming on everything that is enabled and connected and not told to fail."""
        chosen = [d["platform"] for d in self.state["destinations"] if d["enabled"] and d["connected"]]  # fmt: skip
        good = [platform for platform in chosen if platform not in self.failing]
        self.change(
            state="streaming",
            busy="",
            session_id=f"show-{len(self.shows) + 1}",
            started_at=self.time(-ago),
            destinations=[self._opened(each, chosen) for each in self.state["destinations"]],
        )
        for platform in chosen:
            if platform in self.failing:
                self.happen("output_failed", platform, code="platform_refused", reason=self.failing[platform], ago=ago)  # fmt: skip
        failed = [platform for platform in chosen if platform not in good]
        self.happen("stream_started", platforms=chosen, failed=failed, ago=ago)

    def _opened(self, each: dict[str, Any], chosen: list[str]) -> dict[str, Any]:
        platform = each["platform"]
        if platform not in chosen:
            return each
        if platform in self.failing:
            return {**each, "output": "failed", "output_code": "platform_refused", "output_reason": self.failing[platform], "monitor": "connected", "live": False}  # fmt: skip
        return {**each, "output": "active", "monitor": "connected", "live": True}

    def end(self, reason: str = "stopped") -> None:
        connected = self.state["input"]["state"] == "connected"
        total = {**self.statistics["total"]}
        summary = {
            "started_at": self.state["started_at"],
            "ended_at": self.time(),
            "statistics": {"total": total, "platforms": {}},
        }
        self.shows.insert(
            0,
            {
                "id": self.state["session_id"],
                "phase": "finished",
                "platforms": ["twitch", "youtube"],
                "started_at": self.state["started_at"],
                "ended_at": self.time(),
                "reason": reason,
                "summary": summary,
            },
        )
        self.happen("stream_ended", reason=reason, summary=summary)
        self.change(
            state="ready" if connected else "offline",
            session_id=None,
            started_at=None,
            grace_ends_at=None,
            destinations=[
                {**each, "output": "none", "monitor": "stopped", "live": None}
                for each in self.state["destinations"]
            ],
        )
