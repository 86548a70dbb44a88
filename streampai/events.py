"""What happened.

Every event is one frozen class, the same for all platforms. Numbers are
numbers; money is an integer in minor units with its ISO currency, plus the
platform's own unit. Times are aware datetimes in UTC. The ``id`` of a platform
event is natural, ``platform:native id``; duplicates are dropped by it.

Platform events come from monitors and are counted; lifecycle events tell what
Streampai itself did. ``encode_event`` gives the one JSON form that storage
keeps and browsers get: ``{"type": "chat_message_received", ...}``.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import uuid4

import attrs
import cattrs
import orjson
from cattrs.preconf.orjson import make_converter


def event_id(platform: str, native_id: str) -> str:
    return f"{platform}:{native_id}"


@attrs.frozen(kw_only=True)
class Author:
    """Who wrote or gave. ``roles`` are our words: broadcaster, moderator, vip, subscriber."""

    id: str
    name: str
    login: str = ""
    colour: str = ""
    badges: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    anonymous: bool = False


@attrs.frozen(kw_only=True)
class Emote:
    """A picture in a text: ``begin`` inclusive, ``end`` exclusive, in code points."""

    begin: int
    end: int
    id: str
    url: str = ""


@attrs.frozen(kw_only=True)
class ReplyTo:
    message_id: str
    author_name: str
    text: str


@attrs.frozen(kw_only=True)
class Money:
    """Integer minor units of an ISO currency: 499 and "USD" are $4.99."""

    minor_units: int
    currency: str


@attrs.frozen(kw_only=True)
class PlatformEvent:
    """The common fields of everything a platform reports."""

    id: str
    platform: str
    user_id: int
    occurred_at: datetime
    received_at: datetime


@attrs.frozen(kw_only=True)
class ChatMessageReceived(PlatformEvent):
    message_id: str
    author: Author
    text: str
    emotes: tuple[Emote, ...] = ()
    reply_to: ReplyTo | None = None
    highlighted: bool = False


@attrs.frozen(kw_only=True)
class ChatMessageDeleted(PlatformEvent):
    message_id: str
    author: Author | None = None


@attrs.frozen(kw_only=True)
class ChatCleared(PlatformEvent):
    """The whole chat, or all messages of ``author``, were removed."""

    author: Author | None = None


@attrs.frozen(kw_only=True)
class FollowReceived(PlatformEvent):
    author: Author


class SubscriptionKind(Enum):
    NEW = "new"
    RENEWAL = "renewal"
    GIFT = "gift"
    GIFT_RECEIVED = "gift_received"
    ENDED = "ended"


@attrs.frozen(kw_only=True)
class SubscriptionReceived(PlatformEvent):
    """A gift of five is one event of kind GIFT with ``count`` 5; each recipient's
    GIFT_RECEIVED is shown but counted nowhere."""

    kind: SubscriptionKind
    author: Author
    tier: str = ""
    months: int = 0
    count: int = 1
    recipient: Author | None = None
    gift_id: str = ""
    prime: bool = False
    text: str = ""


@attrs.frozen(kw_only=True)
class SupportReceived(PlatformEvent):
    """Bits, super chats, Kicks, Stars. ``unit`` is the platform's own word, ``amount`` counts it."""

    author: Author
    unit: str
    amount: int
    money: Money | None = None
    text: str = ""
    emotes: tuple[Emote, ...] = ()


@attrs.frozen(kw_only=True)
class RaidReceived(PlatformEvent):
    author: Author
    viewers: int


@attrs.frozen(kw_only=True)
class RewardRedeemed(PlatformEvent):
    author: Author
    reward_id: str
    title: str
    cost: int
    text: str = ""
    status: str = ""


class Progress(Enum):
    BEGUN = "begun"
    PROGRESSED = "progressed"
    LOCKED = "locked"
    ENDED = "ended"


@attrs.frozen(kw_only=True)
class Choice:
    id: str
    title: str
    votes: int = 0
    points: int = 0
    winner: bool = False


@attrs.frozen(kw_only=True)
class PollProgressed(PlatformEvent):
    poll_id: str
    progress: Progress
    title: str
    choices: tuple[Choice, ...]
    ends_at: datetime | None = None
    status: str = ""


@attrs.frozen(kw_only=True)
class PredictionProgressed(PlatformEvent):
    prediction_id: str
    progress: Progress
    title: str
    choices: tuple[Choice, ...]
    locks_at: datetime | None = None
    status: str = ""


@attrs.frozen(kw_only=True)
class HypeTrainProgressed(PlatformEvent):
    train_id: str
    progress: Progress
    level: int
    total: int
    goal: int = 0
    ends_at: datetime | None = None


class ModerationKind(Enum):
    BAN = "ban"
    TIMEOUT = "timeout"
    UNBAN = "unban"


@attrs.frozen(kw_only=True)
class ModerationActed(PlatformEvent):
    kind: ModerationKind
    target: Author
    moderator: Author | None = None
    reason: str = ""
    ends_at: datetime | None = None


