"""What the stream page shows: the public state of one user's stream.

``StreamSnapshot`` is written by StreamStateServer alone. Its JSON form is the
answer of ``GET /api/stream``, the data of a fresh subscription and every
publication on ``user_stream:{user}``; ``revision`` grows with every change.
"""

from datetime import datetime
from typing import Any

import attrs
import orjson

from ..cloudflare.models import InputStatus
from .transitions import StreamStatus


def _iso(value: datetime | None) -> str | None:
    return (
        None if value is None else value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


@attrs.define(kw_only=True)
class DestinationStatus:
    """One platform as a destination.

    ``output``: none, creating, active, failed, removing. ``monitor``: stopped or a
    MonitorStatus. ``live`` is what the platform itself says, None when it has not said.
    """

    platform: str
    title: str
    encoder_timeout: float
    chat_length: int
    title_length: int
    connected: bool = False
    account: str = ""
    relogin: bool = False
    enabled: bool = False
    output: str = "none"
    output_code: str = ""
    output_reason: str = ""
    monitor: str = "stopped"
    monitor_reason: str = ""
    retry_at: datetime | None = None
    breaker: str = "closed"
    live: bool | None = None
    since: datetime | None = None

    def as_dict(self) -> dict[str, Any]:
        body = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        body["retry_at"] = _iso(self.retry_at)
        body["since"] = _iso(self.since)
        return body


@attrs.define(kw_only=True)
class StreamSnapshot:
    revision: int
    user_id: int
    since: datetime
    simulated: bool = False
    state: StreamStatus = StreamStatus.OFFLINE
    busy: str = ""
    reason: str = ""
    session_id: str | None = None
    started_at: datetime | None = None
    grace_ends_at: datetime | None = None
    input: InputStatus = InputStatus()
    ingest_url: str = ""
    destinations: dict[str, DestinationStatus] = attrs.field(factory=dict)
    title: str = ""
    category: str = ""
    interrupted: str = ""

    def encode(self) -> bytes:
        return orjson.dumps(
            {
                "revision": self.revision,
                "user_id": self.user_id,
                "state": self.state.value,
                "busy": self.busy,
                "since": _iso(self.since),
                "reason": self.reason,
                "session_id": self.session_id,
                "started_at": _iso(self.started_at),
                "grace_ends_at": _iso(self.grace_ends_at),
                "input": encode_input(self.input, self.ingest_url),
                "destinations": [d.as_dict() for d in self.destinations.values()],
                "metadata": {"title": self.title, "category": self.category},
                "interrupted": self.interrupted,
                "simulated": self.simulated,
            }
        )


def read_snapshot(data: bytes) -> dict[str, Any] | None:
    """A published snapshot; None for what an operator has published in its place."""
    body = orjson.loads(data)
    fields = {"revision": int, "state": str, "since": str, "reason": str, "user_id": int}
    if not isinstance(body, dict):
        return None
    if any(type(body.get(name)) is not kind for name, kind in fields.items()):
        return None
    try:
        datetime.fromisoformat(body["since"])
    except ValueError:
        return None
    return body


def encode_input(status: InputStatus, ingest_url: str) -> dict[str, Any]:
    """The input's part of the snapshot, also what ``cloudflare_input:{user}`` carries."""
    return {
        "state": status.state.value,
        "last_known": status.last_known.value,
        "since": _iso(status.since),
        "checked_at": _iso(status.checked_at),
        "protocol": status.protocol,
        "reason": status.checking_failed or status.reason,
        "gap": status.gap,
        "next_check_in": status.next_check_in,
        "ingest_url": ingest_url,
        "provisioned": bool(ingest_url),
    }