@attrs.frozen(kw_only=True)
class ViewersCounted(PlatformEvent):
    viewers: int


@attrs.frozen(kw_only=True)
class PlatformStreamStarted(PlatformEvent):
    """The platform itself says that the channel is live."""

    platform_stream_id: str = ""


@attrs.frozen(kw_only=True)
class PlatformStreamEnded(PlatformEvent):
    platform_stream_id: str = ""


@attrs.frozen(kw_only=True)
class MetadataChanged(PlatformEvent):
    title: str
    category: str = ""
    category_id: str = ""
    language: str = ""


@attrs.frozen(kw_only=True)
class NoticeReceived(PlatformEvent):
    """Something the platform says in chat that has no class of its own (announcements, streaks)."""

    kind: str
    text: str
    author: Author | None = None


class MonitorStatus(Enum):
    STOPPED = "stopped"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    RELOGIN_NEEDED = "relogin_needed"


@attrs.frozen(kw_only=True)
class MonitorStatusChanged(PlatformEvent):
    """A monitor tells its own state.

    ``reason`` is a sentence. ``retry_at`` is set while WAITING. When a
    connection came back after a break the platform cannot fill,
    ``missed_from``/``missed_until`` name the gap.
    """

    status: MonitorStatus
    reason: str = ""
    retry_at: datetime | None = None
    breaker: str = "closed"
    missed_from: datetime | None = None
    missed_until: datetime | None = None
    not_subscribed: tuple[str, ...] = ()


# --- What Streampai itself did: the topic stream_lifecycle --------------------


@attrs.frozen(kw_only=True)
class LifecycleEvent:
    """``id`` is drawn when the event is made, so that telling it twice shows it once."""

    id: str = attrs.field(factory=lambda: uuid4().hex)
    user_id: int
    occurred_at: datetime
    session_id: str | None = None


@attrs.frozen(kw_only=True)
class StreamStarting(LifecycleEvent):
    platforms: tuple[str, ...]


@attrs.frozen(kw_only=True)
class OutputCreated(LifecycleEvent):
    platform: str


@attrs.frozen(kw_only=True)
class OutputFailed(LifecycleEvent):
    platform: str
    code: str
    reason: str


@attrs.frozen(kw_only=True)
class OutputDestroyed(LifecycleEvent):
    platform: str


@attrs.frozen(kw_only=True)
class StreamStarted(LifecycleEvent):
    platforms: tuple[str, ...]
    failed: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class StreamEnding(LifecycleEvent):
    reason: str


@attrs.frozen(kw_only=True)
class StreamEnded(LifecycleEvent):
    reason: str
    summary: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class DisconnectClockStarted(LifecycleEvent):
    ends_at: datetime


@attrs.frozen(kw_only=True)
class DisconnectClockStopped(LifecycleEvent):
    """The encoder came back in time."""


@attrs.frozen(kw_only=True)
class CommandDone(LifecycleEvent):
    command_id: str
    command: str
    result: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class CommandFailed(LifecycleEvent):
    command_id: str
    command: str
    error: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class StreamInterrupted(LifecycleEvent):
    """A part of the user's tree crashed. ``restarts_in`` is in seconds, None when already back."""

    part: str
    reason: str
    restarts_in: float | None = None


@attrs.frozen(kw_only=True)
class EventsLost(LifecycleEvent):
    """``count`` events of ``platform`` could not be handed over while a part was restarting."""

    platform: str
    count: int
    missed_from: datetime
    missed_until: datetime


Event = PlatformEvent | LifecycleEvent


def _all_classes(base: type[Any]) -> dict[str, type[Any]]:
    return {
        re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower(): cls for cls in base.__subclasses__()
    }


PLATFORM_EVENTS: Mapping[str, type[PlatformEvent]] = _all_classes(PlatformEvent)
LIFECYCLE_EVENTS: Mapping[str, type[LifecycleEvent]] = _all_classes(LifecycleEvent)
_TYPES: Mapping[str, type[Any]] = {**PLATFORM_EVENTS, **LIFECYCLE_EVENTS}
_NAMES: Mapping[type[Any], str] = {cls: name for name, cls in _TYPES.items()}


def event_type(event: Event) -> str:
    """The word that stands in the JSON form: ``chat_message_received``."""
    return _NAMES[type(event)]


def _time_to_text(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _make_converter() -> cattrs.Converter:
    converter = make_converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, _time_to_text)
    return converter


CONVERTER = _make_converter()


def encode_event(event: Event, **extra: object) -> bytes:
    """Compact JSON on one line: the type, ``extra`` (such as a sequence number), the fields.

    Fields at their default are left out.
    """
    body = {"type": _NAMES[type(event)], **extra}
    body.update(CONVERTER.unstructure(event))
    return orjson.dumps(body)


def decode_event(data: bytes | str) -> Event:
    """The event of a JSON form that ``encode_event`` made; extra keys are ignored."""
    body = orjson.loads(data)
    event: Event = CONVERTER.structure(body, _TYPES[body["type"]])
    return event
